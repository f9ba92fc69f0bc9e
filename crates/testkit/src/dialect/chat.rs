//! OpenAI Chat Completions, streamed or whole.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Completion, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal};

pub(super) fn reply(turn: usize, asked: &Value, completion: Completion) -> Reply {
    let finish = if completion.call.is_some() { "tool_calls" } else { "stop" };
    finished(turn, asked, completion, finish)
}

pub(super) fn held_back(turn: usize, asked: &Value) -> Reply {
    finished(turn, asked, Completion::default(), "content_filter")
}

fn finished(turn: usize, asked: &Value, completion: Completion, finish: &str) -> Reply {
    let model = &asked["model"];
    let usage = json!({
        "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": { "cached_tokens": CACHED_TOKENS },
        "completion_tokens_details": { "reasoning_tokens": REASONING_TOKENS },
    });
    let text = completion.text();
    let Completion { thought, search: _, pieces, call } = completion;
    let call = call.map(|call| {
        let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
        json!([{ "index": 0, "id": format!("call_{turn}"), "type": "function", "function": function }])
    });
    if asked["stream"] != json!(true) {
        let mut message = json!({ "role": "assistant", "content": text });
        if let Some(thought) = thought {
            message["reasoning_content"] = json!(thought);
        }
        if let Some(call) = call {
            message["tool_calls"] = call;
        }
        let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
        let body = json!({
            "id": format!("chatcmpl-{turn}"), "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage,
        });
        return Reply::json(200, body);
    }
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        json!({ "id": format!("chatcmpl-{turn}"), "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice] })
    };
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    deltas.extend(thought.map(|thought| json!({ "reasoning_content": thought })));
    deltas.extend(pieces.into_iter().map(|piece| json!({ "content": piece })));
    deltas.extend(call.map(|call| json!({ "tool_calls": call })));
    let mut last = chunk(json!({}), json!(finish));
    last["usage"] = usage;
    let chunks = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).chain([last]);
    let events = chunks.map(|event| (None, event.to_string()));
    Reply::Stream(events.chain([(None, "[DONE]".to_owned())]).collect())
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
