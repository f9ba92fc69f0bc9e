//! The runtime, the keeper and the agent die; the run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{Seed, World, all, send};
use rustix::process::Signal;

/// Three steps; the second says many things for a while. Each notes that it began.
const COUNTING: &str = r#"
backstay: 1
name: counting
steps:
  - {id: one, run: "echo one >> starts; echo first"}
  - id: two
    run: |
      echo two >> starts
      for i in $(seq 1 150); do echo "line $i of two"; echo "err $i" >&2; sleep 0.001; done
  - {id: three, run: "echo three >> starts; echo last"}
"#;

/// The longest moment at which a run of [`COUNTING`] is disturbed: about as long as it takes.
const MOMENT_MAX: Duration = Duration::from_millis(600);

/// What has to be the same, disturbed or not: per step its end, its exit code and the digests of what it said.
fn essence(record: &RunRecord) -> BTreeMap<String, String> {
    let essence = record.steps.iter().map(|step| {
        let last = step.attempts.last().expect("every step was tried");
        let spools =
            (last.stdout.as_ref().map(|spool| spool.digest), last.stderr.as_ref().map(|spool| spool.digest));
        (step.step.to_string(), format!("{:?} {:?} {spools:?} {:?}", step.stage, step.exit_code, step.output))
    });
    essence.collect()
}

fn undisturbed() -> BTreeMap<String, String> {
    let world = World::new();
    world.write("flow.yaml", COUNTING);
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    essence(&world.record())
}

#[test]
fn s4_a_runtime_killed_at_random_moments_changes_nothing() {
    let expected = undisturbed();
    let mut seed = Seed::drawn();
    for round in 0..if all() { 50 } else { 10 } {
        let world = World::new();
        world.write("flow.yaml", COUNTING);
        let run = world.start(&["run", "flow.yaml"]);
        let moment = Duration::from_micros(seed.below(u64::try_from(MOMENT_MAX.as_micros()).unwrap()));
        // A random moment is a wait by nature; it is bounded by `MOMENT_MAX`.
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        assert!(never.recv_timeout(moment).is_err());
        run.kill();
        if world.only_run().is_none() {
            continue; // It was killed before anything was acknowledged.
        }
        let (status, said) = world.start(&["resume", "@last"]).end();
        let record = world.record();
        assert_eq!(record.status, RunStatus::Completed, "round {round}, {moment:?}: {said}");
        assert!(status.success(), "round {round}, {moment:?}: {said}");
        assert_eq!(essence(&record), expected, "round {round}, {moment:?}");
        assert_eq!(
            world.read("starts"),
            "one\ntwo\nthree\n",
            "round {round}, {moment:?}: each step began once"
        );
        assert!(record.questions.is_empty(), "round {round}, {moment:?}: nobody was asked");
    }
}

/// A step that meets the test twice: it says that it began, then waits.
fn gated(after_crash: &str) -> (World, backstay_tests::Gate, backstay_tests::Gate) {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write(
        "flow.yaml",
        &format!(
            r#"
backstay: 1
name: gated
steps:
  - {{id: one, run: "echo first"}}
  - id: two
    after_crash: {after_crash}
    run: |
      echo two >> starts
      echo before
      echo begun > begun
      cat go > /dev/null
      echo after
  - {{id: three, run: "echo last"}}
"#
        ),
    );
    (world, begun, go)
}

fn attempts(record: &RunRecord, step: &str) -> usize {
    record.steps.iter().find(|found| found.step.as_str() == step).map_or(0, |found| found.attempts.len())
}

#[test]
fn s4_the_agent_goes_on_without_a_runtime_and_is_found_again() {
    let (world, begun, go) = gated("ask");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.kill();
    go.open(); // Nobody owns the run; the agent works on.
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{said}");
    let record = world.record();
    assert_eq!(world.read("starts"), "two\n");
    assert_eq!(attempts(&record, "two"), 1);
    assert_eq!(record.interruptions.len(), 1, "the record tells the interruption");
    assert_eq!(record.interruptions[0].reattached.len(), 1);
}

#[test]
fn s5_agent_and_keeper_killed_with_rerun_gives_a_second_attempt() {
    let (world, begun, go) = gated("rerun");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let record = world.record_when("has two at work", |record| {
        record
            .steps
            .iter()
            .any(|step| step.step.as_str() == "two" && step.attempts.iter().any(|a| a.pid.is_some()))
    });
    run.kill();
    let two = record.steps.iter().find(|step| step.step.as_str() == "two").unwrap();
    send(two.attempts[0].keeper_pid.unwrap(), Signal::KILL);
    send(two.attempts[0].pid.unwrap(), Signal::KILL);
    let resume = world.start(&["resume", "@last"]);
    assert_eq!(begun.wait(), "begun\n");
    go.open();
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
    let record = world.record();
    assert_eq!(attempts(&record, "two"), 2);
    assert_eq!(world.read("starts"), "two\ntwo\n");
}

#[test]
fn s5_agent_and_keeper_killed_with_ask_waits_for_a_person() {
    let (world, begun, go) = gated("ask");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let record = world.record_when("has two at work", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|a| a.pid.is_some() && a.ended_at.is_none()))
    });
    run.kill();
    let two = record.steps.iter().find(|step| step.step.as_str() == "two").unwrap();
    send(two.attempts[0].keeper_pid.unwrap(), Signal::KILL);
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert_eq!(status.code(), Some(3), "a run that waits for a person exits with 3: {said}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Waiting);
    assert_eq!(world.read("starts"), "two\n", "nothing ran twice unasked");
    let question = record.questions[0].question.to_string();
    let output = world.run(&["answer", &question, "rerun"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(begun.wait(), "begun\n", "it goes on in the background, without another word");
    go.open();
    let (status, said) = world.start(&["wait", "@last"]).end();
    assert!(status.success(), "{said}");
    assert_eq!(world.read("starts"), "two\ntwo\n");
}

#[test]
fn s4_of_two_that_resume_one_works_and_the_other_says_who_has_it() {
    let (world, begun, go) = gated("ask");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.kill();
    let first = world.start(&["resume", "@last"]);
    let record = world.record_when("has its new owner", |record| record.interruptions.len() == 1);
    assert_eq!(record.owner.map(|owner| owner.pid), Some(first.pid()));
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert_eq!(status.code(), Some(6), "{said}");
    assert!(said.contains(&first.pid().to_string()), "it names the owner's process: {said}");
    go.open();
    let (status, said) = first.end();
    assert!(status.success(), "{said}");
    assert_eq!(world.read("starts"), "two\n");
}

#[test]
fn l15_a_stopped_owner_is_not_robbed_early_and_is_fenced_late() {
    let (world, begun, go) = gated("ask");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    // Not in the middle of a commit: a process that is stopped there holds the store's lock.
    let record = world.record_when("has two at work", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|a| a.pid.is_some() && a.ended_at.is_none()))
    });
    assert_eq!(record.status, RunStatus::Running);
    run.signal(Signal::STOP);
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert_eq!(status.code(), Some(6), "its lock is held: {said}");
    let second = world.start(&["resume", "@last", "--take-over"]);
    let record = world.record_when("was taken over", |record| record.interruptions.len() == 1);
    assert_eq!(record.owner.map(|owner| owner.pid), Some(second.pid()));
    run.signal(Signal::CONT);
    go.open();
    let (status, said) = second.end();
    assert!(status.success(), "{said}");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(6), "the old owner was fenced: {said}");
    assert_eq!(world.read("starts"), "two\n");
}

#[test]
fn s4_a_run_whose_owner_is_dying_can_be_resumed_at_once() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let steps = "  - {id: one, run: \"echo begun > begun; cat go\"}\n";
    world.write("flow.yaml", &format!("backstay: 1\nname: dying\nsteps:\n{steps}"));
    let mut dying = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    for _ in 0..5 {
        dying.signal(Signal::KILL);
        let resume = world.start(&["resume", "@last"]);
        let is_its =
            |record: &RunRecord| record.owner.as_ref().is_some_and(|owner| owner.pid == resume.pid());
        let record = world.record_when("is taken over", is_its);
        assert_eq!(record.status, RunStatus::Running);
        dying.kill();
        dying = resume;
    }
    go.open();
    let (status, said) = dying.end();
    assert!(status.success(), "{said}");
}
