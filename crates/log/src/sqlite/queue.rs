//! What waits to be written, and when the writing thread has to wake up for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_model::event::ClaimReason;
use backstay_model::{Epoch, OwnerId, Topic};
use tokio::sync::oneshot;

use crate::contract::{Batch, Claimed, Durability, NewEvent, OwnerIdentity, SubmitResult};
use crate::error::{ClaimError, StoreError};

/// Commands that may share one commit.
pub(super) const GROUP_MAX: usize = 1_024;
/// Commands that may wait to be written; another one is refused.
const WAITING_MAX: usize = 16_384;
/// Live events are dropped when this much waits.
const WAITING_LIVE_MAX: usize = 1_024;
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
    Append { batch: Batch, reply: oneshot::Sender<SubmitResult> },
    Live { topic: Topic, event: NewEvent },
    Claim { request: ClaimRequest, reply: oneshot::Sender<ClaimAnswer> },
    Renew { identity: OwnerIdentity, reply: oneshot::Sender<Result<(), StoreError>> },
}

impl Command {
    /// How durable it has to be before it is answered.
    pub(super) const fn durability(&self) -> Durability {
        match self {
            Command::Append { batch, .. } => batch.durability,
            Command::Claim { .. } => Durability::Synced,
            Command::Live { .. } | Command::Renew { .. } => Durability::Buffered,
        }
    }

    /// Answers that it could not be done.
    pub(super) fn refuse(self, error: &StoreError) {
        let heard = match self {
            Command::Append { reply, .. } => reply.send(Err(error.clone().into())).is_ok(),
            Command::Claim { reply, .. } => reply.send(ClaimAnswer::Refused(error.clone().into())).is_ok(),
            Command::Renew { reply, .. } => reply.send(Err(error.clone())).is_ok(),
            Command::Live { topic, .. } => {
                tracing::debug!(%topic, %error, "a live event was dropped");
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
pub(super) enum Upkeep {
    #[default]
    None,
    /// Index entries wait; they are written when nobody has written for this long.
    Index,
    /// A ring of the bell was held back.
    Bell,
}

impl Upkeep {
    const fn due_in(self) -> Option<Duration> {
        match self {
            Upkeep::None => None,
            Upkeep::Index => Some(Duration::from_millis(100)),
            Upkeep::Bell => Some(super::bell::RING_EVERY),
        }
    }
}

/// Why the writing thread is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Commands,
    Upkeep(Upkeep),
    Closed,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<Command>,
    announced: bool,
    closed: bool,
    /// Somebody commits or flushes, and looks at the queue again afterwards.
    busy: bool,
    upkeep: Upkeep,
}

/// The queue between those who hand something over and whoever writes it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command, or says why not. With `announce`, the writing thread is told at once; else whoever waits for the
    /// answer writes it, or tells the thread.
    pub(super) fn push(&self, command: Command, announce: bool) -> Result<(), StoreError> {
        let limit = if matches!(command, Command::Live { .. }) { WAITING_LIVE_MAX } else { WAITING_MAX };
        let mut state = self.lock();
        let waiting = state.commands.len();
        if state.closed {
            return Err(StoreError::Stopped);
        }
        if waiting >= limit {
            return Err(StoreError::Overloaded { waiting });
        }
        state.commands.push_back(command);
        // Whoever is busy finds it by himself.
        if !state.busy && (announce || waiting >= WAITING_UNANNOUNCED_MAX) {
            self.tell(state);
        }
        Ok(())
    }

    /// Tells the writing thread that something waits.
    pub(super) fn announce(&self) {
        let state = self.lock();
        if !state.commands.is_empty() && !state.busy {
            self.tell(state);
        }
    }

    /// Makes the caller the one who commits. False if somebody else is.
    pub(super) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.lock().busy, true)
    }

    /// The caller commits no more. If something waits by now, the writing thread goes on.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.busy = false;
        if !state.commands.is_empty() {
            self.tell(state);
        }
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let news = !std::mem::replace(&mut state.announced, true);
        drop(state);
        if news {
            self.changed.notify_one();
        }
    }

    /// What may share the next commit.
    pub(super) fn take(&self) -> Vec<Command> {
        let mut state = self.lock();
        let count = state.commands.len().min(GROUP_MAX);
        state.commands.drain(..count).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().commands.is_empty()
    }

    /// Asks for upkeep, if more is not asked for already.
    pub(super) fn look_after(&self, upkeep: Upkeep) {
        let mut state = self.lock();
        if upkeep > state.upkeep {
            state.upkeep = upkeep;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Nothing more will be handed over.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until the writing thread has something to do.
    pub(super) fn wait(&self) -> Wake {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.announced) {
                return Wake::Commands;
            }
            if state.closed {
                return if state.commands.is_empty() { Wake::Closed } else { Wake::Commands };
            }
            let Some(due) = state.upkeep.due_in() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let asked = state.upkeep;
            let (woken, waited) =
                self.changed.wait_timeout(state, due).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.upkeep == asked && !state.announced {
                state.upkeep = Upkeep::None;
                return Wake::Upkeep(asked);
            }
        }
    }
}
