use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use backstay_agent::Presets;
use backstay_engine::{Trouble, TurnEnd};
use backstay_exec::HumanWait;
use backstay_model::event::Spool;
use camino::Utf8Path;

use super::quiet::{OVER_GRACE, ObstacleWatch};
use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_250_000_000_000);

fn observer(agent: &str) -> Observer {
    Observer::new(preset(agent), "/work/project", OutputRead::default(), &Secrets::of(&[]))
}

fn preset(agent: &str) -> Preset {
    Presets::built_in().unwrap().get(agent).unwrap().clone()
}

/// Of an attempt in `folder`, with a clock that stands.
fn attended(preset: Preset, folder: &Utf8Path) -> Attended {
    #[derive(Debug)]
    struct Standing;
    impl Clock for Standing {
        fn wall(&self) -> Timestamp {
            NOW
        }

        fn asleep(&self) -> Duration {
            Duration::ZERO
        }
    }
    Attended {
        preset,
        folder: folder.to_owned(),
        cwd: "/work/project".to_owned(),
        known_until: OutputRead::default(),
        idle_timeout: None,
        idle_notice: Duration::from_secs(600),
        blobs: BlobStore::in_memory(),
        clock: Arc::new(Standing),
        secrets: Secrets::of(&[]),
    }
}

/// What an agent came to that wrote `stdout` and `stderr` so many seconds before now and ended by itself.
fn finished(preset: Preset, stdout: (&str, u64), stderr: (&str, u64)) -> AgentEnded {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let now = UNIX_EPOCH + Duration::from_micros(u64::try_from(NOW.as_micros()).unwrap());
    let write = |name: &str, (text, ago): (&str, u64)| {
        std::fs::write(path.join(name), text).unwrap();
        let file = File::options().write(true).open(path.join(name)).unwrap();
        file.set_modified(now - Duration::from_secs(ago)).unwrap();
        let digest = backstay_model::Digest::of(text.as_bytes());
        Spool { size_bytes: text.len() as u64, digest, lost_bytes: 0 }
    };
    let record = ExitRecord {
        version: backstay_exec::EXIT_RECORD_VERSION,
        effect: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap(),
        attempt: backstay_model::Attempt(1),
        ended_by: backstay_exec::EndedBy::Exit,
        exit_code: Some(1),
        signal: None,
        duration_ms: 0,
        stdout: write("stdout", stdout),
        stderr: write("stderr", stderr),
        left_behind: 0,
        survivors: 0,
    };
    attended(preset, path).finish(None, &record, &mut |_| Taken::Yes).unwrap().ended
}

#[test]
fn a_wait_is_counted_from_when_the_process_last_wrote_something() {
    let limit = "level=ERROR error.error=\"AI_APICallError: Rate limit reached, try again in 2h\"\n";
    for (stdout, stderr) in [(3_600, 60), (60, 3_600)] {
        let ended = finished(preset("opencode"), ("{}\n", stdout), (limit, stderr));
        let expected = NOW.plus(Duration::from_secs(2 * 3_600 - 60));
        let Some(Trouble::Limit { reset_at: Some(at), .. }) = ended.trouble else { panic!("{ended:?}") };
        assert_eq!(at, expected, "{stdout} {stderr}");
    }
}

#[test]
fn a_failure_of_an_agent_whose_output_is_text_counts_wherever_it_stands_on_either_stream() {
    let text = "[agents.mine]\nprogram = \"mine\"\nstart = []\nprompt.stdin = []\naccess.write.args = []\nsigns = { success = [\"done\"], failure = [\"fatal:\"], login = [\"no key\"] }";
    let mine = Presets::with_configuration("config.toml", text).unwrap().get("mine").unwrap().clone();
    let more = "more of it\n".repeat(2_000);
    let failed = format!("fatal: no key\n{more}");
    let badly = AgentEnded {
        turn: TurnEnd::Failed { failure: Some("fatal: no key".to_owned()) },
        trouble: Some(Trouble::Login { message: "fatal: no key".to_owned() }),
    };
    let well = AgentEnded { turn: TurnEnd::Succeeded, trouble: None };
    let succeeded = format!("done\n{more}");
    let failed_then_done = format!("{failed}done\n");
    for (stdout, stderr, expected) in [
        (&*more, &*failed, &badly),
        (&*failed, &*more, &badly),
        (&*failed_then_done, "", &badly),
        ("done\n", &*failed_then_done, &badly),
        (&*succeeded, &*more, &well),
        (&*more, &*succeeded, &well),
        ("", "done", &well),
    ] {
        assert_eq!(&finished(mine.clone(), (stdout, 0), (stderr, 0)), expected);
    }
}

fn task(agent: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/golden");
    std::fs::read(folder.join(agent).join("task.jsonl")).unwrap()
}

/// After how many seconds the agent's process is ended, and why; `None` if it is not in an hour.
fn ends(observer: &Observer) -> Option<(u64, EndedFor)> {
    ends_in(Utf8Path::new("/there/is/no/attempt"), observer)
}

fn ends_in(attempt: &Utf8Path, observer: &Observer) -> Option<(u64, EndedFor)> {
    let begin = Instant::now();
    let mut watch = ObstacleWatch::new(attempt, begin);
    let mut seconds = 0..3_600;
    seconds.find_map(|second| {
        let at = begin + Duration::from_secs(second);
        Some((second, watch.look(observer, NOW, at)?))
    })
}

#[test]
fn a_process_that_stays_after_its_result_is_ended_after_a_grace_and_has_done_its_work() {
    for agent in ["claude", "codex", "gemini"] {
        let mut observer = observer(agent);
        assert_eq!(ends(&observer), None, "{agent} has not said anything");
        observer.feed(&task(agent), NOW);
        assert_eq!(ends(&observer), Some((OVER_GRACE.as_secs(), EndedFor::NothingToDo)), "{agent}");
        assert_eq!(observer.judge(None, "", NOW), AgentEnded { turn: TurnEnd::Succeeded, trouble: None });
        assert_eq!(observer.answer(), Answer::Text("The greeting is written.".to_owned()), "{agent}");
    }
}

#[test]
fn a_process_that_works_in_the_background_or_begins_another_turn_is_not_over() {
    let mut observer = observer("claude");
    observer.feed(&task("claude"), NOW);
    let background = |tasks: &str| {
        format!("{{\"type\":\"system\",\"subtype\":\"background_tasks_changed\",\"tasks\":[{tasks}]}}\n")
    };
    observer.feed(background("{\"id\":\"b1\"}").as_bytes(), NOW);
    assert_eq!(ends(&observer), None, "a command works in the background");
    observer.feed(background("").as_bytes(), NOW);
    assert_eq!(ends(&observer), Some((30, EndedFor::NothingToDo)));
    let begins = r#"{"type":"system","subtype":"init","session_id":"00000000-0000-7000-8000-000000000001"}"#;
    observer.feed(format!("{begins}\n").as_bytes(), NOW);
    assert_eq!(ends(&observer), None, "its background work began another turn, and its model thinks");
    observer.end(NOW);
    assert_eq!(
        observer.judge(None, "", NOW).turn,
        TurnEnd::Truncated,
        "the answer of that turn is not known"
    );
}

#[test]
fn an_agent_whose_model_thinks_in_another_turn_is_not_over() {
    let rules = "[agents.mine]\nprogram = \"mine\"\nstart = []\nprompt.stdin = []\naccess.write.args = []\nstream = \"json_lines\"\nlines = [{ when = { type = \"begins\" }, turn_started = true }, { when = { type = \"ends\" }, turn_ended = { ok = true } }]";
    let mine = Presets::with_configuration("config.toml", rules).unwrap().get("mine").unwrap().clone();
    let mine = Observer::new(mine, "/work/project", OutputRead::default(), &Secrets::of(&[]));
    for (mut observer, ends_turn, begins_turn) in [
        (observer("codex"), r#"{"type":"turn.completed"}"#, r#"{"type":"turn.started"}"#),
        (
            observer("opencode"),
            r#"{"type":"step_finish","sessionID":"s","part":{"id":"p","reason":"stop"}}"#,
            r#"{"type":"step_start","sessionID":"s","part":{}}"#,
        ),
        (mine, r#"{"type":"ends"}"#, r#"{"type":"begins"}"#),
    ] {
        for _ in 0..2 {
            observer.feed(format!("{begins_turn}\n").as_bytes(), NOW);
            assert_eq!(ends(&observer), None, "{begins_turn}");
            observer.feed(format!("{ends_turn}\n").as_bytes(), NOW);
            assert_eq!(ends(&observer), Some((30, EndedFor::NothingToDo)), "{ends_turn}");
        }
    }
}

/// What stands on stderr alone is told once, has its moment, and ends the process after the patience for its kind.
#[test]
fn what_an_agent_waits_for_inside_itself_is_told_and_its_process_ended() {
    let opencode = |message: &str| {
        format!(
            "timestamp=2026-11-21T09:04:29.1Z level=ERROR run=1 message=\"stream error\" error.error=\"{message}\" session.id=ses_1"
        )
    };
    let limit = |reset_at: Option<&str>, message: &str| {
        let reset_at = reset_at.map(|at| at.parse().unwrap());
        Trouble::Limit { reset_at, message: message.to_owned() }
    };
    let gemini = "Attempt 1 failed with status 429. Retrying after 41393468ms...";
    let no_credit = "AI_APICallError: Insufficient credits. Add more on the billing page.";
    for (agent, line, seconds, expected) in [
        ("gemini", gemini.to_owned(), 10, limit(Some("2026-11-21T20:03:13.468Z"), gemini)),
        (
            "opencode",
            opencode("AI_APICallError: Usage limit reached, please try again later"),
            120,
            limit(None, "AI_APICallError: Usage limit reached, please try again later"),
        ),
        (
            "opencode",
            opencode("AI_APICallError: Rate limit reached, try again in 2h"),
            10,
            limit(Some("2026-11-21T10:33:20Z"), "AI_APICallError: Rate limit reached, try again in 2h"),
        ),
        (
            "opencode",
            opencode("AI_APICallError: Rate limit reached, try again in 20s"),
            120,
            limit(Some("2026-11-21T08:33:40Z"), "AI_APICallError: Rate limit reached, try again in 20s"),
        ),
        ("opencode", opencode(no_credit), 120, Trouble::Refused { message: no_credit.to_owned() }),
        (
            "opencode",
            opencode("AI_APICallError: invalid api key"),
            120,
            Trouble::Login { message: "AI_APICallError: invalid api key".to_owned() },
        ),
        (
            "gemini",
            "Attempt 1 failed. Retrying with backoff... TypeError: fetch failed".to_owned(),
            600,
            Trouble::Network {
                message: "Attempt 1 failed. Retrying with backoff... TypeError: fetch failed".to_owned(),
            },
        ),
    ] {
        let mut observer = observer(agent);
        let mut told = Vec::new();
        for _ in 0..50 {
            observer.feed_stderr(format!("{line}\n").as_bytes(), NOW);
            told.extend(std::iter::from_fn(|| observer.take()).flat_map(|batch| batch.said));
        }
        assert_eq!(told.len(), 1, "{line}: {told:?}");
        assert_eq!(ends(&observer), Some((seconds, EndedFor::Obstacle)), "{line}");
        observer.end(NOW);
        assert_eq!(observer.judge(None, "", NOW).trouble, Some(expected), "{line}");
    }
}

/// Codex writes to its log what a command that it runs met.
#[test]
fn while_a_tool_runs_nothing_on_stderr_is_in_the_way_and_no_patience_is_used_up() {
    let unauthorized =
        "2026-11-21T08:33:20Z ERROR codex_core::tools::router: error=curl: HTTP 401 Unauthorized\n";
    let tool = |state: &str| {
        format!(
            "{{\"type\":\"item.{state}\",\"item\":{{\"id\":\"1\",\"type\":\"command_execution\",\"command\":\"cargo test\",\"exit_code\":0}}}}\n"
        )
    };
    let told = |observer: &mut Observer| {
        let said = std::iter::from_fn(|| observer.take()).flat_map(|batch| batch.said);
        said.filter(|(_, said)| matches!(said, Said::LoginNeeded { .. })).count()
    };
    let mut observer = observer("codex");
    observer.feed(tool("started").as_bytes(), NOW);
    observer.feed_stderr(unauthorized.as_bytes(), NOW);
    assert_eq!((told(&mut observer), observer.obstacle(), ends(&observer)), (0, None, None));
    let refused = r#"{"type":"error","message":"unexpected status 401 Unauthorized"}"#;
    observer.feed(format!("{refused}\n").as_bytes(), NOW);
    assert_eq!(
        (told(&mut observer), ends(&observer)),
        (1, None),
        "its own words count when the tool has ended"
    );
    observer.feed(tool("completed").as_bytes(), NOW);
    observer.feed_stderr(unauthorized.as_bytes(), NOW);
    assert_eq!((told(&mut observer), ends(&observer)), (1, Some((120, EndedFor::Obstacle))), "stderr alone");
    observer.feed(format!("{refused}\n").as_bytes(), NOW);
    assert_eq!(ends(&observer), Some((10, EndedFor::Obstacle)), "it says so itself");
}

#[test]
fn while_an_agent_asks_a_person_nothing_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let attempt = Utf8Path::from_path(folder.path()).unwrap();
    let mut limited = observer("opencode");
    limited.feed_stderr(b"level=ERROR error.error=\"AI_APICallError: Rate limit reached\"\n", NOW);
    let mut over = observer("codex");
    over.feed(&task("codex"), NOW);
    for (observer, seconds, why) in [(limited, 120, EndedFor::Obstacle), (over, 30, EndedFor::NothingToDo)] {
        assert_eq!(ends_in(attempt, &observer), Some((seconds, why)));
        let _asks = HumanWait::begin(attempt, "ask").unwrap();
        assert_eq!(ends_in(attempt, &observer), None);
        std::fs::remove_dir_all(attempt.join("waits")).unwrap();
    }
}

#[test]
fn that_a_process_is_to_end_is_said_each_second_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    for (idle_timeout, is_over, first) in [(None, true, 30_000), (Some(Duration::from_secs(7)), false, 7_000)]
    {
        let attended = Attended { idle_timeout, ..attended(preset("codex"), path) };
        let mut observer = observer("codex");
        if is_over {
            observer.feed(&task("codex"), NOW);
        }
        let begin = Instant::now();
        let mut watches = Watches::of(&attended, begin);
        let mut ends = Vec::new();
        for millis in (0..60_000).step_by(250) {
            let at = begin + Duration::from_millis(millis);
            watches.look(&observer, NOW, at, &mut |heard| {
                if !matches!(heard, Heard::End(_)) {
                    return Taken::Yes;
                }
                ends.push(millis);
                if ends.len() < 3 { Taken::NotNow } else { Taken::Yes }
            });
        }
        assert_eq!(ends, [first, first + 1_000, first + 2_000]);
    }
}

#[test]
fn a_sign_of_trouble_does_not_outlive_the_next_sign_of_life() {
    let refused = "Attempt 1 failed with status 429. Retrying after 41393468ms...\n";
    let said = "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"back\",\"delta\":true}\n";
    let mut observer = observer("gemini");
    observer.feed_stderr(refused.as_bytes(), NOW);
    observer.feed_stderr(b"No previous sessions found\n", NOW);
    observer.feed(said.as_bytes(), NOW);
    assert_eq!(ends(&observer), None);
    observer.end(NOW);
    assert_eq!(observer.judge(Some(1), "", NOW), AgentEnded { turn: TurnEnd::Truncated, trouble: None });
}

#[test]
fn a_line_that_is_too_long_to_be_read_is_named_where_the_turn_has_no_end() {
    let mut observer = observer("codex");
    observer.feed(&vec![b'x'; backstay_agent::LINE_BYTES_MAX + 1], NOW);
    observer.feed(b"\n", NOW);
    observer.end(NOW);
    let expected = Trouble::LongLines { lines: 1, limit_bytes: backstay_agent::LINE_BYTES_MAX as u64 };
    assert_eq!(observer.judge(Some(0), "", NOW).trouble, Some(expected));
    observer.feed(&task("codex"), NOW);
    assert_eq!(observer.judge(Some(0), "", NOW).turn, TurnEnd::Succeeded, "its end is known");
}

#[test]
fn what_an_agent_answered_in_a_line_that_is_too_long_is_not_what_it_said_before() {
    let mut observer = observer("codex");
    let message = |text: &str| {
        format!(
            "{{\"type\":\"item.completed\",\"item\":{{\"id\":\"i\",\"type\":\"agent_message\",\"text\":\"{text}\"}}}}\n"
        )
    };
    let long = "x".repeat(backstay_agent::LINE_BYTES_MAX);
    observer.feed(message("I will write the report").as_bytes(), NOW);
    observer.feed(message(&long).as_bytes(), NOW);
    observer.feed(b"{\"type\":\"turn.completed\",\"usage\":{}}\n", NOW);
    assert_eq!(observer.answer(), Answer::Unread);
    observer.feed(message("done").as_bytes(), NOW);
    assert_eq!(observer.answer(), Answer::Text("done".to_owned()), "what it said behind it was read");
}

#[test]
fn pieces_ticks_progress_and_lines_that_are_not_known_are_signs_of_life() {
    for (agent, line) in [
        ("gemini", r#"{"type":"message","role":"assistant","content":"a","delta":true}"#),
        ("gemini", r#"{"type":"newer","of":"kind"}"#),
        ("claude", r#"{"type":"system","subtype":"thinking_tokens","tokens":5}"#),
        ("claude", r#"{"type":"system","subtype":"task_progress"}"#),
        ("claude", r#"{"type":"tool_progress","tool_use_id":"t1"}"#),
        ("claude", r#"{"type":"stream_event","event":{}}"#),
        ("claude", r#"{"type":"system","subtype":"newer"}"#),
        ("codex", r#"{"type":"item.updated","item":{"id":"1","type":"todo_list","items":[]}}"#),
        ("codex", r#"{"type":"item.completed","item":{"id":"1","type":"reasoning","text":"so"}}"#),
        ("codex", r#"{"type":"newer.event"}"#),
        ("opencode", r#"{"type":"reasoning","sessionID":"s","part":{"text":"so"}}"#),
        ("opencode", r#"{"type":"newer","sessionID":"s"}"#),
    ] {
        let mut observer = observer(agent);
        for count in 1..=3 {
            observer.feed(format!("{line}\n").as_bytes(), NOW);
            assert_eq!(observer.life(), count, "{agent} {line}");
        }
    }
    let mut waits = observer("opencode");
    let again = r#"{"type":"step_start","sessionID":"ses_1","part":{}}"#;
    for _ in 0..1_000 {
        waits.feed(format!("{again}\n").as_bytes(), NOW);
    }
    let told: Vec<_> = std::iter::from_fn(|| waits.take()).flat_map(|batch| batch.said).collect();
    assert_eq!((waits.life(), told.len()), (0, 1), "a session that is named again and again is one fact");
}
