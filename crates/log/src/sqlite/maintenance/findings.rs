//! What a check of a store finds, and what it shows to others while it looks.

use backstay_model::{Digest, OwnerId, Recorded, Seq, Topic};
use serde::Serialize;

use crate::contract::{EntryIndex, TopicIndex};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The database itself is damaged; what it says is in `what`.
    Database {
        /// What is wrong.
        what: String,
    },
    /// Events are not there or cannot be read any more.
    EventsLost {
        /// Whose.
        topic: String,
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// An event is there and cannot be understood.
    EventDamaged {
        /// Whose.
        topic: String,
        /// Which.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// The index by topic says something else than the events. It can be built anew.
    Index {
        /// Whose event.
        topic: String,
        /// Which.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// A row about a topic, or of a thing in it, says something else than its events.
    Row {
        /// Whose.
        topic: String,
        /// What is wrong.
        what: String,
    },
    /// A blob that an event names is not there.
    BlobMissing {
        /// Which.
        digest: Digest,
        /// Whose event names it.
        topic: String,
        /// The first that does.
        seq: Seq,
    },
    /// A blob is not what was kept.
    BlobDamaged {
        /// Which.
        digest: Digest,
        /// Whose event names it; absent if none does.
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// What is wrong.
        what: String,
    },
    /// What a process said is not what the log says of it.
    Spool {
        /// Whose.
        topic: String,
        /// The event that tells length and digest.
        seq: Seq,
        /// The file, relative to the store.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A file that an attempt left is not there, or not what the log says of it.
    File {
        /// Whose.
        topic: String,
        /// The event that tells of it.
        seq: Seq,
        /// The file, relative to the store.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// An attempt left a folder, and no event tells of it: events are lost that were there when it began.
    EventsUnknown {
        /// The folder, relative to the store.
        path: String,
    },
}

/// A topic as its row has it.
#[derive(Clone, Debug)]
pub struct InspectedTopic {
    /// Its name.
    pub topic: Topic,
    /// Its index row.
    pub index: Option<TopicIndex>,
    /// Rows of things in it.
    pub entries: Vec<EntryIndex>,
    /// Whether it has ended.
    pub closed: bool,
    /// Who owns it.
    pub owner: Option<OwnerId>,
    /// Its epoch.
    pub epoch: backstay_model::Epoch,
    /// The last number that was trimmed.
    pub floor: Seq,
    /// Whether all its events could be given.
    pub is_whole: bool,
    /// Whether it was deleted: only its name and its numbers are left.
    pub is_deleted: bool,
}

/// Whoever knows more of events than the log does.
pub trait Inspect {
    /// Takes the next event of a topic; those of one topic come together and in order. One that cannot be read is left out.
    fn event(&mut self, recorded: &Recorded);

    /// All events of the topic were given.
    fn topic_end(&mut self, topic: &InspectedTopic);

    /// All topics were given; the transaction is over.
    fn finish(&mut self) {}
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Topics that were looked at.
    pub topics: u64,
    /// Events that were looked at.
    pub events: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}
