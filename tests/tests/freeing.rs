//! Freeing that is broken off, or done by several at once: nothing stays for good, and nothing is counted twice.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::process::Output;

use backstay_log::crash::CRASH_POINT_VARIABLE;
use backstay_tests::World;
use serde_json::Value;

const FLOW: &str =
    "backstay: 1\nname: change\nsteps:\n  - {id: change, run: 'date +%N > changed; echo said'}\n";
/// From the note to the end of a freeing.
const POINTS: [&str; 4] = ["retention.noted", "retention.freed", "retention.files", "retention.trees"];

fn git(world: &World, words: &[&str]) -> String {
    backstay_tests::git(world.path(), words)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&said(output)).unwrap()
}

/// A checkout in which a run has changed something.
fn changed() -> World {
    let world = World::new();
    git(&world, &["init", "-q", "-b", "main"]);
    world.write("flow.yaml", FLOW);
    git(&world, &["add", "-A"]);
    git(&world, &["commit", "-qm", "first"]);
    said(&world.run(&["run", "flow.yaml"]));
    assert_eq!(trees(&world), 2);
    world
}

fn trees(world: &World) -> usize {
    git(world, &["for-each-ref", "refs/backstay"]).lines().count()
}

fn folders(world: &World) -> usize {
    world.path().join(".backstay/runs").read_dir_utf8().unwrap().count()
}

#[test]
fn whatever_moment_a_freeing_is_killed_at_the_next_prune_frees_the_rest() {
    for point in POINTS {
        for command in [&["rm", "@last"][..], &["prune", "--older", "0s"]] {
            let world = changed();
            let (status, end) = world.start_with(command, &[(CRASH_POINT_VARIABLE, point)]).end();
            assert!(!status.success() && end.is_empty(), "{point} of {command:?} was not reached: {end}");
            if point == "retention.noted" {
                assert!(said(&world.run(&["diff"])).contains("changed"), "nothing has gone yet");
                assert_eq!((folders(&world), trees(&world)), (1, 2));
            } else {
                assert_eq!(folders(&world), 1, "{point} of {command:?}");
            }
            let rest = json(&world.run(&["prune", "--older", "0s", "--json"]));
            assert_eq!((folders(&world), trees(&world)), (0, 0), "{point} of {command:?}: {rest}");
            let again = json(&world.run(&["prune", "--older", "0s", "--json"]));
            assert_eq!(again["leftover_bytes"], 0, "{again}");
        }
    }
}

#[test]
fn what_was_kept_of_a_freed_run_cannot_be_shown_and_it_is_said_when_it_was_freed() {
    let world = changed();
    let pruned = said(&world.run(&["prune", "--older", "0s"]));
    assert!(pruned.contains("2 kept trees"), "{pruned}");
    let today = world.record().trimmed_at.unwrap().to_string();
    for command in [
        &["diff"][..],
        &["diff", "@last", "change"],
        &["restore", "@last"],
        &["restore", "@last", "--after", "change"],
    ] {
        let output = world.run(command);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
        assert!(text.contains("BKS-R009") && text.contains(&today), "{command:?}: {text}");
    }
}

#[test]
fn of_several_who_prune_at_once_each_says_what_it_freed_itself() {
    let world = changed();
    for _ in 0..3 {
        said(&world.run(&["run", "flow.yaml"]));
    }
    let would = json(&world.run(&["prune", "--older", "0s", "--dry-run", "--json"]));
    let pruning: Vec<_> = (0..3).map(|_| world.start(&["prune", "--older", "0s", "--json"])).collect();
    let reports: Vec<Value> = pruning
        .into_iter()
        .map(|one| {
            let (status, end) = one.end();
            assert!(status.success(), "{end}");
            // Beside it stands that the others had the store open.
            let report = &end[end.find('{').unwrap()..];
            serde_json::Deserializer::from_str(report).into_iter().next().unwrap().unwrap()
        })
        .collect();
    let count = |report: &Value, name: &str| -> u64 {
        report["runs"].as_array().unwrap().iter().map(|run| run[name].as_u64().unwrap()).sum()
    };
    let sum = |name: &str, rest: &str| -> u64 {
        reports.iter().map(|report| count(report, name) + report[rest].as_u64().unwrap_or(0)).sum()
    };
    assert_eq!(reports.iter().map(|report| report["runs"].as_array().unwrap().len()).sum::<usize>(), 4);
    assert_eq!(sum("events", "none"), count(&would, "events"), "{reports:#?}");
    assert_eq!(sum("trees", "leftover_trees"), 8, "{reports:#?}");
    assert_eq!(count(&would, "trees"), 8, "what is looked at is counted like what goes: {would:#}");
    let files = sum("files_bytes", "leftover_bytes");
    // Each run has a note for as long as it is freed.
    let notes = files.checked_sub(count(&would, "files_bytes")).unwrap();
    assert!(notes < 4 * 200, "{notes}: {reports:#?}");
    assert_eq!((folders(&world), trees(&world)), (0, 0));
}
