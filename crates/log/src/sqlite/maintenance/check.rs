//! A check of a store: every event against its neighbours, the index against the events, and rows against events.
//!
//! It is one read transaction, so that concurrent appends are not taken for damage.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use backstay_model::{OwnerId, Seq, Timestamp, Topic};
use rusqlite::Connection;

use super::super::packed::Unpacker;
use super::super::pending_index::StoreState;
use super::super::sql::unsigned;
use super::events::{self, Key};
use super::exclusive::ExclusiveStore;
use super::findings::{CheckReport, Finding, Inspect, InspectedTopic};
use super::index;
use super::read_only::ReadOnlyStore;
use crate::contract::{EntryIndex, EntryKind, IndexState, TopicIndex, TopicKind};
use crate::error::{InspectError, OpenError, StoreError};

/// The most messages of SQLite's own check.
const MESSAGES_MAX: i64 = 100;

/// A row of `topic`, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) floor: u64,
    closed: bool,
    epoch: u64,
    owner: Option<String>,
    index: Option<TopicIndex>,
}

/// Checks the store in `folder` and shows every event to `inspect`. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be read for a reason that is not damage.
pub fn check(folder: &Path, inspect: &mut dyn Inspect) -> Result<CheckReport, InspectError> {
    check_opened(ReadOnlyStore::open(folder), inspect)
}

/// The same for a store that this process has open exclusively.
///
/// # Errors
/// As [`check`].
pub fn check_exclusive(
    store: &ExclusiveStore,
    inspect: &mut dyn Inspect,
) -> Result<CheckReport, InspectError> {
    check_opened(ReadOnlyStore::open_exclusive(store), inspect)
}

fn check_opened(
    opened: Result<ReadOnlyStore, InspectError>,
    inspect: &mut dyn Inspect,
) -> Result<CheckReport, InspectError> {
    let mut report = CheckReport::default();
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(error) => return unreadable(error),
    };
    let path = opened.path.clone();
    let transaction = match opened.begin() {
        Ok(transaction) => transaction,
        Err(error) => return unreadable(error.into()),
    };
    own_check(&transaction, &mut report.findings);
    let keys = events::keys(&transaction, &mut report.findings);
    let entries = index::entries(&transaction, &mut report.findings);
    let rows = topic_rows(&transaction, &mut report.findings);
    let known = |id: i64| {
        rows.get(&id).map_or_else(|| (format!("topic {id}"), 0), |row| (row.name.clone(), row.floor))
    };
    match StoreState::read(&transaction) {
        Ok(state) => index::compare(&keys, &entries, &state.marks, &known, &mut report.findings),
        Err(error) => report
            .findings
            .push(Finding::Database { what: format!("how far the log is cannot be read: {error}") }),
    }
    match index::names(&transaction) {
        Ok(odd) => report.findings.extend(odd.into_iter().map(|(id, seq)| {
            let what = "the index has other names for its kind or scope".to_owned();
            Finding::Index { topic: known(id).0, seq: Seq(seq), what }
        })),
        Err(error) => {
            report.findings.push(Finding::Database { what: format!("names cannot be compared: {error}") })
        }
    }
    let unpacker = Unpacker::new(&transaction);
    let mut checker =
        Checker { connection: &transaction, unpacker, entries: &entries, report: &mut report, inspect };
    checker.owners(&rows);
    let mut ids: HashSet<i64> = rows.keys().copied().collect();
    ids.extend(keys.iter().map(|key| key.topic));
    ids.extend(entries.iter().map(|entry| entry.topic));
    let mut ids: Vec<i64> = ids.into_iter().collect();
    ids.sort_unstable();
    for id in ids {
        let from = keys.partition_point(|key| key.topic < id);
        let to = keys.partition_point(|key| key.topic <= id);
        checker.topic(id, rows.get(&id), &keys[from..to]);
    }
    drop(transaction);
    tracing::debug!(path = %path.display(), findings = report.findings.len(), "a store was checked");
    inspect.finish();
    Ok(report)
}

/// Returns damage that prevents opening the database as a finding.
fn unreadable(error: InspectError) -> Result<CheckReport, InspectError> {
    let what = match error {
        InspectError::Open(OpenError::Store(StoreError::Corrupt { what, .. }))
        | InspectError::Store(StoreError::Corrupt { what, .. }) => what,
        InspectError::Open(OpenError::Store(StoreError::Backend { source, .. }))
        | InspectError::Store(StoreError::Backend { source, .. }) => source.to_string(),
        InspectError::Open(OpenError::NotAStore { what, .. }) if what == "not a database" => what,
        other => return Err(other),
    };
    let what = format!("nothing of it was looked at: {what}");
    Ok(CheckReport { findings: vec![Finding::Database { what }], ..CheckReport::default() })
}

fn own_check(connection: &Connection, findings: &mut Vec<Finding>) {
    let checked = (|| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MESSAGES_MAX})"))?;
        let messages = statement.query_map((), |row| row.get(0))?;
        messages.collect()
    })();
    match checked {
        Ok(messages) => {
            findings.extend(
                messages.into_iter().filter(|what| what != "ok").map(|what| Finding::Database { what }),
            );
        }
        Err(error) => findings.push(Finding::Database { what: error.to_string() }),
    }
}

pub(super) fn topic_rows(connection: &Connection, findings: &mut Vec<Finding>) -> BTreeMap<i64, Row> {
    let mut found = BTreeMap::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT id, name, floor, closed, epoch, owner, kind, state, labels, wake_at, summary FROM topic ORDER BY id",
        )?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (index, what) = index_of(row);
            let made = Row {
                name: row.get(1)?,
                floor: unsigned(row, 2)?,
                closed: row.get(3)?,
                epoch: unsigned(row, 4)?,
                owner: row.get(5)?,
                index,
            };
            if let Some(what) = what {
                findings.push(Finding::Row { topic: made.name.clone(), what });
            }
            found.insert(row.get(0)?, made);
        }
        Ok(())
    };
    if let Err(error) = read() {
        findings.push(Finding::Database { what: format!("the rows of topics cannot be read: {error}") });
    }
    found
}

/// Returns the index row, and the damage of one that cannot be read.
fn index_of(row: &rusqlite::Row<'_>) -> (Option<TopicIndex>, Option<String>) {
    let read = || -> Result<Option<TopicIndex>, String> {
        let say = |error: rusqlite::Error| error.to_string();
        let Some(kind) = row.get::<_, Option<String>>(6).map_err(say)? else { return Ok(None) };
        let labels: String = row.get(8).map_err(say)?;
        let summary: String = row.get(10).map_err(say)?;
        Ok(Some(TopicIndex {
            kind: TopicKind::from_name(kind),
            state: IndexState::from_name(row.get(7).map_err(say)?),
            labels: serde_json::from_str(&labels).map_err(|error| error.to_string())?,
            wake_at: row.get::<_, Option<i64>>(9).map_err(say)?.map(Timestamp::from_micros),
            summary: backstay_model::Payload::from_text(summary).map_err(|error| error.to_string())?,
        }))
    };
    match read() {
        Ok(index) => (index, None),
        Err(error) => (None, Some(format!("its index row cannot be understood: {error}"))),
    }
}

/// The state of a check.
struct Checker<'l> {
    connection: &'l Connection,
    unpacker: Unpacker<'l>,
    entries: &'l [index::Entry],
    report: &'l mut CheckReport,
    inspect: &'l mut dyn Inspect,
}

impl Checker<'_> {
    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Checks that the owners of topics are known, and that a topic that ended has none.
    fn owners(&mut self, rows: &BTreeMap<i64, Row>) {
        let known = (|| -> rusqlite::Result<HashSet<String>> {
            let mut statement = self.connection.prepare("SELECT id FROM owner")?;
            statement.query_map((), |row| row.get(0))?.collect()
        })();
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                return self.find(Finding::Database { what: format!("the owners cannot be read: {error}") });
            }
        };
        for row in rows.values() {
            let Some(owner) = &row.owner else { continue };
            let odd = |what: &str| Finding::Row {
                topic: row.name.clone(),
                what: format!("its owner {owner} {what}"),
            };
            if owner.parse::<OwnerId>().is_err() {
                self.find(odd("is not an owner's id"));
            } else if !known.contains(owner) {
                self.find(odd("is not registered"));
            } else if row.closed {
                self.find(odd("should have given it up at its end"));
            } else if row.epoch == 0 {
                self.find(odd("has no epoch"));
            }
        }
    }

    /// Checks one topic with its readable events.
    fn topic(&mut self, id: i64, row: Option<&Row>, keys: &[Key]) {
        self.report.topics += 1;
        let name = row.map_or_else(|| format!("topic {id}"), |row| row.name.clone());
        if row.is_none() {
            self.find(Finding::Row { topic: name.clone(), what: "its row is not there".to_owned() });
        }
        let floor = row.map_or(0, |row| row.floor);
        let keys = &keys[keys.partition_point(|key| key.seq <= floor)..];
        let mut is_whole = self.numbers(id, &name, floor, keys);
        self.neighbours(&name, floor, keys);
        let Ok(topic) = name.parse::<Topic>() else {
            if row.is_some() {
                self.find(Finding::Row { topic: name, what: "its name is none of a topic".to_owned() });
            }
            return;
        };
        for key in keys {
            self.report.events += 1;
            match events::whole(&mut self.unpacker, &topic, Seq(key.seq), key.g) {
                Ok(whole) => {
                    if !whole.matches_checksum {
                        let what = "it is not what was written: its check value is another one".to_owned();
                        let (topic, seq) = (name.clone(), Seq(key.seq));
                        self.find(Finding::EventDamaged { topic, seq, what });
                    }
                    self.inspect.event(&whole.recorded);
                }
                Err(what) => {
                    is_whole = false;
                    self.find(Finding::EventDamaged { topic: name.clone(), seq: Seq(key.seq), what });
                }
            }
        }
        let Some(row) = row else { return };
        let inspected = InspectedTopic {
            entries: self.entries_of(id, &name),
            topic,
            index: row.index.clone(),
            closed: row.closed,
            owner: row.owner.as_ref().and_then(|owner| owner.parse().ok()),
            epoch: backstay_model::Epoch(row.epoch),
            floor: Seq(row.floor),
            is_whole,
            is_deleted: row.index.is_none() && row.floor > 0 && keys.is_empty(),
        };
        self.inspect.topic_end(&inspected);
    }

    /// Checks that numbers are dense from the floor to the head. Returns false if some are missing.
    fn numbers(&mut self, id: i64, name: &str, floor: u64, keys: &[Key]) -> bool {
        let from = self.entries.partition_point(|entry| entry.topic < id);
        let to = self.entries.partition_point(|entry| entry.topic <= id);
        let indexed = self.entries[from..to].last().map_or(0, |entry| entry.seq);
        let mut expected = floor + 1;
        let mut is_whole = true;
        let lost =
            |from: u64, to: u64| Finding::EventsLost { topic: name.to_owned(), from: Seq(from), to: Seq(to) };
        for (index, key) in keys.iter().enumerate() {
            if index > 0 && keys[index - 1].seq == key.seq {
                let what = format!("two events have its number, at {} and {}", keys[index - 1].g, key.g);
                self.find(Finding::EventDamaged { topic: name.to_owned(), seq: Seq(key.seq), what });
                is_whole = false;
                continue;
            }
            if key.seq > expected {
                self.find(lost(expected, key.seq - 1));
                is_whole = false;
            }
            expected = key.seq + 1;
        }
        if indexed >= expected {
            self.find(lost(expected, indexed));
            is_whole = false;
        }
        is_whole
    }

    /// Checks what each event says of its neighbours.
    fn neighbours(&mut self, name: &str, floor: u64, keys: &[Key]) {
        for (index, key) in keys.iter().enumerate() {
            let next = keys.get(index + 1).filter(|next| next.seq == key.seq + 1);
            let mut odd = Vec::new();
            if key.last_input != key.seq && key.last_fact != key.seq {
                odd.push("it says that it is neither an input nor a fact".to_owned());
            }
            if key.has_more() && next.is_none() && index + 1 == keys.len() {
                odd.push("its batch goes on, and nothing is behind it".to_owned());
            }
            if let Some(next) = next {
                let (input, fact) = if next.is_input() {
                    (next.seq, key.last_fact.max(floor))
                } else {
                    (key.last_input, next.seq)
                };
                if (next.last_input, next.last_fact.max(floor)) != (input, fact) {
                    odd.push(format!(
                        "the one behind it says that the last input is {} and the last fact {}",
                        next.last_input, next.last_fact
                    ));
                }
                if next.g <= key.g {
                    odd.push(format!("the one behind it is at {}, it is at {}", next.g, key.g));
                }
                if key.has_more() && next.g != key.g + 1 {
                    odd.push("its batch goes on, and what is behind it is of another one".to_owned());
                }
                if next.at < key.at {
                    odd.push("the one behind it is older".to_owned());
                }
            }
            for what in odd {
                self.find(Finding::EventDamaged { topic: name.to_owned(), seq: Seq(key.seq), what });
            }
        }
    }

    fn entries_of(&mut self, id: i64, name: &str) -> Vec<EntryIndex> {
        let read = (|| -> rusqlite::Result<Vec<(EntryIndex, bool)>> {
            let mut statement = self
                .connection
                .prepare_cached("SELECT kind, id, state, due_at, summary FROM entry WHERE topic_id = ?1")?;
            let rows = statement.query_map([id], |row| {
                let text: String = row.get(4)?;
                let summary = backstay_model::Payload::from_text(text);
                let is_whole = summary.is_ok();
                let entry = EntryIndex {
                    kind: EntryKind::from_name(row.get(0)?),
                    id: row.get(1)?,
                    state: IndexState::from_name(row.get(2)?),
                    due_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
                    summary: summary.unwrap_or_else(|_damaged| backstay_model::Payload::from_trusted("null")),
                };
                Ok((entry, is_whole))
            })?;
            rows.collect()
        })();
        match read {
            Ok(entries) => {
                for (entry, _) in entries.iter().filter(|(_, is_whole)| !is_whole) {
                    let what = format!("the row of {} {} cannot be understood", entry.kind, entry.id);
                    self.report.findings.push(Finding::Row { topic: name.to_owned(), what });
                }
                entries.into_iter().map(|(entry, _)| entry).collect()
            }
            Err(error) => {
                let what = format!("the rows of things in it cannot be read: {error}");
                self.find(Finding::Row { topic: name.to_owned(), what });
                Vec::new()
            }
        }
    }
}
