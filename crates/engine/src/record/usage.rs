//! What agents used, summed up: the one place where it is.

use std::collections::BTreeMap;

use backstay_model::Timestamp;
use backstay_model::event::Tokens;
use serde::{Deserialize, Serialize};

use super::agent::SessionKey;
use super::{AgentRecord, AttemptRecord, RunRecord};

/// A figure of several attempts, of which some may have told nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What was told.
    pub known: u64,
    /// Attempts that told nothing of it.
    pub untold: u64,
    /// Attempts that told only a part of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub partial: u64,
}

/// What the attempts of agents used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Attempts of agents that told something, ended, or were lost.
    pub attempts: u64,
    /// Those of them that told nothing at all.
    pub untold: u64,
    /// Tokens read.
    pub input: Figure,
    /// Tokens written.
    pub output: Figure,
    /// Tokens read from a cache; they are in `input` too.
    pub cache_read: Figure,
    /// Tokens thought; they are in `output` too.
    pub reasoning: Figure,
    /// Cost, in millionths of a US dollar.
    pub cost_micro_usd: Figure,
}

impl Figure {
    /// Adds what one attempt told.
    pub fn add(&mut self, told: Option<u64>) {
        match told {
            Some(told) => self.known = self.known.saturating_add(told),
            None => self.untold += 1,
        }
    }

    /// The figure by `show`; nothing known is unknown, and what is missing is not hidden.
    #[must_use]
    pub fn words(self, attempts: u64, show: impl Fn(u64) -> String) -> String {
        match self.untold {
            0 if self.partial == 0 => show(self.known),
            all if all >= attempts => "unknown".to_owned(),
            _ => format!("{} + ?", show(self.known)),
        }
    }
}

impl Usage {
    /// Adds what one attempt used; none if it told nothing.
    pub fn add(&mut self, told: Option<&Tokens>) {
        self.attempts += 1;
        self.untold += u64::from(told.is_none());
        let tokens = told.copied().unwrap_or_default();
        for (figure, told) in [
            (&mut self.input, tokens.input),
            (&mut self.output, tokens.output),
            (&mut self.cache_read, tokens.cache_read),
            (&mut self.reasoning, tokens.reasoning),
            (&mut self.cost_micro_usd, tokens.cost_micro_usd),
        ] {
            figure.add(told);
            figure.partial += u64::from(told.is_some() && tokens.is_partial);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a record remembers of attempts that it let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    usage: Usage,
    /// What sessions had used, as of when.
    sessions: BTreeMap<SessionKey, (Timestamp, Tokens)>,
}

impl Forgotten {
    pub(super) fn add(&mut self, attempt: &AttemptRecord) {
        let Some(agent) = counted(attempt) else { return };
        self.usage.add(agent.usage.as_ref());
        if let (Some(session), Some(used)) = (agent.session_key(), agent.session_usage) {
            self.sessions.insert(session, (attempt.starting_at, used));
        }
    }
}

/// The agent of an attempt whose usage counts: it told something, or it will not any more.
#[must_use]
pub fn counted(attempt: &AttemptRecord) -> Option<&AgentRecord> {
    let agent = attempt.agent.as_ref()?;
    (agent.usage.is_some() || attempt.ended_at.is_some()).then_some(agent)
}

impl RunRecord {
    /// What the agents of the run used; none if none that could tell was at work.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let attempts = || self.steps.iter().flat_map(|step| &step.attempts);
        let mut usage = self.forgotten.usage;
        attempts().filter_map(counted).for_each(|agent| usage.add(agent.usage.as_ref()));
        (usage.attempts > 0 || attempts().any(|attempt| attempt.agent.is_some())).then_some(usage)
    }

    /// What the session of `agent`, begun at `starting_at`, had used before, when an earlier attempt told of it last. A copy
    /// counts what the original had used.
    pub(super) fn used_before(&self, agent: &AgentRecord, starting_at: Timestamp) -> Option<Tokens> {
        let used = |session: SessionKey| {
            let told = self.index.used_before(&session, starting_at).into_iter();
            told.chain(self.forgotten.sessions.get(&session).copied())
                .max_by_key(|(at, _)| *at)
                .map(|(_, used)| used)
        };
        agent.session_key().and_then(used).or_else(|| agent.original_key().and_then(used))
    }
}
