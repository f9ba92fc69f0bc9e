//! What a writer needs.

use backstay_model::{Epoch, Kind, OwnerId, Payload, Position, Scope, Seq, Timestamp, Topic};

use super::{EntryIndex, TopicIndex};
use crate::error::AppendError;
use crate::ticket::Ticket;

/// How long an acknowledged append lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It survives `kill -9` of this process. A loss of power, or of the database's server, may take it.
    Buffered,
    /// It is on stable storage.
    Synced,
}

/// One event to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its kind, such as `run_started`.
    pub kind: Kind,
    /// The part of the run that it is about.
    pub scope: Scope,
    /// Its content, at most 64 KiB.
    pub payload: Payload,
    /// The trace it belongs to: 32 lower-case hexadecimal digits.
    pub trace: Option<String>,
}

/// The right by which events are appended to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A fact of the topic's owner. Refused with `Fenced` unless owner and epoch are the current ones.
    Owner(OwnerId, Epoch),
    /// An input, by anybody. Sets the topic's `wake_at` to now. Refused with `Closed` after the end.
    Input,
    /// An input to a topic that has ended: opens it again. Refused with `NotClosed` otherwise.
    Reopen,
    /// An event of the only user of a topic without owner and inputs, such as a topic of an embedder.
    Exclusive,
    /// Removes events of a topic that has ended. Refused with `NotClosed` otherwise.
    Retention,
}

/// A condition on the topic. The batch is refused if it does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The head is exactly this number.
    Exactly(Seq),
    /// No input has a greater number.
    NoInputAfter(Seq),
}

/// How the append changes the state of the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicTransition {
    /// The topic stays as it is.
    #[default]
    Unchanged,
    /// Its owner releases it; it can be claimed at once.
    Released,
    /// It ends: its owner releases it, and the log refuses further inputs.
    Closed,
    /// Its events and index rows are removed. Later appends are refused with `Deleted`, until its only user (`Exclusive`)
    /// begins it again: numbers and epochs go on from there. Its idempotency keys stay used. Allowed for `Exclusive` and
    /// `Retention`, without events.
    Deleted,
}

/// The share of one topic in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicAppend {
    /// The topic.
    pub topic: Topic,
    /// The right by which it is changed.
    pub authority: Authority,
    /// Conditions that must hold.
    pub preconditions: Vec<Precondition>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// The change of the topic's state.
    pub transition: TopicTransition,
    /// The topic's new index row; `None` leaves the row as it is. A store MUST NOT write a row that does not change.
    pub index: Option<TopicIndex>,
    /// New index rows of things in the topic. A store MUST NOT write a row that does not change.
    pub entries: Vec<EntryIndex>,
    /// Live events of these scopes are removed, because a fact of this append carries their whole content.
    pub live_done: Vec<Scope>,
    /// Removes the topic's events up to this number, which ends a batch. Allowed for `Owner`, `Exclusive` and `Retention`. No
    /// reader sees the events any more; a store MAY free their space later.
    pub trim: Option<Seq>,
}

impl TopicAppend {
    /// Returns an append of `events` that changes nothing else.
    #[must_use]
    pub fn new(topic: Topic, authority: Authority, events: Vec<NewEvent>) -> TopicAppend {
        TopicAppend {
            topic,
            authority,
            preconditions: Vec::new(),
            events,
            transition: TopicTransition::Unchanged,
            index: None,
            entries: Vec::new(),
            live_done: Vec::new(),
            trim: None,
        }
    }
}

/// Appends that are made together or not at all: at most 1,000 events and 1 MiB of payloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The appends, each to another topic.
    pub appends: Vec<TopicAppend>,
    /// Makes a repetition harmless: the same key (of the first topic) with the same body returns the first acknowledgement, with
    /// another body it is a conflict. The key is looked up before epoch, preconditions and `Closed`.
    pub key: Option<String>,
    /// The durability that the acknowledgement waits for.
    pub durability: Durability,
}

impl Batch {
    /// Returns a synced batch of one append.
    #[must_use]
    pub fn of(append: TopicAppend) -> Batch {
        Batch { appends: vec![append], key: None, durability: Durability::Synced }
    }
}

/// The acknowledgement for one topic of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedTopic {
    /// The topic.
    pub topic: Topic,
    /// The number of its first event; the others follow without a gap. The head, if there was none.
    pub first: Seq,
    /// The number of its last event.
    pub last: Seq,
    /// The time of its events.
    pub at: Timestamp,
}

/// The acknowledgement of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One for each append, in the order of the batch.
    pub topics: Vec<AppendedTopic>,
    /// The position of the last event. The readable horizon MAY be below it yet.
    pub g: Position,
    /// True if the key was known and nothing was appended now.
    pub repeated: bool,
}

/// The answer to a batch.
pub type SubmitResult = Result<Appended, AppendError>;

/// Appending to a log.
pub trait LogWriter: Send + Sync {
    /// Hands a batch over. The ticket resolves once the batch is durable as requested, or refused.
    ///
    /// Batches for one topic that one caller hands over are appended in that order; no other order is promised. A store MAY commit
    /// several batches together, and MUST refuse a batch with `Overloaded` where it would have to queue without a bound.
    ///
    /// On an async worker's thread the batch is under way at once. On any other thread it is under way when its ticket is
    /// waited for, polled or dropped, or when others wait behind it, whichever comes first; `wait` MAY write it on the
    /// caller's thread. Readers MAY see a `Synced` batch a moment before it is acknowledged.
    fn submit(&self, batch: Batch) -> Ticket;

    /// Hands a live event over. It gets a position and no number, is `Buffered`, and is not acknowledged: a store MAY drop it.
    fn submit_live(&self, topic: Topic, event: NewEvent);
}
