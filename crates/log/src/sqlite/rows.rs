//! Rows of events, written many at a time.

use std::borrow::Cow;
use std::sync::LazyLock;

use backstay_model::{Position, Recorded, Seq, Timestamp, Topic};
use rusqlite::{CachedStatement, Connection};

use super::row_checksum::ChecksummedRow;
use super::schema::FLAG_MORE;
use super::sql::stored;
use crate::contract::NewEvent;

const COLUMNS: usize = 11;
/// Rows of one statement. The largest statements are used first.
const SIZES: [usize; 4] = [64, 16, 4, 1];

static INSERTS: LazyLock<[String; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let row = format!("({})", ["?"; COLUMNS].join(","));
        format!(
            "INSERT INTO event (g,topic_id,seq,at,flags,last_input,last_fact,kind,scope,trace,payload) VALUES {}",
            vec![row.as_str(); rows].join(",")
        )
    })
});

/// An event with its number and position.
#[derive(Debug)]
pub(super) struct EventRow<'g> {
    pub(super) g: Position,
    pub(super) id: i64,
    pub(super) topic: Topic,
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) flags: i64,
    pub(super) last_input: Seq,
    pub(super) last_fact: Seq,
    pub(super) scope: Cow<'static, str>,
    pub(super) event: Cow<'g, NewEvent>,
}

impl EventRow<'_> {
    /// Returns the event as readers get it.
    pub(super) fn recorded(&self) -> Recorded {
        let NewEvent { kind, scope, payload, trace } = self.event.as_ref();
        Recorded {
            topic: self.topic.clone(),
            seq: self.seq,
            g: self.g,
            at: self.at,
            kind: kind.clone(),
            scope: scope.clone(),
            payload: payload.clone(),
            trace: trace.clone(),
            more: self.flags & FLAG_MORE != 0,
        }
    }
}

/// Returns the scope's text; most events have the empty one.
pub(super) fn scope_text(event: &NewEvent) -> Cow<'static, str> {
    if event.scope.is_root() { Cow::Borrowed("") } else { Cow::Owned(event.scope.to_string()) }
}

/// Writes the rows.
pub(super) fn insert(connection: &Connection, rows: &[EventRow<'_>]) -> rusqlite::Result<()> {
    let mut rest = rows;
    for (size, sql) in SIZES.iter().zip(INSERTS.iter()) {
        if rest.len() < *size {
            continue;
        }
        let mut statement = connection.prepare_cached(sql)?;
        while rest.len() >= *size {
            let (now, later) = rest.split_at(*size);
            for (index, row) in now.iter().enumerate() {
                bind(&mut statement, index * COLUMNS, row)?;
            }
            statement.raw_execute()?;
            rest = later;
        }
    }
    Ok(())
}

fn bind(statement: &mut CachedStatement<'_>, base: usize, row: &EventRow<'_>) -> rusqlite::Result<()> {
    let event = row.event.as_ref();
    let (scope, trace) = (row.scope.as_ref(), event.trace.as_deref());
    let (at, flags) = (row.at.as_micros(), row.flags);
    let (kind, payload) = (event.kind.as_str(), event.payload.as_str());
    let summed = ChecksummedRow { at, flags, kind, scope, trace, payload };
    statement.raw_bind_parameter(base + 1, stored(row.g.0))?;
    statement.raw_bind_parameter(base + 2, row.id)?;
    statement.raw_bind_parameter(base + 3, stored(row.seq.0))?;
    statement.raw_bind_parameter(base + 4, at)?;
    statement.raw_bind_parameter(base + 5, summed.flags())?;
    statement.raw_bind_parameter(base + 6, stored(row.last_input.0))?;
    statement.raw_bind_parameter(base + 7, stored(row.last_fact.0))?;
    statement.raw_bind_parameter(base + 8, kind)?;
    statement.raw_bind_parameter(base + 9, scope)?;
    statement.raw_bind_parameter(base + 10, trace)?;
    statement.raw_bind_parameter(base + 11, payload)
}

/// Writes a live event.
pub(super) fn insert_live(
    connection: &Connection,
    g: Position,
    topic: i64,
    after_seq: Seq,
    at: Timestamp,
    event: &NewEvent,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO live (g, topic_id, after_seq, at, kind, scope, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            stored(g.0),
            topic,
            stored(after_seq.0),
            at.as_micros(),
            event.kind.as_str(),
            scope_text(event).as_ref(),
            event.payload.as_str(),
        ))?;
    Ok(())
}
