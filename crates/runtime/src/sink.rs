//! Sinks: who gets every event of an owned run after its commit, in order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_log::{Direction, Log};
use backstay_model::event::{AttemptEnd, Event, FactEvent, Heartbeat};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Recorded, Scope, Seq, Topic};
use tokio::runtime::Runtime;

/// Takes events. It runs on a thread of its own: it can neither fail nor slow an append.
pub trait Sink: Send + 'static {
    /// Takes one event, after its commit, in the order of its topic.
    fn take(&mut self, recorded: &Recorded);

    /// Takes a heartbeat: a live event, which comes between events, at most once. Where the sink is slow, only the newest of
    /// each scope waits for it.
    fn take_heartbeat(&mut self, _heartbeat: &SinkHeartbeat) {}

    /// What it is called where a person is told that it is behind.
    fn name(&self) -> &'static str {
        "one who hears of every event"
    }
}

/// A heartbeat of a step, as sinks are given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkHeartbeat {
    /// The topic of the run.
    pub topic: Topic,
    /// The instance of the step.
    pub scope: Scope,
    /// What it says.
    pub heartbeat: Heartbeat,
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn take(&mut self, recorded: &Recorded) {
        (**self).take(recorded);
    }

    fn take_heartbeat(&mut self, heartbeat: &SinkHeartbeat) {
        (**self).take_heartbeat(heartbeat);
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}

/// Writes one structured `tracing` record for each event.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl Sink for TracingSink {
    fn name(&self) -> &'static str {
        "the tracing of events"
    }

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
            Ok(Event::Fact(FactEvent::RunFailed(_))) | Err(_) => record!(error),
            Ok(
                Event::Fact(FactEvent::StepTimedOut(_))
                | Event::Fact(FactEvent::StepStalled(_))
                | Event::Fact(FactEvent::EffectStuck(_))
                | Event::Fact(FactEvent::EffectLost(_))
                | Event::Fact(FactEvent::EffectInDoubt(_)),
            ) => {
                record!(warn);
            }
            Ok(Event::Fact(FactEvent::EffectFinished(finished)))
                if matches!(finished.end, AttemptEnd::Failed { .. }) =>
            {
                record!(warn)
            }
            Ok(
                Event::Fact(FactEvent::RunStarted(_))
                | Event::Fact(FactEvent::RunCompleted(_))
                | Event::Fact(FactEvent::RunCancelled(_))
                | Event::Fact(FactEvent::RunSuspended(_))
                | Event::Fact(FactEvent::RunResumed(_))
                | Event::Fact(FactEvent::StepStarted(_))
                | Event::Fact(FactEvent::StepFinished(_)),
            ) => record!(info),
            Ok(_) => record!(debug),
        }
    }
}

/// Events that wait for a sink in memory. Of what comes beyond them only the numbers are kept: the sink reads them from
/// the log when it comes to them.
const WAITING_EVENTS_MAX: usize = 1_024;
/// How long an owner that ends waits for its sinks to take what they were given.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Until a page that could not be read is tried again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const READS_MAX: u32 = 10;

/// Feeds one sink on a thread of its own. Dropped, it waits a while for the sink to take what it was given.
#[derive(Debug)]
pub(crate) struct SinkFeed {
    shared: Arc<Shared>,
    name: &'static str,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What a sink has not taken yet. Of one topic, what is in `events` comes before what is `behind`.
#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Recorded>,
    behind: BTreeMap<Topic, Span>,
    /// At most one of each step at work.
    heartbeats: Vec<SinkHeartbeat>,
    life: Life,
}

/// Events of one topic: those after the one number, up to the other.
#[derive(Clone, Copy, Debug)]
struct Span {
    after: Seq,
    last: Seq,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    /// More may be given.
    #[default]
    Open,
    /// Nothing more is given.
    Closed,
    /// The sink takes nothing any more.
    Ended,
}

/// What the sink takes next.
enum Next {
    Events(VecDeque<Recorded>),
    Heartbeats(Vec<SinkHeartbeat>),
    Page(Topic, Span),
}

/// The thread of one sink.
struct Feeder<S> {
    sink: S,
    log: Arc<dyn Log>,
    runtime: Runtime,
    shared: Arc<Shared>,
    failed_reads: u32,
}

impl SinkFeed {
    /// Gives `sink` a thread of its own; it ends when everything was taken after the feed is dropped.
    pub(crate) fn start(sink: impl Sink, log: Arc<dyn Log>) -> io::Result<SinkFeed> {
        let (shared, name) = (Arc::new(Shared::default()), sink.name());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let feeder = Feeder { sink, log, runtime, shared: Arc::clone(&shared), failed_reads: 0 };
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || feeder.run())?;
        Ok(SinkFeed { shared, name })
    }

    /// Gives one event, in the order of its topic. This never waits for the sink.
    pub(crate) fn give(&self, recorded: &Recorded) {
        let mut waiting = self.shared.lock();
        if waiting.life != Life::Open {
            // A sink that is gone misses events; appends do not depend on it.
            tracing::debug!(seq = recorded.seq.0, "a sink is gone");
            return;
        }
        if let Some(span) = waiting.behind.get_mut(&recorded.topic) {
            span.last = span.last.max(recorded.seq);
        } else if waiting.events.len() < WAITING_EVENTS_MAX {
            waiting.events.push_back(recorded.clone());
        } else {
            let span = Span { after: Seq(recorded.seq.0.saturating_sub(1)), last: recorded.seq };
            waiting.behind.insert(recorded.topic.clone(), span);
        }
        drop(waiting);
        self.shared.changed.notify_all();
    }
}

impl SinkFeed {
    /// Gives a heartbeat, in place of an older one of the same scope that was not taken yet. This never waits for the sink.
    pub(crate) fn give_heartbeat(&self, heartbeat: SinkHeartbeat) {
        let mut waiting = self.shared.lock();
        if waiting.life != Life::Open {
            return;
        }
        waiting
            .heartbeats
            .retain(|older| (&older.topic, &older.scope) != (&heartbeat.topic, &heartbeat.scope));
        waiting.heartbeats.push(heartbeat);
        drop(waiting);
        self.shared.changed.notify_all();
    }
}

impl Drop for SinkFeed {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        if waiting.life == Life::Open {
            waiting.life = Life::Closed;
        }
        self.shared.changed.notify_all();
        let is_at_work = |waiting: &mut Waiting| waiting.life != Life::Ended;
        let waited = self.shared.changed.wait_timeout_while(waiting, LAST_WORDS, is_at_work);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            let (name, seconds) = (self.name, LAST_WORDS.as_secs());
            tracing::warn!(
                "{name} takes too long: it had not ended after {seconds} s, and is not waited for any longer"
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next, once there is something; none when nothing can come any more. Where both is there, events and pages
    /// take turns: `after_events` says that it is a page's.
    fn next(&self, after_events: bool) -> Option<Next> {
        let nothing = |waiting: &mut Waiting| waiting.is_empty() && waiting.life == Life::Open;
        let waited = self.changed.wait_while(self.lock(), nothing);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.events.is_empty() || after_events {
            let waits = |topic: &Topic| waiting.events.iter().any(|recorded| recorded.topic == *topic);
            if let Some((topic, span)) = waiting.behind.iter().find(|(topic, _)| !waits(topic)) {
                return Some(Next::Page(topic.clone(), *span));
            }
        }
        let events = std::mem::take(&mut waiting.events);
        if !events.is_empty() {
            return Some(Next::Events(events));
        }
        let heartbeats = std::mem::take(&mut waiting.heartbeats);
        (!heartbeats.is_empty()).then_some(Next::Heartbeats(heartbeats))
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.behind.is_empty() && self.heartbeats.is_empty()
    }
}

/// Also when the sink panics: nobody waits for it then.
impl<S> Drop for Feeder<S> {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        *waiting = Waiting { life: Life::Ended, ..Waiting::default() };
        drop(waiting);
        self.shared.changed.notify_all();
    }
}

impl<S: Sink> Feeder<S> {
    fn run(mut self) {
        let mut after_events = false;
        while let Some(next) = self.shared.next(after_events) {
            after_events = matches!(next, Next::Events(_));
            match next {
                Next::Events(events) => events.iter().for_each(|recorded| self.sink.take(recorded)),
                Next::Heartbeats(heartbeats) => {
                    heartbeats.iter().for_each(|heartbeat| self.sink.take_heartbeat(heartbeat));
                }
                Next::Page(topic, span) => self.take_page(&topic, span),
            }
        }
    }

    /// Gives the sink the next page of what it is behind with.
    fn take_page(&mut self, topic: &Topic, span: Span) {
        let read = self.log.read(topic, span.after, Direction::Forward, PAGE_EVENTS_MAX);
        let after = match self.runtime.block_on(read) {
            Ok(page) => {
                self.failed_reads = 0;
                let given = page.events.iter().filter(|recorded| recorded.seq <= span.last);
                given.for_each(|recorded| self.sink.take(recorded));
                page.events.last().map(|recorded| recorded.seq)
            }
            Err(error) if self.failed_reads < READS_MAX => {
                tracing::debug!(%topic, %error, "a sink waits for events that cannot be read");
                self.failed_reads += 1;
                let never = |_: &mut Waiting| true;
                drop(self.shared.changed.wait_timeout_while(self.shared.lock(), AGAIN, never));
                return;
            }
            Err(error) => {
                self.failed_reads = 0;
                let (after, last) = (span.after, span.last);
                tracing::warn!(%topic, %after, %last, %error, "a sink misses events: they cannot be read");
                None
            }
        };
        let mut waiting = self.shared.lock();
        match (after, waiting.behind.get_mut(topic)) {
            (Some(after), Some(span)) if after < span.last => span.after = after,
            // What is not there cannot be given.
            _ => drop(waiting.behind.remove(topic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::{Kind, Payload, Position, RunId, Timestamp};

    use super::*;

    fn event(seq: u64) -> Recorded {
        Recorded {
            topic: Topic::run("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse::<RunId>().unwrap()),
            seq: Seq(seq),
            g: Position(seq),
            at: Timestamp::from_micros(1),
            kind: Kind::from_name("timer_fired".to_owned()),
            scope: Scope::root(),
            payload: Payload::from_text("{\"v\":1}".to_owned()).unwrap(),
            trace: None,
            more: false,
        }
    }

    #[test]
    fn s18_of_what_is_too_much_only_the_numbers_are_kept() {
        let shared = Arc::new(Shared::default());
        let feed = SinkFeed { shared: Arc::clone(&shared), name: "a test" };
        let many = WAITING_EVENTS_MAX as u64 * 10;
        (1..=many).for_each(|seq| feed.give(&event(seq)));
        let mut waiting = shared.lock();
        assert_eq!(waiting.events.len(), WAITING_EVENTS_MAX);
        let span = waiting.behind.get(&event(1).topic).unwrap();
        assert_eq!((span.after, span.last), (Seq(WAITING_EVENTS_MAX as u64), Seq(many)));
        // Nobody takes anything here, so nobody is to be waited for.
        waiting.life = Life::Ended;
    }
}
