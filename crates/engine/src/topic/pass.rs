//! One input and all its consequences.

use std::sync::Arc;

use backstay_model::event::{CheckoutBusy, FactEvent, HostSlept};
use backstay_model::limits::{CONSEQUENCES_MAX, INPUTS_PER_PASS_MAX};
use backstay_model::{Digest, Scope, Text};

use super::TopicMachine;
use crate::run::{EffectSpec, Phase};
use crate::{DecisionContext, Report};

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
    pub fact: FactEvent,
}

/// What one input led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The facts, in order, for one append.
    pub facts: Vec<Emitted>,
    /// Work that may be started once the facts are durable.
    pub starts: Vec<EffectSpec>,
    /// Texts that the facts name by digest: to be kept before the append.
    pub texts: Vec<Arc<str>>,
    /// True if the limit of one pass was reached: look again after the append.
    pub more_to_do: bool,
}

/// A pass over the machine: what is emitted is folded at once, so that the next decision sees it.
pub(crate) struct DecisionPass<'a> {
    pub(crate) topic: &'a mut TopicMachine,
    pub(crate) context: &'a DecisionContext,
    pub(crate) outcome: Outcome,
}

impl TopicMachine {
    /// Turns one input into all its consequences. The facts are already folded: if their append fails, throw the
    /// machine away and fold it anew from the log.
    ///
    /// Nothing happens before [`TopicMachine::define`].
    pub fn handle(&mut self, context: &DecisionContext, input: Input) -> Outcome {
        if !self.is_defined() {
            return Outcome::default();
        }
        let mut pass = DecisionPass { topic: self, context, outcome: Outcome::default() };
        match input {
            Input::Look => {}
            Input::Report(report) => pass.report(report),
            // An ended run takes no facts.
            Input::HostSlept { .. } if matches!(pass.topic.phase(), Phase::Ended(_)) => {}
            Input::HostSlept { asleep_ms } => pass.emit(Scope::root(), HostSlept { asleep_ms }),
            Input::CheckoutBusy(busy) => {
                // Said once, and only while somebody waits for it.
                if pass.topic.wants_to_write() && pass.topic.checkout.busy() != Some(&busy) {
                    pass.emit(Scope::root(), busy);
                }
            }
        }
        let taken = pass.topic.inbox.len().min(INPUTS_PER_PASS_MAX);
        for _ in 0..taken {
            // What an input brings has to be at hand before anything is decided about it.
            if pass.is_full() || !pass.topic.missing_plans().is_empty() {
                break;
            }
            pass.settle_next();
        }
        pass.schedule();
        pass.close_step_questions();
        let outcome = pass.outcome;
        if outcome.facts.iter().any(|emitted| matches!(emitted.fact, FactEvent::CycleStarted(_))) {
            self.run.forget_texts();
        }
        outcome
    }
}

impl DecisionPass<'_> {
    pub(crate) fn emit(&mut self, scope: Scope, fact: impl Into<FactEvent>) {
        let fact = fact.into();
        self.topic.fold(self.context.now, &scope, &fact);
        self.outcome.facts.push(Emitted { scope, fact });
    }

    /// Whether the pass has to end, so that its facts fit into one append.
    pub(crate) fn is_full(&self) -> bool {
        // A step can lead to a handful of facts at once.
        self.outcome.facts.len() + 32 > CONSEQUENCES_MAX
    }

    /// Keeps `text` as facts name it: inline, or as a blob that is written before the append.
    pub(crate) fn keep_text(&mut self, text: String) -> Text {
        let kept = Text::of(&text);
        if kept.blob().is_some() {
            let text: Arc<str> = Arc::from(text);
            self.topic.give_text(Digest::of(text.as_bytes()), Arc::clone(&text));
            self.outcome.texts.push(text);
        }
        kept
    }
}
