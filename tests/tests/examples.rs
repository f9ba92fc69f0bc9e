//! The examples run, also where there is little or nothing to report on.

use std::process::Output;

use backstay_tests::World;

/// The examples, wherever the tests are started.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

fn git(world: &World, arguments: &[&str]) {
    let output = backstay_tests::git_command(world.path())
        .args(["-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

fn report(world: &World) -> (Output, String) {
    let output = world.run(&["run", &format!("{EXAMPLES}/report.yaml"), "--input", "to=report.md"]);
    let report = world.read("report.md");
    (output, report)
}

#[test]
fn a_folder_without_a_repository_is_a_clear_failure() {
    let world = World::new();
    let (output, report) = report(&world);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        shown.contains("\n   this folder is not in a git repository: call it from within one\n"),
        "{shown}"
    );
    assert!(report.is_empty());
}

#[test]
fn a_repository_without_a_commit_has_a_report_that_says_so() {
    let world = World::new();
    git(&world, &["init", "-q"]);
    let (output, report) = report(&world);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        report,
        "# What the history of this repository says\n\n\
         ## Changed often, tested rarely\n\nNothing is committed yet.\n\n\
         ## Notes that wait\n\nNo comment begins with such a mark.\n\n\
         ## Files that change together\n\nNothing is committed yet.\n"
    );
}

#[test]
fn a_repository_of_one_commit_has_a_report_in_the_singular() {
    let world = World::new();
    git(&world, &["init", "-q"]);
    // The mark in parts: this file is no note. The second one is only spoken of.
    let mark = ["TO", "DO"].concat();
    world.write("a.rs", &format!("// {mark}: mend this\nconst MARK: &str = \"{mark}\";\n"));
    git(&world, &["add", "a.rs"]);
    git(&world, &["commit", "-q", "-m", "first"]);
    let (output, report) = report(&world);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        report,
        format!(
            "# What the history of this repository says\n\n\
             ## Changed often, tested rarely\n\n\
             1 source file changed without a test beside it, in 1 commit.\n\n\
             - `a.rs`: 1 of 1 changes came without a test\n\n\
             ## Notes that wait\n\nOne note.\n\n- `a.rs:1`: 0 days: // {mark}: mend this\n\n\
             ## Files that change together\n\n\
             No two files were changed together in three commits or more.\n"
        )
    );
}

#[test]
fn files_that_change_together_are_each_named_as_a_path() {
    let world = World::new();
    git(&world, &["init", "-q"]);
    for round in 0..3 {
        world.write("a.rs", &format!("// {round}\n"));
        world.write("b c.rs", &format!("// {round}\n"));
        git(&world, &["add", "a.rs", "b c.rs"]);
        git(&world, &["commit", "-q", "-m", "both"]);
    }
    let (output, report) = report(&world);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(report.contains("\nOne couple in three commits or more.\n"), "{report}");
    assert!(report.contains("- `a.rs` and `b c.rs`: 3 of 3 changes were made together\n"), "{report}");
}

/// The agents are scripts here; what they are asked and how they are led is the example's.
#[test]
fn the_tests_are_mended_in_one_session_and_another_agent_looks_at_it() {
    let world = World::new();
    let (coder, reviewer) = (world.fake("fake_coder"), world.fake("fake_reviewer"));
    coder.turn(1, "message 'half of it'; ends").turn(2, "touch mended; message 'all of it'; ends");
    reviewer.turn(1, r#"message '{\"blocking\": 0, \"findings\": []}'; ends"#);
    let agents = ["--agent", "coder=fake_coder", "--agent", "reviewer=fake_reviewer"];
    let file = format!("{EXAMPLES}/fix.yaml");
    let mut arguments = vec!["run", &file, "--input", "test=sleep 0.1; test -e mended"];
    arguments.extend(agents);
    let output = world.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(coder.calls(), ["exec --write -", "exec --write resume session-1 -"]);
    let [looked] = reviewer.calls().try_into().expect("it was called once");
    assert!(looked.starts_with("exec --read --output-schema "), "{looked}");
    let outputs = world.record().outputs.expect("the run completed");
    assert_eq!(outputs, backstay_model::Text::of(r#"{"cycles":3,"findings":{"blocking":0,"findings":[]}}"#));
}
