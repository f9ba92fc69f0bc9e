//! Lines of JSON that are read by rules out of a configuration.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use backstay_agent::{
    AgentEvent, LINE_BYTES_MAX, Observed, Obstacle, Part, Preset, PresetError, Presets, Progress, Reset,
};
use backstay_model::Coded as _;
use camino::Utf8Path;

/// An agent with these tables `lines`, which is told nothing else about them.
fn agent(lines: &str) -> Result<Preset, PresetError> {
    let text = format!(
        "[agents.mine]\nprogram = \"mine\"\nstart = []\nprompt.stdin = []\naccess.write.args = []\nstream = \"json_lines\"\n{lines}"
    );
    Ok(Presets::with_configuration("config.toml", &text)?.get("mine").unwrap().clone())
}

fn rule(rule: &str) -> Preset {
    agent(&format!("lines = [{rule}]\nsigns.login = [\"bad key\"]\nsigns.limit = [\"slow down\"]")).unwrap()
}

fn observed(preset: &Preset, bytes: &[u8]) -> Vec<Observed> {
    let mut reader = preset.reader(0).in_folder("/work/project");
    let mut observed = reader.feed(bytes);
    observed.extend(reader.end());
    observed
}

fn events(preset: &Preset, lines: &str) -> Vec<AgentEvent> {
    observed(preset, lines.as_bytes()).into_iter().map(|observed| observed.event).collect()
}

fn progress(preset: &Preset, lines: &str) -> Progress {
    let mut progress = Progress::default();
    events(preset, lines).iter().for_each(|event| progress.apply(event));
    progress
}

#[test]
fn codex_read_by_rules_says_what_its_own_reader_says() {
    let own = Presets::built_in().unwrap();
    let by_rules = Presets::with_configuration("codex.toml", include_str!("rules/codex.toml")).unwrap();
    let (own, by_rules) = (own.get("codex").unwrap(), by_rules.get("codex").unwrap());
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/codex");
    let mut streams = 0;
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.extension() != Some("jsonl") || path.as_str().ends_with(".events.jsonl") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(observed(by_rules, &bytes), observed(own, &bytes), "{path}");
        streams += 1;
    }
    assert!(streams >= 7, "{folder} has recorded streams");
}

/// What Qwen Code 0.15.10 printed, by the rules on the page about agents.
#[test]
fn qwen_is_read_by_the_rules_that_are_documented() {
    let page = include_str!("../../../docs/agents.md");
    let example = page.split("```toml\n").find(|text| text.starts_with("[agents.qwen]")).unwrap();
    let presets = Presets::with_configuration("agents.md", example.split("```").next().unwrap()).unwrap();
    let qwen = presets.get("qwen").unwrap();
    let task = progress(qwen, include_str!("rules/qwen/task.jsonl"));
    assert_eq!(task.session(), Some("1b8b6f0e-5d0c-4a57-9d5e-3c1f0b7a2d11"));
    assert_eq!((task.model(), task.last_message()), (Some("small"), Some("done")));
    assert_eq!((task.ended(), task.tools(), task.running_tools().count()), (Some(true), 2, 0));
    let used = task.usage().of_process(None).unwrap();
    assert_eq!((used.input, used.output, used.cache_read), (Some(3_000), Some(150), Some(1_200)));
    let started =
        events(qwen, include_str!("rules/qwen/task.jsonl")).into_iter().find_map(|event| match event {
            AgentEvent::ToolStarted { what, .. } => Some(what),
            _ => None,
        });
    assert_eq!(started.as_deref(), Some("$ echo hello > greeting.txt"));

    let resumed = progress(qwen, include_str!("rules/qwen/resumed.jsonl"));
    let used = resumed.usage().of_process(None).unwrap();
    assert_eq!(
        (resumed.last_message(), used.input),
        (Some("again"), Some(1_000)),
        "its sums are the session's"
    );

    let refused = progress(qwen, include_str!("rules/qwen/refused_login.jsonl"));
    assert_eq!((refused.ended(), refused.life(), refused.last_message()), (Some(false), 0, None));
    let message = "[API Error: 401 Incorrect API key provided]".to_owned();
    assert_eq!(refused.obstacle(), Some(&Obstacle::Login { message }));
}

#[test]
fn each_kind_of_rule_says_what_it_is_for() {
    let tool = "call = \"id\", name = \"{tool}\", what = \"edit {path}\"";
    let done = |ok: bool, last: Option<&str>, failure: Option<&str>| AgentEvent::TurnEnded {
        ok,
        last_message: last.map(str::to_owned),
        failure: failure.map(str::to_owned),
    };
    let message = |text: &str, part| AgentEvent::Message { text: text.to_owned(), part };
    let session = |id: &str, model: Option<&str>| AgentEvent::SessionStarted {
        id: id.to_owned(),
        model: model.map(str::to_owned),
    };
    let limit = |reset: Option<&str>| AgentEvent::Limit {
        reset: reset.map(|said| Reset::Said(said.to_owned())),
        message: "m".to_owned(),
    };
    let finished = |ok: Option<bool>, exit_code: Option<i32>| AgentEvent::ToolFinished {
        call: "7".to_owned(),
        name: None,
        what: None,
        ok,
        exit_code,
        duration_ms: None,
    };
    for (given, line, expected) in [
        ("session = \"id\", model = \"m\"", r#"{"id":"s","m":"x"}"#, vec![session("s", Some("x"))]),
        ("session = \"id\", model = \"m\"", r#"{"id":17}"#, vec![session("17", None)]),
        ("session = \"id\"", r#"{"id":""}"#, vec![]),
        ("model = \"m\"", r#"{"m":"x"}"#, vec![AgentEvent::Model { name: "x".to_owned() }]),
        ("message = \"a.0.b\"", r#"{"a":[{"b":"hi"}]}"#, vec![message("hi", Part::Whole)]),
        ("message = \"a\"", r#"{"a":null}"#, vec![]),
        ("delta = \"/a.b\"", r#"{"a.b":"hi"}"#, vec![message("hi", Part::Piece)]),
        ("reasoning = \"a\"", r#"{"a":"hm"}"#, vec![AgentEvent::Reasoning { text: "hm".to_owned() }]),
        ("life = true", "{}", vec![AgentEvent::Working]),
        ("life = false", "{}", vec![]),
        ("turn_started = true", "{}", vec![AgentEvent::TurnStarted]),
        ("turn_started = false", "{}", vec![]),
        (
            &*format!("tool_started = {{ {tool} }}"),
            r#"{"id":7,"tool":"w\u001b[2J","path":"/work/project/a.rs"}"#,
            vec![AgentEvent::ToolStarted {
                call: "7".to_owned(),
                name: "w[2J".to_owned(),
                what: "edit a.rs".to_owned(),
            }],
        ),
        (
            "tool_finished = { call = \"id\", exit_code = \"c\" }",
            r#"{"id":7,"c":2}"#,
            vec![finished(Some(false), Some(2))],
        ),
        (
            "tool_finished = { call = \"id\", ok = { s = \"done\" } }",
            r#"{"id":7,"s":"done"}"#,
            vec![finished(Some(true), None)],
        ),
        (
            "tool_finished = { call = \"id\", ok = { s = \"done\" } }",
            r#"{"id":7,"s":"bad"}"#,
            vec![finished(Some(false), None)],
        ),
        (
            "tool_finished = { call = \"id\", ok = { s = \"done\" } }",
            r#"{"id":7}"#,
            vec![finished(None, None)],
        ),
        (
            "files = \"f\"",
            r#"{"f":["a","b"]}"#,
            vec![AgentEvent::FilesTouched { paths: vec!["a".to_owned(), "b".to_owned()] }],
        ),
        (
            "files = \"each.p\", each = \"f\"",
            r#"{"f":[{"p":"a"},{},{"p":"b"}]}"#,
            vec![AgentEvent::FilesTouched { paths: vec!["a".to_owned(), "b".to_owned()] }],
        ),
        (
            "error = { message = \"e\" }",
            r#"{"e":"Bad key"}"#,
            vec![AgentEvent::LoginNeeded { message: "Bad key".to_owned() }],
        ),
        (
            "error = { message = \"e\" }",
            r#"{"e":"odd"}"#,
            vec![AgentEvent::Error { message: "odd".to_owned() }],
        ),
        (
            "error = { message = \"e\", kind = \"refused\" }",
            r#"{"e":"bad key"}"#,
            vec![AgentEvent::Refused { message: "bad key".to_owned() }],
        ),
        (
            "error = { message = \"e\", kind = \"network\" }",
            r#"{"e":"x"}"#,
            vec![AgentEvent::NetworkTrouble { message: "x".to_owned() }],
        ),
        (
            "error = { message = \"e\", kind = \"limit\", resets = \"at\" }",
            r#"{"e":"m","at":1795300000}"#,
            vec![limit(Some("1795300000"))],
        ),
        (
            "error = { message = \"e\", kind = \"limit\", resets = \"at\" }",
            r#"{"e":"m","at":"soon"}"#,
            vec![limit(None)],
        ),
        ("turn_ended = { ok = true, answer = \"r\" }", r#"{"r":"all"}"#, vec![done(true, Some("all"), None)]),
        (
            "turn_ended = { ok = { is_error = false }, answer = \"r\", failure = \"r\" }",
            r#"{"is_error":true,"r":"no"}"#,
            vec![done(false, None, Some("no"))],
        ),
        (
            "turn_ended = { ok = { is_error = false }, answer = \"r\" }",
            r#"{"r":"no"}"#,
            vec![done(false, None, None)],
        ),
    ] {
        let preset = rule(&format!("{{ when = {{ x = {{ present = false }} }}, {given} }}"));
        assert_eq!(events(&preset, line), expected, "{given} {line}");
    }
}

#[test]
fn a_value_can_be_known_by_its_beginning_and_by_what_it_is_not() {
    let fits = |when: &str, line: &str| {
        let preset = rule(&format!("{{ when = {{ {when} }}, life = false }}"));
        events(&preset, line).is_empty()
    };
    for (when, line, expected) in [
        (r#"a = { starts_with = "[API Error" }"#, r#"{"a":"[api error: 401]"}"#, true),
        (r#"a = { starts_with = "[API Error" }"#, r#"{"a":"see [API Error"}"#, false),
        (r#"a = { starts_with = "x" }"#, r#"{"a":["x"]}"#, false),
        (r#"a = { not = { starts_with = "x" } }"#, r#"{"a":"yx"}"#, true),
        (r#"a = { not = { starts_with = "x" } }"#, r#"{"a":"xy"}"#, false),
        (r#"a = { not = { starts_with = "x" } }"#, r#"{"b":1}"#, false),
        (r#"a = { not = ["b", 1] }"#, r#"{"a":1}"#, false),
        (r#"a = { not = ["b", 1] }"#, r#"{"a":2}"#, true),
        (r#"a = { not = { present = true } }"#, r#"{"b":1}"#, true),
    ] {
        assert_eq!(fits(when, line), expected, "{when} {line}");
    }
}

#[test]
fn a_rule_is_for_the_lines_that_have_its_values_and_lines_without_a_rule_are_signs_of_life() {
    let preset = rule(
        "{ when = { t = [\"a\", 1, true], \"n.m\" = { present = true } }, message = \"m\" }, { when = { t = \"end\" }, life = false }, { session = \"id\" }",
    );
    let is_read = |line: &str| {
        let read = events(&preset, line);
        (
            read.iter().any(|event| matches!(event, AgentEvent::Message { .. })),
            read.contains(&AgentEvent::Working),
        )
    };
    for (line, expected) in [
        (r#"{"t":"a","n":{"m":0},"m":"x"}"#, (true, false)),
        (r#"{"t":1,"n":{"m":false},"m":"x"}"#, (true, false)),
        (r#"{"t":true,"n":{"m":""},"m":"x"}"#, (true, false)),
        (r#"{"t":"a","n":{"m":null},"m":"x"}"#, (false, true)),
        (r#"{"t":"1","n":{"m":0},"m":"x"}"#, (false, true)),
        (r#"{"t":"b","n":{"m":0},"m":"x"}"#, (false, true)),
        (r#"{"t":"end"}"#, (false, false)),
        (r#"{"id":"s"}"#, (false, true)),
        ("no JSON", (false, false)),
        ("[1]", (false, false)),
        ("5", (false, false)),
    ] {
        assert_eq!(is_read(line), expected, "{line}");
    }
    assert_eq!(
        progress(&preset, "{\"id\":\"s\",\"t\":\"end\"}\n").session(),
        Some("s"),
        "all rules that fit count"
    );
}

const COUNTS: &str = r#"{ when = { t = "u" }, usage = { span = "turn", input = ["in", "cached"], output = "out", cache_read = "cached", cost_usd = "cost" } }"#;

#[test]
fn counts_add_up_and_what_is_none_is_left_out_and_said() {
    let preset = rule(COUNTS);
    let used = |line: &str| {
        let read = events(&preset, line);
        let wrong: Vec<String> = read
            .iter()
            .filter_map(|event| match event {
                AgentEvent::WrongValue { path, .. } => Some(path.clone()),
                _ => None,
            })
            .collect();
        let usage = progress(&preset, line).usage().of_process(None);
        (usage.map(|usage| (usage.input, usage.output, usage.cost_usd)), wrong.join(" "))
    };
    for (line, usage, wrong) in [
        (r#"{"t":"u","in":10,"cached":5,"out":2,"cost":0.5}"#, Some((Some(15), Some(2), Some(0.5))), ""),
        (r#"{"t":"u","in":10.0,"out":0}"#, Some((Some(10), Some(0), None)), ""),
        (r#"{"t":"u","cached":5,"out":2}"#, Some((None, Some(2), None)), ""),
        (r#"{"t":"u","in":-1,"out":2}"#, Some((None, Some(2), None)), "in"),
        (r#"{"t":"u","in":1.5,"out":"2","cost":-1}"#, None, "in out cost"),
        (r#"{"t":"u","in":18446744073709551615,"out":1e300,"cost":1e300}"#, None, "in out cost"),
        (r#"{"t":"u","in":9007199254740992}"#, Some((Some(9_007_199_254_740_992), None, None)), ""),
        (r#"{"t":"u","in":[1],"out":{"a":1},"cost":true}"#, None, "in out cost"),
        (r#"{"t":"u"}"#, None, ""),
    ] {
        assert_eq!(used(line), (usage, wrong.to_owned()), "{line}");
    }
    let many = "{\"t\":\"u\",\"in\":9007199254740992,\"out\":1}\n".repeat(3);
    assert_eq!(
        progress(&preset, &many).usage().of_process(None).unwrap().input,
        Some(3 * 9_007_199_254_740_992)
    );
}

#[test]
fn what_a_wrong_value_is_and_what_is_expected_is_said_without_its_text() {
    let preset = rule(r#"{ when = { t = "u" }, usage = { span = "turn", input = "in" }, message = "m" }"#);
    let said: Vec<String> = events(&preset, r#"{"t":"u","in":"secret","m":{"a":"secret"}}"#)
        .into_iter()
        .map(|event| match event {
            AgentEvent::WrongValue { message, .. } => message,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        said,
        [
            "the agent's lines have an object at `m`, where a text is expected; it is left out",
            "the agent's lines have a text at `in`, where a count is expected; it is left out",
        ]
    );
}

#[test]
fn a_line_beyond_the_limit_and_deep_and_broken_lines_are_skipped_and_the_rest_is_read() {
    let preset = rule("{ when = { t = \"m\" }, message = \"m\" }");
    let long = format!("{{\"t\":\"m\",\"m\":\"{}\"}}\n", "x".repeat(LINE_BYTES_MAX));
    let deep = format!("{{\"t\":\"m\",\"m\":{}1{}}}\n", "[".repeat(5_000), "]".repeat(5_000));
    let bytes =
        [long.as_bytes(), deep.as_bytes(), b"{\"t\":\"m\"\n\xff\xfe\n\n", b"{\"t\":\"m\",\"m\":\"caf\xff\"}"]
            .concat();
    let mut reader = preset.reader(0);
    let mut read = reader.feed(&bytes);
    read.extend(reader.end());
    let event = AgentEvent::Message { text: "caf\u{fffd}".to_owned(), part: Part::Whole };
    assert_eq!(read, [Observed { spool_end: bytes.len() as u64, event }]);
    assert_eq!((reader.counts().overlong, reader.counts().malformed), (1, 3));
}

#[test]
fn a_line_with_a_list_without_measure_gives_a_measured_number_of_events() {
    let preset = rule("{ each = \"a\", when = { x = { present = false } }, message = \"each\" }");
    let of =
        |element: &str| events(&preset, &format!("{{\"a\":[{}0]}}", format!("{element},").repeat(1_000_000)));
    assert_eq!(of("{}").len(), 1, "a wrong value is told once of a line");
    assert_eq!(of("1").len(), 10_000);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_their_place() {
    let one = |rule: &str| format!("lines = [{rule}]");
    for (lines, message) in [
        (
            one("{ when = { t = \"a\" } }"),
            "config.toml:7:9: rule 1 of `lines`: it says nothing of its lines; add one of `session`",
        ),
        (one("{ message = \"a..b\" }"), "config.toml:7:22: `a..b` is no path to a value"),
        (one("{ message = \"$.a\" }"), "config.toml:7:22: `$.a` is no path to a value"),
        (one("{ message = \"a[0]\" }"), "config.toml:7:22: `a[0]` is no path to a value"),
        (
            one("{ message = \"a\", delta = \"b\" }"),
            "config.toml:7:9: rule 1 of `lines`: it has both `message`",
        ),
        (one("{ mesage = \"a\" }"), "config.toml:7:12: unknown field `mesage`"),
        (one("{ message = 5 }"), "config.toml:7:22: invalid type"),
        (one("{ when = { t = 1.5 }, life = true }"), "config.toml:7:25: expected a text, a whole number"),
        (one("{ when = { \"a..b\" = 1 }, life = true }"), "config.toml:7:21: `a..b` is no path"),
        (
            one("{ usage = { span = \"call\", input = \"a\" } }"),
            "config.toml:7:9: rule 1 of `lines`: `usage` with `span = \"call\"` needs `call`",
        ),
        (
            one("{ usage = { span = \"turn\", call = \"c\", input = \"a\" } }"),
            "config.toml:7:9: rule 1 of `lines`: `usage` has `call`",
        ),
        (one("{ usage = { span = \"turn\" } }"), "config.toml:7:9: rule 1 of `lines`: `usage` tells nothing"),
        (
            one("{ usage = { span = \"turn\", input = [] } }"),
            "config.toml:7:9: rule 1 of `lines`: a sum needs at least one path",
        ),
        (one("{ usage = { span = \"run\", input = \"a\" } }"), "config.toml:7:29: unknown variant `run`"),
        (one("{ usage = { input = \"a\" } }"), "config.toml:7:20: missing field `span`"),
        (
            one("{ tool_started = { call = \"a\", name = \"{b\" } }"),
            "config.toml:7:48: `{b` has a `{` without its `}`",
        ),
        (
            one("{ error = { message = \"a\", resets = \"b\" } }"),
            "config.toml:7:9: rule 1 of `lines`: `error` has `resets`",
        ),
        (
            one("{ turn_ended = { ok = \"yes\" } }"),
            "config.toml:7:32: expected true, false, or values of the line",
        ),
        (
            "\n[[agents.mine.lines]]\nwhen = { t = \"a\" }\n".to_owned(),
            "config.toml:8:1: rule 1 of `lines`: it says nothing",
        ),
        (String::new(), "config.toml:1:9: the agent mine: `stream = \"json_lines\"` needs rules"),
        (
            format!("session = \"from_stream\"\n{}", one("{ message = \"m\" }")),
            "config.toml:1:9: the agent mine: `session = \"from_stream\"` needs a rule with `session`",
        ),
        (
            format!("signs.success = [\"done\"]\n{}", one("{ message = \"m\" }")),
            "config.toml:1:9: the agent mine: it has `signs.success` or `signs.failure`, which only `stream = \"text\"`",
        ),
        (
            format!("signs.limit = [\"slow down\", \" \"]\n{}", one("{ message = \"m\" }")),
            "config.toml:1:9: the agent mine: `signs.limit` has an empty text, which stands in every line",
        ),
    ] {
        let error = agent(&lines).unwrap_err();
        assert!(error.to_string().starts_with(message), "{lines}\n{error}\n{message}");
    }
    let of_text = "[agents.mine]\nprogram = \"m\"\nstart = []\nlines = [{ message = \"m\" }]";
    let error = Presets::with_configuration("c", of_text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "c:1:9: the agent mine: it has `lines`, which only `stream = \"json_lines\"` has"
    );
    assert_eq!(error.hint().as_deref(), Some("add `stream = \"json_lines\"`, or remove `lines`"));
    let codex = "[agents.codex]\nsigns.failure = [\"no\"]";
    assert!(
        Presets::with_configuration("c", codex).is_err(),
        "a reader that is built in tells the end itself"
    );
}
