//! Folding: the only code that changes a machine's state.

use backstay_model::event::{
    AttemptEnd, Class, CycleStarted, DecodeError, EffectFinished, EffectStarting, Event, QuestionAsked,
    QuestionClosed, QuestionKind, Resolution, RunRequested, Settled, SkipReason, StepFinished, StepSkipped,
    StepStatus, TreeOutcome, Verdict,
};
use backstay_model::{Attempt, EffectCall, EffectId, Frame, Recorded, Scope, Seq, StepId, Timestamp};

use crate::Performer;

use super::place::Place;
use super::state::{
    Files, Leaf, LeafPhase, Pass, Phase, Progress, RunEnd, RunMachine, StepPhase, StepResult,
};

/// The files that an attempt left; none if they are not known. Those that a kept tree omits have a digest of their own.
fn files_of(finished: &EffectFinished) -> Option<Files> {
    let Some(kept) = finished.after.as_ref().and_then(TreeOutcome::kept) else {
        return finished.folder.map(Files::Folder);
    };
    let tree = kept.tree.clone();
    if kept.omitted.is_empty() {
        return Some(Files::Tree(tree));
    }
    finished.folder.map(|omitted| Files::TreeAndOmitted { tree, omitted })
}

impl RunMachine {
    /// Folds one event of the run's topic. Events below or at the head were folded before and change nothing.
    ///
    /// # Errors
    /// [`DecodeError`] if the event is damaged or from a newer version; nothing was changed then.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), DecodeError> {
        if recorded.seq <= self.head {
            return Ok(());
        }
        let event = Event::decode(recorded)?;
        self.head = recorded.seq;
        match &event {
            Event::OwnerChanged(changed) => {
                self.epoch = self.epoch.max(changed.epoch);
                self.handover = recorded.seq;
            }
            Event::OwnerReleased(_)
            | Event::RunCompleted(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_) => self.handover = recorded.seq,
            _ => {}
        }
        match event.class() {
            Class::Fact => self.fold(recorded.at, &recorded.scope, &event),
            Class::Input | Class::Reopening => self.receive(recorded.seq, event),
            // A freed run is its record; nobody folds it as a machine.
            Class::Retention => {}
        }
        Ok(())
    }

    /// The head of what was folded from the log.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Takes note that the machine's own facts up to `seq` are durable: they were folded when they were decided.
    pub fn acknowledge(&mut self, seq: Seq) {
        self.head = self.head.max(seq);
    }

    /// Puts an input into the inbox. Nothing is decided by that, but a run that ended stands open again.
    pub fn receive(&mut self, seq: Seq, event: Event) {
        self.last_input = self.last_input.max(seq);
        match (&event, &self.phase) {
            (Event::RunRequested(request), Phase::Empty) => {
                self.request = Some(RunRequested::clone(request));
                self.phase = Phase::Requested;
            }
            (Event::Reopened(_), Phase::Ended(was)) => self.phase = Phase::Reopened { was: was.clone() },
            _ => {}
        }
        self.inbox.push_back((seq, event));
    }

    /// Folds one fact that was decided at `at`.
    pub(super) fn fold(&mut self, at: Timestamp, scope: &Scope, event: &Event) {
        match event {
            Event::Settled(settled) => self.fold_settled(settled),
            Event::RunStarted(_) => self.phase = Phase::Running,
            Event::RunResumed(_) => {
                self.phase = Phase::Running;
                self.end_pause(at);
                // Whoever goes on with it has looked at the passes so far.
                for state in self.steps.values_mut() {
                    state.pass.compared_from = state.pass.cycle + 1;
                }
            }
            Event::RunSuspending(suspending) => {
                self.phase =
                    Phase::Suspending { by: suspending.by.clone(), reason: suspending.reason.clone() };
            }
            Event::RunSuspended(suspended) => {
                self.paused_at = Some(at);
                self.phase = Phase::Suspended { by: suspended.by.clone(), reason: suspended.reason.clone() };
            }
            Event::RunCancelling(cancelling) => {
                self.end_pause(at);
                let (reason, finally_too) = (cancelling.reason.clone(), cancelling.finally_too);
                self.phase = Phase::Cancelling { reason, finally_too };
            }
            Event::RunCompleted(end) => {
                self.phase = Phase::Ended(RunEnd::Completed { outputs: end.outputs.clone() });
            }
            Event::RunFailed(end) => {
                let (step, reason) = (end.step.clone(), end.reason.clone());
                self.phase = Phase::Ended(RunEnd::Failed { step, reason });
            }
            Event::RunCancelled(end) => {
                self.phase = Phase::Ended(RunEnd::Cancelled { reason: end.reason.clone() });
            }
            Event::StepsReset(reset) => {
                reset.steps.iter().for_each(|step| self.fold_reset(step));
                for step in &reset.loops {
                    if let Some(state) = self.latest_place(step).and_then(|place| self.steps.get_mut(&place))
                    {
                        state.pass.begins_anew = true;
                    }
                }
            }
            Event::PlanChanged(changed) => self.fold_plan(&changed.plan),
            Event::StepsRedefined(redefined) => {
                let retired = redefined.steps.iter().filter(|step| step.redefinition.retires_results());
                retired.for_each(|step| self.retire(&step.step));
            }
            Event::QuestionAsked(asked) => {
                if let Some(place) = Place::of(scope) {
                    self.fold_asked(&place, asked);
                }
            }
            Event::QuestionClosed(closed) => self.fold_closed(closed),
            Event::BudgetRaised(raised) => self.used.raise(raised),
            Event::CheckoutBusy(busy) => self.checkout_busy = Some(busy.clone()),
            // Another owner finds out for itself.
            Event::CheckoutFree(_) | Event::OwnerChanged(_) | Event::OwnerReleased(_) => {
                self.checkout_busy = None;
            }
            // Of these the machine needs nothing: the record does.
            Event::HostSlept(_) | Event::StepStalled(_) | Event::StepTimedOut(_) | Event::LoopEnded(_) => {}
            Event::StepStarted(_)
            | Event::StepSkipped(_)
            | Event::StepFinished(_)
            | Event::StepRetryScheduled(_)
            | Event::StepContinues(_)
            | Event::AgentSaid(_)
            | Event::TimerFired(_)
            | Event::CycleStarted(_)
            | Event::EffectStarting(_)
            | Event::EffectRunning(_)
            | Event::EffectAttached(_)
            | Event::EffectStuck(_)
            | Event::EffectFinished(_)
            | Event::EffectLost(_)
            | Event::EffectInDoubt(_)
            | Event::EffectResolved(_) => {
                if let Some(place) = Place::of(scope) {
                    self.fold_step(at, &place, event);
                }
            }
            // Inputs come by `receive`, and what is freed is not folded.
            Event::RunRequested(_)
            | Event::SuspendRequested(_)
            | Event::ResumeRequested(_)
            | Event::CancelRequested(_)
            | Event::SkipRequested(_)
            | Event::QuestionAnswered(_)
            | Event::AskRequested(_)
            | Event::Intervened(_)
            | Event::Reopened(_)
            | Event::Trimmed(_) => {}
        }
    }

    /// The time in which the run was suspended is no step's.
    fn end_pause(&mut self, at: Timestamp) {
        let Some(paused_at) = self.paused_at.take() else { return };
        let open = self.steps.values_mut().filter(|state| !matches!(state.phase, StepPhase::Done(_)));
        for started_at in open.filter_map(|state| state.started_at.as_mut()) {
            *started_at = started_at.plus(at.since(paused_at));
        }
    }

    fn fold_asked(&mut self, place: &Place, asked: &QuestionAsked) {
        let question = asked.question;
        match asked.kind {
            // That the attempt is in doubt was said before; and who asks while it works goes on working.
            QuestionKind::AfterCrash | QuestionKind::Asked => {}
            QuestionKind::LoopExhausted => {
                if let Some(state) = self.steps.get_mut(place) {
                    state.pass.question = Some(question);
                }
            }
            QuestionKind::BudgetUsed => self.set_leaf_phase(place, LeafPhase::Held { question }),
        }
        self.questions.insert(question, (place.clone(), asked.clone()));
    }

    fn fold_closed(&mut self, closed: &QuestionClosed) {
        if let Some((place, _)) = self.questions.remove(&closed.question) {
            if let Some(state) = self.steps.get_mut(&place) {
                state.pass.question = None;
            }
            let held = LeafPhase::Held { question: closed.question };
            if self.leaf(&place).is_some_and(|leaf| leaf.phase == held) {
                self.set_leaf_phase(&place, LeafPhase::Working(Progress::Wanted));
            }
        }
        self.answered.insert(closed.question, closed.answered_by);
    }

    /// A verdict takes its input out of the inbox; an accepted wish to leave out a step in flight stays with the step.
    fn fold_settled(&mut self, settled: &Settled) {
        let Some(index) = self.inbox.iter().position(|(seq, _)| *seq == settled.input) else { return };
        let Some((seq, input)) = self.inbox.remove(index) else { return };
        if settled.verdict != Verdict::Accepted {
            return;
        }
        if let Event::SkipRequested(wish) = &input
            && let Some(place) = self.latest_place(&wish.skip.step)
            && let Some(leaf) = self.leaf_mut(&place)
        {
            leaf.skip = Some((seq, wish.skip.output.clone()));
        } else if let Event::Intervened(intervened) = &input
            && let Some(place) = self.latest_place(&intervened.step)
            && let Some(leaf) = self.leaf_mut(&place)
        {
            leaf.agent.intervened = true;
        }
    }

    /// The instance of `step` that was worked on last. Folding knows no plan: of a step in a loop it is the latest pass.
    fn latest_place(&self, step: &StepId) -> Option<Place> {
        let first = Place { step: step.clone(), frames: Vec::new() };
        let instances = self.steps.range(first..).take_while(|(place, _)| place.step == *step);
        instances.last().map(|(place, _)| place.clone())
    }

    fn fold_reset(&mut self, step: &StepId) {
        let Some(place) = self.latest_place(step) else { return };
        self.active.remove(&place);
        if self.failed.as_ref() == Some(&place) {
            self.failed = None;
        }
        if let Some(state) = self.steps.get_mut(&place) {
            state.phase = StepPhase::Waiting;
            state.started_at = None;
            state.artifacts.clear();
            state.log = None;
        }
    }

    /// Results of the passes before the last one are not needed any more.
    fn fold_cycle(&mut self, at: Timestamp, place: &Place, started: &CycleStarted) {
        let state = self.state_of(place);
        state.pass = Pass {
            cycle: started.cycle,
            nth: started.nth,
            is_check: started.check,
            began_at: Some(at),
            unchanged_in_a_row: started.unchanged_in_a_row,
            compared_from: state.pass.compared_from,
            begins_anew: false,
            question: None,
        };
        let depth = place.frames.len();
        self.steps.retain(|inner, _| match inner.frames.get(depth) {
            Some(Frame::Cycle { step, cycle })
                if *step == place.step && inner.frames[..depth] == place.frames[..] =>
            {
                cycle.saturating_add(1) >= started.cycle
            }
            _ => true,
        });
    }

    fn fold_step(&mut self, at: Timestamp, place: &Place, event: &Event) {
        // Whatever is told of a step ends that nothing could be told.
        if let Some(state) = self.steps.get_mut(place) {
            state.stuck = None;
        }
        match event {
            Event::StepStarted(started) => {
                let state = self.state_of(place);
                (state.started_at, state.has_begun) = (Some(at), false);
                if started.agent.is_none() {
                    state.phase = StepPhase::Open;
                    return;
                }
                state.attempt = state.attempt.next();
                state.phase = StepPhase::Active(Leaf {
                    phase: LeafPhase::Working(Progress::Wanted),
                    failures: 0,
                    losses: 0,
                    skip: None,
                    agent: Box::default(),
                });
                self.active.insert(place.clone());
            }
            Event::CycleStarted(started) => self.fold_cycle(at, place, started),
            Event::StepSkipped(skipped) => self.fold_skipped(place, skipped),
            Event::StepFinished(finished) => self.fold_finished(place, finished),
            Event::StepRetryScheduled(retry) => {
                self.want_next_attempt(
                    place,
                    LeafPhase::Backoff { due_at: retry.due_at, after: retry.failure },
                );
                if let Some(leaf) = self.leaf_mut(place) {
                    leaf.failures += 1;
                    leaf.agent.fold_retry(retry.failure);
                }
            }
            Event::StepContinues(continues) => {
                let phase = match continues.wait {
                    Some(wait) => {
                        LeafPhase::Backoff { due_at: wait.until, after: continues.because.failure() }
                    }
                    None => LeafPhase::Working(Progress::Wanted),
                };
                self.want_next_attempt(place, phase);
                if let Some(leaf) = self.leaf_mut(place) {
                    leaf.agent.fold_continues(at, continues);
                }
            }
            Event::AgentSaid(said) => self.fold_said(place, said),
            Event::TimerFired(fired) => {
                self.set_leaf_phase(place, LeafPhase::Working(Progress::Wanted));
                if let Some(leaf) = self.leaf_mut(place) {
                    leaf.agent.fold_fired(fired);
                }
            }
            Event::EffectStarting(starting) => self.fold_starting(at, place, starting),
            Event::EffectRunning(running) => {
                if let Some(state) = self.steps.get_mut(place) {
                    state.running = Some((running.effect.call, running.attempt));
                    if running.effect.call == EffectCall::Main {
                        state.folder = Some(running.folder.clone());
                    }
                }
                if let Some(session) = running.agent.as_ref().and_then(|agent| agent.session.as_ref()) {
                    self.fold_session(place, session);
                }
            }
            Event::EffectFinished(finished) if finished.effect.call == EffectCall::Main => {
                if let Some(state) = self.steps.get_mut(place) {
                    state.log = finished.log.clone();
                    state.artifacts = finished.artifacts.clone();
                    state.files = files_of(finished);
                }
                self.set_leaf_phase(place, LeafPhase::Reported);
                if let Some(leaf) = self.leaf_mut(place) {
                    leaf.losses = if finished.unasked { leaf.losses + 1 } else { 0 };
                }
            }
            Event::EffectFinished(finished)
                // A probe that was interrupted is asked again; any other end of it is resolved in the same append.
                if finished.end == AttemptEnd::Interrupted => {
                    let losses = if finished.unasked { self.probe_losses(place) + 1 } else { 0 };
                    self.want_next_probe(place, losses);
                }
            Event::EffectLost(lost) => self.fold_lost(place, &lost.effect),
            Event::EffectStuck(stuck) => {
                if let Some(state) = self.steps.get_mut(place) {
                    state.stuck = Some(stuck.message.clone());
                }
            }
            Event::EffectInDoubt(doubt) => match doubt.question {
                Some(question) => {
                    self.drop_wanted_probe(place);
                    self.set_leaf_phase(place, LeafPhase::Doubt { question });
                }
                None => self.want_next_probe(place, 0),
            },
            Event::EffectResolved(resolved) => match resolved.resolution {
                Resolution::NotDone => {
                    self.want_next_attempt(place, LeafPhase::Working(Progress::Wanted));
                    if let Some(leaf) = self.leaf_mut(place)
                        && resolved.by.is_some()
                    {
                        leaf.losses = 0;
                    }
                }
                Resolution::Done { .. } | Resolution::Failed => {
                    self.set_leaf_phase(place, LeafPhase::Reported)
                }
            },
            _ => {}
        }
    }

    fn fold_skipped(&mut self, place: &Place, skipped: &StepSkipped) {
        self.leave(place);
        let held_back = match skipped.reason {
            SkipReason::Condition { .. } | SkipReason::Asked { .. } | SkipReason::LoopDone { .. } => false,
            SkipReason::Upstream { .. } | SkipReason::RunEnding => true,
            SkipReason::Group { ref step } => {
                self.result(&place.sibling(step)).is_none_or(|group| group.held_back)
            }
        };
        let state = self.state_of(place);
        state.phase = StepPhase::Done(StepResult {
            status: StepStatus::Skipped,
            exit_code: None,
            failure: None,
            summary: skipped.reason.to_string(),
            output: skipped.output.clone(),
            held_back,
        });
    }

    fn fold_finished(&mut self, place: &Place, finished: &StepFinished) {
        self.leave(place);
        if finished.status == StepStatus::Failed && self.failed.is_none() {
            self.failed = Some(place.clone());
        }
        let state = self.state_of(place);
        state.phase = StepPhase::Done(StepResult {
            status: finished.status,
            exit_code: finished.exit_code,
            failure: finished.failure,
            summary: finished.summary.clone(),
            output: finished.output.clone(),
            held_back: false,
        });
    }

    /// The step is worked on no more. The number of an attempt that did not begin is free again.
    fn leave(&mut self, place: &Place) {
        self.active.remove(place);
        self.drop_wanted_probe(place);
        if let Some(state) = self.steps.get_mut(place) {
            state.attempt = state.last_begun();
        }
    }

    /// The number of a probe that was wanted and did not begin is free again.
    fn drop_wanted_probe(&mut self, place: &Place) {
        let Some(state) = self.steps.get_mut(place) else { return };
        if let StepPhase::Active(Leaf {
            phase: LeafPhase::Probing { progress: Progress::Wanted, .. }, ..
        }) = state.phase
        {
            state.probe_attempt = Attempt(state.probe_attempt.0.saturating_sub(1));
        }
    }

    fn fold_starting(&mut self, at: Timestamp, place: &Place, starting: &EffectStarting) {
        if let Some(state) = self.steps.get_mut(place) {
            if !std::mem::replace(&mut state.has_begun, true) {
                state.started_at = Some(at);
            }
            state.begun_on = Some(Performer { host: starting.host.clone(), boot: starting.boot.clone() });
        }
        let call = starting.effect.call;
        let Some(leaf) = self.leaf_mut(place) else { return };
        if call == EffectCall::Main {
            leaf.agent.fold_starting(starting.agent.as_ref());
        }
        match (call, &mut leaf.phase) {
            (EffectCall::Main, LeafPhase::Working(progress))
            | (EffectCall::Probe, LeafPhase::Probing { progress, .. }) => *progress = Progress::Begun,
            _ => {}
        }
    }

    /// What provably did not begin counts as a loss too: what never comes to begin must not go round for ever.
    /// What follows for the step is decided in the same append.
    fn fold_lost(&mut self, place: &Place, effect: &EffectId) {
        match effect.call {
            EffectCall::Main => {
                self.set_leaf_phase(place, LeafPhase::Reported);
                if let Some(leaf) = self.leaf_mut(place) {
                    leaf.losses += 1;
                }
            }
            EffectCall::Probe => {
                self.want_next_probe(place, self.probe_losses(place) + 1);
            }
        }
    }

    fn set_leaf_phase(&mut self, place: &Place, phase: LeafPhase) {
        if let Some(leaf) = self.leaf_mut(place) {
            leaf.phase = phase;
        }
    }

    fn want_next_attempt(&mut self, place: &Place, phase: LeafPhase) {
        if self.leaf(place).is_none() {
            return;
        }
        if let Some(state) = self.steps.get_mut(place) {
            state.attempt = state.attempt.next();
        }
        self.set_leaf_phase(place, phase);
    }

    fn want_next_probe(&mut self, place: &Place, losses: u32) {
        let Some(state) = self.steps.get_mut(place) else { return };
        state.probe_attempt = state.probe_attempt.next();
        let attempt: Attempt = state.probe_attempt;
        self.set_leaf_phase(place, LeafPhase::Probing { attempt, progress: Progress::Wanted, losses });
    }
}
