//! Giving back the room that freed runs leave in a store's files.

use backstay_log::maintenance::{self, Compacted, ExclusiveStore};
use camino::Utf8Path;

use super::error::CompactError;
use crate::disk_reserve;

/// What became of the room that freed runs leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// It was given back.
    Done(Compacted),
    /// Other processes have the store open: what it frees is used again for what comes.
    InUse,
}

/// Builds the database of the store in `folder` (absolute) anew without what is gone, and gives back what is only kept for
/// owners at work: the blocks of the write-ahead log, and the disk reserve. Whoever owns runs next takes them again. Blocks, and
/// waits for nobody.
///
/// # Errors
/// [`CompactError`]; the store is as it was, or smaller.
pub fn compact(folder: &Utf8Path) -> Result<Compaction, CompactError> {
    let Some(alone) = ExclusiveStore::try_acquire(folder.as_std_path())? else {
        return Ok(Compaction::InUse);
    };
    let compacted = maintenance::compact(&alone)?;
    disk_reserve::drop_off(folder);
    Ok(Compaction::Done(compacted))
}
