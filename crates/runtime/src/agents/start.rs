//! From what an agent is to do to the command that does it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use backstay_agent::{
    CommandError, CommandLine, DeliveryVia, Preset, PresetError, Request, SchemaFile, SessionSource,
    SessionUse, Stdin, command_line,
};
use backstay_engine::effect::OutputRead;
use backstay_engine::run::{AgentTask, Opening};
use backstay_files::Dir;
use backstay_log::{BlobError, BlobStore};
use backstay_model::Digest;
use backstay_model::event::{AgentStarting, SessionWish};
use backstay_workflow::plan::Via;
use camino::{Utf8Path, Utf8PathBuf};

use super::prompt::prompt_text;
use crate::registry::RegistryError;
use crate::store::Store;

/// What has to be known of an agent to start its attempt, or to look after it.
#[derive(Clone, Debug)]
pub(crate) struct AgentCase {
    pub(crate) starting: AgentStarting,
    /// Its preset, as the run's first event pins it; none if the event does not name it.
    pub(crate) pinned: Option<Digest>,
    /// How much of what it said the log knows.
    pub(crate) known_until: OutputRead,
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
    #[error(transparent)]
    Strange(StrangePreset),
    #[error(transparent)]
    Registry(RegistryError),
}

/// A run pins a preset that this user's configuration never had: it came with the store.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run was made with `{program}` as its agent `{preset}`, by a configuration that is not yours; configure `[agents.{preset}]` \
     the same way to allow it, or let your own agent do the work: `backstay cancel`, then `backstay retry --workflow FILE`"
)]
pub struct StrangePreset {
    /// The preset.
    pub preset: String,
    /// Its program.
    pub program: String,
}

/// A command cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFault {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("cannot write {path}")]
    Io { path: Utf8PathBuf, source: io::Error },
}

impl StrangePreset {
    pub(crate) fn of(preset: &Preset) -> StrangePreset {
        StrangePreset { preset: preset.name().to_owned(), program: preset.program().to_owned() }
    }
}

impl AgentCase {
    /// What is pinned in `presets` for this agent.
    pub(crate) fn new(
        starting: AgentStarting,
        presets: &BTreeMap<String, Digest>,
        known_until: OutputRead,
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

    /// Checks that what its `preset` names may be started: this user has, or had, the same.
    pub(crate) fn expect_startable(&self, preset: &Preset, store: &Store) -> Result<(), CaseError> {
        let Some(digest) = self.pinned else { return Ok(()) };
        match store.may_start(digest).map_err(CaseError::Registry)? {
            true => Ok(()),
            false => Err(CaseError::Strange(StrangePreset::of(preset))),
        }
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

/// The command that does `work`, and what it reads on its stdin; what it reads from files is written into `dir`, which is at `folder`.
pub(crate) fn command(
    preset: &Preset,
    work: &AgentTask,
    dir: &Dir,
    folder: &Utf8Path,
) -> Result<(CommandLine, Option<String>), CommandFault> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        match dir.create(name).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => Ok(path.into_string()),
            Err(source) => Err(CommandFault::Io { path, source }),
        }
    };
    let via = work.via.map(delivery);
    let is_by_file = via.unwrap_or(preset.via()) == DeliveryVia::File;
    let prompt = told(preset, work);
    let prompt_file = if is_by_file { Some(write("prompt", &prompt)?) } else { None };
    let schema = match &work.schema {
        Some(text) => Some(SchemaFile { text: text.clone(), path: write("schema.json", text)? }),
        None => None,
    };
    let request = Request {
        prompt,
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

/// What the agent is told: one that takes no schema is told it, too.
fn told(preset: &Preset, task: &AgentTask) -> String {
    let text = prompt_text(&task.prompt, task.schema.as_deref());
    match (&task.schema, &task.prompt.opening) {
        // A prompt that asks for another answer has it already.
        (Some(_), Opening::Rejected { .. }) | (None, _) => text,
        (Some(schema), _) if preset.schema_form().is_none() => format!(
            "{text}\n\nYour last message has to be one JSON value and nothing around it. It has to match this JSON Schema: {schema}"
        ),
        (Some(_), _) => text,
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use backstay_agent::Presets;
    use backstay_model::event::Access;

    use super::*;
    use backstay_engine::run::Prompt;

    fn work(session: SessionWish) -> AgentTask {
        AgentTask {
            preset: String::new(),
            prompt: Prompt { task: "Do it.".to_owned(), opening: Opening::First },
            via: None,
            access: Access::Write,
            model: None,
            args: Vec::new(),
            session,
            schema: None,
        }
    }

    fn fresh() -> SessionWish {
        SessionWish::Fresh { id: "new".to_owned() }
    }

    fn going_on() -> SessionWish {
        SessionWish::Continue { id: "old".to_owned(), fresh: "new".to_owned() }
    }

    fn preset(name: &str) -> Preset {
        Presets::built_in().unwrap().get(name).unwrap().clone()
    }

    /// The arguments and the stdin with which an agent is started, and the folder with what it reads.
    fn started(preset: &Preset, work: &AgentTask) -> (String, Option<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let dir = Dir::open_found(path.as_std_path()).unwrap();
        let (line, stdin) = command(preset, work, &dir, path).unwrap();
        (line.argv.join(" ").replace(path.as_str(), "FOLDER"), stdin, folder)
    }

    #[test]
    fn an_agent_that_takes_no_schema_is_told_it() {
        let work = AgentTask { schema: Some("{}".to_owned()), ..work(fresh()) };
        let (line, stdin, folder) = started(&preset("codex"), &work);
        assert!(line.contains("--output-schema FOLDER/schema.json"), "{line}");
        assert_eq!(std::fs::read_to_string(folder.path().join("schema.json")).unwrap(), "{}");
        assert_eq!(stdin.as_deref(), Some("Do it."));
        let (_, stdin, _) = started(&preset("gemini"), &work);
        assert!(stdin.unwrap().ends_with("It has to match this JSON Schema: {}"));
        let opening = Opening::Rejected { problem: "no".to_owned(), knows_task: true, predecessor: None };
        let prompt = Prompt { task: "Do it.".to_owned(), opening };
        let (_, stdin, _) = started(&preset("gemini"), &AgentTask { prompt, ..work });
        assert_eq!(stdin.unwrap().matches("JSON Schema").count(), 1, "it is told once");
    }

    #[test]
    fn an_agent_that_cannot_go_on_begins_anew() {
        let text = "[agents.plain]\nprogram = \"p\"\nstart = [\"{session}\", \"{prompt}\"]\nsession = \"chosen\"\nprompt = { via = \"file\", file = [\"@{prompt_file}\"] }\n[agents.plain.access]\nwrite = { args = [] }\n";
        let presets = Presets::with_configuration("c", text).unwrap();
        let plain = presets.get("plain").unwrap();
        let (line, stdin, folder) = started(plain, &work(going_on()));
        assert_eq!((line.as_str(), stdin), ("p new @FOLDER/prompt", None));
        assert_eq!(std::fs::read_to_string(folder.path().join("prompt")).unwrap(), "Do it.");
        let (line, ..) = started(&preset("claude"), &work(going_on()));
        assert!(line.contains("--resume old") && !line.contains("new"), "{line}");
    }

    #[test]
    fn a_session_is_known_before_the_start_where_it_can_be() {
        let known = |name: &str, session: SessionWish| {
            let starting = work(session).starting();
            AgentCase::new(starting, &BTreeMap::new(), OutputRead::default(), None)
                .known_session(&preset(name))
        };
        let copy = || SessionWish::Fork { from: "old".to_owned(), id: "new".to_owned() };
        assert_eq!((known("claude", fresh()), known("codex", fresh())), (Some("new".to_owned()), None));
        assert_eq!((known("claude", copy()), known("codex", copy())), (Some("new".to_owned()), None));
        assert_eq!(known("codex", going_on()), Some("old".to_owned()));
    }
}
