//! Checkpoints: a background thread moves the write-ahead log into the database, so that no commit waits for it.
//!
//! While others write, the thread never moves all of it. When little is left, the next commit moves the rest, and the log begins
//! again. If the thread does not run, a commit moves everything once the log is long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{error_map, schema};
use crate::crash::crash_point;
use crate::disk_space::is_out_of_space;
use crate::error::StoreError;

/// Pages in the log after which the thread begins.
const BEGIN_PAGES: u32 = 400;
/// Pages in the log after which a commit moves them itself.
const PAGES_MAX: u32 = 16_384;
/// A commit moves the rest if this little is left.
const REST_PAGES: u32 = 128;
/// If the thread does not catch up, a commit moves the rest if it is this part of the whole.
const REST_PART: u32 = 8;
/// How often in a row the thread tries to catch up.
const PASSES: usize = 3;

/// The background thread, and the state that it shares with commits.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Pages in the log after the last commit of this process.
    pages: Arc<AtomicU32>,
    little_left: Arc<AtomicBool>,
    under_way: Arc<AtomicBool>,
    /// A flush failed while the log was moved: then it is not known what is on the disk, and nothing more may be written.
    failed: Arc<AtomicBool>,
    begin: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The result of a checkpoint.
#[derive(Clone, Copy, Debug)]
struct Passed {
    pages: u32,
    moved: u32,
}

impl Checkpointer {
    /// Starts the thread and takes over from SQLite's own checkpoints on the connection that writes.
    pub(super) fn start(writing: &mut Connection, path: &Path) -> Result<Checkpointer, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let counted = pages.clone();
        writing
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now: std::ffi::c_int| {
                counted.store(now.unsigned_abs(), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(|source| error_map::sqlite("set up", path, source))?;
        let (little_left, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (begin, begun) = mpsc::sync_channel(1);
        let failed = Arc::new(AtomicBool::new(false));
        let work = Work {
            path: path.to_owned(),
            little_left: little_left.clone(),
            under_way: under_way.clone(),
            failed: failed.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("backstay-checkpoint".to_owned())
            .spawn(move || work.run(&begun))
            .map_err(|source| error_map::io("start a thread for", path, source))?;
        Ok(Checkpointer { pages, little_left, under_way, failed, begin: Some(begin), thread: Some(thread) })
    }

    /// Returns whether a flush has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Starts a checkpoint if the log is long enough. The caller holds the writer lock.
    pub(super) fn after_commit(&self, writing: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < BEGIN_PAGES {
            self.little_left.store(false, Ordering::Relaxed);
            return;
        }
        if self.little_left.swap(false, Ordering::Relaxed) || pages >= PAGES_MAX {
            move_all(writing, &self.failed);
            // Whatever happened, the next look is after the next commit.
            self.pages.store(0, Ordering::Relaxed);
        } else if !self.under_way.swap(true, Ordering::Relaxed)
            && let Some(begin) = &self.begin
            && begin.try_send(()).is_err()
        {
            tracing::trace!("a checkpoint is due already");
        }
    }

    /// Moves the whole log, so that the next process has little to recover.
    pub(super) fn at_close(&self, writing: &Connection) {
        if self.pages.load(Ordering::Relaxed) > 0 && !self.has_failed() {
            move_all(writing, &self.failed);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn move_all(connection: &Connection, failed: &AtomicBool) {
    crash_point("log.checkpoint.before");
    match checkpoint(connection) {
        Ok(passed) => tracing::trace!(?passed, "a checkpoint ended"),
        // The log only gets longer; the next one may do better. Who writes hears of a full disk itself.
        Err(error) if is_out_of_space(&error) => {
            tracing::debug!(%error, "a checkpoint failed")
        }
        Err(error) => {
            tracing::warn!(%error, "a checkpoint failed");
            note_failed_flush(&error, failed);
        }
    }
    crash_point("log.checkpoint.after");
}

/// After a flush that failed the next one may succeed and say nothing about what was lost; frames that are read back from the
/// log then may not be those that were written.
fn note_failed_flush(error: &rusqlite::Error, failed: &AtomicBool) {
    if error_map::is_failed_flush(error) && !failed.swap(true, Ordering::SeqCst) {
        tracing::error!(%error, "a flush failed while the log was moved; this process writes no more");
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<Passed> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |row| {
        let count = |index| row.get::<_, i64>(index).map(|count| u32::try_from(count).unwrap_or(0));
        Ok(Passed { pages: count(1)?, moved: count(2)? })
    })
}

struct Work {
    path: PathBuf,
    little_left: Arc<AtomicBool>,
    under_way: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
}

impl Work {
    fn run(&self, begun: &Receiver<()>) {
        let mut connection = None;
        while begun.recv().is_ok() {
            let passed = match connection.take().map_or_else(|| schema::connect_checkpointer(&self.path), Ok)
            {
                Ok(opened) => {
                    self.catch_up(&opened);
                    connection = Some(opened);
                    true
                }
                Err(error) => {
                    tracing::warn!(%error, "the checkpoint thread cannot open the database");
                    false
                }
            };
            self.under_way.store(false, Ordering::Relaxed);
            tracing::trace!(passed, "a look at the log");
        }
    }

    fn catch_up(&self, connection: &Connection) {
        for pass in 1..=PASSES {
            crash_point("log.checkpoint.background");
            match checkpoint(connection) {
                Ok(Passed { pages, moved }) => {
                    let rest = pages.saturating_sub(moved);
                    if rest <= REST_PAGES || (pass == PASSES && rest <= pages / REST_PART) {
                        self.little_left.store(true, Ordering::Relaxed);
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a background checkpoint failed");
                    note_failed_flush(&error, &self.failed);
                    return;
                }
            }
        }
    }
}
