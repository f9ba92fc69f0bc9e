//! A reader's view: the rows of one read transaction and the pending index entries.

use std::collections::HashMap;

use backstay_model::{Kind, Position, Scope, Seq, Topic};
use rusqlite::{Connection, OptionalExtension};

use super::pending_index::{Entry, PendingIndex, StoreState};
use super::readers::ReadFailure;
use super::sql::unsigned;
use crate::contract::{Direction, EventFilter};

const SPAN: &str =
    "SELECT id, floor, (SELECT max(seq) FROM topic_event WHERE topic_id = id) FROM topic WHERE name = ?1";

/// One read transaction and the pending index.
pub(super) struct Snapshot<'s> {
    pub(super) connection: &'s Connection,
    pub(super) pending_index: &'s PendingIndex,
}

/// A topic in a reader's view.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) id: i64,
    pub(super) floor: Seq,
    pub(super) head: Seq,
    /// The wanted entries that are only in memory, in the wanted order.
    pub(super) waiting: Vec<Entry>,
    /// The first number that is only in memory; the numbers before it are in the index.
    pub(super) first_waiting: Option<Seq>,
}

/// Which pending entries are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) at: Seq,
    pub(super) direction: Direction,
    pub(super) count: usize,
}

impl Snapshot<'_> {
    /// Returns a topic with its wanted pending entries; `None` if it does not exist.
    pub(super) fn span(
        &self,
        topic: &Topic,
        wanted: Wanted,
        filter: Option<&EventFilter>,
    ) -> Result<Option<Span>, ReadFailure> {
        let found = self
            .connection
            .prepare_cached(SPAN)?
            .query_row([topic.as_str()], |row| {
                let floor = Seq(unsigned(row, 1)?);
                let indexed = row.get::<_, Option<i64>>(2)?.map_or(0, i64::cast_unsigned);
                Ok(Span { id: row.get(0)?, floor, head: Seq(indexed).max(floor), ..Span::default() })
            })
            .optional()?;
        let Some(mut span) = found else { return Ok(None) };
        let state = StoreState::read(self.connection)?;
        let mut pending_index = self.pending_index.lock();
        if !pending_index.sync(self.connection, &state)? {
            return Err(ReadFailure::IndexMovedOn);
        }
        let numbers = filter.map(|filter| Numbers::of(filter, &pending_index.names));
        // What was committed after the transaction began is not in its rows.
        let entries = pending_index.of(span.id);
        let entries = &entries[..entries.partition_point(|entry| entry.g <= state.events)];
        let entries = &entries[entries.partition_point(|entry| entry.seq <= span.floor)..];
        span.first_waiting = entries.first().map(|entry| entry.seq);
        if let Some(last) = entries.last() {
            span.head = span.head.max(last.seq);
        }
        let takes = |entry: &&Entry| numbers.as_ref().is_none_or(|numbers| numbers.take(entry));
        span.waiting = match wanted.direction {
            Direction::Forward => {
                let from = entries.partition_point(|entry| entry.seq <= wanted.at);
                entries[from..].iter().filter(takes).take(wanted.count).copied().collect()
            }
            Direction::Backward => {
                let to = entries.partition_point(|entry| entry.seq < wanted.at);
                entries[..to].iter().rev().filter(takes).take(wanted.count).copied().collect()
            }
        };
        Ok(Some(span))
    }

    /// Returns the heads of all topics that have pending entries.
    pub(super) fn heads(&self) -> Result<HashMap<i64, Seq>, ReadFailure> {
        let state = StoreState::read(self.connection)?;
        let mut pending_index = self.pending_index.lock();
        if !pending_index.sync(self.connection, &state)? {
            return Err(ReadFailure::IndexMovedOn);
        }
        Ok(pending_index.heads_until(state.events))
    }
}

/// A filter by the numbers of [`Names`](super::pending_index::Names).
struct Numbers {
    kinds: Option<Vec<u32>>,
    scopes: Option<Vec<u32>>,
}

impl Numbers {
    fn of(filter: &EventFilter, names: &super::pending_index::Names) -> Numbers {
        let EventFilter { kinds, scopes } = filter;
        let kinds: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
        let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        let numbers = |found: Vec<u32>, all: bool| (!all).then_some(found);
        Numbers {
            kinds: numbers(kinds.iter().filter_map(|kind| names.find(kind)).collect(), kinds.is_empty()),
            scopes: numbers(scopes.iter().filter_map(|scope| names.find(scope)).collect(), scopes.is_empty()),
        }
    }

    fn take(&self, entry: &Entry) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&entry.kind))
            && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&entry.scope))
    }
}

/// Wants no entries, only the head.
pub(super) const HEAD: Wanted = Wanted { at: Seq(u64::MAX), direction: Direction::Forward, count: 0 };

/// Wants the pending entry of one number.
pub(super) const fn only(seq: Seq) -> Wanted {
    Wanted { at: Seq(seq.0.saturating_sub(1)), direction: Direction::Forward, count: 1 }
}

/// Returns the position of the pending entry `seq`, if it was wanted.
pub(super) fn waiting_at(span: &Span, seq: Seq) -> Option<Position> {
    span.waiting.iter().find(|entry| entry.seq == seq).map(|entry| entry.g)
}
