//! Which processes belong together, told from a picture of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use rustix::process::Signal;

use crate::clock::awake;
use crate::ignore::ignore_error;

use super::{Process, REAPER_SEES_ALL, signal, system, wait_until_gone};

/// How long processes that were sent KILL are waited for in one round.
const KILL_ROUND: Duration = Duration::from_secs(1);
/// Rounds without anything new after which what still lives counts as impossible to end.
const KILL_ROUNDS_MAX: u32 = 5;
/// Time after which it does so in any case: something may fork faster than it is killed.
const KILL_MAX: Duration = Duration::from_secs(30);

/// What the processes of one keeper have in common.
#[derive(Clone, Debug)]
pub(crate) struct ProcessTree {
    /// Their keeper, and their session unless they left it.
    pub(crate) keeper_pid: u32,
    /// The agent, and its process group; absent if it is not known.
    pub(crate) agent_pid: Option<u32>,
    /// When the keeper started; nothing older belongs to it.
    pub(crate) keeper_started: u64,
    /// What is in the environment of each that did not clear it: `NAME=VALUE`.
    pub(crate) mark: String,
}

impl ProcessTree {
    /// The living ones, told by descent where the kernel keeps it (a child subreaper that lives), else by all signs.
    pub(crate) fn living(&self) -> io::Result<Vec<Process>> {
        if REAPER_SEES_ALL {
            Ok(living_among(&system::snapshot(None)?, [self.keeper_pid].into(), self.keeper_pid))
        } else {
            self.living_by_signs()
        }
    }

    /// The living ones by every sign: mark, group, session, and descent from any of these.
    pub(crate) fn living_by_signs(&self) -> io::Result<Vec<Process>> {
        Ok(self.by_signs(&system::snapshot(Some(&self.mark))?))
    }

    /// CPU time of the whole tree so far, in milliseconds; `None` where the platform cannot tell. This is for showing, so it
    /// looks at the tree alone and may miss who comes or goes meanwhile.
    pub(crate) fn cpu_ms(&self) -> io::Result<Option<u64>> {
        system::cpu_ms_below(self.keeper_pid)
    }

    fn by_signs(&self, all: &[Process]) -> Vec<Process> {
        let own = std::process::id();
        // A later process may have got the keeper's number; then neither it nor its session is ours.
        let reused = all.iter().any(|p| p.pid == self.keeper_pid && p.started != self.keeper_started);
        // A number is not given out again while a session of it has members; so if one of them carries the mark, all of
        // them are ours. Without one it may be the session of a later process that got the number.
        let is_ours = |process: &Process| process.marked && process.session == self.keeper_pid;
        let trusts_session = !reused && all.iter().any(is_ours);
        let young = |process: &&Process| process.started >= self.keeper_started || !REAPER_SEES_ALL;
        let mut roots: BTreeSet<u32> = all
            .iter()
            .filter(young)
            .filter(|process| {
                process.marked
                    || (trusts_session && process.session != 0 && process.session == self.keeper_pid)
                    // Where sessions are known the agent's group is in the keeper's: another group of that number is a
                    // stranger's. A session 0 there is one of another namespace.
                    || (!REAPER_SEES_ALL
                        && !reused
                        && self.agent_pid.is_some_and(|agent| process.group == agent))
            })
            .map(|process| process.pid)
            .collect();
        if !reused {
            roots.insert(self.keeper_pid);
        }
        for ancestor in line_of(all, own) {
            roots.remove(&ancestor);
        }
        living_among(all, roots, self.keeper_pid).into_iter().filter(|process| process.pid != own).collect()
    }
}

/// When the process `pid` started, in the platform's own unit.
pub(crate) fn started_of(pid: u32) -> io::Result<u64> {
    system::started_of(pid)
}

/// Kills all living tree by every sign until a look finds none, and says how many there were and how many are left.
pub(crate) fn end_all(tree: &ProcessTree) -> io::Result<Ended> {
    let mut seen = BTreeSet::new();
    let mut rounds_without_progress = 0;
    let until = awake() + KILL_MAX;
    loop {
        let living = tree.living_by_signs()?;
        if living.is_empty() {
            return Ok(Ended { ended: count(seen.len()), survivors: 0 });
        }
        let known = seen.len();
        seen.extend(living.iter().map(|process| (process.pid, process.started)));
        rounds_without_progress = if seen.len() > known { 0 } else { rounds_without_progress + 1 };
        if rounds_without_progress == KILL_ROUNDS_MAX || awake() >= until {
            return Ok(Ended { ended: count(seen.len() - living.len()), survivors: count(living.len()) });
        }
        for process in &living {
            ignore_error(
                signal(process, Signal::KILL),
                "what may not be killed stays and is counted as a survivor",
            );
        }
        wait_until_gone(&living, KILL_ROUND)?;
    }
}

/// What became of the processes of a dead keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Those that were ended.
    pub(crate) ended: u32,
    /// Those that could not be.
    pub(crate) survivors: u32,
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn living_among(all: &[Process], roots: BTreeSet<u32>, keeper_pid: u32) -> Vec<Process> {
    let family = family_of(all, roots);
    let belongs =
        |process: &&Process| !process.dead && process.pid != keeper_pid && family.contains(&process.pid);
    all.iter().filter(belongs).copied().collect()
}

/// `roots` and everything that descends from them.
fn family_of(all: &[Process], roots: BTreeSet<u32>) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut waiting: Vec<u32> = roots.iter().copied().collect();
    let mut family = roots;
    while let Some(parent) = waiting.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            if family.insert(child) {
                waiting.push(child);
            }
        }
    }
    family
}

/// `pid` and its ancestors.
fn line_of(all: &[Process], pid: u32) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> = all.iter().map(|process| (process.pid, process.parent)).collect();
    let mut line = BTreeSet::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|&pid| pid != 0 && line.insert(pid)) {
        next = parents.get(&pid).copied();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32) -> Process {
        Process {
            pid,
            parent,
            group: pid,
            session: pid,
            started: 1,
            dead: false,
            marked: false,
            cpu_ms: 0,
            children_cpu_ms: 0,
        }
    }

    #[test]
    fn a_family_is_closed_over_children_in_any_order() {
        let all = [process(9, 7), process(7, 5), process(5, 1), process(6, 1)];
        assert_eq!(family_of(&all, [5].into()), [5, 7, 9].into());
        assert_eq!(line_of(&all, 9), [1, 5, 7, 9].into());
    }

    #[test]
    fn what_got_the_numbers_of_agent_or_keeper_later_is_not_ours() {
        let tree =
            ProcessTree { mark: "M=1".to_owned(), keeper_pid: 50, keeper_started: 10, agent_pid: Some(60) };
        let of = |pid, group, session| Process { group, session, started: 20, ..process(pid, 1) };
        let marked = |process| Process { marked: true, ..process };
        let found = |all: &[Process]| -> Vec<u32> { tree.by_signs(all).iter().map(|p| p.pid).collect() };
        let strangers = [of(61, 60, 40), of(62, 60, 0), of(70, 70, 50)];
        assert_eq!(
            found(&strangers),
            [0; 0],
            "another session, another namespace, a session without the mark"
        );
        let ours = [of(70, 70, 50), marked(of(71, 60, 50)), marked(of(80, 80, 80)), of(61, 60, 40)];
        assert_eq!(found(&ours), [70, 71, 80]);
    }

    #[test]
    fn the_dead_and_the_keeper_do_not_count_as_living() {
        let mut all = [process(5, 1), process(7, 5), process(9, 7)];
        all[1].dead = true;
        let living: Vec<u32> = living_among(&all, [5].into(), 5).iter().map(|process| process.pid).collect();
        assert_eq!(living, [9]);
    }
}
