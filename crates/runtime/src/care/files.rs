//! The files of a store beside its database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

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

/// Everything below `root/below`, in order of path, relative to `root`; links are not followed. Also how many things have no
/// UTF-8 name. What goes while it is looked at is left out.
pub(super) fn walk(root: &Utf8Path, below: &str) -> io::Result<(Vec<Found>, u32)> {
    let mut found = Vec::new();
    let mut nameless = 0;
    let mut waiting = vec![Utf8PathBuf::from(below)];
    while let Some(at) = waiting.pop() {
        let entries = match fs::read_dir(root.join(&at)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                nameless += 1;
                continue;
            };
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let path = at.join(name);
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() || kind.is_symlink() {
                found.push(Found { path, is_link: kind.is_symlink() });
            }
        }
    }
    found.sort();
    Ok((found, nameless))
}

/// Every attempt's folder, relative to the store, in order.
pub(super) fn attempts(store: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut level = vec![Utf8PathBuf::from("runs")];
    for _ in 0..ATTEMPT_DEPTH {
        let mut next = Vec::new();
        for at in level {
            let entries = match fs::read_dir(store.join(&at)) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
                    next.push(at.join(name));
                }
            }
        }
        level = next;
    }
    level.sort();
    Ok(level)
}

/// Attempts whose keepers live.
pub(super) fn at_work(store: &Utf8Path) -> io::Result<Vec<String>> {
    let mut held = Vec::new();
    for attempt in attempts(store)? {
        if backstay_exec::care::is_held(&store.join(&attempt))? {
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

/// Copies a file, with its permissions, and flushes it; gives length and digest of what was copied. One that grows is copied
/// as far as it had come.
pub(super) fn copy(from: &Utf8Path, to: &Utf8Path) -> io::Result<(u64, Digest)> {
    let source = File::open(from)?;
    let there = source.metadata()?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mode = there.permissions().mode() & 0o777;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
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
    target.sync_all()?;
    Ok((size_bytes, Digest::from_bytes(*hasher.finalize().as_bytes())))
}

/// Writes `value` as one line of JSON to `folder/name`, whole and safe from a loss of power.
pub(crate) fn replace_durably(folder: &Utf8Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let draft = folder.join(format!("{name}.part"));
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    let mut file = File::create(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    sync_folder(folder)
}

/// Flushes every folder below and with `root`, so that the names in them last.
pub(super) fn sync_folders(root: &Utf8Path) -> io::Result<()> {
    let mut waiting = vec![root.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in at.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.into_path());
            }
        }
        sync_folder(&at)?;
    }
    Ok(())
}

pub(super) fn sync_folder(folder: &Utf8Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
