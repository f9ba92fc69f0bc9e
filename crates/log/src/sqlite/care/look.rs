//! A look at a store that changes nothing in it.

use std::path::{Path, PathBuf};

use backstay_files::{Dir, if_there};
use rusqlite::{Connection, Transaction};

use super::super::lock::{LockFile, Strength};
use super::super::schema::{self, FORMAT};
use super::super::{fault, filesystem, wal};
use super::alone::Alone;
use crate::error::{LookError, OpenError, StoreError};

/// The database's name in the store's folder.
const DATABASE: &str = "log.db";
/// The oldest format that can be looked at as it is; older ones are brought up when they are opened.
const FORMAT_MIN: i64 = 2;

/// An open database, for reading. Nobody can have the store alone meanwhile.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) format: i64,
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
        let format = version(&connection, &path)?;
        Ok(Look { connection, path, format, _lock: lock })
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

/// The version of the tables, if it is one that can be looked at.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, LookError> {
    let path = path.to_owned();
    match schema::version(connection, &path)? {
        None => {
            Err(OpenError::NotAStore { path, what: "it is another program's database".to_owned() }.into())
        }
        Some(found) if found > FORMAT => Err(OpenError::NewerStore { path, found, known: FORMAT }.into()),
        Some(found) if found < FORMAT_MIN => Err(LookError::Older { path, found }),
        Some(found) => Ok(found),
    }
}
