//! A `.backstay/` folder.

pub(crate) mod home;
mod identity;
mod mirror;
mod open;
mod open_error;
mod paths;
pub(crate) mod private;
mod read_only;
mod registration;

use std::sync::Arc;

use backstay_agent::Presets;
use backstay_files::{Dir, if_there};
use backstay_log::{BlobStore, Log};
use backstay_model::{Attempt, Digest, EffectId};
use camino::{Utf8Path, Utf8PathBuf};

use crate::clock::Clock;
use crate::drive::attempt_folder;
use crate::error::RunError;
use crate::registry::{Registry, RegistryError};

pub use mirror::{MirrorError, ReadSource};
pub use open::OpenStore;
pub use open_error::StoreOpenError;
pub use private::{NotAFolder, PrivateError, other_things};
pub use read_only::{ReadOnlyReason, ReadOnlyStore};

use home::Home;
use registration::Registration;

/// The name of a store's folder.
pub const STORE_FOLDER: &str = ".backstay";

/// The database of a store.
const DATABASE: &str = "log.db";

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
    access: Access,
    pub(crate) home: Home,
}

/// What may be done with an open store.
#[derive(Clone, Debug)]
enum Access {
    /// Everything; this is how the registry hears of it.
    Full(Option<Arc<Registration>>),
    /// Only reading, of a copy of the database.
    ReadOnly(Arc<ReadOnlyStore>),
}

/// The nearest store at or above `from`, which is absolute.
#[must_use]
pub fn find_store(from: &Utf8Path) -> Option<Utf8PathBuf> {
    let above = from.ancestors().map(|folder| folder.join(STORE_FOLDER)).find(|folder| folder.is_dir());
    // What is none here is refused by whoever opens it; above, it is passed by.
    above.or_else(|| Some(from.join(STORE_FOLDER)).filter(|here| here.symlink_metadata().is_ok()))
}

/// `folder` with every link above it resolved, and not the folder itself: a store's folder is no link. As it is where nothing
/// is above it; who opens it then says so.
#[must_use]
pub(crate) fn real_folder(folder: &Utf8Path) -> Utf8PathBuf {
    let real = backstay_files::real_path(folder.as_std_path()).ok();
    real.and_then(|real| Utf8PathBuf::from_path_buf(real).ok()).unwrap_or_else(|| folder.to_owned())
}

/// Reads the configuration in the folder of a store; none if there is none.
///
/// # Errors
/// What the system says, or that it is not a regular file of a readable size.
pub(crate) fn read_configuration(folder: &Utf8Path) -> std::io::Result<Option<Vec<u8>>> {
    let folder = if_there(Dir::open(real_folder(folder).as_std_path()))?;
    let Some(folder) = folder else { return Ok(None) };
    if_there(folder.read(CONFIGURATION_FILE, CONFIGURATION_BYTES_MAX))
}

/// Refuses the folder of a store that is none, is not this user's, or that others may write to. Where nothing is yet, nothing
/// is refused.
///
/// # Errors
/// [`PrivateError`] names what is in the way.
pub fn check_private(folder: &Utf8Path) -> Result<(), PrivateError> {
    private::check_place(folder)?;
    if folder.is_dir() { private::check_store(folder, false) } else { Ok(()) }
}

impl Store {
    /// Begins to open the store in `folder` (absolute): nothing is done until what this returns is awaited. What `registry`
    /// knows decides whether the store is this user's.
    pub fn open(folder: &Utf8Path, registry: &Registry) -> OpenStore {
        OpenStore::new(folder.to_owned(), registry.clone())
    }

    /// Why the store can only be read; none if it can be written.
    #[must_use]
    pub fn read_only(&self) -> Option<&ReadOnlyStore> {
        match &self.access {
            Access::Full(_) => None,
            Access::ReadOnly(why) => Some(why),
        }
    }

    /// Whether the registry knows the store at this path.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(self.access, Access::Full(Some(_)))
    }

    /// Keeps what a process of this store left behind where the store itself cannot: beside the registry. Gives where, or why
    /// not. Blocks.
    pub(crate) fn keep_elsewhere(&self, name: &str, bytes: &[u8]) -> Result<Utf8PathBuf, RegistryError> {
        match &self.access {
            Access::Full(Some(registration)) => registration.registry().keep(name, bytes),
            Access::Full(None) | Access::ReadOnly(_) => Err(RegistryError::NoPlace),
        }
    }

    /// Notes the presets that this user's configuration has: a run that pins one of them may start its program, also after the
    /// configuration has changed. Blocks.
    ///
    /// # Errors
    /// [`RunError`] if a preset has no stored form, or the registry cannot be written.
    pub fn note_presets(&self, presets: &Presets) -> Result<(), RunError> {
        presets.iter().try_for_each(|preset| {
            let stored = preset
                .stored()
                .map_err(|source| RunError::PresetForm { preset: preset.name().to_owned(), source })?;
            self.note_preset(Digest::of(stored.as_bytes()))
        })
    }

    pub(crate) fn note_preset(&self, digest: Digest) -> Result<(), RunError> {
        match &self.access {
            Access::Full(Some(registration)) => Ok(registration.registry().note_preset(digest)?),
            // Nothing is started by a store that can only be read, and of one that is not registered nothing is kept.
            Access::Full(None) | Access::ReadOnly(_) => Ok(()),
        }
    }

    /// Whether the program of this preset may be started: this user's configuration had it. In a store that is used
    /// unregistered its user has said where it comes from. Blocks.
    pub(crate) fn may_start(&self, preset: Digest) -> Result<bool, RegistryError> {
        match &self.access {
            Access::Full(Some(registration)) => registration.registry().has_preset(preset),
            Access::Full(None) => Ok(true),
            Access::ReadOnly(_) => Ok(false),
        }
    }

    /// Tells the registry how far the log is now, if it went on. Blocks.
    pub(crate) fn note_head(&self) {
        if let Access::Full(Some(registration)) = &self.access {
            registration.note();
        }
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
