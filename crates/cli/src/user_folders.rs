//! The folders of the user: where their own configuration is, and where this program keeps what it knows of them.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

/// Both folders are named like the program.
const NAME: &str = "backstay";
/// Nobody else may look into the state folder.
const PRIVATE: u32 = 0o700;
/// The bits of a mode by which a group and all others may write.
const OTHERS_WRITE: u32 = 0o022;
/// The user that may change everything anyway.
const ROOT: u32 = 0;

/// Where the user's configuration is: `$XDG_CONFIG_HOME/backstay`, else `~/.config/backstay`.
pub(crate) fn configuration(env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    folder(env, "XDG_CONFIG_HOME", ".config")
}

/// Where this program keeps what it knows of the user: `$XDG_STATE_HOME/backstay`, else `~/.local/state/backstay`.
pub(crate) fn state(env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    folder(env, "XDG_STATE_HOME", ".local/state")
}

fn folder(env: &BTreeMap<String, String>, variable: &str, default: &str) -> Option<Utf8PathBuf> {
    let named = |name: &str| env.get(name).filter(|value| value.starts_with('/')).map(Utf8PathBuf::from);
    Some(named(variable).or_else(|| named("HOME").map(|home| home.join(default)))?.join(NAME))
}

/// Makes `folder` if it is not there; it belongs to this user, and nobody else may enter it.
pub(crate) fn make_private(folder: &Utf8Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        let message = format!("{folder} is not a folder of this user");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    if found.mode() & 0o777 != PRIVATE {
        std::fs::set_permissions(folder, Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// Whether only this user and root can have written the file.
pub(crate) fn is_own(file: &std::fs::Metadata) -> bool {
    let is_ours = file.uid() == ROOT || file.uid() == rustix::process::geteuid().as_raw();
    is_ours && file.mode() & OTHERS_WRITE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_where_the_variables_say_or_below_the_home() {
        let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let both = |env: &BTreeMap<String, String>| (configuration(env), state(env));
        let path = |text: &str| Some(Utf8PathBuf::from(text));
        let home = env(&[("HOME", "/home/ada")]);
        assert_eq!(
            both(&home),
            (path("/home/ada/.config/backstay"), path("/home/ada/.local/state/backstay"))
        );
        let named = env(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(both(&named), (path("/c/backstay"), path("/s/backstay")));
        let relative = env(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "c"), ("XDG_STATE_HOME", "")]);
        assert_eq!(both(&relative), both(&home), "a relative path would be another one in each folder");
        assert_eq!(both(&env(&[])), (None, None));
    }

    #[test]
    fn a_private_folder_is_made_so_and_one_that_was_open_is_closed() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap().join("a/b");
        for _ in 0..2 {
            make_private(&folder).unwrap();
            assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
            std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        }
        let link = Utf8Path::from_path(keep.path()).unwrap().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(make_private(&link).is_err(), "a link may lead anywhere");
    }
}
