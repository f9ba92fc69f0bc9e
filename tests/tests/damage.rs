//! A store of which a part is gone: it is told before anything makes it worse, and nothing on the disk is changed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use backstay_tests::World;
use backstay_tests::folder::{listing, said};
use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::Connection;

/// Bytes of the header of a write-ahead log, of a frame's header, and of a page.
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
const PAGE_BYTES: u64 = 4096;

const FLOW: &str = "backstay: 1\nname: small\nsteps: [{id: one, run: 'echo one'}]\n";

fn store(world: &World) -> Utf8PathBuf {
    world.path().join(".backstay")
}

/// A world with two runs, the second of which is in a log that the first is not in any more.
fn world() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let moved = Connection::open(store(&world).join("log.db")).expect("a test can damage it");
    moved.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_row| Ok(())).expect("a test can damage it");
    drop(moved);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    world
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    let copied = std::process::Command::new("cp").args(["-a", from.as_str(), to.as_str()]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{from} can be copied");
}

fn cut(path: &Utf8Path, size_bytes: u64) {
    File::options()
        .write(true)
        .open(path)
        .expect("a test can damage it")
        .set_len(size_bytes)
        .expect("a test can damage it");
}

/// Changes one bit of the file at `at`.
fn flip(path: &Utf8Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("a test can damage it");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a test can damage it");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a test can damage it");
}

fn remove(path: &Utf8Path) {
    fs::remove_file(path).expect("a test can damage it");
}

type Damage = fn(&Utf8Path);

/// What is done to the store, and what is said of it.
const DAMAGES: [(Damage, &str); 9] = [
    (|store| cut(&store.join("log.db"), 0), "`log.db` is empty, and its write-ahead log"),
    (|store| remove(&store.join("log.db")), "`log.db` is not there, and its write-ahead log"),
    (
        |store| {
            File::options()
                .write(true)
                .open(store.join("log.db"))
                .expect("a test can damage it")
                .write_all_at(&[7; 64], 0)
                .expect("a test can damage it")
        },
        "`log.db` does not begin as a database does",
    ),
    (
        |store| {
            remove(&store.join("log.db"));
            remove(&store.join("log.db-wal"));
        },
        "`log.db` is not there, and runs have left something in `runs/`",
    ),
    (
        |store| {
            cut(&store.join("log.db"), 0);
            remove(&store.join("log.db-wal"));
            fs::remove_dir_all(store.join("runs")).expect("a test can damage it");
        },
        "`log.db` is empty, and runs have left something in `blobs/`",
    ),
    (|store| cut(&store.join("log.db"), 3 * PAGE_BYTES), "`log.db` is cut short: "),
    (|store| flip(&store.join("log.db-wal"), 17), "the header of `log.db-wal` is damaged"),
    (
        |store| {
            let second = WAL_HEADER_BYTES + FRAME_HEADER_BYTES + PAGE_BYTES;
            flip(&store.join("log.db-wal"), second + FRAME_HEADER_BYTES + 100);
        },
        "`log.db-wal` is damaged: ",
    ),
    // What is left of it is older than the database.
    (
        |store| cut(&store.join("log.db-wal"), WAL_HEADER_BYTES + FRAME_HEADER_BYTES + PAGE_BYTES),
        "`log.db-wal` is damaged: ",
    ),
];

#[test]
fn a_store_that_lost_a_part_is_refused_by_every_command_and_not_changed() {
    let registered = world();
    let whole = registered.path().join("whole");
    copy(&store(&registered), &whole);
    let unregistered = World::new();
    unregistered.write("flow.yaml", FLOW);
    for ((damage, words), world) in
        DAMAGES.iter().flat_map(|damage| [(damage, &registered), (damage, &unregistered)])
    {
        if store(world).exists() {
            fs::remove_dir_all(store(world)).expect("a test can damage it");
        }
        copy(&whole, &store(world));
        damage(&store(world));
        let before = listing(&store(world));
        let commands: [&[&str]; 7] = [
            &["ls"],
            &["show", "@last"],
            &["store", "check"],
            &["store", "info"],
            &["store", "backup", "copy"],
            &["store", "adopt"],
            &["run", "flow.yaml"],
        ];
        for arguments in commands {
            let output = world.run(arguments);
            let text = said(&output);
            assert!(text.contains(words), "{arguments:?} should say `{words}`: {text}");
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
            assert_eq!(listing(&store(world)), before, "{arguments:?} after `{words}`");
        }
    }
}

#[test]
fn a_store_that_lost_a_part_can_be_replaced_by_its_backup() {
    let world = world();
    assert!(world.run(&["store", "backup", "copy"]).status.success());
    for (damage, words) in DAMAGES {
        damage(&store(&world));
        let output = world.run(&["store", "restore", "copy", "--replace"]);
        assert!(output.status.success(), "{words}: {}", said(&output));
        let checked = said(&world.run(&["store", "check"]));
        assert!(checked.contains("whole: "), "{words}: {checked}");
        // What was replaced stays beside it; the next damage needs a log that is written.
        assert!(world.run(&["run", "flow.yaml"]).status.success());
    }
}

#[test]
fn shared_memory_that_is_not_there_is_no_loss() {
    let world = world();
    remove(&store(&world).join("log.db-shm"));
    let listed = said(&world.run(&["ls", "--json"]));
    assert_eq!(listed.matches("\"completed\"").count(), 2, "{listed}");
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn a_copy_whose_shared_memory_is_newer_than_its_log_is_the_store_as_it_was_a_moment_before() {
    let world = World::new();
    let gates = ["begun", "go", "more", "end"].map(|name| world.gate(name));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'echo > begun; cat go'}\n  - {id: two, run: 'echo > more; cat end'}\n",
    );
    let owner = world.start(&["run", "flow.yaml"]);
    drop(gates[0].wait());
    let copied = world.path().join("copied");
    copy(&store(&world), &copied);
    gates[1].open();
    drop(gates[2].wait());
    copy(&store(&world).join("log.db-shm"), &copied.join("log.db-shm"));
    let place = ["--store", copied.as_str()];
    let events = String::from_utf8(world.run(&[&place as &[&str], &["events"]].concat()).stdout).unwrap();
    assert!(events.contains("one") && !events.contains("two"), "{events}");
    let checked = said(&world.run(&[&place as &[&str], &["store", "check"]].concat()));
    assert!(checked.contains("whole: "), "{checked}");
    gates[3].open();
    let (status, text) = owner.end();
    assert!(status.success(), "{text}");
}

#[test]
fn the_record_of_other_work_is_not_taken_for_the_end_of_an_attempt() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'echo one'}\n  - {id: two, run: 'echo begun > begun; cat go; echo two >> done'}\n",
    );
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let owner = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    owner.kill();
    let runs = store(&world).join("runs").join(world.only_run().unwrap().to_string());
    let (one, two) = (runs.join("one/1"), runs.join("two/1"));
    let resume = |file: &Utf8Path| {
        let output = world.run(&["resume", "@last"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("BKS-R087") && text.contains(file.as_str()), "{text}");
        assert!(text.contains(":one:main, attempt 1"), "it says whose record it is: {text}");
        assert_eq!(world.read("done"), "", "nothing was decided by it");
    };
    fs::copy(one.join("exit.json"), two.join("exit.json")).unwrap();
    resume(&two.join("exit.json"));
    remove(&two.join("exit.json"));
    // The file by which processes are found: those of other work would be ended by it.
    fs::rename(two.join("keeper.json"), two.join("kept")).unwrap();
    fs::copy(one.join("keeper.json"), two.join("keeper.json")).unwrap();
    resume(&two.join("keeper.json"));
    fs::rename(two.join("kept"), two.join("keeper.json")).unwrap();
    let resumed = world.start(&["resume", "@last"]);
    go.open();
    let (status, text) = resumed.end();
    assert!(status.success(), "{text}");
    assert_eq!(world.read("done"), "two\n");
}
