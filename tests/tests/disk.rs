//! The binary on a disk that fails: an error that says so, no panic, nothing acknowledged lost, nothing taken for whole that is not.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::Output;

use backstay_engine::record::RunStatus;
use backstay_tests::folder::{copy_folder, said};
use backstay_tests::{World, faults};
use camino::Utf8PathBuf;

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'echo one >> starts; seq 1 4000'}\n  - {id: two, run: 'echo two >> starts; echo done'}\n";

/// Runs the binary with faults on files below `under`; says also whether one came.
fn with_faults(world: &World, arguments: &[&str], under: &str, plan: &str) -> (Output, bool) {
    let told = world.path().join("told");
    if told.exists() {
        fs::remove_file(&told).expect("it is ours");
    }
    let output = world
        .command(arguments)
        .env("LD_PRELOAD", faults())
        .env("BACKSTAY_FAULTS_UNDER", world.path().join(under))
        .env("BACKSTAY_FAULTS", plan)
        .env("BACKSTAY_FAULTS_TOLD", &told)
        .output()
        .expect("the binary starts");
    (output, told.exists())
}

fn world() -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    world
}

fn assert_told(output: &Output, what: &str) {
    let text = said(output);
    assert!(!text.contains("panicked"), "{what}: {text}");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{what}: {:?}: {text}", output.status);
    assert!(text.contains("error BKS-"), "{what}: {text}");
}

#[test]
fn l7_a_run_whose_flush_fails_says_so_and_goes_on_later_with_what_was_acknowledged() {
    for nth in 1.. {
        let world = world();
        let plan = format!("fdatasync:log.db-wal:{nth}:EIO");
        let (output, came) = with_faults(&world, &["run", "flow.yaml"], ".backstay", &plan);
        if !came {
            assert!(output.status.success(), "{nth}: {}", said(&output));
            assert!(nth > 5, "a run flushes what it acknowledges: {nth}");
            break;
        }
        assert_told(&output, &plan);
        assert!(said(&output).contains("BKS-L007"), "{nth}: {}", said(&output));
        let checked = world.run(&["store", "check"]);
        assert!(said(&checked).contains("whole: "), "{nth}: {}", said(&checked));
        if world.only_run().is_none() {
            continue;
        }
        let resumed = world.run(&["resume", "@last"]);
        // A step may have been at work: then a person is asked, and nothing is done twice unasked.
        assert!(matches!(resumed.status.code(), Some(0 | 3)), "{nth}: {}", said(&resumed));
        if resumed.status.success() {
            assert_eq!(world.record().status, RunStatus::Completed);
            assert_eq!(world.read("starts"), "one\ntwo\n", "{nth}");
        }
    }
}

#[test]
fn l4_a_read_that_fails_is_an_error_and_never_less_than_there_is() {
    let world = world();
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let commands: [&[&str]; 5] = [
        &["events", "--json"],
        &["show", "--json"],
        &["ls", "--json"],
        &["logs"],
        &["store", "info", "--json"],
    ];
    for arguments in commands {
        let whole = world.run(arguments).stdout;
        for file in ["log.db", "log.db-wal", ""] {
            let mut came_once = false;
            for nth in 1.. {
                let plan = format!("read:{file}:{nth}:EIO");
                let (output, came) = with_faults(&world, arguments, ".backstay", &plan);
                let what = format!("{arguments:?} with {plan}");
                if output.status.success() {
                    let is_whole = output.stdout == whole || arguments.contains(&"info");
                    assert!(is_whole, "{what}: it is right, or an error: {}", said(&output));
                } else {
                    assert_told(&output, &what);
                }
                if !came {
                    break;
                }
                came_once = true;
            }
            assert!(came_once || file == "log.db-wal", "{arguments:?} reads {file}");
        }
    }
}

#[test]
fn l4_a_check_on_a_disk_that_cannot_be_read_says_what_it_could_not_look_at() {
    let world = world();
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    for nth in 1.. {
        let (output, came) =
            with_faults(&world, &["store", "check"], ".backstay", &format!("read::{nth}:EIO"));
        if !came {
            assert!(output.status.success(), "{}", said(&output));
            assert!(nth > 10, "the store was read in {nth} pieces");
            break;
        }
        let text = said(&output);
        assert_ne!(output.status.code(), Some(0), "read {nth}: {text}");
        assert!(!text.contains("panicked") && !text.contains("whole: "), "read {nth}: {text}");
    }
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn l17_a_backup_that_cannot_be_written_whole_is_none() {
    let world = world();
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let mut number = 0;
    for fault in ["write::#:EIO", "write::#+:ENOSPC", "flush::#:EIO"] {
        for nth in 1.. {
            number += 1;
            let name = format!("copy{number}");
            let plan = fault.replace('#', &nth.to_string());
            let (output, came) = with_faults(&world, &["store", "backup", &name], &name, &plan);
            let manifest = world.path().join(&name).join("manifest.json");
            if !came {
                assert!(output.status.success() && manifest.exists(), "{plan}: {}", said(&output));
                assert!(nth > 5, "{plan}");
                break;
            }
            if manifest.exists() && !output.status.success() {
                // The flush of the folder that holds the manifest, at the very end.
                assert!(plan.starts_with("flush"), "{plan}: {}", said(&output));
            } else if !manifest.exists() {
                let refused = world.run(&["--store", "new", "store", "restore", &name]);
                assert!(said(&refused).contains("BKS-R032"), "{plan}: {}", said(&refused));
            }
            // SQLite passes over folders that it cannot flush; they are flushed once more later.
            let is_folder =
                Utf8PathBuf::from(world.read("told").trim_end().trim_start_matches("Fsync ")).is_dir();
            if !(is_folder && output.status.success()) {
                assert_told(&output, &plan);
            }
        }
    }
}

#[test]
fn l17_a_restore_that_cannot_be_written_leaves_what_was_there() {
    let world = world();
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    assert!(world.run(&["store", "backup", "copy"]).status.success());
    for fault in ["write::#:EIO", "flush::#:EIO", "read::#:EIO"] {
        for nth in 1.. {
            let plan = fault.replace('#', &nth.to_string());
            let under = ".backstay.restoring-1";
            let (output, came) =
                with_faults(&world, &["store", "restore", "copy", "--replace"], under, &plan);
            if !came {
                assert!(output.status.success(), "{plan}: {}", said(&output));
                break;
            }
            assert!(!said(&output).contains("panicked"), "{plan}: {}", said(&output));
            // A folder is flushed once more after SQLite has flushed it.
            let is_folder = world.read("told").trim_end().ends_with(under);
            assert!(output.status.code() == Some(1) || is_folder, "{plan}: {}", said(&output));
            let checked = world.run(&["store", "check"]);
            assert!(said(&checked).contains("whole: "), "{plan}: {}", said(&checked));
            assert!(!world.path().join(under).exists(), "{plan}: what was begun is gone");
        }
    }
}

#[test]
fn a_scrub_that_is_broken_off_can_be_said_again() {
    let world = world();
    world.write("flow.yaml", &FLOW.replace("echo done", "echo hunter2-hunter2; echo hunter2-hunter2 >&2"));
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let (store, leaky) = (world.path().join(".backstay"), world.path().join("leaky"));
    fs::rename(&store, &leaky).unwrap();
    for fault in ["write::#:EIO", "flush::#:EIO"] {
        for nth in 1.. {
            if store.exists() {
                fs::remove_dir_all(&store).unwrap();
            }
            if world.path().join("told").exists() {
                fs::remove_file(world.path().join("told")).unwrap();
            }
            copy_folder(&leaky, &store);
            let plan = fault.replace('#', &nth.to_string());
            let mut scrub = world.command(&["store", "scrub", "--env", "KEY"]);
            let told = world.path().join("told");
            scrub.env("KEY", "hunter2-hunter2").env("LD_PRELOAD", faults()).env("BACKSTAY_FAULTS", &plan);
            scrub
                .env("BACKSTAY_FAULTS_UNDER", world.path().join(".backstay"))
                .env("BACKSTAY_FAULTS_TOLD", &told);
            let output = scrub.output().unwrap();
            if !told.exists() {
                assert!(output.status.success() && nth > 5, "{plan}: {}", said(&output));
                break;
            }
            assert!(!said(&output).contains("panicked"), "{plan}: {}", said(&output));
            let again = world
                .command(&["store", "scrub", "--env", "KEY"])
                .env("KEY", "hunter2-hunter2")
                .output()
                .unwrap();
            assert!(again.status.success(), "{plan}: {}", said(&again));
            let checked = world.run(&["store", "check"]);
            assert!(said(&checked).contains("whole: "), "{plan}: {}", said(&checked));
            let files = backstay_tests::folder::files(&world.path().join(".backstay"));
            let left: Vec<_> = files
                .into_iter()
                .filter(|path| backstay_tests::folder::has_bytes(&fs::read(path).unwrap(), b"hunter2"))
                .collect();
            assert!(left.is_empty(), "{plan}: {left:?}");
        }
    }
}
