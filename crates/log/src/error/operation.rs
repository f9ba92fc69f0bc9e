//! Errors of the operations, one enum for each.

use backstay_model::limits::{INBOX_INPUTS_MAX, KEY_CHARS_MAX};
use backstay_model::{Code, Coded, Digest, Epoch, OwnerId, Seq, Topic};

use super::{Cause, Location};
use crate::contract::OwnerView;
use crate::cursor::CursorError;
use crate::error::StoreError;

/// The measure of a batch that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Events of one batch.
    BatchEvents,
    /// Bytes of all payloads of one batch.
    BatchBytes,
    /// Bytes of one payload.
    PayloadBytes,
    /// Bytes of a summary in an index row.
    SummaryBytes,
    /// Characters of an idempotency key.
    KeyChars,
}

impl Measure {
    const fn unit(self) -> &'static str {
        match self {
            Measure::BatchEvents => "events in one batch",
            Measure::BatchBytes => "bytes of payload in one batch",
            Measure::PayloadBytes => "bytes in one payload",
            Measure::SummaryBytes => "bytes in one summary",
            Measure::KeyChars => "characters in one idempotency key",
        }
    }
}

/// A batch that is not valid, whatever its topics are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// It has no appends.
    #[error("the batch has no appends")]
    NoParts,
    /// Two appends are of one topic.
    #[error("two appends of the batch are of the topic {0}")]
    TopicTwice(Topic),
    /// Only an owner may release or end a topic.
    #[error("only its owner may release or end the topic {0}")]
    EndByInput(Topic),
    /// The authority may not trim or delete in this way: `Owner` and `Exclusive` may trim, `Exclusive` and `Retention` may delete, and
    /// an append that deletes has nothing else.
    #[error("this authority may not trim or delete the topic {0}")]
    NotToFree(Topic),
    /// A trace is 32 lower-case hexadecimal digits.
    #[error("the trace `{0}` is not 32 lower-case hexadecimal digits")]
    Trace(String),
}

/// An append was refused or failed. Nothing of its batch was written, except that [`StoreError::OutcomeUnknown`] leaves it open.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The writer is not, or no longer, the topic's owner.
    #[error("{topic} is at epoch {current}, the writer has epoch {epoch}")]
    Fenced {
        /// The topic.
        topic: Topic,
        /// The epoch that the writer has.
        epoch: Epoch,
        /// The topic's epoch.
        current: Epoch,
        /// The owner now, if there is one.
        owner: Option<OwnerId>,
    },
    /// The topic has an owner: only the owner and inputs may append.
    #[error("{topic} has an owner since epoch {current}")]
    Owned {
        /// The topic.
        topic: Topic,
        /// Its epoch.
        current: Epoch,
    },
    /// The topic has ended.
    #[error("{topic} has ended")]
    Closed {
        /// The topic.
        topic: Topic,
    },
    /// The topic was deleted.
    #[error("{topic} was deleted")]
    Deleted {
        /// The topic.
        topic: Topic,
    },
    /// The topic has not ended, so it cannot be opened again.
    #[error("{topic} has not ended")]
    NotClosed {
        /// The topic.
        topic: Topic,
    },
    /// The head is not the one that the writer expected.
    #[error("{topic} ends at {actual}, the writer expected {expected}")]
    Conflict {
        /// The topic.
        topic: Topic,
        /// The head that the writer expected.
        expected: Seq,
        /// The head.
        actual: Seq,
    },
    /// The topic has an input that the writer has not seen.
    #[error("{topic} has an input at {input}; the writer has read up to {after}")]
    NewerInput {
        /// The topic.
        topic: Topic,
        /// The number up to which the writer has seen inputs.
        after: Seq,
        /// The last input.
        input: Seq,
    },
    /// The trim does not stand at the end of a batch.
    #[error("{topic} cannot be trimmed up to {seq}: no batch ends there (its head is {head})")]
    NotABatchEnd {
        /// The topic.
        topic: Topic,
        /// The number up to which the append trims.
        seq: Seq,
        /// The topic's head.
        head: Seq,
    },
    /// The idempotency key was used for another batch.
    #[error("the idempotency key `{key}` of {topic} was used for another append")]
    KeyConflict {
        /// The batch's first topic.
        topic: Topic,
        /// The key.
        key: String,
    },
    /// Too many inputs wait for the owner.
    #[error("{topic} has {INBOX_INPUTS_MAX} inputs that no owner has read")]
    InboxFull {
        /// The topic.
        topic: Topic,
    },
    /// The batch is larger than a batch may be.
    #[error("{actual} {} exceed the limit of {limit}", .measure.unit())]
    TooLarge {
        /// What is too large.
        measure: Measure,
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The batch is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidBatch),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for AppendError {
    fn code(&self) -> Code {
        Code(match self {
            AppendError::Fenced { .. } => "BKS-L020",
            AppendError::Owned { .. } => "BKS-L021",
            AppendError::Closed { .. } => "BKS-L022",
            AppendError::NotClosed { .. } => "BKS-L023",
            AppendError::Conflict { .. } => "BKS-L024",
            AppendError::NewerInput { .. } => "BKS-L025",
            AppendError::KeyConflict { .. } => "BKS-L026",
            AppendError::InboxFull { .. } => "BKS-L027",
            AppendError::TooLarge { .. } => "BKS-L028",
            AppendError::Invalid(_) => "BKS-L029",
            AppendError::NotABatchEnd { .. } => "BKS-L030",
            AppendError::Deleted { .. } => "BKS-L031",
            AppendError::Store(store) => return store.code(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            AppendError::Fenced { .. } | AppendError::Owned { .. } => {
                "Another process has the topic now; read it to see who.".to_owned()
            }
            AppendError::Closed { topic } => format!("Open {topic} again first."),
            AppendError::Conflict { .. } | AppendError::NewerInput { .. } => {
                "Read what is new, then decide again.".to_owned()
            }
            AppendError::KeyConflict { .. } => "Use another key for another append.".to_owned(),
            AppendError::InboxFull { .. } => {
                "Let an owner of the topic read them, then try again.".to_owned()
            }
            AppendError::TooLarge { measure: Measure::PayloadBytes | Measure::BatchBytes, .. } => {
                "Keep large values as blobs and append their digests.".to_owned()
            }
            AppendError::TooLarge { measure: Measure::KeyChars, .. } => {
                format!("Use at most {KEY_CHARS_MAX} characters.")
            }
            AppendError::TooLarge { .. }
            | AppendError::Invalid(_)
            | AppendError::NotABatchEnd { .. }
            | AppendError::Deleted { .. }
            | AppendError::NotClosed { .. } => return None,
            AppendError::Store(store) => return store.hint(),
        })
    }
}

/// An event exists but cannot be read. Reading can go on behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} of {topic} cannot be read: {what}")]
pub struct DamagedEvent {
    /// The topic.
    pub topic: Topic,
    /// The event's number.
    pub seq: Seq,
    /// The damage.
    pub what: String,
}

/// A read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The cursor does not fit the log or the topic.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// An event cannot be read.
    #[error(transparent)]
    Damaged(#[from] DamagedEvent),
    /// An event is missing though its neighbours exist.
    #[error("{topic} has no event {expected}; the next one is {found}")]
    Hole {
        /// The topic.
        topic: Topic,
        /// The number that is missing.
        expected: Seq,
        /// The next number that is there.
        found: Seq,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for ReadError {
    fn code(&self) -> Code {
        Code(match self {
            ReadError::Cursor(CursorError::Malformed { .. }) => "BKS-L040",
            ReadError::Cursor(CursorError::WrongLog { .. }) => "BKS-L041",
            ReadError::Cursor(CursorError::WrongTopic { .. }) => "BKS-L042",
            ReadError::Cursor(CursorError::Ahead { .. }) => "BKS-L043",
            ReadError::Cursor(CursorError::Lost { .. }) => "BKS-L044",
            ReadError::Damaged(_) => "BKS-L045",
            ReadError::Hole { .. } => "BKS-L046",
            ReadError::Store(store) => return store.code(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ReadError::Cursor(CursorError::Lost { .. }) => {
                "Read the topic again from its start, or from an older cursor.".to_owned()
            }
            ReadError::Cursor(_) => "Use a cursor as this log gave it, for the same topic.".to_owned(),
            ReadError::Damaged(damaged) => format!("Reading can go on behind {}.", damaged.seq),
            ReadError::Hole { .. } => {
                "Keep a copy of the store before anything else writes to it.".to_owned()
            }
            ReadError::Store(store) => return store.hint(),
        })
    }
}

/// A claim was not granted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The topic has an owner that holds its proof.
    #[error("{topic} belongs to process {} on {}", .owner.identity.pid, .owner.identity.host)]
    Owned {
        /// The topic.
        topic: Topic,
        /// The owner.
        owner: Box<OwnerView>,
    },
    /// The topic has ended.
    #[error("{topic} has ended")]
    Closed {
        /// The topic.
        topic: Topic,
    },
    /// The topic was deleted.
    #[error("{topic} was deleted")]
    Deleted {
        /// The topic.
        topic: Topic,
    },
    /// The guard is of another log, or it was lost.
    #[error("this process is not registered as the owner {0}")]
    NotRegistered(OwnerId),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for ClaimError {
    fn code(&self) -> Code {
        Code(match self {
            ClaimError::Owned { .. } => "BKS-L060",
            ClaimError::Closed { .. } => "BKS-L061",
            ClaimError::NotRegistered(_) => "BKS-L062",
            ClaimError::Deleted { .. } => "BKS-L063",
            ClaimError::Store(store) => return store.code(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ClaimError::Owned { owner, .. } => format!(
                "Watch it, or end process {} on {}; only if it cannot be reached, take the topic over.",
                owner.identity.pid, owner.identity.host
            ),
            ClaimError::Closed { topic } => format!("Open {topic} again first."),
            ClaimError::Deleted { .. } | ClaimError::NotRegistered(_) => return None,
            ClaimError::Store(store) => return store.hint(),
        })
    }
}

/// A store was not opened, or an owner not registered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// It was made by a newer version.
    #[error("the store {location} has format {found}, this version knows up to {known}")]
    NewerStore {
        /// The store.
        location: Location,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// It has a format from before the first release.
    #[error(
        "the store {location} has a format from before the first release, which this version does not read"
    )]
    DevelopmentStore {
        /// The store.
        location: Location,
    },
    /// It is not a store.
    #[error("{location} is not a Backstay store: {what}")]
    NotAStore {
        /// The path that was opened.
        location: Location,
        /// What was found instead.
        what: String,
    },
    /// There is no store, and the caller did not ask for a new one.
    #[error("there is no store at {location}")]
    Missing {
        /// The path where it should be.
        location: Location,
    },
    /// It is on a network file system, whose locks and shared memory cannot be trusted.
    #[error("{location} is on a network file system ({kind})")]
    NetworkFileSystem {
        /// The store.
        location: Location,
        /// The file system.
        kind: &'static str,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for OpenError {
    fn code(&self) -> Code {
        Code(match self {
            OpenError::NewerStore { .. } => "BKS-L070",
            OpenError::DevelopmentStore { .. } => "BKS-L090",
            OpenError::NotAStore { .. } => "BKS-L071",
            OpenError::Missing { .. } => "BKS-L072",
            OpenError::NetworkFileSystem { .. } => "BKS-L073",
            OpenError::Store(store) => return store.code(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            OpenError::NewerStore { .. } => "Use the version that made the store, or a newer one.".to_owned(),
            OpenError::DevelopmentStore { .. } => {
                "move its folder away, or remove it; `backstay run` makes a new store".to_owned()
            }
            OpenError::NotAStore { .. } | OpenError::Missing { .. } => {
                "name the folder of a store; `backstay run` makes one where there is none".to_owned()
            }
            OpenError::NetworkFileSystem { .. } => {
                "Put the store on a local disk; several machines need a database server.".to_owned()
            }
            OpenError::Store(store) => return store.hint(),
        })
    }
}

/// A blob cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The blob does not exist.
    #[error("there is no blob {digest}")]
    Missing {
        /// The requested digest.
        digest: Digest,
    },
    /// Its bytes do not have its digest.
    #[error("the blob {digest} is damaged: its bytes have the digest {actual}")]
    Damaged {
        /// The requested digest.
        digest: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
    /// A file cannot be used.
    #[error("cannot {action} {location}")]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        location: Location,
        /// What the system said.
        #[source]
        source: Cause,
    },
}

impl Coded for BlobError {
    fn code(&self) -> Code {
        Code(match self {
            BlobError::Missing { .. } => "BKS-L080",
            BlobError::Damaged { .. } => "BKS-L081",
            BlobError::Io { .. } => "BKS-L082",
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            BlobError::Missing { .. } | BlobError::Damaged { .. } => {
                Some("Restore the file from a backup of the store.".to_owned())
            }
            BlobError::Io { .. } => None,
        }
    }
}
