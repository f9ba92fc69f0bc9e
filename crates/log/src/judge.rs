//! What every store decides alike: whether a batch makes sense, and whether a topic takes its part.

use std::collections::HashSet;

use backstay_model::limits::{
    BATCH_BYTES_MAX, BATCH_EVENTS_MAX, INBOX_INPUTS_MAX, KEY_CHARS_MAX, PAYLOAD_BYTES_MAX, SUMMARY_BYTES_MAX,
};
use backstay_model::{Digest, Epoch, OwnerId, Seq, Timestamp};

use crate::contract::{Afterwards, Authority, Batch, NewEvent, Part, Precondition};
use crate::error::{AppendError, InvalidBatch, Measure};

/// Whether a topic is over, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on.
    #[default]
    Open,
    /// It has ended.
    Closed,
    /// It is gone; only its only user may begin it anew.
    Deleted,
}

/// What deciding about a topic needs, all of it in constant space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicState {
    /// The last number.
    pub(crate) head: Seq,
    /// Events up to this number are gone.
    pub(crate) floor: Seq,
    /// The time of the last event.
    pub(crate) at: Timestamp,
    /// The last input, 0 if none.
    pub(crate) last_input: Seq,
    /// The last event that is no input, 0 if none.
    pub(crate) last_fact: Seq,
    /// The epoch of the last claim.
    pub(crate) epoch: Epoch,
    /// Who owns it.
    pub(crate) owner: Option<OwnerId>,
    /// Whether it is over.
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

/// Whether events of this authority are inputs.
pub(crate) const fn is_input(authority: Authority) -> bool {
    matches!(authority, Authority::Anybody | Authority::Reopen)
}

/// Whether a part changes who may append to its topic.
const fn is_control(part: &Part) -> bool {
    !matches!(part.afterwards, Afterwards::Stays) || matches!(part.authority, Authority::Reopen)
}

/// The last number that is gone with `part`, where more than before is.
pub(crate) fn trimmed(part: &Part, head: Seq, floor: Seq) -> Option<Seq> {
    let gone = if matches!(part.afterwards, Afterwards::Deleted) { Some(head) } else { part.trim };
    gone.filter(|gone| *gone > floor)
}

impl TopicState {
    /// Judges `part` by what the topic is now.
    pub(crate) fn judge(&self, part: &Part) -> Result<(), AppendError> {
        let topic = || part.topic.clone();
        match part.authority {
            Authority::Owner(owner, epoch) if self.owner != Some(owner) || self.epoch != epoch => {
                return Err(AppendError::Fenced {
                    topic: topic(),
                    epoch,
                    current: self.epoch,
                    owner: self.owner,
                });
            }
            Authority::Anybody | Authority::Reopen | Authority::Retention
                if self.standing == Standing::Deleted =>
            {
                return Err(AppendError::Deleted { topic: topic() });
            }
            Authority::Reopen | Authority::Retention if !self.is_closed() => {
                return Err(AppendError::NotClosed { topic: topic() });
            }
            Authority::Anybody | Authority::Own if self.is_closed() => {
                return Err(AppendError::Closed { topic: topic() });
            }
            Authority::Own if self.owner.is_some() => {
                return Err(AppendError::Owned { topic: topic(), current: self.epoch });
            }
            // Only the fold knows which inputs are settled; the log bounds what nobody has looked at: the inputs
            // since the last fact. An owner that appends anything starts the count anew.
            Authority::Anybody
                if self.head.0 - self.last_fact.0 + part.events.len() as u64 > INBOX_INPUTS_MAX as u64 =>
            {
                return Err(AppendError::InboxFull { topic: topic() });
            }
            Authority::Owner(..)
            | Authority::Anybody
            | Authority::Reopen
            | Authority::Own
            | Authority::Retention => {}
        }
        if let Some(until) = part.trim.filter(|until| *until > self.head) {
            return Err(AppendError::NotABatchEnd { topic: topic(), seq: until, head: self.head });
        }
        for precondition in &part.preconditions {
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

    /// When the next events are said to be appended: never before the last.
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

    /// Whether it has ended, and is still there.
    pub(crate) fn is_closed(&self) -> bool {
        self.standing == Standing::Closed
    }

    /// Whether `part`, which was judged, changes who may append.
    pub(crate) fn changes_control(&self, part: &Part) -> bool {
        is_control(part) || self.begins_anew(part)
    }

    fn begins_anew(&self, part: &Part) -> bool {
        self.standing == Standing::Deleted && !(part.events.is_empty() && part.index.is_none())
    }

    /// Does what comes after the events of `part`.
    pub(crate) fn conclude(&mut self, part: &Part) {
        if matches!(part.authority, Authority::Reopen) || self.begins_anew(part) {
            self.standing = Standing::Open;
        }
        match part.afterwards {
            Afterwards::Stays => {}
            Afterwards::Released => self.owner = None,
            Afterwards::Closed => {
                self.owner = None;
                self.standing = Standing::Closed;
            }
            Afterwards::Deleted => {
                self.owner = None;
                // What was never there is not gone.
                self.standing = if self.head > Seq(0) { Standing::Deleted } else { Standing::Open };
            }
        }
        if let Some(floor) = trimmed(part, self.head, self.floor) {
            self.floor = floor;
        }
    }
}

/// Refuses what no store would take.
pub(crate) fn check_shape(batch: &Batch) -> Result<(), AppendError> {
    if batch.parts.is_empty() {
        return Err(InvalidBatch::NoParts.into());
    }
    let events = batch.parts.iter().map(|part| part.events.len()).sum();
    within(Measure::BatchEvents, events, BATCH_EVENTS_MAX)?;
    let mut topics = HashSet::new();
    let mut bytes = 0;
    for part in &batch.parts {
        if !topics.insert(&part.topic) {
            return Err(InvalidBatch::TopicTwice(part.topic.clone()).into());
        }
        check_end(part)?;
        for event in &part.events {
            check_event(event)?;
            bytes += event.payload.as_str().len();
        }
        let summaries = part.index.iter().map(|row| &row.summary);
        for summary in summaries.chain(part.entries.iter().map(|row| &row.summary)) {
            within(Measure::SummaryBytes, summary.as_str().len(), SUMMARY_BYTES_MAX)?;
        }
    }
    within(Measure::BatchBytes, bytes, BATCH_BYTES_MAX)?;
    let key_chars = batch.key.as_ref().map_or(0, |key| key.chars().count());
    within(Measure::KeyChars, key_chars, KEY_CHARS_MAX)
}

/// Refuses an end or a trim by somebody who has no right to it, whatever the topic is.
fn check_end(part: &Part) -> Result<(), InvalidBatch> {
    let topic = || part.topic.clone();
    let allowed = match (part.authority, part.afterwards) {
        (Authority::Anybody | Authority::Reopen, Afterwards::Stays) => part.trim.is_none(),
        (Authority::Anybody | Authority::Reopen, _) => return Err(InvalidBatch::EndByInput(topic())),
        (
            Authority::Owner(..) | Authority::Own,
            Afterwards::Stays | Afterwards::Released | Afterwards::Closed,
        )
        | (Authority::Retention, Afterwards::Stays) => true,
        (Authority::Own | Authority::Retention, Afterwards::Deleted) => {
            part.events.is_empty() && part.index.is_none() && part.entries.is_empty()
        }
        (Authority::Owner(..), Afterwards::Deleted)
        | (Authority::Retention, Afterwards::Released | Afterwards::Closed) => false,
    };
    if allowed { Ok(()) } else { Err(InvalidBatch::NotToFree(topic())) }
}

/// Refuses an event that no store would take.
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

/// Tells a repetition from another append under the same key: topic, kind, scope and payload of every event, without
/// times. Each text is preceded by its length, so that no two bodies read alike.
pub(crate) fn body_digest(batch: &Batch) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for part in &batch.parts {
        text(part.topic.as_str());
        text(&part.events.len().to_string());
        for event in &part.events {
            text(event.kind.as_str());
            text(&event.scope.to_string());
            text(event.payload.as_str());
        }
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
