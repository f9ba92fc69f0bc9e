//! Plans of the greatest size: every append stays within its limits.

use std::fmt::Write as _;

use backstay_model::Attempt;
use backstay_model::limits::STEPS_MAX;

use super::Bench;
use super::bench::exited;
use super::say::{again, again_from, cancel};
use crate::Report;
use crate::record::RunStatus;

/// Steps side by side whose facts fill several appends.
const MANY: usize = 2_500;
/// Steps one after the other.
const IN_A_ROW: usize = 200;

/// `count` steps, with ids of the greatest length, indented by `indent`.
fn steps(count: usize, indent: &str, more: &str) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{indent}- {{id: s{index:0>63}, run: 'true', needs: []{more}}}").unwrap();
        text
    })
}

fn begun(steps: &str) -> Bench {
    let mut bench = Bench::asked(steps);
    bench.is_tested_each_time = false;
    bench.settle();
    bench
}

#[test]
fn a_plan_of_the_greatest_size_begins_in_appends_within_their_limit() {
    let mut bench = begun(&steps(STEPS_MAX, "", ""));
    assert_eq!(bench.machine.desired().len(), STEPS_MAX);
    assert_eq!(bench.starts.len(), STEPS_MAX, "each once");
    assert!(bench.batches.len() >= 3, "{:?}", bench.batches);
    bench.obey_the_law_of_the_fold();
    bench.say(cancel());
    bench.settle();
    assert_eq!(bench.desired().iter().filter(|wish| wish.ends_with("stop 1 Cancel")).count(), STEPS_MAX);
}

#[test]
fn a_group_of_many_steps_is_left_out_fails_or_is_called_off_over_several_appends() {
    let inner = steps(MANY - 3, "  ", "");
    for (condition, end) in [("false", RunStatus::Completed), ("steps.a.output.x", RunStatus::Failed)] {
        let text = format!(
            "- {{id: a, run: 'true'}}\n- id: g\n  if: {condition}\n  steps:\n{inner}- {{id: z, run: 'true'}}"
        );
        let mut bench = begun(&text);
        bench.print("a", "text");
        bench.settle();
        if end == RunStatus::Completed {
            bench.exit("z", 0);
        }
        bench.obey_the_law_of_the_fold();
        assert_eq!(bench.status(), end);
        assert_eq!(usize::try_from(bench.machine.summary().steps_done).unwrap(), MANY - 1);
        bench.say(again_from("a"));
        bench.settle();
        bench.obey_the_law_of_the_fold();
        assert_eq!(bench.desired(), ["a hold 2"]);
    }
    let mut bench =
        begun(&format!("- {{id: a, run: 'true'}}\n- id: g\n  steps:\n{inner}- {{id: z, run: 'true'}}"));
    bench.skip("g");
    bench.say(cancel());
    bench.settle();
    bench.stopped("a");
    bench.obey_the_law_of_the_fold();
    assert_eq!(bench.status(), RunStatus::Cancelled);
}

#[test]
fn many_steps_one_after_the_other_are_done_one_by_one() {
    let text: String = (0..IN_A_ROW).map(|index| format!("- {{id: s{index}, run: 'true'}}\n")).collect();
    let mut bench = begun(&text);
    for index in 0..IN_A_ROW {
        assert_eq!(bench.desired(), [format!("s{index} hold 1")]);
        bench.exit(&format!("s{index}"), i32::from(index + 1 == IN_A_ROW));
    }
    assert_eq!(bench.status(), RunStatus::Failed);
    bench.obey_the_law_of_the_fold();
    bench.say(again());
    bench.settle();
    assert_eq!(bench.desired(), [format!("s{} hold 2", IN_A_ROW - 1)]);
}

#[test]
fn timers_that_are_due_at_once_fire_in_appends_within_their_limit() {
    let mut bench = begun(&steps(MANY, "", ", retry: {max: 1, backoff: 10s}"));
    for (effect, _) in bench.machine.desired() {
        let (process, attempt) = (Box::new(exited(1)), Attempt::FIRST);
        bench.report(Report::Ended { effect, attempt, process });
    }
    bench.later(60_000);
    bench.settle();
    assert_eq!(bench.machine.desired().len(), MANY);
    bench.obey_the_law_of_the_fold();
}

#[test]
fn a_step_of_a_long_list_costs_as_many_looks_as_one_of_a_short_list() {
    let looks_of_a_step = |count: usize| {
        let list = (0..count).fold(String::new(), |mut text, index| {
            writeln!(text, "- {{id: s{index}, run: 'true'}}").unwrap();
            text
        });
        let mut bench = begun(&list);
        let before = bench.machine.run.agenda.looks();
        for index in 0..10 {
            bench.exit(&format!("s{index}"), 0);
        }
        bench.machine.run.agenda.looks() - before
    };
    let (short, long) = (looks_of_a_step(20), looks_of_a_step(IN_A_ROW));
    assert_eq!(short, long);
    assert!(short <= 40, "{short} looks for 10 steps");
}
