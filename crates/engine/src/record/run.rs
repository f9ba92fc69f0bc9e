//! `RunRecord`: a run, folded for reading.

use std::collections::BTreeSet;

use backstay_model::event::{
    Actor, AgentSaid, Answer, Because, CheckoutBusy, Class, CycleStarted, DecodeError, Event, OwnerChanged,
    QuestionAnswered, QuestionKind, Said, SkipReason, StepStatus, UsageSpan, Verdict,
};
use backstay_model::{Attempt, EffectCall, EffectId, Recorded, RunId, Scope, Seq, StepId, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::parts::{
    AnswerRecord, AttemptRecord, Interruption, InterventionRecord, LoopRecord, OwnerRecord, QuestionRecord,
    StepRecord, StepStage, WorkflowRef,
};
use super::usage::Forgotten;
use super::{AgentRecord, LimitWait, Pause, PlanRecord, RunStatus, why_suspended};

/// The schema version of a [`RunRecord`]'s JSON.
pub const RUN_RECORD_SCHEMA: u32 = 1;

/// The version of the fold: raised when the same events give another record, so that no kept one is gone on with.
pub const RUN_RECORD_FOLD: u32 = 5;

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
            Some(step) => self.fold_step(recorded.at, &recorded.scope, step, event),
            None => self.fold_run(recorded, previous_at, event),
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
        let outer = |scope: &Scope| match scope {
            Scope::Step { frames, .. } => frames.split_last().map(|(_, outer)| outer.to_vec()),
            Scope::Run => None,
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
            Event::OwnerReleased(_) => (self.owner, self.checkout_busy) = (None, None),
            Event::QuestionAnswered(answered) => {
                let QuestionAnswered { by, question, answer } = answered;
                self.answers.push(AnswerRecord { input: recorded.seq, question, answer, by });
            }
            Event::Intervened(done) => {
                self.interventions.push(InterventionRecord { input: recorded.seq, done });
            }
            Event::Settled(settled) if settled.verdict != Verdict::Accepted => {
                self.interventions.retain(|intervention| intervention.input != settled.input);
                self.answers.retain(|answer| answer.input != settled.input);
            }
            Event::RunStarted(_) => {
                (self.status, self.started_at) = (RunStatus::Running, Some(at));
            }
            Event::PlanChanged(changed) => self.fold_plan(at, changed.plan),
            Event::StepsRedefined(redefined) => {
                if let Some(plan) = self.plans.last_mut() {
                    plan.steps.extend(redefined.steps);
                }
            }
            Event::RunResumed(_) => {
                self.end_pause(at);
                self.reopened += u32::from(self.status.is_ended());
                (self.status, self.why, self.ended_at) = (RunStatus::Running, None, None);
            }
            Event::RunSuspending(_) => self.status = RunStatus::Suspending,
            Event::RunSuspended(suspended) => {
                self.pause(at);
                let why = why_suspended(&suspended.by, &suspended.reason);
                (self.status, self.why) = (RunStatus::Suspended, Some(why));
            }
            Event::RunCancelling(cancelling) => {
                // What is done `finally` takes its time.
                self.end_pause(at);
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
            Event::Trimmed(_) => self.trimmed_at = Some(at),
            Event::CheckoutBusy(busy) => self.checkout_busy = Some(busy),
            Event::CheckoutFree(_) => self.checkout_busy = None,
            Event::HostSlept(slept) => self.host_slept_ms += slept.asleep_ms,
            Event::StepsReset(reset) => {
                self.note_anew(&reset.steps);
                // Of a step in a loop only the last pass is done anew.
                let mut anew: BTreeSet<StepId> = reset.steps.into_iter().collect();
                for record in self.steps.iter_mut().rev() {
                    if anew.remove(&record.step) {
                        record.reset();
                    }
                }
                self.failed_step = None;
            }
            // Wishes show by what they lead to; the rest is of steps.
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp, status: RunStatus, why: Option<String>) {
        self.pause(at);
        (self.status, self.why, self.ended_at, self.owner) = (status, why, Some(at), None);
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

    fn fold_step(&mut self, at: Timestamp, scope: &Scope, step: &StepId, event: Event) {
        match event {
            Event::StepStarted(started) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.agent, record.started_at) = (StepStage::Started, started.agent, at);
            }
            Event::CycleStarted(started) => {
                let CycleStarted { cycle, nth, max_cycles, check, .. } = started;
                let record = self.entry(scope, step, at);
                record.passes = Some(LoopRecord { cycle, nth, max_cycles, check, ended: None });
                record.stage = StepStage::Started;
            }
            Event::LoopEnded(ended) => {
                if let Some(passes) = &mut self.entry(scope, step, at).passes {
                    passes.ended = Some(ended.reason);
                }
            }
            Event::StepSkipped(skipped) => {
                let record = self.entry(scope, step, at);
                record.finish(at, StepStatus::Skipped, skipped.reason.to_string());
                (record.skipped, record.output) = (Some(skipped.reason), skipped.output);
            }
            Event::StepFinished(finished) => {
                let record = self.entry(scope, step, at);
                record.finish(at, finished.status, finished.summary);
                (record.exit_code, record.failure) = (finished.exit_code, finished.failure);
                record.output = finished.output;
            }
            Event::StepRetryScheduled(retry) => {
                self.entry(scope, step, at).stage = StepStage::Backoff { due_at: retry.due_at }
            }
            Event::StepContinues(continues) => {
                let record = self.entry(scope, step, at);
                record.stage = match continues.due_at {
                    Some(due_at) => StepStage::Backoff { due_at },
                    None => StepStage::Started,
                };
                let until = continues.due_at.filter(|_| matches!(continues.because, Because::Limit { .. }));
                record.limit = until.map(|until| LimitWait { agent: continues.next.clone(), until });
                record.agent = Some(continues.next);
            }
            Event::AgentSaid(said) => self.fold_said(at, said),
            Event::StepStalled(_) => self.entry(scope, step, at).stalled_at = Some(at),
            Event::StepTimedOut(timed_out) => {
                if let Some(attempt) = self.entry(scope, step, at).attempts.last_mut() {
                    attempt.timed_out = Some(timed_out.budget);
                }
            }
            Event::TimerFired(_) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.limit) = (StepStage::Started, None);
            }
            Event::EffectStarting(starting) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.stalled_at) = (StepStage::Working, None);
                let probe = starting.effect.call == EffectCall::Probe;
                let mut attempt = AttemptRecord::starting(starting.attempt, probe, starting.preview, at);
                attempt.agent = starting.agent.map(AgentRecord::starting);
                record.attempts.push(attempt);
            }
            Event::EffectStuck(stuck) => self.entry(scope, step, at).stick(stuck.message),
            Event::EffectRunning(running) => {
                self.entry(scope, step, at).unstick();
                if let Some(attempt) = self.attempt(&running.effect, running.attempt) {
                    attempt.pid = Some(running.pid);
                    attempt.keeper_pid = Some(running.keeper_pid);
                    (attempt.folder, attempt.before) = (Some(running.folder), running.before);
                    if let (Some(agent), Some(running)) = (&mut attempt.agent, running.agent) {
                        agent.running(running);
                    }
                }
            }
            Event::EffectAttached(attached) => {
                self.entry(scope, step, at).unstick();
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
                self.entry(scope, step, at).unstick();
                self.entry(scope, step, at).stage = StepStage::Started;
                if let Some(attempt) = self.attempt(&finished.effect, finished.attempt) {
                    attempt.finish(at, finished);
                }
            }
            Event::EffectLost(lost) => {
                self.entry(scope, step, at).unstick();
                self.entry(scope, step, at).stage = StepStage::Started;
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
            Event::EffectInDoubt(_) => self.entry(scope, step, at).stage = StepStage::InDoubt,
            Event::EffectResolved(_) => self.entry(scope, step, at).stage = StepStage::Started,
            Event::QuestionAsked(asked) => {
                if asked.kind != QuestionKind::Asked {
                    self.entry(scope, step, at).stage = StepStage::InDoubt;
                }
                // What was closed without an answer may be asked again.
                self.questions.retain(|known| known.question != asked.question);
                self.questions.push(QuestionRecord {
                    question: asked.question,
                    prompt: asked.prompt,
                    options: asked.options,
                    step: asked.step,
                    kind: asked.kind,
                    default: asked.default,
                    due_at: asked.due_at,
                    asked_at: at,
                    closed_at: None,
                    answer: None,
                });
            }
            Event::QuestionClosed(closed) => {
                let asked = self.questions.iter().find(|asked| asked.question == closed.question);
                if asked.is_none_or(|asked| asked.kind != QuestionKind::Asked) {
                    self.entry(scope, step, at).stage = StepStage::Started;
                }
                let answer = self.answers.iter().find(|answer| Some(answer.input) == closed.answered_by);
                let by_default = |choice| {
                    let by = Actor { name: "default".to_owned(), via: "its time was over".to_owned() };
                    (Answer { choice, value: None }, by)
                };
                let answer = answer
                    .map(|answer| (answer.answer.clone(), answer.by.clone()))
                    .or_else(|| closed.choice.clone().map(by_default));
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

    fn fold_said(&mut self, at: Timestamp, said: AgentSaid) {
        let (scope, number) = (said.effect.scope.clone(), said.attempt);
        let before = match &said.what {
            Said::Usage(usage) if usage.span == UsageSpan::Session => {
                let attempt = self.attempt(&said.effect, number).cloned();
                let agent = attempt.and_then(|attempt| Some((attempt.agent?, attempt.starting_at)));
                agent.and_then(|(agent, starting_at)| self.used_before(&agent, starting_at))
            }
            _ => None,
        };
        let is_life = matches!(
            said.what,
            Said::Message { .. }
                | Said::Thought { .. }
                | Said::ToolStarted { .. }
                | Said::ToolFinished { .. }
        );
        let attempt = self.attempt(&said.effect, number);
        if let Some(agent) = attempt.and_then(|attempt| attempt.agent.as_mut()) {
            agent.fold(at, said, before);
        }
        // Who works has ended its silence.
        if is_life && let Some(record) = self.steps.iter_mut().rfind(|record| record.scope == scope) {
            record.stalled_at = None;
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
                StepStage::InDoubt if self.is_asked_about(&record.step) => {}
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
        let mut open = self.steps.iter().filter(|record| is_open(record)).peekable();
        let waits = open.peek().is_some()
            && open.all(|record| record.stage == StepStage::InDoubt && self.is_asked_about(&record.step));
        self.status = if waits { RunStatus::Waiting } else { RunStatus::Running };
    }

    fn is_asked_about(&self, step: &StepId) -> bool {
        self.questions.iter().any(|question| question.step == *step && question.closed_at.is_none())
    }

    fn entry(&mut self, scope: &Scope, step: &StepId, at: Timestamp) -> &mut StepRecord {
        let index = self.steps.iter().rposition(|record| record.scope == *scope).unwrap_or_else(|| {
            self.steps.push(StepRecord {
                step: step.clone(),
                scope: scope.clone(),
                stage: StepStage::Started,
                agent: None,
                started_at: at,
                ended_at: None,
                exit_code: None,
                failure: None,
                skipped: None,
                summary: None,
                output: None,
                passes: None,
                stalled_at: None,
                limit: None,
                resets: 0,
                attempts: Vec::new(),
            });
            self.steps.len() - 1
        });
        &mut self.steps[index]
    }

    fn attempt(&mut self, effect: &EffectId, attempt: Attempt) -> Option<&mut AttemptRecord> {
        let record = self.steps.iter_mut().rfind(|record| record.scope == effect.scope)?;
        let probe = effect.call == EffectCall::Probe;
        record.attempts.iter_mut().find(|record| record.attempt == attempt && record.probe == probe)
    }
}

/// Whether the run waits for this. Of groups only a loop that asks what to do waits for something itself.
const fn is_open(record: &StepRecord) -> bool {
    match record.stage {
        StepStage::Done { .. } | StepStage::Waiting => false,
        StepStage::InDoubt => true,
        _ => record.agent.is_some(),
    }
}
