//! Wakeups: how a process learns that another one has committed.
//!
//! After a commit one byte is written to a file that every process watches. It says only that there is news. The write-ahead log
//! cannot serve for that, because its frames are written before the commit can be read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use backstay_files::Dir;

use super::error_map;
use crate::error::StoreError;

/// At most one wakeup is sent in this time; a deferred one follows.
pub(super) const NOTIFY_INTERVAL: Duration = Duration::from_millis(1);
/// How often a follower reads the newest position without a wakeup, should one be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The sending end.
#[derive(Debug)]
pub(super) struct WakeupSender {
    file: File,
    last: Option<Duration>,
    deferred: bool,
}

/// The file's name in the store's folder.
const NAME: &str = "wakeup";

/// Opens the file; creates it if there is none.
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

/// Writes one byte, always at the start, so that the file does not grow.
pub(super) fn notify(file: &File) {
    if let Err(error) = file.write_all_at(b".", 0) {
        // Followers read the newest position once a second anyway.
        tracing::debug!(%error, "followers cannot be notified");
    }
}

/// The receiving end. Where the system has no watch on a file left, it only waits for [`POLL_INTERVAL`].
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
                tracing::debug!(%error, path = %path.display(), "no watch on a file is left: the newest position is read once a second");
                Ok(Listener(None))
            }
            Err(error) => Err(error_map::io("watch the wakeup", &path, error.into())),
        }
    }

    /// Returns after a wakeup, and after [`POLL_INTERVAL`] at the latest.
    pub(super) fn wait(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(inotify) = &self.0 else { return std::thread::park_timeout(POLL_INTERVAL) };
        let backstop = Timespec { tv_sec: POLL_INTERVAL.as_secs().cast_signed(), tv_nsec: 0 };
        if let Err(error) = poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&backstop)) {
            tracing::debug!(%error, "the wait for a wakeup was interrupted");
        }
        let mut buffer = [0_u8; 4096];
        // The events say nothing more; they are only read until none is left.
        while rustix::io::read(inotify, &mut buffer[..]).is_ok_and(|length| length > 0) {}
    }
}

/// Returns whether the user has no watches on files left. There are few, and editors and containers use them.
#[cfg(target_os = "linux")]
fn is_used_up(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM | Errno::NOSYS)
}

/// The receiving end on a system without a watch on files here yet: it only waits for [`POLL_INTERVAL`].
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Listener;

#[cfg(not(target_os = "linux"))]
impl Listener {
    pub(super) fn open(_folder: &Dir) -> Result<Listener, StoreError> {
        Ok(Listener)
    }

    /// Returns after [`POLL_INTERVAL`].
    pub(super) fn wait(&self) {
        std::thread::park_timeout(POLL_INTERVAL);
    }
}
