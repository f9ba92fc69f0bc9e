//! A keeper as its owner sees it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use backstay_files::{Watch, Watched};
use backstay_model::event::Heartbeat;
use backstay_model::{Attempt, EffectId, Epoch};
use camino::{Utf8Path, Utf8PathBuf};

use crate::clock::awake;
use crate::error::StopError;
use crate::files;
use crate::ignore::ignore_error;
use crate::protocol::{self, FromKeeper, Lines, ToKeeper};
use crate::record::{ExitRecord, StopReason};

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
    /// The keeper is dead and left no record, or it lives and the connection to it is lost: recover the folder. The last
    /// event.
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
        let writer = match channel.try_clone() {
            Ok(writer) => writer,
            Err(error) => {
                child.into_iter().for_each(super::collect);
                return Err(error);
            }
        };
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
        if let (KeeperEvent::Exited(_), Some(child)) = (&event, &mut self.child) {
            // Who hears of the end finds nobody in the folder.
            super::wait_for_death(child);
        }
        Some(event)
    }
}

impl KeeperEvents {
    /// Reads what the keeper left. It is waited for as long as one that is ending may take, and no longer: it may live and
    /// only have closed this channel.
    fn read_end(&mut self) -> KeeperEvent {
        let folder = &self.identity.folder;
        ignore_error(wait_for_end(folder), "what cannot be watched is found out by recovering the folder");
        // A record that cannot be read is told, with its reason, by recovering the folder.
        let record =
            files::open(folder).and_then(|dir| files::read_if_there(&dir, files::EXIT)).ok().flatten();
        let is_own = |record: &ExitRecord| {
            record.effect == self.identity.effect && record.attempt == self.identity.attempt
        };
        match record.and_then(|bytes| serde_json::from_slice(&bytes).ok()).filter(is_own) {
            Some(record) => KeeperEvent::Exited(Box::new(record)),
            None => KeeperEvent::KeeperGone,
        }
    }
}

/// Whatever becomes of the events, the keeper is taken from the system's list of processes once it is dead.
impl Drop for KeeperEvents {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            super::collect(child);
        }
    }
}

/// How long a keeper whose channel is closed may take to be gone: its record, if there is one, was durable before that.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// The time between two looks: the end of a lock wakes nobody.
const END_LOOK: Duration = Duration::from_secs(1);

/// Waits until nobody holds `folder` any more, or it has its record, or the patience is over.
fn wait_for_end(folder: &Utf8Path) -> io::Result<()> {
    let until = awake() + END_PATIENCE;
    let dir = files::open(folder)?;
    let lock = dir.open_file(files::LOCK)?;
    let watch = Watch::new(folder.as_std_path(), Watched::Folder)?;
    while !files::is_free(&lock)? && !dir.has(files::EXIT)? {
        let left = until.saturating_duration_since(awake());
        if left.is_zero() {
            return Ok(());
        }
        watch.wait(left.min(END_LOOK));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_a_living_keeper_closed_is_told_and_holds_nobody_up() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        let lock = files::open(&folder).unwrap().open_or_create(files::LOCK).unwrap();
        files::hold(&lock).unwrap();
        let identity = Identity {
            effect: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap(),
            attempt: Attempt::FIRST,
            pid: 1,
            keeper_pid: 2,
            folder,
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let handle = KeeperHandle::new(identity, ours, Lines::default(), None).unwrap();
        drop(theirs);
        let events: Vec<KeeperEvent> = handle.into_parts().1.collect();
        assert_eq!(events, [KeeperEvent::Running { pid: 1, keeper_pid: 2 }, KeeperEvent::KeeperGone]);
        drop(lock);
    }
}
