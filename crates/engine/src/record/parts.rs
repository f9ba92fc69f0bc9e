//! What a run's record is made of.

use backstay_model::event::{
    Actor, Answer, AttemptEnd, EffectFinished, EffectResult, FailureClass, LoopEnd, LostEvidence,
    ManualIntervention, QuestionKind, QuestionOption, SkipReason, Spool, StepStatus, TimeBudget, TreeOutcome,
};
use backstay_model::{
    Attempt, Digest, Epoch, OwnerId, QuestionId, Scope, Seq, StepId, StorePath, Text, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{AgentRecord, LimitWait, RetryWait};

/// Which workflow a run follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRef {
    /// Its name.
    pub name: String,
    /// The file it came from, as given.
    pub file: String,
    /// The digest of the checked plan.
    pub plan: Digest,
    /// The digest of the file's text.
    pub source: Digest,
}

/// Who owns a run's topic, as the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// Its id.
    pub owner: OwnerId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its machine.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
}

/// What a person did in an agent's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterventionRecord {
    /// The input that says it.
    pub input: Seq,
    /// The step.
    pub step: StepId,
    /// What it says.
    #[serde(flatten)]
    pub done: ManualIntervention,
}

/// A time in which the run had no living owner although it was under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// The last sign of the old owner: what it wrote, or the last sign of life of a step that it passed on.
    pub from: Timestamp,
    /// When the new owner came.
    pub until: Timestamp,
    /// The process id of the old owner.
    pub pid: u32,
    /// The steps whose work was found again.
    pub reattached: Vec<StepId>,
    /// The steps whose work was lost.
    pub lost: Vec<StepId>,
}

/// A question and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionRecord {
    /// Its id.
    pub question: QuestionId,
    /// What is asked.
    pub prompt: String,
    /// What can be answered.
    pub options: Vec<QuestionOption>,
    /// The step that waits.
    pub step: StepId,
    /// The instance of the step that waits.
    pub scope: Scope,
    /// What is asked for.
    pub kind: QuestionKind,
    /// What is taken as the answer when nobody gives one in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Until when an answer is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What was answered, and by whom.
    pub answer: Option<(Answer, Actor)>,
}

/// An answer that its question has not been closed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// The number of the input.
    pub input: Seq,
    /// What it answers.
    pub question: QuestionId,
    /// What was said.
    pub answer: Answer,
    /// Who said it.
    pub by: Actor,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum StepStage {
    /// It is to be done anew, and its turn has not come again.
    Waiting,
    /// Its turn came, and nothing is in flight.
    Started,
    /// Its work is in flight.
    Working,
    /// Its work was begun, and nobody can say for now what becomes of it: the summary says why.
    Stuck,
    /// Its next attempt waits for a moment.
    Backoff {
        /// That moment.
        due_at: Timestamp,
        /// The number of that attempt.
        next: Attempt,
        /// What went wrong with the last one.
        after: FailureClass,
    },
    /// It is not known what became of its work.
    InDoubt,
    /// It has its result.
    Done {
        /// Which.
        status: StepStatus,
    },
}

/// One attempt of a step, or of its probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: Attempt,
    /// Whether it is a probe's.
    pub probe: bool,
    /// The beginning of its command.
    pub preview: String,
    /// When its start was durable.
    pub starting_at: Timestamp,
    /// When its end was durable.
    pub ended_at: Option<Timestamp>,
    /// The main process.
    pub pid: Option<u32>,
    /// Its keeper.
    pub keeper_pid: Option<u32>,
    /// Its folder, relative to the store.
    pub folder: Option<StorePath>,
    /// How it ended.
    #[serde(flatten)]
    pub end: Option<AttemptEnd>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What went wrong, for people.
    pub message: Option<String>,
    /// Awake time, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What came on stdout.
    pub stdout: Option<Spool>,
    /// What came on stderr.
    pub stderr: Option<Spool>,
    /// How often a new owner found it again.
    pub reattached: u32,
    /// Why nobody can say how it ended.
    pub lost: Option<LostEvidence>,
    /// The time budget that it used up.
    pub timed_out: Option<TimeBudget>,
    /// Processes that outlived the main one and were ended.
    pub left_behind: u32,
    /// Files that it left, by path relative to the store.
    pub artifacts: Vec<StorePath>,
    /// Files that it left there and that `artifacts` does not name.
    pub artifacts_omitted: u32,
    /// The checkout before it.
    pub before: Option<TreeOutcome>,
    /// The checkout after it.
    pub after: Option<TreeOutcome>,
    /// What its agent did, if that is known by a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRecord>,
}

/// How far a loop is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopRecord {
    /// The current pass, or the last one.
    pub cycle: u32,
    /// Which pass it is of those allowed.
    pub nth: u32,
    /// How many are allowed.
    pub max_cycles: u32,
    /// Whether it only does again what the condition needs.
    pub check: bool,
    /// Why the loop ended, once it did by itself.
    pub ended: Option<LoopEnd>,
}

/// A step whose turn came; of a step in a loop, one pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its id.
    pub step: StepId,
    /// Its id with the repetitions that it stands in.
    pub scope: Scope,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: StepStage,
    /// What does it; none for a group.
    pub agent: Option<String>,
    /// When its turn came.
    pub started_at: Timestamp,
    /// When it had its result.
    pub ended_at: Option<Timestamp>,
    /// The exit code that decided it.
    pub exit_code: Option<i32>,
    /// What went wrong.
    pub failure: Option<FailureClass>,
    /// Why it was left out.
    pub skipped: Option<SkipReason>,
    /// One line about how it ended, or why it is stuck.
    pub summary: Option<String>,
    /// Its output: JSON text.
    pub output: Option<Text>,
    /// How far it is, if it is a loop.
    #[serde(rename = "loop", default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<LoopRecord>,
    /// Since when it is silent, if that was announced.
    pub stalled_at: Option<Timestamp>,
    /// The agent whose limit its next attempt waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitWait>,
    /// How often it was reset, to be done anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resets: u32,
    /// How many of its attempts began before it was reset last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub earlier_attempts: u32,
    /// Its attempts, also those before it was reset.
    pub attempts: Vec<AttemptRecord>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl StepRecord {
    /// The pass of the innermost loop that it stands in.
    #[must_use]
    pub fn cycle(&self) -> Option<u32> {
        self.scope.cycles().last().map(|(_, cycle)| cycle)
    }

    /// Its attempts since it was reset last, probes included: where it stands now comes from these.
    #[must_use]
    pub fn current_attempts(&self) -> &[AttemptRecord] {
        self.attempts.get(self.earlier_attempts as usize..).unwrap_or(&[])
    }

    /// From when to when it is or was at work since it was reset last: for single steps from the start of the first attempt
    /// to the end of the last one; none where nothing began.
    pub(super) fn span(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let mut attempts = self.current_attempts().iter().filter(|attempt| !attempt.probe);
        let from = match (attempts.next(), &self.agent) {
            (Some(first), _) => first.starting_at,
            (None, None) => self.started_at,
            (None, Some(_)) => return None,
        };
        let stopped =
            self.current_attempts().iter().rfind(|attempt| !attempt.probe).and_then(|last| last.ended_at);
        Some((from, self.ended_at.or(stopped).unwrap_or(now)))
    }

    pub(super) fn finish(&mut self, at: Timestamp, status: StepStatus, summary: String) {
        self.stage = StepStage::Done { status };
        (self.ended_at, self.summary, self.stalled_at) = (Some(at), Some(summary), None);
        self.limit = None;
    }

    pub(super) fn stick(&mut self, message: String) {
        (self.stage, self.summary, self.stalled_at) = (StepStage::Stuck, Some(message), None);
    }

    /// One of its attempts failed, and another one follows.
    pub(super) fn fail_attempt(&mut self, attempt: Attempt, message: Option<&str>) {
        let failed = self.attempts.iter_mut().rfind(|record| record.attempt == attempt && !record.probe);
        if let (Some(failed), Some(message)) = (failed, message) {
            failed.message = Some(message.to_owned());
        }
    }

    /// The next attempt that it waits for, if it does.
    #[must_use]
    pub fn retry(&self) -> Option<RetryWait> {
        let StepStage::Backoff { due_at, next, after } = self.stage else { return None };
        Some(RetryWait { step: self.step.clone(), attempt: next, failure: after, until: due_at })
    }

    /// Something is known of its work again.
    pub(super) fn unstick(&mut self) {
        if self.stage == StepStage::Stuck {
            (self.stage, self.summary) = (StepStage::Working, None);
        }
    }

    pub(super) fn reset(&mut self) {
        (self.stage, self.resets) = (StepStage::Waiting, self.resets + 1);
        self.earlier_attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        (self.ended_at, self.exit_code, self.failure, self.skipped) = (None, None, None, None);
        (self.summary, self.output, self.stalled_at, self.limit) = (None, None, None, None);
    }
}

impl AttemptRecord {
    pub(super) fn starting(
        attempt: Attempt,
        probe: bool,
        preview: String,
        starting_at: Timestamp,
    ) -> AttemptRecord {
        AttemptRecord {
            attempt,
            probe,
            preview,
            starting_at,
            ended_at: None,
            pid: None,
            keeper_pid: None,
            folder: None,
            end: None,
            exit_code: None,
            signal: None,
            message: None,
            duration_ms: None,
            stdout: None,
            stderr: None,
            reattached: 0,
            lost: None,
            timed_out: None,
            left_behind: 0,
            artifacts: Vec::new(),
            artifacts_omitted: 0,
            before: None,
            after: None,
            agent: None,
        }
    }

    pub(super) fn finish(&mut self, at: Timestamp, finished: EffectFinished) {
        (self.ended_at, self.end) = (Some(at), Some(finished.end));
        (self.message, self.duration_ms) = (finished.message, Some(finished.duration_ms));
        let EffectResult::Process(process) = finished.result;
        (self.exit_code, self.signal) = (process.exit_code, process.signal);
        (self.stdout, self.stderr) = (process.stdout, process.stderr);
        (self.left_behind, self.artifacts) = (process.left_behind, process.artifacts);
        (self.artifacts_omitted, self.after) = (process.artifacts_omitted, process.after);
    }
}
