//! Fetching events by their positions.

use backstay_model::{Payload, Position, Recorded, Scope, Seq, Timestamp, Topic};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::kind_table;
use super::packed::{UnpackError, Unpacker};
use super::readers::ReadFailure;
use super::schema::{FLAG_MORE, FLAG_PLAIN};
use super::snapshot::Span;
use super::sql::stored;
use crate::contract::Direction;
use crate::error::{DamagedEvent, ReadError};

const SWEEP: &str = "SELECT seq, at, flags, kind, scope, trace, payload FROM event \
     WHERE g BETWEEN ?1 AND ?2 AND topic_id = ?3 ORDER BY g";
/// For positions without an event of another topic in between; the number of each row is checked.
const SWEEP_DENSE: &str = "SELECT seq, at, flags, kind, scope, trace, payload FROM event \
     WHERE g BETWEEN ?1 AND ?2 ORDER BY g";
const SWEEP_BACK: &str = "SELECT seq, at, flags, kind, scope, trace, payload FROM event \
     WHERE g BETWEEN ?1 AND ?2 AND topic_id = ?3 ORDER BY g DESC";
/// Events of a topic that are no further apart than this are read in one sweep.
const SWEEP_GAP: u64 = 8;

/// The number and position of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventLocation {
    pub(super) seq: Seq,
    pub(super) g: Position,
}

/// Fetches events by their positions, in the given order, until one cannot be read.
pub(super) struct Fetch<'s> {
    connection: &'s Connection,
    unpacker: Unpacker<'s>,
    topic: &'s Topic,
    id: i64,
    direction: Direction,
    pub(super) events: Vec<Recorded>,
    pub(super) failed: Option<ReadFailure>,
}

impl<'s> Fetch<'s> {
    pub(super) fn new(
        connection: &'s Connection,
        topic: &'s Topic,
        span: &Span,
        direction: Direction,
    ) -> Fetch<'s> {
        let unpacker = Unpacker::new(connection);
        Fetch { connection, unpacker, topic, id: span.id, direction, events: Vec::new(), failed: None }
    }

    pub(super) fn fail(&mut self, failed: ReadFailure) {
        self.failed.get_or_insert(failed);
    }

    /// Adds the events at `positions`.
    pub(super) fn get(&mut self, positions: &[EventLocation]) -> Result<(), ReadFailure> {
        self.events.reserve(positions.len());
        let mut rest = positions;
        while let Some(first) = rest.first()
            && self.failed.is_none()
        {
            let near = |pair: &[EventLocation]| pair[0].g.0.abs_diff(pair[1].g.0) <= SWEEP_GAP;
            let length = 1 + rest.windows(2).take_while(|pair| near(pair)).count();
            let (now, later) = rest.split_at(length);
            let last = now.last().unwrap_or(first);
            self.sweep(now, first.g.min(last.g), first.g.max(last.g))?;
            rest = later;
        }
        Ok(())
    }

    fn sweep(
        &mut self,
        positions: &[EventLocation],
        from: Position,
        to: Position,
    ) -> Result<(), ReadFailure> {
        let dense = to.0 - from.0 + 1 == positions.len() as u64;
        let sql = match self.direction {
            Direction::Forward if dense => SWEEP_DENSE,
            Direction::Forward => SWEEP,
            Direction::Backward => SWEEP_BACK,
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.raw_bind_parameter(1, stored(from.0))?;
        statement.raw_bind_parameter(2, stored(to.0))?;
        if sql != SWEEP_DENSE {
            statement.raw_bind_parameter(3, self.id)?;
        }
        let mut rows = statement.raw_query();
        let mut positions = positions.iter();
        while let Some(row) = rows.next()? {
            let seq = Seq(integer(row, 0)?.cast_unsigned());
            let Some(place) = positions.as_slice().first() else { break };
            if seq != place.seq {
                let between = match self.direction {
                    Direction::Forward => seq < place.seq,
                    Direction::Backward => seq > place.seq,
                };
                if between {
                    // An event that the filter does not select.
                    continue;
                }
                break;
            }
            positions.next();
            match decode(row, self.topic, *place, self.id, &mut self.unpacker) {
                Ok(event) => self.events.push(event),
                Err(failed @ ReadFailure::Read(_)) => {
                    self.fail(failed);
                    return Ok(());
                }
                Err(failed) => return Err(failed),
            }
        }
        if let Some(lost) = positions.next() {
            let failed = match self.direction {
                Direction::Forward => hole(self.topic, lost.seq, positions.as_slice()),
                Direction::Backward => missing(self.topic, lost.seq),
            };
            self.fail(failed);
        }
        Ok(())
    }

    /// Returns the events that could be read; an error only if none could.
    pub(super) fn done(self) -> Result<Vec<Recorded>, ReadFailure> {
        match self.failed {
            Some(failed) if self.events.is_empty() => Err(failed),
            _ => Ok(self.events),
        }
    }
}

pub(super) fn hole(topic: &Topic, expected: Seq, rest: &[EventLocation]) -> ReadFailure {
    match rest.first() {
        Some(next) => ReadFailure::Read(ReadError::Hole { topic: topic.clone(), expected, found: next.seq }),
        None => missing(topic, expected),
    }
}

fn missing(topic: &Topic, seq: Seq) -> ReadFailure {
    let what = "its row is not there".to_owned();
    ReadFailure::Read(DamagedEvent { topic: topic.clone(), seq, what }.into())
}

/// Reads a row, which is the event at `place` of `topic`, whose number in the database is `id`.
pub(super) fn decode(
    row: &Row<'_>,
    topic: &Topic,
    EventLocation { seq, g }: EventLocation,
    id: i64,
    unpacker: &mut Unpacker<'_>,
) -> Result<Recorded, ReadFailure> {
    let damaged = |what: String| ReadFailure::Read(DamagedEvent { topic: topic.clone(), seq, what }.into());
    let text = |index: usize| match row.get_ref(index)?.as_str() {
        Ok(text) => Ok(text),
        Err(error) => Err(damaged(error.to_string())),
    };
    let flags = integer(row, 2)?;
    let (scope, trace) = if flags & FLAG_PLAIN != 0 {
        (Scope::root(), None)
    } else {
        let trace = match row.get_ref(5)? {
            ValueRef::Null => None,
            _ => Some(text(5)?.to_owned()),
        };
        let scope =
            text(4)?.parse().map_err(|error: backstay_model::InvalidScope| damaged(error.to_string()))?;
        (scope, trace)
    };
    let kind = row.get_ref(3)?.as_bytes().map_err(|error| damaged(error.to_string()))?;
    let kind = kind_table::kind(kind).map_err(|error| damaged(error.to_string()))?;
    let payload = match text(6)? {
        "" => match unpacker.payload(id, seq) {
            Ok(payload) => payload,
            Err(UnpackError::Damaged(what)) => return Err(damaged(what)),
            Err(UnpackError::Sqlite(error)) => return Err(error.into()),
        },
        payload => payload,
    };
    if !looks_whole(payload) {
        return Err(damaged("its payload is cut off".to_owned()));
    }
    Ok(Recorded {
        topic: topic.clone(),
        seq,
        g,
        at: Timestamp::from_micros(integer(row, 1)?),
        kind,
        scope,
        payload: Payload::from_trusted(payload),
        trace,
        more: flags & FLAG_MORE != 0,
    })
}

/// Reads a number of the row. The tables are strict, so its column has nothing else.
fn integer(row: &Row<'_>, index: usize) -> Result<i64, ReadFailure> {
    match row.get_ref(index)? {
        ValueRef::Integer(number) => Ok(number),
        other => Err(ReadFailure::Corrupt(format!("a number is stored as {}", other.data_type()))),
    }
}

/// Returns whether a payload ends as it begins. It was checked when it was appended, so it is not parsed here.
fn looks_whole(payload: &str) -> bool {
    let ends = (payload.as_bytes().first(), payload.as_bytes().last());
    match ends {
        (Some(b'{'), Some(end)) => *end == b'}',
        (Some(b'['), Some(end)) => *end == b']',
        (Some(b'"'), Some(end)) => *end == b'"' && payload.len() > 1,
        (Some(_), Some(_)) => true,
        _ => false,
    }
}
