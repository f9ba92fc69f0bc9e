//! Inputs and their verdicts: each gets exactly one, in order of number.

use backstay_model::event::LostEvidence::KeeperDead;
use backstay_model::event::{Answer, Event, FactEvent, InputEvent, QuestionAnswered, Settled, SkipRequested};
use backstay_model::limits::INPUTS_PER_PASS_MAX;
use backstay_model::{Digest, Epoch, QuestionId, Scope, Seq, Text};

use super::Bench;
use super::say::{answer, cancel, me, resume, skip, suspend};
use crate::Rejection;
use crate::record::RunStatus;

fn in_doubt() -> Bench {
    let mut bench = Bench::begun("- {id: a, run: 'true', after_crash: ask}\n- {id: b, run: 'true'}");
    bench.lose("a", KeeperDead);
    bench
}

#[test]
fn h4_the_first_valid_answer_by_number_wins_and_the_others_read_who_won() {
    let mut bench = in_doubt();
    let question = bench.question();
    let numbers: Vec<_> =
        ["maybe", "rerun", "done"].map(|choice| bench.say(answer(question, choice))).map(|seq| seq.0).into();
    assert_eq!(numbers, [9, 10, 11]);
    assert_eq!(
        bench.settle(),
        [
            "#9 refused: InvalidAnswer",
            "#10 accepted",
            "a question closed",
            "a resolved 1 not done",
            "#11 superseded by #10",
            "a starting 2"
        ]
    );
    bench.say(answer(question, "done"));
    assert_eq!(bench.settle(), ["#18 superseded by #10"], "also later");
}

#[test]
fn h2_a_wrong_answer_is_refused_and_the_question_stays_open() {
    let mut bench = in_doubt();
    let question = bench.question();
    bench.say(answer(question, ""));
    assert_eq!(bench.settle(), ["#9 refused: InvalidAnswer"]);
    assert_eq!(bench.status(), RunStatus::Waiting);
    assert_eq!(bench.question(), question);
    bench.say(answer(QuestionId::derived(Digest::of(b"another")), "done"));
    assert_eq!(bench.settle(), ["#11 refused: UnknownQuestion"]);
}

#[test]
fn h2_a_value_that_is_not_json_is_refused_and_the_question_stays_open() {
    let mut bench = in_doubt();
    let answered = |value: &str| QuestionAnswered {
        by: me(),
        question: bench.question(),
        answer: Answer { choice: "done".to_owned(), value: Some(Text::Inline(value.to_owned())) },
    };
    let (wrong, right) = (answered("{\"ready\":"), answered("{\"ready\":true}"));
    bench.say(wrong);
    assert_eq!(bench.settle(), ["#9 refused: InvalidAnswer"]);
    bench.say(right);
    assert_eq!(bench.settle()[0], "#11 accepted");
}

#[test]
fn an_answer_to_a_suspended_run_decides_and_starts_nothing() {
    let mut bench = in_doubt();
    bench.say(suspend());
    bench.settle();
    assert_eq!(bench.status(), RunStatus::Suspended);
    assert_eq!(bench.answer("rerun")[1..], ["a question closed", "a resolved 1 not done"]);
    assert!(bench.desired().is_empty());
    bench.say(resume());
    assert_eq!(bench.settle().last().unwrap(), "a starting 2");
}

#[test]
fn a_skip_whose_output_is_not_json_is_refused() {
    let mut bench = in_doubt();
    let output = Some(Text::Inline("not json".to_owned()));
    bench.say_of_step("b", SkipRequested { by: me(), output });
    assert_eq!(bench.settle(), ["#9 refused: Malformed"]);
}

#[test]
fn what_nobody_may_say_is_advised_against_before_it_is_said() {
    let bench = in_doubt();
    let nowhere = bench.machine.would_accept(&"nowhere".parse().unwrap(), &skip().into());
    assert_eq!(nowhere, Err(Rejection::UnknownStep { step: "nowhere".to_owned() }));
    assert_eq!(bench.would_accept(cancel()), Ok(()));
}

#[test]
fn what_is_said_before_the_first_owner_comes_holds_once_it_came() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}\n- {id: b, needs: [], run: 'true'}");
    let of_run = Scope::root;
    for (scope, input) in [
        (of_run(), InputEvent::from(suspend())),
        (of_run(), resume().into()),
        ("b".parse().unwrap(), skip().into()),
        (of_run(), cancel().into()),
    ] {
        assert_eq!(bench.machine.would_accept(&scope, &input), Ok(()), "{input:?}");
        bench.say_of(scope, input);
    }
    let facts = bench.settle();
    for number in 1..=5 {
        assert!(facts.contains(&format!("#{number} accepted")), "{facts:?}");
    }
    assert_eq!(facts.last().unwrap(), "run cancelled");
}

#[test]
fn the_fold_knows_the_last_owner_and_when_it_came_or_went() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    assert_eq!((bench.machine.epoch(), bench.machine.handover()), (Epoch(0), Seq(0)));
    bench.claimed_by(1);
    assert_eq!((bench.machine.epoch(), bench.machine.handover()), (Epoch(1), Seq(2)));
    bench.settle();
    bench.release(1);
    let released = bench.machine.head();
    bench.say(cancel());
    bench.crash();
    assert_eq!((bench.machine.epoch(), bench.machine.handover()), (Epoch(1), released));
    bench.claimed_by(2);
    assert_eq!((bench.machine.epoch(), bench.machine.handover()), (Epoch(2), Seq(released.0 + 2)));
}

#[test]
fn a_second_request_is_refused() {
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    let Event::Input(again) = Event::decode(&bench.log[0]).unwrap() else {
        panic!("the request is an input")
    };
    bench.say(again);
    assert_eq!(bench.settle()[..3], ["#1 accepted", "run started", "#2 refused: NotNow"]);
}

/// The input's number of each verdict in the log.
pub(super) fn settled(bench: &Bench) -> Vec<u64> {
    let number = |event| match event {
        Event::Fact(FactEvent::Settled(Settled { input, .. })) => Some(input.0),
        _ => None,
    };
    bench.log.iter().map(|recorded| Event::decode(recorded).unwrap()).filter_map(number).collect()
}

#[test]
fn l20_more_inputs_than_one_pass_takes_are_taken_in_order_pass_by_pass() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let numbers: Vec<u64> = (0..150).map(|_| bench.skip("nowhere").0).collect();
    for expected in [INPUTS_PER_PASS_MAX, INPUTS_PER_PASS_MAX, 150 - 2 * INPUTS_PER_PASS_MAX, 0] {
        assert_eq!(bench.look().len(), expected);
    }
    assert_eq!(settled(&bench)[1..], numbers);
}

#[test]
fn l20_a_run_does_not_end_before_everything_said_to_it_has_its_verdict() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    (0..INPUTS_PER_PASS_MAX).for_each(|_| {
        bench.skip("nowhere");
    });
    let cancel = bench.say(cancel());
    let facts = bench.exit("a", 0);
    assert_eq!(facts.last().unwrap(), &format!("#{} refused: UnknownStep", cancel.0 - 1));
    assert_eq!(
        bench.settle(),
        [format!("#{cancel} accepted"), "run cancelling".to_owned(), "run cancelled".to_owned()]
    );
}

#[test]
fn inputs_that_come_between_are_folded_in_their_place() {
    // The owner decides, somebody says something, and only then the facts are numbered: the log has the input first.
    let mut bench = Bench::asked("- {id: a, run: 'true'}");
    let mut ahead = bench.machine.clone();
    bench.say(suspend());
    bench.settle();
    ahead.apply(&bench.log[1]).unwrap();
    assert_eq!(ahead.last_input().0, 2);
    assert_eq!(ahead.inbox, {
        let mut both = crate::topic::TopicMachine::new(ahead.run());
        bench.log[..2].iter().for_each(|recorded| both.apply(recorded).unwrap());
        both.inbox
    });
    // An event that was folded changes nothing.
    ahead.apply(&bench.log[1]).unwrap();
    assert_eq!(ahead.inbox.len(), 2);
}
