//! What one process writes with: its connection, its locks, its bell. Used by one thread at a time.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use backstay_model::Position;
use tokio::sync::watch;

use super::bell::Bell;
use super::checkpoint::Checkpointer;
use super::commit::{Committer, Failed};
use super::flush::{Request, WalFlush};
use super::group::{Group, Written};
use super::lock::Turnstile;
use super::patience::Patience;
use super::queue::{ClaimAnswer, Command, Queue, Upkeep};
use crate::clock::{Clock, SystemClock};
use crate::contract::{Durability, SubmitResult};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::rings::Rings;
use crate::ticket::Answer;

/// Pieces of what is gone that a process frees before it ends.
const SWEEPS_AT_CLOSE: u32 = 64;

/// The writing end of the store.
#[derive(Debug)]
pub(super) struct Core {
    committer: Committer,
    turnstile: Turnstile,
    clock: Arc<dyn Clock>,
    real: SystemClock,
    bell: Bell,
    newest: watch::Sender<Position>,
    rings: Arc<Rings>,
    checkpointer: Checkpointer,
    poisoned: bool,
    patience: Patience,
}

/// What to say to whoever sent a command.
#[derive(Debug)]
enum Reply {
    Append(SubmitResult),
    Claim(ClaimAnswer),
    Done,
}

/// An answer that waits for a flush.
#[derive(Debug)]
pub(super) struct Owed {
    command: Command,
    reply: Reply,
    request: Request,
}

impl Owed {
    /// Answers once the flush is done.
    pub(super) fn settle(owed: Vec<Owed>, flush: &WalFlush) {
        let Some(request) = owed.iter().map(|owed| owed.request).max() else { return };
        match flush.wait(request) {
            Ok(()) => owed.into_iter().for_each(|owed| owed.reply.send(owed.command)),
            Err(()) => {
                let error = StoreError::Poisoned { path: flush.path().to_owned() };
                owed.into_iter().for_each(|owed| owed.command.refuse(&error));
            }
        }
    }
}

impl Core {
    pub(super) fn new(
        committer: Committer,
        turnstile: Turnstile,
        clock: Arc<dyn Clock>,
        bell: File,
        newest: watch::Sender<Position>,
        rings: Arc<Rings>,
        checkpointer: Checkpointer,
    ) -> Core {
        let bell = Bell::new(bell);
        let real = SystemClock::default();
        let (poisoned, patience) = (false, Patience::default());
        Core { committer, turnstile, clock, real, bell, newest, rings, checkpointer, poisoned, patience }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.committer.path()
    }

    /// Writes and commits a group, and answers those who asked for no more. The others are owed a flush.
    pub(super) fn commit(&mut self, group: Vec<Command>, flush: &WalFlush, owed: &mut Vec<Owed>) {
        crash_point("log.append.before");
        let mut replies = Vec::with_capacity(group.len());
        let written = if self.poisoned || flush.has_failed() {
            Err(StoreError::Poisoned { path: self.path().to_owned() })
        } else {
            self.write(&group, &mut replies, false)
        };
        if let Err(error) = written {
            group.into_iter().for_each(|command| command.refuse(&error));
            return;
        }
        crash_point("log.append.after_commit");
        self.tell();
        let mut request = None;
        for (command, reply) in group.into_iter().zip(replies) {
            if reply.needs_flush(&command) {
                let request = *request.get_or_insert_with(|| flush.ask(self.committer.newest()));
                owed.push(Owed { command, reply, request });
            } else {
                reply.send(command);
            }
        }
    }

    /// Tells this process and the others how far the log is.
    fn tell(&mut self) {
        let newest = self.committer.newest();
        self.newest.send_if_modified(|seen| {
            let newer = newest > *seen;
            *seen = newest.max(*seen);
            newer
        });
        self.bell.ring(self.uptime());
    }

    /// Writes and commits a group in this process's turn. The answers say what to reply once this returned.
    fn write(&mut self, group: &[Command], answers: &mut Vec<Reply>, idle: bool) -> Result<(), StoreError> {
        if self.checkpointer.has_failed() {
            return Err(StoreError::Poisoned { path: self.path().to_owned() });
        }
        let turn = self.turnstile.enter()?;
        let written = transact(&mut self.committer, group, self.clock.as_ref(), answers, idle);
        let written = match written {
            Ok(written) => written,
            Err(failed) => {
                self.poisoned |= failed.is_failed_flush();
                self.committer.roll_back();
                let path = self.committer.path().to_owned();
                return Err(failed.into_error(&path));
            }
        };
        self.checkpointer.after_commit(&self.committer.connection);
        drop(turn);
        written.publish(&self.rings);
        Ok(())
    }

    /// What has to be looked after when nobody asks for anything.
    pub(super) fn upkeep(&self) -> Upkeep {
        if self.bell.is_held_back() {
            Upkeep::Bell
        } else if self.has_chores() && !self.poisoned {
            self.patience.left(self.uptime()).map_or(Upkeep::Index, Upkeep::Later)
        } else {
            Upkeep::None
        }
    }

    /// Rings for what was held back.
    pub(super) fn ring(&mut self) {
        self.bell.ring_held_back(self.uptime());
    }

    fn has_chores(&self) -> bool {
        self.committer.sweeps || self.committer.packs || self.committer.tail.lock().count() > 0
    }

    /// Writes all of the index that waits, then frees what is gone, then packs, until somebody wants to append or to end.
    pub(super) fn do_chores(&mut self, queue: &Queue) {
        while queue.is_idle() && self.has_chores() {
            if let Err(error) = self.write(&[], &mut Vec::new(), true) {
                let now = self.uptime();
                if self.patience.failed(chain(&error), now) {
                    let again_in = self.patience.left(now);
                    let error = chain(&error);
                    tracing::warn!(error, ?again_in, "{}", self.committer.chore.undone());
                }
                return;
            }
            self.patience.succeeded();
        }
    }

    fn uptime(&self) -> Duration {
        crate::clock::Clock::monotonic(&self.real)
    }

    /// Writes all of the index that waits, and frees a little of what is gone: the rest is for whoever stays.
    fn end_chores(&mut self) {
        let mut pieces = SWEEPS_AT_CLOSE;
        while self.committer.tail.lock().count() > 0 || (self.committer.sweeps && pieces > 0) {
            pieces -= u32::from(self.committer.tail.lock().count() == 0);
            if let Err(error) = self.write(&[], &mut Vec::new(), true) {
                tracing::debug!(%error, "the store is not left in order; the next to open it does that");
                return;
            }
        }
    }

    /// Leaves the store in order.
    pub(super) fn close(&mut self) {
        self.ring();
        if !self.poisoned {
            self.end_chores();
            self.checkpointer.at_close(&self.committer.connection);
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn transact<'g>(
    committer: &mut Committer,
    commands: &'g [Command],
    clock: &dyn Clock,
    replies: &mut Vec<Reply>,
    idle: bool,
) -> Result<Written<'g>, Failed> {
    let mut group = Group::begin(committer)?;
    for command in commands {
        let now = clock.now();
        let reply = match command {
            Command::Append { batch, .. } => Reply::Append(group.append(batch, now)?),
            Command::Claim { request, .. } => Reply::Claim(group.claim(request, clock)?),
            Command::Live { topic, event } => {
                group.live(topic, event, now)?;
                Reply::Done
            }
            Command::KeepFold { topic, kept } => {
                group.committer.keep_fold(topic, kept)?;
                Reply::Done
            }
            Command::Renew { identity, .. } => {
                group.renew(identity, now)?;
                Reply::Done
            }
        };
        replies.push(reply);
    }
    group.commit(idle.then(|| clock.now()))
}

impl Reply {
    /// Whether the answer has to wait until what was committed is on the disk. A repeated append does too: the first
    /// one may have died between its commit and its flush. A refusal says nothing that could be lost.
    fn needs_flush(&self, command: &Command) -> bool {
        let refused = matches!(self, Reply::Append(Err(_)) | Reply::Claim(ClaimAnswer::Refused(_)));
        !refused && command.durability() == Durability::Synced
    }

    fn send(self, command: Command) {
        let heard = match (self, command) {
            (Reply::Append(result), Command::Append { reply, batch }) => {
                reply.send(Answer { result, spent: Some(batch) }).is_ok()
            }
            (Reply::Claim(answer), Command::Claim { reply, .. }) => reply.send(answer).is_ok(),
            (Reply::Done, Command::Renew { reply, .. }) => reply.send(Ok(())).is_ok(),
            _ => true,
        };
        if !heard {
            tracing::trace!("nobody waits for the answer any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::placed::Placed;
    use super::super::{bell, schema};
    use super::*;
    use crate::contract::{Afterwards, Authority, Batch, Log, NewEvent, Part};
    use crate::{OpenOptions, SqliteLog};
    use backstay_model::{Kind, Payload, Scope};
    use std::path::Path;

    /// A store with so many topics that have ended, and what writes to it, which packs them at once.
    fn ended(folder: &Path, topics: usize) -> Core {
        let log = SqliteLog::open(folder, OpenOptions::default()).unwrap();
        let payload = Payload::encode(&"much the same").unwrap();
        let event = NewEvent { kind: Kind::new("noted"), scope: Scope::root(), payload, trace: None };
        for index in 0..topics {
            let topic = format!("t{index}").parse().unwrap();
            let part = Part::new(topic, Authority::Own, vec![event.clone(); 20]);
            log.submit(Batch::of(Part { afterwards: Afterwards::Closed, ..part })).wait().unwrap();
        }
        drop(log);
        let path = folder.join("log.db");
        let (mut connection, placed) = Placed::connect(&path, schema::connect_writer).unwrap();
        let checkpointer = Checkpointer::start(&mut connection, &path).unwrap();
        let committer = Committer::new(connection, placed, Arc::default(), 1_024, Duration::ZERO);
        let root = backstay_files::Dir::open_found(folder).unwrap();
        let turnstile = Turnstile::open(&root).unwrap();
        let bell = bell::open(&root).unwrap();
        let newest = watch::Sender::new(Position(0));
        let clock = Arc::new(SystemClock::default());
        let mut core = Core::new(committer, turnstile, clock, bell, newest, Arc::default(), checkpointer);
        core.write(&[], &mut Vec::new(), false).unwrap();
        assert!(core.has_chores());
        core
    }

    fn packed(core: &Core) -> i64 {
        let count = "SELECT count(*) FROM packed";
        core.committer.connection.query_row(count, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn whoever_ends_leaves_what_is_to_be_packed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut core = ended(folder.path(), 3);
        let queue = Queue::default();
        queue.close();
        core.do_chores(&queue);
        core.close();
        assert_eq!(packed(&core), 0);
        core.do_chores(&Queue::default());
        assert_eq!(packed(&core), 3);
    }

    #[test]
    fn a_chore_that_failed_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut core = ended(folder.path(), 1);
        core.committer.connection.execute_batch("DROP TABLE packed").unwrap();
        core.do_chores(&Queue::default());
        assert!(matches!(core.upkeep(), Upkeep::Later(_)));
        assert_eq!(core.committer.chore.undone(), "what has ended was not packed");
    }
}
