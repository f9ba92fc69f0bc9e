//! What can go wrong with trees.

use std::error::Error as _;
use std::io;

use backstay_model::event::{TreeOutcome, TreeProblem, TreeSnapshot};
use backstay_model::{Code, Coded};
use camino::Utf8PathBuf;

use super::state::CheckoutFault;

/// A tree cannot be kept, shown or brought back.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is no git.
    #[error("git cannot be started")]
    NoGit(#[source] io::Error),
    /// The folder is in something of git that is no checkout to work with.
    #[error(transparent)]
    Checkout(#[from] CheckoutFault),
    /// Git refused.
    #[error("`git {command}` failed: {message}")]
    Git {
        /// What was asked of it.
        command: String,
        /// What it said.
        message: String,
    },
    /// Git had no room for what it writes.
    #[error("`git {command}` has no room for what it writes")]
    NoRoom {
        /// What was asked of it.
        command: String,
        /// What the system told it.
        source: io::Error,
    },
    /// Git did not come to its end and was killed with what it had started.
    #[error("`git {command}` did not end within {seconds} s and was killed")]
    Hanging {
        /// What was asked of it.
        command: String,
        /// The time it had.
        seconds: u64,
    },
    /// A file cannot be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A tree cannot be put where something is.
    #[error("{path} is already there")]
    Occupied {
        /// That place.
        path: Utf8PathBuf,
    },
}

/// What an event says of a tree that was to be kept for `whom`; nothing where there is no checkout.
pub(crate) fn outcome(
    kept: Result<Option<TreeSnapshot>, TreeError>,
    whom: &dyn std::fmt::Display,
) -> Option<TreeOutcome> {
    match kept {
        Ok(kept) => kept.map(TreeOutcome::Kept),
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(source) = cause {
                message.push_str(&format!(": {source}"));
                cause = source.source();
            }
            // How the folder stands is said when the run starts; it is the same for each attempt.
            match error {
                TreeError::Checkout(_) | TreeError::NoGit(_) => {
                    tracing::debug!(%whom, message, "no tree of the checkout is kept")
                }
                _ => tracing::warn!(%whom, message, "no tree of the checkout is kept"),
            }
            Some(TreeOutcome::NotKept(TreeProblem { code: error.code().to_string(), message }))
        }
    }
}

impl Coded for TreeError {
    fn code(&self) -> Code {
        match self {
            TreeError::NoGit(_) => Code("BKS-R020"),
            TreeError::Checkout(fault) => fault.code(),
            TreeError::Git { .. } => Code("BKS-R021"),
            TreeError::Io { .. } => Code("BKS-R022"),
            TreeError::Occupied { .. } => Code("BKS-R023"),
            TreeError::Hanging { .. } => Code("BKS-R024"),
            TreeError::NoRoom { .. } => Code("BKS-R025"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            TreeError::NoGit(_) => Some("install git, or put it on PATH".to_owned()),
            TreeError::Checkout(fault) => fault.hint(),
            TreeError::NoRoom { .. } => Some("make room on the disk of the repository".to_owned()),
            TreeError::Occupied { .. } => Some("name another place with `--to`".to_owned()),
            TreeError::Hanging { .. } => Some(
                "call it by hand to see what it waits for; `BACKSTAY_TREES=off` keeps no checkouts"
                    .to_owned(),
            ),
            TreeError::Git { .. } | TreeError::Io { .. } => None,
        }
    }
}
