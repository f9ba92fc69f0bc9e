//! A store that is only read: why, and a log that takes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use backstay_log::{
    AppendError, Batch, ClaimError, ClaimMode, Claimed, Cursor, Direction, EntryRow, EventFilter, KeptFold,
    Log, NewEvent, OpenError, OwnerGuard, OwnerIdentity, Page, Pending, ReadError, SqliteLog, StoreError,
    Subscription, Ticket, TopicFilter, TopicRow,
};
use backstay_model::{LogId, Position, Recorded, Seq, Topic};
use camino::{Utf8Path, Utf8PathBuf};

use super::mirror::Mirror;
use crate::registry::Standing;

/// Why a store is only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOnlyReason {
    /// It is not this user's, or not the one that this user had.
    NotAdopted(Standing),
    /// Its folder cannot be written.
    NotWritable,
    /// Whether it is this user's cannot be told: there is no registry.
    NoRegistry {
        /// What is wrong with that.
        what: String,
    },
}

/// A store that is open for reading only. What it shows is as of when it was opened.
#[derive(Debug)]
pub struct ReadOnlyStore {
    pub(super) folder: Utf8PathBuf,
    pub(super) reason: ReadOnlyReason,
    pub(super) mirror: Mirror,
}

impl ReadOnlyStore {
    /// Why it is only read.
    #[must_use]
    pub const fn reason(&self) -> &ReadOnlyReason {
        &self.reason
    }

    /// That it is only read, and why, in one line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        self.reason.describe(&self.folder)
    }

    /// The folder with the copy of its database.
    #[must_use]
    pub fn database(&self) -> &Utf8Path {
        self.mirror.path()
    }
}

impl ReadOnlyReason {
    /// That the store in `folder` is only read, and why, in one line for people.
    #[must_use]
    pub fn describe(&self, folder: &Utf8Path) -> String {
        match self {
            ReadOnlyReason::NotAdopted(standing) => format!(
                "{folder} {}: it is only read; `backstay --store {folder} store adopt` makes it yours",
                standing.describe()
            ),
            ReadOnlyReason::NotWritable => format!("{folder} cannot be written: it is only read"),
            ReadOnlyReason::NoRegistry { what } => {
                format!("{folder} is only read: {what}; `--adopt` or BACKSTAY_ADOPT=1 uses it unregistered")
            }
        }
    }
}

/// A log that is read from a copy, and takes nothing.
#[derive(Debug)]
pub(super) struct ReadOnlyLog {
    /// The log of the copy.
    pub(super) copy: SqliteLog,
    pub(super) folder: Utf8PathBuf,
}

impl ReadOnlyLog {
    fn refusal(&self) -> StoreError {
        let source = io::Error::other("it is open for reading only");
        StoreError::ReadOnly { path: PathBuf::from(&self.folder), source: Arc::new(source) }
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Log for ReadOnlyLog {
    fn id(&self) -> LogId {
        self.copy.id()
    }

    fn submit(&self, _batch: Batch) -> Ticket {
        Ticket::ready(Err(AppendError::Store(self.refusal())))
    }

    fn submit_live(&self, topic: Topic, _event: NewEvent) {
        tracing::debug!(%topic, "a live event is not kept: the store is only read");
    }

    fn keep_fold(&self, topic: &Topic, _kept: KeptFold) {
        tracing::trace!(%topic, "a fold is not kept: the store is only read");
    }

    fn kept_fold(
        &self,
        _topic: &Topic,
        _fold: &str,
        _version: u32,
    ) -> Pending<'_, Result<Option<KeptFold>, ReadError>> {
        // What somebody else kept is not believed: all of it is folded.
        ready(Ok(None))
    }

    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> Pending<'_, Result<Page, ReadError>> {
        self.copy.read(topic, at, direction, limit)
    }

    fn read_matching(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
        filter: &EventFilter,
    ) -> Pending<'_, Result<Page, ReadError>> {
        self.copy.read_matching(topic, at, direction, limit, filter)
    }

    fn read_all(&self, after: Position, limit: usize) -> Pending<'_, Result<Vec<Recorded>, ReadError>> {
        self.copy.read_all(after, limit)
    }

    fn head(&self, topic: &Topic) -> Pending<'_, Result<Seq, ReadError>> {
        self.copy.head(topic)
    }

    fn cursor(&self, topic: &Topic, seq: Seq) -> Pending<'_, Result<Cursor, ReadError>> {
        self.copy.cursor(topic, seq)
    }

    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> Pending<'_, Result<Seq, ReadError>> {
        self.copy.resolve(topic, cursor)
    }

    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError> {
        self.copy.subscribe(topic, after)
    }

    fn follow(&self, topic: &Topic, after: Seq) -> Subscription {
        self.copy.follow(topic, after)
    }

    fn register_owner(
        &self,
        _identity: OwnerIdentity,
    ) -> Pending<'_, Result<Box<dyn OwnerGuard>, OpenError>> {
        ready(Err(OpenError::Store(self.refusal())))
    }

    fn claim<'a>(
        &'a self,
        _topic: &Topic,
        _guard: &'a dyn OwnerGuard,
        _mode: ClaimMode,
        _patient: bool,
    ) -> Pending<'a, Result<Claimed, ClaimError>> {
        ready(Err(ClaimError::Store(self.refusal())))
    }

    fn topics(&self, filter: TopicFilter) -> Pending<'_, Result<Vec<TopicRow>, ReadError>> {
        self.copy.topics(filter)
    }

    fn topic(&self, topic: &Topic) -> Pending<'_, Result<Option<TopicRow>, ReadError>> {
        self.copy.topic(topic)
    }

    fn entries(&self, kind: &str, state: Option<&str>) -> Pending<'_, Result<Vec<EntryRow>, ReadError>> {
        self.copy.entries(kind, state)
    }

    fn changed(&self, after: Position) -> Pending<'_, Position> {
        self.copy.changed(after)
    }
}
