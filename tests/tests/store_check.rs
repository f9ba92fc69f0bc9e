//! `store info` and `store check`: a whole store is told as whole, also while runs go on; each damage is told by run and number.

use std::fs;

use backstay_model::RunId;
use backstay_tests::folder::{contents, copy_folder, said};
use backstay_tests::{Seed, World, all};
use camino::Utf8PathBuf;
use rusqlite::Connection;

/// Its first step's output is long enough to be a blob.
const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'seq 1 4000'}\n  - {id: two, run: 'echo done; echo aside >&2'}\n  - {id: three, run: 'echo a > \"$BACKSTAY_ARTIFACTS/a\"; echo b'}\n";

fn world() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{}", said(&output));
    world
}

fn store(world: &World) -> Utf8PathBuf {
    world.path().join(".backstay")
}

fn database(world: &World) -> Connection {
    Connection::open(store(world).join("log.db")).expect("the database opens")
}

#[test]
fn a_check_of_a_whole_store_says_so_and_changes_nothing() {
    let world = world();
    let before = contents(&store(&world));
    let output = world.run(&["store", "check"]);
    assert_eq!(
        (output.status.code(), said(&output).contains("whole: ") && said(&output).contains(" in 1 topic, ")),
        (Some(0), true),
        "{}",
        said(&output)
    );
    let output = world.run(&["store", "check", "--json"]);
    assert!(said(&output).contains(r#""findings": []"#), "{}", said(&output));
    assert_eq!(contents(&store(&world)), before);
}

#[test]
fn info_says_what_takes_the_room_and_who_has_the_store_open() {
    let world = world();
    let small = world.only_run().unwrap();
    world.write(
        "big.yaml",
        "backstay: 1\nname: big\nsteps:\n  - {id: one, run: 'seq 1 40000; echo begun > begun; cat go'}\n",
    );
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let running = world.start(&["run", "big.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let output = world.run(&["store", "info"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let pid = running.pid();
    assert!(text.contains(&format!("pid {pid} on ")), "the owner is named: {text}");
    let open_in = text.lines().find(|line| line.starts_with("open in")).unwrap().to_owned();
    if cfg!(target_os = "linux") {
        assert!(open_in.contains(&pid.to_string()), "{open_in}");
    }
    go.open();
    let (status, end) = running.end();
    assert!(status.success(), "{end}");
    let text = said(&world.run(&["store", "info"]));
    let runs: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("run_")).collect();
    assert_eq!(runs.len(), 2, "{text}");
    assert!(runs[1].contains(&small.to_string()), "the largest is first: {text}");
    assert!(text.contains(&format!("format {}", backstay_log::SqliteLog::FORMAT)), "{text}");
    assert!(text.contains("owners      nobody"), "{text}");
    let json = said(&world.run(&["store", "info", "--json"]));
    for word in [r#""schema": 1"#, r#""wal_bytes""#, r#""attempt_bytes""#, &small.to_string()] {
        assert!(json.contains(word), "{word}: {json}");
    }
}

type Damage = fn(&World);

fn sql(world: &World, text: &str) {
    let changed = database(world).execute_batch(text);
    changed.unwrap_or_else(|error| panic!("{text}: {error}"));
}

fn attempt(world: &World, step: &str) -> Utf8PathBuf {
    store(world).join("runs").join(world.only_run().expect("there is a run").to_string()).join(step).join("1")
}

fn spool(world: &World, name: &str) -> Utf8PathBuf {
    attempt(world, "one").join(name)
}

/// Puts a file of another step's attempt into that of the first.
fn put(world: &World, step: &str, name: &str) {
    fs::copy(attempt(world, step).join(name), spool(world, name)).expect("it can be damaged");
}

fn a_blob(world: &World) -> Utf8PathBuf {
    let blobs = contents(&store(world).join("blobs"));
    // The output is the longest.
    blobs
        .into_keys()
        .max_by_key(|path| fs::metadata(path).expect("it is there").len())
        .expect("there are blobs")
}

/// What is done to the store, and what the check says of it.
const DAMAGES: [(Damage, &str); 33] = [
    (|world| sql(world, "DELETE FROM event WHERE seq = 5"), "event 5 is lost"),
    (|world| sql(world, "DELETE FROM event WHERE seq > 11"), "events 12 to"),
    (|world| sql(world, "UPDATE event SET payload = '{\"torn' WHERE seq = 3"), "event 3 is damaged"),
    (|world| sql(world, "UPDATE event SET payload = '{\"v\":1}' WHERE seq = 6"), "event 6 is damaged"),
    // What makes sense too.
    (
        |world| {
            sql(
                world,
                "UPDATE event SET payload = replace(payload, '\"exit 0\"', '\"exit 1\"') WHERE kind = 'step_finished'",
            )
        },
        "is damaged: it is not what was written",
    ),
    (
        |world| sql(world, "UPDATE event SET at = at + 1 WHERE seq = 6"),
        "event 6 is damaged: it is not what was",
    ),
    (
        |world| sql(world, "UPDATE event SET trace = '0af7651916cd43dd8448eb211c80319c' WHERE seq = 5"),
        "event 5 is damaged: it is not what was written",
    ),
    (
        |world| sql(world, "UPDATE event SET flags = flags | 1 WHERE seq = (SELECT max(seq) FROM event)"),
        "its batch goes on",
    ),
    (
        |world| sql(world, "UPDATE event SET last_fact = 2, last_input = 1 WHERE seq = 4"),
        "neither an input nor a fact",
    ),
    (|world| sql(world, "UPDATE event SET at = at - 90000000 WHERE seq = 7"), "older"),
    (|world| sql(world, "UPDATE event SET seq = 8 WHERE seq = 9"), "two events have its number"),
    (
        |world| sql(world, "DELETE FROM topic_event WHERE seq = 4"),
        "index of event 4: the index does not have it",
    ),
    (|world| sql(world, "UPDATE topic_event SET g = g + 70 WHERE seq = 2"), "index of event 2: it is at"),
    (
        |world| {
            sql(
                world,
                "INSERT INTO topic_event SELECT topic_id, 99, 999999, kind, scope FROM topic_event WHERE seq = 1",
            )
        },
        "events",
    ),
    (|world| sql(world, "UPDATE name SET text = 'other' WHERE text = 'step_started'"), "other names"),
    (|world| sql(world, "UPDATE topic SET state = 'running'"), "its row says running"),
    (|world| sql(world, "UPDATE topic SET owner = 'own_01JDX7Q2ZK8VQ5T3W9M4N6P7R8'"), "is not registered"),
    (|world| sql(world, "UPDATE topic SET epoch = 7, closed = 0"), "its row has epoch 7"),
    (|world| fs::remove_file(a_blob(world)).expect("it can be damaged"), "is lost"),
    (
        |world| fs::write(a_blob(world), "something else").expect("it can be damaged"),
        "is damaged: its bytes have the digest",
    ),
    (
        |world| fs::write(spool(world, "stdout"), "1\n2\n").expect("it can be damaged"),
        "stdout, told of by event",
    ),
    (|world| fs::write(spool(world, "stderr"), "x").expect("it can be damaged"), "stderr, told of by event"),
    (|world| fs::remove_dir_all(spool(world, "")).expect("it can be damaged"), "it is not there"),
    (
        |world| fs::remove_file(spool(world, "exit.json")).expect("it can be damaged"),
        "one/1/exit.json, told of",
    ),
    (|world| fs::write(spool(world, "exit.json"), "{}").expect("it can be damaged"), "cannot be understood"),
    (|world| put(world, "two", "exit.json"), ":two:main, attempt 1"),
    (|world| put(world, "two", "keeper.json"), "one/1/keeper.json, told of"),
    (|world| fs::remove_file(spool(world, "order")).expect("it can be damaged"), "one/1/order, told of"),
    (|world| fs::write(spool(world, "order"), [0; 4]).expect("it can be damaged"), "counts no bytes"),
    (
        |world| {
            fs::write(spool(world, "order"), [255; 3].map(|byte| [byte, 127]).concat())
                .expect("it can be damaged")
        },
        "it counts more bytes of stdout than were written",
    ),
    (|world| fs::write(spool(world, "times"), [0; 16]).expect("it can be damaged"), "one/1/times, told of"),
    (
        |world| fs::write(spool(world, "times"), [1; 16]).expect("it can be damaged"),
        "it counts more bytes than were written",
    ),
    (
        |world| fs::remove_file(attempt(world, "three").join("artifacts/a")).expect("it can be damaged"),
        "three/1/artifacts/a, told of",
    ),
];

#[test]
fn events_that_are_gone_with_all_that_knew_them_are_told_by_what_they_began() {
    let world = world();
    let names = ["log.db", "log.db-wal"];
    let old = names.map(|name| fs::read(store(&world).join(name)).unwrap());
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    fs::remove_file(store(&world).join("log.db-shm")).unwrap();
    for (name, bytes) in names.into_iter().zip(old) {
        fs::write(store(&world).join(name), bytes).unwrap();
    }
    let output = world.run(&["store", "check"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let told = text.lines().filter(|line| line.starts_with("runs/run_") && line.contains("events are lost"));
    assert_eq!(told.count(), 3, "one line for each attempt: {text}");
    assert!(text.contains("not looked at: what artifacts contain"), "{text}");
}

#[test]
fn l4_each_damage_is_told_by_run_and_number() {
    let whole = world();
    let run = whole.only_run().unwrap().to_string();
    for (number, (damage, words)) in DAMAGES.iter().enumerate() {
        let world = World::new();
        copy_folder(&store(&whole), &store(&world));
        damage(&world);
        let output = world.run(&["store", "check"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{number}, {words}: {text}");
        let told = text.lines().any(|line| line.starts_with(&run) && line.contains(words));
        assert!(told, "{number}, {words}: {text}");
        assert!(text.contains("wrong: "), "{text}");
        assert!(text.lines().any(|line| line.starts_with("next  backstay store restore BACKUP")), "{text}");
    }
}

#[test]
fn events_that_were_freed_are_no_damage() {
    let world = world();
    sql(
        &world,
        "UPDATE topic SET floor = 4; DELETE FROM event WHERE seq < 4; DELETE FROM topic_event WHERE seq < 4",
    );
    let output = world.run(&["store", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn runs_that_were_freed_and_removed_are_no_damage_also_beside_checks_and_backups() {
    let world = world();
    for _ in 0..6 {
        assert!(world.run(&["run", "flow.yaml"]).status.success());
    }
    let runs = said(&world.run(&["ls", "--all", "--json"]));
    assert_eq!(runs.matches(r#""run":"#).count(), 7, "{runs}");
    let prune = world.start(&["prune", "--older", "0s"]);
    for round in 0..6 {
        let output = world.run(&["store", "check"]);
        assert_eq!(output.status.code(), Some(0), "round {round}: {}", said(&output));
        let output = world.run(&["store", "backup", &format!("copy{round}")]);
        assert_eq!(output.status.code(), Some(0), "round {round}: {}", said(&output));
    }
    let (status, end) = prune.end();
    assert!(status.success(), "{end}");
    assert!(said(&world.run(&["store", "check"])).contains("whole: 7 events in 7 topics"));
    let output = world.run(&["rm", "@last"]);
    assert!(output.status.success(), "{}", said(&output));
    let output = world.run(&["store", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn checks_beside_runs_of_several_processes_find_nothing() {
    let world = world();
    let steps: String =
        (0..20).map(|step| format!("  - {{id: s{step}, run: 'seq 1 3000; echo x >&2'}}\n")).collect();
    world.write("long.yaml", &format!("backstay: 1\nname: long\nsteps:\n{steps}"));
    let runs: Vec<_> = (0..3).map(|_| world.start(&["run", "long.yaml"])).collect();
    let rounds = if all() { 40 } else { 12 };
    for round in 0..rounds {
        let output = world.run(&["store", "check"]);
        assert_eq!(output.status.code(), Some(0), "round {round}: {}", said(&output));
    }
    for run in runs {
        let (status, end) = run.end();
        assert!(status.success(), "{end}");
    }
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

/// What the other commands may say of a damaged store: what is there, or an error with a code; never a panic.
fn assert_told_or_right(world: &World, run: RunId, whole: &str, what: &str) {
    for arguments in [&["events", "--json"] as &[&str], &["ls", "--json"], &["show"], &["logs"]] {
        let output = world.run(arguments);
        let text = said(&output);
        assert!(!text.contains("panicked"), "{what}, {arguments:?}: {text}");
        match output.status.code() {
            Some(0) => {}
            Some(1 | 2) => assert!(text.contains("error BKS-"), "{what}, {arguments:?}: {text}"),
            code => panic!("{what}, {arguments:?}: {code:?}: {text}"),
        }
    }
    let id = run.to_string();
    let output = world.run(&["events", &id, "--json"]);
    if output.status.success() {
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            whole,
            "{what}: events are all there, or an error"
        );
    }
}

fn pages(world: &World) -> (usize, Vec<u8>) {
    sql(world, "PRAGMA wal_checkpoint(TRUNCATE)");
    let bytes = fs::read(store(world).join("log.db")).expect("the database can be read");
    (usize::from(u16::from_be_bytes([bytes[16], bytes[17]])), bytes)
}

#[test]
fn l4_a_page_that_is_not_what_was_written_is_told() {
    let world = world();
    let run = world.only_run().unwrap();
    let whole = String::from_utf8(world.run(&["events", &run.to_string(), "--json"]).stdout).unwrap();
    let (page_bytes, bytes) = pages(&world);
    let file = store(&world).join("log.db");
    for page in 0..bytes.len() / page_bytes {
        let mut damaged = bytes.clone();
        damaged[page * page_bytes..(page + 1) * page_bytes].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&file, &damaged).unwrap();
        let output = world.run(&["store", "check"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "page {page}: {text}");
        assert!(text.contains("database: ") && !text.contains("panicked"), "page {page}: {text}");
        assert_told_or_right(&world, run, &whole, &format!("page {page}"));
    }
    fs::write(&file, &bytes).unwrap();
    assert!(said(&world.run(&["store", "check"])).contains("whole: "), "the copy of the pages was whole");
}

#[test]
fn l4_any_bytes_in_the_database_are_told_or_harmless_and_never_a_panic() {
    let world = world();
    let (_page_bytes, bytes) = pages(&world);
    let file = store(&world).join("log.db");
    let mut seed = Seed::drawn();
    for round in 0..if all() { 400 } else { 60 } {
        let mut damaged = bytes.clone();
        let count = 1 + seed.below(8);
        for _ in 0..count {
            let at = usize::try_from(seed.below(bytes.len() as u64)).unwrap();
            damaged[at] = u8::try_from(seed.below(256)).unwrap();
        }
        fs::write(&file, &damaged).unwrap();
        for arguments in [&["store", "check"] as &[&str], &["events"], &["show"]] {
            let output = world.run(arguments);
            let text = said(&output);
            assert!(!text.contains("panicked"), "round {round}, {arguments:?}: {text}");
            assert!(
                matches!(output.status.code(), Some(0..=2)),
                "round {round}, {arguments:?}: {:?}",
                output.status
            );
        }
    }
}

#[test]
fn l4_a_database_that_was_cut_short_is_told() {
    let world = world();
    let run = world.only_run().unwrap();
    let whole = String::from_utf8(world.run(&["events", &run.to_string(), "--json"]).stdout).unwrap();
    let (page_bytes, bytes) = pages(&world);
    let file = store(&world).join("log.db");
    let mut told = 0;
    for page in 1..bytes.len() / page_bytes {
        for length in [page * page_bytes, page * page_bytes + page_bytes / 2] {
            fs::write(&file, &bytes[..length]).unwrap();
            let output = world.run(&["store", "check"]);
            let text = said(&output);
            assert!(!text.contains("panicked"), "{length} bytes: {text}");
            if output.status.success() {
                // The half of a page that is gone was empty.
                assert!(
                    length > bytes.len() - page_bytes * 2 && length % page_bytes > 0,
                    "{length} bytes: {text}"
                );
                let read = world.run(&["events", &run.to_string(), "--json"]);
                assert_eq!(String::from_utf8_lossy(&read.stdout), whole);
            } else {
                assert_eq!(output.status.code(), Some(1), "{length} bytes: {text}");
                assert!(text.contains("database: "), "{length} bytes: {text}");
                told += 1;
            }
            assert_told_or_right(&world, run, &whole, &format!("{length} bytes"));
        }
    }
    assert!(told > bytes.len() / page_bytes, "only {told} cuts were told");
}
