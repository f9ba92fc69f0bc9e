//! Agents whose providers cannot be reached.

use std::time::Duration;

use backstay_model::Timestamp;
use backstay_model::event::FailureClass;

use super::Bench;
use super::agents::{HOUR_MS, one, with_fallback};
use super::say::{again, resume_now};
use crate::Trouble;
use crate::record::RunStatus;

impl Bench {
    /// The attempt in flight cannot reach its provider.
    fn is_unreachable(&mut self) -> Vec<String> {
        self.fails("a", Some(Trouble::Network { message: "away".to_owned() }))
    }

    /// Goes to the moment that is waited for; what comes then.
    fn wakes(&mut self) -> Vec<String> {
        self.now = self.machine.next_timer().expect("something waits");
        self.settle()
    }

    /// The three tries that `retry` gives each agent.
    fn uses_up_its_tries(&mut self) {
        for _ in 0..3 {
            let facts = self.is_unreachable();
            assert!(facts[1].starts_with("a retries after"), "{facts:?}");
            self.wakes();
        }
    }
}

#[test]
fn an_outage_is_waited_for_longer_each_time_in_the_same_session_and_no_longer_than_max_wait() {
    for (rest, longest) in [("", 6 * HOUR_MS), ("max_wait: 1h", HOUR_MS)] {
        let mut bench = one(rest);
        bench.works_in_session("a", "s1");
        bench.uses_up_its_tries();
        let mut waited = Duration::ZERO;
        let mut pauses = [2, 4, 8].into_iter().chain(std::iter::repeat(15)).map(|minutes| minutes * 60_000);
        let failed = loop {
            let facts = bench.is_unreachable();
            if !facts[1].ends_with("by codex later: unreachable") {
                break facts;
            }
            assert_eq!(bench.status(), RunStatus::Running, "{rest}");
            let wait = bench.wait();
            let left = Duration::from_millis(longest) - waited;
            let longest = Duration::from_millis(pauses.next().unwrap()).min(left);
            assert!(wait <= longest && wait >= longest * 7 / 8, "{rest}: {wait:?} of {longest:?}");
            waited += wait;
            bench.crash();
            assert_eq!(bench.settle(), [""; 0], "{rest}");
            let facts = bench.wakes();
            assert!(facts[1].ends_with("codex in s1"), "{rest}: {facts:?}");
        };
        assert_eq!(waited, Duration::from_millis(longest), "{rest}");
        let expected = if rest.is_empty() { "6h00m" } else { "1h00m" };
        let expected =
            format!("a failed: away (waited {expected} for the network; `max_wait` is {expected})");
        assert_eq!(failed[1], expected, "{rest}");
        bench.say(again());
        let facts = bench.settle();
        assert!(facts.last().unwrap().contains("starting"), "a new try is one: {facts:?}");
    }
}

#[test]
fn a_person_who_resumes_now_ends_the_wait_for_the_network_and_no_owner_has_to_stay_for_it() {
    let mut bench = one("");
    bench.uses_up_its_tries();
    bench.is_unreachable();
    let due_at = bench.machine.next_timer();
    assert_eq!(bench.machine.wake_at(bench.now), due_at);
    bench.say(resume_now());
    let facts = bench.settle();
    assert_eq!(facts[1..], ["a timer fired", "a starting 5 codex fresh"], "who knows better asks at once");
}

#[test]
fn a_fallback_takes_over_from_an_agent_that_cannot_be_reached_and_each_has_its_own_tries() {
    let mut bench = with_fallback("");
    bench.works_in_session("a", "s1");
    bench.uses_up_its_tries();
    let facts = bench.is_unreachable();
    assert_eq!(facts[1..], ["a continues after 4 by claude: unreachable", "a starting 5 claude fresh"]);
    bench.uses_up_its_tries();
    // Both are away: the step waits for the first that may be asked again, and asks it once.
    let facts = bench.is_unreachable();
    let at_once = facts[1] == "a continues after 8 by codex: unreachable";
    assert!(at_once || facts[1] == "a continues after 8 by codex later: unreachable", "{facts:?}");
    if !at_once {
        bench.wakes();
    }
    let facts = bench.is_unreachable();
    assert!(facts[1].starts_with("a continues after 9 by claude"), "{facts:?}");
}

#[test]
fn two_agents_that_cannot_be_reached_are_waited_for_over_a_night() {
    let mut bench = with_fallback("");
    let begin = bench.now;
    let mut attempts = 0;
    while bench.status() == RunStatus::Running && attempts < 1_000 {
        attempts += 1;
        bench.later(60_000);
        bench.is_unreachable();
        if bench.try_in_flight("a").is_none() && bench.machine.next_timer().is_some() {
            bench.wakes();
        }
    }
    let lasted = bench.now.since(begin);
    assert_eq!(bench.status(), RunStatus::Failed, "after {lasted:?}");
    assert!(lasted >= Duration::from_secs(6 * 3_600), "{lasted:?}");
    assert!(attempts < 130, "{attempts} attempts");
}

#[test]
fn a_step_that_does_not_retry_the_network_takes_its_fallback_at_once_and_waits_for_none() {
    for rest in ["retry: 0", "retry: {max: 2, errors: [exit]}"] {
        assert_eq!(one(rest).is_unreachable()[1], "a failed: away", "{rest}");
        let mut bench = with_fallback(rest);
        assert_eq!(bench.is_unreachable()[1], "a continues after 1 by claude: unreachable", "{rest}");
        assert_eq!(bench.is_unreachable()[1], "a failed: away", "{rest}");
    }
    // One whose limit ends is waited for nevertheless.
    let mut bench = with_fallback("retry: 0");
    bench.meets_limit("a", Some(HOUR_MS));
    assert_eq!(bench.is_unreachable()[1], "a continues after 2 by codex later: unreachable");
    assert_eq!(bench.machine.waits_for_limit().map(|limit| limit.agent.as_str()), Some("codex"));
}

#[test]
fn an_outage_is_not_shown_as_a_limit() {
    let mut bench = with_fallback("");
    bench.fails("a", Some(Trouble::Refused { message: "no credit".to_owned() }));
    bench.uses_up_its_tries();
    assert_eq!(bench.is_unreachable()[1], "a continues after 5 by claude later: unreachable");
    assert_eq!(bench.machine.waits_for_limit(), None);
    let record = bench.record.step(&"a".parse().unwrap()).unwrap();
    assert_eq!(record.limit, None);
    let retry = record.retry().expect("it waits");
    assert_eq!((retry.attempt.0, retry.failure), (6, FailureClass::Network));
    assert_eq!(bench.machine.waits_for_retry(), Some(retry));
    let told: Vec<_> = record.attempts.iter().map(|attempt| attempt.message.as_deref()).collect();
    assert_eq!(told, [Some("no credit"), Some("away"), Some("away"), Some("away"), Some("away")]);
}

#[test]
fn a_limit_is_refused_by_its_told_end_and_not_by_what_is_added_to_it() {
    for (in_ms, waits) in [(2 * HOUR_MS, true), (2 * HOUR_MS + 1_000, false)] {
        let facts = one("max_wait: 2h").meets_limit("a", Some(in_ms));
        let is_parked = facts[1] == "a continues after 1 by codex later: limit";
        assert_eq!(is_parked, waits, "{facts:?}");
    }
    // One without a known end is waited for by a rule.
    for (max_wait, waits) in [("5m", true), ("4m", false)] {
        let facts = one(&format!("max_wait: {max_wait}")).meets_limit("a", None);
        let is_parked = facts[1] == "a continues after 1 by codex later: limit";
        assert_eq!(is_parked, waits, "{max_wait}: {facts:?}");
    }
    // The same where the limit of another agent is waited for.
    let mut bench = with_fallback("max_wait: 1h");
    let limit_ends: Timestamp = bench.now.plus(Duration::from_millis(HOUR_MS));
    bench.meets_limit("a", Some(HOUR_MS));
    let facts = bench.fails("a", Some(Trouble::Refused { message: "no credit".to_owned() }));
    assert_eq!(facts[1], "a continues after 2 by codex later: refused");
    assert!(bench.machine.next_timer().unwrap() >= limit_ends);
}
