//! Making a copy of a log one that can be used beside, or in place of, what it was copied from.

use std::path::Path;

use backstay_model::{Position, Timestamp};
use rusqlite::{Transaction, TransactionBehavior};

use super::super::error_map;
use super::super::schema::{self, LOST_SPAN, NEWEST};
use super::super::sql::{position, stored};
use super::read_only::ReadOnlyStore;
use crate::error::InspectError;

/// Positions that the copy never gives to an event, because the original may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedPositions {
    /// The newest position of the copy.
    pub after: Position,
    /// The last one that is left out.
    pub until: Position,
}

/// Lets the positions of the log in `folder` jump over all that the original can have drawn since it was copied: a cursor
/// of the original that stands there is told as lost. Nobody else may have the store open. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store or cannot be written.
pub fn skip_positions(folder: &Path, now: Timestamp) -> Result<SkippedPositions, InspectError> {
    let path = ReadOnlyStore::open(folder)?.path;
    let mut connection = schema::connect_writer(&path)?;
    let raised = (|| -> rusqlite::Result<SkippedPositions> {
        // What is written here is on the disk when this returns.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let raised = raise(&transaction, now)?;
        transaction.commit()?;
        Ok(raised)
    })();
    Ok(raised.map_err(|source| error_map::sqlite("write", &path, source))?)
}

/// Lets positions jump in a transaction.
pub(super) fn raise(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<SkippedPositions> {
    let after = transaction.query_row(NEWEST, (), |row| position(row, 0))?;
    let until = Position(after.0.saturating_add(LOST_SPAN));
    transaction.execute(
        "INSERT INTO lost (after_g, until_g, at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET until_g = max(until_g, excluded.until_g)",
        (stored(after.0), stored(until.0), now.as_micros()),
    )?;
    transaction.execute("UPDATE meta SET g_floor = ?1, generation = generation + 1", [stored(until.0)])?;
    Ok(SkippedPositions { after, until })
}
