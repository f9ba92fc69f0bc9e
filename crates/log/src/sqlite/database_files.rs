//! The files of the database, which SQLite opens by their paths: looked at before, without following anything.
//!
//! SQLite itself refuses a link on the way to the database, and follows one in place of its write-ahead log. Between this look
//! and SQLite's own a process of the same user could exchange a file; that is not defended.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backstay_files::{Dir, FileKind, Refused, if_there};

use super::error_map;
use crate::error::StoreError;

/// What SQLite puts beside a database, by what follows its name.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", JOURNAL];
const JOURNAL: &str = "-journal";
/// The end of a rollback journal that names another journal, which SQLite then removes.
const SUPER_JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Refuses the database at `path` if it, or a file that SQLite uses with it, is not a regular file with one name.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let failed = |source| error_map::io("open the database", path, source);
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(folder), Some(name)) = (path.parent(), name) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let folder = Dir::open_found(folder).map_err(failed)?;
    for suffix in BESIDE {
        check_one(&folder, &format!("{name}{suffix}"), suffix == JOURNAL).map_err(failed)?;
    }
    Ok(())
}

fn check_one(folder: &Dir, name: &str, is_journal: bool) -> io::Result<()> {
    let path = || folder.path().join(name);
    match folder.status(name)? {
        None => return Ok(()),
        Some(there) if there.kind == FileKind::Link => return Err(Refused::Link { path: path() }.into()),
        Some(there) if there.kind != FileKind::Regular => {
            let (found, expected) = (there.kind, FileKind::Regular);
            return Err(Refused::Kind { path: path(), found, expected }.into());
        }
        Some(there) if there.links > 1 => return Err(Refused::HardLink { path: path() }.into()),
        Some(_) => {}
    }
    if is_journal && names_another_journal(folder, name)? {
        let what = format!("{} names a file that SQLite would remove; remove the journal", path().display());
        return Err(io::Error::other(what));
    }
    Ok(())
}

/// Whether the journal belongs to a transaction of several databases: a store has none. A journal that is gone ended with its
/// transaction, such as another process's that makes the store.
fn names_another_journal(folder: &Dir, name: &str) -> io::Result<bool> {
    let Some(file) = if_there(folder.open_file(name))? else { return Ok(false) };
    let mut end = SUPER_JOURNAL.map(|_| 0);
    let Some(at) = file.metadata()?.len().checked_sub(end.len() as u64) else { return Ok(false) };
    file.read_exact_at(&mut end, at)?;
    Ok(end == SUPER_JOURNAL)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{OpenOptions, SqliteLog};

    /// The checksum that SQLite wants of a journal's name is the sum of its bytes.
    fn journal_that_names(victim: &Path) -> Vec<u8> {
        let name = victim.to_str().unwrap().as_bytes();
        let sum = name.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        let mut bytes = SUPER_JOURNAL.to_vec();
        bytes.resize(512, 0);
        bytes.extend(0x4000_0000_u32.to_be_bytes());
        bytes.extend(name);
        bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
        bytes.extend(sum.to_be_bytes());
        bytes.extend(SUPER_JOURNAL);
        bytes
    }

    #[test]
    fn a_journal_that_would_remove_a_file_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        drop(SqliteLog::open(&store, OpenOptions::default()).unwrap());
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::write(store.join("log.db-journal"), journal_that_names(&victim)).unwrap();
        let error = SqliteLog::open(&store, OpenOptions::default()).unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{error:?}");
    }

    #[test]
    fn a_journal_that_went_away_after_the_first_look_keeps_no_store_closed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_found(folder.path()).unwrap();
        assert!(!names_another_journal(&folder, "log.db-journal").unwrap());
    }

    #[test]
    fn a_file_of_the_database_that_is_no_file_of_its_own_is_refused() {
        for suffix in BESIDE {
            for is_hard in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let store = folder.path().join("store");
                drop(SqliteLog::open(&store, OpenOptions::default()).unwrap());
                let (victim, name) = (folder.path().join("victim"), store.join(format!("log.db{suffix}")));
                fs::write(&victim, "").unwrap();
                if name.exists() {
                    fs::rename(&name, &victim).unwrap();
                }
                let before = fs::read(&victim).unwrap();
                match is_hard {
                    true => fs::hard_link(&victim, &name).unwrap(),
                    false => std::os::unix::fs::symlink(&victim, &name).unwrap(),
                }
                let opened = SqliteLog::open(&store, OpenOptions::default());
                assert!(opened.is_err(), "{suffix} {is_hard}");
                assert_eq!(fs::read(&victim).unwrap(), before, "{suffix} {is_hard}");
            }
        }
    }

    #[test]
    fn what_a_store_makes_is_its_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let log = SqliteLog::open(&store, OpenOptions::default()).unwrap();
        log.blobs().put(b"text").unwrap();
        let mut waiting = vec![store];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let there = entry.metadata().unwrap();
                let expected = if there.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(there.permissions().mode() & 0o777, expected, "{:?}", entry.path());
                waiting.extend(there.is_dir().then(|| entry.path()));
            }
        }
    }
}
