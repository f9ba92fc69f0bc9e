//! Opening a store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backstay_files::Dir;
use tokio::sync::watch;

use super::checkpoint::Checkpointer;
use super::commit::Committer;
use super::database_file::DatabaseFile;
use super::flush::WalFlush;
use super::lock::{LockFile, LockMode, WriterLock};
use super::open_databases::OpenDatabase;
use super::owners::OwnerLocks;
use super::pending_index::PendingIndex;
use super::readers::{self, Readers};
use super::store::{Inner, SqliteLog};
use super::writer::Writer;
use super::writer_core::WriterCore;
use super::{error_map, filesystem, schema, wakeup, wal};
use crate::blobs::BlobStore;
use crate::clock::{Clock, SystemClock};
use crate::error::{OpenError, StoreError};
use crate::fanout::Fanout;

/// Modes of what is in a store: nobody else reads or writes it.
const DATABASE: &str = "log.db";

/// The boot of the machine: after a new boot, commits may have been lost with the power.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Boot {
    /// Asks the system, if it can tell.
    #[default]
    Ask,
    /// This boot, for tests.
    Is(String),
}

/// Options for opening a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Whether a missing store is created.
    pub create: bool,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// The boot of the machine.
    pub boot: Boot,
    /// The number of index entries that may wait in memory, 24 bytes each. With more, commits write some of them.
    pub index_waiting_max: usize,
    /// The age from which the payloads of a topic that ended are packed.
    pub pack_after: Duration,
    /// The folder of the store of which this database is a copy. The copy is only read: it takes no append, and its snapshots of folds are
    /// not used. The locks of owners are those in that folder.
    pub copy_of: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            create: true,
            clock: Arc::new(SystemClock::default()),
            boot: Boot::Ask,
            index_waiting_max: 128 * 1024,
            pack_after: Duration::from_secs(3_600),
            copy_of: None,
        }
    }
}

impl SqliteLog {
    /// The format of stores. Other formats are refused.
    pub const FORMAT: i64 = super::schema::FORMAT;

    /// Opens the store in `folder`, or creates it. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a store, of a newer version, on a network file system, or cannot be used.
    pub fn open(folder: &Path, options: OpenOptions) -> Result<SqliteLog, OpenError> {
        let root = find(folder, options.create)?;
        let (folder, path) = (root.path(), root.path().join(DATABASE));
        let there = root.status(DATABASE).map_err(|source| error_map::io("look at", &path, source))?;
        let is_new = there.is_none_or(|there| there.size_bytes == 0);
        let (mut connection, database_file) = DatabaseFile::connect(&path, schema::connect_writer)?;
        let store_lock = LockFile::open(&root, "store.lock", LockMode::Shared)?;
        store_lock.acquire()?;
        if !store_lock.is_in_place()? {
            // While this process waited, the store was replaced by another one.
            return SqliteLog::open(folder, options);
        }
        let writer_lock = WriterLock::open(&root)?;
        let boot = match options.boot {
            Boot::Ask => boot_id(),
            Boot::Is(boot) => Some(boot),
        };
        let (id, flush) = {
            let _turn = writer_lock.enter()?;
            let id = schema::prepare(&mut connection, &path, options.clock.now(), boot.as_deref())?;
            let flush = WalFlush::open(&path)?;
            // The log of a compacted store stays short until an owner registers.
            if is_new {
                flush.warm();
            }
            (id, flush)
        };
        let newest =
            readers::newest(&connection).map_err(|source| error_map::sqlite("read", &path, source))?;
        let newest = watch::Sender::new(newest);
        let checkpointer = Checkpointer::start(&mut connection, &path)?;
        let pending_index = Arc::new(PendingIndex::default());
        let (waiting_max, pack_after) = (options.index_waiting_max, options.pack_after);
        let committer =
            Committer::new(connection, database_file.clone(), pending_index.clone(), waiting_max, pack_after);
        let wakeup_file = wakeup::open(&root)?;
        let clock = options.clock.clone();
        let fanout = Arc::new(Fanout::default());
        let core = WriterCore::new(
            committer,
            writer_lock,
            clock,
            wakeup_file,
            newest.clone(),
            fanout.clone(),
            checkpointer,
        );
        let writer = Writer::start(core, flush, options.copy_of.as_deref().map(only_read))?;
        let readers = Arc::new(Readers::start(id, database_file, pending_index)?);
        let owners = OwnerLocks::new(options.copy_of.as_deref().unwrap_or(folder).join("owners"));
        let blobs = BlobStore::in_folder(&folder.join("blobs"));
        Ok(SqliteLog::new(Inner {
            id,
            folder: folder.to_owned(),
            clock: options.clock,
            writer,
            follower: OnceLock::new(),
            readers,
            newest,
            fanout,
            owners,
            blobs,
            _store_lock: store_lock,
            _open_here: OpenDatabase::note(&path),
        }))
    }
}

/// The answer to a command on a copy of the store in `folder`.
fn only_read(folder: &Path) -> StoreError {
    let source = std::io::Error::other("it is open for reading only").into();
    StoreError::ReadOnly { location: folder.into(), source }
}

/// Opens the folder of the store: makes it and what is in it from the start, or checks that there is a store. What is made
/// is this user's alone, whatever the umask.
fn find(folder: &Path, create: bool) -> Result<Dir, OpenError> {
    let missing = || OpenError::Missing { location: folder.into() };
    let failed = |source| OpenError::from(error_map::io("look at", folder, source));
    let root = match std::fs::symlink_metadata(folder) {
        Ok(found) if !found.is_dir() && !found.is_symlink() => {
            let what = "it is not a folder".to_owned();
            return Err(OpenError::NotAStore { location: folder.into(), what });
        }
        Ok(_) => Dir::open_found(folder).map_err(failed)?,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound && create => make(folder)?,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(source) => return Err(failed(source)),
    };
    filesystem::refuse_network(root.path())?;
    wal::refuse_damage(&root.path().join(DATABASE))?;
    if !root.has(DATABASE).map_err(failed)? {
        if !create {
            return Err(missing());
        }
        root.set_private().and_then(|()| root.open_or_create(DATABASE)).map_err(failed)?;
    }
    root.make_folder("owners").map_err(|source| error_map::io("make a folder in", root.path(), source))?;
    Ok(root)
}

/// Makes the folder of a store, and those above it that are not there: those are the user's, with the umask.
fn make(folder: &Path) -> Result<Dir, StoreError> {
    let failed = |source| error_map::io("make the folder", folder, source);
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    };
    std::fs::create_dir_all(above).map_err(failed)?;
    let above = std::fs::canonicalize(above).and_then(|above| Dir::open(&above)).map_err(failed)?;
    above.make_folder(name).map_err(failed)
}

/// Returns the id of this boot, on Linux.
#[cfg(target_os = "linux")]
fn boot_id() -> Option<String> {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            tracing::debug!(%error, "the id of this boot cannot be read");
            None
        }
    }
}

/// Other systems have no file for it; there, a new boot begins no incarnation.
#[cfg(not(target_os = "linux"))]
const fn boot_id() -> Option<String> {
    None
}
