//! A consistent copy of the database, while others go on writing.

use std::path::Path;

use backstay_files::Dir;
use backstay_model::{LogId, Position};
use rusqlite::Connection;

use super::super::schema::{self, FORMAT};
use super::super::sql::unsigned;
use super::super::{error_map, readers};
use super::read_only::ReadOnlyStore;
use crate::error::{InspectError, StoreError};

/// A copy of a database on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseCopy {
    /// The log's id.
    pub log: LogId,
    /// The version of its tables.
    pub format: i64,
    /// Its newest position.
    pub newest: Position,
    /// The number of its events.
    pub events: u64,
}

/// Copies the database of the store in `store` to `target`, which must not exist. Returns once the copy is on the disk.
///
/// SQLite's own online backup begins again with each commit of another process. This copy is made within one read transaction, holds no
/// writer up, and leaves out free pages. Blocks.
///
/// # Errors
/// [`InspectError`] if the store cannot be read, or the copy cannot be written.
pub fn copy_database(store: &Path, target: &Path) -> Result<DatabaseCopy, InspectError> {
    let store = ReadOnlyStore::open(store)?;
    let copying = schema::connect_writer(&store.path)?;
    let text = target.to_str().ok_or_else(|| {
        error_map::io(
            "name",
            target,
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"),
        )
    })?;
    // SQLite copies into an empty file as well, so the copy belongs to its user alone from the start.
    let made = match (target.parent(), target.file_name()) {
        (Some(folder), Some(name)) => {
            Dir::open_found(folder).and_then(|folder| Ok((folder.create_new(name)?, folder)))
        }
        _ => Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let (file, folder) = made.map_err(|source| error_map::io("make", target, source))?;
    copying
        .execute("VACUUM INTO ?1", [text])
        .map_err(|source| error_map::sqlite("copy", &store.path, source))?;
    file.sync_all().and_then(|()| folder.sync()).map_err(|source| error_map::io("flush", target, source))?;
    let copy = schema::connect_reader(target)?;
    let unreadable = |source| error_map::sqlite("read", target, source);
    let (log, events) = describe(&copy).map_err(unreadable)?;
    let log = log.parse().map_err(|invalid: backstay_model::InvalidId| StoreError::Corrupt {
        location: target.into(),
        what: invalid.to_string(),
    })?;
    let newest = readers::newest(&copy).map_err(unreadable)?;
    Ok(DatabaseCopy { log, format: FORMAT, newest, events })
}

fn describe(copy: &Connection) -> rusqlite::Result<(String, u64)> {
    copy.query_row("SELECT log_id, (SELECT count(*) FROM event) FROM meta", (), |row| {
        Ok((row.get(0)?, unsigned(row, 1)?))
    })
}
