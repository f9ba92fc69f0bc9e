//! A run in a line: what its index row holds.

use backstay_model::event::{ContinueReason, FailureClass, StepContinues, WaitReason};
use backstay_model::{Attempt, QuestionId, RunId, StepId, Timestamp};
use serde::{Deserialize, Serialize};

use super::RunStatus;

/// What lists show of a run without reading its topic. A cache of the machine's fold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The schema of this summary.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Steps (groups not counted) that have their result.
    pub steps_done: u32,
    /// Steps (groups not counted) of the plan.
    pub steps_total: u32,
    /// Steps that are worked on now, at most three.
    pub at: Vec<StepId>,
    /// Why it ended or stands still, in at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The first question that waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionId>,
    /// The next moment that something waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_timer: Option<Timestamp>,
    /// The agent whose limit is waited for: the first that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitWait>,
    /// The next attempt that waits for a moment, which is no limit's end: the first that is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryWait>,
}

/// A step waits for its next attempt, after one that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryWait {
    /// The step.
    pub step: StepId,
    /// The number of the next attempt.
    pub attempt: Attempt,
    /// What went wrong with the last one.
    pub failure: FailureClass,
    /// When the next one is due.
    pub until: Timestamp,
}

/// A step waits until an agent may work again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitWait {
    /// The agent, by its name in the plan.
    pub agent: String,
    /// Until when.
    pub until: Timestamp,
    /// False where the agent did not say when its limit ends: it is asked again by a rule.
    #[serde(default)]
    pub is_end_known: bool,
}

impl LimitWait {
    /// The limit that the next attempt waits for, if it waits for one.
    #[must_use]
    pub fn of(continues: &StepContinues) -> Option<LimitWait> {
        let wait = continues.wait.filter(|wait| wait.reason == WaitReason::Limit)?;
        // The limit of another agent was told earlier.
        let is_its_own = continues.next == continues.agent;
        let is_end_unknown =
            is_its_own && matches!(continues.because, ContinueReason::Limit { reset_at: None, .. });
        Some(LimitWait { agent: continues.next.clone(), until: wait.until, is_end_known: !is_end_unknown })
    }
}
