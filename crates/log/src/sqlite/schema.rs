//! The database: its tables, its version, and how a connection is set up.

use std::path::Path;
use std::time::Duration;

use backstay_model::{LogId, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::database_files;
use super::error_map;
use super::incarnation;
use crate::clock::draw_log_id;
use crate::contract::IncarnationCause;
use crate::error::{OpenError, StoreError};

/// Marks the file as a store in its header: the bytes `Back`.
const APPLICATION_ID: i64 = 0x4261_636b;
/// The header of stores that were made while the formats were developed: the bytes `BKST`.
const DEVELOPMENT_APPLICATION_ID: i64 = 0x424b_5354;
/// The version of the tables and of their content.
pub(super) const FORMAT: i64 = 1;
/// SQLite's own wait for its lock. It is only a backstop, because writers hold the writer lock first.
const BUSY: Duration = Duration::from_secs(5);
/// The pause between two attempts to turn the write-ahead log on. A reader of one page is in the way, and SQLite cannot wait for it.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

const TABLES: &str = "
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    log_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    boot_id TEXT,
    g_floor INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    flushed INTEGER NOT NULL DEFAULT 0,
    round_until INTEGER NOT NULL DEFAULT 0,
    round_topic INTEGER NOT NULL DEFAULT 0,
    round_g INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE incarnation (
    number INTEGER PRIMARY KEY,
    cause TEXT NOT NULL,
    at INTEGER NOT NULL,
    lost_after INTEGER NOT NULL,
    floor INTEGER NOT NULL
) STRICT;
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    floor INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    kind TEXT,
    state TEXT,
    labels TEXT,
    wake_at INTEGER,
    summary TEXT
) STRICT;
CREATE INDEX topic_wake ON topic (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE event (
    g INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    last_input INTEGER NOT NULL,
    last_fact INTEGER NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    trace TEXT,
    payload TEXT NOT NULL
) STRICT;
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
CREATE TABLE live (
    g INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL,
    after_seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX live_scope ON live (topic_id, scope);
CREATE TABLE key (
    topic_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    nth INTEGER NOT NULL,
    nth_topic TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,
    g INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (topic_id, key, nth)
) STRICT, WITHOUT ROWID;
CREATE TABLE owner (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    host_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    renewals INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    topic_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER,
    summary TEXT NOT NULL,
    PRIMARY KEY (kind, id, topic_id)
) STRICT, WITHOUT ROWID;
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
";

/// More events of the batch follow in this topic.
pub(super) const FLAG_MORE: i64 = 1;
/// The event changes the topic's owner, epoch or `closed`.
pub(super) const FLAG_CONTROL: i64 = 2;

/// The event has no scope and no trace.
pub(super) const FLAG_PLAIN: i64 = 4;

/// Opens a connection that writes. The file must exist.
pub(super) fn connect_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    database_files::check(path)?;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| error_map::sqlite("open", path, e))?;
    connection
        .busy_timeout(BUSY)
        .and_then(|()| configure(&connection))
        .map_err(|e| error_map::sqlite("set up", path, e))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The page cache of a reading connection, in KiB. The system caches pages too, and there are several such connections: with the default
/// of 2 MB each, a process that follows a growing log would grow with it.
const READER_CACHE_KIB: i64 = 512;

/// Opens a connection that only reads.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    database_files::check(path)?;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| error_map::sqlite("open", path, e))?;
    connection
        .busy_timeout(BUSY)
        .and_then(|()| configure(&connection))
        .and_then(|()| connection.pragma_update(None, "query_only", true))
        .and_then(|()| connection.pragma_update(None, "cache_size", -READER_CACHE_KIB))
        .map_err(|e| error_map::sqlite("set up", path, e))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens a connection that moves the write-ahead log into the database.
pub(super) fn connect_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect_writer(path)?;
    connection
        .pragma_update(None, "synchronous", "NORMAL")
        .map_err(|e| error_map::sqlite("set up", path, e))?;
    Ok(connection)
}

/// The last close leaves the write-ahead log as it is: its blocks stay allocated, which makes flushing cheaper. And a statement is
/// planned once, not again for each bound value, which would cost more than most statements here.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A view or default in a database of another user must not call functions with side effects.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// The kind of a database.
pub(super) enum DatabaseKind {
    /// A store of today's format.
    Store,
    /// An empty database.
    Blank,
}

/// Recognizes the database at `path`.
///
/// # Errors
/// [`OpenError`] if it is not a store, or a store of another format.
pub(super) fn recognize(connection: &Connection, path: &Path) -> Result<DatabaseKind, OpenError> {
    let foreign = |source| foreign("open", path, source, "not a database");
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(foreign)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(foreign)?;
    match application {
        0 if tables == 0 => Ok(DatabaseKind::Blank),
        APPLICATION_ID => {
            match number("user_version").map_err(|source| error_map::sqlite("read", path, source))? {
                FORMAT => Ok(DatabaseKind::Store),
                found if found > FORMAT => {
                    Err(OpenError::NewerStore { location: path.into(), found, known: FORMAT })
                }
                _ => Err(OpenError::DevelopmentStore { location: path.into() }),
            }
        }
        DEVELOPMENT_APPLICATION_ID => Err(OpenError::DevelopmentStore { location: path.into() }),
        _ => {
            let what = "it is another program's database".to_owned();
            Err(OpenError::NotAStore { location: path.into(), what })
        }
    }
}

/// Creates the tables, or checks the existing ones. The caller holds the writer lock.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    now: Timestamp,
    boot: Option<&str>,
) -> Result<LogId, OpenError> {
    let failed = |source| OpenError::Store(error_map::sqlite("set up", path, source));
    match recognize(connection, path)? {
        DatabaseKind::Blank => {
            set_up(connection, path).map_err(failed)?;
            create(connection, path, now, boot)?;
        }
        DatabaseKind::Store => {
            set_up(connection, path).map_err(failed)?;
            note_boot(connection, now, boot).map_err(failed)?;
        }
    }
    let id: String = connection.query_row("SELECT log_id FROM meta", (), |row| row.get(0)).map_err(failed)?;
    id.parse().map_err(|invalid: backstay_model::InvalidId| {
        StoreError::Corrupt { location: path.into(), what: invalid.to_string() }.into()
    })
}

fn foreign(action: &'static str, path: &Path, source: rusqlite::Error, what: &str) -> OpenError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            OpenError::NotAStore { location: path.into(), what: what.to_owned() }
        }
        _ => error_map::sqlite(action, path, source).into(),
    }
}

pub(super) fn set_up(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let mode = write_ahead(connection)?;
    if mode != "wal" {
        tracing::warn!(path = %path.display(), mode, "the database does not use a write-ahead log");
    }
    // Commits are flushed afterwards, without a lock: see `flush`.
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// Turns the write-ahead log on. SQLite does not wait by itself while another process reads the file.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite gives nothing to wait for here, and the tries are bounded"
)]
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let mut tries = BUSY.as_millis() / BUSY_PAUSE.as_millis();
    loop {
        let changed = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match changed {
            Err(error) if tries > 0 && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                tries -= 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            changed => return changed,
        }
    }
}

fn create(
    connection: &mut Connection,
    path: &Path,
    now: Timestamp,
    boot: Option<&str>,
) -> Result<(), OpenError> {
    let id = draw_log_id(now)?;
    let made = (|| {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.execute(
            "INSERT INTO meta (id, log_id, created_at, boot_id, g_floor, generation) VALUES (1, ?1, ?2, ?3, 0, 0)",
            (id.to_string(), now.as_micros(), boot),
        )?;
        incarnation::create(&transaction, now)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    })();
    made.map_err(|source| error_map::sqlite("make", path, source).into())
}

/// Begins another incarnation after a new boot, because commits that were not flushed may be lost.
fn note_boot(connection: &mut Connection, now: Timestamp, boot: Option<&str>) -> rusqlite::Result<()> {
    let known: Option<String> = connection.query_row("SELECT boot_id FROM meta", (), |row| row.get(0))?;
    let Some(boot) = boot.filter(|boot| known.as_deref() != Some(*boot)) else { return Ok(()) };
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if known.is_some() {
        incarnation::begin(&transaction, IncarnationCause::Boot, now)?;
    }
    transaction.execute("UPDATE meta SET boot_id = ?1", [boot])?;
    transaction.commit()
}

/// The newest position of the log.
pub(super) const NEWEST: &str = "SELECT max((SELECT ifnull(max(g), 0) FROM event), (SELECT ifnull(max(g), 0) FROM live), g_floor) FROM meta";
