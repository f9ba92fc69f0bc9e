//! Folding: the only code that changes the state of a run.

use backstay_model::event::{
    CycleStarted, EffectFinished, EffectRunning, EffectStarting, FactEvent, InputEvent, QuestionAsked,
    QuestionKind, RunRequested, SkipReason, StepFinished, StepSkipped, StepStatus, TreeOutcome,
};
use backstay_model::{EffectCall, Scope, StepId, Timestamp};

use super::instance::{Repetition, StepInstance};
use super::state::{Files, Leaf, Pass, Phase, RunEnd, RunMachine, StepPhase, StepResult};
use crate::topic::ReceivedInput;

/// The files that an attempt left; none if they are not known. Those that a kept tree omits have a digest of their own.
fn files_of(finished: &EffectFinished) -> Option<Files> {
    let process = finished.result.process()?;
    let Some(kept) = process.after.as_ref().and_then(TreeOutcome::kept) else {
        return process.folder.map(Files::Folder);
    };
    let tree = kept.tree.clone();
    if kept.omitted.is_empty() {
        return Some(Files::Tree(tree));
    }
    process.folder.map(|omitted| Files::TreeAndOmitted { tree, omitted })
}

impl RunMachine {
    /// Takes note of an input. Nothing is decided by that, but a run that ended is open again.
    pub(crate) fn receive(&mut self, input: &InputEvent) {
        match (input, &self.phase) {
            (InputEvent::RunRequested(request), Phase::Empty) => {
                self.request = Some(RunRequested::clone(request));
                self.phase = Phase::Requested;
            }
            (InputEvent::Reopened(_), Phase::Ended(was)) => self.phase = Phase::Reopened { was: was.clone() },
            _ => {}
        }
    }

    /// Takes note of an input that was accepted: what somebody wants of a step in flight stays with the step.
    pub(crate) fn fold_accepted(&mut self, received: &ReceivedInput) {
        let ReceivedInput { seq, scope, input } = received;
        let leaf = StepInstance::of(scope).and_then(|instance| self.leaf_mut(&instance));
        match (input, leaf) {
            (InputEvent::SkipRequested(skip), Some(leaf)) => leaf.skip = Some((*seq, skip.output.clone())),
            (InputEvent::ManualIntervention(_), Some(leaf)) => leaf.agent.intervened = true,
            _ => {}
        }
    }

    /// Folds one fact that was decided at `at`.
    pub(crate) fn fold(&mut self, at: Timestamp, scope: &Scope, fact: &FactEvent) {
        match fact {
            FactEvent::RunStarted(_) => self.enter(Phase::Running),
            FactEvent::RunResumed(_) => {
                self.enter(Phase::Running);
                self.end_pause(at);
                // Whoever goes on with it has looked at the passes so far.
                for state in self.steps.values_mut() {
                    state.pass.compared_from = state.pass.cycle + 1;
                }
            }
            FactEvent::RunSuspending(suspending) => {
                let (by, reason) = (suspending.by.clone(), suspending.reason.clone());
                self.enter(Phase::Suspending { by, reason });
            }
            FactEvent::RunSuspended(suspended) => {
                self.paused_at = Some(at);
                let (by, reason) = (suspended.by.clone(), suspended.reason.clone());
                self.enter(Phase::Suspended { by, reason });
            }
            FactEvent::RunCancelling(cancelling) => {
                self.end_pause(at);
                let (reason, finally_too) = (cancelling.reason.clone(), cancelling.finally_too);
                self.enter(Phase::Cancelling { reason, finally_too });
            }
            FactEvent::RunCompleted(end) => {
                self.enter(Phase::Ended(RunEnd::Completed { outputs: end.outputs.clone() }));
            }
            FactEvent::RunFailed(end) => {
                let (scope, reason) = (end.scope.clone(), end.reason.clone());
                self.enter(Phase::Ended(RunEnd::Failed { scope, reason }));
            }
            FactEvent::RunCancelled(end) => {
                self.enter(Phase::Ended(RunEnd::Cancelled { reason: end.reason.clone() }));
            }
            FactEvent::StepsReset(reset) => {
                reset.steps.iter().filter_map(StepInstance::of).for_each(|step| self.fold_reset(&step));
                for step in reset.loops.iter().filter_map(StepInstance::of) {
                    if let Some(state) = self.steps.get_mut(&step) {
                        state.pass.begins_anew = true;
                    }
                }
                self.agenda.add_all();
            }
            FactEvent::PlanChanged(changed) => self.fold_plan(&changed.plan),
            FactEvent::StepsRedefined(redefined) => {
                let retired = redefined.steps.iter().filter(|step| step.redefinition.retires_results());
                retired.for_each(|step| self.retire(&step.step));
                self.agenda.add_all();
            }
            fact => {
                if let Some(instance) = StepInstance::of(scope) {
                    self.fold_step(at, &instance, fact);
                }
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.agenda.add_all();
    }

    /// Adds what may follow the result of `step` to what is looked at: what waits for it, what is around it and in it.
    fn look_around(&mut self, step: &StepId) {
        let Some(plan) = self.plan.clone() else { return };
        let Some(node) = plan.node(step) else { return };
        let around = plan.groups_around(step);
        let near = node.children.iter().chain(&around).chain([step]);
        near.filter_map(|step| plan.node(step)).for_each(|node| self.agenda.add(node.position));
        // Behind what was left out before its turn stands what waits for the same.
        let mut waiting: Vec<&StepId> = node.dependents.iter().collect();
        while let Some(node) = waiting.pop().and_then(|step| plan.node(step)) {
            self.agenda.add(node.position);
            let result = self.current_instance(&plan, &node.step.id);
            let result = result.as_ref().and_then(|instance| self.result(instance));
            if result.is_some_and(|result| result.is_before_its_turn) {
                waiting.extend(&node.dependents);
            }
        }
    }

    /// The time in which the run was suspended is no step's.
    fn end_pause(&mut self, at: Timestamp) {
        let Some(paused_at) = self.paused_at.take() else { return };
        let open = self.steps.values_mut().filter(|state| !matches!(state.phase, StepPhase::Done(_)));
        for started_at in open.filter_map(|state| state.started_at.as_mut()) {
            *started_at = started_at.plus(at.since(paused_at));
        }
    }

    fn fold_asked(&mut self, instance: &StepInstance, asked: &QuestionAsked) {
        match asked.kind {
            // The step's effect tells what it waits for; and who asks while it works goes on working.
            QuestionKind::AfterCrash | QuestionKind::Asked | QuestionKind::BudgetUsed => {}
            QuestionKind::LoopExhausted => {
                if let Some(state) = self.steps.get_mut(instance) {
                    state.pass.question = Some(asked.question);
                }
            }
        }
    }

    fn fold_reset(&mut self, instance: &StepInstance) {
        if self.failed.as_ref() == Some(instance) {
            self.failed = None;
        }
        if let Some(state) = self.steps.get_mut(instance) {
            state.phase = StepPhase::Waiting;
            state.started_at = None;
            state.artifacts.clear();
            state.log = None;
        }
    }

    /// Results of the passes before the last one are not needed any more.
    fn fold_cycle(&mut self, at: Timestamp, instance: &StepInstance, started: &CycleStarted) {
        let state = self.state_of(instance);
        state.pass = Pass {
            cycle: started.cycle,
            nth: started.nth,
            is_check: started.check,
            began_at: Some(at),
            unchanged_in_a_row: started.unchanged_in_a_row,
            compared_from: state.pass.compared_from,
            begins_anew: false,
            question: None,
        };
        let depth = instance.repetitions.len();
        self.steps.retain(|inner, _| match inner.repetitions.get(depth) {
            Some(Repetition::Cycle { step, cycle })
                if *step == instance.step && inner.repetitions[..depth] == instance.repetitions[..] =>
            {
                cycle.saturating_add(1) >= started.cycle
            }
            _ => true,
        });
    }

    fn fold_step(&mut self, at: Timestamp, instance: &StepInstance, fact: &FactEvent) {
        // What is in flight no more is called off, whatever else follows from its end.
        if matches!(self.phase, Phase::Cancelling { .. }) {
            self.look_around(&instance.step);
        }
        match fact {
            FactEvent::StepStarted(started) => {
                let state = self.state_of(instance);
                (state.started_at, state.has_begun) = (Some(at), false);
                state.phase = match started.agent {
                    None => StepPhase::Open,
                    Some(_) => StepPhase::Active(Leaf::default()),
                };
                self.look_around(&instance.step);
            }
            FactEvent::CycleStarted(started) => {
                self.fold_cycle(at, instance, started);
                self.look_around(&instance.step);
            }
            FactEvent::StepSkipped(skipped) => self.fold_skipped(instance, skipped),
            FactEvent::StepFinished(finished) => self.fold_finished(instance, finished),
            FactEvent::StepRetryScheduled(retry) => {
                if let Some(leaf) = self.leaf_mut(instance) {
                    (leaf.failures, leaf.last_failure) = (leaf.failures + 1, Some(retry.failure));
                    leaf.agent.fold_retry(retry.failure);
                }
            }
            FactEvent::StepContinues(continues) => {
                if let Some(leaf) = self.leaf_mut(instance) {
                    leaf.last_failure = Some(continues.because.failure());
                    leaf.agent.fold_continues(at, continues);
                }
            }
            FactEvent::AgentSaid(said) => self.fold_said(instance, said),
            FactEvent::TimerFired(fired) => {
                if let Some(leaf) = self.leaf_mut(instance) {
                    leaf.agent.fold_fired(fired);
                }
            }
            FactEvent::EffectStarting(starting) => self.fold_starting(at, instance, starting),
            FactEvent::EffectRunning(running) => self.fold_running(instance, running),
            FactEvent::EffectFinished(finished) if finished.effect.call == EffectCall::Main => {
                let Some(process) = finished.result.process() else { return };
                if let Some(state) = self.steps.get_mut(instance) {
                    state.log = process.log.clone();
                    state.artifacts = process.artifacts.clone();
                    state.files = files_of(finished);
                }
            }
            FactEvent::QuestionAsked(asked) => self.fold_asked(instance, asked),
            FactEvent::QuestionClosed(_) => {
                if let Some(state) = self.steps.get_mut(instance) {
                    state.pass.question = None;
                }
                self.look_around(&instance.step);
            }
            // The ledger folds the rest of effects; of what else is told of steps the record alone has a use.
            _ => {}
        }
    }

    fn fold_skipped(&mut self, instance: &StepInstance, skipped: &StepSkipped) {
        let held_back = match &skipped.reason {
            SkipReason::Condition { .. } | SkipReason::Asked { .. } | SkipReason::LoopDone { .. } => false,
            SkipReason::Upstream { .. } | SkipReason::RunEnding => true,
            SkipReason::Group { scope } => {
                let group = StepInstance::of(scope).and_then(|group| self.result(&group));
                group.is_none_or(|group| group.held_back)
            }
        };
        let upstream = match &skipped.reason {
            SkipReason::Upstream { scope } => scope.step_id().cloned(),
            _ => None,
        };
        let state = self.state_of(instance);
        state.phase = StepPhase::Done(StepResult {
            status: StepStatus::Skipped,
            exit_code: None,
            failure: None,
            summary: skipped.reason.to_string(),
            output: skipped.output.clone(),
            held_back,
            upstream,
            is_before_its_turn: !matches!(skipped.reason, SkipReason::Condition { .. }),
        });
        self.look_around(&instance.step);
    }

    fn fold_finished(&mut self, instance: &StepInstance, finished: &StepFinished) {
        if finished.status == StepStatus::Failed && self.failed.is_none() {
            self.failed = Some(instance.clone());
            self.agenda.add_all();
        }
        let state = self.state_of(instance);
        state.phase = StepPhase::Done(StepResult {
            status: finished.status,
            exit_code: finished.exit_code,
            failure: finished.failure,
            summary: finished.summary.clone(),
            output: finished.output.clone(),
            held_back: false,
            upstream: None,
            is_before_its_turn: false,
        });
        self.look_around(&instance.step);
    }

    fn fold_starting(&mut self, at: Timestamp, instance: &StepInstance, starting: &EffectStarting) {
        if let Some(state) = self.steps.get_mut(instance)
            && !std::mem::replace(&mut state.has_begun, true)
        {
            state.started_at = Some(at);
        }
        if starting.effect.call == EffectCall::Main
            && let Some(leaf) = self.leaf_mut(instance)
        {
            leaf.agent.fold_starting(starting.agent.as_ref());
        }
    }

    fn fold_running(&mut self, instance: &StepInstance, running: &EffectRunning) {
        let Some(process) = running.handle.process() else { return };
        if running.effect.call == EffectCall::Main
            && let Some(state) = self.steps.get_mut(instance)
        {
            state.folder = Some(process.folder.clone());
        }
        if let Some(session) = process.agent.as_ref().and_then(|agent| agent.session.as_ref()) {
            self.fold_session(instance, session);
        }
    }
}
