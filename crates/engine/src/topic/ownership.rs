//! Who may append the topic's facts.

use backstay_model::event::FactEvent;
use backstay_model::{Epoch, Seq};

/// What the topic's events say of its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    epoch: Epoch,
    handover: Seq,
}

impl Default for Ownership {
    fn default() -> Ownership {
        Ownership { epoch: Epoch(0), handover: Seq(0) }
    }
}

impl Ownership {
    /// The greatest epoch so far; 0 before the first owner.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the last event by which an owner came or went: a claim, a release, or the end of the run.
    pub(crate) fn handover(&self) -> Seq {
        self.handover
    }

    pub(crate) fn fold(&mut self, seq: Seq, fact: &FactEvent) {
        match fact {
            FactEvent::OwnerChanged(changed) => {
                self.epoch = self.epoch.max(changed.epoch);
                self.handover = seq;
            }
            FactEvent::OwnerReleased(_)
            | FactEvent::RunCompleted(_)
            | FactEvent::RunFailed(_)
            | FactEvent::RunCancelled(_) => self.handover = seq,
            _ => {}
        }
    }
}
