//! `claude --print --output-format stream-json --verbose`. Tried with 2.1.332.

use std::collections::BTreeMap;

use backstay_model::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::event::{AgentEvent, Part, Usage, UsageSpan};
use super::reader::{Context, Parsed};
use super::what::{command, deed, one_line};
use crate::trouble::{Reset, Symptom};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    System(System),
    Assistant(Assistant),
    User {
        message: UserMessage,
    },
    Result(Box<Outcome>),
    RateLimitEvent {
        rate_limit_info: RateLimit,
    },
    StreamEvent,
    ToolProgress,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
enum System {
    Init {
        session_id: String,
        model: Option<String>,
    },
    ApiRetry {
        error: Option<ApiError>,
        error_status: Option<u16>,
    },
    ThinkingTokens,
    TaskStarted,
    TaskProgress,
    TaskUpdated,
    TaskNotification,
    BackgroundTasksChanged {
        #[serde(default)]
        tasks: Vec<IgnoredAny>,
    },
    /// Told again by the result of the tool.
    PermissionDenied,
    Informational,
    /// Told again by the message in the model's place.
    ModelRefusalNoFallback,
    CompactBoundary,
    Status,
    HookStarted,
    HookProgress,
    HookResponse,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ApiError {
    RateLimit,
    AuthenticationFailed,
    BillingError,
    ServerError,
    Overloaded,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Assistant {
    message: Message,
    error: Option<ApiError>,
    #[serde(default)]
    is_api_error_message: bool,
    api_error_status: Option<u16>,
    api_error_params: Option<ErrorParameters>,
    /// Set where the provider did not want to answer.
    refused_message_id: Option<IgnoredAny>,
    /// Set where a sub-agent speaks.
    parent_tool_use_id: Option<String>,
}

#[derive(Deserialize)]
struct ErrorParameters {
    rate_limit_info: Option<RateLimit>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: String,
    #[serde(default)]
    content: Vec<Block>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
    },
    RedactedThinking,
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Box<Input>,
    },
    #[serde(other)]
    Other,
}

/// The parameters that say what a tool is about; each tool has some of them.
#[derive(Deserialize, Default)]
struct Input {
    command: Option<String>,
    file_path: Option<String>,
    notebook_path: Option<String>,
    path: Option<String>,
    pattern: Option<String>,
    query: Option<String>,
    url: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct UserMessage {
    content: Contents,
}

/// A user's message is text, or the results of tools.
#[derive(Deserialize)]
#[serde(untagged)]
enum Contents {
    Blocks(Vec<UserBlock>),
    Text(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum UserBlock {
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        is_error: Option<bool>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct RateLimit {
    status: Option<RateStatus>,
    #[serde(rename = "resetsAt")]
    resets_at_s: Option<i64>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RateStatus {
    Allowed,
    AllowedWarning,
    Rejected,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    is_error: bool,
    result: Option<String>,
    usage: Option<Tokens>,
    model_usage_since_last_result: Option<BTreeMap<String, ModelUsage>>,
    num_turns: Option<u64>,
    #[serde(default)]
    errors: Vec<String>,
}

/// What one model was used for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    thinking_tokens: Option<u64>,
    #[serde(rename = "costUSD")]
    cost_usd: Option<f64>,
}

impl ModelUsage {
    fn usage(&self) -> Usage {
        let (read, write) = (self.cache_read_input_tokens, self.cache_creation_input_tokens);
        let cached = read.unwrap_or(0).saturating_add(write.unwrap_or(0));
        Usage {
            span: UsageSpan::Turn,
            input: self.input_tokens.map(|input| input.saturating_add(cached)),
            output: self.output_tokens,
            cache_read: read,
            cache_write: write,
            reasoning: self.thinking_tokens,
            cost_usd: self.cost_usd,
            is_partial: false,
        }
    }
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputTokens>,
}

#[derive(Deserialize)]
struct OutputTokens {
    thinking_tokens: Option<u64>,
}

impl Tokens {
    /// All that was read: here `input_tokens` are only those that no cache had to do with.
    fn input(&self) -> Option<u64> {
        let cached = self
            .cache_read_input_tokens
            .unwrap_or(0)
            .saturating_add(self.cache_creation_input_tokens.unwrap_or(0));
        Some(self.input_tokens?.saturating_add(cached))
    }

    fn is_nothing(&self) -> bool {
        self.input() == Some(0) && self.output_tokens == Some(0)
    }
}

pub(super) fn parse(line: Value, context: &Context) -> serde_json::Result<Parsed> {
    let events = match Line::deserialize(line)? {
        Line::System(system) => match self::system(system) {
            Some(events) => events,
            None => return Ok(Parsed::Unknown),
        },
        Line::Assistant(assistant) if assistant.is_api_error_message => refusal(assistant, context),
        Line::Assistant(assistant) => said(assistant, context),
        Line::User { message } => results(message),
        Line::Result(outcome) => ended(*outcome, context),
        Line::RateLimitEvent { rate_limit_info } => limit(&rate_limit_info).into_iter().collect(),
        Line::StreamEvent | Line::ToolProgress => vec![AgentEvent::Working],
        Line::Other => return Ok(Parsed::Unknown),
    };
    Ok(Parsed::Known(events))
}

fn system(system: System) -> Option<Vec<AgentEvent>> {
    match system {
        System::Init { session_id, model } => {
            // Each turn begins with it, also one that background work begins.
            Some(vec![AgentEvent::SessionStarted { id: session_id, model }, AgentEvent::TurnStarted])
        }
        System::ApiRetry { error, error_status } => {
            let status =
                error_status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
            let message = format!("the provider refused or failed ({status}); it tries again");
            Some(vec![match (error, error_status) {
                (Some(ApiError::BillingError), _) | (_, Some(402 | 403)) => AgentEvent::Refused { message },
                (Some(ApiError::AuthenticationFailed), _) => AgentEvent::LoginNeeded { message },
                (Some(ApiError::RateLimit), _) => AgentEvent::Limit { reset: None, message },
                (Some(ApiError::ServerError | ApiError::Overloaded | ApiError::Other) | None, _) => {
                    AgentEvent::NetworkTrouble { message }
                }
            }])
        }
        System::ThinkingTokens
        | System::TaskStarted
        | System::TaskProgress
        | System::TaskUpdated
        | System::TaskNotification
        | System::Status
        | System::CompactBoundary
        | System::HookStarted
        | System::HookProgress
        | System::HookResponse => Some(vec![AgentEvent::Working]),
        System::BackgroundTasksChanged { tasks } => Some(vec![AgentEvent::Background { tasks: tasks.len() }]),
        System::PermissionDenied | System::Informational | System::ModelRefusalNoFallback => Some(Vec::new()),
        System::Other => None,
    }
}

fn limit(info: &RateLimit) -> Option<AgentEvent> {
    if info.status != Some(RateStatus::Rejected) {
        return None;
    }
    let message = "the account's allowance is used up".to_owned();
    Some(AgentEvent::Limit { reset: reset(info), message })
}

fn reset(info: &RateLimit) -> Option<Reset> {
    let micros = info.resets_at_s?.checked_mul(1_000_000)?;
    Some(Reset::At(Timestamp::from_micros(micros)))
}

/// A message that the CLI wrote in the model's place.
fn refusal(assistant: Assistant, context: &Context) -> Vec<AgentEvent> {
    let texts = assistant.message.content.into_iter().filter_map(|block| match block {
        Block::Text { text } => Some(text),
        _ => None,
    });
    let message = texts.collect::<Vec<_>>().join("\n");
    let told = assistant.api_error_params.and_then(|parameters| parameters.rate_limit_info);
    let is_refused = assistant.refused_message_id.is_some()
        || matches!(assistant.api_error_status, Some(402 | 403))
        || context.patterns.symptom(&message) == Some(Symptom::Refused);
    vec![match assistant.error {
        _ if is_refused => AgentEvent::Refused { message },
        Some(ApiError::BillingError) => AgentEvent::Refused { message },
        Some(ApiError::AuthenticationFailed) => AgentEvent::LoginNeeded { message },
        Some(ApiError::RateLimit) => {
            let reset = told.as_ref().and_then(reset).or_else(|| context.patterns.reset(&message));
            AgentEvent::Limit { reset, message }
        }
        Some(ApiError::ServerError | ApiError::Overloaded) => AgentEvent::NetworkTrouble { message },
        Some(ApiError::Other) | None => match context.patterns.event(&message) {
            Some(event) => event,
            None => AgentEvent::Message { text: message, part: Part::Whole },
        },
    }]
}

fn said(assistant: Assistant, context: &Context) -> Vec<AgentEvent> {
    let is_sub_agent = assistant.parent_tool_use_id.is_some();
    let Message { id, content, usage } = assistant.message;
    let mut events = Vec::new();
    for block in content {
        match block {
            // What a sub-agent says is not said to the user.
            Block::Text { text } if is_sub_agent => events.push(AgentEvent::Reasoning { text }),
            Block::Text { text } => events.push(AgentEvent::Message { text, part: Part::Whole }),
            Block::Thinking { thinking } => events.push(AgentEvent::Reasoning { text: thinking }),
            Block::RedactedThinking => events.push(AgentEvent::Reasoning { text: String::new() }),
            Block::ToolUse { id, name, input } => {
                let paths: Vec<String> = if writes(&name) {
                    input.file_path.iter().chain(&input.notebook_path).cloned().collect()
                } else {
                    Vec::new()
                };
                let what = what(&name, &input, context);
                events.push(AgentEvent::ToolStarted { call: id, name, what });
                if !paths.is_empty() {
                    events.push(AgentEvent::FilesTouched { paths });
                }
            }
            Block::Other => {}
        }
    }
    // Each block of a message comes as a line of its own with the counts of the message so far: the input is right, the
    // output is not yet.
    if let Some(usage) = usage.filter(|usage| !usage.is_nothing() && !id.is_empty()) {
        events.push(AgentEvent::Usage(Usage {
            span: UsageSpan::Call { id },
            input: usage.input(),
            output: None,
            cache_read: usage.cache_read_input_tokens,
            cache_write: usage.cache_creation_input_tokens,
            reasoning: None,
            cost_usd: None,
            is_partial: false,
        }));
    }
    events
}

fn writes(tool: &str) -> bool {
    matches!(tool, "Write" | "Edit" | "MultiEdit" | "NotebookEdit")
}

fn what(tool: &str, input: &Input, context: &Context) -> String {
    let path =
        input.file_path.as_ref().or(input.notebook_path.as_ref()).map(|path| context.folder.shown(path));
    match (tool, path) {
        ("Bash", _) => return command(input.command.as_deref().unwrap_or_default()),
        ("Write", Some(path)) => return deed("write", path),
        ("Edit" | "MultiEdit" | "NotebookEdit", Some(path)) => return deed("edit", path),
        ("Read", Some(path)) => return deed("read", path),
        _ => {}
    }
    let object = [&input.pattern, &input.query, &input.url, &input.description, &input.path]
        .into_iter()
        .flatten()
        .next();
    match object {
        Some(object) => deed(&tool.to_lowercase(), object),
        None => one_line(&tool.to_lowercase()),
    }
}

fn results(message: UserMessage) -> Vec<AgentEvent> {
    let Contents::Blocks(blocks) = message.content else { return Vec::new() };
    let ended = |block| match block {
        UserBlock::ToolResult { tool_use_id, is_error } => Some(AgentEvent::ToolFinished {
            call: tool_use_id,
            name: None,
            what: None,
            // It says so only where something went wrong, and for its shell.
            ok: Some(!is_error.unwrap_or(false)),
            exit_code: None,
            duration_ms: None,
        }),
        UserBlock::Other => None,
    };
    blocks.into_iter().filter_map(ended).collect()
}

/// A process prints a result for each turn, also for those that its background work begins. What its models were used for
/// since the result before stands beside it, sub-agents included; `usage` counts the turn's own calls only, and
/// `total_cost_usd` goes on over resumes.
fn ended(outcome: Outcome, context: &Context) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    match outcome.model_usage_since_last_result {
        Some(models) => {
            let used = models.values().map(ModelUsage::usage).reduce(|sum, model| sum.plus(&model));
            events.extend(used.map(AgentEvent::Usage));
        }
        // Versions before it tell what the turns cost together, and not what one of them did.
        None => {
            if let Some(tokens) = outcome.usage.filter(|tokens| !tokens.is_nothing()) {
                events.push(AgentEvent::Usage(Usage {
                    span: UsageSpan::Turn,
                    input: tokens.input(),
                    output: tokens.output_tokens,
                    cache_read: tokens.cache_read_input_tokens,
                    cache_write: tokens.cache_creation_input_tokens,
                    reasoning: tokens.output_tokens_details.and_then(|details| details.thinking_tokens),
                    cost_usd: None,
                    is_partial: false,
                }));
            }
        }
    }
    // Only what was no message before: a refusal in a turn was told by its own line.
    if outcome.is_error && outcome.num_turns == Some(0) {
        let told = outcome
            .errors
            .iter()
            .filter(|error| context.patterns.symptom(error) != Some(Symptom::SessionUnknown));
        events.extend(told.filter_map(|error| context.patterns.event(error)));
    }
    events.push(if outcome.is_error {
        let failure =
            outcome.result.or_else(|| (!outcome.errors.is_empty()).then(|| outcome.errors.join("\n")));
        AgentEvent::failed(failure)
    } else {
        AgentEvent::done(outcome.result)
    });
    events
}
