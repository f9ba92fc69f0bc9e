//! The whole log as one trait object.

use std::fmt;

use super::{FoldCache, LogIndex, LogMaintenance, LogOwnership, LogReader, LogWriter};

/// The event log: everything that a store promises. Cheap to share as `Arc<dyn Log>`.
///
/// No method blocks the caller's thread for longer than it takes to hand the work over. A
/// [`LogFuture`](super::LogFuture) MAY be awaited on any thread.
pub trait Log:
    LogReader + LogWriter + LogOwnership + LogIndex + FoldCache + LogMaintenance + fmt::Debug + 'static
{
}

impl<T> Log for T where
    T: LogReader + LogWriter + LogOwnership + LogIndex + FoldCache + LogMaintenance + fmt::Debug + 'static
{
}
