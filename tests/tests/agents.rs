//! Agents by preset, with the real binary: what they say is in the log once, and they go on in their own session.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_agent::Presets;
use backstay_engine::record::{AgentRecord, RunRecord, RunStatus, StepStage};
use backstay_log::ClaimMode;
use backstay_model::event::{AttemptEnd, Event, FactEvent, FailureClass, ResumeRequested, Said};
use backstay_model::{Recorded, StepId, Text, Timestamp};
use backstay_runtime::{Clock, StopSwitch, SystemClock};
use backstay_tests::library::{actor, events, open, owner, request_with};
use backstay_tests::{Seed, World, all, block_on, send};
use rustix::process::Signal;

fn flow(rest: &str) -> String {
    format!("backstay: 1\nname: flow\nsteps:\n  - {{id: fix, agent: fake, prompt: Do it.{rest}}}\n")
}

fn agent(record: &RunRecord, step: &str, attempt: usize) -> AgentRecord {
    let step = record.step(&step.parse::<StepId>().unwrap()).expect("its turn came");
    step.attempts[attempt].agent.clone().expect("it is an agent's")
}

fn log_of(world: &World) -> Vec<Recorded> {
    let run = world.only_run().expect("a run was asked for");
    block_on(async { events(&world.store().await.expect("there is a store"), run).await })
}

/// What the agent said, in order, with the places behind it.
fn said(world: &World) -> Vec<(u64, Said)> {
    let of = |recorded: &Recorded| match Event::decode(recorded).expect("a known event") {
        Event::Fact(FactEvent::AgentSaid(said)) => Some((said.spool_end, said.what)),
        _ => None,
    };
    log_of(world).iter().filter_map(of).collect()
}

fn messages(world: &World) -> Vec<String> {
    let text = |(_, what)| match what {
        Said::Message { text: Text::Inline(text), .. } => Some(text),
        _ => None,
    };
    said(world).into_iter().filter_map(text).collect()
}

#[test]
fn an_agent_by_preset_works_in_a_workflow_and_is_observed() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "tool t1 'echo hello'; message 'All is green.'; ends 2000");
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - id: fix\n    agent: {use: fake, model: m1, args: [-x]}\n    access: read\n    prompt: \"Do ${{ run.workflow }}.\"\n  - {id: tell, run: \"echo ${{ steps.fix.output }} / ${{ steps.fix.summary }}\"}\noutputs: {said: \"${{ steps.tell.output }}\"}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fake.calls(), ["exec --read -m m1 -x -"]);
    assert_eq!(fake.prompt(1), "Do flow.");
    let record = world.record();
    assert_eq!(record.outputs, Some(Text::of("{\"said\":\"All is green. / All is green.\"}")));
    let agent = agent(&record, "fix", 0);
    assert_eq!(
        (agent.version.as_deref(), agent.session.as_deref()),
        (Some("fake-cli 1.2.3"), Some("session-1"))
    );
    assert_eq!((agent.tools, agent.turn_ok, agent.model.as_deref()), (1, Some(true), Some("m1")));
    let usage = agent.usage.expect("it told its usage");
    assert_eq!(
        (usage.input, usage.cache_read, usage.output, usage.cost_micro_usd),
        (Some(2000), Some(40), Some(10), None)
    );
    let shown = String::from_utf8(world.run(&["show", "@last"]).stdout).unwrap();
    assert!(shown.contains("2.0 k tokens (2 % cached) · cost unknown"), "{shown}");
    assert!(shown.contains("fake 1.2.3"), "{shown}");
    let shown = String::from_utf8(world.run(&["show", "@last", "--json"]).stdout).unwrap();
    let shown: String = shown.split_whitespace().collect();
    assert!(
        shown.contains(
            r#""usage":{"attempts":1,"untold":0,"input":{"known":2000,"untold":0},"output":{"known":10,"untold":0},"cache_read":{"known":40,"untold":0}"#
        ),
        "{shown}"
    );
}

/// Says a hundred things, meets the test, says a hundred more.
const TALKS: &str = r#"
for i in $(seq 1 100); do message "$i"; done
echo begun > begun
cat go > /dev/null
for i in $(seq 101 200); do message "$i"; tool "t$i" "echo $i"; done
ends 500
"#;

#[test]
fn what_an_agent_says_while_nobody_owns_the_run_is_in_the_log_once() {
    let world = World::new();
    world.fake("fake").turn(1, TALKS);
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", &flow(""));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let is_heard = |record: &RunRecord| {
        let step = record.step(&"fix".parse().unwrap());
        step.is_some_and(|step| step.attempts[0].agent.as_ref().is_some_and(|agent| agent.spool_end > 0))
    };
    drop(world.record_when("was heard", is_heard));
    run.kill();
    go.open();
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{out}");
    let expected: Vec<String> = (1..=200).map(|number| number.to_string()).collect();
    assert_eq!(messages(&world), expected);
    let ends: Vec<u64> = said(&world).iter().map(|(end, _)| *end).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    let record = world.record();
    assert_eq!(
        (agent(&record, "fix", 0).tools, record.step(&"fix".parse().unwrap()).unwrap().attempts.len()),
        (100, 1)
    );
}

/// The longest moment at which a run of a talking agent is disturbed: about as long as it talks.
const MOMENT_MAX: Duration = Duration::from_millis(1_500);

#[test]
fn an_owner_killed_at_random_moments_loses_and_doubles_nothing_that_an_agent_says() {
    let mut seed = Seed::drawn();
    for round in 0..if all() { 20 } else { 4 } {
        let world = World::new();
        world
            .fake("fake")
            .turn(1, "for i in $(seq 1 300); do message \"$i\"; sleep 0.003; done; message end; ends 7");
        world.write("flow.yaml", &flow(""));
        let mut owner = world.start(&["run", "flow.yaml"]);
        for _ in 0..2 {
            let moment = Duration::from_micros(seed.below(u64::try_from(MOMENT_MAX.as_micros()).unwrap()));
            // A random moment is a wait by nature; it is bounded by `MOMENT_MAX`.
            let (_keep, never) = std::sync::mpsc::channel::<()>();
            assert!(never.recv_timeout(moment).is_err());
            owner.kill();
            if world.only_run().is_none() {
                owner = world.start(&["run", "flow.yaml"]);
                continue;
            }
            owner = world.start(&["resume", "@last"]);
        }
        drop(owner.end());
        let (_, out) = world.start(&["resume", "@last"]).end();
        let record = world.record();
        assert_eq!(record.status, RunStatus::Completed, "round {round}: {out}");
        let mut expected: Vec<String> = (1..=300).map(|number| number.to_string()).collect();
        expected.push("end".to_owned());
        assert_eq!(messages(&world), expected, "round {round}");
        assert_eq!(record.usage().unwrap().input.known, 7, "round {round}");
        assert_eq!(record.step(&"fix".parse().unwrap()).unwrap().output, Some(Text::of("\"end\"")));
    }
}

/// No run of a short talk passes a point more often.
const HITS_MAX: u32 = 60;

#[test]
fn an_owner_that_dies_at_any_point_loses_and_doubles_nothing_that_an_agent_says() {
    let talk = |point: &str| {
        let world = World::new();
        let fake = world.fake("fake");
        // The last word comes later than the first: they are in appends of their own.
        fake.turn(
            1,
            "for i in 1 2 3; do message \"$i\"; tool \"t$i\" ls; done; sleep 0.4; message end; ends 7",
        );
        world.write("flow.yaml", &flow(""));
        let (status, _) = world.start_with(&["run", "flow.yaml"], &[("BACKSTAY_CRASH_POINT", point)]).end();
        let died = !status.success();
        if world.only_run().is_some() {
            if died {
                let (status, out) = world.start(&["resume", "@last"]).end();
                assert!(status.success(), "{point}: {out}");
            }
            assert_eq!(messages(&world), ["1", "2", "3", "end"], "{point}");
            let record = world.record();
            // What surely did not begin has an attempt too.
            let attempts = &record.step(&"fix".parse().unwrap()).unwrap().attempts;
            let tools: u64 = attempts.iter().map(|attempt| attempt.agent.as_ref().unwrap().tools).sum();
            assert_eq!((tools, fake.calls().len()), (3, 1), "{point}");
            assert_eq!(record.usage().unwrap().input.known, 7, "{point}");
        }
        died
    };
    if !talk("log.append.before") {
        assert!(!all(), "the binary has no crash points: `cargo xtask test --all` builds them in");
        println!("skipped: the binary was built without crash points (`cargo xtask test` builds them in)");
        return;
    }
    for name in
        ["log.append.before_commit", "log.append.after_commit", "runtime.spawn.before", "runtime.spawn.after"]
    {
        let deaths = (1..=HITS_MAX).take_while(|hit| talk(&format!("{name}:{hit}"))).count();
        let least = if name.starts_with("log") { 5 } else { 1 };
        assert!((least..HITS_MAX as usize).contains(&deaths), "{name} was passed {deaths} times");
    }
}

/// Begins a turn that waits for ever, once it has said something.
const HANGS: &str = "tool t1 'echo one'; echo begun > begun; cat never";

fn hanging() -> (World, backstay_tests::Gate) {
    let world = World::new();
    world.fake("fake").turn(1, HANGS).turn(2, "message 'I went on.'; ends 300");
    let (begun, _never) = (world.gate("begun"), world.gate("never"));
    world.write("flow.yaml", &flow(""));
    (world, begun)
}

fn went_on(world: &World) {
    let record = world.record_when("ended", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed, "{record:#?}");
    let fake = world.read("fake/calls");
    assert_eq!(fake.lines().collect::<Vec<_>>(), ["exec --write -", "exec --write resume session-1 -"]);
    let told = world.read("fake/prompt-2");
    assert!(told.starts_with("You were interrupted.") && told.ends_with("Do it."), "{told}");
    assert_eq!(agent(&record, "fix", 0).usage, None, "who was killed has told nothing");
    let usage = record.usage().unwrap();
    assert_eq!((usage.input.known, usage.attempts, usage.untold), (300, 2, 1));
}

#[test]
fn an_agent_that_is_killed_goes_on_in_its_own_session() {
    let (world, begun) = hanging();
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let known = |record: &RunRecord| {
        record.step(&"fix".parse().unwrap()).and_then(|step| step.attempts.first()?.pid).is_some()
    };
    let record = world.record_when("runs", known);
    send(record.step(&"fix".parse().unwrap()).unwrap().attempts[0].pid.unwrap(), Signal::KILL);
    let (status, out) = run.end();
    assert!(status.success(), "{out}");
    went_on(&world);
}

#[test]
fn an_agent_lost_with_its_keeper_and_its_owner_goes_on_in_its_own_session() {
    let (world, begun) = hanging();
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let is_heard = |record: &RunRecord| {
        let step = record.step(&"fix".parse().unwrap());
        step.is_some_and(|step| step.attempts[0].agent.as_ref().is_some_and(|agent| agent.tools == 1))
    };
    let record = world.record_when("was heard", is_heard);
    run.kill();
    let attempt = &record.step(&"fix".parse().unwrap()).unwrap().attempts[0];
    send(attempt.keeper_pid.unwrap(), Signal::KILL);
    send(attempt.pid.unwrap(), Signal::KILL);
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{out}");
    went_on(&world);
}

#[test]
fn a_suspended_agent_goes_on_in_its_own_session_by_the_preset_that_it_began_with() {
    let (world, begun) = hanging();
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    assert!(world.run(&["suspend", "@last"]).status.success());
    let (status, out) = run.end();
    assert_eq!(status.code(), Some(5), "{out}");
    world.configure(
        "[agents.fake]\nprogram = \"/nowhere/else\"\nstart = []\nprompt.stdin = []\naccess.write.args = []\n",
    );
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{out}");
    went_on(&world);
}

#[test]
fn an_answer_without_its_shape_is_mended_in_the_same_session() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, r#"message '{\"m\": 1}'; ends"#).turn(2, r#"message '{\"n\": 2}'; ends"#);
    world.write("s.json", r#"{"type": "object", "required": ["n"]}"#);
    world.write("flow.yaml", &(flow(", schema: s.json") + "outputs: {n: \"${{ steps.fix.output.n }}\"}\n"));
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    let calls = fake.calls();
    assert!(
        calls[0].starts_with("exec --write --output-schema /") && calls[0].ends_with("schema.json -"),
        "{calls:?}"
    );
    assert!(calls[1].ends_with("resume session-1 -"), "{calls:?}");
    assert!(fake.prompt(2).contains("\"n\" is a required property"), "{}", fake.prompt(2));
    assert_eq!(world.record().outputs, Some(Text::of("{\"n\":2}")));
}

#[test]
fn an_agent_that_does_not_know_its_session_any_more_begins_anew() {
    let (world, begun) = hanging();
    world.write("fake/turn-2", "echo 'no such session' >&2; exit 1");
    world.write("fake/turn-3", "message 'All anew.'; ends");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    assert!(world.run(&["suspend", "@last"]).status.success());
    assert_eq!(run.end().0.code(), Some(5));
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{out}");
    assert!(out.contains("its session is not there; it begins a new one"), "{out}");
    let calls = world.read("fake/calls");
    assert_eq!(calls.lines().collect::<Vec<_>>()[1..], ["exec --write resume session-1 -", "exec --write -"]);
    assert_eq!(world.read("fake/prompt-3"), "Do it.");
}

#[test]
fn another_agent_takes_over_from_one_that_cannot_work_here() {
    takes_over("fails 'you are not logged in'", FailureClass::Login);
}

#[test]
fn another_agent_takes_over_from_one_that_its_provider_refuses_though_it_says_so_on_stderr_alone() {
    takes_over("echo 'Your credit balance is too low.' >&2; exit 1", FailureClass::Refused);
}

fn takes_over(turn: &str, failure: FailureClass) {
    let world = World::new();
    let (first, second) = (world.fake("fake"), world.fake("other"));
    first.turn(1, turn);
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - {id: fix, agent: {use: fake, fallback: [other]}, prompt: Do it.}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((first.calls().len(), second.calls().len(), second.prompt(1)), (1, 1, "Do it.".to_owned()));
    let record = world.record();
    let step = record.step(&"fix".parse().unwrap()).unwrap();
    assert_eq!(step.attempts[0].end, Some(AttemptEnd::Failed { failure }));
    assert_eq!(step.agent.as_deref(), Some("other"));
}

#[test]
fn the_last_line_on_stderr_is_the_reason_of_a_turn_that_breaks_off() {
    let world = World::new();
    world.fake("fake").turn(1, "echo 'it broke' >&2; exit 3");
    world.write("flow.yaml", &flow(""));
    let (status, out) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(1), "{out}");
    let record = world.record();
    let step = record.step(&"fix".parse().unwrap()).unwrap();
    let expected = "exit 3 in the middle of the agent's turn: it broke";
    assert_eq!((step.failure, step.summary.as_deref()), (Some(FailureClass::Exit), Some(expected)));
}

#[test]
fn an_agent_without_a_message_has_an_empty_output_and_one_value_among_words_is_an_answer() {
    let world = World::new();
    world.fake("fake").turn(1, "tool t1 'echo one'; ends");
    let other = world.fake("other");
    other.turn(1, r#"message 'Here it is:\n\n{\"n\": 7}\n\nDone.'; ends"#);
    world.write("s.json", r#"{"type": "object", "required": ["n"]}"#);
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - {id: fix, agent: fake, prompt: Do it.}\n  - {id: count, agent: other, prompt: Count., schema: s.json}\n  - {id: tell, run: \"echo [${{ steps.fix.output }}] ${{ steps.count.output.n }}\"}\noutputs: {said: \"${{ steps.tell.output }}\"}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.record().outputs, Some(Text::of("{\"said\":\"[] 7\"}")));
    assert_eq!(other.calls().len(), 1, "one try is enough");
}

#[test]
fn another_agent_takes_over_from_one_that_is_not_installed() {
    let world = World::new();
    drop(world.fake("fake"));
    let other = world.fake("other");
    std::fs::remove_file(world.path().join("fake/agent")).unwrap();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - {id: fix, agent: {use: fake, fallback: [other]}, prompt: Do it.}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(other.calls(), ["exec --write -"]);
    world.write("flow.yaml", &flow(""));
    let output = world.run(&["run", "flow.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("there is no program"), "{output:?}");
}

#[test]
fn one_session_is_kept_over_the_cycles_of_a_loop() {
    let world = World::new();
    let fake = world.fake("fake");
    for turn in 1..=3 {
        fake.turn(turn, "echo x >> done; message ok; ends");
    }
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - id: green\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 5, min_cycle: 1ms}\n    steps:\n      - {id: fix, agent: fake, session: keep, prompt: Do it.}\n      - {id: test, run: 'test $(wc -l < done) -ge 3', accept_exit: 0-9}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        fake.calls(),
        ["exec --write -", "exec --write resume session-1 -", "exec --write resume session-1 -"]
    );
    assert_eq!(fake.prompt(3), "Do it.", "this is no interruption");
    let record = world.record();
    let used: Vec<_> = record
        .steps
        .iter()
        .filter(|step| step.step.as_str() == "fix")
        .map(|step| step.attempts[0].agent.as_ref().unwrap().usage.unwrap().input)
        .collect();
    assert_eq!(used, [Some(100), Some(0), Some(0)], "the session says what it used in all");
}

/// It prints without end that it cannot reach its provider: that is no life.
#[test]
fn an_agent_that_only_prints_that_it_stands_still_stands_still() {
    let world = World::new();
    world.fake("fake").turn(
        1,
        r#"message hello; while true; do say '{"type":"error","message":"no network"}'; sleep 0.1; done"#,
    );
    // The shortest time that leaves room for a slow start; the bound on the wait is the world's.
    world.write("flow.yaml", &flow(", idle_timeout: 2s, after_crash: fail"));
    let (status, out) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(1), "{out}");
    let record = world.record();
    let step = record.step(&"fix".parse().unwrap()).unwrap();
    assert_eq!((step.failure, step.summary.as_deref()), (Some(FailureClass::Stall), Some("silent for 2s")));
    let troubles =
        said(&world).iter().filter(|(_, what)| matches!(what, Said::NetworkTrouble { .. })).count();
    assert!(troubles > 0);
}

/// Its owner dies when it has told the agent to end, before the agent is gone: the next one knows why it was to end.
#[test]
fn an_agent_that_an_owner_ended_for_its_silence_was_silent_for_the_next_owner_too() {
    let world = World::new();
    let (told, go, _never) = (world.gate("told"), world.gate("go"), world.gate("never"));
    world
        .fake("fake")
        .turn(1, "trap 'echo ends > told; cat go > /dev/null; exit 1' TERM; message hello; cat never");
    world.write("flow.yaml", &flow(", idle_timeout: 1s"));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(told.wait(), "ends\n");
    run.kill();
    go.open();
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert_eq!(status.code(), Some(1), "{out}");
    let record = world.record();
    let step = record.step(&"fix".parse().unwrap()).unwrap();
    assert_eq!((step.failure, step.summary.as_deref()), (Some(FailureClass::Stall), Some("silent for 1s")));
    assert_eq!(world.read("fake/calls").lines().count(), 1, "it is not begun again");
}

/// A wall clock that the test moves.
#[derive(Debug, Default)]
struct Moved(Mutex<Duration>);

impl Clock for Moved {
    fn wall(&self) -> Timestamp {
        SystemClock.wall().plus(*self.0.lock().unwrap())
    }

    fn asleep(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn resume_now_asks_an_agent_again_that_met_a_limit_and_goes_on_in_its_session() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "tool t1 'echo one'; fails 'you hit your usage limit'").turn(2, "message done; ends");
    world.write("flow.yaml", "backstay: 1\nname: flow\nsteps: [{id: fix, agent: fake, prompt: x}]\n");
    let owner = world.start(&["run", "flow.yaml"]);
    let _waits = world.record_when("waits for the limit", |record| {
        record.steps.iter().any(|step| step.limit.as_ref().is_some_and(|limit| !limit.is_end_known))
    });
    owner.kill();
    // In a pipe no screen shows what it waits for.
    let resumed = world.start(&["resume", "@last"]);
    resumed.wait_for("fake's limit has no known end: asks again");
    resumed.wait_for("--now` tries at once");
    let _owned = world.record_when("is owned again", |record| !record.interruptions.is_empty());
    let shown = String::from_utf8(world.run(&["show"]).stdout).unwrap();
    assert!(shown.contains("--now") && shown.contains("asks the agent again at once"), "{shown}");
    let output = world.run(&["resume", "@last", "--now"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let calls = fake.calls();
    assert!(calls.len() == 2 && calls[1].contains("resume session-1"), "{calls:?}");
    let (status, out) = resumed.end();
    assert!(status.success(), "{out}");
}

#[test]
fn a_limit_parks_the_step_until_its_end_by_the_wall_clock() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "tool t1 'echo one'; fails 'you hit your usage limit, try again in 3h'")
        .turn(2, "message done; ends");
    block_on(async {
        let clock = Arc::new(Moved::default());
        let store = open(&world).await.with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let presets =
            Presets::with_configuration("config.toml", &world.read("user/backstay/config.toml")).unwrap();
        let run = request_with(&store, &world, &flow(""), presets).await;
        let owner = owner(&store).await;
        let switch = StopSwitch::default();
        let waits = async {
            let limit = loop {
                let step = store.view(run).await.unwrap().record.step(&"fix".parse().unwrap()).cloned();
                match step.and_then(|step| step.limit) {
                    Some(limit) => break limit,
                    None => tokio::task::yield_now().await,
                }
            };
            let left = limit.until.since(clock.wall());
            assert!(
                left > Duration::from_secs(3 * 3_600 - 120) && left < Duration::from_secs(3 * 3_600 + 120)
            );
            let row = &store.runs(backstay_log::TopicFilter::default()).await.unwrap()[0];
            assert_eq!(row.summary.limit.as_ref(), Some(&limit));
            assert_eq!(row.wake_at, Some(limit.until));
            // A word in between wakes the owner, and changes nothing before its time.
            for moved in [Duration::from_secs(3 * 3_600 - 600), Duration::from_secs(3 * 3_600 + 600)] {
                assert_eq!(fake.calls().len(), 1);
                *clock.0.lock().unwrap() = moved;
                let said = store.say(run, ResumeRequested { by: actor(), now: false }).await.unwrap();
                store.verdict(run, said).await.unwrap();
            }
        };
        let (end, ()) = tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), waits);
        end.expect("the run ends");
        let record = store.view(run).await.unwrap().record;
        let step = record.step(&"fix".parse().unwrap()).unwrap();
        assert_eq!(step.stage, StepStage::Done { status: backstay_model::event::StepStatus::Succeeded });
        assert_eq!((step.attempts.len(), step.limit.as_ref()), (2, None));
    });
    assert_eq!(fake.calls()[1], "exec --write resume session-1 -");
}

#[test]
fn what_is_wrong_with_an_agent_is_told_before_anything_is_started() {
    let world = World::new();
    drop(world.fake("fake"));
    world.write("flow.yaml", "backstay: 1\nsteps: [{id: a, agent: fakee, prompt: x}]\n");
    let output = world.run(&["check", "flow.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no agent `fakee`") && told.contains("did you mean `fake`?"), "{told}");
    world.write("flow.yaml", &flow(""));
    assert!(world.run(&["check", "flow.yaml"]).status.success());
    assert!(world.run(&["run", "flow.yaml", "--dry-run", "--agent", "fake=claude"]).status.success());
    std::fs::create_dir(world.path().join(".backstay")).unwrap();
    world.write(".backstay/config.toml", "[agents.fake]\nprogramm = \"x\"\n");
    let output = world.run(&["run", "flow.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(".backstay/config.toml:2:1") && told.contains("did you mean `program`?"), "{told}");
    assert!(world.only_run().is_none());
}

/// Some programs take their folder from the environment; the owner's own one is another.
#[test]
fn work_is_told_the_folder_that_it_works_in() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: f\nsteps: [{id: a, command: [printenv, PWD]}]\noutputs: {at: \"${{ steps.a.output }}\"}\n",
    );
    let (status, out) = world.start_with(&["run", "flow.yaml"], &[("PWD", "/elsewhere")]).end();
    assert!(status.success(), "{out}");
    let here = world.path().canonicalize_utf8().unwrap();
    assert_eq!(world.record().outputs, Some(Text::of(&format!("{{\"at\":\"{here}\"}}"))));
}

/// An agent whose output is text, as aider's is: with a refused key it says so on stdout and ends with 0.
const BY_TEXT: &str = r#"
[agents.plain]
program = "bash"
start = ["-c", "{prompt}"]
prompt = { via = "arg", arg = ["{prompt}"] }
access.write = { args = [] }

[agents.plain.signs]
success = ["tokens: "]
failure = ["AuthenticationError"]
login = ["AuthenticationError"]
"#;

#[test]
fn an_agent_whose_output_is_text_says_by_signs_how_its_turn_ended() {
    let world = World::new();
    world.configure(BY_TEXT);
    let refused = "litellm.AuthenticationError: OpenAIException - Incorrect API key provided";
    for (prompt, exit_code, status, words) in [
        ("echo changed; echo Tokens: 2k sent", 0, true, "changed"),
        (&*format!("echo asks; echo '{refused}'"), 1, false, refused),
        (&*format!("echo asks; echo '{refused}' >&2"), 1, false, refused),
        ("echo began", 1, false, "exit 0 in the middle of the agent's turn"),
    ] {
        let flow = format!(
            "backstay: 1\nname: flow\nsteps:\n  - {{id: fix, agent: plain, prompt: \"{prompt}\"}}\noutputs: {{said: \"${{{{ steps.fix.output }}}}\"}}\n"
        );
        world.write("flow.yaml", &flow);
        let output = world.run(&["run", "flow.yaml"]);
        assert_eq!((output.status.code(), output.status.success()), (Some(exit_code), status), "{prompt}");
        let shown = String::from_utf8(world.run(&["show", "@last", "--json"]).stdout).unwrap();
        assert!(shown.contains(words), "{prompt}: {shown}");
        assert_eq!(shown.contains("\"login\""), words == refused, "{prompt}: {shown}");
    }
}

/// An agent that prints lines of JSON of its own.
const BY_LINES: &str = r#"
[agents.lines]
program = "bash"
start = ["-c", "{prompt}"]
prompt = { via = "arg", arg = ["{prompt}"] }
access.write = { args = [] }
stream = "json_lines"
session = "from_stream"
signs.login = ["bad key"]

[[agents.lines.lines]]
when = { type = "begin" }
session = "session"
model = "model"

[[agents.lines.lines]]
when = { type = "text" }
message = "text"

[[agents.lines.lines]]
when = { type = "end" }
usage = { span = "process", input = ["usage.in", "usage.cached"], output = "usage.out", cost_usd = "usage.usd" }
turn_ended = { ok = { error = { present = false } }, failure = "error" }
"#;

/// The same as a command that a workflow describes.
const BY_COMMAND: &str = r#"agents:
  lines:
    command: [bash]
    via: file
    stream: json_lines
    signs: {login: [bad key]}
    lines:
      - {when: {type: begin}, session: session, model: model}
      - {when: {type: text}, message: text}
      - when: {type: end}
        usage: {span: process, input: [usage.in, usage.cached], output: usage.out, cost_usd: usage.usd}
        turn_ended: {ok: {error: {present: false}}, failure: error}
"#;

#[test]
fn an_agent_that_prints_its_own_lines_of_json_is_read_by_the_rules_of_its_configuration_or_of_the_workflow() {
    let begin = r#"echo '{"type":"begin","session":"s-1","model":"m1"}'; echo '{"type":"text","text":"All is green."}'"#;
    let odd = r#"echo '{"type":"end","usage":{"in":-7,"out":"x"}}'; echo '{"type":"end","usage":{"in":-8}}'"#;
    let well = r#"echo '{"type":"end","usage":{"in":2000,"cached":40,"out":10,"usd":0.25}}'"#;
    let refused = r#"echo '{"type":"end","error":"Bad key given","usage":{"in":1}}'"#;
    for (described, preset) in [(false, "lines"), (true, "cmd:lines")] {
        let world = World::new();
        if !described {
            world.configure(BY_LINES);
        }
        let agents = if described { BY_COMMAND } else { "" };
        let run = |end: &str| {
            let prompt = [begin, end].map(|line| format!("\n      {line}")).concat();
            let flow = format!(
                "backstay: 1\nname: flow\n{agents}steps:\n  - id: fix\n    agent: lines\n    prompt: |{prompt}\noutputs: {{said: \"${{{{ steps.fix.output }}}}\"}}\n"
            );
            world.write("flow.yaml", &flow);
            let output = world.run(&["run", "flow.yaml"]);
            let shown = String::from_utf8(world.run(&["show", "@last"]).stdout).unwrap();
            (output.status.code(), shown)
        };
        let (code, shown) = run(well);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains("All is green.") && shown.contains("0.25 USD"), "{shown}");
        let record = world.record();
        assert_eq!(record.outputs, Some(Text::of("{\"said\":\"All is green.\"}")));
        let agent = agent(&record, "fix", 0);
        assert_eq!(
            (agent.preset.as_str(), agent.session.as_deref(), agent.model.as_deref()),
            (preset, Some("s-1"), Some("m1"))
        );
        let usage = agent.usage.expect("it told its usage");
        assert_eq!((usage.input, usage.output), (Some(2_040), Some(10)));

        let (code, shown) = run(refused);
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("Bad key given") && shown.contains("not logged in"), "{shown}");
        let (code, shown) = run("true");
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("in the middle of the agent's turn"), "{shown}");
        let (code, _) = run(odd);
        assert_eq!(code, Some(0));
        let events = String::from_utf8(world.run(&["events", "@last"]).stdout).unwrap();
        let told = "the agent's lines have -7 at `usage.in`, where a count is expected";
        assert!(events.contains(told), "{events}");
        assert!(!events.contains("have -8"), "a wrong value is told once: {events}");
        let logs = String::from_utf8(world.run(&["logs", "@last"]).stdout).unwrap();
        assert_eq!(logs.matches("at `usage.in`").count(), 1, "{logs}");
    }
}
