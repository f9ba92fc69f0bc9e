//! Reading: a few threads with a connection each. A read never waits for a writer, and a read transaction lasts for one page.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use backstay_model::{LogId, Position, Seq, Topic};
use rusqlite::{Connection, Transaction};
use tokio::sync::{Semaphore, oneshot};

use super::database_file::DatabaseFile;
use super::pending_index::PendingIndex;
use super::schema::NEWEST;
use super::snapshot::Snapshot;
use super::sql::unsigned;
use super::{error_map, page, positions};
use crate::contract::{Direction, LogFuture};
use crate::cursor::{Cursor, CursorError};
use crate::error::{ReadError, StoreError};
use crate::limits::{IDLE_READERS_MAX, QUEUED_READS_MAX};
use crate::subscribe::{LivePage, Source};
use crate::ticket::may_block;

/// Threads that read.
const READERS: usize = 3;

type Job = Box<dyn FnOnce() + Send>;

/// The reading threads, and the connections that they share with callers that may block.
#[derive(Debug)]
pub(super) struct Readers {
    id: LogId,
    pool: Arc<Pool>,
    jobs: mpsc::SyncSender<Job>,
    /// One permit for each job that may be in the queue or at work.
    slots: Arc<Semaphore>,
}

/// Connections that no reader uses.
#[derive(Debug)]
struct Pool {
    database_file: DatabaseFile,
    pending_index: Arc<PendingIndex>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Starts the threads.
    pub(super) fn start(
        id: LogId,
        database_file: DatabaseFile,
        pending_index: Arc<PendingIndex>,
    ) -> Result<Readers, StoreError> {
        let (jobs, inbox) = mpsc::sync_channel::<Job>(QUEUED_READS_MAX);
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..READERS {
            let inbox = inbox.clone();
            std::thread::Builder::new()
                .name("backstay-reader".to_owned())
                .spawn(move || serve(&inbox))
                .map_err(|source| error_map::io("start a thread for", database_file.path(), source))?;
        }
        let pool = Pool { database_file, pending_index, idle: Mutex::default() };
        let slots = Arc::new(Semaphore::new(QUEUED_READS_MAX));
        Ok(Readers { id, pool: Arc::new(pool), jobs, slots })
    }

    /// Runs `read` in one read transaction, on a reading thread or on the caller's if it may block. If entries have moved into the
    /// index meanwhile, `read` runs again in another transaction.
    pub(super) fn run<T: Send + 'static>(
        &self,
        read: impl Fn(&Snapshot<'_>) -> Result<T, ReadFailure> + Send + 'static,
    ) -> LogFuture<'static, Result<T, ReadError>> {
        let (pool, jobs, slots) = (self.pool.clone(), self.jobs.clone(), self.slots.clone());
        Box::pin(async move {
            if may_block() {
                return pool.read(&read);
            }
            // The queue has room for as many jobs as there are slots, so that handing one over never blocks.
            let Ok(slot) = slots.acquire_owned().await else { return Err(StoreError::Stopped.into()) };
            let (reply, answer) = oneshot::channel();
            let job: Job = Box::new(move || {
                if reply.send(pool.read(&read)).is_err() {
                    tracing::trace!("the caller of a read has stopped waiting");
                }
                drop(slot);
            });
            if jobs.send(job).is_err() {
                return Err(StoreError::Stopped.into());
            }
            match answer.await {
                Ok(found) => found,
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: &impl Fn(&Snapshot<'_>) -> Result<T, ReadFailure>) -> Result<T, ReadError> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.database_file.connect_reader()?,
        };
        let found = loop {
            match transact(&mut connection, &self.pending_index, read) {
                Ok(found) => break Ok(found),
                Err(ReadFailure::IndexMovedOn) => {}
                Err(failed) => break Err(failed.into_error(self.database_file.path())),
            }
        };
        let mut idle = self.idle();
        if idle.len() < IDLE_READERS_MAX {
            idle.push(connection);
        }
        drop(idle);
        found
    }
}

fn transact<T>(
    connection: &mut Connection,
    pending_index: &PendingIndex,
    read: &impl Fn(&Snapshot<'_>) -> Result<T, ReadFailure>,
) -> Result<T, ReadFailure> {
    let transaction: Transaction<'_> = connection.transaction()?;
    read(&Snapshot { connection: &transaction, pending_index })
}

/// The reason why a read failed.
#[derive(Debug)]
pub(super) enum ReadFailure {
    Sqlite(rusqlite::Error),
    Read(ReadError),
    Corrupt(String),
    /// Entries have moved into the index after the transaction began: another transaction is needed.
    IndexMovedOn,
}

impl From<rusqlite::Error> for ReadFailure {
    fn from(source: rusqlite::Error) -> ReadFailure {
        ReadFailure::Sqlite(source)
    }
}

impl From<CursorError> for ReadFailure {
    fn from(error: CursorError) -> ReadFailure {
        ReadFailure::Read(error.into())
    }
}

impl From<StoreError> for ReadFailure {
    fn from(error: StoreError) -> ReadFailure {
        ReadFailure::Read(error.into())
    }
}

impl ReadFailure {
    fn into_error(self, path: &Path) -> ReadError {
        match self {
            ReadFailure::Sqlite(source) => error_map::sqlite("read", path, source).into(),
            ReadFailure::Read(error) => error,
            ReadFailure::Corrupt(what) => StoreError::Corrupt { location: path.into(), what }.into(),
            // `run` begins again instead.
            ReadFailure::IndexMovedOn => StoreError::Stopped.into(),
        }
    }
}

fn serve(inbox: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job();
    }
}

/// Returns the newest position of the log.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection.prepare_cached(NEWEST)?.query_row((), |row| unsigned(row, 0)).map(Position)
}

impl Source for Readers {
    fn resolve(&self, cursor: &Cursor) -> LogFuture<'static, Result<Seq, ReadError>> {
        if let Err(error) = cursor.check(self.id, cursor.topic()) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let cursor = cursor.clone();
        self.run(move |snapshot| positions::resolve(snapshot, &cursor))
    }

    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> LogFuture<'static, Result<LivePage, ReadError>> {
        let topic = topic.clone();
        self.run(move |snapshot| {
            let newest = newest(snapshot.connection)?;
            let page = page::page(snapshot, &topic, seq, Direction::Forward, limit)?;
            let live = page::live(snapshot, &topic, seq, g, limit)?;
            Ok(LivePage { page, live, newest })
        })
    }
}
