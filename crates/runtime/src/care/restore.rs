//! A store made from a backup.
//!
//! It is built beside its place and moved there once it is whole. The original may go on elsewhere: what was at work when it
//! was copied is lost for the copy, and positions that the original may have drawn since are never drawn.

use std::io;

use backstay_files::{Dir, if_there};
use backstay_log::crash::crash_point;
use backstay_log::maintenance::{self, ExclusiveStore};
use backstay_model::{LogId, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::store::{CONFIGURATION_FILE, read_configuration, real_folder};

use super::check::{StoreCheck, check_with, inspector};
use super::error::RestoreError;
use super::files;
use super::manifest::{Manifest, Part, PartKind, leads_out, refuse_backup};

/// What may be in the restored store's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Empty,
    /// A store, which is kept beside it.
    Replace,
}

/// A store that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredStore {
    /// Where it is.
    pub path: String,
    /// The log.
    pub log: LogId,
    /// Its events.
    pub events: u64,
    /// When the backup was made.
    pub made_at: Timestamp,
    /// Positions that are left out: cursors of the original that stand there are lost.
    pub lost_after: u64,
    /// The last of them.
    pub lost_until: u64,
    /// Where the store is that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// The configuration of that one, if the restored store has another one, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_configuration: Option<String>,
    /// What is wrong with it: it was so when it was backed up.
    pub check: StoreCheck,
}

/// Makes the store `folder` (absolute) from the backup in `backup`. Blocks.
///
/// # Errors
/// [`RestoreError`]; what was in the store's place is as it was.
pub fn restore(
    backup: &Utf8Path,
    folder: &Utf8Path,
    place: Place,
    now: Timestamp,
) -> Result<RestoredStore, RestoreError> {
    let (backup, folder) = (&real_folder(backup), &real_folder(folder));
    let not_a_backup = |what| RestoreError::NotABackup { path: backup.to_owned(), what };
    let source = Dir::open(backup.as_std_path()).map_err(|error| not_a_backup(error.to_string()))?;
    let manifest = Manifest::read(&source).map_err(not_a_backup)?;
    let old = look_at_place(folder, place)?;
    let draft = beside(folder, "restoring");
    let made = build(&source, backup, &manifest, &draft, now);
    let (raised, check) = match made {
        Ok(made) => made,
        Err(error) => {
            if let Err(left) = std::fs::remove_dir_all(&draft) {
                tracing::debug!(%draft, %left, "the beginning of a restored store stays behind");
            }
            return Err(error);
        }
    };
    crash_point("store.restore.built");
    let replaced = move_in(&draft, folder, old.is_some())?;
    drop(old);
    let replaced_configuration = replaced.as_ref().and_then(|replaced| other_configuration(replaced, folder));
    Ok(RestoredStore {
        path: folder.to_string(),
        log: manifest.log,
        events: manifest.events,
        made_at: manifest.made_at,
        lost_after: raised.after.0,
        lost_until: raised.until.0,
        replaced: replaced.map(Utf8PathBuf::into_string),
        replaced_configuration,
        check,
    })
}

/// The configuration of the store that was replaced, if it has one that is not known to say the same as the restored one's.
fn other_configuration(replaced: &Utf8Path, restored: &Utf8Path) -> Option<String> {
    let is_same = match (read_configuration(replaced), read_configuration(restored)) {
        (Ok(None), _) => true,
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    };
    (!is_same).then(|| replaced.join(CONFIGURATION_FILE).into_string())
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Io { action, path, source }
}

/// Keeps everybody out of the store that is to be replaced, if there is one.
fn look_at_place(folder: &Utf8Path, place: Place) -> Result<Option<ExclusiveStore>, RestoreError> {
    let there = if_there(Dir::open(folder.as_std_path())).map_err(failed("look at", folder))?;
    let Some(there) = there else { return Ok(None) };
    if there.entries().map_err(failed("look at", folder))?.is_empty() {
        return Ok(None);
    }
    refuse_backup(folder)?;
    // What is no store is not moved out of the way either.
    let mut is_store = false;
    for name in ["log.db", "log.db-wal", "store.lock"] {
        is_store |= there.has(name).map_err(failed("look at", folder))?;
    }
    if place == Place::Empty || !is_store {
        return Err(RestoreError::Occupied { path: folder.to_owned() });
    }
    let alone = ExclusiveStore::acquire(folder.as_std_path())?;
    let at_work = files::at_work(folder).map_err(failed("look at", folder))?;
    if !at_work.is_empty() {
        return Err(RestoreError::AtWork { path: folder.to_owned(), folders: at_work });
    }
    Ok(Some(alone))
}

/// A name beside `folder` that nothing has.
fn beside(folder: &Utf8Path, what: &str) -> Utf8PathBuf {
    let name = folder.file_name().unwrap_or("store");
    let named = |number: u32| folder.with_file_name(format!("{name}.{what}-{number}"));
    (1..u32::MAX).map(named).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| named(0))
}

/// Builds the whole store in `draft`.
fn build(
    source: &Dir,
    backup: &Utf8Path,
    manifest: &Manifest,
    path: &Utf8Path,
    now: Timestamp,
) -> Result<(maintenance::SkippedPositions, StoreCheck), RestoreError> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above).map_err(failed("make", above))?;
    }
    let path = &real_folder(path);
    let draft = Dir::make(path.as_std_path()).map_err(failed("make", path))?;
    for part in &manifest.files {
        copy_part(source, part, &draft)?;
    }
    if !draft.has("log.db").map_err(failed("look at", path))? {
        return Err(RestoreError::NotABackup {
            path: backup.to_owned(),
            what: "it has no log.db".to_owned(),
        });
    }
    let raised = maintenance::skip_positions(path.as_std_path(), now)?;
    let mut inspector = inspector(path);
    let check = check_with(path, &mut inspector)?;
    let mut open = files::attempts(&draft).map_err(failed("list", path))?;
    open.extend(std::mem::take(&mut inspector.open_attempts));
    for attempt in open {
        backstay_exec::care::close_copy(&draft, &attempt).map_err(failed("close", &attempt))?;
    }
    files::sync_folders(&draft).map_err(failed("flush", path))?;
    Ok((raised, check))
}

fn copy_part(source: &Dir, part: &Part, draft: &Dir) -> Result<(), RestoreError> {
    let path = Utf8Path::new(part.path.as_str());
    let changed = |what: String| RestoreError::Changed { path: path.to_string(), what };
    match &part.kind {
        PartKind::File { size_bytes, digest } => {
            let copied = files::copy(source, draft, path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => changed("it is not there".to_owned()),
                _ => failed("copy", path)(error),
            })?;
            if copied.0 != *size_bytes {
                return Err(changed(format!("it has {} bytes, not {size_bytes}", copied.0)));
            }
            if copied.1 != *digest {
                return Err(changed("its digest is another one".to_owned()));
            }
        }
        PartKind::Link { link } => {
            if leads_out(path, Utf8Path::new(link)) {
                return Err(changed(format!("it is a link that leads out of the store, to {link}")));
            }
            files::make_above(draft, path)
                .and_then(|()| draft.make_link(std::path::Path::new(link), path))
                .map_err(failed("make", path))?;
        }
    }
    Ok(())
}

/// Moves the store to its place; gives where the old one went.
fn move_in(draft: &Utf8Path, folder: &Utf8Path, has_old: bool) -> Result<Option<Utf8PathBuf>, RestoreError> {
    let replaced = has_old.then(|| beside(folder, "replaced"));
    if let Some(replaced) = &replaced {
        std::fs::rename(folder, replaced).map_err(failed("move", folder))?;
    }
    crash_point("store.restore.between");
    if let Err(error) = std::fs::rename(draft, folder) {
        if let Some(replaced) = &replaced
            && let Err(stuck) = std::fs::rename(replaced, folder)
        {
            tracing::error!(%replaced, %stuck, "the old store could not be moved back");
        }
        return Err(failed("move", draft)(error));
    }
    if let Some(above) = folder.parent() {
        files::sync_folder(above.as_std_path()).map_err(failed("flush", above))?;
    }
    Ok(replaced)
}
