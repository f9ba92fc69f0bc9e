//! Questions to a person, asked by the model through the CLI's own shell.

use backstay_testkit::{Answer, Script};
use backstay_tests::{binary, git};

use crate::cli::Cli;
use crate::place::{PATIENCE, Place};

/// The model asks, and is told what its shell was told.
fn asks() -> Script {
    let ask = format!("{} ask 'Deploy now?' --options green,red 2>&1 | sed 's/^/heard: /'", binary());
    Script::of([Answer::shell(&ask), Answer::text("It is asked.")])
}

pub(crate) fn asks_a_person(cli: Cli) {
    let Some(place) = Place::new(cli, |_| asks()) else { return };
    place.flow("  - {id: fix, agent: real, prompt: Ask.}\n");
    is_asked_and_answered(&place);
}

/// The run waits for the person, and the command in the agent's shell gets the answer.
fn is_asked_and_answered(place: &Place) {
    let (status, out) = place.start().end_within(PATIENCE);
    assert_eq!(status.code(), Some(3), "it waits for a person: {out} {:?}", last_body(place));
    let answered = place.world.run(&["answer", "green"]);
    assert!(answered.status.success(), "{answered:?}");
    let (status, out) = place.command(&["wait"]).end_within(PATIENCE);
    assert!(status.success(), "{out}");
    assert!(last_body(place).contains("heard: green"), "{}", last_body(place));
}

fn last_body(place: &Place) -> String {
    place.asked().pop().map(|request| request.body).unwrap_or_default()
}

/// In a worktree the store lies outside of what Codex's sandbox lets it write, and the command says so; with the store allowed by
/// an argument the question is asked.
pub(crate) fn asks_from_a_sandbox_that_has_to_be_widened(cli: Cli) {
    let Some(place) = Place::new(cli, |_| asks()) else { return };
    git(place.world.path(), &["commit", "-q", "--allow-empty", "-m", "first"]);
    let steps = "  - {id: fix, agent: real, workspace: worktree, prompt: Ask.}\n";
    // Temporary folders, where this test works, are its to write unless it is told otherwise.
    let narrow = [
        "-c",
        "sandbox_workspace_write.exclude_slash_tmp=true",
        "-c",
        "sandbox_workspace_write.exclude_tmpdir_env_var=true",
    ];
    place.flow_with(&narrow, steps);
    let _record = place.completes();
    let told = last_body(&place);
    assert!(told.contains("BKS-C085") && told.contains("writable_roots"), "{told}");
    assert_eq!(place.world.record().questions, [], "nothing was asked");

    let store = place.world.path().join(".backstay").canonicalize_utf8().expect("there is a store");
    let allowed = format!("sandbox_workspace_write.writable_roots=[\"{store}\"]");
    place.flow_with(&[&narrow[..], &["-c", &allowed]].concat(), steps);
    place.endpoint.play(asks());
    is_asked_and_answered(&place);
}
