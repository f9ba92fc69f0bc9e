//! A run that ended is tried again by another plan.

use backstay_model::event::{Redefinition, StepRedefined};

use super::Bench;
use super::bench::script;
use super::reopen::assert_attempts_are_dense;
use super::say::{again, again_from};
use crate::record::RunStatus;

const THREE: &str = "- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'true'}";

/// A run of `old` whose step `failing` failed after those before it.
fn failed_at(old: &str, before: &[&str], failing: &str) -> Bench {
    let mut bench = Bench::begun(old);
    before.iter().for_each(|step| drop(bench.exit(step, 0)));
    bench.exit(failing, 1);
    assert_eq!(bench.status(), RunStatus::Failed);
    bench
}

/// The new plan's verdict on each step, and what is done anew.
fn outlook(bench: &mut Bench, new: &str) -> (String, String, String) {
    let reopened = bench.again_by(new, "{}", again());
    let mut machine = bench.machine.clone();
    machine.give_plan(*reopened.plan.clone().unwrap(), bench.plan_of(reopened.plan.as_ref().unwrap()));
    let outlook = machine.retry_outlook(&reopened);
    let word = |step: &StepRedefined| format!("{} {}", step.step, step.redefinition.as_str());
    let listed = |steps: &[backstay_model::StepId]| {
        steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let redefined = outlook.redefined.iter().map(word).collect::<Vec<_>>().join(", ");
    (redefined, listed(&outlook.anew), listed(&outlook.kept))
}

#[test]
fn what_a_new_plan_makes_of_each_step() {
    let group =
        "- id: g\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'false'}\n- {id: c, run: 'true'}";
    let table = [
        ("nothing changed", THREE, THREE.to_owned(), "", "b c", "a"),
        (
            "the failing step",
            THREE,
            THREE.replace("b, run: 'true'", "b, run: 'false'"),
            "b changed",
            "b c",
            "a",
        ),
        (
            "a finished step, and all behind it",
            THREE,
            THREE.replace("a, run: 'true'", "a, run: 'date'"),
            "a changed",
            "a b c",
            "",
        ),
        (
            "budgets, retries and crashes change no result",
            THREE,
            THREE.replace(
                "a, run: 'true'",
                "a, run: 'true', timeout: 5m, retry: {max: 3}, after_crash: rerun",
            ),
            "",
            "b c",
            "a",
        ),
        (
            "an accepted exit code does",
            THREE,
            THREE.replace("{id: a,", "{id: a, accept_exit: 0-3,"),
            "a changed",
            "a b c",
            "",
        ),
        (
            "a variable does",
            THREE,
            THREE.replace("{id: a,", "{id: a, env: {X: y},"),
            "a changed",
            "a b c",
            "",
        ),
        ("a new step in front", THREE, format!("- {{id: z, run: 'true'}}\n{THREE}"), "z new", "z a b c", ""),
        (
            "another order",
            THREE,
            "- {id: b, run: 'true'}\n- {id: a, run: 'true'}\n- {id: c, run: 'true'}".to_owned(),
            "a changed",
            "b a c",
            "",
        ),
        ("a new step at the end", THREE, format!("{THREE}\n- {{id: z, run: 'true'}}"), "z new", "b c z", "a"),
        (
            "a finished step taken out",
            THREE,
            THREE.replace("- {id: a, run: 'true'}\n", ""),
            "a removed",
            "b c",
            "",
        ),
        (
            "the failing step taken out",
            THREE,
            THREE.replace("- {id: b, run: 'true'}\n", ""),
            "b removed",
            "c",
            "a",
        ),
        ("a step renamed", THREE, THREE.replace("id: a", "id: z"), "z new, a removed", "z b c", ""),
        (
            "a step inside a group opens the group",
            group,
            group.replace("'false'", "'true'"),
            "b changed",
            "g b c",
            "a",
        ),
        (
            "a group's variables are its steps'",
            group,
            group.replace("id: g\n", "id: g\n  env: {X: y}\n"),
            "a changed, b changed",
            "g a b c",
            "",
        ),
        (
            "a step in a loop of its own is other work",
            THREE,
            THREE.replace(
                "- {id: a, run: 'true'}",
                "- id: l\n  repeat: {until: steps.a.ok, max_cycles: 2}\n  steps:\n  - {id: a, run: 'true'}",
            ),
            "l new, a moved",
            "l a b c",
            "",
        ),
    ];
    for (name, old, new, redefined, anew, kept) in table {
        let mut bench = failed_at(old, &["a"], "b");
        let (is, is_anew, is_kept) = outlook(&mut bench, &new);
        assert_eq!((is.as_str(), is_anew.as_str(), is_kept.as_str()), (redefined, anew, kept), "{name}");
    }
}

#[test]
fn s17_a_run_goes_on_by_a_new_plan_and_keeps_what_is_still_the_same_work() {
    let mut bench = failed_at(THREE, &["a"], "b");
    let new = THREE.replace("b, run: 'true'", "b, run: 'false'");
    let seq = bench.retry_by(&new, "{}");
    assert_eq!(
        bench.settle(),
        [
            &format!("#{seq} accepted"),
            "plan changed",
            "redefined b changed",
            "reset b c",
            "run resumed",
            "b started",
            "b starting 2"
        ]
    );
    assert_eq!(bench.starts.last().and_then(script), Some("false"), "the new plan's script");
    bench.exit("b", 0);
    assert_eq!(bench.exit("c", 0).last().unwrap(), "run completed {}");
    assert_attempts_are_dense(&bench);
    let [plan] = &bench.record.plans[..] else { panic!("{:?}", bench.record.plans) };
    assert_eq!(
        plan.steps,
        [StepRedefined { step: "b".parse().unwrap(), redefinition: Redefinition::Changed }]
    );
    assert_eq!(plan.anew.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(bench.record.workflow.as_ref().unwrap().plan, plan.workflow.plan);
}

#[test]
fn an_owner_that_dies_before_the_verdict_on_a_new_plan_changes_nothing() {
    for dies_after in 0..3 {
        let mut bench = failed_at(THREE, &["a"], "b");
        bench.retry_by(&THREE.replace("b, run: 'true'", "b, run: 'false'"), "{}");
        if dies_after > 0 {
            bench.crash();
        }
        bench.settle();
        if dies_after > 1 {
            bench.crash();
        }
        bench.exit("b", 0);
        assert_eq!(bench.exit("c", 0).last().unwrap(), "run completed {}", "{dies_after}");
        let scripts: Vec<_> = bench.starts.iter().filter_map(script).collect();
        assert_eq!(scripts, ["true", "true", "false", "true"], "{dies_after}");
    }
}

#[test]
fn a_plan_that_is_not_at_hand_is_waited_for() {
    let mut bench = failed_at(THREE, &["a"], "b");
    let reopened = bench.again_by(&THREE.replace("b, run: 'true'", "b, run: 'false'"), "{}", again());
    bench.say(reopened.clone());
    assert_eq!(bench.look(), [] as [&str; 0]);
    assert_eq!(bench.machine.missing_plans(), [*reopened.plan.unwrap()]);
    bench.give_plans();
    assert_eq!(bench.settle()[1], "plan changed");
}

#[test]
fn a_run_under_way_takes_no_new_plan() {
    let mut bench = Bench::begun(THREE);
    let seq = bench.retry_by(&THREE.replace("b, run: 'true'", "b, run: 'false'"), "{}");
    assert_eq!(bench.settle(), [format!("#{seq} refused: NotNow")]);
    assert_eq!(bench.record.plans, []);
}

#[test]
fn a_step_that_the_new_plan_does_not_have_cannot_be_begun_from() {
    let mut bench = failed_at(THREE, &["a"], "b");
    let reopened = bench.again_by(&THREE.replace("- {id: b, run: 'true'}\n", ""), "{}", again_from("b"));
    let seq = bench.say(reopened);
    bench.give_plans();
    assert_eq!(bench.settle(), [&format!("#{seq} refused: UnknownStep"), "run failed: b: exit 1"]);
}

#[test]
fn where_the_failing_step_is_taken_out_the_run_goes_on_behind_it() {
    let mut bench = failed_at(THREE, &["a"], "b");
    bench.retry_by(&THREE.replace("- {id: b, run: 'true'}\n", ""), "{}");
    bench.settle();
    assert_eq!(bench.exit("c", 0).last().unwrap(), "run completed {}");
    let progress = bench.record.progress(bench.definition.plan());
    assert_eq!((progress.done, progress.total), (2, 2));
}

#[test]
fn a_step_that_comes_back_uses_no_number_twice() {
    let mut bench = failed_at(THREE, &["a"], "b");
    bench.retry_by(&THREE.replace("- {id: b, run: 'true'}\n", ""), "{}");
    bench.settle();
    bench.exit("c", 1);
    bench.retry_by(THREE, "{}");
    assert_eq!(bench.settle()[5..], ["b started", "b starting 2"]);
    bench.exit("b", 0);
    bench.exit("c", 0);
    assert_attempts_are_dense(&bench);
    assert_eq!(bench.status(), RunStatus::Completed);
}

#[test]
fn an_input_that_changed_makes_anew_what_names_it() {
    const NAMES: &str = "- {id: a, run: 'echo 1'}\n- {id: b, run: 'echo ${{ inputs.x }}', needs: []}\n- {id: c, run: 'false', needs: []}";
    let head = "inputs:\n  x: {type: string, default: one}\n  xy: {type: string, default: one}\nsteps:\n";
    for (inputs, anew) in [
        (r#"{"x":"one","xy":"one"}"#, "reset c"),
        (r#"{"x":"one","xy":"two"}"#, "reset c"),
        (r#"{"x":"two","xy":"one"}"#, "reset b c"),
    ] {
        let mut bench = Bench::of(&format!("{head}{NAMES}"), r#"{"x":"one","xy":"one"}"#);
        bench.settle();
        ["a", "b"].iter().for_each(|step| drop(bench.exit(step, 0)));
        bench.exit("c", 1);
        let reopened = bench.again_by_file(&format!("{head}{NAMES}"), inputs, again());
        bench.say(reopened);
        bench.give_plans();
        let facts = bench.settle();
        assert!(facts.contains(&anew.to_owned()), "{inputs}: {facts:?}");
    }
}

#[test]
fn a_new_plan_that_changes_no_step_ends_a_run_with_its_outputs() {
    let steps = "- {id: a, run: 'true'}\noutputs: {x: '1'}";
    let mut bench = Bench::begun(steps);
    assert_eq!(bench.exit("a", 0).last().unwrap(), "run completed {\"x\":\"1\"}");
    bench.retry_by(&steps.replace("'1'", "'2'"), "{}");
    assert_eq!(bench.settle().last().unwrap(), "run completed {\"x\":\"2\"}");
    let seq = bench.retry_by(&steps.replace("'1'", "'2'"), "{}");
    assert_eq!(bench.settle()[0], format!("#{seq} refused: NotNow"), "the same plan again");
}

const LOOP: &str = "- id: green\n  repeat: {until: steps.test.exit_code == 0, max_cycles: 3, min_cycle: 0s}\n  steps:\n  - {id: code, run: 'true'}\n  - {id: test, run: 'true', accept_exit: 0-9}\n- {id: after, run: 'true'}";

#[test]
fn a_step_in_a_loop_is_done_anew_in_the_cycle_that_the_loop_is_in() {
    let mut bench = Bench::begun(LOOP);
    bench.exit("code", 0);
    bench.exit("test", 0);
    bench.exit("after", 1);
    bench.retry_by(&LOOP.replace("{id: test, run: 'true'", "{id: test, run: 'false'"), "{}");
    assert_eq!(
        bench.settle()[3..],
        [
            "reset green green~1/test after",
            "run resumed",
            "green started",
            "green~1/test started",
            "green~1/test starting 2"
        ]
    );
    assert_eq!(bench.exit("test", 1)[2], "green cycle 2 (2 of 3)");
}

#[test]
fn a_loop_with_another_condition_begins_anew_and_one_with_more_cycles_goes_on() {
    let exhausted = || {
        let mut bench = Bench::begun(LOOP);
        for _ in 0..3 {
            bench.exit("code", 0);
            bench.exit("test", 1);
        }
        assert_eq!(bench.status(), RunStatus::Failed);
        bench
    };
    let mut bench = exhausted();
    bench.retry_by(&LOOP.replace("max_cycles: 3", "max_cycles: 5"), "{}");
    let facts = bench.settle();
    assert!(!facts.iter().any(|fact| fact.starts_with("redefined")), "{facts:?}");
    assert!(facts.contains(&"green cycle 4 (1 of 5)".to_owned()), "{facts:?}");
    let mut bench = exhausted();
    bench.retry_by(&LOOP.replace("exit_code == 0", "exit_code == 1"), "{}");
    let facts = bench.settle();
    assert_eq!(
        facts[2..4],
        ["redefined green changed", "reset green green~3/code green~3/test after; anew green"],
        "{facts:?}"
    );
}

#[test]
fn a_loop_taken_out_and_brought_back_uses_no_cycle_twice() {
    let mut bench = Bench::begun(LOOP);
    for _ in 0..3 {
        bench.exit("code", 0);
        bench.exit("test", 1);
    }
    bench.retry_by("- {id: after, run: 'false'}", "{}");
    bench.settle();
    bench.exit("after", 1);
    bench.retry_by(LOOP, "{}");
    let facts = bench.settle();
    assert!(facts.contains(&"green cycle 4 (1 of 3)".to_owned()), "{facts:?}");
    assert_attempts_are_dense(&bench);
}

#[test]
fn a_kept_result_that_only_the_new_plan_reads_is_at_hand() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}");
    let long = "x".repeat(20_000);
    bench.print("a", &long);
    bench.exit("b", 1);
    bench.crash();
    bench.retry_by("- {id: a, run: 'true'}\n- {id: b, run: 'echo ${{ steps.a.output }}'}", "{}");
    bench.settle();
    let work = bench.starts.last().unwrap();
    assert!(
        work.env.iter().any(|(_, value)| *value == long),
        "the text of the kept result is in its variables"
    );
}
