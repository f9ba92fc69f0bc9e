//! Giving back what runs that have ended take: events, what their steps left, kept checkouts, blobs.
//!
//! A run that has not ended is never touched. Of one that is *retired* the record stays, as a blob that its last event names,
//! so lists and pages still show it; one that is *removed* is gone. What is freed in the log is gone at once for every
//! reader; files follow, and what a crash leaves of them goes with the next time.

mod archive;
mod blobs;
mod prune;
mod run_files;

pub use archive::{FreeError, Freed};
pub use prune::{ArchivedRun, PruneReport, Retention};
pub(crate) use run_files::remove_below;
