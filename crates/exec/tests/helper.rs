//! Helper programs that end, and such that hang.

mod support;

use std::process::Command;
use std::time::Duration;

use backstay_exec::{BoundedCommandError, run_within};
use support::{Bench, PATIENCE, is_alive, pid_in};

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn what_a_helper_says_is_given_with_its_status() {
    let output = run_within(shell("cat; echo err >&2; exit 3"), b"in".repeat(100_000), PATIENCE).unwrap();
    assert_eq!((output.stdout.len(), output.stderr.as_slice()), (200_000, &b"err\n"[..]));
    assert_eq!(output.status.code(), Some(3));
    let unread = run_within(shell("exec 0<&-; echo out"), b"in".repeat(100_000), PATIENCE).unwrap();
    assert_eq!(unread.stdout, b"out\n");
}

#[test]
fn a_helper_that_hangs_is_ended_with_everything_that_it_started() {
    let bench = Bench::new();
    let files: Vec<_> = ["main", "child", "session"].iter().map(|name| bench.path(name)).collect();
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; setsid sh -c 'echo $$ > {}; exec sleep 600' & echo $$ > {}; wait",
        files[1], files[2], files[0]
    );
    let (script, pids) = (shell(&script), files.clone());
    let alive = std::thread::spawn(move || {
        let pids: Vec<u32> = pids.iter().map(|file| pid_in(file)).collect();
        assert!(pids.iter().all(|&pid| is_alive(pid)));
        pids
    });
    // Long enough for the script to come up, and the price of this test.
    let error = run_within(script, Vec::new(), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, BoundedCommandError::TimedOut { .. }), "{error:?}");
    for pid in alive.join().unwrap() {
        assert!(!is_alive(pid), "{pid} lives");
    }
}

#[test]
fn what_a_helper_leaves_holding_its_output_is_ended_at_the_bound() {
    let bench = Bench::new();
    let pid_file = bench.path("pid");
    let script = shell(&format!("setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' & exit 0"));
    let error = run_within(script, Vec::new(), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, BoundedCommandError::TimedOut { .. }), "{error:?}");
    assert!(!is_alive(pid_in(&pid_file)));
}

#[test]
fn a_helper_that_is_not_there_is_said() {
    let error = run_within(Command::new("/no/such/program"), Vec::new(), PATIENCE).unwrap_err();
    assert!(matches!(error, BoundedCommandError::Start(_)), "{error:?}");
}
