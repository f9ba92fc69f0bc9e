//! The bell: how a process learns that another one has committed.
//!
//! After a commit one byte is written to a file that every follower watches. It only says "look"; the database says
//! what. The write-ahead log itself is no bell: its frames are written before the commit can be seen.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use backstay_files::{Dir, Watch, Watched};

use super::fault;
use crate::error::StoreError;

/// The bell is rung at most this often; a last ring follows what was held back.
pub(super) const RING_EVERY: Duration = Duration::from_millis(1);
/// How often a follower looks without having been rung for, should a ring ever be lost.
const BACKSTOP: Duration = Duration::from_secs(1);

/// The end that rings.
#[derive(Debug)]
pub(super) struct Bell {
    file: File,
    rung: Option<Duration>,
    held_back: bool,
}

/// The bell's name in the store's folder.
const NAME: &str = "bell";

/// Opens the bell's file, making it if need be.
pub(super) fn open(folder: &Dir) -> Result<File, StoreError> {
    folder
        .open_or_create(NAME)
        .map_err(|source| fault::io("open the bell", &folder.path().join(NAME), source))
}

impl Bell {
    pub(super) const fn new(file: File) -> Bell {
        Bell { file, rung: None, held_back: false }
    }

    /// Rings at the monotonic moment `now`, or holds the ring back if it rang a moment ago.
    pub(super) fn ring(&mut self, now: Duration) {
        if self.rung.is_some_and(|rung| now.saturating_sub(rung) < RING_EVERY) {
            self.held_back = true;
            return;
        }
        self.rung = Some(now);
        self.held_back = false;
        strike(&self.file);
    }

    /// Whether a ring was held back, and has to follow within [`RING_EVERY`].
    pub(super) const fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// Rings if a ring was held back.
    pub(super) fn ring_held_back(&mut self, now: Duration) {
        if self.held_back {
            self.rung = Some(now);
            self.held_back = false;
            strike(&self.file);
        }
    }
}

/// Strikes the bell: one byte, always the same one, so that the file does not grow.
pub(super) fn strike(file: &File) {
    if let Err(error) = file.write_all_at(b".", 0) {
        // Followers look once a second anyway.
        tracing::debug!(%error, "the bell cannot be rung");
    }
}

/// Waits for the bell, or for the backstop: where the system has no watch on a file left, for that alone.
#[derive(Debug)]
pub(super) struct Ear(Watch);

impl Ear {
    pub(super) fn open(folder: &Dir) -> Result<Ear, StoreError> {
        let path = folder.path().join(NAME);
        let watch =
            Watch::new(&path, Watched::File).map_err(|source| fault::io("watch the bell", &path, source))?;
        if !watch.is_watched() {
            tracing::debug!(path = %path.display(), "no watch is left: the log is looked at once a second");
        }
        Ok(Ear(watch))
    }

    /// Returns once the bell was rung, and at the latest after the backstop.
    pub(super) fn listen(&self) {
        self.0.wait(BACKSTOP);
    }

    /// Ends the wait of the thread that listens.
    pub(super) fn interrupt(&self) {
        self.0.interrupt();
    }
}
