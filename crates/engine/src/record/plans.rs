//! What a run's plans, pauses and progress come to: figures that every view shows, each computed here and nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_model::event::{PlanRef, StepRedefined};
use backstay_model::{Frame, Scope, StepId, Timestamp};
use backstay_workflow::plan::{Plan, Step};
use serde::{Deserialize, Serialize};

use super::parts::{StepRecord, StepStage, WorkflowRef};
use super::{RunRecord, RunStatus};

/// Passes of a loop that [`RunRecord::forget_old_passes`] leaves.
const PASSES_KEPT: u32 = 8;

/// A plan that took the place of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// When.
    pub at: Timestamp,
    /// The workflow that the run follows from there.
    pub workflow: WorkflowRef,
    /// Which retry brought it, from 1.
    pub retry: u32,
    /// What it makes of the steps of the plan before; the others are as they were.
    pub steps: Vec<StepRedefined>,
    /// The steps that were done anew because of it, or because they had not succeeded.
    pub anew: Vec<StepId>,
}

/// A time in which a run was suspended, or had ended before it was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub from: Timestamp,
    /// When it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How far a run is, in steps; groups are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepProgress {
    /// Steps that have their result, or stand in a group that has its own. Of a step in a loop the current cycle counts.
    pub done: u32,
    /// Steps of the plan, `finally` included.
    pub total: u32,
}

impl StepProgress {
    /// Counts the steps of `plan`. `cycle` gives the current cycle of a loop, `is_done` whether a step has its result.
    pub(crate) fn count(
        plan: &Plan,
        cycle: &dyn Fn(&Scope) -> Option<u32>,
        is_done: &dyn Fn(&Scope) -> bool,
    ) -> StepProgress {
        let mut progress = StepProgress::default();
        for step in plan.steps.iter().chain(&plan.finally) {
            progress.add(step, &[], false, cycle, is_done);
        }
        progress
    }

    fn add(
        &mut self,
        step: &Step,
        around: &[Frame],
        is_group_done: bool,
        cycle: &dyn Fn(&Scope) -> Option<u32>,
        is_done: &dyn Fn(&Scope) -> bool,
    ) {
        let mut frames = around.to_vec();
        frames.push(Frame::Step(step.id.clone()));
        let scope = Scope::from_frames(frames.clone()).unwrap_or_default();
        let is_done_now = is_group_done || is_done(&scope);
        if step.children().is_empty() {
            self.total += 1;
            self.done += u32::from(is_done_now);
            return;
        }
        let inner = match step.repeat.is_some() {
            true => {
                frames.push(Frame::Cycle(cycle(&scope).unwrap_or(0)));
                frames.as_slice()
            }
            false => around,
        };
        step.children().iter().for_each(|child| self.add(child, inner, is_done_now, cycle, is_done));
    }
}

impl RunRecord {
    /// How far the run is by `plan`, which is its own.
    #[must_use]
    pub fn progress(&self, plan: &Plan) -> StepProgress {
        let is_done = |record: &StepRecord| matches!(record.stage, StepStage::Done { .. });
        StepProgress::count(plan, &|scope| Some(self.instance(scope)?.passes.as_ref()?.cycle), &|scope| {
            self.instance(scope).is_some_and(is_done)
        })
    }

    /// How long the run was under way between two moments: without the times in which it was suspended or had ended.
    #[must_use]
    pub fn active_between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let paused = self.pauses.iter().map(|pause| {
            let pause_from = pause.from.max(from);
            pause.until.unwrap_or(until).min(until).since(pause_from)
        });
        until.since(from).saturating_sub(paused.sum())
    }

    /// How long the run was under way so far, from its beginning to its end.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Duration {
        match self.started_at.or(self.requested_at) {
            Some(begun) => self.active_between(begun, self.ended_at.unwrap_or(now)),
            None => Duration::ZERO,
        }
    }

    /// How long a step took, or takes so far. Of single steps: from the start of the first attempt to the end of the last
    /// one, so waiting for a turn does not count; nor does the time in which the run was suspended.
    #[must_use]
    pub fn duration_of(&self, step: &StepRecord, now: Timestamp) -> Duration {
        match step.span(now) {
            Some((from, until)) => self.active_between(from, until),
            None => Duration::ZERO,
        }
    }

    /// Lets go of the passes of loops before the last `PASSES_KEPT` of each: for who follows a run for long, and shows where
    /// it stands. What agents used in them stays counted.
    pub fn forget_old_passes(&mut self) {
        let current: BTreeMap<Scope, u32> = self
            .steps
            .iter()
            .filter_map(|step| Some((step.scope.clone(), step.passes.as_ref()?.cycle)))
            .collect();
        let is_old = |step: &StepRecord| {
            let frames = step.scope.frames();
            frames.iter().enumerate().any(|(depth, frame)| {
                let Frame::Cycle(cycle) = frame else { return false };
                let Ok(around) = Scope::from_frames(frames[..depth].to_vec()) else { return false };
                current.get(&around).is_some_and(|current| cycle + PASSES_KEPT <= *current)
            })
        };
        let forgotten = &mut self.forgotten;
        self.steps.retain(|step| {
            let is_old = is_old(step);
            if is_old {
                step.attempts.iter().for_each(|attempt| forgotten.add(attempt));
            }
            !is_old
        });
    }

    pub(super) fn pause(&mut self, at: Timestamp) {
        if self.pauses.last().is_none_or(|pause| pause.until.is_some()) {
            self.pauses.push(Pause { from: at, until: None });
        }
    }

    pub(super) fn end_pause(&mut self, at: Timestamp) {
        if let Some(pause) = self.pauses.last_mut().filter(|pause| pause.until.is_none()) {
            pause.until = Some(at);
        }
    }

    pub(super) fn fold_plan(&mut self, at: Timestamp, plan: PlanRef) {
        let workflow =
            WorkflowRef { name: plan.workflow, file: plan.file, plan: plan.plan, source: plan.source };
        self.inputs = Some(plan.inputs);
        self.workflow = Some(workflow.clone());
        let retry = self.reopened + 1;
        self.plans.push(PlanRecord { at, workflow, retry, steps: Vec::new(), anew: Vec::new() });
    }

    /// Takes note of what is done anew, where a new plan came with it.
    pub(super) fn note_anew(&mut self, steps: &[Scope]) {
        let retry = self.reopened + 1;
        let is_retried = self.status.is_ended();
        if let Some(plan) = self.plans.last_mut().filter(|plan| plan.retry == retry && is_retried) {
            plan.anew.extend(steps.iter().filter_map(Scope::step_id).cloned());
        }
    }

    /// Whether the run is suspended or has ended.
    pub(super) fn is_paused(&self) -> bool {
        self.status.is_ended() || self.status == RunStatus::Suspended
    }
}
