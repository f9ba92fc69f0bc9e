//! OpenAI Responses, streamed.

use serde_json::json;

use super::{CACHED_TOKENS, Call, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::Answer;

pub(super) fn reply(text: &str, call: Option<Call>) -> Reply {
    let item = match call {
        None => json!({
            "type": "message", "role": "assistant", "id": "msg_1",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
        Some(call) if call.is_text => json!({
            "type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": call.name, "input": call.arguments,
        }),
        Some(call) => json!({
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": call.name,
            "arguments": call.arguments.to_string(),
        }),
    };
    let usage = json!({
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": { "cached_tokens": CACHED_TOKENS },
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": { "reasoning_tokens": REASONING_TOKENS },
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    });
    Reply::typed_stream(vec![
        json!({ "type": "response.created", "response": { "id": "resp_1" } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": "resp_1", "usage": usage } }),
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
        _ => Reply::json(
            500,
            json!({ "error": { "type": "server_error", "message": "The server had an error" } }),
        ),
    }
}
