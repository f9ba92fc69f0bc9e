//! The preset, and the form in which files have it.

use std::collections::BTreeMap;

use backstay_model::event::Access;
use serde::{Deserialize, Serialize};

use super::sense::Incomplete;
use super::template::Piece;
use crate::stream::{LineRules, Reader, StreamFormat};
use crate::trouble::{Pattern, Patterns};

/// The version of the form that presets are written in.
pub(super) const VERSION: u32 = 1;

/// What is known about one agent CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    pub(super) name: String,
    pub(super) tried: Option<String>,
    pub(super) program: String,
    pub(super) version: Vec<String>,
    pub(super) login: Option<LoginCheck>,
    pub(super) stream: StreamFormat,
    pub(super) lines: LineRules,
    pub(super) start: Vec<Piece>,
    pub(super) resume: Option<Vec<Piece>>,
    pub(super) fork: Option<Vec<Piece>>,
    pub(super) screen: Option<Vec<Piece>>,
    pub(super) session: Option<SessionSource>,
    pub(super) model: Option<Vec<Piece>>,
    pub(super) schema: Option<Schema>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) prompt: Prompt,
    pub(super) access: BTreeMap<Access, Mode>,
    pub(super) signs: Patterns,
    pub(super) login_exit_codes: Vec<i32>,
}

/// How the prompt goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) via: DeliveryVia,
    pub(super) stdin: Option<Vec<Piece>>,
    pub(super) arg: Option<Vec<Piece>>,
    pub(super) file: Option<Vec<Piece>>,
    pub(super) env: Option<String>,
    /// What begins a prompt that the program takes for a command of its own.
    pub(super) command_prefix: Option<String>,
    /// What stands before the path of a file whose content the program adds to a prompt.
    pub(super) file_prefix: Option<String>,
}

impl Prompt {
    /// The arguments with which a prompt goes in via `via`; none where it does not.
    pub(super) fn delivery(&self, via: DeliveryVia) -> Option<&[Piece]> {
        match via {
            DeliveryVia::Stdin => self.stdin.as_deref(),
            DeliveryVia::Arg => self.arg.as_deref(),
            DeliveryVia::File => self.file.as_deref(),
            DeliveryVia::Env => self.env.as_ref().map(|_| [].as_slice()),
        }
    }
}

/// What an access mode puts on the command line and into the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) args: Vec<Piece>,
    pub(super) env: BTreeMap<String, String>,
}

/// How the CLI takes a schema for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) args: Vec<Piece>,
    pub(super) form: SchemaForm,
}

/// How a prompt gets to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryVia {
    /// On its standard input.
    Stdin,
    /// As an argument.
    Arg,
    /// In a file that an argument names.
    File,
    /// In an environment variable.
    Env,
}

/// Where the name of an agent's session comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionSource {
    /// Whoever starts the agent chooses it, a UUID, before the start.
    Chosen,
    /// The agent chooses it, and its stream says it.
    FromStream,
}

/// In which form a CLI takes a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaForm {
    /// The path of a file with it.
    Path,
    /// Its text.
    Text,
}

/// A command that succeeds if the user is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginCheck {
    /// Its arguments.
    pub args: Vec<String>,
}

impl Preset {
    /// The name by which workflows call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The version of the CLI that the preset was tried with.
    #[must_use]
    pub fn tried(&self) -> Option<&str> {
        self.tried.as_deref()
    }

    /// The command that prints the version; none where the program is not to be asked, by `version = []`.
    #[must_use]
    pub fn version_command(&self) -> Option<Vec<String>> {
        let asked = Some(&self.version).filter(|words| !words.is_empty())?;
        Some(std::iter::once(&self.program).chain(asked).cloned().collect())
    }

    /// The command that succeeds if the user is logged in, where the CLI has one.
    #[must_use]
    pub fn login_command(&self) -> Option<Vec<String>> {
        let check = self.login.as_ref()?;
        Some(std::iter::once(&self.program).chain(&check.args).cloned().collect())
    }

    /// The form of the agent's output.
    #[must_use]
    pub fn stream(&self) -> StreamFormat {
        self.stream
    }

    /// A reader of its output from the offset `from` on: see [`Reader::new`].
    #[must_use]
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(self.stream, self.signs.clone(), from).by_rules(&self.lines)
    }

    /// Whether its output says how a turn ended; where it cannot, the exit code tells.
    #[must_use]
    pub fn tells_turn_end(&self) -> bool {
        match self.stream {
            StreamFormat::Text => self.signs.tells_ends_by_text(),
            StreamFormat::JsonLines => self.lines.tell_turn_end(),
            StreamFormat::Codex | StreamFormat::Claude | StreamFormat::Gemini | StreamFormat::Opencode => {
                true
            }
        }
    }

    /// Where the name of its session comes from; `None` where it has no sessions.
    #[must_use]
    pub fn session(&self) -> Option<SessionSource> {
        self.session
    }

    /// Whether a session can be gone on with.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        self.resume.is_some()
    }

    /// What it can be allowed.
    pub fn access(&self) -> impl Iterator<Item = Access> {
        self.access.keys().copied()
    }

    /// The variables that it gives to an agent with this access.
    #[must_use]
    pub fn env(&self, access: Access) -> BTreeMap<String, String> {
        let mode = self.access.get(&access).into_iter().flat_map(|mode| &mode.env);
        self.env.iter().chain(mode).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// How the prompt goes in where nobody says how.
    #[must_use]
    pub fn via(&self) -> DeliveryVia {
        self.prompt.via
    }

    /// What stands before the path of a file whose content its program adds to a prompt, unless nothing does.
    #[must_use]
    pub fn file_prefix(&self) -> Option<&str> {
        self.prompt.file_prefix.as_deref().filter(|prefix| !prefix.is_empty())
    }

    /// `prompt` in the form in which its program takes it for text: what would begin a command of the program gets a space
    /// before it.
    pub(super) fn as_text(&self, prompt: &str) -> String {
        let prefix = self.prompt.command_prefix.as_deref().filter(|prefix| !prefix.is_empty());
        match prefix.is_some_and(|prefix| prompt.starts_with(prefix)) {
            true => format!(" {prompt}"),
            false => prompt.to_owned(),
        }
    }

    /// Whether a session can be gone on with, as a copy.
    #[must_use]
    pub fn can_fork(&self) -> bool {
        self.fork.is_some()
    }

    /// In which form it takes a schema for its answer, if it takes one.
    #[must_use]
    pub fn schema_form(&self) -> Option<SchemaForm> {
        self.schema.as_ref().map(|schema| schema.form)
    }

    /// The texts by which its troubles are known.
    #[must_use]
    pub fn signs(&self) -> &Patterns {
        &self.signs
    }

    /// Whether this exit code means that the user has to log in.
    #[must_use]
    pub fn is_login_exit(&self, code: i32) -> bool {
        self.login_exit_codes.contains(&code)
    }
}

/// A preset as a file has it: what it does not say is as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<LoginCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<StreamFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lines: Option<LineRules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fork: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) screen: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<SessionSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<SchemaPatch>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) env: BTreeMap<String, String>,
    pub(super) prompt: PromptPatch,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) access: BTreeMap<Access, ModePatch>,
    pub(super) signs: SignsPatch,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PromptPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<DeliveryVia>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stdin: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arg: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModePatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaPatch {
    pub(super) args: Vec<Piece>,
    #[serde(rename = "as")]
    pub(super) form: SchemaForm,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SignsPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reset_after: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_unknown: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_in_use: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub_agent: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) success: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login_exit_codes: Option<Vec<i32>>,
}

impl Patch {
    /// This with what `over` says in place of its own, field by field.
    pub(super) fn patched(mut self, over: Patch) -> Patch {
        fn take<T>(here: &mut Option<T>, over: Option<T>) {
            if over.is_some() {
                *here = over;
            }
        }
        take(&mut self.preset, over.preset);
        take(&mut self.tried, over.tried);
        take(&mut self.program, over.program);
        take(&mut self.version, over.version);
        take(&mut self.login, over.login);
        take(&mut self.stream, over.stream);
        take(&mut self.lines, over.lines);
        take(&mut self.start, over.start);
        take(&mut self.resume, over.resume);
        take(&mut self.fork, over.fork);
        take(&mut self.screen, over.screen);
        take(&mut self.session, over.session);
        take(&mut self.model, over.model);
        take(&mut self.schema, over.schema);
        self.env.extend(over.env);
        take(&mut self.prompt.via, over.prompt.via);
        take(&mut self.prompt.stdin, over.prompt.stdin);
        take(&mut self.prompt.arg, over.prompt.arg);
        take(&mut self.prompt.file, over.prompt.file);
        take(&mut self.prompt.env, over.prompt.env);
        take(&mut self.prompt.command_prefix, over.prompt.command_prefix);
        take(&mut self.prompt.file_prefix, over.prompt.file_prefix);
        for (access, mode) in over.access {
            let here = self.access.entry(access).or_default();
            take(&mut here.args, mode.args);
            take(&mut here.env, mode.env);
        }
        take(&mut self.signs.limit, over.signs.limit);
        take(&mut self.signs.reset_after, over.signs.reset_after);
        take(&mut self.signs.login, over.signs.login);
        take(&mut self.signs.refused, over.signs.refused);
        take(&mut self.signs.network, over.signs.network);
        take(&mut self.signs.session_unknown, over.signs.session_unknown);
        take(&mut self.signs.session_in_use, over.signs.session_in_use);
        take(&mut self.signs.sub_agent, over.signs.sub_agent);
        take(&mut self.signs.success, over.signs.success);
        take(&mut self.signs.failure, over.signs.failure);
        take(&mut self.signs.login_exit_codes, over.signs.login_exit_codes);
        self
    }

    /// The preset that this is.
    ///
    /// # Errors
    /// A field is missing, or two do not go together.
    pub(super) fn complete(self, name: &str) -> Result<Preset, Incomplete> {
        let missing = Incomplete::Missing;
        self.expect_sense()?;
        let prompt = Prompt {
            via: self.prompt.via.unwrap_or(DeliveryVia::Stdin),
            stdin: self.prompt.stdin,
            arg: self.prompt.arg,
            file: self.prompt.file,
            env: self.prompt.env,
            command_prefix: self.prompt.command_prefix,
            file_prefix: self.prompt.file_prefix,
        };
        let mode =
            |mode: ModePatch| Mode { args: mode.args.unwrap_or_default(), env: mode.env.unwrap_or_default() };
        let signs = self.signs;
        Ok(Preset {
            name: name.to_owned(),
            tried: self.tried,
            program: self.program.ok_or(missing("program"))?,
            version: self.version.unwrap_or_else(|| vec!["--version".to_owned()]),
            login: self.login,
            stream: self.stream.unwrap_or(StreamFormat::Text),
            lines: self.lines.unwrap_or_default(),
            start: self.start.ok_or(missing("start"))?,
            resume: self.resume,
            fork: self.fork,
            screen: self.screen,
            session: self.session,
            model: self.model,
            schema: self.schema.map(|schema| Schema { args: schema.args, form: schema.form }),
            env: self.env,
            prompt,
            access: self.access.into_iter().map(|(access, patch)| (access, mode(patch))).collect(),
            signs: Patterns {
                limit: patterns(signs.limit),
                reset_after: patterns(signs.reset_after),
                login: patterns(signs.login),
                refused: patterns(signs.refused),
                network: patterns(signs.network),
                session_unknown: patterns(signs.session_unknown),
                session_in_use: patterns(signs.session_in_use),
                sub_agent: patterns(signs.sub_agent),
                failure: patterns(signs.failure),
                success: patterns(signs.success),
            },
            login_exit_codes: signs.login_exit_codes.unwrap_or_default(),
        })
    }

    /// What a file would say that makes exactly this preset.
    pub(super) fn of(preset: &Preset) -> Patch {
        let Preset { prompt, signs, .. } = preset;
        let mode = |mode: &Mode| ModePatch { args: Some(mode.args.clone()), env: Some(mode.env.clone()) };
        let schema = preset.schema.as_ref();
        Patch {
            preset: Some(VERSION),
            tried: preset.tried.clone(),
            program: Some(preset.program.clone()),
            version: Some(preset.version.clone()),
            login: preset.login.clone(),
            stream: Some(preset.stream),
            lines: Some(preset.lines.clone()).filter(|rules| !rules.is_empty()),
            start: Some(preset.start.clone()),
            resume: preset.resume.clone(),
            fork: preset.fork.clone(),
            screen: preset.screen.clone(),
            session: preset.session,
            model: preset.model.clone(),
            schema: schema.map(|schema| SchemaPatch { args: schema.args.clone(), form: schema.form }),
            env: preset.env.clone(),
            prompt: PromptPatch {
                via: Some(prompt.via),
                stdin: prompt.stdin.clone(),
                arg: prompt.arg.clone(),
                file: prompt.file.clone(),
                env: prompt.env.clone(),
                command_prefix: prompt.command_prefix.clone(),
                file_prefix: prompt.file_prefix.clone(),
            },
            access: preset.access.iter().map(|(access, at)| (*access, mode(at))).collect(),
            signs: SignsPatch {
                limit: Some(written(&signs.limit)),
                reset_after: Some(written(&signs.reset_after)),
                login: Some(written(&signs.login)),
                refused: Some(written(&signs.refused)),
                network: Some(written(&signs.network)),
                session_unknown: Some(written(&signs.session_unknown)),
                session_in_use: Some(written(&signs.session_in_use)),
                sub_agent: Some(written(&signs.sub_agent)).filter(|all| !all.is_empty()),
                success: Some(written(&signs.success)).filter(|all| !all.is_empty()),
                failure: Some(written(&signs.failure)).filter(|all| !all.is_empty()),
                login_exit_codes: Some(preset.login_exit_codes.clone()),
            },
        }
    }
}

fn patterns(written: Option<Vec<String>>) -> Vec<Pattern> {
    written.into_iter().flatten().map(Pattern::from).collect()
}

fn written(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.written().to_owned()).collect()
}
