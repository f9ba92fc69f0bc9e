//! Flushing the write-ahead log to the disk, once for all who wait for it.
//!
//! A commit only hands its frames to the system; it is there for every process, and survives the death of all of them. Who
//! asked for more waits here until the file is flushed. One waiter flushes for all whose commit came before; nobody holds a
//! lock of the store meanwhile, so others go on committing. The file never goes away while a connection is open, and a frame
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

/// How long the file is from the start. Flushing blocks that are allocated and written is cheaper by a third than making
/// the file longer.
const WARM_BYTES: u64 = 8 << 20;
/// On a disk with less room the file is not made longer in advance.
const ROOM_MIN_BYTES: u64 = 1 << 30;

/// The file to flush, and who waits for it.
#[derive(Debug)]
pub(super) struct WalFlush {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Commits that asked to be flushed.
    asked: u64,
    /// Those of them that are.
    flushed: u64,
    /// The newest position that was committed when somebody last asked.
    asked_until: Position,
    /// Everything up to this position is on the disk.
    flushed_until: Position,
    under_way: bool,
    failed: bool,
}

/// Up to where somebody wants the log flushed.
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

    /// Allocates the log's blocks. To be called in this process's turn: what is behind the end of the file is nobody's then.
    pub(super) fn warm(&self) {
        if let Err(error) = self.try_warm() {
            // It is only slower without.
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

    /// Asks for everything that was committed until now, which goes up to `newest` at least.
    pub(super) fn ask(&self, newest: Position) -> Request {
        let mut state = self.lock();
        state.asked += 1;
        state.asked_until = state.asked_until.max(newest);
        Request(state.asked)
    }

    /// Returns once everything up to `position`, which was committed, is on the disk. Flushes only if it is not known to be.
    pub(super) fn wait_until(&self, position: Position) -> Result<(), ()> {
        if self.lock().flushed_until >= position { Ok(()) } else { self.wait(self.ask(position)) }
    }

    /// Whether a flush has failed: then it is not known what is on the disk, and nothing more may be written.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns once what was asked for is on the disk, or cannot be known to be.
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
