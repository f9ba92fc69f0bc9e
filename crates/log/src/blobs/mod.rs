//! Blobs: large values by the digest of their bytes, beside the log.
//!
//! A blob is kept before the event that names it is appended, so an event never names what is not there. Blobs that no
//! event names any more are collected; see [`BlobStore::collect`].

mod collect;
mod scrubbed;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_model::Digest;

use crate::error::BlobError;

pub use self::collect::{BlobSum, Collected, Guard};
pub use self::scrubbed::{BlobState, BlobsScrubbed};

/// A store of blobs. Cheap to clone; equal bytes are kept once.
#[derive(Clone, Debug)]
pub struct BlobStore(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Folder { folder: Arc<Path>, drawn: Arc<AtomicU64> },
    Memory(Arc<Mutex<HashMap<Digest, Arc<[u8]>>>>),
}

impl BlobStore {
    /// The blobs under `folder`, which is made when the first is kept. A blob lies in `folder/ab/abcd…`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> BlobStore {
        BlobStore(Kept::Folder { folder: Arc::from(folder), drawn: Arc::new(AtomicU64::new(0)) })
    }

    /// Blobs that are forgotten with the last handle.
    #[must_use]
    pub fn in_memory() -> BlobStore {
        BlobStore(Kept::Memory(Arc::default()))
    }

    /// Keeps `bytes` and gives their digest once they are on the disk. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Io`] if they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(bytes);
        match &self.0 {
            Kept::Folder { folder, drawn } => {
                let draft = drawn.fetch_add(1, Ordering::Relaxed);
                write(folder, digest, bytes, draft)?;
            }
            Kept::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.entry(digest).or_insert_with(|| Arc::from(bytes));
            }
        }
        Ok(digest)
    }

    /// The bytes with this digest, which is checked; where a secret was taken out of them, what was left. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], or [`BlobError::Io`].
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = match &self.0 {
            Kept::Folder { folder, .. } => {
                let path = path_of(folder, digest);
                match fs::read(&path) {
                    Ok(bytes) => bytes,
                    Err(source) if source.kind() == io::ErrorKind::NotFound => {
                        return Err(BlobError::Missing { digest });
                    }
                    Err(source) => return Err(BlobError::Io { action: "read", path, source }),
                }
            }
            Kept::Memory(kept) => kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&digest)
                .ok_or(BlobError::Missing { digest })?
                .to_vec(),
        };
        let actual = Digest::of(&bytes);
        let is_left = |folder| scrubbed::is_left_of(&path_of(folder, digest), actual);
        match &self.0 {
            _ if actual == digest => Ok(bytes),
            Kept::Folder { folder, .. } if is_left(folder)? => Ok(bytes),
            Kept::Folder { .. } | Kept::Memory(_) => Err(BlobError::Damaged { digest, actual }),
        }
    }
}

fn path_of(folder: &Path, digest: Digest) -> PathBuf {
    let name = digest.to_string();
    folder.join(&name[..2]).join(name)
}

/// Temporary file, fsync, rename, fsync of the folder: a half-written blob never has its name.
fn write(folder: &Path, digest: Digest, bytes: &[u8], draft: u64) -> Result<(), BlobError> {
    let path = path_of(folder, digest);
    let length = bytes.len() as u64;
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(|source| failed("make the folder", folder, source))?;
        if let Some(above) = folder.parent() {
            sync_folder(above)?;
        }
    }
    let _no_collector = collect::Guard::shared(folder)?;
    // A blob of the right length that is already there is taken as it is; `get` checks its digest. One of another
    // length is damaged, and is mended here.
    let is_scrubbed = scrubbed::is_scrubbed(&path);
    if fs::metadata(&path).is_ok_and(|there| there.len() == length) && !is_scrubbed {
        return collect::renew(&path);
    }
    let shard = folder.join(&digest.to_string()[..2]);
    if !shard.is_dir() {
        fs::create_dir_all(&shard).map_err(|source| failed("make the folder", &shard, source))?;
        sync_folder(folder)?;
    }
    let draft = shard.join(format!(".draft-{}-{draft}", std::process::id()));
    let written = write_draft(&draft, bytes)
        .and_then(|()| fs::rename(&draft, &path).map_err(|source| failed("rename", &draft, source)));
    if let Err(error) = written {
        if let Err(left) = fs::remove_file(&draft) {
            // A draft that stays behind costs room and harms nothing: it has no blob's name.
            tracing::debug!(draft = %draft.display(), %left, "a draft of a blob stays behind");
        }
        return Err(error);
    }
    if is_scrubbed {
        scrubbed::forget(&path)?;
    }
    sync_folder(&shard)
}

fn write_draft(draft: &Path, bytes: &[u8]) -> Result<(), BlobError> {
    let mut file = File::create(draft).map_err(|source| failed("create", draft, source))?;
    file.write_all(bytes).map_err(|source| failed("write", draft, source))?;
    file.sync_all().map_err(|source| failed("flush", draft, source))
}

fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| failed("flush the folder", folder, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_given_back_and_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        for blobs in [BlobStore::in_folder(folder.path()), BlobStore::in_memory()] {
            let digest = blobs.put(b"hello").unwrap();
            assert_eq!(digest, Digest::of(b"hello"));
            assert_eq!(blobs.put(b"hello").unwrap(), digest);
            assert_eq!(blobs.get(digest).unwrap(), b"hello");
            let missing = Digest::of(b"other");
            assert!(matches!(blobs.get(missing), Err(BlobError::Missing { digest }) if digest == missing));
        }
        let shard = folder.path().join(&Digest::of(b"hello").to_string()[..2]);
        assert_eq!(fs::read_dir(shard).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_blob_is_told_and_a_torn_one_mended() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let digest = blobs.put(b"hello").unwrap();
        fs::write(path_of(folder.path(), digest), b"hullo").unwrap();
        assert!(matches!(blobs.get(digest), Err(BlobError::Damaged { .. })));
        fs::write(path_of(folder.path(), digest), b"hel").unwrap();
        blobs.put(b"hello").unwrap();
        assert_eq!(blobs.get(digest).unwrap(), b"hello");
    }
}
