//! Whether a folder, and what is in it, is this user's alone.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use backstay_files::shell_word;
use backstay_model::{Code, Coded};
use camino::{Utf8Path, Utf8PathBuf};

/// The bits of a mode by which others may write.
const OTHERS_WRITE: u32 = 0o022;
/// What lies directly in a store's folder, and is written by Backstay.
const FILES: [&str; 12] = [
    "log.db",
    "log.db-wal",
    "log.db-shm",
    "store.lock",
    "turn.lock",
    "writer.lock",
    "wakeup",
    "ballast",
    "config.toml",
    "up.lock",
    "up.log",
    // Git opens it whatever it is, and waits for a FIFO.
    ".gitignore",
];
const FOLDERS: [&str; 3] = ["blobs", "owners", "runs"];
/// What the first moments of a store leave, and what a user may put there before.
const BEGINNING: [&str; 12] = [
    "log.db",
    "log.db-journal",
    "log.db-wal",
    "log.db-shm",
    "store.lock",
    "writer.lock",
    "turn.lock",
    "wakeup",
    "owners",
    "blobs",
    ".gitignore",
    super::CONFIGURATION_FILE,
];

/// A folder or file is not this user's alone, or not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It belongs to somebody else.
    #[error("{path} belongs to user {owner}, and you are user {user}")]
    Owner {
        /// The folder or file.
        path: Utf8PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others may write to it.
    #[error("{path} can be written by other users (mode {mode:04o})")]
    Writable {
        /// The folder.
        path: Utf8PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a link, or something else than the file or folder that a store has there.
    #[error("{path} is {found}, where a store has {expected}")]
    Kind {
        /// What was looked at.
        path: Utf8PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// What has a store's name is no folder.
    #[error("{path} is {found}, and a store is a folder")]
    NotAFolder {
        /// What has the name.
        path: Utf8PathBuf,
        /// What it is.
        found: NotAFolder,
    },
    /// It cannot be looked at.
    #[error("cannot look at {path}")]
    Io {
        /// The folder or file.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What stands where a store's folder should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAFolder {
    /// A symbolic link. It is not followed: whoever made it could change where it leads.
    Link {
        /// The real path that it leads to, if there is something.
        target: Option<Utf8PathBuf>,
    },
    /// A regular file.
    File,
    /// A pipe, a socket or a device.
    Special,
}

impl std::fmt::Display for NotAFolder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            NotAFolder::Link { .. } => "a symbolic link",
            NotAFolder::File => "a file",
            NotAFolder::Special => "a pipe, a socket or a device",
        })
    }
}

/// A name below the home folder for a store in the place of the one that `path` is, or belongs to.
fn own_name(path: &Utf8Path) -> String {
    let store = path.ancestors().find(|above| above.file_name() == Some(super::STORE_FOLDER));
    let project = store.and_then(Utf8Path::parent).and_then(Utf8Path::file_name).unwrap_or("my");
    format!("{project}.backstay")
}

impl Coded for PrivateError {
    fn code(&self) -> Code {
        match self {
            PrivateError::Owner { .. } => Code("BKS-R073"),
            PrivateError::Writable { .. } => Code("BKS-R074"),
            PrivateError::Kind { .. } => Code("BKS-R075"),
            PrivateError::Io { .. } => Code("BKS-R076"),
            PrivateError::NotAFolder { .. } => Code("BKS-R086"),
        }
    }

    fn hint(&self) -> Option<String> {
        let word = |path: &Utf8Path| shell_word(path.as_str());
        match self {
            PrivateError::Owner { path, .. } => Some(format!(
                "use a store of your own: `backstay --store \"$HOME/{}\" …`, or set BACKSTAY_STORE to it",
                own_name(path)
            )),
            PrivateError::Writable { path, .. } => {
                Some(format!("if nobody else has written to it: chmod 700 {}", word(path)))
            }
            PrivateError::Kind { path, .. } => {
                Some(format!("a store holds no links and no devices: look at what {path} is, and remove it"))
            }
            PrivateError::NotAFolder { path, found: NotAFolder::Link { target } } => {
                Some(match target.as_ref().filter(|target| target.is_dir()) {
                    Some(target) => format!(
                        "use what it points to with `--store {}`, or remove the link: `rm {}`",
                        word(target),
                        word(path)
                    ),
                    None => format!("remove the link, which points to no folder: `rm {}`", word(path)),
                })
            }
            PrivateError::NotAFolder { path, .. } if path.file_name() != Some(super::STORE_FOLDER) => {
                Some("name the folder of a store: `--store DIR`".to_owned())
            }
            PrivateError::NotAFolder { path, .. } => {
                let word = word(path);
                Some(format!("move it away: `mv {word} {word}.old`; `backstay run` then makes a store there"))
            }
            PrivateError::Io { .. } => None,
        }
    }
}

/// What a path is, without following it.
fn look(path: &Utf8Path) -> Result<Metadata, PrivateError> {
    fs::symlink_metadata(path).map_err(|source| PrivateError::Io { path: path.to_owned(), source })
}

/// Refuses what has the name of a store's folder, and is none. Nothing there is no reason.
///
/// # Errors
/// [`PrivateError::NotAFolder`], or [`PrivateError::Io`] if it cannot be looked at.
pub(crate) fn check_place(folder: &Utf8Path) -> Result<(), PrivateError> {
    let kind = match fs::symlink_metadata(folder) {
        Ok(found) => found.file_type(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(source) => return Err(PrivateError::Io { path: folder.to_owned(), source }),
    };
    let found = if kind.is_dir() {
        return Ok(());
    } else if kind.is_symlink() {
        // One that leads nowhere has no target.
        NotAFolder::Link { target: folder.canonicalize_utf8().ok() }
    } else if kind.is_file() {
        NotAFolder::File
    } else {
        NotAFolder::Special
    };
    Err(PrivateError::NotAFolder { path: folder.to_owned(), found })
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses `folder` if it is not this user's, or others may write to it. The superuser's counts as this user's where
/// `or_root`: it can write everywhere anyway.
fn check_owner(path: &Utf8Path, found: &Metadata, or_root: bool) -> Result<(), PrivateError> {
    let (owner, user) = (found.uid(), user());
    if owner == user || (or_root && owner == 0) {
        Ok(())
    } else {
        Err(PrivateError::Owner { path: path.to_owned(), owner, user })
    }
}

/// Refuses a folder that is not this user's, or that others may write to.
pub(crate) fn check_folder(folder: &Utf8Path) -> Result<(), PrivateError> {
    check_folder_of(folder, false)
}

fn check_folder_of(folder: &Utf8Path, or_root: bool) -> Result<(), PrivateError> {
    let found =
        fs::metadata(folder).map_err(|source| PrivateError::Io { path: folder.to_owned(), source })?;
    check_owner(folder, &found, or_root)?;
    let mode = found.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(PrivateError::Writable { path: folder.to_owned(), mode });
    }
    Ok(())
}

/// Refuses the store in `folder` if it, or what lies directly in it, is not this user's alone, or is no plain file or folder.
/// A store that is only read may be the superuser's.
///
/// # Errors
/// [`PrivateError`] names what is in the way.
pub(crate) fn check_store(folder: &Utf8Path, or_root: bool) -> Result<(), PrivateError> {
    check_place(folder)?;
    check_folder_of(folder, or_root)?;
    let expected = FILES.map(|name| (name, true)).into_iter().chain(FOLDERS.map(|name| (name, false)));
    for (name, is_file) in expected {
        let path = folder.join(name);
        let found = match look(&path) {
            Ok(found) => found,
            Err(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        check_kind(&path, &found, is_file)?;
        check_owner(&path, &found, or_root)?;
    }
    Ok(())
}

fn check_kind(path: &Utf8Path, found: &Metadata, is_file: bool) -> Result<(), PrivateError> {
    let expected = if is_file { "a file of its own" } else { "a folder" };
    let odd = |found| Err(PrivateError::Kind { path: path.to_owned(), found, expected });
    let kind = found.file_type();
    if kind.is_symlink() {
        odd("a link")
    } else if is_file && kind.is_dir() {
        odd("a folder")
    } else if !is_file && kind.is_file() {
        odd("a file")
    } else if !kind.is_file() && !kind.is_dir() {
        odd("a pipe, a socket or a device")
    } else if is_file && found.nlink() > 1 {
        odd("a file with several names (hard links)")
    } else {
        Ok(())
    }
}

/// The name of something in `folder` that is no part of a store's beginning; none if there is nothing of the kind. Whoever
/// made a store there may have been killed at once.
///
/// # Errors
/// [`PrivateError::Io`] if it cannot be looked at.
pub fn other_things(folder: &Utf8Path) -> Result<Option<String>, PrivateError> {
    let failed = |source| PrivateError::Io { path: folder.to_owned(), source };
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(failed(source)),
    };
    // A store of which the database is gone is damaged: opening it says so.
    if is_there(&folder.join("log.db-wal"))? {
        return Ok(None);
    }
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_beginning = BEGINNING.contains(&entry.file_name()) && !is_filled(entry.path())?;
        if !is_beginning {
            return Ok(Some(entry.file_name().to_owned()));
        }
    }
    Ok(None)
}

fn is_there(path: &Utf8Path) -> Result<bool, PrivateError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PrivateError::Io { path: path.to_owned(), source }),
    }
}

/// Whether something that is empty in a store's first moments is not.
fn is_filled(path: &Utf8Path) -> Result<bool, PrivateError> {
    let found = look(path)?;
    match path.file_name() {
        Some("owners" | "blobs") if found.is_dir() => {
            let failed = |source| PrivateError::Io { path: path.to_owned(), source };
            Ok(path.read_dir_utf8().map_err(failed)?.next().is_some())
        }
        // Whether anything was written to the database is for who looks into it.
        _ => Ok(!found.is_file()),
    }
}

/// Everything below a store's folder, and what of it Backstay did not put there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Bytes of its files.
    pub(crate) size_bytes: u64,
}

/// Looks at everything below the store in `folder` without following anything. Links are refused but for those among an
/// attempt's artifacts, which an agent may have left.
///
/// # Errors
/// [`PrivateError`] names the first thing that is not this user's, or no plain file or folder.
pub(crate) fn survey(folder: &Utf8Path) -> Result<Survey, PrivateError> {
    let mut seen = Survey::default();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        let failed = |source| PrivateError::Io { path: at.clone(), source };
        for entry in fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = at.join(name);
            let found = look(&path)?;
            check_owner(&path, &found, false)?;
            if found.is_dir() {
                waiting.push(path);
                continue;
            }
            if !is_an_agents(folder, &path) {
                check_kind(&path, &found, true)?;
            }
            seen.size_bytes += if found.is_file() { found.len() } else { 0 };
        }
    }
    Ok(seen)
}

/// Whether a path is among the artifacts of an attempt.
fn is_an_agents(folder: &Utf8Path, path: &Utf8Path) -> bool {
    let Ok(below) = path.strip_prefix(folder) else { return false };
    let mut parts = below.components().map(|part| part.as_str());
    parts.next() == Some("runs") && parts.nth(3) == Some("artifacts") && parts.next().is_some()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::Mode;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(keep.path().join("store")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        (keep, path)
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let (_keep, folder) = folder();
        for (mode, is_private) in
            [(0o700, true), (0o755, true), (0o775, false), (0o702, false), (0o1777, false)]
        {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let checked = check_store(&folder, false);
            assert_eq!(checked.is_ok(), is_private, "{mode:o}: {checked:?}");
        }
    }

    #[test]
    fn what_is_no_plain_file_or_folder_in_a_store_is_named() {
        for name in FILES.into_iter().chain(FOLDERS) {
            let (_keep, folder) = folder();
            symlink("/etc/passwd", folder.join(name)).unwrap();
            let error = check_store(&folder, false).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        for name in ["log.db", "writer.lock", ".gitignore"] {
            let (_keep, folder) = folder();
            let place = folder.join(name);
            rustix::fs::mkfifoat(rustix::fs::CWD, place.as_std_path(), Mode::from_raw_mode(0o600)).unwrap();
            let error = check_store(&folder, false).unwrap_err();
            assert!(error.to_string().contains(&format!("{name} is a pipe")), "{error}");
        }
        let (_keep, folder) = folder();
        fs::write(folder.join("log.db"), "").unwrap();
        check_store(&folder, false).unwrap();
        fs::hard_link(folder.join("log.db"), folder.join("wakeup")).unwrap();
        assert!(matches!(check_store(&folder, false), Err(PrivateError::Kind { .. })));
    }

    #[test]
    fn a_beginning_of_a_store_is_empty_and_anything_else_is_named() {
        let (_keep, folder) = folder();
        assert_eq!(other_things(&folder).unwrap(), None);
        for name in ["store.lock", "config.toml", "log.db", ".gitignore"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::create_dir(folder.join("owners")).unwrap();
        assert_eq!(other_things(&folder).unwrap(), None);
        fs::write(folder.join("owners/x"), "").unwrap();
        assert_eq!(other_things(&folder).unwrap().as_deref(), Some("owners"));
        fs::remove_file(folder.join("owners/x")).unwrap();
        fs::write(folder.join("notes"), "").unwrap();
        assert_eq!(other_things(&folder).unwrap().as_deref(), Some("notes"));
    }

    #[test]
    fn a_survey_counts_bytes_and_refuses_links_but_among_artifacts() {
        let (_keep, folder) = folder();
        let artifacts = folder.join("runs/run_1/one/1/artifacts");
        fs::create_dir_all(&artifacts).unwrap();
        fs::write(artifacts.join("a"), "12345").unwrap();
        symlink("/etc/passwd", artifacts.join("link")).unwrap();
        assert_eq!(survey(&folder).unwrap(), Survey { size_bytes: 5 });
        symlink("/etc/passwd", folder.join("runs/run_1/one/1/stdout")).unwrap();
        assert!(matches!(survey(&folder), Err(PrivateError::Kind { .. })));
    }
}
