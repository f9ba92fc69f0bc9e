//! Where a store is: its folder without links, and whether it can be written.

use std::io;

use backstay_log::OpenError;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Access as Wish, AtFlags, CWD, accessat};

use super::open_error::StoreOpenError;
use super::private::PrivateError;

/// A path without links.
pub(super) fn real(folder: &Utf8Path) -> Result<Utf8PathBuf, StoreOpenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotADirectory => {
            OpenError::NotAStore { location: folder.into(), what: "it is not a folder".to_owned() }.into()
        }
        _ => StoreOpenError::from(PrivateError::Io { path: folder.to_owned(), source }),
    };
    // Above it links are the user's; itself it is none.
    let folder = backstay_files::Dir::open_found(folder.as_std_path()).map_err(failed)?;
    Ok(Utf8PathBuf::from(folder.path().to_string_lossy().into_owned()))
}

/// The same for a folder that need not be there yet.
pub(super) fn real_place(folder: &Utf8Path) -> Result<Utf8PathBuf, StoreOpenError> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else { return real(folder) };
    if folder.exists() {
        return real(folder);
    }
    let failed = |source| PrivateError::Io { path: above.to_owned(), source };
    std::fs::create_dir_all(above).map_err(failed)?;
    Ok(real(above)?.join(name))
}

/// Whether this process may write to the folder and to the database in it.
pub(super) fn is_writable(folder: &Utf8Path) -> bool {
    let may_write =
        |path: &Utf8Path| accessat(CWD, path.as_std_path(), Wish::WRITE_OK, AtFlags::EACCESS).is_ok();
    may_write(folder) && may_write(&folder.join(super::DATABASE))
}
