//! The queue of commands, and when a writing thread wakes up for it.

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

/// Background tasks begin when no command came for this time.
const IDLE_AFTER: Duration = Duration::from_millis(100);
/// With more queued commands than this, a writing thread begins even if no caller waits for an answer yet.
const WAITING_UNANNOUNCED_MAX: usize = 64;

/// A claim with the owner and epoch that the claimer read. It is granted only while they are current.
#[derive(Clone, Debug)]
pub(super) struct ClaimRequest {
    pub(super) topic: Topic,
    pub(super) claimer: OwnerIdentity,
    pub(super) owner: Option<OwnerId>,
    pub(super) epoch: Epoch,
    pub(super) reason: ClaimReason,
}

/// The answer to a claim.
#[derive(Debug)]
pub(super) enum ClaimAnswer {
    Granted(Box<Claimed>),
    /// The topic's owner or epoch has changed: the claimer has to read them again.
    Changed,
    Refused(ClaimError),
}

/// A request to the writer.
#[derive(Debug)]
pub(super) enum Command {
    Append { batch: Batch, reply: oneshot::Sender<Ack> },
    Live { topic: Topic, event: NewEvent },
    SaveFold { topic: Topic, snapshot: FoldSnapshot },
    Claim { request: ClaimRequest, reply: oneshot::Sender<ClaimAnswer> },
    Renew { identity: OwnerIdentity, reply: oneshot::Sender<Result<(), StoreError>> },
}

impl Command {
    /// Returns the durability that its answer waits for.
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

    /// Answers it with an error.
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
                tracing::debug!(%topic, %error, "a snapshot of a fold was not written");
                true
            }
        };
        if !heard {
            tracing::debug!(%error, "a write failed, and its caller has stopped waiting");
        }
    }
}

/// Work of the writing thread that no command requests. The greatest one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BackgroundWork {
    #[default]
    None,
    /// A background task failed; it is not tried again for this long.
    Later(Duration),
    /// A background task is due once no command came for [`IDLE_AFTER`].
    Index,
    /// A wakeup was deferred.
    Wakeup,
}

impl BackgroundWork {
    const fn due_in(self) -> Option<Duration> {
        match self {
            BackgroundWork::None => None,
            BackgroundWork::Later(left) => Some(left),
            BackgroundWork::Index => Some(IDLE_AFTER),
            BackgroundWork::Wakeup => Some(super::wakeup::NOTIFY_INTERVAL),
        }
    }
}

/// Why a writing thread wakes up.
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
    /// Number of commands that need no flush.
    buffered: usize,
    /// A thread commits; it looks at the queue again when it has finished.
    committing: bool,
    /// Number of threads that flush; each looks at the queue again afterwards.
    flushing: usize,
    background_work: BackgroundWork,
}

impl State {
    /// Returns whether a commit should begin now. During a flush, commands that need one wait, so that the next flush is for all
    /// of them; commands that need none do not wait.
    const fn may_commit(&self) -> bool {
        !self.committing && (self.flushing == 0 || self.buffered > 0)
    }
}

/// The queue between the callers and the writing threads.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    first: Condvar,
    second: Condvar,
}

/// One of the two writing threads. The secondary one only commits commands that need no flush, during a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterThread {
    Primary,
    Secondary,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command. With `announce` a writing thread is woken at once; otherwise the caller that waits for the answer writes it
    /// or wakes the thread.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] if the queue is full, [`StoreError::Stopped`] if it is closed.
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
        // A thread that commits or flushes looks at the queue by itself.
        if state.may_commit() && (announce || waiting >= WAITING_UNANNOUNCED_MAX) {
            self.tell(state);
        }
        Ok(())
    }

    /// Wakes a writing thread if commands wait.
    pub(super) fn announce(&self) {
        self.look_again(self.lock());
    }

    /// Makes the caller the committing thread; returns false if another thread is, or nothing should be committed now.
    pub(super) fn begin_commit(&self) -> bool {
        let mut state = self.lock();
        let may = state.may_commit() && !state.commands.is_empty();
        state.committing |= may;
        may
    }

    /// Ends the caller's commit; with `flush` it begins to flush.
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

    /// Ends the caller's flush, and wakes a writing thread if commands wait.
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

    /// Removes the commands of the next commit from the queue.
    pub(super) fn take(&self) -> Vec<Command> {
        let mut state = self.lock();
        let count = state.commands.len().min(COMMIT_COMMANDS_MAX);
        let taken: Vec<Command> = state.commands.drain(..count).collect();
        let buffered = taken.iter().filter(|command| command.durability() == Durability::Buffered);
        state.buffered -= buffered.count();
        state.bytes -= taken.iter().map(Command::bytes).sum::<usize>();
        taken
    }

    /// Returns whether there is time for background tasks: no command waits, and the queue is not closed.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.commands.is_empty() && !state.closed
    }

    /// Schedules background work, unless more urgent work is scheduled.
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

    /// Closes the queue: it takes no more commands.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.notify_both();
    }

    fn notify_both(&self) {
        self.first.notify_one();
        self.second.notify_one();
    }

    /// Waits until the thread has something to do. Only the primary one does background work.
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
        let event = NewEvent { kind: Kind::new("noted"), scope: Scope::root(), payload, trace: None };
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
