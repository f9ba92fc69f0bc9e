//! One input and all its consequences.

use std::sync::Arc;

use backstay_model::event::{CheckoutBusy, Event};
use backstay_model::limits::{CONSEQUENCES_MAX, INPUTS_PER_PASS_MAX};
use backstay_model::{Digest, EffectCall, Scope, Text};

use super::place::Place;
use super::{Phase, RunMachine, Work};
use crate::{Env, Report};

/// What makes a machine decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Look at the inbox, at what has fallen due and at what can begin.
    Look,
    /// News of outside work.
    Report(Report),
    /// The host slept.
    HostSlept {
        /// For how long, in milliseconds.
        asleep_ms: u64,
    },
    /// Another run works in the checkout of this one.
    CheckoutBusy(CheckoutBusy),
}

/// One decided fact and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// What it is about.
    pub scope: Scope,
    /// The fact.
    pub event: Event,
}

/// What one input led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The facts, in order, for one append.
    pub events: Vec<Emitted>,
    /// Work that may be started once the facts are durable.
    pub starts: Vec<Work>,
    /// Texts that the facts name by digest: to be kept before the append.
    pub texts: Vec<Arc<str>>,
    /// True if the limit of one pass was reached: look again after the append.
    pub more_to_do: bool,
}

/// A pass over the machine: what is emitted is folded at once, so that the next decision sees it.
pub(super) struct Turn<'a> {
    pub(super) machine: &'a mut RunMachine,
    pub(super) env: &'a Env,
    pub(super) outcome: Outcome,
}

impl RunMachine {
    /// Turns one input into all its consequences. The facts are already folded: if their append fails, throw the
    /// machine away and fold it anew from the log.
    ///
    /// Nothing happens before [`RunMachine::define`].
    pub fn handle(&mut self, env: &Env, input: Input) -> Outcome {
        if self.definition.is_none() {
            return Outcome::default();
        }
        let mut turn = Turn { machine: self, env, outcome: Outcome::default() };
        match input {
            Input::Look => {}
            Input::Report(report) => turn.report(report),
            // An ended run takes no facts.
            Input::HostSlept { .. } if matches!(turn.machine.phase, Phase::Ended(_)) => {}
            Input::HostSlept { asleep_ms } => {
                turn.emit(Scope::Run, backstay_model::event::HostSlept { asleep_ms });
            }
            Input::CheckoutBusy(busy) => {
                // Said once, and only while somebody waits for it.
                if turn.machine.wants_to_write() && turn.machine.checkout_busy.as_ref() != Some(&busy) {
                    turn.emit(Scope::Run, busy);
                }
            }
        }
        let taken = turn.machine.inbox.len().min(INPUTS_PER_PASS_MAX);
        for _ in 0..taken {
            // What an input brings has to be at hand before anything is decided about it.
            if turn.is_full() || !turn.machine.missing_plans().is_empty() {
                break;
            }
            turn.settle_next();
        }
        turn.advance();
        turn.close_asks();
        let outcome = turn.outcome;
        if outcome.events.iter().any(|emitted| matches!(emitted.event, Event::CycleStarted(_))) {
            self.forget_texts();
        }
        outcome
    }
}

impl Turn<'_> {
    pub(super) fn emit(&mut self, scope: Scope, event: impl Into<Event>) {
        let event = event.into();
        self.machine.fold(self.env.now, &scope, &event);
        self.outcome.events.push(Emitted { scope, event });
    }

    pub(super) fn emit_at(&mut self, place: &Place, event: impl Into<Event>) {
        self.emit(place.scope(), event);
    }

    /// Whether the pass has to end, so that its facts fit into one append.
    pub(super) fn is_full(&self) -> bool {
        // A step can lead to a handful of facts at once.
        self.outcome.events.len() + 32 > CONSEQUENCES_MAX
    }

    /// Keeps `text` as events name it: inline, or as a blob that is written before the append.
    pub(super) fn keep_text(&mut self, text: String) -> Text {
        let kept = Text::of(&text);
        if kept.blob().is_some() {
            let text: Arc<str> = Arc::from(text);
            self.machine.give_text(Digest::of(text.as_bytes()), Arc::clone(&text));
            self.outcome.texts.push(text);
        }
        kept
    }

    pub(super) fn effect(&self, place: &Place, call: EffectCall) -> backstay_model::EffectId {
        self.machine.effect(place, call)
    }
}
