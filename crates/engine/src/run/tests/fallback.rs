//! Which agent does the next attempt where one of several cannot work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_model::Timestamp;

use super::agents::{HOUR_MS, one, with_fallback};
use super::bench::ended;
use super::say::{again, resume, resume_now, suspend};
use crate::record::RunStatus;
use crate::run::Opening;
use crate::{EndedBy, ProcessEnded, Trouble};

#[test]
fn fallback_takes_the_next_agent_at_a_limit_and_waits_where_all_have_met_one() {
    let mut bench = with_fallback("");
    bench.begins_session("a", "s1");
    assert_eq!(
        bench.meets_limit("a", Some(3 * HOUR_MS))[1..],
        ["a continues after 1 by claude: limit", "a starting 2 claude fresh"]
    );
    assert_eq!(*bench.opening(), Opening::First, "another agent knows nothing of the first one's session");
    bench.works_in_session("a", "c1");
    let facts = bench.meets_limit("a", Some(HOUR_MS));
    assert_eq!(facts[1..], ["a continues after 2 by claude later: limit"], "the first that ends");
    assert!(bench.wait() < Duration::from_secs(3_700));
    bench.now = bench.machine.next_timer().unwrap();
    assert_eq!(bench.settle(), ["a timer fired", "a starting 3 claude in c1"]);
    bench.later(3 * HOUR_MS);
    let facts = bench.meets_limit("a", Some(HOUR_MS));
    assert_eq!(facts[1], "a continues after 3 by codex: limit", "whose limit is over by now");
}

#[test]
fn a_person_who_resumes_now_ends_the_wait_for_a_limit_and_what_was_known_of_limits() {
    let mut bench = with_fallback("");
    bench.begins_session("a", "s1");
    bench.meets_limit("a", Some(3 * HOUR_MS));
    bench.works_in_session("a", "c1");
    bench.meets_limit("a", Some(HOUR_MS));
    bench.say(resume());
    assert!(bench.settle().iter().all(|fact| !fact.contains("timer")), "who only goes on waits");
    let input = bench.say(resume_now());
    assert_eq!(
        bench.settle(),
        [format!("#{input} accepted"), "a timer fired".to_owned(), "a starting 3 claude in c1".to_owned()]
    );
    assert_eq!(
        bench.meets_limit("a", Some(HOUR_MS))[1],
        "a continues after 3 by codex: limit",
        "the limit of the other one is not believed any more"
    );
    // The same of a run that is suspended meanwhile.
    bench.begins_session("a", "s2");
    bench.meets_limit("a", Some(HOUR_MS));
    bench.say(suspend());
    assert_eq!(bench.settle().last().unwrap(), "run suspended");
    bench.say(resume_now());
    let facts = bench.settle();
    assert!(
        facts.contains(&"run resumed".to_owned()) && facts.contains(&"a timer fired".to_owned()),
        "{facts:?}"
    );
}

#[test]
fn who_waits_falls_back_only_where_the_wait_would_be_too_long() {
    let mut bench = with_fallback("on_limit: wait, max_wait: 2h");
    assert_eq!(bench.meets_limit("a", Some(HOUR_MS))[1], "a continues after 1 by codex later: limit");
    bench.now = bench.machine.next_timer().unwrap();
    bench.settle();
    assert_eq!(bench.meets_limit("a", Some(5 * HOUR_MS))[1], "a continues after 2 by claude: limit");
}

#[test]
fn an_agent_that_cannot_work_here_is_replaced_and_without_another_one_fails() {
    let login = || Some(Trouble::Login { message: "Not logged in".to_owned() });
    assert_eq!(
        with_fallback("").fails("a", login())[..2],
        ["a ended 1 failed Login", "a continues after 1 by claude: login"]
    );
    assert_eq!(
        one("retry: 3").fails("a", login())[1],
        "a failed: Not logged in",
        "a retry would meet the same"
    );
    let spawn = ProcessEnded { message: Some("no program".to_owned()), ..ended(EndedBy::SpawnFailed) };
    assert_eq!(with_fallback("").end("a", spawn.clone())[1], "a continues after 1 by claude: not started");
    assert_eq!(one("").end("a", spawn)[1], "a failed: no program");
    let mut bench = with_fallback("");
    bench.fails("a", login());
    assert_eq!(bench.fails("a", login())[1], "a failed: Not logged in", "the last one");
}

#[test]
fn a_refusal_takes_the_fallback_and_is_retried_by_no_rule() {
    let refused = || Some(Trouble::Refused { message: "Your credit balance is too low".to_owned() });
    assert_eq!(
        with_fallback("").fails("a", refused())[..2],
        ["a ended 1 failed Refused", "a continues after 1 by claude: refused"]
    );
    for rest in ["retry: 3", "retry: {max: 3, errors: [network, rate_limit, exit]}"] {
        assert_eq!(one(rest).fails("a", refused())[1], "a failed: Your credit balance is too low", "{rest}");
    }
    let mut bench = with_fallback("");
    bench.fails("a", refused());
    assert_eq!(bench.fails("a", refused())[1], "a failed: Your credit balance is too low", "the last one");
}

/// What an agent meets each time it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meets {
    Refusal,
    Login,
    Limit,
    Outage,
}

impl Meets {
    const ALL: [Meets; 4] = [Meets::Refusal, Meets::Login, Meets::Limit, Meets::Outage];

    fn trouble(self, now: Timestamp) -> Trouble {
        let message = format!("{self:?}");
        match self {
            Meets::Refusal => Trouble::Refused { message },
            Meets::Login => Trouble::Login { message },
            Meets::Limit => {
                let reset_at = Some(now.plus(Duration::from_millis(2 * HOUR_MS)));
                Trouble::Limit { reset_at, message }
            }
            Meets::Outage => Trouble::Network { message },
        }
    }
}

#[test]
fn two_agents_that_cannot_work_fail_the_run_or_let_it_wait_and_none_is_started_in_vain() {
    for (codex, claude, on_limit) in Meets::ALL.iter().flat_map(|codex| {
        let pairs = Meets::ALL.iter().map(move |claude| (*codex, *claude));
        pairs.flat_map(|(codex, claude)| ["fallback", "wait"].map(|on_limit| (codex, claude, on_limit)))
    }) {
        // Where the wait is too long, `on_limit: wait` takes the next agent.
        for max_wait in ["3h", "1h"] {
            let case =
                format!("codex {codex:?}, claude {claude:?}, on_limit {on_limit}, max_wait {max_wait}");
            let mut bench = with_fallback(&format!("on_limit: {on_limit}, max_wait: {max_wait}"));
            let (mut unfit, mut limits) = (BTreeSet::new(), BTreeMap::new());
            let mut in_a_row = 0;
            for _ in 0..100 {
                if bench.try_in_flight("a").is_none() {
                    let Some(due_at) = bench.machine.next_timer() else { break };
                    (bench.now, in_a_row) = (due_at, 0);
                    bench.settle();
                }
                let agent = bench.told().preset.clone();
                in_a_row += 1;
                assert!(in_a_row <= 4, "{case}: attempt after attempt");
                assert!(!unfit.contains(&agent), "{case}: {agent} cannot work");
                let until = limits.get(&agent);
                assert!(until.is_none_or(|until| *until <= bench.now), "{case}: the limit of {agent} holds");
                let meets = if agent == "codex" { codex } else { claude };
                match meets {
                    Meets::Refusal | Meets::Login => {
                        unfit.insert(agent);
                    }
                    Meets::Limit => {
                        limits.insert(agent, bench.now.plus(Duration::from_millis(2 * HOUR_MS)));
                    }
                    Meets::Outage => {}
                }
                let trouble = meets.trouble(bench.now);
                bench.fails("a", Some(trouble));
            }
            assert_eq!(bench.status(), RunStatus::Failed, "{case}");
        }
    }
}

#[test]
fn an_agent_whose_limit_ends_is_waited_for_where_the_other_one_cannot_work() {
    let refused = || Some(Trouble::Refused { message: "no credit".to_owned() });
    // The limit first, then the refusal.
    let mut bench = with_fallback("");
    bench.meets_limit("a", Some(HOUR_MS));
    let facts = bench.fails("a", refused());
    assert_eq!(facts[1..], ["a continues after 2 by codex later: refused"]);
    let until = bench.machine.next_timer().unwrap();
    let limit = bench.machine.waits_for_limit().unwrap();
    assert_eq!((limit.agent.as_str(), limit.until), ("codex", until));
    let record = bench.record.step(&"a".parse().unwrap()).unwrap();
    assert_eq!(
        record.limit.as_ref().map(|limit| (limit.agent.as_str(), limit.until)),
        Some(("codex", until))
    );
    bench.crash();
    assert_eq!(bench.settle(), [""; 0]);
    bench.now = until;
    assert_eq!(bench.settle(), ["a timer fired", "a starting 3 codex fresh"]);
    let facts = bench.fails("a", refused());
    assert_eq!(facts[1], "a failed: no credit", "none of them can work");

    // The refusal first, then the limit.
    let mut bench = with_fallback("");
    bench.fails("a", refused());
    let facts = bench.meets_limit("a", Some(HOUR_MS));
    assert_eq!(facts[1..], ["a continues after 2 by claude later: limit"]);

    // A wait that is too long is none.
    let mut bench = with_fallback("max_wait: 30m");
    bench.meets_limit("a", Some(HOUR_MS));
    let facts = bench.fails("a", refused());
    assert_eq!(
        facts[1],
        "a failed: no credit (the wait of 1h00m for the limit of `codex` is longer than `max_wait`, 30m)"
    );
}

#[test]
fn a_step_that_is_tried_again_asks_all_of_its_agents_again() {
    let login = || Some(Trouble::Login { message: "Not logged in".to_owned() });
    let mut bench = with_fallback("");
    bench.fails("a", login());
    bench.fails("a", login());
    bench.say(again());
    assert_eq!(bench.settle().last().unwrap(), "a starting 3 codex fresh");
}
