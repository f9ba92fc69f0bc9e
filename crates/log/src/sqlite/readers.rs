//! The reading end: a few threads with a connection each. A read never waits for a writer, and a read transaction lives
//! for one page.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use backstay_model::{LogId, Position, Seq, Topic};
use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::schema::{NEWEST, connect_reader};
use super::snapshot::Snapshot;
use super::sql::unsigned;
use super::tail::Tail;
use super::{fault, page, places};
use crate::contract::{Direction, Pending};
use crate::cursor::{Cursor, CursorError};
use crate::error::{ReadError, StoreError};
use crate::subscribe::{LivePage, Source};

/// Threads that read.
const READERS: usize = 3;

type Job = Box<dyn FnOnce(Result<&mut Connection, StoreError>) + Send>;

/// The threads that read.
#[derive(Debug)]
pub(super) struct Readers {
    id: LogId,
    path: PathBuf,
    tail: Arc<Tail>,
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Starts the threads. Each opens its connection with its first job.
    pub(super) fn start(id: LogId, path: &Path, tail: Arc<Tail>) -> Result<Readers, StoreError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..READERS {
            let (inbox, path) = (inbox.clone(), path.to_owned());
            std::thread::Builder::new()
                .name("backstay-reader".to_owned())
                .spawn({
                    let path = path.clone();
                    move || serve(&inbox, &path)
                })
                .map_err(|source| fault::io("start a thread for", &path, source))?;
        }
        Ok(Readers { id, path: path.to_owned(), tail, jobs })
    }

    /// Runs `read` in one read transaction on one of the threads; in another one if the index moved on meanwhile.
    pub(super) fn run<T: Send + 'static>(
        &self,
        read: impl Fn(&Snapshot<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Pending<'static, Result<T, ReadError>> {
        let (reply, answer) = oneshot::channel();
        let (path, tail) = (self.path.clone(), self.tail.clone());
        let job: Job = Box::new(move |connection| {
            let found = connection.map_err(ReadError::from).and_then(|connection| {
                loop {
                    match transact(connection, &tail, &read) {
                        Ok(found) => break Ok(found),
                        Err(Failed::IndexMovedOn) => {}
                        Err(failed) => break Err(failed.into_error(&path)),
                    }
                }
            });
            if reply.send(found).is_err() {
                tracing::trace!("a read for which nobody waits any more");
            }
        });
        if self.jobs.send(job).is_err() {
            return Box::pin(std::future::ready(Err(StoreError::Stopped.into())));
        }
        Box::pin(async move {
            match answer.await {
                Ok(found) => found,
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }
}

fn transact<T>(
    connection: &mut Connection,
    tail: &Tail,
    read: &impl Fn(&Snapshot<'_>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let transaction: Transaction<'_> = connection.transaction()?;
    read(&Snapshot { connection: &transaction, tail })
}

/// Why a read gave nothing.
#[derive(Debug)]
pub(super) enum Failed {
    Sqlite(rusqlite::Error),
    Read(ReadError),
    Corrupt(String),
    /// Entries went from memory into the index after the transaction began: it has to begin again.
    IndexMovedOn,
}

impl From<rusqlite::Error> for Failed {
    fn from(source: rusqlite::Error) -> Failed {
        Failed::Sqlite(source)
    }
}

impl From<CursorError> for Failed {
    fn from(error: CursorError) -> Failed {
        Failed::Read(error.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Read(error.into())
    }
}

impl Failed {
    fn into_error(self, path: &Path) -> ReadError {
        match self {
            Failed::Sqlite(source) => fault::sqlite("read", path, source).into(),
            Failed::Read(error) => error,
            Failed::Corrupt(what) => StoreError::Corrupt { path: path.to_owned(), what }.into(),
            // `run` begins again instead.
            Failed::IndexMovedOn => StoreError::Stopped.into(),
        }
    }
}

fn serve(inbox: &Mutex<mpsc::Receiver<Job>>, path: &Path) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let opened = match connection.as_mut() {
            Some(connection) => Ok(connection),
            None => connect_reader(path).map(|opened| connection.insert(opened)),
        };
        job(opened);
    }
}

/// The newest position of the log.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection.prepare_cached(NEWEST)?.query_row((), |row| unsigned(row, 0)).map(Position)
}

impl Source for Readers {
    fn resolve(&self, cursor: &Cursor) -> Pending<'static, Result<Seq, ReadError>> {
        if let Err(error) = cursor.check(self.id, cursor.topic()) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let cursor = cursor.clone();
        self.run(move |snapshot| places::resolve(snapshot, &cursor))
    }

    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> Pending<'static, Result<LivePage, ReadError>> {
        let topic = topic.clone();
        self.run(move |snapshot| {
            let newest = newest(snapshot.connection)?;
            let page = page::page(snapshot, &topic, seq, Direction::Forward, limit)?;
            let live = page::live(snapshot, &topic, seq, g, limit)?;
            Ok(LivePage { page, live, newest })
        })
    }
}
