//! What the agents of a run may use, and what happens where that is used up: nothing new begins.

use std::collections::BTreeMap;

use backstay_model::event::{
    AgentSaid, BudgetRaised, FailureClass, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption,
    SessionWish, StepStatus, Tokens, Usage, UsageSpan,
};
use backstay_model::{Attempt, Digest, EffectId, QuestionId, Seq};
use backstay_workflow::plan::{Budget, OnExceeded};

use super::RunMachine;
use super::place::Place;
use super::turn::Turn;
use crate::record::SessionKey;

/// The answers to "may it use more?".
const MORE: &str = "more";
const STOP: &str = "stop";

/// What the agents of a run told that they used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    counts: BTreeMap<CountedWork, Count>,
    /// What may be used in all, once somebody allowed more than the plan does.
    raised_to: Option<u64>,
}

/// What the figures of an agent count over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CountedWork {
    /// All attempts that worked in a session.
    Session(SessionKey),
    Attempt(EffectId, Attempt),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    told: Tokens,
    /// The tokens that the original had used, where the session is a copy of it.
    copied: u64,
}

impl Count {
    /// The tokens read and written.
    fn tokens(&self) -> u64 {
        [self.told.input, self.told.output].into_iter().flatten().fold(0, u64::saturating_add)
    }
}

impl Used {
    fn tokens(&self) -> u64 {
        let own = |count: &Count| count.tokens().saturating_sub(count.copied);
        self.counts.values().map(own).fold(0, u64::saturating_add)
    }

    /// Whether more was used than was told, by what was told last.
    fn is_partial(&self) -> bool {
        self.counts.values().any(|count| count.told.is_partial)
    }

    pub(super) fn raise(&mut self, raised: &BudgetRaised) {
        self.raised_to = Some(raised.tokens);
    }
}

impl RunMachine {
    /// Folds what an agent told that it has used so far. What it never told counts nothing, and no count falls.
    pub(super) fn fold_usage(&mut self, place: &Place, said: &AgentSaid, usage: &Usage) {
        let agent = self.leaf(place).map(|leaf| &leaf.agent);
        let starting = agent.and_then(|agent| agent.starting.as_ref());
        let key_of = |session: &str| Some(SessionKey::new(&starting?.preset, session));
        let session = agent.and_then(|agent| agent.session.as_deref()).and_then(key_of);
        let (work, original) = match (usage.span, session) {
            (UsageSpan::Session, Some(session)) => {
                let original = match starting.map(|starting| &starting.session) {
                    Some(SessionWish::Fork { from, .. }) => key_of(from).map(CountedWork::Session),
                    Some(SessionWish::Fresh { .. } | SessionWish::Continue { .. }) | None => None,
                };
                (CountedWork::Session(session), original)
            }
            (UsageSpan::Session, None) | (UsageSpan::Process, _) => {
                (CountedWork::Attempt(said.effect.clone(), said.attempt), None)
            }
        };
        let copied = original.and_then(|original| self.used.counts.get(&original)).map_or(0, Count::tokens);
        let count = self.used.counts.entry(work).or_insert(Count { told: Tokens::default(), copied });
        count.told = usage.tokens.at_least(&count.told);
    }

    /// The tokens that the run may use and those that it has used, where these are as many.
    fn used_up(&self, budget: Option<Budget>) -> Option<(u64, u64)> {
        let most = self.used.raised_to.or(budget.map(|budget| budget.tokens))?;
        let used = self.used.tokens();
        (used >= most).then_some((most, used))
    }
}

impl Turn<'_> {
    /// Holds an agent back that would begin although the budget is used up. Says whether it did.
    pub(super) fn is_held_by_budget(&mut self, place: &Place) -> bool {
        let Some(definition) = self.machine.definition.clone() else { return false };
        let budget = definition.plan.budget;
        let Some((most, used)) = self.machine.used_up(budget) else { return false };
        let node = definition.node(&place.step);
        let agent = node.and_then(|node| self.machine.agent_of(&definition, place, &node.step));
        if agent.is_none_or(|(_, agent)| !agent.is_read()) {
            return false;
        }
        let said = match self.machine.used.is_partial() {
            false => format!("{used} of {most} tokens are used"),
            true => format!("{used} of {most} tokens are used, and more that is not told"),
        };
        match budget.map(|budget| budget.on_exceeded).unwrap_or_default() {
            OnExceeded::Ask => self.ask_for_more(place, most, &said),
            OnExceeded::Stop => self.stop_for_budget(place, said),
        }
        true
    }

    fn stop_for_budget(&mut self, place: &Place, said: String) {
        self.finish(place, StepStatus::Failed, None, Some(FailureClass::Budget), said, None);
    }

    fn ask_for_more(&mut self, place: &Place, most: u64, said: &str) {
        let id = format!("{}:{}:{most}:budget", self.machine.run(), place.scope());
        let option =
            |name: &str, meaning: &str| QuestionOption { name: name.to_owned(), meaning: meaning.to_owned() };
        let asked = QuestionAsked {
            question: QuestionId::derived(Digest::of(id.as_bytes())),
            kind: QuestionKind::BudgetUsed,
            prompt: format!("`{place}` would begin, and {said}. What now?"),
            options: vec![
                option(MORE, "as much again may be used"),
                option(STOP, "the step fails: nothing new begins"),
            ],
            step: place.step.clone(),
            effect: None,
            default: None,
            due_at: None,
        };
        self.emit_at(place, asked);
    }

    /// Somebody said whether more may be used; the question is closed.
    pub(super) fn answer_budget(&mut self, place: &Place, seq: Seq, choice: &str) {
        let budget = self.machine.definition.as_ref().and_then(|definition| definition.plan.budget);
        let used = self.machine.used.tokens();
        if choice != MORE {
            return self.stop_for_budget(place, format!("{used} tokens are used, and no more may be"));
        }
        let more = budget.map_or(0, |budget| budget.tokens);
        let raised = BudgetRaised { by: seq, tokens: used.saturating_add(more) };
        self.emit(backstay_model::Scope::Run, raised);
        // Whoever asked beside it has its answer.
        let others =
            self.machine.questions.values().filter(|(_, asked)| asked.kind == QuestionKind::BudgetUsed);
        let others: Vec<(Place, QuestionId)> =
            others.map(|(place, asked)| (place.clone(), asked.question)).collect();
        for (place, question) in others {
            self.emit_at(&place, QuestionClosed { question, answered_by: Some(seq), choice: None });
        }
    }
}
