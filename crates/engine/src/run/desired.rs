//! The outside work that a state calls for.

use std::collections::BTreeMap;

use backstay_model::{Attempt, EffectCall, EffectId};

use super::RunMachine;
use super::state::{LeafPhase, Phase, Progress};
use crate::StopReason;

/// What the runtime has to bring about for one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It is to begin: let the machine look with a performer at hand.
    Start(Attempt),
    /// It is in flight and shall be. Where it is not, it has to be recovered.
    Hold(Attempt),
    /// It is in flight and shall not be. Stays until its end is folded.
    Stop(Attempt, StopReason),
}

impl RunMachine {
    /// The outside work that this state calls for, by effect. Costs what is in flight, not what is in the run.
    #[must_use]
    pub fn desired(&self) -> BTreeMap<EffectId, Desired> {
        let Some(definition) = &self.definition else { return BTreeMap::new() };
        let mut desired: BTreeMap<_, _> = self
            .wanted(definition)
            .into_iter()
            .map(|(place, call, attempt)| (self.effect(&place, call), Desired::Start(attempt)))
            .collect();
        for place in &self.active {
            let Some(leaf) = self.leaf(place) else { continue };
            let (call, attempt) = match &leaf.phase {
                LeafPhase::Working(Progress::Begun) => (EffectCall::Main, self.attempt(place)),
                LeafPhase::Probing { attempt, progress: Progress::Begun, .. } => {
                    (EffectCall::Probe, *attempt)
                }
                _ => continue,
            };
            let stop = match self.phase {
                _ if leaf.skip.is_some() => Some(StopReason::Skip),
                Phase::Suspending { .. } => Some(StopReason::Suspend),
                _ if self.is_called_off(&place.step) => Some(StopReason::Cancel),
                _ => None,
            };
            let wish = stop.map_or(Desired::Hold(attempt), |reason| Desired::Stop(attempt, reason));
            desired.insert(self.effect(place, call), wish);
        }
        desired
    }
}
