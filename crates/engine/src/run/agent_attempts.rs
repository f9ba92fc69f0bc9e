//! Attempts of an agent that follow each other: after a limit, in another one's place, in the session that it worked in.

use std::time::Duration;

use backstay_model::event::{
    AgentSaid, AgentStarting, AgentWait, Because, FailureClass, Said, SessionWish, StepContinues, TimerFired,
    WaitReason,
};
use backstay_model::limits::LOSSES_IN_A_ROW_MAX;
use backstay_model::{Attempt, EffectCall, EffectId, Timestamp};
use backstay_workflow::plan::{AfterCrash, AgentOptions, OnLimit, RetryClass, Step, Verb};

use super::RunMachine;
use super::availability::{Availability, LIMIT_JITTER_MS, LIMIT_SLACK, Outages, Pause};
use super::handover::WorkDone;
use super::instance::StepInstance;
use super::reports::duration;
use super::task::Predecessor;
use crate::record::LimitWait;
use crate::topic::DecisionPass;
use crate::{AgentEnded, Report, Trouble};

/// How long limits in a row, and outages, are waited for where the step does not say, in milliseconds.
const MAX_WAIT_MS: u64 = 6 * 3_600_000;
/// How long a limit is waited for that does not say its end; doubled with each in a row, up to the longest.
const UNKNOWN_LIMIT_MS: u64 = 5 * 60_000;
const UNKNOWN_LIMIT_MAX_MS: u64 = 3_600_000;
/// How long an agent is not asked whose provider cannot be reached; doubled with each in a row, up to the longest.
const OUTAGE_MS: u64 = 2 * 60_000;
const OUTAGE_MAX_MS: u64 = 15 * 60_000;
/// The pause before an agent is started again whose process was ended from outside; so much more each time.
const RESTART_MS: u64 = 5_000;
/// How long a session is waited for that another process works in; doubled each time, so often.
const BUSY_SESSION_MS: u64 = 30_000;
const BUSY_SESSION_TRIES_MAX: u32 = 5;

/// How the attempts of a step's agent follow each other, since the step was last begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AgentAttempts {
    /// Who does it, by its name in the plan, once another one took the place of the first.
    pub(super) agent: Option<String>,
    /// How the current attempt was begun; none for a command.
    pub(super) starting: Option<AgentStarting>,
    /// The session that the last attempt worked in: the next one goes on with it.
    pub(super) session: Option<String>,
    /// The current attempt's model answered at least once.
    has_answered: bool,
    /// The next attempt begins a new session, whatever the step says.
    pub(super) anew: bool,
    /// What is wrong with the last answer: the next attempt is to mend it.
    pub(super) repair: Option<String>,
    /// The agent whose limit the next attempt waits for.
    pub(super) waits_for: Option<LimitWait>,
    /// A person worked in its session since the last attempt.
    pub(super) intervened: bool,
    /// What the current agent did, in all of its attempts.
    done_so_far: WorkDone,
    /// The agent that worked on it before the current one.
    pub(super) predecessor: Option<Predecessor>,
    /// How often its process was ended from outside.
    pub(super) cuts: u32,
    /// How often in a row its session was in use by another process.
    busy_in_a_row: u32,
    /// What was done once and is not done again.
    done: Vec<Once>,
    /// Which of the step's agents cannot work.
    availability: Availability,
    /// How often the current agent was tried again after its provider could not be reached.
    pub(super) network_tries: u32,
    /// Since when limits follow each other without a sign of life between.
    limited_since: Option<Timestamp>,
    /// How many do.
    limits_in_a_row: u32,
}

/// What is tried once for each start of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Once {
    FreshSession,
    KnownSession,
    Repair,
}

/// What becomes of an agent whose provider could not be reached.
enum AfterOutage {
    /// The step's `retry` has tries left.
    Retry,
    /// It is not asked before then.
    Pause(Timestamp),
    /// It is not asked again.
    GiveUp {
        /// How long it was waited for in all.
        waited: Duration,
    },
}

/// What follows an attempt of an agent that failed.
pub(super) enum Next {
    /// Another attempt that counts against nothing.
    Continues(StepContinues),
    /// What the step's retries say; in place of the message stands this one.
    Fails(String),
}

impl AgentAttempts {
    pub(super) fn fold_starting(&mut self, starting: Option<&AgentStarting>) {
        self.starting = starting.cloned();
        self.intervened = false;
        self.has_answered = false;
        self.session = match starting.map(|starting| &starting.session) {
            Some(SessionWish::Continue { id, .. }) => Some(id.clone()),
            Some(SessionWish::Fresh { .. } | SessionWish::Fork { .. }) | None => None,
        };
    }

    /// What failed for a reason that lies in the work is begun anew, what was cut off goes on.
    pub(super) fn fold_retry(&mut self, failure: FailureClass) {
        self.repair = None;
        self.done.retain(|once| *once != Once::Repair);
        if failure != FailureClass::Session {
            self.allow_other_session();
        }
        match failure {
            FailureClass::Timeout | FailureClass::Stall | FailureClass::Crash => {}
            FailureClass::RateLimit => self.forget_empty_session(),
            FailureClass::Network => {
                self.forget_empty_session();
                self.network_tries = self.network_tries.saturating_add(1);
            }
            FailureClass::Exit
            | FailureClass::InvalidOutput
            | FailureClass::Spawn
            | FailureClass::Expression
            | FailureClass::Exhausted
            | FailureClass::Login
            | FailureClass::Refused
            | FailureClass::Session
            | FailureClass::Budget => self.session = None,
        }
    }

    pub(super) fn fold_continues(&mut self, at: Timestamp, continues: &StepContinues) {
        self.repair = None;
        self.availability.note(at, &continues.agent, &continues.because);
        self.waits_for = LimitWait::of(continues);
        if self.waits_for.is_some() || matches!(continues.because, Because::Limit { .. }) {
            self.limited_since.get_or_insert(at);
        }
        let is_about_session = matches!(
            continues.because,
            Because::SessionUnknown | Because::SessionInUse | Because::SessionBusy
        );
        if !is_about_session {
            self.allow_other_session();
        }
        match &continues.because {
            Because::Limit { .. } => {
                self.forget_empty_session();
                self.limits_in_a_row += 1;
            }
            Because::SessionUnknown => {
                (self.session, self.anew) = (None, true);
                self.done.push(Once::FreshSession);
            }
            Because::SessionBusy if continues.wait.is_some() => self.busy_in_a_row += 1,
            Because::SessionBusy => {
                (self.session, self.anew, self.busy_in_a_row) = (None, true, 0);
                self.done.push(Once::FreshSession);
            }
            Because::SessionInUse => {
                self.session = self.starting.as_ref().map(|starting| starting.session.chosen().to_owned());
                self.done.push(Once::KnownSession);
            }
            Because::InvalidOutput { problem } => {
                self.repair = Some(problem.clone());
                self.done.push(Once::Repair);
            }
            Because::Unreachable { .. } => self.forget_empty_session(),
            Because::CutShort { .. } => self.cuts += 1,
            Because::LoginNeeded { .. } | Because::Refused { .. } | Because::NotStarted { .. } => {}
        }
        if continues.next != continues.agent {
            (self.agent, self.starting) = (Some(continues.next.clone()), None);
            (self.session, self.anew) = (None, false);
            // One that could not be reached before had its tries.
            let had_tries = self.availability.outages(&continues.next).count > 0;
            self.network_tries = if had_tries { u32::MAX } else { 0 };
            let done = std::mem::take(&mut self.done_so_far).by(&continues.agent);
            self.predecessor = done.or(self.predecessor.take());
        }
    }

    /// Whether the current attempt was to go on with a session.
    fn goes_on(&self) -> bool {
        let session = self.starting.as_ref().map(|starting| &starting.session);
        matches!(session, Some(SessionWish::Continue { .. }))
    }

    /// A wait ended. Before its moment a person ended it, who knows better what the agents can do now.
    pub(super) fn fold_fired(&mut self, fired: &TimerFired) {
        self.waits_for = None;
        if fired.fired_at < fired.due_at {
            (self.limited_since, self.limits_in_a_row) = (None, 0);
            self.availability = Availability::default();
        }
    }

    /// The agent works: the next limit is the first of its row.
    fn fold_life(&mut self) {
        self.has_answered = true;
        (self.limited_since, self.limits_in_a_row, self.busy_in_a_row) = (None, 0, 0);
    }

    /// The attempt ended for a reason that is not its session: what is tried once for a wrong session may be tried again.
    fn allow_other_session(&mut self) {
        self.busy_in_a_row = 0;
        self.done.retain(|once| !matches!(once, Once::FreshSession | Once::KnownSession));
    }

    /// The provider refused the first request of a new session: there is nothing in it, and some agents never write it down.
    fn forget_empty_session(&mut self) {
        let is_new = self.starting.as_ref().is_some_and(|starting| match starting.session {
            SessionWish::Fresh { .. } | SessionWish::Fork { .. } => true,
            SessionWish::Continue { .. } => false,
        });
        if is_new && !self.has_answered {
            self.session = None;
        }
    }
}

impl RunMachine {
    pub(super) fn fold_said(&mut self, instance: &StepInstance, said: &AgentSaid) {
        if let Some(leaf) = self.leaf_mut(instance) {
            leaf.agent.done_so_far.fold(&said.what);
        }
        match &said.what {
            Said::SessionStarted { id, .. } => self.fold_session(instance, id),
            Said::Message { .. }
            | Said::Thought { .. }
            | Said::ToolStarted { .. }
            | Said::ToolFinished { .. } => {
                if let Some(leaf) = self.leaf_mut(instance) {
                    leaf.agent.fold_life();
                }
            }
            // The topic counts what is used; what else follows is decided by the attempt's end.
            Said::Usage(_)
            | Said::FilesTouched { .. }
            | Said::Limit { .. }
            | Said::LoginNeeded { .. }
            | Said::Refused { .. }
            | Said::NetworkTrouble { .. }
            | Said::Error { .. }
            | Said::TurnEnded { .. } => {}
        }
    }

    /// How the attempt in flight of `effect` was started, and the session that it works in.
    pub(crate) fn agent_session(&self, effect: &EffectId) -> (Option<&AgentStarting>, Option<&str>) {
        let leaf = StepInstance::of(&effect.scope).and_then(|instance| self.leaf(&instance));
        let agent = leaf.map(|leaf| &leaf.agent);
        (agent.and_then(|agent| agent.starting.as_ref()), agent.and_then(|agent| agent.session.as_deref()))
    }

    /// The attempt in flight works in this session.
    pub(super) fn fold_session(&mut self, instance: &StepInstance, session: &str) {
        let Some(leaf) = self.leaf_mut(instance) else { return };
        leaf.agent.session = Some(session.to_owned());
        leaf.agent.anew = false;
        if let Some(starting) = &leaf.agent.starting {
            let preset = starting.preset.clone();
            self.sessions.insert((instance.step.clone(), preset), session.to_owned());
        }
    }
}

impl DecisionPass<'_> {
    /// Says what an agent's stream said, as far as the log does not know it.
    pub(super) fn agent_said(&mut self, instance: &StepInstance, report: Report) {
        let Report::Said { effect, attempt, on, said } = report else { return };
        // A probe is no agent.
        if effect.call != EffectCall::Main {
            return;
        }
        let known = self.topic.effects.output_read(&effect, attempt).on(on);
        for (spool_end, what) in said.into_iter().filter(|(spool_end, _)| *spool_end > known) {
            self.emit_at(instance, AgentSaid { effect: effect.clone(), attempt, on, spool_end, what });
        }
    }

    /// What follows for an agent whose `attempt` failed, where it is not what the step's retries say.
    pub(super) fn next_of_agent(
        &self,
        instance: &StepInstance,
        step: &Step,
        attempt: Attempt,
        failure: (FailureClass, &str),
        ended: Option<&AgentEnded>,
    ) -> Option<Next> {
        let Verb::Agent { agent: first, options, .. } = &step.verb else { return None };
        if self.topic.run.is_called_off(&step.id) {
            return None;
        }
        let (failure, message) = failure;
        let turn = &self.topic.run.leaf(instance)?.agent;
        let current = turn.agent.as_ref().unwrap_or(first);
        let agents: Vec<&String> = std::iter::once(first).chain(&options.fallback).collect();
        let continues = |because: Because| {
            let (agent, next) = (current.clone(), current.clone());
            Some(Next::Continues(StepContinues { attempt, agent, next, because, wait: None }))
        };
        let other = |because: Because| {
            self.by_available(turn, &agents, (attempt, current, message), because, options)
        };
        let once = |once: Once, because: Because| match turn.done.contains(&once) {
            true => None,
            false => continues(because),
        };
        let text = || message.to_owned();
        match (failure, ended.and_then(|ended| ended.trouble.as_ref())) {
            (FailureClass::RateLimit, Some(Trouble::Limit { reset_at, message })) => {
                let until = self.limit_end(turn, attempt, *reset_at);
                other(Because::Limit { reset_at: *reset_at, until, message: message.clone() })
            }
            (FailureClass::Network, _) => match self.next_try_after_outage(turn, step, current, attempt) {
                AfterOutage::Retry => None,
                AfterOutage::Pause(until) => {
                    other(Because::Unreachable { until: Some(until), message: text() })
                }
                AfterOutage::GiveUp { waited } => {
                    other(Because::Unreachable { until: None, message: text() })
                        .or_else(|| Some(Next::Fails(given_up(message, waited, options))))
                }
            },
            (FailureClass::Login, _) => other(Because::LoginNeeded { message: text() }),
            (FailureClass::Refused, _) => other(Because::Refused { message: text() }),
            (FailureClass::Spawn, _) => other(Because::NotStarted { message: text() }),
            (FailureClass::Session, Some(Trouble::SessionUnknown)) => {
                once(Once::FreshSession, Because::SessionUnknown)
            }
            (FailureClass::Session, Some(Trouble::SessionInUse)) if turn.goes_on() => {
                match self.after_busy_session(turn, attempt, current) {
                    Some(waits) => Some(Next::Continues(waits)),
                    None => once(Once::FreshSession, Because::SessionBusy),
                }
            }
            (FailureClass::Session, Some(Trouble::SessionInUse)) => {
                once(Once::KnownSession, Because::SessionInUse)
            }
            (FailureClass::Crash, _)
                if turn.cuts < LOSSES_IN_A_ROW_MAX
                    && matches!(step.after_crash, AfterCrash::Resume | AfterCrash::Rerun) =>
            {
                let because = Because::CutShort { message: text() };
                let (agent, next, wait) =
                    (current.clone(), current.clone(), self.pause_after_cuts(turn.cuts));
                Some(Next::Continues(StepContinues { attempt, agent, next, because, wait }))
            }
            (FailureClass::InvalidOutput, _) if ended.is_some() => {
                once(Once::Repair, Because::InvalidOutput { problem: text() })
            }
            _ => None,
        }
    }

    /// The pause before an agent is started again whose process was ended from outside so often before: none the first time.
    fn pause_after_cuts(&self, cuts: u32) -> Option<AgentWait> {
        let pause = Duration::from_millis(RESTART_MS.saturating_mul(u64::from(cuts)));
        (cuts > 0).then(|| AgentWait { until: self.context.now.plus(pause), reason: WaitReason::Restart })
    }

    /// The agent again in its session, in which another process works; `None` once it was waited for often enough.
    fn after_busy_session(
        &self,
        turn: &AgentAttempts,
        attempt: Attempt,
        current: &str,
    ) -> Option<StepContinues> {
        if turn.busy_in_a_row >= BUSY_SESSION_TRIES_MAX {
            return None;
        }
        let pause = Duration::from_millis(BUSY_SESSION_MS << turn.busy_in_a_row);
        Some(StepContinues {
            attempt,
            agent: current.to_owned(),
            next: current.to_owned(),
            because: Because::SessionBusy,
            wait: Some(AgentWait { until: self.context.now.plus(pause), reason: WaitReason::Session }),
        })
    }

    /// What becomes of the agent `current`, whose provider could not be reached.
    fn next_try_after_outage(
        &self,
        turn: &AgentAttempts,
        step: &Step,
        current: &str,
        attempt: Attempt,
    ) -> AfterOutage {
        let Verb::Agent { options, .. } = &step.verb else { return AfterOutage::Retry };
        let retries = &step.retry;
        let Outages { count, paused } = turn.availability.outages(current);
        if retries.retries_max == 0 || !retries.errors.contains(&RetryClass::Network) {
            return AfterOutage::GiveUp { waited: Duration::ZERO };
        }
        if turn.network_tries < retries.retries_max {
            return AfterOutage::Retry;
        }
        let longest_ms = OUTAGE_MS.saturating_mul(1 << count.min(20)).min(OUTAGE_MAX_MS);
        let pause_ms = longest_ms.min(millis(max_wait(options).saturating_sub(paused)));
        if pause_ms == 0 {
            return AfterOutage::GiveUp { waited: paused };
        }
        let jitter_ms = self.context.random_below(pause_ms / 8 + 1, u64::from(attempt.0));
        AfterOutage::Pause(self.context.now.plus(Duration::from_millis(pause_ms - jitter_ms)))
    }

    /// Until when an agent that met a limit is not asked again.
    fn limit_end(&self, turn: &AgentAttempts, attempt: Attempt, reset_at: Option<Timestamp>) -> Timestamp {
        let now = self.context.now;
        let in_a_row = turn.limits_in_a_row;
        let pause_ms = UNKNOWN_LIMIT_MS.saturating_mul(1 << in_a_row.min(20)).min(UNKNOWN_LIMIT_MAX_MS);
        let jitter = Duration::from_millis(self.context.random_below(LIMIT_JITTER_MS, u64::from(attempt.0)));
        let told = reset_at.map(|at| at.plus(LIMIT_SLACK)).filter(|at| *at > now);
        told.unwrap_or_else(|| now.plus(Duration::from_millis(pause_ms))).plus(jitter)
    }

    /// The next attempt after `current` cannot work, by an agent that can. `None` if there is none.
    fn by_available(
        &self,
        turn: &AgentAttempts,
        agents: &[&String],
        (attempt, current, message): (Attempt, &str, &str),
        because: Because,
        options: &AgentOptions,
    ) -> Option<Next> {
        let now = self.context.now;
        let longest = max_wait(options);
        let since = turn.limited_since.unwrap_or(now);
        // Pauses for the network are bounded where they are made.
        let is_too_long =
            |pause: &Pause| pause.wait.reason == WaitReason::Limit && pause.told.since(since) > longest;
        let stays = match (&because, options.on_limit) {
            (Because::Limit { .. }, OnLimit::Fail) => return None,
            // It may wait, but not that long: then it does not have to where another agent can work.
            (Because::Limit { reset_at, until, .. }, OnLimit::Wait) => {
                let pause = Pause::of_limit(*reset_at, *until);
                (!is_too_long(&pause)).then_some((current, Some(pause)))
            }
            _ => None,
        };
        let mut availability = turn.availability.clone();
        availability.note(now, current, &because);
        let (next, pause) = stays.or_else(|| availability.choose(agents, now))?;
        if let Some(pause) = pause.filter(is_too_long) {
            let wait = duration(millis(pause.told.since(since)));
            let whose = if next == current { String::new() } else { format!(" for the limit of `{next}`") };
            let longest = duration(millis(longest));
            return Some(Next::Fails(format!(
                "{message} (the wait of {wait}{whose} is longer than `max_wait`, {longest})"
            )));
        }
        let (agent, next) = (current.to_owned(), next.to_owned());
        let wait = pause.map(|pause| pause.wait);
        Some(Next::Continues(StepContinues { attempt, agent, next, because, wait }))
    }
}

/// How long limits in a row, and outages, are waited for.
fn max_wait(options: &AgentOptions) -> Duration {
    Duration::from_millis(options.max_wait_ms.unwrap_or(MAX_WAIT_MS))
}

/// That an agent cannot be reached and is not waited for any more.
fn given_up(message: &str, waited: Duration, options: &AgentOptions) -> String {
    if waited.is_zero() {
        return message.to_owned();
    }
    let (waited, longest) = (duration(millis(waited)), duration(millis(max_wait(options))));
    format!("{message} (waited {waited} for the network; `max_wait` is {longest})")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
