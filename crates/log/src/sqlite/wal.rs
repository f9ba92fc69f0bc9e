//! Damage of the database and its write-ahead log that SQLite does not report, found before SQLite opens them.
//!
//! SQLite takes an empty database for a new one, and removes the log beside it. It takes a frame with a wrong checksum for
//! the end of the log, and what was committed behind it is gone. So the files are looked at first, as they are. What had
//! been committed is known from the shared memory beside the log (`log.db-shm`), until the first process of all opens the
//! database after the others have closed it. Nothing here writes.
//!
//! The shared memory may know of commits that were never in the log beside it: a loss of power takes what nobody was told of
//! from its end, and where a store in use is copied, the log may be copied first. So it counts only if the last frame that it
//! knows is there, or if frames that cannot be read were moved into the database: with those before them it would be of two
//! times.
//!
//! The forms are those of <https://www.sqlite.org/fileformat2.html#the_write_ahead_log> and
//! <https://www.sqlite.org/walformat.html>.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backstay_files::{Dir, if_there};

use super::error_map;
use super::open_databases::is_open_in_process;
use crate::error::StoreError;

/// How a database begins.
const DATABASE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of a database's header.
const DATABASE_HEADER_BYTES: usize = 100;
/// How a log begins, but for the lowest bit, which says in which order of bytes its checksums are made.
const WAL_MAGIC: u32 = 0x377f_0682;
const WAL_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Bytes of one of the two copies of the header in the shared memory.
const SHM_HEADER_BYTES: usize = 48;
/// The only version of log and shared memory that there is.
const WAL_VERSION: u32 = 3_007_000;
/// Folders that a store has once something was done in it.
const USED_FOLDERS: [&str; 2] = ["runs", "blobs"];
/// How often files that contradict each other are looked at: another process may just write them.
const ATTEMPTS_MAX: usize = 3;

/// Refuses the database at `path` if a part is missing that SQLite would not report.
///
/// # Errors
/// [`StoreError::Corrupt`] names the missing part; [`StoreError::Io`] if the files cannot be read. Nothing was changed.
pub(super) fn refuse_damage(path: &Path) -> Result<(), StoreError> {
    if is_open_in_process(path) {
        return Ok(());
    }
    let mut last = None;
    for _look in 0..ATTEMPTS_MAX {
        last = inspect(path)?;
        if last.is_none() {
            return Ok(());
        }
    }
    last.map_or(Ok(()), |what| Err(StoreError::Corrupt { location: path.into(), what }))
}

/// Returns whether the file at `path` begins as a database does, or is empty.
///
/// # Errors
/// [`StoreError::Io`] if it cannot be read.
pub(super) fn is_database(path: &Path) -> Result<bool, StoreError> {
    if is_open_in_process(path) {
        return Ok(true);
    }
    let database = DatabaseHeader::read(path).map_err(|source| error_map::io("look at", path, source))?;
    Ok(!matches!(database, DatabaseHeader::Foreign))
}

/// What is wrong, in words. Read in this order: what is there before the database is cannot be of a store that another
/// process is just making.
fn inspect(path: &Path) -> Result<Option<String>, StoreError> {
    let (wal_path, shm_path) = (beside(path, "-wal"), beside(path, "-shm"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| error_map::io("look at", &path, source)
    };
    let shared = SharedHeader::read(&shm_path).map_err(failed(&shm_path))?;
    let wal = WalHeader::read(&wal_path).map_err(failed(&wal_path))?;
    let used_folder = used_folder(path).map_err(failed(path))?;
    let database = DatabaseHeader::read(path).map_err(failed(path))?;
    let is_used = !matches!(wal, WalHeader::Unused);
    let what = match &database {
        DatabaseHeader::Missing if is_used => "is not there, and its write-ahead log `log.db-wal` is",
        DatabaseHeader::Empty if is_used => "is empty, and its write-ahead log `log.db-wal` is not",
        DatabaseHeader::Foreign if is_used => {
            "does not begin as a database does, and its write-ahead log `log.db-wal` is there"
        }
        DatabaseHeader::Missing | DatabaseHeader::Empty => match used_folder {
            Some(folder) => {
                let state =
                    if matches!(database, DatabaseHeader::Empty) { "is empty" } else { "is not there" };
                return Ok(Some(format!("`log.db` {state}, and runs have left something in `{folder}/`")));
            }
            None => return Ok(None),
        },
        DatabaseHeader::Foreign => return Ok(None),
        DatabaseHeader::There { size_bytes, pages } => {
            return compare(&wal_path, &wal, shared.as_ref(), *size_bytes, *pages).map_err(failed(&wal_path));
        }
    };
    Ok(Some(format!("`log.db` {what}: opening it would destroy what is left")))
}

/// Compares a log with what is known of it.
fn compare(
    path: &Path,
    wal: &WalHeader,
    shared: Option<&SharedHeader>,
    size_bytes: u64,
    pages: u32,
) -> io::Result<Option<String>> {
    let form = match wal {
        WalHeader::Unused => return Ok(None),
        WalHeader::Damaged => {
            return Ok(Some(
                "the header of `log.db-wal` is damaged, so that nothing in it can be read".to_owned(),
            ));
        }
        WalHeader::There(form) => form,
    };
    let known = shared.filter(|shared| shared.salts == form.salts && shared.frames > 0);
    let is_short = size_bytes < u64::from(pages) * u64::from(form.page_bytes);
    if known.is_none() && !is_short {
        return Ok(None);
    }
    let scan = form.scan(path)?;
    if let Some(known) = known
        && known.frames > scan.committed
        && (known.moved > scan.committed || form.has_frame(path, known)?)
    {
        let (good, all) = (scan.committed, known.frames);
        let moved = if known.moved == known.frames {
            "; unless it was copied from a store in use, all of it is in `log.db` already: remove `log.db-wal` and `log.db-shm`"
        } else {
            ""
        };
        return Ok(Some(format!(
            "`log.db-wal` is damaged: {good} of its {all} frames can be read, what was committed behind them is lost{moved}"
        )));
    }
    let there = u32::try_from(size_bytes / u64::from(form.page_bytes)).unwrap_or(u32::MAX);
    let expected = scan.pages_after.unwrap_or(pages).min(pages);
    let missing = (there + 1..=expected).filter(|page| !scan.pages.contains(page)).count();
    Ok((missing > 0).then(|| format!("`log.db` is cut short: {missing} of its {expected} pages are missing")))
}

/// The name of a folder beside the database that says that the store was used; `None` if nothing does.
fn used_folder(database: &Path) -> io::Result<Option<&'static str>> {
    let Some(folder) = database.parent() else { return Ok(None) };
    for name in USED_FOLDERS {
        let entries = match folder.join(name).read_dir() {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            if entry?.file_type()?.is_dir() {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a file; `None` if there is none.
fn open(path: &Path) -> io::Result<Option<File>> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => {
            if_there(Dir::open_found(folder).and_then(|folder| folder.open_file(name)))
        }
        _ => Ok(None),
    }
}

/// Fills `bytes` from `from`; false if there is less.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn big_endian(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn native_endian(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The checksum of a log: two sums over pairs of words, going on from `from`.
fn checksum(from: [u32; 2], bytes: &[u8], word: impl Fn([u8; 4]) -> u32) -> [u32; 2] {
    bytes.chunks_exact(8).fold(from, |[first, second], pair| {
        let first = first.wrapping_add(word([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(second);
        let second = second.wrapping_add(word([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(first);
        [first, second]
    })
}

/// What the file of the database says of itself.
#[derive(Debug)]
enum DatabaseHeader {
    Missing,
    Empty,
    /// It does not begin as a database.
    Foreign,
    /// `pages`: as of the last time that its first page was written; 0 if it does not tell.
    There {
        size_bytes: u64,
        pages: u32,
    },
}

impl DatabaseHeader {
    fn read(path: &Path) -> io::Result<DatabaseHeader> {
        let Some(mut file) = open(path)? else { return Ok(DatabaseHeader::Missing) };
        let mut header = [0; DATABASE_HEADER_BYTES];
        let is_whole = fill(&mut file, &mut header)?;
        // After the header: a file only grows while its first page is written.
        let size_bytes = file.metadata()?.len();
        Ok(match size_bytes {
            0 => DatabaseHeader::Empty,
            _ if !is_whole || !header.starts_with(DATABASE_MAGIC) => DatabaseHeader::Foreign,
            // The count is that of the last writer who kept it, if both of these are the same.
            _ if big_endian(&header, 24) != big_endian(&header, 92) => {
                DatabaseHeader::There { size_bytes, pages: 0 }
            }
            size_bytes => DatabaseHeader::There { size_bytes, pages: big_endian(&header, 28) },
        })
    }
}

/// How a log begins.
#[derive(Debug)]
enum WalHeader {
    /// Nothing was ever written into it, or it is not there.
    Unused,
    Damaged,
    There(WalForm),
}

/// What is needed to read the frames of a log.
#[derive(Debug)]
struct WalForm {
    page_bytes: u32,
    salts: [u8; 8],
    is_big_endian: bool,
    checksum: [u32; 2],
}

/// What can be read of a log.
#[derive(Debug, Default)]
struct Scan {
    /// Frames up to the end of the last commit.
    committed: u32,
    /// Pages of the database after it; `None` without a commit.
    pages_after: Option<u32>,
    /// The pages that the log has.
    pages: BTreeSet<u32>,
}

impl WalHeader {
    fn read(path: &Path) -> io::Result<WalHeader> {
        let Some(mut file) = open(path)? else { return Ok(WalHeader::Unused) };
        let mut header = [0; WAL_HEADER_BYTES];
        if !fill(&mut file, &mut header)? || header == [0; WAL_HEADER_BYTES] {
            return Ok(WalHeader::Unused);
        }
        let is_big_endian = big_endian(&header, 0) & 1 == 1;
        let form = WalForm {
            page_bytes: big_endian(&header, 8),
            salts: [
                header[16], header[17], header[18], header[19], header[20], header[21], header[22],
                header[23],
            ],
            is_big_endian,
            checksum: [big_endian(&header, 24), big_endian(&header, 28)],
        };
        let is_whole = big_endian(&header, 0) & !1 == WAL_MAGIC
            && form.page_bytes.is_power_of_two()
            && (512..=65_536).contains(&form.page_bytes)
            && form.sum([0, 0], &header[..24]) == form.checksum;
        Ok(if is_whole { WalHeader::There(form) } else { WalHeader::Damaged })
    }
}

impl WalForm {
    fn sum(&self, from: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        if self.is_big_endian {
            checksum(from, bytes, u32::from_be_bytes)
        } else {
            checksum(from, bytes, u32::from_le_bytes)
        }
    }

    /// Whether the last frame that was committed is there, whatever is wrong with those before it.
    fn has_frame(&self, path: &Path, known: &SharedHeader) -> io::Result<bool> {
        let Some(file) = open(path)? else { return Ok(false) };
        let frame_bytes = (FRAME_HEADER_BYTES + self.page_bytes as usize) as u64;
        let at = WAL_HEADER_BYTES as u64 + u64::from(known.frames - 1) * frame_bytes;
        let mut header = [0; FRAME_HEADER_BYTES];
        match file.read_exact_at(&mut header, at) {
            Ok(()) => Ok(header[8..16] == self.salts
                && [big_endian(&header, 16), big_endian(&header, 20)] == known.frame_checksum),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads frames up to the first that is none of this log, as SQLite does.
    fn scan(&self, path: &Path) -> io::Result<Scan> {
        let Some(file) = open(path)? else { return Ok(Scan::default()) };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let (mut scan, mut uncommitted) = (Scan::default(), Vec::new());
        if !fill(&mut file, &mut [0; WAL_HEADER_BYTES])? {
            return Ok(scan);
        }
        let mut frame = vec![0; FRAME_HEADER_BYTES + self.page_bytes as usize];
        let mut sum = self.checksum;
        for number in 1.. {
            if !fill(&mut file, &mut frame)? || frame[8..16] != self.salts {
                break;
            }
            sum = self.sum(self.sum(sum, &frame[..8]), &frame[FRAME_HEADER_BYTES..]);
            if sum != [big_endian(&frame, 16), big_endian(&frame, 20)] {
                break;
            }
            uncommitted.push(big_endian(&frame, 0));
            let pages_after = big_endian(&frame, 4);
            if pages_after > 0 {
                scan.committed = number;
                scan.pages_after = Some(pages_after);
                scan.pages.extend(uncommitted.drain(..));
            }
        }
        Ok(scan)
    }
}

/// What the shared memory says of the log.
#[derive(Debug)]
struct SharedHeader {
    /// Frames up to the end of the last commit.
    frames: u32,
    /// Those of them that are in the database.
    moved: u32,
    /// The checksum in the last of them.
    frame_checksum: [u32; 2],
    salts: [u8; 8],
}

impl SharedHeader {
    /// `None` if there is none that can be believed: it is written without a flush, by whoever commits.
    fn read(path: &Path) -> io::Result<Option<SharedHeader>> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        let mut bytes = [0; 2 * SHM_HEADER_BYTES + 4];
        if !fill(&mut file, &mut bytes)? {
            return Ok(None);
        }
        let (header, copy) = bytes[..2 * SHM_HEADER_BYTES].split_at(SHM_HEADER_BYTES);
        let sum = [native_endian(header, 40), native_endian(header, 44)];
        let is_whole = header == copy
            && native_endian(header, 0) == WAL_VERSION
            && header[12] != 0
            && checksum([0, 0], &header[..40], u32::from_ne_bytes) == sum;
        Ok(is_whole.then(|| SharedHeader {
            frames: native_endian(header, 16),
            moved: native_endian(&bytes, 2 * SHM_HEADER_BYTES),
            frame_checksum: [native_endian(header, 24), native_endian(header, 28)],
            salts: [
                header[32], header[33], header[34], header[35], header[36], header[37], header[38],
                header[39],
            ],
        }))
    }
}
