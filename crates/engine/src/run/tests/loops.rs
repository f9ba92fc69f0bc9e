//! Loops: passes, their condition, what the next pass sees, and how they end.

use backstay_model::event::LostEvidence::KeeperDead;
use std::time::Duration;

use backstay_model::Digest;
use backstay_model::event::{Event, FactEvent, OmittedFiles, TreeOutcome, TreeSnapshot};

use super::Bench;
use super::bench::exited;
use super::reopen::assert_attempts_are_dense;
use super::say::{again, again_from, answer, cancel, resume, suspend};
use crate::ProcessEnded;
use crate::record::RunStatus;

/// Code first, then the test that the condition names: each change is checked in its own pass.
const CODE_TEST: &str = "- id: green\n  repeat: {until: steps.test.exit_code == 0, max_cycles: 3}\n  steps:\n  - {id: code, run: 'true'}\n  - {id: test, run: 'true', accept_exit: 0-125}\n- {id: after, run: 'echo ${{ steps.green.cycles }} ${{ steps.test.exit_code }}'}";

/// The test first: the last change is only seen by one more test.
fn test_fix(more: &str) -> String {
    format!(
        "- id: green\n  repeat: {{until: steps.test.exit_code == 0, max_cycles: 2{more}}}\n  steps:\n  - {{id: test, run: 'true', accept_exit: 0-125}}\n  - {{id: fix, run: 'true'}}\n- {{id: after, run: 'true'}}"
    )
}

#[test]
fn s14_a_loop_turns_until_its_condition_is_true() {
    let mut bench = Bench::begun(CODE_TEST);
    assert_eq!(bench.desired(), ["code start 1"].map(|_| "code hold 1".to_owned()));
    assert_eq!(
        bench.exit("code", 0)[1..],
        ["green~1/code succeeded: exit 0", "green~1/test started", "green~1/test starting 1"]
    );
    assert_eq!(
        bench.exit("test", 1)[1..],
        [
            "green~1/test succeeded: exit 1",
            "green cycle 2 (2 of 3)",
            "green~2/code started",
            "green~2/code starting 1"
        ]
    );
    bench.exit("code", 0);
    assert_eq!(
        bench.exit("test", 0)[1..],
        [
            "green~2/test succeeded: exit 0",
            "green satisfied in cycle 2",
            "green succeeded: `steps.test.exit_code == 0` after 2 cycles",
            "after started",
            "after starting 1"
        ]
    );
    let values: Vec<&str> =
        bench.starts.last().unwrap().env.iter().take(2).map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["2", "0"], "from outside, a step of a loop is the one of its last pass");
    bench.exit("after", 0);
    assert_eq!(bench.status(), RunStatus::Completed);
    assert_attempts_are_dense(&bench);
}

#[test]
fn s14_once_the_condition_is_true_the_rest_of_the_pass_is_left_out() {
    let mut bench = Bench::begun(&test_fix(""));
    let facts = bench.exit("test", 0);
    assert_eq!(
        facts[2..5],
        [
            "green~1/fix skipped: `green` needed it no more",
            "green satisfied in cycle 1",
            "green succeeded: `steps.test.exit_code == 0` after 1 cycle",
        ]
    );
}

#[test]
fn s14_no_loop_ends_on_a_change_that_its_condition_has_not_seen() {
    let mut bench = Bench::begun(&test_fix(""));
    for _ in 0..2 {
        bench.exit("test", 7);
        bench.exit("fix", 0);
    }
    assert_eq!(bench.desired(), ["test hold 1"], "a third test, for the second fix");
    let started = bench.record.step(&"green".parse().unwrap()).unwrap().passes.clone().unwrap();
    assert!(started.check && started.cycle == 3);
    let mut green = bench.clone();
    assert_eq!(
        green.exit("test", 0)[2..4],
        [
            "green satisfied in cycle 3",
            "green succeeded: `steps.test.exit_code == 0` after 2 cycles and a last check"
        ]
    );
    assert_eq!(
        bench.exit("test", 7)[2..],
        [
            "green exhausted in cycle 3",
            "green failed: 2 of 2 cycles used; `steps.test.exit_code == 0` is false",
            "after skipped: `green`, which it needs, did not succeed",
            "run failed: green: 2 of 2 cycles used; `steps.test.exit_code == 0` is false"
        ]
    );
}

#[test]
fn a_pass_whose_changes_were_checked_in_it_is_not_checked_again() {
    let mut bench = Bench::begun(CODE_TEST);
    for _ in 0..2 {
        bench.exit("code", 0);
        bench.exit("test", 1);
    }
    bench.exit("code", 0);
    assert_eq!(bench.exit("test", 1)[2], "green exhausted in cycle 3");
}

#[test]
fn an_exhausted_loop_may_count_as_success() {
    let mut bench = Bench::begun(&test_fix(", on_exhausted: continue"));
    for _ in 0..2 {
        bench.exit("test", 7);
        bench.exit("fix", 0);
    }
    assert_eq!(
        bench.exit("test", 7)[2..],
        [
            "green exhausted in cycle 3",
            "green succeeded: 2 of 2 cycles used; `steps.test.exit_code == 0` is false",
            "after started",
            "after starting 1"
        ]
    );
}

fn asked() -> Bench {
    let mut bench = Bench::begun(&test_fix(", on_exhausted: ask"));
    for _ in 0..2 {
        bench.exit("test", 7);
        bench.exit("fix", 0);
    }
    assert_eq!(bench.exit("test", 7)[2..], ["green question asked"]);
    assert_eq!((bench.status(), bench.record.status), (RunStatus::Waiting, RunStatus::Waiting));
    assert!(bench.machine.is_at_rest());
    bench.crash();
    bench
}

#[test]
fn h6_an_exhausted_loop_asks_and_goes_on_by_the_answer() {
    let mut more = asked();
    assert_eq!(
        more.answer("more")[1..],
        [
            "green question closed",
            "green cycle 4 (1 of 2)",
            "green~4/test started",
            "green~4/test starting 1"
        ]
    );
    assert_eq!(more.record.status, RunStatus::Running);
    let mut accepted = asked();
    assert_eq!(
        accepted.answer("accept")[2..4],
        ["green exhausted in cycle 3", "green succeeded: accepted after 2 cycles and a last check"]
    );
    let mut failed = asked();
    assert_eq!(failed.answer("fail")[3], "green failed: given up after 2 cycles and a last check");
    assert_eq!(failed.status(), RunStatus::Failed);
    let mut refused = asked();
    let question = refused.question();
    refused.say(answer(question, "maybe"));
    assert!(refused.settle()[0].ends_with("refused: InvalidAnswer"));
    let mut cancelled = asked();
    cancelled.say(cancel());
    assert_eq!(
        cancelled.settle()[2..4],
        ["green question closed", "green cancelled: cancelled with the run"]
    );
    assert_eq!(cancelled.status(), RunStatus::Cancelled);
}

#[test]
fn the_next_pass_sees_the_results_of_the_one_before() {
    let mut bench = Bench::begun(
        "- id: green\n  repeat: {until: steps.test.ok and steps.test.output == 'good', max_cycles: 3}\n  steps:\n  - {id: code, run: 'echo ${{ previous.test.output if previous else 0 }}'}\n  - {id: test, run: 'true'}",
    );
    let seen = |bench: &Bench| bench.starts.last().unwrap().env[0].1.clone();
    assert_eq!(seen(&bench), "0");
    bench.exit("code", 0);
    bench.print("test", "bad");
    assert_eq!(seen(&bench), "bad");
    bench.crash();
    bench.exit("code", 0);
    bench.print("test", "worse");
    assert_eq!(seen(&bench), "worse");
}

#[test]
fn a_step_that_fails_in_a_pass_fails_the_loop_and_a_retry_goes_on_in_that_pass() {
    let mut bench = Bench::begun(CODE_TEST);
    bench.exit("code", 0);
    bench.exit("test", 1);
    let facts = bench.exit("code", 9);
    assert_eq!(
        facts[1..5],
        [
            "green~2/code failed: exit 9",
            "green~2/test skipped: `code`, which it needs, did not succeed",
            "after skipped: `green`, which it needs, did not succeed",
            "green failed: 1 of 2 steps failed"
        ]
    );
    assert_eq!(facts.last().unwrap(), "run failed: code (cycle 2): exit 9");
    bench.crash();
    bench.say(again());
    assert_eq!(
        bench.settle()[1..],
        [
            "reset green green~2/code green~2/test after",
            "run resumed",
            "green started",
            "green~2/code started",
            "green~2/code starting 2"
        ]
    );
    bench.exit("code", 0);
    assert_eq!(bench.exit("test", 1)[2], "green cycle 3 (3 of 3)", "the count goes on");
    assert_attempts_are_dense(&bench);
}

#[test]
fn s17_a_loop_that_is_tried_again_from_its_beginning_counts_anew_and_reuses_no_number() {
    let mut bench = Bench::begun(CODE_TEST);
    bench.exit("code", 0);
    bench.exit("test", 0);
    bench.exit("after", 0);
    bench.crash();
    bench.say(again_from("green"));
    assert_eq!(
        bench.settle()[1..],
        [
            "reset green green~1/code green~1/test after; anew green",
            "run resumed",
            "green started",
            "green cycle 2 (1 of 3)",
            "green~2/code started",
            "green~2/code starting 1"
        ]
    );
    assert_attempts_are_dense(&bench);
}

#[test]
fn s17_an_exhausted_loop_gets_as_many_passes_again() {
    let mut bench = Bench::begun(CODE_TEST);
    for _ in 0..3 {
        bench.exit("code", 0);
        bench.exit("test", 1);
    }
    assert_eq!(bench.status(), RunStatus::Failed);
    bench.say(again());
    assert_eq!(
        bench.settle()[1..5],
        ["reset green after; anew green", "run resumed", "green started", "green cycle 4 (1 of 3)"]
    );
}

#[test]
fn s7_a_suspended_loop_goes_on_at_its_step_in_its_pass() {
    let mut bench = Bench::begun(CODE_TEST);
    bench.exit("code", 0);
    bench.exit("test", 1);
    bench.say(suspend());
    bench.settle();
    bench.stopped("code");
    assert_eq!(bench.status(), RunStatus::Suspended);
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle()[1..], ["run resumed", "green~2/code starting 2"]);
}

#[test]
fn s5_work_that_is_lost_in_a_pass_is_asked_about_and_goes_on_in_it() {
    let mut bench = Bench::begun(CODE_TEST);
    bench.exit("code", 0);
    bench.exit("test", 1);
    bench.lose("code", KeeperDead);
    bench.crash();
    assert_eq!(
        bench.answer("rerun")[1..],
        ["green~2/code question closed", "green~2/code resolved 1 not done", "green~2/code starting 2"]
    );
}

/// An id of git of one digit, which has to be one of a hexadecimal number.
fn object(digit: &str) -> backstay_model::ObjectId {
    digit.repeat(40).parse().unwrap()
}

fn kept_tree(tree: &str, omitted: OmittedFiles) -> TreeOutcome {
    TreeOutcome::Kept(TreeSnapshot { commit: object("c"), tree: object(tree), omitted })
}

/// What one pass comes to, as [`pass`] takes it.
type OnePass = (&'static str, Option<&'static str>, i32);

/// One pass of a loop over `code` and `test`: what `code` says, the tree that it leaves, and the exit code of `test`.
fn pass(bench: &mut Bench, said: &str, tree: Option<&str>, code: i32) -> Vec<String> {
    let kept = |tree: &str| kept_tree(tree, OmittedFiles::default());
    let after = tree.map(kept);
    let output = Some(bench.keep(said));
    bench.end("code", ProcessEnded { output, after: after.clone(), ..exited(0) });
    bench.end("test", ProcessEnded { after, ..exited(code) })
}

const ENDLESS: &str = "- id: green\n  repeat: {until: steps.test.exit_code == 0, max_cycles: 9}\n  steps:\n  - {id: code, run: make}\n  - {id: test, run: 'true', accept_exit: 0-9}";

#[test]
fn s14_three_passes_with_the_same_tree_and_the_same_outputs_suspend_the_run() {
    const SAME: OnePass = ("no", Some("a"), 1);
    let table: [(&str, &[OnePass], bool); 8] = [
        ("nothing changes", &[SAME, SAME, SAME], true),
        ("the third pass makes it true", &[SAME, SAME, ("no", Some("a"), 0)], false),
        ("the tree changes", &[SAME, SAME, ("no", Some("b"), 1)], false),
        ("an output changes", &[SAME, SAME, ("yes", Some("a"), 1)], false),
        ("an exit code changes", &[SAME, SAME, ("no", Some("a"), 2)], false),
        ("a change in the middle begins the row anew", &[SAME, SAME, ("x", Some("b"), 1), SAME, SAME], false),
        ("three the same after a change", &[("x", Some("b"), 1), SAME, SAME, SAME], true),
        ("nobody knows the files", &[("no", None, 1), ("no", None, 1), ("no", None, 1)], false),
    ];
    for (name, passes, is_stopped) in table {
        let mut bench = Bench::begun(ENDLESS);
        let mut facts = Vec::new();
        for (said, tree, code) in passes {
            // However fast or slow it is.
            bench.later(60_000);
            bench.crash();
            facts = pass(&mut bench, said, *tree, *code);
        }
        let stopped = facts.ends_with(&["run suspending".to_owned(), "run suspended".to_owned()]);
        assert_eq!(stopped, is_stopped, "{name}: {facts:?}");
        if is_stopped {
            let expected = "loop `green`: 3 cycles without a change: the same tree and the same outputs";
            assert_eq!(bench.record.why.as_deref(), Some(expected), "{name}");
        }
    }
}

#[test]
fn s14_what_a_person_goes_on_with_may_be_the_same_three_times_again() {
    let mut bench = Bench::begun(ENDLESS);
    for _ in 0..3 {
        pass(&mut bench, "no", Some("a"), 1);
    }
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle()[1..3], ["run resumed", "green cycle 4 (4 of 9)"]);
    pass(&mut bench, "no", Some("a"), 1);
    let facts = pass(&mut bench, "no", Some("a"), 1);
    assert!(facts.contains(&"green cycle 6 (6 of 9)".to_owned()), "{facts:?}");
    assert_eq!(pass(&mut bench, "no", Some("a"), 1).last().unwrap(), "run suspended");
}

#[test]
fn s14_a_folder_that_is_no_checkout_is_compared_by_what_it_holds() {
    for (folders, is_stopped) in [(["1", "1", "1"], true), (["1", "2", "3"], false)] {
        let mut bench = Bench::begun(
            "- id: green\n  repeat: {until: steps.test.exit_code == 0, max_cycles: 9}\n  steps:\n  - {id: test, run: 'true', accept_exit: 0-9}",
        );
        let mut facts = Vec::new();
        for folder in folders {
            let folder = Some(Digest::of(folder.as_bytes()));
            facts = bench.end("test", ProcessEnded { folder, ..exited(1) });
        }
        assert_eq!(facts.last().unwrap() == "run suspended", is_stopped, "{folders:?}: {facts:?}");
    }
}

#[test]
fn s14_files_that_no_kept_tree_has_are_compared_by_their_digest_where_it_is_known() {
    let after = kept_tree("a", OmittedFiles { named: Vec::new(), more: 1 });
    let table: [([Option<&str>; 3], RunStatus); 3] = [
        ([None, None, None], RunStatus::Running),
        ([Some("1"), Some("2"), Some("1")], RunStatus::Running),
        ([Some("1"), Some("1"), Some("1")], RunStatus::Suspended),
    ];
    for (digests, expected) in table {
        let mut bench = Bench::begun(ENDLESS);
        for digest in digests {
            let folder = digest.map(|digest| Digest::of(digest.as_bytes()));
            bench.end("code", ProcessEnded { after: Some(after.clone()), folder, ..exited(0) });
            bench.end("test", ProcessEnded { after: Some(after.clone()), folder, ..exited(1) });
        }
        assert_eq!(bench.status(), expected, "{digests:?}");
    }
}

#[test]
fn s14_min_cycle_spaces_passes_out_and_lets_them_be_the_same() {
    let mut bench = Bench::begun(&ENDLESS.replace("max_cycles: 9", "max_cycles: 9, min_cycle: 10s"));
    let began = bench.now;
    bench.later(2_000);
    let facts = pass(&mut bench, "no", Some("a"), 1);
    assert_eq!(facts[1..], ["green~1/test succeeded: exit 1"], "the next pass is not due");
    assert_eq!(bench.machine.next_timer(), Some(began.plus(Duration::from_secs(10))));
    assert_eq!(bench.machine.wake_at(bench.now), bench.machine.next_timer(), "an owner sleeps until then");
    bench.crash();
    bench.later(7_999);
    assert_eq!(bench.look(), [] as [&str; 0]);
    bench.later(1);
    assert_eq!(bench.settle()[0], "green cycle 2 (2 of 9)");
    for nth in 3..6 {
        bench.later(10_000);
        let facts = pass(&mut bench, "no", Some("a"), 1);
        assert_eq!(facts[2], format!("green cycle {nth} ({nth} of 9)"), "a slow one waits for nothing");
    }
    bench.say(suspend());
    bench.settle();
    bench.stopped("code");
    assert_eq!(bench.machine.next_timer(), None);
}

#[test]
fn s14_a_true_condition_waits_for_nothing() {
    let mut bench = Bench::begun(&ENDLESS.replace("max_cycles: 9", "max_cycles: 9, min_cycle: 10s"));
    assert_eq!(pass(&mut bench, "yes", Some("a"), 0).last().unwrap(), "run completed {}");
}

#[test]
fn loops_in_loops_have_passes_of_their_own() {
    let mut bench = Bench::begun(
        "- id: outer\n  repeat: {until: steps.check.exit_code == 0, max_cycles: 3}\n  steps:\n  - id: inner\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 2, on_exhausted: continue}\n    steps:\n    - {id: test, run: 'true', accept_exit: 0-9}\n  - {id: check, run: 'true', accept_exit: 0-9}",
    );
    assert_eq!(
        bench.exit("test", 1)[1..3],
        ["outer~1/inner~1/test succeeded: exit 1", "outer~1/inner cycle 2 (2 of 2)"]
    );
    bench.exit("test", 1);
    let facts = bench.exit("check", 1);
    assert_eq!(
        facts[1..6],
        [
            "outer~1/check succeeded: exit 1",
            "outer cycle 2 (2 of 3)",
            "outer~2/inner started",
            "outer~2/inner cycle 1 (1 of 2)",
            "outer~2/inner~1/test started"
        ]
    );
    bench.crash();
    bench.exit("test", 0);
    assert_eq!(bench.exit("check", 0).last().unwrap(), "run completed {}");
    assert_attempts_are_dense(&bench);
}

#[test]
fn a_step_of_a_loop_is_left_out_in_its_pass() {
    let mut bench = Bench::begun(CODE_TEST);
    bench.exit("code", 0);
    bench.exit("test", 1);
    bench.skip("code");
    bench.settle();
    assert_eq!(
        bench.stopped("code")[1..3],
        ["green~2/code skipped: left out on request", "green~2/test started"]
    );
    let mut unborn = Bench::begun(&format!("- {{id: first, run: 'true'}}\n{CODE_TEST}"));
    unborn.skip("code");
    assert!(unborn.settle()[0].ends_with("refused: NotNow"), "its loop has not begun");
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_its_loop() {
    let mut bench = Bench::begun(
        "- id: green\n  repeat: {until: steps.test.output.good, max_cycles: 3}\n  steps:\n  - {id: test, run: 'true', output: json}",
    );
    let facts = bench.print("test", "{}");
    assert!(facts[2].starts_with("green failed: `until` of `green`:"), "{facts:?}");
    assert_eq!(bench.status(), RunStatus::Failed);
}

#[test]
fn results_of_passes_before_the_last_one_are_not_kept_in_memory() {
    let mut bench = Bench::begun(&CODE_TEST.replace("max_cycles: 3", "max_cycles: 50"));
    for _ in 0..40 {
        bench.exit("code", 0);
        bench.exit("test", 1);
    }
    assert!(bench.machine.run.steps.len() <= 6, "{}", bench.machine.run.steps.len());
    assert!(
        bench
            .log
            .iter()
            .filter(|recorded| matches!(
                Event::decode(recorded).unwrap(),
                Event::Fact(FactEvent::CycleStarted(_))
            ))
            .count()
            == 41
    );
}

#[test]
fn texts_of_passes_before_the_last_one_are_not_kept_in_memory() {
    let mut bench = Bench::begun(&CODE_TEST.replace("max_cycles: 3", "max_cycles: 50"));
    let long = |nth: u32| format!("{nth:>20000}");
    for nth in 0..40 {
        bench.print("code", &long(nth));
        let log = Some(bench.keep(&long(nth + 1_000)));
        bench.end("test", ProcessEnded { log, ..exited(1) });
    }
    assert!(bench.machine.run.texts.len() <= 4, "{}", bench.machine.run.texts.len());
}

#[test]
fn what_a_loop_needed_no_more_is_shown_by_its_last_work_in_the_same_loop() {
    let mut bench = Bench::begun(
        "- id: outer\n  repeat: {until: steps.o.exit_code == 0, max_cycles: 3}\n  steps:\n  - id: inner\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 3}\n    steps:\n    - {id: test, run: 'true', accept_exit: 0-9}\n    - {id: fix, run: 'true'}\n  - {id: o, run: 'true', accept_exit: 0-9}",
    );
    let shown = |bench: &Bench| {
        let last = bench.record.step(&"fix".parse().unwrap()).unwrap();
        (last.scope.to_string(), bench.record.worked(&last.scope).unwrap().scope.to_string())
    };
    bench.exit("test", 1);
    bench.exit("fix", 0);
    bench.exit("test", 0);
    let (skipped, worked) = shown(&bench);
    assert!(skipped != worked && bench.record.steps.iter().any(|step| step.scope.to_string() == worked));
    bench.exit("o", 1);
    bench.exit("test", 0);
    let (skipped, worked) = shown(&bench);
    assert_eq!(skipped, worked, "in the second pass of the outer loop it did not work");
}
