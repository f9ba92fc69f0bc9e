//! Where a step stands, as it is shown.

use backstay_engine::record::{StepRecord, StepStage};
use backstay_model::Timestamp;
use backstay_model::event::{AttemptEnd, FailureClass, StepStatus};
use backstay_workflow::plan::{Step, Verb};

use super::Paint;
use super::page::Page;
use super::time::{Times, duration};

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its turn has not come.
    Waits,
    /// Its turn never came.
    NotReached,
    /// It is to be done anew.
    WaitsAnew,
    /// It waits for nothing but its run to go on.
    StandsStill,
    /// It works although nobody owns its run.
    OnItsOwn,
    /// Nobody owns its run, and it cannot be told from here whether it works.
    Unknown,
    /// A group of which something is at work.
    UnderWay,
    /// A loop.
    InPass {
        /// Which pass of those allowed.
        nth: u32,
        /// How many are allowed.
        max_cycles: u32,
        /// Whether it only does again what the condition needs.
        check: bool,
    },
    /// Its turn came, and nothing is in flight.
    BetweenTries,
    /// It works.
    Working,
    /// It works and has said nothing for long.
    Silent {
        /// Since when.
        since: Timestamp,
    },
    /// It is tried again later.
    Again {
        /// When.
        due_at: Timestamp,
    },
    /// Nobody can say for now what becomes of its work.
    Stuck,
    /// Its agent may not work before then.
    Limited {
        /// Until when.
        until: Timestamp,
    },
    /// A person is asked before it goes on, or while it works.
    Asks,
    /// It is not known what became of its work.
    InDoubt,
    /// It has its result.
    Done {
        /// Which.
        status: StepStatus,
        /// The exit code that decided it.
        exit_code: Option<i32>,
        /// What went wrong.
        failure: Option<FailureClass>,
    },
}

impl State {
    /// The state of `step`, whose record is `record` once its turn came.
    pub(crate) fn of(page: &Page<'_>, step: &Step, record: Option<&StepRecord>) -> State {
        let Some(record) = record else {
            return if page.record.status.is_ended() { State::NotReached } else { State::Waits };
        };
        match record.stage {
            StepStage::Working if page.is_interrupted() => {
                if page.works_on_its_own(record) {
                    State::OnItsOwn
                } else {
                    State::Unknown
                }
            }
            StepStage::Working if page.is_asking(record) => State::Asks,
            StepStage::Working => record.stalled_at.map_or(State::Working, |since| State::Silent { since }),
            _ if page.is_still(record) => State::StandsStill,
            StepStage::Started if matches!(step.verb, Verb::Group { .. }) => {
                record.passes.as_ref().map_or(State::UnderWay, |passes| State::InPass {
                    nth: passes.nth,
                    max_cycles: passes.max_cycles,
                    check: passes.check,
                })
            }
            StepStage::Started if page.record.checkout_busy.is_some() => State::Waits,
            StepStage::Started => State::BetweenTries,
            StepStage::Waiting => State::WaitsAnew,
            StepStage::Backoff { due_at, .. } => match &record.limit {
                Some(limit) => State::Limited { until: limit.until },
                None => State::Again { due_at },
            },
            StepStage::Stuck => State::Stuck,
            StepStage::InDoubt if is_in_doubt(record) => State::InDoubt,
            StepStage::InDoubt => State::Asks,
            StepStage::Done { status } => {
                // How an agent failed is told beside: its exit code says least of it.
                let by_agent = record.attempts.last().is_some_and(|attempt| attempt.agent.is_some());
                let has_reason = by_agent && status == StepStatus::Failed && record.summary.is_some();
                let exit_code = record.exit_code.filter(|_| !has_reason);
                State::Done { status, exit_code, failure: record.failure }
            }
        }
    }

    /// Its mark.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            State::Waits => "○",
            State::WaitsAnew | State::StandsStill | State::BetweenTries => "◌",
            State::UnderWay | State::InPass { .. } => "▾",
            State::Working | State::OnItsOwn => "●",
            State::Silent { .. } => "◍",
            State::Again { .. } | State::Limited { .. } => "↻",
            State::Asks | State::InDoubt | State::Stuck | State::Unknown => "?",
            State::NotReached | State::Done { status: StepStatus::Skipped, .. } => "─",
            State::Done { status: StepStatus::Succeeded, .. } => "✓",
            State::Done { status: StepStatus::Failed | StepStatus::Cancelled, .. } => "✗",
        }
    }

    /// How it is painted.
    pub(crate) const fn paint(self) -> Paint {
        match self {
            State::Waits | State::NotReached | State::Done { status: StepStatus::Skipped, .. } => Paint::Dim,
            State::WaitsAnew
            | State::StandsStill
            | State::OnItsOwn
            | State::Unknown
            | State::Silent { .. }
            | State::Again { .. }
            | State::Limited { .. }
            | State::Asks
            | State::InDoubt
            | State::Stuck
            | State::Done { status: StepStatus::Cancelled, .. } => Paint::Warn,
            State::UnderWay | State::InPass { .. } | State::BetweenTries | State::Working => Paint::Busy,
            // The workflow accepts it, and it is no success of the program.
            State::Done { status: StepStatus::Succeeded, exit_code: Some(1..), .. } => Paint::Warn,
            State::Done { status: StepStatus::Succeeded, .. } => Paint::Good,
            State::Done { status: StepStatus::Failed, .. } => Paint::Bad,
        }
    }

    /// It in a word or two.
    pub(crate) fn words(self, times: &Times) -> String {
        let words = match self {
            State::Waits | State::WaitsAnew => "waits",
            State::NotReached => "not reached",
            State::StandsStill => "stands still",
            State::OnItsOwn => "on its own",
            State::Unknown => "unknown",
            State::UnderWay => "under way",
            State::InPass { check: true, .. } => "last check",
            State::InPass { nth, max_cycles, check: false } => {
                return format!("cycle {nth} of {max_cycles}");
            }
            State::BetweenTries => "between tries",
            State::Working => "working",
            State::Silent { since } => return format!("silent {}", duration(times.now.since(since))),
            State::Again { due_at } => return format!("again {}", times.second(due_at)),
            State::Stuck => "stuck",
            State::Limited { until } => return format!("limit {}", times.minute(until)),
            State::Asks => "asks",
            State::InDoubt => "in doubt",
            State::Done { status: StepStatus::Succeeded, exit_code: Some(code @ 1..), .. } => {
                return format!("exit {code}");
            }
            State::Done { status: StepStatus::Succeeded, .. } => "done",
            State::Done { status: StepStatus::Skipped, .. } => "skipped",
            State::Done { status: StepStatus::Cancelled, .. } => "cancelled",
            State::Done { status: StepStatus::Failed, exit_code, failure } => match (failure, exit_code) {
                (Some(FailureClass::Exit) | None, Some(code)) => return format!("exit {code}"),
                (Some(FailureClass::Exit) | None, None) => "failed",
                (Some(FailureClass::Timeout), _) => "timeout",
                (Some(FailureClass::Stall), _) => "stalled",
                (Some(FailureClass::Crash), _) => "lost",
                (Some(FailureClass::InvalidOutput), _) => "bad output",
                (Some(FailureClass::RateLimit), _) => "rate limit",
                (Some(FailureClass::Network), _) => "network",
                (Some(FailureClass::Spawn), _) => "not started",
                (Some(FailureClass::Expression), _) => "expression",
                (Some(FailureClass::Exhausted), _) => "exhausted",
                (Some(FailureClass::Login), _) => "not logged in",
                (Some(FailureClass::Refused), _) => "refused",
                (Some(FailureClass::Session), _) => "no session",
                (Some(FailureClass::Budget), _) => "budget",
            },
        };
        words.to_owned()
    }
}

/// Whether nobody knows the end of its last attempt. Who waits for an answer otherwise has nothing at work.
fn is_in_doubt(record: &StepRecord) -> bool {
    let last = record.attempts.iter().rev().find(|attempt| !attempt.probe);
    last.is_some_and(|attempt| matches!(attempt.end, None | Some(AttemptEnd::Interrupted)))
}
