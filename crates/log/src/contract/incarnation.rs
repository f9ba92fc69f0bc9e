//! The life of a log: its incarnations, and what of it is on stable storage.

use backstay_model::{Position, Timestamp};

use super::LogFuture;
use crate::error::{ReadError, StoreError};

/// Why an incarnation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncarnationCause {
    /// The log was made.
    Created,
    /// The machine was booted: `Buffered` appends may have been lost with the power.
    Boot,
    /// The store's server crashed: `Buffered` appends may have been lost.
    Crash,
    /// Another server took over: what it had not received was lost.
    Failover,
    /// The log was restored from a copy: what the original appended after the copy is not in it.
    Restore,
    /// The log was taken over from another user, machine or place.
    Adoption,
}

impl IncarnationCause {
    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IncarnationCause::Created => "created",
            IncarnationCause::Boot => "boot",
            IncarnationCause::Crash => "crash",
            IncarnationCause::Failover => "failover",
            IncarnationCause::Restore => "restore",
            IncarnationCause::Adoption => "adoption",
        }
    }

    /// Returns the cause with this stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<IncarnationCause> {
        [
            IncarnationCause::Created,
            IncarnationCause::Boot,
            IncarnationCause::Crash,
            IncarnationCause::Failover,
            IncarnationCause::Restore,
            IncarnationCause::Adoption,
        ]
        .into_iter()
        .find(|cause| cause.as_str() == name)
    }
}

/// One incarnation of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Its number: 1 for the first, and rising.
    pub number: u64,
    /// Why it began.
    pub cause: IncarnationCause,
    /// When it began.
    pub at: Timestamp,
    /// The newest position that is known of the incarnation before. Positions above it, up to `floor`, are lost: no event has
    /// one, though the incarnation before may have given it to one.
    pub lost_after: Position,
    /// All positions of this incarnation are above.
    pub floor: Position,
}

/// What the one who looks after a log needs of it.
pub trait LogMaintenance: Send + Sync {
    /// Returns the current incarnation.
    fn incarnation(&self) -> LogFuture<'_, Result<Incarnation, ReadError>>;

    /// Resolves to the newest position that this process knows of, once everything up to it is on stable storage.
    fn durable_position(&self) -> LogFuture<'_, Result<Position, StoreError>>;
}
