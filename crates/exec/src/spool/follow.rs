//! Follows a process from its first byte to its last.

use std::time::Duration;

use backstay_files::{Dir, Watch, Watched};
use camino::Utf8Path;

use super::read::{OrderedReader, has_ended};
use super::{Chunk, Stream, failed, open};
use crate::clock::awake;
use crate::error::SpoolError;
use crate::files;

/// A follower looks again after this time even if nothing woke it.
const BACKSTOP: Duration = Duration::from_secs(1);
/// Bytes that one call hands out at most.
const PAGE_BYTES_MAX: u64 = 256 * 1024;

/// What a follower sees next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// More came.
    Output(Vec<Chunk>),
    /// Nothing came in the time given.
    Nothing,
    /// Nothing more can come.
    Ended,
}

/// Reads both streams in order and waits for more. It may begin before the process does.
pub struct Follower {
    folder: Dir,
    watch: Watch,
    /// What is still to be passed over before anything is handed out.
    skip_bytes: u64,
    reader: Option<OrderedReader>,
}

impl Follower {
    /// Follows what is said into `folder`, which must exist, from `from_bytes` (of both streams together) on.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the folder cannot be watched.
    pub fn open(folder: &Utf8Path, from_bytes: u64) -> Result<Follower, SpoolError> {
        let watch = Watch::new(folder.as_std_path(), Watched::Folder)
            .map_err(|source| SpoolError::Io { path: folder.to_owned(), source })?;
        Ok(Follower { folder: open(folder)?, watch, skip_bytes: from_bytes, reader: None })
    }

    /// What comes next; waits for it no longer than `patience`.
    ///
    /// # Errors
    /// [`SpoolError`] if files are missing or damaged.
    pub fn next(&mut self, patience: Duration) -> Result<Follow, SpoolError> {
        let until = awake() + patience;
        loop {
            // Asked before reading: what is written after a "no" is found by the next look.
            let ended = has_ended(&self.folder)?;
            if self.open_reader(ended)?
                && let Some(reader) = &mut self.reader
            {
                self.skip_bytes = reader.skip(self.skip_bytes, ended)?;
                let chunks = reader.read(PAGE_BYTES_MAX, ended)?;
                if !chunks.is_empty() {
                    return Ok(Follow::Output(chunks));
                }
            }
            if ended {
                return Ok(Follow::Ended);
            }
            let left = until.saturating_duration_since(awake());
            if left.is_zero() {
                return Ok(Follow::Nothing);
            }
            self.watch.wait(left.min(BACKSTOP));
        }
    }

    /// Opens the files once they are there, and says whether they are.
    fn open_reader(&mut self, ended: bool) -> Result<bool, SpoolError> {
        if self.reader.is_some() {
            return Ok(true);
        }
        let has = |name: &str| self.folder.has(name).map_err(failed(&self.folder, name));
        for name in Stream::BOTH.map(Stream::file_name).into_iter().chain([files::ORDER]) {
            if !ended && !has(name)? {
                return Ok(false);
            }
        }
        // A keeper that died before it said where it is had started nothing.
        if !has(files::KEEPER)? && !has(files::EXIT)? {
            return Ok(false);
        }
        self.reader = Some(OrderedReader::open(&self.folder)?);
        Ok(true)
    }
}
