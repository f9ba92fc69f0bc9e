//! Gemini `generateContent` and its stream.

use serde_json::json;

use super::{CACHED_TOKENS, Call, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::Answer;

pub(super) fn reply(path: &str, text: &str, call: Option<Call>) -> Reply {
    let part = match call {
        None => json!({ "text": text }),
        Some(call) => json!({ "functionCall": { "name": call.name, "args": call.arguments } }),
    };
    let body = json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] }, "finishReason": "STOP" }],
        "usageMetadata": {
            "promptTokenCount": INPUT_TOKENS, "cachedContentTokenCount": CACHED_TOKENS,
            "candidatesTokenCount": OUTPUT_TOKENS, "thoughtsTokenCount": REASONING_TOKENS,
            "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS + REASONING_TOKENS,
        },
        "modelVersion": "scripted",
    });
    if path.contains(":streamGenerateContent") {
        Reply::Stream(vec![(None, body.to_string())])
    } else {
        Reply::json(200, body)
    }
}

pub(super) fn refusal(answer: &Answer) -> Reply {
    match answer {
        Answer::UsageLimit { retry_after_s, .. } => Reply::json(
            429,
            json!({ "error": {
                "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota.",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                        "violations": [{
                            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                            "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
                        }],
                    },
                    { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{retry_after_s}s") },
                ],
            } }),
        ),
        Answer::Unauthorized => Reply::json(
            400,
            json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key." } }),
        ),
        _ => Reply::json(
            500,
            json!({ "error": { "code": 500, "status": "INTERNAL", "message": "An internal error has occurred." } }),
        ),
    }
}
