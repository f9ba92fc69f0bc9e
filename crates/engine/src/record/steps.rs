//! How the events of steps become their records.

use backstay_model::event::{
    Actor, AgentSaid, Answer, CycleStarted, EffectHandle, FactEvent, QuestionKind, Said, StepStatus,
    UsageSpan,
};
use backstay_model::{Attempt, EffectCall, EffectId, Scope, StepId, Timestamp};

use super::parts::{AttemptRecord, LoopRecord, QuestionRecord, StepRecord, StepStage};
use super::{AgentRecord, LimitWait, RunRecord};

impl RunRecord {
    pub(super) fn fold_step(&mut self, at: Timestamp, scope: &Scope, step: &StepId, fact: FactEvent) {
        match fact {
            FactEvent::StepStarted(started) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.agent, record.started_at) = (StepStage::Started, started.agent, at);
            }
            FactEvent::CycleStarted(started) => {
                let CycleStarted { cycle, nth, max_cycles, check, .. } = started;
                let record = self.entry(scope, step, at);
                record.passes = Some(LoopRecord { cycle, nth, max_cycles, check, ended: None });
                record.stage = StepStage::Started;
            }
            FactEvent::LoopEnded(ended) => {
                if let Some(passes) = &mut self.entry(scope, step, at).passes {
                    passes.ended = Some(ended.reason);
                }
            }
            FactEvent::StepSkipped(skipped) => {
                let record = self.entry(scope, step, at);
                record.finish(at, StepStatus::Skipped, skipped.reason.to_string());
                (record.skipped, record.output) = (Some(skipped.reason), skipped.output);
            }
            FactEvent::StepFinished(finished) => {
                let record = self.entry(scope, step, at);
                record.finish(at, finished.status, finished.summary);
                (record.exit_code, record.failure) = (finished.exit_code, finished.failure);
                record.output = finished.output;
            }
            FactEvent::StepRetryScheduled(retry) => {
                let record = self.entry(scope, step, at);
                record.fail_attempt(retry.attempt, Some(&retry.message));
                let (due_at, next, after) = (retry.due_at, retry.attempt.next(), retry.failure);
                record.stage = StepStage::Backoff { due_at, next, after };
            }
            FactEvent::StepContinues(continues) => {
                let record = self.entry(scope, step, at);
                record.fail_attempt(continues.attempt, continues.because.message());
                let (next, after) = (continues.attempt.next(), continues.because.failure());
                record.stage = match continues.wait {
                    Some(wait) => StepStage::Backoff { due_at: wait.until, next, after },
                    None => StepStage::Started,
                };
                record.limit = LimitWait::of(&continues);
                record.agent = Some(continues.next);
            }
            FactEvent::AgentSaid(said) => self.fold_said(at, said),
            FactEvent::StepStalled(_) => self.entry(scope, step, at).stalled_at = Some(at),
            FactEvent::StepTimedOut(timed_out) => {
                if let Some(attempt) = self.entry(scope, step, at).attempts.last_mut() {
                    attempt.timed_out = Some(timed_out.budget);
                }
            }
            FactEvent::TimerFired(_) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.limit) = (StepStage::Started, None);
            }
            FactEvent::EffectStarting(starting) => {
                let record = self.entry(scope, step, at);
                (record.stage, record.stalled_at) = (StepStage::Working, None);
                let probe = starting.effect.call == EffectCall::Probe;
                let mut attempt = AttemptRecord::starting(starting.attempt, probe, starting.preview, at);
                attempt.agent = starting.agent.map(AgentRecord::starting);
                record.attempts.push(attempt);
            }
            FactEvent::EffectStuck(stuck) => self.entry(scope, step, at).stick(stuck.message),
            FactEvent::EffectRunning(running) => {
                self.entry(scope, step, at).unstick();
                let EffectHandle::Process(process) = running.handle;
                if let Some(attempt) = self.attempt(&running.effect, running.attempt) {
                    attempt.pid = Some(process.pid);
                    attempt.keeper_pid = Some(process.keeper_pid);
                    (attempt.folder, attempt.before) = (Some(process.folder), process.before);
                    if let (Some(agent), Some(running)) = (&mut attempt.agent, process.agent) {
                        agent.running(running);
                    }
                }
            }
            FactEvent::EffectAttached(attached) => {
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
            FactEvent::EffectFinished(finished) => {
                self.entry(scope, step, at).unstick();
                self.entry(scope, step, at).stage = StepStage::Started;
                if let Some(attempt) = self.attempt(&finished.effect, finished.attempt) {
                    attempt.finish(at, finished);
                }
            }
            FactEvent::EffectLost(lost) => {
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
            FactEvent::EffectInDoubt(_) => self.entry(scope, step, at).stage = StepStage::InDoubt,
            FactEvent::EffectResolved(_) => self.entry(scope, step, at).stage = StepStage::Started,
            FactEvent::QuestionAsked(asked) => {
                if asked.kind != QuestionKind::Asked {
                    self.entry(scope, step, at).stage = StepStage::InDoubt;
                }
                // What was closed without an answer may be asked again.
                if let Some(position) = self.index.question(asked.question) {
                    self.questions.remove(position);
                    self.index.make_anew(&self.steps, &self.questions);
                }
                self.index.add_question(asked.question, self.questions.len());
                self.questions.push(QuestionRecord {
                    question: asked.question,
                    prompt: asked.prompt,
                    options: asked.options,
                    step: step.clone(),
                    scope: scope.clone(),
                    kind: asked.kind,
                    default: asked.default,
                    due_at: asked.due_at,
                    asked_at: at,
                    closed_at: None,
                    answer: None,
                });
            }
            FactEvent::QuestionClosed(closed) => {
                let position = self.index.question(closed.question);
                let asked = position.and_then(|position| self.questions.get(position));
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
                if let Some(position) = position {
                    let question = &mut self.questions[position];
                    (question.closed_at, question.answer) = (Some(at), answer);
                    self.index.close_question(position);
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
                let attempt = self.attempt(&said.effect, number);
                let agent = attempt.and_then(|attempt| Some((attempt.agent.clone()?, attempt.starting_at)));
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
        if let Some(attempt) = self.attempt(&said.effect, number)
            && let Some(agent) = &mut attempt.agent
        {
            agent.fold(at, said, before);
            let used = (agent.session_key(), attempt.starting_at, agent.session_usage);
            if let (Some(session), starting_at, Some(used)) = used {
                self.index.add_session(session, starting_at, used);
            }
        }
        // Who works has ended its silence.
        if is_life && let Some(position) = self.index.position(&scope) {
            self.steps[position].stalled_at = None;
        }
    }

    fn entry(&mut self, scope: &Scope, step: &StepId, at: Timestamp) -> &mut StepRecord {
        let position = self.index.position(scope).unwrap_or_else(|| {
            self.index.add(scope, self.steps.len());
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
                earlier_attempts: 0,
                attempts: Vec::new(),
            });
            self.steps.len() - 1
        });
        &mut self.steps[position]
    }

    fn attempt(&mut self, effect: &EffectId, attempt: Attempt) -> Option<&mut AttemptRecord> {
        let record = self.steps.get_mut(self.index.position(&effect.scope)?)?;
        let probe = effect.call == EffectCall::Probe;
        record.attempts.iter_mut().find(|record| record.attempt == attempt && record.probe == probe)
    }
}
