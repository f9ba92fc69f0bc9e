//! What the agents of a topic told that they used.

use std::collections::BTreeMap;

use backstay_model::event::{AgentSaid, AgentStarting, BudgetRaised, SessionMode, Tokens, Usage, UsageSpan};
use backstay_model::{Attempt, EffectId};

use crate::record::SessionKey;

/// The usage of a topic, and what was allowed beyond the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsageLedger {
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

impl UsageLedger {
    /// The tokens that were used, as far as they were told.
    pub(crate) fn tokens(&self) -> u64 {
        let own = |count: &Count| count.tokens().saturating_sub(count.copied);
        self.counts.values().map(own).fold(0, u64::saturating_add)
    }

    /// Whether more was used than was told, by what was told last.
    pub(crate) fn is_partial(&self) -> bool {
        self.counts.values().any(|count| count.told.is_partial)
    }

    /// The tokens that may be used and those that were, where these are as many. `most` is what the plan allows.
    pub(crate) fn used_up(&self, most: Option<u64>) -> Option<(u64, u64)> {
        let most = self.raised_to.or(most)?;
        let used = self.tokens();
        (used >= most).then_some((most, used))
    }

    pub(crate) fn fold_raised(&mut self, raised: &BudgetRaised) {
        self.raised_to = Some(raised.tokens);
    }

    /// Folds what an agent told that it has used so far, with how its attempt was started and the session that it works
    /// in. What it never told counts nothing, and no count falls.
    pub(crate) fn fold_usage(
        &mut self,
        said: &AgentSaid,
        usage: &Usage,
        starting: Option<&AgentStarting>,
        session: Option<&str>,
    ) {
        let key_of = |session: &str| Some(SessionKey::new(&starting?.preset, session));
        let (work, original) = match (usage.span, session.and_then(key_of)) {
            (UsageSpan::Session, Some(session)) => {
                let original = match starting.map(|starting| &starting.session) {
                    Some(SessionMode::Fork { from, .. }) => key_of(from).map(CountedWork::Session),
                    Some(SessionMode::Fresh { .. } | SessionMode::Continue { .. }) | None => None,
                };
                (CountedWork::Session(session), original)
            }
            (UsageSpan::Session, None) | (UsageSpan::Process, _) => {
                (CountedWork::Attempt(said.effect.clone(), said.attempt), None)
            }
        };
        let copied = original.and_then(|original| self.counts.get(&original)).map_or(0, Count::tokens);
        let count = self.counts.entry(work).or_insert(Count { told: Tokens::default(), copied });
        count.told = usage.tokens.at_least(&count.told);
    }
}
