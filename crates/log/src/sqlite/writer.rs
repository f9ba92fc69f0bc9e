//! Writing: by the caller that waits for an answer, if no other thread writes, or else by a thread for it.
//!
//! Commands that wait together share a commit, and the committing thread goes on until none waits, so no caller is woken only to
//! write. The flush to the disk follows when all locks are free again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use backstay_model::Position;

use super::error_map;
use super::flush::WalFlush;
use super::queue::{BackgroundWork, Command, Queue, Wake, WriterThread};
use super::writer_core::{PendingAck, WriterCore};
use crate::error::StoreError;
use crate::ticket::CommitDriver;

/// Rounds that a caller does: the one with its own batch. A writing thread does the rest.
const ROUNDS_OF_A_CALLER: usize = 1;
/// Commits that share one flush: commands that arrive during a commit get into the next one of the round.
const GROUPS_OF_A_ROUND: usize = 4;

/// The handle on the writing threads. Dropping it waits until every queued command is written.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// The answer to every command, if the store was opened for reading only.
    refusal: Option<StoreError>,
    threads: Vec<JoinHandle<()>>,
}

/// The state that callers and threads share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Queue,
    core: Mutex<WriterCore>,
    flush: WalFlush,
    groups: AtomicU64,
}

impl Writer {
    /// Starts the threads. With a `refusal` no command is taken.
    pub(super) fn start(
        core: WriterCore,
        flush: WalFlush,
        refusal: Option<StoreError>,
    ) -> Result<Writer, StoreError> {
        let path = core.path().to_owned();
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            core: Mutex::new(core),
            flush,
            groups: AtomicU64::new(0),
        });
        let threads = [WriterThread::Primary, WriterThread::Secondary].into_iter().map(|thread| {
            let theirs = shared.clone();
            std::thread::Builder::new().name("backstay-writer".to_owned()).spawn(move || theirs.run(thread))
        });
        let threads = threads
            .collect::<Result<_, _>>()
            .map_err(|source| error_map::io("start a thread for", &path, source))?;
        Ok(Writer { shared, refusal, threads })
    }

    /// Fails if the store was opened for reading only.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// Queues a command for a writing thread.
    pub(super) fn send(&self, command: Command) -> Result<(), StoreError> {
        self.check()?;
        self.shared.queue.push(command, true)
    }

    /// Returns once every commit up to `position` is on the disk.
    pub(super) fn flush_until(&self, position: Position) -> Result<(), StoreError> {
        let flush = &self.shared.flush;
        flush.wait_until(position).map_err(|()| StoreError::Poisoned { location: flush.path().into() })
    }

    /// Queues a command whose answer the caller waits for. If the caller is an async worker, a thread writes it.
    pub(super) fn hand_over(&self, command: Command) -> Result<Arc<dyn CommitDriver>, StoreError> {
        self.check()?;
        let announce = crate::ticket::on_async_worker();
        self.shared.queue.push(command, announce)?;
        Ok(self.shared.clone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a writing thread panicked");
            }
        }
        self.shared.schedule(WriterCore::close);
    }
}

impl CommitDriver for Shared {
    fn commit_inline(&self) {
        self.write(ROUNDS_OF_A_CALLER);
    }

    fn wake_writer(&self) {
        self.queue.announce();
    }
}

impl Shared {
    /// Writes queued commands unless another thread does, which then looks at the queue again. Returns after `rounds` rounds (some
    /// commits and one flush), or once the queue is empty.
    fn write(&self, rounds: usize) {
        for _ in 0..rounds {
            if !self.queue.begin_commit() {
                return;
            }
            let mut pending_acks = Vec::new();
            let mut committing = Busy::committing(&self.queue);
            for _ in 0..GROUPS_OF_A_ROUND {
                let group = self.queue.take();
                if group.is_empty() {
                    break;
                }
                self.commit(group, &mut pending_acks);
            }
            committing.then_flush(!pending_acks.is_empty());
            PendingAck::resolve(pending_acks, &self.flush);
        }
    }

    fn commit(&self, group: Vec<Command>, pending_acks: &mut Vec<PendingAck>) {
        let Ok(mut core) = self.core.lock() else {
            // A commit panicked: the cache may be wrong.
            group.into_iter().for_each(|command| command.refuse(&StoreError::Stopped));
            return;
        };
        core.commit(group, &self.flush, pending_acks);
        let background_work = core.background_work();
        drop(core);
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.queue.schedule(background_work);
    }

    fn run(&self, thread: WriterThread) {
        let mut groups = 0;
        loop {
            match self.queue.wait(thread) {
                Wake::Commands => self.write(usize::MAX),
                Wake::BackgroundWork(BackgroundWork::Wakeup) => {
                    self.schedule(WriterCore::send_deferred_wakeup)
                }
                Wake::BackgroundWork(
                    BackgroundWork::Index | BackgroundWork::Later(_) | BackgroundWork::None,
                ) => {
                    let now = self.groups.load(Ordering::Relaxed);
                    if std::mem::replace(&mut groups, now) == now {
                        self.schedule(|core| core.run_background_tasks(&self.queue));
                    } else {
                        self.queue.schedule(BackgroundWork::Index);
                    }
                }
                Wake::Closed => return,
            }
        }
    }

    fn schedule(&self, work: impl FnOnce(&mut WriterCore)) {
        if let Ok(mut core) = self.core.lock() {
            work(&mut core);
            let background_work = core.background_work();
            drop(core);
            self.queue.schedule(background_work);
        }
    }
}

/// The caller's commit or flush. Dropping it tells the queue that it has ended.
struct Busy<'q> {
    queue: &'q Queue,
    doing: Doing,
}

#[derive(Clone, Copy)]
enum Doing {
    Committing,
    Flushing,
    Nothing,
}

impl<'q> Busy<'q> {
    const fn committing(queue: &'q Queue) -> Busy<'q> {
        Busy { queue, doing: Doing::Committing }
    }

    /// The commits have ended.
    fn then_flush(&mut self, flush: bool) {
        self.doing = if flush { Doing::Flushing } else { Doing::Nothing };
        self.queue.end_commit(flush);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        match self.doing {
            Doing::Committing => self.queue.end_commit(false),
            Doing::Flushing => self.queue.end_flush(),
            Doing::Nothing => {}
        }
    }
}
