//! Questions to a person, asked by the model through the CLI's own shell.

use backstay_testkit::{Answer, Script};
use backstay_tests::{binary, git};

use crate::cli::Cli;
use crate::place::{PATIENCE, Place};

pub(crate) fn asks_a_person(cli: Cli) {
    let ask = format!("{} ask 'Deploy now?' --options yes,no > work/answer.txt", binary());
    let script = Script::of([Answer::shell(&ask), Answer::text("It is asked.")]);
    let Some(place) = Place::new(cli, |_| script) else { return };
    std::fs::create_dir(place.world.path().join("work")).expect("a folder can be made");
    place.flow("  - {id: fix, agent: real, prompt: Ask.}\n");
    is_asked_and_answered(&place);
}

/// The run waits for the person, and the command in the agent's shell gets the answer.
fn is_asked_and_answered(place: &Place) {
    let (status, out) = place.start().end_within(PATIENCE);
    assert_eq!(status.code(), Some(3), "it waits for a person: {out}");
    let answered = place.world.run(&["answer", "yes"]);
    assert!(answered.status.success(), "{answered:?}");
    let (status, out) = place.command(&["wait", "@last"]).end_within(PATIENCE);
    assert!(status.success(), "{out}");
    assert_eq!(place.world.read("work/answer.txt"), "yes\n");
}

/// Where the store lies outside of what Codex's sandbox lets it write, the question says so; with the folder allowed by an argument it
/// is asked.
pub(crate) fn asks_from_a_sandbox_that_has_to_be_widened(cli: Cli) {
    let ask = format!("{} ask 'Deploy now?' --options yes,no > answer.txt 2> words.txt", binary());
    let script = Script::of([Answer::shell(&ask), Answer::text("It is asked.")]);
    let Some(place) = Place::new(cli, |_| script.clone()) else { return };
    git(place.world.path(), &["commit", "-q", "--allow-empty", "-m", "first"]);
    let steps = "  - {id: fix, agent: real, workspace: worktree, prompt: Ask.}
  - {id: answer, workspace: worktree, run: \"cat '${{ steps.fix_worktree.output }}/answer.txt'\"}
";
    // Temporary folders, where this test works, are its to write unless it is told otherwise.
    let narrow = [
        "-c",
        "sandbox_workspace_write.exclude_slash_tmp=true",
        "-c",
        "sandbox_workspace_write.exclude_tmpdir_env_var=true",
    ];
    place.flow_with(&narrow, steps);
    let _record = place.completes();
    let words = place.world.read("work/words.txt");
    assert!(words.contains("BKS-C085") && words.contains("writable_roots"), "{words}");
    assert_eq!(place.world.run(&["inbox"]).stdout, b"", "nothing was asked");

    let store = place.world.path().join(".backstay").canonicalize_utf8().expect("there is a store");
    let allowed = format!("sandbox_workspace_write.writable_roots=[\"{store}\"]");
    place.flow_with(&[&narrow[..], &["-c", &allowed]].concat(), steps);
    place.endpoint.play(script);
    is_asked_and_answered(&place);
}
