//! Reads what a process said. What is missing is an error, never an empty answer.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use backstay_files::{Dir, if_there};
use backstay_model::Digest;
use backstay_model::event::Spool;
use camino::Utf8Path;

use super::{RECORD_BYTES, Stream, decode_record, failed, open, path_in};
use crate::error::SpoolError;
use crate::files;
use crate::record::ExitRecord;

/// Bytes of one chunk at most.
const CHUNK_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of one stream that came together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whose bytes.
    pub stream: Stream,
    /// Where they begin in their stream's spool.
    pub offset_bytes: u64,
    /// Where they begin in both streams together, in the order in which these came.
    pub at_bytes: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A part of both streams in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What came, in order.
    pub chunks: Vec<Chunk>,
    /// Where to read on.
    pub next_bytes: u64,
    /// Whether nothing more can come after this page.
    pub ended: bool,
}

/// The last of both streams in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The text; what is not UTF-8 is shown as `U+FFFD`.
    pub text: String,
    /// Bytes before it that are not shown.
    pub skipped_bytes: u64,
}

/// Reads both streams in order, from `from_bytes` (of both together) on, at most about `limit_bytes`.
///
/// # Errors
/// [`SpoolError`] if files are missing or damaged.
pub fn read_ordered(folder: &Utf8Path, from_bytes: u64, limit_bytes: u64) -> Result<Page, SpoolError> {
    let folder = &open(folder)?;
    let ended = has_ended(folder)?;
    let mut reader = OrderedReader::open(folder)?;
    reader.skip(from_bytes, ended)?;
    let chunks = reader.read(limit_bytes, ended)?;
    let at_end = ended && reader.read(1, ended)?.is_empty();
    let read_bytes: u64 = chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
    Ok(Page { chunks, next_bytes: from_bytes + read_bytes, ended: at_end })
}

/// The last `limit_bytes` of both streams in order.
///
/// # Errors
/// [`SpoolError`] if files are missing or damaged.
pub fn tail(folder: &Utf8Path, limit_bytes: u64) -> Result<Tail, SpoolError> {
    let folder = &open(folder)?;
    let ended = has_ended(folder)?;
    let mut reader = OrderedReader::open(folder)?;
    let total_bytes = reader.total(ended)?;
    let skipped_bytes = total_bytes.saturating_sub(limit_bytes);
    reader.skip(skipped_bytes, ended)?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < total_bytes - skipped_bytes {
        let chunks = reader.read(total_bytes - skipped_bytes - bytes.len() as u64, ended)?;
        if chunks.is_empty() {
            break;
        }
        bytes.extend(chunks.into_iter().flat_map(|chunk| chunk.bytes));
    }
    Ok(Tail { text: String::from_utf8_lossy(&bytes).into_owned(), skipped_bytes })
}

/// All of stdout, if it has at most `limit_bytes`. Once there is an exit record, length and digest are checked with it.
///
/// # Errors
/// [`SpoolError`] if it is larger, missing, or not what was written.
pub fn stdout_bytes(folder: &Utf8Path, limit_bytes: u64) -> Result<Vec<u8>, SpoolError> {
    stream_bytes(folder, Stream::Stdout, limit_bytes)
}

/// The beginning of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The length of the whole.
    pub size_bytes: u64,
}

/// The first `limit_bytes` of stdout. Once there is an exit record and they are all, length and digest are checked with it.
///
/// # Errors
/// [`SpoolError`] if it is missing, or not what was written.
pub fn stdout_beginning(folder: &Utf8Path, limit_bytes: u64) -> Result<Beginning, SpoolError> {
    match stdout_bytes(folder, limit_bytes) {
        Ok(bytes) => Ok(Beginning { size_bytes: bytes.len() as u64, bytes }),
        Err(SpoolError::TooLarge { size_bytes, .. }) => {
            let (folder, name) = (open(folder)?, Stream::Stdout.file_name());
            let mut bytes = Vec::new();
            folder
                .open_file(name)
                .and_then(|file| file.take(limit_bytes).read_to_end(&mut bytes))
                .map_err(failed(&folder, name))?;
            Ok(Beginning { bytes, size_bytes })
        }
        Err(error) => Err(error),
    }
}

/// All of one stream, if it has at most `limit_bytes`. Once there is an exit record, length and digest are checked with it.
///
/// # Errors
/// [`SpoolError`] if it is larger, missing, or not what was written.
pub fn stream_bytes(folder: &Utf8Path, stream: Stream, limit_bytes: u64) -> Result<Vec<u8>, SpoolError> {
    let folder = &open(folder)?;
    let path = path_in(folder, stream.file_name());
    let noted = exit_record(folder)?.map(|record| spool_of(record, stream));
    let io_error = |source| SpoolError::Io { path: path.clone(), source };
    let mut file = folder.open_file(stream.file_name()).map_err(io_error)?;
    let size_bytes = file.metadata().map_err(io_error)?.len();
    if size_bytes > limit_bytes {
        return Err(SpoolError::TooLarge { stream, size_bytes, limit_bytes });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error)?;
    if let Some(noted) = noted {
        let found_bytes = bytes.len() as u64;
        if found_bytes < noted.size_bytes {
            return Err(SpoolError::Short { path, stream, expected_bytes: noted.size_bytes, found_bytes });
        }
        let digest = Digest::of(&bytes);
        if digest != noted.digest && !crate::maintenance::is_left_of(folder, stream, digest)? {
            return Err(SpoolError::Digest { path, stream, size_bytes: found_bytes });
        }
    }
    Ok(bytes)
}

/// Whether nothing more can be written into `folder`: there is an end, or the keeper is dead.
pub(super) fn has_ended(folder: &Dir) -> Result<bool, SpoolError> {
    if files::is_closed(folder).map_err(failed(folder, files::EXIT))? {
        return Ok(true);
    }
    let lock = if_there(folder.open_file(files::LOCK)).map_err(failed(folder, files::LOCK))?;
    lock.map_or(Ok(false), |lock| files::is_free(&lock)).map_err(failed(folder, files::LOCK))
}

/// The exit record, if there is one.
pub(super) fn exit_record(folder: &Dir) -> Result<Option<ExitRecord>, SpoolError> {
    let path = path_in(folder, files::EXIT);
    match files::read_if_there(folder, files::EXIT) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| SpoolError::Record { path, source })
        }
        Err(source) => Err(SpoolError::Io { path, source }),
    }
}

fn spool_of(record: ExitRecord, stream: Stream) -> Spool {
    match stream {
        Stream::Stdout => record.stdout,
        Stream::Stderr => record.stderr,
    }
}

/// Records of the file `order` that are read at once.
const BLOCK_RECORDS: usize = 16 * 1024;

/// A part of the file `order`. All of its records but the last are as they will always be.
#[derive(Default)]
struct Block {
    /// Its first record.
    first: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn records(&self) -> u64 {
        (self.bytes.len() / RECORD_BYTES) as u64
    }

    fn record(&self, record: u64) -> Option<(Stream, u64)> {
        let index = usize::try_from(record.checked_sub(self.first)?).ok()?;
        let bytes = self.bytes.chunks_exact(RECORD_BYTES).nth(index)?;
        let (stream, size) = decode_record(bytes.try_into().ok()?);
        Some((stream, u64::from(size)))
    }
}

/// Walks through both streams along the file `order`.
pub(super) struct OrderedReader {
    folder: Dir,
    order: File,
    block: Block,
    streams: [File; 2],
    /// The length of each stream when it was last asked for; it only grows.
    lengths: [u64; 2],
    /// The record to read next, from 0.
    record: u64,
    /// Bytes of it that were read.
    used: u64,
    /// Bytes of each stream that were read.
    offsets: [u64; 2],
}

impl OrderedReader {
    pub(super) fn open(folder: &Dir) -> Result<OrderedReader, SpoolError> {
        let open = |name: &str| folder.open_file(name).map_err(failed(folder, name));
        let streams = [open(files::STDOUT)?, open(files::STDERR)?];
        if let Some(record) = exit_record(folder)? {
            for stream in Stream::BOTH {
                check_length(folder, stream, &streams[stream.index()], &record)?;
            }
        }
        Ok(OrderedReader {
            folder: folder.clone(),
            order: open(files::ORDER)?,
            block: Block::default(),
            streams,
            lengths: [0, 0],
            record: 0,
            used: 0,
            offsets: [0, 0],
        })
    }

    /// Passes over `bytes`, or as many as there are, and says how many are left to pass over.
    pub(super) fn skip(&mut self, bytes: u64, ended: bool) -> Result<u64, SpoolError> {
        let mut left = bytes;
        while left > 0 {
            let Some((stream, available)) = self.next_span(ended)? else { break };
            let step = available.min(left);
            self.advance(stream, step);
            left -= step;
        }
        Ok(left)
    }

    /// The next bytes, at most `limit_bytes`; empty if there are none now.
    pub(super) fn read(&mut self, limit_bytes: u64, ended: bool) -> Result<Vec<Chunk>, SpoolError> {
        let mut chunks = Vec::new();
        let mut left = limit_bytes;
        while left > 0 {
            let Some((stream, available)) = self.next_span(ended)? else { break };
            let size = available.min(left).min(CHUNK_BYTES_MAX);
            let offset_bytes = self.offsets[stream.index()];
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            self.streams[stream.index()]
                .read_exact_at(&mut bytes, offset_bytes)
                .map_err(failed(&self.folder, stream.file_name()))?;
            let at_bytes = self.offsets.iter().sum();
            chunks.push(Chunk { stream, offset_bytes, at_bytes, bytes });
            self.advance(stream, size);
            left -= size;
        }
        Ok(chunks)
    }

    /// Bytes of both streams that can be read now, from the beginning.
    fn total(&self, ended: bool) -> Result<u64, SpoolError> {
        let mut counter = OrderedReader::open(&self.folder)?;
        let mut total = 0;
        while let Some((stream, available)) = counter.next_span(ended)? {
            counter.advance(stream, available);
            total += available;
        }
        Ok(total)
    }

    fn advance(&mut self, stream: Stream, bytes: u64) {
        self.used += bytes;
        self.offsets[stream.index()] += bytes;
    }

    /// Whose bytes come next, and how many of them follow each other.
    fn next_span(&mut self, ended: bool) -> Result<Option<(Stream, u64)>, SpoolError> {
        while let Some((stream, size)) = self.current_record()? {
            if self.used < size {
                self.check_present(stream, size - self.used)?;
                return Ok(Some((stream, size - self.used)));
            }
            if self.record_at(self.record + 1)?.is_none() {
                break; // This record may still grow.
            }
            // It may have grown before the next one came, and after it was read.
            if self.current_record()?.is_some_and(|(_, now)| now > size) {
                continue;
            }
            self.record += 1;
            self.used = 0;
        }
        if !ended {
            return Ok(None);
        }
        // What the keeper wrote but did not come to note: shown at the end, one stream after the other.
        for stream in Stream::BOTH {
            let rest = self.length(stream)?.saturating_sub(self.offsets[stream.index()]);
            if rest > 0 {
                return Ok(Some((stream, rest)));
            }
        }
        Ok(None)
    }

    fn current_record(&mut self) -> Result<Option<(Stream, u64)>, SpoolError> {
        match self.record_at(self.record)? {
            Some((_, 0)) => {
                Err(SpoolError::Order { path: path_in(&self.folder, files::ORDER), record: self.record })
            }
            other => Ok(other),
        }
    }

    fn record_at(&mut self, record: u64) -> Result<Option<(Stream, u64)>, SpoolError> {
        // The last record of a block may have grown, or been cut short, when it was read.
        let is_final =
            (self.block.first..(self.block.first + self.block.records()).saturating_sub(1)).contains(&record);
        if !is_final {
            // Only what was there before it is read: of two records that come meanwhile, the first may be read half grown.
            let at = record * RECORD_BYTES as u64;
            let there = self.order_length()?.saturating_sub(at);
            let there = usize::try_from(there).unwrap_or(usize::MAX).min(BLOCK_RECORDS * RECORD_BYTES);
            let mut bytes = std::mem::take(&mut self.block.bytes);
            bytes.resize(there, 0);
            let count = self.read_order(&mut bytes, at)?;
            bytes.truncate(count);
            self.block = Block { first: record, bytes };
        }
        Ok(self.block.record(record))
    }

    fn order_length(&self) -> Result<u64, SpoolError> {
        Ok(self.order.metadata().map_err(failed(&self.folder, files::ORDER))?.len())
    }

    fn read_order(&self, bytes: &mut [u8], at: u64) -> Result<usize, SpoolError> {
        loop {
            match self.order.read_at(bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(failed(&self.folder, files::ORDER)),
            }
        }
    }

    fn check_present(&mut self, stream: Stream, bytes: u64) -> Result<(), SpoolError> {
        let expected_bytes = self.offsets[stream.index()] + bytes;
        if expected_bytes <= self.lengths[stream.index()] {
            return Ok(());
        }
        let found_bytes = self.length(stream)?;
        self.lengths[stream.index()] = found_bytes;
        if found_bytes < expected_bytes {
            let path = path_in(&self.folder, stream.file_name());
            return Err(SpoolError::Short { path, stream, expected_bytes, found_bytes });
        }
        Ok(())
    }

    fn length(&self, stream: Stream) -> Result<u64, SpoolError> {
        let metadata = self.streams[stream.index()].metadata();
        Ok(metadata.map_err(failed(&self.folder, stream.file_name()))?.len())
    }
}

fn check_length(folder: &Dir, stream: Stream, file: &File, record: &ExitRecord) -> Result<(), SpoolError> {
    let path = path_in(folder, stream.file_name());
    let found_bytes = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(source) => return Err(SpoolError::Io { path, source }),
    };
    let expected_bytes = spool_of(record.clone(), stream).size_bytes;
    if found_bytes < expected_bytes {
        return Err(SpoolError::Short { path, stream, expected_bytes, found_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::spool::{OrderWriter, SpoolWriter, encode_record};

    fn written() -> (tempfile::TempDir, Utf8PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        let dir = open(&path).unwrap();
        let mut order = OrderWriter::create(&dir).unwrap();
        let mut stdout = SpoolWriter::create(&dir, Stream::Stdout, 100).unwrap();
        let mut stderr = SpoolWriter::create(&dir, Stream::Stderr, 100).unwrap();
        stdout.append(b"one ", &mut order);
        stderr.append(b"TWO ", &mut order);
        stdout.append(b"three \xff", &mut order);
        (keep, path)
    }

    fn text(page: &Page) -> String {
        page.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.bytes).into_owned()).collect()
    }

    #[test]
    fn both_streams_are_read_in_order_from_every_place() {
        let (_keep, folder) = written();
        let whole = "one TWO three ";
        for from in 0..whole.len() {
            let page = read_ordered(&folder, from as u64, 100).unwrap();
            assert_eq!(text(&page), format!("{}\u{fffd}", &whole[from..]));
            assert_eq!((page.next_bytes, page.ended), (15, false));
        }
    }

    #[test]
    fn s10_the_tail_shows_other_bytes_lossily() {
        let (_keep, folder) = written();
        assert_eq!(tail(&folder, 9).unwrap(), Tail { text: "O three \u{fffd}".to_owned(), skipped_bytes: 6 });
        assert_eq!(stdout_bytes(&folder, 100).unwrap(), b"one three \xff");
        let whole = Beginning { bytes: b"one three \xff".to_vec(), size_bytes: 11 };
        assert_eq!(stdout_beginning(&folder, 11).unwrap(), whole);
        let cut = Beginning { bytes: b"one t".to_vec(), size_bytes: 11 };
        assert_eq!(stdout_beginning(&folder, 5).unwrap(), cut);
    }

    #[test]
    fn a_record_cut_short_counts_as_not_written() {
        let (_keep, folder) = written();
        let order = fs::read(folder.join("order")).unwrap();
        fs::write(folder.join("order"), &order[..order.len() - 1]).unwrap();
        assert_eq!(text(&read_ordered(&folder, 0, 100).unwrap()), "one TWO ");
        fs::write(folder.join("keeper.lock"), b"").unwrap();
        let page = read_ordered(&folder, 0, 100).unwrap();
        assert_eq!((text(&page).as_str(), page.ended), ("one TWO three \u{fffd}", true));
    }

    #[test]
    fn what_is_missing_is_an_error_that_says_so() {
        let (_keep, folder) = written();
        fs::write(folder.join("stdout"), b"one th").unwrap();
        let error = read_ordered(&folder, 0, 100).unwrap_err();
        assert!(matches!(error, SpoolError::Short { expected_bytes: 11, found_bytes: 6, .. }), "{error:?}");
        fs::remove_file(folder.join("stderr")).unwrap();
        assert!(matches!(tail(&folder, 9), Err(SpoolError::Io { .. })));
    }

    /// System calls by which this thread has read so far.
    #[cfg(target_os = "linux")]
    fn reads() -> u64 {
        let text = fs::read_to_string("/proc/thread-self/io").unwrap();
        text.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_of_streams_that_took_many_turns_is_found_in_few_reads() {
        const TURNS: usize = 200_000;
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        let turn = [encode_record(Stream::Stdout, 1), encode_record(Stream::Stderr, 1)].concat();
        fs::write(folder.join("order"), turn.repeat(TURNS)).unwrap();
        fs::write(folder.join("stdout"), "o".repeat(TURNS)).unwrap();
        fs::write(folder.join("stderr"), "e".repeat(TURNS)).unwrap();
        let before = reads();
        let found = tail(&folder, 6).unwrap();
        let each = reads() - before;
        assert_eq!(found, Tail { text: "oeoeoe".to_owned(), skipped_bytes: 2 * TURNS as u64 - 6 });
        assert!(each < 200, "{each} reads");
        let middle = read_ordered(&folder, TURNS as u64 + 1, 3).unwrap();
        assert_eq!(text(&middle), "eoe");
    }

    #[test]
    fn a_record_that_grows_and_one_that_comes_are_seen_by_who_has_read_the_last() {
        let (_keep, folder) = written();
        let mut reader = OrderedReader::open(&open(&folder).unwrap()).unwrap();
        assert_eq!(reader.read(100, false).unwrap().len(), 3);
        assert!(reader.read(100, false).unwrap().is_empty());
        let append = |name: &str, bytes: &[u8]| {
            let mut file = File::options().append(true).open(folder.join(name)).unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        append("stdout", b"more");
        let order = File::options().write(true).open(folder.join("order")).unwrap();
        order.write_all_at(&encode_record(Stream::Stdout, 11), 2 * RECORD_BYTES as u64).unwrap();
        assert_eq!(reader.read(100, false).unwrap()[0].bytes, b"more");
        append("stderr", b"!");
        append("order", &encode_record(Stream::Stderr, 1));
        assert_eq!(reader.read(100, false).unwrap()[0].bytes, b"!");
    }

    /// Rounds of a writer beside a reader: two chunks of one stream, so that a record grows, then one of the other.
    const ROUNDS: usize = 100_000;

    #[test]
    fn s6_who_reads_while_a_record_grows_and_the_next_one_comes_misses_nothing() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        let mut order = OrderWriter::create(&open(&folder).unwrap()).unwrap();
        let mut stdout = SpoolWriter::create(&open(&folder).unwrap(), Stream::Stdout, u64::MAX).unwrap();
        let mut stderr = SpoolWriter::create(&open(&folder).unwrap(), Stream::Stderr, u64::MAX).unwrap();
        let writer = std::thread::spawn(move || {
            for _ in 0..ROUNDS {
                stdout.append(b"o", &mut order);
                stdout.append(b"o", &mut order);
                stderr.append(b"e", &mut order);
            }
        });
        let mut reader = OrderedReader::open(&open(&folder).unwrap()).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 3 * ROUNDS {
            let is_over = writer.is_finished();
            let chunks = reader.read(u64::MAX, false).unwrap();
            assert!(!chunks.is_empty() || !is_over, "nothing more comes after {} bytes", seen.len());
            seen.extend(chunks.into_iter().flat_map(|chunk| chunk.bytes));
        }
        writer.join().unwrap();
        assert!(seen.chunks(3).all(|round| round == b"ooe"), "in another order than they came");
    }
}
