//! Suspend, resume, cancel, retry: what people say to a run under way.

use backstay_engine::record::{RunRecord, RunStatus, StepStage};
use backstay_model::event::{AttemptEnd, StepStatus};
use backstay_tests::{World, send};
use rustix::process::{Pid, Signal, test_kill_process};

fn status_of(record: &RunRecord, step: &str) -> Option<StepStatus> {
    let found = record.steps.iter().find(|found| found.step.as_str() == step)?;
    match found.stage {
        StepStage::Done { status } => Some(status),
        _ => None,
    }
}

fn attempts_of(record: &RunRecord, step: &str) -> usize {
    record.steps.iter().find(|found| found.step.as_str() == step).map_or(0, |found| found.attempts.len())
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    test_kill_process(pid).is_ok()
}

/// Two steps side by side that wait at their gates, and a third behind them.
fn side_by_side() -> World {
    let world = World::new();
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: pair
steps:
  - {id: left, needs: [], run: "echo left >> starts; echo begun > left_begun; cat left_go"}
  - {id: right, needs: [], run: "echo right >> starts; echo begun > right_begun; cat right_go"}
  - {id: last, needs: [left, right], run: "echo end"}
"#,
    );
    world
}

#[test]
fn s7_suspend_stops_parallel_steps_and_resume_goes_on_with_them() {
    let world = side_by_side();
    let gates = ["left_begun", "left_go", "right_begun", "right_go"].map(|name| world.gate(name));
    let [left_begun, left_go, right_begun, right_go] = &gates;
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!((left_begun.wait(), right_begun.wait()), ("begun\n".to_owned(), "begun\n".to_owned()));
    let output = world.run(&["suspend", "@last"]);
    assert!(output.status.success(), "{output:?}");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Suspended);
    assert_eq!((status_of(&record, "left"), status_of(&record, "right")), (None, None), "nothing failed");
    for attempt in record.steps.iter().flat_map(|step| &step.attempts) {
        assert!(!is_alive(attempt.pid.unwrap()), "nothing works while the run stands still");
    }
    let resume = world.start(&["resume", "@last"]);
    assert_eq!((left_begun.wait(), right_begun.wait()), ("begun\n".to_owned(), "begun\n".to_owned()));
    left_go.open();
    right_go.open();
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
    let record = world.record();
    assert_eq!(
        (attempts_of(&record, "left"), attempts_of(&record, "right"), attempts_of(&record, "last")),
        (2, 2, 1)
    );
}

#[test]
fn s7_the_first_interrupt_suspends_and_says_how_to_go_on() {
    let world = side_by_side();
    let gates = ["left_begun", "left_go", "right_begun", "right_go"].map(|name| world.gate(name));
    let [left_begun, left_go, right_begun, right_go] = &gates;
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!((left_begun.wait(), right_begun.wait()), ("begun\n".to_owned(), "begun\n".to_owned()));
    run.signal(Signal::INT);
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("backstay resume"), "it says how to go on: {said}");
    let resume = world.start(&["resume", "@last"]);
    assert_eq!((left_begun.wait(), right_begun.wait()), ("begun\n".to_owned(), "begun\n".to_owned()));
    left_go.open();
    right_go.open();
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
}

#[test]
fn s8_cancel_ends_the_whole_tree_also_what_left_its_session() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: tree
steps:
  - id: tree
    run: |
      setsid bash -c 'echo $$ > own_session; exec sleep 600' &
      sleep 600 &
      echo $! > child
      until test -s own_session; do :; done
      echo begun > begun
      wait
finally:
  - {id: tidy, run: "echo tidied > tidied"}
"#,
    );
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let output = world.run(&["cancel", "@last"]);
    assert!(output.status.success(), "{output:?}");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(4), "{said}");
    for name in ["own_session", "child"] {
        let pid: u32 = world.read(name).trim().parse().unwrap();
        assert!(!is_alive(pid), "{name} ({pid}) is still there");
    }
    assert_eq!(world.record().status, RunStatus::Cancelled);
    assert_eq!(world.read("tidied"), "tidied\n", "`finally` runs after a cancel too");
}

#[test]
fn s17_retry_after_a_failure_keeps_what_succeeded() {
    let world = World::new();
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: again
steps:
  - {id: paid, run: "echo paid >> starts; echo 7"}
  - {id: shaky, run: "echo shaky >> starts; test -e mended"}
  - {id: last, run: 'echo "${{ steps.paid.output }} at last"'}
outputs: {said: "${{ steps.last.output }}"}
"#,
    );
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Failed);
    assert_eq!(status_of(&record, "last"), Some(StepStatus::Skipped));
    world.write("mended", "");
    let (status, said) = world.start(&["retry", "@last"]).end();
    assert!(status.success(), "{said}");
    let record = world.record();
    assert_eq!(world.read("starts"), "paid\nshaky\nshaky\n", "what succeeded is not paid for again");
    assert_eq!(
        record.outputs.map(|outputs| format!("{outputs:?}")),
        Some(r#"Inline("{\"said\":\"7 at last\"}")"#.to_owned())
    );
    assert_eq!(record.reopened, 1);
}

#[test]
fn s5_a_runtime_and_keeper_that_die_three_times_in_one_step_stop_with_a_question() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: poison
steps:
  - {id: poison, after_crash: rerun, run: "echo begun > begun; sleep 600"}
"#,
    );
    let mut arguments = ["run", "flow.yaml"];
    for round in 1..=3 {
        let run = world.start(&arguments);
        assert_eq!(begun.wait(), "begun\n");
        let record = world.record_when("has its attempt at work", |record| {
            attempts_of(record, "poison") == round && record.steps[0].attempts[round - 1].pid.is_some()
        });
        run.kill();
        send(record.steps[0].attempts[round - 1].keeper_pid.unwrap(), Signal::KILL);
        arguments = ["resume", "@last"];
    }
    let (status, said) = world.start(&arguments).end();
    assert_eq!(status.code(), Some(3), "{said}");
    let record = world.record();
    assert_eq!((record.status, record.questions.len()), (RunStatus::Waiting, 1));
}

#[test]
fn s7_a_second_interrupt_leaves_at_once_and_nothing_is_lost() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: stubborn
steps:
  - id: stubborn
    run: |
      test -e once && { echo again; exit 0; }
      touch once
      trap '' TERM
      echo begun > begun
      sleep 600
"#,
    );
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.signal(Signal::INT);
    let record = world.record_when("is being suspended", |record| record.status == RunStatus::Suspending);
    assert!(record.ended_at.is_none());
    run.signal(Signal::INT);
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "what was left in the middle of a suspension goes on: {said}");
    assert_eq!(world.record().status, RunStatus::Completed);
}

#[test]
fn s4_when_everything_is_told_to_end_the_run_is_interrupted_and_goes_on_later() {
    let world = World::new();
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: shutdown
steps:
  - {id: one, run: "echo x >> starts; echo up > up; test -e later || cat go", after_crash: rerun}
  - {id: two, run: "echo end"}
"#,
    );
    let (up, _go) = (world.gate("up"), world.gate("go"));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(up.wait(), "up\n");
    let record = world.record_when("runs", |record| {
        record
            .steps
            .iter()
            .any(|step| step.attempts.first().is_some_and(|attempt| attempt.keeper_pid.is_some()))
    });
    let attempt = &record.steps[0].attempts[0];
    // The owner is gone before it can begin anything anew, as when the machine goes down.
    run.kill();
    let (agent, keeper) = (attempt.pid.unwrap(), attempt.keeper_pid.unwrap());
    send(agent, Signal::TERM);
    send(keeper, Signal::TERM);
    world.write("later", "");
    let resume = world.start(&["resume", "@last"]);
    assert_eq!(up.wait(), "up\n");
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
    let record = world.record();
    let one = &record.steps[0];
    assert_eq!(one.attempts[0].end, Some(AttemptEnd::Interrupted), "{one:?}");
    assert_eq!((record.status, one.attempts.len()), (RunStatus::Completed, 2));
    assert_eq!(world.read("starts"), "x\nx\n");
    assert!(!is_alive(agent));
}
