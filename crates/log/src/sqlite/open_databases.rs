//! The databases that this process has open.
//!
//! The system forgets all locks that a process holds on a file as soon as the process closes any descriptor of that file
//! (fcntl(2), POSIX.1-2017), and SQLite holds such locks on a database that is open. So nothing but SQLite may open and close a
//! database that this process has open already: this list is one for the whole process, and therefore a global.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Device and number of a file.
type FileId = (u64, u64);

static OPEN: Mutex<BTreeMap<FileId, usize>> = Mutex::new(BTreeMap::new());

/// Marks a database as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenDatabase(Option<FileId>);

impl OpenDatabase {
    /// Marks the database at `path` as open.
    pub(super) fn note(path: &Path) -> OpenDatabase {
        let file = file_id(path);
        if let Some(file) = file {
            *OPEN.lock().unwrap_or_else(PoisonError::into_inner).entry(file).or_default() += 1;
        }
        OpenDatabase(file)
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        let Some(file) = self.0 else { return };
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                open.remove(&file);
            }
        }
    }
}

/// Returns whether this process has the database at `path` open.
pub(super) fn is_open_in_process(path: &Path) -> bool {
    file_id(path).is_some_and(|file| OPEN.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&file))
}

/// None if there is no such file, which nobody has open under that name.
fn file_id(path: &Path) -> Option<FileId> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_open_until_its_last_user_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        assert!(!is_open_in_process(&path));
        std::fs::write(&path, "x").unwrap();
        let (one, two) = (OpenDatabase::note(&path), OpenDatabase::note(&path));
        drop(one);
        assert!(is_open_in_process(&path));
        drop(two);
        assert!(!is_open_in_process(&path));
    }
}
