//! What a folder holds that is no checkout, told by the names, sizes and times of its files.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use backstay_model::Digest;
use camino::{Utf8Path, Utf8PathBuf};

/// Entries beyond which a folder is too large to be looked through after each attempt.
const ENTRIES_MAX: usize = 20_000;

/// The digest of what `folder` holds, without what is in `store`: the same as long as no file in it was written, made, taken
/// away or renamed. None where that cannot be told, or costs too much.
pub(crate) fn folder_digest(folder: &Utf8Path, store: &Utf8Path) -> Option<Digest> {
    let mut lines = Vec::new();
    match look(folder, store, &mut lines) {
        Ok(true) => {
            lines.sort_unstable();
            Some(Digest::of(lines.join("\n").as_bytes()))
        }
        Ok(false) => None,
        Err(error) => {
            tracing::debug!(%folder, %error, "it cannot be told what a folder holds");
            None
        }
    }
}

/// Adds a line for each entry. False if there are too many.
fn look(folder: &Utf8Path, store: &Utf8Path, lines: &mut Vec<String>) -> io::Result<bool> {
    let mut waiting: Vec<Utf8PathBuf> = vec![folder.to_owned()];
    while let Some(inner) = waiting.pop() {
        for entry in inner.read_dir_utf8()? {
            let entry = entry?;
            let path = entry.path();
            if path == store {
                continue;
            }
            let found = match fs::symlink_metadata(path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if lines.len() == ENTRIES_MAX {
                return Ok(false);
            }
            lines.push(line(path, &found));
            if found.is_dir() {
                waiting.push(path.to_owned());
            }
        }
    }
    Ok(true)
}

/// A folder's own size and time say nothing that its entries do not say.
fn line(path: &Utf8Path, found: &Metadata) -> String {
    match found.is_dir() {
        true => format!("{path}/"),
        false => {
            format!("{path} {} {}.{} {}", found.len(), found.mtime(), found.mtime_nsec(), found.mode())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_same_until_something_in_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        let store = folder.join(".backstay");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::create_dir(&store).unwrap();
        fs::write(folder.join("a/b/c"), "1").unwrap();
        let before = folder_digest(&folder, &store).unwrap();
        fs::write(store.join("log.db"), "grows").unwrap();
        assert_eq!(folder_digest(&folder, &store), Some(before), "the store is not meant");
        fs::write(folder.join("a/b/c"), "12").unwrap();
        let grown = folder_digest(&folder, &store).unwrap();
        assert_ne!(grown, before, "a file was written");
        fs::rename(folder.join("a/b/c"), folder.join("a/b/d")).unwrap();
        let renamed = folder_digest(&folder, &store).unwrap();
        assert_ne!(renamed, grown, "a file has another name");
        fs::create_dir(folder.join("e")).unwrap();
        assert_ne!(folder_digest(&folder, &store).unwrap(), renamed, "a folder was made");
        assert_eq!(folder_digest(&folder.join("gone"), &store), None);
    }
}
