//! Whole pages as a person sees them, by a fixed clock, on a narrow and on a wide screen.

use std::collections::BTreeMap;

use backstay_engine::record::{
    AgentRecord, AttemptRecord, Interruption, LimitWait, QuestionRecord, RunRecord, RunStatus, RunSummary,
    StepRecord, StepStage, WorkflowRef,
};
use backstay_model::event::{
    Access, FailureClass, QuestionKind, QuestionOption, SkipReason, StepStatus, Tokens,
};
use backstay_model::{Attempt, Digest, RunId, Scope, Seq, StepId, Timestamp};
use backstay_runtime::RunRow;
use backstay_workflow::CheckInput;
use backstay_workflow::plan::Plan;
use camino::Utf8Path;

use super::line::width;
use super::page::Sign;
use super::page::watch_page;
use super::time::Times;
use super::{Held, Line, Page, Style, ending, show_page};

/// The screens: a terminal as it opens, and a wide one.
const SCREENS: [usize; 2] = [80, 140];
const NOW: &str = "2026-11-21T10:26:40Z";

const FLOW: &str = r#"
backstay: 1
name: ship-issues
agents:
  codex: {command: [codex, exec, "-"]}
steps:
  - {id: list, run: gh issue list}
  - id: review
    steps:
      - {id: a_rather_long_name_of_a_step, agent: codex, prompt: look, needs: []}
      - {id: quick, agent: codex, prompt: look, needs: []}
      - {id: again, run: curl x, retry: {max: 3}, needs: []}
  - {id: push, run: git push}
finally:
  - {id: bye, command: [echo, bye]}
"#;

fn run() -> RunId {
    "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap()
}

pub(super) fn at(clock: &str) -> Timestamp {
    format!("2026-11-21T{clock}Z").parse().unwrap()
}

pub(super) fn id(step: &str) -> StepId {
    step.parse().unwrap()
}

pub(super) fn plan() -> Plan {
    let read_file = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let input = CheckInput {
        path: "flow.yaml",
        text: FLOW,
        read_file: &read_file,
        schema_fault: &|_| None,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: BTreeMap::new(),
    };
    backstay_workflow::check(&input).unwrap().plan
}

pub(super) fn attempt(number: u32, starting_at: Timestamp) -> AttemptRecord {
    AttemptRecord {
        attempt: Attempt(number),
        probe: false,
        preview: String::new(),
        starting_at,
        ended_at: None,
        pid: None,
        keeper_pid: None,
        folder: None,
        end: None,
        exit_code: None,
        signal: None,
        message: None,
        duration_ms: None,
        stdout: None,
        stderr: None,
        reattached: 0,
        lost: None,
        timed_out: None,
        left_behind: 0,
        artifacts: Vec::new(),
        artifacts_omitted: 0,
        before: None,
        after: None,
        agent: None,
    }
}

fn step(name: &str, stage: StepStage, from: &str) -> StepRecord {
    StepRecord {
        step: id(name),
        scope: Scope::step(id(name)),
        stage,
        agent: Some("codex".to_owned()),
        started_at: at(from),
        ended_at: None,
        exit_code: None,
        failure: None,
        skipped: None,
        summary: None,
        output: None,
        passes: None,
        stalled_at: None,
        limit: None,
        resets: 0,
        earlier_attempts: 0,
        attempts: vec![attempt(1, at(from))],
    }
}

fn done(name: &str, status: StepStatus, from: &str, until: &str, summary: &str) -> StepRecord {
    let summary = Some(summary.to_owned());
    StepRecord { ended_at: Some(at(until)), summary, ..step(name, StepStage::Done { status }, from) }
}

/// A run with steps in every state at once.
pub(super) fn running() -> RunRecord {
    let mut again = step(
        "again",
        StepStage::Backoff { due_at: at("10:26:52"), next: Attempt(3), after: FailureClass::Network },
        "10:21:00",
    );
    again.attempts.push(attempt(2, at("10:23:00")));
    let mut found = step("a_rather_long_name_of_a_step", StepStage::Working, "10:14:00");
    found.attempts[0].reattached = 1;
    RunRecord {
        status: RunStatus::Running,
        cwd: Some("/home/ada/acme/api".to_owned()),
        host: Some("workshop".to_owned()),
        requested_at: Some(at("10:12:31")),
        started_at: Some(at("10:12:32")),
        updated_at: Some(at("10:26:00")),
        steps: vec![
            done("list", StepStatus::Succeeded, "10:12:32", "10:12:34", "exit 0"),
            StepRecord {
                agent: None,
                attempts: Vec::new(),
                ..step("review", StepStage::Started, "10:14:00")
            },
            found,
            step("quick", StepStage::Working, "10:26:38"),
            again,
        ],
        interruptions: vec![Interruption {
            from: at("10:20:01"),
            until: at("10:20:13"),
            pid: 4_121,
            reattached: vec![id("a_rather_long_name_of_a_step")],
            lost: Vec::new(),
        }],
        ..RunRecord::new(run())
    }
}

pub(super) fn signs() -> BTreeMap<StepId, Sign> {
    let said =
        "edit src/auth/token.rs: the failing assertion compares an expired token against the wall clock";
    let beat = super::beats::Beat::seen(at("10:26:39"), at("10:26:00"));
    let long = Sign { said: Some(said.to_owned()), beat: Some(beat) };
    BTreeMap::from([(id("a_rather_long_name_of_a_step"), long), (id("quick"), Sign::default())])
}

pub(super) fn failed() -> RunRecord {
    let mut quick = done("quick", StepStatus::Failed, "10:14:00", "10:25:02", "exit 101");
    (quick.exit_code, quick.failure) = (Some(101), Some(FailureClass::Exit));
    let skipped = |name: &str| {
        let summary = "`review`, which it needs, did not succeed";
        let skipped = Some(SkipReason::Upstream { scope: Scope::step(id("review")) });
        StepRecord { skipped, ..done(name, StepStatus::Skipped, "10:25:02", "10:25:02", summary) }
    };
    let mut left = done("bye", StepStatus::Succeeded, "10:25:03", "10:25:03", "exit 0");
    left.attempts[0].artifacts =
        vec!["runs/run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8/bye/1/artifacts/summary.md".parse().unwrap()];
    RunRecord {
        status: RunStatus::Failed,
        why: Some("quick: exit 101".to_owned()),
        failed_step: Some(id("quick")),
        ended_at: Some(at("10:25:04")),
        steps: vec![
            done("list", StepStatus::Succeeded, "10:12:32", "10:12:34", "exit 0"),
            done("a_rather_long_name_of_a_step", StepStatus::Succeeded, "10:14:00", "10:25:00", "exit 0"),
            quick,
            skipped("push"),
            left,
        ],
        ..running()
    }
}

pub(super) fn waiting() -> RunRecord {
    let option =
        |name: &str, meaning: &str| QuestionOption { name: name.to_owned(), meaning: meaning.to_owned() };
    RunRecord {
        status: RunStatus::Waiting,
        questions: vec![QuestionRecord {
            kind: QuestionKind::AfterCrash,
            default: None,
            due_at: None,
            question: "qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap(),
            prompt: "`push` was at work when its keeper died. It may have happened, in part or whole. \
                     What became of it?"
                .to_owned(),
            options: vec![
                option("done", "it had happened: the run goes on behind it"),
                option("rerun", "it had not: the step is tried again"),
                option("fail", "it counts as failed"),
            ],
            step: id("push"),
            scope: Scope::step(id("push")),
            asked_at: at("10:25:00"),
            closed_at: None,
            answer: None,
        }],
        steps: vec![
            done("list", StepStatus::Succeeded, "10:12:32", "10:12:34", "exit 0"),
            step("push", StepStage::InDoubt, "10:24:00"),
        ],
        interruptions: Vec::new(),
        ..running()
    }
}

/// The page at each width, below each other; no line is wider than its screen.
pub(crate) fn screens(draw: impl Fn(usize) -> Vec<Line>) -> String {
    let screen = |columns: usize| {
        let lines: Vec<String> =
            draw(columns).iter().map(|line| line.render(Style::default(), columns)).collect();
        for line in &lines {
            assert!(width(line) <= columns, "{} columns are not {columns}: {line}", width(line));
        }
        format!("{}|\n{}\n", "-".repeat(columns - 1), lines.join("\n"))
    };
    SCREENS.map(screen).join("\n")
}

pub(super) fn times() -> Times {
    Times::utc(NOW.parse().unwrap())
}

pub(super) fn owner() -> Held {
    Held::By { pid: 4_711, host: "workshop".to_owned() }
}

pub(super) fn page<'a>(
    record: &'a RunRecord,
    plan: &'a Plan,
    held: Held,
    signs: &'a BTreeMap<StepId, Sign>,
) -> Page<'a> {
    let store = Utf8Path::new("/nowhere");
    Page { store, record, plan, held, wake_at: Some(at("10:26:40")), signs }
}

#[test]
fn watch_of_a_run_with_steps_in_every_state() {
    let (record, plan, signs) = (running(), plan(), signs());
    insta::assert_snapshot!(screens(|columns| {
        watch_page(&page(&record, &plan, owner(), &signs), &times(), columns)
    }));
}

#[test]
fn watch_of_a_run_whose_owner_is_gone() {
    let (record, plan, signs) = (running(), plan(), BTreeMap::new());
    insta::assert_snapshot!(screens(|columns| {
        watch_page(&page(&record, &plan, Held::Nobody, &signs), &times(), columns)
    }));
}

#[test]
fn watch_of_a_run_that_waits_for_a_person() {
    let (record, plan, signs) = (waiting(), plan(), BTreeMap::new());
    insta::assert_snapshot!(screens(|columns| {
        watch_page(&page(&record, &plan, owner(), &signs), &times(), columns)
    }));
}

/// Two agents at work, one with trouble; a third waits for the end of a limit.
pub(super) fn by_presets() -> RunRecord {
    let agent = |line: &str, line_at: &str| AgentRecord {
        preset: "codex".to_owned(),
        access: Access::Write,
        version: Some("codex-cli 0.169.0".to_owned()),
        model: None,
        session: Some("s1".to_owned()),
        copy_of: None,
        line: Some(line.to_owned()),
        line_at: Some(at(line_at)),
        tools: 38,
        files: [].into(),
        usage: None,
        session_usage: None,
        trouble: None,
        limit_ends_at: None,
        turn_ok: None,
        spool_end: 4_711,
    };
    let mut record = running();
    let used = Tokens {
        input: Some(2_300_000),
        output: Some(114_000),
        cache_read: Some(1_900_000),
        ..Tokens::default()
    };
    record.steps[0].attempts[0].agent = Some(AgentRecord { usage: Some(used), ..agent("done", "10:12:34") });
    record.steps[0].attempts[0].ended_at = Some(at("10:12:34"));
    record.steps[2].attempts[0].agent = Some(agent("edit src/auth/token.rs", "10:26:38"));
    let troubled =
        AgentRecord { trouble: Some("Reconnecting... 2/5".to_owned()), ..agent("$ cargo test", "10:26:38") };
    record.steps[3].attempts[0].agent = Some(troubled);
    record.steps[4].limit =
        Some(LimitWait { agent: "codex".to_owned(), until: at("14:05:00"), is_end_known: true });
    record
}

#[test]
fn watch_of_agents_by_presets() {
    let (record, plan, signs) = (by_presets(), plan(), BTreeMap::new());
    insta::assert_snapshot!(screens(|columns| {
        watch_page(&page(&record, &plan, owner(), &signs), &times(), columns)
    }));
}

#[test]
fn a_run_that_waits_for_its_next_try_says_what_failed_which_try_comes_and_when() {
    let (mut record, plan, signs) = (running(), plan(), BTreeMap::new());
    record.steps.retain(|step| matches!(step.stage, StepStage::Backoff { .. }));
    let shown = |record: &RunRecord| {
        let lines = watch_page(&page(record, &plan, owner(), &signs), &times(), 120);
        lines.iter().map(|line| line.render(Style::default(), 120)).collect::<Vec<_>>()
    };
    let line = |record: &RunRecord, of: &str| {
        shown(record).into_iter().find(|line| line.contains(of)).unwrap_or_else(|| panic!("{of}"))
    };
    let head = line(&record, "waits for try");
    assert!(head.contains("again waits for try 3 at 10:26:52 (no network)"), "{head}");
    assert!(
        line(&record, "↻").contains("again 10:26:52   5:40  bash     try 3 next: no network"),
        "{:?}",
        shown(&record)
    );
    record.steps[0].attempts[1].message = Some("connect ECONNREFUSED".to_owned());
    assert!(line(&record, "↻").contains("try 3 next: connect ECONNREFUSED"), "{:?}", shown(&record));
    let retry = record.steps[0].retry().unwrap();
    assert_eq!(
        super::agents::retry_words(&retry, &times()),
        "again waits for try 3 at 10:26:52 (no network)"
    );
}

#[test]
fn show_of_a_run_that_waits_for_a_limit() {
    let (mut record, plan, signs) = (by_presets(), plan(), BTreeMap::new());
    record.steps.truncate(5);
    record.steps.drain(2..4);
    insta::assert_snapshot!(screens(|columns| {
        show_page(&page(&record, &plan, owner(), &signs), Vec::new(), &times(), columns)
    }));
}

#[test]
fn show_of_a_run_that_waits_for_a_limit_and_has_no_owner() {
    let (mut record, plan, signs) = (by_presets(), plan(), BTreeMap::new());
    record.steps.truncate(5);
    record.steps.drain(2..4);
    insta::assert_snapshot!(screens(|columns| {
        show_page(&page(&record, &plan, Held::Nobody, &signs), Vec::new(), &times(), columns)
    }));
}

#[test]
fn a_suspended_run_that_waits_for_a_limit_names_how_the_agent_is_asked_at_once() {
    let (mut record, plan, signs) = (by_presets(), plan(), BTreeMap::new());
    record.steps.truncate(5);
    record.steps.drain(2..4);
    record.status = RunStatus::Suspended;
    let page = Page { wake_at: None, ..page(&record, &plan, Held::Nobody, &signs) };
    let lines = super::nexts::nexts(&page, &times(), 200);
    let lines: Vec<String> = lines.iter().map(|line| line.render(Style::default(), 200)).collect();
    let resume = "backstay resume run_01JDX7Q2ZK";
    assert_eq!(
        lines,
        [
            format!(" next  {resume}        goes on where it stands, and waits for the limit"),
            format!("       {resume} --now  asks the agent again at once"),
        ]
    );
}

#[test]
fn in_a_pipe_nothing_of_a_page_is_cut() {
    let (record, plan, signs) = (running(), plan(), signs());
    let page = page(&record, &plan, owner(), &signs);
    let lines = show_page(&page, Vec::new(), &times(), usize::MAX);
    let text: String = lines.iter().map(|line| line.render(Style::default(), usize::MAX) + "\n").collect();
    assert!(text.contains("a_rather_long_name_of_a_step") && !text.contains('…'), "{text}");
}

#[test]
fn show_of_a_failed_run() {
    let (record, plan) = (failed(), plan());
    let said = "test result: FAILED. 411 passed; 2 failed; 0 ignored; finished in 61.02s".to_owned();
    let signs = BTreeMap::from([(id("quick"), Sign { said: Some(said), beat: None })]);
    let outputs = [("branches".to_owned(), r#"["todo/412","todo/413"]"#.to_owned())];
    insta::assert_snapshot!(screens(|columns| {
        let page = page(&record, &plan, Held::Nobody, &signs);
        let left = ending(&page, &outputs, ".backstay");
        show_page(&page, left, &times(), columns)
    }));
}

#[test]
fn a_run_whose_agent_cannot_work_names_what_another_try_needs() {
    let (mut record, plan, signs) = (failed(), plan(), BTreeMap::new());
    let agent = by_presets().steps[2].attempts[0].agent.clone().unwrap();
    let digest = Digest::of(b"");
    let (name, file) = ("ship-issues".to_owned(), "flow.yaml".to_owned());
    record.workflow = Some(WorkflowRef { name, file, plan: digest, source: digest });
    let next = |record: &RunRecord, failure, preset: &str, limit_ends_at| -> Vec<String> {
        let mut record = record.clone();
        let step = record.steps.iter_mut().find(|step| step.step == id("quick")).unwrap();
        (step.failure, step.agent) = (Some(failure), Some("mine".to_owned()));
        let agent = AgentRecord { preset: preset.to_owned(), limit_ends_at, ..agent.clone() };
        step.attempts.last_mut().unwrap().agent = Some(agent);
        let lines = super::nexts::nexts(&page(&record, &plan, Held::Nobody, &signs), &times(), 200);
        let line = |line: &Line| line.render(Style::default(), 200);
        let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.iter().map(line).map(words).collect()
    };
    let retry = "backstay retry run_01JDX7Q2ZK";
    let other =
        format!("{retry} --workflow flow.yaml --agent codex=OTHER has another agent do what codex does");
    let table: [(FailureClass, &str, Option<Timestamp>, Vec<String>); 6] = [
        (
            FailureClass::Login,
            "claude",
            None,
            vec![
                "next claude auth login logs in, before it is tried again".to_owned(),
                format!("{retry} tries what did not succeed again"),
                other.clone(),
            ],
        ),
        (
            FailureClass::Login,
            "mine",
            None,
            vec![format!("next {retry} tries again, once you are logged in with mine"), other.clone()],
        ),
        (
            FailureClass::Refused,
            "mine",
            None,
            vec![
                format!("next {retry} tries again, once the provider of mine no longer refuses it"),
                other.clone(),
            ],
        ),
        (
            FailureClass::RateLimit,
            "mine",
            Some(at("14:05:00")),
            vec![format!("next {retry} tries again, after 14:05, when mine's limit ends"), other.clone()],
        ),
        (
            FailureClass::RateLimit,
            "mine",
            None,
            vec![format!("next {retry} tries what did not succeed again"), other],
        ),
        (
            FailureClass::Exit,
            "mine",
            None,
            vec![
                format!("next {retry} tries what did not succeed again"),
                "backstay skip run_01JDX7Q2ZK quick goes on without it".to_owned(),
            ],
        ),
    ];
    for (failure, preset, limit_ends_at, expected) in table {
        let told = next(&record, failure, preset, limit_ends_at);
        assert_eq!(told[..expected.len()], expected, "{failure:?} {preset}");
    }
    // What `exec` made is in no file.
    record.workflow.as_mut().unwrap().file = super::EXEC_NAME.to_owned();
    let told = next(&record, FailureClass::Login, "mine", None);
    assert_eq!(told[1], "backstay exec OTHER PROMPT begins anew, with another agent than codex");
}

#[test]
fn the_state_of_a_failed_agent_is_no_exit_code_where_a_reason_stands_beside() {
    let (mut record, plan, signs) = (failed(), plan(), BTreeMap::new());
    let agent = by_presets().steps[2].attempts[0].agent.clone().unwrap();
    let state = |record: &RunRecord| {
        let step = plan.walk().find(|step| step.id == id("quick")).unwrap();
        let page = page(record, &plan, Held::Nobody, &signs);
        super::state::State::of(&page, step, record.step(&id("quick"))).words(&times())
    };
    assert_eq!(state(&record), "exit 101", "of a command it says most");
    let step = record.steps.iter_mut().find(|step| step.step == id("quick")).unwrap();
    step.attempts.last_mut().unwrap().agent = Some(agent);
    step.summary = Some("exit 101 in the middle of the agent's turn: out of memory".to_owned());
    assert_eq!(state(&record), "failed");
}

#[test]
fn what_a_failed_run_shows_is_of_its_last_pass_and_of_what_was_not_reset() {
    let (mut record, plan, signs) = (failed(), plan(), BTreeMap::new());
    let failed_in = |record: &RunRecord| {
        let page = page(record, &plan, Held::Nobody, &signs);
        super::nexts::failed(&page).map(|step| (step.step.clone(), step.exit_code))
    };
    record.failed_step = Some(id("review"));
    assert_eq!(failed_in(&record), Some((id("quick"), Some(101))), "the first in the group");
    let mut later = done("quick", StepStatus::Failed, "10:25:03", "10:25:04", "exit 102");
    later.exit_code = Some(102);
    record.steps.push(later);
    assert_eq!(failed_in(&record), Some((id("quick"), Some(102))), "its last pass");
    record.steps.push(done("quick", StepStatus::Succeeded, "10:25:04", "10:25:04", "exit 0"));
    assert_eq!(failed_in(&record), None, "one that failed in an earlier pass only");
    record.failed_step = None;
    record.steps.truncate(5);
    assert_eq!(failed_in(&record), None, "the run failed by none of its steps");

    let shown =
        |record: &RunRecord| ending(&page(record, &plan, Held::Nobody, &signs), &[], ".backstay").len();
    assert_eq!(shown(&record), 1);
    record.steps[4].earlier_attempts = 1;
    assert_eq!(shown(&record), 0, "a file from before the step was reset");
}

#[test]
fn ls_of_runs_in_every_state() {
    let row = |number: char, status: RunStatus, why: Option<&str>, workflow: &str| RunRow {
        run: format!("run_01M7YH{number}VR5X692H0T19ASX0GMM").parse().unwrap(),
        summary: RunSummary {
            v: 1,
            run: run(),
            workflow: workflow.to_owned(),
            status,
            steps_done: 3,
            steps_total: 12,
            at: if status.is_ended() { Vec::new() } else { vec![id("review"), id("push")] },
            why: why.map(str::to_owned),
            question: (status == RunStatus::Waiting)
                .then(|| "qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap()),
            next_timer: None,
            limit: (workflow == "nightly").then(|| LimitWait {
                agent: "codex".to_owned(),
                until: at("14:05:00"),
                is_end_known: true,
            }),
            retry: None,
        },
        owner: None,
        wake_at: (status == RunStatus::Running).then(|| at("10:26:40")),
        head: Seq(9),
    };
    let long = "review: the reviewers do not agree on what is to become of the token that had expired before";
    let rows = [
        row('1', RunStatus::Waiting, None, "ship-issues"),
        row('2', RunStatus::Running, None, "nightly"),
        row('3', RunStatus::Suspended, Some("suspended by ada (command line)"), "report"),
        row('4', RunStatus::Completed, None, "report"),
        row('5', RunStatus::Failed, Some(long), "a-workflow-with-a-rather-long-name"),
        row('6', RunStatus::Cancelled, Some("cancelled by ada (command line): not needed"), "report"),
    ];
    let detail = |row: &RunRow| {
        let inputs = format!("label=todo-{}", row.summary.workflow.len());
        (row.run, crate::commands::ls::Detail { active: std::time::Duration::from_secs(727), inputs })
    };
    let details = rows.iter().map(detail).collect();
    insta::assert_snapshot!(screens(|columns| crate::commands::ls::lines(
        &times(),
        &rows,
        &details,
        columns
    )));
}

#[test]
fn check_of_a_file_with_mistakes() {
    let text = "backstay: 1\nname: bad\nsteps:\n  - {id: fix-tests, run: x}\n  - {id: b, rum: x}\n  - id: c\n    run: echo '${{ inputs.nope }}'\n";
    let read_file = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let input = CheckInput {
        path: "bad.yaml",
        text,
        read_file: &read_file,
        schema_fault: &|_| None,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: BTreeMap::new(),
    };
    let found = backstay_workflow::check(&input).unwrap_err();
    insta::assert_snapshot!(screens(|columns| {
        let shown: Vec<String> = found.iter().map(|diagnostic| diagnostic.render(text, columns)).collect();
        let folded = super::folded(&shown.join("\n"), columns);
        folded.lines().map(|line| Line::of(crate::ui::Paint::Plain, line)).collect()
    }));
}

#[test]
fn errors_with_their_ways_out() {
    use crate::error::CliError;
    use backstay_runtime::{Standing, StoreOpenError};
    let run = "run_01JDX7Q2".to_owned();
    let errors = [
        CliError::NoStore { from: "/home/ada/acme/api".into() },
        StoreOpenError::OtherThings { folder: "/etc".into(), name: "passwd".to_owned() }.into(),
        StoreOpenError::NotAdopted { folder: "/tmp/api/.backstay".into(), standing: Standing::Unknown }
            .into(),
        CliError::UnknownRun { text: run.clone() },
        CliError::UnknownStep { text: "tset".to_owned(), known: vec!["test".to_owned(), "push".to_owned()] },
        CliError::Workflow { file: "flow.yaml".to_owned(), errors: 2 },
        CliError::Mistakes { file: "flow.yaml".to_owned(), errors: 1 },
        CliError::Unwritten { errors: 1 },
        CliError::DurationForm { text: "10".to_owned() },
    ];
    let shown: Vec<String> = errors.iter().map(crate::output::describe).collect();
    insta::assert_snapshot!(shown.join("\n"));
}
