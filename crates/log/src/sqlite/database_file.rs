//! The open database file, and whether it is still the one at its path.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{error_map, schema};
use crate::error::StoreError;

/// A database file, by its path and by its number in the file system. The system does not reuse the number while a connection has the file
/// open.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    file: FileNumber,
}

/// The number of a file, valid until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileNumber {
    device: u64,
    inode: u64,
}

impl FileNumber {
    fn of(found: &Metadata) -> FileNumber {
        FileNumber { device: found.dev(), inode: found.ino() }
    }
}

impl DatabaseFile {
    /// Opens the database at `path` with `connect`, and remembers its file.
    pub(super) fn connect(
        path: &Path,
        connect: impl FnOnce(&Path) -> Result<Connection, StoreError>,
    ) -> Result<(Connection, DatabaseFile), StoreError> {
        let database_file = DatabaseFile::at(path)?;
        let connection = connect(path)?;
        database_file.check()?;
        Ok((connection, database_file))
    }

    fn at(path: &Path) -> Result<DatabaseFile, StoreError> {
        let found =
            std::fs::symlink_metadata(path).map_err(|source| error_map::io("look at", path, source))?;
        Ok(DatabaseFile { path: path.to_owned(), file: FileNumber::of(&found) })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path has another file now, or none. It takes one system call.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if FileNumber::of(&found) == self.file => Ok(()),
            Ok(_) => Err(StoreError::Gone { location: (&self.path).into() }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(StoreError::Gone { location: (&self.path).into() })
            }
            Err(source) => Err(error_map::io("look at", &self.path, source)),
        }
    }

    /// Opens another connection to the same file, for reading.
    pub(super) fn connect_reader(&self) -> Result<Connection, StoreError> {
        self.check()?;
        let connection = schema::connect_reader(&self.path)?;
        self.check()?;
        Ok(connection)
    }
}
