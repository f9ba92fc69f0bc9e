//! Index rows: finding topics, and things in them, without reading events. They are a cache of folds, and never the truth.

use std::borrow::Cow;
use std::fmt;

use backstay_model::{Payload, Seq, Timestamp, Topic};
use serde::{Deserialize, Serialize};

use super::{LogFuture, OwnerView};
use crate::error::ReadError;

macro_rules! index_names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Returns the name that the program itself uses.
            #[must_use]
            pub const fn new(name: &'static str) -> $name {
                $name(Cow::Borrowed(name))
            }

            /// Returns a name that was read.
            #[must_use]
            pub const fn from_name(name: String) -> $name {
                $name(Cow::Owned(name))
            }

            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

index_names! {
    /// The kind of a topic in lists, such as `run`.
    TopicKind;
    /// The kind of an entry, such as `question`.
    EntryKind;
    /// The state of a topic or an entry in lists. The fold that computes the row defines the names.
    IndexState;
}

impl TopicKind {
    /// A topic of a run.
    pub const RUN: TopicKind = TopicKind::new("run");
}

impl EntryKind {
    /// A question to a person.
    pub const QUESTION: EntryKind = EntryKind::new("question");
}

/// The index row of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicIndex {
    /// The topic's kind.
    pub kind: TopicKind,
    /// The topic's state.
    pub state: IndexState,
    /// Names and values to filter by.
    pub labels: Vec<(String, String)>,
    /// When an owner should look at the topic; `None` if only an input wakes it.
    pub wake_at: Option<Timestamp>,
    /// What lists show: JSON of at most 1 KiB.
    pub summary: Payload,
}

/// The index row of something with an id of its own in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryIndex {
    /// The entry's kind.
    pub kind: EntryKind,
    /// Its id, unique among the entries of its kind and topic.
    pub id: String,
    /// The entry's state.
    pub state: IndexState,
    /// When something falls due; `None` if nothing does.
    pub due_at: Option<Timestamp>,
    /// What lists show: JSON of at most 1 KiB.
    pub summary: Payload,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicRow {
    /// The topic.
    pub topic: Topic,
    /// Its index row, once one was written.
    pub index: Option<TopicIndex>,
    /// The number of its last event.
    pub head: Seq,
    /// Whether it has ended.
    pub closed: bool,
    /// Its owner, if it has one.
    pub owner: Option<OwnerView>,
}

/// An entry in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    /// The topic it is in.
    pub topic: Topic,
    /// The entry.
    pub entry: EntryIndex,
}

/// Selects the topics of a list. The default selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Selects topics of this kind.
    pub kind: Option<TopicKind>,
    /// Selects topics that have not ended.
    pub open_only: bool,
    /// Selects topics whose `wake_at` is at or before this time.
    pub due_by: Option<Timestamp>,
    /// Returns only the newest topics, at most this many.
    pub limit: Option<usize>,
}

/// Finding topics and entries by their index rows.
pub trait LogIndex: Send + Sync {
    /// Returns the topics that `filter` selects, the newest first.
    fn topics(&self, filter: TopicFilter) -> LogFuture<'_, Result<Vec<TopicRow>, ReadError>>;

    /// Returns one topic's row; `None` if nothing was ever appended to it, or it was deleted.
    fn topic(&self, topic: &Topic) -> LogFuture<'_, Result<Option<TopicRow>, ReadError>>;

    /// Returns the entries of `kind`, in the state `state` if one is given, in order of id.
    fn entries(
        &self,
        kind: &EntryKind,
        state: Option<&IndexState>,
    ) -> LogFuture<'_, Result<Vec<EntryRow>, ReadError>>;
}
