//! Scans of a store without a check.

use std::collections::HashMap;
use std::path::Path;

use backstay_model::Seq;

use super::super::packed::Unpacker;
use super::check::topic_rows;
use super::events;
use super::findings::Inspect;
use super::read_only::ReadOnlyStore;
use crate::error::InspectError;

/// Shows every event of the store in `folder` that can be read to `inspect`, by topic. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be read.
pub fn scan(folder: &Path, inspect: &mut dyn Inspect) -> Result<(), InspectError> {
    let mut store = ReadOnlyStore::open(folder)?;
    let transaction = store.begin()?;
    let mut damaged = Vec::new();
    let rows = topic_rows(&transaction, &mut damaged);
    let mut unpacker = Unpacker::new(&transaction);
    for key in events::keys(&transaction, &mut damaged) {
        let Some(row) = rows.get(&key.topic).filter(|row| key.seq > row.floor) else { continue };
        let Ok(topic) = row.name.parse() else { continue };
        if let Ok(whole) = events::whole(&mut unpacker, &topic, Seq(key.seq), key.g) {
            inspect.event(&whole.recorded);
        }
    }
    tracing::debug!(damaged = damaged.len(), "a store was scanned");
    Ok(())
}

/// Returns the last trimmed number of each topic of the store in `folder`. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be read.
pub fn floors(folder: &Path) -> Result<HashMap<String, Seq>, InspectError> {
    let mut store = ReadOnlyStore::open(folder)?;
    let transaction = store.begin()?;
    let rows = topic_rows(&transaction, &mut Vec::new());
    Ok(rows.into_values().map(|row| (row.name, Seq(row.floor))).collect())
}
