//! Incarnations of a log: one begins whenever commits may have been lost, and its positions are above all lost ones.

use backstay_model::{Position, Timestamp};
use rusqlite::{Connection, Transaction};

use super::readers::ReadFailure;
use super::schema::NEWEST;
use super::sql::{position, stored, unsigned};
use crate::contract::{Incarnation, IncarnationCause};

/// How far positions jump: more than any incarnation draws between two flushes, or after a copy was made.
const LOST_SPAN: u64 = 1 << 24;

/// Writes the row of the first incarnation.
pub(super) fn create(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    insert(transaction, IncarnationCause::Created, now, Position(0), Position(0))
}

/// Begins another incarnation. Its positions are above all that the one before may have drawn.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    cause: IncarnationCause,
    now: Timestamp,
) -> rusqlite::Result<Incarnation> {
    let lost_after = transaction.query_row(NEWEST, (), |row| position(row, 0))?;
    let floor = Position(lost_after.0.saturating_add(LOST_SPAN));
    insert(transaction, cause, now, lost_after, floor)?;
    transaction.execute("UPDATE meta SET g_floor = ?1, generation = generation + 1", [stored(floor.0)])?;
    let number = transaction.last_insert_rowid().cast_unsigned();
    Ok(Incarnation { number, cause, at: now, lost_after, floor })
}

fn insert(
    transaction: &Transaction<'_>,
    cause: IncarnationCause,
    now: Timestamp,
    lost_after: Position,
    floor: Position,
) -> rusqlite::Result<()> {
    // The key is the number: SQLite draws one above the greatest.
    transaction.execute(
        "INSERT INTO incarnation (cause, at, lost_after, floor) VALUES (?1, ?2, ?3, ?4)",
        (cause.as_str(), now.as_micros(), stored(lost_after.0), stored(floor.0)),
    )?;
    Ok(())
}

/// The current incarnation.
pub(super) fn current(connection: &Connection) -> Result<Incarnation, ReadFailure> {
    let (number, cause, at, lost_after, floor) = connection.query_row(
        "SELECT number, cause, at, lost_after, floor FROM incarnation ORDER BY number DESC LIMIT 1",
        (),
        |row| {
            Ok((
                unsigned(row, 0)?,
                row.get::<_, String>(1)?,
                row.get(2)?,
                position(row, 3)?,
                position(row, 4)?,
            ))
        },
    )?;
    let cause = IncarnationCause::from_name(&cause).ok_or_else(|| {
        ReadFailure::Corrupt(format!("an incarnation began with `{cause}`, which is no cause"))
    })?;
    Ok(Incarnation { number, cause, at: Timestamp::from_micros(at), lost_after, floor })
}

/// Whether `g` is a position that an incarnation may have given to an event that is lost.
pub(super) fn is_lost(connection: &Connection, g: Position) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM incarnation WHERE lost_after < ?1 AND ?1 <= floor)",
        [stored(g.0)],
        |row| row.get(0),
    )
}
