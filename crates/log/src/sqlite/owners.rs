//! Owners: a living owner holds the lock on a file of its own, and renews its row.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use backstay_files::{Dir, if_there};
use backstay_model::OwnerId;
use tokio::sync::oneshot;

use super::error_map;
use super::flush::WalFlush;
use super::lock::{LockFile, LockMode, WriterLock};
use super::queue::Command;
use super::store::Inner;
use crate::contract::{OwnerGuard, OwnerIdentity, OwnerState};
use crate::error::StoreError;

/// How often an owner renews its row.
const RENEW_INTERVAL: Duration = Duration::from_secs(10);

/// Returns the file name of an owner's lock.
fn name_of(owner: OwnerId) -> String {
    format!("{owner}.lock")
}

/// The owners' locks of a store.
#[derive(Clone, Debug)]
pub(super) struct OwnerLocks(PathBuf);

impl OwnerLocks {
    /// Returns the locks in `folder`.
    pub(super) const fn new(folder: PathBuf) -> OwnerLocks {
        OwnerLocks(folder)
    }

    fn open(&self) -> Result<Option<Dir>, StoreError> {
        if_there(Dir::open_found(&self.0)).map_err(|source| error_map::io("open the folder", &self.0, source))
    }

    /// Creates the owner's lock file and takes its lock before the file has its name.
    fn take(&self, owner: OwnerId) -> Result<LockFile, StoreError> {
        let draft = format!("{owner}.new");
        let gone = || error_map::io("open the folder", &self.0, std::io::ErrorKind::NotFound.into());
        let folder = self.open()?.ok_or_else(gone)?;
        let mut lock = LockFile::open(&folder, &draft, LockMode::Exclusive)?;
        lock.acquire()?;
        let named = folder.rename(&draft, name_of(owner));
        named.map_err(|source| error_map::io("rename", &self.0.join(&draft), source))?;
        lock.moved_to(self.0.join(name_of(owner)));
        Ok(lock)
    }

    /// The state of an owner: it is held while its lock is. The file of the lock is gone once the owner gave its proof up.
    pub(super) fn state(&self, owner: OwnerId) -> Result<OwnerState, StoreError> {
        let Some(lock) = self.watch(owner)? else { return Ok(OwnerState::Dead) };
        if !lock.try_acquire()? {
            return Ok(OwnerState::Held);
        }
        lock.release();
        Ok(OwnerState::Dead)
    }

    /// Opens the owner's lock to wait until it is free. Watchers take it shared, so that none takes another for the owner.
    pub(super) fn watch(&self, owner: OwnerId) -> Result<Option<LockFile>, StoreError> {
        match self.open()? {
            Some(folder) => LockFile::open_there(&folder, &name_of(owner), LockMode::Shared),
            None => Ok(None),
        }
    }
}

/// The proof that this process may own topics.
#[derive(Debug)]
pub(super) struct SqliteGuard {
    identity: OwnerIdentity,
    locks: OwnerLocks,
    lock: LockFile,
    is_lost: AtomicBool,
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteGuard {
    /// Takes the owner's lock and writes its row. Blocks.
    pub(super) fn register(inner: &Weak<Inner>, identity: OwnerIdentity) -> Result<SqliteGuard, StoreError> {
        let open = inner.upgrade().ok_or(StoreError::Stopped)?;
        open.writer().check()?;
        let locks = open.owners().clone();
        let lock = locks.take(identity.owner)?;
        warm(&open.folder)?;
        drop(open);
        let written = renew(inner, &identity)?;
        crate::ticket::block_on(written).unwrap_or(Err(StoreError::Stopped))?;
        let path = locks.0.join(name_of(identity.owner));
        let (stop, stopped) = mpsc::sync_channel(1);
        let thread = start(inner.clone(), identity.clone(), stopped, &path)?;
        let is_lost = AtomicBool::new(false);
        Ok(SqliteGuard { identity, locks, lock, is_lost, stop: Some(stop), thread: Some(thread) })
    }
}

/// Allocates the blocks of the write-ahead log in advance, because an owner writes much.
fn warm(folder: &Path) -> Result<(), StoreError> {
    let root = Dir::open(folder).map_err(|source| error_map::io("open the folder", folder, source))?;
    let writer_lock = WriterLock::open(&root)?;
    let _turn = writer_lock.enter()?;
    WalFlush::open(&folder.join("log.db"))?.warm();
    Ok(())
}

fn renew(
    inner: &Weak<Inner>,
    identity: &OwnerIdentity,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
    let (reply, answer) = oneshot::channel();
    let inner = inner.upgrade().ok_or(StoreError::Stopped)?;
    let command = Command::Renew { identity: identity.clone(), reply };
    inner.writer().send(command).map(|()| answer)
}

fn start(
    inner: Weak<Inner>,
    identity: OwnerIdentity,
    stopped: mpsc::Receiver<()>,
    path: &Path,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name("backstay-owner".to_owned())
        .spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(RENEW_INTERVAL) {
                match renew(&inner, &identity) {
                    Ok(answer) => drop(answer),
                    Err(StoreError::Stopped) => return,
                    // The lock is the proof. A late row matters only to a claimer that waits.
                    Err(error) => {
                        tracing::warn!(owner = %identity.owner, %error, "the row of an owner was not renewed")
                    }
                }
            }
        })
        .map_err(|source| error_map::io("start a thread for", path, source))
}

impl OwnerGuard for SqliteGuard {
    fn identity(&self) -> &OwnerIdentity {
        &self.identity
    }

    /// Others look for the lock at its path. If the file there is another one, or none, they take this owner for dead.
    fn is_lost(&self) -> bool {
        let is_in_place = self.lock.is_in_place().unwrap_or_else(|error| {
            tracing::warn!(owner = %self.identity.owner, %error, "an owner cannot check its lock, and starts nothing");
            false
        });
        if !is_in_place {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        self.is_lost.load(Ordering::SeqCst)
    }
}

impl Drop for SqliteGuard {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that renews an owner panicked");
        }
        let removed =
            Dir::open_found(&self.locks.0).and_then(|folder| folder.remove(name_of(self.identity.owner)));
        if let Err(error) = removed {
            tracing::debug!(owner = %self.identity.owner, %error, "the lock file of an owner was not removed");
        }
        self.lock.release();
    }
}
