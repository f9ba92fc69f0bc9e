//! Anthropic Messages, streamed or whole.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Call, INPUT_TOKENS, OUTPUT_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal};

pub(super) fn reply(turn: usize, asked: &Value, text: &str, call: Option<Call>) -> Reply {
    let stop = if call.is_some() { "tool_use" } else { "end_turn" };
    stopped(turn, asked, text, call, stop)
}

pub(super) fn held_back(turn: usize, asked: &Value) -> Reply {
    stopped(turn, asked, "", None, "refusal")
}

/// A thought in pieces, and a text in pieces.
pub(super) fn in_pieces(turn: usize, asked: &Value, thoughts: &[String], pieces: &[String]) -> Reply {
    let message = json!({
        "id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": asked["model"],
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(),
    });
    let block = |index: usize, begin: Value, deltas: Vec<Value>| {
        let delta = |delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
        let begin = json!({ "type": "content_block_start", "index": index, "content_block": begin });
        let end = json!({ "type": "content_block_stop", "index": index });
        std::iter::once(begin).chain(deltas.into_iter().map(delta)).chain([end]).collect::<Vec<_>>()
    };
    let mut events = vec![json!({ "type": "message_start", "message": message })];
    if !thoughts.is_empty() {
        let deltas = thoughts.iter().map(|piece| json!({ "type": "thinking_delta", "thinking": piece }));
        let signature = json!({ "type": "signature_delta", "signature": "scripted" });
        let begin = json!({ "type": "thinking", "thinking": "", "signature": "" });
        events.extend(block(0, begin, deltas.chain([signature]).collect()));
    }
    let deltas = pieces.iter().map(|piece| json!({ "type": "text_delta", "text": piece }));
    let begin = json!({ "type": "text", "text": "" });
    events.extend(block(usize::from(!thoughts.is_empty()), begin, deltas.collect()));
    events.extend([
        json!({
            "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
            "usage": { "output_tokens": OUTPUT_TOKENS },
        }),
        json!({ "type": "message_stop" }),
    ]);
    Reply::typed_stream(events)
}

fn usage() -> Value {
    json!({
        "input_tokens": INPUT_TOKENS - CACHED_TOKENS, "cache_read_input_tokens": CACHED_TOKENS,
        "cache_creation_input_tokens": 0, "output_tokens": OUTPUT_TOKENS,
    })
}

fn stopped(turn: usize, asked: &Value, text: &str, call: Option<Call>, stop: &str) -> Reply {
    let message = |content: Value, stop: Value| {
        json!({
            "id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": asked["model"],
            "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage(),
        })
    };
    let (empty, delta, whole) = match call {
        None => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": text }),
            json!({ "type": "text", "text": text }),
        ),
        Some(call) => (
            json!({ "type": "tool_use", "id": format!("toolu_{turn}"), "name": call.name, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": call.arguments.to_string() }),
            json!({ "type": "tool_use", "id": format!("toolu_{turn}"), "name": call.name, "input": call.arguments }),
        ),
    };
    if asked["stream"] != json!(true) {
        return Reply::json(200, message(json!([whole]), json!(stop)));
    }
    Reply::typed_stream(vec![
        json!({ "type": "message_start", "message": message(json!([]), Value::Null) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": empty }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null },
            "usage": { "output_tokens": OUTPUT_TOKENS },
        }),
        json!({ "type": "message_stop" }),
    ])
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
