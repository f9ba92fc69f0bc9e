//! What the endpoint plays.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;

/// The answers to the requests of an agent's own turns, in order, and one for all that follow.
///
/// Requests that are no turns of the agent's own (titles, summaries, routing) are asides: they get a fixed text and use up
/// no answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The answer to the first request, the second, and so on.
    pub answers: VecDeque<Answer>,
    /// The answer to every request after those.
    pub then: Answer,
    /// Which requests are turns of the agent's own.
    #[serde(default)]
    pub turns: Turns,
}

/// How a turn of the agent's own is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// It offers tools.
    #[default]
    OfferTools,
    /// Every request is one: the agent has no tools and reads what the model writes.
    AreAll,
}

/// One answer of the model, or of the provider in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The model says this and ends its turn.
    Text(String),
    /// The model says these one after another, as one message that is streamed, and ends its turn.
    Pieces(Vec<String>),
    /// The model thinks this, then gives that answer.
    Thought {
        /// What the provider shows of the thought.
        thought: String,
        /// What follows in the same reply: a text, a document or a call of a tool.
        then: Box<Answer>,
    },
    /// The provider itself searches the web for `query`, and the model says `text`; Responses only.
    WebSearch {
        /// What is searched.
        query: String,
        /// What the model makes of it.
        text: String,
    },
    /// The model answers with this JSON document: through the tool for it where the agent offers one, else as its text.
    Document(String),
    /// The model calls a tool.
    Tool(ToolCall),
    /// The account has used up what it may use; the provider refuses with 429.
    UsageLimit {
        /// When that ends, in seconds since 1970.
        resets_at_s: u64,
        /// The same as a distance, for providers that say it so, in seconds.
        retry_after_s: u64,
    },
    /// The credentials are not known; the provider refuses with 401.
    Unauthorized,
    /// The credentials were good once, and have expired.
    Expired,
    /// The provider refuses this account or this request, and would do so again.
    Refused(Refusal),
    /// The provider failed: 500.
    ServerError,
    /// The provider has too much to do: 503, or what the dialect has for it.
    Overloaded,
    /// That answer, with a pause before each event of its stream.
    Slow {
        /// The answer.
        answer: Box<Answer>,
        /// The pause, in milliseconds.
        pause_ms: u64,
    },
    /// This, to every request in that dialect, until one comes in another.
    Throughout(Dialect, Box<Answer>),
    /// The answer begins, and the connection ends in the middle of it.
    Cut,
    /// The connection stays open and nothing ever comes.
    Hang,
}

/// Why a provider refuses, by what its public documentation says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no credit left, or none was ever bought.
    CreditTooLow,
    /// The account's own limit of spending is reached; the message names the day on which it ends.
    SpendLimit,
    /// The credentials are known and may not do this.
    Forbidden,
    /// The account or the project was suspended.
    Suspended,
    /// The answer was held back by a filter of contents.
    ContentFilter,
}

/// A call of one of the tools that the agent offers; the endpoint finds the agent's own name for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolCall {
    /// A command for the shell.
    Shell(String),
    /// A command that the agent does not wait for, where it has such commands.
    Background(String),
    /// A sub-agent with this task, where the agent has such; its own requests are answered by the script as well.
    SubAgent(String),
    /// A new file with this content; the path is absolute, as some agents insist on it.
    Write {
        /// Where.
        path: String,
        /// What is in it.
        content: String,
    },
}

impl Script {
    /// A script of these answers; what comes after them is the text `done`.
    pub fn of(answers: impl IntoIterator<Item = Answer>) -> Script {
        let then = Answer::Text("done".to_owned());
        Script { answers: answers.into_iter().collect(), then, turns: Turns::default() }
    }

    /// The answer to the next request, which comes in `dialect`.
    pub(crate) fn next(&mut self, dialect: Dialect) -> Answer {
        match self.answers.front() {
            Some(Answer::Throughout(all, answer)) if *all == dialect => answer.as_ref().clone(),
            Some(Answer::Throughout(..)) => {
                self.answers.pop_front();
                self.next(dialect)
            }
            _ => self.answers.pop_front().unwrap_or_else(|| self.then.clone()),
        }
    }
}

impl Answer {
    /// The model says `text` and ends its turn.
    pub fn text(text: &str) -> Answer {
        Answer::Text(text.to_owned())
    }

    /// The model thinks `thought` before it gives this answer.
    #[must_use]
    pub fn after(self, thought: &str) -> Answer {
        Answer::Thought { thought: thought.to_owned(), then: Box::new(self) }
    }

    /// The model runs `command`.
    pub fn shell(command: &str) -> Answer {
        Answer::Tool(ToolCall::Shell(command.to_owned()))
    }

    /// The model writes a file.
    pub fn write(path: &str, content: &str) -> Answer {
        Answer::Tool(ToolCall::Write { path: path.to_owned(), content: content.to_owned() })
    }
}
