//! The events of a topic: inputs, which anybody may say, and facts, which the topic's owner decides. There is no third
//! kind. Names and fields are frozen once stored.
//!
//! Every event has the scope of what it is about; it stands beside the payload, in [`Recorded::scope`].
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
    Access, AgentRunning, AgentSaid, AgentStarting, AgentWait, ContinueReason, Said, SaidOn, SessionMode,
    StepContinues, Tokens, Usage, UsageSpan, WaitReason, session_name,
};
pub use effect::{
    AttemptEnd, EffectAttached, EffectClass, EffectFinished, EffectHandle, EffectInDoubt, EffectLost,
    EffectResolved, EffectResult, EffectRunning, EffectStarting, EffectStuck, FailureClass, LostEvidence,
    ProcessHandle, ProcessResult, Resolution, Spool, TreeSnapshot,
};
pub use ownership::{ClaimReason, OwnerChanged, OwnerReleased};
pub use question::{Answer, AskRequested, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption};
pub use retention::Trimmed;
pub use run::{
    Actor, BudgetRaised, CancelRequested, CheckoutBusy, CheckoutFree, HostSlept, ManualIntervention,
    PlanChanged, PlanRef, QuestionAnswered, Redefinition, RefusalCode, Reopened, ResumeRequested,
    RunCancelled, RunCancelling, RunCompleted, RunFailed, RunRequested, RunResumed, RunStarted, RunSuspended,
    RunSuspending, Settled, SkipRequested, StepRedefined, StepSkip, StepsRedefined, SuspendReason,
    SuspendRequested, Verdict,
};
pub use step::{
    CycleStarted, Heartbeat, LoopEnd, LoopEnded, OutputState, SkipReason, StepFinished, StepRetryScheduled,
    StepSkipped, StepStalled, StepStarted, StepStatus, StepTimedOut, StepsReset, TimeBudget, TimerFired,
};

pub use tree::{OmissionReason, OmittedFile, OmittedFiles, TreeOutcome, TreeProblem};

use serde::de::DeserializeOwned;

use crate::{InvalidPayload, Kind, Payload, Recorded, Seq};

/// An event of a topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody said it.
    Input(InputEvent),
    /// The owner decided it.
    Fact(FactEvent),
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

impl Event {
    /// The stored names of all kinds, in the order of their declaration.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        InputEvent::KINDS.iter().chain(FactEvent::KINDS).copied()
    }

    /// The kind, as stored.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Event::Input(input) => input.kind(),
            Event::Fact(fact) => fact.kind(),
        }
    }

    /// The payload, as stored.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the event has no JSON form; no event that this crate declares is so.
    pub fn encode(&self) -> Result<Payload, InvalidPayload> {
        match self {
            Event::Input(input) => input.encode(),
            Event::Fact(fact) => fact.encode(),
        }
    }

    /// Reads a stored event.
    ///
    /// # Errors
    /// [`DecodeError`] if the kind is unknown, the schema newer than this version, or the payload damaged.
    pub fn decode(recorded: &Recorded) -> Result<Event, DecodeError> {
        let input = InputEvent::decode(recorded).map(|input| input.map(Event::Input));
        let event = input.or_else(|| FactEvent::decode(recorded).map(|fact| fact.map(Event::Fact)));
        event.unwrap_or_else(|| {
            Err(DecodeError::UnknownKind {
                topic: recorded.topic.clone(),
                seq: recorded.seq,
                kind: recorded.kind.clone(),
            })
        })
    }

    /// The fact, if it is one.
    #[must_use]
    pub const fn as_fact(&self) -> Option<&FactEvent> {
        match self {
            Event::Fact(fact) => Some(fact),
            Event::Input(_) => None,
        }
    }

    /// The input, if it is one.
    #[must_use]
    pub const fn as_input(&self) -> Option<&InputEvent> {
        match self {
            Event::Input(input) => Some(input),
            Event::Fact(_) => None,
        }
    }
}

impl From<InputEvent> for Event {
    fn from(input: InputEvent) -> Event {
        Event::Input(input)
    }
}

impl From<FactEvent> for Event {
    fn from(fact: FactEvent) -> Event {
        Event::Fact(fact)
    }
}

macro_rules! events {
    (
        $(#[$enum_doc:meta])* $enum:ident {
            $($(#[$doc:meta])* $body:ident = $name:literal, v $version:literal;)*
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $enum {
            $($(#[$doc])* $body($body),)*
        }

        impl $enum {
            /// The stored names of all kinds, in the order of their declaration.
            pub const KINDS: &'static [&'static str] = &[$($name),*];

            /// The kind, as stored.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $($enum::$body(_) => Kind::new($name),)* }
            }

            /// The payload, as stored.
            ///
            /// # Errors
            /// [`InvalidPayload`] if the event has no JSON form; no event that this crate declares is so.
            pub fn encode(&self) -> Result<Payload, InvalidPayload> {
                match self { $($enum::$body(body) => Payload::encode(&Versioned { v: $version, body }),)* }
            }

            /// Reads a stored event; none if it is of no such kind.
            fn decode(recorded: &Recorded) -> Option<Result<$enum, DecodeError>> {
                match recorded.kind.as_str() {
                    $($name => Some(decode_body(recorded, $version).map($enum::$body)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$body> for $enum {
            fn from(body: $body) -> $enum {
                $enum::$body(body)
            }
        }

        impl From<$body> for Event {
            fn from(body: $body) -> Event {
                Event::from($enum::$body(body))
            }
        })*
    };
}

/// Reads the payload of a kind of which the versions up to `known` are understood.
fn decode_body<T: DeserializeOwned>(recorded: &Recorded, known: u32) -> Result<T, DecodeError> {
    let newer = |found| DecodeError::NewerVersion {
        topic: recorded.topic.clone(),
        seq: recorded.seq,
        kind: recorded.kind.clone(),
        found,
        known,
    };
    match recorded.payload.decode::<Versioned<T>>() {
        Ok(versioned) if versioned.v <= known => Ok(versioned.body),
        Ok(versioned) => Err(newer(versioned.v)),
        // A newer form may have nothing in common with ours but its version.
        Err(source) => Err(match recorded.payload.decode::<VersionOnly>() {
            Ok(VersionOnly { v }) if v > known => newer(v),
            Ok(_) | Err(_) => DecodeError::Payload {
                topic: recorded.topic.clone(),
                seq: recorded.seq,
                kind: recorded.kind.clone(),
                source,
            },
        }),
    }
}

events! {
    /// What anybody may say to a topic. The owner gives each its verdict ([`Settled`]).
    InputEvent {
        /// Somebody wants a run; always the first event of its topic.
        RunRequested = "run_requested", v 1;
        /// Somebody wants the run to stand still.
        SuspendRequested = "suspend_requested", v 1;
        /// Somebody wants the run to go on.
        ResumeRequested = "resume_requested", v 1;
        /// Somebody wants the run to end.
        CancelRequested = "cancel_requested", v 1;
        /// Somebody wants a step left out.
        SkipRequested = "skip_requested", v 1;
        /// Somebody answers a question.
        QuestionAnswered = "question_answered", v 1;
        /// A step asks something while it works.
        AskRequested = "ask_requested", v 1;
        /// A person worked in the session of a step's agent while the run stood still.
        ManualIntervention = "manual_intervention", v 1;
        /// Somebody wants an ended run to go on from a step.
        Reopened = "reopened", v 1;
    }
}

impl InputEvent {
    /// Whether it is said of a topic that has ended, and opens it again.
    #[must_use]
    pub const fn reopens(&self) -> bool {
        matches!(self, InputEvent::Reopened(_))
    }
}

events! {
    /// What a topic's owner decides. Only [`Trimmed`] is appended without one: by whoever frees what an ended topic takes.
    FactEvent {
        /// A process became the topic's owner.
        OwnerChanged = "owner_changed", v 1;
        /// The owner gave the topic up.
        OwnerReleased = "owner_released", v 1;
        /// The owner gave its verdict on an input.
        Settled = "settled", v 1;
        /// The run began.
        RunStarted = "run_started", v 1;
        /// The run is coming to a stand: what is in flight is being stopped.
        RunSuspending = "run_suspending", v 1;
        /// The run stands still; nothing is in flight.
        RunSuspended = "run_suspended", v 1;
        /// The run goes on.
        RunResumed = "run_resumed", v 1;
        /// The run is being cancelled: what is in flight is being stopped.
        RunCancelling = "run_cancelling", v 1;
        /// The run ended as it should.
        RunCompleted = "run_completed", v 1;
        /// The run ended with a failure.
        RunFailed = "run_failed", v 1;
        /// The run ended because somebody wanted it to.
        RunCancelled = "run_cancelled", v 1;
        /// The host slept while the run was owned.
        HostSlept = "host_slept", v 1;
        /// The run waits until another one has done with the checkout that both work in.
        CheckoutBusy = "checkout_busy", v 1;
        /// The run has the checkout that it waited for.
        CheckoutFree = "checkout_free", v 1;
        /// The run goes on by another plan.
        PlanChanged = "plan_changed", v 1;
        /// What a new plan makes of steps of the old one.
        StepsRedefined = "steps_redefined", v 1;
        /// A step's turn came.
        StepStarted = "step_started", v 1;
        /// A step was left out.
        StepSkipped = "step_skipped", v 1;
        /// A step has its result.
        StepFinished = "step_finished", v 1;
        /// A failed attempt will be followed by another one.
        StepRetryScheduled = "step_retry_scheduled", v 1;
        /// An attempt of an agent will be followed by another one that counts against nothing.
        StepContinues = "step_continues", v 1;
        /// A step has been silent for long.
        StepStalled = "step_stalled", v 1;
        /// A step used up one of its time budgets.
        StepTimedOut = "step_timed_out", v 1;
        /// Steps are to be done anew.
        StepsReset = "steps_reset", v 1;
        /// A loop begins a pass.
        CycleStarted = "cycle_started", v 1;
        /// A loop ended by itself.
        LoopEnded = "loop_ended", v 1;
        /// A moment that a step waited for has come.
        TimerFired = "timer_fired", v 1;
        /// Outside work is about to begin.
        EffectStarting = "effect_starting", v 1;
        /// Outside work has begun, and this is how to find it.
        EffectRunning = "effect_running", v 1;
        /// An owner found work that an earlier owner had begun.
        EffectAttached = "effect_attached", v 1;
        /// It cannot be found out for now what becomes of outside work.
        EffectStuck = "effect_stuck", v 1;
        /// An agent's stream said something.
        AgentSaid = "agent_said", v 1;
        /// Outside work ended.
        EffectFinished = "effect_finished", v 1;
        /// Outside work had begun and cannot be found again.
        EffectLost = "effect_lost", v 1;
        /// Nobody here can know whether lost work had happened.
        EffectInDoubt = "effect_in_doubt", v 1;
        /// It is decided what became of work in doubt.
        EffectResolved = "effect_resolved", v 1;
        /// The run may use more than it might.
        BudgetRaised = "budget_raised", v 1;
        /// A person has to say something.
        QuestionAsked = "question_asked", v 1;
        /// A question needs no answer any more.
        QuestionClosed = "question_closed", v 1;
        /// The events before it are gone.
        Trimmed = "trimmed", v 1;
    }
}
