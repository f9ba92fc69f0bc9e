//! The traits of a log, for those who use a store by its own type: `use backstay_log::prelude::*`.

pub use crate::contract::{FoldCache, LogIndex, LogMaintenance, LogOwnership, LogReader, LogWriter};
