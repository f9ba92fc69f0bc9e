//! Why a file is not used although it is there.

use std::io;
use std::path::PathBuf;

use crate::status::FileKind;

/// A file is there, and is not what may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It, or a folder on the way to it, is a symbolic link.
    #[error("{} is a symbolic link, which is not followed here; remove it, or put what it names in its place", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// It is of another kind than it has to be.
    #[error("{} is {found}, not {expected}; remove it", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: FileKind,
        /// What it has to be.
        expected: FileKind,
    },
    /// It has a second name, so that writing to it would change a file elsewhere.
    #[error("{} is a hard link: the same file has another name, and would be changed there too; replace it by a copy", .path.display())]
    HardLink {
        /// The file.
        path: PathBuf,
    },
    /// It has the name under which a new file is to be made.
    #[error("{} is there already, and a new file has to have this name; move it away", .path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The name leads out of the folder that it is looked up in.
    #[error("{} leads out of {}", .path.display(), .folder.display())]
    Outside {
        /// The name.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// It has more bytes than are read of such a file.
    #[error("{} has more than {limit_bytes} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What may be read.
        limit_bytes: u64,
    },
}

impl Refused {
    /// The refusal that `error` carries; none if the system refused.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Refused> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        let kind = match refused {
            Refused::Exists { .. } => io::ErrorKind::AlreadyExists,
            Refused::Link { .. }
            | Refused::Kind { .. }
            | Refused::HardLink { .. }
            | Refused::Outside { .. }
            | Refused::TooLarge { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, refused)
    }
}
