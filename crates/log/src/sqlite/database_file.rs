//! The database file that is open, and whether it is still the one at its path.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{error_map, schema};
use crate::error::StoreError;

/// A database file, by its path and by what the system knows it by. The number of a file is not given again while a
/// connection has it open.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    file: FileNumber,
}

/// Which file it is, until it is closed.
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
    /// Opens the database at `path` with `connect`, and notes which file that is.
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

    /// The path that it was opened at.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path has another file now, or none. One system call.
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

    /// Another connection to the same file, for reading.
    pub(super) fn connect_reader(&self) -> Result<Connection, StoreError> {
        self.check()?;
        let connection = schema::connect_reader(&self.path)?;
        self.check()?;
        Ok(connection)
    }
}
