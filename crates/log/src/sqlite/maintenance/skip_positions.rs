//! Lets a copy of a log be used beside, or in place of, the log that it was copied from.

use std::path::Path;

use backstay_model::{Position, Timestamp};
use rusqlite::TransactionBehavior;

use super::super::{error_map, incarnation, schema};
use super::read_only::ReadOnlyStore;
use crate::contract::{Incarnation, IncarnationCause};
use crate::error::InspectError;

/// Positions that the copy never gives to an event, because the original may have given them to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedPositions {
    /// The newest position of the copy.
    pub after: Position,
    /// The last skipped position.
    pub until: Position,
}

impl From<Incarnation> for SkippedPositions {
    fn from(begun: Incarnation) -> SkippedPositions {
        SkippedPositions { after: begun.lost_after, until: begun.floor }
    }
}

/// Begins another incarnation of the log in `folder`: its positions are above all that the original can have drawn since it was
/// copied, and a cursor of the original that stands there is told as lost. Nobody else may have the store open. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store or cannot be written.
pub fn skip_positions(folder: &Path, now: Timestamp) -> Result<SkippedPositions, InspectError> {
    let path = ReadOnlyStore::open(folder)?.path;
    let mut connection = schema::connect_writer(&path)?;
    let begun = (|| -> rusqlite::Result<Incarnation> {
        // What is written here is on the disk when this returns.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let begun = incarnation::begin(&transaction, IncarnationCause::Restore, now)?;
        transaction.commit()?;
        Ok(begun)
    })();
    Ok(begun.map_err(|source| error_map::sqlite("write", &path, source))?.into())
}
