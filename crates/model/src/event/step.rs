//! Events of steps.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::FailureClass;
use crate::{Attempt, Scope, Seq, StepId, Text, Timestamp};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
    /// It was left out.
    Skipped,
    /// It was stopped with the run.
    Cancelled,
}

impl StepStatus {
    /// Whether the step ended without doing what it should; left out on purpose is not that.
    #[must_use]
    pub const fn is_unsuccessful(self) -> bool {
        matches!(self, StepStatus::Failed | StepStatus::Cancelled)
    }
}

/// A step's turn came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStarted {
    /// What does the step: `sh` for scripts, else the agent's name or the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// Why a step was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `if` is false.
    Condition {
        /// The expression.
        expression: String,
    },
    /// A step that it needs failed or was itself left out for that.
    Upstream {
        /// That step.
        scope: Scope,
    },
    /// The group around it was left out.
    Group {
        /// That group.
        scope: Scope,
    },
    /// Somebody said so.
    Asked {
        /// The number of the input.
        input: Seq,
    },
    /// The run is being cancelled, or failed before its turn came.
    RunEnding,
    /// The loop around it has what it wanted, or this pass of it only checks.
    LoopDone {
        /// That loop.
        scope: Scope,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Condition { expression } => write!(f, "`{expression}` is false"),
            SkipReason::Upstream { scope } => {
                write!(f, "`{}`, which it needs, did not succeed", step_name(scope))
            }
            SkipReason::Group { scope } => write!(f, "its group `{}` was left out", step_name(scope)),
            SkipReason::Asked { .. } => f.write_str("left out on request"),
            SkipReason::RunEnding => f.write_str("the run ended before its turn came"),
            SkipReason::LoopDone { scope } => write!(f, "`{}` needed it no more", step_name(scope)),
        }
    }
}

/// The step, for people who see which cycle it is by where the sentence stands.
fn step_name(scope: &Scope) -> &str {
    scope.step_id().map_or("", StepId::as_str)
}

/// A step was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSkipped {
    /// Why.
    #[serde(flatten)]
    pub reason: SkipReason,
    /// The output that later steps see, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
}

/// A step has its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFinished {
    /// How it ended.
    pub status: StepStatus,
    /// The attempt that decided it; absent for a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The exit code of the main process, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong, as a class; absent for a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureClass>,
    /// One line for people.
    pub summary: String,
    /// The output as expressions see it: JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
    /// From the start of the step's first attempt to its end, in milliseconds of wall time, without the time in which the run
    /// was suspended. That it waited for its checkout before is not in it.
    pub duration_ms: u64,
}

/// A failed attempt will be followed by another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRetryScheduled {
    /// The attempt that failed.
    pub attempt: Attempt,
    /// What went wrong.
    pub failure: FailureClass,
    /// The same for people, in a line.
    pub message: String,
    /// When the next attempt is due; jitter is in it.
    pub due_at: Timestamp,
}

/// A step has been silent for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStalled {
    /// Which attempt.
    pub attempt: Attempt,
    /// For how long nothing came, in milliseconds of awake time.
    pub silent_ms: u64,
    /// When it will be stopped if nothing comes, in milliseconds from now; absent if it will not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_in_ms: Option<u64>,
}

/// A time budget of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBudget {
    /// `timeout`: the attempt as a whole.
    Total,
    /// `idle_timeout`: without output.
    Idle,
}

impl TimeBudget {
    /// The key in the workflow's file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeBudget::Total => "timeout",
            TimeBudget::Idle => "idle_timeout",
        }
    }
}

/// A step used up one of its time budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTimedOut {
    /// Which attempt.
    pub attempt: Attempt,
    /// Which budget.
    pub budget: TimeBudget,
    /// Its size, in milliseconds of awake time.
    pub budget_ms: u64,
}

/// Steps are to be done anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepsReset {
    /// Which ones, in the order of the plan; of a step in a loop, that of its last cycle.
    pub steps: Vec<Scope>,
    /// Those of them that are loops and begin another pass, counted from one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<Scope>,
}

/// A loop begins a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleStarted {
    /// Its number, from 1; never used twice in a run.
    pub cycle: u32,
    /// Which pass it is of those allowed, from 1.
    pub nth: u32,
    /// How many are allowed.
    pub max_cycles: u32,
    /// True if it only does again what the loop's condition needs, after the last allowed pass.
    #[serde(default, skip_serializing_if = "is_false")]
    pub check: bool,
    /// How many passes before it, in a row, were the same as the one before each: the same files, the same results.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchanged_in_a_row: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopEnd {
    /// Its condition is true.
    Satisfied,
    /// It is false after the last allowed pass.
    Exhausted,
}

/// A loop ended by itself; its result follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopEnded {
    /// The last pass.
    pub cycle: u32,
    /// Why.
    pub reason: LoopEnd,
    /// The condition.
    pub until: String,
}

/// A moment that a step waited for has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// When it should have fired.
    pub due_at: Timestamp,
    /// When it did.
    pub fired_at: Timestamp,
}

/// What a running step's output looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputState {
    /// Output grew since the last beat.
    Active,
    /// Nothing new for a beat or more.
    Quiet,
    /// It grows, but by very little.
    LowOutput,
    /// Nothing new for as long as the idle notice says.
    Stalled,
    /// The main process is gone.
    Dead,
}

/// A sign of life of a running step. A live event: no number, and gone once the step's end is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Which attempt.
    pub attempt: Attempt,
    /// Awake time since its start, in milliseconds.
    pub elapsed_ms: u64,
    /// Bytes of stdout so far, before redaction.
    pub stdout_bytes: u64,
    /// Bytes of stderr so far, before redaction.
    pub stderr_bytes: u64,
    /// How much stdout grew since the last beat.
    pub stdout_delta: u64,
    /// How much stderr grew since the last beat.
    pub stderr_delta: u64,
    /// Beats in a row without growth.
    pub stagnant_beats: u32,
    /// The main process.
    pub pid: u32,
    /// Whether it still runs.
    pub pid_alive: bool,
    /// CPU time of the process tree, in milliseconds; absent where the platform cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// What the output looks like.
    pub output_state: OutputState,
}
