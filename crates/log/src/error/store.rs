//! Errors of the store itself, whatever was asked of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use backstay_model::{Code, Coded};

/// The store itself cannot be used, whatever was asked of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A lock was not got in time.
    #[error("the lock {path} was not free within {waited_ms} ms; {}", holder(*.pid))]
    LockBusy {
        /// The lock's file.
        path: PathBuf,
        /// How long it was waited for.
        waited_ms: u64,
        /// The process that holds it, as it wrote into the file itself.
        pid: Option<u32>,
    },
    /// There is no room. Nothing that was acknowledged is lost.
    #[error("no room is left for {path}")]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store may not be written.
    #[error("{path} cannot be written")]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// SQLite cannot do what it was asked for.
    #[error("cannot {action} the database {path}")]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// A commit failed in a way that leaves open whether it is there.
    #[error("it is not known whether the append to {path} is there")]
    OutcomeUnknown {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// What was written may not have reached the disk; this process writes no more.
    #[error("{path} could not be flushed to the disk; this process does not write to it any more")]
    Poisoned {
        /// The database.
        path: PathBuf,
    },
    /// The store contradicts itself.
    #[error("the store {path} is damaged: {what}")]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What contradicts what.
        what: String,
    },
    /// The store was deleted, moved or replaced while it was open. Nothing was written.
    #[error(
        "the store was deleted, moved or replaced while it was in use: {path} is not the file that was opened"
    )]
    Gone {
        /// The database.
        path: PathBuf,
    },
    /// More waits to be written than may wait.
    #[error("{waiting} batches wait to be written")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Stopped,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "who holds it is not known".to_owned(), |pid| format!("process {pid} holds it"))
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        Code(match self {
            StoreError::LockBusy { .. } => "BKS-L001",
            StoreError::DiskFull { .. } => "BKS-L002",
            StoreError::ReadOnly { .. } => "BKS-L003",
            StoreError::Io { .. } => "BKS-L004",
            StoreError::Sqlite { .. } => "BKS-L005",
            StoreError::OutcomeUnknown { .. } => "BKS-L006",
            StoreError::Poisoned { .. } => "BKS-L007",
            StoreError::Corrupt { .. } => "BKS-L008",
            StoreError::Overloaded { .. } => "BKS-L009",
            StoreError::Stopped => "BKS-L010",
            StoreError::Gone { .. } => "BKS-L011",
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::LockBusy { pid: Some(pid), .. } => {
                format!("See what process {pid} is doing, and continue or end it if it is stopped.")
            }
            StoreError::LockBusy { pid: None, .. } => {
                "End the process that holds the lock, or wait for it.".to_owned()
            }
            StoreError::DiskFull { .. } => {
                "Make room on that disk, or raise `ulimit -f`; what was acknowledged is safe."
                    .to_owned()
            }
            StoreError::ReadOnly { .. } => {
                "Make the store's folder writable for this user, or name another one.".to_owned()
            }
            StoreError::OutcomeUnknown { .. } => {
                "Repeat the append with the same idempotency key, or read the topic first.".to_owned()
            }
            StoreError::Poisoned { .. } => "Check the disk, then start the process again.".to_owned(),
            StoreError::Corrupt { .. } => {
                "copy the store's folder first; `backstay store restore BACKUP --replace` makes it from a backup, and keeps this one beside it"
                    .to_owned()
            }
            StoreError::Gone { .. } => {
                "If it was moved, `backstay --store NEW resume` goes on there; if it was deleted, what it had is gone with it."
                    .to_owned()
            }
            StoreError::Io { .. }
            | StoreError::Sqlite { .. }
            | StoreError::Overloaded { .. }
            | StoreError::Stopped => return None,
        })
    }
}
