//! Agents that are known by presets: sessions, limits, fallbacks, answers.

use std::time::Duration;

use backstay_model::event::{
    Because, Event, FactEvent, Intervened, LostEvidence, Said, SaidOn, SessionWish, StepContinues, Tokens,
    Usage, UsageSpan,
};
use backstay_model::{Text, Timestamp};

use super::Bench;
use super::bench::{ended, exited};
use super::say::{again, me, resume, suspend};
use crate::Rejection;
use crate::effect::Desired;
use crate::record::LimitWait;
use crate::record::RunStatus;
use crate::run::{AgentTask, Opening, Predecessor, Prompt, Task};
use crate::{AgentEnded, EndedBy, ProcessEnded, Report, Trouble, TurnEnd};

const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;

pub(super) fn one(rest: &str) -> Bench {
    Bench::begun(&format!("- {{id: a, agent: codex, prompt: Do it., {rest}}}"))
}

pub(super) fn with_fallback(rest: &str) -> Bench {
    Bench::begun(&format!("- {{id: a, agent: {{use: codex, fallback: [claude]}}, prompt: Do it., {rest}}}"))
}

impl Bench {
    fn says(&mut self, step: &str, said: &[(u64, Said)]) -> Vec<String> {
        let (effect, attempt) = self.in_flight(step);
        self.report(Report::Said { effect, attempt, on: SaidOn::Stdout, said: said.to_vec() })
    }

    pub(super) fn begins_session(&mut self, step: &str, id: &str) {
        self.says(step, &[(10, Said::SessionStarted { id: id.to_owned(), model: None })]);
    }

    /// Its model answers in the session.
    pub(super) fn works_in_session(&mut self, step: &str, id: &str) {
        self.begins_session(step, id);
        self.says(step, &[(20, message("at work"))]);
    }

    fn ends_well(&mut self, step: &str, answer: &str) -> Vec<String> {
        self.ends_with(step, answer, None)
    }

    /// The runtime holds the output against the step's schema.
    fn ends_with(&mut self, step: &str, answer: &str, problem: Option<&str>) -> Vec<String> {
        let (output, shape_problem) = (Some(self.keep(answer)), problem.map(str::to_owned));
        self.end(step, ProcessEnded { output, shape_problem, ..agent(TurnEnd::Succeeded, None, exited(0)) })
    }

    pub(super) fn fails(&mut self, step: &str, trouble: Option<Trouble>) -> Vec<String> {
        self.end(
            step,
            agent(TurnEnd::Failed { failure: Some("It broke.\nmore".to_owned()) }, trouble, exited(1)),
        )
    }

    pub(super) fn meets_limit(&mut self, step: &str, in_ms: Option<u64>) -> Vec<String> {
        let reset_at = in_ms.map(|ms| self.now.plus(Duration::from_millis(ms)));
        self.fails(step, Some(Trouble::Limit { reset_at, message: "limit".to_owned() }))
    }

    /// What the last start of an agent was told.
    pub(super) fn told(&self) -> &AgentTask {
        self.starts.last().and_then(|spec| spec.agent()).expect("an agent was started")
    }

    /// What it had to know before its task.
    pub(super) fn opening(&self) -> &Opening {
        assert_eq!(self.told().prompt.task, "Do it.");
        &self.told().prompt.opening
    }

    fn continued(&self) -> Vec<StepContinues> {
        let events = self.log.iter().map(|recorded| Event::decode(recorded).unwrap());
        let of = |event| match event {
            Event::Fact(FactEvent::StepContinues(continues)) => Some(continues),
            _ => None,
        };
        events.filter_map(of).collect()
    }

    pub(super) fn wait(&self) -> Duration {
        self.machine.next_timer().expect("something waits").since(self.now)
    }
}

fn agent(turn: TurnEnd, trouble: Option<Trouble>, process: ProcessEnded) -> ProcessEnded {
    ProcessEnded { agent: Some(AgentEnded { turn, trouble }), ..process }
}

fn message(line: &str) -> Said {
    Said::Message { text: Text::of(line), line: line.to_owned(), piece: false }
}

fn tool(line: &str) -> Said {
    Said::ToolStarted { call: "1".to_owned(), name: "shell".to_owned(), line: line.to_owned() }
}

fn used(span: UsageSpan, input: u64) -> Said {
    Said::Usage(Usage { span, tokens: Tokens { input: Some(input), ..Tokens::default() } })
}

#[test]
fn a_prompt_that_its_values_leave_empty_fails_its_step_and_starts_no_agent() {
    let why = "`${{ steps.a.output }}`: the prompt is empty: give what it prints a value, or leave the step out with `if`";
    for nothing in ["", " \n\t"] {
        let mut bench =
            Bench::begun("- {id: a, run: 'true'}\n- {id: b, agent: codex, prompt: '${{ steps.a.output }}'}");
        assert_eq!(
            bench.print("a", nothing),
            [
                "a ended 1 succeeded".to_owned(),
                "a succeeded: exit 0".to_owned(),
                "b started".to_owned(),
                format!("b failed: `b`: {why}"),
            ],
            "{nothing:?}"
        );
        assert_eq!(bench.look(), [format!("run failed: b: `b`: {why}")], "{nothing:?}");
    }
}

#[test]
fn an_agent_by_preset_is_told_and_its_answer_is_its_output() {
    let mut bench = Bench::begun(
        "- {id: a, agent: {use: codex, model: m, args: [-c, x]}, access: read, prompt: \"Do ${{ run.workflow }}.\"}\n- {id: b, run: 'echo ${{ steps.a.output }} ${{ steps.a.summary }}'}",
    );
    let effect = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:a:main";
    let fresh = backstay_model::event::session_name(backstay_model::Digest::of(
        format!("{effect}:1:session").as_bytes(),
    ));
    let work = bench.starts[0].clone();
    assert_eq!(work.preview(), "codex: Do t.");
    assert_eq!((work.timeout_ms, work.idle_notice_ms), (Some(2 * HOUR_MS), 10 * MINUTE_MS));
    let expected = AgentTask {
        preset: "codex".to_owned(),
        prompt: Prompt { task: "Do t.".to_owned(), opening: Opening::First },
        via: None,
        access: backstay_model::event::Access::Read,
        model: Some("m".to_owned()),
        args: vec!["-c".to_owned(), "x".to_owned()],
        session: SessionWish::Fresh { id: fresh },
        schema: None,
    };
    assert_eq!(work.agent(), Some(&expected));
    assert_eq!(
        bench.ends_well("a", "\nAll is green.\nTwo files changed.\n"),
        ["a ended 1 succeeded", "a succeeded: All is green.", "b started", "b starting 1"]
    );
    assert!(bench.starts[1].env.iter().any(|(_, value)| value == "\nAll is green.\nTwo files changed."));
}

#[test]
fn what_an_agent_says_becomes_facts_once_also_where_it_is_read_again() {
    let mut bench = one("");
    assert_eq!(
        bench.says("a", &[(10, message("hello")), (20, tool("$ ls")), (20, used(UsageSpan::Process, 5))]),
        ["a said hello to 10", "a said $ ls to 20", "a said Usage to 20"]
    );
    let (effect, attempt) = bench.in_flight("a");
    assert_eq!(bench.machine.output_read(&effect, attempt).stdout, 20);
    bench.crash();
    assert_eq!(bench.machine.output_read(&effect, attempt).stdout, 20);
    let again = [(10, message("hello")), (20, tool("$ ls")), (31, message("bye")), (31, tool("$ cat"))];
    assert_eq!(bench.says("a", &again), ["a said bye to 31", "a said $ cat to 31"]);
    bench.ends_well("a", "done");
    let late = Report::Said { effect, attempt, on: SaidOn::Stdout, said: vec![(40, message("late"))] };
    assert_eq!(bench.report(late), [""; 0], "what has its end says nothing more");
}

#[test]
fn a_probe_is_no_agent_and_says_nothing() {
    let mut bench = one("after_crash: {probe: 'true'}");
    bench.says("a", &[(10, message("hello"))]);
    bench.lose("a", LostEvidence::KeeperDead);
    assert_eq!(bench.desired(), ["a probe hold 1"]);
    assert_eq!(bench.says("a", &[(5, message("more"))]), [""; 0]);
}

#[test]
fn the_agents_own_word_decides_not_the_exit_code_alone() {
    let bad = |failure: Option<&str>| TurnEnd::Failed { failure: failure.map(str::to_owned) };
    for (turn, process, expected) in [
        (TurnEnd::Succeeded, exited(3), "a succeeded: exit 3"),
        (bad(Some("No.\nAt all.")), exited(0), "a failed: No."),
        (bad(None), exited(1), "a failed: the agent's turn did not end well (exit 1)"),
        (TurnEnd::Truncated, exited(0), "a failed: exit 0 in the middle of the agent's turn"),
        (TurnEnd::Unknown, exited(0), "a succeeded: exit 0"),
        (TurnEnd::Unknown, exited(3), "a failed: exit 3"),
        (TurnEnd::Truncated, ended(EndedBy::Timeout), "a failed: took longer than 2h00m"),
    ] {
        let mut bench = one("");
        let facts = bench.end("a", agent(turn.clone(), None, process));
        assert!(facts.contains(&expected.to_owned()), "{turn:?}: {facts:?}");
    }
}

#[test]
fn an_agent_that_had_ended_its_turn_when_it_was_stopped_has_done_its_work() {
    let mut bench = one("");
    bench.say(suspend());
    bench.settle();
    let output = Some(bench.keep("Done."));
    let process = ProcessEnded { output, ..agent(TurnEnd::Succeeded, None, ended(EndedBy::Stop)) };
    assert_eq!(bench.end("a", process), ["a ended 1 succeeded", "a succeeded: Done.", "run suspended"]);
}

#[test]
fn a_time_budget_that_ends_after_the_turn_did_is_not_told() {
    for by in [EndedBy::Timeout, EndedBy::IdleTimeout] {
        let ends = |turn: TurnEnd, answer: &str| {
            let mut bench = one("idle_timeout: 5m, output: json");
            let output = Some(bench.keep(answer));
            let facts = bench.end("a", ProcessEnded { output, ..agent(turn, None, ended(by)) });
            let timed_out = bench.record.step(&"a".parse().unwrap()).unwrap().attempts[0].timed_out;
            (facts, timed_out.is_some())
        };
        let (facts, is_timed_out) = ends(TurnEnd::Succeeded, "1");
        assert_eq!(facts[..2], ["a ended 1 succeeded", "a succeeded: 1"]);
        assert!(!is_timed_out, "{by:?}");
        let (facts, is_timed_out) = ends(TurnEnd::Succeeded, "I cannot.");
        assert_eq!(facts[0], "a ended 1 failed InvalidOutput");
        assert!(!is_timed_out, "{by:?}");
        let (facts, is_timed_out) = ends(TurnEnd::Truncated, "");
        assert!(is_timed_out, "{by:?}: {facts:?}");
    }
}

#[test]
fn an_interrupted_or_lost_attempt_goes_on_in_its_own_session() {
    let mut bench = one("");
    bench.begins_session("a", "s1");
    bench.say(suspend());
    bench.settle();
    bench.end("a", agent(TurnEnd::Truncated, None, ended(EndedBy::Stop)));
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle()[2..], ["a starting 2 codex in s1"]);
    assert!(matches!(bench.opening(), Opening::Interrupted { by_person: false }));
    bench.lose("a", LostEvidence::KeeperDead);
    assert_eq!(bench.settle(), [""; 0]);
    assert_eq!(bench.told().session, {
        let SessionWish::Continue { fresh, .. } = bench.told().session.clone() else {
            panic!("it begins anew")
        };
        SessionWish::Continue { id: "s1".to_owned(), fresh }
    });
    bench.ends_well("a", "done");
}

#[test]
fn a_session_that_is_chosen_before_the_start_is_known_though_nothing_was_said() {
    let mut bench = one("");
    let (effect, attempt) = bench.in_flight("a");
    let SessionWish::Fresh { id } = bench.told().session.clone() else { panic!("the first one is new") };
    let running = backstay_model::event::AgentRunning { version: None, session: Some(id.clone()) };
    let (folder, agent) = ("p".to_owned(), Some(running));
    bench.report(Report::Running {
        effect,
        attempt,
        pid: 1,
        keeper_pid: 2,
        folder: folder.parse().unwrap(),
        before: None,
        agent,
    });
    bench.lose("a", LostEvidence::KeeperDead);
    assert!(matches!(&bench.told().session, SessionWish::Continue { id: known, .. } if *known == id));
}

#[test]
fn after_crash_rerun_begins_anew() {
    let mut bench = one("after_crash: rerun");
    bench.begins_session("a", "s1");
    let facts = bench.lose("a", LostEvidence::KeeperDead);
    assert_eq!(facts.last().unwrap(), "a starting 2 codex fresh");
    assert_eq!(*bench.opening(), Opening::First);
}

#[test]
fn an_agent_whose_process_was_killed_goes_on_three_times() {
    let killed = || agent(TurnEnd::Truncated, None, ProcessEnded { signal: Some(9), ..ended(EndedBy::Exit) });
    let mut bench = one("");
    // At once the first time, then with growing pauses: what ends it may need a while to go away.
    for (attempt, pause_s) in [(1, 0), (2, 5), (3, 10)] {
        bench.begins_session("a", "s1");
        let mut facts = bench.end("a", killed());
        let later = if pause_s > 0 { " later" } else { "" };
        if pause_s > 0 {
            assert_eq!(bench.wait(), Duration::from_secs(pause_s));
            assert_eq!(bench.machine.waits_for_limit(), None);
            bench.later(pause_s * 1_000);
            facts.extend(bench.settle().into_iter().skip(1));
        }
        assert_eq!(
            facts,
            [
                format!("a ended {attempt} failed Crash"),
                format!("a continues after {attempt} by codex{later}: cut short"),
                format!("a starting {} codex in s1", attempt + 1)
            ]
        );
    }
    bench.begins_session("a", "s1");
    assert_eq!(bench.end("a", killed())[1], "a failed: ended by signal 9 in the middle of the agent's turn");
    assert!(one("after_crash: fail").end("a", killed())[1].starts_with("a failed: ended by signal 9"));
    let mut bench = one("after_crash: rerun");
    bench.begins_session("a", "s1");
    assert_eq!(bench.end("a", killed())[2], "a starting 2 codex fresh");
}

#[test]
fn a_limit_parks_the_step_until_its_end_and_spends_no_attempt() {
    let mut bench = one("retry: 1");
    bench.works_in_session("a", "s1");
    for attempt in 1..=3 {
        let facts = bench.meets_limit("a", Some(HOUR_MS));
        let expected = [
            format!("a ended {attempt} failed RateLimit"),
            format!("a continues after {attempt} by codex later: limit"),
        ];
        assert_eq!(facts, expected);
        // The end is told to the minute, and those that wait do not come back all at once.
        let wait = bench.wait();
        assert!(wait >= Duration::from_secs(3_660) && wait <= Duration::from_secs(3_675), "{wait:?}");
        let LimitWait { agent, until, is_end_known } = bench.machine.waits_for_limit().cloned().unwrap();
        assert_eq!(
            (agent.as_str(), until, is_end_known),
            ("codex", bench.machine.next_timer().unwrap(), true)
        );
        assert_eq!(bench.machine.summary().limit.unwrap().until, until);
        assert_eq!(bench.machine.wake_at(bench.now), Some(until), "nobody has to stay for it");
        assert_eq!(bench.record.step(&"a".parse().unwrap()).unwrap().limit.as_ref().unwrap().until, until);
        bench.crash();
        assert_eq!(bench.settle(), [""; 0]);
        bench.now = until;
        assert_eq!(
            bench.settle(),
            ["a timer fired".to_owned(), format!("a starting {} codex in s1", attempt + 1)]
        );
        assert_eq!(bench.machine.waits_for_limit(), None);
        // It works for a while before it meets the next one.
        bench.says("a", &[(20, message("hello"))]);
    }
    bench.fails("a", None);
    bench.later(HOUR_MS);
    assert_eq!(bench.settle(), ["a timer fired", "a starting 5 codex fresh"], "the retry is still there");
}

#[test]
fn a_limit_without_an_end_is_waited_for_longer_each_time() {
    let mut bench = one("max_wait: 10h");
    for minutes in [5, 10, 20, 40, 60, 60] {
        bench.meets_limit("a", None);
        assert!(!bench.machine.waits_for_limit().unwrap().is_end_known);
        let wait = bench.wait().as_millis();
        let least = u128::from(minutes * MINUTE_MS);
        assert!((least..=least + 15_000).contains(&wait), "{minutes} min: {wait} ms");
        bench.now = bench.machine.next_timer().unwrap();
        bench.settle();
    }
    bench.says("a", &[(10, tool("$ ls"))]);
    bench.meets_limit("a", None);
    assert!(bench.wait() <= Duration::from_secs(5 * 60 + 15), "it worked meanwhile");
}

#[test]
fn limits_in_a_row_are_waited_for_no_longer_than_max_wait() {
    let mut bench = one("");
    let facts = bench.meets_limit("a", Some(7 * HOUR_MS));
    assert_eq!(facts[1], "a failed: limit (the wait of 7h00m is longer than `max_wait`, 6h00m)");

    let mut bench = one("max_wait: 90m");
    bench.meets_limit("a", Some(HOUR_MS));
    bench.now = bench.machine.next_timer().unwrap();
    bench.settle();
    let facts = bench.meets_limit("a", Some(HOUR_MS));
    assert!(facts[1].starts_with("a failed: limit (the wait of 2h01m is longer than"), "{facts:?}");
}

#[test]
fn on_limit_fail_fails_and_retries_are_what_the_step_says() {
    let facts = one("on_limit: fail").meets_limit("a", Some(HOUR_MS));
    assert_eq!(facts[..2], ["a ended 1 failed RateLimit", "a failed: limit"]);
    let facts = one("on_limit: fail, retry: {max: 1, errors: [rate_limit]}").meets_limit("a", Some(HOUR_MS));
    assert_eq!(facts[1], "a retries after 1 RateLimit");
}

#[test]
fn a_fallback_is_told_what_was_done_before_it() {
    let tool = |line: &str| Said::ToolStarted {
        call: line.to_owned(),
        name: "shell".to_owned(),
        line: line.to_owned(),
    };
    let piece = |text: &str| Said::Message { text: Text::of(text), line: text.to_owned(), piece: true };
    let mut bench = with_fallback("");
    bench.works_in_session("a", "s1");
    let said = [(30, tool("ls")), (40, piece("Half of it\n")), (50, piece("is done."))];
    bench.says("a", &said);
    bench.meets_limit("a", Some(3 * HOUR_MS));
    let message = "Half of it
is done."
        .to_owned();
    let handed_over = Opening::HandedOver(Predecessor { agent: "codex".to_owned(), message, tools: 1 });
    assert_eq!(*bench.opening(), handed_over);

    // One that does nothing before it is replaced has nothing to hand over: the next one hears of the one before.
    bench.now = bench.machine.next_timer().unwrap_or(bench.now);
    bench.later(4 * HOUR_MS);
    assert_eq!(bench.meets_limit("a", Some(HOUR_MS))[1], "a continues after 2 by codex: limit");
    assert_eq!(*bench.opening(), handed_over);

    // In its own session it knows.
    bench.works_in_session("a", "s2");
    let killed = Some(Trouble::Network { message: "away".to_owned() });
    bench.fails("a", killed);
    bench.later(HOUR_MS);
    bench.settle();
    assert_eq!(*bench.opening(), Opening::Interrupted { by_person: false });
}

#[test]
fn an_agent_that_is_a_command_is_begun_again_after_a_kill_from_outside_as_a_preset_is() {
    let killed = || ProcessEnded { signal: Some(9), ..ended(EndedBy::Exit) };
    let text =
        || ProcessEnded { agent: Some(AgentEnded { turn: TurnEnd::Unknown, trouble: None }), ..killed() };
    let command = "- {id: a, agent: mine, prompt: Do it.}\nagents: {mine: {command: [x]}}";
    for (flow, end) in
        [(command, &killed as &dyn Fn() -> ProcessEnded), ("- {id: a, agent: codex, prompt: Do it.}", &text)]
    {
        let mut bench = Bench::begun(flow);
        for attempt in 1..=3 {
            let facts = bench.end("a", end());
            assert_eq!(facts[0], format!("a ended {attempt} failed Crash"), "{flow}");
            assert!(facts[1].starts_with(&format!("a continues after {attempt} ")), "{facts:?}");
            bench.later(10_000);
            bench.settle();
        }
        assert_eq!(bench.end("a", end())[1], "a failed: ended by signal 9", "{flow}");
    }
    // A script may well end by a signal of its own.
    let facts = Bench::begun("- {id: a, run: make}").end("a", killed());
    assert_eq!(facts[0], "a ended 1 failed Exit");
}

#[test]
fn a_command_that_takes_over_is_told_what_was_done() {
    let mut bench = Bench::begun(
        "- {id: a, agent: {use: codex, fallback: [mine]}, prompt: Do it.}\nagents: {mine: {command: [x]}}",
    );
    bench.works_in_session("a", "s1");
    bench.meets_limit("a", Some(HOUR_MS));
    let Task::Program { argv, prompt, .. } = &bench.starts.last().unwrap().task else {
        panic!("it is a program")
    };
    let predecessor = Predecessor { agent: "codex".to_owned(), message: "at work".to_owned(), tools: 0 };
    assert_eq!(argv.as_slice(), ["x"]);
    assert_eq!(prompt.opening, Opening::HandedOver(predecessor));
}

#[test]
fn the_network_is_tried_three_times_in_the_same_session() {
    let away = || Some(Trouble::Network { message: "away".to_owned() });
    let mut bench = one("");
    bench.works_in_session("a", "s1");
    for attempt in 1..=3 {
        assert_eq!(bench.fails("a", away())[1], format!("a retries after {attempt} Network"));
        bench.later(HOUR_MS);
        assert_eq!(bench.settle()[1], format!("a starting {} codex in s1", attempt + 1));
    }
    let facts = bench.fails("a", away());
    assert_eq!(facts[1], "a continues after 4 by codex later: unreachable", "then it is waited for");
}

#[test]
fn what_failed_by_itself_is_begun_anew() {
    let mut bench = one("retry: 1");
    bench.begins_session("a", "s1");
    bench.fails("a", None);
    bench.later(HOUR_MS);
    assert_eq!(bench.settle()[1], "a starting 2 codex fresh");
}

#[test]
fn a_session_that_is_not_there_is_begun_anew_and_one_that_is_there_is_gone_on_with_each_once() {
    let mut bench = one("");
    bench.begins_session("a", "s1");
    bench.lose("a", LostEvidence::KeeperDead);
    assert_eq!(
        bench.fails("a", Some(Trouble::SessionUnknown)),
        [
            "a ended 2 failed Session",
            "a continues after 2 by codex: session unknown",
            "a starting 3 codex fresh"
        ]
    );
    assert_eq!(*bench.opening(), Opening::First);
    let SessionWish::Fresh { id } = bench.told().session.clone() else { panic!("it goes on") };
    let facts = bench.fails("a", Some(Trouble::SessionInUse));
    assert_eq!(
        facts[1..],
        ["a continues after 3 by codex: session in use".to_owned(), format!("a starting 4 codex in {id}")]
    );
    let facts = bench.fails("a", Some(Trouble::SessionUnknown));
    assert_eq!(facts[1], "a failed: the agent does not know its session");
}

#[test]
fn a_session_that_another_process_works_in_is_waited_for_longer_each_time_and_then_begun_anew() {
    let mut bench = one("");
    bench.works_in_session("a", "s1");
    bench.lose("a", LostEvidence::KeeperDead);
    for (attempt, wait_s) in [(2, 30), (3, 60), (4, 120), (5, 240), (6, 480)] {
        let facts = bench.fails("a", Some(Trouble::SessionInUse));
        assert_eq!(facts[1..], [format!("a continues after {attempt} by codex later: session busy")]);
        assert_eq!(
            bench.machine.next_timer().unwrap().since(bench.now),
            std::time::Duration::from_secs(wait_s)
        );
        bench.now = bench.machine.next_timer().unwrap();
        assert_eq!(bench.settle()[1], format!("a starting {} codex in s1", attempt + 1));
    }
    let facts = bench.fails("a", Some(Trouble::SessionInUse));
    assert_eq!(facts[1..], ["a continues after 7 by codex: session busy", "a starting 8 codex fresh"]);
}

#[test]
fn a_limit_or_an_outage_at_the_first_request_is_waited_for_and_the_next_attempt_begins_a_new_session() {
    let mut bench = one("");
    for attempt in 1..=3 {
        bench.begins_session("a", "s1");
        bench.meets_limit("a", Some(HOUR_MS));
        bench.now = bench.machine.next_timer().unwrap();
        assert_eq!(bench.settle()[1], format!("a starting {} codex fresh", attempt + 1));
    }
    bench.begins_session("a", "s1");
    bench.fails("a", Some(Trouble::Network { message: "away".to_owned() }));
    bench.later(HOUR_MS);
    assert_eq!(bench.settle()[1], "a starting 5 codex fresh");
    bench.works_in_session("a", "s5");
    bench.meets_limit("a", Some(HOUR_MS));
    bench.now = bench.machine.next_timer().unwrap();
    assert_eq!(bench.settle()[1], "a starting 6 codex in s5", "it had answered there");
    bench.meets_limit("a", Some(HOUR_MS));
    bench.now = bench.machine.next_timer().unwrap();
    assert_eq!(bench.settle()[1], "a starting 7 codex in s5", "the session is older than the limit");
}

#[test]
fn a_fresh_session_is_allowed_again_after_an_attempt_that_ended_for_another_reason() {
    let mut bench = one("max_wait: 100h");
    for attempt in [1, 3, 5] {
        bench.works_in_session("a", "s1");
        bench.meets_limit("a", Some(HOUR_MS));
        bench.now = bench.machine.next_timer().unwrap();
        assert_eq!(bench.settle()[1], format!("a starting {} codex in s1", attempt + 1));
        let facts = bench.fails("a", Some(Trouble::SessionUnknown));
        assert_eq!(facts[2], format!("a starting {} codex fresh", attempt + 2));
    }
    let facts = bench.fails("a", Some(Trouble::SessionUnknown));
    assert_eq!(facts[1], "a failed: the agent does not know its session", "once without another reason");
}

#[test]
fn a_turn_without_a_known_end_is_told_with_the_limit_or_the_last_line_that_explains_it() {
    for (trouble, expected) in [
        (
            Trouble::LongLines { lines: 1, limit_bytes: 4_194_304 },
            "a failed: exit 0, and how the agent's turn ended is unknown: lines of its output that are longer than 4194304 bytes are not read (1 found)",
        ),
        (
            Trouble::Unexplained { message: "it broke".to_owned() },
            "a failed: exit 0 in the middle of the agent's turn: it broke",
        ),
    ] {
        let facts = one("").end("a", agent(TurnEnd::Truncated, Some(trouble), exited(0)));
        assert_eq!(facts[1], expected);
    }
}

#[test]
fn session_keep_goes_on_over_the_passes_of_a_loop_and_over_a_new_try() {
    let mut bench = Bench::begun(
        "- id: green\n  repeat: {until: steps.test.ok, max_cycles: 2, min_cycle: 1ms}\n  steps:\n    - {id: code, agent: codex, session: keep, prompt: Do it.}\n    - {id: plan, agent: claude, prompt: Plan it.}\n    - {id: test, run: make, accept_exit: 0-9}",
    );
    bench.begins_session("code", "s1");
    bench.ends_well("code", "done");
    bench.begins_session("plan", "p1");
    let facts = bench.ends_well("plan", "done");
    assert_eq!(facts.last().unwrap(), "green~1/test starting 1");
    bench.later(1_000);
    bench.end("test", exited(0));
    // The condition was true: the loop is through, so nothing goes on; a second run of it fails twice.
    assert_eq!(bench.status(), crate::record::RunStatus::Completed);

    let mut bench = Bench::begun(
        "- id: green\n  repeat: {until: steps.test.exit_code == 0, max_cycles: 2, min_cycle: 1ms}\n  steps:\n    - {id: code, agent: codex, session: keep, prompt: Do it.}\n    - {id: test, run: make, accept_exit: 0-9}",
    );
    bench.begins_session("code", "s1");
    bench.ends_well("code", "done");
    bench.later(1_000);
    bench.exit("test", 1);
    bench.settle();
    assert!(matches!(&bench.told().session, SessionWish::Continue { id, .. } if id == "s1"));
    assert_eq!(*bench.opening(), Opening::First, "this is no interruption");
    bench.begins_session("code", "s2");
    bench.ends_well("code", "done");
    bench.later(1_000);
    bench.exit("test", 1);
    bench.settle();
    assert_eq!(bench.status(), crate::record::RunStatus::Failed);
    bench.say(again());
    bench.settle();
    let code = bench.try_in_flight("code");
    assert!(code.is_some(), "{:?}", bench.desired());
    assert!(matches!(&bench.told().session, SessionWish::Continue { id, .. } if id == "s2"));
}

#[test]
fn a_session_of_another_step_is_gone_on_with_or_copied() {
    let steps = |session: &str, agent: &str| {
        format!(
            "- {{id: plan, agent: codex, prompt: Plan.}}\n- {{id: a, agent: {agent}, session: {session}, prompt: Do.}}"
        )
    };
    for (session, agent, expected) in [
        ("{from: plan}", "codex", "a starting 1 codex in s1"),
        ("{from: plan, fork: true}", "codex", "a starting 1 codex copy of s1"),
        ("{from: plan}", "claude", "a starting 1 claude fresh"),
    ] {
        let mut bench = Bench::begun(&steps(session, agent));
        bench.begins_session("plan", "s1");
        let facts = bench.ends_well("plan", "done");
        assert_eq!(facts.last().unwrap(), expected);
    }
}

#[test]
fn an_answer_without_the_shape_is_mended_once_in_the_same_session() {
    let mut bench = one("schema: s.json");
    bench.begins_session("a", "s1");
    let facts = bench.ends_with("a", "{\"m\": 1}", Some("\"n\" is a required property"));
    let problem = "the output does not match its schema: \"n\" is a required property";
    assert_eq!(
        facts,
        [
            "a ended 1 failed InvalidOutput".to_owned(),
            format!("a continues after 1 by codex: {problem}"),
            "a starting 2 codex in s1".to_owned()
        ]
    );
    let rejected = Opening::Rejected { problem: problem.to_owned(), knows_task: true, predecessor: None };
    assert_eq!(*bench.opening(), rejected);
    assert_eq!(bench.told().schema.as_deref(), Some(r#"{"required": ["n"], "type": "object"}"#));
    let mut mended = bench.clone();
    let facts = mended.ends_well("a", "```json\n{\"n\": 2}\n```\n");
    assert_eq!(facts[1], "a succeeded: ```json");
    let output = mended.record.step(&"a".parse().unwrap()).unwrap().output.clone();
    assert_eq!(output, Some(Text::of("{\"n\": 2}")));
    let facts = bench.ends_well("a", "I cannot.");
    assert!(
        facts[1].starts_with("a failed: the output is not one JSON value: line 1, column 1 is no JSON"),
        "{facts:?}"
    );
    let output = bench.record.step(&"a".parse().unwrap()).unwrap().output.clone();
    assert_eq!(output, Some(Text::of("\"I cannot.\"")), "the text is kept");
}

#[test]
fn a_commands_output_is_held_against_its_schema_too() {
    let read = |output: &str, shape_problem: Option<&str>| {
        let mut bench = Bench::begun(
            "- {id: a, agent: mine, prompt: Do it., schema: s.json}\nagents: {mine: {command: [x]}}",
        );
        let (output, shape_problem) = (Some(bench.keep(output)), shape_problem.map(str::to_owned));
        bench.end("a", ProcessEnded { output, shape_problem, ..exited(0) })[1].clone()
    };
    assert_eq!(read("{\"n\": 1}", None), "a succeeded: exit 0");
    assert_eq!(
        read("{}", Some("\"n\" is a required property")),
        "a failed: the output does not match its schema: \"n\" is a required property"
    );
}

#[test]
fn c3_usage_is_kept_by_attempt_and_a_session_counts_once() {
    let mut bench = one("retry: {max: 1, errors: [timeout]}");
    bench.begins_session("a", "s1");
    bench.says("a", &[(20, used(UsageSpan::Session, 10))]);
    bench.says("a", &[(30, used(UsageSpan::Session, 100))]);
    bench.end("a", agent(TurnEnd::Truncated, None, ended(EndedBy::Timeout)));
    bench.later(HOUR_MS);
    bench.settle();
    bench.begins_session("a", "s1");
    bench.says("a", &[(40, used(UsageSpan::Session, 130))]);
    bench.lose("a", LostEvidence::KeeperDead);
    bench.ends_well("a", "done");
    let record = bench.record.step(&"a".parse().unwrap()).unwrap();
    let told: Vec<Option<u64>> = record
        .attempts
        .iter()
        .map(|attempt| attempt.agent.as_ref().unwrap().usage.and_then(|usage| usage.input))
        .collect();
    assert_eq!(told, [Some(100), Some(30), None], "who told nothing is unknown");
    let usage = bench.record.usage().unwrap();
    assert_eq!((usage.input.known, usage.input.untold), (130, 1), "what one attempt did not tell is missing");
    assert_eq!((usage.attempts, usage.untold), (3, 1));
    assert_eq!(Bench::begun("- {id: a, run: x}").record.usage(), None);
}

/// Codex counts what the original had used (tried with 0.169.0).
#[test]
fn c3_a_copy_of_a_session_counts_only_what_it_used_itself() {
    let mut bench = Bench::begun(
        "- {id: plan, agent: codex, prompt: Plan.}\n- {id: copy, agent: codex, session: {from: plan, fork: true}, prompt: Do.}\n- {id: on, agent: codex, session: {from: plan}, prompt: Do., needs: [plan]}",
    );
    for (step, session, used_in_all) in [("plan", "s1", 100), ("on", "s1", 150), ("copy", "s2", 130)] {
        bench.begins_session(step, session);
        bench.says(step, &[(20, used(UsageSpan::Session, used_in_all))]);
        bench.later(1_000);
        bench.ends_well(step, "done");
    }
    let input = |step: &str| {
        let record = bench.record.step(&step.parse().unwrap()).unwrap();
        record.attempts[0].agent.as_ref().unwrap().usage.unwrap().input
    };
    assert_eq!((input("plan"), input("copy"), input("on")), (Some(100), Some(30), Some(50)));
    assert_eq!(bench.record.usage().unwrap().input.known, 180);
}

#[test]
fn the_record_shows_what_an_agent_does() {
    let mut bench = one("");
    bench.later(1_000);
    bench.says(
        "a",
        &[
            (10, Said::SessionStarted { id: "s1".to_owned(), model: Some("m".to_owned()) }),
            (20, tool("edit src/a.rs")),
            (20, Said::FilesTouched { paths: vec!["src/a.rs".to_owned()] }),
            (30, Said::NetworkTrouble { message: "away".to_owned() }),
        ],
    );
    let shown =
        |bench: &Bench| bench.record.step(&"a".parse().unwrap()).unwrap().attempts[0].agent.clone().unwrap();
    let agent = shown(&bench);
    assert_eq!((agent.line.as_deref(), agent.line_at), (Some("edit src/a.rs"), Some(bench.now)));
    assert_eq!((agent.tools, agent.files.len(), agent.spool_end), (1, 1, 30));
    assert_eq!((agent.session.as_deref(), agent.model.as_deref()), (Some("s1"), Some("m")));
    assert_eq!(agent.trouble.as_deref(), Some("away"));
    bench.says("a", &[(40, message("It works."))]);
    assert_eq!((shown(&bench).trouble, shown(&bench).line.as_deref()), (None, Some("It works.")));
}

#[test]
fn what_follows_a_limit_stands_in_the_log_whole() {
    let mut bench = one("");
    bench.meets_limit("a", Some(HOUR_MS));
    let [continues] = bench.continued().try_into().unwrap();
    let reset_at: Timestamp = bench.now.plus(Duration::from_millis(HOUR_MS));
    let due_at = continues.wait.unwrap().until;
    let because = Because::Limit { reset_at: Some(reset_at), until: due_at, message: "limit".to_owned() };
    assert_eq!(continues.because, because);
    assert!(bench.machine.desired().values().all(|wish| !matches!(wish, Desired::Start(_))));
}

fn intervened() -> Intervened {
    let (from, until) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
    let (agent, session) = ("codex".to_owned(), "s-1".to_owned());
    Intervened { by: me(), agent, session, from, until, exit_code: Some(0), before: None, after: None }
}

#[test]
fn who_worked_in_a_session_is_noted_and_its_agent_is_told() {
    let mut bench = one("access: write");
    bench.begins_session("a", "s-1");
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    assert_eq!(bench.status(), RunStatus::Suspended);
    let input = bench.say_of_step("a", intervened());
    assert_eq!(bench.settle(), [format!("#{input} accepted")]);
    assert_eq!(bench.record.interventions.len(), 1);
    let wrong = bench.say_of_step("b", intervened());
    assert_eq!(bench.settle(), [format!("#{wrong} refused: UnknownStep")]);
    assert_eq!(bench.record.interventions.len(), 1, "what was refused is not in the record");
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle().last().unwrap(), "a starting 2 codex in s-1");
    assert_eq!(*bench.opening(), Opening::Interrupted { by_person: true });
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.say(resume());
    bench.settle();
    assert_eq!(*bench.opening(), Opening::Interrupted { by_person: false }, "it is told once");
    bench.ends_well("a", "done");
    let late = bench.machine.would_accept(&"a".parse().unwrap(), &intervened().into());
    assert!(matches!(late, Err(Rejection::Phase { .. })), "{late:?}");
}
