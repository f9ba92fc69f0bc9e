//! `watch` in a pipe: plain lines, and what a run needs of a person.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use backstay_engine::record::RunStatus;
use backstay_tests::{Gate, PATIENCE, Started, World, send};
use rustix::process::Signal;

const GATED: &str = r#"
backstay: 1
name: NAME
steps:
  - id: one
    run: |
      echo begun > NAME-begun
      cat NAME-go > /dev/null
"#;

/// A step that is in doubt after its keeper and its owner were killed: it asks a person.
const IN_DOUBT: &str = r#"
backstay: 1
name: doubt
steps:
  - id: one
    run: |
      echo begun > begun
      cat go > /dev/null
"#;

/// A process whose lines are read as they come. Killed with -9 when dropped.
struct Told {
    child: Child,
    lines: mpsc::Receiver<String>,
    said: String,
}

impl Told {
    fn start(world: &World, arguments: &[&str]) -> Told {
        let mut command = world.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let out = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                if line.is_ok_and(|line| say.send(line).is_err()) {
                    return;
                }
            }
        });
        Told { child, lines, said: String::new() }
    }

    fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push_str(&(line + "\n")),
                Err(error) => panic!("`{text}` never came ({error}): {}", self.said),
            }
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push_str(&(line + "\n")),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it never ended: {}", self.said),
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        (status.code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("it can be waited for");
        }
    }
}

fn gated(world: &World, name: &str) -> (Started, Gate, Gate) {
    let gates = (world.gate(&format!("{name}-begun")), world.gate(&format!("{name}-go")));
    world.write(&format!("{name}.yaml"), &GATED.replace("NAME", name));
    (world.start(&["run", &format!("{name}.yaml")]), gates.0, gates.1)
}

#[test]
fn watch_in_a_pipe_follows_all_open_runs_until_none_is_left() {
    let world = World::new();
    let (first, first_begun, first_go) = gated(&world, "first");
    assert_eq!(first_begun.wait(), "begun\n");
    let (second, second_begun, second_go) = gated(&world, "second");
    assert_eq!(second_begun.wait(), "begun\n");
    let mut watch = Told::start(&world, &["watch"]);
    watch.wait_for("starts: echo begun > second-begun");
    watch.wait_for("starts: echo begun > first-begun");
    let (third, third_begun, third_go) = gated(&world, "third");
    assert_eq!(third_begun.wait(), "begun\n");
    for (run, go) in [(first, first_go), (second, second_go), (third, third_go)] {
        go.open();
        assert!(run.end().0.success());
    }
    let (status, said) = watch.end();
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        said.matches("  completed").count(),
        3,
        "each end once, of the one that came later too: {said}"
    );
    let told: Vec<&str> = said.lines().filter(|line| !line.contains("under way")).collect();
    assert!(told.iter().all(|line| line.starts_with("run_")), "each line names its run: {said}");
    let mut runs: Vec<&str> = told.iter().filter_map(|line| line.split_whitespace().next()).collect();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), 3, "{said}");
}

#[test]
fn watch_in_a_pipe_says_what_a_run_needs_and_goes_on() {
    let world = World::new();
    let (begun, _go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", IN_DOUBT);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let record = world.record_when("has a process", |record| {
        record.steps.iter().any(|step| step.attempts.iter().any(|attempt| attempt.pid.is_some()))
    });
    let attempt = &record.steps[0].attempts[0];
    let mut watch = Told::start(&world, &["watch", "@last"]);
    run.kill();
    send(attempt.keeper_pid.unwrap(), Signal::KILL);
    send(attempt.pid.unwrap(), Signal::KILL);
    watch.wait_for("next  backstay resume run_");
    let (status, said) = world.start(&["resume", "@last"]).end();
    assert_eq!(status.code(), Some(3), "a run in a pipe that waits for a person ends with 3: {said}");
    watch.wait_for("backstay answer run_");
    assert_eq!(world.record().status, RunStatus::Waiting);
    assert!(world.run(&["cancel", "@last"]).status.success());
    let (status, said) = watch.end();
    assert_eq!(status, Some(4), "{said}");
    assert_eq!(said.matches("asks  ").count(), 1, "the need is told once: {said}");
}
