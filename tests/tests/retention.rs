//! Giving back what ended runs take, from the command line, and what stays of them.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs;
use std::process::{Command, Output};

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::World;

const FLOW: &str = r#"
backstay: 1
name: leave
inputs: {text: {type: string, default: small}}
steps:
  - {id: say, run: 'echo ${{ inputs.text }}; head -c 20000 /dev/zero | tr "\0" x > "$BACKSTAY_OUTPUT"; echo a > "$BACKSTAY_ARTIFACTS/file"'}
outputs: {said: "${{ steps.say.ok }}"}
"#;

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The ids of the runs of a store, the newest first.
fn runs(world: &World) -> Vec<String> {
    let listed: serde_json::Value =
        serde_json::from_str(&said(&world.run(&["ls", "--all", "--json"]))).unwrap();
    let id = |run: &serde_json::Value| run["run"].as_str().unwrap().to_owned();
    listed["runs"].as_array().unwrap().iter().map(id).collect()
}

fn record(world: &World, run: &str) -> RunRecord {
    serde_json::from_str(&said(&world.run(&["show", run, "--json"]))).unwrap()
}

/// Lets blobs of the store be as old as they would be after some hours.
fn age_blobs(world: &World) {
    for shard in fs::read_dir(world.path().join(".backstay/blobs")).unwrap() {
        let shard = shard.unwrap().path();
        for blob in shard.is_dir().then(|| fs::read_dir(shard).unwrap()).into_iter().flatten() {
            let file = fs::File::open(blob.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    }
}

#[test]
fn a_pruned_run_is_its_record_and_nothing_else() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    said(&world.run(&["run", "flow.yaml"]));
    let run = runs(&world).remove(0);
    let before = record(&world, &run);
    let folder = world.path().join(".backstay/runs").join(&run);
    assert!(folder.is_dir());

    assert!(said(&world.run(&["prune"])).contains("freed 0 runs"), "it has just ended");
    let looked = said(&world.run(&["prune", "--older", "0s", "--dry-run"]));
    assert!(looked.contains("would free 1 run:") && looked.contains("nothing was changed"), "{looked}");
    assert_eq!(record(&world, &run), before);
    let pruned = said(&world.run(&["prune", "--older", "0s"]));
    assert!(pruned.contains("leave") && pruned.contains("freed 1 run:"), "{pruned}");

    assert!(!folder.exists());
    let after = record(&world, &run);
    assert!(after.trimmed_at.is_some());
    assert_eq!(
        RunRecord { trimmed_at: None, head: before.head, updated_at: before.updated_at, ..after },
        before
    );
    let page = said(&world.run(&["show", &run]));
    assert!(
        page.contains("COMPLETED") && page.contains("freed") && !page.contains("artifacts/file"),
        "{page}"
    );
    let listed = said(&world.run(&["ls"]));
    assert!(listed.contains("leave") && listed.contains("completed"), "{listed}");
    let logs = world.run(&["logs", &run]);
    assert_eq!(said(&logs), "");
    assert!(String::from_utf8_lossy(&logs.stderr).contains("freed"), "{logs:?}");
    let events = said(&world.run(&["events", &run]));
    assert_eq!(events.lines().filter(|line| line.contains("trimmed")).count(), 1, "{events}");
    let retried = refused(&world.run(&["retry", &run]), 1);
    assert!(retried.contains("BKS-R009") && retried.contains("backstay run"), "{retried}");
    assert!(
        said(&world.run(&["prune", "--older", "0s"])).contains("freed 0 runs"),
        "there is nothing more to free"
    );
    assert!(said(&world.run(&["wait", &run])).contains("completed"));
    // Who follows what is over comes to an end.
    said(&world.run(&["watch", &run]));
    assert!(said(&world.run(&["events", &run, "-f"])).contains("trimmed"));
}

#[test]
fn blobs_that_only_a_pruned_run_named_go_and_those_of_others_stay() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let text = "y".repeat(9_000);
    said(&world.run(&["run", "flow.yaml", "--input", &format!("text={text}")]));
    said(&world.run(&["run", "flow.yaml"]));
    let [kept, gone] = <[String; 2]>::try_from(runs(&world)).unwrap();
    let removed = world.run(&["rm", &gone]);
    assert!(said(&removed).contains(&gone), "{removed:?}");
    // Plan, source, the inputs, the log that shows the large one, what the step wrote as its output, and that as JSON.
    let told = String::from_utf8_lossy(&removed.stderr).into_owned();
    assert!(told.contains("6 blobs") && told.contains("an hour after"), "{told}");
    let young = world.run(&["prune"]);
    let told = said(&young) + &String::from_utf8_lossy(&young.stderr);
    assert!(
        told.contains("0 blobs") && told.contains("2 blobs") && told.contains("go an hour after"),
        "{told}"
    );
    age_blobs(&world);
    let blobs = |world: &World| -> usize {
        let shards =
            fs::read_dir(world.path().join(".backstay/blobs")).unwrap().map(|shard| shard.unwrap().path());
        shards.filter(|shard| shard.is_dir()).map(|shard| fs::read_dir(shard).unwrap().count()).sum()
    };
    let before = blobs(&world);
    let pruned = said(&world.run(&["prune", "--json"]));
    let pruned: serde_json::Value = serde_json::from_str(&pruned).unwrap();
    // The large input and the log that shows it; plan, source and output are the other run's too.
    assert_eq!((pruned["blobs"].as_u64(), blobs(&world)), (Some(2), before - 2), "{pruned}");
    assert_eq!(pruned["young_blobs"], 0, "{pruned}");
    let later = world.run(&["prune"]);
    assert!(!String::from_utf8_lossy(&later.stderr).contains("an hour"), "there is nothing left: {later:?}");
    assert_eq!(record(&world, &kept).status, RunStatus::Completed);
    said(&world.run(&["retry", &kept, "--from", "say"]));
    let unknown = refused(&world.run(&["show", &gone]), 2);
    assert!(unknown.contains("BKS-R002"), "{unknown}");
}

#[test]
fn what_has_not_ended_is_never_freed() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: hold\nsteps:\n  - {id: hold, run: 'cat gate; echo done'}\n");
    let gate = world.gate("gate");
    said(&world.run(&["run", "flow.yaml", "--detach"]));
    let run = world.record_when("works", |record| record.status == RunStatus::Running).run.to_string();
    assert!(said(&world.run(&["prune", "--older", "0s", "--max-size", "0"])).contains("freed 0 runs"));
    let open = refused(&world.run(&["rm", &run]), 1);
    assert!(open.contains("BKS-R040") && open.contains("backstay cancel"), "{open}");
    gate.open();
    said(&world.run(&["wait", &run]));
    assert!(said(&world.run(&["logs", &run])).contains("done"));
}

#[test]
fn a_limit_of_size_frees_what_ended_first() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    for _ in 0..3 {
        said(&world.run(&["run", "flow.yaml"]));
    }
    let [newest, second, first] = <[String; 3]>::try_from(runs(&world)).unwrap();
    let store = world.path().join(".backstay");
    let taken = size(store.join("runs").as_std_path());
    let one = size(store.join("runs").join(&first).as_std_path());
    for (limit, expected) in
        [(taken, vec![]), (taken - 1, vec![&first]), (taken - one - 1, vec![&first, &second])]
    {
        let arguments = ["prune", "--max-size", &limit.to_string(), "--dry-run", "--json"];
        let report: serde_json::Value = serde_json::from_str(&said(&world.run(&arguments))).unwrap();
        let would: Vec<&str> =
            report["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
        assert_eq!(would, expected, "{limit} of {taken}");
    }
    said(&world.run(&["prune", "--max-size", &(taken - 1).to_string()]));
    assert!(!store.join("runs").join(&first).exists() && store.join("runs").join(&newest).exists());
}

/// Bytes of the files under a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let of = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        there if there.is_dir() => size(&entry.path()),
        there => there.len(),
    };
    entries.map(of).sum()
}

#[test]
fn a_kill_between_the_log_and_the_files_leaves_nothing_for_good() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    said(&world.run(&["run", "flow.yaml"]));
    let run = runs(&world).remove(0);
    let folder = world.path().join(".backstay/runs").join(&run);
    let kept = world.path().join("kept");
    copy(folder.as_std_path(), kept.as_std_path());
    said(&world.run(&["prune", "--older", "0s"]));
    // As a process that was killed after it freed the events would have left it.
    copy(kept.as_std_path(), folder.as_std_path());
    let pruned: serde_json::Value = serde_json::from_str(&said(&world.run(&["prune", "--json"]))).unwrap();
    assert!(pruned["leftover_bytes"].as_u64() > Some(20_000), "{pruned}");
    assert!(!folder.exists());
    // What cannot be removed is said, and is no success.
    fs::write(&folder, "no folder").unwrap();
    let told = refused(&world.run(&["prune"]), 1);
    assert!(told.contains("is not freed whole") && told.contains(&run), "{told}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn up_frees_what_the_configuration_does_not_keep() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    said(&world.run(&["run", "flow.yaml"]));
    let run = runs(&world).remove(0);
    world.configure("[retention]\nolder = \"0s\"\n");
    said(&world.run(&["up"]));
    assert!(record(&world, &run).trimmed_at.is_some());
    world.write(".backstay/config.toml", "[retention]\nage = \"0s\"\n");
    let wrong = refused(&world.run(&["up"]), 2);
    assert!(wrong.contains("BKS-C034") && wrong.contains("config.toml:2"), "{wrong}");
    let runs_before = runs(&world).len();
    assert!(refused(&world.run(&["run", "flow.yaml"]), 2).contains("BKS-C034"));
    assert_eq!(runs(&world).len(), runs_before, "nothing was asked for that nobody would own");
}

#[test]
fn resume_of_a_run_that_was_freed_says_so_and_advises_nothing_that_cannot_be_done() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: fails\nsteps:\n  - {id: a, run: exit 3}\n");
    let advice = |needle: &str| {
        let told = refused(&world.run(&["resume"]), 1);
        assert!(told.contains(needle), "{told}");
        told
    };
    drop(refused(&world.run(&["run", "flow.yaml"]), 1));
    drop(advice("backstay retry run_"));
    said(&world.run(&["prune", "--older", "0s"]));
    let told = advice("what it wrote was freed at ");
    assert!(!told.contains("retry"), "{told}");
    assert!(told.contains("backstay show run_") && told.contains("next  backstay run flow.yaml"), "{told}");
    drop(refused(&world.run(&["retry"]), 1));
}
