//! Verdicts on what anybody said.

use std::collections::BTreeSet;

use backstay_model::event::{
    Answer, CancelRequested, EffectResolved, Event, FailureClass, Intervened, PlanChanged, PlanRef,
    QuestionAnswered, QuestionClosed, QuestionKind, Redefinition, RefusalCode, Reopened, Resolution,
    RunCancelled, RunCancelling, RunCompleted, RunFailed, RunResumed, RunStarted, RunSuspending, Settled,
    SkipReason, StepRedefined, StepSkip, StepSkipped, StepsRedefined, StepsReset, SuspendRequested, Verdict,
};
use backstay_model::{EffectCall, Scope, Seq, StepId};

use super::advance::Timers;
use super::place::Place;
use super::state::{LeafPhase, Phase, Progress, RunEnd, RunMachine, StepPhase};
use super::turn::Turn;
use super::values::may_be_json;

/// The answers to "what became of the work?".
pub(super) const DONE: &str = "done";
pub(super) const RERUN: &str = "rerun";
pub(super) const FAIL: &str = "fail";
/// Steps that one event resets: their ids have to fit into its payload.
const STEPS_PER_RESET_MAX: usize = 500;

/// Why an input is not taken.
struct Refusal {
    code: RefusalCode,
    message: String,
}

pub(super) fn refuse<T>(code: RefusalCode, message: impl Into<String>) -> Result<T, Verdict> {
    let Refusal { code, message } = Refusal { code, message: message.into() };
    Err(Verdict::Refused { code, message })
}

fn check_output(skip: &StepSkip) -> Result<(), Verdict> {
    if may_be_json(skip.output.as_ref()) {
        return Ok(());
    }
    refuse(RefusalCode::Malformed, format!("the output for `{}` is not one JSON value", skip.step))
}

impl RunMachine {
    /// What the owner would answer now, without deciding: advice for the sender before the append.
    ///
    /// # Errors
    /// The verdict, where it would be a refusal or another input was first.
    pub fn would_accept(&self, input: &Event) -> Result<(), Verdict> {
        match input {
            Event::RunRequested(_) => match self.phase {
                Phase::Empty | Phase::Requested => Ok(()),
                _ => refuse(RefusalCode::NotNow, "the run was already asked for"),
            },
            Event::SuspendRequested(_) if self.phase.is_steerable() => Ok(()),
            Event::SuspendRequested(_) => self.refuse_now("be suspended"),
            Event::ResumeRequested(_) if self.phase.is_steerable() => Ok(()),
            Event::ResumeRequested(_) => self.refuse_now("be resumed"),
            Event::CancelRequested(_)
                if self.phase.is_steerable() || matches!(self.phase, Phase::Cancelling { .. }) =>
            {
                Ok(())
            }
            Event::CancelRequested(_) => self.refuse_now("be cancelled"),
            Event::SkipRequested(wish) => self.would_skip(&wish.skip),
            Event::QuestionAnswered(answer) => self.would_answer(answer),
            Event::AskRequested(ask) => self.would_ask(ask),
            Event::Reopened(reopened) => self.would_reopen(reopened),
            Event::Intervened(intervened) => self.would_note(intervened),
            // Facts are nobody's input.
            _ => refuse(RefusalCode::Malformed, "not something that can be said to a run"),
        }
    }

    fn refuse_now(&self, what: &str) -> Result<(), Verdict> {
        refuse(RefusalCode::NotNow, format!("a run that {} cannot {what}", self.phase.describe()))
    }

    fn would_skip(&self, skip: &StepSkip) -> Result<(), Verdict> {
        check_output(skip)?;
        let Some(definition) = &self.definition else { return Ok(()) };
        let step = &skip.step;
        if definition.node(step).is_none() {
            return refuse(RefusalCode::UnknownStep, format!("the workflow has no step `{step}`"));
        }
        if !self.phase.is_steerable() {
            return self.refuse_now("leave out a step");
        }
        let Some(place) = self.current_place(definition, step) else {
            return refuse(RefusalCode::NotNow, format!("the loop around `{step}` has not begun"));
        };
        match self.steps.get(&place).map(|state| &state.phase) {
            None | Some(StepPhase::Waiting | StepPhase::Active(_)) => Ok(()),
            Some(StepPhase::Open) => refuse(
                RefusalCode::NotNow,
                format!("the group `{step}` is under way: leave out its steps instead"),
            ),
            Some(StepPhase::Done(_)) => {
                refuse(RefusalCode::NotNow, format!("the step `{step}` already has its result"))
            }
        }
    }

    /// What a person did has happened, whatever is said of it; but an ended run takes no facts.
    fn would_note(&self, intervened: &Intervened) -> Result<(), Verdict> {
        if matches!(self.phase, Phase::Empty | Phase::Ended(_)) {
            return self.refuse_now("be taken over");
        }
        match self.definition.as_ref().map(|definition| definition.node(&intervened.step)) {
            Some(None) => {
                refuse(RefusalCode::UnknownStep, format!("the workflow has no step `{}`", intervened.step))
            }
            Some(Some(_)) | None => Ok(()),
        }
    }

    fn would_answer(&self, answered: &QuestionAnswered) -> Result<(), Verdict> {
        let Some((_, question)) = self.questions.get(&answered.question) else {
            return match self.answered.get(&answered.question) {
                Some(Some(winner)) => Err(Verdict::Superseded { by: *winner }),
                Some(None) => refuse(RefusalCode::NotNow, "the question was closed without an answer"),
                None => refuse(
                    RefusalCode::UnknownQuestion,
                    format!("there is no question {}", answered.question),
                ),
            };
        };
        let choice = &answered.answer.choice;
        if !may_be_json(answered.answer.value.as_ref()) {
            return refuse(RefusalCode::InvalidAnswer, "the value is not one JSON value");
        }
        if let Some(verdict) = RunMachine::would_answer_ask(question, answered) {
            return verdict;
        }
        if question.options.iter().any(|option| option.name == *choice) {
            return Ok(());
        }
        let names: Vec<&str> = question.options.iter().map(|option| option.name.as_str()).collect();
        refuse(RefusalCode::InvalidAnswer, format!("`{choice}` is none of: {}", names.join(", ")))
    }

    fn would_reopen(&self, reopened: &Reopened) -> Result<(), Verdict> {
        if !matches!(self.phase, Phase::Ended(_) | Phase::Reopened { .. }) {
            return self.refuse_now("be tried again");
        }
        reopened.skip.iter().try_for_each(check_output)?;
        let Some(definition) = self.plan_for(reopened) else { return Ok(()) };
        for step in reopened.from.iter().chain(reopened.skip.as_ref().map(|skip| &skip.step)) {
            if definition.node(step).is_none() {
                return refuse(RefusalCode::UnknownStep, format!("the workflow has no step `{step}`"));
            }
        }
        let is_new_plan = |plan: &PlanRef| self.plan_ref().is_none_or(|own| own.plan != plan.plan);
        if self.to_do_anew(reopened).is_empty() && !reopened.plan.as_deref().is_some_and(is_new_plan) {
            let from = format!("name the step to begin from: `backstay retry {} --from STEP`", self.run);
            return refuse(RefusalCode::NotNow, format!("every step succeeded: {from}"));
        }
        Ok(())
    }

    /// The steps that are begun anew whatever their results are: those that somebody names, and those that a new plan
    /// brings or changes.
    fn to_begin_anew(&self, reopened: &Reopened) -> BTreeSet<StepId> {
        let is_of_plan = |step: &StepRedefined| step.redefinition != Redefinition::Removed;
        let redefined = self.redefined_by(reopened).into_iter().filter(is_of_plan).map(|step| step.step);
        named_by(reopened).cloned().chain(redefined).collect()
    }

    /// The steps to reset where a run is tried again, in the order of the plan.
    pub(super) fn to_do_anew(&self, reopened: &Reopened) -> Vec<StepId> {
        let Some(definition) = self.plan_for(reopened) else { return Vec::new() };
        let redefined = self.to_begin_anew(reopened);
        let mut anew = definition.downstream(redefined.iter());
        let is_unfinished = |step: &StepId| {
            if redefined.contains(step) {
                return true;
            }
            // What stands in a loop that has not begun is the loop's.
            let Some(place) = self.current_place(definition, step) else { return false };
            match self.steps.get(&place).map(|state| &state.phase) {
                Some(StepPhase::Done(result)) => result.held_back || result.status.is_unsuccessful(),
                _ => true,
            }
        };
        let main = definition.order.iter().filter(|step| !definition.is_in_finally(step));
        anew.extend(main.filter(|step| is_unfinished(step)).cloned());
        if anew.is_empty() && definition.order.iter().all(|step| !is_unfinished(step)) {
            return Vec::new();
        }
        let again = |step: &&StepId| anew.contains(*step) || definition.is_in_finally(step);
        definition.order.iter().filter(again).cloned().collect()
    }

    /// Those of `steps` that are loops and begin another pass: chosen, behind a chosen one, or exhausted.
    fn loops_anew(&self, reopened: &Reopened, steps: &[StepId]) -> Vec<StepId> {
        let Some(definition) = self.plan_for(reopened) else { return Vec::new() };
        let behind = definition.strictly_downstream(self.to_begin_anew(reopened).iter());
        let begins_anew = |step: &&StepId| {
            let Some(place) = self.current_place(definition, step) else { return false };
            let is_loop = definition.node(step).is_some_and(|node| node.step.repeat.is_some());
            let failure = self.result(&place).and_then(|result| result.failure);
            is_loop && (behind.contains(*step) || failure == Some(FailureClass::Exhausted))
        };
        steps.iter().filter(begins_anew).cloned().collect()
    }
}

/// The steps that a wish to try again names.
fn named_by(reopened: &Reopened) -> impl Iterator<Item = &StepId> {
    reopened.from.iter().chain(reopened.skip.as_ref().map(|skip| &skip.step))
}

impl Phase {
    /// Whether people can stop, continue or shorten it. What was asked for and has no owner yet begins with the wish that
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

    fn describe(&self) -> &'static str {
        match self {
            Phase::Empty => "was never asked for",
            Phase::Requested => "has not begun",
            Phase::Running => "is running",
            Phase::Suspending { .. } => "is being suspended",
            Phase::Suspended { .. } => "is suspended",
            Phase::Cancelling { .. } => "is being cancelled",
            Phase::Ended(RunEnd::Completed { .. }) => "completed",
            Phase::Ended(RunEnd::Failed { .. }) => "failed",
            Phase::Ended(RunEnd::Cancelled { .. }) => "was cancelled",
            Phase::Reopened { .. } => "is about to be tried again",
        }
    }
}

impl Turn<'_> {
    /// Gives the next input of the inbox its verdict, and emits what follows at once.
    pub(super) fn settle_next(&mut self) {
        let Some((seq, input)) = self.machine.inbox.front().cloned() else { return };
        let verdict = match self.machine.would_accept(&input) {
            Ok(()) => Verdict::Accepted,
            Err(verdict) => verdict,
        };
        let accepted = verdict == Verdict::Accepted;
        self.emit(Scope::Run, Settled { input: seq, verdict });
        if accepted {
            self.accept(seq, input);
        }
    }

    fn accept(&mut self, seq: Seq, input: Event) {
        match input {
            Event::RunRequested(_) => self.emit(Scope::Run, RunStarted {}),
            Event::SuspendRequested(SuspendRequested { by, reason })
                // A run that stands still, or is coming to it, already does what is wanted.
                if self.machine.phase == Phase::Running => {
                    self.emit(Scope::Run, RunSuspending { by, reason });
                }
            Event::ResumeRequested(wish) => {
                // A run that goes on already does what is wanted.
                if self.machine.phase != Phase::Running {
                    self.emit(Scope::Run, RunResumed { by: wish.by });
                }
                if wish.now {
                    self.fire_timers(Timers::All);
                }
            }
            Event::CancelRequested(CancelRequested { by, reason }) => {
                match self.machine.phase.clone() {
                    // Nothing is left to call off.
                    Phase::Cancelling { finally_too: true, .. } => {}
                    Phase::Cancelling { reason: first, .. } => {
                        let reason = first.or(reason);
                        self.emit(Scope::Run, RunCancelling { by, reason, finally_too: true });
                    }
                    _ => self.emit(Scope::Run, RunCancelling { by, reason, finally_too: false }),
                }
            }
            Event::SkipRequested(wish) => self.skip(seq, wish.skip),
            Event::QuestionAnswered(answered) => self.answer(seq, answered),
            Event::AskRequested(ask) => self.take_ask(ask),
            Event::Reopened(reopened) => self.reopen(seq, reopened),
            // `would_accept` refuses everything else.
            _ => {}
        }
    }

    /// Leaves out a step that is not in flight; one that is was marked by the verdict and is being stopped.
    fn skip(&mut self, seq: Seq, skip: StepSkip) {
        let StepSkip { step, output } = skip;
        let Some(place) = self.current_place(&step) else { return };
        let question = match self.machine.leaf(&place).map(|leaf| &leaf.phase) {
            Some(
                LeafPhase::Working(Progress::Begun)
                | LeafPhase::Reported
                | LeafPhase::Probing { progress: Progress::Begun, .. },
            ) => return,
            Some(LeafPhase::Doubt { question } | LeafPhase::Held { question }) => Some(*question),
            _ => None,
        };
        if let Some(question) = question {
            self.emit_at(&place, QuestionClosed { question, answered_by: Some(seq), choice: None });
        }
        self.skip_with_inner(&place, SkipReason::Asked { input: seq }, output);
    }

    pub(super) fn current_place(&self, step: &StepId) -> Option<Place> {
        self.machine.current_place(self.machine.definition.as_ref()?, step)
    }

    /// Emits that a step was left out, and with it all that is in it.
    pub(super) fn skip_with_inner(
        &mut self,
        place: &Place,
        reason: SkipReason,
        output: Option<backstay_model::Text>,
    ) {
        let Some(definition) = self.machine.definition.clone() else { return };
        self.emit_at(place, StepSkipped { reason, output });
        for inner in self.machine.with_inner_places(&definition, place).into_iter().skip(1) {
            // What does not fit into this append is left out with the next one.
            if self.machine.is_waiting(&inner) && !self.is_full() {
                let reason = SkipReason::Group { step: place.step.clone() };
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    fn answer(&mut self, seq: Seq, answered: QuestionAnswered) {
        let QuestionAnswered { question, answer: Answer { choice, value }, .. } = answered;
        let Some((place, asked)) = self.machine.questions.get(&question).cloned() else { return };
        self.emit_at(&place, QuestionClosed { question, answered_by: Some(seq), choice: None });
        match asked.kind {
            QuestionKind::LoopExhausted => return self.answer_exhausted(&place, &choice),
            QuestionKind::BudgetUsed => return self.answer_budget(&place, seq, &choice),
            // Who asked reads the answer in the log.
            QuestionKind::Asked => return,
            QuestionKind::AfterCrash => {}
        }
        let resolution = match choice.as_str() {
            DONE => Resolution::Done { value },
            RERUN => Resolution::NotDone,
            _ => Resolution::Failed,
        };
        let (effect, attempt) = (self.effect(&place, EffectCall::Main), self.machine.attempt(&place));
        self.emit_at(
            &place,
            EffectResolved { effect, attempt, by: Some(seq), resolution: resolution.clone() },
        );
        self.conclude_resolved(&place, attempt, resolution);
    }

    fn reopen(&mut self, seq: Seq, reopened: Reopened) {
        let steps = self.machine.to_do_anew(&reopened);
        let loops = self.machine.loops_anew(&reopened, &steps);
        let redefined = self.machine.redefined_by(&reopened);
        if let Some(plan) = reopened.plan {
            self.emit(Scope::Run, PlanChanged { input: seq, plan: *plan });
        }
        for steps in redefined.chunks(STEPS_PER_RESET_MAX) {
            self.emit(Scope::Run, StepsRedefined { steps: steps.to_vec() });
        }
        for steps in steps.chunks(STEPS_PER_RESET_MAX) {
            let loops = loops.iter().filter(|step| steps.contains(step)).cloned().collect();
            self.emit(Scope::Run, StepsReset { steps: steps.to_vec(), loops });
        }
        self.emit(Scope::Run, RunResumed { by: reopened.by });
        if let Some(StepSkip { step, output }) = reopened.skip {
            let Some(place) = self.current_place(&step) else { return };
            self.skip_with_inner(&place, SkipReason::Asked { input: seq }, output);
        }
    }

    /// The log opened the topic for a wish that was refused: what had ended ends again as it had.
    pub(super) fn end_again(&mut self, was: RunEnd) {
        match was {
            RunEnd::Completed { outputs } => self.emit(Scope::Run, RunCompleted { outputs }),
            RunEnd::Failed { step, reason } => self.emit(Scope::Run, RunFailed { step, reason }),
            RunEnd::Cancelled { reason } => self.emit(Scope::Run, RunCancelled { reason }),
        }
    }
}
