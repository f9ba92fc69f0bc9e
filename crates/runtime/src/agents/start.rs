//! From what an agent is to do to the command that does it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use backstay_agent::{
    CommandError, CommandLine, DeliveryVia, Preset, PresetError, Request, SchemaFile, SessionSource,
    SessionUse, Stdin, command_line,
};
use backstay_engine::run::AgentWork;
use backstay_log::{BlobError, BlobStore};
use backstay_model::Digest;
use backstay_model::event::{AgentStarting, SessionWish};
use backstay_workflow::plan::Via;
use camino::{Utf8Path, Utf8PathBuf};

/// What has to be known of an agent to start its attempt, or to look after it.
#[derive(Clone, Debug)]
pub(crate) struct AgentCase {
    pub(crate) starting: AgentStarting,
    /// Its preset, as the run's first event pins it; none if the event does not name it.
    pub(crate) pinned: Option<Digest>,
    /// The offset behind what the log knows of its output.
    pub(crate) known_until: u64,
    pub(crate) idle_timeout_ms: Option<u64>,
}

/// An agent cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaseError {
    #[error("the run does not name the preset `{preset}`")]
    NotPinned { preset: String },
    #[error("the preset `{preset}` of the run cannot be read")]
    Blob { preset: String, source: BlobError },
    #[error("the preset `{preset}` of the run cannot be understood")]
    Preset { preset: String, source: PresetError },
}

/// A command cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFault {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("cannot write {path}")]
    Io { path: Utf8PathBuf, source: io::Error },
}

impl AgentCase {
    /// What is pinned in `presets` for this agent.
    pub(crate) fn new(
        starting: AgentStarting,
        presets: &BTreeMap<String, Digest>,
        known_until: u64,
        idle_timeout_ms: Option<u64>,
    ) -> AgentCase {
        let pinned = presets.get(&starting.preset).copied();
        AgentCase { starting, pinned, known_until, idle_timeout_ms }
    }

    /// Reads its preset.
    pub(crate) fn preset(&self, blobs: &BlobStore) -> Result<Preset, CaseError> {
        let preset = || self.starting.preset.clone();
        let digest = self.pinned.ok_or_else(|| CaseError::NotPinned { preset: preset() })?;
        let bytes = blobs.get(digest).map_err(|source| CaseError::Blob { preset: preset(), source })?;
        Preset::from_stored(&self.starting.preset, &String::from_utf8_lossy(&bytes))
            .map_err(|source| CaseError::Preset { preset: preset(), source })
    }

    /// The name of its session, where that is known before it says it.
    pub(crate) fn known_session(&self, preset: &Preset) -> Option<String> {
        let is_chosen = preset.session() == Some(SessionSource::Chosen);
        match session_use(preset, &self.starting.session) {
            SessionUse::Resume { id } => Some(id),
            SessionUse::Start { id } | SessionUse::Fork { id, .. } => id.filter(|_| is_chosen),
        }
    }
}

/// The command that does `work`, and what it reads on its stdin; what it reads from files is written into `folder`.
pub(crate) fn command(
    preset: &Preset,
    work: &AgentWork,
    folder: &Utf8Path,
) -> Result<(CommandLine, Option<String>), CommandFault> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path.into_string()),
            Err(source) => Err(CommandFault::Io { path, source }),
        }
    };
    let via = work.via.map(delivery);
    let is_by_file = via.unwrap_or(preset.via()) == DeliveryVia::File;
    let prompt_file = if is_by_file { Some(write("prompt", &work.prompt)?) } else { None };
    let schema = match &work.schema {
        Some(text) => Some(SchemaFile { text: text.clone(), path: write("schema.json", text)? }),
        None => None,
    };
    let request = Request {
        prompt: work.prompt.clone(),
        via,
        prompt_file,
        access: work.access,
        model: work.model.clone(),
        session: session_use(preset, &work.session),
        schema,
        args: work.args.clone(),
    };
    let line = command_line(preset, &request)?;
    let stdin = match &line.stdin {
        Stdin::Null => None,
        Stdin::Text(text) => Some(text.clone()),
    };
    Ok((line, stdin))
}

/// The wish, as far as the preset can fulfil it: an agent that cannot go on begins anew.
fn session_use(preset: &Preset, wish: &SessionWish) -> SessionUse {
    match wish {
        SessionWish::Continue { id, .. } if preset.can_resume() => SessionUse::Resume { id: id.clone() },
        SessionWish::Fork { from, id } if preset.can_fork() => {
            SessionUse::Fork { from: from.clone(), id: Some(id.clone()) }
        }
        wish => SessionUse::Start { id: Some(wish.chosen().to_owned()) },
    }
}

fn delivery(via: Via) -> DeliveryVia {
    match via {
        Via::Stdin => DeliveryVia::Stdin,
        Via::Arg => DeliveryVia::Arg,
        Via::File => DeliveryVia::File,
        Via::Env => DeliveryVia::Env,
    }
}
