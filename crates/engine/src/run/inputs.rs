//! Verdicts on what anybody said.

use std::collections::BTreeSet;

use backstay_model::event::{
    Answer, CancelRequested, EffectResolved, FailureClass, InputEvent, PlanChanged, PlanRef,
    QuestionAnswered, QuestionClosed, QuestionKind, Redefinition, Reopened, Resolution, RunCancelling,
    RunResumed, RunStarted, RunSuspending, Settled, SkipReason, StepRedefined, StepSkip, StepSkipped,
    StepsRedefined, StepsReset, SuspendRequested, Verdict,
};
use backstay_model::limits::ANSWER_BYTES_MAX;
use backstay_model::{EffectCall, Scope, Seq, StepId, Text};

use super::instance::StepInstance;
use super::state::{Phase, RunMachine, StepPhase};
use super::values::may_be_json;
use crate::effect::{EffectPhase, Hold};
use crate::rejection::{Action, AnswerProblem, Malformation, Rejection};
use crate::topic::{DecisionPass, TopicMachine};

/// The answers to "what became of the work?".
pub(super) const DONE: &str = "done";
pub(super) const RERUN: &str = "rerun";
pub(super) const FAIL: &str = "fail";
/// Steps that one event resets: their scopes have to fit into its payload.
const STEPS_PER_RESET_MAX: usize = 500;

impl TopicMachine {
    /// What the owner would decide now of an input about `scope`, without deciding: advice for the sender before the
    /// append.
    ///
    /// # Errors
    /// [`Rejection`] where it would be refused, or another input was first.
    pub fn would_accept(&self, scope: &Scope, input: &InputEvent) -> Result<(), Rejection> {
        let run = &self.run;
        match input {
            InputEvent::RunRequested(_) => match run.phase {
                Phase::Empty | Phase::Requested => Ok(()),
                _ => Err(Rejection::RunExists),
            },
            InputEvent::SuspendRequested(_) => run.would_steer(Action::Suspend),
            InputEvent::ResumeRequested(_) => run.would_steer(Action::Resume),
            InputEvent::CancelRequested(_) if matches!(run.phase, Phase::Cancelling { .. }) => Ok(()),
            InputEvent::CancelRequested(_) => run.would_steer(Action::Cancel),
            InputEvent::SkipRequested(skip) => run.would_skip(scope, skip.output.as_ref()),
            InputEvent::QuestionAnswered(answer) => self.would_answer(answer),
            InputEvent::AskRequested(ask) => self.would_ask(ask),
            InputEvent::Reopened(reopened) => run.would_reopen(reopened),
            InputEvent::ManualIntervention(_) => run.would_note(scope),
        }
    }

    /// The scope of the current instance of `step`: what an input about the step names. None if the workflow has no such
    /// step, or the loop around it has not begun.
    #[must_use]
    pub fn scope_of(&self, step: &StepId) -> Option<Scope> {
        let plan = self.run.plan.as_ref()?;
        plan.node(step)?;
        self.run.current_instance(plan, step).map(|instance| instance.scope())
    }

    fn would_answer(&self, answered: &QuestionAnswered) -> Result<(), Rejection> {
        let question = answered.question;
        let Some(open) = self.questions.get(question) else {
            return Err(match self.questions.closed_by(question) {
                Some(Some(by)) => Rejection::AnsweredBefore { by },
                Some(None) => Rejection::QuestionClosed,
                None => Rejection::UnknownQuestion { question },
            });
        };
        let Answer { choice, value } = &answered.answer;
        if !may_be_json(value.as_ref()) {
            return Err(Rejection::Answer(AnswerProblem::Value));
        }
        if open.asked.kind == QuestionKind::Asked && open.asked.options.is_empty() {
            return check_free_answer(choice);
        }
        let options: Vec<String> = open.asked.options.iter().map(|option| option.name.clone()).collect();
        if options.contains(choice) {
            return Ok(());
        }
        Err(Rejection::Answer(AnswerProblem::NoOption { choice: choice.clone(), options }))
    }
}

fn check_free_answer(answer: &str) -> Result<(), Rejection> {
    match answer.len() {
        1..=ANSWER_BYTES_MAX => Ok(()),
        0 => Err(Rejection::Answer(AnswerProblem::Empty)),
        _ => Err(Rejection::Answer(AnswerProblem::Long { limit_bytes: ANSWER_BYTES_MAX })),
    }
}

impl RunMachine {
    fn rejects(&self, action: Action) -> Rejection {
        Rejection::Phase { phase: self.phase.clone(), action }
    }

    fn would_steer(&self, action: Action) -> Result<(), Rejection> {
        if self.phase.is_steerable() { Ok(()) } else { Err(self.rejects(action)) }
    }

    fn would_skip(&self, scope: &Scope, output: Option<&Text>) -> Result<(), Rejection> {
        check_output(scope, output)?;
        if self.plan.is_none() {
            return Ok(());
        }
        let step = self.known_step(scope)?;
        self.would_steer(Action::Skip)?;
        let instance = self.named_instance(scope, step)?;
        let step = || instance.step.clone();
        match self.steps.get(&instance).map(|state| &state.phase) {
            None | Some(StepPhase::Waiting | StepPhase::Active(_)) => Ok(()),
            Some(StepPhase::Open) => Err(Rejection::GroupUnderWay { step: step() }),
            Some(StepPhase::Done(_)) => Err(Rejection::StepDone { step: step() }),
        }
    }

    /// The step that `scope` is.
    fn known_step<'s>(&self, scope: &'s Scope) -> Result<&'s StepId, Rejection> {
        let is_known = |step: &&StepId| self.plan.as_ref().is_none_or(|plan| plan.node(step).is_some());
        scope.step_id().filter(is_known).ok_or_else(|| {
            let step = scope.step_id().map_or_else(|| scope.to_string(), ToString::to_string);
            Rejection::UnknownStep { step }
        })
    }

    /// The instance that `scope` is, if it is the current one of its step.
    fn named_instance(&self, scope: &Scope, step: &StepId) -> Result<StepInstance, Rejection> {
        let current = self.plan.as_ref().and_then(|plan| self.current_instance(plan, step));
        let current = current.ok_or_else(|| Rejection::NoCycle { step: step.clone() })?;
        if current.scope() == *scope {
            return Ok(current);
        }
        Err(Rejection::OldCycle { scope: scope.to_string(), step: step.clone() })
    }

    /// What a person did has happened, whatever is said of it; but an ended run takes no facts.
    fn would_note(&self, scope: &Scope) -> Result<(), Rejection> {
        if matches!(self.phase, Phase::Empty | Phase::Ended(_)) {
            return Err(self.rejects(Action::Intervene));
        }
        self.known_step(scope).map(|_| ())
    }

    fn would_reopen(&self, reopened: &Reopened) -> Result<(), Rejection> {
        if !matches!(self.phase, Phase::Ended(_) | Phase::Reopened { .. }) {
            return Err(self.rejects(Action::Retry));
        }
        if let Some(skip) = &reopened.skip {
            check_output(&skip.scope, skip.output.as_ref())?;
        }
        let Some(plan) = self.plan_for(reopened) else { return Ok(()) };
        for scope in named_by(reopened) {
            if scope.step_id().and_then(|step| plan.node(step)).is_none() {
                let step = scope.step_id().map_or_else(|| scope.to_string(), ToString::to_string);
                return Err(Rejection::UnknownStep { step });
            }
        }
        let is_new_plan =
            |brought: &PlanRef| self.request.as_ref().is_none_or(|request| request.plan != brought.plan);
        if self.to_do_anew(reopened).is_empty() && !reopened.plan.as_deref().is_some_and(is_new_plan) {
            return Err(Rejection::NothingToRetry);
        }
        Ok(())
    }

    /// The steps that are begun anew whatever their results are: those that somebody names, and those that a new plan
    /// brings or changes.
    fn to_begin_anew(&self, reopened: &Reopened) -> BTreeSet<StepId> {
        let is_of_plan = |step: &StepRedefined| step.redefinition != Redefinition::Removed;
        let redefined = self.redefined_by(reopened).into_iter().filter(is_of_plan).map(|step| step.step);
        named_by(reopened).filter_map(Scope::step_id).cloned().chain(redefined).collect()
    }

    /// The steps to reset where a run is tried again, in the order of the plan.
    pub(super) fn to_do_anew(&self, reopened: &Reopened) -> Vec<StepId> {
        let Some(plan) = self.plan_for(reopened) else { return Vec::new() };
        let redefined = self.to_begin_anew(reopened);
        let mut anew = plan.downstream(redefined.iter());
        let is_unfinished = |step: &StepId| {
            if redefined.contains(step) {
                return true;
            }
            // What stands in a loop that has not begun is the loop's.
            let Some(instance) = self.current_instance(plan, step) else { return false };
            match self.steps.get(&instance).map(|state| &state.phase) {
                Some(StepPhase::Done(result)) => result.held_back || result.status.is_unsuccessful(),
                _ => true,
            }
        };
        let main = plan.order.iter().filter(|step| !plan.is_in_finally(step));
        anew.extend(main.filter(|step| is_unfinished(step)).cloned());
        if anew.is_empty() && plan.order.iter().all(|step| !is_unfinished(step)) {
            return Vec::new();
        }
        let again = |step: &&StepId| anew.contains(*step) || plan.is_in_finally(step);
        plan.order.iter().filter(again).cloned().collect()
    }

    /// Those of `steps` that are loops and begin another pass: chosen, behind a chosen one, or exhausted.
    fn loops_anew(&self, reopened: &Reopened, steps: &[StepId]) -> Vec<StepId> {
        let Some(plan) = self.plan_for(reopened) else { return Vec::new() };
        let behind = plan.strictly_downstream(self.to_begin_anew(reopened).iter());
        let begins_anew = |step: &&StepId| {
            let Some(instance) = self.current_instance(plan, step) else { return false };
            let is_loop = plan.node(step).is_some_and(|node| node.step.repeat.is_some());
            let failure = self.result(&instance).and_then(|result| result.failure);
            is_loop && (behind.contains(*step) || failure == Some(FailureClass::Exhausted))
        };
        steps.iter().filter(begins_anew).cloned().collect()
    }
}

fn check_output(scope: &Scope, output: Option<&Text>) -> Result<(), Rejection> {
    if may_be_json(output) {
        return Ok(());
    }
    let step = scope.step_id().map_or_else(|| scope.to_string(), ToString::to_string);
    Err(Rejection::Malformed(Malformation::Output { step }))
}

/// The steps that a wish to try again names.
fn named_by(reopened: &Reopened) -> impl Iterator<Item = &Scope> {
    reopened.from.iter().chain(reopened.skip.as_ref().map(|skip| &skip.scope))
}

impl Phase {
    /// Whether people can stop, continue or shorten it. What was asked for and has no owner yet begins with the input that
    /// stands in the inbox before theirs, so it counts as running.
    fn is_steerable(&self) -> bool {
        match self {
            Phase::Requested
            | Phase::Running
            | Phase::Suspending { .. }
            | Phase::Suspended { .. }
            | Phase::Reopened { .. } => true,
            Phase::Empty | Phase::Cancelling { .. } | Phase::Ended(_) => false,
        }
    }
}

impl DecisionPass<'_> {
    /// Gives the next input of the inbox its verdict, and emits what follows at once.
    pub(crate) fn settle_next(&mut self) {
        let Some(received) = self.topic.inbox.next().cloned() else { return };
        let seq = received.seq;
        let verdict = match self.topic.would_accept(&received.scope, &received.input) {
            Ok(()) => Verdict::Accepted,
            Err(rejection) => rejection.verdict(),
        };
        let is_accepted = verdict.is_accepted();
        self.emit(Scope::root(), Settled { input: seq, verdict });
        if is_accepted {
            self.accept(seq, &received.scope, received.input);
        }
    }

    fn accept(&mut self, seq: Seq, scope: &Scope, input: InputEvent) {
        match input {
            InputEvent::RunRequested(_) => self.emit(Scope::root(), RunStarted {}),
            InputEvent::SuspendRequested(SuspendRequested { by, reason }) => {
                // A run that is suspended, or about to be, already does what is wanted.
                if *self.topic.phase() == Phase::Running {
                    self.emit(Scope::root(), RunSuspending { by, reason });
                }
            }
            InputEvent::ResumeRequested(resume) => {
                // A run that goes on already does what is wanted.
                if *self.topic.phase() != Phase::Running {
                    self.emit(Scope::root(), RunResumed { by: resume.by });
                }
            }
            InputEvent::CancelRequested(CancelRequested { by, reason }) => {
                match self.topic.phase().clone() {
                    // Nothing is left to call off.
                    Phase::Cancelling { finally_too: true, .. } => {}
                    Phase::Cancelling { reason: first, .. } => {
                        let reason = first.or(reason);
                        self.emit(Scope::root(), RunCancelling { by, reason, finally_too: true });
                    }
                    _ => self.emit(Scope::root(), RunCancelling { by, reason, finally_too: false }),
                }
            }
            InputEvent::SkipRequested(skip) => self.skip(seq, scope, skip.output),
            InputEvent::QuestionAnswered(answered) => self.answer(seq, answered),
            InputEvent::AskRequested(ask) => self.take_ask(ask),
            InputEvent::Reopened(reopened) => self.reopen(seq, reopened),
            // That a person worked in the session is folded with the verdict.
            InputEvent::ManualIntervention(_) => {}
        }
    }

    /// Leaves out a step that is not in flight; one that is was marked by the verdict and is being stopped.
    fn skip(&mut self, seq: Seq, scope: &Scope, output: Option<Text>) {
        let Some(instance) = StepInstance::of(scope) else { return };
        if self.topic.effects.is_busy(scope) {
            return;
        }
        let main = self.effect(&instance, EffectCall::Main);
        if let EffectPhase::InDoubt(Some(question)) | EffectPhase::Wanted(Hold::Answer(question)) =
            self.topic.effects.phase(&main)
        {
            self.emit_at(&instance, QuestionClosed { question, answered_by: Some(seq), choice: None });
        }
        self.skip_with_inner(&instance, SkipReason::Asked { input: seq }, output);
    }

    /// Emits that a step was left out, and with it all that is in it.
    pub(super) fn skip_with_inner(
        &mut self,
        instance: &StepInstance,
        reason: SkipReason,
        output: Option<Text>,
    ) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        self.emit_at(instance, StepSkipped { reason, output });
        for inner in self.topic.run.with_inner_instances(&plan, instance).into_iter().skip(1) {
            // What does not fit into this append is left out with the next one.
            if self.topic.run.is_waiting(&inner) && !self.is_full() {
                let reason = SkipReason::Group { scope: instance.scope() };
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    fn answer(&mut self, seq: Seq, answered: QuestionAnswered) {
        let QuestionAnswered { question, answer: Answer { choice, value }, .. } = answered;
        let Some(open) = self.topic.questions.get(question).cloned() else { return };
        self.emit(open.scope.clone(), QuestionClosed { question, answered_by: Some(seq), choice: None });
        let Some(instance) = StepInstance::of(&open.scope) else { return };
        match open.asked.kind {
            QuestionKind::LoopExhausted => return self.answer_exhausted(&instance, &choice),
            QuestionKind::BudgetUsed => return self.answer_budget(&instance, seq, &choice),
            // Who asked reads the answer in the log.
            QuestionKind::Asked => return,
            QuestionKind::AfterCrash => {}
        }
        let resolution = match choice.as_str() {
            DONE => Resolution::Done { value },
            RERUN => Resolution::NotDone,
            _ => Resolution::Failed,
        };
        let effect = self.effect(&instance, EffectCall::Main);
        let attempt = self.topic.effects.attempt(&effect);
        self.emit_at(
            &instance,
            EffectResolved { effect, attempt, by: Some(seq), resolution: resolution.clone() },
        );
        self.conclude_resolved(&instance, attempt, resolution);
    }

    fn reopen(&mut self, seq: Seq, reopened: Reopened) {
        let steps = self.topic.run.to_do_anew(&reopened);
        let loops = self.topic.run.loops_anew(&reopened, &steps);
        let redefined = self.topic.run.redefined_by(&reopened);
        let last = |step: &StepId| self.topic.run.last_scope(step);
        let scopes: Vec<(Scope, bool)> =
            steps.iter().map(|step| (last(step), loops.contains(step))).collect();
        if let Some(plan) = reopened.plan {
            self.emit(Scope::root(), PlanChanged { input: seq, plan: *plan });
        }
        for steps in redefined.chunks(STEPS_PER_RESET_MAX) {
            self.emit(Scope::root(), StepsRedefined { steps: steps.to_vec() });
        }
        for steps in scopes.chunks(STEPS_PER_RESET_MAX) {
            let loops = steps.iter().filter(|(_, is_anew)| *is_anew).map(|(scope, _)| scope.clone());
            let loops = loops.collect();
            let steps = steps.iter().map(|(scope, _)| scope.clone()).collect();
            self.emit(Scope::root(), StepsReset { steps, loops });
        }
        self.emit(Scope::root(), RunResumed { by: reopened.by });
        if let Some(StepSkip { scope, output }) = reopened.skip {
            let plan = self.topic.run.plan.clone();
            let current = plan
                .zip(scope.step_id())
                .and_then(|(plan, step)| self.topic.run.current_instance(&plan, step));
            let Some(instance) = current else { return };
            self.skip_with_inner(&instance, SkipReason::Asked { input: seq }, output);
        }
    }
}

impl RunMachine {
    /// The scope of the instance of `step` that was worked on last; of one that never was, the step alone.
    fn last_scope(&self, step: &StepId) -> Scope {
        let first = StepInstance { step: step.clone(), repetitions: Vec::new() };
        let instances = self.steps.range(first..).take_while(|(instance, _)| instance.step == *step);
        instances.last().map_or_else(|| Scope::step(step.clone()), |(instance, _)| instance.scope())
    }
}
