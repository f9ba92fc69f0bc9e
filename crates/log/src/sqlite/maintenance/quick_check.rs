//! A short look at whether the database of a store is whole.

use std::path::Path;

use super::super::error_map;
use super::read_only::ReadOnlyStore;
use crate::error::InspectError;

/// Lets SQLite look whether the database of the store in `folder` is built as it should be, and gives the first thing that
/// is not. What the rows say is the matter of [`check`](super::check()). It reads all of the database: for whoever knows
/// that it is small. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be read.
pub fn quick_check(folder: &Path) -> Result<Option<String>, InspectError> {
    let mut look = ReadOnlyStore::open(folder)?;
    let path = look.path.clone();
    let transaction = look.begin()?;
    let said: String = transaction
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|source| error_map::sqlite("check", &path, source))?;
    Ok((said != "ok").then_some(said))
}
