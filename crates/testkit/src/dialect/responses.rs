//! OpenAI Responses, streamed.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Call, Completion, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
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

/// The tool that begins a sub-agent; it stands in a namespace.
pub(super) const SPAWN_TOOL: &str = "spawn_agent";

/// `wanted` as the JavaScript that calls it; none for what is called without.
pub(super) fn as_code(wanted: &ToolCall) -> Option<Call> {
    let call = match wanted {
        ToolCall::Shell(command) | ToolCall::Background(command) => {
            format!("tools.exec_command({})", json!({ "cmd": command, "yield_time_ms": EXEC_YIELD_MS }))
        }
        ToolCall::Write { path, content } => format!("tools.apply_patch({})", json!(patch(path, content))),
        ToolCall::SubAgent(_) => return None,
    };
    let code = format!("text(await {call});");
    Some(Call { name: CODE_TOOL.to_owned(), arguments: json!(code), is_text: true })
}

/// The patch that adds a file.
pub(super) fn patch(path: &str, content: &str) -> String {
    let added: String = content.lines().map(|line| format!("+{line}\n")).collect();
    format!("*** Begin Patch\n*** Add File: {path}\n{added}*** End Patch\n")
}

pub(super) fn reply(turn: usize, completion: Completion) -> Reply {
    let id = format!("resp_{turn}");
    let mut events = vec![json!({ "type": "response.created", "response": { "id": id } })];
    for (index, item) in items(turn, &completion).into_iter().enumerate() {
        if item["type"] == "message" || item["type"] == "web_search_call" {
            let mut begun = item.clone();
            begun["status"] = json!("in_progress");
            if item["type"] == "message" {
                begun["content"] = json!([]);
            }
            events
                .push(json!({ "type": "response.output_item.added", "output_index": index, "item": begun }));
        }
        if item["type"] == "message" {
            events.extend(completion.pieces.iter().map(|piece| {
                json!({
                    "type": "response.output_text.delta", "item_id": item["id"], "output_index": index, "content_index": 0, "delta": piece,
                })
            }));
        }
        events.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
    }
    let usage = json!({
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": { "cached_tokens": CACHED_TOKENS },
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": { "reasoning_tokens": REASONING_TOKENS },
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    });
    events.push(json!({ "type": "response.completed", "response": { "id": id, "usage": usage } }));
    Reply::typed_stream(events)
}

fn items(turn: usize, completion: &Completion) -> Vec<Value> {
    let thought = completion.thought.as_ref().map(|thought| {
        json!({
            "type": "reasoning", "id": format!("rs_{turn}"), "summary": [{ "type": "summary_text", "text": thought }], "encrypted_content": null,
        })
    });
    let search = completion.search.as_ref().map(|query| {
        json!({
            "type": "web_search_call", "id": format!("ws_{turn}"), "status": "completed", "action": { "type": "search", "query": query },
        })
    });
    let message = (!completion.pieces.is_empty()).then(|| {
        json!({
            "type": "message", "role": "assistant", "id": format!("msg_{turn}"),
            "content": [{ "type": "output_text", "text": completion.text(), "annotations": [] }],
        })
    });
    let call = completion.call.as_ref().map(|call| {
        if call.is_text {
            json!({
                "type": "custom_tool_call", "id": format!("ctc_{turn}"), "call_id": format!("call_{turn}"), "name": call.name, "input": call.arguments,
            })
        } else {
            let mut item = json!({
                "type": "function_call", "id": format!("fc_{turn}"), "call_id": format!("call_{turn}"), "name": call.name,
                "arguments": call.arguments.to_string(),
            });
            if call.name == SPAWN_TOOL {
                item["namespace"] = json!("collaboration");
            }
            item
        }
    });
    [thought, search, message, call].into_iter().flatten().collect()
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
