//! The events of a run's topic: what was said and what was decided. Names and fields are frozen once stored.
//!
//! An event is stored as its [`Kind`] in a column of its own and a JSON payload that begins with its schema version
//! `v`. A change of meaning raises the version of that kind and keeps reading the old one; golden files of each
//! version are in `tests/golden/`.

mod agent;
mod effect;
mod live;
mod ownership;
mod question;
mod retention;
mod run;
mod step;
mod tree;

use serde::{Deserialize, Serialize};

pub use agent::{
    Access, AgentRunning, AgentSaid, AgentStarting, AgentWait, Because, Said, SaidOn, SessionWish,
    StepContinues, Tokens, Usage, UsageSpan, WaitReason, session_name,
};
pub use effect::{
    AttemptEnd, EffectAttached, EffectClass, EffectFinished, EffectInDoubt, EffectLost, EffectResolved,
    EffectRunning, EffectStarting, EffectStuck, FailureClass, KeptTree, LostEvidence, Resolution, Spool,
};
pub use ownership::{ClaimReason, OwnerChanged, OwnerReleased};
pub use question::{Answer, AskRequested, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption};
pub use retention::Trimmed;
pub use run::{
    Actor, BudgetRaised, CancelRequested, CheckoutBusy, CheckoutFree, HostSlept, Intervened, PlanChanged,
    PlanRef, QuestionAnswered, Redefinition, RefusalCode, Reopened, ResumeRequested, RunCancelled,
    RunCancelling, RunCompleted, RunFailed, RunRequested, RunResumed, RunStarted, RunSuspended,
    RunSuspending, Settled, SkipRequested, StepRedefined, StepSkip, StepsRedefined, SuspendReason,
    SuspendRequested, Verdict,
};
pub use step::{
    CycleStarted, Heartbeat, LoopEnd, LoopEnded, OutputState, SkipReason, StepFinished, StepRetryScheduled,
    StepSkipped, StepStalled, StepStarted, StepStatus, StepTimedOut, StepsReset, TimeBudget, TimerFired,
};

pub use tree::{OmissionReason, OmittedFile, OmittedFiles, TreeOutcome, TreeProblem};

use crate::{InvalidPayload, Kind, Payload, Recorded, Seq};

/// Who may append an event of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The owner decided it.
    Fact,
    /// Anybody may say it.
    Input,
    /// Anybody may say it, and only of a topic that has ended.
    Reopening,
    /// Whoever frees what a topic that has ended takes.
    Retention,
}

/// A stored event cannot be understood by this version of Backstay.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its kind is not known here.
    #[error("event {seq} of {topic} is of kind `{kind}`, which this version does not know")]
    UnknownKind {
        /// Whose event.
        topic: crate::Topic,
        /// Which event.
        seq: Seq,
        /// Its kind.
        kind: Kind,
    },
    /// Its schema is newer than this version.
    #[error("event {seq} of {topic} ({kind}) has schema {found}, this version reads up to {known}")]
    NewerVersion {
        /// Whose event.
        topic: crate::Topic,
        /// Which event.
        seq: Seq,
        /// Its kind.
        kind: Kind,
        /// Its schema version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// Its payload is damaged.
    #[error("event {seq} of {topic} ({kind}) cannot be decoded")]
    Payload {
        /// Whose event.
        topic: crate::Topic,
        /// Which event.
        seq: Seq,
        /// Its kind.
        kind: Kind,
        /// What the decoder says.
        source: InvalidPayload,
    },
}

/// A payload with its schema version in front.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($body:ty) = $name:literal, v $version:literal, $class:ident;)*) => {
        /// An event of a run's topic.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $variant($body),)*
        }

        impl Event {
            /// The stored names of all kinds, in the order of their declaration.
            pub const KINDS: &'static [&'static str] = &[$($name),*];

            /// The kind, as stored.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Event::$variant(_) => Kind::new($name),)* }
            }

            /// Who may append it.
            #[must_use]
            pub const fn class(&self) -> Class {
                match self { $(Event::$variant(_) => Class::$class,)* }
            }

            /// The payload, as stored.
            ///
            /// # Errors
            /// [`InvalidPayload`] if the event has no JSON form; no event that this crate declares is so.
            pub fn encode(&self) -> Result<Payload, InvalidPayload> {
                match self { $(Event::$variant(body) => Payload::encode(&Versioned { v: $version, body }),)* }
            }

            /// Reads a stored event.
            ///
            /// # Errors
            /// [`DecodeError`] if the kind is unknown, the schema newer than this version, or the payload damaged.
            pub fn decode(recorded: &Recorded) -> Result<Event, DecodeError> {
                let damaged = |source| DecodeError::Payload {
                    topic: recorded.topic.clone(),
                    seq: recorded.seq,
                    kind: recorded.kind.clone(),
                    source,
                };
                match recorded.kind.as_str() {
                    $($name => match recorded.payload.decode::<Versioned<$body>>() {
                        Ok(versioned) if versioned.v <= $version => Ok(Event::$variant(versioned.body)),
                        decoded => Err(match recorded.payload.decode::<VersionOnly>() {
                            Ok(VersionOnly { v }) if v > $version => newer(recorded, v, $version),
                            _ => match decoded { Err(source) => damaged(source), Ok(versioned) => newer(recorded, versioned.v, $version) },
                        }),
                    },)*
                    _ => Err(DecodeError::UnknownKind {
                        topic: recorded.topic.clone(),
                        seq: recorded.seq,
                        kind: recorded.kind.clone(),
                    }),
                }
            }
        }

        $(impl From<$body> for Event {
            fn from(body: $body) -> Event {
                Event::$variant(body)
            }
        })*
    };
}

fn newer(recorded: &Recorded, found: u32, known: u32) -> DecodeError {
    DecodeError::NewerVersion {
        topic: recorded.topic.clone(),
        seq: recorded.seq,
        kind: recorded.kind.clone(),
        found,
        known,
    }
}

events! {
    /// Somebody wants a run; always the first event of its topic.
    RunRequested(RunRequested) = "run_requested", v 1, Input;
    /// Somebody wants the run to stand still.
    SuspendRequested(SuspendRequested) = "suspend_requested", v 1, Input;
    /// Somebody wants the run to go on.
    ResumeRequested(ResumeRequested) = "resume_requested", v 1, Input;
    /// Somebody wants the run to end.
    CancelRequested(CancelRequested) = "cancel_requested", v 1, Input;
    /// Somebody wants a step left out.
    SkipRequested(SkipRequested) = "skip_requested", v 1, Input;
    /// Somebody answers a question.
    QuestionAnswered(QuestionAnswered) = "question_answered", v 1, Input;
    /// A step asks something while it works.
    AskRequested(AskRequested) = "ask_requested", v 1, Input;
    /// A person worked in the session of a step's agent while the run stood still.
    Intervened(Intervened) = "intervened", v 1, Input;
    /// Somebody wants an ended run to go on from a step.
    Reopened(Reopened) = "reopened", v 1, Reopening;

    /// A process became the topic's owner.
    OwnerChanged(OwnerChanged) = "owner_changed", v 1, Fact;
    /// The owner gave the topic up.
    OwnerReleased(OwnerReleased) = "owner_released", v 1, Fact;
    /// The owner gave its verdict on an input.
    Settled(Settled) = "settled", v 1, Fact;

    /// The run began.
    RunStarted(RunStarted) = "run_started", v 1, Fact;
    /// The run is coming to a stand: what is in flight is being stopped.
    RunSuspending(RunSuspending) = "run_suspending", v 1, Fact;
    /// The run stands still; nothing is in flight.
    RunSuspended(RunSuspended) = "run_suspended", v 1, Fact;
    /// The run goes on.
    RunResumed(RunResumed) = "run_resumed", v 1, Fact;
    /// The run is being cancelled: what is in flight is being stopped.
    RunCancelling(RunCancelling) = "run_cancelling", v 1, Fact;
    /// The run ended as it should.
    RunCompleted(RunCompleted) = "run_completed", v 1, Fact;
    /// The run ended with a failure.
    RunFailed(RunFailed) = "run_failed", v 1, Fact;
    /// The run ended because somebody wanted it to.
    RunCancelled(RunCancelled) = "run_cancelled", v 1, Fact;
    /// The host slept while the run was owned.
    HostSlept(HostSlept) = "host_slept", v 1, Fact;
    /// The run waits until another one has done with the checkout that both work in.
    CheckoutBusy(CheckoutBusy) = "checkout_busy", v 1, Fact;
    /// The run has the checkout that it waited for.
    CheckoutFree(CheckoutFree) = "checkout_free", v 1, Fact;

    /// The run goes on by another plan.
    PlanChanged(PlanChanged) = "plan_changed", v 1, Fact;
    /// What a new plan makes of steps of the old one.
    StepsRedefined(StepsRedefined) = "steps_redefined", v 1, Fact;

    /// A step's turn came.
    StepStarted(StepStarted) = "step_started", v 1, Fact;
    /// A step was left out.
    StepSkipped(StepSkipped) = "step_skipped", v 1, Fact;
    /// A step has its result.
    StepFinished(StepFinished) = "step_finished", v 1, Fact;
    /// A failed attempt will be followed by another one.
    StepRetryScheduled(StepRetryScheduled) = "step_retry_scheduled", v 1, Fact;
    /// An attempt of an agent will be followed by another one that counts against nothing.
    StepContinues(StepContinues) = "step_continues", v 1, Fact;
    /// A step has been silent for long.
    StepStalled(StepStalled) = "step_stalled", v 1, Fact;
    /// A step used up one of its time budgets.
    StepTimedOut(StepTimedOut) = "step_timed_out", v 1, Fact;
    /// Steps are to be done anew.
    StepsReset(StepsReset) = "steps_reset", v 1, Fact;
    /// A loop begins a pass.
    CycleStarted(CycleStarted) = "cycle_started", v 1, Fact;
    /// A loop ended by itself.
    LoopEnded(LoopEnded) = "loop_ended", v 1, Fact;
    /// A moment that a step waited for has come.
    TimerFired(TimerFired) = "timer_fired", v 1, Fact;

    /// Outside work is about to begin.
    EffectStarting(EffectStarting) = "effect_starting", v 1, Fact;
    /// Outside work has begun, and this is how to find it.
    EffectRunning(EffectRunning) = "effect_running", v 1, Fact;
    /// An owner found work that an earlier owner had begun.
    EffectAttached(EffectAttached) = "effect_attached", v 1, Fact;
    /// It cannot be found out for now what becomes of outside work.
    EffectStuck(EffectStuck) = "effect_stuck", v 1, Fact;
    /// An agent's stream said something.
    AgentSaid(AgentSaid) = "agent_said", v 1, Fact;
    /// Outside work ended.
    EffectFinished(EffectFinished) = "effect_finished", v 1, Fact;
    /// Outside work had begun and cannot be found again.
    EffectLost(EffectLost) = "effect_lost", v 1, Fact;
    /// Nobody here can know whether lost work had happened.
    EffectInDoubt(EffectInDoubt) = "effect_in_doubt", v 1, Fact;
    /// It is decided what became of work in doubt.
    EffectResolved(EffectResolved) = "effect_resolved", v 1, Fact;

    /// The run may use more than it might.
    BudgetRaised(BudgetRaised) = "budget_raised", v 1, Fact;

    /// A person has to say something.
    QuestionAsked(QuestionAsked) = "question_asked", v 1, Fact;
    /// A question needs no answer any more.
    QuestionClosed(QuestionClosed) = "question_closed", v 1, Fact;

    /// The events before it are gone.
    Trimmed(Trimmed) = "trimmed", v 1, Retention;
}
