//! Follows attempts while they write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use backstay_engine::record::RunRecord;
use backstay_exec::spool::{Follow, Follower, Stream};
use backstay_model::StepId;
use backstay_runtime::{Clock, Store};
use tokio::sync::mpsc;

use super::command::{print_what_is_there, spoken, stream_size};
use super::printer::Printer;
use super::source::{Source, sources};
use super::voice::{Said, Voice};
use super::wanted::Wanted;
use crate::commands::wait::note_questions;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{LiveRun, QuestionTeller};

/// How long one wait for a spool may be.
const SPOOL_PATIENCE: Duration = Duration::from_secs(5);
/// Chunks that may wait to be printed.
const WAITING_MAX: usize = 16;

/// What was read.
pub(super) enum Read {
    /// What stands above what follows.
    Head(StepId, Said),
    Words(StepId, Said),
    /// An attempt of this step ended.
    Ended(StepId),
    Failed(CliError),
}

/// Follows every attempt until the run has ended, whoever owns it meanwhile. `past` is all that the run did so far.
pub(super) async fn follow(
    context: &Context,
    store: &Store,
    past: &RunRecord,
    wanted: &Wanted,
    printer: &mut Printer,
) -> Result<Exit, CliError> {
    let run = past.run;
    let mut live = LiveRun::open(store, run).await?;
    let mut questions = QuestionTeller::default();
    let (send, mut incoming) = mpsc::channel(WAITING_MAX);
    let mut send = Some(send);
    let mut known = BTreeSet::new();
    let mut tellers: BTreeMap<StepId, Told> = BTreeMap::new();
    // What is followed lets go of old cycles.
    let mut past = Some(past);
    loop {
        if let Some(sender) = &send {
            let is_first_round = past.is_some();
            let records = past.take().into_iter().chain([&live.record]);
            let mut new: Vec<Source> = records.flat_map(|record| sources(store, record, wanted)).collect();
            new.retain(|source| known.insert(source.folder.clone()));
            let spoken = spoken(store, run, wanted, &new).await?;
            for source in new {
                let live_from = stream_size(&source.folder, Stream::Stdout);
                let cwd = live.record.cwd.as_deref();
                let mut voice = Voice::of(&source, spoken.as_ref(), cwd, live_from, wanted);
                let mut begun = None;
                if is_first_round {
                    let mut follower = Follower::open(&source.folder, 0)?;
                    let now = store.clock().wall();
                    if print_what_is_there(&source, &mut follower, &mut voice, wanted, printer, now)? {
                        continue;
                    }
                    begun = Some(follower);
                }
                let (sender, only, clock) = (sender.clone(), wanted.stream, store.clock().clone());
                let step = source.step.clone();
                let teller = Teller { source, only, sender, clock };
                let teller = teller.start(begun, voice, tellers.remove(&step));
                tellers.insert(step, teller);
            }
            if printer.tail.is_some() {
                // A line that has not ended is one of the last ones.
                printer.finish_sanitizers()?;
            }
            printer.print_tail()?;
        }
        if live.record.status.is_ended() {
            send = None;
        }
        tokio::select! {
            read = incoming.recv() => match read {
                Some(Read::Words(step, said)) => printer.print(&step, &said)?,
                Some(Read::Head(step, said)) => printer.print_head(&step, &said)?,
                Some(Read::Ended(step)) => printer.finish_step(&step)?,
                Some(Read::Failed(error)) => return Err(error),
                None => {
                    printer.finish()?;
                    return Ok(Exit::Completed);
                }
            },
            moment = live.next(), if send.is_some() => {
                drop(moment?);
                note_questions(context, store, &live, &mut questions).await?;
            },
        }
    }
}

/// Is closed once an attempt was told to its end.
pub(super) type Told = Receiver<()>;

/// Tells what one attempt says.
pub(super) struct Teller {
    source: Source,
    only: Option<Stream>,
    sender: mpsc::Sender<Read>,
    clock: Arc<dyn Clock>,
}

impl Teller {
    /// Tells once the attempt of the step before it was told, so that the two do not mix. It ends with the attempt, or
    /// when nobody listens any more.
    fn start(self, begun: Option<Follower>, voice: Voice, before: Option<Told>) -> Told {
        let (telling, told) = std::sync::mpsc::channel();
        drop(tokio::task::spawn_blocking(move || {
            // Nothing is ever sent: the other end goes with its teller.
            if before.is_some_and(|told| told.recv_timeout(SPOOL_PATIENCE) == Err(RecvTimeoutError::Timeout))
            {
                tracing::debug!("an attempt before goes on without an end");
            }
            self.follow(begun, voice);
            drop::<Sender<()>>(telling);
        }));
        told
    }

    /// What `begun` has read was told already, as was what stands above it.
    fn follow(&self, begun: Option<Follower>, voice: Voice) {
        let told = self.follow_to_the_end(begun, voice);
        self.tell(match told {
            Ok(true) => Read::Ended(self.source.step.clone()),
            Ok(false) => return,
            Err(error) => Read::Failed(error),
        });
    }

    /// Whether the attempt ended: nobody may listen any more.
    fn follow_to_the_end(&self, begun: Option<Follower>, mut voice: Voice) -> Result<bool, CliError> {
        let mut follower = match begun {
            Some(begun) => begun,
            None => {
                let opened = Follower::open(&self.source.folder, 0)?;
                self.tell_words(Read::Head, voice.head(&self.source));
                opened
            }
        };
        let is_wanted = |stream: Stream| self.only.is_none_or(|only| only == stream);
        while !self.sender.is_closed() {
            match follower.next(SPOOL_PATIENCE)? {
                Follow::Output(chunks) => {
                    let now = self.clock.wall();
                    for chunk in chunks.into_iter().filter(|chunk| is_wanted(chunk.stream)) {
                        voice
                            .say(chunk, now)?
                            .into_iter()
                            .for_each(|said| self.tell_words(Read::Words, said));
                    }
                }
                Follow::Nothing => {}
                Follow::Ended => {
                    if is_wanted(Stream::Stdout) {
                        let last = voice.end(&self.source, self.clock.wall());
                        last.into_iter().for_each(|said| self.tell_words(Read::Words, said));
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn tell_words(&self, read: fn(StepId, Said) -> Read, said: Said) {
        if !said.bytes.is_empty() {
            self.tell(read(self.source.step.clone(), said));
        }
    }

    fn tell(&self, read: Read) {
        if self.sender.blocking_send(read).is_err() {
            tracing::debug!("nobody reads these logs any more");
        }
    }
}
