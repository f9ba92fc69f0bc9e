//! Where something failed, for messages.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

/// Names what an operation failed on: a file's path, a server's address. It is for messages only; nothing can be opened by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(Arc<str>);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Location {
    fn from(text: &str) -> Location {
        Location(Arc::from(text))
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Location {
        Location(Arc::from(path.to_string_lossy()))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Location {
        path.as_path().into()
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Location {
        path.as_path().into()
    }
}

impl From<&Utf8Path> for Location {
    fn from(path: &Utf8Path) -> Location {
        path.as_str().into()
    }
}

impl From<Utf8PathBuf> for Location {
    fn from(path: Utf8PathBuf) -> Location {
        path.as_str().into()
    }
}
