//! The protocols of the providers. Documents are built with `json!`: their one reader is the program under test.

mod chat;
mod generate;
mod messages;
mod responses;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::reply::Reply;
use crate::script::{Answer, Refusal, ToolCall};

/// Tokens that every answer claims to have cost; tests compare with these figures.
pub(crate) const INPUT_TOKENS: u64 = 1_000;
/// Of the input, what came from a cache.
pub(crate) const CACHED_TOKENS: u64 = 400;
/// Tokens of the answer.
pub(crate) const OUTPUT_TOKENS: u64 = 50;
/// Of the answer, what was reasoning, where the dialect says it.
pub(crate) const REASONING_TOKENS: u64 = 20;

/// Names that agents give to their shell, and the parameter that takes the command.
const SHELLS: [(&str, &str); 5] = [
    ("exec_command", "cmd"),
    ("shell_command", "command"),
    ("Bash", "command"),
    ("run_shell_command", "command"),
    ("bash", "command"),
];

/// Names that agents give to the tool that writes a whole file, and its parameters for path and content.
const WRITERS: [(&str, &str, &str); 3] = [
    ("Write", "file_path", "content"),
    ("write_file", "file_path", "content"),
    ("write", "filePath", "content"),
];

/// Names that agents give to the tool that begins a sub-agent, and the kind of it that takes any task.
const SUB_AGENTS: [(&str, &str); 5] = [
    ("Task", "general-purpose"),
    ("Agent", "general-purpose"),
    ("task", "general"),
    ("invoke_agent", "generalist"),
    (responses::SPAWN_TOOL, ""),
];

/// A protocol between an agent and a provider of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI Responses: Codex.
    Responses,
    /// OpenAI Chat Completions: opencode and many others.
    Chat,
    /// Anthropic Messages: Claude Code.
    Messages,
    /// Gemini `generateContent`: Gemini CLI.
    Generate,
}

/// A tool call in an agent's own words.
pub(crate) struct Call {
    /// The tool's name.
    pub(crate) name: String,
    /// Its arguments.
    pub(crate) arguments: Value,
    /// Whether the arguments are one text instead of an object (Codex's `apply_patch`).
    pub(crate) is_text: bool,
}

/// What the model gives in one reply, in this order.
#[derive(Default)]
pub(crate) struct Completion {
    /// A thought, as the provider shows it.
    pub(crate) thought: Option<String>,
    /// What the provider searched the web for.
    pub(crate) search: Option<String>,
    /// The message, in the pieces in which it is streamed.
    pub(crate) pieces: Vec<String>,
    /// A call of one of the agent's tools.
    pub(crate) call: Option<Call>,
}

impl Completion {
    /// The message as a whole.
    pub(crate) fn text(&self) -> String {
        self.pieces.concat()
    }

    /// `answer` for an agent with these `tools`; `None` where it is no answer of the model, or cannot be given to that agent.
    fn of(answer: &Answer, tools: &[&str]) -> Option<Completion> {
        let mut completion = Completion::default();
        match answer {
            Answer::Text(text) => match as_result(tools, text) {
                Some(call) => completion.call = Some(call),
                None => completion.pieces.push(text.clone()),
            },
            Answer::Pieces(pieces) => completion.pieces.clone_from(pieces),
            Answer::Document(document) => match as_document(tools, document) {
                Some(call) => completion.call = Some(call),
                None => completion.pieces.push(document.clone()),
            },
            Answer::Tool(wanted) => completion.call = Some(in_words_of(tools, wanted)?),
            Answer::WebSearch { query, text } => {
                completion.search = Some(query.clone());
                completion.pieces.push(text.clone());
            }
            Answer::Thought { thought, then } => {
                completion = Completion::of(then, tools)?;
                completion.thought = Some(thought.clone());
            }
            Answer::UsageLimit { .. }
            | Answer::Unauthorized
            | Answer::Expired
            | Answer::Slow { .. }
            | Answer::Throughout(..)
            | Answer::Refused(_)
            | Answer::ServerError
            | Answer::Overloaded
            | Answer::Cut
            | Answer::Hang => return None,
        }
        Some(completion)
    }
}

impl Dialect {
    /// The dialect that is spoken at `path`.
    pub(crate) fn of(path: &str) -> Option<Dialect> {
        let path = path.split('?').next().unwrap_or(path);
        if path.ends_with("/responses") {
            Some(Dialect::Responses)
        } else if path.ends_with("/chat/completions") {
            Some(Dialect::Chat)
        } else if path.ends_with("/messages") {
            Some(Dialect::Messages)
        } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
            Some(Dialect::Generate)
        } else {
            None
        }
    }

    /// Whether the request is one of the agent's own turns: asides offer no tools.
    pub(crate) fn offers_tools(self, asked: &Value) -> bool {
        !self.tools(asked).is_empty()
    }

    /// The names of the tools that the request offers.
    fn tools(self, asked: &Value) -> Vec<&str> {
        let listed = asked["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Dialect::Responses => responses::tools(asked),
            Dialect::Messages => listed.iter().filter_map(|tool| tool["name"].as_str()).collect(),
            Dialect::Chat => listed.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect(),
            Dialect::Generate => listed
                .iter()
                .filter_map(|tool| tool["functionDeclarations"].as_array())
                .flatten()
                .filter_map(|tool| tool["name"].as_str())
                .collect(),
        }
    }

    /// The reply to `asked` that says `answer`; `turn` makes its ids unlike all others.
    pub(crate) fn reply(self, turn: usize, path: &str, asked: &Value, answer: &Answer) -> Reply {
        match answer {
            Answer::Hang => Reply::Never,
            Answer::Throughout(_, answer) => self.reply(turn, path, asked, answer),
            Answer::Slow { answer, pause_ms } => self.reply(turn, path, asked, answer).paced(*pause_ms),
            Answer::Cut => {
                let whole =
                    self.reply(turn, path, asked, &Answer::text("This answer is never heard to its end."));
                whole.cut()
            }
            Answer::Refused(Refusal::ContentFilter) => self.held_back(turn, path, asked),
            Answer::UsageLimit { .. }
            | Answer::Unauthorized
            | Answer::Expired
            | Answer::Refused(_)
            | Answer::ServerError
            | Answer::Overloaded => self.refusal(answer),
            Answer::Text(_)
            | Answer::Pieces(_)
            | Answer::Document(_)
            | Answer::Tool(_)
            | Answer::Thought { .. }
            | Answer::WebSearch { .. } => {
                let tools = self.tools(asked);
                match Completion::of(answer, &tools) {
                    Some(completion) if completion.search.is_none() || self == Dialect::Responses => {
                        self.completed(turn, path, asked, completion)
                    }
                    _ => {
                        let message = format!("no tool for {answer:?} among {}", tools.join(", "));
                        Reply::json(400, json!({ "error": { "message": message } }))
                    }
                }
            }
        }
    }

    fn completed(self, turn: usize, path: &str, asked: &Value, completion: Completion) -> Reply {
        match self {
            Dialect::Responses => responses::reply(turn, completion),
            Dialect::Chat => chat::reply(turn, asked, completion),
            Dialect::Messages => messages::reply(turn, asked, completion),
            Dialect::Generate => generate::reply(path, completion),
        }
    }

    /// The reply in whose place a filter of contents stepped.
    fn held_back(self, turn: usize, path: &str, asked: &Value) -> Reply {
        match self {
            Dialect::Responses => responses::held_back(turn),
            Dialect::Chat => chat::held_back(turn, asked),
            Dialect::Messages => messages::held_back(turn, asked),
            Dialect::Generate => generate::held_back(path),
        }
    }

    fn refusal(self, answer: &Answer) -> Reply {
        match self {
            Dialect::Responses => responses::refusal(answer),
            Dialect::Chat => chat::refusal(answer),
            Dialect::Messages => messages::refusal(answer),
            Dialect::Generate => generate::refusal(answer),
        }
    }
}

/// The reply to what is no request to a model: token counts, catalogs, telemetry.
pub(crate) fn beside(path: &str) -> Reply {
    if path.contains("count_tokens") {
        Reply::json(200, json!({ "input_tokens": INPUT_TOKENS }))
    } else if path.contains(":countTokens") {
        Reply::json(200, json!({ "totalTokens": INPUT_TOKENS }))
    } else {
        Reply::json(404, json!({ "error": { "message": "not here", "type": "not_found_error" } }))
    }
}

/// The call that hands over `document`, where one of `tools` is for that.
fn as_document(tools: &[&str], document: &str) -> Option<Call> {
    let name = tools.iter().find(|name| **name == "StructuredOutput")?;
    let arguments = serde_json::from_str(document).ok()?;
    Some(Call { name: (*name).to_owned(), arguments, is_text: false })
}

/// The call by which a sub-agent hands over `text`, where one of `tools` is for that.
fn as_result(tools: &[&str], text: &str) -> Option<Call> {
    let name = tools.iter().find(|name| **name == "complete_task")?;
    Some(Call {
        name: (*name).to_owned(),
        arguments: json!({ "result": { "response": text } }),
        is_text: false,
    })
}

/// `wanted` with the name and the parameters of one of `tools`; a file is written by the shell where no tool writes it.
fn in_words_of(tools: &[&str], wanted: &ToolCall) -> Option<Call> {
    if tools.contains(&responses::CODE_TOOL)
        && let Some(call) = responses::as_code(wanted)
    {
        return Some(call);
    }
    match wanted {
        ToolCall::Shell(command) => {
            let (name, parameter) = SHELLS.iter().find(|(name, _)| tools.contains(name))?;
            let mut arguments = json!({ *parameter: command });
            if *name == "Bash" || *name == "bash" {
                arguments["description"] = json!("Runs a command");
            }
            Some(Call { name: (*name).to_owned(), arguments, is_text: false })
        }
        ToolCall::Background(command) => {
            let mut call = in_words_of(tools, &ToolCall::Shell(command.clone()))?;
            call.arguments["run_in_background"] = json!(true);
            Some(call)
        }
        ToolCall::SubAgent(task) => {
            let (name, kind) = SUB_AGENTS.iter().find(|(name, _)| tools.contains(name))?;
            let arguments = match *name {
                responses::SPAWN_TOOL => json!({ "task_name": "part", "message": task }),
                "invoke_agent" => json!({ "agent_name": kind, "prompt": task }),
                _ => json!({ "description": "Does a part", "prompt": task, "subagent_type": kind }),
            };
            Some(Call { name: (*name).to_owned(), arguments, is_text: false })
        }
        ToolCall::Write { path, content } => {
            if tools.contains(&"apply_patch") {
                let arguments = json!(responses::patch(path, content));
                return Some(Call { name: "apply_patch".to_owned(), arguments, is_text: true });
            }
            let writer = WRITERS.iter().find(|(name, ..)| tools.contains(name));
            let Some((name, path_key, content_key)) = writer else {
                let command = format!("printf '%s' '{}' > '{path}'", content.replace('\'', r"'\''"));
                return in_words_of(tools, &ToolCall::Shell(command));
            };
            let arguments = json!({ *path_key: path, *content_key: content });
            Some(Call { name: (*name).to_owned(), arguments, is_text: false })
        }
    }
}
