//! Blobs in which a secret was masked.
//!
//! A blob keeps its name, the digest of its first bytes, because events name it so. A record beside it has the digests of the masked
//! bytes, so that it can be verified.

use std::io;
use std::os::unix::fs::FileExt;

use backstay_files::{Dir, Flush, Refused, if_there};
use backstay_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BlobStore, Kept, failed, name_of};
use crate::error::BlobError;
use crate::sqlite::maintenance::{JsonText, Secret};

/// The version of [`Record`]'s form.
const RECORD_VERSION: u32 = 1;
/// The greatest size of a record.
const RECORD_BYTES_MAX: u64 = 1 << 20;
/// Follows the digest in the name of a record.
const SUFFIX: &str = ".scrubbed";

/// The record of a masked blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The digest of the first bytes.
    original: Digest,
    /// The digests that its bytes may have since, the newest last.
    digests: Vec<Digest>,
    /// When it was last changed.
    at: Timestamp,
}

/// The state of a blob's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// They are as they were stored.
    Whole,
    /// A secret was masked in them.
    Scrubbed,
}

/// The result of scrubbing blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobsScrubbed {
    /// The number of blobs with the value.
    pub blobs: u64,
}

impl BlobStore {
    /// Verifies a blob. Blocks.
    ///
    /// # Errors
    /// [`BlobError`] if it is damaged, missing, or cannot be read.
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
        names: &dyn Fn(Digest) -> JsonText,
        now: Timestamp,
    ) -> Result<BlobsScrubbed, BlobError> {
        let Kept::Folder { folder, .. } = &self.0 else { return Ok(BlobsScrubbed::default()) };
        let mut scrubbed = BlobsScrubbed::default();
        let Some(folder) = super::open(folder)? else { return Ok(scrubbed) };
        for (digest, _) in self.list()? {
            let name = name_of(digest);
            let read = folder.read(&name, u64::MAX);
            let mut bytes = read.map_err(|source| failed("read", &folder.path().join(&name), source))?;
            match secret.mask_json(&mut bytes, names(digest)) {
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            note(&folder, digest, Digest::of(&bytes), now)?;
            overwrite(&folder, digest, &bytes)?;
            scrubbed.blobs += 1;
        }
        Ok(scrubbed)
    }
}

/// Returns whether `actual` is a digest of the masked blob.
pub(super) fn is_left_of(folder: &Dir, digest: Digest, actual: Digest) -> Result<bool, BlobError> {
    Ok(read(folder, digest)?.is_some_and(|record| record.digests.contains(&actual)))
}

/// Returns whether a secret was masked in the blob.
pub(super) fn is_scrubbed(folder: &Dir, digest: Digest) -> Result<bool, BlobError> {
    let record = record_name(digest);
    folder.has(&record).map_err(|source| failed("look at", &folder.path().join(record), source))
}

/// Removes the record, because the blob has its first bytes again.
pub(super) fn forget(folder: &Dir, digest: Digest) -> Result<(), BlobError> {
    let record = record_name(digest);
    let removed = if_there(folder.remove(&record)).map(drop);
    removed.map_err(|source| failed("remove", &folder.path().join(record), source))
}

/// The name of a blob's record, below the folder of all blobs.
fn record_name(digest: Digest) -> String {
    format!("{}{SUFFIX}", name_of(digest).display())
}

fn read(folder: &Dir, digest: Digest) -> Result<Option<Record>, BlobError> {
    let name = record_name(digest);
    let path = folder.path().join(&name);
    let read = if_there(folder.read(&name, RECORD_BYTES_MAX));
    let Some(bytes) = read.map_err(|source| failed("read", &path, source))? else { return Ok(None) };
    let odd = |what: String| failed("understand", &path, io::Error::new(io::ErrorKind::InvalidData, what));
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| odd(error.to_string()))?;
    if record.version > RECORD_VERSION {
        return Err(odd(format!("it has version {}, known is {RECORD_VERSION}", record.version)));
    }
    Ok(Some(record))
}

/// Writes down what the blob's bytes will be, before they are changed: so it is never without a record that fits.
fn note(folder: &Dir, original: Digest, now_is: Digest, at: Timestamp) -> Result<(), BlobError> {
    let known = read(folder, original)?;
    let mut record = known.unwrap_or(Record { version: RECORD_VERSION, original, digests: Vec::new(), at });
    record.digests.retain(|digest| *digest != now_is);
    record.digests.push(now_is);
    record.at = at;
    let name = record_name(original);
    let written = serde_json::to_vec(&record).map_err(io::Error::from).and_then(|mut bytes| {
        bytes.push(b'\n');
        folder.replace(&name, &bytes, Flush::Yes)
    });
    written.map_err(|source| failed("write", &folder.path().join(name), source))
}

/// In place: what is on the disk is written over, not left on blocks that are free. A file that has a second name elsewhere
/// is replaced instead, since that one is not of the store.
fn overwrite(folder: &Dir, digest: Digest, bytes: &[u8]) -> Result<(), BlobError> {
    let name = name_of(digest);
    let written = match folder.open_to_write(&name) {
        Ok(file) => file.write_all_at(bytes, 0).and_then(|()| file.sync_all()),
        Err(error) if matches!(Refused::of(&error), Some(Refused::HardLink { .. })) => {
            folder.replace(&name, bytes, Flush::Yes)
        }
        Err(error) => Err(error),
    };
    written.map_err(|source| failed("write", &folder.path().join(name), source))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn theirs(_: Digest) -> JsonText {
        JsonText::External
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
        fs::write(folder.path().join(name_of(digest)), b"login hunter3-hunter3 ok").unwrap();
        assert!(matches!(blobs.get(digest), Err(BlobError::Damaged { .. })), "anything else is damage");
    }

    #[test]
    fn a_scrub_does_not_write_through_a_hard_link() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(&folder.path().join("blobs"));
        let digest = blobs.put(b"login hunter2-hunter2 ok").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::hard_link(folder.path().join("blobs").join(name_of(digest)), &elsewhere).unwrap();
        blobs.scrub(&Secret::new("hunter2-hunter2").unwrap(), &theirs, AT).unwrap();
        assert_eq!(blobs.get(digest).unwrap(), b"login *************** ok");
        assert_eq!(fs::read(elsewhere).unwrap(), b"login hunter2-hunter2 ok");
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
