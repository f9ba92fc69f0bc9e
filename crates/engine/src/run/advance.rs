//! What follows by itself: steps whose turn came, groups that are through, the run's end, work that can begin.

use std::sync::Arc;

use backstay_model::event::{
    CheckoutFree, EffectStarting, FailureClass, QuestionClosed, RunCancelled, RunCompleted, RunFailed,
    RunSuspended, SkipReason, StepSkipped, StepStarted, StepStatus, TimerFired,
};
use backstay_model::{EffectCall, Frame, Scope, StepId};
use backstay_workflow::expression::{EvalError, Expression};
use backstay_workflow::plan::{Step, Verb};

use super::agent_work::AgentWork;
use super::definition::{Definition, Node};
use super::place::Place;
use super::state::{LeafPhase, Phase, Progress, StepPhase};
use super::turn::Turn;
use super::work::Named;

/// What is said of work that ends with its run.
pub(super) const CALLED_OFF: &str = "cancelled with the run";

/// Which waits for a moment end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Timers {
    /// Those whose moment has come.
    Due,
    /// All of them: a person wants it.
    All,
}

impl Turn<'_> {
    /// Emits what follows until nothing new does, then begins what is wanted.
    pub(super) fn advance(&mut self) {
        let Some(definition) = self.machine.definition.clone() else { return };
        loop {
            if self.is_full() {
                self.outcome.more_to_do = true;
                return;
            }
            let before = self.outcome.events.len();
            match &self.machine.phase {
                Phase::Empty | Phase::Requested | Phase::Suspended { .. } | Phase::Ended(_) => {}
                Phase::Reopened { was } => {
                    // A wish that is taken leads elsewhere.
                    if self.machine.inbox.is_empty() {
                        let was = was.clone();
                        self.end_again(was);
                    }
                }
                Phase::Suspending { by, reason } => {
                    if !self.any_in_flight() {
                        let (by, reason) = (by.clone(), reason.clone());
                        self.emit(Scope::Run, RunSuspended { by, reason });
                    }
                }
                Phase::Running => {
                    self.fire_timers(Timers::Due);
                    self.move_on(&definition);
                }
                Phase::Cancelling { finally_too, .. } => {
                    let finally_too = *finally_too;
                    self.call_off(&definition, finally_too);
                    self.fire_timers(Timers::Due);
                    self.move_on(&definition);
                }
            }
            if self.outcome.events.len() == before {
                break;
            }
        }
        self.outcome.more_to_do = !self.machine.inbox.is_empty();
        self.begin_wanted(&definition);
    }

    fn any_in_flight(&self) -> bool {
        self.machine.active.iter().any(|place| self.is_step_in_flight(place))
    }

    fn is_step_in_flight(&self, place: &Place) -> bool {
        matches!(
            self.machine.leaf(place).map(|leaf| &leaf.phase),
            Some(
                LeafPhase::Working(Progress::Begun)
                    | LeafPhase::Probing { progress: Progress::Begun, .. }
                    | LeafPhase::Reported
            )
        )
    }

    /// Ends waits for a moment.
    pub(super) fn fire_timers(&mut self, timers: Timers) {
        for place in self.machine.active.clone() {
            if self.is_full() {
                return;
            }
            let Some(LeafPhase::Backoff { due_at, .. }) =
                self.machine.leaf(&place).map(|leaf| leaf.phase.clone())
            else {
                continue;
            };
            if due_at <= self.env.now || timers == Timers::All {
                self.emit_at(&place, TimerFired { due_at, fired_at: self.env.now });
            }
        }
    }

    /// In a run that is being cancelled: everything that is not in flight is called off at once.
    fn call_off(&mut self, definition: &Definition, finally_too: bool) {
        for step in &definition.order {
            let Some(node) = definition.node(step) else { continue };
            if (node.in_finally && !finally_too) || self.is_full() {
                continue;
            }
            let Some(place) = self.machine.current_place(definition, step) else { continue };
            if self.machine.is_waiting(&place) {
                self.skip_with_inner(&place, SkipReason::RunEnding, None);
            } else if let Some(leaf) = self.machine.leaf(&place)
                && !self.is_step_in_flight(&place)
            {
                if let LeafPhase::Doubt { question } | LeafPhase::Held { question } = leaf.phase {
                    self.emit_at(&place, QuestionClosed { question, answered_by: None, choice: None });
                }
                self.finish(&place, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
            }
        }
    }

    fn move_on(&mut self, definition: &Arc<Definition>) {
        for step in &definition.order {
            if self.is_full() {
                return;
            }
            let Some(node) = definition.node(step) else { continue };
            if node.in_finally && !self.main_is_through(definition) {
                break;
            }
            let Some(place) = self.machine.current_place(definition, step) else { continue };
            match self.machine.steps.get(&place).map(|state| &state.phase) {
                None | Some(StepPhase::Waiting) => self.try_to_open(definition, &place, node),
                Some(StepPhase::Open) => match &node.step.repeat {
                    Some(repeat) => self.turn_loop(definition, &place, repeat),
                    None => self.try_to_close(definition, &place),
                },
                Some(StepPhase::Active(_) | StepPhase::Done(_)) => {}
            }
        }
        // After the end nothing can be appended: what was said before it has its verdict first.
        let is_through = |step| self.is_through(definition, step);
        if self.machine.inbox.is_empty() && definition.order.iter().all(is_through) {
            self.end_run(definition);
        }
    }

    fn main_is_through(&self, definition: &Definition) -> bool {
        let mut main = definition.order.iter().filter(|step| !definition.is_in_finally(step));
        main.all(|step| self.is_through(definition, step))
    }

    /// Whether the step has its result. What stands in a loop that never began has none and needs none.
    fn is_through(&self, definition: &Definition, step: &StepId) -> bool {
        let place = self.machine.current_place(definition, step);
        place.is_none_or(|place| self.machine.result(&place).is_some())
    }

    /// Starts a waiting step whose turn came, or leaves it out.
    fn try_to_open(&mut self, definition: &Arc<Definition>, place: &Place, node: &Node) {
        let step = &node.step;
        if let Some(group) = self.machine.around(definition, place) {
            match self.machine.steps.get(&group).map(|state| &state.phase) {
                Some(StepPhase::Open) => {}
                Some(StepPhase::Done(result)) => {
                    let reason = why_left_out(&group.step, result.status);
                    self.emit_at(place, StepSkipped { reason, output: None });
                    return;
                }
                _ => return,
            }
        }
        if !node.in_finally
            && self.machine.failed.as_ref().is_some_and(|failed| !definition.is_in_finally(&failed.step))
        {
            let will_not = |need: &&StepId| self.will_not_succeed(definition, &place.sibling(need));
            let reason = match step.needs.iter().find(will_not) {
                Some(step) => SkipReason::Upstream { step: step.clone() },
                None => SkipReason::RunEnding,
            };
            self.skip_with_inner(place, reason, None);
            return;
        }
        // From the last one: by the order rule the nearest is the one that is missing.
        if !step.needs.iter().rev().all(|need| self.machine.result(&place.sibling(need)).is_some()) {
            return;
        }
        if let Some(condition) = &step.condition {
            match self.holds(definition, &place.frames, condition) {
                Ok(true) => {}
                Ok(false) => {
                    let reason = SkipReason::Condition { expression: condition.source.clone() };
                    self.skip_with_inner(place, reason, None);
                    return;
                }
                Err(error) => {
                    self.fail_expression(place, format!("`if` of `{}`: {error}", step.id));
                    return;
                }
            }
        }
        self.emit_at(place, StepStarted { agent: doer(&step.verb) });
    }

    /// Whether a condition that stands in `frames` is true.
    pub(super) fn holds(
        &self,
        definition: &Definition,
        frames: &[Frame],
        condition: &Expression,
    ) -> Result<bool, EvalError> {
        let mut named = Named::default();
        named.expression(condition);
        condition.condition(&self.machine.values(definition, frames, &named))
    }

    /// Whether the step did not do what it should, or is a group that still closes behind one that did not.
    fn will_not_succeed(&self, definition: &Definition, place: &Place) -> bool {
        match self.machine.steps.get(place).map(|state| &state.phase) {
            Some(StepPhase::Done(result)) => result.held_back || result.status.is_unsuccessful(),
            Some(StepPhase::Open) => {
                let inner = self.machine.inner_places(definition, place);
                inner.iter().any(|inner| self.will_not_succeed(definition, inner))
            }
            _ => false,
        }
    }

    /// A step whose own expressions fail on the values at hand fails; what is in it is left out.
    pub(super) fn fail_expression(&mut self, place: &Place, message: String) {
        let Some(definition) = self.machine.definition.clone() else { return };
        self.finish(place, StepStatus::Failed, None, Some(FailureClass::Expression), message, None);
        for inner in self.machine.with_inner_places(&definition, place).into_iter().skip(1) {
            // What does not fit into this append is left out with the next one.
            if self.machine.is_waiting(&inner) && !self.is_full() {
                let reason = why_left_out(&place.step, StepStatus::Failed);
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    /// What the steps of a group come to, once all have their results; none before.
    pub(super) fn sum_up(&self, definition: &Definition, place: &Place) -> Option<(StepStatus, String)> {
        let inner = self.machine.inner_places(definition, place);
        let results: Vec<_> =
            inner.iter().map(|inner| self.machine.result(inner)).collect::<Option<Vec<_>>>()?;
        let held_back = results.iter().any(|result| result.held_back);
        let has = |status| results.iter().filter(|result| result.status == status).count();
        let done = format!("{} of {} steps succeeded", has(StepStatus::Succeeded), results.len());
        Some(match (has(StepStatus::Failed), has(StepStatus::Cancelled)) {
            // Unsuccessful, so that it opens again for the rest where the run is tried again.
            (0, 0) if held_back => (StepStatus::Cancelled, format!("{done} before the run ended")),
            (0, 0) => (StepStatus::Succeeded, done),
            (0, _) => (StepStatus::Cancelled, CALLED_OFF.to_owned()),
            (failed, _) => (StepStatus::Failed, format!("{failed} of {} steps failed", results.len())),
        })
    }

    fn try_to_close(&mut self, definition: &Definition, place: &Place) {
        if let Some((status, summary)) = self.sum_up(definition, place) {
            self.finish(place, status, None, None, summary, None);
        }
    }

    fn end_run(&mut self, definition: &Arc<Definition>) {
        if let Phase::Cancelling { reason, .. } = &self.machine.phase {
            let reason = reason.clone();
            self.emit(Scope::Run, RunCancelled { reason });
            return;
        }
        if let Some(place) = self.machine.failed.clone() {
            let summary = self.machine.result(&place).map_or(String::new(), |result| result.summary.clone());
            self.emit(
                Scope::Run,
                RunFailed { reason: format!("{place}: {summary}"), step: Some(place.step) },
            );
            return;
        }
        match self.machine.outputs(definition) {
            Ok(outputs) => {
                let outputs = self.keep_text(outputs);
                self.emit(Scope::Run, RunCompleted { outputs });
            }
            Err(reason) => self.emit(Scope::Run, RunFailed { step: None, reason }),
        }
    }

    /// Emits the start of every effect that is wanted, where there is somebody to perform it.
    fn begin_wanted(&mut self, definition: &Arc<Definition>) {
        let Some(performer) = self.env.performer.clone() else { return };
        if self.env.may_write && self.machine.checkout_busy.is_some() && self.machine.wants_to_write() {
            self.emit(Scope::Run, CheckoutFree {});
        }
        for (place, call, attempt) in self.machine.wanted(definition) {
            if self.is_full() {
                self.outcome.more_to_do = true;
                return;
            }
            let Some(node) = definition.node(&place.step) else { continue };
            if !self.env.may_write && may_change_folder(&node.step, call) {
                continue;
            }
            if call == EffectCall::Main && self.is_held_by_budget(&place) {
                self.outcome.more_to_do = true;
                continue;
            }
            match self.machine.work(definition, &place, &node.step, call, attempt) {
                Ok(work) => {
                    let starting = EffectStarting {
                        effect: work.effect.clone(),
                        attempt,
                        class: work.class,
                        spec: work.digest(),
                        preview: work.preview(),
                        host: performer.host.clone(),
                        boot: performer.boot.clone(),
                        agent: work.agent.as_ref().map(AgentWork::starting),
                    };
                    self.emit_at(&place, starting);
                    self.outcome.starts.push(work);
                }
                Err(error) => {
                    self.fail_expression(&place, format!("`{place}`: {error}"));
                    self.outcome.more_to_do = true;
                    debug_assert_eq!(self.machine.leaf(&place), None, "a failed step is not wanted again");
                }
            }
        }
    }
}

/// Why a step is left out whose group has its result already.
fn why_left_out(group: &StepId, status: StepStatus) -> SkipReason {
    match status {
        StepStatus::Failed => SkipReason::Upstream { step: group.clone() },
        StepStatus::Succeeded | StepStatus::Skipped | StepStatus::Cancelled => {
            SkipReason::Group { step: group.clone() }
        }
    }
}

/// What does a step, for people; none for a group.
fn doer(verb: &Verb) -> Option<String> {
    match verb {
        Verb::Run { shell, .. } => {
            let program = shell.first().map_or("sh", String::as_str);
            Some(program.rsplit('/').next().unwrap_or(program).to_owned())
        }
        Verb::Command { argv } => {
            let program = argv.first().map_or("", |program| program.source.as_str());
            Some(program.rsplit('/').next().unwrap_or(program).to_owned())
        }
        Verb::Agent { agent, .. } => Some(agent.clone()),
        Verb::Worktree(_) => Some("git".to_owned()),
        Verb::Group { .. } => None,
    }
}

impl Definition {
    pub(super) fn is_in_finally(&self, step: &StepId) -> bool {
        self.node(step).is_some_and(|node| node.in_finally)
    }
}

/// Whether the work may change the folder of the run. Who makes a worktree leaves it alone, and so does who works in one.
fn may_change_folder(step: &Step, call: EffectCall) -> bool {
    call == EffectCall::Main
        && step.workspace.is_none()
        && !step.reads_only
        && !matches!(step.verb, Verb::Worktree(_))
}

impl super::RunMachine {
    /// Whether the plan has work that may change the folder of the run.
    #[must_use]
    pub fn may_ever_write(&self) -> bool {
        let Some(definition) = &self.definition else { return false };
        let is_leaf = |step: &Step| !matches!(step.verb, Verb::Group { .. });
        definition.plan.walk().any(|step| is_leaf(step) && may_change_folder(step, EffectCall::Main))
    }

    /// Whether work is to begin that may change the folder of the run.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        let Some(definition) = &self.definition else { return false };
        self.wanted(definition).into_iter().any(|(place, call, _)| {
            definition.node(&place.step).is_some_and(|node| may_change_folder(&node.step, call))
        })
    }

    /// The effects that are wanted and not begun, where the phase lets them begin.
    pub(super) fn wanted(
        &self,
        definition: &Definition,
    ) -> Vec<(Place, EffectCall, backstay_model::Attempt)> {
        let may_begin = |place: &Place| match self.phase {
            Phase::Running => true,
            Phase::Cancelling { finally_too, .. } => !finally_too && definition.is_in_finally(&place.step),
            _ => false,
        };
        let wanted = |place: &Place| match self.leaf(place).map(|leaf| &leaf.phase) {
            Some(LeafPhase::Working(Progress::Wanted)) => {
                Some((place.clone(), EffectCall::Main, self.attempt(place)))
            }
            Some(LeafPhase::Probing { attempt, progress: Progress::Wanted, .. }) => {
                Some((place.clone(), EffectCall::Probe, *attempt))
            }
            _ => None,
        };
        self.active.iter().filter(|place| may_begin(place)).filter_map(wanted).collect()
    }
}
