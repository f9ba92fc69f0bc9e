//! The ledger of outside work: the only place that knows what is wanted, in flight, lost or in doubt, for every class of
//! effect. Steps, turns and workers hold the ids of their effects and no phases of their own.
//!
//! ```text
//!            want            starting         running         finished, lost
//! settled ----------> wanted ---------> starting ------> running ------------> reported
//!    ^                  ^                                                          |
//!    |  settle          |  resolved as not done, retry, a limit, a timer           |
//!    +------------------+------------------------------- in doubt <---------------+
//! ```
//!
//! What follows from a report is decided in the same append, so no log ends with an effect that is `reported`.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::event::{
    AttemptEnd, EffectFinished, EffectInDoubt, EffectLost, EffectResolved, EffectStarting, Resolution, SaidOn,
};
use backstay_model::{Attempt, EffectCall, EffectId, QuestionId, Root, Scope, StepId, Timestamp};

use crate::EffectHost;

/// What an effect that is wanted waits for before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing: it begins where somebody can perform it.
    Nothing,
    /// A moment.
    Until(Timestamp),
    /// A person's answer.
    Answer(QuestionId),
}

/// How far an effect has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EffectPhase {
    /// Nothing of it is wanted or in flight.
    #[default]
    Settled,
    /// Its next attempt is wanted and has not begun.
    Wanted(Hold),
    /// The start of its attempt is durable: it may have begun.
    Starting,
    /// It has begun, and it is known how to find it.
    Running,
    /// The report of its attempt is in.
    Reported,
    /// Nobody knows whether it happened: a person is asked, or its probe.
    InDoubt(Option<QuestionId>),
}

impl EffectPhase {
    /// Whether an attempt has begun and its end is not known.
    pub(crate) fn is_in_flight(self) -> bool {
        matches!(self, EffectPhase::Starting | EffectPhase::Running)
    }
}

/// How much of the output of an attempt the log knows: the offsets behind the last lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputRead {
    /// In its stream.
    pub stdout: u64,
    /// Beside it.
    pub stderr: u64,
}

impl OutputRead {
    /// The offset in one of them.
    #[must_use]
    pub fn on(&self, on: SaidOn) -> u64 {
        match on {
            SaidOn::Stdout => self.stdout,
            SaidOn::Stderr => self.stderr,
        }
    }
}

/// The state of one effect, and what stays of it over its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EffectState {
    phase: EffectPhase,
    /// The last attempt that was begun or is wanted; 0 before the first. It never goes back over a begun one.
    attempt: Attempt,
    /// The last attempt that was known to run.
    known_to_run: Option<Attempt>,
    /// The machine on which the last attempt was begun.
    host: Option<EffectHost>,
    /// Attempts in a row that were lost, or interrupted although nobody had asked for that.
    losses: u32,
    /// Why nobody can say for now what becomes of it.
    stuck: Option<String>,
    /// The last attempt of whose output something is known, and how much.
    output_read: Option<(Attempt, OutputRead)>,
}

/// All effects of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EffectLedger {
    root: Root,
    effects: BTreeMap<EffectId, EffectState>,
    /// Those that are not settled: what deciding costs is what is open, not what there ever was.
    open: BTreeSet<EffectId>,
    /// Those that can begin.
    free: BTreeSet<EffectId>,
    /// Those that wait for a moment, by that.
    timers: BTreeSet<(Timestamp, EffectId)>,
    /// Those whose wait for a moment a person ended, by that moment; their timers have not fired yet.
    ended_waits: BTreeSet<(Timestamp, EffectId)>,
}

/// Reading.
impl EffectLedger {
    pub(crate) fn new(root: Root) -> EffectLedger {
        EffectLedger {
            root,
            effects: BTreeMap::new(),
            open: BTreeSet::new(),
            free: BTreeSet::new(),
            timers: BTreeSet::new(),
            ended_waits: BTreeSet::new(),
        }
    }

    /// The id of a piece of work of this topic.
    pub(crate) fn effect(&self, scope: Scope, call: EffectCall) -> EffectId {
        EffectId { root: self.root, scope, call }
    }

    pub(crate) fn phase(&self, effect: &EffectId) -> EffectPhase {
        self.effects.get(effect).map(|state| state.phase).unwrap_or_default()
    }

    /// The last attempt that was begun or is wanted; 0 before the first.
    pub(crate) fn attempt(&self, effect: &EffectId) -> Attempt {
        self.effects.get(effect).map_or(Attempt(0), |state| state.attempt)
    }

    /// The last attempt whose start is durable; 0 before the first.
    pub(crate) fn last_begun(&self, effect: &EffectId) -> Attempt {
        self.effects.get(effect).map_or(Attempt(0), EffectState::last_begun)
    }

    /// Whether this attempt is the one in flight.
    pub(crate) fn is_in_flight(&self, effect: &EffectId, attempt: Attempt) -> bool {
        self.effects.get(effect).is_some_and(|state| state.phase.is_in_flight() && state.attempt == attempt)
    }

    /// Whether the log saw this attempt run.
    pub(crate) fn was_running(&self, effect: &EffectId, attempt: Attempt) -> bool {
        self.effects.get(effect).is_some_and(|state| state.known_to_run == Some(attempt))
    }

    /// Attempts in a row that were lost, or interrupted although nobody had asked for that.
    pub(crate) fn losses(&self, effect: &EffectId) -> u32 {
        self.effects.get(effect).map_or(0, |state| state.losses)
    }

    /// Where its last attempt was begun, if one was.
    pub(crate) fn host(&self, effect: &EffectId) -> Option<&EffectHost> {
        self.effects.get(effect)?.host.as_ref()
    }

    /// Why nobody can say for now what becomes of it.
    pub(crate) fn stuck(&self, effect: &EffectId) -> Option<&str> {
        self.effects.get(effect)?.stuck.as_deref()
    }

    /// How much of the output of an attempt the log knows.
    pub(crate) fn output_read(&self, effect: &EffectId, attempt: Attempt) -> OutputRead {
        let known = self.effects.get(effect).and_then(|state| state.output_read);
        known.filter(|(read, _)| *read == attempt).map(|(_, read)| read).unwrap_or_default()
    }

    /// The effects that are not settled, with their phases.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&EffectId, EffectPhase)> {
        self.open.iter().map(|effect| (effect, self.phase(effect)))
    }

    /// Whether an effect is not settled.
    pub(crate) fn is_any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether an effect is in flight, or its end is being decided.
    pub(crate) fn is_any_in_flight(&self) -> bool {
        self.open().any(|(_, phase)| phase.is_in_flight() || phase == EffectPhase::Reported)
    }

    /// Whether an effect of `scope` is in flight, or its end is being decided.
    pub(crate) fn is_busy(&self, scope: &Scope) -> bool {
        self.of_scope(scope).any(|(_, phase)| phase.is_in_flight() || phase == EffectPhase::Reported)
    }

    /// The effects that can begin, with their attempts.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (&EffectId, Attempt)> {
        self.free.iter().map(|effect| (effect, self.attempt(effect)))
    }

    /// The effects that wait for a moment, the first one first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&EffectId, Timestamp)> {
        self.timers.iter().map(|(due_at, effect)| (effect, *due_at))
    }

    /// The effects whose wait is over at `now`, with the moments that they waited for.
    pub(crate) fn waited(&self, now: Timestamp) -> impl Iterator<Item = (&EffectId, Timestamp)> {
        let ended = self.ended_waits.iter().map(|(due_at, effect)| (effect, *due_at));
        ended.chain(self.waiting().take_while(move |(_, due_at)| *due_at <= now))
    }

    /// Whether a person ended waits whose timers have not fired yet.
    pub(crate) fn has_ended_waits(&self) -> bool {
        !self.ended_waits.is_empty()
    }

    /// The effects of `scope` that are not settled, with their phases.
    fn of_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (&'a EffectId, EffectPhase)> {
        let from = self.effect(scope.clone(), EffectCall::Main);
        let of_scope = self.open.range(from..).take_while(move |effect| effect.scope == *scope);
        of_scope.map(|effect| (effect, self.phase(effect)))
    }
}

impl EffectState {
    fn last_begun(&self) -> Attempt {
        match self.phase {
            EffectPhase::Wanted(_) => Attempt(self.attempt.0.saturating_sub(1)),
            _ => self.attempt,
        }
    }
}

/// Folding: the only code that changes the ledger.
impl EffectLedger {
    /// The next attempt of `effect` is wanted. Where one is wanted already, it waits for what `hold` says.
    pub(crate) fn want(&mut self, effect: &EffectId, hold: Hold) {
        let state = self.effects.entry(effect.clone()).or_default();
        if !matches!(state.phase, EffectPhase::Wanted(_)) {
            state.attempt = state.attempt.next();
        }
        self.enter(effect, EffectPhase::Wanted(hold));
    }

    /// The only place that changes a phase; nothing happens to an effect that was never wanted.
    fn enter(&mut self, effect: &EffectId, phase: EffectPhase) {
        let Some(state) = self.effects.get_mut(effect) else { return };
        match std::mem::replace(&mut state.phase, phase) {
            EffectPhase::Wanted(Hold::Nothing) => {
                self.free.remove(effect);
            }
            EffectPhase::Wanted(Hold::Until(due_at)) => {
                let timer = (due_at, effect.clone());
                self.timers.remove(&timer);
                self.ended_waits.remove(&timer);
            }
            EffectPhase::Settled => {
                self.open.insert(effect.clone());
            }
            _ => {}
        }
        match phase {
            EffectPhase::Wanted(Hold::Nothing) => {
                self.free.insert(effect.clone());
            }
            EffectPhase::Wanted(Hold::Until(due_at)) => {
                self.timers.insert((due_at, effect.clone()));
            }
            EffectPhase::Settled => {
                self.open.remove(effect);
            }
            _ => {}
        }
    }

    /// Every wait for a moment is over from here, whatever its moment is.
    pub(crate) fn end_waits(&mut self) {
        self.ended_waits.append(&mut self.timers);
    }

    /// What is wanted waits for what `hold` says from here.
    pub(crate) fn hold(&mut self, effect: &EffectId, hold: Hold) {
        if let EffectPhase::Wanted(_) = self.phase(effect) {
            self.want(effect, hold);
        }
    }

    /// Nothing of `scope` is wanted any more.
    pub(crate) fn settle_scope(&mut self, scope: &Scope) {
        let open: Vec<EffectId> = self.of_scope(scope).map(|(effect, _)| effect.clone()).collect();
        open.iter().for_each(|effect| self.settle(effect));
    }

    /// Nothing of `effect` is wanted any more. The number of an attempt that did not begin is free again.
    fn settle(&mut self, effect: &EffectId) {
        if let Some(state) = self.effects.get_mut(effect) {
            state.attempt = state.last_begun();
        }
        self.enter(effect, EffectPhase::Settled);
    }

    /// Whoever begins the work anew has no losses in a row.
    pub(crate) fn forgive_losses(&mut self, effect: &EffectId) {
        if let Some(state) = self.effects.get_mut(effect) {
            state.losses = 0;
        }
    }

    /// Something is told of the work of `scope`, so that it is not stuck.
    pub(crate) fn unstick(&mut self, scope: &Scope) {
        let stuck: Vec<EffectId> = self.of_scope(scope).map(|(effect, _)| effect.clone()).collect();
        for effect in stuck {
            if let Some(state) = self.effects.get_mut(&effect) {
                state.stuck = None;
            }
        }
    }

    /// Nothing of any instance of `step` is wanted any more.
    pub(crate) fn settle_step(&mut self, step: &StepId) {
        let is_its = |effect: &&EffectId| effect.scope.step_id() == Some(step);
        let open: Vec<EffectId> = self.open.iter().filter(is_its).cloned().collect();
        open.iter().for_each(|effect| self.settle(effect));
    }

    pub(crate) fn fold_stuck(&mut self, effect: &EffectId, message: &str) {
        if let Some(state) = self.effects.get_mut(effect) {
            state.stuck = Some(message.to_owned());
        }
    }

    pub(crate) fn fold_starting(&mut self, starting: &EffectStarting) {
        let Some(state) = self.effects.get_mut(&starting.effect) else { return };
        state.host = Some(EffectHost { host: starting.host.clone(), boot: starting.boot.clone() });
        if let EffectPhase::Wanted(_) = state.phase {
            self.enter(&starting.effect, EffectPhase::Starting);
        }
    }

    pub(crate) fn fold_running(&mut self, effect: &EffectId, attempt: Attempt) {
        let Some(state) = self.effects.get_mut(effect) else { return };
        state.known_to_run = Some(attempt);
        if state.phase == EffectPhase::Starting {
            self.enter(effect, EffectPhase::Running);
        }
    }

    /// A line of the output of an attempt is known, up to the offset `end`.
    pub(crate) fn fold_output(&mut self, effect: &EffectId, attempt: Attempt, on: SaidOn, end: u64) {
        let mut read = self.output_read(effect, attempt);
        match on {
            SaidOn::Stdout => read.stdout = end,
            SaidOn::Stderr => read.stderr = end,
        }
        if let Some(state) = self.effects.get_mut(effect) {
            state.output_read = Some((attempt, read));
        }
    }

    /// A probe that was interrupted is asked again: any other end of it is resolved in the same append.
    pub(crate) fn fold_finished(&mut self, finished: &EffectFinished) {
        let Some(state) = self.effects.get_mut(&finished.effect) else { return };
        state.losses = if finished.unrequested { state.losses + 1 } else { 0 };
        self.enter(&finished.effect, EffectPhase::Reported);
        if finished.effect.call == EffectCall::Probe && finished.end == AttemptEnd::Interrupted {
            self.want(&finished.effect, Hold::Nothing);
        }
    }

    /// What provably did not begin counts as a loss too: what never comes to begin must not be tried for ever.
    pub(crate) fn fold_lost(&mut self, lost: &EffectLost) {
        let Some(state) = self.effects.get_mut(&lost.effect) else { return };
        state.losses += 1;
        self.enter(&lost.effect, EffectPhase::Reported);
        if lost.effect.call == EffectCall::Probe {
            self.want(&lost.effect, Hold::Nothing);
        }
    }

    pub(crate) fn fold_in_doubt(&mut self, doubt: &EffectInDoubt) {
        self.enter(&doubt.effect, EffectPhase::InDoubt(doubt.question));
        let probe = probe_of(&doubt.effect);
        if doubt.question.is_some() {
            self.settle(&probe);
        } else {
            self.forgive_losses(&probe);
            self.want(&probe, Hold::Nothing);
        }
    }

    pub(crate) fn fold_resolved(&mut self, resolved: &EffectResolved) {
        self.settle(&probe_of(&resolved.effect));
        match resolved.resolution {
            Resolution::NotDone => {
                if resolved.by.is_some() {
                    self.forgive_losses(&resolved.effect);
                }
                self.want(&resolved.effect, Hold::Nothing);
            }
            Resolution::Done { .. } | Resolution::Failed => {
                self.enter(&resolved.effect, EffectPhase::Reported);
            }
        }
    }

    /// Lets go of the effects of which nothing can be asked any more.
    pub(crate) fn forget(&mut self, is_over: impl Fn(&Scope) -> bool) {
        self.effects.retain(|effect, state| state.phase != EffectPhase::Settled || !is_over(&effect.scope));
    }
}

/// The effect that can tell whether `effect` happened.
fn probe_of(effect: &EffectId) -> EffectId {
    EffectId { call: EffectCall::Probe, ..effect.clone() }
}
