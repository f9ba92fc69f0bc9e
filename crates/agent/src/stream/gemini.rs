//! `gemini --output-format stream-json`. Tried with 0.61.0.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::event::{AgentEvent, Part, Usage, UsageSpan};
use super::reader::{Context, Parsed};
use super::what::{command, deed, one_line};
use crate::trouble::provider_words;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Init {
        session_id: String,
        model: Option<String>,
    },
    Message {
        role: Role,
        #[serde(default)]
        content: String,
        #[serde(default)]
        delta: bool,
    },
    ToolUse {
        tool_name: String,
        tool_id: String,
        #[serde(default)]
        parameters: Input,
    },
    ToolResult {
        tool_id: String,
        status: Option<Status>,
    },
    Error {
        #[serde(default)]
        message: String,
    },
    Result {
        status: Option<Status>,
        error: Option<Failure>,
        stats: Option<Stats>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Role {
    Assistant,
    User,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Status {
    Success,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

/// The parameters that say what a tool is about; each tool has some of them.
#[derive(Deserialize, Default)]
struct Input {
    command: Option<String>,
    file_path: Option<String>,
    absolute_path: Option<String>,
    dir_path: Option<String>,
    path: Option<String>,
    pattern: Option<String>,
    query: Option<String>,
    prompt: Option<String>,
}

#[derive(Deserialize)]
struct Stats {
    total_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached: Option<u64>,
    #[serde(default)]
    models: BTreeMap<String, ModelStats>,
}

#[derive(Deserialize)]
struct ModelStats {
    #[serde(default)]
    total_tokens: u64,
}

impl Stats {
    /// Tokens of thought stand in the total only.
    fn thoughts(&self) -> Option<u64> {
        self.total_tokens?.checked_sub(self.input_tokens?.checked_add(self.output_tokens?)?)
    }

    /// The model that did the most of it.
    fn model(&self) -> Option<&String> {
        let used = self.models.iter().filter(|(_, stats)| stats.total_tokens > 0);
        used.max_by_key(|(_, stats)| stats.total_tokens).map(|(name, _)| name)
    }
}

pub(super) fn parse(line: Value, context: &Context) -> serde_json::Result<Parsed> {
    let events = match Line::deserialize(line)? {
        Line::Init { session_id, model } => vec![AgentEvent::SessionStarted { id: session_id, model }],
        Line::Message { role: Role::Assistant, content, delta } => {
            let part = if delta { Part::Piece } else { Part::Whole };
            vec![AgentEvent::Message { text: content, part }]
        }
        // The prompt, said back.
        Line::Message { role: Role::User | Role::Other, .. } => Vec::new(),
        Line::ToolUse { tool_name, tool_id, parameters } => used(tool_name, tool_id, &parameters, context),
        Line::ToolResult { tool_id, status } => {
            let ok = status.map(|status| status == Status::Success);
            vec![AgentEvent::ToolFinished {
                call: tool_id,
                name: None,
                what: None,
                ok,
                exit_code: None,
                duration_ms: None,
            }]
        }
        Line::Error { message } => vec![context.patterns.error(&provider_words(&message))],
        Line::Result { status, error, stats } => ended(status, error, stats, context),
        Line::Other => return Ok(Parsed::Unknown),
    };
    Ok(Parsed::Known(events))
}

fn used(name: String, call: String, input: &Input, context: &Context) -> Vec<AgentEvent> {
    let path = input.file_path.as_ref().or(input.absolute_path.as_ref());
    let shown = path.map(|path| context.folder.shown(path));
    let object = [&input.pattern, &input.query, &input.dir_path, &input.path, &input.prompt]
        .into_iter()
        .flatten()
        .next();
    let what = match (name.as_str(), shown) {
        ("run_shell_command", _) => command(input.command.as_deref().unwrap_or_default()),
        ("write_file", Some(path)) => deed("write", path),
        ("replace", Some(path)) => deed("edit", path),
        ("read_file", Some(path)) => deed("read", path),
        _ => match object {
            Some(object) => deed(&name, object),
            None => one_line(&name),
        },
    };
    let paths: Vec<String> = if matches!(name.as_str(), "write_file" | "replace") {
        path.into_iter().cloned().collect()
    } else {
        Vec::new()
    };
    let mut events = vec![AgentEvent::ToolStarted { call, name, what }];
    if !paths.is_empty() {
        events.push(AgentEvent::FilesTouched { paths });
    }
    events
}

/// The tokens that it thought with stand nowhere but in the total of a model, so the output is without them.
fn ended(
    status: Option<Status>,
    error: Option<Failure>,
    stats: Option<Stats>,
    context: &Context,
) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    if let Some(stats) = stats.filter(|stats| stats.input_tokens != Some(0) || stats.output_tokens != Some(0))
    {
        events.extend(stats.model().map(|name| AgentEvent::Model { name: name.clone() }));
        let thoughts = stats.thoughts();
        events.push(AgentEvent::Usage(Usage {
            span: UsageSpan::Process,
            input: stats.input_tokens,
            output: stats.output_tokens.map(|output| output.saturating_add(thoughts.unwrap_or(0))),
            cache_read: stats.cached,
            cache_write: None,
            reasoning: thoughts,
            cost_usd: None,
            is_partial: false,
        }));
    }
    let failure = error.map(|error| provider_words(&error.message));
    events.extend(failure.as_ref().and_then(|failure| context.patterns.event(failure)));
    events.push(if status == Some(Status::Success) {
        AgentEvent::done(None)
    } else {
        AgentEvent::failed(failure)
    });
    events
}
