//! The reactions to a failed attempt and to a crash.

use serde::{Deserialize, Serialize};

use crate::expression::Script;

/// A set of exit codes: ranges with both ends in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes(pub Vec<(i32, i32)>);

impl Default for ExitCodes {
    fn default() -> ExitCodes {
        ExitCodes(vec![(0, 0)])
    }
}

impl ExitCodes {
    /// Whether `code` is in the set.
    #[must_use]
    pub fn contains(&self, code: i32) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&code))
    }
}

/// The reaction to a crash after which the outcome of a step's work is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterCrash {
    /// Another attempt continues the last one: an agent resumes its own session if it can.
    Resume,
    /// Another attempt starts from the beginning.
    Rerun,
    /// A person is asked.
    Ask,
    /// The step fails.
    Fail,
    /// A probe runs. Exit 0 means that the work had happened, any other code that it had not.
    Probe {
        /// The script, run like a `run` step in the step's own environment.
        script: Script,
    },
}

/// A class of failures that can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryClass {
    /// The provider refused for now.
    RateLimit,
    /// The network did not answer.
    Network,
    /// `timeout` used up.
    Timeout,
    /// `idle_timeout` used up.
    Stall,
    /// Lost with a crash.
    Crash,
    /// The output is not what the step promised.
    InvalidOutput,
    /// An exit code that is not accepted.
    Exit,
}

/// The failures after which a step is tried again, the number of attempts and the pauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first; 0 means none.
    pub retries_max: u32,
    /// The classes of failures; the step fails at once after others.
    pub errors: Vec<RetryClass>,
    /// The pause before the second attempt, in milliseconds; doubled for each further one.
    pub backoff_base_ms: u64,
    /// The longest pause, in milliseconds.
    pub backoff_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { retries_max: 0, errors: Vec::new(), backoff_base_ms: 1_000, backoff_max_ms: 60_000 }
    }
}
