//! The log over a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use backstay_model::{LogId, Position, Recorded, Seq, Topic};
use tokio::sync::{oneshot, watch};

use super::claim::Claim;
use super::follower::Follower;
use super::lock::LockFile;
use super::open_databases::OpenDatabase;
use super::owners::{OwnerLocks, SqliteGuard};
use super::queue::Command;
use super::readers::Readers;
use super::writer::Writer;
use super::{error_map, fold_cache, incarnation, lists, page, positions};
use crate::admission::{check_batch, check_event};
use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::contract::{
    Batch, ClaimMode, Claimed, Direction, EntryKind, EntryRow, EventFilter, FoldCache, FoldSnapshot,
    Incarnation, IndexState, LogFuture, LogIndex, LogMaintenance, LogOwnership, LogReader, LogWriter,
    NewEvent, OwnerGuard, OwnerIdentity, Page, TopicFilter, TopicRow,
};
use crate::cursor::Cursor;
use crate::error::{ClaimError, OpenError, ReadError, StoreError};
use crate::fanout::Fanout;
use crate::subscribe::Subscription;
use crate::ticket::Ticket;

/// A log in a folder, shared by any number of processes of one machine. Clones are handles on the same open store.
///
/// Dropping the last handle waits until every submitted batch is written.
#[derive(Clone, Debug)]
pub struct SqliteLog(Arc<Inner>);

/// The open store of one process. Fields are dropped in order: the writer first, the store's lock last.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: LogId,
    pub(super) folder: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) writer: Writer,
    pub(super) follower: OnceLock<Option<Follower>>,
    pub(super) readers: Arc<Readers>,
    pub(super) newest: watch::Sender<Position>,
    pub(super) fanout: Arc<Fanout>,
    pub(super) owners: OwnerLocks,
    pub(super) blobs: BlobStore,
    pub(super) _store_lock: LockFile,
    /// Dropped last: from then on this process may open the file in other ways.
    pub(super) _open_here: OpenDatabase,
}

impl Inner {
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) const fn owners(&self) -> &OwnerLocks {
        &self.owners
    }

    pub(super) const fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Returns a receiver of the newest position, which the commits of other processes raise too.
    fn wake(&self) -> watch::Receiver<Position> {
        let follower = self.follower.get_or_init(|| match Follower::start(&self.folder, &self.newest, &self.fanout) {
            Ok(follower) => Some(follower),
            Err(error) => {
                tracing::error!(%error, "appends of other processes are noticed only with the next own append");
                None
            }
        });
        tracing::trace!(following = follower.is_some(), "a new follower of the log");
        self.newest.subscribe()
    }
}

impl SqliteLog {
    pub(super) fn new(inner: Inner) -> SqliteLog {
        SqliteLog(Arc::new(inner))
    }

    /// The store's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Returns the newest position that this process knows of.
    #[must_use]
    pub fn newest(&self) -> Position {
        *self.0.newest.borrow()
    }

    /// Returns the same once everything up to it is on the disk. Flushes only if that was not done yet. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] if it cannot be flushed.
    pub fn durable_position(&self) -> Result<Position, StoreError> {
        let newest = self.newest();
        self.0.writer.flush_until(newest)?;
        Ok(newest)
    }

    /// The blobs that belong to this log.
    #[must_use]
    pub fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> LogFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

/// Runs `work` on a thread of its own, where it may wait for other processes.
fn on_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&oneshot::Sender<T>) -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, StoreError> {
    let (reply, answer) = oneshot::channel();
    std::thread::Builder::new()
        .name("backstay-claim".to_owned())
        .spawn(move || {
            let result = work(&reply);
            if reply.send(result).is_err() {
                tracing::debug!("the caller of a claim has stopped waiting");
            }
        })
        .map_err(|source| error_map::io("start a thread for", path, source))?;
    Ok(answer)
}

impl LogWriter for SqliteLog {
    fn submit(&self, batch: Batch) -> Ticket {
        if let Err(refused) = check_batch(&batch) {
            return Ticket::ready(Err(refused));
        }
        let (reply, ticket) = Ticket::pair();
        match self.0.writer.hand_over(Command::Append { batch, reply }) {
            Ok(drive) => ticket.driven_by(drive),
            Err(error) => Ticket::ready(Err(error.into())),
        }
    }

    fn submit_live(&self, topic: Topic, event: NewEvent) {
        if let Err(refused) = check_event(&event) {
            tracing::debug!(%topic, %refused, "a live event was dropped");
            return;
        }
        if let Err(error) = self.0.writer.send(Command::Live { topic, event }) {
            tracing::debug!(%error, "a live event was dropped");
        }
    }
}

impl LogReader for SqliteLog {
    fn id(&self) -> LogId {
        self.0.id
    }

    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> LogFuture<'_, Result<Page, ReadError>> {
        let topic = topic.clone();
        self.0.readers.run(move |snapshot| page::page(snapshot, &topic, at, direction, limit))
    }

    fn read_matching(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
        filter: &EventFilter,
    ) -> LogFuture<'_, Result<Page, ReadError>> {
        let (topic, filter) = (topic.clone(), filter.clone());
        self.0.readers.run(move |snapshot| page::matching(snapshot, &topic, at, direction, limit, &filter))
    }

    fn head(&self, topic: &Topic) -> LogFuture<'_, Result<Seq, ReadError>> {
        let topic = topic.clone();
        self.0.readers.run(move |snapshot| positions::head(snapshot, &topic))
    }

    fn read_all(&self, after: Position, limit: usize) -> LogFuture<'_, Result<Vec<Recorded>, ReadError>> {
        self.0.readers.run(move |snapshot| page::read_all(snapshot, after, limit))
    }

    fn changed(&self, after: Position) -> LogFuture<'_, Position> {
        let mut newest = self.0.wake();
        Box::pin(async move {
            match newest.wait_for(|newest| *newest > after).await {
                Ok(newest) => *newest,
                // The sender lives in this log, which the caller holds.
                Err(_closed) => after,
            }
        })
    }

    fn cursor(&self, topic: &Topic, seq: Seq) -> LogFuture<'_, Result<Cursor, ReadError>> {
        let (id, topic) = (self.0.id, topic.clone());
        self.0.readers.run(move |snapshot| positions::cursor(snapshot, id, &topic, seq))
    }

    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> LogFuture<'_, Result<Seq, ReadError>> {
        if let Err(error) = cursor.check(self.0.id, topic) {
            return ready(Err(error.into()));
        }
        let cursor = cursor.clone();
        self.0.readers.run(move |snapshot| positions::resolve(snapshot, &cursor))
    }

    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError> {
        after.check(self.0.id, topic)?;
        let source = self.0.readers.clone();
        let made = Subscription::new(source, self.0.id, topic.clone(), Ok(after.clone()), self.0.wake());
        Ok(made.with_ring(self.0.fanout.ring(topic)))
    }

    fn follow(&self, topic: &Topic, after: Seq) -> Subscription {
        let source = self.0.readers.clone();
        let made = Subscription::new(source, self.0.id, topic.clone(), Err(after), self.0.wake());
        made.with_ring(self.0.fanout.ring(topic))
    }
}

impl LogOwnership for SqliteLog {
    fn register_owner(
        &self,
        identity: OwnerIdentity,
    ) -> LogFuture<'_, Result<Box<dyn OwnerGuard>, OpenError>> {
        let inner = Arc::downgrade(&self.0);
        let registered = on_thread(&self.0.folder, move |_| SqliteGuard::register(&inner, identity));
        Box::pin(async move {
            match registered?.await {
                Ok(guard) => Ok(Box::new(guard?) as Box<dyn OwnerGuard>),
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }

    fn claim<'a>(
        &'a self,
        topic: &Topic,
        guard: &'a dyn OwnerGuard,
        mode: ClaimMode,
    ) -> LogFuture<'a, Result<Claimed, ClaimError>> {
        let claimer = guard.identity().clone();
        if guard.is_lost() {
            return ready(Err(ClaimError::NotRegistered(claimer.owner)));
        }
        let claim = Claim { inner: self.0.clone(), topic: topic.clone(), claimer, mode };
        let claimed = on_thread(&self.0.folder, move |reply| claim.run(reply));
        Box::pin(async move {
            match claimed?.await {
                Ok(claimed) => claimed,
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }
}

impl LogIndex for SqliteLog {
    fn topics(&self, filter: TopicFilter) -> LogFuture<'_, Result<Vec<TopicRow>, ReadError>> {
        let owners = self.0.owners.clone();
        self.0.readers.run(move |snapshot| lists::topics(snapshot, &owners, &filter))
    }

    fn topic(&self, topic: &Topic) -> LogFuture<'_, Result<Option<TopicRow>, ReadError>> {
        let (owners, topic) = (self.0.owners.clone(), topic.clone());
        self.0.readers.run(move |snapshot| lists::topic(snapshot, &owners, &topic))
    }

    fn entries(
        &self,
        kind: &EntryKind,
        state: Option<&IndexState>,
    ) -> LogFuture<'_, Result<Vec<EntryRow>, ReadError>> {
        let (kind, state) = (kind.clone(), state.cloned());
        self.0.readers.run(move |snapshot| lists::entries(snapshot, &kind, state.as_ref()))
    }
}

impl FoldCache for SqliteLog {
    fn save_fold(&self, topic: &Topic, snapshot: FoldSnapshot) {
        if let Err(error) = self.0.writer.send(Command::SaveFold { topic: topic.clone(), snapshot }) {
            tracing::debug!(%error, "a snapshot of a fold was not written");
        }
    }

    fn load_fold(
        &self,
        topic: &Topic,
        fold: &str,
        version: u32,
    ) -> LogFuture<'_, Result<Option<FoldSnapshot>, ReadError>> {
        if self.0.writer.check().is_err() {
            return ready(Ok(None));
        }
        let (topic, fold) = (topic.clone(), fold.to_owned());
        self.0.readers.run(move |snapshot| fold_cache::find(snapshot, &topic, &fold, version))
    }
}

impl LogMaintenance for SqliteLog {
    fn incarnation(&self) -> LogFuture<'_, Result<Incarnation, ReadError>> {
        self.0.readers.run(|snapshot| incarnation::current(snapshot.connection))
    }

    fn durable_position(&self) -> LogFuture<'_, Result<Position, StoreError>> {
        let log = self.clone();
        let flushed = on_thread(&self.0.folder, move |_| SqliteLog::durable_position(&log));
        Box::pin(async move { flushed?.await.unwrap_or(Err(StoreError::Stopped)) })
    }
}
