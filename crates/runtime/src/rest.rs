//! Waiting until a run ends, or goes no further before somebody says something.

use std::fmt;
use std::time::Duration;

use backstay_engine::record::{RunRecord, RunStatus, StepRecord};
use backstay_exec::is_waiting;
use backstay_model::{Delivery, RunId, Topic};

use crate::drive::DriveEnd;
use crate::error::RunError;
use crate::store::Store;

/// Time between two looks at what no event tells: whether the owner lives, and whether a step at work only asks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row at which nobody owns a run that is due, before a waiter gives up: longer than an owner that keeps a store
/// leaves a new run to whoever asked for it, and than another owner needs to take over from one that died.
const LOOKS_UNOWNED: u32 = 10;

/// Where a run has come to: it goes no further by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunRest {
    /// It ended as it should.
    Completed,
    /// It ended with a failure.
    Failed,
    /// It ended because somebody wanted it to.
    Cancelled,
    /// It is suspended.
    Suspended,
    /// A person has to answer a question.
    WaitingForPerson,
    /// It is under way, and no living process works on it.
    Unowned,
}

impl RunRest {
    /// Where a run of this status has come to; none if it goes on.
    #[must_use]
    pub const fn of(status: RunStatus) -> Option<RunRest> {
        match status {
            RunStatus::Completed => Some(RunRest::Completed),
            RunStatus::Failed => Some(RunRest::Failed),
            RunStatus::Cancelled => Some(RunRest::Cancelled),
            RunStatus::Suspended => Some(RunRest::Suspended),
            RunStatus::Waiting => Some(RunRest::WaitingForPerson),
            RunStatus::Queued | RunStatus::Running | RunStatus::Suspending | RunStatus::Cancelling => None,
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, RunRest::Completed | RunRest::Failed | RunRest::Cancelled)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RunRest::Completed => "completed",
            RunRest::Failed => "failed",
            RunRest::Cancelled => "cancelled",
            RunRest::Suspended => "suspended",
            RunRest::WaitingForPerson => "waiting for a person",
            RunRest::Unowned => "without an owner",
        }
    }
}

impl fmt::Display for RunRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<DriveEnd> for RunRest {
    fn from(end: DriveEnd) -> RunRest {
        match end {
            DriveEnd::Ended(status) => RunRest::of(status).unwrap_or(RunRest::Unowned),
            DriveEnd::Suspended => RunRest::Suspended,
            DriveEnd::WaitingForPerson | DriveEnd::Asking => RunRest::WaitingForPerson,
            DriveEnd::Stopped => RunRest::Unowned,
        }
    }
}

impl Store {
    /// Where the run of `record` has come to; none if it goes on. A run of which every step at work asks a person and waits
    /// for the answer is waiting, too.
    #[must_use]
    pub fn rest(&self, record: &RunRecord) -> Option<RunRest> {
        RunRest::of(record.status).or_else(|| self.only_asks(record).then_some(RunRest::WaitingForPerson))
    }

    /// Whether each step at work asks and waits for a person's answer, and nothing else goes on.
    fn only_asks(&self, record: &RunRecord) -> bool {
        let asking = record.steps_that_only_ask();
        let waits = |step: &&StepRecord| {
            let folder = step.attempts.last().and_then(|attempt| attempt.folder.as_ref());
            folder.is_some_and(|folder| is_waiting(&self.folder().join(folder.as_str())))
        };
        !asking.is_empty() && asking.iter().all(waits)
    }

    /// Waits until `run` ends or goes no further by itself, whoever works on it. Its events wake the waiter; once a second it
    /// looks whether the owner lives.
    ///
    /// # Errors
    /// [`RunError`] if the run does not exist or cannot be read.
    pub async fn wait(&self, run: RunId) -> Result<RunRest, RunError> {
        let mut record = self.view(run).await?.record;
        let mut events = self.log().follow(&Topic::run(run), record.head);
        let mut looks_unowned = 0;
        loop {
            while let Some(delivery) = events.try_next().await? {
                fold(&mut record, &delivery)?;
            }
            if let Some(rest) = self.rest(&record) {
                return Ok(rest);
            }
            match tokio::time::timeout(LOOK, events.next()).await {
                Ok(delivery) => fold(&mut record, &delivery?)?,
                Err(_elapsed) if self.view(run).await?.is_without_owner() => looks_unowned += 1,
                Err(_elapsed) => looks_unowned = 0,
            }
            if looks_unowned >= LOOKS_UNOWNED {
                return Ok(RunRest::Unowned);
            }
        }
    }
}

fn fold(record: &mut RunRecord, delivery: &Delivery) -> Result<(), RunError> {
    match delivery {
        Delivery::Event(recorded) => Ok(record.apply(recorded)?),
        Delivery::Live(_) | Delivery::Gap(_) => Ok(()),
    }
}
