//! Programs that a test starts and that may never end.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Runs a command in a process group of its own; `None` if it does not end within `bound`: its whole group is killed then.
///
/// # Errors
/// If it cannot be started or read.
pub fn run_within(command: &mut Command, bound: Duration) -> io::Result<Option<Output>> {
    let child = command.process_group(0).spawn()?;
    let group = format!("-{}", child.id());
    let (said, heard) = channel();
    let attend = std::thread::spawn(move || said.send(child.wait_with_output()));
    if let Ok(output) = heard.recv_timeout(bound) {
        return output.map(Some);
    }
    Command::new("kill").args(["-KILL", "--", &group]).output()?;
    // A process that left the group may hold its output; it is not waited for.
    drop(attend);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_killed_with_its_group() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "sleep 600 | sleep 600"]);
        assert!(run_within(&mut endless, Duration::from_millis(100)).unwrap().is_none());
        let output = run_within(&mut Command::new("true"), Duration::from_secs(60)).unwrap().unwrap();
        assert!(output.status.success());
    }
}
