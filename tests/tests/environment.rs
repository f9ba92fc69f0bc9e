//! What surrounds the binary: time zones, clocks, signals and limits that it inherits, and what the agents get of them.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use backstay_engine::record::RunRecord;
use backstay_runtime::{Clock, SystemClock};
use backstay_tests::folder::{files, said};
use backstay_tests::{World, faults};
use camino::Utf8Path;

/// A flow of one step that succeeds.
const FLOW: &str = "backstay: 1\nname: small\nsteps: [{id: one, run: 'true'}]\n";
/// A day, for a clock that is set back.
const DAY_BACK_S: &str = "-86400";

#[test]
fn a_time_zone_is_known_by_its_name_where_the_system_has_no_zones() {
    let world = World::new();
    fs::create_dir(world.path().join("zoneinfo")).unwrap();
    // An hour from now, as it is told in Tokyo, nine hours ahead.
    world
        .fake("fake")
        .turn(1, "fails \"usage limit, try again in $(date -u -d '+10 hours' '+%-I:%M %p') (Asia/Tokyo)\"");
    world.write("flow.yaml", "backstay: 1\nsteps: [{id: fix, agent: fake, prompt: x}]\n");
    let mut run = world.command(&["run", "flow.yaml", "--detach"]);
    run.env("TZDIR", world.path().join("zoneinfo")).env("TZ", "UTC");
    assert!(run.status().unwrap().success());
    let is_parked = |record: &RunRecord| record.steps.iter().any(|step| step.limit.is_some());
    let record = world.record_when("waits for the limit", is_parked);
    let limit = record.steps.iter().find_map(|step| step.limit.clone()).unwrap();
    let wait = limit.until.since(SystemClock.wall());
    assert!((55 * 60..=65 * 60).contains(&wait.as_secs()), "an hour is left: {wait:?}, {limit:?}");
    let asked_at = |zone: &str| {
        let mut ls = world.command(&["ls"]);
        ls.env("TZDIR", world.path().join("zoneinfo")).env("TZ", zone);
        let output = ls.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = said(&output);
        let (at, _) = text.match_indices(':').next().expect("a time of the day");
        let minute = |text: &str| -> Option<u32> {
            let (hour, minute) = text.split_once(':')?;
            Some(hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?)
        };
        minute(&text[at - 2..at + 3]).expect("a time of the day")
    };
    let ahead = (asked_at("Asia/Tokyo") + 24 * 60 - asked_at("UTC")) % (24 * 60);
    assert_eq!(ahead, 9 * 60, "Tokyo is nine hours ahead");
    assert!(world.run(&["cancel", "@last"]).status.success());
}

#[test]
fn an_unknown_time_zone_is_told_once_with_what_is_shown_in_its_place() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    for (zone, times) in
        [("Mars/Base", 1), ("Europe/Berlin", 0), ("UTC", 0), ("", 0), ("CET-1CEST,M3.5.0,M10.5.0/3", 0)]
    {
        let output = world.command(&["run", "flow.yaml"]).env("TZ", zone).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told.matches("names no time zone, so times are in UTC").count(), times, "{zone}: {told}");
    }
}

#[test]
fn the_password_in_a_url_of_the_environment_is_in_no_log() {
    let world = World::new();
    let step = "steps: [{id: one, run: 'echo \"$DATABASE_URL\"; echo \"${DATABASE_URL#*app:}\"'}]";
    world.write("flow.yaml", &FLOW.replace("steps: [{id: one, run: 'true'}]", step));
    let mut run = world.command(&["run", "flow.yaml"]);
    let output = run.env("DATABASE_URL", "postgres://app:hunter22@db/app").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let logs = said(&world.run(&["logs"]));
    assert!(logs.contains("postgres://app:[redacted:DATABASE_URL]@db/app"), "{logs}");
    assert!(!logs.contains("hunter22"), "{logs}");
}

#[test]
fn the_last_run_is_the_newest_after_the_clock_went_back() {
    let world = World::new();
    world.write("first.yaml", &FLOW.replace("small", "first"));
    world.write("second.yaml", &FLOW.replace("small", "second"));
    assert!(world.run(&["run", "first.yaml"]).status.success());
    let mut second = world.command(&["run", "second.yaml"]);
    second.env("LD_PRELOAD", faults()).env("BACKSTAY_FAULTS_CLOCK_S", DAY_BACK_S);
    assert!(second.status().unwrap().success());
    let shown = said(&world.run(&["show", "@last", "--json"]));
    assert!(shown.contains("\"second\"") && !shown.contains("\"first\""), "{shown}");
    let listed = said(&world.run(&["ls"]));
    let place = |name: &str| listed.find(name).unwrap_or_else(|| panic!("{name}: {listed}"));
    assert!(place("second") < place("first"), "the newest is first: {listed}");
}

/// Says what a step was given: signals that are blocked and ignored (of those that have names), and the umask.
const SAYS_ALL: &str = "backstay: 1\nname: says\nsteps:\n  - {id: one, run: \"grep -E '^Sig(Blk|Ign)' /proc/self/status; umask; echo x > made\"}\n";

#[test]
fn an_agent_starts_with_every_signal_as_usual_whatever_was_inherited() {
    let world = World::new();
    world.write("flow.yaml", SAYS_ALL);
    let mut command = std::process::Command::new("env");
    command.args([
        "--ignore-signal=CHLD,PIPE,HUP,INT,QUIT,TERM,TTOU,USR1,XFSZ",
        "--block-signal=TERM,CHLD,USR2",
    ]);
    command.arg(backstay_tests::binary()).args(["run", "flow.yaml"]).current_dir(world.path());
    let output = command.env("XDG_STATE_HOME", world.path().join("state")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let logs = said(&world.run(&["logs", "@last", "one"]));
    for name in ["SigBlk:", "SigIgn:"] {
        let mask = logs.lines().find_map(|line| line.strip_prefix(name)).expect("the step says it");
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        // Two behind the named ones belong to the C library.
        assert_eq!(mask & 0x7fff_ffff, 0, "{name} {logs}");
    }
}

#[test]
fn a_umask_is_the_agents_own_and_shuts_nobody_out_of_the_store() {
    for umask in ["0777", "0000", "0027"] {
        let world = World::new();
        world.write("flow.yaml", SAYS_ALL);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec {} run flow.yaml", backstay_tests::binary())]);
        let output = shell.current_dir(world.path()).env("XDG_STATE_HOME", world.path()).output().unwrap();
        assert!(output.status.success(), "{umask}: {}", said(&output));
        let logs = said(&world.run(&["logs", "@last", "one"]));
        assert!(logs.lines().any(|line| line == umask), "{umask}: {logs}");
        let mode = |path: &Utf8Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        let expected = 0o666 & !u32::from_str_radix(umask, 8).unwrap();
        assert_eq!(mode(&world.path().join("made")), expected, "{umask}");
        for path in files(&world.path().join(".backstay")) {
            assert_eq!(mode(&path) & 0o600, 0o600, "{umask}: {path}");
            assert_eq!(mode(path.parent().unwrap()) & 0o700, 0o700, "{umask}: {path}");
        }
    }
}

#[test]
fn too_few_open_files_are_an_error_before_anything_begins() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    for allowed in [10, 24, 40] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {allowed}; exec {} run flow.yaml", backstay_tests::binary())]);
        let output = shell.current_dir(world.path()).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("BKS-C042") && text.contains(&format!("{allowed} files")), "{text}");
        assert!(text.contains("ulimit -n 1024"), "{text}");
        assert!(!world.path().join(".backstay").exists());
    }
}

/// Runs the binary where no file may be longer than `kib`.
fn with_short_files(world: &World, kib: u32, arguments: &str) -> std::process::Output {
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("ulimit -f {kib}; exec {} {arguments}", backstay_tests::binary())]);
    shell
        .current_dir(world.path())
        .env("XDG_STATE_HOME", world.path().join("state"))
        .output()
        .expect("bash starts")
}

#[test]
fn a_write_beyond_the_limit_of_files_is_a_full_disk_and_ends_nobody() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: long\nsteps:\n  - {id: one, run: 'echo one >> starts; seq 1 600000 | tee copy > /dev/null || true; seq 1 200000'}\n  - {id: two, run: 'echo two >> starts'}\n",
    );
    // The step's own copy would be longer: it is ended by the signal, as in any shell.
    let output = with_short_files(&world, 2000, "run flow.yaml");
    let text = said(&output);
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(output.status.code(), Some(0), "its output has room, and the run goes on: {text}");
    assert_eq!(world.read("starts"), "one\ntwo\n");
    // Nothing can be written at all: it says why, and what was there goes on without the limit.
    for kib in [0, 1, 8, 64] {
        let output = with_short_files(&world, kib, "run flow.yaml");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{kib}: {text}");
        assert!(text.contains("no room is left") && text.contains("ulimit -f"), "{kib}: {text}");
    }
    // The same where there is no store yet, and none is registered.
    for kib in [0, 1, 64] {
        let fresh = World::new();
        fresh.write("flow.yaml", "backstay: 1\nname: f\nsteps: [{id: one, run: 'true'}]\n");
        let output = with_short_files(&fresh, kib, "run flow.yaml");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{kib}: {text}");
        assert!(text.contains("ulimit -f"), "{kib}: {text}");
    }
    assert!(said(&world.run(&["store", "check"])).contains("whole: "));
}

#[test]
fn a_run_stands_still_where_an_output_finds_no_room_and_does_the_step_again_as_it_says() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: long\nsteps:\n  - {id: one, run: 'echo one >> starts; seq 1 600000'}\n  - {id: two, run: 'echo two >> starts'}\n",
    );
    let output = with_short_files(&world, 2000, "run flow.yaml");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("`one` has no output: ") && text.contains("retry --from one"), "{text}");
    assert_eq!(world.read("starts"), "one\n");
    assert!(world.run(&["cancel", "@last"]).status.success());
    let output = world.run(&["retry", "@last", "--from", "one"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(world.read("starts"), "one\none\ntwo\n");
}

#[test]
fn a_full_disk_in_the_middle_of_a_run_is_told_once_and_in_words_for_people() {
    let mut met = 0;
    for kib in [112, 128, 160, 192] {
        let world = World::new();
        world.write(
            "flow.yaml",
            "backstay: 1\nname: f\nsteps:\n  - {id: one, run: 'seq 1 200000'}\n  - {id: two, run: 'echo two'}\n",
        );
        let output = with_short_files(&world, kib, "run flow.yaml");
        let text = said(&output);
        for word in [" WARN ", " ERROR ", "error=", "run="] {
            assert!(!text.contains(word), "{kib}: {word} is in {text}");
        }
        match output.status.code() {
            Some(0) => {}
            Some(5) => {
                met += usize::from(text.contains("the run began"));
                // Either the store met it, or what the step printed could not be kept.
                let told = text.matches("no room is left").count()
                    + text.matches("suspended: `one` has no output").count();
                assert_eq!(told, 1, "{kib}: {text}");
            }
            other => panic!("{kib}: {other:?}: {text}"),
        }
    }
    assert!(met > 0, "no run met the limit after its beginning");
}
