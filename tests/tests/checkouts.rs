//! One run at a time works in a git checkout, whatever store it is in.

use std::process::Child;

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{Gate, World};
use rustix::process::Signal;

/// A flow whose only step waits at its gates.
fn gated(begun: &Gate, gate: &Gate) -> String {
    format!(
        "backstay: 1\nsteps:\n  - {{id: a, run: \"echo here > {}; cat {}\"}}\n",
        begun.path(),
        gate.path()
    )
}

/// A world in a checkout of its own.
fn checkout() -> World {
    let world = World::new();
    let status = backstay_tests::git_command(world.path()).args(["init", "-q"]).status();
    assert!(status.expect("git starts").success());
    world
}

/// The other world's run, which works in this one's checkout.
fn start_in(checkout: &World, other: &World, flow: &str) -> Child {
    other.write("flow.yaml", flow);
    let flow = other.path().join("flow.yaml");
    let mut command = other.command(&["run", flow.as_str()]);
    command.current_dir(checkout.path()).env("BACKSTAY_STORE", other.path().join(".backstay"));
    command.spawn().expect("the binary starts")
}

fn ends_well(mut child: Child) {
    assert!(child.wait().expect("it can be waited for").success());
}

#[test]
fn a_second_run_waits_and_says_so() {
    let (one, two) = (checkout(), World::new());
    let (begun, gate) = (one.gate("begun"), one.gate("gate"));
    one.write("flow.yaml", &gated(&begun, &gate));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    let second = start_in(&one, &two, "backstay: 1\nsteps:\n  - {id: b, run: 'true'}\n");
    let record = two.record_when("waits", |record| record.checkout_busy.is_some());
    let busy = record.checkout_busy.clone().expect("it waits");
    assert_eq!((busy.held_by, busy.pid), (one.only_run(), Some(first.pid())));
    assert!(record.steps.iter().all(|step| step.attempts.is_empty()), "{record:#?}");
    let shown = two.run(&["show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("waits for the checkout") && shown.contains("which works in"), "{shown}");
    gate.open();
    let (status, _) = first.end();
    assert!(status.success());
    ends_well(second);
    let record = two.record();
    assert_eq!((record.status, record.checkout_busy), (RunStatus::Completed, None));
}

#[test]
fn a_run_that_waits_is_suspended_at_once() {
    let (one, two) = (checkout(), World::new());
    let (begun, gate) = (one.gate("begun"), one.gate("gate"));
    one.write("flow.yaml", &gated(&begun, &gate));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    let mut second = start_in(&one, &two, "backstay: 1\nsteps:\n  - {id: b, run: 'true'}\n");
    let record = two.record_when("waits", |record| record.checkout_busy.is_some());
    assert_eq!(record.status, RunStatus::Running);
    assert!(two.run(&["suspend", "@last"]).status.success());
    assert_eq!(second.wait().expect("it can be waited for").code(), Some(5));
    gate.open();
    assert!(first.end().0.success());
}

/// The stopped owner has the lock of the checkout for ever.
#[test]
fn a_run_that_is_taken_over_from_a_stopped_owner_goes_on_in_its_checkout() {
    let world = checkout();
    let (begun, gate) = (world.gate("begun"), world.gate("gate"));
    let flow = gated(&begun, &gate);
    world.write("flow.yaml", &format!("{flow}  - {{id: b, needs: [a], run: 'echo b >> starts'}}\n"));
    let stopped = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    // Not in the middle of a commit: a process that is stopped there holds the store's lock.
    let is_at_work = |record: &RunRecord| {
        record.steps.iter().any(|step| step.attempts.iter().any(|attempt| attempt.pid.is_some()))
    };
    drop(world.record_when("is at work", is_at_work));
    stopped.signal(Signal::STOP);
    let taker = world.start(&["resume", "@last", "--take-over"]);
    let is_taken_over =
        |record: &RunRecord| record.owner.as_ref().is_some_and(|owner| owner.pid == taker.pid());
    drop(world.record_when("is taken over", is_taken_over));
    gate.open();
    let record = world.record_when("ends, or waits for the stopped owner", |record| {
        record.status == RunStatus::Completed || record.checkout_busy.is_some()
    });
    assert_eq!((record.status, record.checkout_busy), (RunStatus::Completed, None));
    let (status, said) = taker.end();
    assert!(status.success(), "{said}");
    stopped.signal(Signal::CONT);
    let (status, said) = stopped.end();
    assert_eq!(status.code(), Some(6), "it was fenced: {said}");
    assert_eq!(world.read("starts"), "b\n");
}

/// The owner is dead, its agent writes on.
#[test]
fn agents_without_an_owner_keep_their_checkout() {
    let (one, two) = (checkout(), World::new());
    let (begun, gate) = (one.gate("begun"), one.gate("gate"));
    one.write("flow.yaml", &gated(&begun, &gate));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    first.kill();
    let second = start_in(&one, &two, "backstay: 1\nsteps:\n  - {id: b, run: 'true'}\n");
    let record = two.record_when("waits", |record| record.checkout_busy.is_some());
    assert_eq!(record.checkout_busy.and_then(|busy| busy.held_by), one.only_run());
    gate.open();
    ends_well(second);
    assert!(one.run(&["resume", "@last"]).status.success());
}

#[test]
fn what_a_step_starts_works_in_the_checkout_of_its_run() {
    let (one, two, three) = (checkout(), World::new(), World::new());
    let start = |world: &World, flow: &str, inner: &str| {
        world.write(flow, inner);
        format!("BACKSTAY_STORE={0}/.backstay {1} run {0}/{flow}", world.path(), backstay_tests::binary())
    };
    let innermost = start(&three, "c.yaml", "backstay: 1\nsteps:\n  - {id: c, run: 'true'}\n");
    let inner = start(&two, "b.yaml", &format!("backstay: 1\nsteps:\n  - {{id: b, run: \"{innermost}\"}}\n"));
    one.write("a.yaml", &format!("backstay: 1\nsteps:\n  - {{id: a, run: \"{inner}\"}}\n"));
    let output = one.run(&["run", "a.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(three.record().status, RunStatus::Completed);
}

/// The command that works on `flow` with the store of `world`.
fn nested(world: &World, flow: &str) -> String {
    world.write("nested.yaml", flow);
    format!(
        "XDG_STATE_HOME={0}/state BACKSTAY_STORE={0}/.backstay {1} run {0}/nested.yaml",
        world.path(),
        backstay_tests::binary()
    )
}

/// The owner is dead; its agent starts a run, which ends, and works on.
#[test]
fn a_run_of_an_agent_without_an_owner_does_not_free_its_checkout() {
    let (one, two, three) = (checkout(), World::new(), World::new());
    let [begun, gate, later, last] = ["begun", "gate", "later", "last"].map(|name| one.gate(name));
    let inner = nested(&two, "backstay: 1\nsteps:\n  - {id: b, run: 'true'}\n");
    let script = format!(
        "echo here > {}; cat {}; {inner}; echo later > {}; cat {}",
        begun.path(),
        gate.path(),
        later.path(),
        last.path()
    );
    one.write("flow.yaml", &format!("backstay: 1\nsteps:\n  - {{id: a, run: \"{script}\"}}\n"));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    first.kill();
    gate.open();
    assert_eq!(later.wait(), "later\n");
    assert_eq!(two.record().status, RunStatus::Completed);
    let third = start_in(&one, &three, "backstay: 1\nsteps:\n  - {id: c, run: 'true'}\n");
    let record =
        three.record_when("waits", |record| record.checkout_busy.is_some() || record.status.is_ended());
    assert_eq!(record.checkout_busy.and_then(|busy| busy.held_by), one.only_run());
    last.open();
    ends_well(third);
    assert!(one.run(&["resume", "@last"]).status.success());
}

#[test]
fn what_a_step_started_stays_in_its_checkout_whoever_goes_on_with_it() {
    let (one, two) = (checkout(), World::new());
    let (begun, gate) = (one.gate("begun"), one.gate("gate"));
    let flag = two.path().join("flag");
    let inner = nested(&two, &format!("backstay: 1\nsteps:\n  - {{id: b, run: 'test -e {flag}'}}\n"));
    let script = format!("{inner} || echo failed > {}; cat {}", begun.path(), gate.path());
    one.write("flow.yaml", &format!("backstay: 1\nsteps:\n  - {{id: a, run: \"{script}\"}}\n"));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "failed\n");
    two.write("flag", "");
    let retried = two.start(&["retry", "@last"]);
    let record = two.record_when("ends, or waits for ever", |record| {
        record.status == RunStatus::Completed || record.checkout_busy.is_some()
    });
    assert_eq!(record.checkout_busy, None);
    gate.open();
    assert!(retried.end().0.success());
    assert!(first.end().0.success());
}

#[test]
fn who_only_reads_or_works_in_a_worktree_does_not_wait() {
    let (one, two) = (checkout(), World::new());
    let (begun, gate) = (one.gate("begun"), one.gate("gate"));
    let commit =
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "first"];
    assert!(backstay_tests::git_command(one.path()).args(commit).status().expect("git starts").success());
    one.write("flow.yaml", &gated(&begun, &gate));
    let first = one.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    let flow = "backstay: 1\nsteps:\n  - {id: look, run: pwd, access: read}\n  - {id: work, run: pwd, workspace: worktree}\n";
    ends_well(start_in(&one, &two, flow));
    gate.open();
    assert!(first.end().0.success());
    let worktrees =
        one.path().with_file_name(format!("{}.worktrees", one.path().file_name().unwrap_or_default()));
    std::fs::remove_dir_all(worktrees).expect("it was made");
}
