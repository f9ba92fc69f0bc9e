//! Processes where there is no `/proc`: what `ps` tells. Tested on Linux too.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;
use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::Process;

/// Orphans go to `init` here, so "no children" proves nothing: the tree has to be looked for.
#[cfg_attr(test, expect(dead_code, reason = "only the functions that look at processes are tested on Linux"))]
pub(crate) const REAPER_SEES_ALL: bool = false;
/// The time between two looks at processes that are being ended: without descriptors nothing tells of their end.
const LOOK: Duration = Duration::from_millis(200);

/// There are no subreapers here.
#[cfg_attr(test, expect(dead_code, reason = "only the functions that look at processes are tested on Linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(crate) fn become_reaper() -> io::Result<()> {
    Ok(())
}

/// All processes; those that were started with `mark` (`NAME=VALUE`) in their environment are told.
pub(super) fn snapshot(mark: Option<&str>) -> io::Result<Vec<Process>> {
    let listed = ps(&["-axo", "pid=,ppid=,pgid=,stat=,lstart="])?;
    let mut all: Vec<Process> = listed.lines().filter_map(parse_line).collect();
    if let Some(mark) = mark {
        let marked = marked(mark)?;
        for process in &mut all {
            process.marked = marked.contains(&process.pid);
        }
    }
    Ok(all)
}

/// When the process `pid` started, as a number that another process of the same number will not have.
pub(super) fn started_of(pid: u32) -> io::Result<u64> {
    let listed = ps(&["-o", "pid=,ppid=,pgid=,stat=,lstart=", "-p", &pid.to_string()])?;
    listed
        .lines()
        .find_map(parse_line)
        .map(|process| process.started)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no process {pid}")))
}

/// Nothing here tells it cheaply.
#[cfg_attr(test, expect(dead_code, reason = "only the functions that look at processes are tested on Linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(super) fn cpu_ms_below(_pid: u32) -> io::Result<Option<u64>> {
    Ok(None)
}

fn marked(mark: &str) -> io::Result<BTreeSet<u32>> {
    let listed = ps(&["axeww", "-o", "pid=,command="])?;
    let carries = |line: &&str| line.split_ascii_whitespace().any(|word| word == mark);
    let marked = listed.lines().filter(carries);
    Ok(marked.filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok()).collect())
}

/// Signals this process, if its number still is its own. Gone already is as good.
pub(crate) fn signal(process: &Process, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match started_of(process.pid) {
        Ok(started) if started == process.started => {}
        Ok(_another) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until all of `processes` are dead, but not longer than `limit`.
pub(crate) fn wait_until_gone(processes: &[Process], limit: Duration) -> io::Result<()> {
    let until = crate::clock::awake() + limit;
    let exists = |process: &Process| {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid).is_ok())
    };
    while processes.iter().any(exists) && crate::clock::awake() < until {
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        match poll(&mut [], Some(&look)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn ps(arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("ps").args(arguments).env("LC_ALL", "C").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse_line(line: &str) -> Option<Process> {
    let mut words = line.split_ascii_whitespace();
    let mut number = || words.next()?.parse::<u32>().ok();
    let (pid, parent, group) = (number()?, number()?, number()?);
    let state = words.next()?;
    let started: Vec<&str> = words.collect();
    let mut digits = [0_u8; 8];
    digits.copy_from_slice(&blake3::hash(started.join(" ").as_bytes()).as_bytes()[..8]);
    Some(Process {
        pid,
        parent,
        group,
        session: 0,
        started: u64::from_be_bytes(digits),
        dead: state.starts_with('Z'),
        marked: false,
        cpu_ms: 0,
        children_cpu_ms: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_marked_child_is_found_and_ended() {
        let mark = format!("BACKSTAY_KEEPER=portable-{}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child =
            Command::new("sleep").arg("600").env(name, value).stdin(Stdio::null()).spawn().unwrap();
        let all = snapshot(Some(&mark)).unwrap();
        let own = all.iter().find(|process| process.pid == child.id()).copied().unwrap();
        assert_eq!(own.parent, std::process::id());
        assert!(own.marked);
        signal(&own, Signal::KILL).unwrap();
        assert!(!child.wait().unwrap().success());
        wait_until_gone(&[own], Duration::from_secs(10)).unwrap();
        assert!(started_of(own.pid).is_err());
    }
}
