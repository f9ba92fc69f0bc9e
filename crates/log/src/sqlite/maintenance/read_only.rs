//! A store that is open for reading only.

use std::path::{Path, PathBuf};

use backstay_files::{Dir, if_there};
use rusqlite::{Connection, Transaction};

use super::super::lock::{LockFile, LockMode};
use super::super::schema::{self, DatabaseKind};
use super::super::{error_map, filesystem, wal};
use super::exclusive::ExclusiveStore;
use crate::error::{InspectError, OpenError, StoreError};

/// The database's name in the store's folder.
const DATABASE: &str = "log.db";

/// A database that is open for reading. No process can use the store exclusively meanwhile.
#[derive(Debug)]
pub(super) struct ReadOnlyStore {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    _lock: Option<LockFile>,
}

impl ReadOnlyStore {
    /// Opens the store in `folder`.
    pub(super) fn open(folder: &Path) -> Result<ReadOnlyStore, InspectError> {
        let root = root(folder)?;
        filesystem::refuse_network(root.path())?;
        let lock = LockFile::open_there(&root, "store.lock", LockMode::Shared)?;
        if let Some(lock) = &lock {
            lock.acquire()?;
        }
        ReadOnlyStore::connect(root, lock)
    }

    /// The same for a store that this process has open exclusively.
    pub(super) fn open_exclusive(alone: &ExclusiveStore) -> Result<ReadOnlyStore, InspectError> {
        ReadOnlyStore::connect(root(alone.folder())?, None)
    }

    fn connect(root: Dir, lock: Option<LockFile>) -> Result<ReadOnlyStore, InspectError> {
        let path = root.path().join(DATABASE);
        let connection = schema::connect_reader(&path)?;
        recognize(&connection, &path)?;
        Ok(ReadOnlyStore { connection, path, _lock: lock })
    }

    /// Begins a read transaction, whose reads are consistent.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let failed = |source| error_map::sqlite("read", &self.path, source);
        let transaction = self.connection.transaction().map_err(failed)?;
        // A transaction begins with its first read.
        transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |_row| Ok(())).map_err(failed)?;
        Ok(transaction)
    }
}

/// Opens the folder of a store, whose database must exist.
fn root(folder: &Path) -> Result<Dir, InspectError> {
    let failed = |source| error_map::io("look at", folder, source);
    let missing = || InspectError::from(OpenError::Missing { location: folder.into() });
    let root = if_there(Dir::open_found(folder)).map_err(failed)?.ok_or_else(missing)?;
    wal::refuse_damage(&root.path().join(DATABASE))?;
    if root.has(DATABASE).map_err(failed)? { Ok(root) } else { Err(missing()) }
}

/// Refuses a database that is not a store of the current format.
pub(super) fn recognize(connection: &Connection, path: &Path) -> Result<(), InspectError> {
    match schema::recognize(connection, path)? {
        DatabaseKind::Store => Ok(()),
        DatabaseKind::Blank => {
            let what = "nothing is in it yet".to_owned();
            Err(OpenError::NotAStore { location: path.into(), what }.into())
        }
    }
}
