//! A run that ended is tried again.

use std::collections::BTreeMap;

use backstay_model::event::LostEvidence::KeeperDead;
use backstay_model::event::{Event, FactEvent, Reopened};
use backstay_model::{EffectId, Text};

use super::Bench;
use super::say::{again, again_from, cancel, left_out, suspend};
use crate::record::RunStatus;

const THREE: &str = "- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'true'}\nfinally:\n- {id: f, run: 'true'}";

/// Every attempt of every effect was begun once, from 1, without a hole.
pub(super) fn assert_attempts_are_dense(bench: &Bench) {
    let mut begun: BTreeMap<EffectId, u32> = BTreeMap::new();
    for recorded in &bench.log {
        if let Event::Fact(FactEvent::EffectStarting(starting)) = Event::decode(recorded).unwrap() {
            let count = begun.entry(starting.effect.clone()).or_default();
            *count += 1;
            assert_eq!(starting.attempt.0, *count, "{}", starting.effect);
        }
    }
}

fn failed_at_b() -> Bench {
    let mut bench = Bench::begun(THREE);
    bench.print("a", "kept");
    bench.exit("b", 1);
    bench.exit("f", 0);
    assert_eq!(bench.status(), RunStatus::Failed);
    bench
}

#[test]
fn s17_a_failed_run_is_tried_again_from_its_failure_and_keeps_what_succeeded() {
    let mut bench = failed_at_b();
    bench.crash();
    let seq = bench.say(again());
    assert_eq!(bench.status(), RunStatus::Running);
    assert_eq!(
        bench.settle(),
        [&format!("#{seq} accepted"), "reset b c f", "run resumed", "b started", "b starting 2"]
    );
    assert_eq!(bench.exit("b", 0)[2..], ["c started", "c starting 1"]);
    assert_eq!(bench.exit("c", 0)[2..], ["f started", "f starting 2"]);
    assert_eq!(bench.exit("f", 0).last().unwrap(), "run completed {}");
    assert_attempts_are_dense(&bench);
    assert_eq!((bench.record.reopened, bench.record.failed_step.clone()), (1, None));
    let a = bench.record.step(&"a".parse().unwrap()).unwrap();
    assert_eq!((a.attempts.len(), a.output.clone()), (1, Some(Text::Inline("\"kept\"".to_owned()))));
    let resets = |step: &str| bench.record.step(&step.parse().unwrap()).unwrap().resets;
    assert_eq!((resets("a"), resets("b"), resets("f")), (0, 1, 1));
}

#[test]
fn s17_a_run_is_tried_again_from_a_step_and_all_that_waits_for_it() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}\n- {id: c, run: 'true', needs: [a]}\n- {id: d, run: 'true', needs: [b]}",
    );
    for step in ["a", "b", "c", "d"] {
        bench.exit(step, 0);
    }
    bench.say(again_from("a"));
    assert_eq!(bench.settle()[1..], ["reset a c", "run resumed", "a started", "a starting 2"]);
    bench.exit("a", 0);
    assert_eq!(bench.exit("c", 0).last().unwrap(), "run completed {}");
    assert_attempts_are_dense(&bench);
}

#[test]
fn from_a_step_inside_a_group_opens_the_group_again_and_keeps_its_other_steps() {
    let mut bench = Bench::begun(
        "- id: g\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n- {id: c, run: 'true'}",
    );
    for step in ["a", "b", "c"] {
        bench.exit(step, 0);
    }
    bench.say(again_from("b"));
    assert_eq!(bench.settle()[1..], ["reset g b c", "run resumed", "g started", "b started", "b starting 2"]);
    assert_eq!(bench.exit("b", 0)[2..], ["g succeeded: 2 of 2 steps succeeded", "c started", "c starting 2"]);
}

#[test]
fn s17_a_group_that_stood_open_when_the_run_failed_opens_again() {
    let mut bench = Bench::begun(
        "- id: g\n  needs: []\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n- {id: x, run: 'true', needs: []}",
    );
    bench.exit("x", 1);
    assert_eq!(
        bench.exit("a", 0)[1..],
        [
            "a succeeded: exit 0",
            "g cancelled: 1 of 2 steps succeeded before the run ended",
            "run failed: x: exit 1"
        ]
    );
    bench.say(again());
    assert_eq!(
        bench.settle()[1..],
        ["reset g b x", "run resumed", "g started", "b started", "x started", "b starting 1", "x starting 2"]
    );
    bench.exit("b", 0);
    assert_eq!(bench.exit("x", 0).last().unwrap(), "run completed {}");
}

#[test]
fn s17_a_group_whose_step_ended_in_the_pass_of_a_cancel_opens_again() {
    let mut bench = Bench::begun("- id: g\n  steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}");
    bench.say(cancel());
    assert_eq!(bench.exit("a", 0).last().unwrap(), "run cancelled");
    bench.say(again());
    assert_eq!(bench.settle()[1..], ["reset g b", "run resumed", "g started", "b started", "b starting 1"]);
}

#[test]
fn s17_a_cancelled_run_goes_on_where_it_was() {
    let mut bench = Bench::begun(THREE);
    bench.exit("a", 0);
    bench.say(cancel());
    bench.settle();
    bench.stopped("b");
    bench.exit("f", 0);
    bench.say(again());
    assert_eq!(bench.settle()[1..], ["reset b c f", "run resumed", "b started", "b starting 2"]);
}

#[test]
fn attempts_that_never_began_leave_no_hole() {
    let mut bench = Bench::begun("- {id: a, run: 'true', retry: 5}");
    bench.exit("a", 1);
    // Attempt 2 waits; the run ends before it begins.
    bench.say(cancel());
    bench.settle();
    bench.say(again());
    assert_eq!(bench.settle().last().unwrap(), "a starting 2");
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    // Attempt 3 is wanted; the run ends before it begins.
    bench.say(cancel());
    bench.settle();
    bench.say(again());
    assert_eq!(bench.settle().last().unwrap(), "a starting 3");
    assert_attempts_are_dense(&bench);
}

#[test]
fn probes_that_never_began_leave_no_hole() {
    let mut bench = Bench::begun("- {id: a, run: 'true', after_crash: {probe: 'true'}}");
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.say(cancel());
    bench.settle();
    bench.say(again());
    bench.settle();
    assert_eq!(bench.lose("a", KeeperDead).last().unwrap(), "a starting probe 1");
}

#[test]
fn a_completed_run_is_not_tried_again_without_a_step_and_ends_again_as_it_had() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\noutputs: {x: '${{ steps.a.output }}'}");
    bench.print("a", "1");
    let ended = bench.machine.summary();
    let seq = bench.say(again());
    assert_eq!(bench.settle(), [format!("#{seq} refused: NotNow"), "run completed {\"x\":\"1\"}".to_owned()]);
    assert_eq!(bench.machine.summary(), ended);
    assert_eq!(bench.record.reopened, 0, "nothing was tried again");
}

#[test]
fn an_unknown_step_is_refused_and_the_run_ends_again_as_it_had() {
    let mut bench = failed_at_b();
    for wish in [again_from("nowhere"), Reopened { skip: Some(left_out("nowhere")), ..again() }] {
        let seq = bench.say(wish);
        assert_eq!(
            bench.settle(),
            [format!("#{seq} refused: UnknownStep"), "run failed: b: exit 1".to_owned()]
        );
    }
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    bench.say(cancel());
    bench.settle();
    bench.stopped("a");
    bench.say(again_from("nowhere"));
    assert_eq!(bench.settle()[1..], ["run cancelled"]);
}

#[test]
fn the_failed_step_is_left_out_and_the_run_goes_on_behind_it() {
    let mut bench = failed_at_b();
    let seq = bench.say(Reopened { skip: Some(left_out("b")), ..again() });
    let later = bench.skip("nowhere");
    assert_eq!(
        bench.settle(),
        [
            &format!("#{seq} accepted"),
            "reset b c f",
            "run resumed",
            "b skipped: left out on request",
            &format!("#{later} refused: UnknownStep"),
            "c started",
            "c starting 1"
        ]
    );
    let skipped = bench.record.step(&"b".parse().unwrap()).unwrap().skipped.clone();
    assert_eq!(skipped, Some(backstay_model::event::SkipReason::Asked { input: seq }));
}

#[test]
fn what_a_record_tells_of_an_end_belongs_to_the_last_one() {
    let file = "steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\noutputs: {last: '${{ steps.b.output }}'}\n";
    let mut bench = Bench::of(file, "{}");
    bench.claimed_by(1);
    bench.settle();
    bench.print("a", "1");
    bench.print("b", "2");
    let first = bench.record.outputs.clone();
    assert!(first.is_some());
    bench.say(again_from("b"));
    bench.settle();
    let b = "b".parse().unwrap();
    assert_eq!((bench.record.status, bench.record.outputs.clone()), (RunStatus::Running, None));
    let step = bench.record.step(&b).unwrap();
    assert_eq!(
        (step.attempts.len(), step.current_attempts().len()),
        (2, 1),
        "the old one is kept, and known as old"
    );
    bench.exit("b", 7);
    assert_eq!((bench.record.outputs.clone(), bench.record.failed_step.clone()), (None, Some(b.clone())));
    bench.say(Reopened { skip: Some(left_out("b")), ..again() });
    bench.settle();
    let record = &bench.record;
    assert_eq!((record.status, record.failed_step.clone()), (RunStatus::Completed, None));
    assert_ne!(record.outputs, first);
    assert_eq!(record.step(&b).unwrap().current_attempts(), []);
}

#[test]
fn a_second_wish_in_the_same_pass_is_refused() {
    let mut bench = failed_at_b();
    bench.say(again());
    let second = bench.say(again_from("a"));
    let facts = bench.settle();
    assert!(facts.contains(&format!("#{second} refused: NotNow")), "{facts:?}");
    assert_eq!(bench.desired(), ["b hold 2"]);
}

#[test]
fn a_refused_wish_leaves_room_for_the_next_one() {
    let mut bench = failed_at_b();
    bench.say(again_from("nowhere"));
    let second = bench.say(again());
    let facts = bench.settle();
    assert_eq!(facts[1], format!("#{second} accepted"));
    assert_eq!(bench.desired(), ["b hold 2"]);
}

#[test]
fn a_run_whose_finally_failed_does_only_that_again() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'true'}");
    bench.exit("a", 0);
    bench.exit("f", 1);
    bench.say(again());
    assert_eq!(bench.settle()[1..], ["reset f", "run resumed", "f started", "f starting 2"]);
    assert_eq!(bench.exit("f", 0).last().unwrap(), "run completed {}");
}

#[test]
fn a_run_that_waits_again_after_a_reset_says_so() {
    let mut bench = failed_at_b();
    bench.say(again());
    bench.settle();
    bench.lose("b", KeeperDead);
    // c and f were reset, and their turn has not come: the run waits for a person, in the record too.
    assert_eq!(bench.status(), RunStatus::Waiting);
}
