//! The keeper process: one thread that waits in `poll`, and one that collects dead children.
//!
//! It holds the folder's lock as long as it lives, starts one agent, keeps what it says, ends it in time, and leaves
//! one exit record. It needs no runtime: whoever is attached only listens, and may tell it to stop.

mod address;
mod capture;
mod clients;
mod ending;
mod finish;
mod heartbeat;
mod reaper;
mod setup;
mod signals;
mod supervise;

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use crate::crash_point::CrashPoints;
use crate::inherited;

/// The whole life of a keeper: the body of the hidden command `backstay keeper --folder FOLDER`.
///
/// It expects its starter's channel as stdin and the folder's lock as stdout, as [`crate::Keepers::start`] gives them;
/// with a plain pipe as stdin and any other stdout it takes the lock itself and has nobody attached at first. It must
/// be the first thing that its process does, on its main thread.
#[must_use]
pub fn keeper_main(folder: &Utf8Path) -> ExitCode {
    if is_kept_to_its_end(folder) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The argument by which a program becomes a keeper: `keeper --folder FOLDER`.
pub const KEEPER_COMMAND: &str = "keeper";

/// Becomes a keeper and ends with it, if this process was started as one (`PROGRAM keeper --folder FOLDER`); else returns.
///
/// A keeper holds no thread and no file but its own, so this must be the first thing that the process does, on its main
/// thread.
pub fn become_keeper_if_asked() {
    if let Some(folder) = asked_folder() {
        std::process::exit(i32::from(!is_kept_to_its_end(&folder)));
    }
}

fn asked_folder() -> Option<Utf8PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let is_keeper = arguments.next()? == KEEPER_COMMAND && arguments.next()? == "--folder";
    let folder = arguments.next().filter(|_| is_keeper)?;
    Utf8PathBuf::try_from(std::path::PathBuf::from(folder)).ok()
}

fn is_kept_to_its_end(folder: &Utf8Path) -> bool {
    let crash = CrashPoints::from_environment();
    crash.pass("keeper.after_start");
    let mut channel = None;
    match inherited::start_clean_alone().and_then(|()| live(folder, &crash, &mut channel)) {
        Ok(()) => true,
        Err(error) => {
            setup::refuse(channel, &error);
            false
        }
    }
}

fn live(
    folder: &Utf8Path,
    crash: &CrashPoints,
    channel: &mut Option<std::os::unix::net::UnixStream>,
) -> std::io::Result<()> {
    let prepared = setup::prepare(folder, crash, channel)?;
    match setup::start(prepared, crash, channel) {
        setup::Started::Running(supervisor) => supervisor.run(crash).finish(crash),
        setup::Started::Failed(ended) => ended.finish(crash),
    }
}
