//! The socket of a keeper is taken away while nobody owns its run: the keeper is found all the same.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use backstay_engine::record::RunStatus;
use backstay_tests::{Gate, World};
use camino::Utf8PathBuf;

/// A run whose step waits at a gate, whose owner was killed with -9, and whose keeper's socket is gone with its folder.
fn cut_off() -> (World, Gate, Utf8PathBuf) {
    let world = World::new();
    let runtime = world.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let script = format!("echo > {}; cat {} > /dev/null; echo on >> ran", begun.path(), go.path());
    world.write("flow.yaml", &format!("backstay: 1\nname: waits\nsteps:\n  - {{id: a, run: '{script}'}}\n"));
    let owner = world.start_with(&["run", "flow.yaml"], &[("XDG_RUNTIME_DIR", runtime.as_str())]);
    assert_eq!(begun.wait(), "\n");
    drop(world.record_when("works", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|attempt| attempt.pid.is_some()))
    }));
    owner.kill();
    let sockets = fs::read_dir(runtime.join("backstay")).unwrap().count();
    assert_eq!(sockets, 1, "the runtime folder of the user is used");
    fs::remove_dir_all(&runtime).unwrap();
    (world, go, runtime)
}

fn agent_pid(world: &World) -> u32 {
    world.record().steps[0].attempts[0].pid.unwrap()
}

fn is_alive(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

#[test]
fn resume_finds_the_keeper_and_the_work_is_done_once() {
    let (world, go, _) = cut_off();
    let resumed = world.start(&["resume", "@last"]);
    drop(world.record_when("is attached to again", |record| {
        record.steps[0].attempts.iter().any(|attempt| attempt.reattached > 0)
    }));
    go.open();
    let (status, said) = resumed.end();
    assert!(status.success(), "{said}");
    assert_eq!((world.read("ran").as_str(), world.record().steps[0].attempts.len()), ("on\n", 1));
}

#[test]
fn cancel_and_suspend_find_the_keeper_and_end_its_tree() {
    for (command, status) in [("cancel", RunStatus::Cancelled), ("suspend", RunStatus::Suspended)] {
        let (world, _go, runtime) = cut_off();
        // Where the folder was there is something else by now.
        fs::write(&runtime, "mine").unwrap();
        let pid = agent_pid(&world);
        assert!(is_alive(pid));
        let output = world.run(&[command, "@last"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(world.record().status, status);
        assert!(!is_alive(pid), "{command} leaves nothing at work");
        assert_eq!(world.read("runtime"), "mine");
    }
}
