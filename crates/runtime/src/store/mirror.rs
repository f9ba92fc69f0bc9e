//! Reading a store without changing one byte of it: from a private copy of its database.
//!
//! SQLite writes to a folder that it reads in: shared memory, locks, what a crash left. So the database and its write-ahead log
//! are copied into a folder of this user's own, which goes with this process's handle on it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use backstay_log::InspectError;
use backstay_model::{Code, Coded};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use tempfile::TempDir;

/// The database and its write-ahead log. What lies in the log but not in the database is copied after it.
const FILES: [&str; 2] = ["log.db", "log.db-wal"];
/// A larger database is not copied.
const COPY_BYTES_MAX: u64 = 4 << 30;
/// How often the copying begins anew when somebody writes meanwhile.
const TRIES: usize = 5;
/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 18;

/// The database of a store cannot be copied for reading.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// It is too large.
    #[error("{path} has {size_bytes} bytes, and is copied for reading up to {most_bytes}")]
    TooLarge {
        /// The store.
        path: Utf8PathBuf,
        /// Its database.
        size_bytes: u64,
        /// The most that is copied.
        most_bytes: u64,
    },
    /// Somebody writes to it all the time.
    #[error("{path} is written to while it is copied for reading")]
    Busy {
        /// The store.
        path: Utf8PathBuf,
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
}

impl Coded for MirrorError {
    fn code(&self) -> Code {
        match self {
            MirrorError::TooLarge { .. } => Code("BKS-R078"),
            MirrorError::Busy { .. } => Code("BKS-R079"),
            MirrorError::Io { .. } => Code("BKS-R080"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            MirrorError::TooLarge { path, .. } => Some(format!(
                "if you know where it came from: `backstay --store {} store adopt` takes it where it is, without a copy",
                backstay_files::shell_word(path.as_str())
            )),
            MirrorError::Busy { .. } => Some("try again once whoever writes to it has ended".to_owned()),
            MirrorError::Io { .. } => Some("TMPDIR names a folder with room for the copy".to_owned()),
        }
    }
}

/// Where a store is read: in its own folder, or its database in a copy of it.
#[derive(Debug)]
pub struct ReadSource {
    folder: Utf8PathBuf,
    mirror: Option<Mirror>,
    damage: Option<InspectError>,
}

impl ReadSource {
    /// The store in `folder`, read where it is.
    #[must_use]
    pub const fn in_place(folder: Utf8PathBuf) -> ReadSource {
        ReadSource { folder, mirror: None, damage: None }
    }

    /// The store in `folder`, whose database is copied now. Blocks.
    ///
    /// # Errors
    /// [`MirrorError`] if it cannot be copied.
    pub fn copied(folder: &Utf8Path) -> Result<ReadSource, MirrorError> {
        Ok(ReadSource::mirrored(folder.to_owned(), Mirror::make(folder)?))
    }

    /// The store in `folder`, whose database was copied before.
    pub(super) const fn mirrored(folder: Utf8PathBuf, mirror: Mirror) -> ReadSource {
        ReadSource { folder, mirror: Some(mirror), damage: None }
    }

    /// The same, of which a first look said that it is damaged. SQLite says so too where the disk cannot be read, and a second
    /// look may see nothing of it.
    pub(super) fn with_damage(self, damage: InspectError) -> ReadSource {
        ReadSource { damage: Some(damage), ..self }
    }

    /// What a first look said is wrong with the store.
    pub(crate) const fn damage(&self) -> Option<&InspectError> {
        self.damage.as_ref()
    }

    /// The store's own folder.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The folder in which its database is read.
    #[must_use]
    pub fn database(&self) -> &Utf8Path {
        self.mirror.as_ref().map_or(self.folder.as_path(), |mirror| mirror.path.as_path())
    }
}

/// A copy of a database in a folder of its own, which goes with this.
#[derive(Debug)]
pub(super) struct Mirror {
    path: Utf8PathBuf,
    _folder: TempDir,
}

impl Mirror {
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Copies the database of the store in `folder`.
    pub(super) fn make(folder: &Utf8Path) -> Result<Mirror, MirrorError> {
        for _ in 0..TRIES {
            let kept = tempfile::Builder::new().prefix("backstay-read-").tempdir().map_err(|source| {
                let path = folder.to_owned();
                MirrorError::Io { action: "make a folder for a copy of", path, source }
            })?;
            let path =
                Utf8PathBuf::from_path_buf(kept.path().to_owned()).map_err(|path| MirrorError::Io {
                    action: "name a copy in",
                    path: path.to_string_lossy().into_owned().into(),
                    source: io::ErrorKind::InvalidFilename.into(),
                })?;
            if copy_whole(folder, &path)? {
                return Ok(Mirror { path, _folder: kept });
            }
        }
        Err(MirrorError::Busy { path: folder.to_owned() })
    }
}

/// Copies both files; false if the database changed meanwhile. That the write-ahead log grows is no change: what is behind its
/// last whole commit is nothing.
fn copy_whole(folder: &Utf8Path, target: &Utf8Path) -> Result<bool, MirrorError> {
    let sources: Vec<Option<Source>> =
        FILES.iter().map(|name| Source::open(&folder.join(name))).collect::<Result<_, _>>()?;
    let size_bytes: u64 = sources.iter().flatten().map(|source| source.found.len()).sum();
    if size_bytes > COPY_BYTES_MAX {
        let path = folder.to_owned();
        return Err(MirrorError::TooLarge { path, size_bytes, most_bytes: COPY_BYTES_MAX });
    }
    for (name, source) in FILES.iter().zip(&sources) {
        if let Some(source) = source {
            source.copy(&target.join(name))?;
        }
    }
    let [Some(database), log] = &sources[..] else { return Ok(true) };
    let is_same_log = match log {
        Some(log) => log.is_in_place()?,
        None => Source::open(&folder.join(FILES[1]))?.is_none(),
    };
    Ok(is_same_log && database.is_unchanged()?)
}

/// A file that is copied.
struct Source {
    path: Utf8PathBuf,
    file: File,
    found: Metadata,
}

impl Source {
    /// Opens a plain file, and follows no link; none if there is nothing.
    fn open(path: &Utf8Path) -> Result<Option<Source>, MirrorError> {
        let failed = |source| MirrorError::Io { action: "open", path: path.to_owned(), source };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::Error::other("it is no plain file")));
        }
        Ok(Some(Source { path: path.to_owned(), file, found }))
    }

    fn copy(&self, target: &Utf8Path) -> Result<(), MirrorError> {
        let failed = |source| MirrorError::Io { action: "copy", path: self.path.clone(), source };
        let mut copy =
            File::options().write(true).create_new(true).mode(0o600).open(target).map_err(failed)?;
        let mut source = (&self.file).take(self.found.len());
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => copy.write_all(&piece[..count]).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Whether it has the same bytes as when it was opened, as far as the system tells.
    fn is_unchanged(&self) -> Result<bool, MirrorError> {
        let now = self.file.metadata().map_err(|source| MirrorError::Io {
            action: "look at",
            path: self.path.clone(),
            source,
        })?;
        let marks = |found: &Metadata| (found.len(), found.mtime(), found.mtime_nsec());
        Ok(marks(&now) == marks(&self.found) && self.is_in_place()?)
    }

    fn is_in_place(&self) -> Result<bool, MirrorError> {
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (self.found.dev(), self.found.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(MirrorError::Io { action: "look at", path: self.path.clone(), source }),
        }
    }
}
