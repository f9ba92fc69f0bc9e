//! Loops: passes over the steps of a group until a condition is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backstay_model::event::{
    Actor, CycleStarted, FailureClass, LoopEnd, LoopEnded, QuestionAsked, QuestionClosed, QuestionKind,
    QuestionOption, RunSuspending, SkipReason, StepSkipped, StepStatus, SuspendReason,
};
use backstay_model::{Digest, EffectCall, QuestionId, Scope, StepId, Text, Timestamp};
use backstay_workflow::plan::{OnExhausted, Repeat};

use super::RunMachine;
use super::instance::{Repetition, StepInstance};
use super::plan_index::PlanIndex;
use super::schedule::CALLED_OFF;
use super::state::{Files, Pass, StepPhase};
use crate::topic::{DecisionPass, TopicMachine};

/// Passes in a row with the same files and the same results before the run is suspended.
const SAME_PASSES_MAX: u32 = 3;
/// The answers to "what now?" of a loop that used up its passes.
const MORE: &str = "more";
const ACCEPT: &str = "accept";
const GIVE_UP: &str = "fail";

impl DecisionPass<'_> {
    /// Brings an open loop on: its first pass, the rest of a pass that is not needed, the next pass, its end.
    pub(super) fn turn_loop(&mut self, plan: &Arc<PlanIndex>, instance: &StepInstance, repeat: &Repeat) {
        let pass = self.topic.run.pass(instance);
        if pass.cycle == 0 || pass.begins_anew {
            return self.begin_pass(plan, instance, repeat, 1, 0, false);
        }
        if let Some(question) = pass.question {
            if self.topic.run.is_called_off(&instance.step) {
                self.emit_at(instance, QuestionClosed { question, answered_by: None, choice: None });
                self.finish(instance, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
            }
            return;
        }
        let Some((status, summary)) = self.sum_up(plan, instance) else {
            return self.leave_rest_out(plan, instance, repeat, pass);
        };
        if status != StepStatus::Succeeded {
            return self.finish(instance, status, None, None, summary, None);
        }
        match self.holds(plan, &instance.inside(pass.cycle), &repeat.until) {
            Ok(true) => {
                self.end_loop(instance, repeat, pass, LoopEnd::Satisfied);
                let summary = format!("`{}` after {}", repeat.until.source, worked(pass));
                self.finish(instance, StepStatus::Succeeded, None, None, summary, None);
            }
            Ok(false) => self.go_on_or_end(plan, instance, repeat, pass),
            Err(error) => self.fail_expression(instance, format!("`until` of `{}`: {error}", instance.step)),
        }
    }

    /// Once all that the condition names is through and it is true, nothing else of the pass is begun.
    fn leave_rest_out(&mut self, plan: &PlanIndex, instance: &StepInstance, repeat: &Repeat, pass: Pass) {
        let inner: Vec<StepInstance> =
            self.topic.run.with_inner_instances(plan, instance).into_iter().skip(1).collect();
        let is_named = |inner: &&StepInstance| repeat.until.steps.contains(&inner.step);
        let mut named = inner.iter().filter(is_named).peekable();
        let is_known = named.peek().is_some() && named.all(|inner| self.topic.run.is_through(plan, inner));
        let has_failed = self.topic.run.failed.is_some();
        if !is_known || has_failed || !inner.iter().any(|inner| self.topic.run.is_waiting(inner)) {
            return;
        }
        // What goes wrong in it is told at the end of the pass.
        if self.holds(plan, &instance.inside(pass.cycle), &repeat.until).is_ok_and(|holds| holds) {
            self.leave_out(instance, inner.into_iter());
        }
    }

    fn leave_out(&mut self, instance: &StepInstance, inner: impl Iterator<Item = StepInstance>) {
        for inner in inner {
            // What does not fit into this append is left out with the next one.
            if self.topic.run.is_waiting(&inner) && !self.is_full() {
                let reason = SkipReason::LoopDone { scope: instance.scope() };
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    /// The pass is through and the condition false.
    fn go_on_or_end(&mut self, plan: &Arc<PlanIndex>, instance: &StepInstance, repeat: &Repeat, pass: Pass) {
        if self.topic.run.is_called_off(&instance.step) {
            return self.finish(instance, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
        }
        let is_last = pass.is_check || pass.nth >= repeat.max_cycles;
        if is_last && (pass.is_check || !self.has_unchecked(plan, instance, repeat)) {
            return self.exhausted(instance, repeat, pass);
        }
        if repeat.min_cycle_ms.is_some() {
            // Whoever spaces cycles out waits for something outside: that nothing changes here is as it should be.
            let is_due = self
                .topic
                .run
                .next_pass_due(instance, repeat)
                .is_none_or(|due_at| due_at <= self.context.now);
            if is_due {
                self.begin_pass(plan, instance, repeat, pass.nth + 1, 0, is_last);
            }
            return;
        }
        let is_same = self.topic.is_as_before(instance, pass);
        let unchanged_in_a_row = if is_same { pass.unchanged_in_a_row + 1 } else { 0 };
        if unchanged_in_a_row + 1 >= SAME_PASSES_MAX && !is_last {
            let by = Actor { name: "backstay".to_owned(), via: format!("loop {}", instance.step) };
            let reason =
                SuspendReason::NoProgress { scope: instance.scope(), cycles: unchanged_in_a_row + 1 };
            return self.emit(Scope::root(), RunSuspending { by, reason });
        }
        self.begin_pass(plan, instance, repeat, pass.nth + 1, unchanged_in_a_row, is_last);
    }

    fn begin_pass(
        &mut self,
        plan: &Arc<PlanIndex>,
        instance: &StepInstance,
        repeat: &Repeat,
        nth: u32,
        unchanged_in_a_row: u32,
        check: bool,
    ) {
        if self.topic.run.is_called_off(&instance.step) {
            return self.finish(instance, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
        }
        let cycle = self.topic.run.pass(instance).cycle + 1;
        let max_cycles = repeat.max_cycles;
        self.emit_at(instance, CycleStarted { cycle, nth, max_cycles, check, unchanged_in_a_row });
        if check {
            let needed = needed_by(plan, instance, repeat);
            let inner = self.topic.run.with_inner_instances(plan, instance).into_iter().skip(1);
            let unneeded: Vec<StepInstance> = inner.filter(|inner| !needed.contains(&inner.step)).collect();
            self.leave_out(instance, unneeded.into_iter());
        }
    }

    /// Whether steps of the pass worked on something that the condition has not seen: no loop ends on that.
    fn has_unchecked(&self, plan: &PlanIndex, instance: &StepInstance, repeat: &Repeat) -> bool {
        let needed = needed_by(plan, instance, repeat);
        self.topic.run.with_inner_instances(plan, instance).iter().skip(1).any(|inner| {
            let is_leaf = plan.node(&inner.step).is_some_and(|node| node.children.is_empty());
            let has_worked =
                self.topic.run.result(inner).is_some_and(|result| result.status != StepStatus::Skipped);
            is_leaf && has_worked && !needed.contains(&inner.step)
        })
    }

    fn exhausted(&mut self, instance: &StepInstance, repeat: &Repeat, pass: Pass) {
        let summary = format!(
            "{} of {} cycles used; `{}` is false",
            repeat.max_cycles, repeat.max_cycles, repeat.until.source
        );
        let (status, failure) = match repeat.on_exhausted {
            OnExhausted::Fail => (StepStatus::Failed, Some(FailureClass::Exhausted)),
            OnExhausted::Continue => (StepStatus::Succeeded, None),
            OnExhausted::Ask => return self.ask_what_now(instance, repeat, pass, &summary),
        };
        self.end_loop(instance, repeat, pass, LoopEnd::Exhausted);
        self.finish(instance, status, None, failure, summary, None);
    }

    fn end_loop(&mut self, instance: &StepInstance, repeat: &Repeat, pass: Pass, reason: LoopEnd) {
        let until = repeat.until.source.clone();
        self.emit_at(instance, LoopEnded { cycle: pass.cycle, reason, until });
    }

    fn ask_what_now(&mut self, instance: &StepInstance, repeat: &Repeat, pass: Pass, summary: &str) {
        let id = format!("{}:{}:{}:exhausted", self.topic.run.id(), instance.scope(), pass.cycle);
        let option = |name: &str, meaning: String| QuestionOption { name: name.to_owned(), meaning };
        let asked = QuestionAsked {
            question: QuestionId::derived(Digest::of(id.as_bytes())),
            kind: QuestionKind::LoopExhausted,
            prompt: format!("`{instance}`: {summary}. What now?"),
            options: vec![
                option(MORE, format!("up to {} more", cycles(repeat.max_cycles))),
                option(ACCEPT, "it counts as succeeded: the run goes on behind it".to_owned()),
                option(GIVE_UP, "it counts as failed".to_owned()),
            ],
            effect: None,
            default: None,
            due_at: None,
        };
        self.emit_at(instance, asked);
    }

    /// Somebody said what becomes of a loop that used up its passes; its question is closed.
    pub(super) fn answer_exhausted(&mut self, instance: &StepInstance, choice: &str) {
        let Some(plan) = self.topic.run.plan.clone() else { return };
        let Some(repeat) = plan.node(&instance.step).and_then(|node| node.step.repeat.clone()) else {
            return;
        };
        let pass = self.topic.run.pass(instance);
        let (status, failure, summary) = match choice {
            MORE => return self.begin_pass(&plan, instance, &repeat, 1, 0, false),
            ACCEPT => (StepStatus::Succeeded, None, format!("accepted after {}", worked(pass))),
            _ => (
                StepStatus::Failed,
                Some(FailureClass::Exhausted),
                format!("given up after {}", worked(pass)),
            ),
        };
        self.end_loop(instance, &repeat, pass, LoopEnd::Exhausted);
        self.finish(instance, status, None, failure, summary, None);
    }
}

/// What one pass came to, by the steps in it: their results, and the files that they left.
type PassResult<'a> =
    BTreeMap<(&'a StepId, &'a [Repetition]), (StepStatus, Option<i32>, Option<&'a Text>, Option<&'a Files>)>;

impl RunMachine {
    /// When the next pass of an open loop may begin, if its cycles are spaced out.
    pub(super) fn next_pass_due(&self, instance: &StepInstance, repeat: &Repeat) -> Option<Timestamp> {
        let began_at = self.pass(instance).began_at?;
        Some(began_at.plus(Duration::from_millis(repeat.min_cycle_ms?)))
    }

    /// The moments at which loops whose pass is through begin the next one.
    pub(super) fn next_passes_due(&self) -> impl Iterator<Item = Timestamp> {
        let spaced = self.plan.iter().flat_map(|plan| plan.spaced().map(move |repeated| (plan, repeated)));
        spaced.filter_map(|(plan, (step, repeat))| {
            let instance = self.current_instance(plan, step)?;
            let is_open = self.steps.get(&instance).is_some_and(|state| state.phase == StepPhase::Open);
            let pass = self.pass(&instance);
            let is_through = || {
                let mut inner = self.instances(plan, &instance).into_iter();
                inner.all(|inner| self.is_through(plan, &inner))
            };
            let waits = is_open && pass.cycle > 0 && pass.question.is_none() && is_through();
            if waits { self.next_pass_due(&instance, repeat) } else { None }
        })
    }
}

impl TopicMachine {
    /// Whether the current pass of a loop came to the same as the one before: the same results of the same steps, and
    /// the same files. Where it is not known what files a step left, nobody can say so.
    fn is_as_before(&self, instance: &StepInstance, pass: Pass) -> bool {
        let first = pass.compared_from.max(1);
        let Some(before) = pass.cycle.checked_sub(1).filter(|before| *before >= first) else { return false };
        match (self.pass_result(instance, before), self.pass_result(instance, pass.cycle)) {
            (Some(before), Some(now)) => before == now,
            _ => false,
        }
    }

    fn pass_result(&self, instance: &StepInstance, cycle: u32) -> Option<PassResult<'_>> {
        let inside = instance.inside(cycle);
        let mut results = BTreeMap::new();
        for (inner, state) in &self.run.steps {
            let Some(repetitions) = inner.repetitions.strip_prefix(inside.as_slice()) else { continue };
            let StepPhase::Done(result) = &state.phase else { return None };
            let main = self.effects.effect(inner.scope(), EffectCall::Main);
            let has_worked = self.effects.last_begun(&main).0 > 0 && result.status != StepStatus::Skipped;
            let files = state.files.as_ref().filter(|_| has_worked);
            if has_worked && files.is_none() {
                return None;
            }
            let output = result.output.as_ref();
            results.insert((&inner.step, repetitions), (result.status, result.exit_code, output, files));
        }
        Some(results)
    }
}

/// The steps of the loop that its condition names, what these wait for, and what is in or around them.
fn needed_by(plan: &PlanIndex, instance: &StepInstance, repeat: &Repeat) -> BTreeSet<StepId> {
    let inside: BTreeSet<StepId> = plan.with_descendants(&instance.step).into_iter().skip(1).collect();
    let mut needed = BTreeSet::new();
    let mut waiting: Vec<StepId> = repeat.until.steps.clone();
    while let Some(step) = waiting.pop() {
        if !inside.contains(&step) || !needed.insert(step.clone()) {
            continue;
        }
        let Some(node) = plan.node(&step) else { continue };
        waiting.extend(node.step.needs.iter().cloned());
        waiting.extend(node.children.iter().cloned());
        for group in plan.groups_around(&step) {
            if inside.contains(&group) && needed.insert(group.clone()) {
                waiting
                    .extend(plan.node(&group).into_iter().flat_map(|node| node.step.needs.iter().cloned()));
            }
        }
    }
    needed
}

/// What was done so far: the pass that only does again what the condition needs is none of those allowed.
fn worked(pass: Pass) -> String {
    match pass.is_check {
        true => format!("{} and a last check", cycles(pass.cycle.saturating_sub(1))),
        false => cycles(pass.cycle),
    }
}

fn cycles(number: u32) -> String {
    format!("{number} {}", if number == 1 { "cycle" } else { "cycles" })
}
