//! The bell: how a process learns that another one has committed.
//!
//! After a commit one byte is written to a file that every follower watches. It only says "look"; the database says
//! what. The write-ahead log itself is no bell: its frames are written before the commit can be seen.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use backstay_files::Dir;

use super::error_map;
use crate::error::StoreError;

/// The bell is rung at most this often; a last ring follows what was held back.
pub(super) const NOTIFY_INTERVAL: Duration = Duration::from_millis(1);
/// How often a follower looks without having been rung for, should a ring ever be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The end that rings.
#[derive(Debug)]
pub(super) struct WakeupSender {
    file: File,
    last: Option<Duration>,
    deferred: bool,
}

/// The bell's name in the store's folder.
const NAME: &str = "wakeup";

/// Opens the bell's file, making it if need be.
pub(super) fn open(folder: &Dir) -> Result<File, StoreError> {
    folder
        .open_or_create(NAME)
        .map_err(|source| error_map::io("open the wakeup", &folder.path().join(NAME), source))
}

impl WakeupSender {
    pub(super) const fn new(file: File) -> WakeupSender {
        WakeupSender { file, last: None, deferred: false }
    }

    /// Notifies at the monotonic time `now`, or defers that if the last notification was a moment ago.
    pub(super) fn notify(&mut self, now: Duration) {
        if self.last.is_some_and(|last| now.saturating_sub(last) < NOTIFY_INTERVAL) {
            self.deferred = true;
            return;
        }
        self.last = Some(now);
        self.deferred = false;
        notify(&self.file);
    }

    /// Whether a notification was deferred, and has to follow within [`NOTIFY_INTERVAL`].
    pub(super) const fn has_deferred(&self) -> bool {
        self.deferred
    }

    /// Sends the deferred notification, if there is one.
    pub(super) fn notify_deferred(&mut self, now: Duration) {
        if self.deferred {
            self.last = Some(now);
            self.deferred = false;
            notify(&self.file);
        }
    }
}

/// Strikes the bell: one byte, always the same one, so that the file does not grow.
pub(super) fn notify(file: &File) {
    if let Err(error) = file.write_all_at(b".", 0) {
        // Followers look once a second anyway.
        tracing::debug!(%error, "followers cannot be notified");
    }
}

/// Waits for the bell, or for the backstop: where the system has no watch on a file left, for that alone.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Listener(Option<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Listener {
    pub(super) fn open(folder: &Dir) -> Result<Listener, StoreError> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let path = folder.path().join(NAME);
        let opened = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).and_then(|inotify| {
            add_watch(&inotify, &path, WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW).map(|_| inotify)
        });
        match opened {
            Ok(inotify) => Ok(Listener(Some(inotify))),
            Err(error) if is_used_up(error) => {
                tracing::debug!(%error, path = %path.display(), "no watch is left: the log is looked at once a second");
                Ok(Listener(None))
            }
            Err(error) => Err(error_map::io("watch the wakeup", &path, error.into())),
        }
    }

    /// Returns once the bell was rung, and at the latest after the backstop.
    pub(super) fn wait(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(inotify) = &self.0 else { return std::thread::park_timeout(POLL_INTERVAL) };
        let backstop = Timespec { tv_sec: POLL_INTERVAL.as_secs().cast_signed(), tv_nsec: 0 };
        if let Err(error) = poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&backstop)) {
            tracing::debug!(%error, "the wait for a wakeup was interrupted");
        }
        let mut buffer = [0_u8; 4096];
        // Which rings they were says nothing; they are only taken off the queue, until none is left.
        while rustix::io::read(inotify, &mut buffer[..]).is_ok_and(|length| length > 0) {}
    }
}

/// Whether the system has no more watches on files: each user has few, and editors and containers use them up.
#[cfg(target_os = "linux")]
fn is_used_up(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM | Errno::NOSYS)
}

/// Waits for the backstop only: this system has no watch on a file here yet.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Listener;

#[cfg(not(target_os = "linux"))]
impl Listener {
    pub(super) fn open(_folder: &Dir) -> Result<Listener, StoreError> {
        Ok(Listener)
    }

    /// Returns after the backstop.
    pub(super) fn wait(&self) {
        std::thread::park_timeout(POLL_INTERVAL);
    }
}
