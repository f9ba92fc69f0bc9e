//! What keeper and owner say to each other: one JSON object a line.

use std::io::{self, Read};

use backstay_model::event::Heartbeat;
use backstay_model::{Attempt, EffectId, Epoch};
use camino::Utf8PathBuf;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::inherited::Umask;
use crate::record::{ExitRecord, StopReason};
use crate::spec::ProcessSpec;

/// The version that both sides must speak.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
/// Bytes of one line from an owner after the first; more is no command.
pub(crate) const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// The first line that a keeper reads from its stdin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartMessage {
    /// The version of the spec's form.
    pub(crate) version: u32,
    /// What to start.
    pub(crate) spec: ProcessSpec,
    /// The folders that its socket may be in, the best first.
    pub(crate) socket_folders: Vec<Utf8PathBuf>,
    /// The umask of what is started; absent if it is the keeper's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) umask: Option<Umask>,
}

/// What an owner says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum ToKeeper {
    /// Tell me what happens from now on.
    Attach {
        /// The version that the owner speaks.
        version: u32,
        /// Its epoch.
        epoch: Epoch,
    },
    /// End the process and everything it started.
    Stop {
        /// The owner's epoch.
        epoch: Epoch,
        /// Why.
        reason: StopReason,
        /// Time between TERM and KILL.
        grace_ms: u64,
    },
}

/// What a keeper says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum FromKeeper {
    /// The process runs.
    Running {
        /// The version that the keeper speaks.
        version: u32,
        /// Which work.
        effect: EffectId,
        /// Which try.
        attempt: Attempt,
        /// The main process.
        pid: u32,
        /// The keeper.
        keeper_pid: u32,
    },
    /// A sign of life.
    Beat {
        /// What it says.
        beat: Heartbeat,
    },
    /// It has been silent for long.
    Stalled {
        /// For how long.
        silent_ms: u64,
        /// When it will be stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_in_ms: Option<u64>,
    },
    /// It ended, and the record is durable.
    Exited {
        /// How.
        record: Box<ExitRecord>,
    },
    /// Another owner with a higher epoch has spoken.
    Fenced {
        /// The highest epoch seen.
        highest: Epoch,
    },
    /// Nothing was started.
    Refused {
        /// Why.
        reason: String,
        /// Whether there was no room for what a keeper has to write before.
        #[serde(default)]
        no_room: bool,
    },
}

/// The message as one line.
pub(crate) fn line<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Cuts lines out of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    scanned: usize,
}

impl Lines {
    /// Takes what came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    pub(crate) fn next_line(&mut self) -> Option<Vec<u8>> {
        let Some(found) = self.pending[self.scanned..].iter().position(|&byte| byte == b'\n') else {
            self.scanned = self.pending.len();
            return None;
        };
        let end = self.scanned + found;
        let rest = self.pending.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.pending, rest);
        line.truncate(end);
        self.scanned = 0;
        Some(line)
    }

    /// Bytes that wait for the rest of their line.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Reads from `source` until there is a whole line; what is left at the end of the stream counts as one.
    pub(crate) fn read_line(&mut self, source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0_u8; 16 * 1024];
        loop {
            if let Some(line) = self.next_line() {
                return Ok(Some(line));
            }
            match source.read(&mut buffer) {
                Ok(0) if self.pending.is_empty() => return Ok(None),
                Ok(0) => {
                    self.scanned = 0;
                    return Ok(Some(std::mem::take(&mut self.pending)));
                }
                Ok(count) => self.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The next message of a stream; `None` at its end.
pub(crate) fn read_message<T: DeserializeOwned>(
    lines: &mut Lines,
    source: &mut impl Read,
) -> io::Result<Option<T>> {
    match lines.read_line(source)? {
        None => Ok(None),
        Some(line) => serde_json::from_slice(&line).map(Some).map_err(io::Error::from),
    }
}
