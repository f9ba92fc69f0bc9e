//! The reading end: a few threads with a connection each. A read never waits for a writer, and a read transaction lives
//! for one page.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Gap, Kind, LiveEvent, LogId, Payload, Position, Recorded, Seq, Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use tokio::sync::oneshot;

use super::commit::{stored, unsigned};
use super::fault;
use super::schema::{FLAG_MORE, NEWEST, connect_reader};
use crate::contract::{Direction, Page, Pending};
use crate::cursor::{Cursor, CursorError};
use crate::error::{DamagedEvent, ReadError, StoreError};
use crate::subscribe::{LivePage, Source};

/// Threads that read.
const READERS: usize = 3;

/// `e.` is the event's row.
const COLUMNS: &str = "e.seq, e.g, e.at, e.flags, e.kind, e.scope, e.trace, e.payload";

type Job = Box<dyn FnOnce(Result<&mut Connection, StoreError>) + Send>;

/// The threads that read.
#[derive(Debug)]
pub(super) struct Readers {
    id: LogId,
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Starts the threads. Each opens its connection with its first job.
    pub(super) fn start(id: LogId, path: &Path) -> Result<Readers, StoreError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..READERS {
            let (inbox, path) = (inbox.clone(), path.to_owned());
            std::thread::Builder::new()
                .name("backstay-reader".to_owned())
                .spawn({
                    let path = path.clone();
                    move || serve(&inbox, &path)
                })
                .map_err(|source| fault::io("start a thread for", &path, source))?;
        }
        Ok(Readers { id, path: path.to_owned(), jobs })
    }

    /// Runs `read` in one read transaction on one of the threads.
    pub(super) fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Pending<'static, Result<T, ReadError>> {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let job: Job = Box::new(move |connection| {
            let found = connection.map_err(ReadError::from).and_then(|connection| {
                let begun = connection.transaction().map_err(Failed::from);
                begun.and_then(|transaction| read(&transaction)).map_err(|failed| failed.into_error(&path))
            });
            if reply.send(found).is_err() {
                tracing::trace!("a read for which nobody waits any more");
            }
        });
        if self.jobs.send(job).is_err() {
            return Box::pin(std::future::ready(Err(StoreError::Stopped.into())));
        }
        Box::pin(async move {
            match answer.await {
                Ok(found) => found,
                Err(_thread_gone) => Err(StoreError::Stopped.into()),
            }
        })
    }
}

/// Why a read gave nothing.
pub(super) enum Failed {
    Sqlite(rusqlite::Error),
    Read(ReadError),
    Corrupt(String),
}

impl From<rusqlite::Error> for Failed {
    fn from(source: rusqlite::Error) -> Failed {
        Failed::Sqlite(source)
    }
}

impl From<CursorError> for Failed {
    fn from(error: CursorError) -> Failed {
        Failed::Read(error.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Read(error.into())
    }
}

impl Failed {
    fn into_error(self, path: &Path) -> ReadError {
        match self {
            Failed::Sqlite(source) => fault::sqlite("read", path, source).into(),
            Failed::Read(error) => error,
            Failed::Corrupt(what) => StoreError::Corrupt { path: path.to_owned(), what }.into(),
        }
    }
}

fn serve(inbox: &Mutex<mpsc::Receiver<Job>>, path: &Path) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let opened = match connection.as_mut() {
            Some(connection) => Ok(connection),
            None => connect_reader(path).map(|opened| connection.insert(opened)),
        };
        job(opened);
    }
}

/// A topic's row, as reading needs it.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    id: i64,
    floor: Seq,
    head: Seq,
}

fn span(transaction: &Transaction<'_>, topic: &Topic) -> Result<Option<Span>, Failed> {
    let found = transaction
        .prepare_cached(
            "SELECT id, floor, (SELECT ifnull(max(seq), 0) FROM event WHERE topic_id = id) FROM topic WHERE name = ?1",
        )?
        .query_row([topic.as_str()], |row| {
            let floor = Seq(unsigned(row, 1)?);
            Ok(Span { id: row.get(0)?, floor, head: Seq(unsigned(row, 2)?).max(floor) })
        })
        .optional()?;
    Ok(found)
}

/// The head of `topic`.
pub(super) fn head(transaction: &Transaction<'_>, topic: &Topic) -> Result<Seq, Failed> {
    Ok(span(transaction, topic)?.unwrap_or_default().head)
}

/// One page of `topic`.
pub(super) fn page(
    transaction: &Transaction<'_>,
    topic: &Topic,
    at: Seq,
    direction: Direction,
    limit: usize,
) -> Result<Page, Failed> {
    let limit = limit.min(PAGE_EVENTS_MAX);
    let Some(span) = span(transaction, topic)? else {
        return Ok(Page { events: Vec::new(), head: Seq(0), gap: None });
    };
    let gap = (direction == Direction::Forward && at < span.floor).then_some(Gap {
        requested: at,
        first: span.floor.next(),
        head: span.head,
    });
    let events = match direction {
        _ if limit == 0 => Vec::new(),
        Direction::Forward => forward(transaction, topic, span, at.max(span.floor).min(span.head), limit)?,
        Direction::Backward => backward(transaction, topic, span, at, limit)?,
    };
    Ok(Page { events, head: span.head, gap })
}

fn forward(
    transaction: &Transaction<'_>,
    topic: &Topic,
    span: Span,
    after: Seq,
    limit: usize,
) -> Result<Vec<Recorded>, Failed> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM event e WHERE topic_id = ?1 AND seq > ?2 ORDER BY seq"
    ))?;
    let mut rows = statement.query((span.id, stored(after.0.min(i64::MAX as u64))))?;
    let mut events: Vec<Recorded> = Vec::new();
    let mut whole = 0;
    let mut expected = after.next();
    while events.len() < limit || whole == 0 {
        let Some(row) = rows.next()? else { break };
        match decode(row, topic, expected) {
            Ok(event) => events.push(event),
            // What stands before it can be read; the next page begins with it and says what is wrong.
            Err(Failed::Read(_)) if whole > 0 => break,
            Err(error) => return Err(error),
        }
        expected = expected.next();
        if events.last().is_some_and(|event| !event.more) {
            whole = events.len();
        }
    }
    events.truncate(whole);
    Ok(events)
}

fn backward(
    transaction: &Transaction<'_>,
    topic: &Topic,
    span: Span,
    before: Seq,
    limit: usize,
) -> Result<Vec<Recorded>, Failed> {
    let before = before.min(span.head.next());
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM event e WHERE topic_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    ))?;
    let mut rows = statement.query((span.id, stored(before.0), stored(limit as u64)))?;
    let mut events = Vec::new();
    let mut expected = Seq(before.0.saturating_sub(1));
    while let Some(row) = rows.next()? {
        match decode(row, topic, expected) {
            Ok(event) => events.push(event),
            Err(Failed::Read(_)) if !events.is_empty() => break,
            Err(error) => return Err(error),
        }
        expected = Seq(expected.0.saturating_sub(1));
    }
    Ok(events)
}

/// Reads a row of [`COLUMNS`], which has to be the event `expected`.
fn decode(row: &Row<'_>, topic: &Topic, expected: Seq) -> Result<Recorded, Failed> {
    let seq = Seq(unsigned(row, 0)?);
    if seq != expected {
        return Err(Failed::Read(ReadError::Hole { topic: topic.clone(), expected, found: seq }));
    }
    decode_any(row, topic)
}

fn decode_any(row: &Row<'_>, topic: &Topic) -> Result<Recorded, Failed> {
    let seq = Seq(unsigned(row, 0)?);
    let damaged = |what: String| Failed::Read(DamagedEvent { topic: topic.clone(), seq, what }.into());
    let text = |index: usize| match row.get_ref(index)?.as_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(damaged(error.to_string())),
    };
    let trace = match row.get_ref(6)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(text(6)?),
    };
    Ok(Recorded {
        topic: topic.clone(),
        seq,
        g: Position(unsigned(row, 1)?),
        at: Timestamp::from_micros(row.get(2)?),
        kind: Kind::from_name(text(4)?),
        scope: text(5)?
            .parse()
            .map_err(|invalid: backstay_model::InvalidScope| damaged(invalid.to_string()))?,
        payload: Payload::from_text(text(7)?).map_err(|invalid| damaged(invalid.to_string()))?,
        trace,
        more: row.get::<_, i64>(3)? & FLAG_MORE != 0,
    })
}

/// Events of all topics after `after`.
pub(super) fn read_all(
    transaction: &Transaction<'_>,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, Failed> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS}, topic.name FROM event e JOIN topic ON topic.id = e.topic_id WHERE e.g > ?1 ORDER BY e.g"
    ))?;
    let mut rows = statement.query([stored(after.0.min(i64::MAX as u64))])?;
    let mut events: Vec<Recorded> = Vec::new();
    let mut whole = true;
    while events.len() < limit.min(PAGE_EVENTS_MAX) || !whole {
        let Some(row) = rows.next()? else { break };
        let topic = row
            .get::<_, String>(8)?
            .parse()
            .map_err(|invalid: backstay_model::InvalidTopic| Failed::Corrupt(invalid.to_string()))?;
        match decode_any(row, &topic) {
            Ok(event) => events.push(event),
            Err(Failed::Read(_)) if !events.is_empty() => break,
            Err(error) => return Err(error),
        }
        whole = events.last().is_none_or(|event| !event.more);
    }
    Ok(events)
}

/// The cursor behind `seq`.
pub(super) fn cursor(
    transaction: &Transaction<'_>,
    log: LogId,
    topic: &Topic,
    seq: Seq,
) -> Result<Cursor, Failed> {
    let found = span(transaction, topic)?.unwrap_or_default();
    if seq > found.head {
        return Err(CursorError::Ahead { topic: topic.clone(), seq, head: found.head }.into());
    }
    let g = position_of(transaction, found.id, seq)?.unwrap_or(Position(0));
    Ok(Cursor::new(log, topic.clone(), seq, g))
}

fn position_of(transaction: &Transaction<'_>, id: i64, seq: Seq) -> Result<Option<Position>, Failed> {
    let found = transaction
        .prepare_cached("SELECT g FROM event WHERE topic_id = ?1 AND seq = ?2")?
        .query_row((id, stored(seq.0)), |row| unsigned(row, 0))
        .optional()?;
    Ok(found.map(Position))
}

/// Checks a cursor of this log against what is there.
pub(super) fn resolve(transaction: &Transaction<'_>, cursor: &Cursor) -> Result<Seq, Failed> {
    let topic = cursor.topic().clone();
    let (seq, g) = (cursor.seq(), cursor.position());
    let found = span(transaction, &topic)?.unwrap_or_default();
    if seq == Seq(0) || seq <= found.floor {
        return Ok(seq);
    }
    if seq > found.head {
        let lost: i64 = transaction.query_row(
            "SELECT count(*) FROM lost WHERE after_g < ?1 AND ?1 <= until_g",
            [stored(g.0.min(i64::MAX as u64))],
            |row| row.get(0),
        )?;
        return Err(if lost > 0 {
            CursorError::Lost { topic, seq, head: found.head }.into()
        } else {
            CursorError::Ahead { topic, seq, head: found.head }.into()
        });
    }
    match position_of(transaction, found.id, seq)? {
        // The number was given again after the event that the cursor knew was lost.
        Some(now) if now != g => Err(CursorError::Lost { topic, seq, head: found.head }.into()),
        Some(_) | None => Ok(seq),
    }
}

fn live(
    transaction: &Transaction<'_>,
    topic: &Topic,
    seq: Seq,
    g: Position,
    limit: usize,
) -> Result<Vec<LiveEvent>, Failed> {
    let mut statement = transaction.prepare_cached(
        "SELECT live.g, after_seq, at, live.kind, scope, payload FROM live JOIN topic ON topic.id = live.topic_id \
         WHERE topic.name = ?1 AND live.g > ?2 AND after_seq >= ?3 ORDER BY live.g LIMIT ?4",
    )?;
    let mut rows = statement.query((topic.as_str(), stored(g.0), stored(seq.0), stored(limit as u64)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
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

/// The newest position of the log.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection.prepare_cached(NEWEST)?.query_row((), |row| unsigned(row, 0)).map(Position)
}

impl Source for Readers {
    fn resolve(&self, cursor: &Cursor) -> Pending<'static, Result<Seq, ReadError>> {
        if let Err(error) = cursor.check(self.id, cursor.topic()) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let cursor = cursor.clone();
        self.run(move |transaction| resolve(transaction, &cursor))
    }

    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> Pending<'static, Result<LivePage, ReadError>> {
        let topic = topic.clone();
        self.run(move |transaction| {
            let newest = newest(transaction)?;
            let page = page(transaction, &topic, seq, Direction::Forward, limit)?;
            let live = live(transaction, &topic, seq, g, limit)?;
            Ok(LivePage { page, live, newest })
        })
    }
}
