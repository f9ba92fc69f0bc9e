//! What writing access lets each CLI do.

use backstay_testkit::{Answer, Script};
use backstay_tests::git;

use crate::cli::Cli;
use crate::place::Place;

/// `git commit` by the model's shell, and a command with another one's output in it. Codex's sandbox keeps `.git` from it, unless
/// the folder is allowed by an argument; Gemini CLI refuses `$(…)`, and nothing allows it.
pub(crate) fn commits_with_writing_access(cli: Cli) {
    let commit =
        "echo one > one.txt && git add one.txt && git -c user.name=t -c user.email=t@t commit -q -m one";
    let value = "echo \"$(cat one.txt)\" | tr o 0 > two.txt; test -f two.txt";
    let script = Script::of([Answer::shell(commit), Answer::shell(value), Answer::text("It is committed.")]);
    let Some(place) = Place::new(cli, |_| script.clone()) else { return };
    let steps = "  - {id: fix, agent: real, prompt: Commit.}\n";
    place.flow(steps);
    let _record = place.completes();
    let commits = || git(place.world.path(), &["log", "--branches", "--format=%s"]);
    let is_refused = cli == Cli::Gemini;
    let piped = if is_refused { "" } else { "0ne\n" };
    assert_eq!(place.world.read("two.txt"), piped, "{:?}", place.asked()[2].body);
    let is_kept_out = cli == Cli::Codex;
    assert_eq!(commits(), if is_kept_out { "" } else { "one" }, "{:?}", place.asked()[1].body);
    if is_kept_out {
        let allowed =
            format!("sandbox_workspace_write.writable_roots=[\"{}\"]", place.world.path().join(".git"));
        place.endpoint.play(script);
        place.flow_with(&["-c", &allowed], steps);
        let (status, out) = place.start().end_within(crate::place::PATIENCE);
        assert!(status.success(), "{out}");
        assert_eq!(commits(), "one", "{:?}", place.asked()[4].body);
    }
}
