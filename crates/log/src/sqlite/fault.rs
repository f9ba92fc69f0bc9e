//! What SQLite's and the system's errors mean to a user of the store.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// `SQLITE_IOERR_FSYNC`: a flush failed, and what it covered may be gone.
const IOERR_FSYNC: i32 = 1034;
/// `SQLITE_IOERR_DIR_FSYNC`: the same of a folder.
const IOERR_DIR_FSYNC: i32 = 1290;

/// What `source` means while trying to `action` the database at `path`.
pub(super) fn sqlite(action: &'static str, path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path, source: Arc::new(source) },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly { path, source: Arc::new(source) }
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, what: source.to_string() },
        _ => StoreError::Sqlite { action, path, source: Arc::new(source) },
    }
}

/// Whether `source` says that a flush to the disk failed.
pub(super) fn is_failed_flush(source: &rusqlite::Error) -> bool {
    matches!(source, rusqlite::Error::SqliteFailure(failure, _)
        if [IOERR_FSYNC, IOERR_DIR_FSYNC].contains(&failure.extended_code))
}

/// What `source` means while trying to `action` the file at `path`.
pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, source: Arc::new(source) }
        }
        _ => StoreError::Io { action, path, source: Arc::new(source) },
    }
}
