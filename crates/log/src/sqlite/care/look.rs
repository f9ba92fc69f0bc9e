//! A look at a store that changes nothing in it.

use std::path::{Path, PathBuf};

use backstay_files::{Dir, if_there};
use rusqlite::{Connection, Transaction};

use super::super::lock::{LockFile, Strength};
use super::super::schema::{self, Found};
use super::super::{fault, filesystem, wal};
use super::alone::Alone;
use crate::error::{LookError, OpenError, StoreError};

/// The database's name in the store's folder.
const DATABASE: &str = "log.db";

/// An open database, for reading. Nobody can have the store alone meanwhile.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    _lock: Option<LockFile>,
}

impl Look {
    /// Opens the store in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Look, LookError> {
        let root = root(folder)?;
        filesystem::refuse_network(root.path())?;
        let lock = LockFile::open_there(&root, "store.lock", Strength::Shared)?;
        if let Some(lock) = &lock {
            lock.acquire()?;
        }
        Look::connect(root, lock)
    }

    /// The same for whoever has the store alone.
    pub(super) fn open_alone(alone: &Alone) -> Result<Look, LookError> {
        Look::connect(root(alone.folder())?, None)
    }

    fn connect(root: Dir, lock: Option<LockFile>) -> Result<Look, LookError> {
        let path = root.path().join(DATABASE);
        let connection = schema::connect_reader(&path)?;
        recognize(&connection, &path)?;
        Ok(Look { connection, path, _lock: lock })
    }

    /// One read transaction: everything in it is of one moment.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let failed = |source| fault::sqlite("read", &self.path, source);
        let transaction = self.connection.transaction().map_err(failed)?;
        // A transaction begins with its first read.
        transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |_row| Ok(())).map_err(failed)?;
        Ok(transaction)
    }
}

/// The folder of a store, whose database has to be there.
fn root(folder: &Path) -> Result<Dir, LookError> {
    let failed = |source| fault::io("look at", folder, source);
    let missing = || LookError::from(OpenError::Missing { path: folder.to_owned() });
    let root = if_there(Dir::open_found(folder)).map_err(failed)?.ok_or_else(missing)?;
    wal::refuse_damage(&root.path().join(DATABASE))?;
    if root.has(DATABASE).map_err(failed)? { Ok(root) } else { Err(missing()) }
}

/// Refuses a database that is no store of today's format.
pub(super) fn recognize(connection: &Connection, path: &Path) -> Result<(), LookError> {
    match schema::recognize(connection, path)? {
        Found::Store => Ok(()),
        Found::Blank => {
            let what = "nothing is in it yet".to_owned();
            Err(OpenError::NotAStore { path: path.to_owned(), what }.into())
        }
    }
}
