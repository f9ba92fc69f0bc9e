//! The event log: its contract, and the stores that keep it.
//!
//! [`contract`] says in words and types what every store promises; the laws in this crate's tests hold each store to it.
//! [`MemoryLog`] lives in memory; [`SqliteLog`] is a folder that several processes share without a daemon.

// Only the command prints: a printing macro panics when its output is closed.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod admission;
pub mod blobs;
mod chunk;
pub mod clock;
pub mod contract;
pub mod crash;
pub mod cursor;
mod disk_space;
pub mod error;
mod fanout;
pub mod limits;
mod memory;
pub mod prelude;
mod sqlite;
pub mod subscribe;
pub mod ticket;

pub use blobs::{BlobStore, BlobTotals, CollectedBlobs};
pub use chunk::Chunk;
pub use clock::{Clock, SystemClock};
pub use contract::{
    Appended, AppendedTopic, Authority, Batch, ClaimMode, Claimed, Direction, Durability, EntryIndex,
    EntryKind, EntryRow, EventFilter, FoldCache, FoldSnapshot, HostId, Incarnation, IncarnationCause,
    IndexState, Log, LogFuture, LogIndex, LogMaintenance, LogOwnership, LogReader, LogWriter, NewEvent,
    OwnerGuard, OwnerIdentity, OwnerState, OwnerView, Page, Precondition, SubmitResult, TopicAppend,
    TopicFilter, TopicIndex, TopicKind, TopicRow, TopicTransition,
};
pub use cursor::{Cursor, CursorError};
pub use disk_space::is_out_of_space;
pub use error::{
    AppendError, BlobError, Cause, ClaimError, DamagedEvent, ExclusiveError, InspectError, InvalidBatch,
    Location, Measure, OpenError, ReadError, ScrubError, StoreError,
};
pub use memory::MemoryLog;
pub use sqlite::{Boot, OpenOptions, SqliteLog, maintenance};
pub use subscribe::{SharedDelivery, Subscription};
pub use ticket::Ticket;
