//! Pages of events.

use backstay_model::limits::{BATCH_EVENTS_MAX, PAGE_EVENTS_MAX};
use backstay_model::{Gap, Kind, LiveEvent, Payload, Position, Recorded, Scope, Seq, Timestamp, Topic};
use rusqlite::Connection;

use super::fetch::{EventLocation, Fetch, decode, hole};
use super::packed::Unpacker;
use super::readers::ReadFailure;
use super::snapshot::{Snapshot, Span, Wanted};
use super::sql::{position, stored, unsigned};
use crate::contract::{Direction, EventFilter, Page};

const READ_ALL: &str = "SELECT seq, at, flags, event.kind, scope, trace, payload, g, topic.name, topic_id FROM event \
     JOIN topic ON topic.id = event.topic_id WHERE g > ?1 AND seq > topic.floor ORDER BY g";
/// The least number of events to read for the end of a first batch.
const FURTHER_MIN: usize = 64;
/// Fewer events than this are always read by their positions.
const DENSE_MIN: u64 = 16;

const EMPTY: Page = Page { events: Vec::new(), head: Seq(0), gap: None };

/// Reads one page of `topic`.
pub(super) fn page(
    snapshot: &Snapshot<'_>,
    topic: &Topic,
    at: Seq,
    direction: Direction,
    limit: usize,
) -> Result<Page, ReadFailure> {
    let limit = limit.min(PAGE_EVENTS_MAX);
    // A page of whole batches may be longer than its limit by all but one event of a batch.
    let count = if direction == Direction::Forward { limit + BATCH_EVENTS_MAX } else { limit };
    let Some(span) = snapshot.span(topic, Wanted { at, direction, count }, None)? else { return Ok(EMPTY) };
    let gap = gap(&span, at, direction);
    let events = match direction {
        _ if limit == 0 => Vec::new(),
        Direction::Forward => forward(snapshot, topic, &span, at.max(span.floor).min(span.head), limit)?,
        Direction::Backward => {
            let before = at.min(span.head.next());
            let positions = positions(snapshot, &span, Wanted { at: before, direction, count: limit }, None)?;
            let mut fetch = Fetch::new(snapshot.connection, topic, &span, direction);
            let expected = Seq(before.0.saturating_sub(1));
            if positions.first().map(|place| place.seq).unwrap_or(span.floor) != expected.max(span.floor) {
                fetch.fail(hole(topic, expected, &positions));
            }
            fetch.get(&positions)?;
            fetch.done()?
        }
    };
    Ok(Page { events, head: span.head, gap })
}

fn gap(span: &Span, at: Seq, direction: Direction) -> Option<Gap> {
    (direction == Direction::Forward && at < span.floor).then_some(Gap {
        requested: at,
        first: span.floor.next(),
        head: span.head,
    })
}

/// Reads the events that `filter` selects. A page may end inside a batch.
pub(super) fn matching(
    snapshot: &Snapshot<'_>,
    topic: &Topic,
    at: Seq,
    direction: Direction,
    limit: usize,
    filter: &EventFilter,
) -> Result<Page, ReadFailure> {
    let wanted = Wanted { at, direction, count: limit.min(PAGE_EVENTS_MAX) };
    let Some(span) = snapshot.span(topic, wanted, Some(filter))? else { return Ok(EMPTY) };
    let numbers = StoredFilter::find(snapshot.connection, filter)?;
    let positions = positions(snapshot, &span, wanted, Some(&numbers))?;
    let mut fetch = Fetch::new(snapshot.connection, topic, &span, direction);
    fetch.get(&positions)?;
    Ok(Page { events: fetch.done()?, head: span.head, gap: gap(&span, at, direction) })
}

fn forward(
    snapshot: &Snapshot<'_>,
    topic: &Topic,
    span: &Span,
    after: Seq,
    limit: usize,
) -> Result<Vec<Recorded>, ReadFailure> {
    let mut fetch = Fetch::new(snapshot.connection, topic, span, Direction::Forward);
    let mut at = after;
    let mut count = limit;
    loop {
        let wanted = Wanted { at, direction: Direction::Forward, count };
        let mut positions = positions(snapshot, span, wanted, None)?;
        let dense = positions.iter().zip(at.0 + 1..).take_while(|(place, seq)| place.seq.0 == *seq).count();
        if dense < positions.len() {
            let failed = hole(topic, Seq(at.0 + dense as u64 + 1), &positions[dense..]);
            positions.truncate(dense);
            fetch.get(&positions)?;
            fetch.fail(failed);
        } else {
            fetch.get(&positions)?;
        }
        // Only a first batch that is longer than the page is read further.
        let is_open = fetch.events.iter().all(|event| event.more);
        match positions.last() {
            Some(last) if is_open && fetch.failed.is_none() && last.seq < span.head => at = last.seq,
            _ => break,
        }
        count = (count * 2).clamp(FURTHER_MIN, BATCH_EVENTS_MAX);
    }
    // The limit may be passed only by the first batch.
    let events = &fetch.events;
    let whole = |count: usize| events[..count].iter().rposition(|event| !event.more).map(|last| last + 1);
    let end = whole(limit.min(events.len()))
        .or_else(|| events.iter().position(|event| !event.more).map(|last| last + 1))
        .unwrap_or(0);
    if end == 0
        && let Some(failed) = fetch.failed.take()
    {
        return Err(failed);
    }
    fetch.events.truncate(end);
    Ok(fetch.events)
}

/// Returns the positions of the wanted events, in the wanted order, from the index and the pending index.
fn positions(
    snapshot: &Snapshot<'_>,
    span: &Span,
    wanted: Wanted,
    filter: Option<&StoredFilter>,
) -> Result<Vec<EventLocation>, ReadFailure> {
    let Wanted { at, direction, count } = wanted;
    let at = if direction == Direction::Forward { at.max(span.floor) } else { at };
    let wanted = Wanted { at, ..wanted };
    let waiting = span.waiting.iter().map(|entry| EventLocation { seq: entry.seq, g: entry.g });
    let mut found = Vec::with_capacity(count.min(span.waiting.len().max(64)));
    if filter.is_none()
        && let Some(run) = dense(snapshot.connection, span, wanted)?
    {
        return Ok(run);
    }
    match direction {
        Direction::Forward => {
            if span.first_waiting.is_none_or(|first| at.next() < first) {
                indexed(snapshot.connection, span, wanted, filter, &mut found)?;
            }
            let last = found.last().map_or(at, |last: &EventLocation| last.seq);
            if let Some(doubled) = span.waiting.iter().find(|entry| entry.seq <= last && entry.seq > at) {
                return Err(doubly(doubled.seq));
            }
            let rest = count.saturating_sub(found.len());
            found.extend(waiting.filter(|place| place.seq > last).take(rest));
        }
        Direction::Backward => {
            found.extend(waiting.filter(|place| place.seq < at).take(count));
            if found.len() < count {
                let before = span.first_waiting.map_or(at, |first| first.min(at));
                let rest = Wanted { at: before, count: count - found.len(), ..wanted };
                indexed(snapshot.connection, span, rest, filter, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Returns the positions of the wanted events if they are in the index and follow each other in the log: then the first and the last
/// tell the others.
fn dense(
    connection: &Connection,
    span: &Span,
    wanted: Wanted,
) -> Result<Option<Vec<EventLocation>>, ReadFailure> {
    let Wanted { at, direction, count } = wanted;
    let indexed = span.first_waiting.map_or(span.head, |first| Seq(first.0 - 1));
    let last = Seq(at.0.saturating_add(count as u64).min(indexed.0));
    if direction == Direction::Backward || last.0.saturating_sub(at.0) < DENSE_MIN {
        return Ok(None);
    }
    let Some(from) = index_at(connection, span.id, at.next())? else { return Ok(None) };
    let Some(to) = index_at(connection, span.id, last)? else { return Ok(None) };
    if to.0.wrapping_sub(from.0) != last.0 - at.next().0 {
        return Ok(None);
    }
    Ok(Some(
        (at.next().0..=last.0)
            .zip(from.0..)
            .map(|(seq, g)| EventLocation { seq: Seq(seq), g: Position(g) })
            .collect(),
    ))
}

fn index_at(connection: &Connection, topic: i64, seq: Seq) -> Result<Option<Position>, ReadFailure> {
    let mut statement =
        connection.prepare_cached("SELECT g FROM topic_event WHERE topic_id = ?1 AND seq = ?2")?;
    let mut rows = statement.query((topic, stored(seq.0)))?;
    Ok(rows.next()?.map(|row| position(row, 0)).transpose()?)
}

fn doubly(seq: Seq) -> ReadFailure {
    ReadFailure::Corrupt(format!("two events of a topic have the number {seq}"))
}

fn indexed(
    connection: &Connection,
    span: &Span,
    wanted: Wanted,
    filter: Option<&StoredFilter>,
    found: &mut Vec<EventLocation>,
) -> Result<(), ReadFailure> {
    let (range, order) = match wanted.direction {
        Direction::Forward => ("> ?2", "ASC"),
        Direction::Backward => ("< ?2 AND seq > ?3", "DESC"),
    };
    let filter = filter.map_or("", |filter| filter.0.as_str());
    let sql = format!(
        "SELECT seq, g FROM topic_event WHERE topic_id = ?1 AND seq {range}{filter} ORDER BY seq {order}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.raw_bind_parameter(1, span.id)?;
    statement.raw_bind_parameter(2, stored(wanted.at.0))?;
    if wanted.direction == Direction::Backward {
        statement.raw_bind_parameter(3, stored(span.floor.0))?;
    }
    let mut rows = statement.raw_query();
    for _ in 0..wanted.count {
        let Some(row) = rows.next()? else { break };
        found.push(EventLocation { seq: Seq(unsigned(row, 0)?), g: position(row, 1)? });
    }
    Ok(())
}

/// A filter as a condition on the index, by the numbers of the table `name`.
struct StoredFilter(String);

impl StoredFilter {
    fn find(connection: &Connection, filter: &EventFilter) -> Result<StoredFilter, ReadFailure> {
        let kinds: Vec<String> = filter.kinds.iter().map(Kind::to_string).collect();
        let scopes: Vec<String> = filter.scopes.iter().map(Scope::to_string).collect();
        let mut condition = String::new();
        for (column, names) in [("kind", kinds), ("scope", scopes)] {
            if names.is_empty() {
                continue;
            }
            let mut numbers = Vec::new();
            for name in names {
                let mut statement = connection.prepare_cached("SELECT id FROM name WHERE text = ?1")?;
                let mut rows = statement.query([name])?;
                while let Some(row) = rows.next()? {
                    numbers.push(row.get::<_, i64>(0)?.to_string());
                }
            }
            condition.push_str(&format!(" AND {column} IN ({})", numbers.join(",")));
        }
        Ok(StoredFilter(condition))
    }
}

/// Reads events of all topics after `after`.
pub(super) fn read_all(
    snapshot: &Snapshot<'_>,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, ReadFailure> {
    let mut statement = snapshot.connection.prepare_cached(READ_ALL)?;
    let mut rows = statement.query([stored(after.0)])?;
    let mut events: Vec<Recorded> = Vec::new();
    let mut unpacker = Unpacker::new(snapshot.connection);
    let mut whole = true;
    while events.len() < limit.min(PAGE_EVENTS_MAX) || !whole {
        let Some(row) = rows.next()? else { break };
        let name = row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?;
        let known = events.last().map(|event| &event.topic).filter(|topic| topic.as_str() == name);
        let topic = match known {
            Some(topic) => topic.clone(),
            None => {
                name.parse().map_err(|e: backstay_model::InvalidTopic| ReadFailure::Corrupt(e.to_string()))?
            }
        };
        let place = EventLocation { seq: Seq(unsigned(row, 0)?), g: position(row, 7)? };
        match decode(row, &topic, place, row.get(9)?, &mut unpacker) {
            Ok(event) => events.push(event),
            Err(ReadFailure::Read(_)) if !events.is_empty() => break,
            Err(error) => return Err(error),
        }
        whole = events.last().is_none_or(|event| !event.more);
    }
    Ok(events)
}

/// Reads live events of `topic` after the position `g` and the number `seq`.
pub(super) fn live(
    snapshot: &Snapshot<'_>,
    topic: &Topic,
    seq: Seq,
    g: Position,
    limit: usize,
) -> Result<Vec<LiveEvent>, ReadFailure> {
    let mut statement = snapshot.connection.prepare_cached(
        "SELECT live.g, after_seq, at, live.kind, scope, payload FROM live JOIN topic ON topic.id = live.topic_id \
         WHERE topic.name = ?1 AND live.g > ?2 AND after_seq >= ?3 ORDER BY live.g",
    )?;
    let mut rows = statement.query((topic.as_str(), stored(g.0), stored(seq.0)))?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let (Ok(scope), Ok(payload)) =
            (row.get::<_, String>(4)?.parse(), Payload::from_text(row.get::<_, String>(5)?))
        else {
            // Live events may be dropped, damaged ones too.
            continue;
        };
        found.push(LiveEvent {
            topic: topic.clone(),
            g: Position(unsigned(row, 0)?),
            after_seq: Seq(unsigned(row, 1)?),
            at: Timestamp::from_micros(row.get(2)?),
            kind: Kind::from_name(row.get(3)?),
            scope,
            payload,
        });
    }
    Ok(found)
}
