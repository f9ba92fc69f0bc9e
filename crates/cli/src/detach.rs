//! `backstay up` in the background: the owner of detached runs.

use std::fs::{File, TryLockError};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_files::Dir;
use backstay_model::{Position, RunId};
use backstay_runtime::{DriveEnd, Store};
use camino::Utf8Path;

use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// Held by the `up` that works on a store.
const LOCK: &str = "up.lock";
/// What the `up` in the background says.
const LOG: &str = "up.log";
/// The bound on waiting for the process in the background: far longer than starting one takes.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);

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
    let opened = Dir::open_found(store.as_std_path()).and_then(|store| store.open_or_create(LOCK));
    opened.map_err(|source| CliError::WriteFile { path, source })
}

/// Lets `run` go on in the background, in a process of its own: it has the environment of whoever says so. What is due must
/// be durable before. A configuration that refuses runs is told here, where a person reads it.
pub(crate) fn go_on(context: &Context, store: &Store, run: RunId) -> Result<(), CliError> {
    context.trusted(store)?;
    let path = store.folder().join(LOG);
    let log = Dir::open_found(store.folder().as_std_path()).and_then(|store| store.open_to_append(LOG));
    let log = log.map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
    let errors = log.try_clone().map_err(|source| CliError::WriteFile { path, source })?;
    let program = std::env::current_exe().map_err(CliError::Program)?;
    let mut command = Command::new(program);
    if !store.is_registered() {
        command.env(crate::context::ADOPT, "1");
    }
    command
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

/// Lets `run`, of which work is in flight, go on in the background, and waits until a process there owns it, or has brought
/// it to an end already. Gives how the drive that hands it over has ended.
pub(crate) async fn hand_over(context: &Context, store: &Store, run: RunId) -> Result<DriveEnd, CliError> {
    go_on(context, store, run)?;
    let taken = async {
        let mut seen = Position(0);
        loop {
            let view = store.view(run).await?;
            if !view.is_without_owner() {
                return Ok::<RunStatus, CliError>(view.record.status);
            }
            seen = store.log().changed(seen).await;
        }
    };
    match tokio::time::timeout(OWNER_PATIENCE, taken).await {
        Ok(Ok(status)) if status.is_ended() => Ok(DriveEnd::Ended(status)),
        Ok(Ok(_)) => Ok(DriveEnd::Asking),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => {
            output::note(&format!("nobody owns {run} yet; `{}` says more", store.folder().join(LOG)));
            Ok(DriveEnd::Asking)
        }
    }
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
