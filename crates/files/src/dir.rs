//! A handle of one folder.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Mode, OFlags, chmodat, fchmod, fstat, linkat, mkdirat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::refused::Refused;
use crate::resolve::{first_link, is_below, open_below, open_real};
use crate::status::{Entry, FileKind, Status};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A folder, held open: it stays the same one whatever becomes of its path. Cheap to clone.
///
/// Names are relative to it and lead nowhere but below it.
#[derive(Clone, Debug)]
pub struct Dir {
    handle: Arc<File>,
    path: Arc<Path>,
}

/// Whether what is written has to survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// It survives the death of this process.
    No,
    /// It is on the disk, under its name, when the call returns.
    Yes,
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Read,
    Write,
    Append,
}

/// What is there, or `None` where nothing has the name.
///
/// # Errors
/// Every error but that nothing is there.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path of `folder` with every link above it resolved, and not the folder itself: that must not be one.
///
/// # Errors
/// What the system says, if nothing is above it.
pub fn real_path(folder: &Path) -> io::Result<PathBuf> {
    match (folder.parent(), folder.file_name()) {
        (Some(above), Some(name)) => {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            Ok(above.canonicalize()?.join(name))
        }
        _ => folder.canonicalize(),
    }
}

/// The bytes of the file at `path`, wherever links lead: it is a regular file of at most `limit_bytes`. For files that the user
/// names; those of a store are read below a [`Dir`].
///
/// # Errors
/// [`Refused`], or what the system says.
pub fn read_regular(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    read_regular_with_metadata(path, limit_bytes).map(|(bytes, _)| bytes)
}

/// The same, and what the system knows of that very file, such as whose it is.
///
/// # Errors
/// As [`read_regular`].
pub fn read_regular_with_metadata(path: &Path, limit_bytes: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let there = file.metadata()?;
    Ok((read_bounded(file, path, limit_bytes)?, there))
}

/// The bytes of an open file that has to be a regular one.
fn read_bounded(file: File, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let (found, expected) = (Status::of(&fstat(&file)?).kind, FileKind::Regular);
    if found != expected {
        return Err(Refused::Kind { path: path.to_owned(), found, expected }.into());
    }
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Refused::TooLarge { path: path.to_owned(), limit_bytes }.into());
    }
    Ok(bytes)
}

impl Dir {
    /// Opens the folder at `path`, which is absolute and has no link anywhere on it; see [`real_path`].
    ///
    /// # Errors
    /// [`Refused::Link`], or what the system says.
    pub fn open(path: &Path) -> io::Result<Dir> {
        match open_real(path) {
            Ok(handle) => Ok(Dir { handle: Arc::new(File::from(handle)), path: Arc::from(path) }),
            Err(error) => match first_link(rustix::fs::CWD, path) {
                Some(path) if is_of_link(error) => Err(Refused::Link { path }.into()),
                _ => Err(error.into()),
            },
        }
    }

    /// Opens the folder at `path` wherever links above it lead; it is not one itself.
    ///
    /// # Errors
    /// [`Refused::Link`], or what the system says.
    pub fn open_found(path: &Path) -> io::Result<Dir> {
        Dir::open(&real_path(path)?)
    }

    /// Opens the folder at `path` as [`open`](Dir::open) does, and makes it with all above it that is not there.
    ///
    /// # Errors
    /// [`Refused::Link`], or what the system says.
    pub fn make(path: &Path) -> io::Result<Dir> {
        for above in path.ancestors() {
            if let Some(above_dir) = if_there(Dir::open(above))? {
                return match path.strip_prefix(above) {
                    Ok(rest) if !rest.as_os_str().is_empty() => above_dir.make_folder(rest),
                    _ => Ok(above_dir),
                };
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Where it was when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder its user's alone: mode 0700.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_private(&self) -> io::Result<()> {
        Ok(fchmod(&self.handle, Mode::from_raw_mode(FOLDER_MODE as _))?)
    }

    /// The folder `name` below this one.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn folder(&self, name: impl AsRef<Path>) -> io::Result<Dir> {
        let name = name.as_ref();
        let opened = self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Dir { handle: Arc::new(File::from(opened)), path: Arc::from(self.path.join(name)) })
    }

    /// The folder `name` below this one, made with all on the way to it that is not there, each with mode 0700.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn make_folder(&self, name: impl AsRef<Path>) -> io::Result<Dir> {
        let name = self.below(name.as_ref())?;
        let mut at = self.clone();
        for part in name.components() {
            at = at.make_one(part.as_os_str())?;
        }
        Ok(at)
    }

    /// Makes the folder `name` directly in this one, and says whether it was not there.
    fn make_one(&self, name: &OsStr) -> io::Result<Dir> {
        match mkdirat(&self.handle, name, Mode::from_raw_mode(FOLDER_MODE as _)) {
            // The umask may have taken what its user needs.
            Ok(()) => {
                chmodat(&self.handle, name, Mode::from_raw_mode(FOLDER_MODE as _), AtFlags::empty())?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.folder(name)
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_for(name.as_ref(), Use::Read)
    }

    /// Opens a regular file that is there for reading and writing.
    ///
    /// # Errors
    /// [`Refused`], also for a hard link; or what the system says.
    pub fn open_to_write(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_for(name.as_ref(), Use::Write)
    }

    /// Opens a regular file for reading and writing, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`open_to_write`](Dir::open_to_write).
    pub fn open_or_create(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_or_make(name.as_ref(), Use::Write)
    }

    /// Opens a regular file to write behind its end, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`open_to_write`](Dir::open_to_write).
    pub fn open_to_append(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_or_make(name.as_ref(), Use::Append)
    }

    /// Makes a file where nothing is, open for reading and writing.
    ///
    /// # Errors
    /// What the system says; [`Refused::Exists`], of the kind [`AlreadyExists`](io::ErrorKind::AlreadyExists), if anything has the
    /// name.
    pub fn create_new(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.make_file(name.as_ref(), Use::Write)
    }

    /// The same for one that is written behind its end.
    ///
    /// # Errors
    /// As [`create_new`](Dir::create_new).
    pub fn create_new_to_append(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.make_file(name.as_ref(), Use::Append)
    }

    /// Makes a file in place of whatever file or link has the name, and does not touch what that leads to.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let name = name.as_ref();
        match self.create_new(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if_there(self.remove(name))?;
                self.create_new(name)
            }
            made => made,
        }
    }

    /// The bytes of a regular file, which has at most `limit_bytes`.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn read(&self, name: impl AsRef<Path>, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let name = name.as_ref();
        read_bounded(self.open_file(name)?, &self.path.join(name), limit_bytes)
    }

    /// Writes `bytes` as the file `name`, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8], flush: Flush) -> io::Result<()> {
        let name = name.as_ref();
        let part = with_suffix(name, ".part");
        let mut file = self.create(&part)?;
        file.write_all(bytes)?;
        if flush == Flush::Yes {
            file.sync_all()?;
        }
        self.rename(&part, name)?;
        if flush == Flush::Yes { self.above(name)?.sync() } else { Ok(()) }
    }

    /// Gives a file another name, in place of whatever file has that.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (source, target) = (self.above(from)?, self.above(to)?);
        Ok(renameat(&source.handle, last(from), &target.handle, last(to))?)
    }

    /// Gives a file a second name, which nothing has.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn hard_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (source, target) = (self.above(from)?, self.above(to)?);
        Ok(linkat(&source.handle, last(from), &target.handle, last(to), AtFlags::empty())?)
    }

    /// Removes a file or a link, and not what it leads to.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        let name = name.as_ref();
        Ok(unlinkat(&self.above(name)?.handle, last(name), AtFlags::empty())?)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`Refused`], or what the system says.
    pub fn remove_folder(&self, name: impl AsRef<Path>) -> io::Result<()> {
        let name = name.as_ref();
        Ok(unlinkat(&self.above(name)?.handle, last(name), AtFlags::REMOVEDIR)?)
    }

    /// What has the name, a link itself and not what it leads to; none if nothing has it.
    ///
    /// # Errors
    /// [`Refused`] for a link on the way, or what the system says.
    pub fn status(&self, name: impl AsRef<Path>) -> io::Result<Option<Status>> {
        let name = name.as_ref();
        let Some(above) = if_there(self.above(name))? else { return Ok(None) };
        let stat = statat(&above.handle, last(name), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from);
        Ok(if_there(stat)?.as_ref().map(Status::of))
    }

    /// Whether anything has the name.
    ///
    /// # Errors
    /// As [`status`](Dir::status).
    pub fn has(&self, name: impl AsRef<Path>) -> io::Result<bool> {
        Ok(self.status(name)?.is_some())
    }

    /// Where a link leads, as it says itself.
    ///
    /// # Errors
    /// What the system says, also if it is no link.
    pub fn link_target(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        let name = name.as_ref();
        let target = rustix::fs::readlinkat(&self.above(name)?.handle, last(name), Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Makes a symbolic link where nothing is.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_link(&self, target: &Path, name: impl AsRef<Path>) -> io::Result<()> {
        let name = name.as_ref();
        Ok(rustix::fs::symlinkat(target, &self.above(name)?.handle, last(name))?)
    }

    /// What is in the folder, in order of name.
    ///
    /// # Errors
    /// What the system says.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let kind = match FileKind::of(entry.file_type()) {
                // Some file systems do not tell it in the list.
                FileKind::Unknown => match self.status(&name)? {
                    Some(status) => status.kind,
                    None => continue,
                },
                kind => kind,
            };
            found.push(Entry { name, kind });
        }
        found.sort();
        Ok(found)
    }

    /// Flushes the names in the folder to the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn below<'n>(&self, name: &'n Path) -> io::Result<&'n Path> {
        if is_below(name) {
            Ok(name)
        } else {
            Err(Refused::Outside { path: name.to_owned(), folder: self.path.to_path_buf() }.into())
        }
    }

    /// The folder directly above `name`.
    fn above(&self, name: &Path) -> io::Result<Dir> {
        match self.below(name)?.parent() {
            Some(above) if !above.as_os_str().is_empty() => self.folder(above),
            _ => Ok(self.clone()),
        }
    }

    fn open_at(&self, name: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let name = self.below(name)?;
        open_below(self.handle.as_fd(), name, flags, mode).map_err(|error| self.explain(name, error, flags))
    }

    fn open_for(&self, name: &Path, purpose: Use) -> io::Result<File> {
        let flags = match purpose {
            Use::Read => OFlags::RDONLY,
            Use::Write => OFlags::RDWR,
            Use::Append => OFlags::WRONLY | OFlags::APPEND,
        };
        // Without waiting: a FIFO in its place has nobody at its other end.
        let opened = self.open_at(name, flags | OFlags::NONBLOCK, Mode::empty())?;
        let there = Status::of(&fstat(&opened)?);
        let path = || self.path.join(name);
        match (there.kind, purpose) {
            (FileKind::Regular, Use::Write | Use::Append) if there.links > 1 => {
                Err(Refused::HardLink { path: path() }.into())
            }
            (FileKind::Regular, _) => Ok(File::from(opened)),
            (found, _) => Err(Refused::Kind { path: path(), found, expected: FileKind::Regular }.into()),
        }
    }

    fn open_or_make(&self, name: &Path, purpose: Use) -> io::Result<File> {
        match self.open_for(name, purpose) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match self.make_file(name, purpose) {
            // Somebody else was first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open_for(name, purpose),
            made => made,
        }
    }

    fn make_file(&self, name: &Path, purpose: Use) -> io::Result<File> {
        let flags = match purpose {
            Use::Append => OFlags::WRONLY | OFlags::APPEND,
            Use::Read | Use::Write => OFlags::RDWR,
        };
        let mode = Mode::from_raw_mode(FILE_MODE as _);
        let made = self.open_at(name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
        // The umask may have taken what its user needs.
        if Status::of(&fstat(&made)?).mode != FILE_MODE {
            fchmod(&made, mode)?;
        }
        Ok(File::from(made))
    }

    /// Says what is in the way where the system only says that something is.
    fn explain(&self, name: &Path, error: Errno, flags: OFlags) -> io::Error {
        if is_of_link(error)
            && let Some(link) = first_link(self.handle.as_fd(), name)
        {
            return Refused::Link { path: self.path.join(link) }.into();
        }
        if error == Errno::EXIST {
            return Refused::Exists { path: self.path.join(name) }.into();
        }
        // A FIFO that nobody reads, a socket, or a folder that is to be written.
        if matches!(error, Errno::NXIO | Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOTDIR)
            && let Ok(Some(there)) = self.status(name)
        {
            let is_folder = flags.contains(OFlags::DIRECTORY);
            let expected = if is_folder { FileKind::Folder } else { FileKind::Regular };
            if there.kind != expected {
                return Refused::Kind { path: self.path.join(name), found: there.kind, expected }.into();
            }
        }
        error.into()
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Whether the system may mean by it that there is a link.
fn is_of_link(error: Errno) -> bool {
    matches!(error, Errno::LOOP | Errno::MLINK | Errno::NOTDIR)
}

/// The last part of a path that is known to lead below a folder.
fn last(name: &Path) -> &OsStr {
    name.file_name().unwrap_or_default()
}

fn with_suffix(name: &Path, suffix: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
