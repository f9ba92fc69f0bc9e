//! The files of a keeper's folder, and how they are written whole.

use std::fs::{self, File};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

/// Held by the keeper as long as it lives.
pub(crate) const LOCK: &str = "keeper.lock";
/// How to find the keeper.
pub(crate) const KEEPER: &str = "keeper.json";
/// The bytes of stdout.
pub(crate) const STDOUT: &str = "stdout";
/// The bytes of stderr.
pub(crate) const STDERR: &str = "stderr";
/// In which order the bytes of both came.
pub(crate) const ORDER: &str = "order";
/// How it ended.
pub(crate) const EXIT: &str = "exit.json";
/// The room for the exit record, kept from the start.
pub(crate) const EXIT_PART: &str = "exit.json.part";
/// The verdict that nothing is left to attach to.
pub(crate) const LOST: &str = "lost.json";

/// What a stream's bytes are since a secret was taken out of them.
pub(crate) const SCRUBBED: &str = "scrubbed.json";

/// Writes `value` as `folder/name`: whole or not at all, but not yet safe from a loss of power.
pub(crate) fn replace<T: Serialize>(folder: &Utf8Path, name: &str, value: &T) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    fs::write(&part, &bytes)?;
    fs::rename(&part, folder.join(name))
}

/// Writes `value` as `folder/name`, whole and safe from a loss of power.
pub(crate) fn replace_durably<T: Serialize>(folder: &Utf8Path, name: &str, value: &T) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    let mut file = File::create(&part)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(&part, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// The bytes of `path`, or `None` if there is no such file.
pub(crate) fn read_if_there(path: &Utf8Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks `file` if nobody else holds it, and says whether it did.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The path of the lock file.
pub(crate) fn lock_path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join(LOCK)
}

/// Whether nobody holds `file` for himself. It is not kept.
pub(crate) fn is_free(file: &File) -> io::Result<bool> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until nobody else holds `file`, and holds it.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
