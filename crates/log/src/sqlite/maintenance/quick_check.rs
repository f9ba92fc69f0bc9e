//! A short check of the database of a store.

use std::path::Path;

use super::super::error_map;
use super::read_only::ReadOnlyStore;
use crate::error::InspectError;

/// Lets SQLite check the structure of the database of the store in `folder`, and returns the first damage. [`check`](super::check()) checks
/// the rows, too. It reads the whole database, so the caller knows that it is small. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be read.
pub fn quick_check(folder: &Path) -> Result<Option<String>, InspectError> {
    let mut store = ReadOnlyStore::open(folder)?;
    let path = store.path.clone();
    let transaction = store.begin()?;
    let said: String = transaction
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|source| error_map::sqlite("check", &path, source))?;
    Ok((said != "ok").then_some(said))
}
