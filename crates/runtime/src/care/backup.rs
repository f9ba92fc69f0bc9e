//! A backup of a store that others go on using.
//!
//! The database is copied first, as it is at one moment; what its events name was kept before them and is copied then. The
//! manifest comes last: without one it is no backup.

use std::io;

use backstay_files::Dir;
use backstay_log::crash::crash_point;
use backstay_log::maintenance;
use backstay_log::{BlobStore, InspectError};
use backstay_model::{LogId, Timestamp};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::check::{StoreCheck, check_with, inspector, leave_out_freed};
use super::error::BackupError;
use super::files::{self, Found};
use super::manifest::{MANIFEST_VERSION, Manifest, Part, PartKind, leads_out, refuse_backup};
use crate::store::{CONFIGURATION_FILE, real_folder};

/// The database in a store, and in a backup that is not whole yet.
const DATABASE: &str = "log.db";
const DATABASE_DRAFT: &str = "log.db.part";

/// What a store's folder has of its own, beside what a backup has too: it is made anew, or is of living processes.
const OWN: [&str; 11] = [
    "log.db-wal",
    "log.db-shm",
    "store.lock",
    "turn.lock",
    "writer.lock",
    "wakeup",
    "owners",
    "ballast",
    ".gitignore",
    "up.lock",
    "up.log",
];
/// What is copied.
const COPIED: [&str; 4] = [DATABASE, "blobs", "runs", CONFIGURATION_FILE];

/// A backup that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// Where it is.
    pub path: String,
    /// The log.
    pub log: LogId,
    /// Its events.
    pub events: u64,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Attempts that were at work; in the backup they are lost.
    pub at_work: u64,
    /// Files that could not be named, and links that lead out of the store; they are not in it.
    pub left_out: u32,
    /// What is in the store's folder, is not of the store, and is not in the backup, by name.
    pub others: Vec<String>,
    /// What is wrong with the store, and now with the backup.
    pub check: StoreCheck,
}

/// Backs the store in `folder` (absolute) up to `target`, which is made and must be empty. Returns once all of it is on the
/// disk and was checked. Blocks.
///
/// # Errors
/// [`BackupError`]; what was written until then has no manifest.
pub fn backup(folder: &Utf8Path, target: &Utf8Path, now: Timestamp) -> Result<BackedUp, BackupError> {
    let io = |action: &'static str, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { action, path, source }
    };
    let folder = &real_folder(folder);
    let store = Dir::open(folder.as_std_path()).map_err(io("open", folder))?;
    refuse_backup(folder)?;
    if is_inside(target, folder).map_err(io("look at", target))? {
        return Err(BackupError::Inside { path: target.to_owned() });
    }
    let copy = make_empty(target)?;
    let target = &utf8_path(&copy);
    // What the copy of the database names stays until it is copied too.
    let blobs = BlobStore::in_folder(folder.join("blobs").as_std_path());
    let nothing_goes = blobs.hold().map_err(InspectError::from)?;
    let draft = target.join(DATABASE_DRAFT);
    let database = maintenance::copy_database(folder.as_std_path(), draft.as_std_path())?;
    crash_point("store.backup.database");
    let mut copying = Copying { from: &store, to: &copy, parts: Vec::new(), left_out: 0 };
    copying.below("blobs", |_| true)?;
    drop(nothing_goes);
    copying.attempts()?;
    copying.configuration()?;
    copy.rename(DATABASE_DRAFT, DATABASE).map_err(io("name", &draft))?;
    crash_point("store.backup.copied");
    let mut inspector = inspector(target);
    let mut check = check_with(target, &mut inspector)?;
    leave_out_freed(folder, &mut check)?;
    let closed = close_open(&copy, &mut copying.parts, inspector.open_attempts)?;
    note(&copy, &mut copying.parts, DATABASE.into()).map_err(io("read", &target.join(DATABASE)))?;
    copying.parts.sort_by(|one, other| one.path.cmp(&other.path));
    files::sync_folders(&copy).map_err(io("flush", target))?;
    if let Some(above) = target.parent() {
        files::sync_folder(above.as_std_path()).map_err(io("flush", above))?;
    }
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        log: database.log,
        format: database.format,
        newest: database.newest,
        events: database.events,
        made_at: now,
        files: copying.parts,
    };
    crash_point("store.backup.before_manifest");
    manifest.write(&copy).map_err(io("write the manifest of", target))?;
    Ok(BackedUp {
        path: target.to_string(),
        log: database.log,
        events: database.events,
        files: manifest.files.len() as u64,
        size_bytes: manifest.files.iter().map(size_of).sum(),
        at_work: closed,
        left_out: copying.left_out,
        others: others(&store).map_err(io("list", folder))?,
        check,
    })
}

fn size_of(part: &Part) -> u64 {
    match part.kind {
        PartKind::File { size_bytes, .. } => size_bytes,
        PartKind::Link { .. } => 0,
    }
}

/// What somebody else put into a store's folder.
fn others(store: &Dir) -> io::Result<Vec<String>> {
    let is_known = |name: &str| OWN.contains(&name) || COPIED.contains(&name);
    let names = store.entries()?.into_iter().map(|entry| entry.name.to_string_lossy().into_owned());
    Ok(names.filter(|name| !is_known(name)).collect())
}

/// Where a folder is that was opened by a UTF-8 path.
fn utf8_path(folder: &Dir) -> Utf8PathBuf {
    Utf8PathBuf::from(folder.path().to_string_lossy().into_owned())
}

/// Notes what the file `path` of the copy is.
fn note(copy: &Dir, parts: &mut Vec<Part>, path: Utf8PathBuf) -> io::Result<()> {
    let (size_bytes, digest) = files::digest_of(copy, &path)?;
    let path = path.into_string().try_into().map_err(io::Error::other)?;
    parts.push(Part { path, kind: PartKind::File { size_bytes, digest } });
    Ok(())
}

/// Whether `path`, which need not be there, lies in `folder` or is it, whatever links lead there.
fn is_inside(path: &Utf8Path, folder: &Utf8Path) -> io::Result<bool> {
    Ok(real(path)?.starts_with(folder.canonicalize_utf8()?))
}

/// Where `path` (absolute) is, or would be made.
fn real(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    for there in path.ancestors() {
        let found = match there.canonicalize_utf8() {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let rest: Vec<_> = path.components().skip(there.components().count()).collect();
        let goes_up = rest.contains(&Utf8Component::ParentDir);
        let whole = rest.iter().fold(found, |at, component| match component {
            Utf8Component::ParentDir => at.parent().unwrap_or(Utf8Path::new("/")).to_owned(),
            component => at.join(component),
        });
        // What is behind a folder that is not there yet may be there.
        return if goes_up { real(&whole) } else { Ok(whole) };
    }
    Ok(path.to_owned())
}

/// Makes the folder of the copy, or takes one that is empty.
fn make_empty(target: &Utf8Path) -> Result<Dir, BackupError> {
    let io = |source| BackupError::Io { action: "make", path: target.to_owned(), source };
    let occupied = || BackupError::Occupied { path: target.to_owned() };
    // Above it are folders of the user's, who may have links there.
    if let Some(above) = target.parent() {
        std::fs::create_dir_all(above).map_err(io)?;
    }
    if target.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
        return Err(occupied());
    }
    let folder = Dir::make(real_folder(target).as_std_path()).map_err(io)?;
    if folder.entries().map_err(io)?.is_empty() { Ok(folder) } else { Err(occupied()) }
}

/// Closes the copies of attempts that have begun and not ended, those too whose folder the original had not made yet.
fn close_open(
    copy: &Dir,
    parts: &mut Vec<Part>,
    begun: impl IntoIterator<Item = Utf8PathBuf>,
) -> Result<u64, BackupError> {
    let io = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { action: "close", path, source }
    };
    let mut folders = files::attempts(copy).map_err(io(&utf8_path(copy)))?;
    folders.extend(begun);
    let mut count = 0;
    for folder in folders {
        if backstay_exec::care::close_copy(copy, &folder).map_err(io(&folder))? {
            count += 1;
            let path = folder.join("lost.json");
            note(copy, parts, path.clone()).map_err(io(&path))?;
        }
    }
    Ok(count)
}

/// Copying under way.
struct Copying<'c> {
    from: &'c Dir,
    to: &'c Dir,
    parts: Vec<Part>,
    left_out: u32,
}

impl Copying<'_> {
    fn failed(&self, action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> BackupError {
        let path = utf8_path(self.from).join(path);
        move |source| BackupError::Io { action, path, source }
    }

    /// Copies what is below `folder` and wanted.
    fn below(&mut self, folder: &str, is_wanted: impl Fn(&Found) -> bool) -> Result<(), BackupError> {
        let (found, nameless) =
            files::walk(self.from, folder).map_err(self.failed("list", Utf8Path::new(folder)))?;
        self.left_out += nameless;
        for file in found.iter().filter(|file| is_wanted(file) && !is_draft(&file.path)) {
            self.one(file)?;
        }
        Ok(())
    }

    /// Copies `runs`. Whether an attempt has ended is looked at before its streams are: so an end is never without what
    /// came before it.
    fn attempts(&mut self) -> Result<(), BackupError> {
        let from = self.from;
        let ended: std::collections::BTreeSet<Utf8PathBuf> = files::attempts(from)
            .map_err(self.failed("list", Utf8Path::new("runs")))?
            .into_iter()
            .map(|attempt| Ok((from.has(attempt.join("exit.json"))?, attempt)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(self.failed("list", Utf8Path::new("runs")))?
            .into_iter()
            .filter_map(|(has_ended, attempt)| has_ended.then_some(attempt))
            .collect();
        self.below("runs", |file| match files::in_attempt(&file.path) {
            Some((attempt, name)) => backstay_exec::care::belongs_into_copy(name, ended.contains(attempt)),
            None => true,
        })
    }

    /// Copies the configuration, if there is one.
    fn configuration(&mut self) -> Result<(), BackupError> {
        self.one(&Found { path: CONFIGURATION_FILE.into(), is_link: false })
    }

    fn one(&mut self, file: &Found) -> Result<(), BackupError> {
        crash_point("store.backup.file");
        let copied = if file.is_link { self.copy_link(&file.path) } else { self.copy_file(&file.path) };
        let path = file.path.as_str().parse().map_err(io::Error::other);
        match copied.and_then(|kind| Ok(kind.zip(Some(path?)))) {
            Ok(Some((kind, path))) => self.parts.push(Part { path, kind }),
            Ok(None) => self.left_out += 1,
            // What goes while it is copied was not of the moment of the copy, or is told by the check.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(self.failed("copy", &file.path)(source)),
        }
        Ok(())
    }

    fn copy_file(&self, path: &Utf8Path) -> io::Result<Option<PartKind>> {
        let (size_bytes, digest) = files::copy(self.from, self.to, path)?;
        Ok(Some(PartKind::File { size_bytes, digest }))
    }

    /// A link that leads out of the store has nothing to lead to in a copy of it, and is not copied.
    fn copy_link(&self, path: &Utf8Path) -> io::Result<Option<PartKind>> {
        let Ok(link) = Utf8PathBuf::from_path_buf(self.from.link_target(path)?) else { return Ok(None) };
        if leads_out(path, &link) {
            return Ok(None);
        }
        files::make_above(self.to, path)?;
        self.to.make_link(link.as_std_path(), path)?;
        Ok(Some(PartKind::Link { link: link.into_string() }))
    }
}

/// A blob that is being written.
fn is_draft(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| {
        name.starts_with(".draft-") || name.ends_with("-draft") || name.ends_with(".lock")
    }) && path.starts_with("blobs")
}
