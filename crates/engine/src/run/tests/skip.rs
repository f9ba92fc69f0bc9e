//! Steps that somebody wants left out.

use backstay_model::Text;
use backstay_model::event::LostEvidence::KeeperDead;
use backstay_model::event::SkipRequested;

use super::Bench;
use super::bench::{ended, exited};
use super::say::{cancel, me, resume, suspend};
use crate::EndedBy;

const THREE: &str = "- {id: a, run: 'true', retry: 1}\n- {id: b, run: 'true'}\n- {id: c, run: 'true'}";

#[test]
fn a_step_that_waits_is_left_out_at_once_and_shows_the_given_output() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'echo ${{ steps.b.output.n }}', if: not steps.b.ok}",
    );
    let output = Some(Text::Inline("{\"n\":3}".to_owned()));
    bench.say_of_step("b", SkipRequested { by: me(), output });
    assert_eq!(bench.settle(), ["#6 accepted", "b skipped: left out on request"]);
    assert_eq!(bench.exit("a", 0)[2..], ["c started", "c starting 1"]);
    assert_eq!(bench.starts.last().unwrap().env[0], ("BACKSTAY_V1".to_owned(), "3".to_owned()));
    assert_eq!(bench.exit("c", 0).last().unwrap(), "run completed {}");
}

#[test]
fn a_group_that_waits_is_left_out_with_all_that_is_in_it() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true'}\n- id: g\n  steps:\n  - {id: b, run: 'true'}\n- {id: c, run: 'true'}",
    );
    bench.skip("g");
    assert_eq!(
        bench.settle()[1..],
        ["g skipped: left out on request", "b skipped: its group `g` was left out"]
    );
    assert_eq!(bench.exit("a", 0)[2..], ["c started", "c starting 1"]);
}

#[test]
fn a_step_in_flight_is_stopped_and_then_left_out() {
    for (process, first) in [
        (ended(EndedBy::Stop), "a ended 1 cancelled"),
        (exited(7), "a ended 1 failed Exit"),
        (ended(EndedBy::SpawnFailed), "a ended 1 failed Spawn"),
    ] {
        let mut bench = Bench::begun(THREE);
        bench.skip("a");
        assert_eq!(bench.settle(), ["#6 accepted"]);
        assert_eq!(bench.desired(), ["a stop 1 Skip"]);
        bench.crash();
        assert_eq!(bench.desired(), ["a stop 1 Skip"]);
        assert_eq!(
            bench.end("a", process),
            [first, "a skipped: left out on request", "b started", "b starting 1"]
        );
    }
}

#[test]
fn a_step_that_succeeded_before_the_stop_reached_it_keeps_its_result() {
    let mut bench = Bench::begun(THREE);
    bench.skip("a");
    bench.settle();
    assert_eq!(bench.exit("a", 0)[1], "a succeeded: exit 0");
}

#[test]
fn a_step_that_is_lost_while_it_is_left_out_is_left_out() {
    let mut bench = Bench::begun(THREE);
    bench.skip("a");
    bench.settle();
    assert_eq!(bench.lose("a", KeeperDead)[..2], ["a lost 1", "a skipped: left out on request"]);
}

#[test]
fn a_step_in_doubt_is_left_out_and_its_question_is_closed() {
    let mut bench = Bench::begun(THREE);
    bench.lose("a", KeeperDead);
    bench.skip("a");
    assert_eq!(
        bench.settle()[1..],
        ["a question closed", "a skipped: left out on request", "b started", "b starting 1"]
    );
}

#[test]
fn a_step_whose_next_attempt_waits_is_left_out() {
    let mut bench = Bench::begun(THREE);
    bench.exit("a", 1);
    bench.skip("a");
    assert_eq!(bench.settle()[1..], ["a skipped: left out on request", "b started", "b starting 1"]);
    assert_eq!(bench.machine.next_timer(), None);
}

#[test]
fn a_step_whose_probe_is_in_flight_is_left_out_whatever_the_probe_says() {
    let begun = || {
        let mut bench =
            Bench::begun("- {id: a, run: 'true', after_crash: {probe: 'true'}}\n- {id: b, run: 'true'}");
        bench.lose("a", KeeperDead);
        bench.skip("a");
        bench.settle();
        assert_eq!(bench.desired(), ["a probe stop 1 Skip"]);
        bench
    };
    for (process, first) in [
        (ended(EndedBy::Stop), "a ended probe 1 cancelled"),
        (exited(1), "a ended probe 1 succeeded"),
        (ended(EndedBy::Timeout), "a ended probe 1 failed Exit"),
    ] {
        let follows = begun().end("a", process);
        assert_eq!(follows, [first, "a skipped: left out on request", "b started", "b starting 1"]);
    }
    assert_eq!(begun().lose("a", KeeperDead)[..2], ["a lost probe 1", "a skipped: left out on request"]);
    assert_eq!(begun().exit("a", 0)[2], "a succeeded: had happened before the crash");
}

#[test]
fn a_step_with_a_result_an_open_group_and_an_unknown_step_are_not_left_out() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- id: g\n  steps:\n  - {id: b, run: 'true'}");
    bench.exit("a", 0);
    for (step, verdict) in [("a", "NotNow"), ("g", "NotNow"), ("nowhere", "UnknownStep")] {
        let seq = bench.skip(step);
        assert_eq!(bench.settle(), [format!("#{seq} refused: {verdict}")], "{step}");
    }
    assert_eq!(bench.desired(), ["b hold 1"]);
}

#[test]
fn a_suspended_run_leaves_a_step_out_and_goes_on_behind_it() {
    let mut bench = Bench::begun(THREE);
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.skip("a");
    assert_eq!(bench.settle()[1..], ["a skipped: left out on request"]);
    bench.say(resume());
    assert_eq!(bench.settle()[1..], ["run resumed", "b started", "b starting 1"]);
}

#[test]
fn a_skip_of_a_run_that_is_being_cancelled_is_refused() {
    let mut bench = Bench::begun(THREE);
    bench.say(cancel());
    bench.settle();
    let seq = bench.skip("a");
    assert_eq!(bench.settle(), [format!("#{seq} refused: NotNow")]);
}
