//! From a preset and a request to a command line.

use std::collections::BTreeMap;

use backstay_model::{Code, Coded};

use super::Access;
use super::data::{DeliveryVia, Preset, SchemaForm, SessionSource};
use super::template::{List, Part, Piece, Place};

/// One start of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it shall do.
    pub prompt: String,
    /// How the prompt gets there; `None` for the preset's way.
    pub via: Option<DeliveryVia>,
    /// The path of a file with the prompt, for those that read one.
    pub prompt_file: Option<String>,
    /// What it may do.
    pub access: Access,
    /// The model; `None` for the CLI's own choice.
    pub model: Option<String>,
    /// Which session.
    pub session: SessionUse,
    /// The schema of its answer. A CLI that takes none is started without: the answer is checked afterwards anyhow.
    pub schema: Option<SchemaFile>,
    /// The user's own arguments.
    pub args: Vec<String>,
}

/// A JSON Schema, in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFile {
    /// Its text.
    pub text: String,
    /// A file that holds it.
    pub path: String,
}

/// Which of an agent's sessions a start uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// A new one. Where [`Preset::session`] is [`SessionSource::Chosen`], with this name.
    Start {
        /// The name, a UUID.
        id: Option<String>,
    },
    /// An earlier one is gone on with.
    Resume {
        /// Its name.
        id: String,
    },
    /// A copy of an earlier one is gone on with.
    Fork {
        /// The name of the earlier one.
        from: String,
        /// The name of the copy, where names are chosen.
        id: Option<String>,
    },
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new session.
    Start,
    /// Going on with a session.
    Resume,
    /// Going on with a copy of a session.
    Fork,
    /// The agent's own screen on a session.
    Screen,
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it reads.
    pub stdin: Stdin,
    /// Variables beside the inherited ones.
    pub env: BTreeMap<String, String>,
    /// The session, where it is known before the start.
    pub session: Option<String>,
}

/// What a process reads on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: its end comes at once. An open pipe would make some agents wait.
    Null,
    /// This text, then its end.
    Text(String),
}

/// A preset cannot do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It has no template for this.
    #[error("{agent} has no way to {}", .command.deed())]
    NoWay {
        /// The agent.
        agent: String,
        /// What for.
        command: Command,
    },
    /// It has no such access mode.
    #[error("{agent} has no access mode `{}`", .access.name())]
    NoAccess {
        /// The agent.
        agent: String,
        /// The mode.
        access: Access,
    },
    /// It takes no prompt in this way.
    #[error("{agent} takes no prompt via {}", .via.name())]
    NoVia {
        /// The agent.
        agent: String,
        /// The way.
        via: DeliveryVia,
    },
    /// A value is needed that the request does not have.
    #[error("to start {agent} its {what} is needed")]
    Missing {
        /// The agent.
        agent: String,
        /// Which value.
        what: &'static str,
    },
    /// The name of the session, which the agent chose itself, would be an option of its program.
    #[error("a session of {agent} cannot be called `{}`: its program would take that for an option", .session.escape_debug())]
    Session {
        /// The agent.
        agent: String,
        /// The name.
        session: String,
    },
}

impl Coded for CommandError {
    fn code(&self) -> Code {
        match self {
            CommandError::NoWay { .. } => Code("BKS-A001"),
            CommandError::NoAccess { .. } => Code("BKS-A002"),
            CommandError::NoVia { .. } => Code("BKS-A003"),
            CommandError::Missing { .. } => Code("BKS-A004"),
            CommandError::Session { .. } => Code("BKS-A005"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CommandError::NoWay { agent, command } => {
                let key = command.key();
                Some(format!(
                    "`{key} = […]` under `[agents.{agent}]` in ~/.config/backstay/config.toml says how"
                ))
            }
            CommandError::NoAccess { agent, access } => {
                let name = access.name();
                Some(format!(
                    "`{name} = {{ args = […] }}` under `[agents.{agent}.access]` in ~/.config/backstay/config.toml says how"
                ))
            }
            CommandError::NoVia { agent, via } => {
                let name = via.name();
                Some(format!(
                    "`{name} = …` under `[agents.{agent}.prompt]` in ~/.config/backstay/config.toml says how"
                ))
            }
            CommandError::Missing { .. } => None,
            CommandError::Session { .. } => {
                Some("`session: fresh` in the step begins another one".to_owned())
            }
        }
    }
}

impl Command {
    fn deed(self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Resume => "go on with a session",
            Command::Fork => "go on with a copy of a session",
            Command::Screen => "show its own screen on a session",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Resume => "resume",
            Command::Fork => "fork",
            Command::Screen => "screen",
        }
    }
}

impl DeliveryVia {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryVia::Stdin => "stdin",
            DeliveryVia::Arg => "arg",
            DeliveryVia::File => "file",
            DeliveryVia::Env => "env",
        }
    }

    /// The setting of a preset that says how a prompt goes in so.
    pub(super) fn setting(self) -> &'static str {
        match self {
            DeliveryVia::Stdin => "prompt.stdin",
            DeliveryVia::Arg => "prompt.arg",
            DeliveryVia::File => "prompt.file",
            DeliveryVia::Env => "prompt.env",
        }
    }
}

/// The command line with which `preset` does what `request` asks for.
///
/// # Errors
/// The preset has no way to do it, or the request lacks a value that it needs.
pub fn command_line(preset: &Preset, request: &Request) -> Result<CommandLine, CommandError> {
    let agent = || preset.name.clone();
    let request = &Request { prompt: preset.as_text(&request.prompt), ..request.clone() };
    let (command, template, session) = match &request.session {
        SessionUse::Start { id } => (Command::Start, Some(&preset.start), id.as_ref()),
        SessionUse::Resume { id } => (Command::Resume, preset.resume.as_ref(), Some(id)),
        SessionUse::Fork { from, .. } => (Command::Fork, preset.fork.as_ref(), Some(from)),
    };
    let template = template.ok_or_else(|| CommandError::NoWay { agent: agent(), command })?;
    let via = request.via.unwrap_or(preset.prompt.via);
    let delivery = preset.prompt.delivery(via);
    let delivery = delivery.ok_or_else(|| CommandError::NoVia { agent: agent(), via })?;
    let filling = Filling { preset, request, session, via };

    let argv = filling.argv(template, delivery)?;
    let mut env = preset.env(request.access);
    if let (DeliveryVia::Env, Some(name)) = (via, &preset.prompt.env) {
        env.insert(name.clone(), request.prompt.clone());
    }
    let stdin = match via {
        DeliveryVia::Stdin => Stdin::Text(request.prompt.clone()),
        DeliveryVia::Arg | DeliveryVia::File | DeliveryVia::Env => Stdin::Null,
    };
    Ok(CommandLine { argv, stdin, env, session: known_session(preset, request) })
}

/// The session that the process will have, as far as it is known before the start.
fn known_session(preset: &Preset, request: &Request) -> Option<String> {
    let is_chosen = preset.session == Some(SessionSource::Chosen);
    match &request.session {
        SessionUse::Resume { id } => Some(id.clone()),
        SessionUse::Start { id } | SessionUse::Fork { id, .. } => id.clone().filter(|_| is_chosen),
    }
}

/// The agent's own screen on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenRequest {
    /// The session.
    pub session: String,
    /// What the agent may do.
    pub access: Access,
    /// The model; `None` for the CLI's own choice.
    pub model: Option<String>,
    /// The user's own arguments.
    pub args: Vec<String>,
}

/// How an agent's own screen is opened; it needs a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenCommand {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables beside the inherited ones.
    pub env: BTreeMap<String, String>,
}

impl Preset {
    /// The command that opens the agent's own screen: with the access, the model and the variables of an attempt.
    ///
    /// # Errors
    /// The preset has no way to do it.
    pub fn screen(&self, wanted: ScreenRequest) -> Result<ScreenCommand, CommandError> {
        let ScreenRequest { session, access, model, args } = wanted;
        let no_way = || CommandError::NoWay { agent: self.name.clone(), command: Command::Screen };
        let template = self.screen.as_ref().ok_or_else(no_way)?;
        let request = Request {
            prompt: String::new(),
            via: None,
            prompt_file: None,
            access,
            model,
            session: SessionUse::Resume { id: session.clone() },
            schema: None,
            args,
        };
        let filling =
            Filling { preset: self, request: &request, session: Some(&session), via: DeliveryVia::Stdin };
        Ok(ScreenCommand { argv: filling.argv(template, &[])?, env: self.env(access) })
    }
}

/// The values of one command.
struct Filling<'a> {
    preset: &'a Preset,
    request: &'a Request,
    session: Option<&'a String>,
    via: DeliveryVia,
}

impl<'a> Filling<'a> {
    /// The program and the arguments that `template` makes; `delivery` stands for the prompt.
    fn argv(&self, template: &[Piece], delivery: &[Piece]) -> Result<Vec<String>, CommandError> {
        let (preset, access) = (self.preset, self.request.access);
        let no_access = || CommandError::NoAccess { agent: preset.name.clone(), access };
        let mode = preset.access.get(&access).ok_or_else(no_access)?;
        let mut argv = vec![preset.program.clone()];
        for piece in template {
            let list: &[Piece] = match piece.as_list() {
                None => std::slice::from_ref(piece),
                Some(List::Access) => &mode.args,
                Some(List::Model) => self.model(),
                Some(List::Schema) => self.schema(),
                Some(List::Prompt) => delivery,
                Some(List::Args) => {
                    argv.extend(self.request.args.iter().cloned());
                    continue;
                }
            };
            for piece in list {
                argv.push(self.argument(piece)?);
            }
        }
        Ok(argv)
    }

    /// What chooses the model: nothing, if none is asked for.
    fn model(&self) -> &'a [Piece] {
        match (&self.request.model, &self.preset.model) {
            (Some(_), Some(pieces)) => pieces,
            _ => &[],
        }
    }

    fn schema(&self) -> &'a [Piece] {
        match (&self.request.schema, &self.preset.schema) {
            (Some(_), Some(schema)) => &schema.args,
            _ => &[],
        }
    }

    fn argument(&self, piece: &Piece) -> Result<String, CommandError> {
        let Piece::Argument(parts) = piece else {
            let what =
                "list of arguments in the place of one (a preset has {access} or {args} inside a list)";
            return Err(self.missing(what));
        };
        let mut argument = String::new();
        for part in parts {
            match part {
                Part::Text(text) => argument.push_str(text),
                Part::Place(place) => argument.push_str(self.value(*place)?),
            }
        }
        Ok(argument)
    }

    fn value(&self, place: Place) -> Result<&str, CommandError> {
        let request = self.request;
        match place {
            Place::Session => {
                let session = self.session.ok_or_else(|| self.missing("session's name"))?;
                // An agent that may only read could otherwise ask for more, by what it prints.
                if session.starts_with('-') || session.contains(char::is_control) {
                    let (agent, session) = (self.preset.name.clone(), session.clone());
                    return Err(CommandError::Session { agent, session });
                }
                Ok(session)
            }
            Place::NewSession => match &request.session {
                SessionUse::Fork { id: Some(id), .. } => Ok(id),
                _ => Err(self.missing("new session's name")),
            },
            Place::Model => request.model.as_deref().ok_or_else(|| self.missing("model")),
            Place::Schema => {
                let schema = request.schema.as_ref().ok_or_else(|| self.missing("schema"))?;
                match self.preset.schema_form() {
                    Some(SchemaForm::Text) => Ok(&schema.text),
                    Some(SchemaForm::Path) | None => Ok(&schema.path),
                }
            }
            Place::Prompt if self.via == DeliveryVia::Arg => Ok(&request.prompt),
            Place::Prompt => Err(self.missing("prompt as an argument")),
            Place::PromptFile => {
                request.prompt_file.as_deref().ok_or_else(|| self.missing("file with the prompt"))
            }
        }
    }

    fn missing(&self, what: &'static str) -> CommandError {
        CommandError::Missing { agent: self.preset.name.clone(), what }
    }
}
