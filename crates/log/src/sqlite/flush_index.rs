//! Moves pending index entries into the database, some at a time, inside of commits.
//!
//! A round takes every entry that is pending when it begins, in the order of the index, so that each page of the index is written once in
//! a round. Its first step is part of the commit with which too many entries are pending; the others follow with the next commits of any
//! process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use rusqlite::Connection;

use super::commit::{CommitFailure, Committer};
use super::pending_index::{IndexRow, Marks};
use super::sql::stored;

/// Entries that a commit writes for each of its own events, within a least and a greatest part of the entries that may wait. So a round
/// ends long before as many are pending again, and no commit takes long.
const STEP_PER_EVENT: usize = 3;
const STEP_MIN_PART: usize = 256;
const STEP_MAX_PART: usize = 32;

const COLUMNS: usize = 5;
const SIZES: [usize; 3] = [64, 8, 1];

static INSERTS: LazyLock<[String; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let row = format!("({})", ["?"; COLUMNS].join(","));
        format!(
            "INSERT INTO topic_event (topic_id,seq,g,kind,scope) VALUES {}",
            vec![row.as_str(); rows].join(",")
        )
    })
});

/// Adds the next step to the open transaction if one is due, and returns the marks after its commit.
pub(super) fn step(
    committer: &mut Committer,
    events: usize,
    idle: bool,
) -> Result<Option<Marks>, CommitFailure> {
    let next = {
        let pending_index = committer.pending_index.lock();
        let due = pending_index.round_under_way() || pending_index.count() + events > committer.waiting_max;
        if !(due || idle) {
            return Ok(None);
        }
        let least = (committer.waiting_max / STEP_MIN_PART).max(1);
        let most = (committer.waiting_max / STEP_MAX_PART).max(1);
        let size = if idle { most } else { (events * STEP_PER_EVENT).clamp(least, most) };
        pending_index.step(size)
    };
    let Some(step) = next else { return Ok(None) };
    let mut numbers = HashMap::with_capacity(step.names.len());
    for (ours, name) in &step.names {
        numbers.insert(*ours, name_number(committer, name)?);
    }
    insert(&committer.connection, &step.rows, &numbers)?;
    let Marks { flushed, until, topic, g, .. } = step.after;
    committer
        .connection
        .prepare_cached("UPDATE meta SET flushed = ?1, round_until = ?2, round_topic = ?3, round_g = ?4")?
        .execute((stored(flushed.0), stored(until.0), topic, stored(g.0)))?;
    Ok(Some(step.after))
}

/// Returns the number of a name in the database, and draws one if it is new.
fn name_number(committer: &mut Committer, name: &Arc<str>) -> Result<i64, CommitFailure> {
    if let Some(number) = committer.stored_names.get(name) {
        return Ok(*number);
    }
    let number = number_in(&committer.connection, name)?;
    committer.stored_names.insert(name.clone(), number);
    Ok(number)
}

fn number_in(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO name (text) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([name])?;
    connection.prepare_cached("SELECT id FROM name WHERE text = ?1")?.query_row([name], |row| row.get(0))
}

fn insert(
    connection: &Connection,
    rows: &[IndexRow],
    numbers: &HashMap<u32, i64>,
) -> Result<(), CommitFailure> {
    let mut rest = rows;
    let mut last = [(None, 0); 2];
    let mut number = |which: usize, ours: u32| -> Result<i64, CommitFailure> {
        if last[which].0 != Some(ours) {
            let unknown =
                || CommitFailure::Corrupt(format!("the name {ours} of an index entry has no number"));
            last[which] = (Some(ours), *numbers.get(&ours).ok_or_else(unknown)?);
        }
        Ok(last[which].1)
    };
    for (size, sql) in SIZES.iter().zip(INSERTS.iter()) {
        if rest.len() < *size {
            continue;
        }
        let mut statement = connection.prepare_cached(sql)?;
        while rest.len() >= *size {
            let (now, later) = rest.split_at(*size);
            for (index, row) in now.iter().enumerate() {
                let base = index * COLUMNS;
                statement.raw_bind_parameter(base + 1, row.topic)?;
                statement.raw_bind_parameter(base + 2, stored(row.seq.0))?;
                statement.raw_bind_parameter(base + 3, stored(row.g.0))?;
                statement.raw_bind_parameter(base + 4, number(0, row.kind)?)?;
                statement.raw_bind_parameter(base + 5, number(1, row.scope)?)?;
            }
            statement.raw_execute().map_err(|source| doubled(source, now))?;
            rest = later;
        }
    }
    Ok(())
}

/// A number that the index has already, for another position, means that two events have it.
fn doubled(source: rusqlite::Error, rows: &[IndexRow]) -> CommitFailure {
    match (source.sqlite_error_code(), rows) {
        (Some(rusqlite::ErrorCode::ConstraintViolation), [first, .., last]) => {
            CommitFailure::Corrupt(format!(
                "one of the events {} to {} has a number that another event of its topic has",
                first.g, last.g
            ))
        }
        (Some(rusqlite::ErrorCode::ConstraintViolation), [only]) => CommitFailure::Corrupt(format!(
            "the event at {} has the number {}, which another event of its topic has",
            only.g, only.seq
        )),
        _ => CommitFailure::Before(source),
    }
}
