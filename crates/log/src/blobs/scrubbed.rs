//! Blobs that are not any more what was kept, because a secret was taken out of them.
//!
//! A blob keeps its name, which is the digest of what was kept: events speak of it by that. Beside it lies a record of what
//! its bytes are since, so that it is found and verified as before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backstay_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BlobStore, Kept, failed, path_of, sync_folder};
use crate::error::BlobError;
use crate::sqlite::care::{Names, Secret};

/// The version of [`Record`]'s form.
const RECORD_VERSION: u32 = 1;
/// What follows the digest in the name of a record.
const SUFFIX: &str = ".scrubbed";

/// What became of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The digest of what was kept.
    original: Digest,
    /// What its bytes may be since, the newest last.
    digests: Vec<Digest>,
    /// When it was last changed.
    at: Timestamp,
}

/// A blob's state, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// It is what was kept.
    Whole,
    /// A secret was taken out of it, and it is what was left.
    Scrubbed,
}

/// What was blanked in blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobsScrubbed {
    /// Blobs that had the value.
    pub blobs: u64,
}

impl BlobStore {
    /// Whether a blob is what it should be. Blocks.
    ///
    /// # Errors
    /// [`BlobError`] if it is not, is not there, or cannot be read.
    pub fn state(&self, digest: Digest) -> Result<BlobState, BlobError> {
        let bytes = self.get(digest)?;
        Ok(if Digest::of(&bytes) == digest { BlobState::Whole } else { BlobState::Scrubbed })
    }

    /// Blanks a value in every blob and notes what their bytes are since; `names` says whose text a blob is. One of ours that has
    /// the value not only in its strings is left. Nobody else may use the store. Blocks.
    ///
    /// # Errors
    /// [`BlobError`] if a blob cannot be read or written; trying again is safe.
    pub fn scrub(
        &self,
        secret: &Secret,
        names: &dyn Fn(Digest) -> Names,
        now: Timestamp,
    ) -> Result<BlobsScrubbed, BlobError> {
        let Kept::Folder { folder, .. } = &self.0 else { return Ok(BlobsScrubbed::default()) };
        let mut scrubbed = BlobsScrubbed::default();
        for (digest, _) in self.list()? {
            let path = path_of(folder, digest);
            let mut bytes = fs::read(&path).map_err(|source| failed("read", &path, source))?;
            match secret.blank_whole(&mut bytes, names(digest)) {
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            note(&path, digest, Digest::of(&bytes), now)?;
            overwrite(&path, &bytes)?;
            scrubbed.blobs += 1;
        }
        Ok(scrubbed)
    }
}

/// Whether `actual` is what was left of the blob at `path`.
pub(super) fn is_left_of(path: &Path, actual: Digest) -> Result<bool, BlobError> {
    Ok(read(path)?.is_some_and(|record| record.digests.contains(&actual)))
}

/// Whether something was taken out of the blob at `path`.
pub(super) fn is_scrubbed(path: &Path) -> bool {
    record_path(path).exists()
}

/// The blob at `path` is again what was kept.
pub(super) fn forget(path: &Path) -> Result<(), BlobError> {
    let record = record_path(path);
    match fs::remove_file(&record) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", &record, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn record_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Option<Record>, BlobError> {
    let path = record_path(path);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", &path, source)),
    };
    let odd = |what: String| failed("understand", &path, io::Error::new(io::ErrorKind::InvalidData, what));
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| odd(error.to_string()))?;
    if record.version > RECORD_VERSION {
        return Err(odd(format!("it has version {}, known is {RECORD_VERSION}", record.version)));
    }
    Ok(Some(record))
}

/// Writes down what the blob's bytes will be, before they are changed: so it is never without a record that fits.
fn note(path: &Path, original: Digest, now_is: Digest, at: Timestamp) -> Result<(), BlobError> {
    let known = read(path)?;
    let mut record = known.unwrap_or(Record { version: RECORD_VERSION, original, digests: Vec::new(), at });
    record.digests.retain(|digest| *digest != now_is);
    record.digests.push(now_is);
    record.at = at;
    let target = record_path(path);
    let draft = target.with_extension("scrubbed-draft");
    let written = (|| {
        let mut bytes = serde_json::to_vec(&record)?;
        bytes.push(b'\n');
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &target)
    })();
    written.map_err(|source| failed("write", &target, source))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// In place: what is on the disk is written over, not left on blocks that are free.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), BlobError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.write_all_at(bytes, 0).and_then(|()| file.sync_all()))
        .map_err(|source| failed("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(_: Digest) -> Names {
        Names::Theirs
    }

    const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn a_scrubbed_blob_is_found_by_its_first_digest_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let secret = Secret::new("hunter2-hunter2").unwrap();
        let digest = blobs.put(b"login hunter2-hunter2 ok").unwrap();
        let other = blobs.put(b"nothing in it").unwrap();
        assert_eq!(blobs.scrub(&secret, &theirs, AT).unwrap(), BlobsScrubbed { blobs: 1 });
        assert_eq!(blobs.get(digest).unwrap(), b"login *************** ok");
        assert_eq!(blobs.state(digest).unwrap(), BlobState::Scrubbed);
        assert_eq!(blobs.state(other).unwrap(), BlobState::Whole);
        assert_eq!(blobs.list().unwrap().len(), 2, "a record is no blob");
        assert_eq!(
            blobs.scrub(&Secret::new("login *").unwrap(), &theirs, AT).unwrap().blobs,
            1,
            "and another value later"
        );
        assert_eq!(blobs.state(digest).unwrap(), BlobState::Scrubbed);
        fs::write(path_of(folder.path(), digest), b"login hunter3-hunter3 ok").unwrap();
        assert!(matches!(blobs.get(digest), Err(BlobError::Damaged { .. })), "anything else is damage");
    }

    #[test]
    fn what_is_kept_again_after_a_scrub_is_whole_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let digest = blobs.put(b"a plan with hunter2-hunter2").unwrap();
        blobs.scrub(&Secret::new("hunter2-hunter2").unwrap(), &theirs, AT).unwrap();
        assert_eq!(blobs.put(b"a plan with hunter2-hunter2").unwrap(), digest);
        assert_eq!(blobs.get(digest).unwrap(), b"a plan with hunter2-hunter2");
        assert_eq!(blobs.state(digest).unwrap(), BlobState::Whole);
    }

    #[test]
    fn the_record_has_the_form_that_is_documented() {
        let text = r#"{"version":1,"original":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","digests":["af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],"at":1700000000000000}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.original, Digest::of(b""));
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
}
