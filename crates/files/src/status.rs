//! What a file is, without following it.

use std::ffi::OsString;
use std::fmt;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A file with bytes.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// Something that this program does not know.
    Unknown,
}

impl FileKind {
    pub(crate) fn of(kind: FileType) -> FileKind {
        match kind {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => FileKind::Device,
            FileType::Unknown => FileKind::Unknown,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Regular => "a regular file",
            FileKind::Folder => "a folder",
            FileKind::Link => "a symbolic link",
            FileKind::Fifo => "a FIFO",
            FileKind::Socket => "a socket",
            FileKind::Device => "a device",
            FileKind::Unknown => "a file of an unknown kind",
        })
    }
}

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its kind.
    pub kind: FileKind,
    /// Its length.
    pub size_bytes: u64,
    /// The permission bits of its mode.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// When its bytes were last changed.
    pub modified: SystemTime,
}

impl Status {
    pub(crate) fn of(stat: &Stat) -> Status {
        let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        #[cfg_attr(
            target_os = "linux",
            expect(clippy::unnecessary_cast, reason = "the widths of these fields differ between systems")
        )]
        let (mode, links, nanos) =
            (stat.st_mode as u32, stat.st_nlink as u64, Duration::from_nanos(stat.st_mtime_nsec as u64));
        Status {
            kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)),
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mode: mode & 0o7777,
            links,
            modified: SystemTime::UNIX_EPOCH + seconds + nanos,
        }
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What has it: a link itself, and not what that leads to.
    pub kind: FileKind,
}
