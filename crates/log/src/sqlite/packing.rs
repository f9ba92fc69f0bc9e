//! Packing: writes the blocks of `packed` some time after a topic has ended.
//!
//! The table `pack` has the topics that are to be packed. One commit packs one block; a topic without enough payloads for another block
//! leaves the table.

use std::time::Duration;

use backstay_model::{Seq, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params_from_iter};

use super::commit::{BackgroundTask, CommitFailure, Committer};
use super::packed::{BYTES_FULL, EVENTS_MAX, pack};
use super::sql::{stored, unsigned};
use crate::crash::crash_point;

/// Fewer events than this are not packed: that would save little.
const EVENTS_MIN: usize = 8;

/// Selects only rows that are where the index says.
const ROWS: &str = "SELECT event.g, event.topic_id, event.seq, at, flags, last_input, last_fact, event.kind, event.scope, \
     trace, payload FROM topic_event JOIN event ON event.g = topic_event.g AND event.topic_id = topic_event.topic_id AND \
     event.seq = topic_event.seq WHERE topic_event.topic_id = ?1 AND topic_event.seq > ?2 ORDER BY topic_event.seq LIMIT ?3";
const ROW: &str = "INSERT INTO event (g, topic_id, seq, at, flags, last_input, last_fact, kind, scope, trace, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '')";
/// Columns of a row before the payload.
const COLUMNS: usize = 10;
const NEXT: &str = "SELECT pack.topic_id, topic.closed = 1, topic.floor FROM pack JOIN topic ON topic.id = pack.topic_id \
     WHERE pack.closed_at <= ?1 ORDER BY pack.closed_at LIMIT 1";
const BLOCKS: &str = "SELECT first, last FROM packed WHERE topic_id = ?1 AND last > ?2 ORDER BY last";

impl Committer {
    /// Notes that the topic has ended, so that it is packed later.
    pub(super) fn pack_later(&mut self, id: i64, now: Timestamp) -> Result<(), CommitFailure> {
        self.connection
            .prepare_cached(
                "INSERT INTO pack (topic_id, closed_at) VALUES (?1, ?2) \
                 ON CONFLICT DO UPDATE SET closed_at = excluded.closed_at",
            )?
            .execute((id, now.as_micros()))?;
        self.packs = true;
        Ok(())
    }

    /// Packs the next block of a topic that ended before `until`. No index entry may be pending in this transaction.
    pub(super) fn pack(&mut self, until: Timestamp) -> Result<(), CommitFailure> {
        self.task = BackgroundTask::Pack;
        if let Some(id) = self.unpackable.take() {
            return Ok(forget(&self.connection, id)?);
        }
        let next = self
            .connection
            .prepare_cached(NEXT)?
            .query_row([until.as_micros()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, Seq(unsigned(row, 2)?)))
            })
            .optional()?;
        let Some((id, is_closed, floor)) = next else {
            self.packs = false;
            return Ok(());
        };
        let packed = if is_closed { pack_next(&self.connection, id, floor) } else { Ok(false) };
        if let Err(CommitFailure::Before(error)) = &packed
            && error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
        {
            // SQLite writes nothing more in this transaction. The next one goes on with other topics.
            self.unpackable = Some(id);
        }
        if !packed? {
            forget(&self.connection, id)?;
        }
        crash_point("log.pack.before_commit");
        Ok(())
    }
}

/// Removes the topic from `pack`.
fn forget(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM pack WHERE topic_id = ?1")?.execute([id]).map(|_| ())
}

/// A row of `event`, without its payload.
struct RowHeader {
    seq: Seq,
    columns: Vec<Value>,
}

/// Events that follow each other and may share a block.
#[derive(Default)]
struct Run {
    events: Vec<RowHeader>,
    texts: Vec<String>,
    size_bytes: usize,
}

/// Why a run ends.
enum End {
    /// It is full, or no event follows.
    Done,
    /// The next event cannot be packed with it. Another run may begin behind that event.
    Before(Seq),
}

/// Packs the first run after `after` that is long enough. Returns false if there is none.
fn pack_next(connection: &Connection, id: i64, mut after: Seq) -> Result<bool, CommitFailure> {
    loop {
        let (run, end) = gather(connection, id, end_of_blocks(connection, id, after)?)?;
        if run.events.len() >= EVENTS_MIN {
            write(connection, id, &run)?;
            return Ok(true);
        }
        match end {
            End::Done => return Ok(false),
            End::Before(seq) => after = seq,
        }
    }
}

/// Returns the end of the blocks that follow each other after `after`.
fn end_of_blocks(connection: &Connection, id: i64, mut after: Seq) -> Result<Seq, CommitFailure> {
    let mut statement = connection.prepare_cached(BLOCKS)?;
    let mut rows = statement.query((id, stored(after.0)))?;
    while let Some(row) = rows.next()? {
        if unsigned(row, 0)? > after.next().0 {
            break;
        }
        after = Seq(unsigned(row, 1)?);
    }
    Ok(after)
}

/// Returns the run after `after`. It ends at a row that cannot be read; readers and checks report that row.
fn gather(connection: &Connection, id: i64, after: Seq) -> Result<(Run, End), CommitFailure> {
    let mut run = Run::default();
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query((id, stored(after.0), stored(EVENTS_MAX as u64)))?;
    while run.size_bytes < BYTES_FULL {
        let Some(row) = rows.next()? else { break };
        let seq = Seq(unsigned(row, 2)?);
        if run.events.last().is_some_and(|last| last.seq.next() != seq) {
            return Ok((run, End::Before(Seq(seq.0 - 1))));
        }
        match row.get::<_, String>(COLUMNS).and_then(|text| Ok((text, columns(row)?))) {
            Ok((text, columns)) if !text.is_empty() => {
                run.size_bytes += text.len();
                run.events.push(RowHeader { seq, columns });
                run.texts.push(text);
            }
            Ok(_packed) => return Ok((run, End::Before(seq))),
            Err(_unreadable) => return Ok((run, End::Before(seq))),
        }
    }
    Ok((run, End::Done))
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    (0..COLUMNS).map(|column| row.get(column)).collect()
}

fn write(connection: &Connection, id: i64, run: &Run) -> Result<(), CommitFailure> {
    let (Some(first), Some(last)) = (run.events.first(), run.events.last()) else { return Ok(()) };
    let data = pack(&run.texts)
        .map_err(|error| CommitFailure::Corrupt(format!("payloads cannot be packed: {error}")))?;
    connection
        .prepare_cached("INSERT INTO packed (topic_id, first, last, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute((id, stored(first.seq.0), stored(last.seq.0), data))?;
    // A shorter row would leave its page half empty; a removed row lets SQLite join pages.
    let mut delete = connection.prepare_cached("DELETE FROM event WHERE g = ?1")?;
    for event in &run.events {
        delete.execute(params_from_iter(event.columns.first()))?;
    }
    let mut insert = connection.prepare_cached(ROW)?;
    for event in &run.events {
        insert.execute(params_from_iter(&event.columns))?;
    }
    Ok(())
}

/// Returns the time before which a topic must have ended to be packed.
pub(super) fn due_before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(age))
}
