//! The files of a keeper's folder, and how they are written whole.

use std::fs::File;
use std::io;

use backstay_files::{Dir, Flush, if_there};
use camino::Utf8Path;
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
/// When they came.
pub(crate) const TIMES: &str = "times";
/// How it ended.
pub(crate) const EXIT: &str = "exit.json";
/// The room for the exit record, kept from the start.
pub(crate) const EXIT_PART: &str = "exit.json.part";
/// The verdict that nothing is left to attach to.
pub(crate) const LOST: &str = "lost.json";

/// What a stream's bytes are since a secret was taken out of them.
pub(crate) const SCRUBBED: &str = "scrubbed.json";

/// A file of ours in a keeper's folder has fewer bytes than this.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Opens an attempt's folder: nothing on the way to it is a link.
pub(crate) fn open(folder: &Utf8Path) -> io::Result<Dir> {
    Dir::open(folder.as_std_path())
}

/// Writes `value` as the file `name`: whole or not at all, but not yet safe from a loss of power.
pub(crate) fn replace<T: Serialize>(folder: &Dir, name: &str, value: &T) -> io::Result<()> {
    folder.replace(name, &line(value)?, Flush::No)
}

/// Writes `value` as the file `name`, whole and safe from a loss of power.
pub(crate) fn replace_durably<T: Serialize>(folder: &Dir, name: &str, value: &T) -> io::Result<()> {
    folder.replace(name, &line(value)?, Flush::Yes)
}

fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The bytes of a file of ours, or `None` if there is no such file.
pub(crate) fn read_if_there(folder: &Dir, name: &str) -> io::Result<Option<Vec<u8>>> {
    if_there(folder.read(name, RECORD_BYTES_MAX))
}

/// Whether it is written in `folder` how the attempt ended, or that it is lost.
pub(crate) fn is_closed(folder: &Dir) -> io::Result<bool> {
    Ok(folder.has(EXIT)? || folder.has(LOST)?)
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
