//! What the system says when there is no room.

use std::io::{Error, ErrorKind};

/// Whether a write was refused because there is no room for it: the disk is full, the user's share of it is used up, or a
/// file would be longer than this process may write (`ulimit -f`).
#[must_use]
pub fn is_no_room(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
