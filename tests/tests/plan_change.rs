//! A run whose workflow file was edited, with the real binary.

use std::fs;
use std::process::Command;
use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_tests::{World, git};

const FLOW: &str = "backstay: 1
name: flow
steps:
  - {id: a, run: 'echo a >> ran'}
  - {id: b, run: 'echo b >> ran; exit 3'}
  - {id: c, run: 'echo c >> ran'}
";

const GATED: &str =
    "backstay: 1\nname: flow\nsteps:\n  - {id: a, run: 'echo begun > begun; cat go > /dev/null'}\n";

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_retry_says_that_the_file_has_changed_and_takes_it_when_told_so() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    assert!(!world.run(&["run", "flow.yaml"]).status.success());
    let same = world.run(&["retry"]);
    assert!(!said(&same.stderr).contains("has changed"), "{same:?}");

    world.write("flow.yaml", &FLOW.replace("exit 3", "${{ nothing.at.all }}"));
    let head = world.record().head;
    let refused = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(said(&refused.stderr).contains("flow.yaml:5:"), "the mistake with its place: {refused:?}");
    assert_eq!(world.record().head, head, "nothing was said to the run");

    world.write("flow.yaml", &FLOW.replace("; exit 3", "; echo mended >> ran"));
    let old = world.run(&["retry"]);
    let told = said(&old.stderr);
    let id = world.only_run().unwrap();
    let expected = format!(
        "flow.yaml has changed since: the run goes on by the plan that it has; `backstay retry {id} --workflow flow.yaml` takes it as it is now"
    );
    assert!(told.contains(&expected), "{told}");
    assert!(!old.status.success(), "{old:?}");

    let taken = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(taken.status.success(), "{taken:?}");
    let told = said(&taken.stderr);
    assert!(told.contains("kept        a\n") && told.contains("re-running  b (changed), c\n"), "{told}");
    assert_eq!(world.read("ran"), "a\nb\nb\nb\nb\nmended\nc\n", "what was done and is the same ran once");
    let shown = said(&world.run(&["show"]).stdout);
    assert!(shown.contains("b changed; re-run: b, c"), "{shown}");
    let again = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(!again.status.success(), "every step succeeded, and nothing is new: {again:?}");
    let from = format!("`backstay retry {id} --from STEP`");
    assert!(said(&again.stderr).contains(&from), "{again:?}");
    let resumed = world.run(&["resume"]);
    assert!(said(&resumed.stderr).contains(&from), "{resumed:?}");
}

#[test]
fn a_retry_keeps_the_inputs_and_agents_that_the_run_was_given() {
    let world = World::new();
    let flow = "backstay: 1
name: flow
inputs:
  who: {type: string}
  how: {type: string, default: slowly}
agents:
  coder: {command: ['false']}
steps:
  - {id: code, agent: coder, prompt_file: prompt.md}
  - {id: test, run: 'echo \"${{ inputs.who }} ${{ inputs.how }}\" >> ran; exit 1'}
";
    world.write("flow.yaml", flow);
    world.write("prompt.md", "Do it.");
    let coder = "coder=cmd: sh -c 'cat >> ran; echo >> ran'";
    assert!(!world.run(&["run", "flow.yaml", "--input", "who=ada", "--agent", coder]).status.success());
    world.write("flow.yaml", &flow.replace("exit 1", "exit 0").replace("slowly", "fast"));
    let taken = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(
        world.read("ran"),
        "Do it.\nada slowly\nada fast\n",
        "the agent's work is the same and was kept"
    );

    world.write("prompt.md", "Do more.");
    let changed = world.run(&["retry", "--from", "test"]);
    assert!(said(&changed.stderr).contains("flow.yaml has changed since"), "its prompt has: {changed:?}");
    world.write("ran", "");
    let other = world.run(&["retry", "--workflow", "flow.yaml", "--input", "who=bob"]);
    assert!(other.status.success(), "{other:?}");
    assert_eq!(world.read("ran"), "Do more.\nbob fast\n");
}

#[test]
fn a_retry_drops_an_agent_of_the_run_that_the_new_file_does_not_name() {
    let world = World::new();
    let flow = "backstay: 1
name: flow
agents:
  coder: {command: ['false']}
  tester: {command: ['false']}
steps:
  - {id: code, agent: coder, prompt: Code.}
  - {id: test, agent: tester, prompt: Test.}
";
    world.write("flow.yaml", flow);
    let (coder, tester) = ("coder=cmd: sh -c 'cat >> ran'", "tester=cmd: sh -c 'exit 3'");
    assert!(!world.run(&["run", "flow.yaml", "--agent", coder, "--agent", tester]).status.success());
    world.write("flow.yaml", &flow.replace("agent: tester, prompt: Test.", "run: echo tested >> ran"));
    let unused = world.run(&["retry", "--workflow", "flow.yaml", "--agent", tester]);
    assert_eq!(unused.status.code(), Some(2), "what is given now has to be named: {unused:?}");
    let taken = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(world.read("ran"), "Code.tested\n", "the agent that is still named was kept");
    let again = world.run(&["retry", "--from", "test"]);
    assert!(again.status.success() && !said(&again.stderr).contains("changed"), "{again:?}");
}

/// A workflow file and a configuration that nobody can read now are no reason not to go on by the plan that is kept.
#[test]
fn what_cannot_be_told_of_a_changed_file_stops_no_retry_and_no_resume() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    assert!(!world.run(&["run", "flow.yaml"]).status.success());
    fs::write(world.path().join("flow.yaml"), b"name: \xff\xfe\n").expect("it can be written");
    let retried = world.run(&["retry"]);
    assert_eq!(retried.status.code(), Some(1), "it ran, and failed as before: {retried:?}");
    assert!(
        said(&retried.stderr).contains("whether its workflow file or its agents have changed cannot be told"),
        "{retried:?}"
    );
    assert_eq!(world.read("ran"), "a\nb\nb\n");

    world.write("flow.yaml", GATED);
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let owner = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    owner.kill();
    go.open();
    fs::write(world.path().join("flow.yaml"), b"name: \xff\xfe\n").expect("it can be written");
    let resumed = world.run(&["resume", "@last"]);
    assert!(resumed.status.success(), "{resumed:?}");
    assert!(
        said(&resumed.stderr).contains("whether its workflow file or its agents have changed cannot be told"),
        "{resumed:?}"
    );
}

#[test]
fn a_file_of_another_workflow_drops_no_run_unasked() {
    let world = World::new();
    let done = FLOW.replace("; exit 3", "");
    world.write("flow.yaml", &done);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let head = world.record().head;
    let one = "backstay: 1\nname: NAME\nsteps:\n  - {id: STEP, run: echo other >> ran}\n";
    for (name, step, why) in [
        ("other", "a", "is the workflow `other`, and "),
        ("flow", "x", "has none of the steps of "),
        ("other", "x", "is the workflow `other`, and "),
    ] {
        world.write("other.yaml", &one.replace("NAME", name).replace("STEP", step));
        for detach in [&[][..], &["--detach"]] {
            let refused = world.run(&[&["retry", "--workflow", "other.yaml"], detach].concat());
            let told = said(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{told}");
            let cure = "the same command with `--yes` does it without asking";
            assert!(told.contains(why) && told.contains("removed  ") && told.contains(cure), "{told}");
        }
    }
    assert_eq!(
        (world.record().head, world.read("ran")),
        (head, "a\nb\nc\n".to_owned()),
        "nothing was said to it"
    );

    let skipped = world.run(&["skip", "@last", "a"]);
    assert_eq!(skipped.status.code(), Some(2), "{skipped:?}");
    assert!(
        said(&skipped.stderr).contains(
            " has completed: to skip `a` is to start the run again, and to drop the result that it has"
        ),
        "{skipped:?}"
    );
    assert_eq!(world.record().head, head, "nothing was said to it");
    let taken = world.run(&["retry", "--workflow", "other.yaml", "--yes"]);
    assert!(taken.status.success(), "{taken:?}");
    assert!(world.read("ran").ends_with("other\n"));
}

#[test]
fn a_run_under_way_takes_no_new_file() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let owner = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let refused = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(said(&refused.stderr).contains("a run that is running cannot be tried again"), "{refused:?}");
    go.open();
    let (status, out) = owner.end();
    assert!(status.success(), "{out}");
    let record = world.record();
    assert_eq!((record.status, record.plans.len()), (RunStatus::Completed, 0));
}

/// A checkout that nobody else works in is taken within this time; nothing looks again for 30 seconds.
const CHECKOUT_PATIENCE: Duration = Duration::from_secs(20);

/// Trees of two folders are no difference of one.
#[test]
fn diff_of_a_run_by_an_edited_file_compares_no_two_folders() {
    let world = World::new();
    git(world.path(), &["init", "-q", "-b", "main"]);
    world.write("tracked", "committed\n");
    git(world.path(), &["add", "tracked"]);
    git(world.path(), &["commit", "-qm", "first"]);
    let flow = "backstay: 1
name: flow
steps:
  - {id: a, workspace: worktree, run: 'echo one > a.txt'}
  - {id: b, workspace: worktree, run: 'echo two > b.txt; exit 1'}
";
    world.write("flow.yaml", flow);
    assert!(!world.run(&["run", "flow.yaml"]).status.success());
    let edited = flow.lines().filter(|line| !line.contains("id: a")).collect::<Vec<_>>().join("\n");
    world.write("flow.yaml", &edited.replace("workspace: worktree, ", "").replace("; exit 1", ""));
    let taken = world.run(&["retry", "--workflow", "flow.yaml"]);
    assert!(taken.status.success(), "{taken:?}");
    let record = world.record();
    let last = record.steps.iter().find(|step| step.step.as_str() == "b").and_then(|b| b.attempts.last());
    let waited = last.expect("it was tried").starting_at.since(record.plans[0].at);
    assert!(waited < CHECKOUT_PATIENCE, "by the new plan it takes the checkout at once: {waited:?}");
    let whole = world.run(&["diff"]);
    assert!(!whole.status.success() && said(&whole.stderr).contains("BKS-C060"), "{whole:?}");
    let of = |step: &str| said(&world.run(&["diff", "@last", step, "--stat"]).stdout);
    let (a, b) = (of("a"), of("b"));
    assert!(a.contains("a.txt") && a.contains("1 file changed"), "{a}");
    assert!(
        b.contains("b.txt") && b.contains("1 file changed"),
        "the attempt in the worktree is left out: {b}"
    );
}

/// What a step did that the new file does not have is still there to be seen.
#[test]
fn diff_and_logs_of_a_run_by_an_edited_file_stay_true() {
    let world = World::new();
    let made = Command::new("git").args(["init", "-q"]).current_dir(world.path()).status();
    assert!(made.expect("git starts").success());
    world.write("flow.yaml", "backstay: 1\nname: flow\nsteps:\n  - {id: a, run: 'echo one > a.txt; echo said'}\n  - {id: b, run: 'exit 1'}\n");
    assert!(!world.run(&["run", "flow.yaml"]).status.success());
    world.write("flow.yaml", "backstay: 1\nname: flow\nsteps:\n  - {id: c, run: 'echo two > c.txt'}\n");
    let taken = world.run(&["retry", "--workflow", "flow.yaml", "--yes"]);
    assert!(taken.status.success(), "{taken:?}");
    assert!(said(&taken.stderr).contains("removed     a, b\n"), "{taken:?}");
    let whole = said(&world.run(&["diff"]).stdout);
    assert!(whole.contains("+one") && whole.contains("+two"), "{whole}");
    let of = |step: &str| said(&world.run(&["diff", "@last", step]).stdout);
    assert!(of("a").contains("+one") && !of("a").contains("+two"), "{}", of("a"));
    assert!(of("c").contains("+two") && !of("c").contains("+one"), "{}", of("c"));
    assert_eq!(said(&world.run(&["logs", "@last", "a"]).stdout), "said\n");
    let shown = said(&world.run(&["show"]).stdout);
    assert!(shown.contains("c new, a removed, b removed; re-run: c"), "{shown}");
    let listed = said(&world.run(&["ls", "--all"]).stdout);
    assert!(listed.contains("1/1"), "{listed}");
}

#[test]
fn a_run_whose_agent_is_configured_otherwise_now_says_that_it_keeps_what_it_began_with() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turns("[ \"$SETTING\" = today ] || fails broken; message mended; ends");
    world.write("flow.yaml", "backstay: 1\nname: flow\nsteps: [{id: fix, agent: fake, prompt: Do it.}]\n");
    assert_eq!(world.run(&["run", "flow.yaml"]).status.code(), Some(1));
    let id = world.record().run;
    let unchanged = world.run(&["retry", "@last"]);
    assert!(!said(&unchanged.stderr).contains("configured otherwise"), "{unchanged:?}");
    let settings = world.read("user/backstay/config.toml");
    world.configure(&settings.replace("[agents.fake]\n", "[agents.fake]\nenv = { SETTING = \"today\" }\n"));
    let by_old = world.run(&["retry", "@last"]);
    let note = format!(
        "the agent fake is configured otherwise now: the run keeps the settings that it began with; `backstay retry {id} --workflow flow.yaml` takes those that it has today"
    );
    assert!(said(&by_old.stderr).contains(&note), "{by_old:?}");
    assert_eq!(by_old.status.code(), Some(1), "the agent that it began with fails again");
    let by_new = world.run(&["retry", "@last", "--workflow", "flow.yaml"]);
    assert!(by_new.status.success(), "{by_new:?}");
    assert!(!said(&by_new.stderr).contains("configured otherwise"), "{by_new:?}");
}
