//! `backstay up` in the background: the owner of detached runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use backstay_model::RunId;
use backstay_runtime::Store;
use camino::Utf8Path;

use crate::error::CliError;

/// Held by the `up` that works on a store.
const LOCK: &str = "up.lock";
/// What the `up` in the background says.
const LOG: &str = "up.log";

/// The lock of the `up` that works on `store`. Dropping it frees it.
pub(crate) fn lock(store: &Utf8Path) -> Result<Option<File>, CliError> {
    let file = open_lock(store)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(CliError::WriteFile { path: store.join(LOCK), source }),
    }
}

/// The same, waiting for another `up` to end.
pub(crate) fn lock_patiently(store: &Utf8Path) -> Result<File, CliError> {
    let file = open_lock(store)?;
    file.lock().map_err(|source| CliError::WriteFile { path: store.join(LOCK), source })?;
    Ok(file)
}

fn open_lock(store: &Utf8Path) -> Result<File, CliError> {
    let path = store.join(LOCK);
    let opened = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
    opened.map_err(|source| CliError::WriteFile { path, source })
}

/// Lets `run` go on in the background, in a process of its own: it has the environment of whoever says so. What is due must
/// be durable before.
pub(crate) fn go_on(store: &Store, run: RunId) -> Result<(), CliError> {
    let path = store.folder().join(LOG);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
    let errors = log.try_clone().map_err(|source| CliError::WriteFile { path, source })?;
    let program = std::env::current_exe().map_err(CliError::Program)?;
    Command::new(program)
        .args(["--store", store.folder().as_str(), "up", "--run", &run.to_string()])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // From its first moment neither Ctrl-C nor the end of the terminal's session is meant for it.
        .process_group(0)
        .spawn()
        .map(|_child| ())
        .map_err(|source| CliError::Keep { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_up_holds_the_lock_of_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Utf8Path::from_path(folder.path()).unwrap();
        let first = lock(store).unwrap();
        assert!(first.is_some());
        assert!(lock(store).unwrap().is_none());
        drop(first);
        assert!(lock(store).unwrap().is_some());
    }
}
