//! What agents do and say, in one vocabulary.

use serde::{Deserialize, Serialize};

use super::FailureClass;
use crate::{Attempt, Digest, EffectId, Text, Timestamp};

/// What an agent may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look, and change nothing.
    Read,
    /// Change files of the workspace and run commands.
    #[default]
    Write,
    /// Whatever the user could do.
    Full,
}

impl Access {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Full => "full",
        }
    }
}

/// Which of an agent's own sessions an attempt works in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "session", rename_all = "snake_case")]
pub enum SessionMode {
    /// A new one.
    Fresh {
        /// Its name, for agents that let others choose it: a UUID.
        id: String,
    },
    /// An earlier one.
    Continue {
        /// The agent's name for it.
        id: String,
        /// The name of a new one, for agents that cannot go on with a session.
        fresh: String,
    },
    /// A copy of an earlier one.
    Fork {
        /// The agent's name for the earlier one.
        from: String,
        /// The name of the copy, for agents that let others choose it: a UUID.
        id: String,
    },
}

impl SessionMode {
    /// The name of the new session, where one may be begun.
    #[must_use]
    pub fn chosen(&self) -> &str {
        match self {
            SessionMode::Fresh { id } | SessionMode::Fork { id, .. } => id,
            SessionMode::Continue { fresh, .. } => fresh,
        }
    }
}

/// An agent that is known by a preset is about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStarting {
    /// Its preset, as pinned in the run's first event.
    pub preset: String,
    /// What it may do.
    pub access: Access,
    /// The model that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its session.
    #[serde(flatten)]
    pub session: SessionMode,
}

/// What is known of an agent once it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRunning {
    /// What the program says of its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its session, where that is known before the agent says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Where an agent says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaidOn {
    /// In its stream.
    #[default]
    Stdout,
    /// Beside it: signs of trouble only, in lines of text.
    Stderr,
}

impl SaidOn {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_stdout(&self) -> bool {
        *self == SaidOn::Stdout
    }
}

/// An agent's stream said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSaid {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Where it said it.
    #[serde(default, skip_serializing_if = "SaidOn::is_stdout")]
    pub on: SaidOn,
    /// The offset of the byte behind the line that said it, in the spool of that stream. Reading goes on there.
    pub spool_end: u64,
    /// What it said.
    #[serde(flatten)]
    pub what: Said,
}

/// Something that an agent's stream said. What a stream does not say is absent, never zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// It works in this session of its own.
    SessionStarted {
        /// The agent's name for it; a resume takes it.
        id: String,
        /// The model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// It speaks to its user.
    Message {
        /// What it says.
        text: Text,
        /// The last line of it, for people.
        line: String,
        /// Whether this is a piece: what follows it without anything between belongs to the same message.
        #[serde(default, skip_serializing_if = "is_false")]
        piece: bool,
    },
    /// It thinks.
    Thought {
        /// The last line of what it shows of that, for people; may be empty.
        line: String,
    },
    /// A tool begins.
    ToolStarted {
        /// The agent's name for this call; its end has the same.
        call: String,
        /// The tool.
        name: String,
        /// One line for people: `edit src/auth/token.rs`, `$ cargo test`.
        line: String,
    },
    /// A tool has ended.
    ToolFinished {
        /// The agent's name for this call.
        call: String,
        /// Whether it did what it should.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ok: Option<bool>,
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// A tool wrote, or was about to write, these files.
    FilesTouched {
        /// As the agent spells them; the first ones of many.
        paths: Vec<String>,
    },
    /// Tokens and cost so far. It replaces what was said before.
    Usage(Usage),
    /// The provider refuses until later: the account's allowance is used up, or too much was asked at once.
    Limit {
        /// When that ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset_at: Option<Timestamp>,
        /// In the agent's words.
        message: String,
    },
    /// It has no credentials, or the provider does not know them.
    LoginNeeded {
        /// In the agent's words.
        message: String,
    },
    /// The provider refuses the account or the request, and waiting does not help: no credit, no permission, suspended, held
    /// back by a filter.
    Refused {
        /// In the provider's words, as far as the agent tells them.
        message: String,
    },
    /// The provider could not be reached or failed; most agents try again by themselves.
    NetworkTrouble {
        /// In the agent's words.
        message: String,
    },
    /// Something went wrong, and the turn goes on.
    Error {
        /// In the agent's words.
        message: String,
    },
    /// It has ended its turn.
    TurnEnded {
        /// Whether it says that it ended well.
        ok: bool,
        /// Why it did not, in the agent's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

/// What a usage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSpan {
    /// Everything since the process began.
    Process,
    /// Everything since the agent's session began, in earlier processes too.
    Session,
}

/// Tokens and cost. `input` and `output` are all tokens, the others are parts of them. What nobody said is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What the figures count.
    pub span: UsageSpan,
    /// The figures.
    #[serde(flatten)]
    pub tokens: Tokens,
}

/// The figures of a usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens that the models read, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens that the models wrote, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Of the input, what came from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// Of the input, what was put into a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// Of the output, what was reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
    /// The cost as the agent reckons it, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
    /// Whether more was used than the figures say: by sub-agents whose usage nobody tells, or by calls that did not tell all
    /// of it, as at the beginning of a turn that is not the first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_partial: bool,
}

impl Tokens {
    /// Nothing of anything: where sums begin.
    pub const ZERO: Tokens = Tokens {
        input: Some(0),
        output: Some(0),
        cache_read: Some(0),
        cache_write: Some(0),
        reasoning: Some(0),
        cost_micro_usd: Some(0),
        is_partial: false,
    };

    /// The sum; what one of them does not know, the sum does not know.
    #[must_use]
    pub fn plus(&self, other: &Tokens) -> Tokens {
        let is_partial = self.is_partial || other.is_partial;
        Tokens { is_partial, ..self.each_with(other, u64::saturating_add) }
    }

    /// What is over `before`; what one of them does not know, the difference does not know.
    #[must_use]
    pub fn minus(&self, before: &Tokens) -> Tokens {
        self.each_with(before, u64::saturating_sub)
    }

    /// These where `earlier` ones of the same work were told before: what was told once stays told, and no count falls.
    #[must_use]
    pub fn at_least(&self, earlier: &Tokens) -> Tokens {
        // None is less than any figure.
        Tokens {
            input: self.input.max(earlier.input),
            output: self.output.max(earlier.output),
            cache_read: self.cache_read.max(earlier.cache_read),
            cache_write: self.cache_write.max(earlier.cache_write),
            reasoning: self.reasoning.max(earlier.reasoning),
            cost_micro_usd: self.cost_micro_usd.max(earlier.cost_micro_usd),
            is_partial: self.is_partial,
        }
    }

    fn each_with(&self, other: &Tokens, both: fn(u64, u64) -> u64) -> Tokens {
        let of = |one: Option<u64>, other: Option<u64>| Some(both(one?, other?));
        Tokens {
            input: of(self.input, other.input),
            output: of(self.output, other.output),
            cache_read: of(self.cache_read, other.cache_read),
            cache_write: of(self.cache_write, other.cache_write),
            reasoning: of(self.reasoning, other.reasoning),
            cost_micro_usd: of(self.cost_micro_usd, other.cost_micro_usd),
            // The others of a session were told before: what is over them lacks what this one lacks.
            is_partial: self.is_partial,
        }
    }
}

/// Why an agent gets another attempt that counts against nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum ContinueReason {
    /// It met a limit of its provider.
    Limit {
        /// When that ends, as far as the agent said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset_at: Option<Timestamp>,
        /// Until when the agent is not asked again.
        until: Timestamp,
        /// In the agent's words.
        message: String,
    },
    /// Its provider cannot be reached, and the tries of the step's `retry` are used up.
    Unreachable {
        /// Until when the agent is not asked again; absent if it is not, before the step is begun anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// In the agent's words.
        message: String,
    },
    /// It has no credentials that are accepted; another agent takes its place, at once or after a wait.
    LoginNeeded {
        /// In the agent's words.
        message: String,
    },
    /// Its provider refuses the account or the request; another agent takes its place, at once or after a wait.
    Refused {
        /// In the provider's words.
        message: String,
    },
    /// It could not be started; another agent takes its place, at once or after a wait.
    NotStarted {
        /// Why.
        message: String,
    },
    /// Somebody or something ended its process in the middle of its turn.
    CutShort {
        /// What is known of that.
        message: String,
    },
    /// The session that it was to go on with is not there: it begins a new one.
    SessionUnknown,
    /// The session that it was to begin is there already: it goes on with that.
    SessionInUse,
    /// Another process works in the session that it was to go on with: it waits for that, or, where there is no time to wait
    /// until, begins a new one.
    SessionBusy,
    /// Its answer is not what was asked for: it is told so, in the same session.
    InvalidOutput {
        /// What is wrong with it.
        problem: String,
    },
}

impl ContinueReason {
    /// What went wrong, as a class.
    #[must_use]
    pub const fn failure(&self) -> FailureClass {
        match self {
            ContinueReason::Limit { .. } => FailureClass::RateLimit,
            ContinueReason::Unreachable { .. } => FailureClass::Network,
            ContinueReason::LoginNeeded { .. } => FailureClass::Login,
            ContinueReason::Refused { .. } => FailureClass::Refused,
            ContinueReason::NotStarted { .. } => FailureClass::Spawn,
            ContinueReason::CutShort { .. } => FailureClass::Crash,
            ContinueReason::SessionUnknown | ContinueReason::SessionInUse | ContinueReason::SessionBusy => {
                FailureClass::Session
            }
            ContinueReason::InvalidOutput { .. } => FailureClass::InvalidOutput,
        }
    }

    /// What went wrong, for people; `None` where the class says all.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            ContinueReason::Limit { message, .. }
            | ContinueReason::Unreachable { message, .. }
            | ContinueReason::LoginNeeded { message }
            | ContinueReason::Refused { message }
            | ContinueReason::NotStarted { message }
            | ContinueReason::CutShort { message }
            | ContinueReason::InvalidOutput { problem: message } => Some(message),
            ContinueReason::SessionUnknown | ContinueReason::SessionInUse | ContinueReason::SessionBusy => {
                None
            }
        }
    }
}

/// An attempt of an agent will be followed by another one that counts against nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepContinues {
    /// The attempt that ended.
    pub attempt: Attempt,
    /// Who did it, by its name in the plan.
    pub agent: String,
    /// Who does the next one.
    pub next: String,
    /// Why.
    #[serde(flatten)]
    pub because: ContinueReason,
    /// What the next attempt waits for; absent if it begins at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<AgentWait>,
}

/// What the next attempt of an agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentWait {
    /// When the next attempt is due.
    pub until: Timestamp,
    /// Why not earlier.
    pub reason: WaitReason,
}

/// Why the next attempt of an agent waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// It met a limit of its provider, which may have been told earlier.
    Limit,
    /// Its provider could not be reached.
    Network,
    /// Another process works in its session.
    Session,
    /// Its process was ended from outside more than once.
    Restart,
}

/// The name of a session that is chosen before its start: a UUID made of `digest`.
#[must_use]
pub fn session_name(digest: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    // Programs check that it looks like a random one: version 4, variant 1.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions_are_frozen_and_look_like_random_ones() {
        assert_eq!(session_name(Digest::from_bytes([0xff; 32])), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(session_name(Digest::of(b"a")), "17762fdd-d969-4453-925d-65717ac3eea2");
    }

    #[test]
    fn c3_what_one_does_not_know_the_sum_does_not_know() {
        let one = Tokens { input: Some(5), output: Some(7), ..Tokens::default() };
        let other = Tokens { input: Some(3), output: None, ..Tokens::ZERO };
        let expected = Tokens { input: Some(8), output: None, ..Tokens::default() };
        assert_eq!(one.plus(&other), expected);
        assert_eq!(Tokens::ZERO.plus(&one), one);
        assert_eq!(one.minus(&other).input, Some(2));
        assert_eq!(other.minus(&one).input, Some(0), "a count that fell counts nothing");
        let at_least = Tokens { input: Some(5), output: Some(7), ..Tokens::ZERO };
        assert_eq!(other.at_least(&one), at_least);
    }
}
