//! Older stores are brought to today's form when they are opened. Each version that was ever released stays readable: the
//! golden stores in the tests say so.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use super::lock::{LockFile, Strength, Turnstile};
use super::schema::{self, FORMAT};
use crate::crash::crash_point;
use crate::error::{OpenError, StoreError};

/// From version 1, whose index by topic was a part of every append, to version 2.
const TO_2: &str = "
ALTER TABLE meta ADD COLUMN flushed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN round_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN round_topic INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN round_g INTEGER NOT NULL DEFAULT 0;
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE topic_event (
    topic_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    g INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    PRIMARY KEY (topic_id, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO name (text) SELECT kind FROM event UNION SELECT scope FROM event;
INSERT INTO topic_event (topic_id, seq, g, kind, scope)
    SELECT topic_id, seq, g, k.id, s.id FROM event
    JOIN name k ON k.text = event.kind JOIN name s ON s.text = event.scope ORDER BY topic_id, seq;
DROP INDEX event_seq;
UPDATE meta SET flushed = (SELECT ifnull(max(g), 0) FROM event), generation = generation + 1;
";

/// Brings the store at `path` to today's version if it is of an older one. No process may have it open as a store meanwhile.
pub(super) fn bring_up(connection: &mut Connection, folder: &Path, path: &Path) -> Result<(), OpenError> {
    if !is_older(connection, path)? {
        return Ok(());
    }
    let alone = LockFile::open(&folder.join("store.lock"), Strength::Exclusive)?;
    alone.acquire()?;
    let turnstile = Turnstile::open(folder)?;
    let _turn = turnstile.enter()?;
    // Another process may have done it while this one waited.
    let migrated =
        if is_older(connection, path)? { to_2(connection, path).map_err(OpenError::from) } else { Ok(()) };
    alone.release();
    migrated
}

fn is_older(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    Ok(schema::version(connection, path)?.is_some_and(|version| version < FORMAT))
}

fn to_2(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let migrated = (|| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TO_2)?;
        transaction.pragma_update(None, "user_version", 2)?;
        crash_point("log.migrate.before_commit");
        transaction.commit()
    })();
    crash_point("log.migrate.after_commit");
    migrated.map_err(|source| fault::sqlite("migrate", path, source))
}
