//! A machine in a line.

use backstay_model::event::QuestionKind;
use backstay_model::{EffectCall, Scope, StepId, Timestamp, limits};

use super::instance::StepInstance;
use super::state::{Phase, RunEnd};
use crate::effect::{EffectPhase, Hold};
use crate::record::{LimitWait, RetryWait, RunStatus, RunSummary, StepProgress, busy_words, why_suspended};
use crate::topic::TopicMachine;

/// The schema of a stored summary.
const SUMMARY_VERSION: u32 = 1;
/// Steps at work that a summary names.
const AT_MAX: usize = 3;
/// Characters of the reason in a summary.
const WHY_CHARS: usize = 200;

/// Whether work waits for a person's answer.
fn waits_for_answer(phase: EffectPhase) -> bool {
    matches!(phase, EffectPhase::InDoubt(Some(_)) | EffectPhase::Wanted(Hold::Answer(_)))
}

impl TopicMachine {
    /// Where the run stands, in one word.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self.phase() {
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
        let is_asked = self.effects.is_any_open() || !self.questions.is_empty();
        self.inbox.is_empty() && is_asked && self.effects.open().all(|(_, phase)| waits_for_answer(phase))
    }

    /// Whether nothing goes on before a person answers although work is in flight: each step at work asks, and no time ends
    /// what it asks. Whether the processes that asked still wait is not known here.
    #[must_use]
    pub fn asks_people_only(&self) -> bool {
        let asks = |scope: &Scope| {
            let mut asked = self.questions.of_kind(QuestionKind::Asked);
            asked.any(|open| open.scope == *scope && open.asked.due_at.is_none())
        };
        let is_skipped = |scope: &Scope| {
            let instance = StepInstance::of(scope);
            let leaf = instance.as_ref().and_then(|instance| self.run.leaf(instance));
            leaf.is_none_or(|leaf| leaf.skip.is_some())
        };
        let waits = |scope: &Scope, phase: EffectPhase| {
            waits_for_answer(phase) || (phase.is_in_flight() && !is_skipped(scope) && asks(scope))
        };
        matches!(self.phase(), Phase::Running)
            && self.inbox.is_empty()
            && self.effects.is_any_open()
            && self.effects.open().all(|(effect, phase)| waits(&effect.scope, phase))
    }

    /// Whether an owner has nothing to do until something new is said: the run is suspended, ended, or waits for people.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let is_still = match self.phase() {
            Phase::Suspended { .. } | Phase::Ended(_) | Phase::Empty => true,
            Phase::Running | Phase::Cancelling { .. } => self.waits_for_people_only(),
            _ => false,
        };
        is_still && self.inbox.is_empty()
    }

    /// When an owner should look at the topic: `now` while there is something to do, the next timer, or never.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_at_rest() {
            return None;
        }
        let waits = |phase| waits_for_answer(phase) || matches!(phase, EffectPhase::Wanted(Hold::Until(_)));
        let only_timers = self.inbox.is_empty()
            && !self.effects.has_ended_waits()
            && matches!(self.phase(), Phase::Running | Phase::Cancelling { .. })
            && self.effects.open().all(|(_, phase)| waits(phase));
        if only_timers { self.next_timer().or(Some(now)) } else { Some(now) }
    }

    /// The next moment that something here waits for.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        if !matches!(self.phase(), Phase::Running | Phase::Cancelling { .. }) {
            return None;
        }
        let waiting = self.effects.waiting().map(|(_, due_at)| due_at);
        waiting.chain(self.questions.next_due()).chain(self.run.next_passes_due()).min()
    }

    /// The limit that is waited for: the first that ends.
    #[must_use]
    pub fn waits_for_limit(&self) -> Option<&LimitWait> {
        let limits = self.effects.waiting().filter_map(|(effect, _)| {
            self.run.leaf(&StepInstance::of(&effect.scope)?)?.agent.waits_for.as_ref()
        });
        limits.min_by_key(|limit| limit.until)
    }

    /// The next attempt that waits for a moment, which is no limit's end: the first that is due.
    #[must_use]
    pub fn waits_for_retry(&self) -> Option<RetryWait> {
        let retries = self.effects.waiting().filter_map(|(effect, until)| {
            let instance = StepInstance::of(&effect.scope)?;
            let leaf = self.run.leaf(&instance).filter(|leaf| leaf.agent.waits_for.is_none())?;
            let attempt = self.effects.attempt(effect);
            Some(RetryWait { step: instance.step, attempt, failure: leaf.last_failure?, until })
        });
        retries.min_by_key(|retry| retry.until)
    }

    /// The steps at work, in the order of their scopes.
    fn steps_at_work(&self) -> impl Iterator<Item = &StepId> {
        let main = self.effects.open().filter(|(effect, _)| effect.call == EffectCall::Main);
        main.filter_map(|(effect, _)| effect.scope.step_id())
    }

    /// The first step that cannot be followed for now, and why.
    fn stuck(&self) -> Option<String> {
        self.effects.open().find_map(|(effect, _)| {
            let message = self.effects.stuck(effect)?;
            Some(format!("{} is stuck: {message}", effect.scope.step_id()?))
        })
    }

    /// Who works in the checkout that the run waits for.
    fn waits_for_checkout(&self) -> Option<String> {
        let is_wanted = |phase| phase == EffectPhase::Wanted(Hold::Nothing);
        let busy = self.checkout.busy()?;
        self.effects.open().all(|(_, phase)| is_wanted(phase)).then(|| busy_words(busy))
    }

    /// How far it is, as the record of the run says it too.
    fn progress(&self) -> StepProgress {
        let Some(plan) = &self.run.plan else { return StepProgress::default() };
        let cycle = |scope: &Scope| Some(self.run.pass(&StepInstance::of(scope)?).cycle);
        let is_done = |scope: &Scope| {
            StepInstance::of(scope).is_some_and(|instance| self.run.result(&instance).is_some())
        };
        StepProgress::count(&plan.plan, &cycle, &is_done)
    }

    /// The run in a line, for its index row.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let StepProgress { done: steps_done, total: steps_total } = self.progress();
        let why = match self.phase() {
            Phase::Ended(RunEnd::Failed { reason, .. }) => Some(reason.clone()),
            Phase::Ended(RunEnd::Cancelled { reason }) => reason.clone(),
            Phase::Suspended { by, reason } => Some(why_suspended(by, reason)),
            _ => self.stuck().or_else(|| self.waits_for_checkout()),
        };
        let summary = RunSummary {
            v: SUMMARY_VERSION,
            run: self.run(),
            workflow: self
                .request()
                .map_or(String::new(), |request| request.workflow.chars().take(100).collect()),
            status: self.status(),
            steps_done,
            steps_total,
            at: self.steps_at_work().take(AT_MAX).cloned().collect(),
            why: why.map(|why| why.chars().take(WHY_CHARS).collect()),
            question: self.first_question(),
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
