//! Sizes and owners of a store.

use std::path::{Path, PathBuf};

use backstay_model::{LogId, OwnerId, Timestamp};
use rusqlite::Connection;
use serde::Serialize;

use super::super::error_map;
use super::super::owners::OwnerLocks;
use super::super::schema::FORMAT;
use super::super::sql::unsigned;
use super::exclusive::holders;
use super::read_only::ReadOnlyStore;
use crate::contract::OwnerState;
use crate::error::{InspectError, StoreError};

/// A store in numbers. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct StoreInfo {
    /// The log's id.
    pub log: LogId,
    /// The version of its tables.
    pub format: i64,
    /// When the store was made.
    pub created_at: Timestamp,
    /// Size of the database without its write-ahead log.
    pub database_bytes: u64,
    /// Free space in it, which is used again.
    pub free_bytes: u64,
    /// Size of the write-ahead log, which is allocated in advance.
    pub wal_bytes: u64,
    /// The number of events.
    pub events: u64,
    /// Size of their payloads.
    pub event_bytes: u64,
    /// Size of the payloads of live events.
    pub live_bytes: u64,
    /// Topics, by name.
    pub topics: Vec<TopicSize>,
    /// Living owners, as they registered.
    pub owners: Vec<LiveOwner>,
    /// Every process that has the store open, owner or not; empty where the system does not tell.
    pub open_in: Vec<u32>,
}

/// The size of one topic in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicSize {
    /// Its name.
    pub topic: String,
    /// The number of its events.
    pub events: u64,
    /// Bytes of their payloads; packed ones count as stored.
    pub event_bytes: u64,
}

/// A living owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveOwner {
    /// Its id.
    pub owner: String,
    /// The name of its machine.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// The number of topics that it owns.
    pub topics: u64,
}

/// Returns the sizes of the store in `folder`. Its database is read in the folder `database`, which is the same or has a copy of it.
/// Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store or cannot be read.
pub fn info(folder: &Path, database: &Path) -> Result<StoreInfo, InspectError> {
    let open_in = holders(&folder.join("store.lock"))?;
    let mut store = ReadOnlyStore::open(database)?;
    let path = store.path.clone();
    let locks = OwnerLocks::new(folder.join("owners"));
    let transaction = store.begin()?;
    let failed = |source| error_map::sqlite("read", &path, source);
    let (log, created_at) = transaction
        .query_row("SELECT log_id, created_at FROM meta", (), |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?))
        })
        .map_err(failed)?;
    let log = log.parse().map_err(|invalid: backstay_model::InvalidId| StoreError::Corrupt {
        location: (&path).into(),
        what: invalid.to_string(),
    })?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| unsigned(row, 0)).map_err(failed);
    let page_bytes = pragma("page_size")?;
    let topics = topics(&transaction).map_err(failed)?;
    let live_bytes = transaction
        .query_row("SELECT ifnull(sum(octet_length(payload)), 0) FROM live", (), |row| unsigned(row, 0))
        .map_err(failed)?;
    let owners = owners(&transaction, &locks, &path)?;
    Ok(StoreInfo {
        log,
        format: FORMAT,
        created_at: Timestamp::from_micros(created_at),
        database_bytes: page_bytes * pragma("page_count")?,
        free_bytes: page_bytes * pragma("freelist_count")?,
        wal_bytes: wal_bytes(&path)?,
        events: topics.iter().map(|topic| topic.events).sum(),
        event_bytes: topics.iter().map(|topic| topic.event_bytes).sum(),
        live_bytes,
        topics,
        owners,
        open_in,
    })
}

fn wal_bytes(database: &Path) -> Result<u64, StoreError> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let path = PathBuf::from(name);
    match std::fs::symlink_metadata(&path) {
        Ok(there) => Ok(there.len()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(error_map::io("look at", &path, source)),
    }
}

fn topics(connection: &Connection) -> rusqlite::Result<Vec<TopicSize>> {
    let mut statement = connection.prepare(
        "SELECT topic.name, ifnull(room.events, 0), ifnull(room.size_bytes, 0) + \
         (SELECT ifnull(sum(length(data)), 0) FROM packed WHERE packed.topic_id = topic.id) FROM topic LEFT JOIN \
         (SELECT topic_id, count(*) AS events, sum(octet_length(payload)) AS size_bytes FROM event GROUP BY topic_id) room \
         ON room.topic_id = topic.id ORDER BY topic.name",
    )?;
    let rows = statement.query_map((), |row| {
        Ok(TopicSize { topic: row.get(0)?, events: unsigned(row, 1)?, event_bytes: unsigned(row, 2)? })
    })?;
    rows.collect()
}

fn owners(connection: &Connection, locks: &OwnerLocks, path: &Path) -> Result<Vec<LiveOwner>, StoreError> {
    let read = || -> rusqlite::Result<Vec<LiveOwner>> {
        let mut statement = connection.prepare(
            "SELECT owner.id, host, pid, (SELECT count(*) FROM topic WHERE topic.owner = owner.id) FROM owner ORDER BY owner.id",
        )?;
        let rows = statement.query_map((), |row| {
            Ok(LiveOwner {
                owner: row.get(0)?,
                host: row.get(1)?,
                pid: row.get(2)?,
                topics: unsigned(row, 3)?,
            })
        })?;
        rows.collect()
    };
    let mut living = Vec::new();
    for owner in read().map_err(|source| error_map::sqlite("read", path, source))? {
        let id: OwnerId = owner.owner.parse().map_err(|invalid: backstay_model::InvalidId| {
            StoreError::Corrupt { location: path.into(), what: invalid.to_string() }
        })?;
        if locks.state(id)? == OwnerState::Held {
            living.push(owner);
        }
    }
    Ok(living)
}
