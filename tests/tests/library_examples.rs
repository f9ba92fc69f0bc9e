//! The examples of the library run, each as a process of its own.

use std::process::{Command, Stdio};

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{World, binary, isolate};
use camino::Utf8PathBuf;

fn example(name: &str) -> Utf8PathBuf {
    let program = binary().with_file_name("examples").join(name);
    assert!(program.exists(), "{program} is not built: run `cargo build -p backstay --examples` first");
    program
}

/// The example, in a home of its own.
fn command(world: &World, name: &str) -> Command {
    let mut command = Command::new(example(name));
    let programs = binary().parent().expect("it is in a folder").to_string();
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("a search path");
    command.current_dir(world.path()).stdin(Stdio::null()).env("PATH", format!("{programs}:{path}"));
    command.env_remove("BACKSTAY_STORE").env("USER", "tester");
    command.env("XDG_STATE_HOME", world.path().join("state"));
    isolate(&mut command, world.path());
    command
}

/// What the example prints, with the run's id as `RUN`.
fn printed(world: &World, name: &str) -> String {
    let output = command(world, name).output().expect("the example starts");
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
    world.only_run().map_or(text.clone(), |run| text.replace(&run.to_string(), "RUN"))
}

#[test]
fn hello_prints_the_run_and_how_it_ended() {
    let world = World::new();
    assert_eq!(printed(&world, "hello"), "RUN completed\n");
}

#[test]
fn embed_answers_what_its_step_asks() {
    let world = World::new();
    assert_eq!(
        printed(&world, "embed"),
        "Whom shall I greet? -> moon: Accepted\nthe run completed\nask: \"moon\"\ngreet: \"hello moon\"\n"
    );
}

#[test]
fn watch_steps_prints_a_row_for_each_event_and_heartbeats_between_them() {
    let world = World::new();
    let printed = printed(&world, "watch_steps");
    let (beats, rows): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("count: alive, "));
    assert!(!beats.is_empty(), "{printed}");
    assert_eq!(
        rows,
        [
            "the run: RunStarted",
            "count: Started",
            "count: Starting",
            "count: Spawned",
            "count: ended with exit code Some(0)",
            "count: Finished",
            "the run: RunCompleted",
            "the run completed",
        ]
    );
}

#[test]
fn a_program_that_embeds_the_runtime_is_killed_and_its_agent_is_found_again_by_its_own_keeper() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    world.write(
        "flow.yaml",
        "backstay: 1\nsteps:\n  - {id: one, run: 'echo begun >> begun; echo up > up; cat go; echo done'}\n",
    );
    let mut program = command(&world, "watch_steps");
    let mut program = program.arg("flow.yaml").stdout(Stdio::null()).spawn().expect("the example starts");
    assert_eq!(up.wait(), "up\n");
    program.kill().expect("it can be killed");
    program.wait().expect("it is dead");
    let run = world.only_run().expect("it was requested").to_string();
    let resumed = world.start(&["resume", &run]);
    let is_found = |record: &RunRecord| {
        record.steps.first().and_then(|step| step.attempts.last()).is_some_and(|last| last.reattached == 1)
    };
    let found = world.record_when("it is found again", is_found);
    assert!(!found.status.is_ended(), "its step waits for the gate");
    go.open();
    let record = world.record_when("it ends", |record| record.status.is_ended());
    assert_eq!((record.status, record.interruptions.len()), (RunStatus::Completed, 1));
    assert_eq!((record.steps[0].attempts.len(), world.read("begun").as_str()), (1, "begun\n"));
    drop(resumed);
}

#[test]
fn the_readme_shows_the_hello_example_as_it_is() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let read = |path: &str| {
        std::fs::read_to_string(format!("{folder}/../{path}")).expect("a file of this repository")
    };
    let example = read("crates/backstay/examples/hello.rs");
    // Without the comment of the file itself.
    let code = example.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    let code = code.collect::<Vec<_>>().join("\n");
    assert!(read("README.md").contains(&format!("```rust\n{code}\n```\n")), "README.md and hello.rs differ");
}
