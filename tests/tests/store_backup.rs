//! `store backup` and `store restore`: one moment of a store in use, whole or none; and a copy that leaves the original alone.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_engine::record::RunStatus;
use backstay_log::crash::CRASH_POINT_VARIABLE;
use backstay_log::prelude::*;
use backstay_log::{
    Authority, Batch, CursorError, Direction, NewEvent, OpenOptions, ReadError, SqliteLog, TopicAppend,
};
use backstay_model::{Kind, Payload, Recorded, Scope, Seq, Topic};
use backstay_tests::folder::{contents, copy_folder, files, listing, said};
use backstay_tests::{World, all, block_on};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, test_kill_process};

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'seq 1 4000'}\n  - {id: two, run: 'echo done; echo aside >&2'}\n";

const KEPT: &str = "[retention]\nolder = \"30d\"\n";

fn done(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn refused(world: &World, arguments: &[&str], code: i32, words: &[&str]) {
    let output = world.run(arguments);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments:?}: `{word}` is not in {text}");
    }
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    test_kill_process(pid).is_ok()
}

fn world() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    done(&world, &["run", "flow.yaml"]);
    world.write(".backstay/config.toml", KEPT);
    world
}

fn open(folder: &Utf8Path) -> SqliteLog {
    SqliteLog::open(folder.as_std_path(), OpenOptions { create: false, ..OpenOptions::default() })
        .expect("the store opens")
}

fn topic(name: &str) -> Topic {
    name.parse().expect("a topic")
}

fn noted(text: &str) -> NewEvent {
    let payload = Payload::encode(&text).expect("a text has a JSON form");
    NewEvent { kind: Kind::new("noted"), scope: Scope::root(), payload, trace: None }
}

/// Every event of every topic, as far as they matter.
fn everything(log: &SqliteLog) -> BTreeMap<(Topic, u64), String> {
    let mut found = BTreeMap::new();
    let mut after = backstay_model::Position(0);
    loop {
        let page: Vec<Recorded> = block_on(log.read_all(after, 1_000)).expect("the log can be read");
        let Some(last) = page.last() else { return found };
        after = last.g;
        for event in page {
            found.insert((event.topic, event.seq.0), format!("{} {}", event.kind, event.payload.as_str()));
        }
    }
}

#[test]
fn a_backup_and_what_is_restored_of_it_have_every_event_blob_and_spool() {
    let world = world();
    let run = world.only_run().unwrap().to_string();
    let original = world.run(&["events", &run, "--json"]).stdout;
    done(&world, &["store", "backup", "copy"]);
    done(&world, &["--store", "restored", "store", "restore", "copy"]);
    assert_eq!(world.run(&["--store", "restored", "events", &run, "--json"]).stdout, original);
    for store in ["restored", "copy"] {
        assert!(done(&world, &["--store", store, "store", "check"]).contains("whole: "), "{store}");
        let beside = |folder: &str| -> Vec<_> {
            let root = world.path().join(folder);
            let below = |part| contents(&root.join(part)).into_iter();
            below("blobs")
                .chain(below("runs"))
                .map(|(path, digest)| (path.strip_prefix(&root).unwrap().to_owned(), digest))
                .filter(|(path, _)| !matches!(path.file_name(), Some("keeper.json" | "collect.lock")))
                .collect()
        };
        assert_eq!(beside(store), beside(".backstay"), "{store}");
    }
    done(&world, &["--store", "restored", "run", "flow.yaml"]);
    assert!(done(&world, &["--store", "restored", "store", "check"]).contains("whole: "));
}

#[test]
fn what_is_not_a_whole_backup_is_refused_and_nothing_is_made_of_it() {
    let world = world();
    done(&world, &["store", "backup", "copy"]);
    let copy = world.path().join("copy");
    refused(&world, &["store", "backup", "copy"], 2, &["BKS-R030", "not empty"]);
    refused(&world, &["store", "restore", "copy"], 2, &["BKS-R034", "--replace"]);
    refused(&world, &["--store", "new", "store", "restore", "nowhere"], 2, &["BKS-R032"]);
    fs::create_dir(world.path().join("other")).unwrap();
    world.write("other/file", "somebody's");
    refused(&world, &["--store", "other", "store", "restore", "copy", "--replace"], 2, &["BKS-R034"]);
    let broken = |number: usize, change: &dyn Fn(&Utf8Path)| {
        let name = format!("broken{number}");
        let folder = world.path().join(&name);
        copy_folder(&copy, &folder);
        change(&folder);
        let output = world.run(&["--store", "new", "store", "restore", &name]);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{number}: {}", said(&output));
        let beside: Vec<_> =
            world.path().read_dir_utf8().unwrap().map(|entry| entry.unwrap().path().to_owned()).collect();
        assert!(!beside.iter().any(|path| path.as_str().contains("new")), "{number}: {beside:?}");
    };
    broken(0, &|folder| fs::remove_file(folder.join("manifest.json")).unwrap());
    broken(1, &|folder| fs::write(folder.join("manifest.json"), "{\"version\":1,").unwrap());
    let names: Vec<Utf8PathBuf> = contents(&copy)
        .into_keys()
        .map(|path| path.strip_prefix(&copy).unwrap().to_owned())
        .filter(|path| path != "manifest.json")
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for (number, name) in names.iter().enumerate() {
        broken(10 + 2 * number, &|folder| fs::remove_file(folder.join(name)).unwrap());
        broken(11 + 2 * number, &|folder| {
            let mut bytes = fs::read(folder.join(name)).unwrap();
            match bytes.pop() {
                Some(last) => bytes.push(!last),
                None => bytes.push(b'x'),
            }
            fs::write(folder.join(name), bytes).unwrap();
        });
    }
    assert!(files(&world.path().join("other")).len() == 1, "what is no store is left alone");
}

#[test]
fn a_backup_is_looked_into_and_restored_and_nothing_else_is_done_with_it() {
    let world = world();
    done(&world, &["store", "backup", "copy"]);
    done(&world, &["store", "backup", "another"]);
    let copy = world.path().join("copy");
    let before = listing(&copy);
    let every: [&[&str]; 26] = [
        &["run", "flow.yaml"],
        &["run", "flow.yaml", "--detach"],
        &["exec", "cmd: true", "nothing"],
        &["ls"],
        &["show"],
        &["watch"],
        &["logs"],
        &["events"],
        &["usage"],
        &["suspend"],
        &["resume"],
        &["cancel"],
        &["retry"],
        &["skip", "@last", "one"],
        &["diff"],
        &["restore", "@last"],
        &["prune", "--older", "0s"],
        &["rm", "@last"],
        &["inbox"],
        &["answer", "x", "approve"],
        &["wait"],
        &["up"],
        &["store", "backup", "third"],
        &["store", "scrub", "--env", "PATH"],
        &["store", "restore", "another"],
        &["store", "restore", "another", "--replace"],
    ];
    for command in every {
        let arguments = [&["--store", "copy"], command].concat();
        refused(&world, &arguments, 2, &["BKS-R039", "is a backup", "store restore", "store check"]);
        assert_eq!(listing(&copy), before, "{command:?}");
    }
    let sick = said(&world.run(&["--store", "copy", "doctor"]));
    assert!(sick.contains("is a backup"), "{sick}");
    done(&world, &["--store", "copy", "store", "info"]);
    assert!(done(&world, &["--store", "copy", "store", "check"]).contains("whole: "));
    done(&world, &["--store", "restored", "store", "restore", "copy"]);
    assert_eq!(listing(&copy), before);
    assert!(done(&world, &["--store", "restored", "store", "check"]).contains("whole: "));
}

#[test]
fn the_configuration_belongs_to_a_backup_and_what_was_changed_since_is_named() {
    let world = world();
    world.write(".backstay/mine.txt", "somebody's");
    let backed_up = done(&world, &["store", "backup", "copy"]);
    assert!(backed_up.contains("mine.txt"), "{backed_up}");
    assert_eq!(world.read("copy/config.toml"), KEPT);
    done(&world, &["--store", "restored", "store", "restore", "copy"]);
    assert_eq!(world.read("restored/config.toml"), KEPT);
    let restored = done(&world, &["store", "restore", "copy", "--replace"]);
    assert!(!restored.contains("config.toml"), "it is the same: {restored}");
    world.write(".backstay/config.toml", "[retention]\nolder = \"7d\"\n");
    let restored = done(&world, &["store", "restore", "copy", "--replace"]);
    assert!(restored.contains(".backstay.replaced-2/config.toml"), "{restored}");
    assert_eq!(world.read(".backstay/config.toml"), KEPT);
    fs::remove_file(world.path().join(".backstay/config.toml")).unwrap();
    done(&world, &["store", "backup", "without"]);
    world.write(".backstay/config.toml", KEPT);
    let restored = done(&world, &["store", "restore", "without", "--replace"]);
    assert!(restored.contains(".backstay.replaced-3/config.toml"), "{restored}");
    assert!(!world.path().join(".backstay/config.toml").exists(), "a restored store is as it was backed up");
}

#[test]
fn a_configuration_that_is_a_link_is_refused_and_the_error_names_it() {
    let world = world();
    let configuration = world.path().join(".backstay/config.toml");
    fs::rename(&configuration, world.path().join("dotfile.toml")).unwrap();
    std::os::unix::fs::symlink("../dotfile.toml", &configuration).unwrap();
    let words = ["config.toml is a link", "a store holds no links"];
    refused(&world, &["store", "backup", "copy"], 2, &words);
    refused(&world, &["run", "flow.yaml"], 2, &words);
}

#[test]
fn a_backup_inside_the_store_is_refused_under_whatever_name_and_nothing_is_made() {
    let world = world();
    std::os::unix::fs::symlink(".backstay/runs", world.path().join("link")).unwrap();
    // The shared memory of a database is nothing on its own, and every reader changes it.
    let found = || {
        let mut found = listing(&world.path().join(".backstay"));
        found.retain(|path, _| !path.as_str().ends_with("-shm"));
        found
    };
    let before = found();
    for target in [".backstay", ".backstay/copy", ".backstay/a/b", "link/copy", "other/../.backstay/runs/x"] {
        refused(&world, &["store", "backup", target], 2, &["BKS-R043", "in the store itself"]);
    }
    assert_eq!(found(), before);
    done(&world, &["store", "backup", ".backstay.copy"]);
}

#[test]
fn a_backup_that_dies_at_any_moment_is_no_backup() {
    let world = world();
    let files = (1..=16).step_by(5).map(|hit| format!("store.backup.file:{hit}"));
    let points = ["store.backup.database", "store.backup.copied", "store.backup.before_manifest"];
    for (number, point) in points.iter().map(ToString::to_string).chain(files).enumerate() {
        let name = format!("copy{number}");
        let dying = world.start_with(&["store", "backup", &name], &[(CRASH_POINT_VARIABLE, &point)]);
        let (status, end) = dying.end();
        assert!(!status.success(), "{point} was not reached: {end}");
        refused(&world, &["--store", "new", "store", "restore", &name], 2, &["BKS-R032", "manifest.json"]);
    }
    done(&world, &["store", "backup", "copy"]);
}

#[test]
fn a_restore_that_dies_at_any_moment_leaves_the_old_store_and_can_be_said_again() {
    let world = world();
    done(&world, &["store", "backup", "copy"]);
    let dies_at = |point: &str| {
        let arguments = ["store", "restore", "copy", "--replace"];
        let (status, end) = world.start_with(&arguments, &[(CRASH_POINT_VARIABLE, point)]).end();
        assert!(!status.success(), "{point} was not reached: {end}");
    };
    dies_at("store.restore.built");
    assert!(done(&world, &["store", "check"]).contains("whole: "), "nothing was moved");
    dies_at("store.restore.between");
    assert!(!world.path().join(".backstay").exists(), "the old one was moved, the new one not yet");
    assert!(done(&world, &["--store", ".backstay.replaced-1", "store", "check"]).contains("whole: "));
    done(&world, &["store", "restore", "copy"]);
    assert!(done(&world, &["store", "check"]).contains("whole: "));
}

#[test]
fn l7_a_backup_under_full_load_is_one_moment_with_everything_acknowledged_before_it() {
    let world = world();
    let folder = world.path().join(".backstay");
    world.write(
        "long.yaml",
        &format!(
            "backstay: 1\nname: long\nsteps:\n{}",
            (0..30)
                .map(|step| format!("  - {{id: s{step}, run: 'seq 1 3000; echo x >&2'}}\n"))
                .collect::<String>()
        ),
    );
    let runs: Vec<_> = (0..3).map(|_| world.start(&["run", "long.yaml"])).collect();
    let log = open(&folder);
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<[AtomicU64; 3]> = Arc::default();
    let writers: Vec<_> = (0..3)
        .map(|writer: usize| {
            let (log, stop, acknowledged) = (log.clone(), stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    let events = vec![noted(&format!("{writer}.{number}")), noted("and more")];
                    // Both topics of a batch, or none.
                    let parts = [format!("w{writer}"), format!("pair{writer}")]
                        .map(|name| TopicAppend::new(topic(&name), Authority::Exclusive, events.clone()));
                    let batch = Batch {
                        appends: parts.into(),
                        ..Batch::of(TopicAppend::new(topic("x"), Authority::Exclusive, Vec::new()))
                    };
                    let appended = log.submit(batch).wait().expect("it is appended");
                    acknowledged[writer].store(appended.topics[0].last.0, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..if all() { 5 } else { 2 } {
        let before: Vec<u64> = acknowledged.iter().map(|last| last.load(Ordering::SeqCst)).collect();
        let name = format!("copy{round}");
        done(&world, &["store", "backup", &name]);
        done(&world, &["--store", &format!("restored{round}"), "store", "restore", &name]);
        let copy = open(&world.path().join(format!("restored{round}")));
        let (copied, now) = (everything(&copy), everything(&log));
        assert!(
            copied.iter().all(|(place, event)| now.get(place) == Some(event)),
            "what is copied is as it was"
        );
        for (writer, before) in before.iter().enumerate() {
            let head = |name: &str| {
                let of = topic(&format!("{name}{writer}"));
                let numbers: Vec<u64> =
                    copied.keys().filter(|(topic, _)| *topic == of).map(|(_, seq)| *seq).collect();
                assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{name}{writer} has no hole");
                numbers.len() as u64
            };
            assert!(
                head("w") >= *before,
                "{} < {before}: it was acknowledged before the backup began",
                head("w")
            );
            assert_eq!(head("w"), head("pair"), "a batch is there whole or not at all");
        }
    }
    stop.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer ends"));
    for run in runs {
        let (status, end) = run.end();
        assert!(status.success(), "{end}");
    }
}

#[test]
fn l12_a_cursor_of_the_original_behind_the_backup_is_lost_in_the_copy() {
    let world = world();
    let log = open(&world.path().join(".backstay"));
    let append = |log: &SqliteLog, text: &str| {
        let part = TopicAppend::new(topic("a"), Authority::Exclusive, vec![noted(text)]);
        log.submit(Batch::of(part)).wait().expect("it is appended");
    };
    append(&log, "before");
    done(&world, &["store", "backup", "copy"]);
    let before = block_on(log.cursor(&topic("a"), Seq(1))).unwrap();
    append(&log, "after");
    append(&log, "after");
    let after = [2, 3].map(|seq| block_on(log.cursor(&topic("a"), Seq(seq))).unwrap());
    done(&world, &["--store", "restored", "store", "restore", "copy"]);
    let copy = open(&world.path().join("restored"));
    assert_eq!(copy.id(), log.id());
    let lost = |cursor| {
        let error = block_on(copy.resolve(&topic("a"), cursor)).unwrap_err();
        assert!(matches!(error, ReadError::Cursor(CursorError::Lost { .. })), "{error:?}");
    };
    assert_eq!(block_on(copy.resolve(&topic("a"), &before)).unwrap(), Seq(1));
    after.iter().for_each(lost);
    append(&copy, "another one");
    // The number was given again; the cursor speaks of the original's event.
    after.iter().for_each(lost);
    let page = block_on(copy.read(&topic("a"), Seq(1), Direction::Forward, 10)).unwrap();
    assert!(page.events[0].g.0 > 1 << 24, "positions jump: {}", page.events[0].g);
}

/// The agent of the original is at work while the store is copied; the copy goes by `after_crash` and never touches it.
fn copied_at_work(after_crash: &str, kill_owner: bool, resume_code: i32) -> (World, String) {
    let world = World::new();
    world.write(
        "flow.yaml",
        &format!(
            "backstay: 1\nname: gated\nsteps:\n  - {{id: work, after_crash: {after_crash}, run: 'if [ -e copied ]; then echo again; else echo begun > begun; cat go; fi'}}\n"
        ),
    );
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let record = world.record_when("has its agent at work", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|attempt| attempt.pid.is_some()))
    });
    let agent = record.steps[0].attempts[0].pid.expect("it has one");
    let owner = if kill_owner {
        run.kill();
        None
    } else {
        Some(run)
    };
    assert!(done(&world, &["store", "backup", "copy"]).contains("1 attempt was at work"));
    // What the copy's recovery does must not hang on what the restore adds: without its manifest a backup is a store.
    copy_folder(&world.path().join("copy"), &world.path().join("opened"));
    fs::remove_file(world.path().join("opened/manifest.json")).expect("it has one");
    done(&world, &["--store", "restored", "store", "restore", "copy"]);
    world.write("copied", "");
    let mut text = String::new();
    for store in ["restored", "opened"] {
        // One that was made by hand is nobody's yet.
        let resumed = world.run(&["--store", store, "--adopt", "resume", "@last"]);
        text = said(&resumed);
        assert_eq!(resumed.status.code(), Some(resume_code), "{store}: {text}");
        assert!(is_alive(agent), "{store}: the original's agent is at work");
        let events = done(&world, &["--store", store, "events", "@last", "--json"]);
        assert!(events.contains(r#""evidence":"restored""#), "{store}: {events}");
        assert!(done(&world, &["--store", store, "store", "check"]).contains("whole: "), "{store}");
    }
    go.open();
    let (status, end) = owner.unwrap_or_else(|| world.start(&["resume", "@last"])).end();
    assert!(status.success(), "the original goes on: {end}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    assert_eq!(record.steps[0].attempts.len(), 1, "nothing of the original was started twice");
    (world, text)
}

#[test]
fn s5_a_restored_copy_asks_and_leaves_the_agents_of_the_original_alone() {
    let (world, text) = copied_at_work("ask", false, 3);
    assert!(text.contains("the store was copied"), "{text}");
    let inbox = done(&world, &["--store", "restored", "inbox"]);
    assert!(inbox.contains("work"), "{inbox}");
}

#[test]
fn s5_a_restored_copy_does_again_what_may_be_done_again_beside_agents_without_an_owner() {
    copied_at_work("rerun", true, 0);
}

#[test]
fn a_store_in_use_is_not_replaced_and_who_uses_it_is_named() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: gated\nsteps:\n  - {id: work, run: 'echo begun > begun; cat go'}\n",
    );
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    done(&world, &["store", "backup", "copy"]);
    let pid = run.pid().to_string();
    let before: Vec<_> =
        world.path().read_dir_utf8().unwrap().map(|entry| entry.unwrap().path().to_owned()).collect();
    refused(&world, &["store", "restore", "copy", "--replace"], 1, &["BKS-L091", &pid]);
    run.kill();
    // Its agent lives on under its keeper, and would go on writing there.
    refused(&world, &["store", "restore", "copy", "--replace"], 1, &["BKS-R035", "work/1"]);
    let after: Vec<_> =
        world.path().read_dir_utf8().unwrap().map(|entry| entry.unwrap().path().to_owned()).collect();
    assert_eq!(before, after, "nothing was moved");
    go.open();
    let resumed = world.run(&["resume", "@last"]);
    assert!(resumed.status.success(), "{}", said(&resumed));
    let completed = contents(&world.path().join(".backstay/runs"));
    done(&world, &["store", "restore", "copy", "--replace"]);
    assert!(
        done(&world, &["--store", ".backstay.replaced-1", "ls"]).contains("completed"),
        "the old one is kept"
    );
    assert_eq!(contents(&world.path().join(".backstay.replaced-1/runs")).len(), completed.len());
    assert!(done(&world, &["ls"]).contains("interrupted"), "the restored one is as it was");
}
