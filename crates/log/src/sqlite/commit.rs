//! One transaction: take in the commits of other processes, admit the batches, number their events, write the rows.
//!
//! All state here is a cache of the rows up to `seen`. It is dropped whenever a commit fails.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_model::{Epoch, Position, Seq, Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension};

use super::database_file::DatabaseFile;
use super::error_map;
use super::pending_index::{PendingIndex, StoreState};
use super::schema::FLAG_CONTROL;
use super::sql::{position, standing, stored, unsigned};
use crate::admission::TopicState;
use crate::error::StoreError;

/// The cache is dropped if other processes have written more rows than this; topics are then loaded when they are used.
const FOLD_ROWS_MAX: u64 = 10_000;
/// The cache is dropped if it has more topics or names than this.
const TOPICS_MAX: usize = 65_536;

const FOLD: &str =
    "SELECT topic_id, seq, at, last_input, last_fact, flags FROM event WHERE g > ?1 ORDER BY g";
const LOAD: &str = "SELECT id, floor, closed, epoch, owner FROM topic WHERE name = ?1";
const INDEX_HEAD: &str = "SELECT seq, g FROM topic_event WHERE topic_id = ?1 ORDER BY seq DESC LIMIT 1";
const HEAD_ROW: &str = "SELECT at, last_input, last_fact, seq, topic_id FROM event WHERE g = ?1";

/// The connection that writes, and its cache of topics.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) connection: Connection,
    database_file: DatabaseFile,
    pub(super) pending_index: Arc<PendingIndex>,
    pub(super) seen: Position,
    pub(super) generation: i64,
    slots: HashMap<Topic, Slot>,
    slots_by_id: HashMap<i64, Slot>,
    topics: Vec<Cached>,
    /// The numbers of names in the table `name`.
    pub(super) stored_names: HashMap<Arc<str>, i64>,
    /// A commit writes index entries once more than this wait.
    pub(super) waiting_max: usize,
    /// Whether other processes have written since the last commit of this process.
    pub(super) foreign: bool,
    /// The background task of the transaction.
    pub(super) task: BackgroundTask,
    /// Whether rows of trimmed events may be left.
    pub(super) sweeps: bool,
    /// Whether topics that ended may have payloads to pack.
    pub(super) packs: bool,
    /// A topic that cannot be packed because its pages are damaged.
    pub(super) unpackable: Option<i64>,
    /// The age from which a topic that ended is packed.
    pub(super) pack_after: Duration,
}

/// The index of a topic in the cache, valid within one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) id: i64,
    pub(super) state: TopicState,
}

/// Work that the writer does when no command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackgroundTask {
    /// Writes waiting index entries.
    Index,
    /// Removes rows of trimmed events.
    Sweep,
    /// Packs payloads of topics that ended.
    Pack,
}

impl BackgroundTask {
    /// Returns the message for a failure. Readers are not affected: they find waiting entries in memory, see no trimmed event, and
    /// read unpacked payloads.
    pub(super) const fn failure(self) -> &'static str {
        match self {
            BackgroundTask::Index => "the index was not written",
            BackgroundTask::Sweep => "what is gone was not freed",
            BackgroundTask::Pack => "what has ended was not packed",
        }
    }
}

/// The reason why a transaction was not committed.
pub(super) enum CommitFailure {
    /// A statement failed; nothing of the transaction was written.
    Before(rusqlite::Error),
    /// The commit failed; the transaction may have been written.
    Commit(rusqlite::Error),
    /// The database contradicts itself.
    Corrupt(String),
    /// The file at the store's path is not the one that was opened.
    Displaced(StoreError),
}

impl From<rusqlite::Error> for CommitFailure {
    fn from(source: rusqlite::Error) -> CommitFailure {
        CommitFailure::Before(source)
    }
}

impl CommitFailure {
    /// Returns the error for the batches of the transaction.
    pub(super) fn into_error(self, path: &Path) -> StoreError {
        match self {
            CommitFailure::Before(source) => error_map::sqlite("write", path, source),
            CommitFailure::Corrupt(what) => StoreError::Corrupt { location: path.into(), what },
            CommitFailure::Displaced(error) => error,
            CommitFailure::Commit(source) => match error_map::sqlite("commit to", path, source) {
                StoreError::Backend { location, source, .. } => {
                    StoreError::OutcomeUnknown { location, source }
                }
                known => known,
            },
        }
    }

    /// Returns whether a flush failed, so that earlier commits may be lost too.
    pub(super) fn is_failed_flush(&self) -> bool {
        matches!(self, CommitFailure::Before(source) | CommitFailure::Commit(source) if error_map::is_failed_flush(source))
    }
}

impl Committer {
    pub(super) fn new(
        connection: Connection,
        database_file: DatabaseFile,
        pending_index: Arc<PendingIndex>,
        waiting_max: usize,
        pack_after: Duration,
    ) -> Committer {
        Committer {
            connection,
            database_file,
            pending_index,
            seen: Position(0),
            generation: -1,
            slots: HashMap::new(),
            slots_by_id: HashMap::new(),
            topics: Vec::new(),
            stored_names: HashMap::new(),
            waiting_max,
            foreign: false,
            task: BackgroundTask::Index,
            sweeps: false,
            packs: false,
            unpackable: None,
            pack_after,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.database_file.path()
    }

    /// Returns the newest position that this process has read or written.
    pub(super) const fn newest(&self) -> Position {
        self.seen
    }

    /// Begins a transaction and updates the cache. The caller holds the writer lock.
    pub(super) fn begin(&mut self) -> Result<(), CommitFailure> {
        self.task = BackgroundTask::Index;
        // An event in an unlinked file would be lost with this process.
        self.database_file.check().map_err(CommitFailure::Displaced)?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.raw_execute()?;
        self.check()
    }

    /// Commits.
    pub(super) fn commit(&mut self) -> Result<(), CommitFailure> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute());
        committed.map(|_| ()).map_err(CommitFailure::Commit)
    }

    /// Rolls the transaction back and drops the cache.
    pub(super) fn roll_back(&mut self) {
        self.forget();
        self.seen = Position(0);
        self.generation = -1;
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            // SQLite rolls back by itself at the next BEGIN of this connection, or at its end.
            tracing::debug!(%error, "a rollback failed");
        }
    }

    fn forget(&mut self) {
        self.slots.clear();
        self.slots_by_id.clear();
        self.topics.clear();
        self.stored_names.clear();
    }

    fn check(&mut self) -> Result<(), CommitFailure> {
        let state = StoreState::read(&self.connection)?;
        let new = state.newest.0.saturating_sub(self.seen.0);
        if state.marks.generation != self.generation
            || new > FOLD_ROWS_MAX
            || self.topics.len().max(self.stored_names.len()) > TOPICS_MAX
        {
            self.forget();
            self.generation = state.marks.generation;
            self.sweeps = super::trim::is_due(&self.connection)?;
            self.packs = true;
        } else if state.events > self.seen && !self.topics.is_empty() {
            self.fold()?;
        }
        self.foreign = state.newest > self.seen;
        self.seen = state.newest.max(self.seen);
        let mut pending_index = self.pending_index.lock();
        if !pending_index.sync(&self.connection, &state)? {
            // Marks only grow, and nobody else writes now.
            return Err(CommitFailure::Corrupt(
                "its index is behind what this process has seen of it".to_owned(),
            ));
        }
        Ok(())
    }

    /// Applies the events of other processes to the cached topics.
    fn fold(&mut self) -> Result<(), CommitFailure> {
        let mut changed = Vec::new();
        let mut statement = self.connection.prepare_cached(FOLD)?;
        let mut rows = statement.query([stored(self.seen.0)])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let Some(slot) = self.slots_by_id.get(&id) else { continue };
            if row.get::<_, i64>(5)? & FLAG_CONTROL != 0 {
                changed.push(id);
            }
            let state = &mut self.topics[slot.0].state;
            state.head = Seq(unsigned(row, 1)?);
            state.at = Timestamp::from_micros(row.get(2)?);
            state.last_input = Seq(unsigned(row, 3)?);
            state.last_fact = Seq(unsigned(row, 4)?);
        }
        if !changed.is_empty() {
            // Owner, epoch and `closed` are in the topics' rows, which are read again when they are asked for.
            for id in changed {
                self.slots_by_id.remove(&id);
            }
            self.slots.retain(|_, slot| self.slots_by_id.contains_key(&self.topics[slot.0].id));
        }
        Ok(())
    }

    /// Loads a topic into the cache; returns `None` if it does not exist.
    pub(super) fn load(&mut self, topic: &Topic) -> Result<Option<Slot>, CommitFailure> {
        if let Some(slot) = self.slots.get(topic) {
            return Ok(Some(*slot));
        }
        Ok(self.find(topic)?.map(|cached| self.keep(topic, cached)))
    }

    /// Returns the cached topic in `slot`.
    pub(super) fn cached(&mut self, slot: Slot) -> &mut Cached {
        &mut self.topics[slot.0]
    }

    fn find(&self, topic: &Topic) -> Result<Option<Cached>, CommitFailure> {
        let loaded = self
            .connection
            .prepare_cached(LOAD)?
            .query_row([topic.as_str()], |row| {
                let state = TopicState {
                    head: Seq(unsigned(row, 1)?),
                    floor: Seq(unsigned(row, 1)?),
                    // Where everything was trimmed, nothing waits.
                    last_fact: Seq(unsigned(row, 1)?),
                    epoch: Epoch(unsigned(row, 3)?),
                    standing: standing(row.get(2)?),
                    ..TopicState::default()
                };
                Ok((row.get::<_, i64>(0)?, state, row.get::<_, Option<String>>(4)?))
            })
            .optional()?;
        let Some((id, mut state, owner)) = loaded else { return Ok(None) };
        if let Some(owner) = owner {
            state.owner = Some(owner.parse().map_err(|invalid: backstay_model::InvalidId| {
                CommitFailure::Corrupt(format!("the owner of {topic}: {invalid}"))
            })?);
        }
        self.find_head(topic, id, &mut state)?;
        Ok(Some(Cached { id, state }))
    }

    /// The head is the greatest number in the pending index, the index or the floor.
    fn find_head(&self, topic: &Topic, id: i64, state: &mut TopicState) -> Result<(), CommitFailure> {
        let waiting = self.pending_index.lock().of(id).last().map(|entry| (entry.seq, entry.g));
        let newest = match waiting {
            Some(newest) => Some(newest),
            None => self
                .connection
                .prepare_cached(INDEX_HEAD)?
                .query_row([id], |row| Ok((Seq(unsigned(row, 0)?), position(row, 1)?)))
                .optional()?,
        };
        let Some((head, g)) = newest.filter(|(head, _)| *head > state.head) else { return Ok(()) };
        let of_head = self
            .connection
            .prepare_cached(HEAD_ROW)?
            .query_row([stored(g.0)], |row| {
                state.at = Timestamp::from_micros(row.get(0)?);
                state.last_input = Seq(unsigned(row, 1)?);
                state.last_fact = Seq(unsigned(row, 2)?.max(state.last_fact.0));
                Ok(unsigned(row, 3)? == head.0 && row.get::<_, i64>(4)? == id)
            })
            .optional()?;
        if of_head != Some(true) {
            return Err(CommitFailure::Corrupt(format!(
                "the event {head} of {topic} is not where its index says"
            )));
        }
        state.head = head;
        Ok(())
    }

    fn keep(&mut self, topic: &Topic, cached: Cached) -> Slot {
        let slot = Slot(self.topics.len());
        self.slots_by_id.insert(cached.id, slot);
        self.slots.insert(topic.clone(), slot);
        self.topics.push(cached);
        slot
    }

    /// Loads a topic into the cache; creates it if it does not exist.
    pub(super) fn load_or_make(&mut self, topic: &Topic) -> Result<Slot, CommitFailure> {
        if let Some(slot) = self.load(topic)? {
            return Ok(slot);
        }
        self.connection.prepare_cached("INSERT INTO topic (name) VALUES (?1)")?.execute([topic.as_str()])?;
        let id = self.connection.last_insert_rowid();
        Ok(self.keep(topic, Cached { id, state: TopicState::default() }))
    }

    /// Returns the state of a topic, including the rows of this transaction.
    pub(super) fn state(&mut self, topic: &Topic) -> Result<TopicState, CommitFailure> {
        let slot = self.load(topic)?;
        Ok(slot.map(|slot| self.cached(slot).state.clone()).unwrap_or_default())
    }
}
