//! Events of outside work (the law of effects: an effect's start is durable before it begins).

use serde::{Deserialize, Serialize};

use super::{AgentRunning, AgentStarting, OmittedFiles, TreeOutcome};
use crate::{Attempt, Digest, EffectId, ObjectId, QuestionId, Seq, StorePath, Text};

/// What may be done about an effect whose end nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// It may be done again without asking.
    Repeat,
    /// It lives on under a keeper and can be found again.
    Attach,
    /// It must not be done twice.
    Once,
}

/// Outside work is about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectStarting {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// What may be done after a crash.
    pub class: EffectClass,
    /// The digest of the whole specification: what is started is what was decided.
    pub spec: Digest,
    /// The beginning of the command, for people.
    pub preview: String,
    /// The machine.
    pub host: String,
    /// The boot of that machine: what was started on an earlier one cannot still run.
    pub boot: String,
    /// How an agent is started that is known by a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStarting>,
}

/// Outside work has begun, and this is how to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRunning {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// How to find it.
    pub handle: EffectHandle,
}

/// How to find outside work that has begun, by its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectHandle {
    /// A process under a keeper.
    Process(ProcessHandle),
}

impl EffectHandle {
    /// The process, if it is one.
    #[must_use]
    pub const fn process(&self) -> Option<&ProcessHandle> {
        match self {
            EffectHandle::Process(process) => Some(process),
        }
    }
}

/// A process under a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessHandle {
    /// The main process.
    pub pid: u32,
    /// Its keeper.
    pub keeper_pid: u32,
    /// The folder with spools and exit record, relative to the store.
    pub folder: StorePath,
    /// The checkout before it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TreeOutcome>,
    /// What is known of an agent that is known by a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRunning>,
}

/// An owner found work that an earlier owner had begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectAttached {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Whether it had already ended by itself in between.
    pub had_ended: bool,
}

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// An exit code or signal that the step does not accept.
    Exit,
    /// `timeout` used up.
    Timeout,
    /// `idle_timeout` used up.
    Stall,
    /// Lost with a crash.
    Crash,
    /// The output is not what the step promised.
    InvalidOutput,
    /// The provider refused for now.
    RateLimit,
    /// The network did not answer.
    Network,
    /// It could not be started.
    Spawn,
    /// The plan's own expressions fail on the values at hand.
    Expression,
    /// A loop used up its passes.
    Exhausted,
    /// A person has to log in.
    Login,
    /// The provider refuses the account or the request: no credit, no permission, suspended, held back by a filter.
    Refused,
    /// The agent's own session is not as it should be.
    Session,
    /// The run has used what it may use.
    Budget,
}

impl FailureClass {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureClass::Exit => "exit",
            FailureClass::Timeout => "timeout",
            FailureClass::Stall => "stall",
            FailureClass::Crash => "crash",
            FailureClass::InvalidOutput => "invalid_output",
            FailureClass::RateLimit => "rate_limit",
            FailureClass::Network => "network",
            FailureClass::Spawn => "spawn",
            FailureClass::Expression => "expression",
            FailureClass::Exhausted => "exhausted",
            FailureClass::Login => "login",
            FailureClass::Refused => "refused",
            FailureClass::Session => "session",
            FailureClass::Budget => "budget",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum AttemptEnd {
    /// As it should.
    Succeeded,
    /// Not as it should: this one counts against the retries, unless `step_continues` follows.
    Failed {
        /// What went wrong.
        failure: FailureClass,
    },
    /// Stopped with the run.
    Cancelled,
    /// Stopped so that the run can stand still, or with its machine; counts against no retries.
    Interrupted,
}

/// What one stream left in its spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spool {
    /// Bytes in the spool.
    pub size_bytes: u64,
    /// The digest of those bytes.
    pub digest: Digest,
    /// Bytes that could not be kept, because the disk was full or the limit reached.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A tree of the folder that a step works in, kept as a commit of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSnapshot {
    /// The commit's id.
    pub commit: ObjectId,
    /// The id of its tree: two trees with the same id are the same.
    pub tree: ObjectId,
    /// What is not in it and was not looked at.
    #[serde(default, skip_serializing_if = "OmittedFiles::is_empty")]
    pub omitted: OmittedFiles,
}

/// Outside work ended. The first report of an attempt wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectFinished {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// How it ended.
    #[serde(flatten)]
    pub end: AttemptEnd,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Awake time from start to end, in milliseconds.
    pub duration_ms: u64,
    /// It was interrupted and no owner had asked for that: `after_crash` decides what follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unrequested: bool,
    /// What it left.
    pub result: EffectResult,
}

/// What outside work left, by its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectResult {
    /// A process under a keeper.
    Process(Box<ProcessResult>),
}

impl EffectResult {
    /// What a process left, if it was one.
    #[must_use]
    pub const fn process(&self) -> Option<&ProcessResult> {
        match self {
            EffectResult::Process(process) => Some(process),
        }
    }
}

/// What a process left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessResult {
    /// The exit code of the main process, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the main process, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What came on stdout; absent if nothing was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Spool>,
    /// What came on stderr; absent if nothing was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Spool>,
    /// What the step's output is made of: the text of stdout, or of the file named by `BACKSTAY_OUTPUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
    /// Both streams in order, the last of them, shown lossily where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Text>,
    /// Files that the step left in `BACKSTAY_ARTIFACTS`, by path relative to the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<StorePath>,
    /// Files there that are not in `artifacts`: too many, without a UTF-8 name, or not readable.
    #[serde(default, skip_serializing_if = "is_none_left")]
    pub artifacts_omitted: u32,
    /// The checkout after it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<TreeOutcome>,
    /// What the folder holds after it that `after` does not have, where the step stands in a loop: all where it is in no
    /// checkout, else the files that the tree omits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<Digest>,
    /// Processes that outlived the main one and were ended.
    #[serde(default, skip_serializing_if = "is_none_left")]
    pub left_behind: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_none_left(number: &u32) -> bool {
    *number == 0
}

/// Why nobody can say how an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostEvidence {
    /// Proof that the work did not begin: on this same boot its keeper left no trace.
    NotBegun,
    /// The keeper is dead and left no exit record.
    KeeperDead,
    /// The work was on another boot of the machine.
    Rebooted,
    /// The store is a copy, made while the work was under way: what came of it is the original's.
    Restored,
}

impl LostEvidence {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LostEvidence::NotBegun => "not_begun",
            LostEvidence::KeeperDead => "keeper_dead",
            LostEvidence::Rebooted => "rebooted",
            LostEvidence::Restored => "restored",
        }
    }
}

/// It cannot be found out for now what becomes of outside work. Whatever is told of it next ends this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectStuck {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Why, with its causes.
    pub message: String,
}

/// Outside work had begun and cannot be found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectLost {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Why nobody can say how it ended.
    pub evidence: LostEvidence,
    /// Processes of it that were still there and were ended.
    #[serde(default, skip_serializing_if = "is_none_left")]
    pub ended_processes: u32,
}

/// Nobody here can know whether lost work had happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectInDoubt {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Who is asked; absent if a probe is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionId>,
}

/// What became of work in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Resolution {
    /// It had happened.
    Done {
        /// Its output, as JSON text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Text>,
    },
    /// It had not: it is tried again.
    NotDone,
    /// It counts as failed.
    Failed,
}

/// It is decided what became of work in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectResolved {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// The input that says so; absent if a probe or the policy did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Seq>,
    /// What became of it.
    #[serde(flatten)]
    pub resolution: Resolution,
}
