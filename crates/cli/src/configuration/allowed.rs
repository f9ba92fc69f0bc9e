//! The configurations of stores that the user has allowed: a path and the digest of what was in the file then.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use backstay_model::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::user_folders;

/// The list, in the user's state folder (docs/formats.md).
const LIST: &str = "trusted.json";
/// Held while the list is changed.
const LOCK: &str = "trusted.lock";
/// The version of the list's form.
const VERSION: u32 = 1;
/// The list is the user's alone.
const PRIVATE: u32 = 0o600;

#[derive(Debug, Serialize, Deserialize)]
struct Allowed {
    v: u32,
    /// By the canonical path of the file.
    configurations: BTreeMap<Utf8PathBuf, Digest>,
}

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed { v: VERSION, configurations: BTreeMap::new() }
    }
}

/// Whether the user has allowed what is in the configuration at `path`. Without a state folder nothing was allowed.
pub(super) fn is_allowed(
    env: &BTreeMap<String, String>,
    path: &Utf8Path,
    digest: Digest,
) -> Result<bool, CliError> {
    let Some(folder) = user_folders::state(env) else { return Ok(false) };
    let allowed = read(&folder)?;
    Ok(allowed.configurations.get(&canonical(path)?) == Some(&digest))
}

/// Notes that the user allows what is in the configuration at `path`: nothing that was in it before.
pub(crate) fn allow(env: &BTreeMap<String, String>, path: &Utf8Path, digest: Digest) -> Result<(), CliError> {
    let path = canonical(path)?;
    change(env, |allowed| allowed.configurations.insert(path, digest)).map(|_before| ())
}

/// Forgets the configuration at `path`; whether it was allowed before.
pub(crate) fn revoke(env: &BTreeMap<String, String>, path: &Utf8Path) -> Result<bool, CliError> {
    let path = canonical(path)?;
    change(env, |allowed| allowed.configurations.remove(&path)).map(|before| before.is_some())
}

/// The file's own path: that of its folder without links, and its name. The file itself is never a link.
fn canonical(path: &Utf8Path) -> Result<Utf8PathBuf, CliError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.to_owned()) };
    match folder.canonicalize_utf8() {
        Ok(folder) => Ok(folder.join(name)),
        Err(source) => Err(CliError::ReadFile { path: folder.to_owned(), source }),
    }
}

fn change<T>(env: &BTreeMap<String, String>, with: impl FnOnce(&mut Allowed) -> T) -> Result<T, CliError> {
    let folder = user_folders::state(env).ok_or(CliError::NoStateFolder)?;
    let at = |path: Utf8PathBuf| move |source| CliError::WriteFile { path, source };
    user_folders::make_private(&folder).map_err(at(folder.clone()))?;
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(folder.join(LOCK))
        .and_then(|lock| lock.lock().map(|()| lock))
        .map_err(at(folder.join(LOCK)))?;
    let mut allowed = read(&folder)?;
    let result = with(&mut allowed);
    write(&folder, &allowed).map_err(at(folder.join(LIST)))?;
    drop(lock);
    Ok(result)
}

fn read(folder: &Utf8Path) -> Result<Allowed, CliError> {
    let path = folder.join(LIST);
    let wrong = |source| CliError::ReadFile { path: path.clone(), source };
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Allowed::default());
        }
        Err(source) => return Err(wrong(source)),
    };
    if !user_folders::is_own(&file.metadata().map_err(wrong)?) {
        return Err(CliError::OthersWrite { path });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(wrong)?;
    let allowed: Allowed = serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
    match allowed.v {
        VERSION => Ok(allowed),
        found => {
            Err(wrong(io::Error::other(format!("it has version {found}, this program knows {VERSION}"))))
        }
    }
}

/// Whole or not at all.
fn write(folder: &Utf8Path, allowed: &Allowed) -> io::Result<()> {
    // A temporary file is made for its user alone.
    let mut part = tempfile::NamedTempFile::new_in(folder)?;
    part.write_all(&serde_json::to_vec_pretty(allowed)?)?;
    part.as_file().sync_data()?;
    part.persist(folder.join(LIST))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_configuration_is_allowed_by_its_own_path_and_what_was_in_it() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap();
        let env = BTreeMap::from([("XDG_STATE_HOME".to_owned(), folder.join("state").into_string())]);
        std::fs::create_dir_all(folder.join("store")).unwrap();
        symlink(folder.join("store"), folder.join("link")).unwrap();
        let (path, linked) = (folder.join("store/config.toml"), folder.join("link/config.toml"));
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        assert!(!is_allowed(&env, &path, one).unwrap());
        allow(&env, &linked, one).unwrap();
        assert!(is_allowed(&env, &path, one).unwrap());
        assert!(!is_allowed(&env, &path, other).unwrap());
        allow(&env, &path, other).unwrap();
        assert!(!is_allowed(&env, &path, one).unwrap(), "what was there before is not allowed any more");
        assert!(revoke(&env, &path).unwrap());
        assert!(!revoke(&env, &path).unwrap());
        assert!(!is_allowed(&env, &path, other).unwrap());

        let list = folder.join("state/backstay/trusted.json");
        let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&list), mode(list.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(is_allowed(&env, &path, one), Err(CliError::OthersWrite { .. })));
        std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&list, "{").unwrap();
        assert!(is_allowed(&env, &path, one).is_err(), "a list that cannot be read allows nothing");
        assert!(!is_allowed(&BTreeMap::new(), &path, one).unwrap());
        assert!(matches!(allow(&BTreeMap::new(), &path, one), Err(CliError::NoStateFolder)));
    }
}
