//! The store in a folder: one SQLite database that several processes share without a daemon.
//!
//! How they take turns, and why nothing in memory is believed before it was checked, is in `docs/formats.md`.

mod bell;
mod claim;
mod commit;
mod fault;
mod filesystem;
mod keys;
mod lock;
mod open;
mod owners;
mod readers;
mod schema;
mod store;
mod writer;

pub use open::{Boot, OpenOptions};
pub use store::SqliteLog;
