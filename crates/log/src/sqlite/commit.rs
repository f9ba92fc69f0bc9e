//! One transaction: check what others have committed, judge, number, write.
//!
//! Everything in memory here is a cache of the rows up to `seen`. It is thrown away whenever a commit failed.

use std::collections::HashMap;
use std::path::PathBuf;

use backstay_model::{Epoch, OwnerId, Position, Seq, Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension};

use super::fault;
use super::schema::{FLAG_CONTROL, FLAG_MORE};
use crate::contract::{Appended, AppendedPart, Batch, Durability, EntryIndex, NewEvent, Part, TopicIndex};
use crate::error::{AppendError, StoreError};
use crate::judge::{TopicState, body_digest, is_control, is_input};

/// With more foreign rows than this the cache is rebuilt from nothing, topic by topic as they are asked for.
const FOLD_ROWS_MAX: u64 = 10_000;

const INSERT_EVENT: &str = "INSERT INTO event (g, topic_id, seq, at, flags, last_input, last_fact, kind, scope, trace, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const FOLD: &str = "SELECT topic_id, max(seq), max(at), max(last_input), max(last_fact), max(flags & 2) \
     FROM event WHERE g > ?1 GROUP BY topic_id";
const LOAD: &str = "SELECT topic.id, floor, closed, epoch, owner, seq, at, last_input, last_fact FROM topic \
     LEFT JOIN event ON event.topic_id = topic.id \
     AND seq = (SELECT max(seq) FROM event WHERE event.topic_id = topic.id) WHERE name = ?1";

/// The writing end of the database, and what it knows of the topics.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) connection: Connection,
    path: PathBuf,
    synchronous: Option<Durability>,
    seen: Position,
    generation: i64,
    topics: HashMap<Topic, Cached>,
    names: HashMap<i64, Topic>,
}

#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) id: i64,
    state: TopicState,
}

/// Why a transaction ended without a commit.
pub(super) enum Failed {
    /// SQLite could not do something; nothing of the transaction is there.
    Before(rusqlite::Error),
    /// The commit itself failed.
    Commit(rusqlite::Error),
    /// The database contradicts itself.
    Corrupt(String),
}

impl From<rusqlite::Error> for Failed {
    fn from(source: rusqlite::Error) -> Failed {
        Failed::Before(source)
    }
}

impl Failed {
    /// What it means for those whose batches were in the transaction.
    pub(super) fn into_error(self, path: &std::path::Path) -> StoreError {
        match self {
            Failed::Before(source) => fault::sqlite("write", path, source),
            Failed::Corrupt(what) => StoreError::Corrupt { path: path.to_owned(), what },
            Failed::Commit(source) => match fault::sqlite("commit to", path, source) {
                StoreError::Sqlite { path, source, .. } => StoreError::OutcomeUnknown { path, source },
                known => known,
            },
        }
    }

    /// Whether what was flushed before may be gone too.
    pub(super) fn is_failed_flush(&self) -> bool {
        matches!(self, Failed::Before(source) | Failed::Commit(source) if fault::is_failed_flush(source))
    }
}

impl Committer {
    pub(super) fn new(connection: Connection, path: PathBuf) -> Committer {
        Committer {
            connection,
            path,
            synchronous: None,
            seen: Position(0),
            generation: -1,
            topics: HashMap::new(),
            names: HashMap::new(),
        }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The newest position that this process has seen or made.
    pub(super) const fn newest(&self) -> Position {
        self.seen
    }

    /// Begins a transaction and brings the cache up to date. To be called in this process's turn.
    pub(super) fn begin(&mut self, durability: Durability) -> Result<(), Failed> {
        if self.synchronous != Some(durability) {
            let mode = match durability {
                Durability::Synced => "FULL",
                Durability::Buffered => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", mode)?;
            self.synchronous = Some(durability);
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.check()
    }

    /// Commits.
    pub(super) fn commit(&mut self) -> Result<(), Failed> {
        self.connection.execute_batch("COMMIT").map_err(Failed::Commit)
    }

    /// Ends the transaction without a trace.
    pub(super) fn roll_back(&mut self) {
        self.topics.clear();
        self.names.clear();
        self.seen = Position(0);
        self.generation = -1;
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            // SQLite rolls back by itself at the next BEGIN of this connection, or at its end.
            tracing::debug!(%error, "a rollback failed");
        }
    }

    fn check(&mut self) -> Result<(), Failed> {
        let (events, live, floor, generation) = self
            .connection
            .prepare_cached(
                "SELECT (SELECT ifnull(max(g), 0) FROM event), (SELECT ifnull(max(g), 0) FROM live), \
                 g_floor, generation FROM meta",
            )?
            .query_row((), |row| {
                Ok((position(row, 0)?, position(row, 1)?, position(row, 2)?, row.get::<_, i64>(3)?))
            })?;
        let newest = events.max(live).max(floor);
        if generation != self.generation || newest.0.saturating_sub(self.seen.0) > FOLD_ROWS_MAX {
            self.topics.clear();
            self.names.clear();
            self.generation = generation;
        } else if events > self.seen && !self.topics.is_empty() {
            self.fold()?;
        }
        self.seen = newest.max(self.seen);
        Ok(())
    }

    /// Takes over what others appended to topics that are in the cache.
    fn fold(&mut self) -> Result<(), Failed> {
        let mut statement = self.connection.prepare_cached(FOLD)?;
        let mut rows = statement.query([stored(self.seen.0)])?;
        while let Some(row) = rows.next()? {
            let Some(name) = self.names.get(&row.get(0)?) else { continue };
            if row.get::<_, i64>(5)? != 0 {
                self.topics.remove(name);
                continue;
            }
            if let Some(cached) = self.topics.get_mut(name) {
                let state = &mut cached.state;
                state.head = Seq(unsigned(row, 1)?);
                state.at = Timestamp::from_micros(row.get(2)?);
                state.last_input = Seq(unsigned(row, 3)?);
                state.last_fact = Seq(unsigned(row, 4)?);
            }
        }
        Ok(())
    }

    pub(super) fn load(&mut self, topic: &Topic) -> Result<Option<Cached>, Failed> {
        if let Some(cached) = self.topics.get(topic) {
            return Ok(Some(cached.clone()));
        }
        let loaded = self
            .connection
            .prepare_cached(LOAD)?
            .query_row([topic.as_str()], |row| {
                let floor = unsigned(row, 1)?;
                let head = row.get::<_, Option<i64>>(5)?.unwrap_or(0).cast_unsigned();
                let last = |index| row.get::<_, Option<i64>>(index).map(Option::unwrap_or_default);
                let state = TopicState {
                    head: Seq(head.max(floor)),
                    at: Timestamp::from_micros(last(6)?),
                    last_input: Seq(last(7)?.cast_unsigned()),
                    // Where everything was trimmed, nothing waits.
                    last_fact: Seq(last(8)?.cast_unsigned().max(floor)),
                    epoch: Epoch(unsigned(row, 3)?),
                    owner: None,
                    closed: row.get(2)?,
                };
                Ok((row.get::<_, i64>(0)?, state, row.get::<_, Option<String>>(4)?))
            })
            .optional()?;
        let Some((id, mut state, owner)) = loaded else { return Ok(None) };
        if let Some(owner) = owner {
            state.owner = Some(owner.parse().map_err(|invalid: backstay_model::InvalidId| {
                Failed::Corrupt(format!("the owner of {topic}: {invalid}"))
            })?);
        }
        let cached = Cached { id, state };
        self.keep(topic, &cached);
        Ok(Some(cached))
    }

    fn keep(&mut self, topic: &Topic, cached: &Cached) {
        self.topics.insert(topic.clone(), cached.clone());
        self.names.insert(cached.id, topic.clone());
    }

    pub(super) fn load_or_make(&mut self, topic: &Topic) -> Result<Cached, Failed> {
        if let Some(cached) = self.load(topic)? {
            return Ok(cached);
        }
        self.connection.prepare_cached("INSERT INTO topic (name) VALUES (?1)")?.execute([topic.as_str()])?;
        let cached = Cached { id: self.connection.last_insert_rowid(), state: TopicState::default() };
        self.keep(topic, &cached);
        Ok(cached)
    }

    /// What is known of a topic, the rows of this transaction included.
    pub(super) fn state(&mut self, topic: &Topic) -> Result<TopicState, Failed> {
        Ok(self.load(topic)?.map(|cached| cached.state).unwrap_or_default())
    }

    /// Judges a batch and writes it, or says why it is not taken.
    pub(super) fn append(
        &mut self,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Result<Appended, AppendError>, Failed> {
        let digest = batch.key.as_ref().map(|key| (key, body_digest(batch).to_string()));
        if let Some((key, digest)) = &digest
            && let Some(known) = self.known(&batch.parts[0].topic, key, digest)?
        {
            return Ok(known);
        }
        for part in &batch.parts {
            if let Err(refused) = self.state(&part.topic)?.judge(part) {
                return Ok(Err(refused));
            }
        }
        let parts =
            batch.parts.iter().map(|part| self.write(part, now)).collect::<Result<Vec<_>, Failed>>()?;
        let appended = Appended { parts, g: self.seen, repeated: false };
        if let Some((key, digest)) = &digest {
            self.remember(&appended, key, digest)?;
        }
        Ok(Ok(appended))
    }

    /// Writes a part that was judged.
    pub(super) fn write(&mut self, part: &Part, now: Timestamp) -> Result<AppendedPart, Failed> {
        let mut cached = self.load_or_make(&part.topic)?;
        let at = cached.state.time(now);
        let before = cached.state.head;
        let control = is_control(part);
        let mut statement = self.connection.prepare_cached(INSERT_EVENT)?;
        for (index, event) in part.events.iter().enumerate() {
            let seq = cached.state.number(part.authority, at);
            self.seen = self.seen.next();
            let last = index + 1 == part.events.len();
            let flags = if last { if control { FLAG_CONTROL } else { 0 } } else { FLAG_MORE };
            statement.execute((
                stored(self.seen.0),
                cached.id,
                stored(seq.0),
                at.as_micros(),
                flags,
                stored(cached.state.last_input.0),
                stored(cached.state.last_fact.0),
                event.kind.as_str(),
                event.scope.to_string(),
                event.trace.as_deref(),
                event.payload.as_str(),
            ))?;
        }
        drop(statement);
        cached.state.conclude(part);
        self.write_topic(&cached, part, now)?;
        self.keep(&part.topic, &cached);
        let last = cached.state.head;
        let first = if part.events.is_empty() { last } else { before.next() };
        Ok(AppendedPart { topic: part.topic.clone(), first, last, at })
    }

    /// Writes what changes beside the events.
    fn write_topic(&mut self, cached: &Cached, part: &Part, now: Timestamp) -> Result<(), Failed> {
        if let Some(index) = &part.index {
            self.write_index(cached.id, index)?;
        }
        for entry in &part.entries {
            self.write_entry(cached.id, entry)?;
        }
        if is_input(part.authority) {
            self.connection
                .prepare_cached("UPDATE topic SET wake_at = ?2 WHERE id = ?1")?
                .execute((cached.id, now.as_micros()))?;
        }
        if is_control(part) {
            let owner = cached.state.owner.map(|owner| owner.to_string());
            self.connection
                .prepare_cached("UPDATE topic SET closed = ?2, owner = ?3 WHERE id = ?1")?
                .execute((cached.id, cached.state.closed, owner))?;
            if part.events.is_empty() {
                // No row above `seen` will tell the other processes, so their caches have to go.
                self.generation += 1;
                self.connection.execute("UPDATE meta SET generation = ?1", [self.generation])?;
            }
        }
        for scope in &part.live_done {
            self.connection
                .prepare_cached("DELETE FROM live WHERE topic_id = ?1 AND scope = ?2")?
                .execute((cached.id, scope.to_string()))?;
        }
        if !part.live_done.is_empty() && part.events.is_empty() {
            // The newest row may have been a live event that is gone now; its position must not be drawn again.
            self.connection.execute("UPDATE meta SET g_floor = max(g_floor, ?1)", [stored(self.seen.0)])?;
        }
        Ok(())
    }

    fn write_index(&mut self, id: i64, index: &TopicIndex) -> Result<(), Failed> {
        let labels = serde_json::to_string(&index.labels)
            .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))?;
        self.connection
            .prepare_cached(
                "UPDATE topic SET kind = ?2, state = ?3, labels = ?4, wake_at = ?5, summary = ?6 WHERE id = ?1",
            )?
            .execute((
                id,
                &index.kind,
                &index.state,
                labels,
                index.wake_at.map(Timestamp::as_micros),
                index.summary.as_str(),
            ))?;
        Ok(())
    }

    fn write_entry(&mut self, id: i64, entry: &EntryIndex) -> Result<(), Failed> {
        self.connection
            .prepare_cached(
                "INSERT INTO entry (kind, id, topic_id, state, due_at, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT DO UPDATE SET state = excluded.state, due_at = excluded.due_at, summary = excluded.summary",
            )?
            .execute((
                &entry.kind,
                &entry.id,
                id,
                &entry.state,
                entry.due_at.map(Timestamp::as_micros),
                entry.summary.as_str(),
            ))?;
        Ok(())
    }

    /// Writes a live event; one of an unknown topic is dropped.
    pub(super) fn live(&mut self, topic: &Topic, event: &NewEvent, now: Timestamp) -> Result<(), Failed> {
        let Some(cached) = self.load(topic)? else {
            tracing::debug!(%topic, "a live event of an unknown topic was dropped");
            return Ok(());
        };
        self.seen = self.seen.next();
        self.connection
            .prepare_cached(
                "INSERT INTO live (g, topic_id, after_seq, at, kind, scope, payload) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                stored(self.seen.0),
                cached.id,
                stored(cached.state.head.0),
                cached.state.time(now).as_micros(),
                event.kind.as_str(),
                event.scope.to_string(),
                event.payload.as_str(),
            ))?;
        Ok(())
    }

    /// Makes `owner` the topic's owner, with the claim's own event.
    pub(super) fn own(
        &mut self,
        part: &Part,
        owner: OwnerId,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<AppendedPart, Failed> {
        let appended = self.write(part, now)?;
        let mut cached = self.load_or_make(&part.topic)?;
        cached.state.owner = Some(owner);
        cached.state.epoch = epoch;
        self.keep(&part.topic, &cached);
        self.connection.execute(
            "UPDATE topic SET owner = ?2, epoch = ?3 WHERE id = ?1",
            (cached.id, owner.to_string(), stored(epoch.0)),
        )?;
        self.connection.execute(
            "UPDATE event SET flags = flags | ?2 WHERE g = ?1",
            (stored(self.seen.0), FLAG_CONTROL),
        )?;
        Ok(appended)
    }

    /// Whether `owner` is registered.
    pub(super) fn is_registered(&self, owner: OwnerId) -> Result<bool, Failed> {
        let found = self.connection.query_row(
            "SELECT count(*) FROM owner WHERE id = ?1",
            [owner.to_string()],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(found > 0)
    }

    /// Writes an owner's row, or renews it.
    pub(super) fn renew(
        &mut self,
        identity: &crate::contract::OwnerIdentity,
        now: Timestamp,
    ) -> Result<(), Failed> {
        self.connection
            .prepare_cached(
                "INSERT INTO owner (id, host, pid, renewed_at, renewals) VALUES (?1, ?2, ?3, ?4, 0) \
                 ON CONFLICT DO UPDATE SET renewed_at = excluded.renewed_at, renewals = renewals + 1",
            )?
            .execute((identity.owner.to_string(), &identity.host, identity.pid, now.as_micros()))?;
        Ok(())
    }

    /// Makes the next commit write something, so that it flushes what an earlier process may not have flushed.
    pub(super) fn touch(&mut self) -> Result<(), Failed> {
        self.connection.execute("UPDATE meta SET g_floor = g_floor", ())?;
        Ok(())
    }
}

/// A number as SQLite stores it. Numbers here count events, so they never reach the sign.
pub(super) const fn stored(number: u64) -> i64 {
    number.cast_signed()
}

/// A number as it was stored.
pub(super) fn unsigned(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(i64::cast_unsigned)
}

pub(super) fn position(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Position> {
    unsigned(row, index).map(Position)
}
