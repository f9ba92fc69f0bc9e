//! Anthropic Messages, streamed or whole.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Completion, INPUT_TOKENS, OUTPUT_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal};

pub(super) fn reply(turn: usize, asked: &Value, completion: Completion) -> Reply {
    let stop = if completion.call.is_some() { "tool_use" } else { "end_turn" };
    stopped(turn, asked, completion, stop)
}

pub(super) fn held_back(turn: usize, asked: &Value) -> Reply {
    stopped(turn, asked, Completion { pieces: vec![String::new()], ..Completion::default() }, "refusal")
}

/// A block of a message: how it begins, what is added to it, and what it is then.
struct Block {
    empty: Value,
    deltas: Vec<Value>,
    whole: Value,
}

fn blocks(turn: usize, completion: Completion) -> Vec<Block> {
    let text = completion.text();
    let Completion { thought, search: _, pieces, call } = completion;
    let mut blocks = Vec::new();
    blocks.extend(thought.map(|thought| Block {
        empty: json!({ "type": "thinking", "thinking": "", "signature": "" }),
        deltas: vec![
            json!({ "type": "thinking_delta", "thinking": thought }),
            json!({ "type": "signature_delta", "signature": "c2NyaXB0ZWQ=" }),
        ],
        whole: json!({ "type": "thinking", "thinking": thought, "signature": "c2NyaXB0ZWQ=" }),
    }));
    if !pieces.is_empty() {
        blocks.push(Block {
            empty: json!({ "type": "text", "text": "" }),
            deltas: pieces.into_iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect(),
            whole: json!({ "type": "text", "text": text }),
        });
    }
    blocks.extend(call.map(|call| Block {
        empty: json!({ "type": "tool_use", "id": format!("toolu_{turn}"), "name": call.name, "input": {} }),
        deltas: vec![json!({ "type": "input_json_delta", "partial_json": call.arguments.to_string() })],
        whole: json!({ "type": "tool_use", "id": format!("toolu_{turn}"), "name": call.name, "input": call.arguments }),
    }));
    blocks
}

fn stopped(turn: usize, asked: &Value, completion: Completion, stop: &str) -> Reply {
    let usage = json!({
        "input_tokens": INPUT_TOKENS - CACHED_TOKENS, "cache_read_input_tokens": CACHED_TOKENS,
        "cache_creation_input_tokens": 0, "output_tokens": OUTPUT_TOKENS,
    });
    let message = |content: Value, stop: Value| {
        json!({
            "id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": asked["model"],
            "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage,
        })
    };
    let blocks = blocks(turn, completion);
    if asked["stream"] != json!(true) {
        let content = blocks.into_iter().map(|block| block.whole).collect();
        return Reply::json(200, message(content, json!(stop)));
    }
    let mut events = vec![json!({ "type": "message_start", "message": message(json!([]), Value::Null) })];
    for (index, block) in blocks.into_iter().enumerate() {
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": block.empty }));
        let deltas = block.deltas.into_iter();
        events.extend(
            deltas.map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.push(json!({
        "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null },
        "usage": { "output_tokens": OUTPUT_TOKENS },
    }));
    events.push(json!({ "type": "message_stop" }));
    Reply::typed_stream(events)
}

pub(super) fn refusal(answer: &Answer) -> Reply {
    let body =
        |kind: &str, message: &str| json!({ "type": "error", "error": { "type": kind, "message": message } });
    match answer {
        Answer::UsageLimit { resets_at_s, retry_after_s } => Reply::Json {
            status: 429,
            headers: vec![
                ("retry-after", retry_after_s.to_string()),
                ("x-should-retry", "false".to_owned()),
                ("anthropic-ratelimit-unified-status", "rejected".to_owned()),
                ("anthropic-ratelimit-unified-reset", resets_at_s.to_string()),
                ("anthropic-ratelimit-unified-representative-claim", "five_hour".to_owned()),
                ("anthropic-ratelimit-unified-overage-status", "rejected".to_owned()),
            ],
            body: body(
                "rate_limit_error",
                "This request would exceed your account's rate limit. Please try again later.",
            ),
        },
        Answer::Unauthorized => Reply::json(401, body("authentication_error", "invalid x-api-key")),
        Answer::Expired => Reply::json(
            401,
            body(
                "authentication_error",
                "OAuth token has expired. Please obtain a new token or refresh your existing token.",
            ),
        ),
        Answer::Refused(Refusal::CreditTooLow) => Reply::json(
            400,
            body(
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            ),
        ),
        Answer::Refused(Refusal::SpendLimit) => Reply::json(
            400,
            body(
                "invalid_request_error",
                "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
            ),
        ),
        Answer::Refused(Refusal::Suspended) => {
            Reply::json(403, body("permission_error", "This organization has been disabled."))
        }
        Answer::Refused(_) => Reply::json(
            403,
            body("permission_error", "Your API key does not have permission to use the specified resource."),
        ),
        Answer::Overloaded => Reply::json(529, body("overloaded_error", "Overloaded")),
        _ => Reply::json(500, body("api_error", "Internal server error")),
    }
}
