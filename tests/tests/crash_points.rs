//! The process aborts at every named point, once; the run ends as if nothing had happened.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{World, all};

const FLOW: &str = r#"
backstay: 1
name: three
steps:
  - {id: one, run: "echo one >> starts; echo first", after_crash: rerun}
  - {id: two, run: "echo two >> starts; echo second; echo aside >&2", after_crash: rerun}
  - {id: three, run: 'echo three >> starts; echo "${{ steps.two.output }} then third"', after_crash: rerun}
outputs: {said: "${{ steps.three.output }}"}
"#;

/// Points of the owner that are reached several times in a run; each time is a point of its own.
const MANY_TIMES: [&str; 5] = [
    "log.append.before",
    "log.append.before_commit",
    "log.append.after_commit",
    "runtime.spawn.before",
    "runtime.spawn.after",
];

/// No run of [`FLOW`] passes a point more often.
const HITS_MAX: u32 = 60;

/// Whether the binary was built with its crash points, as `cargo xtask test` does.
fn can_crash() -> bool {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let (status, _said) =
        world.start_with(&["run", "flow.yaml"], &[("BACKSTAY_CRASH_POINT", "log.append.before")]).end();
    let can = status.signal().is_some();
    if !can {
        assert!(!all(), "the binary has no crash points: `cargo xtask test --all` builds them in");
        println!("skipped: the binary was built without crash points (`cargo xtask test` builds them in)");
    }
    can
}

fn essence(record: &RunRecord) -> BTreeMap<String, String> {
    let essence = record.steps.iter().map(|step| {
        let last = step.attempts.last().expect("every step was tried");
        let spools =
            (last.stdout.as_ref().map(|spool| spool.digest), last.stderr.as_ref().map(|spool| spool.digest));
        (step.step.to_string(), format!("{:?} {:?} {spools:?} {:?}", step.stage, step.exit_code, step.output))
    });
    essence.chain([("outputs".to_owned(), format!("{:?}", record.outputs))]).collect()
}

/// Runs [`FLOW`] with a crash at `point`; gives whether the owner died, and the record at the end.
fn crash_at(point: &str) -> (bool, Option<RunRecord>) {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let (status, _said) = world.start_with(&["run", "flow.yaml"], &[("BACKSTAY_CRASH_POINT", point)]).end();
    let died = status.signal().is_some();
    if world.only_run().is_none() {
        assert!(died, "{point}: a run that was not asked for, and nobody died");
        return (died, None);
    }
    let record = world.record();
    // A keeper that dies at the same point in every attempt leads to a question after the third.
    let mut go_on = "resume";
    for question in record.questions.iter().filter(|question| question.closed_at.is_none()) {
        let output = world.run(&["answer", &question.question.to_string(), "rerun"]);
        assert!(output.status.success(), "{point}: {output:?}");
        // What was answered goes on in the background.
        go_on = "wait";
    }
    if record.status != RunStatus::Completed {
        let (status, said) = world.start(&[go_on, "@last"]).end();
        assert!(status.success(), "{point}: {said}");
    }
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed, "{point}");
    (died, Some(record))
}

#[test]
fn a_crash_at_every_point_of_the_owner_changes_nothing() {
    if !can_crash() {
        return;
    }
    let (_, expected) = crash_at("none");
    let expected = essence(&expected.expect("an undisturbed run"));
    for name in MANY_TIMES {
        let mut deaths = 0;
        for hit in 1..=HITS_MAX {
            let point = format!("{name}:{hit}");
            let (died, record) = crash_at(&point);
            if let Some(record) = record {
                assert_eq!(essence(&record), expected, "{point}");
            }
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!((3..HITS_MAX).contains(&deaths), "{name} was passed {deaths} times");
    }
}

#[test]
fn a_crash_at_every_point_of_the_keeper_loses_nothing_and_skips_nothing() {
    if !can_crash() {
        return;
    }
    let (_, expected) = crash_at("none");
    let expected = essence(&expected.expect("an undisturbed run"));
    for point in backstay_exec::crash_point::POINTS {
        let (_, record) = crash_at(point);
        assert_eq!(essence(&record.expect("it was asked for")), expected, "{point}");
    }
}
