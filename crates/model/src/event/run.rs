//! Events of the run as a whole, and everything that can be said to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::TreeOutcome;
use crate::{Digest, QuestionId, RunId, Scope, Seq, StepId, Text, Timestamp};

/// Who said something: a person or program, by the name that the surface knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A user's name, or a program's.
    pub name: String,
    /// The surface it came by, such as `cli` or `up`.
    pub via: String,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.via)
    }
}

/// Somebody wants a run; always the first event of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequested {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The file it came from, as given.
    pub file: String,
    /// The absolute path of the folder that the file is in.
    pub folder: String,
    /// The blob with the file's text.
    pub source: Digest,
    /// The blob with the checked plan, prompt files included.
    pub plan: Digest,
    /// The inputs: a JSON object.
    pub inputs: Text,
    /// The absolute path of the folder that steps work in.
    pub cwd: String,
    /// The machine that it was asked for on.
    pub host: String,
    /// Who asked.
    pub by: Actor,
    /// The trace it belongs to: 32 lower-case hexadecimal digits.
    pub trace: String,
    /// The blobs with the presets of its agents, by name: the run goes on by what it began with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presets: BTreeMap<String, Digest>,
    /// The agents that take the place of the file's, as they were given (`NAME=OTHER`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// The run that held the checkout for the step that asked: whoever owns this one works there with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run: Option<RunId>,
}

/// Somebody wants the run to stand still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendRequested {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: SuspendReason,
}

/// Why a run stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspendReason {
    /// A person asked for it.
    Asked,
    /// The terminal that ran it was interrupted or closed.
    Shutdown,
    /// The disk is full.
    DiskFull,
    /// Cycles of a loop changed nothing, several in a row: neither the files nor the results of its steps.
    NoProgress {
        /// The loop.
        scope: Scope,
        /// How many cycles in a row were the same.
        cycles: u32,
    },
    /// There was no room for the output of a step that had done its work.
    OutputLost {
        /// The step.
        scope: Scope,
        /// How many bytes of it are missing.
        lost_bytes: u64,
    },
    /// A person works in an agent's session.
    TakenOver,
}

/// A person worked in the session of a step's agent while the run was suspended. Its scope is the step's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualIntervention {
    /// Who.
    pub by: Actor,
    /// The agent's preset.
    pub agent: String,
    /// Its session.
    pub session: String,
    /// When the agent's screen was opened.
    pub from: Timestamp,
    /// When it was left.
    pub until: Timestamp,
    /// What its program ended with; absent if a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The checkout before, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TreeOutcome>,
    /// The checkout after, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<TreeOutcome>,
}

/// Somebody wants the run to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequested {
    /// Who.
    pub by: Actor,
    /// Whether what waits for a moment, such as the end of a limit, is tried at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

/// Somebody wants the run to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Who.
    pub by: Actor,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Somebody wants a step left out. Its scope is the step's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipRequested {
    /// Who.
    pub by: Actor,
    /// The output that later steps shall see, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
}

/// Somebody answers a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAnswered {
    /// Who.
    pub by: Actor,
    /// Which question.
    pub question: QuestionId,
    /// What they say.
    pub answer: super::Answer,
}

/// Somebody wants an ended run to go on from a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// Who.
    pub by: Actor,
    /// The first step to do anew; without it, the steps that failed or did not come to their turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Scope>,
    /// A step to leave out this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<StepSkip>,
    /// The plan to go on by, in place of the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<PlanRef>>,
}

/// A plan and what a run by it needs, as stored: everything that a file can change about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// The workflow's name.
    pub workflow: String,
    /// The file it came from, as given.
    pub file: String,
    /// The absolute path of the folder that the file is in.
    pub folder: String,
    /// The blob with the file's text.
    pub source: Digest,
    /// The blob with the checked plan, prompt files included.
    pub plan: Digest,
    /// The inputs: a JSON object.
    pub inputs: Text,
    /// The blobs with the presets of its agents, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presets: BTreeMap<String, Digest>,
    /// The agents that take the place of the file's, as they were given (`NAME=OTHER`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
}

impl RunRequested {
    /// The plan that the run begins with.
    #[must_use]
    pub fn plan_ref(&self) -> PlanRef {
        PlanRef {
            workflow: self.workflow.clone(),
            file: self.file.clone(),
            folder: self.folder.clone(),
            source: self.source,
            plan: self.plan,
            inputs: self.inputs.clone(),
            presets: self.presets.clone(),
            agents: self.agents.clone(),
        }
    }
}

/// The run goes on by another plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanChanged {
    /// The input that brought it.
    pub input: Seq,
    /// The plan.
    #[serde(flatten)]
    pub plan: PlanRef,
}

/// What a new plan makes of steps of the old one. What it does not name is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepsRedefined {
    /// The steps, in the order of the new plan, then those that it does not have.
    pub steps: Vec<StepRedefined>,
}

/// What a new plan makes of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRedefined {
    /// The step.
    pub step: StepId,
    /// What became of it.
    #[serde(rename = "as")]
    pub redefinition: Redefinition,
}

/// What a new plan makes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redefinition {
    /// The old plan did not have it.
    New,
    /// Its definition is another one.
    Changed,
    /// It stands in other loops than before, so its earlier results are of other work.
    Moved,
    /// The new plan does not have it.
    Removed,
}

impl Redefinition {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Redefinition::New => "new",
            Redefinition::Changed => "changed",
            Redefinition::Moved => "moved",
            Redefinition::Removed => "removed",
        }
    }

    /// Whether what was done under the step's name is of no more use to the run.
    #[must_use]
    pub const fn retires_results(self) -> bool {
        matches!(self, Redefinition::Moved | Redefinition::Removed)
    }
}

/// A step to leave out, and what later steps see in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSkip {
    /// Which step.
    pub scope: Scope,
    /// The output that later steps shall see, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
}

/// The owner gave its verdict on an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The input's number.
    pub input: Seq,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It took effect; what follows from it is in the same append.
    Accepted,
    /// It changes nothing.
    Refused {
        /// Why not.
        code: RefusalCode,
        /// The same for people.
        message: String,
    },
    /// Another input had already said it, or said it better.
    Superseded {
        /// That input's number.
        by: Seq,
    },
}

impl Verdict {
    /// Whether the input took effect.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Verdict::Accepted)
    }
}

/// Why an input was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Not in this state of the run.
    NotNow,
    /// There is no such step.
    UnknownStep,
    /// There is no such question.
    UnknownQuestion,
    /// The answer is not one of the options.
    InvalidAnswer,
    /// The input itself cannot be understood.
    Malformed,
}

/// The run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {}

/// The run is coming to a stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSuspending {
    /// Who wanted it.
    pub by: Actor,
    /// Why.
    pub reason: SuspendReason,
}

/// The run stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSuspended {
    /// Who wanted it.
    pub by: Actor,
    /// Why.
    pub reason: SuspendReason,
}

/// The run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResumed {
    /// Who wanted it.
    pub by: Actor,
}

/// The run is being cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelling {
    /// Who wanted it.
    pub by: Actor,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the steps of `finally` are stopped too: so it is when a run is cancelled twice.
    pub finally_too: bool,
}

/// The run ended as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCompleted {
    /// The workflow's outputs: a JSON object.
    pub outputs: Text,
}

/// The run ended with a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailed {
    /// The step that failed first, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Why, for people.
    pub reason: String,
}

/// The run ended because somebody wanted it to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelled {
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The host slept while the run was owned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSlept {
    /// For how long, in milliseconds.
    pub asleep_ms: u64,
}

/// The run waits until another one has done with the checkout that both work in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutBusy {
    /// The topmost folder of the checkout.
    pub root: String,
    /// The run that works in it; absent where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<RunId>,
    /// The process that owned that run last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// The run has the checkout that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutFree {}

/// The run may use more than it might.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRaised {
    /// The input that says so.
    pub by: Seq,
    /// The tokens that it may use in all.
    pub tokens: u64,
}
