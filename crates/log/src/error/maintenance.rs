//! Errors of the maintenance of a store.

use backstay_model::{Code, Coded};

use super::Location;
use crate::error::{BlobError, OpenError, StoreError};

/// A store cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its blobs cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl InspectError {
    /// Returns whether the error is a finding about the store, and not a failure to read it.
    #[must_use]
    pub const fn is_finding(&self) -> bool {
        match self {
            InspectError::Open(
                OpenError::NewerStore { .. }
                | OpenError::DevelopmentStore { .. }
                | OpenError::NotAStore { .. }
                | OpenError::Missing { .. },
            )
            | InspectError::Open(OpenError::Store(StoreError::Corrupt { .. }))
            | InspectError::Store(StoreError::Corrupt { .. }) => true,
            InspectError::Open(OpenError::NetworkFileSystem { .. } | OpenError::Store(_))
            | InspectError::Store(_)
            | InspectError::Blob(_) => false,
        }
    }
}

impl Coded for InspectError {
    fn code(&self) -> Code {
        match self {
            InspectError::Open(error) => error.code(),
            InspectError::Store(error) => error.code(),
            InspectError::Blob(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            InspectError::Open(error) => error.hint(),
            InspectError::Store(error) => error.hint(),
            InspectError::Blob(error) => error.hint(),
        }
    }
}

/// A store cannot be opened exclusively.
#[derive(Debug, thiserror::Error)]
pub enum ExclusiveError {
    /// Other processes have it open.
    #[error("{location} is open in {}", named(.pids))]
    InUse {
        /// The store.
        location: Location,
        /// Those processes, where the system names them.
        pids: Vec<u32>,
    },
    /// The store's lock cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn named(pids: &[u32]) -> String {
    match pids {
        [] => "other processes".to_owned(),
        [pid] => format!("process {pid}"),
        pids => {
            format!("the processes {}", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

impl Coded for ExclusiveError {
    fn code(&self) -> Code {
        match self {
            ExclusiveError::InUse { .. } => Code("BKS-L091"),
            ExclusiveError::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ExclusiveError::InUse { .. } => {
                Some("`backstay suspend` its runs and close what watches them, then try again".to_owned())
            }
            ExclusiveError::Store(error) => error.hint(),
        }
    }
}

/// A secret cannot be removed from a store. Nothing was changed, unless the cause says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The value is so short that it would match other texts.
    #[error("a value of {size_bytes} bytes is too short; it must have at least {least_bytes}")]
    TooShort {
        /// Its length.
        size_bytes: usize,
        /// The shortest length that is allowed.
        least_bytes: usize,
    },
    /// The value is part of a name, an id or a number that the store needs.
    #[error("{place} cannot be decoded without the value: {what}")]
    Structure {
        /// Where it is, such as `event 7 of run.…`.
        place: String,
        /// Why that cannot be masked.
        what: String,
    },
    /// The store cannot be looked at.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// A blob cannot be written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for ScrubError {
    fn code(&self) -> Code {
        match self {
            ScrubError::TooShort { .. } => Code("BKS-L092"),
            ScrubError::Structure { .. } => Code("BKS-L093"),
            ScrubError::Look(error) => error.code(),
            ScrubError::Blob(error) => error.code(),
            ScrubError::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ScrubError::TooShort { .. } => Some(
                "a short value matches other texts; change the secret where it is used, or scrub a longer text that contains it"
                    .to_owned(),
            ),
            ScrubError::Structure { .. } => Some(
                "nothing was changed; change the secret where it is used, or `backstay rm` the runs that have it"
                    .to_owned(),
            ),
            ScrubError::Look(error) => error.hint(),
            ScrubError::Blob(error) => error.hint(),
            ScrubError::Store(error) => error.hint(),
        }
    }
}
