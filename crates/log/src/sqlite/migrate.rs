//! Older stores are brought to today's form when they are opened. Each version that was ever released stays readable: the
//! golden stores in the tests say so.

use std::path::Path;

use backstay_files::Dir;
use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use super::lock::{LockFile, Strength, Turnstile};
use super::schema::{self, FORMAT};
use crate::crash::crash_point;
use crate::error::OpenError;

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

/// From version 2 to version 3, in which events can be freed and folds be kept.
const TO_3: &str = "
CREATE TABLE sweep (
    topic_id INTEGER PRIMARY KEY,
    until_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE snapshot (
    topic_id INTEGER NOT NULL,
    fold TEXT NOT NULL,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    g INTEGER NOT NULL,
    digest TEXT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (topic_id, fold)
) STRICT, WITHOUT ROWID;
";

/// From version 3 to version 4, in which payloads of ended topics can be packed.
const TO_4: &str = "
CREATE TABLE pack (
    topic_id INTEGER PRIMARY KEY,
    closed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pack_closed ON pack (closed_at);
CREATE TABLE packed (
    id INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX packed_last ON packed (topic_id, last);
INSERT INTO pack (topic_id, closed_at) SELECT id, 0 FROM topic WHERE closed = 1;
";

/// What makes a store of each version one of the next.
const STEPS: [(i64, &str); 3] = [(1, TO_2), (2, TO_3), (3, TO_4)];

/// Brings the store at `path` to today's version if it is of an older one. No process may have it open as a store meanwhile.
pub(super) fn bring_up(connection: &mut Connection, folder: &Dir, path: &Path) -> Result<(), OpenError> {
    if !is_older(connection, path)? {
        return Ok(());
    }
    let alone = LockFile::open(folder, "store.lock", Strength::Exclusive)?;
    alone.acquire()?;
    let turnstile = Turnstile::open(folder)?;
    let _turn = turnstile.enter()?;
    // Another process may have done it while this one waited.
    let migrated = migrate(connection, path);
    alone.release();
    migrated
}

fn is_older(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    Ok(schema::version(connection, path)?.is_some_and(|version| version < FORMAT))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| fault::sqlite("migrate", path, source);
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    for (from, statements) in STEPS {
        if schema::version(connection, path)? == Some(from) {
            step(connection, from + 1, statements).map_err(failed)?;
            crash_point("log.migrate.after_commit");
        }
    }
    Ok(())
}

fn step(connection: &mut Connection, version: i64, statements: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", version)?;
    crash_point("log.migrate.before_commit");
    transaction.commit()
}
