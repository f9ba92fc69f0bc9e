//! Suspend, resume and cancel.

use super::Bench;
use super::say::{cancel, resume, suspend};
use crate::EndedBy;
use crate::record::RunStatus;

const TWO: &str =
    "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}\n- {id: c, run: 'true'}";
const WITH_FINALLY: &str = "- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'true', retry: 1}";

#[test]
fn s7_suspend_stops_all_that_is_in_flight_and_is_done_with_the_last_report() {
    let mut bench = Bench::begun(TWO);
    bench.say(suspend());
    assert_eq!(bench.settle(), ["#8 accepted", "run suspending"]);
    assert_eq!(bench.desired(), ["a stop 1 Suspend", "b stop 1 Suspend"]);
    assert_eq!(bench.stopped("a"), ["a ended 1 interrupted", "a resolved 1 not done"]);
    assert_eq!(bench.status(), RunStatus::Suspending);
    assert_eq!(bench.stopped("b"), ["b ended 1 interrupted", "b resolved 1 not done", "run suspended"]);
    assert_eq!(bench.status(), RunStatus::Suspended);
    assert!(bench.desired().is_empty() && bench.machine.is_at_rest());
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle(), ["#16 accepted", "run resumed", "a starting 2", "b starting 2"]);
    assert_eq!(bench.machine.summary().steps_done, 0, "what was interrupted failed nobody");
}

#[test]
fn s7_what_ends_by_itself_while_the_run_is_being_suspended_has_its_result() {
    let mut bench = Bench::begun(TWO);
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.exit("a", 0), ["a ended 1 succeeded", "a succeeded: exit 0"]);
    assert_eq!(bench.exit("b", 4), ["b ended 1 failed Exit", "b failed: exit 4", "run suspended"]);
    bench.say(resume());
    assert_eq!(
        bench.settle()[2..],
        ["c skipped: `b`, which it needs, did not succeed", "run failed: b: exit 4"]
    );
}

#[test]
fn resume_before_the_stop_took_effect_holds_what_still_runs_and_does_anew_what_was_stopped() {
    let mut bench = Bench::begun(TWO);
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.say(resume());
    assert_eq!(bench.settle(), ["#13 accepted", "run resumed", "a starting 2"]);
    assert_eq!(bench.desired(), ["a hold 2", "b hold 1"]);
    // The stop of b was already on its way.
    assert_eq!(bench.stopped("b"), ["b ended 1 interrupted", "b resolved 1 not done", "b starting 2"]);
}

#[test]
fn a_wish_that_is_already_so_is_accepted_and_changes_nothing() {
    let mut bench = Bench::begun(TWO);
    bench.say(resume());
    assert_eq!(bench.settle(), ["#8 accepted"]);
    bench.say(suspend());
    bench.say(suspend());
    assert_eq!(bench.settle(), ["#10 accepted", "run suspending", "#11 accepted"]);
}

#[test]
fn a_run_is_suspended_before_its_first_step_starts() {
    let mut bench = Bench::asked(TWO);
    bench.say(suspend());
    assert_eq!(
        bench.settle(),
        ["#1 accepted", "run started", "#2 accepted", "run suspending", "run suspended"]
    );
    bench.say(resume());
    assert_eq!(
        bench.settle(),
        ["#8 accepted", "run resumed", "a started", "b started", "a starting 1", "b starting 1"]
    );
}

#[test]
fn cancel_stops_what_is_in_flight_and_then_runs_finally() {
    let mut bench =
        Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}\nfinally:\n- {id: f, run: 'true'}");
    bench.say(cancel());
    assert_eq!(
        bench.settle(),
        ["#6 accepted", "run cancelling", "b skipped: the run ended before its turn came"]
    );
    assert_eq!(bench.desired(), ["a stop 1 Cancel"]);
    assert_eq!(
        bench.stopped("a"),
        ["a ended 1 cancelled", "a cancelled: stopped", "f started", "f starting 1"]
    );
    assert_eq!(bench.desired(), ["f hold 1"]);
    assert_eq!(bench.status(), RunStatus::Cancelling);
    assert_eq!(bench.exit("f", 0), ["f ended 1 succeeded", "f succeeded: exit 0", "run cancelled"]);
}

#[test]
fn cancel_twice_stops_finally_too_and_keeps_the_first_reason() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.say(backstay_model::event::CancelRequested { reason: Some("wrong branch".to_owned()), ..cancel() });
    bench.settle();
    bench.stopped("a");
    bench.say(cancel());
    assert_eq!(bench.settle()[1..], ["run cancelling finally too"]);
    assert_eq!(bench.desired(), ["f stop 1 Cancel"]);
    bench.say(cancel());
    assert_eq!(bench.settle().len(), 1, "the third time says nothing new");
    assert_eq!(bench.stopped("f"), ["f ended 1 cancelled", "f cancelled: stopped", "run cancelled"]);
    assert_eq!(bench.record.why.as_deref(), Some("wrong branch"));
}

#[test]
fn cancel_twice_at_once_leaves_finally_out() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.say(cancel());
    bench.say(cancel());
    assert_eq!(
        bench.settle()[2..],
        ["#7 accepted", "run cancelling finally too", "f skipped: the run ended before its turn came"]
    );
    assert_eq!(bench.stopped("a").pop().unwrap(), "run cancelled");
}

#[test]
fn cancel_of_a_suspended_run_ends_it_without_starting_anything_of_the_main_part() {
    let mut bench = Bench::begun(TWO);
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.stopped("b");
    bench.say(cancel());
    assert_eq!(
        bench.settle()[1..],
        [
            "run cancelling",
            "a cancelled: cancelled with the run",
            "b cancelled: cancelled with the run",
            "c skipped: the run ended before its turn came",
            "run cancelled"
        ]
    );
}

#[test]
fn cancel_after_suspend_takes_over_the_stop() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.say(suspend());
    bench.settle();
    bench.say(cancel());
    bench.settle();
    assert_eq!(bench.desired(), ["a stop 1 Cancel"]);
    assert_eq!(bench.stopped("a")[1], "a cancelled: stopped");
}

#[test]
fn finally_that_was_suspended_runs_to_its_end_although_the_run_is_cancelled() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.exit("a", 0);
    bench.say(suspend());
    bench.settle();
    bench.say(cancel());
    bench.settle();
    assert_eq!(bench.desired(), ["f hold 1"]);
    // The stop of the suspension was already on its way.
    assert_eq!(bench.stopped("f"), ["f ended 1 interrupted", "f resolved 1 not done", "f starting 2"]);
    assert_eq!(bench.exit("f", 0).pop().unwrap(), "run cancelled");
}

#[test]
fn finally_keeps_its_retries_while_the_run_is_being_cancelled() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.exit("a", 0);
    assert_eq!(bench.exit("f", 1)[1], "f retries after 1 Exit");
    bench.say(cancel());
    assert_eq!(bench.settle()[1..], ["run cancelling"]);
    let due_at = bench.machine.next_timer().expect("the pause of f goes on");
    assert_eq!(bench.machine.wake_at(bench.now), Some(due_at));
    bench.later(1_000);
    assert_eq!(bench.settle(), ["f timer fired", "f starting 2"]);
    assert_eq!(bench.exit("f", 0).pop().unwrap(), "run cancelled");
}

#[test]
fn a_process_that_could_not_start_while_the_run_is_cancelled_says_so() {
    let mut bench = Bench::begun(WITH_FINALLY);
    bench.say(cancel());
    bench.settle();
    assert_eq!(
        bench.end("a", super::bench::ended(EndedBy::SpawnFailed))[..2],
        ["a ended 1 failed Spawn", "a failed: the process could not be started"]
    );
}

#[test]
fn a_run_that_ended_takes_no_wish_but_to_be_tried_again() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    bench.exit("a", 0);
    for wish in [
        backstay_model::event::InputEvent::from(suspend()),
        resume().into(),
        cancel().into(),
        super::say::skip().into(),
    ] {
        let refused = bench.machine.would_accept(&"a".parse().unwrap(), &wish);
        assert!(refused.is_err(), "{wish:?} gave {refused:?}");
    }
    assert_eq!(bench.would_accept(super::say::again_from("a")), Ok(()));
}
