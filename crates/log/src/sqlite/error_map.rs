//! Maps errors of SQLite and of the system to errors of the store.

use std::io::{self, Write};
use std::path::Path;

use backstay_files::Dir;
use rusqlite::ErrorCode;

use crate::error::{Location, StoreError};

/// `SQLITE_IOERR_FSYNC`: a flush failed, and earlier commits may be lost.
const IOERR_FSYNC: i32 = 1034;
/// `SQLITE_IOERR_DIR_FSYNC`: the same for a folder.
const IOERR_DIR_FSYNC: i32 = 1290;

/// `SQLITE_IOERR_WRITE`, `SQLITE_IOERR_TRUNCATE`, `SQLITE_IOERR_SHMSIZE`.
const IOERR_WRITE: i32 = 778;
const IOERR_TRUNCATE: i32 = 1546;
const IOERR_SHMSIZE: i32 = 4874;
/// Bytes of a test write: more than one frame of the log.
const PROBE_BYTES: usize = 8 * 1024;

/// Returns the error of `action` on the database at `path`.
pub(super) fn sqlite(action: &'static str, path: &Path, source: rusqlite::Error) -> StoreError {
    let location = Location::from(path);
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            // The kind tells it also where an error shows only its cause.
            let source = io::Error::new(io::ErrorKind::StorageFull, source).into();
            StoreError::OutOfSpace { location, source }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly { location, source: source.into() }
        }
        _ if is_failed_write(&source)
            && let Some(refused) = refused_room(path) =>
        {
            StoreError::OutOfSpace { location, source: refused.into() }
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { location, what: source.to_string() },
        _ => StoreError::Backend { action, location, source: source.into() },
    }
}

/// Returns whether `source` is a failed write. SQLite reports a full disk as such, but not a quota or a limit.
fn is_failed_write(source: &rusqlite::Error) -> bool {
    matches!(source, rusqlite::Error::SqliteFailure(failure, _)
        if [IOERR_WRITE, IOERR_TRUNCATE, IOERR_SHMSIZE].contains(&failure.extended_code))
}

/// Writes a test file beside the database at `path`, and returns the error if no space is left: a used-up quota, or a file that would be
/// longer than `ulimit -f` allows.
fn refused_room(path: &Path) -> Option<io::Error> {
    let longest = ["", "-wal", "-shm"].iter().filter_map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::symlink_metadata(name).ok().map(|there| there.len())
    });
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| longest.max().is_some_and(|longest| longest + PROBE_BYTES as u64 > limit)) {
        return Some(io::ErrorKind::FileTooLarge.into());
    }
    let folder = Dir::open_found(path.parent()?).ok()?;
    let probe = format!("log.probe-{}", std::process::id());
    let written = folder.create(&probe).and_then(|mut file| file.write_all(&[0; PROBE_BYTES]));
    if let Err(error) = folder.remove(&probe) {
        tracing::debug!(probe, %error, "the test file was not removed");
    }
    written.err().filter(backstay_model::is_no_room)
}

/// Returns whether `source` is a failed flush.
pub(super) fn is_failed_flush(source: &rusqlite::Error) -> bool {
    matches!(source, rusqlite::Error::SqliteFailure(failure, _)
        if [IOERR_FSYNC, IOERR_DIR_FSYNC].contains(&failure.extended_code))
}

/// Returns the error of `action` on the file at `path`.
pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    let location = Location::from(path);
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { location, source: source.into() }
        }
        _ => StoreError::Io { action, location, source: source.into() },
    }
}
