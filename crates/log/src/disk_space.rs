//! Whether something failed because no space is left.

use std::error::Error;
use std::io;

use backstay_model::is_no_room;

/// Returns whether `error`, or what caused it, says that no space is left: a full disk, a used-up quota, or a file that would be
/// longer than `ulimit -f` allows.
#[must_use]
pub fn is_out_of_space(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if says_out_of_space(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn says_out_of_space(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(is_no_room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{AppendError, BlobError, Cause, OpenError, StoreError};

    #[test]
    fn every_error_that_a_full_disk_caused_says_so() {
        let cause = |kind: io::ErrorKind| -> Cause { io::Error::from(kind).into() };
        let full = || cause(io::ErrorKind::StorageFull);
        let store = || StoreError::OutOfSpace { location: "log.db".into(), source: full() };
        let io = |kind| BlobError::Io { action: "write", location: "blobs/1".into(), source: cause(kind) };
        let errors: [Box<dyn Error>; 6] = [
            Box::new(AppendError::from(store())),
            Box::new(OpenError::from(store())),
            Box::new(StoreError::Io { action: "write", location: "log.db".into(), source: full() }),
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
