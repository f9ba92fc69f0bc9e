//! The record of a run: a fold of the same log.

use backstay_model::event::LostEvidence::KeeperDead;
use backstay_model::event::{
    AttemptEnd, CheckoutBusy, CycleStarted, Event, FactEvent, FailureClass, QuestionAsked, QuestionClosed,
    QuestionKind, RunStarted, Said, SaidOn, StepFinished, StepStarted, StepStatus, Tokens, Usage, UsageSpan,
};
use backstay_model::{Digest, Position, QuestionId, Recorded, StepId, Timestamp, Topic};

use super::Bench;
use super::bench::{ended, exited};
use super::say::{again, answer, cancel, resume, suspend};
use crate::record::{RunRecord, RunStatus, StepStage};
use crate::topic::Input;
use crate::{EndedBy, ProcessEnded, Report};

fn step(id: &str) -> StepId {
    id.parse().unwrap()
}

/// A run in which much happened: two owners, a loss, two answers, a suspension, a failure, a second life.
fn eventful() -> Bench {
    let mut bench = Bench::asked(
        "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: [], retry: 1}\n- {id: c, run: 'true'}\n- {id: d, run: 'true'}",
    );
    bench.claimed_by(1);
    bench.settle();
    bench.later(1_000);
    bench.claimed_by(2);
    bench.lose("a", KeeperDead);
    let question = bench.question();
    bench.say(answer(question, "maybe"));
    bench.say(answer(question, "rerun"));
    bench.say(answer(question, "done"));
    bench.settle();
    bench.later(1_000);
    bench.exit("b", 1);
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.later(10_000);
    bench.say(resume());
    bench.settle();
    bench.print("a", "out");
    bench.exit("b", 7);
    bench.say(again());
    bench.settle();
    bench.exit("b", 0);
    bench.skip("d");
    bench.settle();
    bench.later(500);
    bench.exit("c", 0);
    assert_eq!(bench.status(), RunStatus::Completed);
    bench
}

#[test]
fn r1_folding_twice_page_by_page_or_from_a_snapshot_gives_the_same_record() {
    let bench = eventful();
    let fold = |mut record: RunRecord, from: usize| {
        bench.log[from..].iter().for_each(|recorded| record.apply(recorded).unwrap());
        record
    };
    let new = || RunRecord::new(bench.machine.run());
    assert_eq!(fold(new(), 0), bench.record);
    assert_eq!(fold(bench.record.clone(), 0), bench.record, "what was folded changes nothing");
    let mut snapshot = new();
    for (index, recorded) in bench.log.iter().enumerate() {
        let stored = serde_json::to_string(&snapshot).unwrap();
        let read: RunRecord = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, snapshot, "after {index} events");
        assert_eq!(fold(read, index), bench.record, "from a snapshot after {index} events");
        snapshot.apply(recorded).unwrap();
    }
}

#[test]
fn r1_the_record_tells_each_attempt_and_each_result() {
    let bench = eventful();
    let record = &bench.record;
    assert_eq!((record.status, record.reopened, record.failed_step.clone()), (RunStatus::Completed, 1, None));
    let attempts = |id: &str| -> Vec<_> {
        let attempts = &record.step(&step(id)).unwrap().attempts;
        attempts.iter().map(|attempt| (attempt.attempt.0, attempt.end, attempt.lost)).collect()
    };
    let failed = Some(AttemptEnd::Failed { failure: FailureClass::Exit });
    assert_eq!(
        attempts("a"),
        [
            (1, None, Some(KeeperDead)),
            (2, Some(AttemptEnd::Interrupted), None),
            (3, Some(AttemptEnd::Succeeded), None)
        ]
    );
    assert_eq!(attempts("b"), [(1, failed, None), (2, failed, None), (3, Some(AttemptEnd::Succeeded), None)]);
    let d = record.step(&step("d")).unwrap();
    assert_eq!(d.stage, StepStage::Done { status: StepStatus::Skipped });
    assert!(d.attempts.is_empty());
    assert_eq!(
        record.step(&step("b")).unwrap().failure,
        None,
        "what failed before the reset is not its result"
    );
}

#[test]
fn r6_a_question_has_its_prompt_its_answer_and_who_gave_it() {
    let bench = eventful();
    let [question] = bench.record.questions.as_slice() else { panic!("{:?}", bench.record.questions) };
    assert!(question.prompt.contains("`a` was at work when its keeper died"), "{}", question.prompt);
    let (answer, by) = question.answer.clone().unwrap();
    assert_eq!((answer.choice.as_str(), by.name.as_str()), ("rerun", "ada"), "the one that won");
    assert_eq!(
        question.options.iter().map(|option| option.name.as_str()).collect::<Vec<_>>(),
        ["done", "rerun", "fail"]
    );
    assert!(question.closed_at.is_some());
}

#[test]
fn a_question_that_the_run_did_not_wait_for_has_no_answer() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    bench.lose("a", KeeperDead);
    bench.say(cancel());
    bench.settle();
    assert!(bench.record.questions[0].closed_at.is_some());
    assert_eq!(bench.record.questions[0].answer, None);
}

fn attach(bench: &mut Bench, id: &str) {
    let (effect, attempt) = bench.in_flight(id);
    bench.report(Report::Attached { effect, attempt, had_ended: false });
}

#[test]
fn s4_an_interruption_tells_from_when_to_when_and_what_was_found_again_or_lost() {
    let mut bench = Bench::asked("- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}");
    bench.claimed_by(1);
    bench.settle();
    let died_after = bench.now;
    bench.later(60_000);
    // Somebody speaks before the next owner comes: that is no sign of life of the old one.
    bench.say(resume());
    bench.later(1_000);
    bench.claimed_by(2);
    let came_at = bench.now;
    bench.settle();
    attach(&mut bench, "a");
    bench.lose("b", KeeperDead);
    // Much later the keeper of a dies, while the owner lives.
    bench.later(3_600_000);
    bench.lose("a", KeeperDead);
    let told = |record: &RunRecord| -> Vec<(Timestamp, Timestamp, u32, String)> {
        let words = |steps: &[StepId]| steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let told = record.interruptions.iter().map(|interruption| {
            let steps = format!("{} | {}", words(&interruption.reattached), words(&interruption.lost));
            (interruption.from, interruption.until, interruption.pid, steps)
        });
        told.collect()
    };
    assert_eq!(told(&bench.record), [(died_after, came_at, 1, "a | b".to_owned())]);
    let a = bench.record.step(&step("a")).unwrap();
    assert_eq!(a.attempts[0].reattached, 1);
}

#[test]
fn a_run_that_was_given_up_or_stood_still_was_not_interrupted() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    bench.claimed_by(1);
    bench.settle();
    bench.release(1);
    bench.claimed_by(2);
    assert_eq!(bench.record.interruptions, []);
    assert_eq!(bench.record.owner.as_ref().map(|owner| owner.pid), Some(2));
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.claimed_by(3);
    assert_eq!(bench.record.interruptions, [], "nothing was under way");
    bench.say(resume());
    bench.settle();
    bench.exit("a", 1);
    assert_eq!(bench.record.owner, None, "a run that ended has no owner");
    bench.claimed_by(4);
    assert_eq!(bench.record.interruptions, []);
}

#[test]
fn a_record_follows_stalls_time_outs_and_what_was_left_behind() {
    let mut bench = Bench::begun("- {id: a, run: 'true', timeout: 1m, retry: 1}");
    let (effect, attempt) = bench.in_flight("a");
    bench.report(Report::Stalled { effect, attempt, silent_ms: 5, stop_in_ms: None });
    assert!(bench.record.step(&step("a")).unwrap().stalled_at.is_some());
    bench.end("a", ProcessEnded { left_behind: 2, ..ended(EndedBy::Timeout) });
    let a = bench.record.step(&step("a")).unwrap();
    assert!(matches!(a.stage, StepStage::Backoff { .. }));
    assert_eq!(
        (a.attempts[0].timed_out.map(|budget| budget.as_str()), a.attempts[0].left_behind),
        (Some("timeout"), 2)
    );
    bench.later(60_000);
    bench.settle();
    assert_eq!(bench.record.step(&step("a")).unwrap().stalled_at, None, "a new attempt is not silent yet");
    bench.end("a", exited(0));
    assert_eq!(bench.record.outputs, Some(backstay_model::Text::of("{}")));
    assert!(bench.record.ended_at.is_some());
}

#[test]
fn an_event_that_cannot_be_read_changes_nothing() {
    let bench = Bench::begun("- {id: a, run: 'true'}");
    let mut record = bench.record.clone();
    let mut machine = bench.machine.clone();
    let mut unknown = bench.log[bench.log.len() - 1].clone();
    unknown.seq = unknown.seq.next();
    unknown.kind = backstay_model::Kind::new("step_teleported");
    assert!(record.apply(&unknown).is_err() && machine.apply(&unknown).is_err());
    assert_eq!(record, bench.record);
    assert_eq!(machine.head(), bench.machine.head());
}

/// The last fact about `step`'s result.
fn finished_ms(bench: &Bench, id: &str) -> u64 {
    let of_step =
        |recorded: &&backstay_model::Recorded| recorded.scope.step_id().is_some_and(|of| of.as_str() == id);
    let ends =
        bench.log.iter().filter(of_step).filter_map(|recorded| match Event::decode(recorded).unwrap() {
            Event::Fact(FactEvent::StepFinished(finished)) => Some(finished.duration_ms),
            _ => None,
        });
    ends.max().unwrap()
}

/// The line of an event and the table of the steps tell the same time.
#[test]
fn a_step_that_waited_for_its_checkout_took_the_time_of_its_work() {
    let mut bench = Bench::asked("- {id: a, run: 'true', retry: 1}");
    bench.holds_checkout = false;
    bench.settle();
    bench.pass(Input::CheckoutBusy(CheckoutBusy { root: "/work".to_owned(), held_by: None, pid: None }));
    bench.later(600_000);
    bench.holds_checkout = true;
    bench.look();
    bench.later(10_000);
    bench.exit("a", 0);
    let of_record = bench.record.duration_of(bench.record.step(&step("a")).unwrap(), bench.now).as_millis();
    assert_eq!((finished_ms(&bench, "a"), of_record), (10_000, 10_000));
}

#[test]
fn durations_are_without_the_times_in_which_a_run_was_suspended_or_had_ended() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}\n- {id: b, run: 'true'}");
    let seconds = |bench: &Bench| bench.record.duration(bench.now).as_secs();
    let of = |bench: &Bench, id: &str| {
        bench.record.duration_of(bench.record.step(&step(id)).unwrap(), bench.now).as_secs()
    };
    bench.later(3_000);
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    bench.later(60_000);
    assert_eq!((seconds(&bench), of(&bench, "a")), (3, 3), "it is suspended");
    bench.say(resume());
    bench.settle();
    bench.later(4_000);
    assert_eq!((seconds(&bench), of(&bench, "a")), (7, 7), "it goes on");
    bench.exit("a", 0);
    assert_eq!(finished_ms(&bench, "a"), 7_000, "the fact says the same");
    bench.later(1_000);
    bench.exit("b", 1);
    bench.later(3_600_000);
    assert_eq!(seconds(&bench), 8, "it had failed");
    bench.say(again());
    bench.settle();
    bench.later(2_000);
    bench.exit("b", 0);
    bench.later(9_000);
    assert_eq!((seconds(&bench), bench.record.pauses.len()), (10, 3));
}

#[test]
fn steps_are_counted_the_same_whatever_becomes_of_them() {
    // (the plan, what is done, done and total after each)
    type Does = fn(&mut Bench);
    type Counted<'a> = (&'a str, &'a str, &'a [Does], &'a [(u32, u32)]);
    let loops = "- id: l\n  repeat: {until: steps.t.exit_code == 0, max_cycles: 3, min_cycle: 0s}\n  steps:\n  - {id: c, run: 'true'}\n  - {id: t, run: 'true', accept_exit: 0-9}\n- {id: z, run: 'true'}";
    let cycle: Does = |bench| {
        bench.exit("c", 0);
        bench.exit("t", 1);
    };
    let table: [Counted<'_>; 5] = [
        (
            "a list",
            "- {id: a, run: 'true'}\n- {id: b, run: 'true'}",
            &[|b| drop(b.exit("a", 0)), |b| drop(b.exit("b", 0))],
            &[(1, 2), (2, 2)],
        ),
        (
            "a step that was left out has its result",
            "- {id: a, run: 'true'}\n- {id: b, run: 'true', if: 'false'}",
            &[|b| drop(b.exit("a", 0))],
            &[(2, 2)],
        ),
        (
            "of a loop the current cycle counts",
            loops,
            &[|b| drop(b.exit("c", 0)), |b| drop(b.exit("t", 1)), cycle, cycle],
            &[(1, 3), (0, 3), (0, 3), (3, 3)],
        ),
        (
            "steps of a loop that is left out are done with it",
            "- id: l\n  if: 'false'\n  repeat: {until: steps.t.exit_code == 0, max_cycles: 3}\n  steps:\n  - {id: t, run: 'true'}\n- {id: z, run: 'true'}",
            &[|_| (), |b| drop(b.exit("z", 0))],
            &[(1, 2), (2, 2)],
        ),
        (
            "finally counts",
            "- {id: a, run: 'true'}\nfinally:\n- {id: f, run: 'true'}",
            &[|b| drop(b.exit("a", 0)), |b| drop(b.exit("f", 0))],
            &[(1, 2), (2, 2)],
        ),
    ];
    for (name, plan, does, counts) in table {
        let mut bench = Bench::begun(plan);
        for (does, (done, total)) in does.iter().zip(counts) {
            does(&mut bench);
            let (list, page) = (bench.machine.summary(), bench.record.progress(bench.definition.plan()));
            assert_eq!((list.steps_done, list.steps_total), (*done, *total), "{name}: the list");
            assert_eq!((page.done, page.total), (*done, *total), "{name}: the page");
        }
    }
}

#[test]
fn an_interruption_begins_with_the_last_sign_of_the_old_owner() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    bench.claimed_by(1);
    bench.settle();
    bench.later(9_000);
    let last_sign = bench.now;
    bench.later(5_000);
    bench.claimed_after(2, Some(last_sign));
    let [interruption] = &bench.record.interruptions[..] else { panic!("{:?}", bench.record.interruptions) };
    assert_eq!(interruption.until.since(interruption.from).as_secs(), 5);
}

#[test]
fn a_record_that_lets_go_of_old_passes_still_knows_what_was_used() {
    let steps = "- id: l\n  repeat: {until: steps.t.exit_code == 0, max_cycles: 40, min_cycle: 0s}\n  steps:\n  - {id: c, agent: codex, prompt: Do it.}\n  - {id: t, run: 'true', accept_exit: 0-9}";
    let mut bench = Bench::begun(steps);
    for _ in 0..30 {
        let (effect, attempt) = bench.in_flight("c");
        let tokens = Tokens { input: Some(7), output: Some(1), ..Tokens::default() };
        let said = vec![(1, Said::Usage(Usage { span: UsageSpan::Process, tokens }))];
        bench.report(Report::Said { effect, attempt, on: SaidOn::Stdout, said });
        bench.exit("c", 0);
        bench.exit("t", 1);
    }
    let (whole, usage) = (bench.record.steps.len(), bench.record.usage());
    bench.record.forget_old_passes();
    assert!(bench.record.steps.len() <= 25 && whole > 60, "{} of {whole}", bench.record.steps.len());
    assert_eq!(bench.record.usage(), usage);
    assert_eq!(usage.unwrap().input.known, 210);
    let progress = bench.record.progress(bench.definition.plan());
    assert_eq!((progress.done, progress.total), (0, 2), "the current pass is there");
}

/// A loop whose step asks in every cycle, folded; how many entries of its lists were looked at.
fn folded_loop(cycles: u32) -> (RunRecord, u64) {
    let run = Bench::asked("- {id: a, run: 'true'}").machine.run();
    let mut record = RunRecord::new(run);
    let mut fold = |scope: &str, event: Event| {
        let seq = record.head.next();
        let recorded = Recorded {
            topic: Topic::run(run),
            seq,
            g: Position(seq.0),
            at: Timestamp::from_micros(i64::try_from(seq.0).unwrap()),
            kind: event.kind(),
            scope: scope.parse().unwrap(),
            payload: event.encode().unwrap(),
            trace: None,
            more: false,
        };
        record.apply(&recorded).unwrap();
    };
    fold("", RunStarted {}.into());
    for cycle in 1..=cycles {
        let check = false;
        let begun = CycleStarted { cycle, nth: cycle, max_cycles: cycles, check, unchanged_in_a_row: 0 };
        fold("repeat", begun.into());
        let (scope, question) =
            (format!("repeat~{cycle}/work"), QuestionId::derived(Digest::of(&cycle.to_le_bytes())));
        fold(&scope, StepStarted { agent: Some("bash".to_owned()) }.into());
        let asked = QuestionAsked {
            question,
            kind: QuestionKind::AfterCrash,
            prompt: String::new(),
            options: Vec::new(),
            effect: None,
            default: None,
            due_at: None,
        };
        fold(&scope, asked.into());
        fold(&scope, QuestionClosed { question, answered_by: None, choice: None }.into());
        let finished = StepFinished {
            status: StepStatus::Succeeded,
            attempt: None,
            exit_code: Some(0),
            failure: None,
            summary: String::new(),
            output: None,
            duration_ms: 0,
        };
        fold(&scope, finished.into());
    }
    let looked_at = record.index.looked_at();
    (record, looked_at)
}

#[test]
fn an_event_of_a_long_loop_costs_no_more_than_one_of_a_short_one() {
    let ((short, looked_at), (long, looked_at_by_long)) = (folded_loop(100), folded_loop(1_000));
    assert_eq!((short.steps.len(), long.steps.len(), long.questions.len()), (101, 1_001, 1_000));
    assert!(looked_at >= 100, "{looked_at} entries for 100 questions that the run waited for");
    assert!(looked_at_by_long <= looked_at * 10, "{looked_at} entries, then {looked_at_by_long}");
}
