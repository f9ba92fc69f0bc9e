//! One instance of a step: the step, and the repetitions that it stands in.

use std::fmt;

use backstay_model::{Frame, Scope, StepId};

use super::RunMachine;
use super::plan_index::PlanIndex;

/// One repetition of what stands in a fan-out or a loop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Repetition {
    /// The element `key` of the fan-out `step`.
    Item { step: StepId, key: String },
    /// The pass `cycle` of the loop `step`.
    Cycle { step: StepId, cycle: u32 },
}

impl Repetition {
    /// The step that repeats.
    pub(super) fn step(&self) -> &StepId {
        match self {
            Repetition::Item { step, .. } | Repetition::Cycle { step, .. } => step,
        }
    }
}

/// One instance of a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StepInstance {
    pub(super) step: StepId,
    /// The repetitions around it, outermost first.
    pub(super) repetitions: Vec<Repetition>,
}

impl StepInstance {
    /// The instance that `scope` is; none if it is not one.
    pub(super) fn of(scope: &Scope) -> Option<StepInstance> {
        let (Frame::Step(step), around) = scope.frames().split_last()? else { return None };
        let mut repetitions = Vec::new();
        let mut repeated = None;
        for frame in around {
            match (frame, repeated) {
                (Frame::Step(step), None) => repeated = Some((step, 0)),
                // A step that repeats stands there with its repetition.
                (Frame::Step(step), Some((_, found))) if found > 0 => repeated = Some((step, 0)),
                (Frame::Item(key), Some((step, found))) => {
                    repetitions.push(Repetition::Item { step: step.clone(), key: key.clone() });
                    repeated = Some((step, found + 1));
                }
                (Frame::Cycle(cycle), Some((step, found))) => {
                    repetitions.push(Repetition::Cycle { step: step.clone(), cycle: *cycle });
                    repeated = Some((step, found + 1));
                }
                _ => return None,
            }
        }
        let is_whole = repeated.is_none_or(|(_, found)| found > 0);
        is_whole.then(|| StepInstance { step: step.clone(), repetitions })
    }

    pub(super) fn scope(&self) -> Scope {
        let mut frames = Vec::with_capacity(2 * self.repetitions.len() + 1);
        let mut last = None;
        for repetition in &self.repetitions {
            let step = repetition.step();
            if last != Some(step) {
                frames.push(Frame::Step(step.clone()));
                last = Some(step);
            }
            frames.push(match repetition {
                Repetition::Item { key, .. } => Frame::Item(key.clone()),
                Repetition::Cycle { cycle, .. } => Frame::Cycle(*cycle),
            });
        }
        frames.push(Frame::Step(self.step.clone()));
        // A workflow nests less deep than a scope may be, so that there always is one.
        Scope::from_frames(frames).unwrap_or_else(|_too_deep| Scope::step(self.step.clone()))
    }

    /// The instance of a step that stands in the same repetitions.
    pub(super) fn sibling(&self, step: &StepId) -> StepInstance {
        StepInstance { step: step.clone(), repetitions: self.repetitions.clone() }
    }

    /// The repetitions that a step inside this loop stands in, in the pass `cycle`.
    pub(super) fn inside(&self, cycle: u32) -> Vec<Repetition> {
        let mut repetitions = self.repetitions.clone();
        repetitions.push(Repetition::Cycle { step: self.step.clone(), cycle });
        repetitions
    }
}

impl fmt::Display for StepInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        for repetition in &self.repetitions {
            match repetition {
                Repetition::Item { key, .. } => write!(f, "/{key}")?,
                Repetition::Cycle { cycle, .. } => write!(f, " (cycle {cycle})")?,
            }
        }
        Ok(())
    }
}

impl RunMachine {
    /// The instance of `step` that is meant in `repetitions`: in those that both stand in the same one, elsewhere that of
    /// the current pass, or of the last one.
    pub(super) fn instance_seen_from(
        &self,
        plan: &PlanIndex,
        step: &StepId,
        repetitions: &[Repetition],
    ) -> StepInstance {
        let mut instance = StepInstance { step: step.clone(), repetitions: Vec::new() };
        let mut is_shared = true;
        for (index, around) in plan.loops(step).iter().enumerate() {
            let shared = repetitions.get(index).filter(|shared| is_shared && *shared.step() == *around);
            is_shared = shared.is_some();
            let repetition = match shared {
                Some(shared) => shared.clone(),
                None => {
                    let cycle = self.pass(&instance.sibling(around)).cycle;
                    Repetition::Cycle { step: around.clone(), cycle }
                }
            };
            instance.repetitions.push(repetition);
        }
        instance
    }

    /// The current instance of `step`; none if a loop around it has not begun, or is about to begin anew.
    pub(super) fn current_instance(&self, plan: &PlanIndex, step: &StepId) -> Option<StepInstance> {
        let instance = self.instance_seen_from(plan, step, &[]);
        let has_begun = |depth: usize| {
            let around = StepInstance {
                step: instance.repetitions[depth].step().clone(),
                repetitions: instance.repetitions[..depth].to_vec(),
            };
            let pass = self.pass(&around);
            pass.cycle > 0 && !pass.begins_anew
        };
        (0..instance.repetitions.len()).all(has_begun).then_some(instance)
    }

    /// The instances of the steps that `instance` holds, in its current pass; none if it is a loop that has not begun.
    pub(super) fn instances(&self, plan: &PlanIndex, instance: &StepInstance) -> Vec<StepInstance> {
        let Some(node) = plan.node(&instance.step) else { return Vec::new() };
        let repetitions = match &node.step.repeat {
            None => instance.repetitions.clone(),
            Some(_) => match self.pass(instance).cycle {
                0 => return Vec::new(),
                cycle => instance.inside(cycle),
            },
        };
        let inner = |step: &StepId| StepInstance { step: step.clone(), repetitions: repetitions.clone() };
        node.children.iter().map(inner).collect()
    }

    /// The instance and all that it holds, groups before what is in them.
    pub(super) fn with_inner_instances(
        &self,
        plan: &PlanIndex,
        instance: &StepInstance,
    ) -> Vec<StepInstance> {
        let mut found = vec![instance.clone()];
        let mut next = 0;
        while let Some(instance) = found.get(next) {
            let inner = self.instances(plan, instance);
            found.extend(inner);
            next += 1;
        }
        found
    }

    /// Whether the step and all that is in it have their results.
    pub(super) fn is_through(&self, plan: &PlanIndex, instance: &StepInstance) -> bool {
        self.result(instance).is_some()
            && self.instances(plan, instance).iter().all(|inner| self.is_through(plan, inner))
    }

    /// The group or loop around it.
    pub(super) fn around(&self, plan: &PlanIndex, instance: &StepInstance) -> Option<StepInstance> {
        let parent = plan.node(&instance.step)?.parent.as_ref()?;
        let depth = plan.loops(parent).len();
        let repetitions = instance.repetitions.iter().take(depth).cloned().collect();
        Some(StepInstance { step: parent.clone(), repetitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_scope_that_ends_with_a_step() {
        for (text, shown) in [
            ("code", Some("code")),
            ("green~3/code", Some("code (cycle 3)")),
            ("issue=a/green~3/code", Some("code/a (cycle 3)")),
            ("issue=a~2/code", Some("code/a (cycle 2)")),
            ("", None),
            ("code#4", None),
            ("green~3", None),
            ("group/code", None),
            ("@run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8/code", None),
        ] {
            let scope: Scope = text.parse().unwrap();
            let instance = StepInstance::of(&scope);
            assert_eq!(instance.as_ref().map(ToString::to_string).as_deref(), shown, "{text}");
            assert!(instance.is_none_or(|instance| instance.scope() == scope), "{text}");
        }
    }
}
