//! Failed attempts that are tried again.

use std::time::Duration;

use backstay_model::event::{Event, FactEvent, TimerFired};

use super::Bench;
use super::bench::{ended, exited};
use super::say::{resume, resume_now, suspend};
use crate::{EndedBy, ProcessEnded, Report};

fn one(retry: &str) -> Bench {
    Bench::begun(&format!(
        "- {{id: a, run: 'true', output: json, timeout: 90s, idle_timeout: 1500ms, retry: {retry}}}"
    ))
}

#[test]
fn s13_a_failed_attempt_is_followed_by_another_until_the_retries_are_used_up() {
    let mut bench = one("{max: 2, backoff: 10s}");
    for attempt in 1..=2 {
        assert_eq!(
            bench.exit("a", 3),
            [format!("a ended {attempt} failed Exit"), format!("a retries after {attempt} Exit")]
        );
        assert!(bench.desired().is_empty());
        assert_eq!(bench.settle(), [""; 0], "the pause is not over");
        bench.crash();
        bench.later(60_000);
        assert_eq!(bench.settle(), ["a timer fired".to_owned(), format!("a starting {}", attempt + 1)]);
    }
    assert_eq!(bench.exit("a", 3)[1..], ["a failed: exit 3", "run failed: a: exit 3"]);
}

#[test]
fn s13_the_pause_doubles_up_to_its_longest_and_jitter_takes_at_most_half_of_it() {
    let mut bench = one("{max: 6, backoff: {base: 2s, max: 10s}}");
    for pause_ms in [2_000, 4_000, 8_000, 10_000, 10_000] {
        bench.exit("a", 3);
        let due_at = bench.machine.next_timer().unwrap();
        let pause = due_at.since(bench.now);
        let longest = Duration::from_millis(pause_ms);
        assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
        assert_eq!(bench.machine.wake_at(bench.now), Some(due_at));
        bench.now = due_at;
        bench.settle();
    }
}

#[test]
fn s13_jitter_is_spread_and_stands_in_the_event() {
    let pauses: std::collections::BTreeSet<_> = (0..20)
        .map(|waited| {
            let mut bench = one("{max: 1, backoff: 10s}");
            // Each pass draws another seed.
            (0..waited).for_each(|_| drop(bench.look()));
            bench.exit("a", 3);
            bench.machine.next_timer().unwrap().since(bench.now)
        })
        .collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}

#[test]
fn h5_a_timer_that_was_due_while_the_run_stood_still_fires_once_and_says_when_it_was_due() {
    let mut bench = one("{max: 1, backoff: 10s}");
    bench.exit("a", 3);
    let due_at = bench.machine.next_timer().unwrap();
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.machine.next_timer(), None);
    bench.later(3_600_000);
    assert_eq!(bench.settle(), [""; 0]);
    bench.crash();
    bench.say(resume());
    assert_eq!(bench.settle()[1..], ["run resumed", "a timer fired", "a starting 2"]);
    let fired = bench.log.iter().filter_map(|recorded| match Event::decode(recorded).unwrap() {
        Event::Fact(FactEvent::TimerFired(fired)) => Some(fired),
        _ => None,
    });
    assert_eq!(fired.collect::<Vec<_>>(), [TimerFired { due_at, fired_at: bench.now }]);
}

#[test]
fn s13_only_the_named_classes_are_tried_again_and_what_cannot_start_never_is() {
    let invalid = |bench: &mut Bench| ProcessEnded { output: Some(bench.keep("{")), ..exited(0) };
    let mut scratch = one("0");
    let cases: [(&str, ProcessEnded, &str); 5] = [
        ("exit", exited(1), "a retries after 1 Exit"),
        ("timeout", ended(EndedBy::Timeout), "a retries after 1 Timeout"),
        ("stall", ended(EndedBy::IdleTimeout), "a retries after 1 Stall"),
        ("invalid_output", invalid(&mut scratch), "a retries after 1 InvalidOutput"),
        (
            "exit, timeout, stall, crash, network",
            ended(EndedBy::SpawnFailed),
            "a failed: the process could not be started",
        ),
    ];
    for (class, process, expected) in cases {
        let mut bench = one(&format!("{{max: 1, errors: [{class}]}}"));
        assert!(bench.end("a", process.clone()).contains(&expected.to_owned()), "{class}");
        if class != "exit" && !matches!(process.by, EndedBy::SpawnFailed) {
            let mut bench = one("{max: 1, errors: [exit]}");
            let facts = bench.end("a", process);
            assert!(facts.last().unwrap().starts_with("run failed"), "{class}: {facts:?}");
        }
    }
}

#[test]
fn s1_a_time_budget_that_is_used_up_is_an_event_before_the_end() {
    for (by, first, said) in [
        (EndedBy::Timeout, "a timed out 1 Total", "a failed: took longer than 1m30s"),
        (EndedBy::IdleTimeout, "a timed out 1 Idle", "a failed: silent for 1.5s"),
    ] {
        let mut bench = one("0");
        let facts = bench.end("a", ProcessEnded { signal: Some(15), ..ended(by) });
        assert_eq!((facts[0].as_str(), facts[2].as_str()), (first, said));
    }
}

#[test]
fn s1_a_stall_is_announced_and_changes_nothing() {
    let mut bench = one("0");
    let (effect, attempt) = bench.in_flight("a");
    let report = Report::Stalled { effect, attempt, silent_ms: 600_000, stop_in_ms: Some(60_000) };
    assert_eq!(bench.report(report), ["a stalled 1"]);
    assert_eq!(bench.desired(), ["a hold 1"]);
    assert_eq!(bench.record.step(&"a".parse().unwrap()).unwrap().stalled_at, Some(bench.now));
}

#[test]
fn who_resumes_now_ends_more_waits_than_one_append_holds_also_across_a_crash() {
    const STEPS: usize = 1_500;
    let line = |step| format!("- {{id: s{step}, needs: [], run: 'false', retry: {{max: 1, backoff: 1h}}}}\n");
    let mut bench = Bench::asked(&(0..STEPS).map(line).collect::<String>());
    // What is folded of so long a log is compared at the end.
    bench.is_tested_each_time = false;
    bench.settle();
    (0..STEPS).for_each(|step| drop(bench.exit(&format!("s{step}"), 1)));
    assert!(bench.machine.next_timer().unwrap() > bench.now);
    bench.say(resume_now());
    let first = bench.look();
    let fired = |facts: &[String]| facts.iter().filter(|fact| fact.ends_with("timer fired")).count();
    assert!(fired(&first) < STEPS, "more than one append is needed");
    bench.crash();
    assert!(bench.machine.wake_at(bench.now).is_some_and(|at| at <= bench.now), "an owner has more to do");
    assert_eq!(fired(&first) + fired(&bench.settle()), STEPS);
    assert_eq!(bench.machine.next_timer(), None);
    bench.obey_the_law_of_the_fold();
}
