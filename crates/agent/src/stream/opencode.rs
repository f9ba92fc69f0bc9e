//! `opencode run --format json`. Tried with 1.18.33.

use serde::Deserialize;
use serde_json::Value;

use super::event::{AgentEvent, Part, Usage, UsageSpan};
use super::reader::{Context, Parsed};
use super::what::{command, deed, one_line};
use crate::trouble::Symptom;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    StepStart {
        #[serde(rename = "sessionID")]
        session_id: String,
    },
    Text {
        part: Words,
    },
    Reasoning {
        part: Words,
    },
    ToolUse {
        part: Box<Tool>,
    },
    StepFinish {
        part: Finish,
    },
    Error {
        #[serde(rename = "sessionID")]
        session_id: Option<String>,
        error: Failure,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Tool {
    tool: String,
    #[serde(rename = "callID")]
    call_id: String,
    state: State,
}

#[derive(Deserialize)]
struct State {
    status: Option<Status>,
    #[serde(default)]
    input: Input,
    title: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    time: Option<Span>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Status {
    Completed,
    Error,
    #[serde(other)]
    Other,
}

/// The parameters that say what a tool is about; each tool has some of them.
#[derive(Deserialize, Default)]
struct Input {
    command: Option<String>,
    #[serde(rename = "filePath")]
    file_path: Option<String>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    exit: Option<i64>,
}

#[derive(Deserialize)]
struct Span {
    start: Option<u64>,
    end: Option<u64>,
}

#[derive(Deserialize)]
struct Finish {
    #[serde(default)]
    id: String,
    reason: Option<Reason>,
    tokens: Option<Tokens>,
    cost: Option<f64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    Stop,
    ToolCalls,
    Length,
    ContentFilter,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    cache: Option<Cache>,
}

#[derive(Deserialize)]
struct Cache {
    read: Option<u64>,
    write: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    name: String,
    #[serde(default)]
    data: FailureData,
}

#[derive(Deserialize, Default)]
struct FailureData {
    #[serde(default)]
    message: String,
    #[serde(rename = "statusCode")]
    status_code: Option<u16>,
}

pub(super) fn parse(line: Value, context: &Context) -> serde_json::Result<Parsed> {
    let events = match Line::deserialize(line)? {
        // No line tells the session alone; each step begins with it.
        Line::StepStart { session_id } => {
            vec![AgentEvent::SessionStarted { id: session_id, model: None }, AgentEvent::TurnStarted]
        }
        Line::Text { part } => vec![AgentEvent::Message { text: part.text, part: Part::Whole }],
        Line::Reasoning { part } => vec![AgentEvent::Reasoning { text: part.text }],
        Line::ToolUse { part } => used(*part, context),
        Line::StepFinish { part } => finished(part),
        Line::Error { session_id, error } => {
            let session = session_id.map(|id| AgentEvent::SessionStarted { id, model: None });
            let message = if error.data.message.is_empty() { error.name } else { error.data.message };
            let told = trouble(&message, error.data.status_code, context);
            session.into_iter().chain(told).chain([AgentEvent::failed(Some(message))]).collect()
        }
        Line::Other => return Ok(Parsed::Unknown),
    };
    Ok(Parsed::Known(events))
}

/// A tool is told when it has ended, not when it begins.
fn used(tool: Tool, context: &Context) -> Vec<AgentEvent> {
    let state = tool.state;
    let path = state.input.file_path.as_deref();
    let shown = path.map(|path| context.folder.shown(path));
    let what = match (tool.tool.as_str(), shown) {
        ("bash", _) => command(state.input.command.as_deref().unwrap_or_default()),
        ("write", Some(path)) => deed("write", path),
        ("edit" | "patch" | "multiedit", Some(path)) => deed("edit", path),
        ("read", Some(path)) => deed("read", path),
        _ => match state.title.as_deref() {
            Some(title) => deed(&tool.tool, title),
            None => one_line(&tool.tool),
        },
    };
    let is_written = matches!(tool.tool.as_str(), "write" | "edit" | "patch" | "multiedit");
    let paths: Vec<String> =
        if is_written { path.into_iter().map(str::to_owned).collect() } else { Vec::new() };
    let ok = match (state.status, state.metadata.exit) {
        (Some(Status::Completed), Some(code)) => Some(code == 0),
        (Some(Status::Completed), None) => Some(true),
        (Some(Status::Error), _) => Some(false),
        (Some(Status::Other) | None, _) => None,
    };
    let duration_ms = state.time.and_then(|time| time.end?.checked_sub(time.start?));
    // It works in a session of its own, of which this stream tells nothing.
    let sub_agent = (tool.tool == "task").then_some(AgentEvent::UntoldSubAgent);
    let mut events = vec![AgentEvent::ToolFinished {
        call: tool.call_id,
        name: Some(tool.tool),
        what: Some(what),
        ok,
        exit_code: state.metadata.exit.and_then(|code| i32::try_from(code).ok()),
        duration_ms,
    }];
    events.extend(sub_agent);
    if !paths.is_empty() && ok == Some(true) {
        events.push(AgentEvent::FilesTouched { paths });
    }
    events
}

/// Its `input` is without what a cache had to do with, its `output` without reasoning. A turn whose last step ended for
/// tools was cut short: a refused permission ends the process like that, with exit code 0.
fn finished(part: Finish) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    if let Some(tokens) = part.tokens {
        let (read, write) = tokens.cache.map_or((None, None), |cache| (cache.read, cache.write));
        let all = |own: Option<u64>, parts: [Option<u64>; 2]| {
            let parts = parts.into_iter().flatten().fold(0, u64::saturating_add);
            own.map(|own| own.saturating_add(parts))
        };
        events.push(AgentEvent::Usage(Usage {
            span: UsageSpan::Call { id: part.id },
            input: all(tokens.input, [read, write]),
            output: all(tokens.output, [tokens.reasoning, None]),
            cache_read: read,
            cache_write: write,
            reasoning: tokens.reasoning,
            // Without a price for the model it says 0.
            cost_usd: part.cost.filter(|&cost| cost > 0.0),
            is_partial: false,
        }));
    }
    match part.reason {
        Some(Reason::Stop) => events.push(AgentEvent::done(None)),
        Some(Reason::Length) => {
            events.push(AgentEvent::failed(Some("the answer was cut at its greatest length".to_owned())))
        }
        Some(Reason::ContentFilter) => {
            let message = "the provider's filter of contents held the answer back".to_owned();
            events.extend([
                AgentEvent::Refused { message: message.clone() },
                AgentEvent::failed(Some(message)),
            ]);
        }
        Some(Reason::Error) => events.push(AgentEvent::failed(None)),
        Some(Reason::ToolCalls | Reason::Other) | None => {}
    }
    events
}

fn trouble(message: &str, status: Option<u16>, context: &Context) -> Option<AgentEvent> {
    let text = message.to_owned();
    let is_refused = context.patterns.symptom(message) == Some(Symptom::Refused);
    let reset = context.patterns.reset(message);
    match status {
        // Whoever says when to come back does not refuse, whatever else stands in the text.
        _ if is_refused && !(status == Some(429) && reset.is_some()) => {
            Some(AgentEvent::Refused { message: text })
        }
        Some(401) => Some(AgentEvent::LoginNeeded { message: text }),
        Some(402 | 403) => Some(AgentEvent::Refused { message: text }),
        Some(429) => Some(AgentEvent::Limit { reset, message: text }),
        Some(500..=599) => Some(AgentEvent::NetworkTrouble { message: text }),
        Some(_) | None => context.patterns.event(message),
    }
}
