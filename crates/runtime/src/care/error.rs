//! What can go wrong while a store is looked after.

use backstay_exec::SpoolError;
use backstay_log::{BlobError, ExclusiveError, InspectError, OpenError, ScrubError};
use backstay_model::{Code, Coded};
use camino::Utf8PathBuf;

use crate::store::PrivateError;

/// A backup was named where a store is needed. Whoever uses one as a store changes it, and it is no backup any more.
#[derive(Debug, thiserror::Error)]
#[error("{path} is a backup, and stays as it is")]
pub struct IsBackup {
    /// The folder.
    pub path: Utf8PathBuf,
}

impl Coded for IsBackup {
    fn code(&self) -> Code {
        Code("BKS-R039")
    }

    fn hint(&self) -> Option<String> {
        let path = backstay_files::shell_word(self.path.as_str());
        Some(format!(
            "`backstay --store OTHER store restore {path}` makes a store of it; `store check` and `store info` look at it as it is"
        ))
    }
}

/// A store cannot be adopted; it is as it was, or half of it was made ready and adopting it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// What is in it is not this user's alone.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// Other processes have it open.
    #[error(transparent)]
    Alone(#[from] ExclusiveError),
    /// It cannot be read.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Coded for AdoptError {
    fn code(&self) -> Code {
        match self {
            AdoptError::Private(error) => error.code(),
            AdoptError::Alone(error) => error.code(),
            AdoptError::Look(error) => error.code(),
            AdoptError::Open(error) => error.code(),
            AdoptError::Io { .. } => Code("BKS-R077"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            AdoptError::Private(error) => error.hint(),
            AdoptError::Alone(error) => error.hint(),
            AdoptError::Look(error) => error.hint(),
            AdoptError::Open(error) => error.hint(),
            AdoptError::Io { .. } => {
                Some("check the path and its permissions, then adopt it again".to_owned())
            }
        }
    }
}

/// A store cannot be backed up. What was written is no backup: it has no manifest.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something already.
    #[error("{path} is not empty")]
    Occupied {
        /// Where the backup was to be.
        path: Utf8PathBuf,
    },
    /// The backup would be a part of what is backed up.
    #[error("{path} is in the store itself")]
    Inside {
        /// Where the backup was to be.
        path: Utf8PathBuf,
    },
    /// What is to be backed up is a backup.
    #[error(transparent)]
    IsBackup(#[from] IsBackup),
    /// The store cannot be read.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Coded for BackupError {
    fn code(&self) -> Code {
        match self {
            BackupError::Occupied { .. } => Code("BKS-R030"),
            BackupError::Inside { .. } => Code("BKS-R043"),
            BackupError::IsBackup(error) => error.code(),
            BackupError::Look(error) => error.code(),
            BackupError::Io { .. } => Code("BKS-R031"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BackupError::Occupied { .. } => Some("name a folder that is not there yet".to_owned()),
            BackupError::Inside { .. } => Some("name a folder beside it, best on another disk".to_owned()),
            BackupError::IsBackup(error) => error.hint(),
            BackupError::Look(error) => error.hint(),
            BackupError::Io { .. } => {
                Some("make room or mend the path; what was written can be removed".to_owned())
            }
        }
    }
}

/// A backup cannot be restored. The store that was there, if one was, is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not a backup, or not a whole one.
    #[error("{path} is not a whole backup: {what}")]
    NotABackup {
        /// What was to be restored.
        path: Utf8PathBuf,
        /// Why not.
        what: String,
    },
    /// A file of it is not what the manifest says.
    #[error("{path} of the backup is not what was backed up: {what}")]
    Changed {
        /// The file, relative to the backup.
        path: String,
        /// In what.
        what: String,
    },
    /// There is something already.
    #[error("{path} is there already")]
    Occupied {
        /// Where the store was to be.
        path: Utf8PathBuf,
    },
    /// What is there already is a backup.
    #[error(transparent)]
    IsBackup(#[from] IsBackup),
    /// Agents of the store that is to be replaced are at work.
    #[error("agents of {path} are at work in {}", .folders.join(", "))]
    AtWork {
        /// The store.
        path: Utf8PathBuf,
        /// The folders of their attempts, relative to it.
        folders: Vec<String>,
    },
    /// The store that is to be replaced is in use.
    #[error(transparent)]
    Alone(#[from] ExclusiveError),
    /// The restored log cannot be read or written.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Coded for RestoreError {
    fn code(&self) -> Code {
        match self {
            RestoreError::NotABackup { .. } => Code("BKS-R032"),
            RestoreError::Changed { .. } => Code("BKS-R033"),
            RestoreError::Occupied { .. } => Code("BKS-R034"),
            RestoreError::IsBackup(error) => error.code(),
            RestoreError::AtWork { .. } => Code("BKS-R035"),
            RestoreError::Alone(error) => error.code(),
            RestoreError::Look(error) => error.code(),
            RestoreError::Io { .. } => Code("BKS-R036"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RestoreError::NotABackup { .. } => {
                Some("name a folder that `backstay store backup` wrote to its end".to_owned())
            }
            RestoreError::Changed { .. } => {
                Some("take another backup; one that was used as a store is none any more".to_owned())
            }
            RestoreError::IsBackup(error) => error.hint(),
            RestoreError::Occupied { .. } => Some(
                "name another place with `--store`, or say `--replace`; the old store is kept beside it"
                    .to_owned(),
            ),
            RestoreError::AtWork { .. } => Some("`backstay suspend` their runs first".to_owned()),
            RestoreError::Alone(error) => error.hint(),
            RestoreError::Look(error) => error.hint(),
            RestoreError::Io { .. } => None,
        }
    }
}

/// A secret cannot be taken out of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreScrubError {
    /// It is a backup.
    #[error(transparent)]
    IsBackup(#[from] IsBackup),
    /// The store is in use.
    #[error(transparent)]
    Alone(#[from] ExclusiveError),
    /// Agents are at work and may write the value again.
    #[error("agents of {path} are at work in {}", .folders.join(", "))]
    AtWork {
        /// The store.
        path: Utf8PathBuf,
        /// The folders of their attempts, relative to it.
        folders: Vec<String>,
    },
    /// The log says why.
    #[error(transparent)]
    Log(#[from] ScrubError),
    /// A blob cannot be changed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A spool cannot be changed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Coded for StoreScrubError {
    fn code(&self) -> Code {
        match self {
            StoreScrubError::IsBackup(error) => error.code(),
            StoreScrubError::AtWork { .. } => Code("BKS-R037"),
            StoreScrubError::Alone(error) => error.code(),
            StoreScrubError::Log(error) => error.code(),
            StoreScrubError::Blob(error) => error.code(),
            StoreScrubError::Spool(error) => error.code(),
            StoreScrubError::Io { .. } => Code("BKS-R038"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreScrubError::IsBackup(error) => error.hint(),
            StoreScrubError::AtWork { .. } => Some("`backstay suspend` their runs first".to_owned()),
            StoreScrubError::Alone(error) => error.hint(),
            StoreScrubError::Log(error) => error.hint(),
            StoreScrubError::Blob(error) => error.hint(),
            StoreScrubError::Spool(error) => error.hint(),
            StoreScrubError::Io { .. } => {
                Some("mend it and say the same again: what is done stays done".to_owned())
            }
        }
    }
}

/// The files of a store cannot be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// It cannot be told whether others have it open.
    #[error(transparent)]
    Alone(#[from] ExclusiveError),
    /// Its database cannot be built anew.
    #[error(transparent)]
    Look(#[from] InspectError),
}

impl Coded for CompactError {
    fn code(&self) -> Code {
        match self {
            CompactError::Alone(error) => error.code(),
            CompactError::Look(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CompactError::Alone(error) => error.hint(),
            CompactError::Look(error) => error.hint(),
        }
    }
}
