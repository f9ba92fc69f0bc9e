//! The pending index: entries of events that the index in the database does not have yet, by topic.
//!
//! The index and the pending index together have every event up to `covered`. The [`Marks`] in the database tell which events are
//! in its index, so every process, also after a crash, splits the events in the same way.

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_model::{Position, Seq};
use rusqlite::{Connection, Row};

use super::sql::{position, stored, unsigned};
use crate::crash::crash_point;

/// With more names than this, names without waiting entries are dropped.
const NAMES_MAX: usize = 65_536;

/// Reads [`StoreState`].
pub(super) const STATE: &str = "SELECT (SELECT ifnull(max(g), 0) FROM event), (SELECT ifnull(max(g), 0) FROM live), g_floor, \
     generation, flushed, round_until, round_topic, round_g FROM meta";

const SCAN: &str = "SELECT g, topic_id, seq, kind, scope FROM event WHERE g > ?1 ORDER BY g";

/// Which events are in the database's index. Marks only grow, compared field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marks {
    /// Rises with each change that no row tells of.
    pub(super) generation: i64,
    /// Every event up to this position is in the index.
    pub(super) flushed: Position,
    /// A round of flushing writes the events up to this position; 0 if no round is under way.
    pub(super) until: Position,
    /// The round has written the topics before this one.
    pub(super) topic: i64,
    /// In that topic the round has written the events up to this position.
    pub(super) g: Position,
}

impl Marks {
    /// Returns whether the event at `g` of `topic` is in the index.
    pub(super) fn include(&self, topic: i64, g: Position) -> bool {
        g <= self.flushed || (g <= self.until && topic < self.topic) || (topic == self.topic && g <= self.g)
    }
}

/// The newest positions and marks of the database, of one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreState {
    /// The newest event.
    pub(super) events: Position,
    /// The newest position, also if it was skipped or its live event was removed.
    pub(super) newest: Position,
    /// The marks of the index.
    pub(super) marks: Marks,
}

impl StoreState {
    /// Reads it in the current transaction of `connection`.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<StoreState> {
        connection.prepare_cached(STATE)?.query_row((), StoreState::of)
    }

    fn of(row: &Row<'_>) -> rusqlite::Result<StoreState> {
        let events = position(row, 0)?;
        let marks = Marks {
            generation: row.get(3)?,
            flushed: position(row, 4)?,
            until: position(row, 5)?,
            topic: row.get(6)?,
            g: position(row, 7)?,
        };
        Ok(StoreState { events, newest: events.max(position(row, 1)?).max(position(row, 2)?), marks })
    }
}

/// One index entry. `kind` and `scope` are numbers of [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) g: Position,
    pub(super) seq: Seq,
    pub(super) kind: u32,
    pub(super) scope: u32,
}

/// Small numbers for names, valid in this process only.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Names {
    /// Returns the number of `text`, and draws one if it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.numbers.insert(text.clone(), number);
        self.texts.push(text);
        number
    }

    /// Returns the number of `text`, if it has one.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    fn text(&self, number: u32) -> Arc<str> {
        self.texts.get(number as usize).cloned().unwrap_or_default()
    }
}

/// One row of the index to be written. `kind` and `scope` are numbers of [`Names`].
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexRow {
    pub(super) topic: i64,
    pub(super) seq: Seq,
    pub(super) g: Position,
    pub(super) kind: u32,
    pub(super) scope: u32,
}

/// A step of a round: rows in the order of the index, and the marks after they are written.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) rows: Vec<IndexRow>,
    pub(super) names: HashMap<u32, Arc<str>>,
    pub(super) after: Marks,
}

/// The pending index of one process, shared by its writer and its readers.
#[derive(Debug, Default)]
pub(super) struct PendingIndex(Mutex<PendingEntries>);

/// The pending entries, and the position up to which they are complete.
#[derive(Debug, Default)]
pub(super) struct PendingEntries {
    marks: Marks,
    covered: Position,
    topics: BTreeMap<i64, Vec<Entry>>,
    count: usize,
    pub(super) names: Names,
}

impl PendingIndex {
    pub(super) fn lock(&self) -> MutexGuard<'_, PendingEntries> {
        // Nothing that is done under the lock panics halfway, so a poisoned lock still guards a valid state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingEntries {
    /// Brings the entries up to `state`, which `connection` reads in its transaction. Returns false if entries have moved into the
    /// index after that transaction began: the caller would miss them, and has to begin another transaction.
    pub(super) fn sync(&mut self, connection: &Connection, state: &StoreState) -> rusqlite::Result<bool> {
        if state.marks < self.marks {
            return Ok(false);
        }
        if state.marks.generation != self.marks.generation {
            *self = PendingEntries { marks: state.marks, ..PendingEntries::default() };
        }
        self.advance(state.marks);
        if state.events > self.covered {
            self.scan(connection)?;
            self.covered = self.covered.max(state.events);
        }
        Ok(true)
    }

    /// Reads the rows that neither this process nor the index has yet.
    fn scan(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        crash_point("log.pending_index.scan");
        let mut statement = connection.prepare_cached(SCAN)?;
        let mut rows = statement.query([stored(self.covered.max(self.marks.flushed).0)])?;
        while let Some(row) = rows.next()? {
            let (g, topic) = (position(row, 0)?, row.get(1)?);
            if self.marks.include(topic, g) {
                self.covered = self.covered.max(g);
                continue;
            }
            let kind = self.names.number(text(row, 3));
            let scope = self.names.number(text(row, 4));
            self.push(topic, Entry { g, seq: Seq(unsigned(row, 2)?), kind, scope });
        }
        Ok(())
    }

    /// Adds an event's entry, unless its position is covered already.
    pub(super) fn push(&mut self, topic: i64, entry: Entry) {
        if entry.g > self.covered {
            self.covered = entry.g;
            self.topics.entry(topic).or_default().push(entry);
            self.count += 1;
        }
    }

    /// Drops the entries that are in the index now.
    pub(super) fn advance(&mut self, marks: Marks) {
        if marks <= self.marks {
            return;
        }
        let before = std::mem::replace(&mut self.marks, marks);
        let same_round = before.flushed == marks.flushed && before.until == marks.until;
        let round_ended = before.until == marks.flushed && marks.until == Position(0);
        let from = if same_round || round_ended { before.topic } else { i64::MIN };
        let until = if before.flushed == marks.flushed { marks.topic } else { i64::MAX };
        let mut emptied = Vec::new();
        for (topic, entries) in self.topics.range_mut(from..=until) {
            let gone = entries.partition_point(|entry| marks.include(*topic, entry.g));
            entries.drain(..gone);
            self.count -= gone;
            if entries.is_empty() {
                emptied.push(*topic);
            } else if entries.capacity() > 4 * entries.len() {
                entries.shrink_to_fit();
            }
        }
        for topic in emptied {
            self.topics.remove(&topic);
        }
        if self.count == 0 && self.names.texts.len() > NAMES_MAX {
            self.names = Names::default();
        }
    }

    /// Returns the number of pending entries.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Returns whether a process has begun a round that is not finished.
    pub(super) fn round_under_way(&self) -> bool {
        self.marks.until > Position(0)
    }

    /// Returns the pending entries of `topic`, by number.
    pub(super) fn of(&self, topic: i64) -> &[Entry] {
        self.topics.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// Returns the last number of every topic that has pending entries at or before `until`.
    pub(super) fn heads_until(&self, until: Position) -> HashMap<i64, Seq> {
        let head = |entries: &[Entry]| {
            let end = entries.partition_point(|entry| entry.g <= until);
            entries[..end].last().map(|entry| entry.seq)
        };
        self.topics.iter().filter_map(|(topic, entries)| Some((*topic, head(entries)?))).collect()
    }

    /// Returns the next step of the current round, or of a new one; `None` if nothing is pending.
    pub(super) fn step(&self, size: usize) -> Option<Step> {
        let mut marks = self.marks;
        if marks.until == Position(0) {
            if self.count == 0 {
                return None;
            }
            marks = Marks { until: self.covered, topic: i64::MIN, g: Position(0), ..marks };
        }
        let mut step =
            Step { rows: Vec::with_capacity(size.min(self.count)), names: HashMap::new(), after: marks };
        let mut last = [None; 2];
        for (topic, entries) in self.topics.range(marks.topic..) {
            for entry in entries.iter().take_while(|entry| entry.g <= marks.until) {
                if step.rows.len() == size {
                    return Some(step);
                }
                let Entry { g, seq, kind, scope } = *entry;
                for (number, last) in [kind, scope].into_iter().zip(&mut last) {
                    // Neighbours mostly have the same names.
                    if last.replace(number) != Some(number) {
                        step.names.entry(number).or_insert_with(|| self.names.text(number));
                    }
                }
                step.rows.push(IndexRow { topic: *topic, seq, g, kind, scope });
                (step.after.topic, step.after.g) = (*topic, g);
            }
        }
        step.after = Marks { flushed: marks.until, until: Position(0), topic: 0, g: Position(0), ..marks };
        Some(step)
    }
}

/// A damaged name is no reason to stop: it is only looked for, and the event itself says what is wrong with it.
fn text<'r>(row: &'r Row<'_>, index: usize) -> &'r str {
    row.get_ref(index).ok().and_then(|value| value.as_str().ok()).unwrap_or("\u{fffd}")
}

/// What a million waiting events would cost is this times a million; see the bound on how many may wait.
const _: () = assert!(size_of::<Entry>() <= 24);
