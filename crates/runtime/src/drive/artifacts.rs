//! The files that a step left to be kept.

use std::collections::BTreeSet;

use backstay_files::{Dir, FileKind, if_there};
use backstay_model::StorePath;
use camino::{Utf8Path, Utf8PathBuf};

/// The folder that is searched, in that of the attempt.
const FOLDER: &str = "artifacts";
/// Artifacts of one attempt that events name: the first by name.
const ARTIFACTS_MAX: usize = 256;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Artifacts {
    /// By path relative to the store, in order.
    pub(super) paths: Vec<StorePath>,
    /// What `paths` does not name: too many, without a UTF-8 name, or in a folder that cannot be read.
    pub(super) left_out: u32,
}

/// Looks for files below `folder/artifacts`. What cannot be read or named is counted, and nothing stops the search: it
/// is the step's own doing, and it stays where it is.
pub(super) fn find_artifacts(folder: &Utf8Path, relative: &Utf8Path) -> Artifacts {
    let mut found: BTreeSet<Utf8PathBuf> = BTreeSet::new();
    let mut left_out = 0_u32;
    let mut waiting = vec![Utf8PathBuf::from(FOLDER)];
    while let Some(at) = waiting.pop() {
        let listed = Dir::open(folder.as_std_path()).and_then(|attempt| attempt.folder(&at)?.entries());
        let entries = match if_there(listed) {
            Ok(entries) => entries.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(folder = %at, %error, "artifacts cannot be listed");
                left_out = left_out.saturating_add(1);
                continue;
            }
        };
        for entry in entries {
            // A link is an artifact itself and is not followed.
            match entry.name.into_string() {
                Ok(name) if entry.kind == FileKind::Folder => waiting.push(at.join(name)),
                Ok(name) => {
                    found.insert(relative.join(&at).join(name));
                    if found.len() > ARTIFACTS_MAX {
                        found.pop_last();
                        left_out = left_out.saturating_add(1);
                    }
                }
                Err(_) => left_out = left_out.saturating_add(1),
            }
        }
    }
    let paths = found.into_iter().filter_map(|path| path.into_string().try_into().ok()).collect();
    Artifacts { paths, left_out }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn what_has_no_utf8_name_is_counted_and_hides_nothing() {
        let (_folder, path) = folder();
        let artifacts = path.join("artifacts");
        fs::create_dir_all(artifacts.join("deep")).unwrap();
        fs::write(artifacts.join("deep/b"), "").unwrap();
        fs::write(artifacts.join("a"), "").unwrap();
        fs::write(artifacts.as_std_path().join(OsStr::from_bytes(b"odd\xff")), "").unwrap();
        fs::create_dir(artifacts.as_std_path().join(OsStr::from_bytes(b"folder\xff"))).unwrap();
        std::os::unix::fs::symlink("/", artifacts.join("link")).unwrap();
        let found = find_artifacts(&path, Utf8Path::new("runs/r/s/1"));
        let below = |name: &str| format!("runs/r/s/1/artifacts/{name}").parse().unwrap();
        assert_eq!(found, Artifacts { paths: vec![below("a"), below("deep/b"), below("link")], left_out: 2 });
    }

    #[test]
    fn of_too_many_the_first_by_name_are_named() {
        let (_folder, path) = folder();
        fs::create_dir(path.join("artifacts")).unwrap();
        for number in (0..300).rev() {
            fs::write(path.join(format!("artifacts/{number:03}")), "").unwrap();
        }
        let found = find_artifacts(&path, Utf8Path::new("x"));
        assert_eq!((found.paths.len(), found.left_out), (ARTIFACTS_MAX, 300 - 256));
        assert_eq!(found.paths.last().unwrap().as_str(), "x/artifacts/255");
    }

    #[test]
    fn no_folder_is_no_artifact() {
        let (_folder, path) = folder();
        assert_eq!(find_artifacts(&path, Utf8Path::new("x")), Artifacts::default());
    }
}
