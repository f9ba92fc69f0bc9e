use std::path::PathBuf;

use backstay_agent::Presets;
use backstay_engine::{AgentEnded, TurnEnd};
use backstay_exec::Redaction;
use backstay_model::Text;

use super::facts::Batch;
use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_250_000_000_000);

fn observer(agent: &str, known_until: u64) -> Observer {
    let preset = Presets::built_in().unwrap().get(agent).unwrap().clone();
    let known_until = OutputRead { stdout: known_until, stderr: 0 };
    Observer::new(preset, "/work/project", known_until, &Secrets::of(&[]))
}

/// What a real CLI said, as the readers' tests keep it.
fn golden(agent: &str, case: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/golden").join(agent);
    std::fs::read(folder.join(case)).unwrap()
}

/// All facts, in chunks of `size`, taken after each chunk.
fn facts(agent: &str, bytes: &[u8], known_until: u64, size: usize) -> Vec<(u64, Said)> {
    let mut observer = observer(agent, known_until);
    let mut facts = Vec::new();
    let mut take = |observer: &mut Observer| {
        while let Some(batch) = observer.take() {
            facts.extend(batch.said);
        }
    };
    for chunk in bytes.chunks(size) {
        observer.feed(chunk, NOW);
        take(&mut observer);
    }
    observer.end(NOW);
    take(&mut observer);
    facts
}

#[test]
fn reading_anew_from_any_fact_that_the_log_knows_gives_exactly_the_rest() {
    for (agent, case) in [
        ("codex", "task.jsonl"),
        ("codex", "killed.jsonl"),
        ("claude", "task.jsonl"),
        ("gemini", "task.jsonl"),
        ("opencode", "task.jsonl"),
    ] {
        let bytes = golden(agent, case);
        let all = facts(agent, &bytes, 0, 64);
        assert!(all.len() > 3, "{agent} {case}: {all:?}");
        assert!(all.is_sorted_by_key(|(end, _)| *end), "{agent} {case}");
        let ends: BTreeSet<u64> = all.iter().map(|(end, _)| *end).collect();
        for end in ends {
            let rest: Vec<_> = all.iter().filter(|(at, _)| *at > end).cloned().collect();
            assert_eq!(facts(agent, &bytes, end, 64), rest, "{agent} {case} from {end}");
        }
    }
}

#[test]
fn all_of_a_line_is_in_one_report() {
    let bytes = golden("claude", "task.jsonl");
    let mut observer = observer("claude", 0);
    observer.feed(&bytes, NOW);
    observer.end(NOW);
    let mut last = 0;
    while let Some(batch) = observer.take() {
        assert!(batch.said.first().unwrap().0 > last, "a line is told twice");
        last = batch.said.last().unwrap().0;
    }
}

#[test]
fn of_a_line_with_more_facts_than_are_told_what_decides_is_told_and_the_rest_is_counted() {
    let rules = r#"[agents.mine]
program = "mine"
start = []
prompt.stdin = []
access.write.args = []
stream = "json_lines"
signs.limit = ["slow down"]
lines = [
  { when = { type = "end" }, each = "tools", tool_finished = { call = "each.id", name = "t" }, usage = { span = "call", call = "each.id", input = "in" }, error = { message = "why" } },
  { when = { type = "end" }, message = "text", usage = { span = "process", input = "all" }, turn_ended = { ok = true } },
]"#;
    let mine = Presets::with_configuration("config.toml", rules).unwrap().get("mine").unwrap().clone();
    let mut observer = Observer::new(mine, "/work/project", OutputRead::default(), &Secrets::of(&[]));
    let tools: Vec<String> = (0..1_000).map(|number| format!("{{\"id\":{number}}}")).collect();
    let tools = tools.join(",");
    let line = format!(
        r#"{{"type":"end","tools":[{tools}],"in":1,"all":5000,"text":"done","why":"slow down, try again in 2h"}}"#
    );
    observer.feed(&codex(&line), NOW);
    let batch = observer.take().unwrap();
    assert_eq!(observer.take(), None, "all of a line is in one report");
    assert!(batch.said.len() < 410, "{}", batch.said.len());
    let of = |is_it: &dyn Fn(&Said) -> bool| batch.said.iter().filter(|(_, said)| is_it(said)).count();
    assert_eq!(of(&|said| matches!(said, Said::TurnEnded { ok: true, .. })), 1);
    assert!(of(&|said| matches!(said, Said::Limit { reset_at: Some(_), .. })) > 0);
    let used = batch.said.iter().rev().find_map(|(_, said)| match said {
        Said::Usage(usage) => usage.tokens.input,
        _ => None,
    });
    assert_eq!(used, Some(5_000));
    let left_out: Vec<&str> = batch
        .said
        .iter()
        .filter_map(|(_, said)| match said {
            Said::Error { message } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    // Of 1,000 tools, each with its begin, and one message.
    let tools = of(&|said| matches!(said, Said::ToolStarted { .. } | Said::ToolFinished { .. }));
    assert_eq!(
        left_out,
        [format!("{} facts of a line are left out: it has more than 400", 2_001 - tools)],
        "it is said once"
    );
}

#[test]
fn of_many_lines_of_text_that_say_how_the_turn_ended_those_are_facts_that_change_it() {
    let preset = "[agents.mine]\nprogram = \"mine\"\nstart = []\nprompt.stdin = []\naccess.write.args = []\nsigns.success = [\"ok\"]\nsigns.failure = [\"fatal\"]";
    let mine = Presets::with_configuration("config.toml", preset).unwrap().get("mine").unwrap().clone();
    let mut observer = Observer::new(mine, "/work/project", OutputRead::default(), &Secrets::of(&[]));
    let many = "ok 1\n".repeat(5_000);
    observer.feed(format!("{many}fatal: first\n{many}fatal: second\n{many}").as_bytes(), NOW);
    let told: Vec<bool> = std::iter::from_fn(|| observer.take())
        .flat_map(|batch| batch.said)
        .map(|(_, said)| matches!(said, Said::TurnEnded { ok: true, .. }))
        .collect();
    assert_eq!(told, [true, false]);
    let failure = Some("fatal: second".to_owned());
    assert_eq!(
        observer.judge(Some(0), "", NOW).turn,
        TurnEnd::Failed { failure },
        "it counts wherever it stands"
    );
}

#[test]
fn a_tool_that_is_told_when_it_has_ended_has_begun_too() {
    let all = facts("opencode", &golden("opencode", "task.jsonl"), 0, 1 << 20);
    let begun = all.iter().filter(|(_, said)| matches!(said, Said::ToolStarted { .. })).count();
    let ended = all.iter().filter(|(_, said)| matches!(said, Said::ToolFinished { .. })).count();
    assert_eq!((begun, ended), (2, 2));
}

#[test]
fn calls_are_told_as_their_sum_and_nothing_twice() {
    let all = facts("opencode", &golden("opencode", "task.jsonl"), 0, 1 << 20);
    let told: Vec<&Usage> = all
        .iter()
        .filter_map(|(_, said)| match said {
            Said::Usage(usage) => Some(usage),
            _ => None,
        })
        .collect();
    assert!(told.len() > 1);
    let inputs: Vec<u64> = told.iter().map(|usage| usage.tokens.input.unwrap()).collect();
    assert!(inputs.is_sorted_by(|a, b| a < b), "{inputs:?}");
    assert_eq!(inputs.last(), Some(&3_000));
    assert!(told.iter().all(|usage| usage.span == UsageSpan::Process));
    assert!(told.last().unwrap().tokens.cost_micro_usd.is_some_and(|cost| cost > 0));
}

fn codex(line: &str) -> Vec<u8> {
    format!("{line}\n").into_bytes()
}

#[test]
fn s11_no_secret_is_in_what_was_decoded_from_a_stream_or_put_together_from_pieces() {
    let secret = Redaction { name: "MY_KEY".to_owned(), value: "pa\"ss-0123456789".to_owned() };
    let secrets = Secrets::of(&[secret]);
    let observer = |agent: &str| {
        let preset = Presets::built_in().unwrap().get(agent).unwrap().clone();
        Observer::new(preset, "/work/project", OutputRead::default(), &secrets)
    };
    // As no encoder writes it, so that the keeper lets it pass.
    let odd = r"it is \u0070a\u0022ss-012345678\u0039";
    let mut codex_said = observer("codex");
    let item =
        format!(r#"{{"type":"item.completed","item":{{"id":"1","type":"agent_message","text":"{odd}"}}}}"#);
    codex_said.feed(&codex(&item), NOW);
    assert_eq!(codex_said.answer(), Answer::Text("it is [redacted:MY_KEY]".to_owned()));
    let told = format!("{:?}", codex_said.take());
    assert!(told.contains("[redacted:MY_KEY]") && !told.contains("0123456789"), "{told}");
    let mut pieces = observer("gemini");
    let mut told = String::new();
    for text in [r#"it is pa\"ss-0"#, "1234567", "89 and pa"] {
        let piece = format!(r#"{{"type":"message","role":"assistant","content":"{text}","delta":true}}"#);
        pieces.feed(&codex(&piece), NOW);
        told.push_str(&format!("{:?}", pieces.take()));
    }
    pieces.end(NOW);
    told.push_str(&format!("{:?}", pieces.take()));
    assert_eq!(pieces.answer(), Answer::Text("it is [redacted:MY_KEY] and pa".to_owned()));
    assert!(told.contains("[redacted:MY_KEY]") && !told.contains("1234567"), "{told}");
}

#[test]
fn s11_a_secret_that_is_cut_by_the_pieces_of_a_thought_is_redacted() {
    let secret = Redaction { name: "MY_KEY".to_owned(), value: "pa\"ss-0123456789".to_owned() };
    let preset = Presets::built_in().unwrap().get("opencode").unwrap().clone();
    let mut observer = Observer::new(preset, "/work/project", OutputRead::default(), &Secrets::of(&[secret]));
    let mut thoughts = Vec::new();
    let mut take = |observer: &mut Observer| {
        for (_, said) in observer.take().into_iter().flat_map(|batch| batch.said) {
            if let Said::Thought { line } = said {
                thoughts.push(line);
            }
        }
    };
    for text in ["It is pa\\\"ss-0", "1234567", "89 and pa"] {
        let line = format!(
            r#"{{"type":"reasoning","sessionID":"ses_1","part":{{"id":"1","type":"reasoning","text":"{text}"}}}}"#
        );
        observer.feed(&codex(&line), NOW);
        take(&mut observer);
    }
    let message = r#"{"type":"text","sessionID":"ses_1","part":{"id":"2","type":"text","text":"Done."}}"#;
    observer.feed(&codex(message), NOW);
    observer.end(NOW);
    take(&mut observer);
    assert_eq!(
        thoughts,
        ["It is", "", "[redacted:MY_KEY] and", "pa"],
        "what may become a secret waits for the next piece"
    );
    assert_eq!(observer.answer(), Answer::Text("Done.".to_owned()));
}

#[test]
fn a_sub_agent_that_only_stderr_tells_of_makes_the_figures_partial_and_is_no_trouble() {
    let line = b"INFO codex_otel.agent_communication: event.name=\"codex.agent_communication\" kind=\"spawn\" content=\"ask for the usage limit\"\n";
    let partial = |feed: &dyn Fn(&mut Observer)| {
        let mut observer = observer("codex", 0);
        feed(&mut observer);
        observer.end(NOW);
        let ended = observer.judge(Some(0), "", NOW);
        assert_eq!(ended, AgentEnded { turn: TurnEnd::Succeeded, trouble: None });
        let mut told = Vec::new();
        while let Some(batch) = observer.take() {
            told.extend(batch.said.into_iter().filter_map(|(_, said)| match said {
                Said::Usage(usage) => Some(usage.tokens.is_partial),
                _ => None,
            }));
        }
        told
    };
    let task = golden("codex", "sub_agent.jsonl");
    assert_eq!(partial(&|observer| observer.feed(&task, NOW)), [false]);
    assert_eq!(
        partial(&|observer| {
            observer.feed_stderr(line, NOW);
            observer.feed(&task, NOW);
        }),
        [true]
    );
    assert_eq!(
        partial(&|observer| {
            observer.feed(&task, NOW);
            observer.feed_stderr(line, NOW);
        }),
        [false, true],
        "told again"
    );
}

#[test]
fn a_long_message_is_kept_as_a_blob_and_told_by_its_last_line() {
    let long = format!("{}\\nthe end", "x".repeat(20_000));
    let mut observer = observer("codex", 0);
    let item =
        format!(r#"{{"type":"item.completed","item":{{"id":"1","type":"agent_message","text":"{long}"}}}}"#);
    observer.feed(&codex(&item), NOW);
    let Batch { on: _, said, texts } = observer.take().unwrap();
    let [(_, Said::Message { text, line, piece: false })] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(line, "the end");
    assert_eq!((text.blob().is_some(), texts.len()), (true, 1));
    assert!(matches!(observer.answer(), Answer::Text(text) if text.len() == 20_008));
}

#[test]
fn pieces_that_wait_together_are_told_together() {
    let piece =
        |text: &str| format!(r#"{{"type":"message","role":"assistant","content":"{text}","delta":true}}"#);
    let mut observer = observer("gemini", 0);
    for text in ["hel", "lo "] {
        observer.feed(&codex(&piece(text)), NOW);
    }
    let first = observer.take().unwrap().said;
    observer.feed(&codex(&piece("you")), NOW);
    let second = observer.take().unwrap().said;
    let text = |said: &[(u64, Said)]| match said {
        [(_, Said::Message { text: Text::Inline(text), piece: true, .. })] => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((text(&first), text(&second)), ("hello ".to_owned(), "you".to_owned()));
    assert_eq!(observer.answer(), Answer::Text("hello you".to_owned()));
}

#[test]
fn what_is_in_an_agents_way_is_told_by_its_best_sign() {
    let judged = |agent: &str, bytes: &[u8], code: i32, stderr: &str| {
        let mut observer = observer(agent, 0);
        observer.feed_stderr(stderr.as_bytes(), NOW);
        observer.feed(bytes, NOW);
        observer.end(NOW);
        observer.judge(Some(code), "", NOW)
    };
    let trouble = |agent: &str, case: &str| judged(agent, &golden(agent, case), 1, "").trouble;
    for agent in ["codex", "claude", "gemini"] {
        assert!(matches!(trouble(agent, "limit.jsonl"), Some(Trouble::Limit { .. })), "{agent}");
        assert!(matches!(trouble(agent, "refused_login.jsonl"), Some(Trouble::Login { .. })), "{agent}");
        assert_eq!(
            judged(agent, &golden(agent, "task.jsonl"), 0, "rate limit"),
            AgentEnded { turn: TurnEnd::Succeeded, trouble: None }
        );
    }
    for agent in ["codex", "claude"] {
        assert!(
            matches!(trouble(agent, "limit.jsonl"), Some(Trouble::Limit { reset_at: Some(at), .. }) if at > NOW)
        );
        assert!(matches!(trouble(agent, "provider_fails.jsonl"), Some(Trouble::Network { .. })), "{agent}");
    }
    let ended = judged("claude", b"", 1, "No conversation found with session ID: x\n");
    assert_eq!(ended, AgentEnded { turn: TurnEnd::Truncated, trouble: Some(Trouble::SessionUnknown) });
    let ended = judged("claude", b"", 1, "Error: Session ID x is already in use.\n");
    assert_eq!(ended.trouble, Some(Trouble::SessionInUse));
    let ended = judged("gemini", b"", 41, "\nPlease set an Auth method\n");
    assert!(matches!(ended.trouble, Some(Trouble::Login { message }) if message.contains("Auth method")));
    let ended = judged("gemini", b"", 1, "it broke\n\n");
    assert_eq!(ended.trouble, Some(Trouble::Unexplained { message: "it broke".to_owned() }));
    assert_eq!(judged("gemini", b"", 1, "").trouble, None);
}

#[test]
fn figures_of_a_turn_stay_known_while_the_next_turn_works_and_are_marked_as_partial() {
    let told: Vec<Tokens> = facts("claude", &golden("claude", "background.jsonl"), 0, 64)
        .into_iter()
        .filter_map(|(_, said)| match said {
            Said::Usage(usage) => Some(usage.tokens),
            _ => None,
        })
        .collect();
    let figures = |tokens: &Tokens| (tokens.input, tokens.output, tokens.cost_micro_usd, tokens.is_partial);
    assert_eq!(
        told.iter().map(figures).collect::<Vec<_>>(),
        [
            (Some(1_000), None, None, false),
            (Some(2_000), None, None, false),
            (Some(2_000), Some(100), Some(3_480), false),
            (Some(3_000), Some(100), Some(3_480), true),
            (Some(3_000), Some(150), Some(5_220), false),
        ]
    );
}
