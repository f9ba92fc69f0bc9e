//! Room that is kept for the day when there is none: a file that is given back so that a run can still be told to stand still.

use std::io;

use backstay_files::{Dir, FileKind, if_there};
use camino::Utf8Path;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::store::real_folder;

/// The file's name in the store's folder.
const NAME: &str = "disk_reserve";
/// Its size: what some hundred commits take.
const SIZE_BYTES: u64 = 4 * 1024 * 1024;
/// It takes at most this part of what is free.
const PART_OF_FREE: u64 = 4;

/// Puts the disk reserve there, unless it is or room is scarce: when an owner begins, with each attempt, and with each look for what is
/// due, since whoever gave it back may not be there any more when there is room again. A store without it works; it only has nothing to give back.
pub(crate) fn take_in(folder: &Utf8Path) {
    match try_take_in(folder) {
        Ok(is_there) => tracing::trace!(%folder, is_there, "the disk reserve"),
        Err(error) => {
            tracing::debug!(%folder, %error, "there is no disk_reserve");
            drop_off(folder);
        }
    }
}

fn try_take_in(folder: &Utf8Path) -> io::Result<bool> {
    let dir = Dir::open(folder.as_std_path())?;
    let there = dir.status(NAME)?;
    if there.is_some_and(|there| there.kind == FileKind::Regular && there.size_bytes == SIZE_BYTES) {
        return Ok(true);
    }
    let disk = statvfs(folder.as_std_path())?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) / PART_OF_FREE < SIZE_BYTES {
        return Ok(false);
    }
    fallocate(&dir.create(NAME)?, FallocateFlags::empty(), 0, SIZE_BYTES)?;
    Ok(true)
}

/// Gives the room back. True if there was some.
pub(crate) fn drop_off(folder: &Utf8Path) -> bool {
    match Dir::open(folder.as_std_path()).and_then(|dir| if_there(dir.remove(NAME))) {
        Ok(removed) => removed.is_some(),
        Err(error) => {
            tracing::warn!(%folder, %error, "the disk reserve cannot be removed");
            false
        }
    }
}

/// The room that a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What its database takes, the log before the database included, in bytes.
    pub database_bytes: u64,
    /// What is free for it, in bytes.
    pub free_bytes: u64,
    /// What is kept for the day when nothing is free, in bytes.
    pub disk_reserve_bytes: u64,
}

/// Measures the store in `folder`, without looking into it.
///
/// # Errors
/// Its files, or the file system that they are on, cannot be asked.
pub fn room(folder: &Utf8Path) -> io::Result<Room> {
    let dir = Dir::open(real_folder(folder).as_std_path())?;
    let size = |name: &str| dir.status(name).map(|there| there.map_or(0, |there| there.size_bytes));
    let disk = statvfs(folder.as_std_path())?;
    Ok(Room {
        database_bytes: size("log.db")? + size("log.db-wal")?,
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        disk_reserve_bytes: size(NAME)?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_disk_reserve_takes_room_and_gives_it_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert!(!drop_off(folder), "there is none yet");
        take_in(folder);
        let there = fs::metadata(folder.join(NAME)).unwrap();
        assert_eq!(there.len(), SIZE_BYTES);
        assert!(std::os::unix::fs::MetadataExt::blocks(&there) * 512 >= SIZE_BYTES, "its blocks are its own");
        take_in(folder);
        assert!(drop_off(folder));
        assert!(!drop_off(folder));
    }
}
