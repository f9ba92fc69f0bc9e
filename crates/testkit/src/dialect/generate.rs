//! Gemini `generateContent` and its stream.

use serde_json::{Value, json};

use super::{CACHED_TOKENS, Completion, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Refusal};

pub(super) fn reply(path: &str, completion: Completion) -> Reply {
    let Completion { thought, search: _, pieces, call } = completion;
    let mut parts: Vec<Value> =
        thought.into_iter().map(|thought| json!({ "text": thought, "thought": true })).collect();
    parts.extend(pieces.into_iter().map(|piece| json!({ "text": piece })));
    parts.extend(call.map(|call| json!({ "functionCall": { "name": call.name, "args": call.arguments } })));
    let usage = json!({
        "promptTokenCount": INPUT_TOKENS, "cachedContentTokenCount": CACHED_TOKENS,
        "candidatesTokenCount": OUTPUT_TOKENS - REASONING_TOKENS, "thoughtsTokenCount": REASONING_TOKENS,
        "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
    });
    let chunk = |parts: &[Value]| {
        json!({
            "candidates": [{ "index": 0, "content": { "role": "model", "parts": parts } }], "modelVersion": "scripted",
        })
    };
    let finished = |mut chunk: Value| {
        chunk["candidates"][0]["finishReason"] = json!("STOP");
        chunk["usageMetadata"] = usage.clone();
        chunk
    };
    if !path.contains(":streamGenerateContent") {
        return Reply::json(200, finished(chunk(&parts)));
    }
    let mut chunks: Vec<Value> = parts.chunks(1).map(chunk).collect();
    let last = chunks.pop().unwrap_or_else(|| chunk(&[]));
    let events = chunks.into_iter().chain([finished(last)]);
    Reply::Stream(events.map(|event| (None, event.to_string())).collect())
}

pub(super) fn held_back(path: &str) -> Reply {
    let body = json!({
        "candidates": [{ "index": 0, "finishReason": "SAFETY" }],
        "usageMetadata": { "promptTokenCount": INPUT_TOKENS, "totalTokenCount": INPUT_TOKENS },
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
        Answer::Expired => Reply::json(
            400,
            json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": "API key expired. Please renew the API key." } }),
        ),
        Answer::Refused(Refusal::CreditTooLow) => Reply::json(
            400,
            json!({ "error": { "code": 400, "status": "FAILED_PRECONDITION", "message": "The free tier is not available in your country. Please enable billing on your project." } }),
        ),
        Answer::Refused(Refusal::SpendLimit) => Reply::json(
            429,
            json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Your project has exceeded its monthly spending cap. It is renewed on 2026-12-01." } }),
        ),
        Answer::Refused(Refusal::Suspended) => Reply::json(
            403,
            json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "Permission denied: Consumer 'api_key:scripted' has been suspended." } }),
        ),
        Answer::Refused(_) => Reply::json(
            403,
            json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "The caller does not have permission" } }),
        ),
        Answer::Overloaded => Reply::json(
            503,
            json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded. Please try again later." } }),
        ),
        _ => Reply::json(
            500,
            json!({ "error": { "code": 500, "status": "INTERNAL", "message": "An internal error has occurred." } }),
        ),
    }
}
