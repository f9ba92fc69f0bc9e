//! Giving back what runs that have ended take: events, what their steps left, kept checkouts, blobs.
//!
//! A run that has not ended is never touched. Of one that is *retired* the record stays, as a blob that its last event names,
//! so lists and pages still show it; one that is *removed* is gone. What is freed in the log is gone at once for every
//! reader; files follow, and what a crash leaves of them goes with the next time.

mod blobs;
mod leavings;
mod prune;
mod retire;

pub(crate) use leavings::remove_below;
pub use prune::{PruneReport, Retention, RetiredRun};
pub use retire::{FreeError, Freed};
