//! The processes that belong to one keeper: who they are, and their end.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

mod process_tree;

#[cfg(target_os = "linux")]
pub(crate) use linux::{REAPER_SEES_ALL, become_reaper, signal, wait_until_gone};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{REAPER_SEES_ALL, become_reaper, signal, wait_until_gone};

pub(crate) use process_tree::{ProcessTree, end_all, started_of};

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

/// One process as the system tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// The number of its parent.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Its session; 0 where the system does not tell.
    pub(crate) session: u32,
    /// When it started, in the platform's own unit.
    pub(crate) started: u64,
    /// Whether it is dead and only waits to be collected.
    pub(crate) dead: bool,
    /// Whether it was started with the mark that was asked for.
    pub(crate) marked: bool,
    /// Its CPU time and that of its collected children, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// The CPU time of its collected children alone, in milliseconds.
    pub(crate) children_cpu_ms: u64,
}

impl Process {
    /// The process `pid` that started at `started`, of which nothing else is known.
    pub(crate) fn only(pid: u32, started: u64) -> Process {
        Process {
            pid,
            parent: 0,
            group: 0,
            session: 0,
            started,
            dead: false,
            marked: false,
            cpu_ms: 0,
            children_cpu_ms: 0,
        }
    }
}
