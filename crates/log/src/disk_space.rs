//! Whether something failed because there is no room.

use std::error::Error;
use std::io;
use std::sync::Arc;

use backstay_model::is_no_room;
use rusqlite::ErrorCode;

/// Whether `error`, or what caused it, says that there is no room: a full disk, a share of it that is used up, or a file that
/// would be longer than `ulimit -f` lets it be. Every place where that can come from tells it by its cause.
#[must_use]
pub fn is_out_of_space(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if reports_full_disk(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn reports_full_disk(error: &(dyn Error + 'static)) -> bool {
    // What is shared hides what it is.
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return reports_full_disk(shared.as_ref());
    }
    let io = error.downcast_ref::<io::Error>();
    let io = io.or_else(|| error.downcast_ref::<Arc<io::Error>>().map(AsRef::as_ref));
    let sqlite = error.downcast_ref::<rusqlite::Error>();
    let sqlite = sqlite.or_else(|| error.downcast_ref::<Arc<rusqlite::Error>>().map(AsRef::as_ref));
    io.is_some_and(is_no_room)
        || sqlite.is_some_and(|error| error.sqlite_error_code() == Some(ErrorCode::DiskFull))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::error::{AppendError, BlobError, OpenError, StoreError};

    #[test]
    fn no_room_is_told_by_the_cause_of_every_error() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("log.db");
        let store = || StoreError::DiskFull { path: path(), source: Arc::new(full()) };
        let io = |kind: io::ErrorKind| BlobError::Io { action: "write", path: path(), source: kind.into() };
        let sqlite = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(13), None);
        let shared = StoreError::DiskFull { path: path(), source: Arc::new(sqlite) };
        let errors: [Box<dyn Error>; 7] = [
            Box::new(AppendError::from(shared)),
            Box::new(AppendError::from(store())),
            Box::new(OpenError::from(store())),
            Box::new(StoreError::Io { action: "write", path: path(), source: Arc::new(full()) }),
            Box::new(io(io::ErrorKind::StorageFull)),
            Box::new(io(io::ErrorKind::QuotaExceeded)),
            Box::new(io(io::ErrorKind::FileTooLarge)),
        ];
        for error in errors {
            assert!(is_out_of_space(&*error), "{error:?}");
        }
        assert!(!is_out_of_space(&io(io::ErrorKind::PermissionDenied)));
        assert!(!is_out_of_space(&StoreError::Stopped));
    }
}
