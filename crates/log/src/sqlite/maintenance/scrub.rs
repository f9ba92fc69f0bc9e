//! Removing a value from the database: from rows, free pages and the write-ahead log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backstay_model::{Payload, Recorded, Seq, Topic};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::super::error_map;
use super::super::packed::{self, DamagedBlock, Unpacker};
use super::super::schema;
use super::super::sql::unsigned;
use super::compact::truncate;
use super::events;
use super::exclusive::ExclusiveStore;
use super::json::{JsonText, Structural};
use super::mask::Secret;
use super::read_only;
use crate::error::ScrubError;

/// Texts beside events that are masked: table and column. They are caches of events, or are removed soon.
const TEXTS: [(&str, &str); 4] =
    [("topic", "labels"), ("topic", "summary"), ("entry", "summary"), ("live", "payload")];
/// Columns with names and ids. A value that is in one of them is refused.
const STRUCTURE: [(&str, &str); 17] = [
    ("meta", "log_id"),
    ("meta", "boot_id"),
    ("event", "kind"),
    ("event", "scope"),
    ("event", "trace"),
    ("topic", "name"),
    ("topic", "kind"),
    ("topic", "state"),
    ("entry", "kind"),
    ("entry", "id"),
    ("entry", "state"),
    ("key", "key"),
    ("owner", "id"),
    ("owner", "host"),
    ("owner", "host_id"),
    ("incarnation", "cause"),
    ("sqlite_schema", "sql"),
];
/// Tables that are only caches.
const CACHES: [&str; 1] = ["snapshot"];

/// The result of scrubbing the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseScrubbed {
    /// The number of events with the value.
    pub events: u64,
    /// The number of other rows with the value.
    pub rows: u64,
    /// Blocks of payloads that cannot be unpacked, so they may still have the value.
    pub damaged: Vec<DamagedBlock>,
}

/// Masks the value in the payloads of events and in index rows, and leaves none of it in the files of the database. `understood` decides
/// whether a masked event can still be decoded; if one cannot, nothing is changed. Blocks.
///
/// # Errors
/// [`ScrubError`]. What was masked until then stays masked, and trying again is safe.
pub fn scrub_database(
    store: &ExclusiveStore,
    secret: &Secret,
    understood: &mut dyn FnMut(&Recorded) -> Result<(), String>,
) -> Result<DatabaseScrubbed, ScrubError> {
    let path = store.folder().join("log.db");
    let mut connection = schema::connect_writer(&path)?;
    read_only::recognize(&connection, &path)?;
    let failed = |source| ScrubError::Store(error_map::sqlite("scrub", &path, source));
    // Cells that are overwritten are filled with zeros, and the commit is on the disk when it returns.
    connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    refuse_structure(&transaction, &path, secret)?;
    let has_it = |text: &str| secret.forms().iter().any(|form| text.contains(form.as_str()));
    // Blocks with the value are unpacked now and packed again later.
    let damaged = packed::restore_payloads(&transaction, &has_it).map_err(failed)?;
    let events = mask_events(&transaction, &path, secret, understood)?;
    let rows = mask_rows(&transaction, &path, secret)?;
    transaction.execute("UPDATE meta SET generation = generation + 1", ()).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    wipe(&connection).map_err(failed)?;
    Ok(DatabaseScrubbed { events, rows, damaged })
}

fn refuse_structure(transaction: &Transaction<'_>, path: &Path, secret: &Secret) -> Result<(), ScrubError> {
    for (table, column) in STRUCTURE {
        for form in secret.forms() {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE instr({column}, ?1))");
            let is_there: bool = transaction
                .query_row(&sql, [form], |row| row.get(0))
                .map_err(|source| ScrubError::Store(error_map::sqlite("scrub", path, source)))?;
            if is_there {
                let what = "things are found by it".to_owned();
                return Err(ScrubError::Structure {
                    place: format!("the column {column} of the table {table}"),
                    what,
                });
            }
        }
    }
    Ok(())
}

fn mask_events(
    transaction: &Transaction<'_>,
    path: &Path,
    secret: &Secret,
    understood: &mut dyn FnMut(&Recorded) -> Result<(), String>,
) -> Result<u64, ScrubError> {
    let failed = |source| ScrubError::Store(error_map::sqlite("scrub", path, source));
    let mut found: BTreeMap<u64, (String, u64)> = BTreeMap::new();
    for form in secret.forms() {
        let mut statement = transaction
            .prepare_cached(
                "SELECT event.g, topic.name, event.seq FROM event JOIN topic ON topic.id = event.topic_id \
                 WHERE instr(event.payload, ?1)",
            )
            .map_err(failed)?;
        let mut rows = statement.query([form]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let place = (|| Ok((unsigned(row, 0)?, (row.get(1)?, unsigned(row, 2)?))))().map_err(failed)?;
            found.insert(place.0, place.1);
        }
    }
    let mut changed = 0;
    for (g, (name, seq)) in &found {
        let odd = |what: String| ScrubError::Structure { place: format!("event {seq} of {name}"), what };
        let topic: Topic =
            name.parse().map_err(|invalid: backstay_model::InvalidTopic| odd(invalid.to_string()))?;
        let whole = events::whole(&mut Unpacker::new(transaction), &topic, Seq(*seq), *g).map_err(odd)?;
        let text = whole.recorded.payload.as_str();
        let (text, count) = secret
            .mask_json_text(text, JsonText::Internal)
            .map_err(|structural| odd(structural.to_string()))?;
        if count == 0 {
            continue;
        }
        changed += 1;
        let flags = whole.flags_with(&text);
        let payload = Payload::from_text(text).map_err(|invalid| odd(invalid.to_string()))?;
        understood(&Recorded { payload: payload.clone(), ..whole.recorded }).map_err(odd)?;
        transaction
            .prepare_cached("UPDATE event SET payload = ?2, flags = ?3 WHERE g = ?1")
            .and_then(|mut update| update.execute((g.cast_signed(), payload.as_str(), flags)))
            .map_err(failed)?;
    }
    Ok(changed)
}

fn mask_rows(transaction: &Transaction<'_>, path: &Path, secret: &Secret) -> Result<u64, ScrubError> {
    let failed = |source| ScrubError::Store(error_map::sqlite("scrub", path, source));
    let mut count = 0;
    for (table, column) in TEXTS {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for form in secret.forms() {
            let sql = format!("SELECT DISTINCT {column} FROM {table} WHERE instr({column}, ?1)");
            let mut statement = transaction.prepare(&sql).map_err(failed)?;
            let rows = statement.query_map([form], |row| row.get(0)).map_err(failed)?;
            for row in rows {
                found.insert(row.map_err(failed)?);
            }
        }
        for text in found {
            let odd = |structural: Structural| ScrubError::Structure {
                place: format!("a row of the table {table}"),
                what: structural.to_string(),
            };
            let (blank, blanked) = secret.mask_json_text(&text, JsonText::Internal).map_err(odd)?;
            if blanked > 0 {
                let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {column} = ?1");
                count += transaction.execute(&sql, (text, blank)).map_err(failed)? as u64;
            }
        }
    }
    drop_caches(transaction).map_err(failed)?;
    Ok(count)
}

fn drop_caches(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in CACHES {
        let is_there = transaction
            .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_row| {
                Ok(())
            })
            .optional()?;
        if is_there.is_some() {
            transaction.execute(&format!("DELETE FROM {table}"), ())?;
        }
    }
    Ok(())
}

/// Removes earlier values from free pages and from the write-ahead log.
fn wipe(connection: &Connection) -> rusqlite::Result<()> {
    truncate(connection)?;
    connection.execute_batch("VACUUM")?;
    truncate(connection)
}
