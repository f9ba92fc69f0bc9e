//! What real CLIs said, and what the readers make of it. `cargo xtask record-agents` records the inputs; in `written` stands
//! what could not be recorded (`golden/README.md` says why). With `BACKSTAY_RECORD` the expected events are written anew;
//! read the difference before it is committed.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fmt::Write as _;

use backstay_agent::{
    AgentEvent, LINE_BYTES_MAX, Observed, Obstacle, Part, Patterns, Presets, Progress, Reader, Reset,
    StreamFormat, Symptom,
};
use camino::{Utf8Path, Utf8PathBuf};

struct Golden {
    path: Utf8PathBuf,
    bytes: Vec<u8>,
    stderr: String,
    format: StreamFormat,
    signs: Patterns,
}

impl Golden {
    fn reader(&self, from: u64) -> Reader {
        Reader::new(self.format, self.signs.clone(), from).in_folder("/work/project")
    }

    fn read(&self, from: u64, chunks: &[&[u8]]) -> Vec<Observed> {
        let mut reader = self.reader(from);
        let mut observed: Vec<Observed> = chunks.iter().flat_map(|chunk| reader.feed(chunk)).collect();
        observed.extend(reader.end());
        observed
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        self.read(0, &[&self.bytes]).iter().for_each(|observed| progress.apply(&observed.event));
        progress
    }
}

fn folder(agent: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(agent)
}

fn golden(agent: &str, case: &str) -> Golden {
    let path = folder(agent).join(case).with_extension("jsonl");
    let bytes = std::fs::read(&path).unwrap();
    let stderr = path.with_extension("stderr.txt");
    let stderr = if stderr.exists() { std::fs::read_to_string(stderr).unwrap() } else { String::new() };
    let presets = Presets::built_in().unwrap();
    let preset = presets.get(agent).unwrap();
    Golden { path, bytes, stderr, format: preset.stream(), signs: preset.signs().clone() }
}

const AGENTS: [&str; 4] = ["codex", "claude", "gemini", "opencode"];

/// The names of the streams in a folder, in order.
fn cases(folder: &Utf8Path) -> Vec<String> {
    let entries = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap());
    let names = entries.filter_map(|entry| Some(entry.file_name().strip_suffix(".jsonl")?.to_owned()));
    let mut cases: Vec<String> = names.filter(|name| !name.ends_with(".events")).collect();
    cases.sort();
    cases
}

fn recorded() -> Vec<Golden> {
    let of = |agent| cases(&folder(agent)).into_iter().map(move |case| golden(agent, &case));
    AGENTS.into_iter().flat_map(of).collect()
}

fn all() -> Vec<Golden> {
    let written = |agent| {
        let cases = cases(&folder(agent).join("written"));
        cases.into_iter().map(move |case| golden(agent, &format!("written/{case}")))
    };
    recorded().into_iter().chain(AGENTS.into_iter().flat_map(written)).collect()
}

/// The fields of `manifest.json` that are looked at.
#[derive(serde::Deserialize)]
struct Manifest {
    version: String,
    recordings: std::collections::BTreeMap<String, Option<i32>>,
}

#[test]
fn recordings_are_of_the_version_that_the_preset_was_tried_with() {
    let presets = Presets::built_in().unwrap();
    for agent in AGENTS {
        let text = std::fs::read_to_string(folder(agent).join("manifest.json")).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(Some(manifest.version.as_str()), presets.get(agent).unwrap().tried(), "{agent}");
        assert_eq!(manifest.recordings.into_keys().collect::<Vec<_>>(), cases(&folder(agent)), "{agent}");
    }
}

#[test]
fn every_stream_gives_the_events_that_are_written_down() {
    for golden in all() {
        let mut reader = golden.reader(0);
        let mut observed = reader.feed(&golden.bytes);
        observed.extend(reader.end());
        let mut events = String::new();
        for one in &observed {
            writeln!(events, "{}", serde_json::to_string(one).unwrap()).unwrap();
        }
        let counts = reader.counts();
        let (lines, malformed, unknown) = (counts.lines, counts.malformed, counts.unknown);
        writeln!(events, "{lines} lines, {malformed} malformed, {unknown} unknown").unwrap();
        for line in golden.stderr.lines() {
            let event = golden.signs.event_of_line(line);
            let event =
                event.or_else(|| golden.signs.is_sub_agent(line).then_some(AgentEvent::UntoldSubAgent));
            if let Some(event) = event {
                writeln!(events, "stderr: {}", serde_json::to_string(&event).unwrap()).unwrap();
            } else if let Some(symptom) = golden.signs.symptom(line) {
                writeln!(events, "stderr: {}", serde_json::to_string(&symptom).unwrap()).unwrap();
            }
        }
        let expected = golden.path.with_extension("events.jsonl");
        if std::env::var_os("BACKSTAY_RECORD").is_some() {
            std::fs::write(&expected, &events).unwrap();
        }
        assert_eq!(events, std::fs::read_to_string(&expected).unwrap(), "{}", golden.path);
        let stored =
            events.lines().take(observed.len()).map(|line| serde_json::from_str::<Observed>(line).unwrap());
        assert_eq!(stored.collect::<Vec<_>>(), observed, "events can be stored");
    }
}

#[test]
fn what_was_recorded_has_nothing_that_the_readers_do_not_understand() {
    for golden in recorded() {
        let mut reader = golden.reader(0);
        reader.feed(&golden.bytes);
        let counts = reader.counts();
        assert_eq!((counts.malformed, counts.unknown, counts.overlong), (0, 0, 0), "{}", golden.path);
    }
}

#[test]
fn s7_a_reader_can_begin_at_any_spool_end_and_gives_exactly_the_rest() {
    for golden in all() {
        let whole = golden.read(0, &[&golden.bytes]);
        for (index, observed) in whole.iter().enumerate() {
            let is_last_of_its_line =
                whole.get(index + 1).is_none_or(|next| next.spool_end != observed.spool_end);
            if is_last_of_its_line {
                let rest = &golden.bytes[usize::try_from(observed.spool_end).unwrap()..];
                assert_eq!(golden.read(observed.spool_end, &[rest]), whole[index + 1..], "{}", golden.path);
            }
        }
    }
}

/// The bytes come in two pieces, cut at every place there is, of long lines at some. Lines do not know of each other, so
/// each is cut alone.
#[test]
fn chunks_make_no_difference() {
    let mut seen = std::collections::HashSet::new();
    for golden in all() {
        let bytes: Vec<&[u8]> = golden.bytes.chunks(1).collect();
        assert_eq!(golden.read(0, &bytes), golden.read(0, &[&golden.bytes]), "{} byte by byte", golden.path);
        let lines = golden.bytes.split_inclusive(|&byte| byte == b'\n');
        // The first lines of a program are alike in most of its recordings.
        for line in lines.filter(|line| seen.insert(line.to_vec())) {
            let whole = golden.read(0, &[line]);
            let step = if line.len() > 1_000 { 23 } else { 1 };
            for cut in (1..line.len()).step_by(step) {
                let (before, behind) = line.split_at(cut);
                assert_eq!(golden.read(0, &[before, behind]), whole, "{} at {cut}", golden.path);
            }
        }
    }
}

#[test]
fn s10_a_line_beyond_the_limit_is_skipped_and_bytes_that_are_not_utf8_are_read_lossily() {
    let said = |text: &[u8]| {
        let before = br#"{"type":"item.completed","item":{"id":"1","type":"agent_message","text":""#;
        [before, text, b"\"}}\n"].concat()
    };
    let stream = [said(&vec![b'x'; LINE_BYTES_MAX]), said(b"caf\xff")].concat();
    let mut reader = Reader::new(StreamFormat::Codex, Patterns::default(), 7);
    let observed: Vec<Observed> = stream.chunks(60_000).flat_map(|chunk| reader.feed(chunk)).collect();
    let event = AgentEvent::Message { text: "caf\u{fffd}".to_owned(), part: Part::Whole };
    assert_eq!(observed, [Observed { spool_end: 7 + stream.len() as u64, event }]);
    assert_eq!((reader.counts().overlong, reader.counts().lines), (1, 1));
}

#[test]
fn signs_of_life_read_as_people_would_say_it() {
    for (agent, case, expected) in [
        ("codex", "killed", "$ sleep 1"),
        ("claude", "killed", "$ sleep 1"),
        ("gemini", "killed", "$ sleep 1"),
        ("opencode", "killed", "$ sleep 1"),
        ("claude", "task", "The greeting is written."),
    ] {
        assert_eq!(golden(agent, case).progress().sign_of_life(), Some(expected), "{agent} {case}");
    }
    let lines: Vec<String> = golden("claude", "written/by_hand")
        .read(0, &[&golden("claude", "written/by_hand").bytes])
        .into_iter()
        .filter_map(|observed| match observed.event {
            AgentEvent::ToolStarted { what, .. } => Some(what),
            _ => None,
        })
        .collect();
    assert_eq!(lines, ["grep token", "edit src/auth/token.rs"]);
}

#[test]
fn what_codex_counts_over_a_session_is_not_counted_twice() {
    let first = golden("codex", "task").progress();
    let usage = first.usage().of_process(None).unwrap();
    assert_eq!((usage.input, usage.output, usage.reasoning), (Some(3_000), Some(150), Some(60)));
    let resumed = golden("codex", "resumed").progress();
    let all = resumed.usage().of_session().unwrap();
    assert_eq!(all.input, Some(3_000), "two calls before the kill, one after");
    assert_eq!(resumed.usage().of_process(Some(all)).unwrap().input, Some(0));
}

#[test]
fn a_killed_agent_leaves_what_it_had_used_where_it_says_it_by_call() {
    for (agent, expected) in
        [("claude", Some(2_000)), ("opencode", Some(2_000)), ("codex", None), ("gemini", None)]
    {
        let input = golden(agent, "killed").progress().usage().of_process(None).and_then(|usage| usage.input);
        assert_eq!(input, expected, "{agent}");
    }
}

#[test]
fn limits_say_when_they_end() {
    let zone = jiff::tz::TimeZone::UTC;
    let now = "2026-11-21T08:30:00Z".parse().unwrap();
    let ends = |agent: &str| {
        let progress = golden(agent, "limit").progress();
        let Some(Obstacle::Limit { reset, .. }) = progress.obstacle() else { panic!("{agent}: no limit") };
        reset.as_ref().and_then(|reset| reset.resolve(now, &zone)).map(|at| at.to_string())
    };
    assert_eq!(ends("claude").as_deref(), Some("2027-11-20T22:26:40Z"), "to the second");
    assert_eq!(
        ends("codex").as_deref(),
        Some("2027-11-20T22:26:00Z"),
        "to the minute, by the clock of the machine"
    );
    assert_eq!(ends("gemini"), None, "it does not say");
}

#[test]
fn what_a_model_says_is_no_sign_of_trouble() {
    let said = r#"{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"You’ve hit your usage limit"}}"#;
    let presets = Presets::built_in().unwrap();
    let mut reader = Reader::new(StreamFormat::Codex, presets.get("codex").unwrap().signs().clone(), 0);
    let events = reader.feed(format!("{said}\n").as_bytes());
    assert!(matches!(events[0].event, AgentEvent::Message { .. }) && events.len() == 1);
}

#[test]
fn a_key_that_stands_twice_and_fields_that_are_not_known_are_no_reason_to_refuse_a_line() {
    let line = r#"{"type":"item.completed","new":[1],"item":{"id":"item_0","type":"web_search","id":"ws_1","query":"rust","action":{"type":"search"}}}"#;
    let mut reader = Reader::new(StreamFormat::Codex, Patterns::default(), 0);
    let events = reader.feed(format!("{line}\n").as_bytes());
    assert_eq!((reader.counts().malformed, reader.counts().unknown), (0, 0));
    let AgentEvent::ToolFinished { call, what, ok, .. } = &events[0].event else { panic!("{events:?}") };
    assert_eq!((call.as_str(), what.as_deref(), *ok), ("ws_1", Some("search rust"), Some(true)));
    let line = r#"{"type":"item.started","item":{"id":"c1","type":"collab_tool_call","tool":"spawn_agent","status":"in_progress"}}"#;
    let events = reader.feed(format!("{line}\n").as_bytes());
    assert!(
        matches!(&events[0].event, AgentEvent::ToolStarted { name, .. } if name == "sub-agent"),
        "{events:?}"
    );
}

#[test]
fn a_sub_agent_whose_usage_is_not_told_is_known() {
    let of = |format, line: &str| {
        let mut progress = Progress::default();
        let events = Reader::new(format, Patterns::default(), 0).feed(format!("{line}\n").as_bytes());
        events.iter().for_each(|each| progress.apply(&each.event));
        (progress.tools(), progress.has_untold_sub_agents())
    };
    let codex = |kind: &str| {
        format!(
            r#"{{"type":"item.completed","item":{{"id":"c1","type":"{kind}","tool":"spawn_agent","status":"completed"}}}}"#
        )
    };
    let opencode = |tool: &str| {
        format!(
            r#"{{"type":"tool_use","sessionID":"s","part":{{"tool":"{tool}","callID":"c","state":{{"status":"completed"}}}}}}"#
        )
    };
    assert_eq!(of(StreamFormat::Codex, &codex("collab_tool_call")), (1, true));
    assert_eq!(of(StreamFormat::Codex, &codex("mcp_tool_call")), (1, false));
    assert_eq!(of(StreamFormat::Opencode, &opencode("task")), (1, true));
    assert_eq!(of(StreamFormat::Opencode, &opencode("grep")), (1, false));
}

#[test]
fn the_turns_of_one_claude_process_add_up_with_its_sub_agents() {
    let result = |tokens: u64, cost: f64| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"done","num_turns":1,"usage":{{"input_tokens":1,"output_tokens":1}},"total_cost_usd":9.0,"model_usage_since_last_result":{{"a":{{"inputTokens":{tokens},"outputTokens":10,"cacheReadInputTokens":5,"cacheCreationInputTokens":1,"costUSD":{cost}}},"b":{{"inputTokens":100,"outputTokens":1,"cacheReadInputTokens":0,"cacheCreationInputTokens":0,"costUSD":0.25}}}}}}"#
        )
    };
    let mut reader = Reader::new(StreamFormat::Claude, Patterns::default(), 0);
    let mut progress = Progress::default();
    for line in [result(1_000, 0.5), result(2_000, 0.125)] {
        reader.feed(format!("{line}\n").as_bytes()).iter().for_each(|each| progress.apply(&each.event));
    }
    let used = progress.usage().of_process(None).unwrap();
    assert_eq!((used.input, used.output, used.cache_read), (Some(3_212), Some(22), Some(10)));
    assert_eq!((used.cache_write, used.cost_usd), (Some(2), Some(1.125)));
}

/// What OpenAI answers who asks too often.
const OPENAI_RATE_LIMIT: &str = "Rate limit reached for gpt-5 in organization org-1 on requests per min. Limit: 3 / min. Please try again in 20s. Contact us through our help center if you continue to have issues. Please add a payment method to your account to increase your rate limit. Visit https://platform.openai.com/account/billing to add a payment method.";
/// What it answers whose credit is used up.
const OPENAI_NO_CREDIT: &str = "You exceeded your current quota, please check your plan and billing details.";

#[test]
fn a_limit_with_a_link_to_a_bill_is_a_limit_that_ends_when_it_says() {
    let presets = Presets::built_in().unwrap();
    let signs = presets.get("opencode").unwrap().signs();
    let now: backstay_model::Timestamp = "2026-11-21T08:30:00Z".parse().unwrap();
    let wait_s = |reset: Option<&Reset>| {
        let end = reset.and_then(|reset| reset.resolve(now, &jiff::tz::TimeZone::UTC));
        end.map(|end| end.since(now).as_secs())
    };
    for (status, text, expected) in [
        (429, OPENAI_RATE_LIMIT, Some(Some(20))),
        (429, "No access to this model, retry in 2s", Some(Some(2))),
        (429, "Slow down", Some(None)),
        (429, OPENAI_NO_CREDIT, None),
        (429, "insufficient_quota", None),
        (402, OPENAI_RATE_LIMIT, None),
    ] {
        let line = format!(
            r#"{{"type":"error","error":{{"name":"APIError","data":{{"message":"{text}","statusCode":{status}}}}}}}"#
        );
        let mut reader = Reader::new(StreamFormat::Opencode, signs.clone(), 0);
        let found = match &reader.feed(format!("{line}\n").as_bytes())[0].event {
            AgentEvent::Limit { reset, .. } => Some(wait_s(reset.as_ref())),
            AgentEvent::Refused { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{line}");
    }
    let log = |text: &str| format!("level=ERROR message=\"stream error\" error.error=\"{text}\"");
    for (text, expected) in [(OPENAI_RATE_LIMIT, Symptom::Limit), (OPENAI_NO_CREDIT, Symptom::Refused)] {
        assert_eq!(signs.symptom(&log(text)), Some(expected), "{text}");
        assert_eq!(presets.get("codex").unwrap().signs().symptom(text), Some(expected), "{text}");
    }
}

#[test]
fn what_tools_and_commands_say_of_their_own_is_no_sign_of_the_provider() {
    let presets = Presets::built_in().unwrap();
    for agent in AGENTS {
        for line in [
            "bash: /etc/shadow: Permission denied",
            "git@example.org: Permission denied (publickey).",
            "fork: retry: Resource temporarily unavailable",
            "tput: terminal capability unavailable",
            "[1]+  Terminated              sleep 100",
            "make: *** [Makefile:3: all] Terminated",
            "see https://example.org/settings/billing",
        ] {
            assert_eq!(presets.get(agent).unwrap().signs().symptom(line), None, "{agent}: {line}");
        }
    }
    for (agent, line, expected) in [
        ("gemini", "Permission denied on resource project scripted.", Symptom::Refused),
        ("gemini", "Permission 'generate' denied on resource '//example.org/projects/1'", Symptom::Refused),
        ("gemini", "got status: UNAVAILABLE. {}", Symptom::Network),
        ("gemini", r#"{"code":503,"status":"UNAVAILABLE"}"#, Symptom::Network),
        ("gemini", "The service is currently unavailable.", Symptom::Network),
        ("gemini", "exception TypeError: terminated", Symptom::Network),
        ("claude", "API Error: terminated", Symptom::Network),
        ("opencode", "error.error=\"TypeError: terminated\"", Symptom::Network),
    ] {
        assert_eq!(presets.get(agent).unwrap().signs().symptom(line), Some(expected), "{agent}: {line}");
    }
}

/// What all turns cost together stands in each of its results: nothing says what one turn cost.
#[test]
fn results_of_a_claude_that_tells_no_usage_of_models_add_up_their_tokens_and_tell_no_cost() {
    let result = |cost: f64| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"done","num_turns":1,"usage":{{"input_tokens":100,"output_tokens":10}},"total_cost_usd":{cost}}}"#
        )
    };
    let mut reader = Reader::new(StreamFormat::Claude, Patterns::default(), 0);
    let mut progress = Progress::default();
    for line in [result(0.5), result(0.75)] {
        reader.feed(format!("{line}\n").as_bytes()).iter().for_each(|each| progress.apply(&each.event));
    }
    let used = progress.usage().of_process(None).unwrap();
    assert_eq!((used.input, used.output, used.cost_usd), (Some(200), Some(20), None));
}

#[test]
fn what_agents_say_on_stderr_is_known() {
    let presets = Presets::built_in().unwrap();
    for (agent, text, expected) in [
        (
            "claude",
            "Error: Session ID df07aeec-cc1d-4470-adab-b30a6affdc89 is already in use.",
            Symptom::SessionInUse,
        ),
        ("claude", "No conversation found with session ID: f1150ff8", Symptom::SessionUnknown),
        (
            "codex",
            "Error: thread/resume: thread/resume failed: no rollout found for thread id 01a1 (code -32600)",
            Symptom::SessionUnknown,
        ),
        (
            "codex",
            "Error: thread/resume: thread/resume failed: thread 01a1 already has an active writer (code -32600)",
            Symptom::SessionInUse,
        ),
        ("codex", "Not logged in", Symptom::Login),
        ("gemini", "Invalid auth method selected.", Symptom::Login),
        (
            "gemini",
            "Error resuming session: Invalid session identifier \"f1150ff8\".",
            Symptom::SessionUnknown,
        ),
        (
            "gemini",
            "Error starting session: Session ID \"ddbf\" already exists. Use --resume to resume it, or provide a different ID.",
            Symptom::SessionInUse,
        ),
        (
            "gemini",
            "Attempt 1 failed. Retrying with backoff... Error: exception TypeError: fetch failed sending request",
            Symptom::Network,
        ),
        ("opencode", "Error: Session not found", Symptom::SessionUnknown),
        (
            "opencode",
            "error.error=\"AI_APICallError: Usage limit reached, please try again later\"",
            Symptom::Limit,
        ),
    ] {
        assert_eq!(presets.get(agent).unwrap().signs().symptom(text), Some(expected), "{agent}: {text}");
    }
}
