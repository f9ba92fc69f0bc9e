//! What a folder holds that is no checkout, told by the names, sizes and times of its files.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use backstay_model::Digest;
use backstay_model::event::OmittedFiles;
use camino::{Utf8Path, Utf8PathBuf};

/// Entries beyond which a folder is too large to be looked through after each attempt.
const ENTRIES_MAX: usize = 20_000;

/// The digest of what `folder` holds, without what is in `store`: the same as long as no file in it was written, made, taken
/// away or renamed. None where that cannot be told, or costs too much.
pub(crate) fn folder_digest(folder: &Utf8Path, store: &Utf8Path) -> Option<Digest> {
    let mut lines = Vec::new();
    let is_whole = look(folder, store, &mut lines);
    digest_of(is_whole, lines, folder)
}

/// The digest of the files in `root` that a kept tree does not have, by the same rules. None where not all of them are named.
pub(crate) fn omitted_digest(root: &Utf8Path, omitted: &OmittedFiles, store: &Utf8Path) -> Option<Digest> {
    let mut lines = Vec::new();
    let mut look_at_all = || {
        for file in &omitted.named {
            let path = root.join(&file.path);
            let found = fs::symlink_metadata(&path)?;
            lines.push(line(&path, &found));
            if found.is_dir() && !look(&path, store, &mut lines)? {
                return Ok(false);
            }
        }
        Ok(omitted.more == 0)
    };
    let is_whole = look_at_all();
    digest_of(is_whole, lines, root)
}

fn digest_of(is_whole: io::Result<bool>, mut lines: Vec<String>, folder: &Utf8Path) -> Option<Digest> {
    match is_whole {
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
            let (size, at, nanos) = (found.len(), found.mtime(), found.mtime_nsec());
            format!("{path} {size} {at}.{nanos} {} {}", found.mode(), found.ino())
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::{OmissionReason, OmittedFile};

    use super::*;

    #[test]
    fn what_a_tree_omits_is_the_same_until_it_changes_and_unknown_where_it_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        fs::create_dir(root.join("inner")).unwrap();
        for name in ["large", "inner/file", "kept"] {
            fs::write(root.join(name), "1").unwrap();
        }
        let mut omitted = OmittedFiles::default();
        for (path, reason) in [
            ("large", OmissionReason::TooLarge { size_bytes: 1 }),
            ("inner/", OmissionReason::InnerRepository),
        ] {
            omitted.push(OmittedFile { path: path.to_owned(), reason });
        }
        let digest = |omitted: &OmittedFiles| omitted_digest(&root, omitted, &root.join(".backstay"));
        let first = digest(&omitted);
        assert!(first.is_some());
        fs::write(root.join("kept"), "12").unwrap();
        assert_eq!(digest(&omitted), first, "what the tree has is compared by the tree");
        fs::write(root.join("large"), "12").unwrap();
        let second = digest(&omitted);
        assert!(second.is_some() && second != first, "a file was written");
        fs::write(root.join("inner/file"), "12").unwrap();
        let third = digest(&omitted);
        assert!(third.is_some() && third != second, "a file of an inner repository was written");
        assert_eq!(digest(&OmittedFiles { more: 1, ..omitted.clone() }), None, "one more that is not named");
        fs::remove_file(root.join("large")).unwrap();
        assert_eq!(digest(&omitted), None, "one that is not there");
    }

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
