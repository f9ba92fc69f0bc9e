//! Opening a path without following a link anywhere on it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

/// What every descriptor is opened with.
const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY);
/// How often Linux is asked again when folders move while it looks at a path.
#[cfg(target_os = "linux")]
const TRIES: u32 = 16;

/// Whether `path` names something below the folder in which it is looked up, and nothing else.
pub(crate) fn is_below(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
        && path.components().next().is_some()
}

/// Opens `path`, which [`is_below`] of `folder`.
pub(crate) fn open_below(
    folder: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        for _ in 0..TRIES {
            match openat2(folder, path, flags | ALWAYS, mode, how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // An older kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => break,
                opened => return opened,
            }
        }
    }
    open_by_steps(folder, path, flags, mode)
}

/// The same, one folder after the other.
fn open_by_steps(folder: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut at: Option<OwnedFd> = None;
    let mut names = path.components().map(Component::as_os_str).peekable();
    while let Some(name) = names.next() {
        let here = at.as_ref().map_or(folder, AsFd::as_fd);
        if names.peek().is_none() {
            return openat(here, name, flags | ALWAYS, mode);
        }
        at = Some(openat(here, name, OFlags::RDONLY | OFlags::DIRECTORY | ALWAYS, Mode::empty())?);
    }
    Err(Errno::NOENT)
}

/// Opens the folder at `path`, which is absolute and has no link anywhere on it.
pub(crate) fn open_real(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, ResolveFlags, openat2};
        match openat2(CWD, path, flags | ALWAYS, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    // Folders above that may be passed through need not be readable, so this does not go by steps.
    match std::fs::canonicalize(path) {
        Ok(real) if real != path => Err(Errno::LOOP),
        Ok(_) => openat(rustix::fs::CWD, path, flags | ALWAYS, Mode::empty()),
        Err(error) => Err(error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)),
    }
}

/// The first link on the way along `path`.
pub(crate) fn first_link(folder: BorrowedFd<'_>, path: &Path) -> Option<std::path::PathBuf> {
    let mut at = std::path::PathBuf::new();
    for component in path.components() {
        at.push(component);
        let there = statat(folder, &at, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Symlink {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_by_steps_finds_what_is_there_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("one/two")).unwrap();
        std::fs::write(at("one/two/file"), "x").unwrap();
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        std::os::unix::fs::symlink("file", at("one/two/also")).unwrap();
        let root = openat(rustix::fs::CWD, folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        let open = |name: &str| {
            open_by_steps(root.as_fd(), Path::new(name), OFlags::RDONLY, Mode::empty()).map(drop)
        };
        assert_eq!(open("one/two/file"), Ok(()));
        assert_eq!(open("one/none"), Err(Errno::NOENT));
        for name in ["link/two/file", "one/two/also", "link"] {
            assert!(matches!(open(name), Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK)), "{name}");
            assert!(first_link(root.as_fd(), Path::new(name)).is_some(), "{name}");
        }
    }
}
