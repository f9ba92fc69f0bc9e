//! A store that is only read, and why.

use camino::{Utf8Path, Utf8PathBuf};

use super::mirror::Mirror;
use crate::registry::Standing;

/// Why a store is only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOnlyReason {
    /// It is not this user's, or not the one that this user had.
    NotAdopted(Standing),
    /// Its folder cannot be written.
    NotWritable,
    /// Whether it is this user's cannot be told: there is no registry.
    NoRegistry {
        /// What is wrong with that.
        what: String,
    },
}

/// A store that is open for reading only. What it shows is as of when it was opened.
#[derive(Debug)]
pub struct ReadOnlyStore {
    pub(super) folder: Utf8PathBuf,
    pub(super) reason: ReadOnlyReason,
    pub(super) mirror: Mirror,
}

impl ReadOnlyStore {
    /// Why it is only read.
    #[must_use]
    pub const fn reason(&self) -> &ReadOnlyReason {
        &self.reason
    }

    /// That it is only read, and why, in one line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        self.reason.describe(&self.folder)
    }

    /// The folder with the copy of its database.
    #[must_use]
    pub fn database(&self) -> &Utf8Path {
        self.mirror.path()
    }
}

impl ReadOnlyReason {
    /// That the store in `folder` is only read, and why, in one line for people.
    #[must_use]
    pub fn describe(&self, folder: &Utf8Path) -> String {
        match self {
            ReadOnlyReason::NotAdopted(standing) => format!(
                "{folder} {}: it is only read; `backstay --store {} store adopt` makes it yours",
                standing.describe(),
                backstay_files::shell_word(folder.as_str())
            ),
            ReadOnlyReason::NotWritable => format!("{folder} cannot be written: it is only read"),
            ReadOnlyReason::NoRegistry { what } => {
                format!("{folder} is only read: {what}; `--adopt` or BACKSTAY_ADOPT=1 uses it unregistered")
            }
        }
    }
}
