//! What a backup consists of: the file that makes it one.

use std::io;

use backstay_files::Dir;
use backstay_model::{Digest, LogId, Position, StorePath, Timestamp};
use camino::{Utf8Component, Utf8Path};
use serde::{Deserialize, Serialize};

use super::error::IsBackup;
use super::files::replace_durably;

/// The version of [`Manifest`]'s form.
pub(super) const MANIFEST_VERSION: u32 = 1;
/// A manifest has fewer bytes than this: a hundred for each of ten million files.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;
/// Its name in the backup.
pub(super) const MANIFEST: &str = "manifest.json";

/// The file `manifest.json`, written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of this form.
    pub(super) version: u32,
    /// The log that was backed up.
    pub(super) log: LogId,
    /// The version of the store.
    pub(super) format: i64,
    /// The newest position of the backup.
    pub(super) newest: Position,
    /// Its events.
    pub(super) events: u64,
    /// When it was made.
    pub(super) made_at: Timestamp,
    /// Its files, in order of path.
    pub(super) files: Vec<Part>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Relative to the backup.
    pub(super) path: StorePath,
    /// What it is.
    #[serde(flatten)]
    pub(super) kind: PartKind,
}

/// What a part of a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum PartKind {
    /// A file with bytes.
    File {
        /// Their number.
        size_bytes: u64,
        /// Their digest.
        digest: Digest,
    },
    /// A link.
    Link {
        /// Where it points. A manifest that others made may say anything: see [`leads_out`].
        link: String,
    },
}

/// Whether a link at `at`, relative to a folder, leads out of that folder. It goes up only from where it is, and then only
/// down: then no other link on its way can make it lead elsewhere than it says, as long as none of them leads out.
pub(super) fn leads_out(at: &Utf8Path, link: &Utf8Path) -> bool {
    let ups = link.components().take_while(|part| *part == Utf8Component::ParentDir).count();
    let is_down = link.components().skip(ups).all(|part| matches!(part, Utf8Component::Normal(_)));
    !is_down || ups >= at.components().count()
}

/// Refuses a backup where a store is needed.
pub(crate) fn refuse_backup(folder: &Utf8Path) -> Result<(), IsBackup> {
    // Where this cannot be told, the store in it cannot be opened either, and who tries says why.
    if folder.join(MANIFEST).symlink_metadata().is_ok() {
        Err(IsBackup { path: folder.to_owned() })
    } else {
        Ok(())
    }
}

impl Manifest {
    /// Writes it, whole and safe from a loss of power.
    pub(super) fn write(&self, folder: &Dir) -> io::Result<()> {
        replace_durably(folder, MANIFEST, self)
    }

    /// Reads the manifest of the backup in `folder`, or says why there is none.
    pub(super) fn read(folder: &Dir) -> Result<Manifest, String> {
        let bytes = match folder.read(MANIFEST, MANIFEST_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("it has no {MANIFEST}"));
            }
            Err(error) => return Err(format!("its {MANIFEST} cannot be read: {error}")),
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| format!("its {MANIFEST} is damaged: {error}"))?;
        match manifest.version {
            MANIFEST_VERSION => Ok(manifest),
            version => Err(format!("its {MANIFEST} has version {version}, known is {MANIFEST_VERSION}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_below_where_it_goes_up_no_further_than_it_is_deep() {
        for (at, link, is_out) in [
            ("runs/r/s/1/artifacts/a", "../b", false),
            ("runs/r/s/1/artifacts/a", "b/c", false),
            ("runs/r/s/1/artifacts/a", "../../../../../x", false),
            ("runs/r/s/1/artifacts/a", "../../../../../../x", true),
            ("runs/r/s/1/artifacts/a", "b/../../x", true),
            ("runs/r/s/1/artifacts/a", "/etc/passwd", true),
            ("a", "..", true),
            ("a", "b", false),
        ] {
            assert_eq!(leads_out(Utf8Path::new(at), Utf8Path::new(link)), is_out, "{at} {link}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_in_no_manifest() {
        for path in ["../x", "/x", "a/../../x", "", "a/.."] {
            let text = format!(r#"{{"path":"{path}","link":"x"}}"#);
            assert!(serde_json::from_str::<Part>(&text).is_err(), "{path}");
        }
    }

    #[test]
    fn version_1_is_frozen() {
        let text = concat!(
            r#"{"version":1,"log":"log_01JDX7Q2ZK8VQ5T3W9M4N6P7R8","format":2,"newest":7,"events":5,"#,
            r#""made_at":1700000000000000,"files":[{"path":"log.db","size_bytes":0,"#,
            r#""digest":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},"#,
            r#"{"path":"runs/r/s/1/artifacts/a","link":"../b"}]}"#
        );
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.files[0].kind, PartKind::File { size_bytes: 0, digest: Digest::of(b"") });
        assert_eq!(serde_json::to_string(&manifest).unwrap(), text);
    }
}
