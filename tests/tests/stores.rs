//! Folders that are no store, or one that cannot be used: each is told with its code and the way out, and left alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use backstay_tests::folder::contents;
use backstay_tests::{World, all};
use camino::Utf8Path;

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: echo one}\n";

fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty(), "an error says nothing on stdout: {output:?}");
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words.iter().chain(&["\n  = "]) {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

fn names(folder: &Utf8Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry can be read").file_name().into_string().expect("a UTF-8 name")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_is_no_store_is_refused_and_stays_as_it_is() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    fs::create_dir(world.path().join("etc")).unwrap();
    world.write("etc/hosts", "127.0.0.1 localhost\n");
    for arguments in [&["ls"] as &[&str], &["show"], &["watch"], &["inbox"], &["up"], &["run", "flow.yaml"]] {
        let output = world.run(&[&["--store", "etc"], arguments].concat());
        assert_says(&output, 2, &["BKS-", "etc", "store"]);
        assert_eq!(names(&world.path().join("etc")), ["hosts"], "{arguments:?}");
    }
}

#[test]
fn a_text_file_is_no_store() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    for arguments in [&["ls"] as &[&str], &["run", "flow.yaml"]] {
        let output = world.run(&[&["--store", "flow.yaml"], arguments].concat());
        assert_says(&output, 2, &["BKS-R086", "is a file", "--store DIR"]);
    }
    assert_eq!(world.read("flow.yaml"), FLOW);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let world = World::new();
    assert_says(&world.run(&["--store", "nowhere", "ls"]), 2, &["BKS-L072", "nowhere"]);
    assert!(names(world.path()).is_empty());
}

#[test]
fn a_store_of_a_newer_or_a_former_format_is_refused_and_stays_as_it_is() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let database = || rusqlite::Connection::open(world.path().join(".backstay/log.db")).unwrap();
    database().pragma_update(None, "user_version", 99).unwrap();
    for arguments in [&["ls"] as &[&str], &["run", "flow.yaml"]] {
        assert_says(&world.run(arguments), 2, &["BKS-L070", "format 99", "newer"]);
    }
    // As stores had it before the first release.
    database().pragma_update(None, "application_id", 0x424b_5354).unwrap();
    for arguments in [&["ls"] as &[&str], &["run", "flow.yaml"], &["store", "check"], &["store", "info"]] {
        assert_says(
            &world.run(arguments),
            2,
            &["BKS-L090", "before the first release", "move its folder away"],
        );
    }
    let events = |name: &str| -> i64 {
        database().query_row(&format!("SELECT count(*) FROM {name}"), (), |row| row.get(0)).unwrap()
    };
    assert!(events("event") > 0 && events("topic") == 1, "what was there is there, and nothing more");
}

/// A folder in which nothing can be written, for root too. Undone when dropped.
struct ReadOnly<'a> {
    folder: &'a Utf8Path,
    is_mount: bool,
}

impl ReadOnly<'_> {
    /// None where the right to make it so is missing.
    fn make(folder: &Utf8Path) -> Option<ReadOnly<'_>> {
        if !rustix::process::getuid().is_root() {
            fs::set_permissions(folder, Permissions::from_mode(0o555)).expect("it is ours");
            return Some(ReadOnly { folder, is_mount: false });
        }
        let mount = |arguments: &[&str]| {
            Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
        };
        if mount(&["--bind", folder.as_str(), folder.as_str()]) {
            let made = ReadOnly { folder, is_mount: true };
            assert!(mount(&["-o", "remount,bind,ro", folder.as_str()]), "what is mounted can be read-only");
            return Some(made);
        }
        assert!(!all(), "a folder can be mounted read-only");
        println!("skipped: a folder cannot be mounted read-only here");
        None
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        if self.is_mount {
            let undone = Command::new("umount").args(["-l", self.folder.as_str()]).status();
            assert!(undone.is_ok_and(|status| status.success()), "what was mounted can be unmounted");
        } else {
            fs::set_permissions(self.folder, Permissions::from_mode(0o755)).expect("it is ours");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_read_and_what_writes_is_told() {
    let world = World::new();
    world.write("flow.yaml", &FLOW.replace("echo one", "echo one; echo $BACKSTAY_EFFECT > effect"));
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let folder = world.path().join(".backstay");
    let Some(read_only) = ReadOnly::make(&folder) else { return };
    let before = contents(&folder);
    for (arguments, word) in [
        (&["ls", "--all"] as &[&str], "small"),
        (&["show"], "COMPLETED"),
        (&["logs"], "one"),
        (&["events"], "completed"),
        (&["store", "check"], "whole: "),
        (&["store", "info"], "events"),
    ] {
        let output = world.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(word), "{arguments:?}: {output:?}");
        let note = String::from_utf8_lossy(&output.stderr);
        assert!(note.contains("cannot be written: it is only read"), "{arguments:?}: {note}");
    }
    for arguments in [&["run", "flow.yaml"] as &[&str], &["retry"]] {
        assert_says(&world.run(arguments), 1, &["BKS-L0", ".backstay"]);
    }
    // As from the sandbox of an agent.
    let effect = world.read("effect");
    let asks = world
        .command(&["ask", "Which colour?"])
        .envs([("BACKSTAY_EFFECT", effect.trim()), ("BACKSTAY_ATTEMPT", "1")])
        .output()
        .expect("the binary starts");
    assert_says(&asks, 2, &["BKS-C085", "no question can be asked from here", "writable_roots"]);
    assert_eq!(contents(&folder), before, "not one byte was changed");
    drop(read_only);
    assert!(world.run(&["show"]).status.success(), "with the right to write it is as it was");
}
