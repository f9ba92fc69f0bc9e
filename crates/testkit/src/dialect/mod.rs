//! The protocols of the providers. Documents are built with `json!`: their one reader is the program under test.

mod chat;
mod generate;
mod messages;
mod responses;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::reply::Reply;
use crate::script::{Answer, Refusal, Slow, ToolCall};

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

/// Names that agents give to the tool that begins a sub-agent.
const SUB_AGENTS: [&str; 3] = ["Task", "Agent", "task"];

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
        let tools = self.tools(asked);
        let call = match answer {
            Answer::Hang => return Reply::Never,
            Answer::Text(_) => None,
            Answer::Document(document) => as_document(&tools, document),
            Answer::Tool(wanted) => match in_words_of(&tools, wanted) {
                Some(call) => Some(call),
                None => {
                    let message = format!("no tool for {wanted:?} among {}", tools.join(", "));
                    return Reply::json(400, json!({ "error": { "message": message } }));
                }
            },
            Answer::Cut => {
                let whole =
                    self.reply(turn, path, asked, &Answer::text("This answer is never heard to its end."));
                return whole.cut();
            }
            Answer::Throughout(_, answer) => return self.reply(turn, path, asked, answer),
            Answer::Slow(slow) => return self.slowly(turn, path, asked, slow),
            Answer::Refused(Refusal::ContentFilter) => return self.held_back(turn, path, asked),
            Answer::UsageLimit { .. }
            | Answer::Unauthorized
            | Answer::Expired
            | Answer::Refused(_)
            | Answer::ServerError
            | Answer::Overloaded => return self.refusal(answer),
        };
        let text = match answer {
            Answer::Text(text) | Answer::Document(text) => text.as_str(),
            _ => "",
        };
        match self {
            Dialect::Responses => responses::reply(turn, text, call),
            Dialect::Chat => chat::reply(turn, asked, text, call),
            Dialect::Messages => messages::reply(turn, asked, text, call),
            Dialect::Generate => generate::reply(path, text, call),
        }
    }

    /// The reply that comes in pieces.
    fn slowly(self, turn: usize, path: &str, asked: &Value, slow: &Slow) -> Reply {
        let thoughts: Vec<String> = (1..=slow.thoughts).map(|piece| format!("thought {piece} ")).collect();
        let pieces: Vec<String> = (1..=slow.pieces).map(|piece| format!("{piece} ")).collect();
        let reply = match self {
            Dialect::Responses => responses::in_pieces(turn, &thoughts, &pieces),
            Dialect::Chat => chat::in_pieces(turn, asked, &thoughts, &pieces),
            Dialect::Messages => messages::in_pieces(turn, asked, &thoughts, &pieces),
            Dialect::Generate => generate::in_pieces(path, &thoughts, &pieces),
        };
        reply.paced(slow.pause_ms)
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

/// `wanted` with the name and the parameters of one of `tools`; a file is written by the shell where no tool writes it.
fn in_words_of(tools: &[&str], wanted: &ToolCall) -> Option<Call> {
    if tools.contains(&responses::CODE_TOOL) {
        return Some(responses::as_code(wanted));
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
            let name = SUB_AGENTS.iter().find(|name| tools.contains(name))?;
            let arguments =
                json!({ "description": "Does a part", "prompt": task, "subagent_type": "general-purpose" });
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
