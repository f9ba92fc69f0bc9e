//! Identifies the log of a store without opening the store.

use std::path::Path;

use backstay_model::{LogId, Position};

use super::super::schema::{self, DatabaseKind};
use super::super::{error_map, readers, wal};
use crate::error::{InspectError, OpenError, StoreError};

/// The identity of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreIdentity {
    /// The database is empty.
    Blank,
    /// A log.
    Log {
        /// Its id.
        log: LogId,
        /// Its newest position.
        newest: Position,
    },
}

/// Refuses a store whose database lacks a part that SQLite would not report. To be called before a copy is read: the traces of the
/// damage are beside the original. Writes nothing. Blocks.
///
/// # Errors
/// [`StoreError::Corrupt`] names the missing part; [`StoreError::Io`] if the files cannot be read.
pub fn refuse_damage(folder: &Path) -> Result<(), StoreError> {
    wal::refuse_damage(&folder.join("log.db"))
}

/// Returns the id and the newest position of the log in `folder`. Writes nothing but the shared memory beside the database, as every
/// reader does. Blocks.
///
/// # Errors
/// [`InspectError`] if there is no database, or it is not of a store, newer, damaged, or cannot be read.
pub fn identify(folder: &Path) -> Result<StoreIdentity, InspectError> {
    // SQLite would remove the traces of the damage.
    refuse_damage(folder)?;
    let path = folder.join("log.db");
    if !path.try_exists().map_err(|source| error_map::io("look at", &path, source))? {
        return Err(OpenError::Missing { location: folder.into() }.into());
    }
    if !wal::is_database(&path)? {
        return Err(OpenError::NotAStore { location: path.into(), what: "not a database".to_owned() }.into());
    }
    let connection = schema::connect_reader(&path)?;
    let failed = |source| error_map::sqlite("read", &path, source);
    if let DatabaseKind::Blank = schema::recognize(&connection, &path)? {
        return Ok(StoreIdentity::Blank);
    }
    let id: String = connection.query_row("SELECT log_id FROM meta", (), |row| row.get(0)).map_err(failed)?;
    let log = id.parse().map_err(|invalid: backstay_model::InvalidId| StoreError::Corrupt {
        location: (&path).into(),
        what: invalid.to_string(),
    })?;
    let newest = readers::newest(&connection).map_err(failed)?;
    Ok(StoreIdentity::Log { log, newest })
}
