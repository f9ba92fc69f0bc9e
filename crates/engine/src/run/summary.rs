//! A machine in a line.

use backstay_model::event::QuestionKind;
use backstay_model::{Scope, Timestamp, limits};

use super::place::Place;
use super::state::{LeafPhase, Phase, Progress, RunEnd, RunMachine};
use crate::record::{RunStatus, RunSummary, StepProgress, busy_words, why_suspended};

/// The schema of a stored summary.
const SUMMARY_VERSION: u32 = 1;
/// Steps at work that a summary names.
const AT_MAX: usize = 3;
/// Characters of the reason in a summary.
const WHY_CHARS: usize = 200;

impl RunMachine {
    /// Where the run stands, in one word.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match &self.phase {
            Phase::Empty | Phase::Requested => RunStatus::Queued,
            Phase::Running if self.waits_for_people_only() => RunStatus::Waiting,
            Phase::Running | Phase::Reopened { .. } => RunStatus::Running,
            Phase::Suspending { .. } => RunStatus::Suspending,
            Phase::Suspended { .. } => RunStatus::Suspended,
            Phase::Cancelling { .. } => RunStatus::Cancelling,
            Phase::Ended(RunEnd::Completed { .. }) => RunStatus::Completed,
            Phase::Ended(RunEnd::Failed { .. }) => RunStatus::Failed,
            Phase::Ended(RunEnd::Cancelled { .. }) => RunStatus::Cancelled,
        }
    }

    /// Whether nothing can go on before a person answers.
    #[must_use]
    pub fn waits_for_people_only(&self) -> bool {
        let in_doubt = |place| {
            matches!(
                self.leaf(place).map(|leaf| &leaf.phase),
                Some(LeafPhase::Doubt { .. } | LeafPhase::Held { .. })
            )
        };
        let is_asked = !self.active.is_empty() || !self.questions.is_empty();
        self.inbox.is_empty() && is_asked && self.active.iter().all(in_doubt)
    }

    /// Whether nothing goes on before a person answers although work is in flight: each step at work asks, and no time ends
    /// what it asks. Whether the processes that asked still wait is not known here.
    #[must_use]
    pub fn asks_people_only(&self) -> bool {
        let asks = |place| {
            self.questions
                .values()
                .any(|(of, asked)| of == place && asked.kind == QuestionKind::Asked && asked.due_at.is_none())
        };
        let waits = |place| {
            let Some(leaf) = self.leaf(place) else { return false };
            match leaf.phase {
                LeafPhase::Doubt { .. } | LeafPhase::Held { .. } => true,
                LeafPhase::Working(Progress::Begun) => leaf.skip.is_none() && asks(place),
                _ => false,
            }
        };
        matches!(self.phase, Phase::Running)
            && self.inbox.is_empty()
            && !self.active.is_empty()
            && self.active.iter().all(waits)
    }

    /// Whether an owner has nothing to do until something new is said: the run stands still, ended, or waits for people.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let still = match self.phase {
            Phase::Suspended { .. } | Phase::Ended(_) | Phase::Empty => true,
            Phase::Running | Phase::Cancelling { .. } => self.waits_for_people_only(),
            _ => false,
        };
        still && self.inbox.is_empty()
    }

    /// When an owner should look at the topic: `now` while there is something to do, the next timer, or never.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_at_rest() {
            return None;
        }
        let only_timers = self.inbox.is_empty()
            && matches!(self.phase, Phase::Running | Phase::Cancelling { .. })
            && self.active.iter().all(|place| {
                let phase = self.leaf(place).map(|leaf| &leaf.phase);
                let waits = |phase: &LeafPhase| {
                    matches!(
                        phase,
                        LeafPhase::Backoff { .. } | LeafPhase::Doubt { .. } | LeafPhase::Held { .. }
                    )
                };
                phase.is_some_and(waits)
            });
        if only_timers { self.next_timer().or(Some(now)) } else { Some(now) }
    }

    /// The first step that cannot be followed for now, and why.
    fn stuck(&self) -> Option<String> {
        let message = |place| self.steps.get(place).and_then(|state| state.stuck.as_ref());
        self.active.iter().find_map(|place| Some(format!("{} is stuck: {}", place.step, message(place)?)))
    }

    /// Who works in the checkout that the run waits for.
    fn waits_for_checkout(&self) -> Option<String> {
        let busy =
            self.checkout_busy.as_ref().filter(|_| self.active.iter().all(|place| self.is_wanted(place)))?;
        Some(busy_words(busy))
    }

    fn is_wanted(&self, place: &super::place::Place) -> bool {
        let phase = self.leaf(place).map(|leaf| &leaf.phase);
        matches!(phase, Some(LeafPhase::Working(Progress::Wanted)))
    }

    /// How far it is, as the record of the run says it too.
    fn progress(&self) -> StepProgress {
        let Some(definition) = &self.definition else { return StepProgress::default() };
        let place = |scope: &Scope| Place::of(scope);
        StepProgress::count(&definition.plan, &|scope| Some(self.pass(&place(scope)?).cycle), &|scope| {
            place(scope).is_some_and(|place| self.result(&place).is_some())
        })
    }

    /// The run in a line, for its index row.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let StepProgress { done: steps_done, total: steps_total } = self.progress();
        let why = match &self.phase {
            Phase::Ended(RunEnd::Failed { reason, .. }) => Some(reason.clone()),
            Phase::Ended(RunEnd::Cancelled { reason }) => reason.clone(),
            Phase::Suspended { by, reason } => Some(why_suspended(by, reason)),
            _ => self.stuck().or_else(|| self.waits_for_checkout()),
        };
        let summary = RunSummary {
            v: SUMMARY_VERSION,
            run: self.run,
            workflow: self
                .request
                .as_ref()
                .map_or(String::new(), |request| request.workflow.chars().take(100).collect()),
            status: self.status(),
            steps_done,
            steps_total,
            at: self.active.iter().take(AT_MAX).map(|place| place.step.clone()).collect(),
            why: why.map(|why| why.chars().take(WHY_CHARS).collect()),
            question: self.questions.keys().next().copied(),
            next_timer: self.next_timer(),
            limit: self.waits_for_limit().cloned(),
            retry: self.waits_for_retry(),
        };
        fitted(summary)
    }
}

/// The summary in the bytes that an index row may have: an append with a larger one is refused, and the run could not go on.
/// Why it stands where it does gives way first, then its name.
fn fitted(mut summary: RunSummary) -> RunSummary {
    let is_too_large = |summary: &RunSummary| {
        serde_json::to_string(summary).is_ok_and(|text| text.len() > limits::SUMMARY_BYTES_MAX)
    };
    while is_too_large(&summary) {
        let shorter = |text: &mut String| {
            let half = text.floor_char_boundary(text.len() / 2);
            text.truncate(half);
        };
        match &mut summary {
            RunSummary { why: Some(why), .. } if !why.is_empty() => shorter(why),
            RunSummary { workflow, .. } if !workflow.is_empty() => shorter(workflow),
            _ => break,
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use backstay_model::Attempt;
    use backstay_model::event::FailureClass;

    use super::*;
    use crate::record::{LimitWait, RetryWait};

    #[test]
    fn a_summary_fits_its_row_whatever_its_texts_are() {
        for character in ['a', '語', '\u{1}', '"'] {
            let text = |count: usize| character.to_string().repeat(count);
            let summary = fitted(RunSummary {
                v: SUMMARY_VERSION,
                run: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap(),
                workflow: text(100),
                status: RunStatus::Failed,
                steps_done: 1_000,
                steps_total: 1_000,
                at: vec!["s".repeat(64).parse().unwrap(); AT_MAX],
                why: Some(text(WHY_CHARS)),
                question: Some("qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap()),
                next_timer: Some(Timestamp::from_micros(i64::MAX)),
                limit: Some(LimitWait {
                    agent: "a".repeat(100),
                    until: Timestamp::from_micros(i64::MAX),
                    is_end_known: true,
                }),
                retry: Some(RetryWait {
                    step: "s".repeat(64).parse().unwrap(),
                    attempt: Attempt(u32::MAX),
                    failure: FailureClass::InvalidOutput,
                    until: Timestamp::from_micros(i64::MAX),
                }),
            });
            let stored = serde_json::to_string(&summary).unwrap();
            assert!(stored.len() <= limits::SUMMARY_BYTES_MAX, "{character:?}: {}", stored.len());
        }
    }
}
