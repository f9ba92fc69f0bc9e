//! Taking a secret out of a store.
//!
//! Each byte of the value is replaced by `*`, so that sizes and offsets hold; numbers and structure stay as they are. What
//! is verified by a digest gets a record of what it is since.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use backstay_log::BlobStore;
use backstay_log::care::{self, Alone, Secret};
use backstay_model::event::Event;
use backstay_model::{Digest, Recorded, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::error::StoreScrubError;
use super::files;
use super::manifest::refuse_backup;

/// Bytes that are looked through at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a secret was taken out of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreScrubbed {
    /// Events that had it.
    pub events: u64,
    /// Other rows of the database that had it.
    pub rows: u64,
    /// Blobs that had it.
    pub blobs: u64,
    /// Files of attempts that had it: spools, scripts, prompts, outputs, artifacts.
    pub files: u64,
    /// Files that still have it, or have it in their name, relative to the store.
    pub left: Vec<String>,
}

/// Takes `secret` out of the store in `folder` (absolute), which nobody else may have open. Blocks.
///
/// # Errors
/// [`StoreScrubError`]; what was done until then stays done, and the same can be said again.
pub fn scrub(folder: &Utf8Path, secret: &Secret, now: Timestamp) -> Result<StoreScrubbed, StoreScrubError> {
    let failed = |action: &'static str, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| StoreScrubError::Io { action, path, source }
    };
    refuse_backup(folder)?;
    let alone = Alone::take(folder.as_std_path())?;
    let at_work = files::at_work(folder).map_err(failed("look at", folder))?;
    if !at_work.is_empty() {
        return Err(StoreScrubError::AtWork { path: folder.to_owned(), folders: at_work });
    }
    let database = care::scrub_database(&alone, secret, &mut is_understood)?;
    let blobs = BlobStore::in_folder(folder.join("blobs").as_std_path()).scrub(secret, now)?;
    let mut scrubbed = StoreScrubbed {
        events: database.events,
        rows: database.rows,
        blobs: blobs.blobs,
        ..StoreScrubbed::default()
    };
    let (found, _nameless) = files::walk(folder, "").map_err(failed("list", folder))?;
    for file in found.iter().filter(|file| !file.is_link && !is_of_database(&file.path)) {
        let path = folder.join(&file.path);
        if !has(&path, secret).map_err(failed("read", &path))? {
            continue;
        }
        scrub_file(folder, &file.path, secret, now)?;
        scrubbed.files += 1;
    }
    for file in &found {
        let path = folder.join(&file.path);
        let in_name = secret.is_in(file.path.as_str().as_bytes());
        if in_name || (!file.is_link && has(&path, secret).map_err(failed("read", &path))?) {
            scrubbed.left.push(file.path.to_string());
        }
    }
    Ok(scrubbed)
}

/// Whether an event of a run can still be folded.
fn is_understood(recorded: &Recorded) -> Result<(), String> {
    if recorded.topic.run_id().is_none() {
        return Ok(());
    }
    match Event::decode(recorded) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_of_database(path: &Utf8Path) -> bool {
    matches!(path.as_str(), "log.db" | "log.db-wal" | "log.db-shm")
}

/// Blanks the value in a file, in place: what is on the disk is written over.
fn scrub_file(
    folder: &Utf8Path,
    relative: &Utf8PathBuf,
    secret: &Secret,
    now: Timestamp,
) -> Result<(), StoreScrubError> {
    let path = folder.join(relative);
    let failed = |source| StoreScrubError::Io { action: "scrub", path: path.clone(), source };
    if let Some((attempt, name)) = files::in_attempt(relative) {
        let mut hasher = blake3::Hasher::new();
        each_piece(&path, secret, |_, bytes, _| {
            hasher.update(bytes);
            Ok(())
        })
        .map_err(failed)?;
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        backstay_exec::care::note_scrubbed(&folder.join(attempt), name, digest, now)?;
    }
    let target = writable(&path).map_err(failed)?;
    each_piece(
        &path,
        secret,
        |at, bytes, is_changed| {
            if is_changed { target.write_all_at(bytes, at) } else { Ok(()) }
        },
    )
    .map_err(failed)?;
    target.sync_all().map_err(failed)
}

/// Opens a file for writing, one too that was made read-only.
fn writable(path: &Utf8Path) -> io::Result<File> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            use std::os::unix::fs::PermissionsExt;
            let before = path.metadata()?.permissions();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(before.mode() | 0o200))?;
            let file = OpenOptions::new().write(true).open(path)?;
            std::fs::set_permissions(path, before)?;
            Ok(file)
        }
        opened => opened,
    }
}

/// Whether the value is in a file.
fn has(path: &Utf8Path, secret: &Secret) -> io::Result<bool> {
    let mut found = false;
    each_piece(path, secret, |_, _, is_changed| {
        found |= is_changed;
        Ok(())
    })?;
    Ok(found)
}

/// Gives a file in pieces with the value blanked, each with its place and whether the value was in it. A value that lies
/// across the end of what was read is waited for.
fn each_piece(
    path: &Utf8Path,
    secret: &Secret,
    mut take: impl FnMut(u64, &[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let overlap = secret.bytes_max().saturating_sub(1);
    let (mut at, mut bytes, mut was_changed) = (0, Vec::new(), false);
    loop {
        let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut bytes)?;
        let places = secret.blank_places(&mut bytes);
        let is_changed = !places.is_empty();
        let whole = if read == 0 { bytes.len() } else { bytes.len().saturating_sub(overlap) };
        // A value is blanked by one write: half of it would not be found again.
        let across = places.iter().find(|place| place.start < whole && whole < place.end);
        let done = across.map_or(whole, |place| place.start);
        // The end that was kept back the last time may have been blanked then.
        take(at, &bytes[..done], is_changed || was_changed)?;
        if read == 0 {
            return Ok(());
        }
        was_changed = is_changed;
        at += done as u64;
        bytes.drain(..done);
    }
}
