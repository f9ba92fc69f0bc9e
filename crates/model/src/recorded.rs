//! What the log hands out.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Payload, Position, Scope, Seq, Timestamp, Topic};

/// The name of a kind of event, such as `step_finished`. Frozen once stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// A kind whose name is known at compile time.
    #[must_use]
    pub const fn new(name: &'static str) -> Kind {
        Kind(Cow::Borrowed(name))
    }

    /// A kind read from a store or given by an embedder.
    #[must_use]
    pub fn from_name(name: String) -> Kind {
        Kind(Cow::Owned(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One durable event of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Whose event it is.
    pub topic: Topic,
    /// Its number in the topic: dense, from 1, never reused.
    pub seq: Seq,
    /// Its place in the whole log.
    pub g: Position,
    /// When it was appended; never goes back within a topic.
    pub at: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub scope: Scope,
    /// What it says.
    pub payload: Payload,
    /// The trace it belongs to: 32 lower-case hexadecimal digits (W3C trace context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// True for all events of a batch in this topic but the last: what belongs together ends where this is false.
    pub more: bool,
}

/// Something seen in passing: it has a position but no number, and may be dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveEvent {
    /// Whose event it is.
    pub topic: Topic,
    /// Its place in the whole log.
    pub g: Position,
    /// The last number of the topic when it was said.
    pub after_seq: Seq,
    /// When it was said.
    pub at: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub scope: Scope,
    /// What it says.
    pub payload: Payload,
}

/// Events that a reader asked for and that were trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The reader wanted what comes after this number.
    pub requested: Seq,
    /// The first number that is still there.
    pub first: Seq,
    /// The last number.
    pub head: Seq,
}

/// What a subscriber gets, in order of position.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// A durable event, once and in order.
    Event(Recorded),
    /// A live event, at most once.
    Live(LiveEvent),
    /// Some events are gone; reading goes on at `first`.
    Gap(Gap),
}
