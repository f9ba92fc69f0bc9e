//! Blobs: large values by the digest of their bytes, beside the log.
//!
//! A blob is stored before the event that names it is appended, so no event names a missing blob. Blobs that no event names are
//! collected; see [`BlobStore::collect`].

mod collect;
mod scrubbed;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_files::{Dir, FileKind, if_there};
use backstay_model::Digest;

use crate::error::BlobError;

pub use self::collect::{BlobTotals, CollectedBlobs, Guard};
pub use self::scrubbed::{BlobState, BlobsScrubbed};

/// A store of blobs. Cheap to clone; equal bytes are stored once.
#[derive(Clone, Debug)]
pub struct BlobStore(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Folder { folder: Arc<Path>, drawn: Arc<AtomicU64> },
    Memory(Arc<Mutex<HashMap<Digest, Arc<[u8]>>>>),
}

impl BlobStore {
    /// Returns the blobs under `folder`, which is created with the first blob. A blob is in `folder/ab/abcd…`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> BlobStore {
        BlobStore(Kept::Folder { folder: Arc::from(folder), drawn: Arc::new(AtomicU64::new(0)) })
    }

    /// Returns blobs in memory, which are dropped with the last handle.
    #[must_use]
    pub fn in_memory() -> BlobStore {
        BlobStore(Kept::Memory(Arc::default()))
    }

    /// Stores `bytes` and returns their digest once they are on the disk. Blocks.
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

    /// Returns the bytes with this digest, and checks them. If a secret was masked in them, it returns the masked bytes. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], or [`BlobError::Io`].
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = match &self.0 {
            Kept::Folder { folder, .. } => read(folder, digest)?.ok_or(BlobError::Missing { digest })?,
            Kept::Memory(kept) => kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&digest)
                .ok_or(BlobError::Missing { digest })?
                .to_vec(),
        };
        let actual = Digest::of(&bytes);
        let is_left = |folder: &Path| match open(folder)? {
            Some(dir) => scrubbed::is_left_of(&dir, digest, actual),
            None => Ok(false),
        };
        match &self.0 {
            _ if actual == digest => Ok(bytes),
            Kept::Folder { folder, .. } if is_left(folder)? => Ok(bytes),
            Kept::Folder { .. } | Kept::Memory(_) => Err(BlobError::Damaged { digest, actual }),
        }
    }
}

/// Returns the name of a blob below the folder of all blobs.
fn name_of(digest: Digest) -> PathBuf {
    let name = digest.to_string();
    Path::new(&name[..2]).join(&name)
}

/// Opens the folder of all blobs; `None` if there is none yet.
fn open(folder: &Path) -> Result<Option<Dir>, BlobError> {
    if_there(Dir::open_found(folder)).map_err(|source| failed("open the folder", folder, source))
}

fn read(folder: &Path, digest: Digest) -> Result<Option<Vec<u8>>, BlobError> {
    let Some(dir) = open(folder)? else { return Ok(None) };
    let name = name_of(digest);
    if_there(dir.read(&name, u64::MAX)).map_err(|source| failed("read", &folder.join(name), source))
}

/// Opens or creates the folder of all blobs.
fn make(folder: &Path) -> Result<Dir, BlobError> {
    if let Some(dir) = open(folder)? {
        return Ok(dir);
    }
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(failed("make the folder", folder, io::ErrorKind::InvalidInput.into()));
    };
    let made = Dir::open_found(above).and_then(|above| {
        let dir = above.make_folder(name)?;
        above.sync().map(|()| dir)
    });
    made.map_err(|source| failed("make the folder", folder, source))
}

/// Temporary file, fsync, rename, fsync of the folder: a half-written blob never has its name.
fn write(folder: &Path, digest: Digest, bytes: &[u8], draft: u64) -> Result<(), BlobError> {
    let name = name_of(digest);
    let failed = |action, name: &Path| {
        let path = folder.join(name);
        move |source| failed(action, &path, source)
    };
    let dir = make(folder)?;
    let _no_collector = collect::Guard::shared(&dir)?;
    // A blob of the right length that is already there is taken as it is; `get` checks its digest. One of another
    // length is damaged, and is mended here; so is one that has a second name elsewhere, which would be made young there.
    let is_scrubbed = scrubbed::is_scrubbed(&dir, digest)?;
    let there = dir.status(&name).map_err(failed("look at", &name))?;
    let is_whole = there.is_some_and(|there| {
        there.kind == FileKind::Regular && there.links == 1 && there.size_bytes == bytes.len() as u64
    });
    if is_whole && !is_scrubbed {
        return collect::renew(&dir, &name);
    }
    let shard = Path::new(&digest.to_string()[..2]).to_owned();
    let is_new = !dir.has(&shard).map_err(failed("look at", &shard))?;
    let shard = dir.make_folder(&shard).map_err(failed("make the folder", &shard))?;
    if is_new {
        sync(&dir)?;
    }
    let draft = format!(".draft-{}-{draft}", std::process::id());
    let written = write_draft(&shard, &draft, bytes)
        .and_then(|()| shard.rename(&draft, digest.to_string()).map_err(failed("rename", Path::new(&draft))));
    if let Err(error) = written {
        if let Err(left) = shard.remove(&draft) {
            // A draft that stays behind costs room and harms nothing: it has no blob's name.
            tracing::debug!(draft, %left, "a draft of a blob was not removed");
        }
        return Err(error);
    }
    if is_scrubbed {
        scrubbed::forget(&dir, digest)?;
    }
    sync(&shard)
}

fn write_draft(shard: &Dir, draft: &str, bytes: &[u8]) -> Result<(), BlobError> {
    let failed = |action| {
        let path = shard.path().join(draft);
        move |source| failed(action, &path, source)
    };
    let mut file = shard.create(draft).map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("flush"))
}

fn sync(dir: &Dir) -> Result<(), BlobError> {
    dir.sync().map_err(|source| failed("flush the folder", dir.path(), source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::Io { action, location: path.into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        fs::write(folder.path().join(name_of(digest)), b"hullo").unwrap();
        assert!(matches!(blobs.get(digest), Err(BlobError::Damaged { .. })));
        fs::write(folder.path().join(name_of(digest)), b"hel").unwrap();
        blobs.put(b"hello").unwrap();
        assert_eq!(blobs.get(digest).unwrap(), b"hello");
    }
}
