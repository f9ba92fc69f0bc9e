//! What steps did to a git checkout, seen and undone from the command line.

use backstay_model::event::LostEvidence;
use backstay_tests::World;

fn git(world: &World, words: &[&str]) -> String {
    backstay_tests::git(world.path(), words)
}

fn said(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A checkout with uncommitted work of its user, and a run of two steps that change things, one of them in a loop.
fn changed() -> World {
    let world = World::new();
    git(&world, &["init", "-q", "-b", "main"]);
    world.write("notes", "first\n");
    world.write(".gitignore", "ignored\n");
    git(&world, &["add", "-A"]);
    git(&world, &["commit", "-qm", "first"]);
    world.write("notes", "mine\n");
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: change
steps:
  - id: loop
    repeat: {until: steps.check.exit_code == 0, max_cycles: 3}
    steps:
      - {id: add, run: "echo line $BACKSTAY_CYCLE >> added; echo x > ignored"}
      - {id: check, run: "test $(wc -l < added) = 2", accept_exit: 0-1}
  - {id: spoil, run: "echo spoiled > notes"}
"#,
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    world
}

#[test]
fn a_diff_shows_what_a_run_a_loop_and_a_step_changed() {
    let world = changed();
    let all = said(&world.run(&["diff"]));
    assert!(all.contains("+line 1\n+line 2") && all.contains("-mine\n+spoiled"), "{all}");
    let inner = said(&world.run(&["diff", "@last", "loop"]));
    assert!(inner.contains("+line 2") && !inner.contains("spoiled"), "{inner}");
    let files = said(&world.run(&["diff", "@last", "spoil", "--json"]));
    assert!(files.contains("\"path\": \"notes\"") && !files.contains("added"), "{files}");
    assert_eq!(said(&world.run(&["diff", "@last", "check"])), "", "between its passes others worked");
}

#[test]
fn a_restore_never_touches_what_is_there() {
    let world = changed();
    let before = git(&world, &["status", "--porcelain", "--ignored"]);
    let name = format!("{} back", world.path().file_name().unwrap());
    let output = world.run(&["restore", "--before", "spoil", "--to", &format!("../{name}")]);
    let place = world.path().canonicalize_utf8().unwrap().with_file_name(name);
    assert_eq!(said(&output).trim(), place.as_str());
    let advice = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(advice.contains(&format!("next  git worktree remove '{place}'  ")), "{advice}");
    let read = |name: &str| std::fs::read_to_string(place.join(name)).unwrap();
    assert_eq!((read("notes"), read("added")), ("mine\n".to_owned(), "line 1\nline 2\n".to_owned()));
    assert!(!place.join("ignored").exists());
    assert_eq!(world.read("notes"), "spoiled\n");
    assert_eq!(git(&world, &["status", "--porcelain", "--ignored"]), before);
    let again = world.run(&["restore", "--before", "spoil", "--to", place.as_str()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("BKS-R023"), "{again:?}");
    git(&world, &["worktree", "remove", "--force", place.as_str()]);
    said(&world.run(&["restore", "--after", "loop", "--branch", "rescue"]));
    assert_eq!(git(&world, &["show", "rescue:notes"]), "mine");
    assert_eq!(git(&world, &["branch", "--show-current"]), "main");
}

#[test]
fn without_a_checkout_there_is_nothing_to_show_and_that_is_said() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: plain\nsteps:\n  - {id: one, run: echo one > file}\n");
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    for words in [vec!["diff"], vec!["restore"]] {
        let output = world.run(&words);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("BKS-C026"), "{output:?}");
    }
}

#[test]
fn who_wants_no_trees_has_none() {
    let world = World::new();
    git(&world, &["init", "-q", "-b", "main"]);
    world.write("flow.yaml", "backstay: 1\nname: plain\nsteps:\n  - {id: one, run: echo one > file}\n");
    let mut command = world.command(&["run", "flow.yaml"]);
    let output = command.env("BACKSTAY_TREES", "off").output().expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(git(&world, &["for-each-ref", "refs/backstay"]), "");
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    assert_eq!(git(&world, &["for-each-ref", "refs/backstay"]).lines().count(), 2, "before and after");
}

#[test]
fn s7_a_suspend_between_the_decision_and_the_start_waits_for_no_git() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    git(&world, &["init", "-q", "-b", "main"]);
    world.write("notes", "first\n");
    world.write(".gitignore", "*\n");
    git(&world, &["add", "-f", "notes"]);
    git(&world, &["commit", "-qm", "first"]);
    world.write("notes", "mine\n");
    // The checkout is kept after the start is durable and before the step begins: a filter holds it there.
    git(&world, &["config", "filter.slow.clean", "echo held > begun; cat go; cat"]);
    world.write(".git/info/attributes", "notes filter=slow\n");
    world.write("flow.yaml", "backstay: 1\nname: held\nsteps:\n  - {id: one, run: echo x >> ran}\n");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "held\n");
    let output = world.run(&["suspend", "@last"]);
    assert!(output.status.success(), "{output:?}");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    let record = world.record();
    let one = &record.steps[0];
    assert_eq!((one.attempts.len(), one.attempts[0].lost), (1, Some(LostEvidence::NotBegun)));
    // Only now may the filter end: nobody had waited for it, and the step never began.
    go.open();
    assert_eq!(world.read("ran"), "");
    git(&world, &["config", "--unset", "filter.slow.clean"]);
    let output = world.run(&["resume", "@last"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.read("ran"), "x\n");
}
