//! Attempts' folders as a part of a store that is looked after: checked, copied, restored, scrubbed.

use std::collections::BTreeMap;
use std::io::{self, Read};

use backstay_files::{Dir, if_there};
use backstay_model::event::{LostEvidence, Spool};
use backstay_model::{Digest, Timestamp};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::error::SpoolError;
use crate::files;
use crate::record::{ExitRecord, KEEPER_FILE_VERSION, KeeperFile, LostFile};
use crate::spool::{Stream, path_in};

/// The version of [`ScrubbedFile`]'s form.
const SCRUBBED_FILE_VERSION: u32 = 1;
/// Bytes that are digested at once.
const PIECE_BYTES: usize = 1 << 18;

/// How a spool stands to what the log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolState {
    /// It has the length and the digest.
    Whole,
    /// A secret was taken out of it, and it is what was left.
    Scrubbed,
}

/// What streams are since a secret was taken out of them: the file `scrubbed.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ScrubbedFile {
    /// The version of this form.
    version: u32,
    /// By the name of a stream's file, the digests that it may have since, the newest last.
    digests: BTreeMap<String, Vec<Digest>>,
    /// When it was last changed.
    at: Timestamp,
}

/// Whether somebody holds the attempt in `folder`: its keeper lives.
///
/// # Errors
/// What the system says, if the lock cannot be looked at.
pub fn is_keeper_alive(folder: &Utf8Path) -> io::Result<bool> {
    let Some(folder) = if_there(files::open(folder))? else { return Ok(false) };
    match if_there(folder.open_file(files::LOCK))? {
        Some(lock) => files::is_free(&lock).map(|free| !free),
        None => Ok(false),
    }
}

/// Whether it is written that the attempt in `folder` is lost.
///
/// # Errors
/// What the system says, if that cannot be looked at.
pub fn is_lost(folder: &Utf8Path) -> io::Result<bool> {
    if_there(files::open(folder))?.map_or(Ok(false), |folder| folder.has(files::LOST))
}

/// Closes the copy of an attempt's folder, `attempt` in `store`, that has no end yet, so that nobody looks for its processes: they
/// are the original's. Makes the folder if need be, and no store. False if there is an end already.
///
/// # Errors
/// What the system says, if it cannot be written.
pub fn close_copy(store: &Dir, attempt: &Utf8Path) -> io::Result<bool> {
    let folder = &store.make_folder(attempt)?;
    if files::is_closed(folder)? {
        return Ok(false);
    }
    let lost =
        LostFile { version: KEEPER_FILE_VERSION, evidence: LostEvidence::Restored, ended_processes: 0 };
    files::replace_durably(folder, files::LOST, &lost)?;
    Ok(true)
}

/// Whether a file of an attempt's folder belongs into a copy. What tells how to find the keeper, or is not written yet,
/// does not: a copy has no keeper. `is_ended`: the exit record was there before the copy began.
#[must_use]
pub fn belongs_into_copy(name: &str, is_ended: bool) -> bool {
    match name {
        files::KEEPER => false,
        // One that comes while the others are copied speaks of more than was copied.
        files::EXIT => is_ended,
        name => !name.ends_with(".part"),
    }
}

/// Whether a file of an attempt's folder is ours: JSON that a keeper, or who looks after it, wrote and reads again.
#[must_use]
pub fn is_own(name: &str) -> bool {
    matches!(name, files::KEEPER | files::EXIT | files::LOST | files::SCRUBBED)
}

/// Whether `bytes` can be read as the file `name`, which is ours; the error says why not.
///
/// # Errors
/// What is wrong, for people.
pub fn understand_own(name: &str, bytes: &[u8]) -> Result<(), String> {
    let read = match name {
        files::KEEPER => serde_json::from_slice::<KeeperFile>(bytes).map(drop),
        files::EXIT => serde_json::from_slice::<ExitRecord>(bytes).map(drop),
        files::LOST => serde_json::from_slice::<LostFile>(bytes).map(drop),
        files::SCRUBBED => serde_json::from_slice::<ScrubbedFile>(bytes).map(drop),
        _ => Ok(()),
    };
    read.map_err(|error| error.to_string())
}

/// Compares a stream in `folder` with what the log says of it.
///
/// # Errors
/// [`SpoolError`] if it is not that, is missing, or cannot be read.
pub fn spool_state(folder: &Utf8Path, stream: Stream, noted: &Spool) -> Result<SpoolState, SpoolError> {
    let path = folder.join(stream.file_name());
    let read = files::open(folder).and_then(|folder| {
        let found = digest_of(&mut folder.open_file(stream.file_name())?)?;
        Ok((found, folder))
    });
    let ((size_bytes, digest), folder) =
        read.map_err(|source| SpoolError::Io { path: path.clone(), source })?;
    if size_bytes < noted.size_bytes {
        return Err(SpoolError::Short {
            path,
            stream,
            expected_bytes: noted.size_bytes,
            found_bytes: size_bytes,
        });
    }
    if digest == noted.digest && size_bytes == noted.size_bytes {
        Ok(SpoolState::Whole)
    } else if size_bytes == noted.size_bytes && is_left_of(&folder, stream, digest)? {
        Ok(SpoolState::Scrubbed)
    } else {
        Err(SpoolError::Digest { path, stream, size_bytes })
    }
}

/// Length and digest of the bytes of a file.
///
/// # Errors
/// What the system says, if it cannot be read.
pub fn digest_of(file: &mut impl Read) -> io::Result<(u64, Digest)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((size_bytes, Digest::from_bytes(*hasher.finalize().as_bytes()))),
            Ok(count) => {
                hasher.update(&piece[..count]);
                size_bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Notes what the bytes of a stream will be once a secret is taken out of them. To be called before they are changed. Files
/// that are no stream need no note.
///
/// # Errors
/// [`SpoolError`] if the note cannot be read or written.
pub fn note_scrubbed(folder: &Utf8Path, name: &str, digest: Digest, at: Timestamp) -> Result<(), SpoolError> {
    if Stream::BOTH.iter().all(|stream| stream.file_name() != name) {
        return Ok(());
    }
    let path = folder.join(files::SCRUBBED);
    let folder = &files::open(folder).map_err(|source| SpoolError::Io { path: folder.to_owned(), source })?;
    let mut noted = read(folder)?.unwrap_or(ScrubbedFile {
        version: SCRUBBED_FILE_VERSION,
        digests: BTreeMap::new(),
        at,
    });
    let digests = noted.digests.entry(name.to_owned()).or_default();
    digests.retain(|known| *known != digest);
    digests.push(digest);
    noted.at = at;
    files::replace_durably(folder, files::SCRUBBED, &noted).map_err(|source| SpoolError::Io { path, source })
}

/// Whether `digest` is of what was left of a stream.
pub(crate) fn is_left_of(folder: &Dir, stream: Stream, digest: Digest) -> Result<bool, SpoolError> {
    let noted = read(folder)?;
    let digests = noted.as_ref().and_then(|noted| noted.digests.get(stream.file_name()));
    Ok(digests.is_some_and(|digests| digests.contains(&digest)))
}

fn read(folder: &Dir) -> Result<Option<ScrubbedFile>, SpoolError> {
    let path = path_in(folder, files::SCRUBBED);
    match files::read_if_there(folder, files::SCRUBBED) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| SpoolError::Record { path, source })
        }
        Err(source) => Err(SpoolError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::keeper_client::{Recovered, recover};

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        (keep, path)
    }

    #[test]
    fn a_copy_that_is_gone_is_not_made_anew_to_be_closed() {
        let (_keep, folder) = folder();
        let copy = Dir::open_found(folder.as_std_path()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(close_copy(&copy, "runs/run_1/one/1".into()).is_err());
        assert!(!folder.exists());
    }

    #[test]
    fn a_closed_copy_is_lost_and_nobody_looks_for_its_processes() {
        let (_keep, folder) = folder();
        // The mark and the number are this test's own process: a recovery that looked for it would end it.
        let own = std::process::id();
        let boot = crate::platform::boot_id().unwrap();
        let keeper = format!(
            r#"{{"version":1,"effect":"run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main","attempt":1,"keeper_pid":{own},"keeper_started":0,"pid":{own},"mark":"m","socket":"/nowhere","boot":"{boot}"}}"#
        );
        fs::write(folder.join("keeper.json"), keeper).unwrap();
        fs::write(folder.join("keeper.lock"), "").unwrap();
        let (store, below) = (folder.parent().unwrap(), Utf8Path::new(folder.file_name().unwrap()));
        let copy = Dir::open_found(store.as_std_path()).unwrap();
        assert!(close_copy(&copy, below).unwrap());
        assert!(!close_copy(&copy, below).unwrap(), "once is enough");
        let effect: backstay_model::EffectId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap();
        let (attempt, epoch) = (backstay_model::Attempt(1), backstay_model::Epoch(1));
        let recovered = recover(store, below, &effect, attempt, epoch).unwrap();
        assert!(
            matches!(recovered, Recovered::Lost { evidence: LostEvidence::Restored, ended_processes: 0 }),
            "{recovered:?}"
        );
    }

    #[test]
    fn what_is_no_part_of_a_copy_is_left_out() {
        for (name, is_ended, belongs) in [
            ("stdout", false, true),
            ("keeper.json", true, false),
            ("exit.json.part", true, false),
            ("exit.json", false, false),
            ("exit.json", true, true),
            ("lost.json", false, true),
        ] {
            assert_eq!(belongs_into_copy(name, is_ended), belongs, "{name}");
        }
    }

    #[test]
    fn a_scrubbed_stream_is_verified_and_another_change_is_told() {
        let (_keep, folder) = folder();
        let noted = Spool { size_bytes: 6, digest: Digest::of(b"secret"), lost_bytes: 0 };
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        fs::write(folder.join("stdout"), "secret").unwrap();
        assert_eq!(spool_state(&folder, Stream::Stdout, &noted).unwrap(), SpoolState::Whole);
        note_scrubbed(&folder, "stdout", Digest::of(b"******"), at).unwrap();
        note_scrubbed(&folder, "script", Digest::of(b"x"), at).unwrap();
        fs::write(folder.join("stdout"), "******").unwrap();
        assert_eq!(spool_state(&folder, Stream::Stdout, &noted).unwrap(), SpoolState::Scrubbed);
        assert_eq!(
            fs::read_to_string(folder.join("scrubbed.json")).unwrap(),
            format!(
                "{{\"version\":1,\"digests\":{{\"stdout\":[\"{}\"]}},\"at\":1700000000000000}}\n",
                Digest::of(b"******")
            )
        );
        fs::write(folder.join("stdout"), "secreT").unwrap();
        assert!(matches!(spool_state(&folder, Stream::Stdout, &noted), Err(SpoolError::Digest { .. })));
        fs::write(folder.join("stdout"), "secr").unwrap();
        assert!(matches!(spool_state(&folder, Stream::Stdout, &noted), Err(SpoolError::Short { .. })));
    }
}
