//! What the agents of a run may use.

use backstay_model::Text;
use backstay_model::event::{FailureClass, Said, SaidOn, Tokens, Usage, UsageSpan};

use super::Bench;
use super::bench::exited;
use super::say::{cancel, skip};
use crate::record::RunStatus;
use crate::{AgentEnded, ProcessEnded, Report, TurnEnd};

fn begun(on_exceeded: &str, steps: &str) -> Bench {
    Bench::begun(&format!("{steps}\nbudget: {{tokens: 1k, on_exceeded: {on_exceeded}}}"))
}

const TWO: &str = "- {id: a, agent: codex, prompt: x}\n- {id: b, agent: codex, session: {from: a}, prompt: x}\n- {id: c, run: make}";

fn uses(bench: &mut Bench, step: &str, span: UsageSpan, input: u64, output: Option<u64>) {
    let (effect, attempt) = bench.in_flight(step);
    let tokens = Tokens { input: Some(input), output, ..Tokens::default() };
    let said = vec![
        (10, Said::SessionStarted { id: "s1".to_owned(), model: None }),
        (20, Said::Usage(Usage { span, tokens })),
    ];
    bench.report(Report::Said { effect, attempt, on: SaidOn::Stdout, said });
}

fn ends_well(bench: &mut Bench, step: &str) -> Vec<String> {
    let agent = Some(AgentEnded { turn: TurnEnd::Well, trouble: None });
    let facts = bench.end(step, ProcessEnded { output: Some(Text::of("done")), agent, ..exited(0) });
    facts.into_iter().chain(bench.settle()).collect()
}

#[test]
fn below_its_budget_a_run_asks_nobody() {
    let mut bench = begun("ask", TWO);
    uses(&mut bench, "a", UsageSpan::Process, 900, Some(99));
    assert_eq!(ends_well(&mut bench, "a")[2..], ["b started", "b starting 1 codex in s1"]);
}

#[test]
fn a_budget_says_that_more_was_used_only_where_the_last_figures_are_partial() {
    let figures = |is_partial| {
        let tokens = Tokens { input: Some(1_100), output: Some(0), is_partial, ..Tokens::default() };
        Said::Usage(Usage { span: UsageSpan::Process, tokens })
    };
    for (said, more) in
        [(vec![figures(true)], ", and more that is not told"), (vec![figures(true), figures(false)], "")]
    {
        let mut bench = begun("ask", TWO);
        let (effect, attempt) = bench.in_flight("a");
        let said = (20..).zip(said).collect();
        bench.report(Report::Said { effect, attempt, on: SaidOn::Stdout, said });
        ends_well(&mut bench, "a");
        let asked = bench.machine.open_questions().next().unwrap().clone();
        let told = format!("`b` would begin, and 1100 of 1000 tokens are used{more}. What now?");
        assert_eq!(asked.prompt, told);
    }
}

#[test]
fn no_agent_begins_over_the_budget_before_a_person_allows_more() {
    let mut bench = begun("ask", TWO);
    uses(&mut bench, "a", UsageSpan::Session, 900, Some(200));
    assert_eq!(ends_well(&mut bench, "a")[2..], ["b started", "b question asked"]);
    let asked = bench.machine.open_questions().next().unwrap().clone();
    assert_eq!(asked.prompt, "`b` would begin, and 1100 of 1000 tokens are used. What now?");
    assert_eq!((bench.status(), bench.machine.is_at_rest()), (RunStatus::Waiting, true));
    bench.crash();
    assert_eq!(bench.settle(), [""; 0]);
    assert_eq!(bench.answer("more")[1..], ["b question closed", "budget raised", "b starting 1 codex in s1"]);
    // The session counts on: 1,100 of before are in it.
    uses(&mut bench, "b", UsageSpan::Session, 1_900, Some(200));
    assert_eq!(ends_well(&mut bench, "b")[2..], ["c started", "c starting 1"], "a script uses nothing");
}

#[test]
fn a_person_may_stop_it_there() {
    let mut bench = begun("ask", TWO);
    uses(&mut bench, "a", UsageSpan::Process, 1_000, None);
    ends_well(&mut bench, "a");
    assert_eq!(
        bench.answer("stop")[1..],
        [
            "b question closed",
            "b failed: 1000 tokens are used, and no more may be",
            "c skipped: `b`, which it needs, did not succeed",
            "run failed: b: 1000 tokens are used, and no more may be"
        ]
    );
    let record = bench.record.step(&"b".parse().unwrap()).unwrap();
    assert_eq!((record.failure, record.attempts.len()), (Some(FailureClass::Budget), 0));
}

#[test]
fn on_exceeded_stop_asks_nobody() {
    let mut bench = begun("stop", TWO);
    uses(&mut bench, "a", UsageSpan::Process, 2_000, None);
    assert_eq!(ends_well(&mut bench, "a")[2..4], ["b started", "b failed: 2000 of 1000 tokens are used"]);
}

#[test]
fn one_answer_is_for_all_that_ask_and_what_is_not_wanted_any_more_closes_its_question() {
    let steps = "- {id: a, agent: codex, prompt: x}\n- {id: b, agent: codex, prompt: x, needs: [a]}\n- {id: c, agent: claude, prompt: x, needs: [a]}\n- {id: d, agent: codex, prompt: x, needs: [a]}";
    let over = || {
        let mut bench = begun("ask", steps);
        uses(&mut bench, "a", UsageSpan::Process, 1_000, None);
        ends_well(&mut bench, "a");
        assert_eq!(bench.machine.open_questions().count(), 3);
        bench
    };
    let mut bench = over();
    bench.say(skip("d"));
    assert_eq!(bench.settle()[1..], ["d question closed", "d skipped: left out on request"]);
    bench.answer("more");
    assert_eq!(bench.desired(), ["b hold 1", "c hold 1"]);
    assert_eq!(bench.machine.open_questions().count(), 0);
    let mut bench = over();
    bench.say(cancel());
    bench.settle();
    assert_eq!((bench.status(), bench.machine.open_questions().count()), (RunStatus::Cancelled, 0));
}

#[test]
fn what_was_told_once_of_an_attempt_stays_told_though_a_later_line_knows_less() {
    let tokens =
        |input, output, cost_micro_usd| Tokens { input, output, cost_micro_usd, ..Tokens::default() };
    for span in [UsageSpan::Process, UsageSpan::Session] {
        for later in [
            tokens(Some(950), None, None),
            tokens(Some(950), Some(1), Some(3)),
            tokens(Some(950), Some(99), None),
        ] {
            let mut bench = begun("ask", TWO);
            let (effect, attempt) = bench.in_flight("a");
            let used = |tokens| Said::Usage(Usage { span, tokens });
            let said = vec![
                (10, Said::SessionStarted { id: "s1".to_owned(), model: None }),
                (20, used(tokens(Some(900), Some(99), Some(5)))),
                (30, used(later)),
                (40, used(Tokens::default())),
            ];
            bench.report(Report::Said { effect, attempt, on: SaidOn::Stdout, said });
            ends_well(&mut bench, "a");
            let prompts: Vec<_> = bench.machine.open_questions().map(|asked| asked.prompt.clone()).collect();
            let expected = "`b` would begin, and 1049 of 1000 tokens are used. What now?";
            assert_eq!(prompts, [expected], "{span:?} {later:?}");
            let record = bench.record.step(&"a".parse().unwrap()).unwrap();
            let recorded = record.attempts[0].agent.as_ref().unwrap().usage;
            assert_eq!(recorded, Some(tokens(Some(950), Some(99), Some(5))), "{span:?} {later:?}");
        }
    }
}

#[test]
fn sessions_of_two_agents_that_have_the_same_name_are_counted_apart() {
    let steps = "- {id: a, agent: codex, prompt: x}\n- {id: b, agent: claude, prompt: x}\n- {id: c, agent: codex, prompt: x}";
    let mut bench = begun("ask", steps);
    uses(&mut bench, "a", UsageSpan::Session, 700, None);
    ends_well(&mut bench, "a");
    bench.later(1_000);
    uses(&mut bench, "b", UsageSpan::Session, 400, None);
    ends_well(&mut bench, "b");
    let asked = bench.machine.open_questions().next().expect("the budget is used up");
    assert_eq!(asked.prompt, "`c` would begin, and 1100 of 1000 tokens are used. What now?");
    assert_eq!(bench.record.usage().unwrap().input.known, 1_100);
}
