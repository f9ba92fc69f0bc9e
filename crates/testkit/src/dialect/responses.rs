//! OpenAI Responses, streamed.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Call, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal, ToolCall};

/// The tool of newer Codex models: they call all others from a piece of JavaScript.
pub(super) const CODE_TOOL: &str = "exec";

/// How long its shell waits for a command before it leaves it in the background, in milliseconds: the longest that there is.
const EXEC_YIELD_MS: u64 = 30_000;

/// The names of the tools that the request offers: in `tools`, or as a first item of the input, in namespaces.
pub(super) fn tools(asked: &Value) -> Vec<&str> {
    let input = asked["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let additional = input.iter().filter(|item| item["type"] == "additional_tools");
    let listed =
        std::iter::once(asked).chain(additional).filter_map(|holder| holder["tools"].as_array()).flatten();
    let mut names = Vec::new();
    for tool in listed {
        match tool["tools"].as_array() {
            Some(space) => names.extend(space.iter().filter_map(|tool| tool["name"].as_str())),
            None => names.extend(tool["name"].as_str()),
        }
    }
    names
}

/// `wanted` as the JavaScript that calls it.
pub(super) fn as_code(wanted: &ToolCall) -> Call {
    let call = match wanted {
        ToolCall::Shell(command) | ToolCall::Background(command) | ToolCall::SubAgent(command) => {
            format!("tools.exec_command({})", json!({ "cmd": command, "yield_time_ms": EXEC_YIELD_MS }))
        }
        ToolCall::Write { path, content } => format!("tools.apply_patch({})", json!(patch(path, content))),
    };
    let code = format!("text(await {call});");
    Call { name: CODE_TOOL.to_owned(), arguments: json!(code), is_text: true }
}

/// The patch that adds a file.
pub(super) fn patch(path: &str, content: &str) -> String {
    let added: String = content.lines().map(|line| format!("+{line}\n")).collect();
    format!("*** Begin Patch\n*** Add File: {path}\n{added}*** End Patch\n")
}

pub(super) fn reply(turn: usize, text: &str, call: Option<Call>) -> Reply {
    let item = match call {
        None => json!({
            "type": "message", "role": "assistant", "id": format!("msg_{turn}"),
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
        Some(call) if call.is_text => json!({
            "type": "custom_tool_call", "id": format!("ctc_{turn}"), "call_id": format!("call_{turn}"), "name": call.name, "input": call.arguments,
        }),
        Some(call) => json!({
            "type": "function_call", "id": format!("fc_{turn}"), "call_id": format!("call_{turn}"), "name": call.name,
            "arguments": call.arguments.to_string(),
        }),
    };
    Reply::typed_stream(vec![
        json!({ "type": "response.created", "response": { "id": format!("resp_{turn}") } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": format!("resp_{turn}"), "usage": usage() } }),
    ])
}

/// A thought in pieces, and a text in pieces.
pub(super) fn in_pieces(turn: usize, thoughts: &[String], pieces: &[String]) -> Reply {
    let id = format!("resp_{turn}");
    let mut events = vec![json!({ "type": "response.created", "response": { "id": id } })];
    if !thoughts.is_empty() {
        let item =
            |summary: Value| json!({ "type": "reasoning", "id": format!("rs_{turn}"), "summary": summary });
        events.push(
            json!({ "type": "response.output_item.added", "output_index": 0, "item": item(json!([])) }),
        );
        events.extend(thoughts.iter().map(|piece| {
            json!({
                "type": "response.reasoning_summary_text.delta", "item_id": format!("rs_{turn}"), "output_index": 0,
                "summary_index": 0, "delta": piece,
            })
        }));
        let summary = json!([{ "type": "summary_text", "text": thoughts.concat() }]);
        events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item(summary) }));
    }
    let message = |content: Value| json!({ "type": "message", "role": "assistant", "id": format!("msg_{turn}"), "content": content });
    events
        .push(json!({ "type": "response.output_item.added", "output_index": 1, "item": message(json!([])) }));
    events.extend(pieces.iter().map(|piece| {
        json!({
            "type": "response.output_text.delta", "item_id": format!("msg_{turn}"), "output_index": 1,
            "content_index": 0, "delta": piece,
        })
    }));
    let content = json!([{ "type": "output_text", "text": pieces.concat(), "annotations": [] }]);
    events.extend([
        json!({ "type": "response.output_item.done", "output_index": 1, "item": message(content) }),
        json!({ "type": "response.completed", "response": { "id": id, "usage": usage() } }),
    ]);
    Reply::typed_stream(events)
}

fn usage() -> Value {
    json!({
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": { "cached_tokens": CACHED_TOKENS },
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": { "reasoning_tokens": REASONING_TOKENS },
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    })
}

pub(super) fn held_back(turn: usize) -> Reply {
    let id = format!("resp_{turn}");
    Reply::typed_stream(vec![
        json!({ "type": "response.created", "response": { "id": id } }),
        json!({ "type": "response.incomplete", "response": {
            "id": id, "status": "incomplete", "incomplete_details": { "reason": "content_filter" },
        } }),
    ])
}

pub(super) fn refusal(answer: &Answer) -> Reply {
    match answer {
        Answer::UsageLimit { resets_at_s, retry_after_s } => Reply::json(
            429,
            json!({ "error": {
                "type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus",
                "resets_at": resets_at_s, "resets_in_seconds": retry_after_s,
            } }),
        ),
        Answer::Unauthorized => Reply::json(
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key provided" } }),
        ),
        Answer::Expired => Reply::json(
            401,
            json!({ "error": {
                "type": "invalid_request_error", "code": "token_expired",
                "message": "Provided authentication token is expired. Please try signing in again.",
            } }),
        ),
        Answer::Refused(Refusal::CreditTooLow) => Reply::json(
            429,
            json!({ "error": {
                "type": "insufficient_quota", "code": "insufficient_quota",
                "message": "You exceeded your current quota, please check your plan and billing details.",
            } }),
        ),
        Answer::Refused(Refusal::SpendLimit) => Reply::json(
            429,
            json!({ "error": {
                "type": "billing_limit_reached", "code": "billing_hard_limit_reached",
                "message": "Billing hard limit has been reached. It is renewed on 2026-12-01.",
            } }),
        ),
        Answer::Refused(Refusal::Suspended) => Reply::json(
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "account_deactivated", "message": "The account behind this key has been deactivated." } }),
        ),
        Answer::Refused(_) => Reply::json(
            403,
            json!({ "error": { "type": "invalid_request_error", "code": "model_not_allowed", "message": "The project has no access to this model." } }),
        ),
        Answer::Overloaded => Reply::json(
            503,
            json!({ "error": { "code": "server_is_overloaded", "message": "Our servers are currently overloaded. Please try again later." } }),
        ),
        _ => Reply::json(
            500,
            json!({ "error": { "type": "server_error", "message": "The server had an error" } }),
        ),
    }
}
