//! Which of a step's agents can work at once, and when the others may be asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_model::Timestamp;
use backstay_model::event::{AgentWait, ContinueReason, WaitReason};

/// Agents say the end of a limit to the minute; what comes sooner meets it again.
pub(super) const LIMIT_SLACK: Duration = Duration::from_secs(60);
/// The longest that is added to the end of a limit by chance, so that not all that wait come back at once.
pub(super) const LIMIT_JITTER_MS: u64 = 15_000;

/// Which of a step's agents cannot work, since the step was last begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Availability {
    /// Agents that are not installed, not logged in, refused by their provider, or unreachable for too long. Waiting does not
    /// help.
    unfit: BTreeSet<String>,
    /// The agents that are not asked before a moment.
    pauses: BTreeMap<String, Pause>,
    /// What became of the agents whose providers could not be reached. A sign of life does not end it: a provider that cuts
    /// every answer would be asked without end.
    outages: BTreeMap<String, Outages>,
}

/// Until when an agent is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) wait: AgentWait,
    /// The end as it was told, without what was added for the sake of the provider: this is what bounds are compared with.
    pub(super) told: Timestamp,
}

/// Pauses for the provider of one agent, which could not be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outages {
    pub(super) count: u32,
    /// The sum of the pauses.
    pub(super) paused: Duration,
}

impl Pause {
    /// The pause after a limit.
    pub(super) fn of_limit(reset_at: Option<Timestamp>, until: Timestamp) -> Pause {
        let jitter_max = Duration::from_millis(LIMIT_JITTER_MS);
        // Where the end that was told had passed already, the wait goes by a rule.
        let reset_at = reset_at.filter(|reset_at| until.since(*reset_at) <= LIMIT_SLACK + jitter_max);
        let told = reset_at.unwrap_or_else(|| until.minus(jitter_max));
        Pause { wait: AgentWait { until, reason: WaitReason::Limit }, told }
    }
}

impl Availability {
    /// Takes in why `agent` gets no attempt, or another one, as it was at `at`.
    pub(super) fn note(&mut self, at: Timestamp, agent: &str, because: &ContinueReason) {
        match because {
            ContinueReason::Limit { reset_at, until, .. } => {
                self.pauses.insert(agent.to_owned(), Pause::of_limit(*reset_at, *until));
            }
            ContinueReason::Unreachable { until, .. } => {
                let outages = self.outages.entry(agent.to_owned()).or_default();
                outages.count += 1;
                let Some(until) = *until else {
                    self.unfit.insert(agent.to_owned());
                    return;
                };
                outages.paused += until.since(at);
                let wait = AgentWait { until, reason: WaitReason::Network };
                self.pauses.insert(agent.to_owned(), Pause { wait, told: until });
            }
            ContinueReason::LoginNeeded { .. }
            | ContinueReason::Refused { .. }
            | ContinueReason::NotStarted { .. } => {
                self.unfit.insert(agent.to_owned());
            }
            ContinueReason::CutShort { .. }
            | ContinueReason::SessionUnknown
            | ContinueReason::SessionInUse
            | ContinueReason::SessionBusy
            | ContinueReason::InvalidOutput { .. } => {}
        }
    }

    /// The first of `agents` that can work at once, else the one whose pause ends first, and that. `None` if none can work.
    pub(super) fn choose<'a>(
        &self,
        agents: &[&'a String],
        now: Timestamp,
    ) -> Option<(&'a str, Option<Pause>)> {
        let fit = agents.iter().filter(|agent| !self.unfit.contains(**agent));
        let pause = |agent: &String| self.pauses.get(agent).copied().filter(|pause| pause.wait.until > now);
        fit.map(|agent| (agent.as_str(), pause(agent))).min_by_key(|(_, pause)| pause.map(|it| it.wait.until))
    }

    /// What is known of outages of `agent`'s provider.
    pub(super) fn outages(&self, agent: &str) -> Outages {
        self.outages.get(agent).copied().unwrap_or_default()
    }
}
