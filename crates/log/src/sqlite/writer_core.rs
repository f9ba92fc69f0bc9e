//! The writer of one process: connection, locks and wakeups. One thread uses it at a time.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use backstay_model::Position;
use tokio::sync::watch;

use super::backoff::Backoff;
use super::checkpoint::Checkpointer;
use super::commit::{CommitFailure, Committer};
use super::flush::{Request, WalFlush};
use super::group::{Group, Written};
use super::lock::WriterLock;
use super::queue::{BackgroundWork, ClaimAnswer, Command, Queue};
use super::wakeup::WakeupSender;
use crate::clock::{Clock, SystemClock};
use crate::contract::{Durability, SubmitResult};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::fanout::Fanout;
use crate::ticket::Ack;

/// Steps of freeing trimmed rows that a process does before it ends.
const SWEEPS_AT_CLOSE: u32 = 64;

/// The writer of one process.
#[derive(Debug)]
pub(super) struct WriterCore {
    committer: Committer,
    writer_lock: WriterLock,
    clock: Arc<dyn Clock>,
    real: SystemClock,
    wakeup: WakeupSender,
    newest: watch::Sender<Position>,
    fanout: Arc<Fanout>,
    checkpointer: Checkpointer,
    poisoned: bool,
    backoff: Backoff,
}

/// The answer to a command.
#[derive(Debug)]
enum Reply {
    Append(SubmitResult),
    Claim(ClaimAnswer),
    Done,
}

/// An acknowledgement that waits for a flush.
#[derive(Debug)]
pub(super) struct PendingAck {
    command: Command,
    reply: Reply,
    request: Request,
}

impl PendingAck {
    /// Sends the acknowledgements once the flush has ended.
    pub(super) fn resolve(pending_acks: Vec<PendingAck>, flush: &WalFlush) {
        let Some(request) = pending_acks.iter().map(|pending_acks| pending_acks.request).max() else {
            return;
        };
        match flush.wait(request) {
            Ok(()) => pending_acks
                .into_iter()
                .for_each(|pending_acks| pending_acks.reply.send(pending_acks.command)),
            Err(()) => {
                let error = StoreError::Poisoned { location: flush.path().into() };
                pending_acks.into_iter().for_each(|pending_acks| pending_acks.command.refuse(&error));
            }
        }
    }
}

impl WriterCore {
    pub(super) fn new(
        committer: Committer,
        writer_lock: WriterLock,
        clock: Arc<dyn Clock>,
        wakeup: File,
        newest: watch::Sender<Position>,
        fanout: Arc<Fanout>,
        checkpointer: Checkpointer,
    ) -> WriterCore {
        let wakeup = WakeupSender::new(wakeup);
        let real = SystemClock::default();
        let (poisoned, backoff) = (false, Backoff::default());
        WriterCore {
            committer,
            writer_lock,
            clock,
            real,
            wakeup,
            newest,
            fanout,
            checkpointer,
            poisoned,
            backoff,
        }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.committer.path()
    }

    /// Writes and commits a group, and answers the commands that need no flush. The others are added to `pending_acks`.
    pub(super) fn commit(
        &mut self,
        group: Vec<Command>,
        flush: &WalFlush,
        pending_acks: &mut Vec<PendingAck>,
    ) {
        crash_point("log.append.before");
        let mut replies = Vec::with_capacity(group.len());
        let written = if self.poisoned || flush.has_failed() {
            Err(StoreError::Poisoned { location: self.path().into() })
        } else {
            self.write(&group, &mut replies, false)
        };
        if let Err(error) = written {
            group.into_iter().for_each(|command| command.refuse(&error));
            return;
        }
        crash_point("log.append.after_commit");
        self.notify_all();
        let mut request = None;
        for (command, reply) in group.into_iter().zip(replies) {
            if reply.needs_flush(&command) {
                let request = *request.get_or_insert_with(|| flush.ask(self.committer.newest()));
                pending_acks.push(PendingAck { command, reply, request });
            } else {
                reply.send(command);
            }
        }
    }

    /// Notifies the subscribers of this process and of the others.
    fn notify_all(&mut self) {
        let newest = self.committer.newest();
        self.newest.send_if_modified(|seen| {
            let newer = newest > *seen;
            *seen = newest.max(*seen);
            newer
        });
        self.wakeup.notify(self.uptime());
    }

    /// Writes and commits a group under the writer lock. `answers` gets one answer for each command.
    fn write(&mut self, group: &[Command], answers: &mut Vec<Reply>, idle: bool) -> Result<(), StoreError> {
        if self.checkpointer.has_failed() {
            return Err(StoreError::Poisoned { location: self.path().into() });
        }
        let turn = self.writer_lock.enter()?;
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
        written.publish(&self.fanout);
        Ok(())
    }

    /// Returns the background work that is due.
    pub(super) fn background_work(&self) -> BackgroundWork {
        if self.wakeup.has_deferred() {
            BackgroundWork::Wakeup
        } else if self.has_background_tasks() && !self.poisoned {
            self.backoff.remaining(self.uptime()).map_or(BackgroundWork::Index, BackgroundWork::Later)
        } else {
            BackgroundWork::None
        }
    }

    /// Sends the deferred wakeup.
    pub(super) fn send_deferred_wakeup(&mut self) {
        self.wakeup.notify_deferred(self.uptime());
    }

    fn has_background_tasks(&self) -> bool {
        self.committer.sweeps || self.committer.packs || self.committer.pending_index.lock().count() > 0
    }

    /// Does background tasks until a command comes or the queue is closed: index entries, then trimmed rows, then packing.
    pub(super) fn run_background_tasks(&mut self, queue: &Queue) {
        while queue.is_idle() && self.has_background_tasks() {
            if let Err(error) = self.write(&[], &mut Vec::new(), true) {
                let now = self.uptime();
                if self.backoff.failed(chain(&error), now) {
                    let again_in = self.backoff.remaining(now);
                    let error = chain(&error);
                    tracing::warn!(error, ?again_in, "{}", self.committer.task.failure());
                }
                return;
            }
            self.backoff.succeeded();
        }
    }

    fn uptime(&self) -> Duration {
        crate::clock::Clock::monotonic(&self.real)
    }

    /// Writes all pending index entries and frees some trimmed rows; other processes free the rest.
    fn finish_background_tasks(&mut self) {
        let mut pieces = SWEEPS_AT_CLOSE;
        while self.committer.pending_index.lock().count() > 0 || (self.committer.sweeps && pieces > 0) {
            pieces -= u32::from(self.committer.pending_index.lock().count() == 0);
            if let Err(error) = self.write(&[], &mut Vec::new(), true) {
                tracing::debug!(%error, "background tasks are left for the next process");
                return;
            }
        }
    }

    /// Finishes the writer's work before the process closes the store.
    pub(super) fn close(&mut self) {
        self.send_deferred_wakeup();
        if !self.poisoned {
            self.finish_background_tasks();
            self.checkpointer.at_close(&self.committer.connection);
        }
    }
}

/// Returns the text of an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn transact<'g>(
    committer: &mut Committer,
    commands: &'g [Command],
    clock: &dyn Clock,
    replies: &mut Vec<Reply>,
    idle: bool,
) -> Result<Written<'g>, CommitFailure> {
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
            Command::SaveFold { topic, snapshot } => {
                group.committer.save_fold(topic, snapshot)?;
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
    /// Returns whether the answer has to wait for a flush. A repeated append does too, because the process of the first one may have
    /// died between its commit and its flush. A refusal promises nothing.
    fn needs_flush(&self, command: &Command) -> bool {
        let refused = matches!(self, Reply::Append(Err(_)) | Reply::Claim(ClaimAnswer::Refused(_)));
        !refused && command.durability() == Durability::Synced
    }

    fn send(self, command: Command) {
        let heard = match (self, command) {
            (Reply::Append(result), Command::Append { reply, batch }) => {
                reply.send(Ack { result, spent: Some(batch) }).is_ok()
            }
            (Reply::Claim(answer), Command::Claim { reply, .. }) => reply.send(answer).is_ok(),
            (Reply::Done, Command::Renew { reply, .. }) => reply.send(Ok(())).is_ok(),
            _ => true,
        };
        if !heard {
            tracing::trace!("the caller of a command has stopped waiting");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::database_file::DatabaseFile;
    use super::super::{schema, wakeup};
    use super::*;
    use crate::contract::{Authority, Batch, LogWriter, NewEvent, TopicAppend, TopicTransition};
    use crate::{OpenOptions, SqliteLog};
    use backstay_model::{Kind, Payload, Scope};
    use std::path::Path;

    /// Returns the writer of a store with `topics` topics that ended, which packs them at once.
    fn ended(folder: &Path, topics: usize) -> WriterCore {
        let log = SqliteLog::open(folder, OpenOptions::default()).unwrap();
        let payload = Payload::encode(&"much the same").unwrap();
        let event = NewEvent { kind: Kind::new("noted"), scope: Scope::root(), payload, trace: None };
        for index in 0..topics {
            let topic = format!("t{index}").parse().unwrap();
            let append = TopicAppend::new(topic, Authority::Exclusive, vec![event.clone(); 20]);
            log.submit(Batch::of(TopicAppend { transition: TopicTransition::Closed, ..append }))
                .wait()
                .unwrap();
        }
        drop(log);
        let path = folder.join("log.db");
        let (mut connection, database_file) = DatabaseFile::connect(&path, schema::connect_writer).unwrap();
        let checkpointer = Checkpointer::start(&mut connection, &path).unwrap();
        let committer = Committer::new(connection, database_file, Arc::default(), 1_024, Duration::ZERO);
        let root = backstay_files::Dir::open_found(folder).unwrap();
        let writer_lock = WriterLock::open(&root).unwrap();
        let wakeup = wakeup::open(&root).unwrap();
        let newest = watch::Sender::new(Position(0));
        let clock = Arc::new(SystemClock::default());
        let mut core =
            WriterCore::new(committer, writer_lock, clock, wakeup, newest, Arc::default(), checkpointer);
        core.write(&[], &mut Vec::new(), false).unwrap();
        assert!(core.has_background_tasks());
        core
    }

    fn packed(core: &WriterCore) -> i64 {
        let count = "SELECT count(*) FROM packed";
        core.committer.connection.query_row(count, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn whoever_ends_leaves_what_is_to_be_packed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut core = ended(folder.path(), 3);
        let queue = Queue::default();
        queue.close();
        core.run_background_tasks(&queue);
        core.close();
        assert_eq!(packed(&core), 0);
        core.run_background_tasks(&Queue::default());
        assert_eq!(packed(&core), 3);
    }

    #[test]
    fn a_chore_that_failed_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut core = ended(folder.path(), 1);
        core.committer.connection.execute_batch("DROP TABLE packed").unwrap();
        core.run_background_tasks(&Queue::default());
        assert!(matches!(core.background_work(), BackgroundWork::Later(_)));
        assert_eq!(core.committer.task.failure(), "what has ended was not packed");
    }
}
