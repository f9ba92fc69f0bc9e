//! Where steps work: the run's folder, or a worktree that another step made.

use backstay_model::event::LostEvidence::KeeperDead;

use super::Bench;
use super::say::me;
use crate::run::Task;
use backstay_model::Text;
use backstay_model::event::SkipRequested;

const BESIDE: &str = "- {id: a, run: 'true', workspace: {worktree: {branch: 'b-${{ inputs.n }}', setup: 'echo ${{ inputs.n }}'}}}\n- {id: b, run: 'true', workspace: here}\ninputs: {n: {type: string}}";

fn skip_with(output: Option<&str>) -> SkipRequested {
    SkipRequested { by: me(), output: output.map(Text::of) }
}

/// The folder of the last work that was started.
fn folder(bench: &Bench) -> &str {
    &bench.starts.last().unwrap().cwd
}

#[test]
fn a_step_works_in_the_worktree_that_was_made_for_it() {
    let mut bench = Bench::asked_with(BESIDE, r#"{"n": "x'y"}"#);
    assert_eq!(bench.settle().last().unwrap(), "a_worktree starting 1");
    let work = bench.starts.last().unwrap().clone();
    let Task::Worktree(worktree) = &work.task else { panic!("a worktree is made first") };
    assert_eq!((worktree.branch.as_deref(), worktree.step.as_deref()), (Some("b-x'y"), Some("a")));
    assert_eq!(worktree.setup.as_deref(), Some("echo \"${BACKSTAY_V1}\""));
    let variable = ("BACKSTAY_V1".to_owned(), "x'y".to_owned());
    assert!(work.env.contains(&variable), "what is in the script is a variable");
    let effect = work.effect;
    assert!(bench.machine.makes_worktree(&effect));
    assert_eq!(bench.machine.folder_of(&effect).as_deref(), Some("/work"));
    assert_eq!(
        bench.print("a_worktree", "/work.worktrees/r\n"),
        [
            "a_worktree ended 1 succeeded",
            "a_worktree succeeded: /work.worktrees/r",
            "a started",
            "a starting 1"
        ]
    );
    assert_eq!(folder(&bench), "/work.worktrees/r");
    let (effect, _) = bench.in_flight("a");
    assert_eq!(bench.machine.folder_of(&effect).as_deref(), Some("/work.worktrees/r"), "also after a crash");
    bench.exit("a", 0);
    assert_eq!(folder(&bench), "/work");
}

#[test]
fn the_making_of_a_worktree_is_done_again_after_a_crash() {
    let mut bench = Bench::begun("- {id: a, run: 'true', workspace: worktree}");
    assert_eq!(
        bench.lose("a_worktree", KeeperDead),
        ["a_worktree lost 1", "a_worktree resolved 1 not done", "a_worktree starting 2"]
    );
}

#[test]
fn without_a_worktree_nothing_is_done_in_the_wrong_folder() {
    let mut bench = Bench::begun("- {id: a, run: 'true', workspace: worktree}");
    assert_eq!(bench.exit("a_worktree", 1).last().unwrap(), "run failed: a_worktree: exit 1");
    let mut bench = Bench::begun("- {id: a, run: 'true', workspace: worktree}");
    bench.say_of_step("a_worktree", skip_with(None));
    bench.settle();
    let said = bench.stopped("a_worktree");
    assert_eq!(
        said.last().unwrap(),
        "a failed: `a`: `steps.a_worktree.output`: it is not the path of a worktree to work in"
    );
    let mut bench = Bench::begun("- {id: a, run: 'true', workspace: worktree}");
    bench.say_of_step("a_worktree", skip_with(Some("\"/mine\"")));
    bench.settle();
    bench.stopped("a_worktree");
    assert_eq!(folder(&bench), "/mine");
}
