//! One run at a time works in a checkout.

use backstay_model::event::CheckoutBusy;

use super::Bench;
use super::say::{resume, suspend};
use crate::record::RunStatus;
use crate::topic::Input;

fn busy(pid: u32) -> Input {
    let held_by = Some("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R9".parse().unwrap());
    Input::CheckoutBusy(CheckoutBusy { root: "/work".to_owned(), held_by, pid: Some(pid) })
}

/// A run in a checkout that another one works in.
fn waiting(steps: &str) -> Bench {
    let mut bench = Bench::asked(steps);
    bench.holds_checkout = false;
    bench.settle();
    bench
}

#[test]
fn who_may_write_waits_for_the_checkout_and_who_only_reads_does_not() {
    let mut bench = waiting(
        "- {id: a, run: 'true'}\n- {id: b, run: 'true', needs: [], access: read}\n- {id: c, agent: codex, prompt: x, access: read, needs: []}\n- {id: d, agent: codex, prompt: x, needs: []}\n- {id: e, run: 'true', needs: [], workspace: worktree}",
    );
    let begun: Vec<String> = bench.starts.iter().map(|work| work.effect.scope.to_string()).collect();
    assert_eq!(begun, ["b", "c", "e_worktree"]);
    assert!(bench.machine.wants_to_write() && !bench.machine.is_at_rest());
    assert_eq!(bench.pass(busy(1)), ["checkout busy: 1"]);
    assert_eq!(bench.pass(busy(1)), [""; 0], "it is said once");
    assert_eq!(bench.pass(busy(2)), ["checkout busy: 2"]);
    bench.print("e_worktree", "/work.worktrees/r");
    assert_eq!(bench.starts.last().unwrap().effect.scope.to_string(), "e");
    bench.holds_checkout = true;
    assert_eq!(bench.look(), ["checkout free", "a starting 1", "d starting 1 codex fresh"]);
    assert!(!bench.machine.wants_to_write());
}

#[test]
fn a_run_without_writers_takes_no_checkout() {
    let bench = waiting("- {id: a, run: 'true', access: read}");
    assert!(!bench.machine.may_ever_write());
    let bench = waiting("- {id: a, run: 'true', workspace: worktree}");
    assert!(!bench.machine.may_ever_write());
    assert!(waiting("- {id: g, steps: [{id: a, run: 'true'}]}").machine.may_ever_write());
}

#[test]
fn a_run_that_waits_for_the_checkout_stands_still_at_once_and_is_told_anew() {
    let mut bench = waiting("- {id: a, run: 'true'}");
    bench.pass(busy(1));
    assert_eq!(bench.record.checkout_busy.as_ref().unwrap().pid, Some(1));
    let why = bench.machine.summary().why.unwrap();
    assert_eq!(why, "waits for run_01JDX7Q2ZK8VQ5T3W9M4N6P7R9 (pid 1), which works in /work");
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.status(), RunStatus::Suspended);
    assert_eq!(bench.pass(busy(2)), [""; 0], "nobody waits for it");
    bench.release(1);
    assert_eq!(bench.record.checkout_busy, None);
    bench.claimed_by(3);
    bench.say(resume());
    bench.settle();
    assert_eq!(bench.pass(busy(1)), ["checkout busy: 1"], "another owner finds out for itself");
    bench.holds_checkout = true;
    assert_eq!(bench.look(), ["checkout free", "a starting 1"]);
    assert_eq!(bench.exit("a", 0).last().unwrap(), "run completed {}");
}
