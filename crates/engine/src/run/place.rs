//! One instance of a step: the step, and the repetitions that it stands in.

use std::fmt;

use backstay_model::{Frame, Scope, StepId};

use super::RunMachine;
use super::definition::Definition;

/// One instance of a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) step: StepId,
    /// The repetitions around it, outermost first.
    pub(super) frames: Vec<Frame>,
}

impl Place {
    pub(super) fn of(scope: &Scope) -> Option<Place> {
        match scope {
            Scope::Run => None,
            Scope::Step { step, frames } => Some(Place { step: step.clone(), frames: frames.clone() }),
        }
    }

    pub(super) fn scope(&self) -> Scope {
        Scope::Step { step: self.step.clone(), frames: self.frames.clone() }
    }

    /// The place of a step that stands in the same repetitions.
    pub(super) fn sibling(&self, step: &StepId) -> Place {
        Place { step: step.clone(), frames: self.frames.clone() }
    }

    /// The repetitions that a step inside this loop stands in, in the pass `cycle`.
    pub(super) fn inside(&self, cycle: u32) -> Vec<Frame> {
        let mut frames = self.frames.clone();
        frames.push(Frame::Cycle { step: self.step.clone(), cycle });
        frames
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        for frame in &self.frames {
            match frame {
                Frame::Item { key, .. } => write!(f, "/{key}")?,
                Frame::Cycle { cycle, .. } => write!(f, " (cycle {cycle})")?,
            }
        }
        Ok(())
    }
}

impl RunMachine {
    /// The instance of `step` that somebody in `frames` speaks of: in the repetitions that both stand in the same one,
    /// elsewhere the current pass, or the last one.
    pub(super) fn place_seen_from(&self, definition: &Definition, step: &StepId, frames: &[Frame]) -> Place {
        let mut place = Place { step: step.clone(), frames: Vec::new() };
        let mut is_shared = true;
        for (index, around) in definition.loops(step).iter().enumerate() {
            let shared = frames.get(index).filter(|frame| is_shared && *frame.step() == *around);
            is_shared = shared.is_some();
            let frame = match shared {
                Some(frame) => frame.clone(),
                None => Frame::Cycle { step: around.clone(), cycle: self.pass(&place.sibling(around)).cycle },
            };
            place.frames.push(frame);
        }
        place
    }

    /// The current instance of `step`; none if a loop around it has not begun, or is about to begin anew.
    pub(super) fn current_place(&self, definition: &Definition, step: &StepId) -> Option<Place> {
        let place = self.place_seen_from(definition, step, &[]);
        let has_begun = |depth: usize| {
            let around =
                Place { step: place.frames[depth].step().clone(), frames: place.frames[..depth].to_vec() };
            let pass = self.pass(&around);
            pass.cycle > 0 && !pass.begins_anew
        };
        (0..place.frames.len()).all(has_begun).then_some(place)
    }

    /// The places of the steps that `place` holds, in its current pass; none if it is a loop that has not begun.
    pub(super) fn inner_places(&self, definition: &Definition, place: &Place) -> Vec<Place> {
        let Some(node) = definition.node(&place.step) else { return Vec::new() };
        let frames = match &node.step.repeat {
            None => place.frames.clone(),
            Some(_) => match self.pass(place).cycle {
                0 => return Vec::new(),
                cycle => place.inside(cycle),
            },
        };
        node.children.iter().map(|step| Place { step: step.clone(), frames: frames.clone() }).collect()
    }

    /// The place and all that it holds, groups before what is in them.
    pub(super) fn with_inner_places(&self, definition: &Definition, place: &Place) -> Vec<Place> {
        let mut found = vec![place.clone()];
        let mut next = 0;
        while let Some(place) = found.get(next) {
            let inner = self.inner_places(definition, place);
            found.extend(inner);
            next += 1;
        }
        found
    }

    /// Whether the step and all that is in it have their results.
    pub(super) fn is_through(&self, definition: &Definition, place: &Place) -> bool {
        self.result(place).is_some()
            && self.inner_places(definition, place).iter().all(|inner| self.is_through(definition, inner))
    }

    /// The group or loop around it.
    pub(super) fn around(&self, definition: &Definition, place: &Place) -> Option<Place> {
        let parent = definition.node(&place.step)?.parent.as_ref()?;
        let depth = definition.loops(parent).len();
        Some(Place { step: parent.clone(), frames: place.frames.iter().take(depth).cloned().collect() })
    }
}
