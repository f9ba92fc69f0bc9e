//! Collecting blobs that no event names.
//!
//! The collector lists old blobs first, then asks which blobs are named, and removes old blobs that are not named. Storing a blob again
//! makes it young, under a lock, so that no blob is removed between its storing and its naming.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use backstay_files::{Dir, FileKind, Status, if_there};
use backstay_model::Digest;

use super::{BlobStore, Kept, failed};
use crate::error::BlobError;

/// The lock that separates collectors from processes that store blobs.
const LOCK: &str = "collect.lock";

/// Number and size of blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobTotals {
    /// Their number.
    pub blobs: u64,
    /// Their size.
    pub size_bytes: u64,
}

/// The result of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectedBlobs {
    /// Blobs that were removed, or would be.
    pub gone: BlobTotals,
    /// Blobs that no event names, but that are too young.
    pub young: BlobTotals,
}

impl BlobTotals {
    fn add(&mut self, file: &Seen) {
        self.blobs += u64::from(file.digest.is_some());
        self.size_bytes += file.size_bytes;
    }
}

/// A blob or a draft of one, as it was listed.
struct Seen {
    /// Its name below the folder of all blobs.
    name: PathBuf,
    /// Its digest; `None` for a draft.
    digest: Option<Digest>,
    size_bytes: u64,
    /// Whether it is older than the cutoff.
    is_old: bool,
}

/// While it lives, no blob is collected.
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "closing it frees the lock")] File);

impl Guard {
    /// Takes the lock for storing a blob, together with others.
    pub(super) fn shared(folder: &Dir) -> Result<Guard, BlobError> {
        Guard::locked(folder, File::lock_shared)
    }

    fn alone(folder: &Dir) -> Result<Guard, BlobError> {
        Guard::locked(folder, File::lock)
    }

    fn locked(folder: &Dir, lock: fn(&File) -> io::Result<()>) -> Result<Guard, BlobError> {
        let file = folder.open_or_create(LOCK).and_then(|file| lock(&file).map(|()| file));
        file.map(Guard).map_err(|source| failed("lock", &folder.path().join(LOCK), source))
    }
}

/// Makes a blob young.
pub(super) fn renew(folder: &Dir, name: &Path) -> Result<(), BlobError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of a file is told by the clock of its file system"
    )]
    let now = SystemTime::now();
    let renewed = folder.open_file(name).and_then(|file| file.set_modified(now));
    renewed.map_err(|source| failed("renew", &folder.path().join(name), source))
}

impl BlobStore {
    /// Removes the blobs from before `cutoff` that `named` does not return, and drafts of that age. `named` is called after the old blobs are
    /// listed; it returns every blob that an event names by then, or `None` if it cannot. With `only_look` nothing is removed.
    /// Blocks.
    ///
    /// # Errors
    /// [`BlobError::Io`] if a folder cannot be read or a blob cannot be removed.
    pub fn collect<E>(
        &self,
        cutoff: SystemTime,
        only_look: bool,
        named: impl FnOnce() -> Result<HashSet<Digest>, E>,
    ) -> Result<Result<CollectedBlobs, E>, BlobError> {
        let Kept::Folder { folder, .. } = &self.0 else { return Ok(Ok(CollectedBlobs::default())) };
        let Some(folder) = super::open(folder)? else {
            return Ok(named().map(|_| CollectedBlobs::default()));
        };
        let seen = seen_blobs(&folder, cutoff)?;
        let named = match named() {
            Ok(named) => named,
            Err(error) => return Ok(Err(error)),
        };
        let mut collected = CollectedBlobs::default();
        for file in seen {
            if file.digest.is_some_and(|digest| named.contains(&digest)) {
                continue;
            }
            if !file.is_old {
                collected.young.add(&file);
            } else if only_look || remove(&folder, &file, cutoff)? {
                collected.gone.add(&file);
            }
        }
        Ok(Ok(collected))
    }

    /// Returns a guard; while it lives, no process removes a blob. `None` if there are no blobs yet. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Io`] if the lock cannot be taken.
    pub fn hold(&self) -> Result<Option<Guard>, BlobError> {
        match &self.0 {
            Kept::Folder { folder, .. } => super::open(folder)?.as_ref().map(Guard::shared).transpose(),
            Kept::Memory(_) => Ok(None),
        }
    }

    /// Returns the size of a blob in bytes; `None` if it is missing. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Io`] if its file cannot be read.
    pub fn size_bytes(&self, digest: Digest) -> Result<Option<u64>, BlobError> {
        match &self.0 {
            Kept::Folder { folder, .. } => match super::open(folder)? {
                Some(folder) => Ok(status(&folder, &super::name_of(digest))?.map(|there| there.size_bytes)),
                None => Ok(None),
            },
            Kept::Memory(kept) => {
                let kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(kept.get(&digest).map(|bytes| bytes.len() as u64))
            }
        }
    }

    /// Returns the digest and the size in bytes of every blob. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Io`] if a folder cannot be read.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, BlobError> {
        match &self.0 {
            Kept::Folder { folder, .. } => {
                let mut found = Vec::new();
                let Some(folder) = super::open(folder)? else { return Ok(found) };
                each_file(&folder, |name, digest| {
                    if let (Some(digest), Some(there)) = (digest, status(&folder, &name)?) {
                        found.push((digest, there.size_bytes));
                    }
                    Ok(())
                })?;
                Ok(found)
            }
            Kept::Memory(kept) => {
                let kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(kept.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)).collect())
            }
        }
    }
}

fn seen_blobs(folder: &Dir, cutoff: SystemTime) -> Result<Vec<Seen>, BlobError> {
    let mut seen = Vec::new();
    each_file(folder, |name, digest| {
        let is_draft = name.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".draft-"));
        if let Some(there) = status(folder, &name)?
            && (digest.is_some() || is_draft)
        {
            let is_old = there.modified < cutoff;
            seen.push(Seen { name, digest, size_bytes: there.size_bytes, is_old });
        }
        Ok(())
    })?;
    Ok(seen)
}

/// Removes a file, unless it was made young meanwhile.
fn remove(folder: &Dir, file: &Seen, cutoff: SystemTime) -> Result<bool, BlobError> {
    let _nobody_keeps = Guard::alone(folder)?;
    match status(folder, &file.name)? {
        Some(there) if there.modified < cutoff => {
            folder
                .remove(&file.name)
                .map_err(|source| failed("remove", &folder.path().join(&file.name), source))?;
            file.digest.map_or(Ok(()), |digest| super::scrubbed::forget(folder, digest))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Returns the file's status; `None` if it was removed meanwhile.
fn status(folder: &Dir, name: &Path) -> Result<Option<Status>, BlobError> {
    folder.status(name).map_err(|source| failed("look at", &folder.path().join(name), source))
}

/// Calls `each` with every file in the shards: its name below `folder`, and the digest in its name.
fn each_file(
    folder: &Dir,
    mut take: impl FnMut(PathBuf, Option<Digest>) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    let failed = |source| failed("list", folder.path(), source);
    for shard in folder.entries().map_err(failed)?.into_iter().filter(|entry| entry.kind == FileKind::Folder)
    {
        let Some(files) = if_there(folder.folder(&shard.name)).map_err(failed)? else { continue };
        for file in files.entries().map_err(failed)? {
            let digest = file.name.to_str().and_then(|name| name.parse().ok());
            take(Path::new(&shard.name).join(&file.name), digest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn age(folder: &Path, digest: Digest) {
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        File::open(folder.join(super::super::name_of(digest))).unwrap().set_modified(old).unwrap();
    }

    const CUTOFF: Duration = Duration::from_secs(2_000);

    #[test]
    fn what_is_old_and_not_named_goes() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let [named, old, young, again] =
            [b"named", b"older", b"young", b"again"].map(|text| blobs.put(text).unwrap());
        [named, old, again].iter().for_each(|digest| age(folder.path(), *digest));
        let cutoff = SystemTime::UNIX_EPOCH + CUTOFF;
        let look = |only_look| {
            let ask = || {
                // Whoever keeps it now has not named it yet.
                blobs.put(b"again").unwrap();
                Ok::<_, Infallible>(HashSet::from([named]))
            };
            blobs.collect(cutoff, only_look, ask).unwrap().unwrap()
        };
        let of = |blobs| BlobTotals { blobs, size_bytes: 5 * blobs };
        // When it was looked at, `again` was old; it was made young before it would have gone.
        assert_eq!(look(false), CollectedBlobs { gone: of(1), young: of(1) });
        assert_eq!(look(false), CollectedBlobs { gone: of(0), young: of(2) });
        let mut left: Vec<_> = blobs.list().unwrap();
        left.sort();
        let mut expected = vec![(named, 5), (young, 5), (again, 5)];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_look_removes_nothing_and_who_cannot_say_what_is_named_neither() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let old = blobs.put(b"older").unwrap();
        age(folder.path(), old);
        let cutoff = SystemTime::UNIX_EPOCH + CUTOFF;
        let seen = blobs.collect(cutoff, true, || Ok::<_, Infallible>(HashSet::new())).unwrap().unwrap();
        assert_eq!(seen.gone, BlobTotals { blobs: 1, size_bytes: 5 });
        assert_eq!(blobs.collect(cutoff, false, || Err("the log")).unwrap(), Err("the log"));
        assert_eq!(blobs.get(old).unwrap(), b"older");
    }

    #[test]
    fn a_draft_that_a_crash_left_behind_goes_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path());
        let digest = blobs.put(b"there").unwrap();
        let draft = folder.path().join(super::super::name_of(digest)).with_file_name(".draft-1-0");
        fs::write(&draft, "half").unwrap();
        File::open(&draft).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let cutoff = SystemTime::UNIX_EPOCH + CUTOFF;
        let named = || Ok::<_, Infallible>(HashSet::from([digest]));
        let collected = blobs.collect(cutoff, false, named).unwrap().unwrap();
        assert_eq!(collected.gone, BlobTotals { blobs: 0, size_bytes: 4 });
        assert!(!draft.exists());
    }
}
