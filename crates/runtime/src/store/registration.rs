//! How the registry hears of what a process writes.

use std::sync::{Arc, Mutex, PoisonError};

use backstay_log::SqliteLog;
use backstay_model::Position;
use camino::Utf8PathBuf;

use crate::clock::Clock;
use crate::registry::{RegisteredStore, Registry};

/// The entry of an open store. It is written anew when a run is given up and when the store is closed, not with each
/// append: what it says of the log's head is true, and may be old.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Registry,
    path: Utf8PathBuf,
    log: SqliteLog,
    clock: Arc<dyn Clock>,
    noted: Mutex<Position>,
}

impl Registration {
    /// The entry of `log` in the folder `path`; what it says now is `noted`.
    pub(super) fn new(
        registry: Registry,
        path: Utf8PathBuf,
        log: SqliteLog,
        clock: Arc<dyn Clock>,
        noted: Position,
    ) -> Registration {
        Registration { registry, path, log, clock, noted: Mutex::new(noted) }
    }

    /// The registry that has the entry.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Writes the entry anew if the log went on. Only what is on the disk counts: a loss of power takes nothing back that
    /// the registry knows.
    pub(super) fn note(&self) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if self.log.newest() <= *noted {
            return;
        }
        match self.write() {
            Ok(head) => *noted = head,
            // An old head is true too: only a roll-back to between the two is not seen.
            Err(error) => {
                tracing::info!(path = %self.path, %error, "the registry of stores is not up to date")
            }
        }
    }

    fn write(&self) -> Result<Position, Box<dyn std::error::Error>> {
        let head = self.log.durable_position()?;
        let log = backstay_log::LogReader::id(&self.log);
        // One that was moved meanwhile is known at its new place.
        let Some(known) = self.registry.of_place(log, &self.path)? else { return Ok(head) };
        // Another process may know more.
        let head = known.head.max(head);
        self.registry.put(&RegisteredStore::new(log, self.path.clone(), head, self.clock.wall()))?;
        Ok(head)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.note();
    }
}
