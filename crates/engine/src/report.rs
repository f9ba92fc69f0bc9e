//! What the runtime reports of outside work.

use backstay_model::event::{AgentRunning, LostEvidence, Said, SaidOn, Spool, TreeOutcome};
use backstay_model::{Attempt, Digest, EffectId, StorePath, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// Why outside work is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The run is to stand still.
    Suspend,
    /// The run is to end.
    Cancel,
    /// The step is to be left out.
    Skip,
}

/// What ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// It ended by itself.
    Exit,
    /// Its `timeout` was used up.
    Timeout,
    /// Its `idle_timeout` was used up.
    IdleTimeout,
    /// It was told to stop.
    Stop,
    /// Its keeper was told to end, by the machine and not by an owner.
    Signalled,
    /// It could not be started.
    SpawnFailed,
}

/// Why an output is not all that the process wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputProblem {
    /// It is longer than an output may be; what is given is its beginning.
    #[error(
        "the output has {size_bytes} bytes, of which {kept_bytes} are its value; `backstay logs` has all"
    )]
    Cut {
        /// The length of what was written.
        size_bytes: u64,
        /// The length of what is given.
        kept_bytes: u64,
    },
    /// A part of it could not be kept, and nobody can say which: nothing is given.
    #[error("there is no output: {lost_bytes} bytes of it could not be kept, no room was left")]
    Lost {
        /// How many bytes are missing.
        lost_bytes: u64,
    },
    /// What stands in its place is no regular file.
    #[error("what was left as `$BACKSTAY_OUTPUT` is not a regular file")]
    NotAFile,
    /// It cannot be read, or is not what was written.
    #[error("the output cannot be read: {message}")]
    Unreadable {
        /// Why, with its causes.
        message: String,
    },
}

impl OutputProblem {
    /// How many bytes could not be kept.
    pub(crate) const fn lost_bytes(&self) -> Option<u64> {
        match self {
            OutputProblem::Lost { lost_bytes } => Some(*lost_bytes),
            OutputProblem::Cut { .. } | OutputProblem::NotAFile | OutputProblem::Unreadable { .. } => None,
        }
    }
}

/// How an agent's turn ended, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// Its output is text, which says nothing of turns: the exit code tells.
    Unknown,
    /// Well.
    Succeeded,
    /// Not well.
    Failed {
        /// Why, in the agent's words.
        failure: Option<String>,
    },
    /// Not at all: the process ended in the middle of it.
    Truncated,
}

/// What was in an agent's way when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A limit of its provider.
    Limit {
        /// When that ends, as far as the agent said it.
        reset_at: Option<Timestamp>,
        /// In the agent's words.
        message: String,
    },
    /// It has no credentials that are accepted.
    Login {
        /// In the agent's words.
        message: String,
    },
    /// The end of its turn may stand in lines that are too long to be read.
    LongLines {
        /// How many.
        lines: u64,
        /// The length from which on a line is not read.
        limit_bytes: u64,
    },
    /// Something that is no known sign.
    Unexplained {
        /// The last that it wrote beside its stream.
        message: String,
    },
    /// Its provider refuses the account or the request, and waiting does not help.
    Refused {
        /// In the provider's words, as far as the agent tells them.
        message: String,
    },
    /// Its provider could not be reached, or failed.
    Network {
        /// In the agent's words.
        message: String,
    },
    /// The session that it was to go on with is not there.
    SessionUnknown,
    /// The session that it was to begin is there already.
    SessionInUse,
}

/// What an agent that is known by a preset said of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEnded {
    /// How its turn ended.
    pub turn: TurnEnd,
    /// What was in its way, where the turn did not end well.
    pub trouble: Option<Trouble>,
}

/// How a process ended and what it left.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessEnded {
    /// What ended it.
    pub by: EndedBy,
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What went wrong, for people.
    pub message: Option<String>,
    /// Awake time from start to end, in milliseconds.
    pub duration_ms: u64,
    /// What came on stdout.
    pub stdout: Option<Spool>,
    /// What came on stderr.
    pub stderr: Option<Spool>,
    /// The text that the output is made of. A blob must be kept, and given to the machine, before the report.
    pub output: Option<Text>,
    /// Why `output` is not all that the process wrote.
    pub output_problem: Option<OutputProblem>,
    /// What of the output's JSON ([`crate::json_of`]) is not as the step's schema says.
    pub shape_problem: Option<String>,
    /// Both streams in order, the last of them. A blob must be kept before the report.
    pub log: Option<Text>,
    /// Files it left, by path relative to the store.
    pub artifacts: Vec<StorePath>,
    /// Files it left that `artifacts` does not name.
    pub artifacts_omitted: u32,
    /// The checkout after it.
    pub after: Option<TreeOutcome>,
    /// What its folder holds after it, where that is no checkout and its step stands in a loop.
    pub folder: Option<Digest>,
    /// Processes that outlived it and were ended.
    pub left_behind: u32,
    /// What it said of its end, if it is an agent that is known by a preset and was started.
    pub agent: Option<AgentEnded>,
}

/// News of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// It began.
    Running {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// The main process.
        pid: u32,
        /// Its keeper.
        keeper_pid: u32,
        /// Its folder, relative to the store.
        folder: StorePath,
        /// The checkout before it.
        before: Option<TreeOutcome>,
        /// What is known of an agent that is known by a preset.
        agent: Option<AgentRunning>,
    },
    /// Its stream said something.
    Said {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// Where.
        on: SaidOn,
        /// What, in order, each with the offset behind its line. All of a line is in one report. Blobs must be kept before
        /// the report.
        said: Vec<(u64, Said)>,
    },
    /// It was found again after the owner changed.
    Attached {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// Whether it had ended by itself in between.
        had_ended: bool,
    },
    /// It has been silent for long.
    Stalled {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// For how long.
        silent_ms: u64,
        /// When it will be stopped, if it will be.
        stop_in_ms: Option<u64>,
    },
    /// Nobody can say for now what becomes of it.
    Stuck {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// Why, with its causes.
        message: String,
    },
    /// It ended.
    Ended {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// How.
        process: Box<ProcessEnded>,
    },
    /// It cannot be found again.
    Lost {
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// Why nobody can say how it ended.
        evidence: LostEvidence,
        /// Processes of it that were ended.
        ended_processes: u32,
    },
}

impl Report {
    /// Which attempt it is news of.
    #[must_use]
    pub fn attempt(&self) -> (&EffectId, Attempt) {
        match self {
            Report::Running { effect, attempt, .. }
            | Report::Attached { effect, attempt, .. }
            | Report::Said { effect, attempt, .. }
            | Report::Stalled { effect, attempt, .. }
            | Report::Stuck { effect, attempt, .. }
            | Report::Ended { effect, attempt, .. }
            | Report::Lost { effect, attempt, .. } => (effect, *attempt),
        }
    }
}
