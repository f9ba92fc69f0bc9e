//! What was in flight when something died.

use backstay_model::event::LostEvidence::{KeeperDead, NotBegun, Rebooted};

use super::Bench;
use super::bench::{ended, script};
use super::say::{cancel, suspend};
use crate::record::RunStatus;
use crate::{EndedBy, Report};

fn one(after_crash: &str) -> Bench {
    Bench::begun(&format!("- {{id: a, run: 'true', after_crash: {after_crash}}}"))
}

#[test]
fn s4_what_was_in_flight_is_still_held_after_the_owner_died_and_is_never_started_twice() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'true'}");
    bench.exit("a", 0);
    bench.crash();
    assert_eq!(bench.settle(), [""; 0]);
    assert_eq!(bench.desired(), ["b hold 1"]);
    let (effect, attempt) = bench.in_flight("b");
    assert_eq!(bench.machine.effect_host(&effect).unwrap().boot, "b");
    assert_eq!(bench.report(Report::Attached { effect, attempt, had_ended: true }), ["b attached 1"]);
    assert_eq!(bench.exit("b", 0).last().unwrap(), "c starting 1");
}

#[test]
fn s5_resume_and_rerun_try_again() {
    for policy in ["resume", "rerun"] {
        let mut bench = one(policy);
        assert_eq!(bench.lose("a", KeeperDead), ["a lost 1", "a resolved 1 not done", "a starting 2"]);
    }
}

#[test]
fn s5_fail_fails_the_step_and_uses_a_retry_where_crashes_are_retried() {
    let mut bench = one("fail");
    assert_eq!(
        bench.lose("a", Rebooted),
        ["a lost 1", "a resolved 1 failed", "a failed: lost in a crash", "run failed: a: lost in a crash"]
    );
    let mut bench = one("fail, retry: {max: 1, errors: [crash]}");
    assert_eq!(bench.lose("a", KeeperDead), ["a lost 1", "a resolved 1 failed", "a retries after 1 Crash"]);
    bench.later(1_000);
    assert_eq!(bench.settle(), ["a timer fired", "a starting 2"]);
}

#[test]
fn s5_ask_asks_and_the_answer_decides() {
    for (choice, follows) in [
        (
            "done",
            vec![
                "a question closed",
                "a resolved 1 done",
                "a succeeded: had happened before the crash",
                "run completed {}",
            ],
        ),
        ("rerun", vec!["a question closed", "a resolved 1 not done", "a starting 2"]),
        (
            "fail",
            vec![
                "a question closed",
                "a resolved 1 failed",
                "a failed: attempt 1 was lost in a crash and counts as failed",
                "run failed: a: attempt 1 was lost in a crash and counts as failed",
            ],
        ),
    ] {
        let mut bench = one("ask");
        assert_eq!(bench.lose("a", KeeperDead), ["a lost 1", "a in doubt 1", "a question asked"]);
        assert_eq!(bench.status(), RunStatus::Waiting);
        assert!(bench.machine.is_at_rest() && bench.machine.wake_at(bench.now).is_none());
        bench.crash();
        assert_eq!(bench.machine.summary().question, Some(bench.question()));
        assert_eq!(bench.answer(choice)[1..], follows);
        assert_eq!(bench.machine.open_questions().count(), 0);
    }
}

#[test]
fn s5_scripts_and_commands_ask_and_agents_resume_where_nothing_is_said() {
    for (step, follows) in [
        ("- {id: a, run: 'true'}", "a question asked"),
        ("- {id: a, command: ['true']}", "a question asked"),
        ("- {id: a, agent: x, prompt: go}\nagents: {x: {command: x}}", "a starting 2"),
    ] {
        assert_eq!(Bench::begun(step).lose("a", KeeperDead).last().unwrap(), follows, "{step}");
    }
}

#[test]
fn s5_a_probe_decides_by_its_exit_code() {
    let mut bench = one("{probe: 'test -e x'}");
    assert_eq!(bench.lose("a", KeeperDead), ["a lost 1", "a in doubt 1", "a starting probe 1"]);
    assert_eq!(bench.desired(), ["a probe hold 1"]);
    assert_eq!(bench.starts.last().and_then(script), Some("test -e x"));
    let (effect, attempt) = bench.in_flight("a");
    assert_eq!(effect.to_string(), "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:a:probe");
    let running = Report::Running {
        effect,
        attempt,
        pid: 1,
        keeper_pid: 2,
        folder: "p".parse().unwrap(),
        before: None,
        agent: None,
    };
    assert_eq!(bench.report(running), ["a running probe 1"]);
    assert_eq!(
        bench.exit("a", 1),
        ["a ended probe 1 succeeded", "a resolved 1 not done", "a starting 2"],
        "it had not happened"
    );
    bench.lose("a", KeeperDead);
    assert_eq!(
        bench.exit("a", 0),
        [
            "a ended probe 2 succeeded",
            "a resolved 2 done",
            "a succeeded: had happened before the crash",
            "run completed {}"
        ]
    );
}

#[test]
fn s5_a_probe_that_is_lost_is_asked_again_and_the_third_time_a_person_is() {
    let mut bench = one("{probe: 'test -e x'}");
    bench.lose("a", KeeperDead);
    assert_eq!(bench.lose("a", NotBegun), ["a lost probe 1", "a starting probe 2"]);
    assert_eq!(bench.lose("a", KeeperDead), ["a lost probe 2", "a starting probe 3"]);
    assert_eq!(bench.lose("a", KeeperDead), ["a lost probe 3", "a in doubt 1", "a question asked"]);
    // The number of the probe that was not begun any more is free for the next one.
    bench.answer("rerun");
    assert_eq!(bench.lose("a", KeeperDead).last().unwrap(), "a starting probe 4");
}

#[test]
fn s5_a_probe_without_an_answer_leads_to_a_question() {
    for by in [EndedBy::Timeout, EndedBy::SpawnFailed, EndedBy::Exit] {
        let mut bench = one("{probe: 'test -e x'}");
        bench.lose("a", KeeperDead);
        assert_eq!(
            bench.end("a", ended(by)),
            ["a ended probe 1 failed Exit", "a in doubt 1", "a question asked"]
        );
        assert_eq!(bench.answer("rerun").last().unwrap(), "a starting 2");
    }
}

#[test]
fn s5_what_did_not_begin_begins_again_unasked_but_not_for_ever() {
    let mut bench = one("ask");
    for attempt in 1..=2 {
        assert_eq!(
            bench.lose("a", NotBegun),
            [
                format!("a lost {attempt}"),
                format!("a resolved {attempt} not done"),
                format!("a starting {}", attempt + 1)
            ]
        );
    }
    assert_eq!(bench.lose("a", NotBegun), ["a lost 3", "a in doubt 3", "a question asked"]);
}

#[test]
fn s5_three_losses_in_a_row_ask_a_person_whatever_the_policy() {
    for policy in ["resume", "rerun", "fail, retry: {max: 9, errors: [crash]}"] {
        let mut bench = one(policy);
        for _ in 0..2 {
            bench.lose("a", KeeperDead);
            bench.later(60_000);
            bench.settle();
        }
        assert_eq!(
            bench.lose("a", KeeperDead),
            ["a lost 3", "a in doubt 3", "a question asked"],
            "after_crash: {policy}"
        );
        // After a person said so, the count begins anew.
        assert_eq!(bench.answer("rerun").last().unwrap(), "a starting 4");
        let expected =
            if policy.starts_with("fail") { "a resolved 4 failed" } else { "a resolved 4 not done" };
        assert_eq!(bench.lose("a", KeeperDead)[1], expected);
    }
}

#[test]
fn s5_losses_that_are_not_in_a_row_do_not_add_up() {
    let mut bench = one("resume, retry: 9");
    for _ in 0..4 {
        bench.lose("a", KeeperDead);
        bench.exit("a", 1);
        bench.later(60_000);
        bench.settle();
    }
    assert_eq!(bench.machine.open_questions().count(), 0);
}

#[test]
fn a_suspended_step_with_a_probe_asks_it_on_resume() {
    let mut bench = one("{probe: 'test -e x'}");
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.stopped("a"), ["a ended 1 interrupted", "a in doubt 1", "run suspended"]);
    bench.say(super::say::resume());
    assert_eq!(bench.settle()[1..], ["run resumed", "a starting probe 1"]);
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.desired(), ["a probe stop 1 Suspend"]);
    assert_eq!(bench.stopped("a"), ["a ended probe 1 interrupted", "run suspended"]);
    bench.say(super::say::resume());
    assert_eq!(bench.settle()[1..], ["run resumed", "a starting probe 2"]);
}

#[test]
fn a_loss_while_the_run_is_cancelled_ends_the_step() {
    let mut bench = one("ask");
    bench.say(cancel());
    bench.settle();
    assert_eq!(
        bench.lose("a", KeeperDead),
        ["a lost 1", "a cancelled: lost with its keeper while the run was being cancelled", "run cancelled"]
    );
}

#[test]
fn a_loss_in_finally_goes_by_its_policy_also_while_the_run_is_cancelled() {
    let mut bench =
        Bench::begun("- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'true', after_crash: ask}");
    bench.say(cancel());
    bench.settle();
    bench.stopped("a");
    assert_eq!(bench.lose("f", KeeperDead), ["f lost 1", "f in doubt 1", "f question asked"]);
    assert_eq!(bench.status(), RunStatus::Cancelling);
    assert!(bench.machine.is_at_rest(), "only a person can go on");
    assert_eq!(bench.answer("rerun").last().unwrap(), "f starting 2");
    bench.lose("f", KeeperDead);
    bench.say(cancel());
    assert_eq!(
        bench.settle()[1..],
        [
            "run cancelling finally too",
            "f question closed",
            "f cancelled: cancelled with the run",
            "run cancelled"
        ]
    );
}

#[test]
fn cancel_closes_an_open_question_without_an_answer() {
    let mut bench = one("ask");
    bench.lose("a", KeeperDead);
    let question = bench.question();
    bench.say(cancel());
    assert_eq!(
        bench.settle()[1..],
        ["run cancelling", "a question closed", "a cancelled: cancelled with the run", "run cancelled"]
    );
    assert!(bench.would_accept(super::say::answer(question, "done")).is_err());
}

#[test]
fn s5_what_the_log_saw_running_had_begun_whatever_became_of_its_folder() {
    let mut bench = one("ask");
    let (effect, attempt) = bench.in_flight("a");
    let folder = "p".to_owned();
    bench.report(Report::Running {
        effect,
        attempt,
        pid: 1,
        keeper_pid: 2,
        folder: folder.parse().unwrap(),
        before: None,
        agent: None,
    });
    let facts = bench.lose("a", NotBegun);
    assert!(facts.contains(&"a question asked".to_owned()), "nothing is done twice unasked: {facts:?}");
}

#[test]
fn s5_what_ended_with_its_machine_is_interrupted_and_goes_by_after_crash() {
    for (policy, follows) in [
        ("rerun", vec!["a ended 1 interrupted", "a resolved 1 not done", "a starting 2"]),
        ("ask", vec!["a ended 1 interrupted", "a in doubt 1", "a question asked"]),
        ("{probe: 'test -e x'}", vec!["a ended 1 interrupted", "a in doubt 1", "a starting probe 1"]),
    ] {
        let mut bench = one(policy);
        assert_eq!(bench.end("a", ended(EndedBy::Signalled)), follows, "{policy}");
    }
}

#[test]
fn s5_what_ends_with_its_machine_again_and_again_leads_to_a_question() {
    let mut bench = one("rerun");
    bench.end("a", ended(EndedBy::Signalled));
    bench.lose("a", KeeperDead);
    assert_eq!(
        bench.end("a", ended(EndedBy::Signalled)),
        ["a ended 3 interrupted", "a in doubt 3", "a question asked"]
    );
    let mut probing = one("{probe: 'test -e x'}");
    probing.lose("a", KeeperDead);
    probing.end("a", ended(EndedBy::Signalled));
    probing.end("a", ended(EndedBy::Signalled));
    assert_eq!(probing.end("a", ended(EndedBy::Signalled)).last().unwrap(), "a question asked");
}

#[test]
fn what_ends_with_its_machine_while_it_is_called_off_is_cancelled() {
    let mut bench = one("rerun");
    bench.say(cancel());
    bench.settle();
    assert_eq!(bench.end("a", ended(EndedBy::Signalled))[0], "a ended 1 cancelled");
}

#[test]
fn what_is_stuck_says_so_once_and_whatever_is_told_next_ends_it() {
    let mut bench = one("rerun");
    let (effect, attempt) = bench.in_flight("a");
    let stuck =
        |message: &str| Report::Stuck { effect: effect.clone(), attempt, message: message.to_owned() };
    assert_eq!(bench.report(stuck("no disk")), ["a stuck 1: no disk"]);
    assert_eq!(bench.report(stuck("no disk")), [""; 0]);
    assert_eq!(bench.report(stuck("no room")), ["a stuck 1: no room"]);
    bench.crash();
    assert_eq!(bench.machine.summary().why.as_deref(), Some("a is stuck: no room"));
    assert_eq!(bench.desired(), ["a hold 1"], "it is still to be looked for");
    let found = Report::Attached { effect: effect.clone(), attempt, had_ended: false };
    assert_eq!(bench.report(found), ["a attached 1"]);
    assert_eq!(bench.machine.summary().why, None);
    assert_eq!(bench.exit("a", 0).last().unwrap(), "run completed {}");
}
