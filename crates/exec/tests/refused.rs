//! A start that fails: what the starter is told, what recovery finds, and that nothing is left running.

mod support;

use std::time::Duration;

use backstay_exec::spool::{Follow, Follower};
use backstay_exec::{EndedBy, Keepers, Recovered, StartError, StopReason};
use backstay_model::Epoch;
use backstay_model::event::LostEvidence;
use support::{Bench, Running, SmallDisk, is_alive, pid_in, sh};

/// What the starter was told and what recovery finds are the same, and nothing runs.
#[expect(clippy::panic, clippy::unwrap_used, reason = "a helper of tests")]
fn check_refused(folder: &camino::Utf8Path, error: &StartError, what: &str) {
    match (error, support::recover(folder, Epoch(2)).unwrap()) {
        (
            StartError::Refused { .. } | StartError::NoRoom { .. } | StartError::NotBegun,
            Recovered::Lost { evidence: LostEvidence::NotBegun, ended_processes: 0 },
        ) => {}
        (StartError::Spawn { .. }, Recovered::Ended(record)) => {
            assert!(matches!(record.ended_by, EndedBy::SpawnFailed { .. }), "{what}: {record:?}");
        }
        (error, recovered) => panic!("{what}: told {error:?}, found {recovered:?}"),
    }
}

#[test]
fn s5_what_stands_in_the_way_of_any_file_is_told_as_not_begun() {
    for name in ["stdout", "stderr", "order", "times", "exit.json.part", "keeper.json.part"] {
        let bench = Bench::new();
        // A folder is in nobody's way by chance: no file can take its place.
        std::fs::create_dir_all(bench.folder().join(name)).unwrap();
        let error = bench.start(&sh("exec sleep 600")).err().unwrap();
        check_refused(&bench.folder(), &error, name);
        // The keeper makes the folder of the sockets, and may have been refused before.
        let sockets = std::fs::read_dir(bench.path("s")).map_or(0, Iterator::count);
        assert_eq!(sockets, 0, "{name}: a socket is left");
        let mut follower = Follower::open(&bench.folder(), 0).unwrap();
        assert_eq!(follower.next(Duration::ZERO).unwrap(), Follow::Ended, "{name}");
    }
}

#[test]
fn s5_without_descriptors_what_is_told_is_what_was() {
    let (mut refused, mut started) = (0, 0);
    for limit in 3..=32 {
        let bench = Bench::new();
        let pid_file = bench.path("pid");
        let through = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let arguments = vec!["-c".to_owned(), through, support::keeper_program().to_string()];
        let keepers = Keepers::new("/bin/sh".into(), arguments, vec![bench.path("s")]);
        let script = format!("echo $$ > {pid_file}; exec sleep 600");
        match keepers.start(&bench.folder(), &sh(&script)) {
            Err(error) => {
                refused += 1;
                check_refused(&bench.folder(), &error, &format!("{limit} descriptors"));
                assert!(!pid_file.exists(), "{limit} descriptors: it began");
            }
            Ok(handle) => {
                started += 1;
                let running = Running::new(handle);
                let pid = pid_in(&pid_file);
                running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
                let record = running.end();
                assert_eq!(record.ended_by, EndedBy::Stop { reason: StopReason::Cancel }, "{limit}");
                assert!(!is_alive(pid), "{limit} descriptors: {pid} lives");
            }
        }
    }
    assert!(refused > 3 && started > 3, "{refused} refused, {started} started");
}

#[test]
fn l17_without_room_what_is_told_is_what_was() {
    let bench = Bench::new();
    let disk = match SmallDisk::mount(&bench.path("disk"), 256) {
        Ok(disk) => disk,
        Err(reason) => return support::skip(&reason),
    };
    let (mut refused, mut started) = (0, 0);
    for room_kib in (0..=48).step_by(4) {
        let folder = disk.path.join("attempt");
        std::fs::create_dir(&folder).unwrap();
        let ballast = disk.path.join("ballast");
        disk.fill_but(&ballast, room_kib);
        match bench.keepers.start(&folder, &sh("exec sleep 600")) {
            Err(error) => {
                refused += 1;
                std::fs::remove_file(&ballast).unwrap();
                if matches!(error, StartError::Io { .. }) {
                    assert!(!folder.join("keeper.json").exists(), "{room_kib} KiB");
                } else {
                    check_refused(&folder, &error, &format!("{room_kib} KiB"));
                }
            }
            Ok(handle) => {
                started += 1;
                let running = Running::new(handle);
                running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
                let record = running.end();
                assert_eq!(record.ended_by, EndedBy::Stop { reason: StopReason::Cancel }, "{room_kib}");
                std::fs::remove_file(&ballast).unwrap();
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(refused > 1 && started > 1, "{refused} refused, {started} started");
}

#[test]
fn s8_a_keeper_that_loses_its_descriptors_goes_on_and_still_ends_its_agent() {
    let bench = Bench::new();
    let running = bench.start(&sh("echo begun; exec sleep 600")).unwrap();
    let (keeper, agent) = (running.control.keeper_pid(), running.control.pid());
    support::wait_for(|| bench.stdout().ends_with(b"begun\n").then_some(()));
    // The system refuses to wait for more descriptors than these, and to open any.
    let few = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    rustix::process::prlimit(Some(support::pid(keeper)), rustix::process::Resource::Nofile, few).unwrap();
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    let record = running.end();
    assert_eq!(record.ended_by, EndedBy::Stop { reason: StopReason::Cancel });
    assert!(!is_alive(agent));
}

#[test]
fn s5_a_starter_without_descriptors_is_told_what_was() {
    let own = support::pid(std::process::id());
    let resource = rustix::process::Resource::Nofile;
    let full = rustix::process::prlimit(Some(own), resource, rustix::process::getrlimit(resource)).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let (mut refused, mut started) = (0, 0);
    for limit in 3..open + 12 {
        let bench = Bench::new();
        let pid_file = bench.path("pid");
        // The keeper itself has enough.
        let through = "ulimit -n 100; exec \"$0\" \"$@\"".to_owned();
        let arguments = vec!["-c".to_owned(), through, support::keeper_program().to_string()];
        let keepers = Keepers::new("/bin/sh".into(), arguments, vec![bench.path("s")]);
        let script = format!("echo $$ > {pid_file}; exec sleep 600");
        let few = rustix::process::Rlimit { current: Some(limit), maximum: full.maximum };
        rustix::process::prlimit(Some(own), resource, few).unwrap();
        let result = keepers.start(&bench.folder(), &sh(&script));
        rustix::process::prlimit(Some(own), resource, full).unwrap();
        match result {
            Err(StartError::Unclear) => match support::recover(&bench.folder(), Epoch(2)).unwrap() {
                Recovered::Attached(handle) => end(&Running::new(handle), Epoch(2)),
                other => panic!("{limit} descriptors: {other:?}"),
            },
            Err(error) => {
                refused += 1;
                match support::recover(&bench.folder(), Epoch(2)).unwrap() {
                    Recovered::Lost { evidence: LostEvidence::NotBegun, ended_processes: 0 } => {}
                    other => panic!("{limit} descriptors: told {error:?}, found {other:?}"),
                }
                assert!(!pid_file.exists(), "{limit} descriptors: it began, though {error:?}");
            }
            Ok(handle) => {
                started += 1;
                end(&Running::new(handle), Epoch(1));
            }
        }
    }
    assert!(refused > 3 && started > 3, "{refused} refused, {started} started");
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn end(running: &Running, epoch: Epoch) {
    running.control.stop(epoch, StopReason::Cancel, Duration::ZERO).unwrap();
    assert_eq!(running.end().ended_by, EndedBy::Stop { reason: StopReason::Cancel });
}

#[test]
fn s5_a_keeper_that_does_not_take_its_spec_is_not_waited_for() {
    let bench = Bench::new();
    // It opens nothing, reads nothing and holds the folder, until somebody opens the gate.
    let gate = bench.path("gate");
    let script = format!("mkfifo {gate}; exec cat {gate}");
    let arguments = ["-c", script.as_str()].map(str::to_owned).to_vec();
    let keepers = Keepers::new("/bin/sh".into(), arguments, vec![bench.path("s")]);
    // The bound is what this test waits for; the spec is more than a socket takes unread.
    let keepers = keepers.with_patience(Duration::from_secs(1));
    let mut spec = sh("true");
    spec.stdin = Some("x".repeat(4 * 1024 * 1024));
    let error = keepers.start(&bench.folder(), &spec).unwrap_err();
    assert!(matches!(error, StartError::Unclear), "it may come up yet: {error:?}");
    drop(std::fs::OpenOptions::new().write(true).open(&gate).unwrap());
    let recovered = support::wait_for(|| support::recover(&bench.folder(), Epoch(2)).ok());
    assert!(matches!(recovered, Recovered::Lost { evidence: LostEvidence::NotBegun, .. }), "{recovered:?}");
}
