//! What can go wrong with trees.

use std::io;

use backstay_model::{Code, Coded};
use camino::Utf8PathBuf;

/// A tree cannot be kept, shown or brought back.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is no git.
    #[error("git cannot be started")]
    NoGit(#[source] io::Error),
    /// Git refused.
    #[error("`git {command}` failed: {message}")]
    Git {
        /// What was asked of it.
        command: String,
        /// The last line that it said.
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

impl Coded for TreeError {
    fn code(&self) -> Code {
        match self {
            TreeError::NoGit(_) => Code("BKS-R020"),
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
