//! The event log: its contract, and the stores that keep it.
//!
//! [`contract`] says in words and types what every store promises; the laws in this crate's tests hold each store to it.
//! [`MemoryLog`] forgets with the process; [`SqliteLog`] is one folder that several processes share without a daemon.

// What is printed is for the command to say: a macro that prints panics where nobody takes it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod blobs;
mod chunk;
pub mod clock;
pub mod contract;
pub mod crash;
pub mod cursor;
pub mod error;
mod judge;
mod memory;
mod rings;
mod room;
mod sqlite;
pub mod subscribe;
pub mod ticket;

pub use blobs::{BlobStore, BlobSum, Collected};
pub use chunk::Chunk;
pub use clock::{Clock, SystemClock};
pub use contract::{
    Afterwards, Appended, AppendedPart, Authority, Batch, ClaimMode, Claimed, Direction, Durability,
    EntryIndex, EntryRow, EventFilter, KeptFold, Log, NewEvent, OwnerGuard, OwnerIdentity, OwnerView, Page,
    Part, Pending, Precondition, SubmitResult, TopicFilter, TopicIndex, TopicRow,
};
pub use cursor::{Cursor, CursorError};
pub use error::{
    AloneError, AppendError, BlobError, ClaimError, DamagedEvent, InvalidBatch, LookError, Measure,
    OpenError, ReadError, ScrubError, StoreError,
};
pub use memory::MemoryLog;
pub use room::has_no_room;
pub use sqlite::{Boot, OpenOptions, SqliteLog, care};
pub use subscribe::{SharedDelivery, Subscription};
pub use ticket::Ticket;
