//! A keeper as its owner sees it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use backstay_model::event::Heartbeat;
use backstay_model::{Attempt, EffectId, Epoch};
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::StopError;
use crate::files;
use crate::protocol::{self, FromKeeper, Lines, ToKeeper};
use crate::record::{ExitRecord, StopReason};
use crate::tolerate::tolerate;

/// What a keeper tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperEvent {
    /// The process runs. Always the first event.
    Running {
        /// The main process.
        pid: u32,
        /// Its keeper.
        keeper_pid: u32,
    },
    /// A sign of life, in the interval of the spec.
    Beat(Heartbeat),
    /// It has been silent for long.
    Stalled {
        /// For how long, in milliseconds of awake time.
        silent_ms: u64,
        /// When it will be stopped if nothing comes, in milliseconds from now; absent if it will not be.
        stop_in_ms: Option<u64>,
    },
    /// It ended, and its record is durable. The last event.
    Exited(Box<ExitRecord>),
    /// A newer owner speaks with the keeper; it obeys this one no more. The last event.
    Fenced {
        /// The epoch that the keeper obeys.
        highest: Epoch,
    },
    /// The keeper is dead and left no record: recover the folder. The last event.
    KeeperGone,
}

#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) effect: EffectId,
    pub(super) attempt: Attempt,
    pub(super) pid: u32,
    pub(super) keeper_pid: u32,
    pub(super) folder: Utf8PathBuf,
}

/// A running process under its keeper. Dropping it leaves both running.
#[derive(Debug)]
pub struct KeeperHandle {
    control: KeeperControl,
    events: KeeperEvents,
}

/// Identifies a running process and can stop it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeeperControl {
    identity: Arc<Identity>,
    channel: Arc<Mutex<UnixStream>>,
}

/// The events of one process, in order. [`Iterator::next`] waits for the next one; after the last one comes `None`.
#[derive(Debug)]
pub struct KeeperEvents {
    identity: Arc<Identity>,
    channel: UnixStream,
    lines: Lines,
    state: Hearing,
    /// The keeper, if this process started it, to be collected at its end.
    child: Option<Child>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    First,
    On,
    Over,
}

impl KeeperHandle {
    pub(super) fn new(
        identity: Identity,
        channel: UnixStream,
        lines: Lines,
        child: Option<Child>,
    ) -> io::Result<KeeperHandle> {
        let identity = Arc::new(identity);
        let writer = channel.try_clone()?;
        let control =
            KeeperControl { identity: Arc::clone(&identity), channel: Arc::new(Mutex::new(writer)) };
        Ok(KeeperHandle {
            control,
            events: KeeperEvents { identity, channel, lines, state: Hearing::First, child },
        })
    }

    /// What identifies and stops the process.
    #[must_use]
    pub fn control(&self) -> &KeeperControl {
        &self.control
    }

    /// Both halves.
    #[must_use]
    pub fn into_parts(self) -> (KeeperControl, KeeperEvents) {
        (self.control, self.events)
    }

    /// Calls `on_event` with every event, on a thread of its own that ends after the last one.
    ///
    /// # Errors
    /// What the system says, if there can be no thread.
    pub fn watch(
        self,
        mut on_event: impl FnMut(KeeperEvent) + Send + 'static,
    ) -> io::Result<(KeeperControl, JoinHandle<()>)> {
        let (control, events) = self.into_parts();
        let name = format!("keeper-{}", control.pid());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            for event in events {
                on_event(event);
            }
        })?;
        Ok((control, thread))
    }
}

impl KeeperControl {
    /// The main process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Its keeper.
    #[must_use]
    pub fn keeper_pid(&self) -> u32 {
        self.identity.keeper_pid
    }

    /// Which work it is.
    #[must_use]
    pub fn effect(&self) -> &EffectId {
        &self.identity.effect
    }

    /// Which try.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.identity.attempt
    }

    /// The folder with its files.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        &self.identity.folder
    }

    /// Asks the keeper to end the process and everything it started: TERM, after `grace` KILL. The end comes as
    /// [`KeeperEvent::Exited`]. Saying it again can only shorten the grace.
    ///
    /// # Errors
    /// [`StopError::Gone`] if the keeper is not there any more.
    pub fn stop(&self, epoch: Epoch, reason: StopReason, grace: Duration) -> Result<(), StopError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let line = protocol::line(&ToKeeper::Stop { epoch, reason, grace_ms })
            .map_err(|source| StopError::Encode { source })?;
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel
            .write_all(&line)
            .map_err(|source| StopError::Gone { folder: self.identity.folder.clone(), source })
    }
}

impl Iterator for KeeperEvents {
    type Item = KeeperEvent;

    fn next(&mut self) -> Option<KeeperEvent> {
        match self.state {
            Hearing::Over => return None,
            Hearing::First => {
                self.state = Hearing::On;
                let (pid, keeper_pid) = (self.identity.pid, self.identity.keeper_pid);
                return Some(KeeperEvent::Running { pid, keeper_pid });
            }
            Hearing::On => {}
        }
        let event = match protocol::read_message(&mut self.lines, &mut self.channel) {
            Ok(Some(FromKeeper::Beat { beat })) => return Some(KeeperEvent::Beat(beat)),
            Ok(Some(FromKeeper::Stalled { silent_ms, stop_in_ms })) => {
                return Some(KeeperEvent::Stalled { silent_ms, stop_in_ms });
            }
            Ok(Some(FromKeeper::Running { .. })) => return self.next(),
            Ok(Some(FromKeeper::Exited { record })) => KeeperEvent::Exited(record),
            Ok(Some(FromKeeper::Fenced { highest })) => KeeperEvent::Fenced { highest },
            // The channel is closed or broken: the folder says why, once nobody holds it.
            Ok(Some(FromKeeper::Refused { .. }) | None) | Err(_) => self.read_end(),
        };
        self.state = Hearing::Over;
        if !matches!(event, KeeperEvent::Fenced { .. }) {
            self.collect();
        }
        Some(event)
    }
}

impl KeeperEvents {
    /// Waits until the keeper is dead, then reads what it left.
    fn read_end(&mut self) -> KeeperEvent {
        let folder = &self.identity.folder;
        let freed = File::open(files::lock_path(folder)).and_then(|lock| files::wait_for_lock(&lock));
        tolerate(freed, "without the lock the closed channel is the best proof of its end");
        // A record that cannot be read is told, with its reason, by recovering the folder.
        let record = files::read_if_there(&folder.join(files::EXIT)).ok().flatten();
        match record.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(record) => KeeperEvent::Exited(Box::new(record)),
            None => KeeperEvent::KeeperGone,
        }
    }

    /// Takes the dead keeper from the system's list of processes.
    fn collect(&mut self) {
        if let Some(mut child) = self.child.take() {
            tolerate(child.wait(), "it is dead or about to be, and what it returned does not matter");
        }
    }
}
