//! `codex exec --json`. Tried with 0.171.0.

use serde::Deserialize;
use serde_json::Value;

use super::event::{AgentEvent, Part, Usage, UsageSpan};
use super::reader::{Context, Parsed};
use super::what::{command, deed, one_line};

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Line {
    #[serde(rename = "thread.started")]
    ThreadStarted { thread_id: String },
    #[serde(rename = "turn.started")]
    TurnStarted,
    #[serde(rename = "item.started")]
    ItemStarted { item: Item },
    #[serde(rename = "item.updated")]
    ItemUpdated,
    #[serde(rename = "item.completed")]
    ItemCompleted { item: Item },
    #[serde(rename = "turn.completed")]
    TurnCompleted { usage: Option<Tokens> },
    #[serde(rename = "turn.failed")]
    TurnFailed { error: Option<Failure> },
    #[serde(rename = "error")]
    Error { message: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    what: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind {
    AgentMessage {
        text: String,
    },
    Reasoning {
        #[serde(default)]
        text: String,
    },
    CommandExecution {
        command: String,
        exit_code: Option<i64>,
        status: Option<Status>,
    },
    FileChange {
        #[serde(default)]
        changes: Vec<Change>,
        status: Option<Status>,
    },
    McpToolCall {
        #[serde(default)]
        server: String,
        #[serde(default)]
        tool: String,
        status: Option<Status>,
    },
    WebSearch {
        #[serde(default)]
        query: String,
    },
    /// A sub-agent is begun, told something or waited for.
    CollabToolCall {
        #[serde(default)]
        tool: String,
        status: Option<Status>,
    },
    TodoList,
    Error {
        message: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    kind: Option<ChangeKind>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum ChangeKind {
    Add,
    Delete,
    Update,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Status {
    InProgress,
    Completed,
    Failed,
    Declined,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    cached_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    reasoning_output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

pub(super) fn parse(line: Value, context: &Context) -> serde_json::Result<Parsed> {
    let events = match Line::deserialize(line)? {
        Line::ThreadStarted { thread_id } => vec![AgentEvent::SessionStarted { id: thread_id, model: None }],
        Line::TurnStarted => vec![AgentEvent::TurnStarted],
        Line::ItemUpdated => vec![AgentEvent::Working],
        Line::ItemStarted { item } => started(item, context),
        Line::ItemCompleted { item } => match completed(item, context) {
            Some(events) => events,
            None => return Ok(Parsed::Unknown),
        },
        Line::TurnCompleted { usage } => {
            let ended = AgentEvent::done(None);
            usage.map(tokens).into_iter().chain([ended]).collect()
        }
        Line::TurnFailed { error } => {
            let failure = error.map(|error| error.message);
            let told = failure.as_ref().and_then(|failure| context.patterns.event(failure));
            told.into_iter().chain([AgentEvent::failed(failure)]).collect()
        }
        Line::Error { message } => vec![context.patterns.error(&message)],
        Line::Other => return Ok(Parsed::Unknown),
    };
    Ok(Parsed::Known(events))
}

/// The counts of a turn's end are those of the whole thread: after a resume they contain what was used before.
fn tokens(tokens: Tokens) -> AgentEvent {
    AgentEvent::Usage(Usage {
        span: UsageSpan::Session,
        input: tokens.input_tokens,
        output: tokens.output_tokens,
        cache_read: tokens.cached_input_tokens,
        cache_write: tokens.cache_write_input_tokens,
        reasoning: tokens.reasoning_output_tokens,
        cost_usd: None,
        is_partial: false,
    })
}

/// The tool of an item, and a line about it; `None` for what is no tool.
fn tool(kind: &Kind, context: &Context) -> Option<(String, String)> {
    match kind {
        Kind::CommandExecution { command: text, .. } => Some(("shell".to_owned(), command(text))),
        Kind::FileChange { changes, .. } => Some(("apply_patch".to_owned(), change(changes, context))),
        Kind::McpToolCall { server, tool, .. } => Some((format!("{server}.{tool}"), deed(server, tool))),
        Kind::CollabToolCall { tool, .. } => Some(("sub-agent".to_owned(), deed("sub-agent", tool))),
        Kind::WebSearch { query } => Some(("web_search".to_owned(), deed("search", query))),
        Kind::AgentMessage { .. }
        | Kind::Reasoning { .. }
        | Kind::TodoList
        | Kind::Error { .. }
        | Kind::Other => None,
    }
}

fn change(changes: &[Change], context: &Context) -> String {
    let Some(first) = changes.first() else { return "edit".to_owned() };
    let verb = match first.kind {
        Some(ChangeKind::Add) => "write",
        Some(ChangeKind::Delete) => "delete",
        Some(ChangeKind::Update | ChangeKind::Other) | None => "edit",
    };
    let path = context.folder.shown(&first.path);
    if changes.len() == 1 {
        deed(verb, path)
    } else {
        one_line(&format!("{verb} {path} and {} more", changes.len() - 1))
    }
}

fn started(item: Item, context: &Context) -> Vec<AgentEvent> {
    let sub_agent = sub_agent(&item.what);
    let tool = tool(&item.what, context);
    let started = tool.map(|(name, what)| AgentEvent::ToolStarted { call: item.id, name, what });
    started.into_iter().chain(sub_agent).collect()
}

/// The counts of a thread are without those of the threads that it begins.
fn sub_agent(kind: &Kind) -> Option<AgentEvent> {
    matches!(kind, Kind::CollabToolCall { .. }).then_some(AgentEvent::UntoldSubAgent)
}

fn completed(item: Item, context: &Context) -> Option<Vec<AgentEvent>> {
    let described = tool(&item.what, context);
    let sub_agent = sub_agent(&item.what);
    let is_done = |status: Option<Status>| match status {
        Some(Status::Completed) => Some(true),
        Some(Status::Failed | Status::Declined) => Some(false),
        Some(Status::InProgress | Status::Other) | None => None,
    };
    let mut exit_code = None;
    let (ok, paths) = match item.what {
        Kind::AgentMessage { text } => return Some(vec![AgentEvent::Message { text, part: Part::Whole }]),
        Kind::Reasoning { text } => return Some(vec![AgentEvent::Reasoning { text }]),
        Kind::TodoList => return Some(vec![AgentEvent::Working]),
        // An item of kind error is a remark: the turn goes on. It may still say that the network is away.
        Kind::Error { message } => return Some(vec![context.patterns.error(&message)]),
        Kind::Other => return None,
        Kind::CommandExecution { exit_code: code, status, .. } => {
            exit_code = code.and_then(|code| i32::try_from(code).ok());
            (code.map(|code| code == 0).or_else(|| is_done(status)), Vec::new())
        }
        Kind::FileChange { changes, status } => {
            (is_done(status), changes.into_iter().map(|change| change.path).collect::<Vec<_>>())
        }
        Kind::McpToolCall { status, .. } | Kind::CollabToolCall { status, .. } => {
            (is_done(status), Vec::new())
        }
        Kind::WebSearch { .. } => (Some(true), Vec::new()),
    };
    let (name, what) = described.unzip();
    let (call, duration_ms) = (item.id, None);
    let mut events = vec![AgentEvent::ToolFinished { call, name, what, ok, exit_code, duration_ms }];
    events.extend(sub_agent);
    if !paths.is_empty() {
        events.push(AgentEvent::FilesTouched { paths });
    }
    Some(events)
}
