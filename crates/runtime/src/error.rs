//! What can go wrong, by operation.

use backstay_engine::Rejection;
use backstay_log::{AppendError, BlobError, ClaimError, OpenError, OwnerView, ReadError, is_out_of_space};
use backstay_model::event::DecodeError;
use backstay_model::{Code, Coded, EffectId, Epoch, RunId, Timestamp};

use crate::drive::StoreGone;
use crate::registry::RegistryError;
use crate::screen::ScreenIsOpen;

/// A run cannot be read or asked for.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such run.
    #[error("there is no run {0} in this store")]
    Unknown(RunId),
    /// It was freed: its events, what its steps wrote and what was kept of its checkout. Only its record is left.
    #[error("{run} was freed at {at}; only its record is left")]
    Trimmed {
        /// The run.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// A folder of the store cannot be read.
    #[error("cannot read {path}")]
    Folder {
        /// The folder.
        path: camino::Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is damaged or from a newer version.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A blob is missing or damaged.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The request could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The stored plan or inputs cannot be understood.
    #[error("the {what} of {run} cannot be understood")]
    Definition {
        /// Whose.
        run: RunId,
        /// The plan or the inputs.
        what: &'static str,
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// The folder that it works in is none by itself.
    #[error("{run} works in {cwd:?}, which is not an absolute path")]
    RelativeFolder {
        /// Whose.
        run: RunId,
        /// The folder.
        cwd: String,
    },
    /// The plan names a preset that is not there.
    #[error("there is no preset `{preset}`")]
    UnknownPreset {
        /// Which.
        preset: String,
    },
    /// The user's registry cannot note a preset.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A preset has no stored form.
    #[error("the preset `{preset}` cannot be kept")]
    PresetForm {
        /// Which.
        preset: String,
        /// What the encoder says.
        source: serde_json::Error,
    },
    /// What an agent says of the output of its command cannot be used: nobody has checked the plan.
    #[error("what `{agent}` says of its output cannot be used")]
    Reading {
        /// The agent.
        agent: String,
        /// What is wrong.
        source: backstay_agent::ReadingError,
    },
    /// A preset that the run goes by cannot be understood.
    #[error("the preset `{preset}` of the run cannot be understood")]
    StoredPreset {
        /// Which.
        preset: String,
        /// What is wrong with it.
        source: backstay_agent::PresetError,
    },
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Chance(#[source] getrandom::Error),
    /// The system gave no thread for a sink.
    #[error("the system gives no thread for a sink")]
    SinkThread(#[source] std::io::Error),
    /// A worker thread died.
    #[error("a thread that reads the store died")]
    Thread(#[from] tokio::task::JoinError),
}

impl Coded for RunError {
    fn code(&self) -> Code {
        match self {
            RunError::Unknown(_) => Code("BKS-R002"),
            RunError::Read(error) => error.code(),
            RunError::Decode(_) => Code("BKS-R003"),
            RunError::Blob(error) => error.code(),
            RunError::Append(error) => error.code(),
            RunError::Definition { .. } => Code("BKS-R004"),
            RunError::RelativeFolder { .. } => Code("BKS-R092"),
            RunError::Chance(_) => Code("BKS-R005"),
            RunError::UnknownPreset { .. } => Code("BKS-R007"),
            RunError::Registry(error) => error.code(),
            RunError::PresetForm { .. } => Code("BKS-R008"),
            RunError::Reading { .. } => Code("BKS-R044"),
            RunError::StoredPreset { .. } => Code("BKS-R016"),
            RunError::SinkThread(_) | RunError::Thread(_) => Code("BKS-R001"),
            RunError::Trimmed { .. } => Code("BKS-R009"),
            RunError::Folder { .. } => Code("BKS-R042"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RunError::Unknown(_) => Some("`backstay ls --all` shows the runs of this store".to_owned()),
            RunError::Trimmed { .. } => {
                Some("start it anew with `backstay run`; `backstay show` says how it ended".to_owned())
            }
            RunError::RelativeFolder { .. } => Some(
                "the store was not written by this program; `backstay run` in that folder starts it anew"
                    .to_owned(),
            ),
            RunError::Read(error) => error.hint(),
            RunError::Decode(DecodeError::UnknownKind { .. } | DecodeError::NewerVersion { .. }) => {
                Some("the run was written by a newer version: use that one".to_owned())
            }
            RunError::Blob(error) => error.hint(),
            RunError::Registry(error) => error.hint(),
            RunError::Append(error) => error.hint(),
            RunError::UnknownPreset { preset } => {
                Some(format!("`[agents.{preset}]` in ~/.config/backstay/config.toml makes one"))
            }
            RunError::Decode(DecodeError::Payload { .. })
            | RunError::Definition { .. }
            | RunError::Folder { .. }
            | RunError::StoredPreset { .. }
            | RunError::Reading { .. }
            | RunError::PresetForm { .. }
            | RunError::Chance(_)
            | RunError::SinkThread(_)
            | RunError::Thread(_) => None,
        }
    }
}

/// Something said to a run was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run refuses it, or another input was first.
    #[error("{rejection}")]
    Refused {
        /// The run.
        run: RunId,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// A person is on an agent's own screen.
    #[error(transparent)]
    ScreenIsOpen(ScreenIsOpen),
}

impl SayError {
    pub(crate) fn refused(run: RunId, rejection: Rejection) -> SayError {
        SayError::Refused { run, rejection: Box::new(rejection) }
    }
}

impl Coded for SayError {
    fn code(&self) -> Code {
        match self {
            SayError::Run(error) => error.code(),
            SayError::Refused { .. } => Code("BKS-R006"),
            SayError::ScreenIsOpen(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SayError::Run(error) => error.hint(),
            SayError::ScreenIsOpen(error) => error.hint(),
            SayError::Refused { run, rejection } => Some(match rejection.as_ref() {
                Rejection::Answer(_) => {
                    "`backstay inbox` shows the question, and the commands that answer it".to_owned()
                }
                Rejection::NothingToRetry => {
                    format!("name the step to begin from: `backstay retry {run} --from STEP`")
                }
                _ => "`backstay show RUN` says where the run stands".to_owned(),
            }),
        }
    }
}

/// A run cannot be worked on, or not any further, by this process. Nothing that was acknowledged is lost.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Another process owns it.
    #[error("{run} belongs to process {} on {}", .owner.identity.pid, .owner.identity.host)]
    OwnedElsewhere {
        /// Which run.
        run: RunId,
        /// Who owns it.
        owner: Box<OwnerView>,
    },
    /// Another process took it over meanwhile.
    #[error("{run} was taken over by another process (epoch {current})")]
    Fenced {
        /// Which run.
        run: RunId,
        /// The epoch that holds now.
        current: Epoch,
    },
    /// This process lost its proof that it lives, so others may own its runs.
    #[error(
        "this process is not the owner of {run} any more: it lost its lock or its session with the store"
    )]
    OwnerLost {
        /// Which run.
        run: RunId,
    },
    /// This owner is working on it already.
    #[error("this process is working on {run} already")]
    DrivenHere {
        /// Which run.
        run: RunId,
    },
    /// Its work is in flight on another machine.
    #[error("work of {run} is in flight on {host}")]
    OtherHost {
        /// Which run.
        run: RunId,
        /// That machine.
        host: String,
    },
    /// The store was deleted, moved or replaced while the run was at work.
    #[error("{0}")]
    StoreGone(Box<StoreGone>),
    /// The system does not say which boot this is.
    #[error("the system does not say which boot this is")]
    Boot(#[source] std::io::Error),
    /// This process cannot become an owner.
    #[error(transparent)]
    Register(OpenError),
    /// It cannot be claimed.
    #[error(transparent)]
    Claim(ClaimError),
    /// It cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What became of work cannot be found out, or what it left cannot be kept.
    #[error("the work {effect} cannot be followed: {message}")]
    Work {
        /// Which work.
        effect: EffectId,
        /// Why, with its causes.
        message: String,
    },
    /// Work cannot be followed until a person mends something of the store.
    #[error("the work {effect} cannot be followed: {message}")]
    Damaged {
        /// Which work.
        effect: EffectId,
        /// What is damaged, with its causes.
        message: String,
    },
    /// There is no room for what work needs before it starts, or for what it left.
    #[error("no room is left for the work {effect}: {message}")]
    NoRoom {
        /// Which work.
        effect: EffectId,
        /// What could not be written, with its causes.
        message: String,
    },
}

impl DriveError {
    /// Whether there was no room for something. The run is suspended, or on its way to that: nothing of it has failed.
    #[must_use]
    pub fn has_no_room(&self) -> bool {
        matches!(self, DriveError::NoRoom { .. }) || is_out_of_space(self)
    }
}

impl From<ReadError> for DriveError {
    fn from(error: ReadError) -> DriveError {
        DriveError::Run(RunError::Read(error))
    }
}

impl Coded for DriveError {
    fn code(&self) -> Code {
        match self {
            DriveError::OwnedElsewhere { .. } => Code("BKS-R010"),
            DriveError::Fenced { .. } => Code("BKS-R011"),
            DriveError::OtherHost { .. } => Code("BKS-R012"),
            DriveError::Register(error) => error.code(),
            DriveError::Claim(error) => error.code(),
            DriveError::Run(error) => error.code(),
            DriveError::Work { .. } => Code("BKS-R013"),
            DriveError::Boot(_) => Code("BKS-R014"),
            DriveError::Damaged { .. } => Code("BKS-R087"),
            DriveError::NoRoom { .. } => Code("BKS-R017"),
            DriveError::DrivenHere { .. } => Code("BKS-R015"),
            DriveError::StoreGone(_) => Code("BKS-R083"),
            DriveError::OwnerLost { .. } => Code("BKS-R093"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DriveError::OwnedElsewhere { owner, .. } => Some(format!(
                "`backstay watch` shows it at work; if process {} hangs, `backstay resume --take-over` takes the run from it",
                owner.identity.pid
            )),
            DriveError::Fenced { .. } => {
                Some("this process has stopped; agents in flight go on under the new owner".to_owned())
            }
            DriveError::Boot(_) | DriveError::DrivenHere { .. } => None,
            DriveError::OwnerLost { run } => {
                Some(format!("agents in flight go on; `backstay resume {run}` takes the run again"))
            }
            DriveError::StoreGone(gone) => Some(gone.hint()),
            DriveError::OtherHost { host, .. } => Some(format!(
                "resume it on {host}; if that machine is gone for good, `backstay resume --take-over` lets `after_crash` decide what becomes of its work"
            )),
            DriveError::Register(error) => error.hint(),
            DriveError::Claim(error) => error.hint(),
            DriveError::Run(error) => error.hint(),
            DriveError::NoRoom { .. } => {
                Some("make room on that disk (or raise `ulimit -f`), then `backstay resume`".to_owned())
            }
            DriveError::Work { .. } => Some("mend what the message names, then `backstay resume`".to_owned()),
            DriveError::Damaged { effect, .. } => {
                Some(format!("mend what the message names, then `backstay resume {}`", effect.root))
            }
        }
    }
}
