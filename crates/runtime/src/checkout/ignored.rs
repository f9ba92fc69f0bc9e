//! Ignored files of a worktree that are nowhere else.
//!
//! An ignored folder is what a build or a package manager makes again. An ignored file beside tracked ones may be written by
//! hand: a local configuration, notes, a key.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use camino::Utf8Path;

use crate::store::STORE_FOLDER;

/// Bytes that are compared at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Whether `folder` has an ignored file outside of ignored folders that `origin` does not have in the same place, or has
/// with other bytes; or a store. `status` is what `git status --porcelain -z --ignored=matching` says of `folder`.
pub(super) fn has_lone_ignored(status: &[u8], folder: &Utf8Path, origin: &Utf8Path) -> bool {
    let ignored = || {
        let entries = status.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(b"!! "));
        entries.map(|path| Path::new(OsStr::from_bytes(path)))
    };
    // Caches and environments ignore themselves, by a file of their own that git lists with the others.
    let ignoring_themselves: Vec<&Path> = ignored()
        .filter(|path| path.file_name() == Some(OsStr::new(".gitignore")))
        .filter_map(Path::parent)
        .filter(|parent| !parent.as_os_str().is_empty())
        .collect();
    ignored().any(|path| {
        if path.components().any(|part| part.as_os_str() == STORE_FOLDER) {
            return true;
        }
        let is_folder = path.as_os_str().as_bytes().ends_with(b"/");
        if is_folder || ignoring_themselves.iter().any(|parent| path.starts_with(parent)) {
            return false;
        }
        let (here, there) = (folder.as_std_path().join(path), origin.as_std_path().join(path));
        // What cannot be compared is taken for something else.
        !is_same(&here, &there).unwrap_or(false)
    })
}

/// Whether two paths are the same file or link.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (first, second) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    if first.is_symlink() && second.is_symlink() {
        return Ok(fs::read_link(one)? == fs::read_link(other)?);
    }
    if !(first.is_file() && second.is_file() && first.len() == second.len()) {
        return Ok(false);
    }
    let (mut one, mut other) = (pieces(one)?, pieces(other)?);
    let mut buffers = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let count = one.read(&mut buffers.0)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut buffers.1[..count])?;
        if buffers.0[..count] != buffers.1[..count] {
            return Ok(false);
        }
    }
}

fn pieces(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(PIECE_BYTES, File::open(path)?))
}
