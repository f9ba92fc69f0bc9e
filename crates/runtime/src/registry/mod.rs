//! Which stores this user made or adopted: one small file for each place of each, in the user's state folder.
//!
//! What the registry knows decides how a store is opened: a store that a stranger left in a cloned repository is known to
//! nobody, and is only read until somebody adopts it. See `docs/security.md`.

mod error;
mod standing;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use backstay_model::{Digest, LogId, Position, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

pub use error::RegistryError;
pub use standing::Standing;
pub(crate) use standing::{OldPlace, Place, standing};

use crate::store::private;

/// The version of [`RegisteredStore`]'s form.
const ENTRY_VERSION: u32 = 1;
/// The registry's folder below `$XDG_STATE_HOME`.
const FOLDER: &str = "backstay/registry";
/// The folder beside it for what stores left that are gone.
const KEPT: &str = "kept";
/// The folder beside it with the presets that this user's configuration had: an empty file for each, by its digest.
const PRESETS: &str = "presets";
/// Its lock.
const LOCK: &str = ".lock";
/// How long the lock is waited for: longer than making or adopting a store takes, but for a very large one.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Hexadecimal digits of a path's digest in the name of its entry.
const PATH_DIGITS: usize = 16;
/// A longer file is none of ours.
const ENTRY_BYTES_MAX: u64 = 64 * 1024;
/// Modes of what is in it.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What the registry knows of one store: the file `LOG.DIGEST.json`, by the log and the digest of the path. A log that was
/// restored beside its original, or whose copy was adopted, has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredStore {
    /// The version of this form.
    pub version: u32,
    /// The store's log.
    pub log: LogId,
    /// Its folder: absolute, and without links.
    pub path: Utf8PathBuf,
    /// A position that the log had reached, and that was on the disk. The log was never seen below it.
    pub head: Position,
    /// When this was written.
    pub noted_at: Timestamp,
}

impl RegisteredStore {
    /// What is known of the store of `log` in the folder `path`.
    #[must_use]
    pub const fn new(log: LogId, path: Utf8PathBuf, head: Position, noted_at: Timestamp) -> RegisteredStore {
        RegisteredStore { version: ENTRY_VERSION, log, path, head, noted_at }
    }
}

/// The lock of a registry, until it is dropped.
#[derive(Debug)]
pub(crate) struct RegistryLock {
    _file: File,
}

/// The registry of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// None where the user has no state folder.
    folder: Option<Utf8PathBuf>,
}

impl Registry {
    /// The registry that the variables of `env` name: `$XDG_STATE_HOME/backstay/registry`, else under `~/.local/state`.
    #[must_use]
    pub fn of_environment(env: &BTreeMap<String, String>) -> Registry {
        let named = |name: &str| env.get(name).filter(|value| value.starts_with('/')).map(Utf8PathBuf::from);
        let state = named("XDG_STATE_HOME").or_else(|| named("HOME").map(|home| home.join(".local/state")));
        Registry { folder: state.map(|state| state.join(FOLDER)) }
    }

    /// The registry in `folder` (absolute), which is made when the first store is registered.
    #[must_use]
    pub fn in_folder(folder: &Utf8Path) -> Registry {
        Registry { folder: Some(folder.to_owned()) }
    }

    /// Makes sure that stores can be registered. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no place for it, or it cannot be written.
    pub fn prepare(&self) -> Result<(), RegistryError> {
        let folder = self.folder()?;
        make_private(folder)?;
        // What can be made here can be replaced here too.
        let draft = draft_in(folder);
        let failed = |source| RegistryError::Io { action: "write to", path: folder.to_owned(), source };
        File::options().write(true).create_new(true).mode(FILE_MODE).open(&draft).map_err(failed)?;
        fs::remove_file(&draft).map_err(failed)
    }

    /// Keeps every other process from making or adopting a store, until this is dropped. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be written, or another process keeps it for more than [`LOCK_WAIT`].
    pub(crate) fn lock(&self) -> Result<RegistryLock, RegistryError> {
        let path = self.folder()?.join(LOCK);
        let failed = |source| RegistryError::Io { action: "lock", path: path.clone(), source };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed)?;
        Ok(RegistryLock { _file: wait_for(file, &path, LOCK_WAIT)? })
    }

    /// What is known of the stores of `log`, in order of path. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be read.
    pub fn of_log(&self, log: LogId) -> Result<Vec<RegisteredStore>, RegistryError> {
        self.all_named(|name| name.starts_with(&format!("{log}.")))
    }

    /// What is known of the store of `log` in the folder `path` (without links). Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be read.
    pub fn of_place(&self, log: LogId, path: &Utf8Path) -> Result<Option<RegisteredStore>, RegistryError> {
        let folder = self.folder()?;
        if is_there(folder)? { read_entry(&folder.join(file_name(log, path))) } else { Ok(None) }
    }

    /// What is known of the store in the folder `path` (without links). Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be read.
    pub fn at_path(&self, path: &Utf8Path) -> Result<Option<RegisteredStore>, RegistryError> {
        // One that was replaced there is known too: the newest word counts.
        let found = self.all()?.into_iter().filter(|entry| entry.path == path);
        Ok(found.max_by_key(|entry| entry.noted_at))
    }

    /// Every store that is known, in order of path. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be read.
    pub fn all(&self) -> Result<Vec<RegisteredStore>, RegistryError> {
        self.all_named(|_| true)
    }

    fn all_named(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<RegisteredStore>, RegistryError> {
        let folder = self.folder()?;
        if !is_there(folder)? {
            return Ok(Vec::new());
        }
        let failed = |source| RegistryError::Io { action: "list", path: folder.to_owned(), source };
        let mut found = Vec::new();
        for entry in folder.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if is_entry(entry.file_name()) && is_wanted(entry.file_name()) {
                found.extend(read_entry(entry.path())?);
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// Notes that a store is about to be made in the folder `path`: whoever makes it may be killed before it has an entry. To be
    /// called by the holder of the lock. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be written.
    pub(crate) fn begin_making(&self, path: &Utf8Path) -> Result<(), RegistryError> {
        let note = self.folder()?.join(making_name(path));
        let written = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(&note);
        written
            .and_then(|mut file| file.write_all(path.as_str().as_bytes()))
            .map_err(|source| RegistryError::Io { action: "write to", path: note, source })
    }

    /// Whether a store was about to be made in the folder `path`, and that was not ended. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be read.
    pub(crate) fn is_making(&self, path: &Utf8Path) -> Result<bool, RegistryError> {
        let note = self.folder()?.join(making_name(path));
        match fs::read_to_string(&note) {
            Ok(noted) => Ok(noted == path.as_str()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(RegistryError::Io { action: "read", path: note, source }),
        }
    }

    /// Takes the note away that a store is about to be made in the folder `path`. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be written.
    pub(crate) fn end_making(&self, path: &Utf8Path) -> Result<(), RegistryError> {
        remove(&self.folder()?.join(making_name(path)))
    }

    /// Forgets the store of `log` in the folder `path`. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be written.
    pub(crate) fn remove(&self, log: LogId, path: &Utf8Path) -> Result<(), RegistryError> {
        remove(&self.folder()?.join(file_name(log, path)))
    }

    /// Notes what is known of a store, in the place of what was. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be written.
    pub fn put(&self, entry: &RegisteredStore) -> Result<(), RegistryError> {
        let folder = self.folder()?;
        make_private(folder)?;
        let draft = draft_in(folder);
        let written = write_entry(folder, &draft, entry);
        written.map_err(|source| {
            if let Err(left) = fs::remove_file(&draft) {
                // It is nobody's entry.
                tracing::debug!(%draft, %left, "the beginning of an entry stays behind");
            }
            RegistryError::Io { action: "write to", path: folder.to_owned(), source }
        })
    }

    /// Keeps a file of a store that is gone, beside the registry; gives where. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if it cannot be written.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<Utf8PathBuf, RegistryError> {
        let folder = self.folder()?.with_file_name(KEPT);
        make_private(&folder)?;
        let path = folder.join(name);
        let failed = |source| RegistryError::Io { action: "write beside", path: path.clone(), source };
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(path)
    }

    /// Notes that the user's configuration has a preset of this digest. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if it cannot be written.
    pub(crate) fn note_preset(&self, digest: Digest) -> Result<(), RegistryError> {
        if self.has_preset(digest)? {
            return Ok(());
        }
        let folder = self.folder()?.with_file_name(PRESETS);
        make_private(&folder)?;
        let path = folder.join(digest.to_string());
        let made = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(&path);
        made.map(drop).map_err(|source| RegistryError::Io { action: "write beside", path, source })
    }

    /// Whether the user's configuration ever had a preset of this digest. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`] if that cannot be read.
    pub(crate) fn has_preset(&self, digest: Digest) -> Result<bool, RegistryError> {
        let folder = self.folder()?.with_file_name(PRESETS);
        let path = folder.join(digest.to_string());
        let failed = |source| RegistryError::Io { action: "read", path: path.clone(), source };
        Ok(is_there(&folder)? && path.try_exists().map_err(failed)?)
    }

    fn folder(&self) -> Result<&Utf8Path, RegistryError> {
        self.folder.as_deref().ok_or(RegistryError::NoPlace)
    }
}

/// Locks `file`, waiting for it at most `limit`. A helper thread waits, since a `flock` cannot be given up halfway: one that gets
/// the lock too late drops the file, and so frees it.
fn wait_for(file: File, path: &Utf8Path, limit: Duration) -> Result<File, RegistryError> {
    let failed = |source| RegistryError::Io { action: "lock", path: path.to_owned(), source };
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let (sender, locked) = mpsc::sync_channel(1);
    let wait = move || {
        if sender.send(file.lock().map(|()| file)).is_err() {
            tracing::debug!("nobody waits for the registry's lock any more");
        }
    };
    std::thread::Builder::new().name("registry-lock".to_owned()).spawn(wait).map_err(failed)?;
    match locked.recv_timeout(limit) {
        Ok(locked) => locked.map_err(failed),
        Err(_late) => Err(RegistryError::Busy { path: path.to_owned(), waited_s: limit.as_secs() }),
    }
}

/// The name of an entry's file.
fn file_name(log: LogId, path: &Utf8Path) -> String {
    format!("{log}.{}.json", path_digits(path))
}

/// The name of the note that a store is about to be made.
fn making_name(path: &Utf8Path) -> String {
    format!("making.{}", path_digits(path))
}

fn path_digits(path: &Utf8Path) -> String {
    Digest::of(path.as_str().as_bytes()).to_string()[..PATH_DIGITS].to_owned()
}

/// Removes a file, if it is there.
fn remove(path: &Utf8Path) -> Result<(), RegistryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RegistryError::Io { action: "write to", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Whether a file of this name is an entry.
fn is_entry(name: &str) -> bool {
    let mut parts = name.split('.');
    let is_log = parts.next().is_some_and(|log| log.parse::<LogId>().is_ok());
    is_log && parts.next().is_some_and(|digest| digest.len() == PATH_DIGITS) && parts.next() == Some("json")
}

/// A name in `folder` that nobody else has.
fn draft_in(folder: &Utf8Path) -> Utf8PathBuf {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let number = DRAWN.fetch_add(1, Ordering::Relaxed);
    folder.join(format!(".draft-{}-{number}", std::process::id()))
}

fn write_entry(folder: &Utf8Path, draft: &Utf8Path, entry: &RegisteredStore) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(entry)?;
    bytes.push(b'\n');
    let mut file = File::options().write(true).create_new(true).mode(FILE_MODE).open(draft)?;
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(draft, folder.join(file_name(entry.log, &entry.path)))?;
    File::open(folder)?.sync_all()
}

/// Whether the registry's folder is there. It has to be this user's alone: who can write to it decides which stores count.
fn is_there(folder: &Utf8Path) -> Result<bool, RegistryError> {
    match private::check_folder(folder) {
        Ok(()) => Ok(true),
        Err(private::PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        Err(error) => Err(RegistryError::Private(error)),
    }
}

fn make_private(folder: &Utf8Path) -> Result<(), RegistryError> {
    if is_there(folder)? {
        return Ok(());
    }
    let failed = |source| RegistryError::Io { action: "make", path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    is_there(folder).map(drop)
}

fn read_entry(path: &Utf8Path) -> Result<Option<RegisteredStore>, RegistryError> {
    let damaged = |what: String| RegistryError::Damaged { path: path.to_owned(), what };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ENTRY_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RegistryError::Io { action: "read", path: path.to_owned(), source }),
    }
    let entry: RegisteredStore =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if entry.version > ENTRY_VERSION {
        return Err(damaged(format!("it has version {}, known is {ENTRY_VERSION}", entry.version)));
    }
    if path.file_name() != Some(file_name(entry.log, &entry.path).as_str()) {
        return Err(damaged(format!("it is of {} in {}", entry.log, entry.path)));
    }
    Ok(Some(entry))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn log(digit: char) -> LogId {
        format!("log_01JDX7Q2ZK8VQ5T3W9M4N6P7R{digit}").parse().unwrap()
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn version_1_is_frozen() {
        let text = concat!(
            r#"{"version":1,"log":"log_01JDX7Q2ZK8VQ5T3W9M4N6P7R8","path":"/home/ada/project/.backstay","#,
            r#""head":41,"noted_at":1700000000000000}"#
        );
        let entry: RegisteredStore = serde_json::from_str(text).unwrap();
        let path = Utf8PathBuf::from("/home/ada/project/.backstay");
        assert_eq!(entry, RegisteredStore::new(log('8'), path, Position(41), at(1_700_000_000_000_000)));
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }

    #[test]
    fn what_is_put_is_found_by_log_and_by_path_and_is_private() {
        let keep = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(keep.path()).unwrap();
        let registry =
            Registry::of_environment(&BTreeMap::from([("XDG_STATE_HOME".to_owned(), state.to_string())]));
        assert_eq!(registry.all().unwrap(), []);
        assert_eq!(registry.of_log(log('1')).unwrap(), []);
        registry.prepare().unwrap();
        let entries = [
            RegisteredStore::new(log('1'), "/b".into(), Position(1), at(1)),
            RegisteredStore::new(log('2'), "/a".into(), Position(2), at(2)),
            RegisteredStore::new(log('3'), "/b".into(), Position(3), at(3)),
        ];
        entries.iter().for_each(|entry| registry.put(entry).unwrap());
        assert_eq!(registry.of_log(log('2')).unwrap(), [entries[1].clone()]);
        assert_eq!(registry.of_place(log('2'), "/b".into()).unwrap(), None);
        assert_eq!(registry.at_path("/b".into()).unwrap().as_ref(), Some(&entries[2]));
        assert_eq!(registry.at_path("/c".into()).unwrap(), None);
        let moved = RegisteredStore::new(log('3'), "/c".into(), Position(9), at(4));
        registry.put(&moved).unwrap();
        registry.remove(log('3'), "/b".into()).unwrap();
        registry.remove(log('3'), "/b".into()).unwrap();
        assert_eq!(registry.all().unwrap(), [entries[1].clone(), entries[0].clone(), moved]);
        let folder = state.join(FOLDER);
        let mode = |path: &Utf8Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for entry in folder.read_dir_utf8().unwrap() {
            assert_eq!(mode(entry.unwrap().path()), 0o600);
        }
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 3, "no draft stays behind");
    }

    #[test]
    fn a_registry_without_a_place_or_that_others_can_write_is_an_error() {
        let nowhere = Registry::of_environment(&BTreeMap::new());
        assert!(matches!(nowhere.prepare(), Err(RegistryError::NoPlace)));
        assert!(matches!(nowhere.all(), Err(RegistryError::NoPlace)));
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap().join("open");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let open = Registry::in_folder(&folder);
        assert!(matches!(open.all(), Err(RegistryError::Private(_))));
        assert!(matches!(open.prepare(), Err(RegistryError::Private(_))));
    }

    #[test]
    fn a_lock_that_another_process_keeps_is_waited_for_within_a_bound() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap().join("registry");
        let registry = Registry::in_folder(&folder);
        registry.prepare().unwrap();
        let held = registry.lock().unwrap();
        let path = folder.join(LOCK);
        let open = || File::open(&path).unwrap();
        let busy = wait_for(open(), &path, Duration::ZERO).unwrap_err();
        assert!(matches!(busy, RegistryError::Busy { .. }) && busy.to_string().contains(path.as_str()));
        drop(held);
        wait_for(open(), &path, LOCK_WAIT).unwrap();
    }

    #[test]
    fn a_damaged_entry_is_an_error_and_other_files_are_passed_by() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        let registry = Registry::in_folder(folder);
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        fs::write(folder.join("notes.json"), "{}").unwrap();
        assert_eq!(registry.all().unwrap(), []);
        fs::write(folder.join(file_name(log('1'), "/a".into())), "{").unwrap();
        assert!(matches!(registry.all(), Err(RegistryError::Damaged { .. })));
    }
}
