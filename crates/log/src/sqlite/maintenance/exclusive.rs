//! Exclusive use of a store, and the processes that prevent it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstay_files::Dir;

use super::super::error_map;
use super::super::lock::{LockFile, LockMode};
use crate::error::{ExclusiveError, StoreError};

/// The lock that every process with an open store shares.
const LOCK: &str = "store.lock";

/// A store that no other process can open until this is dropped.
#[derive(Debug)]
pub struct ExclusiveStore {
    folder: PathBuf,
    lock: LockFile,
}

impl ExclusiveStore {
    /// Waits a few seconds until no other process has the store in `folder` open, and prevents others from opening it.
    ///
    /// # Errors
    /// [`ExclusiveError::InUse`] names the processes that have it open.
    pub fn acquire(folder: &Path) -> Result<ExclusiveStore, ExclusiveError> {
        let root =
            Dir::open_found(folder).map_err(|source| error_map::io("open the folder", folder, source))?;
        let lock = LockFile::open(&root, LOCK, LockMode::Exclusive)?;
        match lock.acquire() {
            Ok(()) => Ok(ExclusiveStore { folder: root.path().to_owned(), lock }),
            Err(StoreError::Busy { .. }) => {
                let pids = holders(&root.path().join(LOCK))?;
                Err(ExclusiveError::InUse { location: folder.into(), pids })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same without waiting; returns `None` if another process has the store open.
    ///
    /// # Errors
    /// [`ExclusiveError::Store`] if its lock cannot be used.
    pub fn try_acquire(folder: &Path) -> Result<Option<ExclusiveStore>, ExclusiveError> {
        let root =
            Dir::open_found(folder).map_err(|source| error_map::io("open the folder", folder, source))?;
        let lock = LockFile::open(&root, LOCK, LockMode::Exclusive)?;
        let is_taken = lock.acquire_within(Duration::ZERO)?;
        Ok(is_taken.then(|| ExclusiveStore { folder: root.path().to_owned(), lock }))
    }

    /// Returns the store's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for ExclusiveStore {
    fn drop(&mut self) {
        self.lock.release();
    }
}

/// Returns the processes that hold a lock on the file at `path`, in order; empty where the system does not tell.
///
/// # Errors
/// [`StoreError::Io`] if the file cannot be looked at.
pub fn holders(path: &Path) -> Result<Vec<u32>, StoreError> {
    let inode = match std::fs::symlink_metadata(path) {
        Ok(there) => there.ino(),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error_map::io("look at", path, source)),
    };
    let Ok(locks) = File::open("/proc/locks") else { return Ok(Vec::new()) };
    let mut pids: Vec<u32> =
        BufReader::new(locks).lines().map_while(Result::ok).filter_map(|line| holder(&line, inode)).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Returns the process of a line of `/proc/locks` that holds a lock on this file:
/// `1: FLOCK  ADVISORY  READ 4242 fe:00:1234567 0 EOF`. One that only waits has `->` in front.
fn holder(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let pid = words.nth(2)?;
    let file = words.next()?;
    let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
    pid.parse().ok().filter(|pid| is_it && *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_read_and_who_waits_is_not() {
        let line = "1: FLOCK  ADVISORY  READ 4242 fe:00:1234567 0 EOF";
        assert_eq!(holder(line, 1_234_567), Some(4242));
        assert_eq!(holder(line, 1_234_568), None);
        assert_eq!(holder("1: -> FLOCK  ADVISORY  WRITE 4243 fe:00:1234567 0 EOF", 1_234_567), None);
        assert_eq!(holder("2: POSIX  ADVISORY  WRITE 4242 fe:00:1234567 0 EOF", 1_234_567), None);
        assert_eq!(holder("", 1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_named_when_it_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.lock");
        let lock = LockFile::open(&Dir::open_found(folder.path()).unwrap(), LOCK, LockMode::Shared).unwrap();
        assert_eq!(holders(&path).unwrap(), Vec::<u32>::new());
        lock.acquire().unwrap();
        assert_eq!(holders(&path).unwrap(), [std::process::id()]);
        drop(lock);
        assert!(ExclusiveStore::acquire(folder.path()).is_ok());
    }
}
