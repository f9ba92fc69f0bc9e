//! The runtime's side: starts keepers, hears them, finds them again.

mod handle;
mod recover;
mod start;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::process::Child;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::tolerate::tolerate;
use crate::tree;

pub use handle::{KeeperControl, KeeperEvent, KeeperEvents, KeeperHandle};
pub use recover::{Recovered, recover};
pub use start::Keepers;

/// The folder for the sockets of this user's keepers: `backstay` in `runtime_folder` (`XDG_RUNTIME_DIR`) if there is
/// one, else `/tmp/backstay-UID`. Only a short path fits a socket's address.
#[must_use]
pub fn socket_folder(runtime_folder: Option<&Utf8Path>) -> Utf8PathBuf {
    match runtime_folder
        .filter(|folder| folder.is_absolute() && folder.as_str().len() <= RUNTIME_FOLDER_BYTES_MAX)
    {
        Some(folder) => folder.join("backstay"),
        None => Utf8PathBuf::from(format!("/tmp/backstay-{}", rustix::process::getuid().as_raw())),
    }
}

/// A longer runtime folder leaves no room for `/backstay/` and the socket's name in the 104 bytes of macOS.
const RUNTIME_FOLDER_BYTES_MAX: usize = 60;
/// The folder of the sockets is its user's alone.
const PRIVATE: u32 = 0o700;

/// A keeper that closed its channel is about to be dead; one that hangs is not waited for.
fn wait_for_death(child: &mut Child) -> bool {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return true;
    }
    let started = tree::started_of(child.id());
    let process = match started {
        Ok(started) => tree::Process::only(child.id(), started),
        Err(_already_gone) => return child.try_wait().is_ok_and(|status| status.is_some()),
    };
    match tree::wait_until_gone(&[process], DEATH_PATIENCE) {
        Ok(()) => child.try_wait().is_ok_and(|status| status.is_some()),
        Err(_) => false,
    }
}

/// A keeper that closed its channel is dead within this time.
const DEATH_PATIENCE: Duration = Duration::from_secs(5);

/// Takes a keeper from the system's list of processes once it is dead, without waiting for that here.
fn collect(mut child: Child) {
    if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
        return;
    }
    let thread = std::thread::Builder::new().name("keeper-end".to_owned()).stack_size(COLLECTOR_BYTES);
    let collected = thread.spawn(move || {
        tolerate(child.wait(), "what it returned does not matter");
    });
    tolerate(collected, "without a thread it stays in the list until this process ends");
}

/// The stack of a thread that only waits.
const COLLECTOR_BYTES: usize = 64 * 1024;

/// Makes `folder` if it is not there, and checks that nobody else can reach into it.
pub(crate) fn ensure_private_folder(folder: &Utf8Path) -> io::Result<()> {
    match DirBuilder::new().mode(PRIVATE).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let metadata = std::fs::symlink_metadata(folder)?;
    let own = metadata.uid() == rustix::process::getuid().as_raw();
    if metadata.is_dir() && own && metadata.mode() & 0o077 == 0 {
        Ok(())
    } else {
        let message = format!("{folder} is not a folder that only its user can enter");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}
