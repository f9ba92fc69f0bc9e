//! A store is used only if this user made it or adopted it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output};

use backstay_engine::record::RunStatus;
use backstay_log::crash::CRASH_POINT_VARIABLE;
use backstay_model::Digest;
use backstay_tests::folder::{contents, said};
use backstay_tests::{Gate, PATIENCE, World, binary};
use camino::{Utf8Path, Utf8PathBuf};

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: echo one}\n";

/// Commands that only read, and what they print of the run.
const READING: [&[&str]; 9] = [
    &["ls", "--all"],
    &["show"],
    &["logs"],
    &["events", "@last"],
    &["usage"],
    &["inbox"],
    &["store", "info"],
    &["store", "check"],
    &["doctor"],
];

/// Commands that write.
const WRITING: [&[&str]; 8] = [
    &["run", "flow.yaml"],
    &["retry"],
    &["cancel"],
    &["rm", "@last"],
    &["prune"],
    &["up"],
    &["store", "scrub", "--env", "USER_SECRET"],
    &["store", "backup", "backup"],
];

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// A world in which the workflow has run once.
fn world() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    done(&world.run(&["run", "flow.yaml"]));
    world
}

/// Copies a folder as `cp -a` does.
fn copy(from: &Utf8Path, to: &Utf8Path) {
    let copied = Command::new("cp").args(["-a", from.as_str(), to.as_str()]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{from} can be copied");
}

fn mode(path: &Utf8Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// The entries of the registry.
fn registry(world: &World) -> Vec<Utf8PathBuf> {
    let folder = world.path().join("state/backstay/registry");
    let entries = folder.read_dir_utf8().expect("there is a registry");
    entries
        .map(|entry| entry.expect("an entry can be read").into_path())
        .filter(|path| path.extension() == Some("json"))
        .collect()
}

#[test]
fn whoever_makes_a_store_and_uses_it_never_hears_of_adopting() {
    let world = world();
    for arguments in READING.iter().chain([&["run", "flow.yaml"] as &[&str], &["retry"]].iter()) {
        let text = said(&world.run(arguments)).to_lowercase();
        assert!(!text.contains("adopt") && !text.contains("only read"), "{arguments:?}: {text}");
    }
    let entries = registry(&world);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(mode(&entries[0]), 0o600);
    assert_eq!(mode(entries[0].parent().unwrap()), 0o700);
    assert!(said(&world.run(&["store", "adopt"])).contains("is yours already"));
}

#[test]
fn a_store_that_is_unknown_a_copy_or_rolled_back_is_only_read_until_it_is_adopted() {
    for (case, words) in [
        ("unknown", "was not made by you on this machine"),
        ("copy", "is a copy of "),
        ("rolled back", "is older than what you had"),
    ] {
        let world = world();
        let store = world.path().join(".backstay");
        let mut folder = store.clone();
        match case {
            "unknown" => fs::remove_dir_all(world.path().join("state")).unwrap(),
            "copy" => {
                folder = world.path().join("copy/.backstay");
                fs::create_dir(world.path().join("copy")).unwrap();
                copy(&store, &folder);
            }
            _ => {
                copy(&store, &world.path().join("older"));
                done(&world.run(&["run", "flow.yaml"]));
                fs::remove_dir_all(&store).unwrap();
                copy(&world.path().join("older"), &store);
            }
        }
        let place = ["--store", folder.as_str()];
        let before = contents(&folder);
        for arguments in READING {
            let output = world.run(&[&place, arguments].concat());
            let text = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(output.status.success(), "{case}: {arguments:?}: {text}");
            assert!(text.contains(words) && text.contains("store adopt"), "{case}: {arguments:?}: {text}");
        }
        assert!(said(&world.run(&[&place as &[&str], &["logs"]].concat())).contains("one\n"), "{case}");
        for arguments in WRITING {
            let output = world
                .command(&[&place, arguments].concat())
                .env("USER_SECRET", "sekret-value")
                .output()
                .unwrap();
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{case}: {arguments:?}: {text}");
            assert!(
                text.contains("BKS-R082") && text.contains("store adopt"),
                "{case}: {arguments:?}: {text}"
            );
        }
        assert_eq!(contents(&folder), before, "{case}: not one byte was changed");
        let adopted = done(&world.run(&[&place as &[&str], &["store", "adopt"]].concat()));
        assert!(adopted.contains(words) && adopted.contains("1 run (0 open)"), "{case}: {adopted}");
        assert!(adopted.lines().count() == 1, "{case}: {adopted}");
        assert!(
            done(&world.run(&[&place as &[&str], &["ls", "--all"]].concat())).contains("small"),
            "{case}"
        );
        assert!(
            done(&world.run(&[&place as &[&str], &["store", "check"]].concat())).contains("whole: "),
            "{case}"
        );
        done(&world.run(&[&place as &[&str], &["run", "flow.yaml"]].concat()));
        if case == "copy" {
            done(&world.run(&["run", "flow.yaml"]));
        }
    }
}

#[test]
fn a_store_that_was_moved_is_taken_along_and_another_one_in_its_old_place_is_a_new_one() {
    let world = world();
    let (old, new) = (world.path().join(".backstay"), world.path().join("new/.backstay"));
    fs::create_dir(world.path().join("new")).unwrap();
    fs::rename(&old, &new).unwrap();
    let output = world.run(&["--store", new.as_str(), "run", "flow.yaml"]);
    assert!(!done(&output).contains("adopt"));
    let entries = registry(&world);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = fs::read_to_string(&entries[0]).unwrap();
    assert!(entry.contains(new.as_str()), "{entry}");
    done(&world.run(&["run", "flow.yaml"]));
    assert_eq!(registry(&world).len(), 2);
}

#[test]
fn after_an_adoption_each_store_is_moved_copied_and_rolled_back_by_itself() {
    let world = world();
    let at = |name: &str| world.path().join(name);
    copy(&at(".backstay"), &at("old"));
    copy(&at(".backstay"), &at("b"));
    done(&world.run(&["--store", "b", "store", "adopt"]));
    copy(&at("b"), &at("b-old"));
    done(&world.run(&["--store", "b", "run", "flow.yaml"]));
    let moved = |from: &str, to: &str| fs::rename(at(from), at(to)).unwrap();
    let copied = |from: &str, to: &str| copy(&at(from), &at(to));
    let replaced = |from: &str, to: &str| {
        fs::remove_dir_all(at(to)).unwrap();
        copy(&at(from), &at(to));
    };
    type Change<'a> = &'a dyn Fn(&str, &str);
    let (moved, copied, replaced): (Change<'_>, Change<'_>, Change<'_>) = (&moved, &copied, &replaced);
    for (case, change, from, to, expected) in [
        ("the adopted copy is moved", moved, "b", "c", None),
        ("the original is moved", moved, ".backstay", "a", None),
        ("the adopted copy is copied", copied, "c", "d", Some("is a copy of ")),
        ("the original is copied", copied, "a", "e", Some("is a copy of ")),
        ("the copied one is rolled back", replaced, "b-old", "c", Some("is older than what you had")),
        ("the original takes the place of the copy", replaced, "old", "c", Some("is a copy of ")),
        ("all are moved again", moved, "a", "f", None),
    ] {
        change(from, to);
        let output = world.run(&["--store", to, "run", "flow.yaml"]);
        let text = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        match expected {
            None => assert!(output.status.success() && !text.contains("adopt"), "{case}: {text}"),
            Some(words) => {
                assert!(text.contains("BKS-R082") && text.contains(words), "{case}: {text}");
                let cure = format!("adopt it: `backstay --store {} store adopt`", at(to));
                assert!(text.contains(&cure), "{case}: {text}");
            }
        }
    }
}

#[test]
fn a_large_store_that_was_moved_is_read_at_its_new_place_without_a_copy() {
    let world = world();
    let moved = world.path().join("moved");
    fs::rename(world.path().join(".backstay"), &moved).unwrap();
    // More than is copied for reading; it takes no room.
    fs::File::options().write(true).open(moved.join("log.db")).unwrap().set_len(5 << 30).unwrap();
    let place = ["--store", moved.as_str()];
    // The first commands that open it register the new place.
    for arguments in [&["store", "check"] as &[&str], &["store", "info"]].into_iter().chain(READING) {
        let text = done(&world.run(&[&place, arguments].concat()));
        assert!(!text.contains("only read"), "{arguments:?}: {text}");
    }
    assert!(fs::read_to_string(&registry(&world)[0]).unwrap().contains(moved.as_str()));
}

#[test]
fn what_is_in_flight_in_a_copy_is_lost_there_and_goes_on_in_the_original() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    world.write(
        "flow.yaml",
        &format!(
            "backstay: 1\nname: slow\nsteps:\n  - {{id: one, run: 'echo $$ > {}; read -r _ < {}'}}\n",
            up.path(),
            go.path()
        ),
    );
    let owner = world.start(&["run", "flow.yaml"]);
    let pid = up.wait().trim().to_owned();
    let lives = || Utf8Path::new("/proc").join(&pid).exists();
    let copied = world.path().join("copied");
    copy(&world.path().join(".backstay"), &copied);
    let place = ["--store", copied.as_str()];
    let text = done(&world.run(&[&place as &[&str], &["--adopt", "ls"]].concat()));
    assert!(text.contains("slow"), "{text}");
    let resumed = said(&world.run(&[&place as &[&str], &["resume", "@last"]].concat()));
    assert!(lives(), "the agent of the original was ended by its copy: {resumed}");
    let record = said(&world.run(&[&place as &[&str], &["show", "--json"]].concat()));
    assert!(record.contains("restored"), "{record}");
    go.open();
    let (status, text) = owner.end();
    assert!(status.success(), "{text}");
    assert_eq!(world.record().status, RunStatus::Completed);
}

#[test]
fn adopting_counts_the_runs_that_are_there_and_the_attempts_that_the_events_say_are_at_work() {
    let world = world();
    done(&world.run(&["rm", "@last"]));
    done(&world.run(&["run", "flow.yaml"]));
    let ended = world.record().run;
    // An attempt that ended before a keeper of it was started has no exit record.
    fs::remove_file(world.path().join(format!(".backstay/runs/{ended}/one/1/exit.json"))).unwrap();
    let (up, go) = (world.gate("up"), world.gate("go"));
    let step = format!("echo > {}; read -r _ < {}", up.path(), go.path());
    world.write("slow.yaml", &format!("backstay: 1\nname: slow\nsteps: [{{id: one, run: '{step}'}}]\n"));
    let owner = world.start(&["run", "slow.yaml"]);
    drop(up.wait());
    copy(&world.path().join(".backstay"), &world.path().join("copied"));
    go.open();
    let (status, text) = owner.end();
    assert!(status.success(), "{text}");
    let adopted = done(&world.run(&["--store", "copied", "store", "adopt"]));
    assert!(adopted.contains("2 runs (1 open)"), "{adopted}");
    assert!(adopted.contains("; 1 attempt was at work and is lost in it"), "{adopted}");
}

#[test]
fn without_a_registry_a_store_is_made_and_written_only_where_somebody_vouches_for_it() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let bare = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env_remove("XDG_STATE_HOME").env_remove("HOME");
        command
    };
    let refused = |arguments: &[&str]| {
        let output = bare(arguments).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        for word in ["BKS-R070", "--adopt", "BACKSTAY_ADOPT=1", ".adopt()"] {
            assert!(text.contains(word), "{arguments:?}: {word} is not in {text}");
        }
    };
    refused(&["run", "flow.yaml"]);
    assert!(!world.path().join(".backstay/log.db").exists());
    done(&bare(&["run", "flow.yaml"]).env("BACKSTAY_ADOPT", "1").output().unwrap());
    done(&bare(&["--adopt", "run", "flow.yaml"]).output().unwrap());
    refused(&["run", "flow.yaml"]);
    let listed = done(&bare(&["ls", "--all"]).output().unwrap());
    assert!(listed.contains("is only read") && listed.contains("small"), "{listed}");
    // A registry that cannot be written is as good as none.
    world.write("state", "a file");
    let output = world.run(&["run", "flow.yaml"]);
    assert!(said(&output).contains("BKS-R07") && output.status.code() == Some(2), "{}", said(&output));
}

#[test]
fn a_store_of_somebody_else_or_that_others_can_write_is_refused_with_the_cure() {
    let world = world();
    let store = world.path().join(".backstay");
    fs::create_dir_all(world.path().join("deep/er")).unwrap();
    let refused = |words: &[&str]| {
        for arguments in
            [&["ls"] as &[&str], &["run", "../../flow.yaml"], &["store", "check"], &["store", "adopt"]]
        {
            let output = world.command(arguments).current_dir(world.path().join("deep/er")).output().unwrap();
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
            for word in words {
                assert!(text.contains(word), "{arguments:?}: {word} is not in {text}");
            }
        }
    };
    fs::set_permissions(&store, Permissions::from_mode(0o777)).unwrap();
    refused(&["BKS-R074", "chmod 700"]);
    fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
    fs::rename(store.join("wakeup"), world.path().join("wakeup")).unwrap();
    std::os::unix::fs::symlink(world.path().join("wakeup"), store.join("wakeup")).unwrap();
    refused(&["BKS-R075", "wakeup"]);
    fs::remove_file(store.join("wakeup")).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&store, Some(65_534), None).unwrap();
        refused(&["BKS-R073", "--store"]);
        std::os::unix::fs::chown(&store, Some(0), None).unwrap();
    }
    done(&world.run(&["run", "flow.yaml"]));
}

#[test]
fn what_is_no_folder_of_this_user_in_the_place_of_the_store_is_told_with_a_cure_that_works() {
    use std::os::unix::fs::symlink;
    type Plant<'a> = &'a dyn Fn(&World, &Utf8Path);
    let file: Plant<'_> = &|_, store| fs::write(store, "a file").unwrap();
    let pipe: Plant<'_> = &|_, store| {
        rustix::fs::mkfifoat(rustix::fs::CWD, store.as_std_path(), rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
    };
    let dangling: Plant<'_> = &|_, store| symlink("nowhere", store).unwrap();
    let link: Plant<'_> = &|world, store| {
        done(&world.run(&["--store", "other", "run", "flow.yaml"]));
        symlink("other", store).unwrap();
    };
    let somebodys: Plant<'_> = &|world, store| {
        done(&world.run(&["run", "flow.yaml"]));
        std::os::unix::fs::chown(store, Some(65_534), None).unwrap();
    };
    for (case, plant, words) in [
        ("a file", file, ["BKS-R086", "is a file", "mv {store} {store}.old"]),
        ("a pipe", pipe, ["BKS-R086", "is a pipe", "mv {store} {store}.old"]),
        ("a dangling link", dangling, ["BKS-R086", "is a symbolic link", "rm {store}"]),
        ("a link", link, ["BKS-R086", "is a symbolic link", "--store {other}"]),
        ("somebody's", somebodys, ["BKS-R073", "belongs to user 65534", "--store \"$HOME/{name}.backstay\""]),
    ] {
        if case == "somebody's" && !rustix::process::geteuid().is_root() {
            continue;
        }
        let world = World::new();
        world.write("flow.yaml", FLOW);
        let (store, other) = (world.path().join(".backstay"), world.path().join("other"));
        plant(&world, &store);
        let name = world.path().file_name().unwrap();
        let words = words.map(|word| {
            word.replace("{store}", store.as_str()).replace("{other}", other.as_str()).replace("{name}", name)
        });
        for arguments in [
            &["run", "flow.yaml"] as &[&str],
            &["check", "flow.yaml"],
            &["ls"],
            &["doctor"],
            &["store", "info"],
            &["store", "check"],
            &["store", "adopt"],
            &["store", "backup", "backup"],
        ] {
            let output = world.run(arguments);
            // Lines of `doctor` are broken anywhere, and have no code.
            let is_doctor = arguments == ["doctor"];
            let text: String = said(&output).split_whitespace().collect();
            assert_eq!(
                output.status.code(),
                Some(if is_doctor { 1 } else { 2 }),
                "{case}: {arguments:?}: {text}"
            );
            for word in words.iter().skip(usize::from(is_doctor)) {
                let word: String = word.split_whitespace().collect();
                assert!(text.contains(&word), "{case}: {arguments:?}: {word} is not in {text}");
            }
        }
        let cure = match case {
            "somebody's" => vec!["--store", "own", "run", "flow.yaml"],
            "a link" => vec!["--store", other.as_str(), "ls"],
            _ => {
                fs::rename(&store, world.path().join(".backstay.old")).unwrap();
                vec!["run", "flow.yaml"]
            }
        };
        done(&world.run(&cure));
    }
}

#[test]
fn what_is_made_is_private_whatever_the_umask_and_a_folder_made_by_hand_is_taken_if_it_is_empty() {
    for umask in ["000", "002", "277"] {
        let world = World::new();
        world.write("flow.yaml", FLOW);
        let store = world.path().join(".backstay");
        fs::create_dir(&store).unwrap();
        fs::set_permissions(&store, Permissions::from_mode(0o755)).unwrap();
        let script = format!("umask {umask}; exec {} run flow.yaml", binary());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(world.path()).env_remove("BACKSTAY_STORE");
        let output = shell.env("XDG_STATE_HOME", world.path().join("state")).output().unwrap();
        // With a umask that takes the user's own rights away, steps may fail; what is made is private all the same.
        assert!(output.status.success() || umask == "277", "{umask}: {}", said(&output));
        assert_eq!(mode(&store), 0o700, "{umask}");
        for name in ["log.db", "log.db-wal", "log.db-shm"] {
            assert_eq!(mode(&store.join(name)), 0o600, "{umask}: {name}");
        }
        let entries = registry(&world);
        assert_eq!(mode(&entries[0]), 0o600, "{umask}");
        assert_eq!(mode(entries[0].parent().unwrap()), 0o700, "{umask}");
    }
    let world = World::new();
    world.write("flow.yaml", FLOW);
    fs::create_dir(world.path().join(".backstay")).unwrap();
    world.write(".backstay/notes.txt", "mine");
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("notes.txt"), "{}", said(&output));
    assert_eq!(contents(&world.path().join(".backstay")).len(), 1);
}

#[test]
fn an_owner_whose_store_is_deleted_moved_or_replaced_says_so_and_makes_no_store_in_the_old_place() {
    for case in ["deleted", "moved", "replaced"] {
        let world = World::new();
        let (up, go) = (world.gate("up"), world.gate("go"));
        world.write(
            "flow.yaml",
            &format!(
                "backstay: 1\nname: slow\nsteps:\n  - {{id: one, run: 'echo > {}; read -r _ < {}'}}\n  - {{id: two, run: echo}}\n",
                up.path(),
                go.path()
            ),
        );
        world.write("other.yaml", FLOW);
        let owner = world.start(&["run", "flow.yaml"]);
        drop(up.wait());
        let (store, moved) = (world.path().join(".backstay"), world.path().join("moved"));
        fs::rename(&store, &moved).unwrap();
        if case != "moved" {
            fs::remove_dir_all(&moved).unwrap();
        }
        let before = (case == "replaced").then(|| {
            done(&world.run(&["run", "other.yaml"]));
            contents(&store)
        });
        go.open();
        let (status, text) = owner.end();
        assert_eq!(status.code(), Some(1), "{case}: {text}");
        for word in ["BKS-R083", "ended with exit code 0", "exit record is"] {
            assert!(text.contains(word), "{case}: {word} is not in {text}");
        }
        let kept = world.path().join("state/backstay/kept").read_dir_utf8().unwrap().next().unwrap().unwrap();
        assert!(text.contains(kept.path().as_str()), "{case}: {text}");
        assert!(fs::read_to_string(kept.path()).unwrap().contains("\"exit_code\":0"), "{case}");
        match before {
            None => assert!(!store.exists(), "{case}: {:?}", contents(&store)),
            Some(before) => assert_eq!(contents(&store), before, "{case}"),
        }
        if case == "moved" {
            assert!(text.contains("moved resume run_") || !cfg!(target_os = "linux"), "{text}");
            let resumed = said(&world.run(&["--store", "moved", "resume"]));
            assert!(!resumed.contains("BKS-"), "the store is this user's at its new place too: {resumed}");
        }
    }
}

/// A run at work whose step waits at a gate, started by `start`; the store is moved before it gives that back.
fn moved_at_work<T>(world: &World, start: impl FnOnce() -> T) -> (T, Gate) {
    let (up, go) = (world.gate("up"), world.gate("go"));
    let steps = format!("echo > {}; read -r _ < {}", up.path(), go.path());
    world.write(
        "flow.yaml",
        &format!(
            "backstay: 1\nname: slow\nsteps:\n  - {{id: one, run: '{steps}'}}\n  - {{id: two, run: echo}}\n"
        ),
    );
    let started = start();
    drop(up.wait());
    fs::rename(world.path().join(".backstay"), world.path().join("moved")).expect("a folder can be moved");
    (started, go)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a log that another process writes gives nothing to wait for")]
fn an_owner_in_the_background_ends_when_its_store_was_moved() {
    let world = World::new();
    let (output, go) = moved_at_work(&world, || world.run(&["run", "--detach", "flow.yaml"]));
    done(&output);
    let (entries, kept) = (registry(&world).len(), world.path().join("state/backstay/kept"));
    go.open();
    let log = world.path().join("moved/up.log");
    let until = std::time::Instant::now() + PATIENCE;
    let said = loop {
        let said = fs::read_to_string(&log).unwrap();
        if said.contains("BKS-R083") {
            break said;
        }
        assert!(std::time::Instant::now() < until, "the owner does not end: {said}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    };
    assert!(said.contains("exit record is") && kept.read_dir().unwrap().count() == 1, "{said}");
    assert!(!world.path().join(".backstay").exists() && registry(&world).len() == entries);
    assert!(!said.contains("for now"), "it tries again: {said}");
}

#[test]
fn work_does_not_begin_when_the_store_is_moved_while_it_is_prepared() {
    let world = World::new();
    let _fake = world.fake("fake");
    let (store, moved, begun) =
        (world.path().join(".backstay"), world.path().join("moved"), world.path().join("begun"));
    // The owner asks for the version after the start is durable, and before it makes the folder of the attempt.
    world.write(
        "fake/agent",
        &format!("#!/bin/sh\nif [ \"$1\" = --version ]; then exec mv {store} {moved}; fi\necho >> {begun}\n"),
    );
    world.write("flow.yaml", "backstay: 1\nname: f\nsteps:\n  - {id: fix, agent: fake, prompt: Do it.}\n");
    let (status, text) = world.start(&["run", "flow.yaml"]).end();
    assert!(status.code() == Some(1) && text.contains("BKS-R083"), "{status}: {text}");
    assert!(moved.join("log.db").exists() && !store.exists(), "the store is made anew: {text}");
    assert!(!begun.exists(), "the agent began: {text}");
}

#[test]
fn an_owner_ends_when_a_newer_one_took_over_its_moved_store() {
    let world = World::new();
    let (owner, go) = moved_at_work(&world, || world.start(&["run", "flow.yaml"]));
    let newer = world.start(&["--store", "moved", "resume", "@last", "--take-over"]);
    let (status, text) = owner.end();
    assert!(status.code() == Some(1) && text.contains("BKS-R083"), "{status}: {text}");
    go.open();
    let (status, text) = newer.end();
    assert!(status.success(), "{text}");
    assert!(!world.path().join(".backstay").exists());
}

#[test]
fn a_store_whose_maker_was_killed_before_it_was_registered_is_its_users() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let variables = [(CRASH_POINT_VARIABLE, "store.make.made")];
    let (status, text) = world.start_with(&["run", "flow.yaml"], &variables).end();
    assert!(!status.success(), "it was not killed: {text}");
    assert!(world.path().join(".backstay/log.db").exists() && registry(&world).is_empty());
    assert!(!done(&world.run(&["run", "flow.yaml"])).contains("adopt"));
    assert_eq!(registry(&world).len(), 1);
    assert_eq!(
        fs::read_dir(world.path().join("state/backstay/registry")).unwrap().count(),
        2,
        "entry and lock"
    );
}

#[test]
fn what_a_step_calls_is_told_to_adopt_only_where_its_own_store_is_unregistered() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: small\nsteps: [{id: one, run: 'echo ${BACKSTAY_ADOPT-unset} > told'}]\n",
    );
    done(&world.run(&["--adopt", "run", "flow.yaml"]));
    assert_eq!(world.read("told"), "unset\n");
    let mut bare = world.command(&["--store", "bare", "--adopt", "run", "flow.yaml"]);
    done(&bare.env_remove("XDG_STATE_HOME").env_remove("HOME").output().unwrap());
    assert_eq!(world.read("told"), "1\n");
}

#[test]
fn a_note_that_a_store_was_being_made_vouches_for_no_store_with_events() {
    let world = world();
    let (original, stranger) = (world.path().join(".backstay"), World::new());
    copy(&original, &stranger.path().join(".backstay"));
    let place = fs::canonicalize(stranger.path().join(".backstay")).unwrap();
    let place = place.to_str().unwrap();
    let registry = stranger.path().join("state/backstay/registry");
    stranger.registry().prepare().unwrap();
    let digits = Digest::of(place.as_bytes()).to_string()[..16].to_owned();
    fs::write(registry.join(format!("making.{digits}")), place).unwrap();
    let output = stranger.run(&["cancel"]);
    assert!(said(&output).contains("BKS-R082"), "{}", said(&output));
}

#[test]
fn a_restore_that_cannot_be_registered_moves_nothing_unless_it_is_adopted() {
    let world = world();
    done(&world.run(&["store", "backup", "copy"]));
    let before = contents(&world.path().join(".backstay"));
    let restore = |arguments: &[&str]| {
        let mut command = world.command(&[arguments, &["store", "restore", "copy", "--replace"]].concat());
        command.env_remove("XDG_STATE_HOME").env_remove("HOME").output().unwrap()
    };
    let output = restore(&[]);
    assert!(said(&output).contains("BKS-R070") && output.status.code() == Some(2), "{}", said(&output));
    assert_eq!(contents(&world.path().join(".backstay")), before);
    done(&restore(&["--adopt"]));
}
