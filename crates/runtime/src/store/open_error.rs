//! Why a store cannot be opened.

use backstay_log::{InspectError, OpenError};
use backstay_model::{Code, Coded};
use camino::Utf8PathBuf;

use super::mirror::MirrorError;
use super::private::PrivateError;
use crate::care::{AdoptError, IsBackup};
use crate::registry::{RegistryError, Standing};

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It is a backup.
    #[error(transparent)]
    IsBackup(#[from] IsBackup),
    /// It is not this user's alone, or not what a store is.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A store was to be made in a folder that has other things in it.
    #[error("{folder} is not a Backstay store, and `{name}` is in it")]
    OtherThings {
        /// The folder.
        folder: Utf8PathBuf,
        /// One of them.
        name: String,
    },
    /// It is not this user's, or not the one that this user had.
    #[error("the store {folder} {}: it can be read, and nothing is written to it until you adopt it", .standing.describe())]
    NotAdopted {
        /// The store.
        folder: Utf8PathBuf,
        /// How it stands to what is known of it.
        standing: Standing,
    },
    /// Whether it is this user's cannot be told or noted.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It cannot be adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// It cannot be copied for reading.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// It cannot be looked at.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// The log says why.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The thread that opened it is gone.
    #[error("the thread that opens the store died")]
    Thread(#[source] tokio::task::JoinError),
}

impl Coded for StoreOpenError {
    fn code(&self) -> Code {
        match self {
            StoreOpenError::IsBackup(error) => error.code(),
            StoreOpenError::Private(error) => error.code(),
            StoreOpenError::OtherThings { .. } => Code("BKS-R081"),
            StoreOpenError::NotAdopted { .. } => Code("BKS-R082"),
            StoreOpenError::Registry(error) => error.code(),
            StoreOpenError::Adopt(error) => error.code(),
            StoreOpenError::Mirror(error) => error.code(),
            StoreOpenError::Look(error) => error.code(),
            StoreOpenError::Log(error) => error.code(),
            StoreOpenError::Thread(_) => Code("BKS-R001"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreOpenError::IsBackup(error) => error.hint(),
            StoreOpenError::Private(error) => error.hint(),
            StoreOpenError::OtherThings { .. } => {
                Some("name the folder of a store, or an empty one".to_owned())
            }
            StoreOpenError::NotAdopted { folder, .. } => Some(format!(
                "if you trust where it comes from, adopt it: `backstay --store {} store adopt`",
                backstay_files::shell_word(folder.as_str())
            )),
            StoreOpenError::Registry(error) => error.hint(),
            StoreOpenError::Adopt(error) => error.hint(),
            StoreOpenError::Mirror(error) => error.hint(),
            StoreOpenError::Look(error) => error.hint(),
            StoreOpenError::Log(error) => error.hint(),
            StoreOpenError::Thread(_) => None,
        }
    }
}
