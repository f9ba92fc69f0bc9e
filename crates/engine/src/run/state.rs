//! What a run's machine remembers: what deciding needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_model::event::{
    Actor, AgentStarting, FailureClass, PlanRef, RunRequested, StepStatus, SuspendReason,
};
use backstay_model::{
    Digest, EffectId, ObjectId, QuestionId, RunId, Scope, Seq, StepId, StorePath, Text, Timestamp,
};

use super::PlanIndex;
use super::agenda::Agenda;
use super::agent_attempts::AgentAttempts;
use super::instance::StepInstance;

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
        scope: Option<Scope>,
        /// Why.
        reason: String,
    },
    /// Because somebody wanted it to.
    Cancelled {
        /// Why, in their words.
        reason: Option<String>,
    },
}

/// A leaf step whose turn came and that has no result yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Attempts of it that failed, since the step was last reset.
    pub(super) failures: u32,
    /// What went wrong with the last attempt, where another one follows.
    pub(super) last_failure: Option<FailureClass>,
    /// Somebody wants it left out: the input's number and the output to show.
    pub(super) skip: Option<(Seq, Option<Text>)>,
    /// How the attempts of its agent follow each other.
    pub(super) agent: Box<AgentAttempts>,
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
    /// The step whose failure it was held back for, as far as that is known.
    pub(super) upstream: Option<StepId>,
    /// True if it was left out before its turn came: what it waits for may have no results yet.
    pub(super) is_before_its_turn: bool,
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
    /// When its work began, and before that when its turn came; later by the time in which the run was suspended since.
    pub(super) started_at: Option<Timestamp>,
    /// Whether an attempt began since its turn came: until then it may wait for its checkout.
    pub(super) has_begun: bool,
    /// The folder of the last attempt, relative to the store.
    pub(super) folder: Option<StorePath>,
    /// The files that its last attempt left, as far as they are known.
    pub(super) files: Option<Files>,
    pub(super) log: Option<Text>,
    pub(super) artifacts: Vec<StorePath>,
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

/// The machine of one run: the root of its topic, or a child in that of another run.
#[derive(Clone, Debug)]
pub struct RunMachine {
    pub(super) run: RunId,
    pub(super) request: Option<RunRequested>,
    pub(super) plan: Option<Arc<PlanIndex>>,
    pub(super) phase: Phase,
    /// Since when it is suspended.
    pub(super) paused_at: Option<Timestamp>,
    /// Of a loop, the current pass and the one before.
    pub(super) steps: BTreeMap<StepInstance, StepState>,
    /// The session that each step worked in last, by the agent's preset.
    pub(super) sessions: BTreeMap<(StepId, String), String>,
    /// The first step of the main part that failed, since the last reset.
    pub(super) failed: Option<StepInstance>,
    /// Plans that inputs bring, given by the runtime. Not state: the same digest is always the same plan.
    pub(super) plans: Vec<(PlanRef, Arc<PlanIndex>)>,
    /// What stays of steps that a new plan does not have, or has elsewhere: numbers that are never used twice.
    pub(super) retired: BTreeMap<StepInstance, StepState>,
    /// Texts of blobs, given by the runtime. Not state: the same digest is always the same text.
    pub(super) texts: BTreeMap<Digest, Arc<str>>,
    /// The steps to look at. Not state: it follows from what was folded since the last look.
    pub(super) agenda: Agenda,
}

impl RunMachine {
    /// The machine of a run of which nothing is known yet.
    pub(crate) fn new(run: RunId) -> RunMachine {
        RunMachine {
            run,
            request: None,
            plan: None,
            phase: Phase::Empty,
            paused_at: None,
            steps: BTreeMap::new(),
            sessions: BTreeMap::new(),
            failed: None,
            plans: Vec::new(),
            retired: BTreeMap::new(),
            texts: BTreeMap::new(),
            agenda: Agenda::default(),
        }
    }

    /// The run.
    pub(crate) fn id(&self) -> RunId {
        self.run
    }

    /// Where the run stands.
    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The run's first event, once it was folded, with what later plans put in place of its own.
    pub(crate) fn request(&self) -> Option<&RunRequested> {
        self.request.as_ref()
    }

    /// Takes the plan and the inputs that the request names by digest. Nothing is decided before.
    pub(crate) fn define(&mut self, plan: Arc<PlanIndex>) {
        self.plan = Some(plan);
        self.agenda.add_all();
    }

    /// Whether [`RunMachine::define`] was called.
    pub(crate) fn is_defined(&self) -> bool {
        self.plan.is_some()
    }

    /// Takes the text of a blob.
    pub(crate) fn give_text(&mut self, digest: Digest, text: Arc<str>) {
        self.texts.insert(digest, text);
    }

    /// Forgets the texts that no step of a current pass has any more: a loop of a thousand passes would keep a thousand.
    pub(crate) fn forget_texts(&mut self) {
        let output = |state: &StepState| match &state.phase {
            StepPhase::Done(result) => result.output.as_ref().and_then(Text::blob),
            _ => None,
        };
        let named = |state: &StepState| [output(state), state.log.as_ref().and_then(Text::blob)];
        let kept: BTreeSet<Digest> = self.steps.values().flat_map(named).flatten().collect();
        self.texts.retain(|digest, _| kept.contains(digest));
    }

    /// The blobs whose texts an expression of the plan may ask for and that were not given yet.
    pub(crate) fn missing_texts(&self) -> Vec<Digest> {
        let brought = self.plans.iter().map(|(_, plan)| plan);
        let definitions: Vec<_> = self.plan.iter().chain(brought).collect();
        let mut missing = BTreeSet::new();
        for (instance, state) in &self.steps {
            if !definitions.iter().any(|plan| plan.is_named(&instance.step)) {
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

    /// How the agent of the attempt in flight of `effect` was started, if it is known by a preset.
    pub(crate) fn agent_starting(&self, effect: &EffectId) -> Option<&AgentStarting> {
        self.leaf(&StepInstance::of(&effect.scope)?)?.agent.starting.as_ref()
    }

    /// How long the work of `effect` may be silent, in milliseconds of awake time.
    pub(crate) fn idle_timeout_ms(&self, effect: &EffectId) -> Option<u64> {
        self.plan.as_ref()?.node(effect.scope.step_id()?)?.step.idle_timeout_ms
    }

    /// The JSON Schema of the output of `effect`'s step, if it has one.
    pub(crate) fn schema(&self, effect: &EffectId) -> Option<&str> {
        self.plan.as_ref()?.node(effect.scope.step_id()?)?.step.schema.as_deref()
    }

    pub(super) fn leaf(&self, instance: &StepInstance) -> Option<&Leaf> {
        match self.steps.get(instance).map(|state| &state.phase) {
            Some(StepPhase::Active(leaf)) => Some(leaf),
            _ => None,
        }
    }

    pub(super) fn leaf_mut(&mut self, instance: &StepInstance) -> Option<&mut Leaf> {
        match self.steps.get_mut(instance).map(|state| &mut state.phase) {
            Some(StepPhase::Active(leaf)) => Some(leaf),
            _ => None,
        }
    }

    pub(super) fn result(&self, instance: &StepInstance) -> Option<&StepResult> {
        match self.steps.get(instance).map(|state| &state.phase) {
            Some(StepPhase::Done(result)) => Some(result),
            _ => None,
        }
    }

    /// Where the loop stands.
    pub(super) fn pass(&self, instance: &StepInstance) -> Pass {
        self.steps.get(instance).map(|state| state.pass).unwrap_or_default()
    }

    pub(super) fn is_waiting(&self, instance: &StepInstance) -> bool {
        self.steps.get(instance).is_none_or(|state| state.phase == StepPhase::Waiting)
    }

    /// Whether the step is to end with the run that is being cancelled. `finally` is not, before the second wish.
    pub(super) fn is_called_off(&self, step: &StepId) -> bool {
        let in_finally = self.plan.as_ref().is_some_and(|plan| plan.is_in_finally(step));
        matches!(self.phase, Phase::Cancelling { finally_too, .. } if finally_too || !in_finally)
    }
}
