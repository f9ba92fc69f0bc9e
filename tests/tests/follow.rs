//! Watching from elsewhere, and going on behind a full disk.

use std::fs;
use std::process::Command;

use backstay_engine::record::RunStatus;
use backstay_log::{AppendError, Authority, Batch, NewEvent, StoreError, TopicAppend};
use backstay_model::{Kind, Payload, Scope, Topic};
use backstay_tests::{World, all, block_on};

const GATED: &str = r#"
backstay: 1
name: gated
steps:
  - {id: one, run: "echo first"}
  - id: two
    run: |
      echo two >> starts
      echo before
      echo begun > begun
      cat go > /dev/null
      echo after
  - {id: three, run: "echo last"}
"#;

#[test]
fn s6_logs_follow_a_run_over_a_restart_of_its_owner() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let logs = world.start(&["logs", "@last", "-f"]);
    let timed = world.start(&["logs", "@last", "-f", "--timestamps"]);
    let watch = world.start(&["watch", "@last"]);
    run.kill();
    let resume = world.start(&["resume", "@last"]);
    let record = world.record_when("has its new owner", |record| record.interruptions.len() == 1);
    assert_eq!(record.status, RunStatus::Running);
    let late = world.start(&["logs", "@last", "two", "-f"]);
    go.open();
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
    for (name, follower) in [("logs", logs), ("timed logs", timed), ("late logs", late)] {
        let (status, said) = follower.end();
        assert!(status.success(), "{name}: {said}");
        for line in ["before", "after"] {
            assert_eq!(said.matches(line).count(), 1, "{name}: `{line}` once in: {said}");
        }
        let has_time = |line: &str| line.split(' ').next().is_some_and(|day| day.matches('-').count() == 2);
        assert!(said.lines().all(|line| has_time(line) == (name == "timed logs")), "{name}: {said}");
    }
    let (status, said) = watch.end();
    assert!(status.success(), "watch: {said}");
}

#[test]
fn a_detached_run_has_an_owner_and_wait_tells_its_end() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let output = world.run(&["run", "flow.yaml", "--detach"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("run_"), "it prints the run: {output:?}");
    assert_eq!(begun.wait(), "begun\n");
    let wait = world.start(&["wait", "@last"]);
    go.open();
    let (status, said) = wait.end();
    assert!(status.success(), "{said}");
    assert_eq!(world.read("starts"), "two\n");
}

/// A small file system of its own for a store; taken away with it.
struct SmallDisk(camino::Utf8PathBuf);

impl SmallDisk {
    /// Mounts `size` at `.backstay`; none without the right to.
    fn mount(world: &World, size: &str) -> Option<SmallDisk> {
        let path = world.path().join(".backstay");
        fs::create_dir(&path).expect("a folder can be made");
        let options = format!("size={size},mode=0700");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs", path.as_str()]).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(path));
        }
        assert!(!all(), "a small file system can be mounted");
        println!("skipped: a small file system can be mounted by root only");
        None
    }

    fn fill(&self) {
        let mut chunk = vec![0_u8; 256 * 1024];
        let mut number = 0;
        while !chunk.is_empty() {
            number += 1;
            if fs::write(self.0.join(format!("filler{number}")), &chunk).is_err() {
                chunk.truncate(chunk.len() / 2);
            }
        }
    }

    fn free(&self) {
        for entry in fs::read_dir(&self.0).expect("the folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("filler")) {
                fs::remove_file(path).expect("a file can be removed");
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").args(["-l", self.0.as_str()]).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "what was mounted can be unmounted");
    }
}

#[test]
fn l17_a_disk_that_fills_in_the_middle_loses_nothing_and_the_run_goes_on_with_room() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world, "8m") else { return };
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let record = world.record_when("has two at work", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|a| a.pid.is_some() && a.ended_at.is_none()))
    });
    assert_eq!(record.status, RunStatus::Running);
    disk.fill();
    go.open();
    let (status, said) = run.end();
    // Suspended: with room it goes on.
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("BKS-") && said.contains("= "), "a code and a hint: {said}");
    disk.free();
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{said}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    assert_eq!(world.read("starts"), "two\n", "nothing ran twice");
    drop(disk);
}

/// Appends until the log has no room either.
fn fill_the_log(world: &World) {
    block_on(async {
        let store = world.store().await.expect("there is a store");
        let topic: Topic = "test.filler".parse().expect("a topic");
        let event = NewEvent {
            kind: Kind::new("filler"),
            scope: Scope::root(),
            payload: Payload::encode(&"x".repeat(60_000)).expect("JSON"),
            trace: None,
        };
        loop {
            let part = TopicAppend::new(topic.clone(), Authority::Exclusive, vec![event.clone()]);
            match store.log().submit(Batch::of(part)).await {
                Ok(_) => {}
                Err(AppendError::Store(StoreError::OutOfSpace { .. })) => return,
                Err(other) => panic!("{other}"),
            }
        }
    });
}

#[test]
fn l17_a_run_stands_still_when_the_disk_is_full_and_says_so() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world, "40m") else { return };
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let reserve = world.path().join(".backstay/disk_reserve");
    assert!(reserve.exists());
    disk.fill();
    fill_the_log(&world);
    go.open();
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("the disk was full") && said.contains("backstay resume"), "{said}");
    assert!(!reserve.exists(), "it was given back");
    let listed = world.run(&["ls"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("the disk was full"), "{listed:?}");
    disk.free();
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{said}");
    assert_eq!(world.record().status, RunStatus::Completed);
    assert_eq!(world.read("starts"), "two\n", "nothing ran twice");
    assert!(reserve.exists(), "with room it is there again");
    drop(disk);
}
