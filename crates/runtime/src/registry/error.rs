//! What can go wrong with the registry of stores.

use std::io;

use backstay_files::shell_word;
use backstay_model::{Code, Coded, is_no_room};
use camino::Utf8PathBuf;

use crate::store::private::PrivateError;

/// The registry of stores cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The user has no folder for it.
    #[error(
        "there is no place to note which stores are yours: neither XDG_STATE_HOME nor HOME is an absolute path"
    )]
    NoPlace,
    /// Others could write to it.
    #[error("the registry of your stores cannot be believed")]
    Private(#[source] PrivateError),
    /// A file of it cannot be used.
    #[error("cannot {action} the registry of your stores, {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process keeps its lock.
    #[error(
        "{path} is locked: another process has been making or adopting a store for more than {waited_s} seconds"
    )]
    Busy {
        /// The lock.
        path: Utf8PathBuf,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// A file of it makes no sense.
    #[error("{path} in the registry of your stores is damaged: {what}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Coded for RegistryError {
    fn code(&self) -> Code {
        match self {
            RegistryError::NoPlace => Code("BKS-R070"),
            RegistryError::Private(error) => error.code(),
            RegistryError::Io { .. } => Code("BKS-R071"),
            RegistryError::Damaged { .. } => Code("BKS-R072"),
            RegistryError::Busy { .. } => Code("BKS-R084"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RegistryError::Io { source, .. } if is_no_room(source) => {
                Some("make room on that disk, or raise `ulimit -f`".to_owned())
            }
            RegistryError::NoPlace | RegistryError::Io { .. } => Some(
                "set XDG_STATE_HOME to a folder of yours; where nothing is kept (CI, a container), `--adopt` or BACKSTAY_ADOPT=1 uses the store unregistered (in the library: `Store::open(…).adopt()`)"
                    .to_owned(),
            ),
            RegistryError::Private(PrivateError::Owner { .. } | PrivateError::NotAFolder { .. }) => {
                Some("set XDG_STATE_HOME to a folder of yours".to_owned())
            }
            RegistryError::Private(error) => error.hint(),
            RegistryError::Busy { path, .. } => Some(format!(
                "`fuser {}` names the process: wait until it has ended, or end it; then try again",
                shell_word(path.as_str())
            )),
            RegistryError::Damaged { path, .. } => {
                let word = shell_word(path.as_str());
                Some(format!("`rm {word}` forgets that store; `backstay store adopt` there takes it again"))
            }
        }
    }
}
