//! The log over a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use backstay_files::Dir;
use backstay_model::{Epoch, LogId, OwnerId, Payload, Position, Recorded, Seq, Timestamp, Topic};
use rusqlite::Row;
use tokio::sync::{oneshot, watch};

use super::bell::{self, Ear};
use super::claim::Claim;
use super::lock::LockFile;
use super::open_here::OpenHere;
use super::owners::{OwnerLocks, SqliteGuard};
use super::queue::Command;
use super::readers::{self, Failed, Readers};
use super::snapshot::Snapshot;
use super::sql::unsigned;
use super::writer::Writer;
use super::{fault, folds, page, places, schema};
use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::contract::{
    Batch, ClaimMode, Claimed, Direction, EntryIndex, EntryRow, EventFilter, KeptFold, Log, NewEvent,
    OwnerGuard, OwnerIdentity, OwnerView, Page, Pending, TopicFilter, TopicIndex, TopicRow,
};
use crate::cursor::Cursor;
use crate::error::{ClaimError, OpenError, ReadError, StoreError};
use crate::judge::{check_event, check_shape};
use crate::rings::Rings;
use crate::subscribe::Subscription;
use crate::ticket::Ticket;

/// A log in a folder, shared by any number of processes of one machine. Its clones are handles on the same open store.
///
/// The last handle waits until what was submitted is written.
#[derive(Clone, Debug)]
pub struct SqliteLog(Arc<Inner>);

/// What one process has open of a store. Fields are dropped in order: the writer first, the store's lock last.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: LogId,
    pub(super) folder: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) writer: Writer,
    pub(super) follower: OnceLock<Option<Follower>>,
    pub(super) readers: Arc<Readers>,
    pub(super) newest: watch::Sender<Position>,
    pub(super) rings: Arc<Rings>,
    pub(super) owners: OwnerLocks,
    pub(super) blobs: BlobStore,
    pub(super) _store_lock: LockFile,
    /// The last to go: after it, others may look at the file again.
    pub(super) _open_here: OpenHere,
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

    /// What follows the newest position, other processes' included.
    fn wake(&self) -> watch::Receiver<Position> {
        let follower = self.follower.get_or_init(|| match Follower::start(&self.folder, &self.newest, &self.rings) {
            Ok(follower) => Some(follower),
            Err(error) => {
                tracing::error!(%error, "what other processes append is only seen with the next own append");
                None
            }
        });
        tracing::trace!(following = follower.is_some(), "a new follower of the log");
        self.newest.subscribe()
    }
}

/// The thread that looks when another process rings the bell.
#[derive(Debug)]
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    ear: Arc<Ear>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(
        folder: &Path,
        newest: &watch::Sender<Position>,
        rings: &Arc<Rings>,
    ) -> Result<Follower, StoreError> {
        let root = Dir::open(folder).map_err(|source| fault::io("open the folder", folder, source))?;
        // It is there for whoever listens, also where nobody has rung it yet.
        bell::open(&root)?;
        let ear = Arc::new(Ear::open(&root)?);
        let database = folder.join("log.db");
        let connection = schema::connect_reader(&database)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, newest, rings) = (stop.clone(), newest.clone(), rings.clone());
        let listens = Arc::clone(&ear);
        let follow = move || {
            while !stopped.load(Ordering::SeqCst) {
                match readers::newest(&connection) {
                    Ok(found) => {
                        let newer = newest.send_if_modified(|seen| {
                            let newer = found > *seen;
                            *seen = found.max(*seen);
                            newer
                        });
                        if newer {
                            rings.tell_all(found);
                        }
                    }
                    // The next look, a second later at most, may do better; readers get their own errors.
                    Err(error) => tracing::warn!(%error, "the store could not be looked at"),
                }
                listens.listen();
            }
        };
        let thread = std::thread::Builder::new()
            .name("backstay-follower".to_owned())
            .spawn(follow)
            .map_err(|source| fault::io("start a thread for", folder, source))?;
        Ok(Follower { stop, ear, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.ear.interrupt();
        if let Some(thread) = self.thread.take() {
            if let Err(_panic) = thread.join() {
                tracing::error!("the following thread panicked");
            }
        }
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

    /// The newest position of the log that this process knows of.
    #[must_use]
    pub fn newest(&self) -> Position {
        *self.0.newest.borrow()
    }

    /// The same, once everything up to it is on the disk. Flushes only if this process has not done so since. Blocks.
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

fn ready<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(value))
}

/// Runs `work` on a thread of its own; it may wait for other processes.
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
                tracing::debug!("a claim for which nobody waits any more");
            }
        })
        .map_err(|source| fault::io("start a thread for", path, source))?;
    Ok(answer)
}

impl Log for SqliteLog {
    fn id(&self) -> LogId {
        self.0.id
    }

    fn submit(&self, batch: Batch) -> Ticket {
        if let Err(refused) = check_shape(&batch) {
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

    fn keep_fold(&self, topic: &Topic, kept: KeptFold) {
        if let Err(error) = self.0.writer.send(Command::KeepFold { topic: topic.clone(), kept }) {
            tracing::debug!(%error, "a fold was not kept");
        }
    }

    fn kept_fold(
        &self,
        topic: &Topic,
        fold: &str,
        version: u32,
    ) -> Pending<'_, Result<Option<KeptFold>, ReadError>> {
        if self.0.writer.check().is_err() {
            return ready(Ok(None));
        }
        let (topic, fold) = (topic.clone(), fold.to_owned());
        self.0.readers.run(move |snapshot| folds::find(snapshot, &topic, &fold, version))
    }

    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> Pending<'_, Result<Page, ReadError>> {
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
    ) -> Pending<'_, Result<Page, ReadError>> {
        let (topic, filter) = (topic.clone(), filter.clone());
        self.0.readers.run(move |snapshot| page::matching(snapshot, &topic, at, direction, limit, &filter))
    }

    fn read_all(&self, after: Position, limit: usize) -> Pending<'_, Result<Vec<Recorded>, ReadError>> {
        self.0.readers.run(move |snapshot| page::read_all(snapshot, after, limit))
    }

    fn head(&self, topic: &Topic) -> Pending<'_, Result<Seq, ReadError>> {
        let topic = topic.clone();
        self.0.readers.run(move |snapshot| places::head(snapshot, &topic))
    }

    fn cursor(&self, topic: &Topic, seq: Seq) -> Pending<'_, Result<Cursor, ReadError>> {
        let (id, topic) = (self.0.id, topic.clone());
        self.0.readers.run(move |snapshot| places::cursor(snapshot, id, &topic, seq))
    }

    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> Pending<'_, Result<Seq, ReadError>> {
        if let Err(error) = cursor.check(self.0.id, topic) {
            return ready(Err(error.into()));
        }
        let cursor = cursor.clone();
        self.0.readers.run(move |snapshot| places::resolve(snapshot, &cursor))
    }

    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError> {
        after.check(self.0.id, topic)?;
        let source = self.0.readers.clone();
        let made = Subscription::new(source, self.0.id, topic.clone(), Ok(after.clone()), self.0.wake());
        Ok(made.with_ring(self.0.rings.of(topic)))
    }

    fn follow(&self, topic: &Topic, after: Seq) -> Subscription {
        let source = self.0.readers.clone();
        let made = Subscription::new(source, self.0.id, topic.clone(), Err(after), self.0.wake());
        made.with_ring(self.0.rings.of(topic))
    }

    fn register_owner(&self, identity: OwnerIdentity) -> Pending<'_, Result<Box<dyn OwnerGuard>, OpenError>> {
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
        patient: bool,
    ) -> Pending<'a, Result<Claimed, ClaimError>> {
        let claimer = guard.identity().clone();
        let claim = Claim { inner: self.0.clone(), topic: topic.clone(), claimer, mode, patient };
        let claimed = on_thread(&self.0.folder, move |reply| claim.run(reply));
        Box::pin(async move {
            match claimed?.await {
                Ok(claimed) => claimed,
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }

    fn topics(&self, filter: TopicFilter) -> Pending<'_, Result<Vec<TopicRow>, ReadError>> {
        let owners = self.0.owners.clone();
        self.0.readers.run(move |snapshot| topics(snapshot, &owners, &filter))
    }

    fn topic(&self, topic: &Topic) -> Pending<'_, Result<Option<TopicRow>, ReadError>> {
        let (owners, topic) = (self.0.owners.clone(), topic.clone());
        self.0.readers.run(move |snapshot| {
            let sql = format!("{TOPIC} WHERE topic.name = ?1");
            let mut statement = snapshot.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([topic.as_str()])?;
            match rows.next()? {
                Some(row) => {
                    let found =
                        TopicRow { head: places::head(snapshot, &topic)?, ..topic_row(row, &owners)? };
                    Ok((!is_deleted(&found, row)?).then_some(found))
                }
                None => Ok(None),
            }
        })
    }

    fn entries(&self, kind: &str, state: Option<&str>) -> Pending<'_, Result<Vec<EntryRow>, ReadError>> {
        let (kind, state) = (kind.to_owned(), state.map(str::to_owned));
        self.0.readers.run(move |snapshot| entries(snapshot, &kind, state.as_deref()))
    }

    fn changed(&self, after: Position) -> Pending<'_, Position> {
        let mut newest = self.0.wake();
        Box::pin(async move {
            match newest.wait_for(|newest| *newest > after).await {
                Ok(newest) => *newest,
                // The sender lives in this log, which the caller holds.
                Err(_closed) => after,
            }
        })
    }
}

const TOPIC: &str = "SELECT topic.name, topic.floor, closed, epoch, owner, kind, state, labels, wake_at, summary, \
     (SELECT ifnull(max(seq), 0) FROM topic_event WHERE topic_id = topic.id), ifnull(host, ''), ifnull(pid, 0), topic.id \
     FROM topic LEFT JOIN owner ON owner.id = topic.owner";

fn topics(
    snapshot: &Snapshot<'_>,
    owners: &OwnerLocks,
    filter: &TopicFilter,
) -> Result<Vec<TopicRow>, Failed> {
    let sql = format!(
        "{TOPIC} WHERE (?1 IS NULL OR kind = ?1) AND (NOT ?2 OR NOT closed) AND (?3 IS NULL OR wake_at <= ?3) \
         ORDER BY topic.id DESC"
    );
    let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
    let heads = snapshot.heads()?;
    let mut statement = snapshot.connection.prepare_cached(&sql)?;
    let due_by = filter.due_by.map(Timestamp::as_micros);
    let mut rows = statement.query((&filter.kind, filter.open_only, due_by))?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let indexed = topic_row(row, owners)?;
        let head = heads.get(&row.get(13)?).copied().unwrap_or_default().max(indexed.head);
        let topic = TopicRow { head, ..indexed };
        if !is_deleted(&topic, row)? {
            found.push(topic);
        }
    }
    Ok(found)
}

/// A topic that was deleted leaves its name and its numbers, until something is said to it again.
fn is_deleted(topic: &TopicRow, row: &Row<'_>) -> Result<bool, Failed> {
    let floor = Seq(unsigned(row, 1)?);
    Ok(topic.index.is_none() && floor > Seq(0) && topic.head == floor)
}

fn corrupt(what: impl std::fmt::Display) -> Failed {
    Failed::Corrupt(format!("a topic's row: {what}"))
}

fn topic_row(row: &Row<'_>, owners: &OwnerLocks) -> Result<TopicRow, Failed> {
    let owner = match row.get::<_, Option<String>>(4)? {
        None => None,
        Some(id) => {
            let id: OwnerId = id.parse().map_err(|e: backstay_model::InvalidId| corrupt(e))?;
            let alive = owners.is_alive(id)?;
            let identity = OwnerIdentity { owner: id, host: row.get(11)?, pid: row.get(12)? };
            Some(OwnerView { identity, epoch: Epoch(unsigned(row, 3)?), alive })
        }
    };
    Ok(TopicRow {
        topic: row.get::<_, String>(0)?.parse().map_err(|e: backstay_model::InvalidTopic| corrupt(e))?,
        index: index_row(row)?,
        head: Seq(unsigned(row, 10)?.max(unsigned(row, 1)?)),
        closed: row.get(2)?,
        owner,
    })
}

fn index_row(row: &Row<'_>) -> Result<Option<TopicIndex>, Failed> {
    let Some(kind) = row.get::<_, Option<String>>(5)? else { return Ok(None) };
    let labels: String = row.get(7)?;
    Ok(Some(TopicIndex {
        kind,
        state: row.get(6)?,
        labels: serde_json::from_str(&labels).map_err(corrupt)?,
        wake_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        summary: Payload::from_text(row.get(9)?).map_err(corrupt)?,
    }))
}

fn entries(snapshot: &Snapshot<'_>, kind: &str, state: Option<&str>) -> Result<Vec<EntryRow>, Failed> {
    let mut statement = snapshot.connection.prepare_cached(
        "SELECT topic.name, entry.kind, entry.id, entry.state, due_at, entry.summary FROM entry \
         JOIN topic ON topic.id = entry.topic_id WHERE entry.kind = ?1 AND (?2 IS NULL OR entry.state = ?2) \
         ORDER BY entry.id, topic.name",
    )?;
    let mut rows = statement.query((kind, state))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = EntryIndex {
            kind: row.get(1)?,
            id: row.get(2)?,
            state: row.get(3)?,
            due_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
            summary: Payload::from_text(row.get(5)?).map_err(corrupt)?,
        };
        let topic = row.get::<_, String>(0)?.parse().map_err(|e: backstay_model::InvalidTopic| corrupt(e))?;
        found.push(EntryRow { topic, entry });
    }
    Ok(found)
}
