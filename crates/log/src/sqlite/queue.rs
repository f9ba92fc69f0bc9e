//! What waits to be written, and when the writing thread has to wake up for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_model::event::ClaimReason;
use backstay_model::{Epoch, OwnerId, Topic};
use tokio::sync::oneshot;

use crate::contract::{Batch, Claimed, Durability, FoldSnapshot, NewEvent, OwnerIdentity};
use crate::error::{ClaimError, StoreError};
use crate::limits::{COMMIT_COMMANDS_MAX, QUEUED_BYTES_MAX, QUEUED_COMMANDS_MAX, QUEUED_LIVE_MAX};
use crate::ticket::Ack;

/// When this much waits, the writing thread begins, whether or not somebody waits for an answer yet.
const WAITING_UNANNOUNCED_MAX: usize = 64;

/// What a claim found out before it asked for the topic. It only holds while that is still so.
#[derive(Clone, Debug)]
pub(super) struct ClaimRequest {
    pub(super) topic: Topic,
    pub(super) claimer: OwnerIdentity,
    pub(super) owner: Option<OwnerId>,
    pub(super) epoch: Epoch,
    pub(super) reason: ClaimReason,
}

/// What became of a claim.
#[derive(Debug)]
pub(super) enum ClaimAnswer {
    Granted(Box<Claimed>),
    /// The topic's owner is another one by now: look again.
    Changed,
    Refused(ClaimError),
}

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Append { batch: Batch, reply: oneshot::Sender<Ack> },
    Live { topic: Topic, event: NewEvent },
    SaveFold { topic: Topic, snapshot: FoldSnapshot },
    Claim { request: ClaimRequest, reply: oneshot::Sender<ClaimAnswer> },
    Renew { identity: OwnerIdentity, reply: oneshot::Sender<Result<(), StoreError>> },
}

impl Command {
    /// How durable it has to be before it is answered.
    pub(super) const fn durability(&self) -> Durability {
        match self {
            Command::Append { batch, .. } => batch.durability,
            Command::Claim { .. } => Durability::Synced,
            Command::Live { .. } | Command::SaveFold { .. } | Command::Renew { .. } => Durability::Buffered,
        }
    }

    /// Bytes of its payloads.
    fn bytes(&self) -> usize {
        match self {
            Command::Append { batch, .. } => {
                let events = batch.appends.iter().flat_map(|append| &append.events);
                events.map(|event| event.payload.as_str().len()).sum()
            }
            Command::Live { event, .. } => event.payload.as_str().len(),
            Command::SaveFold { snapshot, .. } => snapshot.state.len(),
            Command::Claim { .. } | Command::Renew { .. } => 0,
        }
    }

    /// Answers that it could not be done.
    pub(super) fn refuse(self, error: &StoreError) {
        let heard = match self {
            Command::Append { reply, batch } => {
                reply.send(Ack { result: Err(error.clone().into()), spent: Some(batch) }).is_ok()
            }
            Command::Claim { reply, .. } => reply.send(ClaimAnswer::Refused(error.clone().into())).is_ok(),
            Command::Renew { reply, .. } => reply.send(Err(error.clone())).is_ok(),
            Command::Live { topic, .. } => {
                tracing::debug!(%topic, %error, "a live event was dropped");
                true
            }
            Command::SaveFold { topic, .. } => {
                tracing::debug!(%topic, %error, "a fold was not kept");
                true
            }
        };
        if !heard {
            tracing::debug!(%error, "a write failed for which nobody waits");
        }
    }
}

/// When the writing thread has to look after things that no command asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BackgroundWork {
    #[default]
    None,
    /// What is to be seen to could not be; nobody tries for this long.
    Later(Duration),
    /// Index entries wait, or rows that are gone; they are seen to when nobody has written for this long.
    Index,
    /// A ring of the bell was held back.
    Wakeup,
}

impl BackgroundWork {
    const fn due_in(self) -> Option<Duration> {
        match self {
            BackgroundWork::None => None,
            BackgroundWork::Later(left) => Some(left),
            BackgroundWork::Index => Some(Duration::from_millis(100)),
            BackgroundWork::Wakeup => Some(super::wakeup::NOTIFY_INTERVAL),
        }
    }
}

/// Why the writing thread is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Commands,
    BackgroundWork(BackgroundWork),
    Closed,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<Command>,
    announced: bool,
    closed: bool,
    /// Bytes of their payloads.
    bytes: usize,
    /// Of the commands, those that need no flush.
    buffered: usize,
    /// Somebody commits, and looks at the queue again before he does anything else.
    committing: bool,
    /// So many flush, and look at the queue again afterwards.
    flushing: usize,
    background_work: BackgroundWork,
}

impl State {
    /// Whether it would be good to commit now. During a flush, what needs one as well waits for the next, which is then
    /// for all of it; what needs none does not wait.
    const fn may_commit(&self) -> bool {
        !self.committing && (self.flushing == 0 || self.buffered > 0)
    }
}

/// The queue between those who hand something over and whoever writes it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    first: Condvar,
    second: Condvar,
}

/// Which of the two writing threads: the second only commits what needs no flush while there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterThread {
    Primary,
    Secondary,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command, or says why not. With `announce`, the writing thread is told at once; else whoever waits for the
    /// answer writes it, or tells the thread.
    pub(super) fn push(&self, command: Command, announce: bool) -> Result<(), StoreError> {
        let limit = if matches!(command, Command::Live { .. } | Command::SaveFold { .. }) {
            QUEUED_LIVE_MAX
        } else {
            QUEUED_COMMANDS_MAX
        };
        let bytes = command.bytes();
        let mut state = self.lock();
        let waiting = state.commands.len();
        if state.closed {
            return Err(StoreError::Stopped);
        }
        if waiting >= limit || (waiting > 0 && state.bytes + bytes > QUEUED_BYTES_MAX) {
            return Err(StoreError::Overloaded { waiting });
        }
        state.buffered += usize::from(command.durability() == Durability::Buffered);
        state.bytes += bytes;
        state.commands.push_back(command);
        // Otherwise whoever is busy finds it by himself.
        if state.may_commit() && (announce || waiting >= WAITING_UNANNOUNCED_MAX) {
            self.tell(state);
        }
        Ok(())
    }

    /// Tells the writing thread that something waits.
    pub(super) fn announce(&self) {
        self.look_again(self.lock());
    }

    /// Makes the caller the one who commits. False if it should not now: whoever is busy looks at the queue afterwards.
    pub(super) fn begin_commit(&self) -> bool {
        let mut state = self.lock();
        let may = state.may_commit() && !state.commands.is_empty();
        state.committing |= may;
        may
    }

    /// The caller commits no more; it flushes now if `flush`.
    pub(super) fn end_commit(&self, flush: bool) {
        let mut state = self.lock();
        state.committing = false;
        state.flushing += usize::from(flush);
        self.look_again(state);
    }

    fn look_again(&self, state: MutexGuard<'_, State>) {
        if state.closed {
            self.notify_both();
        } else if !state.commands.is_empty() && state.may_commit() {
            self.tell(state);
        }
    }

    /// The caller has flushed. If something waits by now, a writing thread goes on with it, unless the caller does.
    pub(super) fn end_flush(&self) {
        let mut state = self.lock();
        state.flushing -= 1;
        self.look_again(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let news = !std::mem::replace(&mut state.announced, true);
        let thread = if state.flushing > 0 { &self.second } else { &self.first };
        drop(state);
        if news {
            thread.notify_one();
        }
    }

    /// What may share the next commit.
    pub(super) fn take(&self) -> Vec<Command> {
        let mut state = self.lock();
        let count = state.commands.len().min(COMMIT_COMMANDS_MAX);
        let taken: Vec<Command> = state.commands.drain(..count).collect();
        let buffered = taken.iter().filter(|command| command.durability() == Durability::Buffered);
        state.buffered -= buffered.count();
        state.bytes -= taken.iter().map(Command::bytes).sum::<usize>();
        taken
    }

    /// Whether there is time for what nobody waits for: nothing is to be written, and nobody waits for the end.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.commands.is_empty() && !state.closed
    }

    /// Asks for upkeep, if more is not asked for already.
    pub(super) fn schedule(&self, background_work: BackgroundWork) {
        let mut state = self.lock();
        let is_news = match (background_work, state.background_work) {
            (BackgroundWork::Later(new), BackgroundWork::Later(old)) => new != old,
            (new, old) => new > old,
        };
        if is_news {
            state.background_work = background_work;
            drop(state);
            self.first.notify_one();
        }
    }

    /// Nothing more will be handed over.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.notify_both();
    }

    fn notify_both(&self) {
        self.first.notify_one();
        self.second.notify_one();
    }

    /// Waits until a writing thread has something to do. The first one is woken for upkeep too.
    pub(super) fn wait(&self, thread: WriterThread) -> Wake {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.announced) {
                return Wake::Commands;
            }
            if state.closed && state.commands.is_empty() {
                return Wake::Closed;
            }
            if state.closed && state.may_commit() {
                return Wake::Commands;
            }
            let (changed, due) = match thread {
                WriterThread::Primary => (&self.first, state.background_work.due_in()),
                WriterThread::Secondary => (&self.second, None),
            };
            let Some(due) = due else {
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let asked = state.background_work;
            let (woken, waited) = changed.wait_timeout(state, due).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.background_work == asked && !state.announced {
                state.background_work = BackgroundWork::None;
                return Wake::BackgroundWork(asked);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::{Kind, Payload, Scope};

    use super::*;
    use crate::contract::{Authority, TopicAppend};

    /// An append of about half a MiB.
    fn append() -> Command {
        let payload = Payload::encode(&"x".repeat(60_000)).unwrap();
        let event = NewEvent { kind: Kind::new("noted"), scope: Scope::Run, payload, trace: None };
        let append = TopicAppend::new("a".parse().unwrap(), Authority::Exclusive, vec![event; 9]);
        Command::Append { batch: Batch::of(append), reply: oneshot::channel().0 }
    }

    #[test]
    fn what_waits_is_bounded_by_its_bytes_and_one_command_is_always_taken() {
        let queue = Queue::default();
        let size = append().bytes();
        for _ in 0..QUEUED_BYTES_MAX / size {
            queue.push(append(), false).unwrap();
        }
        let refused = queue.push(append(), false);
        assert!(
            matches!(refused, Err(StoreError::Overloaded { waiting }) if waiting == QUEUED_BYTES_MAX / size)
        );
        assert_eq!(queue.take().len(), QUEUED_BYTES_MAX / size);
        queue.push(append(), false).unwrap();
        assert_eq!(queue.lock().bytes, size, "what was taken waits no more");
    }
}
