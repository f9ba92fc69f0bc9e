//! `store scrub`: a secret is nowhere in the store any more, and everything else is as it was.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use backstay_model::event::Event;
use backstay_model::{Position, Recorded, RunId};
use backstay_tests::folder::{files, has_bytes, said};
use backstay_tests::{World, block_on};
use camino::Utf8PathBuf;

const SECRET: &str = "s3cr\"et/value-0815";

/// The secret goes everywhere where texts go: source, plan, script, prompt, output (inline and as a blob), log, stderr,
/// artifact, summary of a failure, reason of a cancel.
const FLOW: &str = r#"
backstay: 1
name: leaky
inputs:
  token: {type: string}
agents:
  reader: {command: "cat", via: file}
steps:
  - {id: short, run: "echo ${{ inputs.token }}"}
  - {id: long, run: "seq 1 4000; echo ${{ inputs.token }}; seq 1 4000"}
  - {id: aside, run: "echo ${{ inputs.token }} >&2; echo ${{ inputs.token }} > $BACKSTAY_ARTIFACTS/kept; printf %s ${{ inputs.token }} > $BACKSTAY_OUTPUT"}
  - id: agent
    agent: reader
    prompt: |
      The key is ${{ inputs.token }}.
"#;

fn store(world: &World) -> Utf8PathBuf {
    world.path().join(".backstay")
}

fn leaky() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let output = world.run(&["run", "flow.yaml", "--input", &format!("token={SECRET}")]);
    assert!(output.status.success(), "{}", said(&output));
    let output = world.run(&["run", "flow.yaml", "--input", "token=harmless", "--detach"]);
    assert!(output.status.success(), "{}", said(&output));
    let _ended = world.run(&["wait"]);
    world
}

fn scrub(world: &World, value: &str) -> Output {
    let mut child = world
        .command(&["store", "scrub"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it has a stdin");
    stdin.write_all(value.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Files that have the value, as it is or as it stands in JSON, JSON in JSON, and so on.
fn leaks(world: &World) -> Vec<Utf8PathBuf> {
    let once = SECRET.replace('"', "\\\"");
    let twice = once.replace('\\', "\\\\").replace("\\\"", "\\\\\"");
    let marks = [SECRET, &once, &twice, "et/value-0815"];
    let mut found = files(&store(world));
    found.extend([store(world).join("log.db-shm")].into_iter().filter(|path| path.exists()));
    found.retain(|path| match fs::read(path) {
        // Who worked in the background may still be ending.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        bytes => {
            let bytes = bytes.expect("a file can be read");
            marks.iter().any(|mark| has_bytes(&bytes, mark.as_bytes()))
        }
    });
    found
}

fn events(world: &World) -> Vec<Recorded> {
    block_on(async {
        let store = world.store().await.expect("there is a store");
        let mut found: Vec<Recorded> = Vec::new();
        loop {
            let after = found.last().map_or(Position(0), |last| last.g);
            let page = store.log().read_all(after, 1_000).await.expect("the log can be read");
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    })
}

#[test]
fn a_scrubbed_value_is_in_no_file_and_everything_else_is_as_it_was() {
    let world = leaky();
    let places: Vec<String> = leaks(&world).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    for name in ["log.db", "stdout", "stderr", "prompt", "kept", "output"] {
        assert!(places.iter().any(|place| place.starts_with(name)), "the test leaks into {name}: {places:?}");
    }
    assert!(places.iter().any(|place| place.len() == 64), "and into a blob: {places:?}");
    let before = events(&world);
    let output = scrub(&world, &format!("{SECRET}\n"));
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("value-0815"), "it is not said either");
    assert_eq!(leaks(&world), Vec::<Utf8PathBuf>::new());

    let checked = said(&world.run(&["store", "check"]));
    assert!(checked.contains("whole: ") && checked.contains("were scrubbed"), "{checked}");
    let after = events(&world);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let place = |event: &Recorded| {
            (
                event.topic.clone(),
                event.seq,
                event.g,
                event.at,
                event.kind.clone(),
                event.scope.clone(),
                event.more,
            )
        };
        assert_eq!(place(before), place(after), "numbers and structure stay");
        assert_eq!(before.payload.as_str().len(), after.payload.as_str().len(), "sizes stay");
        assert!(Event::decode(after).is_ok(), "{after:?}");
        if !before.payload.as_str().contains("value-0815") {
            assert_eq!(before.payload, after.payload, "what did not have it is as it was");
        }
    }
    assert_eq!(leaks(&world), Vec::<Utf8PathBuf>::new(), "opening it brings nothing back");
    let runs: Vec<RunId> = block_on(async {
        let store = world.store().await.unwrap();
        store.runs(backstay_log::TopicFilter::default()).await.unwrap().iter().map(|row| row.run).collect()
    });
    for run in runs {
        for command in ["show", "logs", "events"] {
            let output = world.run(&[command, &run.to_string()]);
            assert!(output.status.success(), "{command}: {}", said(&output));
        }
    }
    let logs = said(&world.run(&["logs", &before[0].topic.run_id().unwrap().to_string()]));
    assert!(logs.contains(&"*".repeat(SECRET.len())), "{logs}");
}

#[test]
fn scrubbing_twice_finds_nothing_and_another_value_is_scrubbed_too() {
    let world = leaky();
    assert!(scrub(&world, SECRET).status.success());
    let again = said(&scrub(&world, SECRET));
    assert!(again.contains("out of 0 events, 0 rows, 0 blobs and 0 files"), "{again}");
    let output =
        world.command(&["store", "scrub", "--env", "KEY"]).env("KEY", "1234\n1235\n1236").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("0 blobs"), "{}", said(&output));
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn what_was_deleted_before_is_not_left_on_free_pages() {
    let world = leaky();
    let database = rusqlite::Connection::open(store(&world).join("log.db")).unwrap();
    // An older row that was there once, and went the way that rows go.
    database
        .execute_batch(&format!(
            "CREATE TABLE once (text TEXT); INSERT INTO once SELECT '{SECRET}' || hex(randomblob(2000)) FROM event; DROP TABLE once; PRAGMA wal_checkpoint(TRUNCATE);"
        ))
        .unwrap();
    drop(database);
    assert!(has_bytes(&fs::read(store(&world).join("log.db")).unwrap(), SECRET.as_bytes()));
    assert!(scrub(&world, SECRET).status.success());
    assert_eq!(leaks(&world), Vec::<Utf8PathBuf>::new());
}

#[test]
fn a_value_that_events_are_made_of_is_refused_and_nothing_changes() {
    let world = leaky();
    let before = events(&world);
    let run = before[0].topic.run_id().unwrap().to_string();
    for (value, code, words) in [
        (run.as_str(), 1, "BKS-L093"),
        ("short", 1, "BKS-L092"),
        ("\"scope\":", 0, "0 events"),
        ("succeeded", 1, "BKS-L093"),
    ] {
        let output = scrub(&world, value);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{value}: {text}");
        assert!(text.contains(words), "{value}: {text}");
    }
    assert_eq!(events(&world), before);
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn a_store_in_use_is_not_scrubbed_and_who_uses_it_is_named() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: gated\nsteps:\n  - {id: work, run: 'echo begun > begun; cat go'}\n",
    );
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let pid = run.pid().to_string();
    let text = said(&scrub(&world, SECRET));
    assert!(text.contains("BKS-L091") && text.contains(&pid), "{text}");
    run.kill();
    let text = said(&scrub(&world, SECRET));
    assert!(text.contains("BKS-R037") && text.contains("work/1"), "a keeper writes too: {text}");
    go.open();
    assert!(world.run(&["resume"]).status.success());
    assert!(scrub(&world, SECRET).status.success());
}

#[test]
fn a_run_of_the_same_file_after_a_scrub_has_its_own_text() {
    let world = World::new();
    world.write(
        "flow.yaml",
        &format!("backstay: 1\nname: literal\nsteps:\n  - {{id: one, run: 'echo {}'}}\n", "hunter2-hunter2"),
    );
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    assert!(scrub(&world, "hunter2-hunter2").status.success());
    assert!(said(&world.run(&["logs"])).contains("***************"));
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    assert!(
        said(&world.run(&["logs", "@last"])).contains("hunter2-hunter2"),
        "what is asked for anew is done as it says"
    );
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn what_a_damaged_block_may_have_is_named_and_the_rest_is_scrubbed() {
    let world = leaky();
    let database = rusqlite::Connection::open(store(&world).join("log.db")).unwrap();
    let damaged = "INSERT INTO packed (topic_id, first, last, data) SELECT id, 1, 8, x'00' FROM topic WHERE name LIKE 'run%' ORDER BY id LIMIT 1";
    assert_eq!(database.execute(damaged, ()).unwrap(), 1);
    drop(database);
    let scrubbed = scrub(&world, SECRET);
    assert_eq!(scrubbed.status.code(), Some(1), "{}", said(&scrubbed));
    let told = String::from_utf8_lossy(&scrubbed.stderr);
    assert!(told.contains("still in the events 1 to 8 of run"), "{told}");
    assert_eq!(leaks(&world), Vec::<Utf8PathBuf>::new());
}
