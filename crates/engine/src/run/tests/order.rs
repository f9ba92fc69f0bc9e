//! Which step's turn it is: the order rule, groups, conditions, failures.

use backstay_model::event::{Event, FactEvent};

use super::Bench;
use crate::record::RunStatus;
use crate::topic::Input;

#[test]
fn steps_run_one_after_the_other_where_nothing_else_is_said() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}\n- {id: b, run: 'true'}");
    assert_eq!(bench.look(), ["#1 accepted", "run started", "a started", "a starting 1"]);
    assert_eq!(bench.desired(), ["a hold 1"]);
    assert_eq!(
        bench.exit("a", 0),
        ["a ended 1 succeeded", "a succeeded: exit 0", "b started", "b starting 1"]
    );
    assert_eq!(bench.exit("b", 0), ["b ended 1 succeeded", "b succeeded: exit 0", "run completed {}"]);
    assert_eq!(bench.status(), RunStatus::Completed);
    assert!(bench.desired().is_empty() && bench.machine.is_at_rest());
    assert_eq!(bench.settle(), [""; 0]);
}

#[test]
fn steps_without_needs_run_side_by_side_and_several_starts_share_one_append() {
    let mut bench = Bench::asked(
        "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}\n- {id: c, run: 'true', needs: [b]}",
    );
    assert_eq!(
        bench.look(),
        ["#1 accepted", "run started", "a started", "b started", "a starting 1", "b starting 1"]
    );
    assert_eq!(bench.desired(), ["a hold 1", "b hold 1"]);
    assert_eq!(
        bench.exit("b", 0),
        ["b ended 1 succeeded", "b succeeded: exit 0", "c started", "c starting 1"]
    );
    assert_eq!(bench.desired(), ["a hold 1", "c hold 1"]);
}

#[test]
fn a_group_opens_for_its_steps_and_closes_behind_them() {
    let mut bench = Bench::asked(
        "- id: g\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n- {id: c, run: 'true'}",
    );
    assert_eq!(bench.look(), ["#1 accepted", "run started", "g started", "a started", "a starting 1"]);
    assert_eq!(
        bench.exit("a", 0),
        ["a ended 1 succeeded", "a succeeded: exit 0", "b started", "b starting 1"]
    );
    assert_eq!(
        bench.exit("b", 0),
        [
            "b ended 1 succeeded",
            "b succeeded: exit 0",
            "g succeeded: 2 of 2 steps succeeded",
            "c started",
            "c starting 1"
        ]
    );
}

#[test]
fn a_false_condition_leaves_a_step_out_and_all_that_is_in_it_and_the_rest_goes_on() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true', accept_exit: [0, 3]}\n- id: g\n  if: steps.a.exit_code == 0\n  steps:\n  - {id: b, run: 'true'}\n- {id: c, run: 'true', if: steps.a.ok}",
    );
    assert_eq!(
        bench.exit("a", 3),
        [
            "a ended 1 succeeded",
            "a succeeded: exit 3",
            "g skipped: `steps.a.exit_code == 0` is false",
            "b skipped: its group `g` was left out",
            "c started",
            "c starting 1"
        ]
    );
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_its_step() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true', output: json}\n- id: g\n  if: steps.a.output.ready\n  steps:\n  - {id: b, run: 'true'}",
    );
    assert_eq!(
        bench.print("a", "{\"other\": 1}"),
        [
            "a ended 1 succeeded",
            "a succeeded: exit 0",
            "g failed: `if` of `g`: `steps.a.output.ready`: it is not defined",
            "b skipped: `g`, which it needs, did not succeed",
            "run failed: g: `if` of `g`: `steps.a.output.ready`: it is not defined"
        ]
    );
}

#[test]
fn after_a_failure_what_was_started_finishes_and_nothing_starts() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}\n- {id: c, run: 'true', needs: [a]}\n- {id: d, run: 'true', needs: [b]}\n- {id: e, run: 'true', needs: [c]}",
    );
    assert_eq!(
        bench.exit("a", 1),
        [
            "a ended 1 failed Exit",
            "a failed: exit 1",
            "c skipped: `a`, which it needs, did not succeed",
            "d skipped: the run ended before its turn came",
            "e skipped: `a`, which it needs, did not succeed",
        ]
    );
    assert_eq!(bench.desired(), ["b hold 1"]);
    assert_eq!(bench.status(), RunStatus::Running);
    assert_eq!(bench.exit("b", 0), ["b ended 1 succeeded", "b succeeded: exit 0", "run failed: a: exit 1"]);
    assert_eq!(bench.status(), RunStatus::Failed);
}

#[test]
fn a_step_behind_a_group_with_a_failure_is_left_out_for_that_group() {
    let mut bench = Bench::begun(
        "- id: g\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n- {id: c, run: 'true'}",
    );
    assert_eq!(
        bench.exit("a", 1),
        [
            "a ended 1 failed Exit",
            "a failed: exit 1",
            "b skipped: `a`, which it needs, did not succeed",
            "c skipped: `g`, which it needs, did not succeed",
            "g failed: 1 of 2 steps failed",
            "run failed: a: exit 1"
        ]
    );
}

#[test]
fn finally_runs_after_a_success_and_after_a_failure() {
    for (code, ending) in [
        (0, vec!["a ended 1 succeeded", "a succeeded: exit 0"]),
        (1, vec!["a ended 1 failed Exit", "a failed: exit 1"]),
    ] {
        let mut bench =
            Bench::begun("- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'echo ${{ run.ok }}'}");
        let expected: Vec<&str> = ending.into_iter().chain(["f started", "f starting 1"]).collect();
        assert_eq!(bench.exit("a", code), expected);
        let work = bench.starts.last().unwrap();
        assert!(work.env.contains(&("BACKSTAY_V1".to_owned(), (code == 0).to_string())), "{:?}", work.env);
        assert_eq!(work.timeout_ms, Some(600_000));
        let end = bench.exit("f", 0).pop().unwrap();
        assert_eq!(end, if code == 0 { "run completed {}" } else { "run failed: a: exit 1" });
    }
}

#[test]
fn a_failure_in_finally_fails_the_run_and_the_rest_of_finally_runs() {
    let mut bench =
        Bench::begun("- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'true'}\n- {id: h, run: 'true'}");
    bench.exit("a", 0);
    assert_eq!(
        bench.exit("f", 2),
        ["f ended 1 failed Exit", "f failed: exit 2", "h started", "h starting 1"]
    );
    assert_eq!(bench.exit("h", 0).pop().unwrap(), "run failed: f: exit 2");
}

#[test]
fn nothing_is_begun_where_there_is_nobody_to_perform_it() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    bench.performs = false;
    assert_eq!(bench.settle(), ["#1 accepted", "run started", "a started"]);
    assert_eq!(bench.desired(), ["a start 1"]);
    bench.performs = true;
    assert_eq!(bench.settle(), ["a starting 1"]);
}

#[test]
fn late_and_doubled_reports_change_nothing() {
    use crate::Report;
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}");
    let (effect, attempt) = bench.in_flight("a");
    let running = Report::Running {
        effect: effect.clone(),
        attempt,
        pid: 1,
        keeper_pid: 2,
        folder: "f".parse().unwrap(),
        before: None,
        agent: None,
    };
    let ended = Report::Ended { effect: effect.clone(), attempt, process: Box::new(super::bench::exited(0)) };
    assert_eq!(bench.report(running.clone()), ["a running 1"]);
    assert_eq!(bench.report(running.clone()), [""; 0]);
    bench.crash();
    assert_eq!(bench.report(running.clone()), [""; 0]);
    let early = Report::Running {
        effect,
        attempt: attempt.next(),
        pid: 1,
        keeper_pid: 2,
        folder: "f".parse().unwrap(),
        before: None,
        agent: None,
    };
    assert_eq!(bench.report(early), [""; 0]);
    assert_eq!(bench.report(ended.clone()).len(), 4);
    for late in [running, ended] {
        assert_eq!(bench.report(late), [""; 0]);
    }
    bench.exit("b", 0);
    assert_eq!(bench.pass(Input::HostSlept { asleep_ms: 1 }), [""; 0], "an ended run takes no facts");
    assert!(
        bench.log.iter().all(|recorded| !matches!(
            Event::decode(recorded).unwrap(),
            Event::Fact(FactEvent::HostSlept(_))
        ))
    );
}

#[test]
fn a_step_that_was_left_out_before_its_turn_lets_nothing_overtake_what_it_waited_for() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'true'}");
    bench.skip("b");
    assert_eq!(bench.settle()[1..], ["b skipped: left out on request"], "c waits for a as b did");
    assert_eq!(bench.exit("a", 0)[2..], ["c started", "c starting 1"]);
}
