//! What can go wrong, one enum per operation.

use std::io;
use std::time::Duration;

use backstay_model::{Attempt, Code, Coded, EffectId, Epoch};
use camino::Utf8PathBuf;

use crate::record::SpawnFailure;
use crate::spool::Stream;

/// A process cannot be started as it is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is no program.
    #[error("there is no program to start")]
    NoProgram,
    /// The working folder is relative.
    #[error("the working folder {cwd} is not an absolute path")]
    RelativeFolder {
        /// The folder.
        cwd: Utf8PathBuf,
    },
    /// One argument or variable is too long.
    #[error(
        "{what} has {size_bytes} bytes, more than the 131,071 that can be passed in one: pass it in a file"
    )]
    TooLong {
        /// Which one.
        what: String,
        /// Its size.
        size_bytes: usize,
    },
    /// All of them together are too long.
    #[error("arguments and environment have {total_bytes} bytes together, the system takes {limit_bytes}")]
    TooMuch {
        /// Their size.
        total_bytes: u64,
        /// What this system takes.
        limit_bytes: u64,
    },
    /// A zero byte cannot be passed.
    #[error("{what} contains a zero byte")]
    Nul {
        /// Where.
        what: String,
    },
    /// A variable cannot have this name.
    #[error("`{name}` cannot be the name of a variable")]
    VariableName {
        /// The name.
        name: String,
    },
}

/// A process was not started, or it is not known that it was.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be started as it is described.
    #[error("the process cannot be started as it is described")]
    Spec {
        /// Why not.
        #[from]
        source: SpecError,
    },
    /// The agent's program could not be started. The folder holds an exit record that says so.
    #[error("the process could not be started")]
    Spawn {
        /// Why not.
        source: SpawnFailure,
    },
    /// The folder was used before: each attempt has its own.
    #[error("{folder} was used before; each attempt needs a folder of its own")]
    FolderInUse {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// The keeper's own program could not be started.
    #[error("the keeper {program} cannot be started")]
    Keeper {
        /// Its program.
        program: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The keeper refused; nothing was started.
    #[error("the keeper could not begin: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// There was no room for what a keeper writes before it starts anything; nothing was started.
    #[error("no room is left for the keeper's files in {folder}")]
    NoRoom {
        /// The folder.
        folder: Utf8PathBuf,
        /// That there is no room.
        source: io::Error,
    },
    /// The keeper died before it could have started anything.
    #[error("the keeper died before it started the process")]
    NotBegun,
    /// The keeper went silent and may have started the process: recover the folder.
    #[error("the keeper went away in the middle of the start; the process may have begun")]
    Unclear,
    /// A file or folder could not be made.
    #[error("cannot write {path}")]
    Io {
        /// Which one.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// It could not be found out what became of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which one.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is there, but cannot be understood.
    #[error("{path} is damaged or of a newer version")]
    Damaged {
        /// Which one.
        path: Utf8PathBuf,
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// A file is of a version that is not known here.
    #[error("{path} has version {found}, this program reads up to {known}")]
    Version {
        /// Which one.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A file is there, and speaks of other work: it was put there.
    #[error(
        "{path} is of {effect}, attempt {attempt}, and says nothing of the attempt whose folder it is in"
    )]
    OtherWork {
        /// Which one.
        path: Utf8PathBuf,
        /// The work that it speaks of.
        effect: Box<EffectId>,
        /// The attempt that it speaks of.
        attempt: Attempt,
    },
    /// The keeper lives, but a newer owner speaks with it.
    #[error("the keeper obeys epoch {highest}, not {epoch}")]
    Fenced {
        /// The epoch that was refused.
        epoch: Epoch,
        /// The epoch that it obeys.
        highest: Epoch,
    },
    /// The keeper lives, but cannot be reached.
    #[error("the keeper of {folder} lives, but does not answer at {socket}")]
    Unreachable {
        /// Its folder.
        folder: Utf8PathBuf,
        /// Where it should listen.
        socket: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody holds the folder, but says nothing.
    #[error("somebody holds the lock of {folder}, but no keeper speaks")]
    Silent {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// The keeper is dead, and what is left of its tree cannot be seen from here.
    #[error(
        "{folder} belongs to another container of this machine: what still runs there cannot be told from here"
    )]
    OtherNamespace {
        /// Its folder.
        folder: Utf8PathBuf,
    },
    /// Processes of the dead keeper could not be ended.
    #[error("{count} processes of the dead keeper of {folder} could not be ended")]
    Survivors {
        /// The folder.
        folder: Utf8PathBuf,
        /// How many.
        count: u32,
    },
}

/// A stop did not reach the keeper.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The keeper is not there any more; its last event says how it ended.
    #[error("the keeper of {folder} is not there any more")]
    Gone {
        /// Its folder.
        folder: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The command has no JSON form.
    #[error("the command cannot be encoded")]
    Encode {
        /// What the encoder says.
        source: serde_json::Error,
    },
}

/// A helper program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BoundedCommandError {
    /// It could not be started.
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    /// What it said could not be read.
    #[error("what it says cannot be read")]
    Read(#[source] io::Error),
    /// It did not come to its end, and was ended with everything that it had started.
    #[error("it did not end within {} s and was killed", .bound.as_secs())]
    TimedOut {
        /// The time it had.
        bound: Duration,
    },
}

/// What a process said cannot be read as it was.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Io {
        /// Which one.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Bytes are missing at the end.
    #[error("{path} has {found_bytes} bytes of {stream}, but {expected_bytes} were written: the end is lost")]
    Short {
        /// Which file.
        path: Utf8PathBuf,
        /// Whose bytes.
        stream: Stream,
        /// How many should be there.
        expected_bytes: u64,
        /// How many are there.
        found_bytes: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "{path} does not have the digest that was noted: {size_bytes} bytes of {stream} are not to be trusted"
    )]
    Digest {
        /// Which file.
        path: Utf8PathBuf,
        /// Whose bytes.
        stream: Stream,
        /// How many.
        size_bytes: u64,
    },
    /// The order of the two streams is damaged; each stream alone can still be read.
    #[error("{path} is damaged at record {record}: the order of the output after it is lost")]
    Order {
        /// Which file.
        path: Utf8PathBuf,
        /// The record, from 0.
        record: u64,
    },
    /// The exit record is there, but cannot be understood.
    #[error("{path} is damaged or of a newer version")]
    Record {
        /// Which file.
        path: Utf8PathBuf,
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// More was asked for than is there to read at once.
    #[error("{stream} has {size_bytes} bytes, more than the {limit_bytes} asked for")]
    TooLarge {
        /// Which stream.
        stream: Stream,
        /// Its size.
        size_bytes: u64,
        /// What was asked for.
        limit_bytes: u64,
    },
}

impl Coded for SpecError {
    fn code(&self) -> Code {
        match self {
            SpecError::NoProgram => Code("BKS-X001"),
            SpecError::RelativeFolder { .. } => Code("BKS-X002"),
            SpecError::TooLong { .. } => Code("BKS-X003"),
            SpecError::TooMuch { .. } => Code("BKS-X004"),
            SpecError::Nul { .. } => Code("BKS-X005"),
            SpecError::VariableName { .. } => Code("BKS-X006"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SpecError::TooLong { .. } | SpecError::TooMuch { .. } => {
                Some("Pass long text on stdin or in a file, and give its path.".to_owned())
            }
            SpecError::NoProgram
            | SpecError::RelativeFolder { .. }
            | SpecError::Nul { .. }
            | SpecError::VariableName { .. } => None,
        }
    }
}

impl Coded for SpawnFailure {
    fn code(&self) -> Code {
        match self {
            SpawnFailure::NotFound { .. } => Code("BKS-X010"),
            SpawnFailure::PermissionDenied { .. } => Code("BKS-X011"),
            SpawnFailure::CwdMissing { .. } => Code("BKS-X012"),
            SpawnFailure::TooLarge => Code("BKS-X013"),
            SpawnFailure::NotAProgram { .. } => Code("BKS-X014"),
            SpawnFailure::Refused { .. } => Code("BKS-X015"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SpawnFailure::NotFound { program, .. } => {
                Some(format!("Install `{program}`, or give its full path, then retry the run."))
            }
            SpawnFailure::PermissionDenied { path } => Some(format!("Make it executable: chmod +x {path}")),
            SpawnFailure::CwdMissing { cwd } => Some(format!("Create {cwd}, then retry the run.")),
            SpawnFailure::TooLarge => Some("Pass long text on stdin or in a file.".to_owned()),
            SpawnFailure::NotAProgram { .. } | SpawnFailure::Refused { .. } => None,
        }
    }
}

impl Coded for StartError {
    fn code(&self) -> Code {
        match self {
            StartError::Spec { source } => source.code(),
            StartError::Spawn { source } => source.code(),
            StartError::FolderInUse { .. } => Code("BKS-X020"),
            StartError::Keeper { .. } => Code("BKS-X021"),
            StartError::Refused { .. } => Code("BKS-X022"),
            StartError::NotBegun => Code("BKS-X023"),
            StartError::Unclear => Code("BKS-X024"),
            StartError::Io { .. } => Code("BKS-X025"),
            StartError::NoRoom { .. } => Code("BKS-X026"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StartError::Spec { source } => source.hint(),
            StartError::Spawn { source } => source.hint(),
            StartError::Keeper { .. } => {
                Some("Was the program replaced or moved while it ran? Start it again.".to_owned())
            }
            StartError::NoRoom { .. } => {
                Some("Make room on that disk, or raise `ulimit -f`, then `backstay resume`.".to_owned())
            }
            StartError::Io { .. } => {
                Some("Check that the disk has room and the store can be written.".to_owned())
            }
            StartError::FolderInUse { .. }
            | StartError::Refused { .. }
            | StartError::NotBegun
            | StartError::Unclear => None,
        }
    }
}

impl Coded for RecoverError {
    fn code(&self) -> Code {
        match self {
            RecoverError::Io { .. } => Code("BKS-X030"),
            RecoverError::Damaged { .. } => Code("BKS-X031"),
            RecoverError::Version { .. } => Code("BKS-X032"),
            RecoverError::Fenced { .. } => Code("BKS-X033"),
            RecoverError::Unreachable { .. } => Code("BKS-X034"),
            RecoverError::Silent { .. } => Code("BKS-X035"),
            RecoverError::Survivors { .. } => Code("BKS-X036"),
            RecoverError::OtherNamespace { .. } => Code("BKS-X037"),
            RecoverError::OtherWork { .. } => Code("BKS-X038"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RecoverError::Version { .. } => {
                Some("Use the version of Backstay that started it, or a newer one.".to_owned())
            }
            RecoverError::Unreachable { .. } => Some(
                "It may be in another container: resume it there. Else end the keeper by its id in keeper.json, then resume."
                    .to_owned(),
            ),
            RecoverError::Silent { .. } => Some(
                "The process that started it may be stopped: continue or end it, then resume.".to_owned(),
            ),
            RecoverError::OtherNamespace { .. } => Some(
                "Resume it in that container; if it is gone, `backstay resume --take-over` lets `after_crash` decide."
                    .to_owned(),
            ),
            RecoverError::OtherWork { path, .. } => {
                Some(format!("Put back the right file, or remove it (`rm {path}`), then resume."))
            }
            RecoverError::Survivors { .. } => Some("End them by hand, then resume.".to_owned()),
            RecoverError::Io { .. } | RecoverError::Damaged { .. } | RecoverError::Fenced { .. } => None,
        }
    }
}

impl Coded for StopError {
    fn code(&self) -> Code {
        match self {
            StopError::Gone { .. } => Code("BKS-X040"),
            StopError::Encode { .. } => Code("BKS-X041"),
        }
    }
}

impl Coded for SpoolError {
    fn code(&self) -> Code {
        match self {
            SpoolError::Io { .. } => Code("BKS-X050"),
            SpoolError::Short { .. } => Code("BKS-X051"),
            SpoolError::Digest { .. } => Code("BKS-X052"),
            SpoolError::Order { .. } => Code("BKS-X053"),
            SpoolError::Record { .. } => Code("BKS-X054"),
            SpoolError::TooLarge { .. } => Code("BKS-X055"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SpoolError::Order { .. } => {
                Some("The files stdout and stderr beside it are each still readable.".to_owned())
            }
            SpoolError::TooLarge { .. } => Some("Read the spool file itself.".to_owned()),
            SpoolError::Io { .. }
            | SpoolError::Short { .. }
            | SpoolError::Digest { .. }
            | SpoolError::Record { .. } => None,
        }
    }
}
