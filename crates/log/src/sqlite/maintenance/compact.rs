//! Compaction: gives the space of trimmed and deleted topics back to the file system.

use std::path::Path;

use backstay_model::Seq;
use rusqlite::{Connection, TransactionBehavior};

use super::super::error_map;
use super::super::schema;
use super::super::sql::{stored, unsigned};
use super::exclusive::ExclusiveStore;
use super::read_only;
use crate::error::{InspectError, StoreError};

/// With fewer free bytes the database is not rebuilt, because that takes as long as copying it.
const WORTH_BYTES: u64 = 256 * 1024;

/// The result of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the database and its write-ahead log before.
    pub before_bytes: u64,
    /// Bytes of both after.
    pub after_bytes: u64,
}

/// Removes trimmed rows, rebuilds the database without free pages, and truncates the write-ahead log. The content of the store does not
/// change. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be written. Trying again is safe.
pub fn compact(store: &ExclusiveStore) -> Result<Compacted, InspectError> {
    let path = store.folder().join("log.db");
    let before_bytes = size_bytes(store.folder())?;
    let mut connection = schema::connect_writer(&path)?;
    read_only::recognize(&connection, &path)?;
    let failed = |source| error_map::sqlite("compact", &path, source);
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    sweep(&mut connection).map_err(failed)?;
    truncate(&connection).map_err(failed)?;
    let page = |name| connection.pragma_query_value(None, name, |row| unsigned(row, 0)).map_err(failed);
    if page("freelist_count")? * page("page_size")? >= WORTH_BYTES {
        connection.execute_batch("VACUUM").map_err(failed)?;
        truncate(&connection).map_err(failed)?;
    }
    drop(connection);
    Ok(Compacted { before_bytes, after_bytes: size_bytes(store.folder())? })
}

/// Removes the rows in the table `sweep` and unused names in one transaction.
fn sweep(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let due: Vec<(i64, Seq)> = transaction
        .prepare("SELECT topic_id, until_seq FROM sweep")?
        .query_map((), |row| Ok((row.get(0)?, Seq(unsigned(row, 1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.execute(
        "DELETE FROM event WHERE EXISTS (SELECT 1 FROM sweep WHERE sweep.topic_id = event.topic_id AND event.seq <= sweep.until_seq)",
        (),
    )?;
    for (id, until) in due {
        let until = stored(until.0);
        transaction.execute("DELETE FROM topic_event WHERE topic_id = ?1 AND seq <= ?2", (id, until))?;
        super::super::packed::free(&transaction, id, until)?;
    }
    transaction.execute("DELETE FROM sweep", ())?;
    transaction.execute(
        "DELETE FROM name WHERE id NOT IN (SELECT kind FROM topic_event UNION SELECT scope FROM topic_event)",
        (),
    )?;
    transaction.execute("UPDATE meta SET generation = generation + 1", ())?;
    transaction.commit()
}

/// Moves the write-ahead log into the database, and truncates it.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if busy == 0 {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(code, Some("the write-ahead log is in use".to_owned())))
}

fn size_bytes(folder: &Path) -> Result<u64, StoreError> {
    ["log.db", "log.db-wal"].into_iter().try_fold(0, |sum, name| {
        let path = folder.join(name);
        match std::fs::metadata(&path) {
            Ok(there) => Ok(sum + there.len()),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(sum),
            Err(source) => Err(error_map::io("look at", &path, source)),
        }
    })
}
