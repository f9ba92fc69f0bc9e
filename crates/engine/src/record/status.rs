//! The states of a run, as lists show them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a run stands, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Asked for, not begun.
    #[default]
    Queued,
    /// Its steps are worked on.
    Running,
    /// Nothing is left to do before a person says something.
    Waiting,
    /// What is in flight is being stopped, so that it can stand still.
    Suspending,
    /// It stands still.
    Suspended,
    /// It is on its way to `cancelled`.
    Cancelling,
    /// It ended as it should.
    Completed,
    /// It ended with a failure.
    Failed,
    /// It ended because somebody wanted it to.
    Cancelled,
}

impl RunStatus {
    /// Every state, in the order of a run's life.
    pub const ALL: [RunStatus; 9] = [
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Suspending,
        RunStatus::Suspended,
        RunStatus::Cancelling,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];

    /// The word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Suspending => "suspending",
            RunStatus::Suspended => "suspended",
            RunStatus::Cancelling => "cancelling",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// What is said of a run: `run_… has failed`.
    #[must_use]
    pub const fn predicate(self) -> &'static str {
        match self {
            RunStatus::Queued => "is queued",
            RunStatus::Running => "is running",
            RunStatus::Waiting => "is waiting",
            RunStatus::Suspending => "is being suspended",
            RunStatus::Suspended => "is suspended",
            RunStatus::Cancelling => "is being cancelled",
            RunStatus::Completed => "has completed",
            RunStatus::Failed => "has failed",
            RunStatus::Cancelled => "was cancelled",
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
