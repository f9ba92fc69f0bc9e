//! What a process said: its two streams byte for byte (secrets excepted), the order in which they came, and when.
//!
//! The file `order` holds one record of four bytes, little-endian, for each change of stream: the highest bit is 1 for
//! stderr, the others count bytes. A record grows while its stream goes on. Bytes of a stream are always written before
//! the record that tells of them; a record cut short at the end counts as not written.

mod follow;
mod read;
mod times;
mod write;

use std::fmt;
use std::io;

use backstay_files::Dir;
use camino::{Utf8Path, Utf8PathBuf};

pub use follow::{Follow, Follower};
pub use read::{
    Beginning, Chunk, Page, Tail, read_ordered, stdout_beginning, stdout_bytes, stream_bytes, tail,
};
pub use times::ArrivalTimes;
pub(crate) use times::times_problem;
pub(crate) use write::{OrderWriter, SpoolWriter};

use crate::error::SpoolError;
use crate::files;

/// Where a file of an attempt's folder is, for people.
pub(crate) fn path_in(folder: &Dir, name: &str) -> Utf8PathBuf {
    // Such folders are named by ourselves.
    Utf8PathBuf::from(folder.path().to_string_lossy().into_owned()).join(name)
}

/// Opens an attempt's folder.
fn open(folder: &Utf8Path) -> Result<Dir, SpoolError> {
    files::open(folder).map_err(|source| SpoolError::Io { path: folder.to_owned(), source })
}

fn failed(folder: &Dir, name: &str) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path_in(folder, name);
    move |source| SpoolError::Io { path, source }
}

/// One of the two streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Its output.
    Stdout,
    /// Its messages.
    Stderr,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// The name of its spool file in the keeper's folder.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Stream::Stdout => files::STDOUT,
            Stream::Stderr => files::STDERR,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

/// Bytes of one record of the file `order`.
const RECORD_BYTES: usize = 4;
/// The bit of a record that says stderr.
const STDERR_BIT: u32 = 1 << 31;

fn encode_record(stream: Stream, size_bytes: u32) -> [u8; RECORD_BYTES] {
    let bit = match stream {
        Stream::Stdout => 0,
        Stream::Stderr => STDERR_BIT,
    };
    (size_bytes | bit).to_le_bytes()
}

/// Bytes of each stream that the records in `bytes` count. One that is cut short at the end counts as not written.
///
/// # Errors
/// The number of the first record, from 0, that counts no bytes.
pub(crate) fn order_sums(bytes: &[u8]) -> Result<[u64; 2], u64> {
    let mut sums = [0; 2];
    for (number, record) in (0..).zip(bytes.chunks_exact(RECORD_BYTES)) {
        let (stream, size_bytes) = decode_record([record[0], record[1], record[2], record[3]]);
        if size_bytes == 0 {
            return Err(number);
        }
        sums[stream.index()] += u64::from(size_bytes);
    }
    Ok(sums)
}

fn decode_record(bytes: [u8; RECORD_BYTES]) -> (Stream, u32) {
    let number = u32::from_le_bytes(bytes);
    let stream = if number & STDERR_BIT == 0 { Stream::Stdout } else { Stream::Stderr };
    (stream, number & !STDERR_BIT)
}
