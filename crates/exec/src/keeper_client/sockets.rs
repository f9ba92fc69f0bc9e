//! Where keepers listen: a folder that only its user can enter, with a short path.

use std::fs::{DirBuilder, Permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

use crate::ignore::ignore_error;

/// The folder of the sockets is its user's alone.
const PRIVATE: u32 = 0o700;
/// The bits of a mode by which anybody else may do something.
const OTHERS: u32 = 0o077;
/// A longer runtime folder leaves no room for `/backstay/` and the socket's name in the 104 bytes of macOS.
const RUNTIME_FOLDER_BYTES_MAX: usize = 60;
/// Hexadecimal digits of a socket's name.
const NAME_DIGITS: usize = 16;
/// What a socket's name ends with.
const EXTENSION: &str = "sock";
/// Names that are tried for a fresh folder.
const FRESH_MAX: u32 = 64;

/// The folders that a keeper may listen in, the best first: `backstay` in `runtime_folder` (`XDG_RUNTIME_DIR`), if that is
/// its user's alone and its path is short, and `/tmp/backstay-UID`. Where neither can be used, a keeper makes a fresh one.
#[must_use]
pub fn socket_folders(runtime_folder: Option<&Utf8Path>) -> Vec<Utf8PathBuf> {
    let is_short =
        |folder: &&Utf8Path| folder.is_absolute() && folder.as_str().len() <= RUNTIME_FOLDER_BYTES_MAX;
    let runtime = runtime_folder.filter(is_short).filter(|folder| check_private(folder).is_ok());
    runtime.map(|folder| folder.join("backstay")).into_iter().chain([in_tmp()]).collect()
}

fn in_tmp() -> Utf8PathBuf {
    Utf8PathBuf::from(format!("/tmp/backstay-{}", own_id()))
}

fn own_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The first of `folders` that is, or can be made, this user's alone; else a fresh one beside the last.
pub(crate) fn private_folder(folders: &[Utf8PathBuf]) -> io::Result<Utf8PathBuf> {
    let mut refused = None;
    for folder in folders {
        match ensure_private(folder) {
            Ok(()) => return Ok(folder.clone()),
            Err(error) => refused = Some(error),
        }
    }
    for number in 0..FRESH_MAX {
        let folder = fresh_name(number);
        // Whatever is there already, a link too, is somebody else's.
        match DirBuilder::new().mode(PRIVATE).create(&folder) {
            Ok(()) => return check_private(&folder).map(|()| folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused.unwrap_or(error)),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// A name that no other process of this machine draws.
fn fresh_name(number: u32) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{}-{:x}-{number:x}", in_tmp(), std::process::id()))
}

/// Makes `folder` if it is not there. One of this user's own that others could enter is closed.
fn ensure_private(folder: &Utf8Path) -> io::Result<()> {
    match DirBuilder::new().mode(PRIVATE).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == own_id() && found.mode() & OTHERS != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(PRIVATE))?;
    }
    check_private(folder)
}

/// Whether `folder` is a folder and not a link, this user's, and nobody else can enter it.
fn check_private(folder: &Utf8Path) -> io::Result<()> {
    let found = symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == own_id() && found.mode() & OTHERS == 0 {
        return Ok(());
    }
    let message = format!("{folder} is not a folder that only its user can enter");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// The name of the `number`th socket of the keeper with this mark, from 0.
pub(crate) fn name(mark: &str, number: u8) -> String {
    let digits: String = mark.chars().take(NAME_DIGITS - 2).collect();
    format!("{digits}{number:02x}.{EXTENSION}")
}

/// Whether a keeper of this user's can listen at `path`. A file in a store says where; that it was written by a keeper is not
/// known, so nothing else is spoken to, and nothing else is removed.
///
/// # Errors
/// That there is no such socket, or what the system says.
pub(crate) fn check(path: &Utf8Path) -> io::Result<()> {
    let is_name = path.extension() == Some(EXTENSION)
        && path.file_stem().is_some_and(|stem| {
            stem.len() == NAME_DIGITS && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
    let folder = path.parent().filter(|_| path.is_absolute() && is_name);
    let folder = folder.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no keeper listens there"))?;
    check_private(folder)?;
    let found = symlink_metadata(path)?;
    if found.file_type().is_socket() && found.uid() == own_id() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it is no socket of this user's"))
}

/// Removes the socket of a keeper that is gone, and its folder if it was made for it.
pub(crate) fn remove(path: &Utf8Path) -> io::Result<()> {
    match check(path).and_then(|()| std::fs::remove_file(path)) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if let Some(folder) =
        path.parent().filter(|folder| folder.as_str().starts_with(&format!("{}-", in_tmp())))
    {
        ignore_error(std::fs::remove_dir(folder), "another socket may be in it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(folder: &Utf8Path, mode: u32) {
        std::fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_runtime_folder_is_used_if_it_is_its_users_alone() {
        let keep = tempfile::tempdir_in("/tmp").unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap();
        let only_tmp = [in_tmp()];
        mode(folder, 0o700);
        assert_eq!(socket_folders(Some(folder)), [folder.join("backstay"), in_tmp()]);
        let link = folder.join("link");
        symlink(folder, &link).unwrap();
        let long = folder.join("x".repeat(RUNTIME_FOLDER_BYTES_MAX));
        std::fs::create_dir(&long).unwrap();
        mode(&long, 0o700);
        for other in [&link, &long, &folder.join("nowhere"), Utf8Path::new("relative")] {
            assert_eq!(socket_folders(Some(other)), only_tmp, "{other}");
        }
        mode(folder, 0o755);
        assert_eq!(socket_folders(Some(folder)), only_tmp);
        assert_eq!(socket_folders(None), only_tmp);
    }

    #[test]
    fn a_folder_that_cannot_be_trusted_is_passed_by_and_a_fresh_one_is_made() {
        let keep = tempfile::tempdir_in("/tmp").unwrap();
        let root = Utf8Path::from_path(keep.path()).unwrap();
        let target = root.join("target");
        std::fs::create_dir(&target).unwrap();
        let (link, file, open) = (root.join("link"), root.join("file"), root.join("open"));
        symlink(&target, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        let nowhere = root.join("not/there");
        let bad = [link, file, nowhere];
        let mut with_a_good_one = bad.to_vec();
        with_a_good_one.push(open.clone());
        assert_eq!(private_folder(&with_a_good_one).unwrap(), open);
        assert_eq!(symlink_metadata(&open).unwrap().mode() & 0o777, PRIVATE, "it is closed");
        let fresh = private_folder(&bad).unwrap();
        check_private(&fresh).unwrap();
        assert_ne!(private_folder(&bad).unwrap(), fresh);
        let socket = fresh.join(name("0123456789abcdef0123", 7));
        assert_eq!(socket.file_name(), Some("0123456789abcd07.sock"));
        drop(UnixListener::bind(&socket).unwrap());
        remove(&socket).unwrap();
        assert!(!fresh.exists(), "with its socket it goes, too");
        std::fs::remove_dir(fresh_name(1)).unwrap();
    }

    #[test]
    fn nothing_but_a_keepers_socket_is_spoken_to_or_removed() {
        let keep = tempfile::tempdir_in("/tmp").unwrap();
        let root = Utf8Path::from_path(keep.path()).unwrap();
        let (private, open) = (root.join("private"), root.join("open"));
        for folder in [&private, &open] {
            std::fs::create_dir(folder).unwrap();
        }
        mode(&private, 0o700);
        mode(&open, 0o755);
        let name = name("0123456789abcdef", 0);
        let listener = |path: &Utf8Path| drop(UnixListener::bind(path).unwrap());
        listener(&private.join(&name));
        listener(&private.join("docker.sock"));
        listener(&open.join(&name));
        let file = private.join("fedcba9876543210.sock");
        std::fs::write(&file, "mine").unwrap();
        let link = private.join("aaaaaaaaaaaaaaaa.sock");
        symlink(private.join("docker.sock"), &link).unwrap();
        for other in [&private.join("docker.sock"), &open.join(&name), &file, &link] {
            assert!(check(other).is_err(), "{other}");
            remove(other).unwrap();
            assert!(symlink_metadata(other).is_ok(), "{other} is removed");
        }
        check(&private.join(&name)).unwrap();
        remove(&private.join(&name)).unwrap();
        assert!(!private.join(&name).exists() && private.exists());
    }
}
