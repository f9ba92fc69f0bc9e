//! The files of a store beside its database.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use backstay_files::{Dir, FileKind, Flush, if_there};
use backstay_model::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 18;
/// Levels below `runs/` at which attempts' folders are: run, work, attempt.
const ATTEMPT_DEPTH: usize = 3;

/// A file or link of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Relative to where the search began.
    pub(super) path: Utf8PathBuf,
    pub(super) is_link: bool,
}

/// The folder `below` in `root`; `root` itself where that is empty.
fn folder(root: &Dir, below: &Utf8Path) -> io::Result<Dir> {
    if below.as_str().is_empty() { Ok(root.clone()) } else { root.folder(below) }
}

/// Everything below `below` in `root`, in order of path, relative to `root`; links are not followed. Also how many things
/// have no UTF-8 name. What goes while it is looked at is left out.
pub(super) fn walk(root: &Dir, below: &str) -> io::Result<(Vec<Found>, u32)> {
    let mut found = Vec::new();
    let mut nameless = 0;
    let mut waiting = vec![Utf8PathBuf::from(below)];
    while let Some(at) = waiting.pop() {
        let Some(listed) = if_there(folder(root, &at).and_then(|at| at.entries()))? else { continue };
        for entry in listed {
            let Ok(name) = entry.name.into_string() else {
                nameless += 1;
                continue;
            };
            let path = at.join(name);
            match entry.kind {
                FileKind::Folder => waiting.push(path),
                FileKind::Regular => found.push(Found { path, is_link: false }),
                FileKind::Link => found.push(Found { path, is_link: true }),
                FileKind::Fifo | FileKind::Socket | FileKind::Device | FileKind::Unknown => {}
            }
        }
    }
    found.sort();
    Ok((found, nameless))
}

/// Every attempt's folder, relative to the store, in order.
pub(super) fn attempts(store: &Dir) -> io::Result<Vec<Utf8PathBuf>> {
    let mut level = vec![Utf8PathBuf::from("runs")];
    for _ in 0..ATTEMPT_DEPTH {
        let mut next = Vec::new();
        for at in level {
            let Some(listed) = if_there(store.folder(&at).and_then(|at| at.entries()))? else { continue };
            let folders = listed.into_iter().filter(|entry| entry.kind == FileKind::Folder);
            next.extend(folders.filter_map(|entry| Some(at.join(entry.name.into_string().ok()?))));
        }
        level = next;
    }
    level.sort();
    Ok(level)
}

/// Attempts of the store in `folder` whose keepers live.
pub(super) fn at_work(folder: &Utf8Path) -> io::Result<Vec<String>> {
    let mut held = Vec::new();
    for attempt in attempts(&Dir::open(folder.as_std_path())?)? {
        if backstay_exec::maintenance::is_keeper_alive(&folder.join(&attempt))? {
            held.push(attempt.into_string());
        }
    }
    Ok(held)
}

/// The attempt's folder that a file is in, and its name there, if it is directly in one.
pub(super) fn in_attempt(path: &Utf8Path) -> Option<(&Utf8Path, &str)> {
    let folder = path.parent()?;
    let is_attempt = folder.starts_with("runs") && folder.components().count() == ATTEMPT_DEPTH + 1;
    is_attempt.then_some(())?;
    Some((folder, path.file_name()?))
}

/// Copies the file `name` and flushes it; gives length and digest of what was copied. One that grows is copied as far as it
/// had come. What its user may do with it is kept, and nobody else may do anything.
pub(super) fn copy(from: &Dir, to: &Dir, name: &Utf8Path) -> io::Result<(u64, Digest)> {
    let source = from.open_file(name)?;
    let there = source.metadata()?;
    make_above(to, name)?;
    let mut target = to.create_new(name)?;
    let mut source = source.take(there.len());
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&piece[..count]);
                target.write_all(&piece[..count])?;
                size_bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mode = there.permissions().mode() & 0o700;
    target.set_permissions(std::fs::Permissions::from_mode(mode))?;
    target.sync_all()?;
    Ok((size_bytes, Digest::from_bytes(*hasher.finalize().as_bytes())))
}

/// Makes the folders that `name` is to be in.
pub(super) fn make_above(root: &Dir, name: &Utf8Path) -> io::Result<()> {
    match name.parent() {
        Some(above) if !above.as_str().is_empty() => root.make_folder(above).map(drop),
        _ => Ok(()),
    }
}

/// Length and digest of the bytes of a file.
pub(super) fn digest_of(root: &Dir, name: &Utf8Path) -> io::Result<(u64, Digest)> {
    backstay_exec::maintenance::digest_of(&mut root.open_file(name)?)
}

/// Writes `value` as one line of JSON to `folder/name`, whole and safe from a loss of power.
pub(crate) fn replace_durably(folder: &Dir, name: &str, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    folder.replace(name, &bytes, Flush::Yes)
}

/// Flushes every folder below and with `root`, so that the names in them last.
pub(super) fn sync_folders(root: &Dir) -> io::Result<()> {
    let mut waiting = vec![root.clone()];
    while let Some(at) = waiting.pop() {
        for entry in at.entries()?.into_iter().filter(|entry| entry.kind == FileKind::Folder) {
            waiting.push(at.folder(entry.name)?);
        }
        at.sync()?;
    }
    Ok(())
}

/// Flushes the folder at `path`, which is not of a store.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}
