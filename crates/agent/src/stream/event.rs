//! What agents say, in one vocabulary.

use serde::{Deserialize, Serialize};

use crate::trouble::Reset;

/// Something that an agent's stream said. What a stream does not say is absent, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The agent works in this session of its own.
    SessionStarted {
        /// The agent's name for it; a resume takes it.
        id: String,
        /// The model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// Another turn begins: whatever turn ended before, the agent is at work again.
    TurnStarted,
    /// The agent speaks to its user.
    Message {
        /// What it says.
        text: String,
        /// Whether this is all of it.
        part: Part,
    },
    /// The agent is at work, and the line says nothing more that people want to read.
    Working,
    /// A sub-agent works whose usage the agent does not tell.
    UntoldSubAgent,
    /// So many commands and sub-agents of its are at work in the background: its process waits for them.
    Background {
        /// How many.
        tasks: usize,
    },
    /// Which model works for it, where that is told beside the session's beginning.
    Model {
        /// The provider's name for it.
        name: String,
    },
    /// The agent thinks; the text is what the provider shows of it and may be empty.
    Reasoning {
        /// What it shows.
        text: String,
    },
    /// A tool begins.
    ToolStarted {
        /// The agent's name for this call; its end has the same.
        call: String,
        /// The tool.
        name: String,
        /// One line for people: `edit src/auth/token.rs`, `$ cargo test`.
        what: String,
    },
    /// A tool has ended.
    ToolFinished {
        /// The agent's name for this call.
        call: String,
        /// The tool, where the line itself says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// One line for people, where the line itself says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        what: Option<String>,
        /// Whether it did what it should.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ok: Option<bool>,
        /// The exit code of its command, where the line itself says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// A tool wrote, or was about to write, these files.
    FilesTouched {
        /// As the agent spells them.
        paths: Vec<String>,
    },
    /// Tokens and cost.
    Usage(Usage),
    /// The provider refuses until later: the account's allowance is used up, or too much was asked at once.
    Limit {
        /// When that ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset: Option<Reset>,
        /// In the agent's words.
        message: String,
    },
    /// The agent has no credentials, or the provider does not know them.
    LoginNeeded {
        /// In the agent's words.
        message: String,
    },
    /// The provider refuses this account or this request, and waiting does not help: no credit, no permission, suspended,
    /// held back by a filter.
    Refused {
        /// In the provider's words, as far as the agent tells them.
        message: String,
    },
    /// The provider could not be reached or failed; most agents try again by themselves.
    NetworkTrouble {
        /// In the agent's words.
        message: String,
    },
    /// Something went wrong, and the turn goes on or its end does not say what it was.
    Error {
        /// In the agent's words.
        message: String,
    },
    /// A value of a line that the rules for its lines do not expect. What it would have said is left out.
    WrongValue {
        /// Where the rules look for it.
        path: String,
        /// What is there, and what is expected.
        message: String,
    },
    /// The agent has ended its turn. Its process ends soon after; one that ends without this was cut short.
    TurnEnded {
        /// Whether it says that it ended well.
        ok: bool,
        /// The last message, where the line itself says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_message: Option<String>,
        /// Why it did not end well, in the agent's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

impl AgentEvent {
    /// Whether it is told between the pieces of one message, as a piece is.
    #[must_use]
    pub fn is_between_pieces(&self) -> bool {
        match self {
            AgentEvent::Message { .. }
            | AgentEvent::Usage(_)
            | AgentEvent::Working
            | AgentEvent::UntoldSubAgent
            | AgentEvent::Background { .. }
            | AgentEvent::WrongValue { .. }
            | AgentEvent::Model { .. } => true,
            AgentEvent::SessionStarted { .. }
            | AgentEvent::TurnStarted
            | AgentEvent::Reasoning { .. }
            | AgentEvent::ToolStarted { .. }
            | AgentEvent::ToolFinished { .. }
            | AgentEvent::FilesTouched { .. }
            | AgentEvent::Limit { .. }
            | AgentEvent::LoginNeeded { .. }
            | AgentEvent::Refused { .. }
            | AgentEvent::NetworkTrouble { .. }
            | AgentEvent::Error { .. }
            | AgentEvent::TurnEnded { .. } => false,
        }
    }

    /// A turn that ended well.
    pub(super) fn done(last_message: Option<String>) -> AgentEvent {
        AgentEvent::TurnEnded { ok: true, last_message, failure: None }
    }

    /// A turn that did not end well.
    pub(super) fn failed(failure: Option<String>) -> AgentEvent {
        AgentEvent::TurnEnded {
            ok: false,
            last_message: None,
            failure: failure.filter(|text| !text.is_empty()),
        }
    }
}

/// Whether a message is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of it.
    Whole,
    /// A piece; pieces that follow each other without another message, tool or turn's end between are one message.
    Piece,
}

/// Tokens and cost. Providers count differently; here `input` and `output` are all tokens, and the others are parts of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// What the figures count.
    pub span: UsageSpan,
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
    /// The cost in US dollars, as the agent reckons it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Whether more was used than the figures say: a part of it did not tell all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}

impl Usage {
    /// The sum, of the same span. Tokens or a cost that one of them does not tell leave what the other tells, and the sum is
    /// partial. A part of the tokens that one of them does not tell is unknown, except in a sum that is partial anyway.
    pub(crate) fn plus(&self, other: &Usage) -> Usage {
        let lacks = |one: Option<u64>, other: Option<u64>| one.is_some() != other.is_some();
        let is_partial = self.is_partial
            || other.is_partial
            || lacks(self.input, other.input)
            || lacks(self.output, other.output)
            || self.cost_usd.is_some() != other.cost_usd.is_some();
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other).filter(|_| is_partial),
        };
        Usage {
            span: self.span.clone(),
            input: sum(self.input, other.input),
            output: sum(self.output, other.output),
            cache_read: sum(self.cache_read, other.cache_read),
            cache_write: sum(self.cache_write, other.cache_write),
            reasoning: sum(self.reasoning, other.reasoning),
            cost_usd: match (self.cost_usd, other.cost_usd) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            },
            is_partial,
        }
    }
}

/// What a usage counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSpan {
    /// One model call. A later one with the same id replaces it; all of a process add up.
    Call {
        /// The agent's name for the call.
        id: String,
    },
    /// Everything since the last figure of this kind, or since this process began. They add up, and each replaces what the
    /// calls before it add up to.
    Turn,
    /// Everything since this process began. It replaces what its calls add up to.
    Process,
    /// Everything since the session began, in earlier processes too: the difference counts.
    Session,
}

/// An event, and where it stands in the spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The offset of the byte behind the line that said it. Reading from there gives exactly the events that follow.
    pub spool_end: u64,
    /// What was said.
    pub event: AgentEvent,
}
