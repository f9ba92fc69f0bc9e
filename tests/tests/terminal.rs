//! In front of a real terminal: keys, signals, and the terminal as it was on every way out.

use backstay_engine::record::RunStatus;
use backstay_tests::{SHOW_CURSOR, Terminal, World, send};
use rustix::process::Signal;
use rustix::termios::LocalModes;

const GATED: &str = r#"
backstay: 1
name: gated
steps:
  - id: one
    run: |
      echo begun > begun
      cat go > /dev/null
  - {id: two, run: "echo last"}
"#;
const CTRL_C: &[u8] = b"\x03";

/// A run that waits at a gate, and a watch of it whose keys work.
fn watched(world: &World) -> (backstay_tests::Started, backstay_tests::Gate, Terminal) {
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let mut watch = Terminal::start(world, &["watch", "@last"]);
    watch.wait_for("[q]");
    assert!(!watch.modes().intersects(LocalModes::ECHO | LocalModes::ICANON), "single keys, unseen");
    assert!(watch.modes().contains(LocalModes::ISIG), "Ctrl-C is still a signal");
    (run, go, watch)
}

fn assert_goes_on(world: &World, run: backstay_tests::Started, go: &backstay_tests::Gate) {
    assert_eq!(world.record().status, RunStatus::Running);
    go.open();
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
}

#[test]
fn q_leaves_a_watch_and_the_run_goes_on() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"yq");
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert_goes_on(&world, run, &go);
}

#[test]
fn ctrl_c_and_signals_end_a_watch_and_give_the_terminal_back() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(CTRL_C);
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(130), "{seen}");
    for (signal, code) in [(Signal::TERM, 143), (Signal::QUIT, 143), (Signal::INT, 130)] {
        let mut watch = Terminal::start(&world, &["watch"]);
        watch.wait_for("[q]");
        send(watch.pid(), signal);
        let (status, seen) = watch.end();
        assert_eq!(status.code(), Some(code), "{signal:?}: {seen}");
    }
    assert_goes_on(&world, run, &go);
}

#[test]
fn a_watch_ends_with_its_run_and_gives_the_terminal_back() {
    let world = World::new();
    let (run, go, watch) = watched(&world);
    go.open();
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("COMPLETED"), "{seen}");
    assert!(run.end().0.success());
}

#[test]
fn a_watch_stands_still_at_ctrl_z_with_the_terminal_as_it_was_and_goes_on() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"\x1a");
    watch.wait_for(SHOW_CURSOR);
    // It stops itself a moment after it has given the terminal back.
    watch.wait_until_stopped();
    watch.forget();
    send(watch.pid(), Signal::CONT);
    watch.wait_for("[q]");
    watch.press(b"q");
    assert_eq!(watch.end().0.code(), Some(0));
    assert_goes_on(&world, run, &go);
}

#[test]
fn q_leaves_a_run_to_the_background_where_it_goes_on() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[q] leave it");
    run.press(b"q");
    let first = run.pid();
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(75), "{seen}");
    assert!(seen.contains("backstay watch run_"), "it says how to see it again: {seen}");
    let record = world.record_when("has a new owner", |record| {
        record.owner.as_ref().is_some_and(|owner| owner.pid != first)
    });
    assert_eq!(record.status, RunStatus::Running, "nothing was suspended");
    assert_eq!(record.interruptions, [], "it was handed over");
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
    let attempts: usize = record.steps.iter().map(|step| step.attempts.len()).sum();
    assert_eq!(attempts, 2, "no step began twice");
}

#[test]
fn ctrl_c_suspends_a_run_also_where_single_keys_are_read() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write("flow.yaml", &GATED.replace("cat go", "sleep 600"));
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[s] suspend");
    run.press(CTRL_C);
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(5), "{seen}");
    assert!(seen.contains("backstay resume run_"), "it says how to go on: {seen}");
    assert_eq!(world.record().status, RunStatus::Suspended);
}

#[test]
fn a_run_whose_terminal_is_closed_goes_on_in_the_background() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[q] leave it");
    let first = run.pid();
    send(first, Signal::HUP);
    let record = world.record_when("has a new owner", |record| {
        record.owner.as_ref().is_some_and(|owner| owner.pid != first)
    });
    assert_eq!(record.interruptions, [], "it was handed over");
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(75), "{seen}");
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
}
