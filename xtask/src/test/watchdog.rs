//! Ends a suite that hangs, so that it comes to its sum.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// Ends a group of processes unless it is told in time that they are done.
pub(crate) struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

/// Gives `command` a group of its own, which a watchdog can end as a whole.
pub(crate) fn own_group(command: &mut Command) {
    command.process_group(0);
}

impl Watchdog {
    /// Watches the group that `leader` leads, for at most `limit`.
    pub(crate) fn start(leader: u32, limit: Duration) -> Result<Watchdog> {
        let (done, wait) = channel();
        let thread = Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                let late = wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                late && end_group(leader)
            })
            .context("cannot start a thread")?;
        Ok(Watchdog { done, thread })
    }

    /// The processes are done. Returns whether they had been ended.
    pub(crate) fn stop(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap_or(false)
    }
}

fn end_group(leader: u32) -> bool {
    let mut command = Command::new("kill");
    command.args(["-KILL", "--", &format!("-{leader}")]).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{Watchdog, own_group};

    #[test]
    fn a_group_that_hangs_is_ended_with_its_children() {
        let mut command = Command::new("sh");
        own_group(command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(std::process::Stdio::piped()));
        let child = command.spawn().unwrap();
        let watchdog = Watchdog::start(child.id(), Duration::from_millis(100)).unwrap();
        // The pipe closes only when the grandchild is gone as well.
        let output = child.wait_with_output().unwrap();
        assert!(watchdog.stop());
        assert!(!output.status.success());
    }

    #[test]
    fn who_is_done_in_time_is_left_alone() {
        let mut command = Command::new("true");
        own_group(&mut command);
        let mut child = command.spawn().unwrap();
        let watchdog = Watchdog::start(child.id(), Duration::from_secs(600)).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(!watchdog.stop());
    }
}
