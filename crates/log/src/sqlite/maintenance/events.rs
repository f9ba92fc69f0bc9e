//! The rows of events, as many as can be read: what is damaged is passed over and told.

use backstay_model::{Payload, Position, Recorded, Seq, Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::packed::{UnpackError, Unpacker};
use super::super::row_checksum::ChecksummedRow;
use super::super::schema::FLAG_MORE;
use super::super::sql::unsigned;
use super::findings::Finding;

const KEYS: &str = "SELECT g, topic_id, seq, at, flags, last_input, last_fact, kind, scope FROM event WHERE g >= ?1 ORDER BY g";
const WHOLE: &str = "SELECT at, flags, kind, scope, trace, payload, topic_id FROM event WHERE g = ?1";

/// What the log itself needs of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) topic: i64,
    pub(super) seq: u64,
    pub(super) g: u64,
    pub(super) at: i64,
    pub(super) flags: i64,
    pub(super) last_input: u64,
    pub(super) last_fact: u64,
}

impl Key {
    pub(super) const fn has_more(&self) -> bool {
        self.flags & FLAG_MORE != 0
    }

    pub(super) const fn is_input(&self) -> bool {
        self.last_input == self.seq
    }
}

/// The keys of all events that can be read, in the order of topic and number.
pub(super) fn keys(connection: &Connection, findings: &mut Vec<Finding>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut from = i64::MIN;
    while let Err(error) = scan(connection, from, &mut keys) {
        let failed = keys.last().map_or(from, |last: &Key| last.g.cast_signed() + 1).max(from);
        let next = next_readable(connection, failed);
        findings.push(Finding::Database {
            what: match next {
                Some(next) => {
                    format!("events at the positions {failed} to {} cannot be read: {error}", next - 1)
                }
                None => format!("events from the position {failed} on cannot be read: {error}"),
            },
        });
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    keys.sort_unstable();
    keys
}

fn scan(connection: &Connection, from: i64, keys: &mut Vec<Key>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(KEYS)?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        keys.push(key(row)?);
    }
    Ok(())
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        g: unsigned(row, 0)?,
        topic: row.get(1)?,
        seq: unsigned(row, 2)?,
        at: row.get(3)?,
        flags: row.get(4)?,
        last_input: unsigned(row, 5)?,
        last_fact: unsigned(row, 6)?,
    })
}

/// The first position behind `failed` from which rows can be read, found by steps that double, and then halve.
fn next_readable(connection: &Connection, failed: i64) -> Option<i64> {
    let reads = |from: i64| -> Option<Option<i64>> {
        let mut statement = connection.prepare_cached(KEYS).ok()?;
        let first = statement.query_row([from], |row| key(row).map(|key| key.g.cast_signed()));
        first.optional().ok()
    };
    let mut step = 1_i64;
    let (mut bad, mut good) = loop {
        let from = failed.max(0).checked_add(step)?;
        match reads(from) {
            Some(Some(_)) => break (from - step / 2, from),
            // Behind the last event nothing can be read either.
            Some(None) => return None,
            None => step = step.checked_mul(2)?,
        }
    };
    while bad + 1 < good {
        let middle = bad + (good - bad) / 2;
        if reads(middle).is_some() { good = middle } else { bad = middle }
    }
    Some(good)
}

/// An event, and how it stands to what was written.
pub(super) struct Whole {
    pub(super) recorded: Recorded,
    /// The flags of its row.
    pub(super) flags: i64,
    /// Whether its row is what was written, as far as that can be told.
    pub(super) matches_checksum: bool,
}

impl Whole {
    /// The flags that its row has to have with another payload. What was damaged before stays told as damaged.
    pub(super) fn flags_with(&self, payload: &str) -> i64 {
        if !self.matches_checksum {
            return self.flags;
        }
        let scope = self.recorded.scope.to_string();
        ChecksummedRow {
            at: self.recorded.at.as_micros(),
            flags: self.flags,
            kind: self.recorded.kind.as_str(),
            scope: &scope,
            trace: self.recorded.trace.as_deref(),
            payload,
        }
        .flags()
    }
}

/// The whole event of a key, or why it cannot be understood.
pub(super) fn whole(unpacker: &mut Unpacker<'_>, topic: &Topic, seq: Seq, g: u64) -> Result<Whole, String> {
    let connection = unpacker.connection;
    let read = || {
        let mut statement = connection.prepare_cached(WHOLE)?;
        statement.query_row([g.cast_signed()], |row| {
            let text = |index| row.get::<_, String>(index);
            let at = Timestamp::from_micros(row.get(0)?);
            let flags: i64 = row.get(1)?;
            Ok((
                at,
                flags,
                text(2)?,
                text(3)?,
                row.get::<_, Option<String>>(4)?,
                text(5)?,
                row.get::<_, i64>(6)?,
            ))
        })
    };
    let (at, flags, kind, scope, trace, mut payload, id) =
        read().map_err(|error: rusqlite::Error| error.to_string())?;
    if payload.is_empty() {
        payload = match unpacker.payload(id, seq) {
            Ok(text) => text.to_owned(),
            Err(UnpackError::Damaged(what)) => return Err(what),
            Err(UnpackError::Sqlite(error)) => return Err(error.to_string()),
        };
    }
    let summed = ChecksummedRow {
        at: at.as_micros(),
        flags,
        kind: &kind,
        scope: &scope,
        trace: trace.as_deref(),
        payload: &payload,
    };
    let matches_checksum = summed.matches_checksum();
    let scope = scope.parse().map_err(|invalid: backstay_model::InvalidScope| invalid.to_string())?;
    let payload = Payload::from_text(payload).map_err(|invalid| {
        format!(
            "{invalid}: {}",
            std::error::Error::source(&invalid).map_or_else(String::new, ToString::to_string)
        )
    })?;
    let recorded = Recorded {
        topic: topic.clone(),
        seq,
        g: Position(g),
        at,
        kind: backstay_model::Kind::from_name(kind),
        scope,
        payload,
        trace,
        more: flags & FLAG_MORE != 0,
    };
    Ok(Whole { recorded, flags, matches_checksum })
}
