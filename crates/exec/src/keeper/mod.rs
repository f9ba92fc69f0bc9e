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

use camino::Utf8Path;

use crate::crash_point::CrashPoints;
use crate::inherited;

/// The whole life of a keeper: the body of the hidden command `backstay keeper --folder FOLDER`.
///
/// It expects its starter's channel as stdin and the folder's lock as stdout, as [`crate::Keepers::start`] gives them;
/// with a plain pipe as stdin and any other stdout it takes the lock itself and has nobody attached at first. It must
/// be the first thing that its process does, on its main thread.
#[must_use]
pub fn keeper_main(folder: &Utf8Path) -> ExitCode {
    let crash = CrashPoints::from_environment();
    crash.pass("keeper.after_start");
    let mut channel = None;
    match inherited::start_clean_alone().and_then(|()| live(folder, &crash, &mut channel)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            setup::refuse(channel, &error);
            ExitCode::FAILURE
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
