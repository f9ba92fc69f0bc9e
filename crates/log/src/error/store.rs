//! Errors of the store itself, whatever the operation was.

use backstay_model::{Code, Coded};

use super::{Cause, Location};

/// The store itself cannot be used, whatever the operation was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A lock was not free in time.
    #[error("the lock {location} was not free within {waited_ms} ms; {}", holder(*.holder_pid))]
    Busy {
        /// The lock.
        location: Location,
        /// How long this process waited for it.
        waited_ms: u64,
        /// The process that holds it, by its own words.
        holder_pid: Option<u32>,
    },
    /// No space is left. Nothing that was acknowledged is lost. The cause is an `io::Error` whose kind says so, too.
    #[error("no room is left for {location}")]
    OutOfSpace {
        /// What could not grow.
        location: Location,
        /// What the backend said.
        #[source]
        source: Cause,
    },
    /// The store cannot be written.
    #[error("{location} cannot be written")]
    ReadOnly {
        /// What cannot be written.
        location: Location,
        /// What the backend said.
        #[source]
        source: Cause,
    },
    /// The system refused an operation.
    #[error("cannot {action} {location}")]
    Io {
        /// The operation.
        action: &'static str,
        /// What it was for.
        location: Location,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The database refused an operation.
    #[error("cannot {action} the database {location}")]
    Backend {
        /// The operation.
        action: &'static str,
        /// The database.
        location: Location,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// The store cannot be reached now. The same operation may succeed later; nothing was written.
    #[error("cannot reach the store {location}")]
    Unavailable {
        /// The store.
        location: Location,
        /// What the backend said.
        #[source]
        source: Cause,
    },
    /// A commit failed, and the failure does not tell whether the append was made.
    #[error("it is not known whether {location} has the append")]
    OutcomeUnknown {
        /// The database.
        location: Location,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// What was written may not have reached stable storage. This process writes no more.
    #[error("{location} could not be flushed to the disk; this process does not write to it any more")]
    Poisoned {
        /// The database.
        location: Location,
    },
    /// The store contradicts itself.
    #[error("the store {location} is damaged: {what}")]
    Corrupt {
        /// The database.
        location: Location,
        /// The contradiction.
        what: String,
    },
    /// The store was deleted, moved or replaced while it was open. Nothing was written.
    #[error(
        "the store was deleted, moved or replaced while it was in use: {location} is not the file that was opened"
    )]
    Gone {
        /// The database.
        location: Location,
    },
    /// A queue is full.
    #[error("{waiting} batches wait to be written, and no more can")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Stopped,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "its holder is not known".to_owned(), |pid| format!("process {pid} holds it"))
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        Code(match self {
            StoreError::Busy { .. } => "BKS-L001",
            StoreError::OutOfSpace { .. } => "BKS-L002",
            StoreError::ReadOnly { .. } => "BKS-L003",
            StoreError::Io { .. } => "BKS-L004",
            StoreError::Backend { .. } => "BKS-L005",
            StoreError::OutcomeUnknown { .. } => "BKS-L006",
            StoreError::Poisoned { .. } => "BKS-L007",
            StoreError::Corrupt { .. } => "BKS-L008",
            StoreError::Overloaded { .. } => "BKS-L009",
            StoreError::Stopped => "BKS-L010",
            StoreError::Gone { .. } => "BKS-L011",
            StoreError::Unavailable { .. } => "BKS-L012",
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::Busy { holder_pid: Some(pid), .. } => {
                format!("Look at process {pid}: continue it or end it if it is stopped.")
            }
            StoreError::Busy { holder_pid: None, .. } => {
                "End the process that holds the lock, or wait for it.".to_owned()
            }
            StoreError::OutOfSpace { .. } => {
                "Free space on that disk, or raise `ulimit -f`; what was acknowledged is safe.".to_owned()
            }
            StoreError::ReadOnly { .. } => {
                "Make the store's folder writable for this user, or name another one.".to_owned()
            }
            StoreError::OutcomeUnknown { .. } => {
                "Repeat the append with the same idempotency key, or read the topic first.".to_owned()
            }
            StoreError::Unavailable { .. } => "Repeat it once the store can be reached.".to_owned(),
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
            | StoreError::Backend { .. }
            | StoreError::Overloaded { .. }
            | StoreError::Stopped => return None,
        })
    }
}
