//! The store in a folder: one SQLite database that several processes share without a daemon.
//!
//! How they take turns, and why nothing in memory is believed before it was checked, is in `docs/formats.md`.

mod bell;
pub mod care;
mod checkpoint;
mod claim;
mod commit;
mod core;
mod database_files;
mod fault;
mod fetch;
mod filesystem;
mod flush;
mod flush_index;
mod folds;
mod group;
mod keys;
mod kinds;
mod lock;
mod open;
mod open_here;
mod owners;
mod packed;
mod packing;
mod page;
mod patience;
mod placed;
mod places;
mod queue;
mod readers;
mod rows;
mod schema;
mod snapshot;
mod sql;
mod store;
mod sum;
mod tail;
mod trim;
mod wal;
mod writer;

pub use open::{Boot, OpenOptions};
pub use store::SqliteLog;
