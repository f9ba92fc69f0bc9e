//! Opening a store.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::checkpoint::Checkpointer;
use super::commit::Committer;
use super::core::Core;
use super::flush::WalFlush;
use super::lock::{LockFile, Strength, Turnstile};
use super::owners::OwnerLocks;
use super::placed::Placed;
use super::readers::{self, Readers};
use super::store::{Inner, SqliteLog};
use super::tail::Tail;
use super::writer::Writer;
use super::{bell, fault, filesystem, migrate, schema, wal};
use crate::blobs::BlobStore;
use crate::clock::{Clock, SystemClock};
use crate::error::{OpenError, StoreError};
use crate::rings::Rings;

/// Modes of what is in a store: nobody else reads or writes it.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Which boot of the machine this is: after another one, commits may have been lost with the power.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Boot {
    /// Asks the system, where it can tell.
    #[default]
    Ask,
    /// This one.
    Is(String),
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Whether the store is made if it is not there.
    pub create: bool,
    /// Where its time comes from.
    pub clock: Arc<dyn Clock>,
    /// Which boot this is.
    pub boot: Boot,
    /// How many entries of the index by topic may wait in memory, 24 bytes each. With more, commits carry some of them.
    pub index_waiting_max: usize,
    /// How long ago a topic has to have ended before its payloads are packed.
    pub pack_after: Duration,
    /// The folder of the owners' locks, where the store is a copy of another one that is only read.
    pub owners: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            create: true,
            clock: Arc::new(SystemClock::default()),
            boot: Boot::Ask,
            index_waiting_max: 128 * 1024,
            pack_after: Duration::from_secs(3_600),
            owners: None,
        }
    }
}

impl SqliteLog {
    /// The format of a store that is open: older ones are brought up to it.
    pub const FORMAT: i64 = super::schema::FORMAT;

    /// Opens the store in `folder`, and makes it if need be. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a store, of a newer version, on a network file system, or cannot be used.
    pub fn open(folder: &Path, options: OpenOptions) -> Result<SqliteLog, OpenError> {
        let path = folder.join("log.db");
        wal::refuse_damage(&path)?;
        find(folder, &path, options.create)?;
        let (mut connection, placed) = Placed::connect(&path, schema::connect_writer)?;
        migrate::bring_up(&mut connection, folder, &path)?;
        let store_lock = LockFile::open(&folder.join("store.lock"), Strength::Shared)?;
        store_lock.acquire()?;
        if !store_lock.is_in_place()? {
            // While this process waited, the store was replaced by another one.
            return SqliteLog::open(folder, options);
        }
        let turnstile = Turnstile::open(folder)?;
        let boot = match options.boot {
            Boot::Ask => boot_id(),
            Boot::Is(boot) => Some(boot),
        };
        let (id, flush) = {
            let _turn = turnstile.enter()?;
            let id = schema::prepare(&mut connection, &path, options.clock.now(), boot.as_deref())?;
            let flush = WalFlush::open(&path)?;
            flush.warm();
            (id, flush)
        };
        let newest = readers::newest(&connection).map_err(|source| fault::sqlite("read", &path, source))?;
        let newest = watch::Sender::new(newest);
        let bell_path = folder.join("bell");
        let checkpointer = Checkpointer::start(&mut connection, &path)?;
        let tail = Arc::new(Tail::default());
        let (waiting_max, pack_after) = (options.index_waiting_max, options.pack_after);
        let committer = Committer::new(connection, placed.clone(), tail.clone(), waiting_max, pack_after);
        let bell_file = bell::open(&bell_path)?;
        let clock = options.clock.clone();
        let rings = Arc::new(Rings::default());
        let core =
            Core::new(committer, turnstile, clock, bell_file, newest.clone(), rings.clone(), checkpointer);
        let writer = Writer::start(core, flush)?;
        let readers = Arc::new(Readers::start(id, placed, tail)?);
        let owners = OwnerLocks::new(options.owners.unwrap_or_else(|| folder.join("owners")));
        let blobs = BlobStore::in_folder(&folder.join("blobs"));
        Ok(SqliteLog::new(Inner {
            id,
            folder: folder.to_owned(),
            clock: options.clock,
            writer,
            follower: OnceLock::new(),
            readers,
            newest,
            rings,
            owners,
            blobs,
            _store_lock: store_lock,
        }))
    }
}

/// Makes the folders and the database's file, or checks that they are there. What is made is this user's alone, whatever
/// the umask.
fn find(folder: &Path, database: &Path, create: bool) -> Result<(), OpenError> {
    let missing = || OpenError::Missing { path: folder.to_owned() };
    match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => {
            let what = "it is not a folder".to_owned();
            return Err(OpenError::NotAStore { path: folder.to_owned(), what });
        }
        Ok(_) => filesystem::refuse_network(folder)?,
        Err(source) if source.kind() == io::ErrorKind::NotFound && create => make_folder(folder)?,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(source) => return Err(fault::io("look at", folder, source).into()),
    }
    match std::fs::symlink_metadata(database) {
        Ok(found) if !found.is_file() => {
            let what = "its log.db is a link, or no file".to_owned();
            return Err(OpenError::NotAStore { path: folder.to_owned(), what });
        }
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound && create => {
            filesystem::refuse_network(folder)?;
            set_mode(folder, FOLDER_MODE)?;
            make_file(database)?;
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(source) => return Err(fault::io("look at", database, source).into()),
    }
    let owners = folder.join("owners");
    if !owners.is_dir() {
        make_folder(&owners)?;
    }
    filesystem::refuse_network(folder)
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(|source| fault::io("make the folder", folder, source))?;
    set_mode(folder, FOLDER_MODE)
}

/// Makes the file of the database. SQLite gives the files beside it the same mode.
fn make_file(database: &Path) -> Result<(), StoreError> {
    match File::options().write(true).create_new(true).mode(FILE_MODE).open(database) {
        Ok(_) => set_mode(database, FILE_MODE),
        // Another process makes the same store.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(fault::io("make", database, source)),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), StoreError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| fault::io("change the mode of", path, source))
}

/// Which boot this is, on Linux.
#[cfg(target_os = "linux")]
fn boot_id() -> Option<String> {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            tracing::debug!(%error, "which boot this is cannot be told");
            None
        }
    }
}

/// Other systems do not tell it in a file; there, positions lost with the power are not told apart.
#[cfg(not(target_os = "linux"))]
const fn boot_id() -> Option<String> {
    None
}
