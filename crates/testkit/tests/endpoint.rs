//! The endpoint answers as its script says, in each dialect.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use backstay_testkit::{Answer, Counted, Dialect, Endpoint, Script};

/// The endpoint is on this machine: what has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(endpoint: &Endpoint, path: &str, body: &str) -> TcpStream {
    let address = endpoint.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer k\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

fn post(endpoint: &Endpoint, path: &str, body: &str) -> String {
    let mut reply = String::new();
    connect(endpoint, path, body).read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn each_dialect_calls_the_agents_own_shell() {
    for (path, body, dialect, expected) in [
        (
            "/v1/responses",
            r#"{"tools":[{"name":"shell_command"}]}"#,
            Dialect::Responses,
            "\\\"command\\\":\\\"ls\\\"",
        ),
        (
            "/v1/responses",
            r#"{"input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"functions","tools":[{"name":"exec"}]}]}]}"#,
            Dialect::Responses,
            r#"text(await tools.exec_command({\"cmd\":\"ls\",\"yield_time_ms\":30000}));"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"stream":true,"tools":[{"function":{"name":"bash"}}]}"#,
            Dialect::Chat,
            r#"\"command\":\"ls\""#,
        ),
        (
            "/v1/messages?beta=true",
            r#"{"stream":true,"tools":[{"name":"Bash"}]}"#,
            Dialect::Messages,
            r#"\"command\":\"ls\""#,
        ),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            r#"{"tools":[{"functionDeclarations":[{"name":"run_shell_command"}]}]}"#,
            Dialect::Generate,
            r#"{"command":"ls"}"#,
        ),
    ] {
        let endpoint = Endpoint::start(Script::of([Answer::shell("ls")])).unwrap();
        let reply = post(&endpoint, path, body);
        assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains(expected), "{path}\n{reply}");
        assert!(reply.contains("text/event-stream"), "{path}");
        let received = endpoint.received();
        assert_eq!((received.len(), received[0].dialect), (1, Some(dialect)));
        assert_eq!((received[0].body.as_str(), received[0].credentials.as_deref()), (body, Some("Bearer k")));
    }
}

#[test]
fn each_dialect_streams_a_thought_and_a_message_in_pieces() {
    for (path, body, thought) in [
        ("/v1/responses", r#"{"tools":[{"name":"shell_command"}]}"#, r#""summary":[{"text":"Hm.""#),
        (
            "/v1/chat/completions",
            r#"{"stream":true,"tools":[{"function":{"name":"bash"}}]}"#,
            r#""reasoning_content":"Hm.""#,
        ),
        ("/v1/messages", r#"{"stream":true,"tools":[{"name":"Bash"}]}"#, r#""thinking":"Hm.""#),
        (
            "/m:streamGenerateContent",
            r#"{"tools":[{"functionDeclarations":[{"name":"x"}]}]}"#,
            r#""text":"Hm.","thought":true"#,
        ),
    ] {
        let pieces = Answer::Pieces(["one ", "two"].map(str::to_owned).into());
        let endpoint = Endpoint::start(Script::of([pieces.after("Hm.")])).unwrap();
        let reply = post(&endpoint, path, body);
        let place = |text: &str| reply.find(text).unwrap_or_else(|| panic!("{text} in {reply}"));
        assert!(place(thought) < place("\"one \"") && place("\"one \"") < place("\"two\""), "{reply}");
        assert_eq!(Counted::of(&endpoint.received()).requests, 1);
    }
}

#[test]
fn a_request_without_tools_uses_up_no_answer() {
    let endpoint = Endpoint::start(Script::of([Answer::text("first")])).unwrap();
    let aside = post(&endpoint, "/v1/chat/completions", "{}");
    assert!(aside.contains("A small task"), "{aside}");
    let asked = r#"{"tools":[{"function":{"name":"bash"}}]}"#;
    assert!(post(&endpoint, "/v1/chat/completions", asked).contains("first"));
    assert!(
        post(&endpoint, "/v1/chat/completions", asked).contains("done"),
        "what comes after the last answer"
    );
    assert!(post(&endpoint, "/elsewhere", "{}").starts_with("HTTP/1.1 404"));
    assert!(endpoint.wait_for_answers(2, Duration::ZERO) && !endpoint.wait_for_answers(3, Duration::ZERO));
}

#[test]
fn refusals_say_when_they_end() {
    let limit = Answer::UsageLimit { resets_at_s: 1_795_300_000, retry_after_s: 7_200 };
    for (path, body, expected) in [
        ("/v1/responses", r#"{"tools":[{"name":"shell_command"}]}"#, "\"resets_at\":1795300000"),
        ("/v1/chat/completions", r#"{"tools":[{"function":{"name":"bash"}}]}"#, "retry-after: 7200"),
        ("/v1/messages", r#"{"tools":[{"name":"Bash"}]}"#, "anthropic-ratelimit-unified-reset: 1795300000"),
        (
            "/m:generateContent",
            r#"{"tools":[{"functionDeclarations":[{"name":"x"}]}]}"#,
            "\"retryDelay\":\"7200s\"",
        ),
    ] {
        let endpoint = Endpoint::start(Script::of([limit.clone()])).unwrap();
        let reply = post(&endpoint, path, body);
        assert!(reply.starts_with("HTTP/1.1 429") && reply.contains(expected), "{reply}");
    }
}

#[test]
fn a_slow_answer_takes_a_pause_before_each_event() {
    let answer = Box::new(Answer::Pieces(vec!["1 ".to_owned(), "2 ".to_owned()]));
    let endpoint = Endpoint::start(Script::of([Answer::Slow { answer, pause_ms: 1 }])).unwrap();
    let reply = post(&endpoint, "/v1/messages", r#"{"stream":true,"tools":[{"name":"Bash"}]}"#);
    let places = [r#""text":"1 ""#, r#""text":"2 ""#, "message_stop"].map(|piece| reply.find(piece));
    assert!(places.is_sorted() && places[0].is_some(), "{reply}");
}

#[test]
fn an_endpoint_goes_on_where_another_one_listened_and_plays_another_script() {
    let body = r#"{"tools":[{"name":"Bash"}]}"#;
    let first = Endpoint::start(Script::of([Answer::Hang])).unwrap();
    let address = first.address();
    drop(first);
    let second = Endpoint::start_at(address, Script::of([Answer::Expired])).unwrap();
    assert!(post(&second, "/v1/messages", body).contains("OAuth token has expired"));
    second.play(Script::of([Answer::text("back")]));
    assert!(post(&second, "/v1/messages", body).contains("back"));
}

#[test]
fn an_answer_throughout_is_given_until_a_request_comes_in_another_dialect() {
    let refused = Answer::Throughout(Dialect::Messages, Box::new(Answer::ServerError));
    let endpoint = Endpoint::start(Script::of([refused, Answer::text("first")])).unwrap();
    let messages = r#"{"tools":[{"name":"Bash"}]}"#;
    for _ in 0..3 {
        assert!(post(&endpoint, "/v1/messages", messages).starts_with("HTTP/1.1 500"));
    }
    let chat = r#"{"tools":[{"function":{"name":"bash"}}]}"#;
    assert!(post(&endpoint, "/v1/chat/completions", chat).contains("first"));
    assert!(post(&endpoint, "/v1/messages", messages).contains("done"));
}

#[test]
fn a_hanging_answer_ends_with_the_endpoint() {
    let endpoint = Endpoint::start(Script::of([Answer::Hang])).unwrap();
    let mut stream = connect(&endpoint, "/v1/messages", r#"{"tools":[{"name":"Bash"}]}"#);
    assert!(endpoint.wait_for_answers(1, PATIENCE));
    drop(endpoint);
    let mut reply = Vec::new();
    // Closed with or without a complaint, but without a reply.
    stream.read_to_end(&mut reply).ok();
    assert_eq!(reply, b"");
}

#[test]
fn a_tool_that_the_agent_does_not_offer_is_said() {
    let endpoint = Endpoint::start(Script::of([Answer::shell("ls")])).unwrap();
    let reply = post(&endpoint, "/v1/messages", r#"{"tools":[{"name":"Read"}]}"#);
    assert!(reply.starts_with("HTTP/1.1 400") && reply.contains("among Read"), "{reply}");
}
