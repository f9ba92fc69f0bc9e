//! The end of a whole tree: TERM, a grace period, KILL, until nothing is left.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::after;
use crate::ignore::ignore_error;
use crate::tree::{Process, ProcessTree, REAPER_SEES_ALL, signal};

/// After KILL, another look is taken at least so often; every death in between brings one at once.
const KILL_LOOK: Duration = Duration::from_secs(1);
/// Where deaths of orphans are not told, the tree is looked at so often while it ends.
const BLIND_LOOK: Duration = Duration::from_millis(200);
/// Looks without a death after which what still lives counts as impossible to end.
const FRUITLESS_LOOKS_MAX: u32 = 10;

/// A tree that is being ended.
pub(super) struct Ending {
    kill_at: Instant,
    next_look: Instant,
    killing: bool,
    fruitless_looks: u32,
}

impl Ending {
    /// Sends TERM to the process group `group`, if it is still to be had, and to every other process of the tree.
    pub(super) fn begin(tree: &ProcessTree, group: Option<u32>, grace: Duration, now: Instant) -> Ending {
        let kill_at = after(now, grace);
        if !grace.is_zero() {
            // A process that is stopped takes its TERM only when it goes on.
            for sent in [Signal::TERM, Signal::CONT] {
                send(tree, group, sent);
            }
        }
        let mut ending = Ending { kill_at, next_look: kill_at, killing: false, fruitless_looks: 0 };
        ending.plan(now);
        ending
    }

    /// When to act next.
    pub(super) fn due(&self) -> Instant {
        self.next_look
    }

    /// The grace period ends no later than `kill_at`.
    pub(super) fn hurry(&mut self, kill_at: Instant) {
        self.kill_at = self.kill_at.min(kill_at);
        self.next_look = self.next_look.min(self.kill_at);
    }

    /// A death during the kill may have shown an orphan that was not seen before: look again at once.
    pub(super) fn somebody_died(&mut self) {
        if self.killing {
            self.fruitless_looks = 0;
            self.next_look = self.kill_at;
        }
    }

    /// Kills what is left once the grace period is over, the process group `group` among it if it is still to be had. The
    /// number of those that cannot be killed, once that is clear.
    pub(super) fn act(&mut self, tree: &ProcessTree, group: Option<u32>, now: Instant) -> Option<u32> {
        if now < self.next_look {
            return None;
        }
        if now >= self.kill_at {
            self.killing = true;
            self.fruitless_looks += 1;
            let living = living_or_unknown(tree);
            if self.fruitless_looks > FRUITLESS_LOOKS_MAX {
                // Who cannot be counted is there: without that the end would have been seen.
                return Some(living.map_or(1, |living| u32::try_from(living.len()).unwrap_or(u32::MAX)));
            }
            send_to_group(group, Signal::KILL);
            for process in living.iter().flatten() {
                ignore_error(signal(process, Signal::KILL), "what may not be killed is counted if it stays");
            }
        }
        self.plan(now);
        None
    }

    fn plan(&mut self, now: Instant) {
        let look = if self.killing { now + KILL_LOOK } else { self.kill_at };
        self.next_look = if REAPER_SEES_ALL { look } else { look.min(now + BLIND_LOOK) };
    }
}

/// Sends `sent` to all, to the group at once so that no fork slips through.
fn send(tree: &ProcessTree, group: Option<u32>, sent: Signal) {
    send_to_group(group, sent);
    let living = living_or_unknown(tree);
    for process in living.iter().flatten().filter(|process| Some(process.group) != group) {
        ignore_error(signal(process, sent), "who stays is killed after the grace");
    }
}

/// Needs neither a list of processes nor a descriptor.
fn send_to_group(group: Option<u32>, sent: Signal) {
    if let Some(pid) = group.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        ignore_error(kill_process_group(pid, sent), "it is gone, or who stays is seen by the next look");
    }
}

/// The living ones; `None` if the system does not tell for now (no descriptors, no memory). The next look may see them.
pub(super) fn living_or_unknown(tree: &ProcessTree) -> Option<Vec<Process>> {
    tree.living().ok()
}
