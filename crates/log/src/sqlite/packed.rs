//! Payloads of ended topics, packed: those of up to 256 events in one zstd frame.
//!
//! A packed event keeps its row, with an empty payload, which is not JSON; numbers, positions, kinds and scopes stay there. Its payload
//! is in the block with its number. An idle process writes the blocks some time after a topic has ended; see `packing`.

use std::fmt;
use std::io::{self, Read, Write};

use backstay_model::Seq;
use backstay_model::limits::PAYLOAD_BYTES_MAX;
use rusqlite::{Connection, OptionalExtension};

use super::sql::{stored, unsigned};

/// The greatest number of events in a block.
pub(super) const EVENTS_MAX: usize = 256;
/// Bytes of payloads with which a block is full.
pub(super) const BYTES_FULL: usize = 1 << 20;
/// The most bytes of payloads in a block: one that is nearly full, and the longest payload.
const BYTES_MAX: u64 = (2 * BYTES_FULL + PAYLOAD_BYTES_MAX) as u64;
/// The level of zstd. Higher levels save a tenth and take many times as long.
const LEVEL: i32 = 3;
/// How far back a frame refers to itself at most, as a power of two of bytes: as the level does. A reader needs that much memory.
const WINDOW_LOG: u32 = 21;
/// The most unpacked blocks in memory.
const CACHED_BLOCKS_MAX: usize = 32;
/// The most bytes of payloads in them, if there is more than one.
const CACHED_BYTES_MAX: usize = 8 << 20;

const BLOCK: &str =
    "SELECT first, last, data FROM packed WHERE topic_id = ?1 AND last >= ?2 ORDER BY last LIMIT 1";
const ALL: &str = "SELECT topic_id, first, last, ifnull(name, 'topic ' || topic_id) FROM packed \
     LEFT JOIN topic ON topic.id = topic_id ORDER BY topic_id, last";
const RESTORE: &str = "UPDATE event SET payload = ?3 \
     WHERE g = (SELECT g FROM topic_event WHERE topic_id = ?1 AND seq = ?2) AND payload = ''";

/// Why a payload cannot be unpacked.
#[derive(Debug)]
pub(super) enum UnpackError {
    /// The database cannot be read.
    Sqlite(rusqlite::Error),
    /// The block contradicts itself.
    Damaged(String),
}

impl From<rusqlite::Error> for UnpackError {
    fn from(error: rusqlite::Error) -> UnpackError {
        UnpackError::Sqlite(error)
    }
}

/// The payloads of events that follow each other.
#[derive(Debug)]
struct Block {
    topic: i64,
    first: Seq,
    texts: Texts,
}

/// Texts, one after the other.
#[derive(Debug, PartialEq, Eq)]
struct Texts {
    all: String,
    /// The end of each text.
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

/// Reads payloads of packed events. It keeps the last block of each topic, so each block is unpacked once even if events of several
/// topics are read in turn.
#[derive(Debug)]
pub(super) struct Unpacker<'c> {
    pub(super) connection: &'c Connection,
    /// The most recently used one is the last.
    blocks: Vec<Block>,
    /// The number of blocks that were unpacked.
    #[cfg(test)]
    unpacked: usize,
}

impl<'c> Unpacker<'c> {
    pub(super) const fn new(connection: &'c Connection) -> Unpacker<'c> {
        Unpacker {
            connection,
            blocks: Vec::new(),
            #[cfg(test)]
            unpacked: 0,
        }
    }

    /// Returns the payload of the packed event `seq` of a topic.
    pub(super) fn payload(&mut self, topic: i64, seq: Seq) -> Result<&str, UnpackError> {
        let held = self.blocks.iter().position(|block| block.topic == topic);
        let held = held.map(|index| self.blocks.remove(index)).filter(|block| block.get(seq).is_some());
        let block = match held {
            Some(block) => block,
            None => {
                let block = read(self.connection, topic, seq)?;
                #[cfg(test)]
                {
                    self.unpacked += 1;
                }
                self.evict(block.texts.all.len());
                block
            }
        };
        self.blocks.push(block);
        let found = self.blocks.last().and_then(|block| block.get(seq));
        found.ok_or_else(|| UnpackError::Damaged("its payload is in no block".to_owned()))
    }

    /// Drops the least recently used blocks until one of `size_bytes` fits.
    fn evict(&mut self, size_bytes: usize) {
        let mut held_bytes = size_bytes;
        let fits = self.blocks.iter().rev().take(CACHED_BLOCKS_MAX - 1).take_while(|block| {
            held_bytes += block.texts.all.len();
            held_bytes <= CACHED_BYTES_MAX
        });
        let surplus = self.blocks.len() - fits.count();
        self.blocks.drain(..surplus);
    }
}

impl Block {
    fn get(&self, seq: Seq) -> Option<&str> {
        let index = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        self.texts.get(index)
    }
}

fn read(connection: &Connection, topic: i64, seq: Seq) -> Result<Block, UnpackError> {
    let found = connection
        .prepare_cached(BLOCK)?
        .query_row((topic, stored(seq.0)), |row| {
            Ok((Seq(unsigned(row, 0)?), Seq(unsigned(row, 1)?), row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let (first, last, data) =
        found.ok_or_else(|| UnpackError::Damaged("its payload is in no block".to_owned()))?;
    let texts = unpack(&data).map_err(|error| {
        UnpackError::Damaged(format!("the block of the events {first} to {last}: {error}"))
    })?;
    let count = texts.ends.len();
    if count as u64 != (last.0 + 1).saturating_sub(first.0) {
        let what = format!("the block of the events {first} to {last} has {count} payloads");
        return Err(UnpackError::Damaged(what));
    }
    Ok(Block { topic, first, texts })
}

/// A zstd frame with its own check sum. In it: the number of payloads, the length of each, then the payloads; numbers have
/// four bytes, the smallest first.
pub(super) fn pack(texts: &[String]) -> io::Result<Vec<u8>> {
    let mut frame = zstd::Encoder::new(Vec::new(), LEVEL)?;
    frame.include_checksum(true)?;
    frame.window_log(WINDOW_LOG)?;
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
    let mut frame = zstd::Decoder::new(data)?;
    frame.window_log_max(WINDOW_LOG)?;
    let mut frame = frame.take(BYTES_MAX);
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

/// A block that cannot be unpacked, so its content is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedBlock {
    /// The topic of its events.
    pub topic: String,
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
}

impl fmt::Display for DamagedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedBlock { topic, first, last } = self;
        write!(f, "the events {first} to {last} of {topic}, whose block is damaged")
    }
}

/// Moves the payloads of each block with a text that `is_wanted` back into their rows. Returns the blocks that cannot be unpacked.
pub(super) fn restore_payloads(
    connection: &Connection,
    is_wanted: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<Vec<DamagedBlock>> {
    let mut blocks = Vec::new();
    let mut statement = connection.prepare(ALL)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (first, last) = (Seq(unsigned(row, 1)?), Seq(unsigned(row, 2)?));
        blocks.push((row.get::<_, i64>(0)?, DamagedBlock { topic: row.get(3)?, first, last }));
    }
    let mut damaged = Vec::new();
    for (topic, named) in blocks {
        let block = match read(connection, topic, named.last) {
            Ok(block) => block,
            Err(UnpackError::Damaged(_)) => {
                damaged.push(named);
                continue;
            }
            Err(UnpackError::Sqlite(error)) => return Err(error),
        };
        if block.texts.iter().any(is_wanted) {
            restore_block(connection, &block, named.last)?;
        }
    }
    Ok(damaged)
}

fn restore_block(connection: &Connection, block: &Block, last: Seq) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(RESTORE)?;
    for (seq, text) in (block.first.0..).zip(block.texts.iter()) {
        put.execute((block.topic, stored(seq), text))?;
    }
    connection
        .prepare_cached("DELETE FROM packed WHERE topic_id = ?1 AND last = ?2")?
        .execute((block.topic, stored(last.0)))?;
    connection
        .prepare_cached("INSERT INTO pack (topic_id, closed_at) VALUES (?1, 0) ON CONFLICT DO NOTHING")?
        .execute([block.topic])?;
    Ok(())
}

/// Removes the blocks of which every event was trimmed.
pub(super) fn free(connection: &Connection, topic: i64, until: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM packed WHERE topic_id = ?1 AND last <= ?2")?
        .execute((topic, until))
        .map(|_| ())
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
    /// Topics with two blocks of eight payloads of so many bytes each.
    fn blocks(topics: i64, text_bytes: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE packed (topic_id INTEGER, first INTEGER, last INTEGER, data BLOB)")
            .unwrap();
        for topic in 0..topics {
            for first in [1_u8, 9] {
                let texts: Vec<String> = (first..first + 8).map(|seq| text(topic, seq, text_bytes)).collect();
                let row = (topic, first, first + 7, pack(&texts).unwrap());
                connection.execute("INSERT INTO packed VALUES (?1, ?2, ?3, ?4)", row).unwrap();
            }
        }
        connection
    }

    fn text(topic: i64, seq: u8, size_bytes: usize) -> String {
        let name = format!("{topic}:{seq}:");
        name.clone() + &"-".repeat(size_bytes - name.len())
    }

    /// Reads the topics in turn.
    fn read_in_turn(unpacker: &mut Unpacker<'_>, topics: i64, text_bytes: usize) {
        for seq in 1..=16 {
            for topic in 0..topics {
                let read = unpacker.payload(topic, Seq(u64::from(seq))).unwrap();
                assert_eq!(read, text(topic, seq, text_bytes));
            }
        }
    }

    #[test]
    fn each_block_is_unpacked_once_where_topics_are_read_in_turn() {
        for (topics, unpacked) in [(1, 2), (2, 4), (6, 12), (32, 64)] {
            let connection = blocks(topics, 10);
            let mut unpacker = Unpacker::new(&connection);
            read_in_turn(&mut unpacker, topics, 10);
            assert_eq!(unpacker.unpacked, unpacked, "{topics} topics");
            assert_eq!(unpacker.blocks.len() as i64, topics);
        }
    }

    #[test]
    fn what_is_held_to_read_is_bounded() {
        // A block has a mebibyte, so eight fit and nine do not.
        let text_bytes = 1 << 17;
        for (topics, unpacked, held) in [(8, 16, 8), (9, 144, 8)] {
            let connection = blocks(topics, text_bytes);
            let mut unpacker = Unpacker::new(&connection);
            read_in_turn(&mut unpacker, topics, text_bytes);
            assert_eq!((unpacker.unpacked, unpacker.blocks.len()), (unpacked, held), "{topics} topics");
        }
        let connection = blocks(33, 10);
        let mut unpacker = Unpacker::new(&connection);
        read_in_turn(&mut unpacker, 33, 10);
        assert_eq!(unpacker.blocks.len(), 32);
    }

    #[test]
    fn a_frame_that_asks_for_more_memory_than_ours_is_damaged() {
        let text = "[1]".to_owned();
        let mut frame = zstd::Encoder::new(Vec::new(), LEVEL).unwrap();
        frame.window_log(WINDOW_LOG + 1).unwrap();
        frame.write_all(&[1, 0, 0, 0, 3, 0, 0, 0]).unwrap();
        frame.write_all(text.as_bytes()).unwrap();
        let error = unpack(&frame.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("too much memory"), "{error}");
        let longest = "1".repeat(PAYLOAD_BYTES_MAX);
        let texts = [longest, text];
        assert_eq!(unpack(&pack(&texts).unwrap()).unwrap().iter().collect::<Vec<_>>(), texts);
    }
}
