//! Flushing the write-ahead log to the disk, once for all who wait for it.
//!
//! A commit only hands its frames to the system; every process can read it, and it survives the death of all of them. A caller that
//! needs more waits here until the file is flushed. One waiter flushes for all earlier commits; it holds no lock of the store, so
//! others go on committing. The file never goes away while a connection is open, and a frame
//! that is moved into the database is flushed before by whoever moves it, so a flush of this file is all that is needed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use backstay_files::Dir;
use backstay_model::Position;

use super::error_map;
use crate::crash::crash_point;
use crate::error::StoreError;

/// The length of the file from the start. Flushing allocated blocks is cheaper by a third than making the file longer.
const WARM_BYTES: u64 = 8 << 20;
/// With less free space on the disk the file is not made longer in advance.
const ROOM_MIN_BYTES: u64 = 1 << 30;

/// The file, and the state of its flushes.
#[derive(Debug)]
pub(super) struct WalFlush {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of requests.
    asked: u64,
    /// Number of requests that are flushed.
    flushed: u64,
    /// The newest committed position at the last request.
    asked_until: Position,
    /// Everything up to this position is on the disk.
    flushed_until: Position,
    under_way: bool,
    failed: bool,
}

/// A request for a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request(u64);

impl WalFlush {
    /// Opens the log beside the database at `path`, whose connection must have read something.
    pub(super) fn open(path: &Path) -> Result<WalFlush, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        let path = PathBuf::from(name);
        let opened = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => Dir::open_found(folder).and_then(|dir| dir.open_to_write(name)),
            _ => Err(std::io::ErrorKind::InvalidInput.into()),
        };
        let file = opened.map_err(|source| error_map::io("open the write-ahead log", &path, source))?;
        Ok(WalFlush { file, path, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Allocates the log's blocks. The caller holds the writer lock, so nobody writes behind the end of the file.
    pub(super) fn warm(&self) {
        if let Err(error) = self.try_warm() {
            // Without it, flushes are only slower.
            tracing::debug!(path = %self.path.display(), %error, "the write-ahead log was not made longer");
        }
    }

    fn try_warm(&self) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        if length >= WARM_BYTES {
            return Ok(());
        }
        let room = rustix::fs::fstatvfs(&self.file)?;
        if room.f_bavail.saturating_mul(room.f_frsize) < ROOM_MIN_BYTES {
            return Ok(());
        }
        let nothing = vec![0_u8; 1 << 18];
        let mut at = length;
        while at < WARM_BYTES {
            let size = (WARM_BYTES - at).min(nothing.len() as u64);
            self.file.write_all_at(&nothing[..usize::try_from(size).unwrap_or(0)], at)?;
            at += size;
        }
        self.file.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a flush of every commit until now, which includes `newest`.
    pub(super) fn ask(&self, newest: Position) -> Request {
        let mut state = self.lock();
        state.asked += 1;
        state.asked_until = state.asked_until.max(newest);
        Request(state.asked)
    }

    /// Returns once every commit up to `position` is on the disk. Flushes only if that is not known.
    pub(super) fn wait_until(&self, position: Position) -> Result<(), ()> {
        if self.lock().flushed_until >= position { Ok(()) } else { self.wait(self.ask(position)) }
    }

    /// Returns whether a flush has failed: then it is not known what is on the disk, and nothing more may be written.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the request is flushed, or a flush fails.
    pub(super) fn wait(&self, request: Request) -> Result<(), ()> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return Err(());
            }
            if state.flushed >= request.0 {
                return Ok(());
            }
            if state.under_way {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.under_way = true;
            let (until, until_position) = (state.asked, state.asked_until);
            drop(state);
            crash_point("log.flush.before_sync");
            let flushed = self.file.sync_data();
            crash_point("log.flush.after_sync");
            state = self.lock();
            state.under_way = false;
            match flushed {
                Ok(()) => {
                    state.flushed = state.flushed.max(until);
                    state.flushed_until = state.flushed_until.max(until_position);
                }
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "a flush failed; this process writes no more");
                    state.failed = true;
                }
            }
            self.changed.notify_all();
        }
    }
}
