//! OpenAI Chat Completions, streamed or whole.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Call, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal};

pub(super) fn reply(turn: usize, asked: &Value, text: &str, call: Option<Call>) -> Reply {
    let finish = if call.is_some() { "tool_calls" } else { "stop" };
    finished(turn, asked, text, call, finish)
}

pub(super) fn held_back(turn: usize, asked: &Value) -> Reply {
    finished(turn, asked, "", None, "content_filter")
}

/// A thought in pieces, and a text in pieces.
pub(super) fn in_pieces(turn: usize, asked: &Value, thoughts: &[String], pieces: &[String]) -> Reply {
    let thoughts = thoughts.iter().map(|piece| json!({ "role": "assistant", "reasoning_content": piece }));
    let pieces = pieces.iter().map(|piece| json!({ "role": "assistant", "content": piece }));
    let mut last = chunk(turn, asked, json!({}), json!("stop"));
    last["usage"] = usage();
    let chunks = thoughts.chain(pieces).map(|delta| chunk(turn, asked, delta, Value::Null)).chain([last]);
    let events = chunks.map(|event| (None, event.to_string()));
    Reply::Stream(events.chain([(None, "[DONE]".to_owned())]).collect())
}

fn chunk(turn: usize, asked: &Value, delta: Value, finish: Value) -> Value {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    json!({
        "id": format!("chatcmpl-{turn}"), "object": "chat.completion.chunk", "created": 1, "model": asked["model"],
        "choices": [choice],
    })
}

fn usage() -> Value {
    json!({
        "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": { "cached_tokens": CACHED_TOKENS },
        "completion_tokens_details": { "reasoning_tokens": REASONING_TOKENS },
    })
}

fn finished(turn: usize, asked: &Value, text: &str, call: Option<Call>, finish: &str) -> Reply {
    let model = &asked["model"];
    let mut message = json!({ "role": "assistant", "content": text });
    if let Some(call) = call {
        let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
        message["tool_calls"] =
            json!([{ "index": 0, "id": format!("call_{turn}"), "type": "function", "function": function }]);
    }
    if asked["stream"] != json!(true) {
        let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
        let body = json!({
            "id": format!("chatcmpl-{turn}"), "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage(),
        });
        return Reply::json(200, body);
    }
    let mut last = chunk(turn, asked, json!({}), json!(finish));
    last["usage"] = usage();
    let events = [chunk(turn, asked, message, Value::Null), last].map(|event| (None, event.to_string()));
    Reply::Stream(events.into_iter().chain([(None, "[DONE]".to_owned())]).collect())
}

pub(super) fn refusal(answer: &Answer) -> Reply {
    match answer {
        Answer::UsageLimit { retry_after_s, .. } => Reply::Json {
            status: 429,
            headers: vec![("retry-after", retry_after_s.to_string())],
            body: json!({ "error": {
                "type": "usage_limit_reached", "code": "rate_limit_exceeded",
                "message": "Usage limit reached, please try again later",
            } }),
        },
        Answer::Unauthorized => Reply::json(
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key provided" } }),
        ),
        Answer::Expired => Reply::json(
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "token_expired", "message": "The access token has expired." } }),
        ),
        Answer::Refused(Refusal::CreditTooLow) => Reply::json(
            402,
            json!({ "error": { "code": 402, "message": "Insufficient credits. Add more to go on." } }),
        ),
        Answer::Refused(Refusal::SpendLimit) => Reply::json(
            403,
            json!({ "error": { "code": 403, "message": "Key limit exceeded (monthly limit). It is renewed on 2026-12-01." } }),
        ),
        Answer::Refused(Refusal::Suspended) => Reply::json(
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "account_deactivated", "message": "The account behind this key has been deactivated." } }),
        ),
        Answer::Refused(_) => Reply::json(
            403,
            json!({ "error": { "type": "permission_error", "code": "model_not_allowed", "message": "The project has no access to this model." } }),
        ),
        Answer::Overloaded => Reply::json(
            503,
            json!({ "error": { "type": "server_error", "message": "The engine is overloaded, please try again later" } }),
        ),
        _ => Reply::json(
            500,
            json!({ "error": { "type": "server_error", "message": "The server had an error" } }),
        ),
    }
}
