//! What follows from news of outside work.

use std::time::Duration;

use backstay_model::event::{
    Actor, AttemptEnd, EffectAttached, EffectFinished, EffectHandle, EffectInDoubt, EffectLost,
    EffectResolved, EffectResult, EffectRunning, EffectStuck, FailureClass, LostEvidence, ProcessHandle,
    ProcessResult, QuestionAsked, QuestionKind, QuestionOption, Resolution, RunSuspending, SkipReason,
    StepFinished, StepRetryScheduled, StepSkipped, StepStalled, StepStatus, StepTimedOut, SuspendReason,
    TimeBudget,
};
use backstay_model::limits::LOSSES_IN_A_ROW_MAX;
use backstay_model::{Attempt, Digest, EffectCall, EffectId, QuestionId, Scope, Seq, Text};
use backstay_workflow::plan::{AfterCrash, RetryClass, Step};

use super::agent_attempts::Next;
use super::attempt_outcome::AttemptOutcome;
use super::effect_spec::total_budget_ms;
use super::inputs::{DONE, FAIL, RERUN};
use super::instance::StepInstance;
use super::plan_index::Node;
use super::state::Phase;
use crate::topic::DecisionPass;
use crate::{AgentEnded, EndedBy, OutputProblem, ProcessEnded, Report};

/// How an attempt failed.
struct Failed {
    exit_code: Option<i32>,
    failure: FailureClass,
    message: String,
    output: Option<Text>,
}

/// How an attempt was broken off, in words.
struct BrokenOff {
    when: &'static str,
    many: &'static str,
    message: &'static str,
}

/// It was lost with its keeper.
const LOST: BrokenOff = BrokenOff { when: "its keeper died", many: "lost", message: "lost in a crash" };
/// The store is a copy, made while it was at work.
const COPIED: BrokenOff = BrokenOff { when: "the store was copied", ..LOST };
/// Its keeper was told to end, and ended it.
const STOPPED: BrokenOff = BrokenOff {
    when: "its keeper was told to end",
    many: "interrupted",
    message: "interrupted, and nobody had asked for that",
};

impl DecisionPass<'_> {
    /// Takes a report if it is the first of an attempt in flight; others change nothing.
    pub(crate) fn report(&mut self, report: Report) {
        let (effect, attempt) = report.attempt();
        let Some(instance) = StepInstance::of(&effect.scope) else { return };
        if !self.topic.effects.is_in_flight(effect, attempt) {
            return;
        }
        match report {
            // A keeper that was found again may say once more what is known.
            Report::Running { .. } if self.topic.effects.was_running(effect, attempt) => {}
            Report::Running { effect, attempt, pid, keeper_pid, folder, before, agent } => {
                let process = ProcessHandle { pid, keeper_pid, folder, before, agent };
                let handle = EffectHandle::Process(process);
                self.emit_at(&instance, EffectRunning { effect, attempt, handle });
            }
            Report::Said { .. } => self.agent_said(&instance, report),
            Report::Attached { effect, attempt, had_ended } => {
                self.emit_at(&instance, EffectAttached { effect, attempt, had_ended });
            }
            Report::Stalled { attempt, silent_ms, stop_in_ms, .. } => {
                self.emit_at(&instance, StepStalled { attempt, silent_ms, stop_in_ms });
            }
            // Said once, however often it is tried.
            Report::Stuck { effect, attempt, message } => {
                if self.topic.effects.stuck(&effect) != Some(&message) {
                    self.emit_at(&instance, EffectStuck { effect, attempt, message });
                }
            }
            Report::Ended { effect, attempt, process } => match effect.call {
                EffectCall::Probe => self.probe_ended(&instance, effect, attempt, *process),
                _ => self.main_ended(&instance, effect, attempt, *process),
            },
            Report::Lost { effect, attempt, evidence, ended_processes } => {
                let call = effect.call;
                // Whoever removed the folder removed the trace of what the log saw running.
                let has_run = self.topic.effects.was_running(&effect, attempt);
                let evidence = match evidence {
                    LostEvidence::NotBegun if has_run => LostEvidence::KeeperDead,
                    evidence => evidence,
                };
                self.emit_at(&instance, EffectLost { effect, attempt, evidence, ended_processes });
                match call {
                    EffectCall::Probe => self.probe_lost(&instance),
                    _ => self.main_lost(&instance, attempt, evidence),
                }
            }
        }
    }

    fn main_ended(
        &mut self,
        instance: &StepInstance,
        effect: EffectId,
        attempt: Attempt,
        process: ProcessEnded,
    ) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        let Some(node) = plan.node(&instance.step) else { return };
        let judged = self.attempt_outcome(instance, node, &process);
        // A turn that had ended before its time did is not one that timed out.
        match judged.end {
            AttemptEnd::Failed { failure: FailureClass::Timeout } => {
                let budget_ms = total_budget_ms(node).unwrap_or(0);
                self.emit_at(instance, StepTimedOut { attempt, budget: TimeBudget::Total, budget_ms });
            }
            AttemptEnd::Failed { failure: FailureClass::Stall } => {
                let budget_ms = node.step.idle_timeout_ms.unwrap_or(0);
                self.emit_at(instance, StepTimedOut { attempt, budget: TimeBudget::Idle, budget_ms });
            }
            AttemptEnd::Failed { .. }
            | AttemptEnd::Succeeded
            | AttemptEnd::Cancelled
            | AttemptEnd::Interrupted => {}
        }
        let (by, exit_code) = (process.by, process.exit_code);
        let agent = process.agent.clone();
        let lost = process.output_problem.as_ref().and_then(OutputProblem::lost_bytes);
        self.emit_at(instance, finished(effect, attempt, judged.end, process));
        let skip = self.topic.run.leaf(instance).and_then(|leaf| leaf.skip.clone());
        match judged.end {
            AttemptEnd::Succeeded => {
                self.finish(instance, StepStatus::Succeeded, exit_code, None, judged.message, judged.output);
                lost.into_iter().for_each(|lost_bytes| self.suspend_without_output(instance, lost_bytes));
            }
            _ if skip.is_some() => self.skip_as_asked(instance, skip),
            AttemptEnd::Failed { failure } => {
                let AttemptOutcome { message, output, .. } = judged;
                let failed = Failed { exit_code, failure, message, output };
                self.fail_agent_attempt(instance, &node.step, attempt, failed, agent.as_ref());
            }
            AttemptEnd::Cancelled => {
                self.finish(instance, StepStatus::Cancelled, exit_code, None, judged.message, judged.output);
            }
            AttemptEnd::Interrupted if by == EndedBy::Signalled => {
                self.after_crash(instance, node, attempt, &STOPPED)
            }
            AttemptEnd::Interrupted => self.after_interruption(instance, &node.step, attempt),
        }
    }

    /// Suspends the run after a step that did its work, whose output there was no room for. The next steps would go on without
    /// that output, and most likely lose their own, so a person looks first. A run that is being suspended already says this as
    /// its reason, since whoever resumes it has to know it.
    fn suspend_without_output(&mut self, instance: &StepInstance, lost_bytes: u64) {
        match self.topic.phase() {
            Phase::Running => {}
            Phase::Suspending { reason: SuspendReason::OutputLost { .. }, .. } => return,
            Phase::Suspending { .. } => {}
            // Nothing goes on without the output.
            _ => return,
        }
        let by = Actor { name: "backstay".to_owned(), via: format!("step {}", instance.step) };
        let reason = SuspendReason::OutputLost { scope: instance.scope(), lost_bytes };
        self.emit(Scope::root(), RunSuspending { by, reason });
    }

    /// Another attempt of the agent that counts against nothing, or what the step's retries say.
    fn fail_agent_attempt(
        &mut self,
        instance: &StepInstance,
        step: &Step,
        attempt: Attempt,
        failed: Failed,
        ended: Option<&AgentEnded>,
    ) {
        match self.next_of_agent(instance, step, attempt, (failed.failure, &failed.message), ended) {
            Some(Next::Continues(continues)) => self.emit_at(instance, continues),
            Some(Next::Fails(message)) => {
                self.fail_attempt(instance, step, attempt, Failed { message, ..failed })
            }
            None => self.fail_attempt(instance, step, attempt, failed),
        }
    }

    fn fail_attempt(&mut self, instance: &StepInstance, step: &Step, attempt: Attempt, failed: Failed) {
        let Failed { exit_code, failure, message, output } = failed;
        // Each agent has its own tries of a network that may be another one.
        let failures = self.topic.run.leaf(instance).map_or(0, |leaf| match failure {
            FailureClass::Network => leaf.agent.network_tries,
            _ => leaf.failures,
        });
        let class = retry_class(failure);
        let again = class.is_some_and(|class| step.retry.errors.contains(&class))
            && failures < step.retry.retries_max;
        if !again || self.topic.run.is_called_off(&step.id) {
            self.finish(instance, StepStatus::Failed, exit_code, Some(failure), message, output);
            return;
        }
        let pause_ms =
            step.retry.backoff_base_ms.saturating_mul(1 << failures.min(20)).min(step.retry.backoff_max_ms);
        // Between half of the pause and the whole of it, so that what failed together does not come back together.
        let jitter_ms = self.context.random_below(pause_ms / 2 + 1, u64::from(attempt.0));
        let due_at = self.context.now.plus(Duration::from_millis(pause_ms - jitter_ms));
        self.emit_at(instance, StepRetryScheduled { attempt, failure, message, due_at });
    }

    /// After an asked-for stop the step is done again on resume, unless it has a probe that can tell better.
    fn after_interruption(&mut self, instance: &StepInstance, step: &Step, attempt: Attempt) {
        let effect = self.effect(instance, EffectCall::Main);
        if matches!(step.after_crash, AfterCrash::Probe { .. }) {
            self.emit_at(instance, EffectInDoubt { effect, attempt, question: None });
        } else {
            let resolution = Resolution::NotDone;
            self.emit_at(instance, EffectResolved { effect, attempt, by: None, resolution });
        }
    }

    fn main_lost(&mut self, instance: &StepInstance, attempt: Attempt, evidence: LostEvidence) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        let Some(node) = plan.node(&instance.step) else { return };
        if let Some(leaf) = self.topic.run.leaf(instance)
            && leaf.skip.is_some()
        {
            return self.skip_as_asked(instance, leaf.skip.clone());
        }
        if self.topic.run.is_called_off(&instance.step) {
            let message = "lost with its keeper while the run was being cancelled".to_owned();
            self.finish(instance, StepStatus::Cancelled, None, None, message, None);
            return;
        }
        match evidence {
            LostEvidence::NotBegun if !self.ask_after_many(instance, attempt, &LOST) => {
                let effect = self.effect(instance, EffectCall::Main);
                let resolution = Resolution::NotDone;
                self.emit_at(instance, EffectResolved { effect, attempt, by: None, resolution });
            }
            LostEvidence::NotBegun => {}
            LostEvidence::KeeperDead | LostEvidence::Rebooted => {
                self.after_crash(instance, node, attempt, &LOST);
            }
            LostEvidence::Restored => self.after_crash(instance, node, attempt, &COPIED),
        }
    }

    /// Asks a person if the step was broken off too often in a row.
    fn ask_after_many(&mut self, instance: &StepInstance, attempt: Attempt, broken_off: &BrokenOff) -> bool {
        let losses = self.topic.effects.losses(&self.effect(instance, EffectCall::Main));
        let is_too_many = losses >= LOSSES_IN_A_ROW_MAX;
        if is_too_many {
            let how = broken_off.many;
            self.ask(
                instance,
                attempt,
                &format!("`{instance}` was {how} {losses} times in a row. What became of it?"),
            );
        }
        is_too_many
    }

    /// The step's own rule for what was broken off and may have happened.
    fn after_crash(
        &mut self,
        instance: &StepInstance,
        node: &Node,
        attempt: Attempt,
        broken_off: &BrokenOff,
    ) {
        if self.ask_after_many(instance, attempt, broken_off) {
            return;
        }
        let effect = self.effect(instance, EffectCall::Main);
        match &node.step.after_crash {
            AfterCrash::Resume | AfterCrash::Rerun => {
                let resolution = Resolution::NotDone;
                self.emit_at(instance, EffectResolved { effect, attempt, by: None, resolution });
            }
            AfterCrash::Ask => {
                let when = broken_off.when;
                self.ask(
                    instance,
                    attempt,
                    &format!("`{instance}` was at work when {when}. It may have happened, in part or whole. What became of it?"),
                );
            }
            AfterCrash::Probe { .. } => {
                self.emit_at(instance, EffectInDoubt { effect, attempt, question: None })
            }
            AfterCrash::Fail => {
                self.emit_at(
                    instance,
                    EffectResolved { effect, attempt, by: None, resolution: Resolution::Failed },
                );
                let message = broken_off.message.to_owned();
                self.fail_attempt(
                    instance,
                    &node.step,
                    attempt,
                    Failed { exit_code: None, failure: FailureClass::Crash, message, output: None },
                );
            }
        }
    }

    /// What was in flight is not any more: the step is left out as somebody wanted.
    fn skip_as_asked(&mut self, instance: &StepInstance, skip: Option<(Seq, Option<Text>)>) {
        if let Some((input, output)) = skip {
            self.emit_at(instance, StepSkipped { reason: SkipReason::Asked { input }, output });
        }
    }

    fn ask(&mut self, instance: &StepInstance, attempt: Attempt, prompt: &str) {
        let effect = self.effect(instance, EffectCall::Main);
        let question = QuestionId::derived(Digest::of(format!("{effect}:{attempt}:after_crash").as_bytes()));
        self.emit_at(instance, EffectInDoubt { effect: effect.clone(), attempt, question: Some(question) });
        let option =
            |name: &str, meaning: &str| QuestionOption { name: name.to_owned(), meaning: meaning.to_owned() };
        self.emit_at(
            instance,
            QuestionAsked {
                question,
                kind: QuestionKind::AfterCrash,
                prompt: prompt.to_owned(),
                options: vec![
                    option(DONE, "it had happened: the run goes on behind it"),
                    option(RERUN, "it had not: the step is tried again"),
                    option(FAIL, "it counts as failed"),
                ],
                effect: Some(effect),
                default: None,
                due_at: None,
            },
        );
    }

    fn probe_ended(
        &mut self,
        instance: &StepInstance,
        effect: EffectId,
        attempt: Attempt,
        process: ProcessEnded,
    ) {
        let (by, exit_code) = (process.by, process.exit_code);
        let skip = self.topic.run.leaf(instance).and_then(|leaf| leaf.skip.clone());
        let end = match (by, exit_code) {
            (EndedBy::Stop | EndedBy::Signalled, _)
                if self.topic.run.is_called_off(&instance.step) || skip.is_some() =>
            {
                AttemptEnd::Cancelled
            }
            (EndedBy::Stop | EndedBy::Signalled, _) => AttemptEnd::Interrupted,
            (EndedBy::Exit, Some(_)) => AttemptEnd::Succeeded,
            _ => AttemptEnd::Failed { failure: FailureClass::Exit },
        };
        self.emit_at(instance, finished(effect, attempt, end, process));
        let main = self.topic.effects.attempt(&self.effect(instance, EffectCall::Main));
        let resolution = match (end, exit_code) {
            (AttemptEnd::Succeeded, Some(0)) => Resolution::Done { value: None },
            _ if skip.is_some() => return self.skip_as_asked(instance, skip),
            (AttemptEnd::Succeeded, _) => Resolution::NotDone,
            (AttemptEnd::Interrupted, _) if by == EndedBy::Signalled => return self.probe_lost(instance),
            (AttemptEnd::Interrupted, _) => return,
            (AttemptEnd::Cancelled, _) => {
                self.finish(instance, StepStatus::Cancelled, None, None, "stopped".to_owned(), None);
                return;
            }
            (AttemptEnd::Failed { .. }, _) => {
                self.ask(
                    instance,
                    main,
                    &format!("The probe of `{instance}` gave no answer. What became of the step?"),
                );
                return;
            }
        };
        let effect = self.effect(instance, EffectCall::Main);
        self.emit_at(
            instance,
            EffectResolved { effect, attempt: main, by: None, resolution: resolution.clone() },
        );
        self.conclude_resolved(instance, main, resolution);
    }

    fn probe_lost(&mut self, instance: &StepInstance) {
        if let Some(leaf) = self.topic.run.leaf(instance)
            && leaf.skip.is_some()
        {
            return self.skip_as_asked(instance, leaf.skip.clone());
        }
        let losses = self.topic.effects.losses(&self.effect(instance, EffectCall::Probe));
        if losses >= LOSSES_IN_A_ROW_MAX {
            let attempt = self.topic.effects.attempt(&self.effect(instance, EffectCall::Main));
            self.ask(
                instance,
                attempt,
                &format!("The probe of `{instance}` was lost {losses} times. What became of the step?"),
            );
        }
    }

    /// What follows for the step once it is decided what became of work in doubt.
    pub(super) fn conclude_resolved(
        &mut self,
        instance: &StepInstance,
        attempt: Attempt,
        resolution: Resolution,
    ) {
        match resolution {
            Resolution::Done { value } => {
                let message = "had happened before the crash".to_owned();
                self.finish(instance, StepStatus::Succeeded, None, None, message, value);
            }
            // The fold of the resolution wants the next attempt.
            Resolution::NotDone => {}
            Resolution::Failed => {
                let message = format!("attempt {attempt} was lost in a crash and counts as failed");
                self.finish(instance, StepStatus::Failed, None, Some(FailureClass::Crash), message, None);
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        instance: &StepInstance,
        status: StepStatus,
        exit_code: Option<i32>,
        failure: Option<FailureClass>,
        summary: String,
        output: Option<Text>,
    ) {
        let state = self.topic.run.steps.get(instance);
        let started_at = state.and_then(|state| state.started_at).unwrap_or(self.context.now);
        let duration_ms = u64::try_from(self.context.now.since(started_at).as_millis()).unwrap_or(u64::MAX);
        let last = self.topic.effects.last_begun(&self.effect(instance, EffectCall::Main));
        let attempt = (last.0 > 0).then_some(last);
        self.emit_at(
            instance,
            StepFinished { status, attempt, exit_code, failure, summary, output, duration_ms },
        );
    }
}

fn finished(effect: EffectId, attempt: Attempt, end: AttemptEnd, process: ProcessEnded) -> EffectFinished {
    EffectFinished {
        effect,
        attempt,
        end,
        message: process.message,
        duration_ms: process.duration_ms,
        unrequested: end == AttemptEnd::Interrupted && process.by == EndedBy::Signalled,
        result: EffectResult::Process(Box::new(ProcessResult {
            exit_code: process.exit_code,
            signal: process.signal,
            stdout: process.stdout,
            stderr: process.stderr,
            output: process.output,
            log: process.log,
            artifacts: process.artifacts,
            artifacts_omitted: process.artifacts_omitted,
            after: process.after,
            folder: process.folder,
            left_behind: process.left_behind,
        })),
    }
}

fn retry_class(failure: FailureClass) -> Option<RetryClass> {
    match failure {
        FailureClass::Exit => Some(RetryClass::Exit),
        FailureClass::Timeout => Some(RetryClass::Timeout),
        FailureClass::Stall => Some(RetryClass::Stall),
        FailureClass::Crash => Some(RetryClass::Crash),
        FailureClass::InvalidOutput => Some(RetryClass::InvalidOutput),
        FailureClass::RateLimit => Some(RetryClass::RateLimit),
        FailureClass::Network => Some(RetryClass::Network),
        // The next attempt would fail in the same way.
        FailureClass::Spawn
        | FailureClass::Expression
        | FailureClass::Exhausted
        | FailureClass::Login
        | FailureClass::Refused
        | FailureClass::Session
        | FailureClass::Budget => None,
    }
}

pub(super) fn duration(ms: u64) -> String {
    let (seconds, rest_ms) = (ms / 1_000, ms % 1_000);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{rest_ms}ms"),
        (0, 0, s) if rest_ms > 0 => format!("{s}.{}s", rest_ms / 100),
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}
