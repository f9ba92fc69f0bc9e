//! The steps that a decision has to look at: those whose turn may have come since the last look.

use std::collections::BTreeSet;
use std::ops::Range;

/// The positions in the plan of the steps to look at. A machine that was just folded looks at all once; from then on each
/// fact adds the steps that it concerns, so that what a step costs does not grow with the plan.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    /// Everything is to be looked at: the positions are not listed.
    is_all: bool,
    positions: BTreeSet<usize>,
    /// The steps of `finally` were added, since everything was to be looked at.
    has_finally: bool,
    /// How many steps were looked at so far: what deciding costs.
    looks: u64,
}

impl Default for Agenda {
    fn default() -> Agenda {
        Agenda { is_all: true, positions: BTreeSet::new(), has_finally: false, looks: 0 }
    }
}

impl Agenda {
    pub(super) fn add(&mut self, position: usize) {
        if !self.is_all {
            self.positions.insert(position);
        }
    }

    pub(super) fn add_all(&mut self) {
        (self.is_all, self.has_finally) = (true, false);
        self.positions.clear();
    }

    /// Adds the steps of `finally`, whose turn comes when the main part is through. Returns whether that was news.
    pub(super) fn add_finally(&mut self, positions: Range<usize>) -> bool {
        if positions.is_empty() || std::mem::replace(&mut self.has_finally, true) {
            return false;
        }
        positions.for_each(|position| self.add(position));
        true
    }

    pub(super) fn has_finally(&self) -> bool {
        self.has_finally
    }

    /// How many steps were looked at so far.
    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_all && self.positions.is_empty()
    }

    /// Takes the first position from `from` on, of a plan with `steps` steps.
    pub(super) fn take_from(&mut self, from: usize, steps: usize) -> Option<usize> {
        if self.is_all {
            self.is_all = false;
            self.positions = (0..steps).collect();
        }
        let next = self.positions.range(from..).next().copied()?;
        self.positions.remove(&next);
        self.looks += 1;
        Some(next)
    }
}
