//! Processes on Linux: `/proc`, process descriptors, a child subreaper.

use std::collections::BTreeSet;
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper};

use super::Process;

/// Whether "no children are left" proves that no descendant is: orphans come to their subreaper.
pub(crate) const REAPER_SEES_ALL: bool = true;

/// Makes this process the parent of every descendant whose own parent dies.
pub(crate) fn become_reaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// All processes, dead ones that were not collected included; those that were started with `mark` (`NAME=VALUE`) in
/// their environment are told.
///
/// The list of `/proc` is no picture of one moment: a process that is listed, forks and dies before it is looked at
/// would take its child out of sight. So every number that was given out since the list was made is looked at too, in
/// their order (a child's is higher than its parent's), until no new one was given out.
pub(super) fn snapshot(mark: Option<&str>) -> io::Result<Vec<Process>> {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    'whole: loop {
        let mut newest = newest_pid()?;
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            all.extend(look_at(pid, mark, ticks)?);
        }
        loop {
            let now = newest_pid()?;
            if now == newest {
                return Ok(all);
            }
            if now < newest {
                continue 'whole; // The numbers began anew.
            }
            for pid in newest + 1..=now {
                if is_process(pid)? && all.iter().all(|process: &Process| process.pid != pid) {
                    all.extend(look_at(pid, mark, ticks)?);
                }
            }
            newest = now;
        }
    }
}

/// The number that was given out last, to a process or a thread.
fn newest_pid() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let last = text.split_ascii_whitespace().next_back().and_then(|number| number.parse().ok());
    last.ok_or_else(|| io::Error::other("/proc/loadavg cannot be understood"))
}

/// Another user's process, which `/proc` may hide (mounted with `hidepid`), cannot be ours: what we start runs as ourselves.
fn is_hidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether the number is a process's and not one of its threads'.
fn is_process(pid: u32) -> io::Result<bool> {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => {
            let leader = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
            Ok(leader.is_some_and(|leader| leader.trim() == pid.to_string()))
        }
        Err(error) if is_gone(&error) || is_hidden(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn look_at(pid: u32, mark: Option<&str>, ticks: u64) -> io::Result<Option<Process>> {
    let process = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(pid, &stat, ticks),
        Err(error) if is_gone(&error) || is_hidden(&error) => None,
        Err(error) => return Err(error),
    };
    match (process, mark) {
        (Some(process), Some(mark)) if !process.dead => {
            Ok(Some(Process { marked: is_marked(pid, mark)?, ..process }))
        }
        (process, _) => Ok(process),
    }
}

/// When the process `pid` started, in clock ticks since the boot.
pub(super) fn started_of(pid: u32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(pid, &stat, 1)
        .map(|process| process.started)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be understood")))
}

/// Whether `pid` was started with `mark` (`NAME=VALUE`) in its environment.
fn is_marked(pid: u32, mark: &str) -> io::Result<bool> {
    match environment_of(pid) {
        Ok(environment) => {
            Ok(environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()))
        }
        Err(error) if is_gone(&error) || is_hidden(&error) => Ok(false),
        // One that hangs in its start for so long is told by the other signs, if it is ours.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}

/// The environment that `pid` was started with. In the middle of an `exec` the kernel shows none, though there is one:
/// a process that looked empty then would escape, so it is looked at until its new memory is set up.
fn environment_of(pid: u32) -> io::Result<Vec<u8>> {
    let mut seen = None;
    for _look in 0..EXEC_LOOKS_MAX {
        let environment = fs::read(format!("/proc/{pid}/environ"))?;
        if !environment.is_empty() {
            return Ok(environment);
        }
        let memory = memory_of(&fs::read(format!("/proc/{pid}/stat"))?);
        match memory {
            Memory::None => return Ok(environment),
            // Twice the same, set up both times: it really was started without any.
            Memory::EnvironmentEndsAt(_) if seen == Some(memory) => return Ok(environment),
            Memory::EnvironmentEndsAt(_) => seen = Some(memory),
            Memory::BeingSetUp => rest(EXEC_LOOK)?,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {pid} is stuck in the middle of its start")))
}

/// What a process has for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// None of its own: dead, or a thread of the kernel.
    None,
    /// An `exec` is filling it.
    BeingSetUp,
    /// It is set up; the address tells one program from the next.
    EnvironmentEndsAt(u64),
}

/// The flag of a thread of the kernel in `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The time between two looks at a process in the middle of an `exec`: nothing tells of its end.
const EXEC_LOOK: Duration = Duration::from_millis(1);
/// Looks after which an `exec` counts as stuck, about five seconds.
const EXEC_LOOKS_MAX: u32 = 5_000;

fn memory_of(stat: &[u8]) -> Memory {
    let Some(fields) = fields_of(stat) else { return Memory::None };
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    if matches!(fields.first(), None | Some(&("Z" | "X" | "x"))) || number(6) & KERNEL_THREAD != 0 {
        return Memory::None;
    }
    match number(48) {
        0 => Memory::BeingSetUp,
        end => Memory::EnvironmentEndsAt(end),
    }
}

fn rest(time: Duration) -> io::Result<()> {
    match poll(&mut [], Some(&crate::process::timespec(time))) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// CPU time of the living descendants of `pid` and of its collected children, in milliseconds; `None` if this kernel does
/// not list children.
pub(super) fn cpu_ms_below(pid: u32) -> io::Result<Option<u64>> {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let mut total_ms = look_at(pid, None, ticks)?.map_or(0, |own| own.children_cpu_ms);
    let mut waiting = vec![pid];
    let mut seen = BTreeSet::from([pid]);
    while let Some(parent) = waiting.pop() {
        let Some(children) = children_of(parent)? else { return Ok(None) };
        for child in children.into_iter().filter(|child| seen.insert(*child)) {
            total_ms += look_at(child, None, ticks)?.map_or(0, |process| process.cpu_ms);
            waiting.push(child);
        }
    }
    Ok(Some(total_ms))
}

/// The children of all threads of `pid`; none if it is gone, `None` if this kernel does not list them.
fn children_of(pid: u32) -> io::Result<Option<Vec<u32>>> {
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(error) if is_gone(&error) || is_hidden(&error) => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut children = Vec::new();
    for thread in threads {
        let thread = match thread {
            Ok(thread) => thread.path(),
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        };
        match fs::read_to_string(thread.join("children")) {
            Ok(list) => {
                children.extend(list.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
            Err(error) if is_gone(&error) && thread.exists() => return Ok(None),
            Err(error) if is_gone(&error) || is_hidden(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(children))
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
        let left = crate::process::timespec(left);
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

/// The fields of `/proc/PID/stat` after the name. The name in parentheses may hold anything, so they are counted from
/// its end: the third field of the manual is the first here.
fn fields_of(stat: &[u8]) -> Option<Vec<&str>> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    Some(std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace().collect())
}

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
        // A leader that ended is a zombie while its threads go on.
        dead: match *fields.first()? {
            "X" | "x" => true,
            "Z" => number(17)? <= 1,
            _ => false,
        },
        marked: false,
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
    fn s8_a_leader_that_ended_lives_as_long_as_a_thread_of_it_does() {
        let with = |state: &str, threads: u32| {
            let stat = format!("42 (a) {state} 7 42 40 0 -1 0 1 2 3 4 10 5 20 30 20 0 {threads} 0 777 1 2");
            parse_stat(42, stat.as_bytes(), 100).unwrap().dead
        };
        assert_eq!((with("Z", 1), with("Z", 2), with("X", 2), with("S", 2)), (true, false, true, false));
    }

    #[test]
    fn a_process_in_the_middle_of_its_start_is_told_from_one_without_environment() {
        let stat = |state: &str, flags: &str, end: &str| {
            format!("1 (x) {state} 1 1 1 0 -1 {flags}{} {end} 0", " 0".repeat(41)).into_bytes()
        };
        assert_eq!(memory_of(&stat("S", "4194560", "0")), Memory::BeingSetUp);
        assert_eq!(memory_of(&stat("S", "4194560", "77")), Memory::EnvironmentEndsAt(77));
        assert_eq!(memory_of(&stat("Z", "4194560", "0")), Memory::None);
        assert_eq!(memory_of(&stat("I", "69238880", "0")), Memory::None);
    }

    #[test]
    fn the_snapshot_has_this_process() {
        let own = std::process::id();
        let found =
            snapshot(Some("NO=mark")).unwrap().into_iter().find(|process| process.pid == own).unwrap();
        assert_eq!(found.started, started_of(own).unwrap());
    }
}
