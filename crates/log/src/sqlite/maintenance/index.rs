//! The index by topic against the events.

use rusqlite::Connection;

use super::super::pending_index::Marks;
use super::super::sql::unsigned;
use super::events::Key;
use super::findings::Finding;
use backstay_model::{Position, Seq};

/// An entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) topic: i64,
    pub(super) seq: u64,
    pub(super) g: u64,
}

/// All entries that can be read, in order.
pub(super) fn entries(connection: &Connection, findings: &mut Vec<Finding>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare("SELECT topic_id, seq, g FROM topic_event ORDER BY topic_id, seq")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            entries.push(Entry { topic: row.get(0)?, seq: unsigned(row, 1)?, g: unsigned(row, 2)? });
        }
        Ok(())
    };
    if let Err(error) = read() {
        findings.push(Finding::Database { what: format!("the index by topic cannot be read: {error}") });
    }
    entries
}

/// Compares: each event is in the index if the marks say so, and else it is not; nothing else is in it. `name` gives a
/// topic's name, and `floor` the last number that it does not have any more.
pub(super) fn compare(
    keys: &[Key],
    entries: &[Entry],
    marks: &Marks,
    topics: &impl Fn(i64) -> (String, u64),
    findings: &mut Vec<Finding>,
) {
    let mut odd = |topic: i64, seq: u64, what: String| {
        let (topic, floor) = topics(topic);
        if seq > floor {
            findings.push(Finding::Index { topic, seq: Seq(seq), what });
        }
    };
    let (mut keys, mut entries) = (keys.iter().peekable(), entries.iter().peekable());
    loop {
        let place_of_key = keys.peek().map(|key| (key.topic, key.seq));
        let place_of_entry = entries.peek().map(|entry| (entry.topic, entry.seq));
        match (place_of_key, place_of_entry) {
            (None, None) => return,
            (Some(place), Some(other)) if place == other => {
                let (Some(key), Some(entry)) = (keys.next(), entries.next()) else { return };
                if key.g != entry.g {
                    odd(key.topic, key.seq, format!("it is at {}, the index says {}", key.g, entry.g));
                } else if !marks.include(key.topic, Position(key.g)) {
                    odd(key.topic, key.seq, "the index has it, and its marks say that it has not".to_owned());
                }
            }
            (Some(place), other) if other.is_none_or(|other| place < other) => {
                let Some(key) = keys.next() else { return };
                if marks.include(key.topic, Position(key.g)) {
                    odd(key.topic, key.seq, "the index does not have it".to_owned());
                }
            }
            _ => {
                // Whether its event is lost is told where numbers are compared.
                let Some(entry) = entries.next() else { return };
                if !marks.include(entry.topic, Position(entry.g)) {
                    odd(entry.topic, entry.seq, "the index has it, and there is no such event".to_owned());
                }
            }
        }
    }
}

/// Entries whose names of kind or scope are not those of their events.
pub(super) fn names(connection: &Connection) -> rusqlite::Result<Vec<(i64, u64)>> {
    let mut statement = connection.prepare(
        "SELECT i.topic_id, i.seq FROM topic_event i JOIN event e ON e.g = i.g LEFT JOIN name k ON k.id = i.kind \
         LEFT JOIN name s ON s.id = i.scope WHERE k.text IS NOT e.kind OR s.text IS NOT e.scope",
    )?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
    rows.collect()
}
