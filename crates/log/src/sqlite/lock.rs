//! Locks between processes: `flock` on files that name their holder.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_files::{Dir, if_there};

use super::error_map;
use crate::error::{Cause, StoreError};

/// How long this process waits for a lock before that is an error.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Bytes that a holder writes into the file.
const HOLDER_BYTES: usize = 11;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockMode {
    /// Together with other shared holders.
    Shared,
    /// By one holder only.
    Exclusive,
}

/// A lock file. A helper thread waits for a lock that is not free, because a blocking `flock` cannot be cancelled.
#[derive(Debug)]
pub(super) struct LockFile {
    file: Arc<File>,
    path: PathBuf,
    mode: LockMode,
    helper: Mutex<Option<Helper>>,
}

#[derive(Debug)]
struct Helper {
    requests: mpsc::SyncSender<()>,
    handoff: Arc<Handoff>,
}

#[derive(Debug, Default)]
struct Handoff {
    state: Mutex<Wait>,
    changed: Condvar,
}

/// The state of a request for the lock, shared by the waiter and its helper.
#[derive(Debug, Default)]
enum Wait {
    /// No request.
    #[default]
    Idle,
    /// The helper waits for the lock, and the waiter for the helper.
    Wanted,
    /// The helper still waits for the lock; the waiter has given up.
    Abandoned,
    /// The helper has finished; the waiter has not taken the result yet.
    Done(Result<(), Arc<std::io::Error>>),
}

impl Handoff {
    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LockFile {
    /// Opens the lock `name` in `folder`; creates its file if there is none.
    pub(super) fn open(folder: &Dir, name: &str, mode: LockMode) -> Result<LockFile, StoreError> {
        let path = folder.path().join(name);
        let file =
            folder.open_or_create(name).map_err(|source| error_map::io("open the lock", &path, source))?;
        Ok(LockFile { file: Arc::new(file), path, mode, helper: Mutex::new(None) })
    }

    /// Opens an existing lock; returns `None` if there is no such file.
    pub(super) fn open_there(
        folder: &Dir,
        name: &str,
        mode: LockMode,
    ) -> Result<Option<LockFile>, StoreError> {
        let path = folder.path().join(name);
        let opened = if_there(folder.open_file(name));
        let file = opened.map_err(|source| error_map::io("open the lock", &path, source))?;
        Ok(file.map(|file| LockFile { file: Arc::new(file), path, mode, helper: Mutex::new(None) }))
    }

    /// Takes the lock if it is free; returns whether it was.
    pub(super) fn try_acquire(&self) -> Result<bool, StoreError> {
        let tried = match self.mode {
            LockMode::Shared => self.file.try_lock_shared(),
            LockMode::Exclusive => self.file.try_lock(),
        };
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(error_map::io("lock", &self.path, source)),
        }
    }

    /// Takes the lock, waits for it at most [`LOCK_WAIT`], and writes its holder into the file.
    pub(super) fn acquire(&self) -> Result<(), StoreError> {
        if !self.acquire_within(LOCK_WAIT)? {
            let waited_ms = u64::try_from(LOCK_WAIT.as_millis()).unwrap_or(u64::MAX);
            return Err(StoreError::Busy {
                location: (&self.path).into(),
                waited_ms,
                holder_pid: self.holder(),
            });
        }
        if self.mode == LockMode::Exclusive {
            self.write_holder();
        }
        Ok(())
    }

    /// Takes the lock and waits for it at most `limit`; returns false if it was not free in time.
    pub(super) fn acquire_within(&self, limit: Duration) -> Result<bool, StoreError> {
        let mut helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = helper.as_ref().is_some_and(|helper| !matches!(*helper.handoff.lock(), Wait::Idle));
        if !pending && self.try_acquire()? {
            return Ok(true);
        }
        if helper.is_none() {
            *helper = Some(self.start_helper()?);
        }
        let Some(helper) = helper.as_ref() else { return Ok(false) };
        let mut state = helper.handoff.lock();
        if matches!(*state, Wait::Idle) && helper.requests.send(()).is_err() {
            return Err(self.helper_gone());
        }
        if !matches!(*state, Wait::Done(_)) {
            *state = Wait::Wanted;
        }
        let waited =
            helper.handoff.changed.wait_timeout_while(state, limit, |state| matches!(state, Wait::Wanted));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            Wait::Done(Ok(())) => Ok(true),
            Wait::Done(Err(source)) => Err(StoreError::Io {
                action: "lock",
                location: (&self.path).into(),
                source: Cause::shared(source),
            }),
            Wait::Idle | Wait::Wanted | Wait::Abandoned => {
                *state = Wait::Abandoned;
                Ok(false)
            }
        }
    }

    /// Notes that the file has another name now.
    pub(super) fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Returns whether the file is still the one at its path. After its folder was replaced there is another one, or none.
    pub(super) fn is_in_place(&self) -> Result<bool, StoreError> {
        let failed = |source| error_map::io("look at the lock", &self.path, source);
        let own = self.file.metadata().map_err(failed)?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed(source)),
        }
    }

    /// Releases the lock.
    pub(super) fn release(&self) {
        if let Err(error) = self.file.unlock() {
            // The system releases it when the file is closed, at the latest.
            tracing::error!(path = %self.path.display(), %error, "a lock was not released");
        }
    }

    /// Returns the process that holds the lock, as it wrote itself into the file.
    pub(super) fn holder(&self) -> Option<u32> {
        let mut text = [0; HOLDER_BYTES];
        let length = self.file.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
    }

    /// Writes this process's id into the file.
    pub(super) fn write_holder(&self) {
        let text = format!("{:<10}\n", std::process::id());
        if let Err(error) = self.file.write_all_at(text.as_bytes(), 0) {
            // The lock holds without it; only messages lack the holder.
            tracing::debug!(path = %self.path.display(), %error, "a lock does not name its holder");
        }
    }

    fn start_helper(&self) -> Result<Helper, StoreError> {
        let (requests, inbox) = mpsc::sync_channel::<()>(1);
        let handoff = Arc::new(Handoff::default());
        let (file, mode, theirs) = (self.file.clone(), self.mode, handoff.clone());
        std::thread::Builder::new()
            .name("backstay-lock".to_owned())
            .spawn(move || {
                while inbox.recv().is_ok() {
                    let locked = match mode {
                        LockMode::Shared => file.lock_shared(),
                        LockMode::Exclusive => file.lock(),
                    };
                    hand_over(&file, &theirs, locked);
                }
            })
            .map_err(|source| error_map::io("start a thread for", &self.path, source))?;
        Ok(Helper { requests, handoff })
    }

    fn helper_gone(&self) -> StoreError {
        error_map::io("wait for", &self.path, std::io::Error::other("the helper thread is gone"))
    }
}

impl Drop for LockFile {
    /// The helper may still wait for the lock; it must not keep it.
    fn drop(&mut self) {
        if let Some(helper) = self.helper.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let mut state = helper.handoff.lock();
            if !matches!(*state, Wait::Idle) {
                *state = Wait::Abandoned;
            }
        }
    }
}

/// Gives the lock that the helper got to the waiter, or releases it if the waiter has given up.
fn hand_over(file: &File, handoff: &Handoff, locked: std::io::Result<()>) {
    let mut state = handoff.lock();
    if matches!(*state, Wait::Wanted) {
        *state = Wait::Done(locked.map_err(Arc::new));
        handoff.changed.notify_all();
        return;
    }
    *state = Wait::Idle;
    if let Err(error) = locked.and_then(|()| file.unlock()) {
        tracing::debug!(%error, "an abandoned lock was not released");
    }
}

/// The lock of the writer: processes take turns at writing.
///
/// It is two locks. The first one queues the waiting processes, so that a process that has just written does not get the second one
/// again at once.
#[derive(Debug)]
pub(super) struct WriterLock {
    turn: LockFile,
    writer: LockFile,
}

/// The right to write; dropping it ends the turn.
#[derive(Debug)]
pub(super) struct WriterLockGuard<'a>(&'a LockFile);

impl WriterLock {
    /// Opens both locks in `folder`.
    pub(super) fn open(folder: &Dir) -> Result<WriterLock, StoreError> {
        Ok(WriterLock {
            turn: LockFile::open(folder, "turn.lock", LockMode::Exclusive)?,
            writer: LockFile::open(folder, "writer.lock", LockMode::Exclusive)?,
        })
    }

    /// Waits for the turn of this process.
    pub(super) fn enter(&self) -> Result<WriterLockGuard<'_>, StoreError> {
        self.turn.acquire()?;
        let writer = self.writer.acquire();
        self.turn.release();
        writer.map(|()| WriterLockGuard(&self.writer))
    }
}

impl Drop for WriterLockGuard<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}
