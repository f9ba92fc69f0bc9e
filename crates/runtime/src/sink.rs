//! Sinks: who gets every event of an owned run after its commit, in order.

use backstay_model::Recorded;
use backstay_model::event::{AttemptEnd, Event};
use tokio::sync::mpsc;

/// Takes events. It runs on a thread of its own: it can neither fail nor slow an append.
pub trait Sink: Send + 'static {
    /// Takes one event, after its commit, in the order of its topic.
    fn take(&mut self, recorded: &Recorded);
}

/// Writes one structured `tracing` record for each event.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl Sink for TracingSink {
    fn take(&mut self, recorded: &Recorded) {
        macro_rules! record {
            ($level:ident) => {
                tracing::$level!(
                    topic = %recorded.topic,
                    seq = recorded.seq.0,
                    kind = %recorded.kind,
                    scope = %recorded.scope,
                    payload = recorded.payload.as_str(),
                    "event"
                )
            };
        }
        match Event::decode(recorded) {
            Ok(Event::RunFailed(_)) | Err(_) => record!(error),
            Ok(
                Event::StepTimedOut(_)
                | Event::StepStalled(_)
                | Event::EffectStuck(_)
                | Event::EffectLost(_)
                | Event::EffectInDoubt(_),
            ) => {
                record!(warn);
            }
            Ok(Event::EffectFinished(finished)) if matches!(finished.end, AttemptEnd::Failed { .. }) => {
                record!(warn)
            }
            Ok(
                Event::RunStarted(_)
                | Event::RunCompleted(_)
                | Event::RunCancelled(_)
                | Event::RunSuspended(_)
                | Event::RunResumed(_)
                | Event::StepStarted(_)
                | Event::StepFinished(_),
            ) => record!(info),
            Ok(_) => record!(debug),
        }
    }
}

/// The handle by which a drive feeds a sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkFeed(mpsc::UnboundedSender<Recorded>);

impl SinkFeed {
    /// Gives `sink` a thread of its own; it ends when the last feed is dropped.
    pub(crate) fn start(mut sink: impl Sink) -> std::io::Result<SinkFeed> {
        let (feed, mut events) = mpsc::unbounded_channel::<Recorded>();
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            while let Some(recorded) = events.blocking_recv() {
                sink.take(&recorded);
            }
        })?;
        Ok(SinkFeed(feed))
    }

    pub(crate) fn give(&self, recorded: &Recorded) {
        // A sink that is gone misses events; appends do not depend on it.
        if self.0.send(recorded.clone()).is_err() {
            tracing::debug!(seq = recorded.seq.0, "a sink is gone");
        }
    }
}
