//! Questions that steps ask while they work.

use backstay_model::event::LostEvidence::KeeperDead;
use backstay_model::event::{AskRequested, RefusalCode, Verdict};
use backstay_model::{Attempt, Digest, QuestionId, Timestamp};

use super::Bench;
use super::say::{answer, me, suspend};
use crate::record::RunStatus;

fn ask(bench: &Bench, step: &str, options: &[&str]) -> AskRequested {
    let (effect, attempt) = bench.in_flight(step);
    AskRequested {
        by: me(),
        question: QuestionId::derived(Digest::of(format!("{effect}:{options:?}").as_bytes())),
        effect,
        attempt,
        prompt: "Which one?".to_owned(),
        options: options.iter().map(|name| (*name).to_owned()).collect(),
        default: None,
        due_at: None,
    }
}

fn asking() -> (Bench, AskRequested) {
    let mut bench =
        Bench::begun("- {id: a, run: 'true', retry: 1, after_crash: rerun}\n- {id: b, run: 'true'}");
    let wish = ask(&bench, "a", &["red", "blue"]);
    bench.say(wish.clone());
    assert_eq!(bench.settle(), ["#6 accepted", "a question asked"]);
    (bench, wish)
}

#[test]
fn a_step_asks_while_it_works_and_the_first_valid_answer_is_the_answer() {
    let (mut bench, wish) = asking();
    assert_eq!(bench.status(), RunStatus::Running, "it works on");
    assert_eq!(bench.machine.summary().question, Some(wish.question), "and lists show that it asks");
    bench.say(answer(wish.question, "green"));
    bench.say(answer(wish.question, "blue"));
    bench.say(answer(wish.question, "red"));
    assert_eq!(
        bench.settle(),
        ["#9 refused: InvalidAnswer", "#10 accepted", "a question closed", "#11 superseded by #10"]
    );
    let known = &bench.record.questions[0];
    assert_eq!(known.answer.as_ref().map(|(answer, _)| answer.choice.as_str()), Some("blue"));
    assert_eq!(
        bench.exit("a", 0),
        ["a ended 1 succeeded", "a succeeded: exit 0", "b started", "b starting 1"]
    );
}

#[test]
fn the_same_question_of_another_attempt_is_the_same_question() {
    let (mut bench, wish) = asking();
    bench.say(wish.clone());
    assert_eq!(bench.settle(), ["#9 accepted"], "it is open already");
    bench.crash();
    bench.say(answer(wish.question, "red"));
    bench.settle();
    bench.lose("a", KeeperDead);
    let again = AskRequested { attempt: Attempt(2), ..wish };
    bench.say(again.clone());
    let settled = bench.settle();
    assert!(settled.len() == 1 && settled[0].ends_with("accepted"), "it is answered already: {settled:?}");
    assert_eq!(bench.record.questions.len(), 1);
    assert!(bench.machine.open_questions().next().is_none());
}

#[test]
fn only_work_in_flight_asks_and_only_what_makes_sense() {
    let (mut bench, wish) = asking();
    let other = |change: fn(&mut AskRequested)| {
        let mut wish = AskRequested { question: QuestionId::derived(Digest::of(b"other")), ..wish.clone() };
        change(&mut wish);
        wish
    };
    for wrong in [
        other(|wish| wish.prompt = " ".to_owned()),
        other(|wish| wish.prompt = "x".repeat(4_097)),
        other(|wish| wish.options = vec![String::new()]),
        other(|wish| wish.options = vec!["x".to_owned(); 17]),
    ] {
        bench.say(wrong);
        assert!(bench.settle()[0].ends_with("refused: Malformed"));
    }
    let no_option = other(|wish| wish.default = Some("green".to_owned()));
    let refused = bench.would_accept(no_option).unwrap_err().verdict();
    let message = "the default `green` is none of the options: red, blue".to_owned();
    assert_eq!(refused, Verdict::Refused { code: RefusalCode::Malformed, message });
    bench.say(other(|wish| wish.attempt = Attempt(2)));
    assert!(bench.settle()[0].ends_with("refused: NotNow"));
    bench.exit("a", 0);
    bench.say(other(|_| {}));
    assert!(bench.settle()[0].ends_with("refused: NotNow"), "it is done");
}

#[test]
fn h5_a_question_that_nobody_answers_in_time_takes_its_default_also_behind_a_crash() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let due_at = Timestamp::from_micros(bench.now.as_micros() + 60_000_000);
    let wish =
        AskRequested { default: Some("red".to_owned()), due_at: Some(due_at), ..ask(&bench, "a", &["red"]) };
    bench.say(wish.clone());
    bench.settle();
    assert_eq!(bench.machine.next_timer(), Some(due_at));
    bench.later(59_999);
    assert_eq!(bench.look(), Vec::<String>::new());
    bench.crash();
    bench.later(1);
    assert_eq!(bench.look(), ["a question closed"]);
    assert_eq!(bench.machine.next_timer(), None);
    let known = &bench.record.questions[0];
    assert_eq!(known.answer.as_ref().map(|(answer, _)| answer.choice.as_str()), Some("red"));
    bench.say(answer(wish.question, "red"));
    assert!(bench.settle()[0].ends_with("refused: NotNow"), "too late");
}

#[test]
fn a_question_is_closed_with_its_step_and_stays_open_while_the_run_stands_still() {
    let (mut bench, wish) = asking();
    bench.say(suspend());
    bench.settle();
    bench.stopped("a");
    assert_eq!(bench.status(), RunStatus::Suspended);
    assert_eq!(bench.machine.open_questions().count(), 1);
    let (mut bench, _) = (asking().0, wish);
    let ended = bench.exit("a", 0);
    assert_eq!(ended.last().map(String::as_str), Some("a question closed"), "{ended:?}");
    assert_eq!(bench.record.questions[0].answer, None);
}

#[test]
fn a_run_only_asks_where_each_step_at_work_does_and_no_time_ends_it() {
    let two = "- {id: a, run: 'true', needs: []}\n- {id: b, run: 'true', needs: []}";
    let mut bench = Bench::begun(two);
    let asks = |bench: &Bench| {
        let steps: Vec<_> =
            bench.record.steps_that_only_ask().iter().map(|step| step.step.to_string()).collect();
        assert_eq!(bench.machine.asks_people_only(), !steps.is_empty());
        steps
    };
    assert!(asks(&bench).is_empty());
    let wish = ask(&bench, "a", &["red"]);
    bench.say(wish.clone());
    bench.settle();
    assert!(asks(&bench).is_empty(), "b works");
    bench.say(ask(&bench, "b", &[]));
    bench.settle();
    assert_eq!(asks(&bench), ["a", "b"]);
    bench.crash();
    assert_eq!(asks(&bench), ["a", "b"], "whoever owns it");
    bench.say(answer(wish.question, "red"));
    bench.settle();
    assert!(asks(&bench).is_empty(), "a goes on");
    bench.exit("a", 0);
    assert_eq!(asks(&bench), ["b"]);
    bench.say(suspend());
    bench.settle();
    assert!(asks(&bench).is_empty(), "it is being stopped");

    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let due_at = Some(Timestamp::from_micros(bench.now.as_micros() + 60_000_000));
    bench.say(AskRequested { due_at, ..ask(&bench, "a", &[]) });
    bench.settle();
    assert!(asks(&bench).is_empty(), "the time ends it");
}

#[test]
fn without_options_any_text_is_an_answer() {
    let mut bench = Bench::begun("- {id: a, run: 'true'}");
    let wish = ask(&bench, "a", &[]);
    bench.say(wish.clone());
    bench.settle();
    bench.say(answer(wish.question, ""));
    assert!(bench.settle()[0].ends_with("refused: InvalidAnswer"));
    bench.say(answer(wish.question, "Take the long way."));
    bench.settle();
    let known = &bench.record.questions[0];
    assert_eq!(known.answer.as_ref().map(|(answer, _)| answer.choice.as_str()), Some("Take the long way."));
}
