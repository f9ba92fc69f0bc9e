//! Loops: passes over the steps of a group until a condition is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backstay_model::event::{
    Actor, CycleStarted, FailureClass, LoopEnd, LoopEnded, QuestionAsked, QuestionClosed, QuestionKind,
    QuestionOption, RunSuspending, SkipReason, StepSkipped, StepStatus, SuspendReason,
};
use backstay_model::{Digest, Frame, QuestionId, Scope, StepId, Text, Timestamp};
use backstay_workflow::plan::{OnExhausted, Repeat};

use super::RunMachine;
use super::advance::CALLED_OFF;
use super::definition::Definition;
use super::place::Place;
use super::state::{Files, Pass, StepPhase};
use super::turn::Turn;

/// Passes in a row with the same files and the same results before the run is suspended.
const SAME_PASSES_MAX: u32 = 3;
/// The answers to "what now?" of a loop that used up its passes.
const MORE: &str = "more";
const ACCEPT: &str = "accept";
const GIVE_UP: &str = "fail";

impl Turn<'_> {
    /// Brings an open loop on: its first pass, the rest of a pass that is not needed, the next pass, its end.
    pub(super) fn turn_loop(&mut self, definition: &Arc<Definition>, place: &Place, repeat: &Repeat) {
        let pass = self.machine.pass(place);
        if pass.cycle == 0 || pass.begins_anew {
            return self.begin_pass(definition, place, repeat, 1, 0, false);
        }
        if let Some(question) = pass.question {
            if self.machine.is_called_off(&place.step) {
                self.emit_at(place, QuestionClosed { question, answered_by: None, choice: None });
                self.finish(place, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
            }
            return;
        }
        let Some((status, summary)) = self.sum_up(definition, place) else {
            return self.leave_rest_out(definition, place, repeat, pass);
        };
        if status != StepStatus::Succeeded {
            return self.finish(place, status, None, None, summary, None);
        }
        match self.holds(definition, &place.inside(pass.cycle), &repeat.until) {
            Ok(true) => {
                self.end_loop(place, repeat, pass, LoopEnd::Satisfied);
                let summary = format!("`{}` after {}", repeat.until.source, worked(pass));
                self.finish(place, StepStatus::Succeeded, None, None, summary, None);
            }
            Ok(false) => self.go_on_or_end(definition, place, repeat, pass),
            Err(error) => self.fail_expression(place, format!("`until` of `{}`: {error}", place.step)),
        }
    }

    /// Once all that the condition names is through and it is true, nothing else of the pass is begun.
    fn leave_rest_out(&mut self, definition: &Definition, place: &Place, repeat: &Repeat, pass: Pass) {
        let inner: Vec<Place> =
            self.machine.with_inner_places(definition, place).into_iter().skip(1).collect();
        let is_named = |inner: &&Place| repeat.until.steps.contains(&inner.step);
        let mut named = inner.iter().filter(is_named).peekable();
        let is_known =
            named.peek().is_some() && named.all(|inner| self.machine.is_through(definition, inner));
        let has_failed = self.machine.failed.is_some();
        if !is_known || has_failed || !inner.iter().any(|inner| self.machine.is_waiting(inner)) {
            return;
        }
        // What goes wrong in it is told at the end of the pass.
        if self.holds(definition, &place.inside(pass.cycle), &repeat.until).is_ok_and(|holds| holds) {
            self.leave_out(place, inner.into_iter());
        }
    }

    fn leave_out(&mut self, place: &Place, inner: impl Iterator<Item = Place>) {
        for inner in inner {
            // What does not fit into this append is left out with the next one.
            if self.machine.is_waiting(&inner) && !self.is_full() {
                let reason = SkipReason::LoopDone { step: place.step.clone() };
                self.emit_at(&inner, StepSkipped { reason, output: None });
            }
        }
    }

    /// The pass is through and the condition false.
    fn go_on_or_end(&mut self, definition: &Arc<Definition>, place: &Place, repeat: &Repeat, pass: Pass) {
        if self.machine.is_called_off(&place.step) {
            return self.finish(place, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
        }
        let is_last = pass.is_check || pass.nth >= repeat.max_cycles;
        if is_last && (pass.is_check || !self.has_unchecked(definition, place, repeat)) {
            return self.exhausted(place, repeat, pass);
        }
        if repeat.min_cycle_ms.is_some() {
            // Whoever spaces cycles out waits for something outside: that nothing changes here is as it should be.
            let is_due =
                self.machine.next_pass_due(place, repeat).is_none_or(|due_at| due_at <= self.env.now);
            if is_due {
                self.begin_pass(definition, place, repeat, pass.nth + 1, 0, is_last);
            }
            return;
        }
        let is_same = self.machine.is_as_before(place, pass);
        let unchanged_in_a_row = if is_same { pass.unchanged_in_a_row + 1 } else { 0 };
        if unchanged_in_a_row + 1 >= SAME_PASSES_MAX && !is_last {
            let by = Actor { name: "backstay".to_owned(), via: format!("loop {}", place.step) };
            let reason =
                SuspendReason::NoProgress { step: place.step.clone(), cycles: unchanged_in_a_row + 1 };
            return self.emit(Scope::Run, RunSuspending { by, reason });
        }
        self.begin_pass(definition, place, repeat, pass.nth + 1, unchanged_in_a_row, is_last);
    }

    fn begin_pass(
        &mut self,
        definition: &Arc<Definition>,
        place: &Place,
        repeat: &Repeat,
        nth: u32,
        unchanged_in_a_row: u32,
        check: bool,
    ) {
        if self.machine.is_called_off(&place.step) {
            return self.finish(place, StepStatus::Cancelled, None, None, CALLED_OFF.to_owned(), None);
        }
        let cycle = self.machine.pass(place).cycle + 1;
        let max_cycles = repeat.max_cycles;
        self.emit_at(place, CycleStarted { cycle, nth, max_cycles, check, unchanged_in_a_row });
        if check {
            let needed = needed_by(definition, place, repeat);
            let inner = self.machine.with_inner_places(definition, place).into_iter().skip(1);
            let unneeded: Vec<Place> = inner.filter(|inner| !needed.contains(&inner.step)).collect();
            self.leave_out(place, unneeded.into_iter());
        }
    }

    /// Whether steps of the pass worked on something that the condition has not seen: no loop ends on that.
    fn has_unchecked(&self, definition: &Definition, place: &Place, repeat: &Repeat) -> bool {
        let needed = needed_by(definition, place, repeat);
        self.machine.with_inner_places(definition, place).iter().skip(1).any(|inner| {
            let is_leaf = definition.node(&inner.step).is_some_and(|node| node.children.is_empty());
            let has_worked =
                self.machine.result(inner).is_some_and(|result| result.status != StepStatus::Skipped);
            is_leaf && has_worked && !needed.contains(&inner.step)
        })
    }

    fn exhausted(&mut self, place: &Place, repeat: &Repeat, pass: Pass) {
        let summary = format!(
            "{} of {} cycles used; `{}` is false",
            repeat.max_cycles, repeat.max_cycles, repeat.until.source
        );
        let (status, failure) = match repeat.on_exhausted {
            OnExhausted::Fail => (StepStatus::Failed, Some(FailureClass::Exhausted)),
            OnExhausted::Continue => (StepStatus::Succeeded, None),
            OnExhausted::Ask => return self.ask_what_now(place, repeat, pass, &summary),
        };
        self.end_loop(place, repeat, pass, LoopEnd::Exhausted);
        self.finish(place, status, None, failure, summary, None);
    }

    fn end_loop(&mut self, place: &Place, repeat: &Repeat, pass: Pass, reason: LoopEnd) {
        let until = repeat.until.source.clone();
        self.emit_at(place, LoopEnded { cycle: pass.cycle, reason, until });
    }

    fn ask_what_now(&mut self, place: &Place, repeat: &Repeat, pass: Pass, summary: &str) {
        let id = format!("{}:{}:{}:exhausted", self.machine.run(), place.scope(), pass.cycle);
        let option = |name: &str, meaning: String| QuestionOption { name: name.to_owned(), meaning };
        let asked = QuestionAsked {
            question: QuestionId::derived(Digest::of(id.as_bytes())),
            kind: QuestionKind::LoopExhausted,
            prompt: format!("`{place}`: {summary}. What now?"),
            options: vec![
                option(MORE, format!("up to {} more", cycles(repeat.max_cycles))),
                option(ACCEPT, "it counts as succeeded: the run goes on behind it".to_owned()),
                option(GIVE_UP, "it counts as failed".to_owned()),
            ],
            step: place.step.clone(),
            effect: None,
            default: None,
            due_at: None,
        };
        self.emit_at(place, asked);
    }

    /// Somebody said what becomes of a loop that used up its passes; its question is closed.
    pub(super) fn answer_exhausted(&mut self, place: &Place, choice: &str) {
        let Some(definition) = self.machine.definition.clone() else { return };
        let Some(repeat) = definition.node(&place.step).and_then(|node| node.step.repeat.clone()) else {
            return;
        };
        let pass = self.machine.pass(place);
        let (status, failure, summary) = match choice {
            MORE => return self.begin_pass(&definition, place, &repeat, 1, 0, false),
            ACCEPT => (StepStatus::Succeeded, None, format!("accepted after {}", worked(pass))),
            _ => (
                StepStatus::Failed,
                Some(FailureClass::Exhausted),
                format!("given up after {}", worked(pass)),
            ),
        };
        self.end_loop(place, &repeat, pass, LoopEnd::Exhausted);
        self.finish(place, status, None, failure, summary, None);
    }
}

/// What one pass came to, by the steps in it: their results, and the files that they left.
type PassResult<'a> =
    BTreeMap<(&'a StepId, &'a [Frame]), (StepStatus, Option<i32>, Option<&'a Text>, Option<&'a Files>)>;

impl RunMachine {
    /// When the next pass of an open loop may begin, if its cycles are spaced out.
    pub(super) fn next_pass_due(&self, place: &Place, repeat: &Repeat) -> Option<Timestamp> {
        let began_at = self.pass(place).began_at?;
        Some(began_at.plus(Duration::from_millis(repeat.min_cycle_ms?)))
    }

    /// The moments at which loops whose pass is through begin the next one.
    pub(super) fn next_passes_due(&self) -> impl Iterator<Item = Timestamp> {
        let definition = self.definition.iter();
        let spaced =
            definition.flat_map(|definition| definition.spaced().map(move |loop_| (definition, loop_)));
        spaced.filter_map(|(definition, (step, repeat))| {
            let place = self.current_place(definition, step)?;
            let is_open = self.steps.get(&place).is_some_and(|state| state.phase == StepPhase::Open);
            let pass = self.pass(&place);
            let is_through = || {
                let mut inner = self.inner_places(definition, &place).into_iter();
                inner.all(|inner| self.is_through(definition, &inner))
            };
            let waits = is_open && pass.cycle > 0 && pass.question.is_none() && is_through();
            if waits { self.next_pass_due(&place, repeat) } else { None }
        })
    }

    /// Whether the current pass of a loop came to the same as the one before: the same results of the same steps, and
    /// the same files. Where it is not known what files a step left, nobody can say so.
    fn is_as_before(&self, place: &Place, pass: Pass) -> bool {
        let first = pass.compared_from.max(1);
        let Some(before) = pass.cycle.checked_sub(1).filter(|before| *before >= first) else { return false };
        match (self.pass_result(place, before), self.pass_result(place, pass.cycle)) {
            (Some(before), Some(now)) => before == now,
            _ => false,
        }
    }

    fn pass_result(&self, place: &Place, cycle: u32) -> Option<PassResult<'_>> {
        let inside = place.inside(cycle);
        let mut results = BTreeMap::new();
        for (inner, state) in &self.steps {
            let Some(frames) = inner.frames.strip_prefix(inside.as_slice()) else { continue };
            let StepPhase::Done(result) = &state.phase else { return None };
            let has_worked = state.last_begun().0 > 0 && result.status != StepStatus::Skipped;
            let files = state.files.as_ref().filter(|_| has_worked);
            if has_worked && files.is_none() {
                return None;
            }
            let output = result.output.as_ref();
            results.insert((&inner.step, frames), (result.status, result.exit_code, output, files));
        }
        Some(results)
    }
}

/// The steps of the loop that its condition names, what these wait for, and what is in or around them.
fn needed_by(definition: &Definition, place: &Place, repeat: &Repeat) -> BTreeSet<StepId> {
    let inside: BTreeSet<StepId> = definition.with_descendants(&place.step).into_iter().skip(1).collect();
    let mut needed = BTreeSet::new();
    let mut waiting: Vec<StepId> = repeat.until.steps.clone();
    while let Some(step) = waiting.pop() {
        if !inside.contains(&step) || !needed.insert(step.clone()) {
            continue;
        }
        let Some(node) = definition.node(&step) else { continue };
        waiting.extend(node.step.needs.iter().cloned());
        waiting.extend(node.children.iter().cloned());
        for group in definition.groups_around(&step) {
            if inside.contains(&group) && needed.insert(group.clone()) {
                waiting.extend(
                    definition.node(&group).into_iter().flat_map(|node| node.step.needs.iter().cloned()),
                );
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
