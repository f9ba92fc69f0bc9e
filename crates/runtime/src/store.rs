//! A `.backstay/` folder.

use std::io;
use std::sync::Arc;

use backstay_files::{Dir, if_there};
use backstay_log::{BlobStore, Log, SqliteLog};
use backstay_model::{Attempt, EffectId};
use camino::{Utf8Path, Utf8PathBuf};

use crate::care::refuse_backup;
use crate::clock::{Clock, SystemClock};
use crate::drive::attempt_folder;
use crate::error::StoreOpenError;

/// The name of a store's folder.
pub const STORE_FOLDER: &str = ".backstay";

/// The name of the configuration in a store's folder.
pub const CONFIGURATION_FILE: &str = "config.toml";
/// Nobody writes a longer one by hand.
const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// An open store: the log, the blobs, and the folders of keepers.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) folder: Utf8PathBuf,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) blobs: BlobStore,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The nearest store at or above `from`, which is absolute.
#[must_use]
pub fn find_store(from: &Utf8Path) -> Option<Utf8PathBuf> {
    from.ancestors().map(|folder| folder.join(STORE_FOLDER)).find(|folder| folder.is_dir())
}

/// `folder` with every link above it resolved, and not the folder itself: a store's folder is no link. As it is where nothing
/// is above it; who opens it then says so.
#[must_use]
pub(crate) fn real_folder(folder: &Utf8Path) -> Utf8PathBuf {
    let real = backstay_files::real_path(folder.as_std_path()).ok();
    real.and_then(|real| Utf8PathBuf::from_path_buf(real).ok()).unwrap_or_else(|| folder.to_owned())
}

/// The text of the configuration of the store in `folder`; none if there is none.
///
/// # Errors
/// What the system says, or that it is not a regular file of a readable size.
pub fn read_configuration(folder: &Utf8Path) -> io::Result<Option<String>> {
    let folder = if_there(Dir::open(real_folder(folder).as_std_path()))?;
    let Some(folder) = folder else { return Ok(None) };
    let bytes = if_there(folder.read(CONFIGURATION_FILE, CONFIGURATION_BYTES_MAX))?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(io::Error::other)).transpose()
}

impl Store {
    /// Opens the store in `folder` (absolute), which is made if it is not there and `create` is set.
    ///
    /// # Errors
    /// [`StoreOpenError`] if there is none, or it is not one or a backup, is newer, cannot be written, or is on a network file system.
    pub async fn open(folder: &Utf8Path, create: bool) -> Result<Store, StoreOpenError> {
        let folder = &real_folder(folder);
        refuse_backup(folder)?;
        let path = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            SqliteLog::open(path.as_std_path(), backstay_log::OpenOptions { create, ..Default::default() })
        });
        let log = opened.await.map_err(StoreOpenError::Thread)??;
        let blobs = log.blobs().clone();
        // What was above it may have been made with it.
        let folder = &real_folder(folder);
        Ok(Store { folder: folder.to_owned(), log: Arc::new(log), blobs, clock: Arc::new(SystemClock) })
    }

    /// The store's folder.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The folder with what an attempt leaves.
    #[must_use]
    pub fn attempt_folder(&self, effect: &EffectId, attempt: Attempt) -> Utf8PathBuf {
        self.folder.join(attempt_folder(effect, attempt))
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The clock that everything in this process goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The same store by another clock, for tests.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Store {
        Store { clock, ..self }
    }
}
