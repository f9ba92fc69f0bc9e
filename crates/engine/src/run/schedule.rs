//! What follows by itself: steps whose turn came, groups that are through, the run's end, work that can begin.

use std::sync::Arc;

use backstay_model::event::{
    CheckoutFree, EffectStarting, FactEvent, FailureClass, QuestionClosed, RunCancelled, RunCompleted,
    RunFailed, RunSuspended, SkipReason, StepSkipped, StepStarted, StepStatus, TimerFired,
};
use backstay_model::{EffectCall, EffectId, Scope, StepId};
use backstay_workflow::expression::{EvalError, Expression};
use backstay_workflow::plan::{Step, Verb};

use super::effect_spec::StepReferences;
use super::instance::{Repetition, StepInstance};
use super::plan_index::{Node, PlanIndex};
use super::state::{Phase, RunEnd, StepPhase};
use super::task::AgentTask;
use crate::StopReason;
use crate::effect::{EffectPhase, Hold};
use crate::topic::{DecisionPass, TopicMachine};

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

impl DecisionPass<'_> {
    /// Emits what follows until nothing new does, then begins what is wanted.
    pub(crate) fn schedule(&mut self) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        self.look_at_spaced_loops(&plan);
        loop {
            if self.is_full() {
                self.outcome.more_to_do = true;
                return;
            }
            let before = self.outcome.facts.len();
            let mut is_scheduled = false;
            match self.topic.phase().clone() {
                Phase::Empty | Phase::Requested | Phase::Suspended { .. } | Phase::Ended(_) => {}
                Phase::Reopened { was } => {
                    // An input that is accepted leads elsewhere.
                    if self.topic.inbox.is_empty() {
                        self.end_again(was);
                    }
                }
                Phase::Suspending { by, reason } => {
                    if !self.topic.effects.is_any_in_flight() {
                        self.emit(Scope::root(), RunSuspended { by, reason });
                    }
                }
                Phase::Running | Phase::Cancelling { .. } => {
                    self.fire_timers(Timers::Due);
                    self.look_at_agenda(&plan);
                    is_scheduled = true;
                }
            }
            let is_over = !is_scheduled || self.topic.run.agenda.is_empty();
            if self.outcome.facts.len() == before && is_over {
                break;
            }
        }
        self.outcome.more_to_do = !self.topic.inbox.is_empty();
        self.begin_wanted(&plan);
    }

    pub(super) fn emit_at(&mut self, instance: &StepInstance, fact: impl Into<FactEvent>) {
        self.emit(instance.scope(), fact);
    }

    /// The work of an instance.
    pub(super) fn effect(&self, instance: &StepInstance, call: EffectCall) -> EffectId {
        self.topic.effects.effect(instance.scope(), call)
    }

    /// The next pass of a loop whose cycles are spaced out is due without any news.
    fn look_at_spaced_loops(&mut self, plan: &Arc<PlanIndex>) {
        for (step, repeat) in plan.spaced() {
            let Some(instance) = self.topic.run.current_instance(plan, step) else { continue };
            let due_at = self.topic.run.next_pass_due(&instance, repeat);
            if due_at.is_some_and(|due_at| due_at <= self.context.now) {
                plan.node(step).into_iter().for_each(|node| self.topic.run.agenda.add(node.position));
            }
        }
    }

    /// Ends waits for a moment.
    pub(super) fn fire_timers(&mut self, timers: Timers) {
        let now = self.context.now;
        let is_over = |due_at| due_at <= now || timers == Timers::All;
        let over = self.topic.effects.waiting().take_while(|(_, due_at)| is_over(*due_at));
        let over: Vec<_> = over.map(|(effect, due_at)| (effect.scope.clone(), due_at)).collect();
        for (scope, due_at) in over {
            if self.is_full() {
                return;
            }
            self.emit(scope, TimerFired { due_at, fired_at: now });
        }
    }

    /// Looks at each step on the agenda, in the order of the plan.
    fn look_at_agenda(&mut self, plan: &Arc<PlanIndex>) {
        let mut from = 0;
        while let Some(position) = self.topic.run.agenda.take_from(from, plan.order.len()) {
            if self.is_full() {
                self.topic.run.agenda.add(position);
                return;
            }
            from = position + 1;
            if let Some(node) = plan.order.get(position).and_then(|step| plan.node(step)) {
                self.look_at(plan, node);
            }
        }
        if self.topic.run.agenda.is_empty() {
            self.end_part(plan);
        }
    }

    fn look_at(&mut self, plan: &Arc<PlanIndex>, node: &Node) {
        let Some(instance) = self.topic.run.current_instance(plan, &node.step.id) else { return };
        if self.topic.run.is_called_off(&node.step.id) {
            self.call_off(&instance);
        }
        if node.in_finally && !self.topic.run.agenda.has_finally() && !self.main_is_through(plan) {
            return;
        }
        match self.topic.run.steps.get(&instance).map(|state| &state.phase) {
            None | Some(StepPhase::Waiting) => self.try_to_open(plan, &instance, node),
            Some(StepPhase::Open) => match &node.step.repeat {
                Some(repeat) => self.turn_loop(plan, &instance, repeat),
                None => self.try_to_close(plan, &instance),
            },
            Some(StepPhase::Active(_) | StepPhase::Done(_)) => {}
        }
    }

    /// In a run that is being cancelled: what is not in flight is called off at once.
    fn call_off(&mut self, instance: &StepInstance) {
        if self.topic.run.is_waiting(instance) {
            self.skip_with_inner(instance, SkipReason::RunEnding, None);
        } else if self.topic.run.leaf(instance).is_some() && !self.topic.effects.is_busy(&instance.scope()) {
            let main = self.effect(instance, EffectCall::Main);
            if let EffectPhase::InDoubt(Some(question)) | EffectPhase::Wanted(Hold::Answer(question)) =
                self.topic.effects.phase(&main)
            {
                self.emit_at(instance, QuestionClosed { question, answered_by: None, choice: None });
            }
            self.finish(instance, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
        }
    }

    /// With nothing left to look at and nothing in flight: `finally` begins where the main part is through, and the run
    /// ends where all is.
    fn end_part(&mut self, plan: &Arc<PlanIndex>) {
        if self.topic.effects.is_any_open() || !self.main_is_through(plan) {
            return;
        }
        if self.topic.run.agenda.add_finally(plan.finally_from..plan.order.len()) {
            return;
        }
        // After the end nothing can be appended: what was said before it has its verdict first.
        if self.topic.inbox.is_empty() && plan.order.iter().all(|step| self.is_through(plan, step)) {
            self.end_run(plan);
        }
    }

    fn main_is_through(&self, plan: &PlanIndex) -> bool {
        let mut main = plan.order.iter().filter(|step| !plan.is_in_finally(step));
        main.all(|step| self.is_through(plan, step))
    }

    /// Whether the step has its result. What stands in a loop that never began has none and needs none.
    fn is_through(&self, plan: &PlanIndex, step: &StepId) -> bool {
        let instance = self.topic.run.current_instance(plan, step);
        instance.is_none_or(|instance| self.topic.run.result(&instance).is_some())
    }

    /// Starts a waiting step whose turn came, or leaves it out.
    fn try_to_open(&mut self, plan: &Arc<PlanIndex>, instance: &StepInstance, node: &Node) {
        let step = &node.step;
        if let Some(group) = self.topic.run.around(plan, instance) {
            match self.topic.run.steps.get(&group).map(|state| &state.phase) {
                Some(StepPhase::Open) => {}
                Some(StepPhase::Done(result)) => {
                    let reason = why_left_out(&group, result.status);
                    self.emit_at(instance, StepSkipped { reason, output: None });
                    return;
                }
                _ => return,
            }
        }
        let failed = self.topic.run.failed.as_ref();
        if !node.in_finally && failed.is_some_and(|failed| !plan.is_in_finally(&failed.step)) {
            let reason = match self.failed_need(plan, instance, node) {
                Some(need) => SkipReason::Upstream { scope: need.scope() },
                None => SkipReason::RunEnding,
            };
            self.skip_with_inner(instance, reason, None);
            return;
        }
        if !self.topic.run.is_turn_of(plan, instance, node) {
            return;
        }
        if let Some(condition) = &step.condition {
            match self.holds(plan, &instance.repetitions, condition) {
                Ok(true) => {}
                Ok(false) => {
                    let reason = SkipReason::Condition { expression: condition.source.clone() };
                    self.skip_with_inner(instance, reason, None);
                    return;
                }
                Err(error) => {
                    self.fail_expression(instance, format!("`if` of `{}`: {error}", step.id));
                    return;
                }
            }
        }
        self.emit_at(instance, StepStarted { agent: doer(&step.verb) });
    }

    /// Whether a condition that stands in `repetitions` is true.
    pub(super) fn holds(
        &self,
        plan: &PlanIndex,
        repetitions: &[Repetition],
        condition: &Expression,
    ) -> Result<bool, EvalError> {
        let mut references = StepReferences::default();
        references.expression(condition);
        condition.condition(&self.topic.values(plan, repetitions, &references))
    }

    /// The step before `instance`, in its list, that did not do what it should: what the first need that will not succeed
    /// was itself held back for, else that need.
    fn failed_need(&self, plan: &PlanIndex, instance: &StepInstance, node: &Node) -> Option<StepInstance> {
        let mut needs = node.step.needs.iter().map(|need| instance.sibling(need));
        let need = needs.find(|need| self.will_not_succeed(plan, need))?;
        let upstream = self.topic.run.result(&need).and_then(|result| result.upstream.as_ref());
        Some(upstream.map_or_else(|| need.clone(), |step| need.sibling(step)))
    }

    /// Whether the step did not do what it should, or is a group that still closes behind one that did not.
    fn will_not_succeed(&self, plan: &PlanIndex, instance: &StepInstance) -> bool {
        match self.topic.run.steps.get(instance).map(|state| &state.phase) {
            Some(StepPhase::Done(result)) => result.held_back || result.status.is_unsuccessful(),
            Some(StepPhase::Open) => {
                let inner = self.topic.run.instances(plan, instance);
                inner.iter().any(|inner| self.will_not_succeed(plan, inner))
            }
            _ => false,
        }
    }

    /// A step whose own expressions fail on the values at hand fails; what is in it is left out.
    pub(super) fn fail_expression(&mut self, instance: &StepInstance, message: String) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        self.finish(instance, StepStatus::Failed, None, Some(FailureClass::Expression), message, None);
        for inner in self.topic.run.with_inner_instances(&plan, instance).into_iter().skip(1) {
            // What does not fit into this append is left out with the next one.
            if self.topic.run.is_waiting(&inner) && !self.is_full() {
                let reason = why_left_out(instance, StepStatus::Failed);
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    /// What the steps of a group come to, once all have their results; none before.
    pub(super) fn sum_up(&self, plan: &PlanIndex, instance: &StepInstance) -> Option<(StepStatus, String)> {
        let inner = self.topic.run.instances(plan, instance);
        let results: Vec<_> =
            inner.iter().map(|inner| self.topic.run.result(inner)).collect::<Option<Vec<_>>>()?;
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

    fn try_to_close(&mut self, plan: &PlanIndex, instance: &StepInstance) {
        if let Some((status, summary)) = self.sum_up(plan, instance) {
            self.finish(instance, status, None, None, summary, None);
        }
    }

    fn end_run(&mut self, plan: &Arc<PlanIndex>) {
        if let Phase::Cancelling { reason, .. } = self.topic.phase() {
            let reason = reason.clone();
            self.emit(Scope::root(), RunCancelled { reason });
            return;
        }
        if let Some(failed) = self.topic.run.failed.clone() {
            let summary = self.topic.run.result(&failed).map_or("", |result| &result.summary);
            let reason = format!("{failed}: {summary}");
            self.emit(Scope::root(), RunFailed { reason, scope: Some(failed.scope()) });
            return;
        }
        match self.topic.outputs(plan) {
            Ok(outputs) => {
                let outputs = self.keep_text(outputs);
                self.emit(Scope::root(), RunCompleted { outputs });
            }
            Err(reason) => self.emit(Scope::root(), RunFailed { scope: None, reason }),
        }
    }

    /// The log opened the topic for an input that was refused: what had ended ends again as it had.
    fn end_again(&mut self, was: RunEnd) {
        match was {
            RunEnd::Completed { outputs } => self.emit(Scope::root(), RunCompleted { outputs }),
            RunEnd::Failed { scope, reason } => self.emit(Scope::root(), RunFailed { scope, reason }),
            RunEnd::Cancelled { reason } => self.emit(Scope::root(), RunCancelled { reason }),
        }
    }

    /// Emits the start of every effect that is wanted, where there is somebody to perform it.
    fn begin_wanted(&mut self, plan: &Arc<PlanIndex>) {
        let Some(host) = self.context.host.clone() else { return };
        let holds_checkout = self.context.holds_checkout;
        if holds_checkout && self.topic.checkout.busy().is_some() && self.topic.wants_to_write() {
            self.emit(Scope::root(), CheckoutFree {});
        }
        for (effect, attempt) in self.topic.wanted() {
            if self.is_full() {
                self.outcome.more_to_do = true;
                return;
            }
            let Some(instance) = StepInstance::of(&effect.scope) else { continue };
            let Some(node) = plan.node(&instance.step) else { continue };
            if !holds_checkout && may_change_folder(&node.step, effect.call) {
                continue;
            }
            if effect.call == EffectCall::Main && self.is_awaiting_budget(&instance) {
                self.outcome.more_to_do = true;
                continue;
            }
            match self.topic.effect_spec(plan, &instance, &node.step, effect.call, attempt) {
                Ok(spec) => {
                    let starting = EffectStarting {
                        effect,
                        attempt,
                        class: spec.class,
                        spec: spec.digest(),
                        preview: spec.preview(),
                        host: host.host.clone(),
                        boot: host.boot.clone(),
                        agent: spec.agent().map(AgentTask::starting),
                    };
                    self.emit_at(&instance, starting);
                    self.outcome.starts.push(spec);
                }
                Err(error) => {
                    self.fail_expression(&instance, format!("`{instance}`: {error}"));
                    self.outcome.more_to_do = true;
                }
            }
        }
    }
}

/// Why a step is left out whose group has its result already.
fn why_left_out(group: &StepInstance, status: StepStatus) -> SkipReason {
    let scope = group.scope();
    match status {
        StepStatus::Failed => SkipReason::Upstream { scope },
        StepStatus::Succeeded | StepStatus::Skipped | StepStatus::Cancelled => SkipReason::Group { scope },
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

/// Whether the work may change the folder of the run. Who makes a worktree leaves it alone, and so does who works in one.
fn may_change_folder(step: &Step, call: EffectCall) -> bool {
    call == EffectCall::Main
        && step.workspace.is_none()
        && !step.reads_only
        && !matches!(step.verb, Verb::Worktree(_))
}

impl TopicMachine {
    /// Whether the plan has work that may change the folder of the run.
    #[must_use]
    pub fn may_ever_write(&self) -> bool {
        let Some(plan) = &self.run.plan else { return false };
        let is_leaf = |step: &Step| !matches!(step.verb, Verb::Group { .. });
        plan.plan.walk().any(|step| is_leaf(step) && may_change_folder(step, EffectCall::Main))
    }

    /// Whether work is to begin that may change the folder of the run.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        let Some(plan) = &self.run.plan else { return false };
        self.wanted().into_iter().any(|(effect, _)| {
            let node = effect.scope.step_id().and_then(|step| plan.node(step));
            node.is_some_and(|node| may_change_folder(&node.step, effect.call))
        })
    }
}

impl super::RunMachine {
    /// Whether work of `scope` may begin in this phase of the run.
    pub(crate) fn may_begin(&self, scope: &Scope) -> bool {
        let in_finally =
            || self.plan.as_ref().zip(scope.step_id()).is_some_and(|(plan, step)| plan.is_in_finally(step));
        match self.phase {
            Phase::Running => true,
            Phase::Cancelling { finally_too, .. } => !finally_too && in_finally(),
            _ => false,
        }
    }

    /// Why the work in flight of `scope` is to be stopped; none where it goes on.
    pub(crate) fn stop_reason(&self, scope: &Scope) -> Option<StopReason> {
        let instance = StepInstance::of(scope)?;
        match self.phase {
            _ if self.leaf(&instance)?.skip.is_some() => Some(StopReason::Skip),
            Phase::Suspending { .. } => Some(StopReason::Suspend),
            _ if self.is_called_off(&instance.step) => Some(StopReason::Cancel),
            _ => None,
        }
    }

    /// Whether all that the step waits for has its result. What was left out before its turn counts only where all that it
    /// waits for has: the edges of a plan are those to the nearest steps.
    fn is_turn_of(&self, plan: &PlanIndex, instance: &StepInstance, node: &Node) -> bool {
        let mut waiting: Vec<&StepId> = node.step.needs.iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(need) = waiting.pop() {
            match self.result(&instance.sibling(need)) {
                None => return false,
                Some(result) if result.is_before_its_turn && seen.insert(need) => {
                    waiting.extend(plan.node(need).into_iter().flat_map(|node| &node.step.needs));
                }
                Some(_) => {}
            }
        }
        true
    }
}
