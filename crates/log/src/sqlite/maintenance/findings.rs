//! Findings of a check, and the trait of its visitors.

use backstay_model::{Digest, OwnerId, Recorded, Seq, Topic};
use serde::Serialize;

use crate::contract::{EntryIndex, TopicIndex};

/// One finding of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The database itself is damaged.
    Database {
        /// The damage.
        what: String,
    },
    /// Events are missing or cannot be read.
    EventsLost {
        /// The topic.
        topic: String,
        /// The first number.
        from: Seq,
        /// The last number.
        to: Seq,
    },
    /// An event exists and cannot be decoded.
    EventDamaged {
        /// The topic.
        topic: String,
        /// Which.
        seq: Seq,
        /// The damage.
        what: String,
    },
    /// The index by topic contradicts the events. It can be rebuilt.
    Index {
        /// The topic.
        topic: String,
        /// Which.
        seq: Seq,
        /// The damage.
        what: String,
    },
    /// An index row of a topic or an entry contradicts the events.
    Row {
        /// The topic.
        topic: String,
        /// The damage.
        what: String,
    },
    /// A blob that an event names is missing.
    BlobMissing {
        /// Which.
        digest: Digest,
        /// The topic of the event that names it.
        topic: String,
        /// The first event that names it.
        seq: Seq,
    },
    /// A blob is damaged.
    BlobDamaged {
        /// Which.
        digest: Digest,
        /// The topic of the event that names it; `None` if no event does.
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// The damage.
        what: String,
    },
    /// The output of a process contradicts the log.
    Spool {
        /// The topic.
        topic: String,
        /// The event with its length and digest.
        seq: Seq,
        /// The file, relative to the store.
        path: String,
        /// The damage.
        what: String,
    },
    /// A file of an attempt is missing, or contradicts the log.
    File {
        /// The topic.
        topic: String,
        /// The event that names it.
        seq: Seq,
        /// The file, relative to the store.
        path: String,
        /// The damage.
        what: String,
    },
    /// An attempt has a folder, but no event: events are lost that existed when it began.
    EventsUnknown {
        /// The folder, relative to the store.
        path: String,
    },
}

/// A topic's row.
#[derive(Clone, Debug)]
pub struct InspectedTopic {
    /// Its name.
    pub topic: Topic,
    /// Its index row.
    pub index: Option<TopicIndex>,
    /// Its entries.
    pub entries: Vec<EntryIndex>,
    /// Whether it has ended.
    pub closed: bool,
    /// Its owner.
    pub owner: Option<OwnerId>,
    /// Its epoch.
    pub epoch: backstay_model::Epoch,
    /// The last number that was trimmed.
    pub floor: Seq,
    /// Whether all its events could be read.
    pub is_whole: bool,
    /// Whether it was deleted: only its name and its numbers are left.
    pub is_deleted: bool,
}

/// A visitor of a check or a scan that understands the events.
pub trait Inspect {
    /// Takes the next event of a topic. Events of one topic come together and in order; unreadable ones are left out.
    fn event(&mut self, recorded: &Recorded);

    /// Takes the topic after its last event.
    fn topic_end(&mut self, topic: &InspectedTopic);

    /// Ends the visit; the transaction has ended.
    fn finish(&mut self) {}
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The number of checked topics.
    pub topics: u64,
    /// The number of checked events.
    pub events: u64,
    /// The damage.
    pub findings: Vec<Finding>,
}
