//! What steps leave and later steps see.

use std::sync::Arc;

use backstay_model::event::{Event, FactEvent};
use backstay_model::{Digest, Text};

use super::Bench;
use super::bench::exited;
use super::say::{resume, suspend};
use crate::{OutputProblem, ProcessEnded};

#[test]
fn outputs_keep_their_types_on_the_way_to_later_steps_and_out_of_the_run() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true', output: json}\n- {id: b, run: 'true'}\n- {id: c, run: 'echo ${{ steps.b.output }} ${{ steps.a.output.list }} ${{ steps.a.attempts }}'}\noutputs: {list: '${{ steps.a.output.list }}', line: '${{ steps.b.output }}', both: 'x ${{ steps.a.output.list[1] }}', none: '${{ steps.a.output.nothing }}'}",
    );
    bench.print("a", " {\"list\": [1, \"two\"], \"nothing\": null}\n");
    bench.print("b", "one line\n");
    let work = bench.starts.last().unwrap();
    let values: Vec<&str> = work.env.iter().take(3).map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["one line", "[1,\"two\"]", "1"]);
    assert_eq!(
        bench.exit("c", 0).last().unwrap(),
        "run completed {\"both\":\"x two\",\"line\":\"one line\",\"list\":[1,\"two\"],\"none\":null}"
    );
}

#[test]
fn the_outputs_of_a_group_are_an_object() {
    let mut bench = Bench::begun(
        "- id: g\n  steps:\n  - {id: a, run: 'true', output: json}\n  - {id: b, run: 'true'}\noutputs: {all: '${{ steps.g.output }}', ok: '${{ steps.g.ok }}'}",
    );
    bench.print("a", "1");
    assert_eq!(
        bench.print("b", "x").last().unwrap(),
        "run completed {\"all\":{\"a\":1,\"b\":\"x\"},\"ok\":true}"
    );
}

#[test]
fn an_output_that_is_not_one_json_value_is_a_failure_with_the_text_kept() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for output in ["{\"a\":", "1 2", "", "not json", "1e999", deep.as_str()] {
        let mut bench = Bench::begun("- {id: a, run: 'true', output: json}");
        let facts = bench.print("a", output);
        assert_eq!(facts[0], "a ended 1 failed InvalidOutput", "{output}");
        let record = bench.record.step(&"a".parse().unwrap()).unwrap();
        let kept = Some(Text::Inline(serde_json::to_string(output).unwrap()));
        assert_eq!(record.output, kept, "{output}");
    }
}

#[test]
fn a_json_step_that_left_nothing_at_all_fails() {
    let mut bench = Bench::begun("- {id: a, run: 'true', output: json}");
    assert_eq!(
        bench.exit("a", 0)[..2],
        ["a ended 1 failed InvalidOutput", "a failed: there is no output, where one JSON value should be"]
    );
}

#[test]
fn the_beginning_of_a_long_text_is_a_text_and_of_a_long_json_value_nothing() {
    let problem = Some(OutputProblem::Cut { size_bytes: 30, kept_bytes: 4 });
    let said = "the output has 30 bytes, of which 4 are its value; `backstay logs` has all";
    for (format, facts) in [
        ("text", ["a ended 1 succeeded".to_owned(), format!("a succeeded: exit 0; {said}")]),
        ("json", ["a ended 1 failed InvalidOutput".to_owned(), format!("a failed: {said}")]),
    ] {
        let mut bench = Bench::begun(&format!("- {{id: a, run: 'true', output: {format}}}"));
        let output = Some(bench.keep("1234"));
        assert_eq!(
            bench.end("a", ProcessEnded { output, output_problem: problem.clone(), ..exited(0) })[..2],
            facts
        );
    }
}

#[test]
fn a_run_stands_still_where_a_text_was_lost_on_a_full_disk_and_a_json_step_fails() {
    let lost = || Some(OutputProblem::Lost { lost_bytes: 5 });
    let said = "there is no output: 5 bytes of it could not be kept, no room was left";
    let mut bench = Bench::begun("- {id: a, run: 'true', output: json}");
    let process = ProcessEnded { output_problem: lost(), ..exited(0) };
    assert_eq!(
        bench.end("a", process)[..2],
        ["a ended 1 failed InvalidOutput".to_owned(), format!("a failed: {said}")]
    );
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'echo ${{ steps.a.output }}'}");
    let process = ProcessEnded { output_problem: lost(), ..exited(0) };
    let facts = bench.end("a", process);
    assert_eq!(
        facts,
        [
            "a ended 1 succeeded".to_owned(),
            format!("a succeeded: exit 0; {said}"),
            "run suspending".to_owned(),
            "run suspended".to_owned()
        ]
    );
    let why = bench.machine.summary().why.unwrap();
    assert!(why.starts_with("`a` has no output: 5 bytes of it"), "{why}");
    assert!(why.ends_with("then `backstay retry --from a`"), "{why}");
    bench.say(resume());
    let facts = bench.settle();
    assert!(facts.iter().any(|fact| fact.starts_with("b failed: ")), "{facts:?}");
}

#[test]
fn an_output_lost_while_the_run_is_being_suspended_is_why_it_is_suspended() {
    let two = "- {id: a, run: 'true'}\n- {id: b, needs: [], run: 'true'}\n- {id: c, run: 'true'}";
    let mut bench = Bench::begun(two);
    bench.say(suspend());
    assert_eq!(bench.settle()[1..], ["run suspending"]);
    let lost =
        |lost_bytes| ProcessEnded { output_problem: Some(OutputProblem::Lost { lost_bytes }), ..exited(0) };
    assert_eq!(bench.end("a", lost(5))[2..], ["run suspending"]);
    // The first one is said; the second one is in the summary of its step.
    assert_eq!(bench.end("b", lost(6))[2..], ["run suspended"]);
    let why = bench.machine.summary().why.unwrap();
    assert!(why.starts_with("`a` has no output: 5 bytes of it"), "{why}");
    assert_eq!(bench.record.why.as_deref(), Some(why.as_str()));
}

#[test]
fn an_output_that_nobody_can_read_is_a_failure_of_the_step_and_not_of_its_owner() {
    let unreadable = OutputProblem::Unreadable { message: "the end is lost".to_owned() };
    for problem in [OutputProblem::NotAFile, unreadable] {
        let mut bench = Bench::begun("- {id: a, run: 'true'}");
        let said = format!("a failed: {problem}");
        let process = ProcessEnded { output_problem: Some(problem), ..exited(0) };
        assert_eq!(bench.end("a", process)[..2], ["a ended 1 failed InvalidOutput".to_owned(), said]);
    }
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let process = ProcessEnded { output_problem: Some(OutputProblem::NotAFile), ..exited(3) };
    assert_eq!(bench.end("a", process)[1], "a failed: exit 3", "the exit code says more");
}

#[test]
fn the_accepted_exit_codes_are_successes_and_a_signal_is_none() {
    for (code, said) in [(0, "a succeeded: exit 0"), (3, "a succeeded: exit 3"), (5, "a failed: exit 5")] {
        let mut bench = Bench::begun("- {id: a, run: 'true', accept_exit: [0, 2-4]}");
        assert_eq!(bench.exit("a", code)[1], said);
    }
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let killed = ProcessEnded { exit_code: None, signal: Some(9), ..exited(0) };
    assert_eq!(bench.end("a", killed)[1], "a failed: ended by signal 9");
}

#[test]
fn a_failed_step_keeps_its_output() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'echo ${{ steps.a.output }} ${{ steps.a.status }} ${{ steps.a.exit_code }}'}",
    );
    let output = bench.keep("half\n");
    bench.end("a", ProcessEnded { output: Some(output), ..exited(9) });
    let values: Vec<&str> =
        bench.starts.last().unwrap().env.iter().take(3).map(|(_, v)| v.as_str()).collect();
    assert_eq!(values, ["half", "failed", "9"]);
}

#[test]
fn a_long_output_is_a_blob_that_only_expressions_that_name_it_need() {
    let long = "x".repeat(10_000);
    let mut bench = Bench::begun(
        "- {id: a, run: 'true'}\n- {id: b, run: 'true'}\n- {id: c, run: 'echo ${{ steps.a.output }}'}",
    );
    bench.print("a", &long);
    let digest = Digest::of(serde_json::to_string(&long).unwrap().as_bytes());
    assert_eq!(bench.blobs[&digest].len(), 10_002, "kept before the append");
    let mut folded = crate::topic::TopicMachine::new(bench.machine.run());
    bench.log.iter().for_each(|recorded| folded.apply(recorded).unwrap());
    folded.define(Arc::clone(&bench.definition));
    assert_eq!(folded.missing_texts(), [digest]);
    folded.give_text(digest, Arc::clone(&bench.blobs[&digest]));
    assert_eq!(folded.missing_texts(), []);

    bench.print("b", &long.replace('x', "y"));
    assert_eq!(bench.starts.last().unwrap().env[0].1, long);
    assert_eq!(bench.refolded().missing_texts(), [], "nothing names b");
}

#[test]
fn log_artifacts_and_output_path_are_there_for_expressions() {
    let mut bench = Bench::begun(
        "- {id: a, run: 'true'}\n- {id: b, run: 'echo ${{ steps.a.log }} ${{ steps.a.artifacts }} ${{ steps.a.output_path }}'}",
    );
    let (effect, attempt) = bench.in_flight("a");
    let folder = "runs/r/a.1".to_owned();
    bench.report(crate::Report::Running {
        effect,
        attempt,
        pid: 1,
        keeper_pid: 2,
        folder: folder.parse().unwrap(),
        before: None,
        agent: None,
    });
    let log = Some(bench.keep("said\n"));
    bench.end("a", ProcessEnded { log, artifacts: vec!["runs/r/a.1/x".parse().unwrap()], ..exited(0) });
    let values: Vec<&str> =
        bench.starts.last().unwrap().env.iter().take(3).map(|(_, v)| v.as_str()).collect();
    assert_eq!(values, ["said\n", "[\"/store/runs/r/a.1/x\"]", "/store/runs/r/a.1/stdout"]);
}

#[test]
fn work_whose_values_cannot_be_printed_fails_before_it_begins() {
    let mut bench =
        Bench::begun("- {id: a, run: 'true', output: json}\n- {id: b, run: 'echo ${{ steps.a.output }}'}");
    bench.print("a", "null");
    bench.settle();
    let facts: Vec<String> = bench.log.iter().map(|recorded| recorded.kind.to_string()).collect();
    assert_eq!(facts[facts.len() - 3..], ["step_started", "step_finished", "run_failed"]);
    let record = bench.record.step(&"b".parse().unwrap()).unwrap();
    assert!(record.attempts.is_empty());
    let Event::Fact(FactEvent::StepFinished(finished)) =
        Event::decode(&bench.log[bench.log.len() - 2]).unwrap()
    else {
        panic!()
    };
    assert_eq!(finished.attempt, None, "no attempt was begun");
}
