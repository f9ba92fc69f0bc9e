//! A short-lived program of our own that may hang: it ends within a bound, or its whole tree is ended.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::BoundedCommandError;
use crate::ignore::ignore_error;
use crate::tree::{Process, ProcessTree, end_all, signal, started_of};

/// The variable that marks every process of one helper.
const HELPER_VARIABLE: &str = "BACKSTAY_HELPER";
/// After its tree was killed, the end of a helper is waited for at most so long: one that is stuck in the kernel is left.
const DEATH_PATIENCE: Duration = Duration::from_secs(2);

/// Runs `command` to its end with `input` on its stdin and gives what it said. It gets a process group of its own, so that
/// nothing it starts can read from a terminal.
///
/// # Errors
/// [`BoundedCommandError::TimedOut`] if it did not end within `bound`, or something that it started still holds its output: all
/// of it was killed then.
pub fn run_within(
    mut command: Command,
    input: Vec<u8>,
    bound: Duration,
) -> Result<Output, BoundedCommandError> {
    let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
    command.env(HELPER_VARIABLE, &mark).process_group(0);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // The thread first: without it nobody would collect the program.
    let (give, take) = channel();
    let (said, heard) = channel();
    std::thread::Builder::new()
        .name("helper".to_owned())
        .spawn(move || attend(&take, input, &said))
        .map_err(BoundedCommandError::Start)?;
    let child = command.spawn().map_err(BoundedCommandError::Start)?;
    let pid = child.id();
    let started = started_of(pid);
    if give.send(child).is_err() {
        return Err(BoundedCommandError::Read(io::Error::other("the thread that attends it died")));
    }
    match heard.recv_timeout(bound) {
        Ok(output) => output.map_err(BoundedCommandError::Read),
        Err(RecvTimeoutError::Timeout) => {
            if let Ok(started) = started {
                end_tree(pid, started, &mark);
            }
            // Collected, or left to its thread.
            ignore_error(heard.recv_timeout(DEATH_PATIENCE), "what it says now is not wanted any more");
            Err(BoundedCommandError::TimedOut { bound })
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(BoundedCommandError::Read(io::Error::other("the thread that attends it died")))
        }
    }
}

/// Feeds the program, reads what it says and collects it.
fn attend(take: &Receiver<Child>, input: Vec<u8>, said: &Sender<io::Result<Output>>) {
    // It could not be started.
    let Ok(mut child) = take.recv() else { return };
    let stdin = child.stdin.take();
    // On two threads: it may wait for somebody to read while there is more to stdin.
    let output = std::thread::scope(|scope| {
        if let Some(mut stdin) = stdin {
            std::thread::Builder::new().name("helper-stdin".to_owned()).spawn_scoped(scope, move || {
                // What it makes of an input that it does not read is in its status.
                ignore_error(stdin.write_all(&input), "a program may close its stdin");
            })?;
        }
        child.wait_with_output()
    });
    ignore_error(said.send(output), "nobody waits for it any more");
}

fn end_tree(pid: u32, started: u64, mark: &str) {
    // The number is its own as long as its start is the same; the group at once, so that no fork slips through.
    if started_of(pid).is_ok_and(|now| now == started)
        && let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
    {
        ignore_error(kill_process_group(group, Signal::KILL), "it is gone, or found by its mark");
    }
    ignore_error(signal(&Process::only(pid, started), Signal::KILL), "it is gone, or stuck");
    let tree = ProcessTree {
        keeper_pid: pid,
        agent_pid: Some(pid),
        keeper_started: started,
        mark: format!("{HELPER_VARIABLE}={mark}"),
    };
    ignore_error(end_all(&tree), "what cannot be listed cannot be ended, and nothing of it is waited for");
}
