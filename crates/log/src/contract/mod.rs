//! What every store promises, in words and types. MUST and MAY bind a store; the laws in `tests/laws` hold each store to them.
//!
//! # Topics, numbers, positions
//!
//! A topic is a sequence of events. Its numbers ([`Seq`](backstay_model::Seq)) are dense from 1; a number is never used twice, not
//! even after a trim or a deletion. Each event has a position ([`Position`](backstay_model::Position)) in the log as well:
//!
//! ```text
//! position    7     8     90     4_711    4_712    9_000_001    9_000_002
//! topic a     1     2               3                                  4    <- numbers: dense
//! topic b                 1                  2            3
//!                                            ^                         ^
//!                                            |                         acknowledged; a read by topic shows it
//!                                            readable horizon: `changed` gave 4_712, `read_all` ends here
//! ```
//!
//! * A position is opaque. It is compared and handed back; nobody computes with it. Positions rise within a topic. Between two
//!   of them there MAY be a gap of any size. Position 0 is before every event, and no position is above 2^63 - 1.
//! * Within a topic, appends are numbered in the order in which one caller handed them over. Between topics, and between callers,
//!   no order is promised.
//! * The *readable horizon* is a position up to which the log is complete: nothing is ever added at or below it. It only
//!   rises. It MAY lag behind an acknowledgement.
//!
//! # Appends
//!
//! * An append is atomic over all its topics: all of it is there, or nothing.
//! * Facts need the topic's current epoch. Inputs need an open topic, and nothing else.
//! * An acknowledged append lasts as its [`Durability`] says.
//! * A subscriber gets every event of its topic once and in order, whoever appended it.
//!
//! # Incarnations
//!
//! A log lives through incarnations: a boot, a crash of its server, a failover and a restore each begin another one. A new
//! incarnation MUST draw positions above all that the last one can have drawn, also above those that were lost with the last
//! one. So a cursor behind a lost event is told as [`CursorError::Lost`](crate::CursorError::Lost), and never as one of
//! another event.
//!
//! # Who needs what
//!
//! [`LogReader`] reads and follows, [`LogWriter`] appends, [`LogOwnership`] claims topics, [`LogIndex`] finds topics without
//! reading them, [`FoldCache`] keeps folds, [`LogMaintenance`] tells how the log itself is. [`Log`] is all of them.

mod append;
mod fold;
mod incarnation;
mod index;
mod log;
mod ownership;
mod read;

pub use append::{
    Appended, AppendedTopic, Authority, Batch, Durability, LogWriter, NewEvent, Precondition, SubmitResult,
    TopicAppend, TopicTransition,
};
pub use fold::{FoldCache, FoldSnapshot};
pub use incarnation::{Incarnation, IncarnationCause, LogMaintenance};
pub use index::{
    EntryIndex, EntryKind, EntryRow, IndexState, LogIndex, TopicFilter, TopicIndex, TopicKind, TopicRow,
};
pub use log::Log;
pub use ownership::{
    ClaimMode, Claimed, HostId, LogOwnership, OwnerGuard, OwnerIdentity, OwnerState, OwnerView,
};
pub use read::{Direction, EventFilter, LogFuture, LogReader, Page};
