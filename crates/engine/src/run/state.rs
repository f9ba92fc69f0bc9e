//! What a run's machine remembers: what deciding needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use backstay_model::event::{
    Actor, AgentStarting, CheckoutBusy, Event, FailureClass, PlanRef, QuestionAsked, RunRequested,
    StepStatus, SuspendReason,
};
use backstay_model::{
    Attempt, Digest, EffectCall, EffectId, Epoch, ObjectId, QuestionId, RunId, Seq, StepId, StorePath, Text,
    Timestamp,
};

use super::Definition;
use super::agents::{AgentTurn, SaidUntil};
use super::budget::Used;
use super::place::Place;
use crate::Performer;
use crate::record::{LimitWait, RetryWait};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is in the topic yet.
    Empty,
    /// It was asked for and has not begun.
    Requested,
    /// Its steps are worked on.
    Running,
    /// What is in flight is being stopped, so that it can stand still.
    Suspending {
        /// Who wanted it.
        by: Actor,
        /// Why.
        reason: SuspendReason,
    },
    /// It stands still.
    Suspended {
        /// Who wanted it.
        by: Actor,
        /// Why.
        reason: SuspendReason,
    },
    /// What is in flight is being stopped, then `finally` runs, then it ends.
    Cancelling {
        /// Why, in the words of who wanted it.
        reason: Option<String>,
        /// Whether `finally` is stopped too.
        finally_too: bool,
    },
    /// It ended.
    Ended(RunEnd),
    /// It had ended, and somebody wants it to go on.
    Reopened {
        /// How it had ended.
        was: RunEnd,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// As it should.
    Completed {
        /// The workflow's outputs.
        outputs: Text,
    },
    /// With a failure.
    Failed {
        /// The step that failed first.
        step: Option<StepId>,
        /// Why.
        reason: String,
    },
    /// Because somebody wanted it to.
    Cancelled {
        /// Why, in their words.
        reason: Option<String>,
    },
}

/// One piece of outside work, by how far it is known to have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is to be started.
    Wanted,
    /// Its start is durable.
    Begun,
}

/// Where a leaf step stands between its start and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LeafPhase {
    /// Its work is wanted or in flight.
    Working(Progress),
    /// The report of its attempt is in; the step's result follows in the same append.
    Reported,
    /// The next attempt waits for a moment.
    Backoff {
        /// That moment.
        due_at: Timestamp,
        /// What went wrong with the last one.
        after: FailureClass,
    },
    /// A person is asked whether more may be used, before the attempt begins.
    Held {
        /// The question.
        question: QuestionId,
    },
    /// A person is asked what became of the attempt.
    Doubt {
        /// The question.
        question: QuestionId,
    },
    /// A probe is asked what became of the attempt.
    Probing {
        /// The probe's own attempt.
        attempt: Attempt,
        /// How far it is.
        progress: Progress,
        /// Probes lost in a row.
        losses: u32,
    },
}

/// A leaf step whose turn came and that has no result yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) phase: LeafPhase,
    /// Attempts of it that failed, since the step was last reset.
    pub(super) failures: u32,
    /// Attempts of it that were lost in a row.
    pub(super) losses: u32,
    /// Somebody wants it left out: the input's number and the output to show.
    pub(super) skip: Option<(Seq, Option<Text>)>,
    /// How the attempts of its agent follow each other.
    pub(super) agent: Box<AgentTurn>,
}

/// What a step with a result left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepResult {
    pub(super) status: StepStatus,
    pub(super) exit_code: Option<i32>,
    pub(super) failure: Option<FailureClass>,
    pub(super) summary: String,
    pub(super) output: Option<Text>,
    /// True if it was left out because something before it failed or the run was ending, not by choice.
    pub(super) held_back: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum StepPhase {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// A group whose steps are worked on.
    Open,
    /// A leaf that is worked on.
    Active(Leaf),
    /// It has its result.
    Done(StepResult),
}

/// A step, and what stays of it over resets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StepState {
    pub(super) phase: StepPhase,
    /// The last attempt that was begun or is wanted; 0 before the first. Goes on after a reset.
    pub(super) attempt: Attempt,
    /// The last attempt of its probe.
    pub(super) probe_attempt: Attempt,
    /// When its work began, and before that when its turn came; later by the time in which the run was suspended since.
    pub(super) started_at: Option<Timestamp>,
    /// Whether an attempt began since its turn came: until then it may wait for its checkout.
    pub(super) has_begun: bool,
    /// The folder of the last attempt, relative to the store.
    pub(super) folder: Option<StorePath>,
    /// The files that its last attempt left, as far as they are known.
    pub(super) files: Option<Files>,
    /// The last attempt of which is known how to find it.
    pub(super) running: Option<(EffectCall, Attempt)>,
    /// The machine and its boot on which the last attempt or probe was begun.
    pub(super) begun_on: Option<Performer>,
    pub(super) log: Option<Text>,
    pub(super) artifacts: Vec<StorePath>,
    /// Why nobody can say for now what becomes of the last attempt.
    pub(super) stuck: Option<String>,
    /// The last attempt whose stream said something, and the offset behind that.
    pub(super) said: Option<(Attempt, SaidUntil)>,
    /// Of a loop: the pass it is in.
    pub(super) pass: Pass,
}

/// The files that an attempt left behind: equal where they are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Those of a checkout: the id of its tree.
    Tree(ObjectId),
    /// Those of a checkout whose tree does not have all of them.
    TreeAndOmitted {
        /// The id of its tree.
        tree: ObjectId,
        /// The digest of what is not in the tree.
        omitted: Digest,
    },
    /// Those of a folder outside of any checkout.
    Folder(Digest),
}

/// Where a loop stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// The number of the current pass, or of the last one; 0 before the first.
    pub(super) cycle: u32,
    /// Which one it is of those allowed.
    pub(super) nth: u32,
    /// It only does again what the condition needs.
    pub(super) is_check: bool,
    pub(super) began_at: Option<Timestamp>,
    /// Passes before it, in a row, that were the same as the one before each.
    pub(super) unchanged_in_a_row: u32,
    /// The first pass that later ones are compared with: those before it were looked at by who went on with the run.
    pub(super) compared_from: u32,
    /// The next pass is the first of as many as are allowed.
    pub(super) begins_anew: bool,
    /// The question what to do after the last allowed pass.
    pub(super) question: Option<QuestionId>,
}

impl StepState {
    /// The last attempt whose start is durable; 0 before the first.
    pub(super) fn last_begun(&self) -> Attempt {
        let is_wanted = matches!(
            &self.phase,
            StepPhase::Active(Leaf {
                phase: LeafPhase::Working(Progress::Wanted)
                    | LeafPhase::Backoff { .. }
                    | LeafPhase::Held { .. },
                ..
            })
        );
        Attempt(self.attempt.0.saturating_sub(u32::from(is_wanted)))
    }
}

/// The machine of one run.
#[derive(Clone, Debug)]
pub struct RunMachine {
    pub(super) run: RunId,
    pub(super) head: Seq,
    pub(super) last_input: Seq,
    /// The greatest epoch that was folded; 0 before the first owner.
    pub(super) epoch: Epoch,
    /// The last event by which an owner came or went.
    pub(super) handover: Seq,
    pub(super) request: Option<RunRequested>,
    pub(super) definition: Option<Arc<Definition>>,
    pub(super) phase: Phase,
    pub(super) inbox: VecDeque<(Seq, Event)>,
    /// Since when it is suspended.
    pub(super) paused_at: Option<Timestamp>,
    /// Of a loop, the current pass and the one before.
    pub(super) steps: BTreeMap<Place, StepState>,
    /// Leaves between start and result: all that `desired` has to look at.
    pub(super) active: BTreeSet<Place>,
    /// The session that each step worked in last, by the agent's preset.
    pub(super) sessions: BTreeMap<(StepId, String), String>,
    /// What the agents told that they used.
    pub(super) used: Used,
    /// The first step of the main part that failed, since the last reset.
    pub(super) failed: Option<Place>,
    pub(super) questions: BTreeMap<QuestionId, (Place, QuestionAsked)>,
    /// Who works in the checkout that the run waits for.
    pub(super) checkout_busy: Option<CheckoutBusy>,
    /// Closed questions, with the input that answered.
    pub(super) answered: BTreeMap<QuestionId, Option<Seq>>,
    /// Plans that inputs bring, given by the runtime. Not state: the same digest is always the same plan.
    pub(super) plans: Vec<(PlanRef, Arc<Definition>)>,
    /// What stays of steps that a new plan does not have, or has elsewhere: numbers that are never used twice.
    pub(super) retired: BTreeMap<Place, StepState>,
    /// Texts of blobs, given by the runtime. Not state: the same digest is always the same text.
    pub(super) texts: BTreeMap<Digest, Arc<str>>,
}

impl RunMachine {
    /// The machine of a run of which nothing is known yet.
    #[must_use]
    pub fn new(run: RunId) -> RunMachine {
        RunMachine {
            run,
            head: Seq(0),
            last_input: Seq(0),
            epoch: Epoch(0),
            handover: Seq(0),
            request: None,
            definition: None,
            phase: Phase::Empty,
            inbox: VecDeque::new(),
            paused_at: None,
            steps: BTreeMap::new(),
            active: BTreeSet::new(),
            sessions: BTreeMap::new(),
            used: Used::default(),
            failed: None,
            questions: BTreeMap::new(),
            checkout_busy: None,
            answered: BTreeMap::new(),
            plans: Vec::new(),
            retired: BTreeMap::new(),
            texts: BTreeMap::new(),
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The number of the last input that was folded: what `NoInputAfter` is asked with.
    #[must_use]
    pub fn last_input(&self) -> Seq {
        self.last_input
    }

    /// The epoch of the last owner that was folded; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the last event by which an owner came or went: a claim, a release, or the run's end.
    #[must_use]
    pub fn handover(&self) -> Seq {
        self.handover
    }

    /// Where the run stands.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The run's first event, once it was folded, with what later plans put in place of its own.
    #[must_use]
    pub fn request(&self) -> Option<&RunRequested> {
        self.request.as_ref()
    }

    /// Whether inputs wait for a verdict.
    #[must_use]
    pub fn has_unsettled_inputs(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The questions that wait for an answer.
    pub fn open_questions(&self) -> impl Iterator<Item = &QuestionAsked> {
        self.questions.values().map(|(_, asked)| asked)
    }

    /// The next moment that something here waits for.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        if !matches!(self.phase, Phase::Running | Phase::Cancelling { .. }) {
            return None;
        }
        let due = |place: &Place| match self.leaf(place).map(|leaf| &leaf.phase) {
            Some(LeafPhase::Backoff { due_at, .. }) => Some(*due_at),
            _ => None,
        };
        self.active.iter().filter_map(due).chain(self.next_ask_due()).chain(self.next_passes_due()).min()
    }

    /// Takes the plan and the inputs that the request names by digest. Nothing is decided before.
    pub fn define(&mut self, definition: Arc<Definition>) {
        self.definition = Some(definition);
    }

    /// Whether [`RunMachine::define`] was called.
    #[must_use]
    pub fn is_defined(&self) -> bool {
        self.definition.is_some()
    }

    /// Takes the text of a blob.
    pub fn give_text(&mut self, digest: Digest, text: Arc<str>) {
        self.texts.insert(digest, text);
    }

    /// Forgets the texts that no step of a current pass has any more: a loop of a thousand passes would keep a thousand.
    pub(super) fn forget_texts(&mut self) {
        let output = |state: &StepState| match &state.phase {
            StepPhase::Done(result) => result.output.as_ref().and_then(Text::blob),
            _ => None,
        };
        let named = |state: &StepState| [output(state), state.log.as_ref().and_then(Text::blob)];
        let kept: BTreeSet<Digest> = self.steps.values().flat_map(named).flatten().collect();
        self.texts.retain(|digest, _| kept.contains(digest));
    }

    /// The blobs whose texts an expression of the plan may ask for and that were not given yet.
    #[must_use]
    pub fn missing_texts(&self) -> Vec<Digest> {
        let brought = self.plans.iter().map(|(_, definition)| definition);
        let definitions: Vec<_> = self.definition.iter().chain(brought).collect();
        let mut missing = BTreeSet::new();
        for (place, state) in &self.steps {
            if !definitions.iter().any(|definition| definition.is_named(&place.step)) {
                continue;
            }
            let output = match &state.phase {
                StepPhase::Done(result) => result.output.as_ref(),
                _ => None,
            };
            let digests = [output, state.log.as_ref()].into_iter().flatten().filter_map(Text::blob);
            missing.extend(digests.filter(|digest| !self.texts.contains_key(digest)));
        }
        missing.into_iter().collect()
    }

    /// Where the work in flight of `effect` was begun, if it was.
    #[must_use]
    pub fn begun_on(&self, effect: &EffectId) -> Option<&Performer> {
        self.steps.get(&Place::of(&effect.scope)?)?.begun_on.as_ref()
    }

    /// How much of what an attempt said the log knows.
    #[must_use]
    pub fn said_until(&self, effect: &EffectId, attempt: Attempt) -> SaidUntil {
        let state = Place::of(&effect.scope).and_then(|place| self.steps.get(&place));
        match state.and_then(|state| state.said) {
            Some((said, until)) if said == attempt && effect.call == EffectCall::Main => until,
            _ => SaidUntil::default(),
        }
    }

    /// How the agent of the attempt in flight of `effect` was started, if it is known by a preset.
    #[must_use]
    pub fn agent_starting(&self, effect: &EffectId) -> Option<&AgentStarting> {
        self.leaf(&Place::of(&effect.scope)?)?.agent.starting.as_ref()
    }

    /// How long the work of `effect` may be silent, in milliseconds of awake time.
    #[must_use]
    pub fn idle_timeout_ms(&self, effect: &EffectId) -> Option<u64> {
        self.definition.as_ref()?.node(effect.scope.step_id()?)?.step.idle_timeout_ms
    }

    /// The JSON Schema of the output of `effect`'s step, if it has one.
    #[must_use]
    pub fn schema(&self, effect: &EffectId) -> Option<&str> {
        self.definition.as_ref()?.node(effect.scope.step_id()?)?.step.schema.as_deref()
    }

    /// The limit that is waited for: the first that ends.
    #[must_use]
    pub fn waits_for_limit(&self) -> Option<&LimitWait> {
        let waits = |place: &Place| match self.leaf(place)? {
            Leaf { phase: LeafPhase::Backoff { .. }, agent, .. } => agent.waits_for.as_ref(),
            _ => None,
        };
        self.active.iter().filter_map(waits).min_by_key(|limit| limit.until)
    }

    /// The next attempt that waits for a moment, which is no limit's end: the first that is due.
    #[must_use]
    pub fn waits_for_retry(&self) -> Option<RetryWait> {
        let waits = |place: &Place| match self.leaf(place)? {
            Leaf { phase: LeafPhase::Backoff { due_at, after }, agent, .. } if agent.waits_for.is_none() => {
                let (step, attempt) = (place.step.clone(), self.attempt(place));
                Some(RetryWait { step, attempt, failure: *after, until: *due_at })
            }
            _ => None,
        };
        self.active.iter().filter_map(waits).min_by_key(|retry| retry.until)
    }

    pub(super) fn leaf(&self, place: &Place) -> Option<&Leaf> {
        match self.steps.get(place).map(|state| &state.phase) {
            Some(StepPhase::Active(leaf)) => Some(leaf),
            _ => None,
        }
    }

    pub(super) fn leaf_mut(&mut self, place: &Place) -> Option<&mut Leaf> {
        match self.steps.get_mut(place).map(|state| &mut state.phase) {
            Some(StepPhase::Active(leaf)) => Some(leaf),
            _ => None,
        }
    }

    pub(super) fn result(&self, place: &Place) -> Option<&StepResult> {
        match self.steps.get(place).map(|state| &state.phase) {
            Some(StepPhase::Done(result)) => Some(result),
            _ => None,
        }
    }

    /// Where the loop stands.
    pub(super) fn pass(&self, place: &Place) -> Pass {
        self.steps.get(place).map(|state| state.pass).unwrap_or_default()
    }

    pub(super) fn is_waiting(&self, place: &Place) -> bool {
        self.steps.get(place).is_none_or(|state| state.phase == StepPhase::Waiting)
    }

    pub(super) fn attempt(&self, place: &Place) -> Attempt {
        self.steps.get(place).map_or(Attempt(0), |state| state.attempt)
    }

    /// Whether the step is to end with the run that is being cancelled. `finally` is not, before the second wish.
    pub(super) fn is_called_off(&self, step: &StepId) -> bool {
        let in_finally = self.definition.as_ref().is_some_and(|definition| definition.is_in_finally(step));
        matches!(self.phase, Phase::Cancelling { finally_too, .. } if finally_too || !in_finally)
    }

    pub(super) fn is_known_to_run(&self, place: &Place, call: EffectCall, attempt: Attempt) -> bool {
        self.steps.get(place).is_some_and(|state| state.running == Some((call, attempt)))
    }

    /// How often the probe of a step was lost in a row.
    pub(super) fn probe_losses(&self, place: &Place) -> u32 {
        match self.leaf(place).map(|leaf| &leaf.phase) {
            Some(LeafPhase::Probing { losses, .. }) => *losses,
            _ => 0,
        }
    }

    pub(super) fn effect(&self, place: &Place, call: EffectCall) -> EffectId {
        EffectId { run: self.run, scope: place.scope(), call }
    }
}
