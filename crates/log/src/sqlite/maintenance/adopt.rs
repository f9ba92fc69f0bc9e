//! Adoption of a store that another user may have written: its caches are not trusted, and are built again from events.

use std::path::Path;

use backstay_model::{LogId, Timestamp, Topic};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::schema;
use super::super::{error_map, incarnation};
use super::exclusive::ExclusiveStore;
use super::skip_positions::SkippedPositions;
use crate::clock::draw_log_id;
use crate::contract::{EntryIndex, IncarnationCause, TopicIndex};
use crate::error::{InspectError, StoreError};

/// The index rows of a topic, rebuilt from its events.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuiltIndex {
    /// The topic.
    pub topic: Topic,
    /// Its index row.
    pub index: TopicIndex,
    /// Its entries.
    pub entries: Vec<EntryIndex>,
}

/// Gives the log in `store` a new id, because another folder has the same log and keeps the old id. Cursors of that log are refused here
/// from now on. Blocks.
///
/// # Errors
/// [`InspectError`] if the database cannot be written, or the system gives no random numbers.
pub fn assign_new_log_id(store: &ExclusiveStore, now: Timestamp) -> Result<LogId, InspectError> {
    let path = store.folder().join("log.db");
    let id = draw_log_id(now)?;
    let connection = connect(&path)?;
    let written =
        connection.execute("UPDATE meta SET log_id = ?1, generation = generation + 1", [id.to_string()]);
    written.map_err(|source| error_map::sqlite("write", &path, source))?;
    Ok(id)
}

/// Opens a connection whose commits are on the disk when they return.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = schema::connect_writer(path)?;
    let failed = |source| error_map::sqlite("write", path, source);
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

/// Removes the snapshots of folds, idempotency keys and live events, and writes the index rows in `fresh`. A topic that is not in `fresh`
/// keeps its row without a `wake_at`. Another incarnation begins. The store has the current format. Blocks.
///
/// # Errors
/// [`InspectError`] if the database cannot be written.
pub fn rebuild_index(
    store: &ExclusiveStore,
    fresh: &[RebuiltIndex],
    now: Timestamp,
) -> Result<SkippedPositions, InspectError> {
    let path = store.folder().join("log.db");
    let mut connection = connect(&path)?;
    let failed = |source| error_map::sqlite("write", &path, source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    transaction
        .execute_batch(
            "DELETE FROM snapshot; DELETE FROM entry; DELETE FROM key; DELETE FROM live; \
             UPDATE topic SET wake_at = NULL;",
        )
        .map_err(failed)?;
    for topic in fresh {
        let labels = serde_json::to_string(&topic.index.labels)
            .map_err(|error| StoreError::Corrupt { location: (&path).into(), what: error.to_string() })?;
        write(&transaction, topic, &labels).map_err(failed)?;
    }
    let begun = incarnation::begin(&transaction, IncarnationCause::Adoption, now).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(begun.into())
}

fn write(transaction: &Transaction<'_>, topic: &RebuiltIndex, labels: &str) -> rusqlite::Result<()> {
    let RebuiltIndex { topic: name, index, entries } = topic;
    let id: i64 =
        transaction.query_row("SELECT id FROM topic WHERE name = ?1", [name.as_str()], |row| row.get(0))?;
    transaction.execute(
        "UPDATE topic SET kind = ?2, state = ?3, labels = ?4, wake_at = ?5, summary = ?6 WHERE id = ?1",
        (
            id,
            index.kind.as_str(),
            index.state.as_str(),
            labels,
            index.wake_at.map(Timestamp::as_micros),
            index.summary.as_str(),
        ),
    )?;
    for entry in entries {
        transaction.execute(
            "INSERT INTO entry (kind, id, topic_id, state, due_at, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                entry.kind.as_str(),
                &entry.id,
                id,
                entry.state.as_str(),
                entry.due_at.map(Timestamp::as_micros),
                entry.summary.as_str(),
            ),
        )?;
    }
    Ok(())
}
