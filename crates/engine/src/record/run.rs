//! `RunRecord`: a run, folded for reading.

use std::collections::BTreeSet;

use backstay_model::event::{
    Actor, Answer, AttemptEnd, Class, DecodeError, EffectFinished, Event, FailureClass, LostEvidence,
    OwnerChanged, QuestionAnswered, QuestionOption, SkipReason, Spool, StepStatus, TimeBudget, Verdict,
};
use backstay_model::{
    Attempt, Digest, EffectCall, EffectId, Epoch, OwnerId, QuestionId, Recorded, RunId, Seq, StepId, Text,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use super::RunStatus;

/// The schema version of a [`RunRecord`]'s JSON.
pub const RUN_RECORD_SCHEMA: u32 = 1;

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

/// A time in which the run had no living owner although it was under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// The last thing that the old owner wrote.
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
    /// Its next attempt waits for a moment.
    Backoff {
        /// That moment.
        due_at: Timestamp,
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
    pub folder: Option<String>,
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
    pub artifacts: Vec<String>,
}

/// A step whose turn came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its id.
    pub step: StepId,
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
    /// One line about how it ended.
    pub summary: Option<String>,
    /// Its output: JSON text.
    pub output: Option<Text>,
    /// Since when it is silent, if that was announced.
    pub stalled_at: Option<Timestamp>,
    /// Its attempts, also those before it was reset.
    pub attempts: Vec<AttemptRecord>,
}

/// A run, folded for reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The schema of this record: [`RUN_RECORD_SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// The last event in this record.
    pub head: Seq,
    /// Which workflow it follows; none before its first event.
    pub workflow: Option<WorkflowRef>,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it ended or stands still, for people.
    pub why: Option<String>,
    /// The step that failed first.
    pub failed_step: Option<StepId>,
    /// Who asked for it.
    pub by: Option<Actor>,
    /// The folder that its steps work in.
    pub cwd: Option<String>,
    /// The machine that it was asked for on.
    pub host: Option<String>,
    /// Its trace.
    pub trace: Option<String>,
    /// Its inputs: a JSON object.
    pub inputs: Option<Text>,
    /// Its outputs: a JSON object.
    pub outputs: Option<Text>,
    /// When it was asked for.
    pub requested_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The time of the last event.
    pub updated_at: Option<Timestamp>,
    /// The time of the last fact: an owner was alive then.
    pub owned_at: Option<Timestamp>,
    /// Who owns it now, as the log says; whether that process lives is for the reader to look up.
    pub owner: Option<OwnerRecord>,
    /// How often it was tried again after its end.
    pub reopened: u32,
    /// For how long the host slept meanwhile, in milliseconds.
    pub host_slept_ms: u64,
    /// The steps whose turn came, in the order in which it did.
    pub steps: Vec<StepRecord>,
    /// The questions, by time.
    pub questions: Vec<QuestionRecord>,
    /// The times without a living owner.
    pub interruptions: Vec<Interruption>,
    /// Answers without a verdict yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
}

impl RunRecord {
    /// The record of a run of which nothing is known yet.
    #[must_use]
    pub fn new(run: RunId) -> RunRecord {
        RunRecord {
            schema: RUN_RECORD_SCHEMA,
            run,
            head: Seq(0),
            workflow: None,
            status: RunStatus::Queued,
            why: None,
            failed_step: None,
            by: None,
            cwd: None,
            host: None,
            trace: None,
            inputs: None,
            outputs: None,
            requested_at: None,
            started_at: None,
            ended_at: None,
            updated_at: None,
            owned_at: None,
            owner: None,
            reopened: 0,
            host_slept_ms: 0,
            steps: Vec::new(),
            questions: Vec::new(),
            interruptions: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Folds one event of the run's topic. Events at or below the head change nothing.
    ///
    /// # Errors
    /// [`DecodeError`] if the event is damaged or from a newer version; nothing was changed then.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), DecodeError> {
        if recorded.seq <= self.head {
            return Ok(());
        }
        let event = Event::decode(recorded)?;
        let previous_at = self.owned_at;
        self.head = recorded.seq;
        self.updated_at = Some(recorded.at);
        if event.class() == Class::Fact {
            self.owned_at = Some(recorded.at);
        }
        match recorded.scope.step_id() {
            Some(step) => self.fold_step(recorded.at, &step.clone(), event),
            None => self.fold_run(recorded, previous_at, event),
        }
        self.settle_status();
        Ok(())
    }

    /// The record of `step`, if its turn came.
    #[must_use]
    pub fn step(&self, step: &StepId) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == *step)
    }

    fn fold_run(&mut self, recorded: &Recorded, previous_at: Option<Timestamp>, event: Event) {
        let at = recorded.at;
        match event {
            Event::RunRequested(request) => {
                self.workflow = Some(WorkflowRef {
                    name: request.workflow,
                    file: request.file,
                    plan: request.plan,
                    source: request.source,
                });
                (self.by, self.cwd, self.host) = (Some(request.by), Some(request.cwd), Some(request.host));
                (self.trace, self.inputs, self.requested_at) =
                    (Some(request.trace), Some(request.inputs), Some(at));
            }
            Event::OwnerChanged(changed) => self.fold_owner(at, previous_at, changed),
            Event::OwnerReleased(_) => self.owner = None,
            Event::QuestionAnswered(answered) => {
                let QuestionAnswered { by, question, answer } = answered;
                self.answers.push(AnswerRecord { input: recorded.seq, question, answer, by });
            }
            Event::Settled(settled) if settled.verdict != Verdict::Accepted => {
                self.answers.retain(|answer| answer.input != settled.input);
            }
            Event::RunStarted(_) => {
                (self.status, self.started_at) = (RunStatus::Running, Some(at));
            }
            Event::RunResumed(_) => {
                self.reopened += u32::from(self.status.is_ended());
                (self.status, self.why, self.ended_at) = (RunStatus::Running, None, None);
            }
            Event::RunSuspending(_) => self.status = RunStatus::Suspending,
            Event::RunSuspended(suspended) => {
                (self.status, self.why) = (RunStatus::Suspended, Some(format!("by {}", suspended.by)));
            }
            Event::RunCancelling(cancelling) => {
                (self.status, self.why) = (RunStatus::Cancelling, cancelling.reason);
            }
            Event::RunCompleted(end) => {
                self.end(at, RunStatus::Completed, None);
                self.outputs = Some(end.outputs);
            }
            Event::RunFailed(end) => {
                self.end(at, RunStatus::Failed, Some(end.reason));
                self.failed_step = end.step;
            }
            Event::RunCancelled(end) => self.end(at, RunStatus::Cancelled, end.reason),
            Event::HostSlept(slept) => self.host_slept_ms += slept.asleep_ms,
            Event::StepsReset(reset) => {
                let anew: BTreeSet<StepId> = reset.steps.into_iter().collect();
                for record in self.steps.iter_mut().filter(|record| anew.contains(&record.step)) {
                    record.reset();
                }
                self.failed_step = None;
            }
            // Wishes show by what they lead to; the rest is of steps.
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp, status: RunStatus, why: Option<String>) {
        (self.status, self.why, self.ended_at, self.owner) = (status, why, Some(at), None);
    }

    /// A new owner where the old one had not given the topic up is an interruption, if the run was under way.
    fn fold_owner(&mut self, at: Timestamp, previous_at: Option<Timestamp>, changed: OwnerChanged) {
        let old = self.owner.replace(OwnerRecord {
            owner: changed.owner,
            epoch: changed.epoch,
            host: changed.host,
            pid: changed.pid,
            since: at,
        });
        if let (Some(old), Some(from)) = (old, previous_at)
            && !self.status.is_ended()
            && self.status != RunStatus::Suspended
        {
            let (reattached, lost) = (Vec::new(), Vec::new());
            self.interruptions.push(Interruption { from, until: at, pid: old.pid, reattached, lost });
        }
    }

    fn fold_step(&mut self, at: Timestamp, step: &StepId, event: Event) {
        match event {
            Event::StepStarted(started) => {
                let record = self.entry(step, at);
                (record.stage, record.agent, record.started_at) = (StepStage::Started, started.agent, at);
            }
            Event::StepSkipped(skipped) => {
                let record = self.entry(step, at);
                record.finish(at, StepStatus::Skipped, skipped.reason.to_string());
                (record.skipped, record.output) = (Some(skipped.reason), skipped.output);
            }
            Event::StepFinished(finished) => {
                let record = self.entry(step, at);
                record.finish(at, finished.status, finished.summary);
                (record.exit_code, record.failure) = (finished.exit_code, finished.failure);
                record.output = finished.output;
            }
            Event::StepRetryScheduled(retry) => {
                self.entry(step, at).stage = StepStage::Backoff { due_at: retry.due_at }
            }
            Event::StepStalled(_) => self.entry(step, at).stalled_at = Some(at),
            Event::StepTimedOut(timed_out) => {
                if let Some(attempt) = self.entry(step, at).attempts.last_mut() {
                    attempt.timed_out = Some(timed_out.budget);
                }
            }
            Event::TimerFired(_) => self.entry(step, at).stage = StepStage::Started,
            Event::EffectStarting(starting) => {
                let record = self.entry(step, at);
                (record.stage, record.stalled_at) = (StepStage::Working, None);
                let probe = starting.effect.call == EffectCall::Probe;
                record.attempts.push(AttemptRecord::starting(starting.attempt, probe, starting.preview, at));
            }
            Event::EffectRunning(running) => {
                if let Some(attempt) = self.attempt(&running.effect, running.attempt) {
                    attempt.pid = Some(running.pid);
                    attempt.keeper_pid = Some(running.keeper_pid);
                    attempt.folder = Some(running.folder);
                }
            }
            Event::EffectAttached(attached) => {
                if let Some(attempt) = self.attempt(&attached.effect, attached.attempt) {
                    attempt.reattached += 1;
                }
                if let Some(interruption) = self.interruptions.last_mut()
                    && !interruption.reattached.contains(step)
                {
                    interruption.reattached.push(step.clone());
                }
            }
            Event::EffectFinished(finished) => {
                self.entry(step, at).stage = StepStage::Started;
                if let Some(attempt) = self.attempt(&finished.effect, finished.attempt) {
                    attempt.finish(at, finished);
                }
            }
            Event::EffectLost(lost) => {
                self.entry(step, at).stage = StepStage::Started;
                let Some(attempt) = self.attempt(&lost.effect, lost.attempt) else { return };
                (attempt.lost, attempt.ended_at) = (Some(lost.evidence), Some(at));
                let (starting_at, is_held) = (attempt.starting_at, attempt.reattached > 0);
                // What was begun or found again after the interruption was lost by something else.
                if let Some(interruption) = self.interruptions.last_mut()
                    && starting_at <= interruption.from
                    && !(is_held && interruption.reattached.contains(step))
                    && !interruption.lost.contains(step)
                {
                    interruption.lost.push(step.clone());
                }
            }
            Event::EffectInDoubt(_) => self.entry(step, at).stage = StepStage::InDoubt,
            Event::EffectResolved(_) => self.entry(step, at).stage = StepStage::Started,
            Event::QuestionAsked(asked) => self.questions.push(QuestionRecord {
                question: asked.question,
                prompt: asked.prompt,
                options: asked.options,
                step: asked.step,
                asked_at: at,
                closed_at: None,
                answer: None,
            }),
            Event::QuestionClosed(closed) => {
                let answer = self.answers.iter().find(|answer| Some(answer.input) == closed.answered_by);
                let answer = answer.map(|answer| (answer.answer.clone(), answer.by.clone()));
                self.answers.retain(|answer| Some(answer.input) != closed.answered_by);
                if let Some(question) =
                    self.questions.iter_mut().find(|asked| asked.question == closed.question)
                {
                    (question.closed_at, question.answer) = (Some(at), answer);
                }
            }
            // The rest is of runs.
            _ => {}
        }
    }

    /// Between `running` and `waiting` there is no event: the steps tell.
    fn settle_status(&mut self) {
        if !matches!(self.status, RunStatus::Running | RunStatus::Waiting) {
            return;
        }
        let leaves = self.steps.iter().filter(|record| record.agent.is_some());
        let is_open =
            |record: &&StepRecord| !matches!(record.stage, StepStage::Done { .. } | StepStage::Waiting);
        let mut open = leaves.filter(is_open).peekable();
        let waits = open.peek().is_some()
            && open.all(|record| record.stage == StepStage::InDoubt && self.is_asked_about(&record.step));
        self.status = if waits { RunStatus::Waiting } else { RunStatus::Running };
    }

    fn is_asked_about(&self, step: &StepId) -> bool {
        self.questions.iter().any(|question| question.step == *step && question.closed_at.is_none())
    }

    fn entry(&mut self, step: &StepId, at: Timestamp) -> &mut StepRecord {
        let index = self.steps.iter().position(|record| record.step == *step).unwrap_or_else(|| {
            self.steps.push(StepRecord {
                step: step.clone(),
                stage: StepStage::Started,
                agent: None,
                started_at: at,
                ended_at: None,
                exit_code: None,
                failure: None,
                skipped: None,
                summary: None,
                output: None,
                stalled_at: None,
                attempts: Vec::new(),
            });
            self.steps.len() - 1
        });
        &mut self.steps[index]
    }

    fn attempt(&mut self, effect: &EffectId, attempt: Attempt) -> Option<&mut AttemptRecord> {
        let step = effect.scope.step_id()?;
        let record = self.steps.iter_mut().find(|record| record.step == *step)?;
        let probe = effect.call == EffectCall::Probe;
        record.attempts.iter_mut().find(|record| record.attempt == attempt && record.probe == probe)
    }
}

impl StepRecord {
    /// How long the step took, or takes so far.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> std::time::Duration {
        self.ended_at.unwrap_or(now).since(self.started_at)
    }

    fn finish(&mut self, at: Timestamp, status: StepStatus, summary: String) {
        self.stage = StepStage::Done { status };
        (self.ended_at, self.summary, self.stalled_at) = (Some(at), Some(summary), None);
    }

    fn reset(&mut self) {
        self.stage = StepStage::Waiting;
        (self.ended_at, self.exit_code, self.failure, self.skipped) = (None, None, None, None);
        (self.summary, self.output, self.stalled_at) = (None, None, None);
    }
}

impl AttemptRecord {
    fn starting(attempt: Attempt, probe: bool, preview: String, starting_at: Timestamp) -> AttemptRecord {
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
        }
    }

    fn finish(&mut self, at: Timestamp, finished: EffectFinished) {
        (self.ended_at, self.end) = (Some(at), Some(finished.end));
        (self.exit_code, self.signal, self.message) = (finished.exit_code, finished.signal, finished.message);
        self.duration_ms = Some(finished.duration_ms);
        (self.stdout, self.stderr) = (finished.stdout, finished.stderr);
        (self.left_behind, self.artifacts) = (finished.left_behind, finished.artifacts);
    }
}
