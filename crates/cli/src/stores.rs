//! The stores that this user has worked in, so that all of them can be looked at.
//!
//! A list of paths in the user's state folder, a line each. It is a convenience: what cannot be written there is not there,
//! and a store that is gone is passed by.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};

/// Where the list is: `$XDG_STATE_HOME/backstay/stores`, else under `~/.local/state`.
fn list(env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    let named = |name: &str| env.get(name).filter(|value| value.starts_with('/')).map(Utf8PathBuf::from);
    let state = named("XDG_STATE_HOME").or_else(|| named("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("backstay/stores"))
}

/// Notes that a store is used.
pub(crate) fn note(env: &BTreeMap<String, String>, store: &Utf8Path) {
    let Some(list) = list(env) else { return };
    if let Err(error) = add(&list, store) {
        tracing::debug!(%list, %error, "the store is not noted");
    }
}

fn add(list: &Utf8Path, store: &Utf8Path) -> io::Result<()> {
    if let Some(folder) = list.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(list)?;
    // Two that note the same store at once would note it twice.
    file.lock()?;
    let known = fs::read_to_string(list)?;
    if store.as_str().contains('\n') || known.lines().any(|line| line == store) {
        return Ok(());
    }
    writeln!(file, "{store}")
}

/// The noted stores that are there, in order of their paths.
pub(crate) fn known(env: &BTreeMap<String, String>) -> io::Result<Vec<Utf8PathBuf>> {
    let Some(list) = list(env) else { return Ok(Vec::new()) };
    let text = match fs::read_to_string(list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let mut stores: Vec<Utf8PathBuf> =
        text.lines().map(Utf8PathBuf::from).filter(|store| store.join("log.db").is_file()).collect();
    stores.sort();
    stores.dedup();
    Ok(stores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_noted_once_and_listed_while_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let env = BTreeMap::from([("XDG_STATE_HOME".to_owned(), folder.join("state").into_string())]);
        assert_eq!(known(&env).unwrap(), Vec::<Utf8PathBuf>::new());
        for name in ["b", "a", "b", "gone"] {
            let store = folder.join(name);
            fs::create_dir_all(&store).unwrap();
            fs::write(store.join("log.db"), "").unwrap();
            note(&env, &store);
        }
        fs::remove_dir_all(folder.join("gone")).unwrap();
        assert_eq!(known(&env).unwrap(), [folder.join("a"), folder.join("b")]);
        note(&BTreeMap::new(), folder);
        assert_eq!(known(&BTreeMap::new()).unwrap(), Vec::<Utf8PathBuf>::new());
    }
}
