//! The runtime's side: starts keepers, hears them, finds them again.

mod handle;
mod recover;
pub(crate) mod sockets;
mod start;

use std::process::Child;
use std::time::Duration;

use crate::ignore::ignore_error;
use crate::tree;

pub use handle::{KeeperControl, KeeperEvent, KeeperEvents, KeeperHandle};
pub use recover::{Recovered, recover};
pub use sockets::socket_folders;
pub use start::Keepers;

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
        ignore_error(child.wait(), "what it returned does not matter");
    });
    ignore_error(collected, "without a thread it stays in the list until this process ends");
}

/// The stack of a thread that only waits.
const COLLECTOR_BYTES: usize = 64 * 1024;
