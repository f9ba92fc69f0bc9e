//! A run in a line: what its index row holds.

use std::time::Duration;

use backstay_model::{QuestionId, RunId, StepId, Timestamp};
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
    /// The inputs as `name=value`: at most three, each of at most 40 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// How long it worked.
    #[serde(default)]
    pub active: ActiveTime,
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
}

/// The time of a run, without that in which it was suspended or had ended before it was tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveTime {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When it was suspended or ended; absent while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// Microseconds between a stop and the resumption after it, in all.
    #[serde(default)]
    pub stopped_us: u64,
}

impl ActiveTime {
    pub(crate) fn begin(&mut self, at: Timestamp) {
        self.began_at.get_or_insert(at);
        self.resume(at);
    }

    pub(crate) fn stop(&mut self, at: Timestamp) {
        self.stopped_at.get_or_insert(at);
    }

    pub(crate) fn resume(&mut self, at: Timestamp) {
        if let Some(stopped_at) = self.stopped_at.take() {
            self.stopped_us += u64::try_from(at.since(stopped_at).as_micros()).unwrap_or(u64::MAX);
        }
    }

    /// How long it was active up to `now`.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Duration {
        let Some(began_at) = self.began_at else { return Duration::ZERO };
        let until = self.stopped_at.unwrap_or(now);
        until.since(began_at).saturating_sub(Duration::from_micros(self.stopped_us))
    }
}

/// A step waits until an agent may work again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitWait {
    /// The agent, by its name in the plan.
    pub agent: String,
    /// Until when.
    pub until: Timestamp,
}
