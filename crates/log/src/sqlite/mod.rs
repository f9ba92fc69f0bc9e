//! The store in a folder: one SQLite database that several processes share without a daemon.
//!
//! `docs/formats.md` says how processes take turns at writing, and when a process trusts its cache.

mod backoff;
mod checkpoint;
mod claim;
mod commit;
mod database_file;
mod database_files;
mod error_map;
mod fetch;
mod filesystem;
mod flush;
mod flush_index;
mod fold_cache;
mod follower;
mod group;
mod idempotency;
mod incarnation;
mod kind_table;
mod lists;
mod lock;
pub mod maintenance;
mod open;
mod open_databases;
mod owners;
mod packed;
mod packing;
mod page;
mod pending_index;
mod positions;
mod queue;
mod readers;
mod row_checksum;
mod rows;
mod schema;
mod snapshot;
mod sql;
mod store;
mod trim;
mod wakeup;
mod wal;
mod writer;
mod writer_core;

pub use open::{Boot, OpenOptions};
pub use store::SqliteLog;
