//! Payloads of ended topics, packed: those of up to 256 events in one zstd frame.
//!
//! A packed event keeps its row, with an empty payload, which is no JSON; so numbers, positions, kinds and scopes are where
//! they always are. Its payload is in the block that has its number. Blocks are written by whoever has nothing else to do,
//! some time after a topic has ended; the table `pack` says which topics are still to be looked at.

use std::io::{self, Read, Write};
use std::time::Duration;

use backstay_model::limits::PAYLOAD_BYTES_MAX;
use backstay_model::{Seq, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::commit::{Committer, Failed};
use super::sql::{stored, unsigned};
use crate::crash::crash_point;

/// Events of one block at most.
const EVENTS_MAX: usize = 256;
/// Fewer than this are left as they are: little is won.
const EVENTS_MIN: usize = 8;
/// With so many bytes of payloads a block is full.
const BYTES_FULL: usize = 1 << 20;
/// Bytes of payloads in a block at most: with the longest payload there is, behind what is not full yet.
const BYTES_MAX: u64 = (2 * BYTES_FULL + PAYLOAD_BYTES_MAX) as u64;
/// How hard zstd tries. Higher levels win a tenth and take many times as long.
const LEVEL: i32 = 3;

const ROWS: &str = "SELECT event.g, event.topic_id, event.seq, at, flags, last_input, last_fact, \
     event.kind, event.scope, trace, payload FROM topic_event JOIN event ON event.g = topic_event.g WHERE topic_event.topic_id = ?1 AND topic_event.seq > ?2 \
     ORDER BY topic_event.seq LIMIT ?3";
const ROW: &str = "INSERT INTO event (g, topic_id, seq, at, flags, last_input, last_fact, kind, scope, trace, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '')";
/// Columns of a row before the payload.
const COLUMNS: usize = 10;
const BLOCK: &str =
    "SELECT first, last, data FROM packed WHERE topic_id = ?1 AND last >= ?2 ORDER BY last LIMIT 1";
const PUT_BACK: &str = "UPDATE event SET payload = ?3 \
     WHERE g = (SELECT g FROM topic_event WHERE topic_id = ?1 AND seq = ?2) AND payload = ''";
const NEXT: &str = "SELECT pack.topic_id, topic.closed = 1, max(topic.floor, \
     ifnull((SELECT max(last) FROM packed WHERE packed.topic_id = pack.topic_id), 0)) \
     FROM pack JOIN topic ON topic.id = pack.topic_id WHERE pack.closed_at <= ?1 ORDER BY pack.closed_at LIMIT 1";

/// Why a payload cannot be unpacked.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The database cannot be read.
    Sqlite(rusqlite::Error),
    /// What is there makes no sense.
    Damaged(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Unfit {
        Unfit::Sqlite(error)
    }
}

/// The payloads of events that follow each other.
#[derive(Debug)]
struct Block {
    topic: i64,
    first: Seq,
    texts: Texts,
}

/// Texts that stand behind each other.
#[derive(Debug, PartialEq, Eq)]
struct Texts {
    all: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Texts {
    fn get(&self, index: usize) -> Option<&str> {
        let from = match index {
            0 => 0,
            index => *self.ends.get(index - 1)?,
        };
        self.all.get(from..*self.ends.get(index)?)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }
}

/// Gives payloads of packed events, and holds the block that it took the last one from.
#[derive(Debug)]
pub(super) struct Unpacker<'c> {
    pub(super) connection: &'c Connection,
    block: Option<Block>,
}

impl<'c> Unpacker<'c> {
    pub(super) const fn new(connection: &'c Connection) -> Unpacker<'c> {
        Unpacker { connection, block: None }
    }

    /// The payload of the packed event `seq` of a topic.
    pub(super) fn payload(&mut self, topic: i64, seq: Seq) -> Result<&str, Unfit> {
        let is_held =
            self.block.as_ref().is_some_and(|block| block.topic == topic && block.get(seq).is_some());
        if !is_held {
            self.block = Some(read(self.connection, topic, seq)?);
        }
        let found = self.block.as_ref().and_then(|block| block.get(seq));
        found.ok_or_else(|| Unfit::Damaged("its payload is in no block".to_owned()))
    }
}

impl Block {
    fn get(&self, seq: Seq) -> Option<&str> {
        let index = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        self.texts.get(index)
    }
}

fn read(connection: &Connection, topic: i64, seq: Seq) -> Result<Block, Unfit> {
    let found = connection
        .prepare_cached(BLOCK)?
        .query_row((topic, stored(seq.0)), |row| {
            Ok((Seq(unsigned(row, 0)?), Seq(unsigned(row, 1)?), row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let (first, last, data) = found.ok_or_else(|| Unfit::Damaged("its payload is in no block".to_owned()))?;
    let texts = unpack(&data)
        .map_err(|error| Unfit::Damaged(format!("the block of the events {first} to {last}: {error}")))?;
    let count = texts.ends.len();
    if count as u64 != (last.0 + 1).saturating_sub(first.0) {
        let what = format!("the block of the events {first} to {last} has {count} payloads");
        return Err(Unfit::Damaged(what));
    }
    Ok(Block { topic, first, texts })
}

/// A zstd frame with its own check sum. In it: the number of payloads, the length of each, then the payloads; numbers have
/// four bytes, the smallest first.
fn pack(texts: &[String]) -> io::Result<Vec<u8>> {
    let mut frame = zstd::Encoder::new(Vec::new(), LEVEL)?;
    frame.include_checksum(true)?;
    let length = |length: usize| u32::try_from(length).map(u32::to_le_bytes).map_err(io::Error::other);
    frame.write_all(&length(texts.len())?)?;
    for text in texts {
        frame.write_all(&length(text.len())?)?;
    }
    for text in texts {
        frame.write_all(text.as_bytes())?;
    }
    frame.finish()
}

fn unpack(data: &[u8]) -> io::Result<Texts> {
    let mut frame = zstd::Decoder::new(data)?.take(BYTES_MAX);
    let mut number = || -> io::Result<usize> {
        let mut bytes = [0; 4];
        frame.read_exact(&mut bytes)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(io::Error::other)
    };
    let count = number()?;
    if count > EVENTS_MAX {
        return Err(io::Error::other("it has too many payloads"));
    }
    let mut end = 0;
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        end += number()?;
        ends.push(end);
    }
    let mut all = String::with_capacity(end.min(2 * BYTES_FULL));
    frame.read_to_string(&mut all)?;
    if end != all.len() || ends.iter().any(|end| !all.is_char_boundary(*end)) {
        return Err(io::Error::other("it is cut off, or has more than it should"));
    }
    Ok(Texts { all, ends })
}

impl Committer {
    /// Notes that the topic has ended: it is packed some time later.
    pub(super) fn pack_later(&mut self, id: i64, now: Timestamp) -> Result<(), Failed> {
        self.connection
            .prepare_cached(
                "INSERT INTO pack (topic_id, closed_at) VALUES (?1, ?2) \
                 ON CONFLICT DO UPDATE SET closed_at = excluded.closed_at",
            )?
            .execute((id, now.as_micros()))?;
        self.packs = true;
        Ok(())
    }

    /// Packs the next block of a topic that ended before `until`. To be called in a transaction in which no event waits for
    /// the index.
    pub(super) fn pack(&mut self, until: Timestamp) -> Result<(), Failed> {
        let next = self
            .connection
            .prepare_cached(NEXT)?
            .query_row([until.as_micros()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, Seq(unsigned(row, 2)?)))
            })
            .optional()?;
        let Some((id, is_closed, after)) = next else {
            self.packs = false;
            return Ok(());
        };
        if !is_closed || !pack_block(&self.connection, id, after)? {
            self.connection.prepare_cached("DELETE FROM pack WHERE topic_id = ?1")?.execute([id])?;
        }
        crash_point("log.pack.before_commit");
        Ok(())
    }
}

/// A row of `event`, without its payload.
struct Bare {
    seq: Seq,
    columns: Vec<Value>,
}

/// Packs what comes after `after`. False if there is nothing that is worth it.
fn pack_block(connection: &Connection, id: i64, after: Seq) -> Result<bool, Failed> {
    let mut events: Vec<Bare> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query((id, stored(after.0), stored(EVENTS_MAX as u64)))?;
    while let Some(row) = rows.next()? {
        let (seq, text) = (Seq(unsigned(row, 2)?), row.get::<_, String>(COLUMNS)?);
        // Only what follows each other, and is still in its row, belongs together.
        let is_next = events.last().is_none_or(|last| last.seq.next() == seq);
        if bytes >= BYTES_FULL || !is_next || text.is_empty() {
            break;
        }
        bytes += text.len();
        let columns = (0..COLUMNS).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        events.push(Bare { seq, columns });
        texts.push(text);
    }
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(false) };
    if events.len() < EVENTS_MIN {
        return Ok(false);
    }
    let data =
        pack(&texts).map_err(|error| Failed::Corrupt(format!("payloads cannot be packed: {error}")))?;
    connection
        .prepare_cached("INSERT INTO packed (topic_id, first, last, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute((id, stored(first.seq.0), stored(last.seq.0), data))?;
    // A row that gets shorter leaves its page half empty; one that goes lets pages be joined.
    let mut delete = connection.prepare_cached("DELETE FROM event WHERE g = ?1")?;
    for event in &events {
        delete.execute(params_from_iter(event.columns.first()))?;
    }
    let mut insert = connection.prepare_cached(ROW)?;
    for event in &events {
        insert.execute(params_from_iter(&event.columns))?;
    }
    Ok(true)
}

/// Puts the payloads of those blocks back into their rows that have a text which `is_wanted`.
pub(super) fn put_back(connection: &Connection, is_wanted: &dyn Fn(&str) -> bool) -> Result<u64, Unfit> {
    let mut blocks = Vec::new();
    let mut statement = connection.prepare("SELECT topic_id, last FROM packed ORDER BY topic_id, last")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        blocks.push((row.get::<_, i64>(0)?, Seq(unsigned(row, 1)?)));
    }
    let mut count = 0;
    for (topic, last) in blocks {
        let block = read(connection, topic, last)?;
        if !block.texts.iter().any(is_wanted) {
            continue;
        }
        let mut put = connection.prepare_cached(PUT_BACK)?;
        for (seq, text) in (block.first.0..).zip(block.texts.iter()) {
            put.execute((topic, stored(seq), text))?;
        }
        connection
            .prepare_cached("DELETE FROM packed WHERE topic_id = ?1 AND last = ?2")?
            .execute((topic, stored(last.0)))?;
        connection
            .prepare_cached("INSERT INTO pack (topic_id, closed_at) VALUES (?1, 0) ON CONFLICT DO NOTHING")?
            .execute([topic])?;
        count += 1;
    }
    Ok(count)
}

/// Frees the blocks of which no event is left.
pub(super) fn free(connection: &Connection, topic: i64, until: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM packed WHERE topic_id = ?1 AND last <= ?2")?
        .execute((topic, until))
        .map(|_| ())
}

/// The moment before which a topic has to have ended to be packed.
pub(super) fn due_before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_damage_is_seen() {
        let texts: Vec<String> = ["{\"a\":\"ä\"}", "", "[1]"].map(str::to_owned).to_vec();
        let data = pack(&texts).unwrap();
        let whole = unpack(&data).unwrap();
        assert_eq!(whole.iter().collect::<Vec<_>>(), texts);
        for place in 0..data.len() {
            let mut damaged = data.clone();
            damaged[place] ^= 1;
            // Bits that mean nothing may be anything.
            assert!(unpack(&damaged).map_or(true, |found| found == whole), "{place}");
            assert!(unpack(&data[..place]).is_err(), "cut at {place}");
        }
    }
}
