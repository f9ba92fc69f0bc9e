//! Processes on Linux: `/proc`, process descriptors, a child subreaper.

use std::collections::BTreeSet;
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper};

use super::Process;

/// Whether "no children are left" proves that no descendant is: orphans come to their subreaper.
pub(crate) const REAPER_SEES_ALL: bool = true;

/// Makes this process the parent of every descendant whose own parent dies.
pub(crate) fn become_reaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// All processes, dead ones that were not collected included.
pub(super) fn snapshot() -> io::Result<Vec<Process>> {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => all.extend(parse_stat(pid, &stat, ticks)),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// When the process `pid` started, in clock ticks since the boot.
pub(super) fn started_of(pid: u32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(pid, &stat, 1)
        .map(|process| process.started)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be understood")))
}

/// Those of `all` that were started with `mark` (`NAME=VALUE`) in their environment.
pub(super) fn marked(all: &[Process], mark: &str) -> io::Result<BTreeSet<u32>> {
    let mut marked = BTreeSet::new();
    for process in all {
        match fs::read(format!("/proc/{}/environ", process.pid)) {
            Ok(environ) => {
                if environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) {
                    marked.insert(process.pid);
                }
            }
            // Another user's process cannot be ours: what we start runs as ourselves.
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(marked)
}

/// Signals exactly this process, never a later one of the same number. Gone already is as good.
pub(crate) fn signal(process: &Process, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match started_of(process.pid) {
        Ok(started) if started == process.started => {}
        Ok(_another) => return Ok(()),
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    match pidfd_send_signal(&descriptor, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until all of `processes` are dead, but not longer than `limit`.
pub(crate) fn wait_until_gone(processes: &[Process], limit: Duration) -> io::Result<()> {
    let until = crate::clock::awake() + limit;
    for process in processes {
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { continue };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::SRCH) => continue,
            Err(error) => return Err(error.into()),
        };
        let left = until.saturating_duration_since(crate::clock::awake());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Reads `/proc/PID/stat`. The name in parentheses may hold anything, so the fields are counted from its end.
fn parse_stat(pid: u32, stat: &[u8], ticks: u64) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields: Vec<&str> =
        std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let small = |index: usize| fields.get(index)?.parse::<u32>().ok();
    let own_ticks = number(11)? + number(12)?;
    let children_ticks = number(13)? + number(14)?;
    Some(Process {
        pid,
        parent: small(1)?,
        group: small(2)?,
        session: small(3)?,
        started: number(19)?,
        dead: matches!(*fields.first()?, "Z" | "X" | "x"),
        cpu_ms: (own_ticks + children_ticks) * 1_000 / ticks,
        children_cpu_ms: children_ticks * 1_000 / ticks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = b"42 (a) b (c) S 7 42 40 0 -1 4194560 1 2 3 4 10 5 20 30 20 0 1 0 777 1 2";
        let process = parse_stat(42, stat, 100).unwrap();
        assert_eq!((process.parent, process.group, process.session), (7, 42, 40));
        assert_eq!((process.started, process.dead), (777, false));
        assert_eq!((process.cpu_ms, process.children_cpu_ms), (650, 500));
    }

    #[test]
    fn the_snapshot_has_this_process() {
        let own = std::process::id();
        let found = snapshot().unwrap().into_iter().find(|process| process.pid == own).unwrap();
        assert_eq!(found.started, started_of(own).unwrap());
    }
}
