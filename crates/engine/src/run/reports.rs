//! What follows from news of outside work.

use backstay_model::event::{
    Actor, AttemptEnd, EffectAttached, EffectFinished, EffectInDoubt, EffectLost, EffectResolved,
    EffectRunning, EffectStuck, FailureClass, LostEvidence, QuestionAsked, QuestionKind, QuestionOption,
    Resolution, RunSuspending, SkipReason, StepFinished, StepRetryScheduled, StepSkipped, StepStalled,
    StepStatus, StepTimedOut, SuspendReason, TimeBudget,
};
use backstay_model::limits::LOSSES_IN_A_ROW_MAX;
use backstay_model::{Attempt, Digest, EffectCall, EffectId, QuestionId, Scope, Seq, Text};
use backstay_workflow::plan::{AfterCrash, RetryClass, Step};

use super::agents::Next;
use super::definition::Node;
use super::judge::Judged;
use super::place::Place;
use super::settle::{DONE, FAIL, RERUN};
use super::state::{LeafPhase, Phase, Progress, StepState};
use super::turn::Turn;
use super::work::total_budget_ms;
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

impl Turn<'_> {
    /// Takes a report if it is the first of an attempt in flight; others change nothing.
    pub(super) fn report(&mut self, report: Report) {
        let (effect, attempt) = report.attempt();
        let Some(place) = Place::of(&effect.scope) else { return };
        if effect.run != self.machine.run || !self.is_in_flight(&place, effect.call, attempt) {
            return;
        }
        match report {
            // A keeper that was found again may say once more what is known.
            Report::Running { .. } if self.machine.is_known_to_run(&place, effect.call, attempt) => {}
            Report::Running { effect, attempt, pid, keeper_pid, folder, before, agent } => {
                let running = EffectRunning { effect, attempt, pid, keeper_pid, folder, before, agent };
                self.emit_at(&place, running);
            }
            Report::Said { .. } => self.agent_said(&place, report),
            Report::Attached { effect, attempt, had_ended } => {
                self.emit_at(&place, EffectAttached { effect, attempt, had_ended });
            }
            Report::Stalled { attempt, silent_ms, stop_in_ms, .. } => {
                self.emit_at(&place, StepStalled { attempt, silent_ms, stop_in_ms });
            }
            // Said once, however often it is tried.
            Report::Stuck { effect, attempt, message } => {
                if self.machine.steps.get(&place).and_then(|state| state.stuck.as_ref()) != Some(&message) {
                    self.emit_at(&place, EffectStuck { effect, attempt, message });
                }
            }
            Report::Ended { effect, attempt, process } => match effect.call {
                EffectCall::Main => self.main_ended(&place, effect, attempt, *process),
                EffectCall::Probe => self.probe_ended(&place, effect, attempt, *process),
            },
            Report::Lost { effect, attempt, evidence, ended_processes } => {
                let call = effect.call;
                // Whoever removed the folder removed the trace of what the log saw running.
                let has_run = self.machine.is_known_to_run(&place, call, attempt);
                let evidence = match evidence {
                    LostEvidence::NotBegun if has_run => LostEvidence::KeeperDead,
                    evidence => evidence,
                };
                self.emit_at(&place, EffectLost { effect, attempt, evidence, ended_processes });
                match call {
                    EffectCall::Main => self.main_lost(&place, attempt, evidence),
                    EffectCall::Probe => self.probe_lost(&place),
                }
            }
        }
    }

    fn is_in_flight(&self, place: &Place, call: EffectCall, attempt: Attempt) -> bool {
        let Some(leaf) = self.machine.leaf(place) else { return false };
        match (call, &leaf.phase) {
            (EffectCall::Main, LeafPhase::Working(Progress::Begun)) => self.machine.attempt(place) == attempt,
            (EffectCall::Probe, LeafPhase::Probing { attempt: current, progress: Progress::Begun, .. }) => {
                *current == attempt
            }
            _ => false,
        }
    }

    fn main_ended(&mut self, place: &Place, effect: EffectId, attempt: Attempt, process: ProcessEnded) {
        let Some(definition) = self.machine.definition.clone() else { return };
        let Some(node) = definition.node(&place.step) else { return };
        let judged = self.judge(place, node, &process);
        // A turn that had ended before its time did is not one that timed out.
        match judged.end {
            AttemptEnd::Failed { failure: FailureClass::Timeout } => {
                let budget_ms = total_budget_ms(node).unwrap_or(0);
                self.emit_at(place, StepTimedOut { attempt, budget: TimeBudget::Total, budget_ms });
            }
            AttemptEnd::Failed { failure: FailureClass::Stall } => {
                let budget_ms = node.step.idle_timeout_ms.unwrap_or(0);
                self.emit_at(place, StepTimedOut { attempt, budget: TimeBudget::Idle, budget_ms });
            }
            AttemptEnd::Failed { .. }
            | AttemptEnd::Succeeded
            | AttemptEnd::Cancelled
            | AttemptEnd::Interrupted => {}
        }
        let (by, exit_code) = (process.by, process.exit_code);
        let agent = process.agent.clone();
        let lost = process.output_problem.as_ref().and_then(OutputProblem::lost_bytes);
        self.emit_at(place, finished(effect, attempt, judged.end, process));
        let skip = self.machine.leaf(place).and_then(|leaf| leaf.skip.clone());
        match judged.end {
            AttemptEnd::Succeeded => {
                self.finish(place, StepStatus::Succeeded, exit_code, None, judged.message, judged.output);
                lost.into_iter().for_each(|lost_bytes| self.suspend_without_output(place, lost_bytes));
            }
            _ if skip.is_some() => self.skip_as_asked(place, skip),
            AttemptEnd::Failed { failure } => {
                let Judged { message, output, .. } = judged;
                let failed = Failed { exit_code, failure, message, output };
                self.fail_agent_attempt(place, &node.step, attempt, failed, agent.as_ref());
            }
            AttemptEnd::Cancelled => {
                self.finish(place, StepStatus::Cancelled, exit_code, None, judged.message, judged.output);
            }
            AttemptEnd::Interrupted if by == EndedBy::Told => {
                self.after_crash(place, node, attempt, &STOPPED)
            }
            AttemptEnd::Interrupted => self.after_interruption(place, &node.step, attempt),
        }
    }

    /// Suspends the run after a step that did its work, whose output there was no room for. The next steps would go on without
    /// that output, and most likely lose their own, so a person looks first.
    fn suspend_without_output(&mut self, place: &Place, lost_bytes: u64) {
        if self.machine.phase != Phase::Running {
            return;
        }
        let by = Actor { name: "backstay".to_owned(), via: format!("step {}", place.step) };
        let reason = SuspendReason::OutputLost { step: place.step.clone(), lost_bytes };
        self.emit(Scope::Run, RunSuspending { by, reason });
    }

    /// Another attempt of the agent that counts against nothing, or what the step's retries say.
    fn fail_agent_attempt(
        &mut self,
        place: &Place,
        step: &Step,
        attempt: Attempt,
        failed: Failed,
        ended: Option<&AgentEnded>,
    ) {
        match self.next_of_agent(place, step, attempt, (failed.failure, &failed.message), ended) {
            Some(Next::Continues(continues)) => self.emit_at(place, continues),
            Some(Next::Fails(message)) => {
                self.fail_attempt(place, step, attempt, Failed { message, ..failed })
            }
            None => self.fail_attempt(place, step, attempt, failed),
        }
    }

    fn fail_attempt(&mut self, place: &Place, step: &Step, attempt: Attempt, failed: Failed) {
        let Failed { exit_code, failure, message, output } = failed;
        // Each agent has its own tries of a network that may be another one.
        let failures = self.machine.leaf(place).map_or(0, |leaf| match failure {
            FailureClass::Network => leaf.agent.network_tries,
            _ => leaf.failures,
        });
        let class = retry_class(failure);
        let again = class.is_some_and(|class| step.retry.errors.contains(&class))
            && failures < step.retry.retries_max;
        if !again || self.machine.is_called_off(&step.id) {
            self.finish(place, StepStatus::Failed, exit_code, Some(failure), message, output);
            return;
        }
        let pause_ms =
            step.retry.backoff_base_ms.saturating_mul(1 << failures.min(20)).min(step.retry.backoff_max_ms);
        // Between half of the pause and the whole of it, so that what failed together does not come back together.
        let jitter_ms = self.env.chance_below(pause_ms / 2 + 1, u64::from(attempt.0));
        let due_at = self.env.now.plus(std::time::Duration::from_millis(pause_ms - jitter_ms));
        self.emit_at(place, StepRetryScheduled { attempt, failure, message, due_at });
    }

    /// After an asked-for stop the step is done again on resume, unless it has a probe that can tell better.
    fn after_interruption(&mut self, place: &Place, step: &Step, attempt: Attempt) {
        let effect = self.effect(place, EffectCall::Main);
        if matches!(step.after_crash, AfterCrash::Probe { .. }) {
            self.emit_at(place, EffectInDoubt { effect, attempt, question: None });
        } else {
            let resolution = Resolution::NotDone;
            self.emit_at(place, EffectResolved { effect, attempt, by: None, resolution });
        }
    }

    fn main_lost(&mut self, place: &Place, attempt: Attempt, evidence: LostEvidence) {
        let Some(definition) = self.machine.definition.clone() else { return };
        let Some(node) = definition.node(&place.step) else { return };
        if let Some(leaf) = self.machine.leaf(place)
            && leaf.skip.is_some()
        {
            return self.skip_as_asked(place, leaf.skip.clone());
        }
        if self.machine.is_called_off(&place.step) {
            let message = "lost with its keeper while the run was being cancelled".to_owned();
            self.finish(place, StepStatus::Cancelled, None, None, message, None);
            return;
        }
        match evidence {
            LostEvidence::NotBegun if !self.ask_after_many(place, attempt, &LOST) => {
                let effect = self.effect(place, EffectCall::Main);
                let resolution = Resolution::NotDone;
                self.emit_at(place, EffectResolved { effect, attempt, by: None, resolution });
            }
            LostEvidence::NotBegun => {}
            LostEvidence::KeeperDead | LostEvidence::Rebooted => {
                self.after_crash(place, node, attempt, &LOST);
            }
            LostEvidence::Restored => self.after_crash(place, node, attempt, &COPIED),
        }
    }

    /// Asks a person if the step was broken off too often in a row.
    fn ask_after_many(&mut self, place: &Place, attempt: Attempt, broken_off: &BrokenOff) -> bool {
        let losses = self.machine.leaf(place).map_or(0, |leaf| leaf.losses);
        let is_too_many = losses >= LOSSES_IN_A_ROW_MAX;
        if is_too_many {
            let how = broken_off.many;
            self.ask(
                place,
                attempt,
                &format!("`{place}` was {how} {losses} times in a row. What became of it?"),
            );
        }
        is_too_many
    }

    /// The step's own rule for what was broken off and may have happened.
    fn after_crash(&mut self, place: &Place, node: &Node, attempt: Attempt, broken_off: &BrokenOff) {
        if self.ask_after_many(place, attempt, broken_off) {
            return;
        }
        let effect = self.effect(place, EffectCall::Main);
        match &node.step.after_crash {
            AfterCrash::Resume | AfterCrash::Rerun => {
                let resolution = Resolution::NotDone;
                self.emit_at(place, EffectResolved { effect, attempt, by: None, resolution });
            }
            AfterCrash::Ask => {
                let when = broken_off.when;
                self.ask(
                    place,
                    attempt,
                    &format!("`{place}` was at work when {when}. It may have happened, in part or whole. What became of it?"),
                );
            }
            AfterCrash::Probe { .. } => {
                self.emit_at(place, EffectInDoubt { effect, attempt, question: None })
            }
            AfterCrash::Fail => {
                self.emit_at(
                    place,
                    EffectResolved { effect, attempt, by: None, resolution: Resolution::Failed },
                );
                let message = broken_off.message.to_owned();
                self.fail_attempt(
                    place,
                    &node.step,
                    attempt,
                    Failed { exit_code: None, failure: FailureClass::Crash, message, output: None },
                );
            }
        }
    }

    /// What was in flight is not any more: the step is left out as somebody wanted.
    fn skip_as_asked(&mut self, place: &Place, skip: Option<(Seq, Option<Text>)>) {
        if let Some((input, output)) = skip {
            self.emit_at(place, StepSkipped { reason: SkipReason::Asked { input }, output });
        }
    }

    fn ask(&mut self, place: &Place, attempt: Attempt, prompt: &str) {
        let effect = self.effect(place, EffectCall::Main);
        let question = QuestionId::derived(Digest::of(format!("{effect}:{attempt}:after_crash").as_bytes()));
        self.emit_at(place, EffectInDoubt { effect: effect.clone(), attempt, question: Some(question) });
        let option =
            |name: &str, meaning: &str| QuestionOption { name: name.to_owned(), meaning: meaning.to_owned() };
        self.emit_at(
            place,
            QuestionAsked {
                question,
                kind: QuestionKind::AfterCrash,
                prompt: prompt.to_owned(),
                options: vec![
                    option(DONE, "it had happened: the run goes on behind it"),
                    option(RERUN, "it had not: the step is tried again"),
                    option(FAIL, "it counts as failed"),
                ],
                step: place.step.clone(),
                effect: Some(effect),
                default: None,
                due_at: None,
            },
        );
    }

    fn probe_ended(&mut self, place: &Place, effect: EffectId, attempt: Attempt, process: ProcessEnded) {
        let (by, exit_code) = (process.by, process.exit_code);
        let skip = self.machine.leaf(place).and_then(|leaf| leaf.skip.clone());
        let end = match (by, exit_code) {
            (EndedBy::Stop | EndedBy::Told, _)
                if self.machine.is_called_off(&place.step) || skip.is_some() =>
            {
                AttemptEnd::Cancelled
            }
            (EndedBy::Stop | EndedBy::Told, _) => AttemptEnd::Interrupted,
            (EndedBy::Exit, Some(_)) => AttemptEnd::Succeeded,
            _ => AttemptEnd::Failed { failure: FailureClass::Exit },
        };
        self.emit_at(place, finished(effect, attempt, end, process));
        let main = self.machine.attempt(place);
        let resolution = match (end, exit_code) {
            (AttemptEnd::Succeeded, Some(0)) => Resolution::Done { value: None },
            _ if skip.is_some() => return self.skip_as_asked(place, skip),
            (AttemptEnd::Succeeded, _) => Resolution::NotDone,
            (AttemptEnd::Interrupted, _) if by == EndedBy::Told => return self.probe_lost(place),
            (AttemptEnd::Interrupted, _) => return,
            (AttemptEnd::Cancelled, _) => {
                self.finish(place, StepStatus::Cancelled, None, None, "stopped".to_owned(), None);
                return;
            }
            (AttemptEnd::Failed { .. }, _) => {
                self.ask(
                    place,
                    main,
                    &format!("The probe of `{place}` gave no answer. What became of the step?"),
                );
                return;
            }
        };
        let effect = self.effect(place, EffectCall::Main);
        self.emit_at(
            place,
            EffectResolved { effect, attempt: main, by: None, resolution: resolution.clone() },
        );
        self.conclude_resolved(place, main, resolution);
    }

    fn probe_lost(&mut self, place: &Place) {
        if let Some(leaf) = self.machine.leaf(place)
            && leaf.skip.is_some()
        {
            return self.skip_as_asked(place, leaf.skip.clone());
        }
        let losses = self.machine.probe_losses(place);
        if losses >= LOSSES_IN_A_ROW_MAX {
            let attempt = self.machine.attempt(place);
            self.ask(
                place,
                attempt,
                &format!("The probe of `{place}` was lost {losses} times. What became of the step?"),
            );
        }
    }

    /// What follows for the step once it is decided what became of work in doubt.
    pub(super) fn conclude_resolved(&mut self, place: &Place, attempt: Attempt, resolution: Resolution) {
        match resolution {
            Resolution::Done { value } => {
                let message = "had happened before the crash".to_owned();
                self.finish(place, StepStatus::Succeeded, None, None, message, value);
            }
            // The fold of the resolution wants the next attempt.
            Resolution::NotDone => {}
            Resolution::Failed => {
                let message = format!("attempt {attempt} was lost in a crash and counts as failed");
                self.finish(place, StepStatus::Failed, None, Some(FailureClass::Crash), message, None);
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        place: &Place,
        status: StepStatus,
        exit_code: Option<i32>,
        failure: Option<FailureClass>,
        summary: String,
        output: Option<Text>,
    ) {
        let state = self.machine.steps.get(place);
        let started_at = state.and_then(|state| state.started_at).unwrap_or(self.env.now);
        let duration_ms = u64::try_from(self.env.now.since(started_at).as_millis()).unwrap_or(u64::MAX);
        let attempt = state.map(StepState::last_begun).filter(|attempt| attempt.0 > 0);
        self.emit_at(
            place,
            StepFinished { status, attempt, exit_code, failure, summary, output, duration_ms },
        );
    }
}

fn finished(effect: EffectId, attempt: Attempt, end: AttemptEnd, process: ProcessEnded) -> EffectFinished {
    EffectFinished {
        effect,
        attempt,
        end,
        unasked: end == AttemptEnd::Interrupted && process.by == EndedBy::Told,
        exit_code: process.exit_code,
        signal: process.signal,
        message: process.message,
        duration_ms: process.duration_ms,
        stdout: process.stdout,
        stderr: process.stderr,
        output: process.output,
        log: process.log,
        artifacts: process.artifacts,
        artifacts_left_out: process.artifacts_left_out,
        after: process.after,
        folder: process.folder,
        left_behind: process.left_behind,
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
