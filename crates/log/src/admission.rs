//! Admission, the same for every store: whether a batch is valid, and whether its topics take their appends.

use std::collections::HashSet;

use backstay_model::limits::{
    BATCH_BYTES_MAX, BATCH_EVENTS_MAX, INBOX_INPUTS_MAX, KEY_CHARS_MAX, PAYLOAD_BYTES_MAX, SUMMARY_BYTES_MAX,
};
use backstay_model::{Digest, Epoch, OwnerId, Seq, Timestamp};

use crate::contract::{Authority, Batch, NewEvent, Precondition, TopicAppend, TopicTransition};
use crate::error::{AppendError, InvalidBatch, Measure};

/// Whether a topic takes appends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It takes facts and inputs.
    #[default]
    Open,
    /// It has ended.
    Closed,
    /// It was deleted; only its only user may begin it again.
    Deleted,
}

/// The state of a topic that admission needs, in constant space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicState {
    /// The number of the last event.
    pub(crate) head: Seq,
    /// Events up to this number were trimmed.
    pub(crate) floor: Seq,
    /// The time of the last event.
    pub(crate) at: Timestamp,
    /// The number of the last input, 0 if there is none.
    pub(crate) last_input: Seq,
    /// The number of the last fact, 0 if there is none.
    pub(crate) last_fact: Seq,
    /// The epoch of the last claim.
    pub(crate) epoch: Epoch,
    /// The owner, if it has one.
    pub(crate) owner: Option<OwnerId>,
    /// Whether it takes appends.
    pub(crate) standing: Standing,
}

impl Default for TopicState {
    fn default() -> TopicState {
        TopicState {
            head: Seq(0),
            floor: Seq(0),
            at: Timestamp::from_micros(0),
            last_input: Seq(0),
            last_fact: Seq(0),
            epoch: Epoch(0),
            owner: None,
            standing: Standing::Open,
        }
    }
}

/// Returns whether events of this authority are inputs.
pub(crate) const fn is_input(authority: Authority) -> bool {
    matches!(authority, Authority::Input | Authority::Reopen)
}

/// Returns whether an append changes who may append to its topic.
const fn is_control(append: &TopicAppend) -> bool {
    !matches!(append.transition, TopicTransition::Unchanged) || matches!(append.authority, Authority::Reopen)
}

/// Returns the number up to which `append` trims, if it trims more than before.
pub(crate) fn trimmed(append: &TopicAppend, head: Seq, floor: Seq) -> Option<Seq> {
    let gone = if matches!(append.transition, TopicTransition::Deleted) { Some(head) } else { append.trim };
    gone.filter(|gone| *gone > floor)
}

impl TopicState {
    /// Admits `append` to the topic as it is now, or refuses it.
    pub(crate) fn admit(&self, append: &TopicAppend) -> Result<(), AppendError> {
        let topic = || append.topic.clone();
        match append.authority {
            Authority::Owner(owner, epoch) if self.owner != Some(owner) || self.epoch != epoch => {
                return Err(AppendError::Fenced {
                    topic: topic(),
                    epoch,
                    current: self.epoch,
                    owner: self.owner,
                });
            }
            Authority::Input | Authority::Reopen | Authority::Retention
                if self.standing == Standing::Deleted =>
            {
                return Err(AppendError::Deleted { topic: topic() });
            }
            Authority::Reopen | Authority::Retention if !self.is_closed() => {
                return Err(AppendError::NotClosed { topic: topic() });
            }
            Authority::Input | Authority::Exclusive if self.is_closed() => {
                return Err(AppendError::Closed { topic: topic() });
            }
            Authority::Exclusive if self.owner.is_some() => {
                return Err(AppendError::Owned { topic: topic(), current: self.epoch });
            }
            // Only the fold knows which inputs are settled; the log bounds what nobody has looked at: the inputs
            // since the last fact. An owner that appends anything starts the count anew.
            Authority::Input
                if self.head.0 - self.last_fact.0 + append.events.len() as u64 > INBOX_INPUTS_MAX as u64 =>
            {
                return Err(AppendError::InboxFull { topic: topic() });
            }
            Authority::Owner(..)
            | Authority::Input
            | Authority::Reopen
            | Authority::Exclusive
            | Authority::Retention => {}
        }
        if let Some(until) = append.trim.filter(|until| *until > self.head) {
            return Err(AppendError::NotABatchEnd { topic: topic(), seq: until, head: self.head });
        }
        for precondition in &append.preconditions {
            match *precondition {
                Precondition::Exactly(expected) if expected != self.head => {
                    return Err(AppendError::Conflict { topic: topic(), expected, actual: self.head });
                }
                Precondition::NoInputAfter(after) if self.last_input > after => {
                    return Err(AppendError::NewerInput { topic: topic(), after, input: self.last_input });
                }
                Precondition::Exactly(_) | Precondition::NoInputAfter(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the time of the next events: never before that of the last one.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        self.at.max(now)
    }

    /// Numbers one event of `authority`.
    pub(crate) fn number(&mut self, authority: Authority, at: Timestamp) -> Seq {
        self.head = self.head.next();
        self.at = at;
        if is_input(authority) {
            self.last_input = self.head;
        } else {
            self.last_fact = self.head;
        }
        self.head
    }

    /// Returns whether it has ended and was not deleted.
    pub(crate) fn is_closed(&self) -> bool {
        self.standing == Standing::Closed
    }

    /// Returns whether `append`, which was admitted, changes who may append.
    pub(crate) fn changes_ownership(&self, append: &TopicAppend) -> bool {
        is_control(append) || self.restarts(append)
    }

    fn restarts(&self, append: &TopicAppend) -> bool {
        self.standing == Standing::Deleted && !(append.events.is_empty() && append.index.is_none())
    }

    /// Applies the transition that follows the events of `append`.
    pub(crate) fn apply_transition(&mut self, append: &TopicAppend) {
        if matches!(append.authority, Authority::Reopen) || self.restarts(append) {
            self.standing = Standing::Open;
        }
        match append.transition {
            TopicTransition::Unchanged => {}
            TopicTransition::Released => self.owner = None,
            TopicTransition::Closed => {
                self.owner = None;
                self.standing = Standing::Closed;
            }
            TopicTransition::Deleted => {
                self.owner = None;
                // What was never there is not gone.
                self.standing = if self.head > Seq(0) { Standing::Deleted } else { Standing::Open };
            }
        }
        if let Some(floor) = trimmed(append, self.head, self.floor) {
            self.floor = floor;
        }
    }
}

/// Refuses a batch that is not valid whatever its topics are.
pub(crate) fn check_batch(batch: &Batch) -> Result<(), AppendError> {
    if batch.appends.is_empty() {
        return Err(InvalidBatch::NoParts.into());
    }
    let events = batch.appends.iter().map(|append| append.events.len()).sum();
    within(Measure::BatchEvents, events, BATCH_EVENTS_MAX)?;
    let mut topics = HashSet::new();
    let mut bytes = 0;
    for append in &batch.appends {
        if !topics.insert(&append.topic) {
            return Err(InvalidBatch::TopicTwice(append.topic.clone()).into());
        }
        check_rights(append)?;
        for event in &append.events {
            check_event(event)?;
            bytes += event.payload.as_str().len();
        }
        let summaries = append.index.iter().map(|row| &row.summary);
        for summary in summaries.chain(append.entries.iter().map(|row| &row.summary)) {
            within(Measure::SummaryBytes, summary.as_str().len(), SUMMARY_BYTES_MAX)?;
        }
    }
    within(Measure::BatchBytes, bytes, BATCH_BYTES_MAX)?;
    let key_chars = batch.key.as_ref().map_or(0, |key| key.chars().count());
    within(Measure::KeyChars, key_chars, KEY_CHARS_MAX)
}

/// Refuses a transition or a trim for which the authority has no right.
fn check_rights(append: &TopicAppend) -> Result<(), InvalidBatch> {
    let topic = || append.topic.clone();
    let allowed = match (append.authority, append.transition) {
        (Authority::Input | Authority::Reopen, TopicTransition::Unchanged) => append.trim.is_none(),
        (Authority::Input | Authority::Reopen, _) => return Err(InvalidBatch::EndByInput(topic())),
        (
            Authority::Owner(..) | Authority::Exclusive,
            TopicTransition::Unchanged | TopicTransition::Released | TopicTransition::Closed,
        )
        | (Authority::Retention, TopicTransition::Unchanged) => true,
        (Authority::Exclusive | Authority::Retention, TopicTransition::Deleted) => {
            append.events.is_empty() && append.index.is_none() && append.entries.is_empty()
        }
        (Authority::Owner(..), TopicTransition::Deleted)
        | (Authority::Retention, TopicTransition::Released | TopicTransition::Closed) => false,
    };
    if allowed { Ok(()) } else { Err(InvalidBatch::NotToFree(topic())) }
}

/// Refuses an event that is not valid.
pub(crate) fn check_event(event: &NewEvent) -> Result<(), AppendError> {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if let Some(trace) = &event.trace
        && !(trace.len() == 32 && trace.bytes().all(hexadecimal))
    {
        return Err(InvalidBatch::Trace(trace.clone()).into());
    }
    within(Measure::PayloadBytes, event.payload.as_str().len(), PAYLOAD_BYTES_MAX)
}

fn within(measure: Measure, actual: usize, limit: usize) -> Result<(), AppendError> {
    if actual <= limit { Ok(()) } else { Err(AppendError::TooLarge { measure, actual, limit }) }
}

/// Returns the digest that tells a repeated append from another one with the same key. It covers topic, kind, scope and payload of
/// every event, without times. Each text is preceded by its length, so that no two bodies have the same bytes.
pub(crate) fn body_digest(batch: &Batch) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for append in &batch.appends {
        text(append.topic.as_str());
        text(&append.events.len().to_string());
        for event in &append.events {
            text(event.kind.as_str());
            text(&event.scope.to_string());
            text(event.payload.as_str());
        }
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
