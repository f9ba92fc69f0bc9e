//! `RunRecord`: a run, folded for reading.

use std::cell::Cell;

use backstay_model::event::{
    Actor, CheckoutBusy, DecodeError, Event, FactEvent, InputEvent, OwnerChanged, QuestionAnswered,
    QuestionKind, SkipReason,
};
use backstay_model::{Recorded, RunId, Scope, Seq, StepId, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::index::is_open;
use super::parts::{
    AnswerRecord, Interruption, InterventionRecord, OwnerRecord, QuestionRecord, StepRecord, StepStage,
    WorkflowRef,
};
use super::usage::Forgotten;
use super::{Pause, PlanRecord, RecordIndex, RunStatus, why_suspended};

/// The schema version of a [`RunRecord`]'s JSON.
pub const RUN_RECORD_SCHEMA: u32 = 1;

/// The version of the fold: raised when the same events give another record, so that no kept one is gone on with.
pub const RUN_RECORD_FOLD: u32 = 7;

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
    /// Who works in the checkout that it waits for.
    pub checkout_busy: Option<CheckoutBusy>,
    /// For how long the host slept meanwhile, in milliseconds.
    pub host_slept_ms: u64,
    /// The steps whose turn came, in the order in which it did.
    pub steps: Vec<StepRecord>,
    /// The questions, by time.
    pub questions: Vec<QuestionRecord>,
    /// What people did in agents' sessions.
    #[serde(default)]
    pub interventions: Vec<InterventionRecord>,
    /// The times without a living owner.
    pub interruptions: Vec<Interruption>,
    /// The plans that took the place of its first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PlanRecord>,
    /// The times in which it was suspended, or had ended before it was tried again. Empty in a run that never was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// When its events were freed; this record is what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trimmed_at: Option<Timestamp>,
    /// Answers without a verdict yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
    /// What is remembered of passes that [`RunRecord::forget_old_passes`] let go of.
    #[serde(skip)]
    pub forgotten: Forgotten,
    /// Where things stand in the lists above, made anew where it is missing.
    #[serde(skip)]
    pub index: RecordIndex,
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
            checkout_busy: None,
            host_slept_ms: 0,
            steps: Vec::new(),
            questions: Vec::new(),
            interventions: Vec::new(),
            interruptions: Vec::new(),
            plans: Vec::new(),
            pauses: Vec::new(),
            trimmed_at: None,
            answers: Vec::new(),
            forgotten: Forgotten::default(),
            index: RecordIndex::default(),
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
        self.index.catch_up(&self.steps, &self.questions);
        let previous_at = self.owned_at;
        self.head = recorded.seq;
        self.updated_at = Some(recorded.at);
        match event {
            Event::Input(input) => self.fold_input(recorded, input),
            Event::Fact(fact) => {
                // Who frees what a run takes is no owner of it.
                if !matches!(fact, FactEvent::Trimmed(_)) {
                    self.owned_at = Some(recorded.at);
                }
                match recorded.scope.step_id() {
                    Some(step) => {
                        self.fold_step(recorded.at, &recorded.scope, step, fact);
                        self.index.note_stage(&recorded.scope, &self.steps);
                    }
                    None => self.fold_run(recorded.at, previous_at, fact),
                }
            }
        }
        self.settle_status();
        Ok(())
    }

    /// The record of `step`, if its turn came; of a step in a loop, its last pass.
    #[must_use]
    pub fn step(&self, step: &StepId) -> Option<&StepRecord> {
        self.steps.iter().rev().find(|record| record.step == *step)
    }

    /// The record of one instance of a step; where the last pass of its loop needed it no more, that of the pass of the same
    /// loop in which it worked last.
    #[must_use]
    pub fn worked(&self, scope: &Scope) -> Option<&StepRecord> {
        let of_scope = self.instance(scope)?;
        let is_done = |record: &StepRecord| matches!(record.skipped, Some(SkipReason::LoopDone { .. }));
        if !is_done(of_scope) {
            return Some(of_scope);
        }
        // What stands in another pass of a loop further out is another piece of work.
        let outer = |scope: &Scope| {
            let cycles = scope.cycles().map(|(step, cycle)| (step.clone(), cycle));
            let mut cycles: Vec<_> = cycles.collect();
            cycles.pop();
            cycles
        };
        let is_its = |record: &&StepRecord| {
            record.step == of_scope.step && outer(&record.scope) == outer(scope) && !is_done(record)
        };
        self.steps.iter().rev().find(is_its).or(Some(of_scope))
    }

    /// The record of one instance of a step, if its turn came.
    #[must_use]
    pub fn instance(&self, scope: &Scope) -> Option<&StepRecord> {
        self.steps.iter().rev().find(|record| record.scope == *scope)
    }

    fn fold_input(&mut self, recorded: &Recorded, input: InputEvent) {
        let at = recorded.at;
        match input {
            InputEvent::RunRequested(request) => {
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
            InputEvent::QuestionAnswered(answered) => {
                let QuestionAnswered { by, question, answer } = answered;
                self.answers.push(AnswerRecord { input: recorded.seq, question, answer, by });
            }
            InputEvent::Intervened(done) => {
                let Some(step) = recorded.scope.step_id().cloned() else { return };
                self.interventions.push(InterventionRecord { input: recorded.seq, step, done });
            }
            // The others show by what they lead to.
            InputEvent::SuspendRequested(_)
            | InputEvent::ResumeRequested(_)
            | InputEvent::CancelRequested(_)
            | InputEvent::SkipRequested(_)
            | InputEvent::AskRequested(_)
            | InputEvent::Reopened(_) => {}
        }
    }

    fn fold_run(&mut self, at: Timestamp, previous_at: Option<Timestamp>, fact: FactEvent) {
        match fact {
            FactEvent::OwnerChanged(changed) => self.fold_owner(at, previous_at, changed),
            FactEvent::OwnerReleased(_) => (self.owner, self.checkout_busy) = (None, None),
            FactEvent::Settled(settled) if !settled.verdict.is_accepted() => {
                self.interventions.retain(|intervention| intervention.input != settled.input);
                self.answers.retain(|answer| answer.input != settled.input);
            }
            FactEvent::RunStarted(_) => {
                (self.status, self.started_at) = (RunStatus::Running, Some(at));
            }
            FactEvent::PlanChanged(changed) => self.fold_plan(at, changed.plan),
            FactEvent::StepsRedefined(redefined) => {
                if let Some(plan) = self.plans.last_mut() {
                    plan.steps.extend(redefined.steps);
                }
            }
            FactEvent::RunResumed(_) => {
                self.end_pause(at);
                self.reopened += u32::from(self.status.is_ended());
                (self.status, self.why, self.ended_at) = (RunStatus::Running, None, None);
                (self.outputs, self.failed_step) = (None, None);
            }
            FactEvent::RunSuspending(_) => self.status = RunStatus::Suspending,
            FactEvent::RunSuspended(suspended) => {
                self.pause(at);
                let why = why_suspended(&suspended.by, &suspended.reason);
                (self.status, self.why) = (RunStatus::Suspended, Some(why));
            }
            FactEvent::RunCancelling(cancelling) => {
                // What is done `finally` takes its time.
                self.end_pause(at);
                (self.status, self.why) = (RunStatus::Cancelling, cancelling.reason);
            }
            FactEvent::RunCompleted(end) => {
                self.end(at, RunStatus::Completed, None);
                self.outputs = Some(end.outputs);
            }
            FactEvent::RunFailed(end) => {
                self.end(at, RunStatus::Failed, Some(end.reason));
                self.failed_step = end.scope.as_ref().and_then(Scope::step_id).cloned();
            }
            FactEvent::RunCancelled(end) => self.end(at, RunStatus::Cancelled, end.reason),
            FactEvent::Trimmed(_) => self.trimmed_at = Some(at),
            FactEvent::CheckoutBusy(busy) => self.checkout_busy = Some(busy),
            FactEvent::CheckoutFree(_) => self.checkout_busy = None,
            FactEvent::HostSlept(slept) => self.host_slept_ms += slept.asleep_ms,
            FactEvent::StepsReset(reset) => {
                self.note_anew(&reset.steps);
                for scope in &reset.steps {
                    if let Some(position) = self.index.position(scope) {
                        self.steps[position].reset();
                    }
                }
                self.index.make_anew(&self.steps, &self.questions);
                self.failed_step = None;
            }
            // The rest is of steps.
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp, status: RunStatus, why: Option<String>) {
        self.pause(at);
        (self.status, self.why, self.ended_at, self.owner) = (status, why, Some(at), None);
        // Those of an end before belong to that one.
        (self.outputs, self.failed_step) = (None, None);
    }

    /// A new owner where the old one had not given the topic up is an interruption, if the run was under way.
    fn fold_owner(&mut self, at: Timestamp, previous_at: Option<Timestamp>, changed: OwnerChanged) {
        // Another owner finds out for itself.
        self.checkout_busy = None;
        let old = self.owner.replace(OwnerRecord {
            owner: changed.owner,
            epoch: changed.epoch,
            host: changed.host,
            pid: changed.pid,
            since: at,
        });
        // The last sign of the old owner: what it wrote last, or heard last of a step at work.
        let from = previous_at.max(changed.last_sign);
        if let (Some(old), Some(from)) = (old, from)
            && !self.is_paused()
        {
            let (reattached, lost) = (Vec::new(), Vec::new());
            self.interruptions.push(Interruption { from, until: at, pid: old.pid, reattached, lost });
        }
    }

    /// The steps at work, if each of them asks a person, no time ends what it asks, and nothing else goes on; else none.
    /// Whether the processes that asked still wait is not known here.
    #[must_use]
    pub fn steps_that_only_ask(&self) -> Vec<&StepRecord> {
        let asks = |record: &StepRecord| {
            self.questions.iter().any(|question| {
                question.step == record.step
                    && question.kind == QuestionKind::Asked
                    && question.closed_at.is_none()
                    && question.due_at.is_none()
            })
        };
        let mut asking = Vec::new();
        for record in self.steps.iter().filter(|record| is_open(record)) {
            match record.stage {
                StepStage::Working if asks(record) => asking.push(record),
                StepStage::InDoubt if is_asked_about(self.questions.iter(), &record.step) => {}
                _ => return Vec::new(),
            }
        }
        if self.status == RunStatus::Running { asking } else { Vec::new() }
    }

    /// Between `running` and `waiting` there is no event: the steps tell.
    fn settle_status(&mut self) {
        if !matches!(self.status, RunStatus::Running | RunStatus::Waiting) {
            return;
        }
        let looked_at = Cell::new(0);
        let count = || looked_at.set(looked_at.get() + 1);
        let mut open = self.index.open(&self.steps).inspect(|_| count()).peekable();
        let waits = open.peek().is_some()
            && open.all(|record| {
                let questions = self.index.open_questions(&self.questions).inspect(|_| count());
                record.stage == StepStage::InDoubt && is_asked_about(questions, &record.step)
            });
        drop(open);
        self.index.look_at(looked_at.get());
        self.status = if waits { RunStatus::Waiting } else { RunStatus::Running };
    }
}

fn is_asked_about<'a>(mut questions: impl Iterator<Item = &'a QuestionRecord>, step: &StepId) -> bool {
    questions.any(|question| question.step == *step && question.closed_at.is_none())
}
