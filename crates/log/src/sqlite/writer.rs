//! The one thread of a process that writes. What waits together shares a commit.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;

use backstay_model::event::{ClaimReason, Event, OwnerChanged};
use backstay_model::{Epoch, OwnerId, Position, Scope, Topic};
use tokio::sync::{oneshot, watch};

use super::bell::Bell;
use super::commit::{Committer, Failed};
use super::fault;
use super::lock::Turnstile;
use crate::clock::{Clock, SystemClock};
use crate::contract::{Authority, Batch, Claimed, Durability, NewEvent, OwnerIdentity, Part, SubmitResult};
use crate::crash::crash_point;
use crate::error::{ClaimError, StoreError};

/// Commands that may share one commit.
const GROUP_MAX: usize = 1_024;
/// Batches that may wait to be written; another one is refused.
const WAITING_MAX: usize = 16_384;
/// Live events are dropped when this much waits.
const WAITING_LIVE_MAX: usize = 1_024;

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
pub(super) enum ClaimAnswer {
    Granted(Box<Claimed>),
    /// The topic's owner is another one by now: look again.
    Changed,
    Refused(ClaimError),
}

/// What the writer is asked for.
pub(super) enum Command {
    Append { batch: Batch, reply: oneshot::Sender<SubmitResult> },
    Live { topic: Topic, event: NewEvent },
    Claim { request: ClaimRequest, reply: oneshot::Sender<ClaimAnswer> },
    Renew { identity: OwnerIdentity, reply: oneshot::Sender<Result<(), StoreError>> },
}

/// The handle on the writing thread. Dropping it lets the thread finish what waits, and waits for that.
#[derive(Debug)]
pub(super) struct Writer {
    commands: Option<mpsc::Sender<Command>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        committer: Committer,
        turnstile: Turnstile,
        clock: Arc<dyn Clock>,
        bell: File,
        newest: watch::Sender<Position>,
    ) -> Result<Writer, StoreError> {
        let (commands, inbox) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let path = committer.path().to_owned();
        let mut writing = Writing {
            committer,
            turnstile,
            clock,
            real: SystemClock::default(),
            bell: Bell::new(bell),
            newest,
            waiting: waiting.clone(),
            poisoned: false,
        };
        let thread = std::thread::Builder::new()
            .name("backstay-writer".to_owned())
            .spawn(move || writing.run(&inbox))
            .map_err(|source| fault::io("start a thread for", &path, source))?;
        Ok(Writer { commands: Some(commands), waiting, thread: Some(thread) })
    }

    /// Hands a command over, or says why it cannot be taken.
    pub(super) fn send(&self, command: Command) -> Result<(), StoreError> {
        let limit = if matches!(command, Command::Live { .. }) { WAITING_LIVE_MAX } else { WAITING_MAX };
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = match &self.commands {
            _ if waiting >= limit => Err(StoreError::Overloaded { waiting }),
            None => Err(StoreError::Stopped),
            Some(commands) => commands.send(command).map_err(|_thread_gone| StoreError::Stopped),
        };
        if sent.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the writing thread panicked");
        }
    }
}

struct Writing {
    committer: Committer,
    turnstile: Turnstile,
    clock: Arc<dyn Clock>,
    real: SystemClock,
    bell: Bell,
    newest: watch::Sender<Position>,
    waiting: Arc<AtomicUsize>,
    poisoned: bool,
}

impl Writing {
    fn run(&mut self, inbox: &mpsc::Receiver<Command>) {
        while let Some(first) = self.next(inbox) {
            let mut group = vec![first];
            while group.len() < GROUP_MAX {
                match inbox.try_recv() {
                    Ok(command) => group.push(command),
                    Err(_nothing_waits) => break,
                }
            }
            self.waiting.fetch_sub(group.len(), Ordering::Relaxed);
            self.commit(group);
        }
        self.bell.ring_held_back(self.real.monotonic());
    }

    fn next(&mut self, inbox: &mpsc::Receiver<Command>) -> Option<Command> {
        if let Some(due) = self.bell.due_in() {
            match inbox.recv_timeout(due) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.bell.ring_held_back(self.real.monotonic()),
            }
        }
        inbox.recv().ok()
    }

    fn commit(&mut self, group: Vec<Command>) {
        crash_point("log.append.before");
        if self.poisoned {
            let error = StoreError::Poisoned { path: self.committer.path().to_owned() };
            group.into_iter().for_each(|command| refuse(command, &error));
            return;
        }
        let before = self.committer.newest();
        let mut answers = Vec::with_capacity(group.len());
        let written = self.write(&group, &mut answers);
        match written {
            Ok(newest) => {
                crash_point("log.append.after_commit");
                if newest > before {
                    self.newest.send_if_modified(|seen| {
                        let newer = newest > *seen;
                        *seen = newest.max(*seen);
                        newer
                    });
                    self.bell.ring(self.real.monotonic());
                }
                for (command, answer) in group.into_iter().zip(answers) {
                    answer.send(command);
                }
            }
            Err(error) => group.into_iter().for_each(|command| refuse(command, &error)),
        }
    }

    /// Writes and commits a group in this process's turn. The answers say what to reply once this returned.
    fn write(&mut self, group: &[Command], answers: &mut Vec<Reply>) -> Result<Position, StoreError> {
        let _turn = self.turnstile.enter()?;
        let written = transact(&mut self.committer, group, self.clock.as_ref(), answers);
        match written {
            Ok(()) => Ok(self.committer.newest()),
            Err(failed) => {
                self.poisoned = failed.is_failed_flush();
                self.committer.roll_back();
                let path = self.committer.path().to_owned();
                Err(failed.into_error(&path))
            }
        }
    }
}

/// What to say to whoever sent a command.
enum Reply {
    Append(SubmitResult),
    Claim(ClaimAnswer),
    Done,
}

impl Reply {
    fn send(self, command: Command) {
        let heard = match (self, command) {
            (Reply::Append(result), Command::Append { reply, .. }) => reply.send(result).is_ok(),
            (Reply::Claim(answer), Command::Claim { reply, .. }) => reply.send(answer).is_ok(),
            (Reply::Done, Command::Renew { reply, .. }) => reply.send(Ok(())).is_ok(),
            _ => true,
        };
        if !heard {
            tracing::trace!("nobody waits for the answer any more");
        }
    }
}

fn refuse(command: Command, error: &StoreError) {
    let heard = match command {
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

fn durability(group: &[Command]) -> Durability {
    let of = |command: &Command| match command {
        Command::Append { batch, .. } => batch.durability,
        Command::Claim { .. } => Durability::Synced,
        Command::Live { .. } | Command::Renew { .. } => Durability::Buffered,
    };
    group.iter().map(of).max().unwrap_or(Durability::Synced)
}

fn transact(
    committer: &mut Committer,
    group: &[Command],
    clock: &dyn Clock,
    replies: &mut Vec<Reply>,
) -> Result<(), Failed> {
    let durability = durability(group);
    committer.begin(durability)?;
    for command in group {
        let now = clock.now();
        let reply = match command {
            Command::Append { batch, .. } => Reply::Append(committer.append(batch, now)?),
            Command::Claim { request, .. } => Reply::Claim(claim(committer, request, clock)?),
            Command::Live { topic, event } => {
                committer.live(topic, event, now)?;
                Reply::Done
            }
            Command::Renew { identity, .. } => {
                committer.renew(identity, now)?;
                Reply::Done
            }
        };
        replies.push(reply);
    }
    let repeated = |reply: &Reply| matches!(reply, Reply::Append(Ok(appended)) if appended.repeated);
    if durability == Durability::Synced && replies.iter().any(repeated) {
        // The first append may have died between its commit and its flush; what is acknowledged again must be flushed.
        committer.touch()?;
    }
    crash_point("log.append.before_commit");
    committer.commit()
}

fn claim(
    committer: &mut Committer,
    request: &ClaimRequest,
    clock: &dyn Clock,
) -> Result<ClaimAnswer, Failed> {
    let ClaimRequest { topic, claimer, owner, epoch, reason } = request;
    if !committer.is_registered(claimer.owner)? {
        return Ok(ClaimAnswer::Refused(ClaimError::NotRegistered(claimer.owner)));
    }
    let state = committer.state(topic)?;
    if state.closed {
        return Ok(ClaimAnswer::Refused(ClaimError::Closed { topic: topic.clone() }));
    }
    if state.owner != *owner || state.epoch != *epoch {
        return Ok(ClaimAnswer::Changed);
    }
    let changed = OwnerChanged {
        owner: claimer.owner,
        epoch: epoch.next(),
        host: claimer.host.clone(),
        pid: claimer.pid,
        reason: *reason,
        previous: *owner,
    };
    let event = Event::OwnerChanged(changed.clone());
    let payload = event.encode().map_err(|invalid| Failed::Corrupt(invalid.to_string()))?;
    let new = NewEvent { kind: event.kind(), scope: Scope::Run, payload, trace: None };
    let part = Part::new(topic.clone(), Authority::Own, vec![new]);
    let appended = committer.own(&part, changed.owner, changed.epoch, clock.now())?;
    let claimed = Claimed { epoch: changed.epoch, head: appended.last, reason: *reason, event: changed };
    Ok(ClaimAnswer::Granted(Box::new(claimed)))
}
