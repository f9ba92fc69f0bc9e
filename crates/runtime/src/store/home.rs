//! The folder that a store was opened in, and whether it is still at its path.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

/// The folder of an open store. Its number is not given to another one as long as it is held open here.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: Utf8PathBuf,
    handle: Arc<File>,
}

/// What became of the folder of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It is where it was.
    InPlace,
    /// It is elsewhere.
    Moved(Utf8PathBuf),
    /// It was deleted, or the system does not tell where it is.
    Gone,
}

impl Home {
    /// Holds `folder` open.
    pub(super) fn open(folder: &Utf8Path) -> io::Result<Home> {
        Ok(Home { folder: folder.to_owned(), handle: Arc::new(File::open(folder)?) })
    }

    /// Where the folder is now.
    pub(crate) fn whereabouts(&self) -> io::Result<Whereabouts> {
        let own = number(&self.handle.metadata()?);
        match self.folder.metadata() {
            Ok(there) if number(&there) == own => return Ok(Whereabouts::InPlace),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
        let elsewhere =
            self.path_now().filter(|path| path.metadata().is_ok_and(|there| number(&there) == own));
        Ok(elsewhere.map_or(Whereabouts::Gone, Whereabouts::Moved))
    }

    /// The path that the system knows the open folder by.
    #[cfg(target_os = "linux")]
    fn path_now(&self) -> Option<Utf8PathBuf> {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        Utf8PathBuf::from_path_buf(std::fs::read_link(link).ok()?).ok()
    }

    /// Other systems do not tell it.
    #[cfg(not(target_os = "linux"))]
    const fn path_now(&self) -> Option<Utf8PathBuf> {
        None
    }
}

fn number(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_in_place_moved_or_gone() {
        let keep = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(keep.path()).unwrap().canonicalize_utf8().unwrap();
        let (old, new) = (root.join("old"), root.join("new"));
        fs::create_dir(&old).unwrap();
        let home = Home::open(&old).unwrap();
        assert_eq!(home.whereabouts().unwrap(), Whereabouts::InPlace);
        fs::rename(&old, &new).unwrap();
        fs::create_dir(&old).unwrap();
        let moved = home.whereabouts().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(moved, Whereabouts::Moved(new.clone()));
        } else {
            assert_eq!(moved, Whereabouts::Gone);
        }
        fs::remove_dir(&new).unwrap();
        assert_eq!(home.whereabouts().unwrap(), Whereabouts::Gone);
    }
}
