//! The machine of one topic, and how it folds.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_model::event::{
    AgentStarting, DecodeError, Event, FactEvent, InputEvent, PlanRef, QuestionAsked, QuestionKind,
    ResumeRequested, RunRequested, Said,
};
use backstay_model::{
    Attempt, Digest, EffectCall, EffectId, Epoch, Frame, QuestionId, Recorded, Root, RunId, Scope, Seq,
    Timestamp,
};

use super::checkout::CheckoutState;
use super::inbox::{Inbox, ReceivedInput};
use super::ownership::Ownership;
use super::questions::Questions;
use super::usage::UsageLedger;
use crate::EffectHost;
use crate::effect::{Desired, EffectLedger, EffectPhase, Hold, OutputRead};
use crate::run::{Phase, PlanIndex, RunMachine};

/// The machine of one topic.
#[derive(Clone, Debug)]
pub struct TopicMachine {
    head: Seq,
    pub(crate) inbox: Inbox,
    ownership: Ownership,
    pub(crate) effects: EffectLedger,
    pub(crate) questions: Questions,
    pub(crate) usage: UsageLedger,
    pub(crate) checkout: CheckoutState,
    pub(crate) run: RunMachine,
}

/// Folding.
impl TopicMachine {
    /// The machine of the topic of a run of which nothing is known yet.
    #[must_use]
    pub fn new(run: RunId) -> TopicMachine {
        TopicMachine {
            head: Seq(0),
            inbox: Inbox::default(),
            ownership: Ownership::default(),
            effects: EffectLedger::new(Root::Run(run)),
            questions: Questions::default(),
            usage: UsageLedger::default(),
            checkout: CheckoutState::default(),
            run: RunMachine::new(run),
        }
    }

    /// Folds one event of the topic. Events at or below the head were folded before and change nothing.
    ///
    /// # Errors
    /// [`DecodeError`] if the event is damaged or from a newer version; nothing was changed then.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), DecodeError> {
        if recorded.seq <= self.head {
            return Ok(());
        }
        let event = Event::decode(recorded)?;
        self.head = recorded.seq;
        match event {
            Event::Input(input) => self.receive(recorded.seq, &recorded.scope, input),
            Event::Fact(fact) => {
                self.ownership.fold(recorded.seq, &fact);
                self.fold(recorded.at, &recorded.scope, &fact);
            }
        }
        Ok(())
    }

    /// Takes note that the machine's own facts up to `seq` are durable: they were folded when they were decided.
    pub fn acknowledge(&mut self, seq: Seq) {
        self.head = self.head.max(seq);
    }

    /// Puts an input into the inbox. Nothing is decided by that, but a run that ended is open again.
    pub fn receive(&mut self, seq: Seq, scope: &Scope, input: InputEvent) {
        self.run.receive(&input);
        self.inbox.receive(ReceivedInput { seq, scope: scope.clone(), input });
    }

    /// Folds one fact that was decided at `at`.
    pub(crate) fn fold(&mut self, at: Timestamp, scope: &Scope, fact: &FactEvent) {
        self.checkout.fold(fact);
        self.fold_effects(scope, fact);
        match fact {
            FactEvent::Settled(settled) => {
                let received = self.inbox.settle(settled.input);
                if let Some(received) = received.filter(|_| settled.verdict.is_accepted()) {
                    if let InputEvent::ResumeRequested(ResumeRequested { now: true, .. }) = received.input {
                        // Their timers may need more than one append to fire.
                        self.effects.end_waits();
                    }
                    self.run.fold_accepted(&received);
                }
            }
            FactEvent::QuestionAsked(asked) => self.questions.fold_asked(scope, asked),
            FactEvent::QuestionClosed(closed) => {
                self.questions.fold_closed(closed);
            }
            FactEvent::BudgetRaised(raised) => self.usage.fold_raised(raised),
            FactEvent::AgentSaid(said) => {
                if let Said::Usage(usage) = &said.what {
                    let (starting, session) = self.run.agent_session(&said.effect);
                    self.usage.fold_usage(said, usage, starting, session);
                }
            }
            _ => {}
        }
        self.run.fold(at, scope, fact);
    }

    /// What a fact means for outside work.
    fn fold_effects(&mut self, scope: &Scope, fact: &FactEvent) {
        let effects = &mut self.effects;
        let main = effects.effect(scope.clone(), EffectCall::Main);
        // Whatever is told of a step ends that nothing could be told.
        if !scope.is_root() {
            effects.unstick(scope);
        }
        match fact {
            FactEvent::StepStarted(started) if started.agent.is_some() => {
                effects.want(&main, Hold::Nothing);
                effects.forgive_losses(&main);
            }
            FactEvent::StepSkipped(_) | FactEvent::StepFinished(_) => effects.settle_scope(scope),
            FactEvent::StepsReset(reset) => reset.steps.iter().for_each(|step| effects.settle_scope(step)),
            FactEvent::StepsRedefined(redefined) => {
                let retired = redefined.steps.iter().filter(|step| step.redefinition.retires_results());
                retired.for_each(|step| effects.settle_step(&step.step));
            }
            FactEvent::StepRetryScheduled(retry) => effects.want(&main, Hold::Until(retry.due_at)),
            FactEvent::StepContinues(continues) => {
                effects.want(&main, continues.wait.map_or(Hold::Nothing, |wait| Hold::Until(wait.until)));
            }
            FactEvent::TimerFired(_) => effects.hold(&main, Hold::Nothing),
            FactEvent::CycleStarted(started) => {
                // Results of the passes before the last one are not needed any more.
                let depth = scope.frames().len();
                effects.forget(|of| {
                    let cycle = of.frames().get(depth).filter(|_| of.is_in(scope));
                    matches!(cycle, Some(Frame::Cycle(cycle)) if cycle.saturating_add(1) < started.cycle)
                });
            }
            FactEvent::QuestionAsked(asked) if asked.kind == QuestionKind::BudgetUsed => {
                effects.hold(&main, Hold::Answer(asked.question));
            }
            FactEvent::QuestionClosed(closed)
                if effects.phase(&main) == EffectPhase::Wanted(Hold::Answer(closed.question)) =>
            {
                effects.hold(&main, Hold::Nothing);
            }
            FactEvent::EffectStarting(starting) => effects.fold_starting(starting),
            FactEvent::EffectRunning(running) => effects.fold_running(&running.effect, running.attempt),
            FactEvent::EffectStuck(stuck) => effects.fold_stuck(&stuck.effect, &stuck.message),
            FactEvent::AgentSaid(said) => {
                effects.fold_output(&said.effect, said.attempt, said.on, said.spool_end);
            }
            FactEvent::EffectFinished(finished) => effects.fold_finished(finished),
            FactEvent::EffectLost(lost) => effects.fold_lost(lost),
            FactEvent::EffectInDoubt(doubt) => effects.fold_in_doubt(doubt),
            FactEvent::EffectResolved(resolved) => effects.fold_resolved(resolved),
            // The rest is not about outside work.
            _ => {}
        }
    }
}

/// What is given from outside of the log: plans and texts, which the events name by digest.
impl TopicMachine {
    /// Takes the plan and the inputs that the run's request names by digest. Nothing is decided before.
    pub fn define(&mut self, plan: Arc<PlanIndex>) {
        self.run.define(plan);
    }

    /// Whether [`TopicMachine::define`] was called.
    #[must_use]
    pub fn is_defined(&self) -> bool {
        self.run.is_defined()
    }

    /// The plans that inputs bring and that were not given yet: nothing is decided about these inputs before.
    #[must_use]
    pub fn missing_plans(&self) -> Vec<PlanRef> {
        let brought = self.inbox.iter().filter_map(|received| match &received.input {
            InputEvent::Reopened(reopened) => reopened.plan.as_deref(),
            _ => None,
        });
        brought.filter(|plan| self.run.given_plan(plan).is_none()).cloned().collect()
    }

    /// Takes a plan that an input brings.
    pub fn give_plan(&mut self, plan: PlanRef, index: Arc<PlanIndex>) {
        self.run.give_plan(plan, index);
    }

    /// The blobs whose texts an expression of the plan may ask for and that were not given yet.
    #[must_use]
    pub fn missing_texts(&self) -> Vec<Digest> {
        self.run.missing_texts()
    }

    /// Takes the text of a blob.
    pub fn give_text(&mut self, digest: Digest, text: Arc<str>) {
        self.run.give_text(digest, text);
    }
}

/// Reading.
impl TopicMachine {
    /// The run that the topic is of.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run.id()
    }

    /// The number of the last event that was folded.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The number of the last input that was folded: what `NoInputAfter` is asked with.
    #[must_use]
    pub fn last_input(&self) -> Seq {
        self.inbox.last()
    }

    /// The epoch of the last owner that was folded; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.ownership.epoch()
    }

    /// The number of the last event by which an owner came or went: a claim, a release, or the run's end.
    #[must_use]
    pub fn handover(&self) -> Seq {
        self.ownership.handover()
    }

    /// Where the run stands.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        self.run.phase()
    }

    /// The run's first event, once it was folded, with what later plans put in place of its own.
    #[must_use]
    pub fn request(&self) -> Option<&RunRequested> {
        self.run.request()
    }

    /// The plan that the run goes by, as stored; none before its first event.
    #[must_use]
    pub fn plan_ref(&self) -> Option<PlanRef> {
        self.request().map(RunRequested::plan_ref)
    }

    /// Whether inputs wait for a verdict.
    #[must_use]
    pub fn has_unsettled_inputs(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The questions that wait for an answer, each with what waits for it.
    pub fn open_questions(&self) -> impl Iterator<Item = (&Scope, &QuestionAsked)> {
        self.questions.open().map(|open| (&open.scope, &open.asked))
    }

    /// The first question that waits for an answer.
    #[must_use]
    pub(crate) fn first_question(&self) -> Option<QuestionId> {
        self.questions.open().next().map(|open| open.asked.question)
    }

    /// Where the last attempt of `effect` was begun, if one was.
    #[must_use]
    pub fn effect_host(&self, effect: &EffectId) -> Option<&EffectHost> {
        self.effects.host(effect)
    }

    /// How much of the output of an attempt the log knows.
    #[must_use]
    pub fn output_read(&self, effect: &EffectId, attempt: Attempt) -> OutputRead {
        self.effects.output_read(effect, attempt)
    }

    /// How the agent of the attempt in flight of `effect` was started, if it is known by a preset.
    #[must_use]
    pub fn agent_starting(&self, effect: &EffectId) -> Option<&AgentStarting> {
        self.run.agent_starting(effect)
    }

    /// How long the work of `effect` may be silent, in milliseconds of awake time.
    #[must_use]
    pub fn idle_timeout_ms(&self, effect: &EffectId) -> Option<u64> {
        self.run.idle_timeout_ms(effect)
    }

    /// The JSON Schema of the output of `effect`'s step, if it has one.
    #[must_use]
    pub fn schema(&self, effect: &EffectId) -> Option<&str> {
        self.run.schema(effect)
    }

    /// The outside work that this state calls for, by effect. Costs what is in flight, not what is in the run.
    #[must_use]
    pub fn desired(&self) -> BTreeMap<EffectId, Desired> {
        if !self.is_defined() {
            return BTreeMap::new();
        }
        let wanted = self.wanted().into_iter().map(|(effect, attempt)| (effect, Desired::Start(attempt)));
        let in_flight = self.effects.open().filter(|(_, phase)| phase.is_in_flight()).map(|(effect, _)| {
            let attempt = self.effects.attempt(effect);
            let stop = self.run.stop_reason(&effect.scope);
            let desired = stop.map_or(Desired::Hold(attempt), |reason| Desired::Stop(attempt, reason));
            (effect.clone(), desired)
        });
        wanted.chain(in_flight).collect()
    }

    /// The effects that can begin, where the phase of the run lets them.
    pub(crate) fn wanted(&self) -> Vec<(EffectId, Attempt)> {
        let may_begin = |(effect, _): &(&EffectId, Attempt)| self.run.may_begin(&effect.scope);
        let wanted = self.effects.wanted().filter(may_begin);
        wanted.map(|(effect, attempt)| (effect.clone(), attempt)).collect()
    }
}
