//! What a person sees and says in the first hour: lists, failures, questions, runs that are not named.

use backstay_tests::World;

/// A run that has failed, with more output than is shown.
const FAILING: &str = "backstay: 1\nname: failing\ninputs: {who: {default: ada}, long: {default: 'a text that is much longer than a list has room for'}}\nsteps:\n  - {id: grep, run: exit 1, accept_exit: 0-125}\n  - {id: build, run: 'for i in $(seq 1 40); do echo line $i; done; echo the cause >&2; exit 7'}\n";

fn stdout(world: &World, arguments: &[&str]) -> String {
    String::from_utf8(world.run(arguments).stdout).expect("stdout is text")
}

fn stderr(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.run(arguments);
    let text = String::from_utf8(output.stderr).expect("stderr is text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

#[test]
fn a_failed_step_shows_its_last_20_lines_where_the_failure_is_shown() {
    let world = World::new();
    world.write("flow.yaml", FAILING);
    for arguments in [&["run", "flow.yaml"][..], &["show"], &["show", "--markdown"]] {
        let shown = stdout(&world, arguments);
        assert!(shown.contains("line 22\n") && shown.contains("the cause\n"), "{arguments:?}: {shown}");
        assert!(!shown.contains("line 21\n"), "{arguments:?}: {shown}");
    }
    let shown = stdout(&world, &["show"]);
    let row = shown.lines().find(|line| line.contains("grep")).expect("the step has a row");
    assert!(row.contains("exit 1") && !row.contains("done"), "an accepted exit code is shown: {row}");
}

#[test]
fn a_list_tells_runs_apart_by_inputs_and_time() {
    let world = World::new();
    world.write("flow.yaml", FAILING);
    for who in ["ada", "bob"] {
        assert_eq!(world.run(&["run", "flow.yaml", "--input", &format!("who={who}")]).status.code(), Some(1));
    }
    let shown = stdout(&world, &["ls"]);
    assert!(shown.lines().next().is_some_and(|head| head.contains("started  time")), "{shown}");
    for who in ["ada", "bob"] {
        assert!(shown.contains(&format!("long=a text that is much longer than a … who={who}")), "{shown}");
    }
}

#[test]
fn a_run_that_is_not_named_is_the_only_active_one_else_the_newest_and_errors_say_which() {
    let world = World::new();
    let asking = "backstay: 1\nname: asking\nsteps:\n  - id: green\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 1, on_exhausted: ask}\n    steps: [{id: test, run: exit 1, accept_exit: 0-1}]\n";
    world.write("asking.yaml", asking);
    world.write("flow.yaml", FAILING);
    assert_eq!(world.run(&["run", "asking.yaml"]).status.code(), Some(3));
    assert_eq!(world.run(&["run", "flow.yaml"]).status.code(), Some(1));
    assert!(stdout(&world, &["show"]).starts_with(" asking "), "the newest has ended, the other has not");
    assert!(stdout(&world, &["show", "failing"]).starts_with(" failing "), "a workflow's name names its run");
    let inbox = stdout(&world, &["inbox"]);
    assert!(inbox.starts_with(" asking / green  run_"), "{inbox}");
    let said = stderr(&world, &["retry"], 1);
    assert!(
        said.contains("no RUN was given") && said.contains("(`asking`) was meant: the only active run"),
        "{said}"
    );
    let refused = stderr(&world, &["answer", "qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R8"], 2);
    assert!(refused.contains("no answer is given"), "{refused}");
    let answered = world.run(&["answer", "fail"]);
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    assert_eq!(world.run(&["wait", "asking"]).status.code(), Some(1));
    assert!(stderr(&world, &["answer", "fail"], 2).contains("no question waits for an answer"));
    assert!(stdout(&world, &["show"]).starts_with(" failing "), "none is active: the newest");
}

#[test]
fn to_skip_a_step_of_an_ended_run_takes_a_yes() {
    let world = World::new();
    world.write("flow.yaml", FAILING);
    assert_eq!(world.run(&["run", "flow.yaml"]).status.code(), Some(1));
    let events = || stdout(&world, &["events", "--json"]).lines().count();
    let before = events();
    let said = stderr(&world, &["skip", "@last", "build"], 2);
    assert!(said.contains("to skip `build` is to start the run again") && said.contains("--yes"), "{said}");
    assert_eq!(events(), before, "nothing was said to the run");
    assert_eq!(world.run(&["skip", "@last", "build", "--yes"]).status.code(), Some(0));
}

#[test]
fn init_tries_the_test_command_and_takes_an_agent_that_is_a_command() {
    let world = World::new();
    let said = stderr(&world, &["init", "--agent", "cmd: ./mine --x", "--test", "no_such_program_here"], 2);
    assert!(said.contains("cannot be run here: exit 127") && said.contains("--no-try"), "{said}");
    assert!(!world.path().join("fix.yaml").exists(), "nothing is written");
    world.write("Makefile", "test:\n\ttouch tried\n");
    let shown = stdout(&world, &["init", "--agent", "cmd: ./mine --x"]);
    assert!(shown.contains("make test (from Makefile; not tried)"), "{shown}");
    assert!(!world.path().join("tried").exists(), "what a repository says is not executed unasked");
    let shown = stdout(&world, &["init", "other.yaml", "--agent", "cmd: ./mine --x", "--test", "exit 3"]);
    assert!(shown.contains("exits with 3 now"), "{shown}");
    assert!(world.read("other.yaml").contains("mine: {command: \"./mine --x\"}"));
    assert_eq!(world.run(&["check", "other.yaml"]).status.code(), Some(0));
}
