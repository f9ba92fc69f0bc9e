//! Small random plans under random inputs, reports and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_model::event::LostEvidence::{KeeperDead, NotBegun};
use backstay_model::event::{
    Event, FactEvent, InputEvent, QuestionKind, Said, SaidOn, SessionMode, Tokens, Usage, UsageSpan,
};
use backstay_model::{Attempt, EffectId, Scope, Timestamp};
use proptest::prelude::*;

use super::super::Phase;
use super::Bench;
use super::bench::{ended, exited};
use super::reopen::assert_attempts_are_dense;
use super::say;
use crate::effect::Desired;
use crate::{AgentEnded, EndedBy, ProcessEnded, Report, Trouble, TurnEnd};

/// More than a small plan needs to its end.
const ROUNDS_MAX: usize = 100;

/// What is asked of agents.
const AGENTS: [&str; 5] = [
    "codex",
    "codex, session: keep",
    "{use: codex, fallback: [claude]}, session: keep",
    "{use: codex, fallback: [claude]}, on_limit: wait, max_wait: 15m, schema: s.json",
    "claude, on_limit: fail",
];

/// What is generated for one step.
#[derive(Clone, Debug)]
struct Leaf {
    side_by_side: bool,
    after_crash: &'static str,
    retries: u32,
    condition: Option<&'static str>,
    /// Its agent and what it asks of that; none for a script.
    agent: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Entry {
    Leaf(Leaf),
    Group { side_by_side: bool, repeat: Option<(u32, &'static str)>, steps: Vec<Leaf> },
}

#[derive(Clone, Debug)]
enum Action {
    Look,
    Crash,
    Later,
    Performs(bool),
    Suspend,
    Resume,
    Cancel,
    Skip(usize),
    Answer(&'static str),
    Again(Option<usize>, Option<usize>),
    Running(usize),
    Exit(usize, i32),
    Ended(usize, EndedBy),
    Lost(usize, bool),
    Stuck(usize),
    Stale(usize),
    Says(usize, u64, usize),
    AgentEnds(usize, usize, usize),
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let policy = prop::sample::select(vec!["ask", "rerun", "resume", "fail", "{probe: 'true'}"]);
    let condition = prop::option::weighted(0.2, prop::sample::select(vec!["true", "false", "inputs.x.y"]));
    let agent = prop::option::weighted(0.4, prop::sample::select(AGENTS.to_vec()));
    (any::<bool>(), policy, 0..2_u32, condition, agent).prop_map(
        |(side_by_side, after_crash, retries, condition, agent)| Leaf {
            side_by_side,
            after_crash,
            retries,
            condition,
            agent,
        },
    )
}

fn repeat() -> impl Strategy<Value = Option<(u32, &'static str)>> {
    let on_exhausted = prop::sample::select(vec!["fail", "continue", "ask"]);
    prop::option::of((1..4_u32, on_exhausted))
}

fn plan() -> impl Strategy<Value = (Vec<Entry>, Vec<Leaf>)> {
    let entry = prop_oneof![
        3 => leaf().prop_map(Entry::Leaf),
        2 => (any::<bool>(), repeat(), prop::collection::vec(leaf(), 1..4))
            .prop_map(|(side_by_side, repeat, steps)| Entry::Group { side_by_side, repeat, steps }),
    ];
    (prop::collection::vec(entry, 1..5), prop::collection::vec(leaf(), 0..3))
}

fn action() -> impl Strategy<Value = Action> {
    let step = || 0..8_usize;
    let by = prop::sample::select(vec![
        EndedBy::Exit,
        EndedBy::Timeout,
        EndedBy::IdleTimeout,
        EndedBy::Stop,
        EndedBy::Signalled,
        EndedBy::SpawnFailed,
    ]);
    prop_oneof![
        4 => Just(Action::Look),
        2 => Just(Action::Crash),
        2 => Just(Action::Later),
        1 => any::<bool>().prop_map(Action::Performs),
        2 => Just(Action::Suspend),
        3 => Just(Action::Resume),
        1 => Just(Action::Cancel),
        1 => step().prop_map(Action::Skip),
        3 => prop::sample::select(vec!["done", "rerun", "fail", "more", "stop", "accept", "maybe"]).prop_map(Action::Answer),
        2 => (prop::option::of(step()), prop::option::weighted(0.2, step()))
            .prop_map(|(from, skip)| Action::Again(from, skip)),
        2 => step().prop_map(Action::Running),
        6 => (step(), 0..2_i32).prop_map(|(step, code)| Action::Exit(step, code)),
        4 => (step(), by).prop_map(|(step, by)| Action::Ended(step, by)),
        4 => (step(), any::<bool>()).prop_map(|(step, begun)| Action::Lost(step, begun)),
        1 => step().prop_map(Action::Stuck),
        1 => step().prop_map(Action::Stale),
        4 => (step(), 1..6_u64, 0..6_usize).prop_map(|(step, end, what)| Action::Says(step, end, what)),
        6 => (step(), 0..4_usize, 0..7_usize)
            .prop_map(|(step, turn, trouble)| Action::AgentEnds(step, turn, trouble)),
    ]
}

/// The plan as a file, and the ids of its steps.
fn spell(entries: &[Entry], finally: &[Leaf]) -> (String, Vec<String>) {
    let (mut text, mut ids) = (String::new(), Vec::new());
    let mut next = || {
        ids.push(format!("s{}", ids.len()));
        ids[ids.len() - 1].clone()
    };
    let needs = |side_by_side| if side_by_side { ", needs: []" } else { "" };
    let spell_leaf = |id: &str, leaf: &Leaf| {
        let condition = leaf.condition.map(|condition| format!(", if: {condition}")).unwrap_or_default();
        let does = leaf
            .agent
            .map_or_else(|| "run: 'true'".to_owned(), |agent| format!("agent: {agent}, prompt: Do it."));
        format!(
            "- {{id: {id}, {does}, after_crash: {}, retry: {}{}{condition}}}\n",
            leaf.after_crash,
            leaf.retries,
            needs(leaf.side_by_side),
        )
    };
    for entry in entries {
        let id = next();
        match entry {
            Entry::Leaf(leaf) => text += &spell_leaf(&id, leaf),
            Entry::Group { side_by_side, repeat, steps } => {
                let inner: Vec<String> = steps.iter().map(|_| next()).collect();
                text += &format!("- id: {id}\n");
                text += if *side_by_side { "  needs: []\n" } else { "" };
                if let Some((max_cycles, on_exhausted)) = repeat {
                    // Which of its steps the condition needs differs from plan to plan.
                    let named = &inner[*max_cycles as usize % inner.len()];
                    text += &format!(
                        "  repeat: {{until: steps.{named}.exit_code != 1, max_cycles: {max_cycles}, on_exhausted: {on_exhausted}}}\n"
                    );
                }
                text += "  steps:\n";
                for (id, leaf) in inner.iter().zip(steps) {
                    let accepts = if repeat.is_some() { ", accept_exit: 0-1}\n" } else { "}\n" };
                    text += &format!("  {}", spell_leaf(id, leaf).replace("}\n", accepts));
                }
            }
        }
    }
    text += if finally.is_empty() { "" } else { "finally:\n" };
    for leaf in finally {
        text += &spell_leaf(&next(), leaf);
    }
    // Some runs may use little: whoever uses more is asked, or stopped.
    text += match entries.len() % 3 {
        0 => "budget: {tokens: 40}\n",
        1 => "budget: {tokens: 40, on_exceeded: stop}\n",
        _ => "",
    };
    // `inputs.x` is declared and has no `y`.
    text += "inputs: {x: {type: string, default: a}}\n";
    (text, ids)
}

fn in_flight(bench: &Bench, index: usize) -> Option<(EffectId, Attempt)> {
    let found = bench.machine.desired().into_iter().filter_map(|(effect, wish)| match wish {
        Desired::Hold(attempt) | Desired::Stop(attempt, _) => Some((effect, attempt)),
        Desired::Start(_) => None,
    });
    let found: Vec<_> = found.collect();
    (!found.is_empty()).then(|| found[index % found.len()].clone())
}

fn act(bench: &mut Bench, ids: &[String], action: &Action) {
    let step = |index: &usize| ids[index % ids.len()].parse().unwrap();
    // The log refuses inputs after the end, and a wish to try again before it.
    let has_ended = matches!(bench.machine.phase(), Phase::Ended(_));
    let report = |bench: &mut Bench, index: usize, make: &dyn Fn(EffectId, Attempt) -> Report| {
        if let Some((effect, attempt)) = in_flight(bench, index) {
            bench.report(make(effect, attempt));
        }
    };
    let end = |bench: &mut Bench, index: usize, process: &ProcessEnded| {
        report(bench, index, &|effect, attempt| Report::Ended {
            effect,
            attempt,
            process: Box::new(process.clone()),
        });
    };
    match action {
        Action::Look => drop(bench.look()),
        Action::Crash => bench.crash(),
        Action::Later => bench.later(700),
        Action::Performs(performs) => bench.performs = *performs,
        Action::Suspend if !has_ended => drop(bench.say(say::suspend())),
        Action::Resume if !has_ended => drop(bench.say(say::resume())),
        Action::Cancel if !has_ended => drop(bench.say(say::cancel())),
        Action::Skip(index) if !has_ended => drop(bench.skip(&ids[index % ids.len()])),
        Action::Answer(choice) if !has_ended => {
            let question = bench.machine.open_questions().next().map(|(_, asked)| asked.question);
            if let Some(question) = question {
                bench.say(say::answer(question, choice));
            }
        }
        Action::Again(from, skip) if has_ended => {
            let skip = skip.as_ref().map(|index| say::left_out(&ids[index % ids.len()]));
            bench.say(backstay_model::event::Reopened {
                from: from.as_ref().map(step),
                skip,
                ..say::again()
            });
        }
        Action::Running(index) => report(bench, *index, &|effect, attempt| Report::Running {
            effect,
            attempt,
            pid: 1,
            keeper_pid: 2,
            folder: "f".parse().unwrap(),
            before: None,
            agent: None,
        }),
        Action::Exit(index, code) => end(bench, *index, &exited(*code)),
        Action::Ended(index, by) => end(bench, *index, &ended(*by)),
        Action::Stuck(index) => report(bench, *index, &|effect, attempt| Report::Stuck {
            effect,
            attempt,
            message: "no disk".to_owned(),
        }),
        Action::Lost(index, begun) => report(bench, *index, &|effect, attempt| Report::Lost {
            effect,
            attempt,
            evidence: if *begun { KeeperDead } else { NotBegun },
            ended_processes: 0,
        }),
        Action::Says(index, spool_end, what) => {
            let what = match what {
                0 => Said::SessionStarted { id: format!("s{index}"), model: None },
                1 => Said::Thought { line: String::new() },
                2 => Said::Limit { reset_at: None, message: "limit".to_owned() },
                3 | 4 => Said::Usage(Usage {
                    span: if *what == 3 { UsageSpan::Process } else { UsageSpan::Session },
                    tokens: Tokens { input: Some(20 * spool_end), ..Tokens::default() },
                }),
                _ => Said::TurnEnded { ok: true, failure: None },
            };
            let said = vec![(*spool_end, what)];
            report(bench, *index, &|effect, attempt| Report::Said {
                effect,
                attempt,
                on: SaidOn::Stdout,
                said: said.clone(),
            });
        }
        Action::AgentEnds(index, turn, trouble) => {
            end(bench, *index, &agent_ended(*turn, *trouble, bench.now));
        }
        Action::Stale(index) => {
            let head = bench.log.len();
            bench.settle();
            let settled = bench.log.len();
            report(bench, *index, &|effect, attempt| Report::Attached {
                effect,
                attempt: attempt.next(),
                had_ended: true,
            });
            assert_eq!(bench.log.len(), settled, "after {head}");
        }
        _ => {}
    }
}

fn agent_ended(turn: usize, trouble: usize, now: Timestamp) -> ProcessEnded {
    let message = || "it says so".to_owned();
    let reset_at = Some(now.plus(Duration::from_secs(20 * 60)));
    let turn = match turn {
        0 => TurnEnd::Succeeded,
        1 => TurnEnd::Unknown,
        2 => TurnEnd::Failed { failure: None },
        _ => TurnEnd::Truncated,
    };
    let trouble = match trouble {
        0 => Some(Trouble::Limit { reset_at, message: message() }),
        1 => Some(Trouble::Limit { reset_at: None, message: message() }),
        2 => Some(Trouble::Login { message: message() }),
        3 => Some(Trouble::Network { message: message() }),
        4 => Some(Trouble::SessionUnknown),
        5 => Some(Trouble::SessionInUse),
        _ => None,
    };
    // Where the process was killed, there is a signal in place of a code.
    let cut = turn == TurnEnd::Truncated && trouble.is_none();
    let process = if cut { ProcessEnded { signal: Some(9), ..ended(EndedBy::Exit) } } else { exited(1) };
    ProcessEnded { agent: Some(AgentEnded { turn, trouble }), ..process }
}

/// Two wishes to cancel and the reports of what is in flight bring every run to its end.
fn bring_to_an_end(bench: &mut Bench) {
    bench.performs = true;
    bench.settle();
    if !matches!(bench.machine.phase(), Phase::Ended(_)) {
        bench.say(say::cancel());
        bench.say(say::cancel());
    }
    bench.settle();
    let count = bench.machine.desired().len();
    for _ in 0..count {
        let (effect, attempt) = in_flight(bench, 0).expect("it is to be stopped");
        bench.report(Report::Ended { effect, attempt, process: Box::new(ended(EndedBy::Stop)) });
    }
    assert!(
        matches!(bench.machine.phase(), Phase::Ended(_)),
        "{:?} {:?}",
        bench.machine.phase(),
        bench.desired()
    );
    assert!(bench.desired().is_empty() && bench.machine.open_questions().count() == 0);
}

/// Where all work succeeds, every question is answered and time passes, the run ends by itself.
fn let_succeed(bench: &mut Bench) {
    for _ in 0..ROUNDS_MAX {
        bench.settle();
        if matches!(bench.machine.phase(), Phase::Ended(_)) {
            return;
        }
        let asked = bench.machine.open_questions().next().map(|(_, asked)| asked.clone());
        if let Some(asked) = asked {
            let choice = match asked.kind {
                QuestionKind::LoopExhausted => "accept",
                QuestionKind::BudgetUsed => "more",
                QuestionKind::AfterCrash => "done",
                // These runs have no step that asks; see `asks`.
                QuestionKind::Asked => unreachable!("no step of these asks"),
            };
            bench.answer(choice);
        } else if let Some((effect, attempt)) = in_flight(bench, 0) {
            bench.report(Report::Ended { effect, attempt, process: Box::new(exited(0)) });
        } else {
            bench.later(60_000);
        }
    }
    panic!("{:?} {:?}", bench.machine.phase(), bench.machine.run.steps);
}

/// The laws that the log of every run obeys.
fn assert_lawful(bench: &Bench) {
    let mut in_flight: BTreeMap<Scope, EffectId> = BTreeMap::new();
    let (mut said, mut settled) = (BTreeSet::new(), BTreeSet::new());
    let (mut stands_still, mut has_ended) = (false, false);
    let mut heard: BTreeMap<(Scope, Attempt), u64> = BTreeMap::new();
    let mut sessions: BTreeSet<String> = BTreeSet::new();
    for recorded in &bench.log {
        let event = Event::decode(recorded).unwrap();
        assert!(!has_ended || event.as_input().is_some_and(InputEvent::reopens), "{event:?} after the end");
        has_ended = false;
        let fact = match event {
            Event::Fact(fact) => fact,
            Event::Input(_) => {
                said.insert(recorded.seq);
                continue;
            }
        };
        match fact {
            FactEvent::Settled(verdict) => assert!(settled.insert(verdict.input), "{verdict:?} twice"),
            FactEvent::RunSuspending(_) | FactEvent::RunSuspended(_) => stands_still = true,
            FactEvent::RunStarted(_) | FactEvent::RunResumed(_) | FactEvent::RunCancelling(_) => {
                stands_still = false
            }
            FactEvent::RunCompleted(_) | FactEvent::RunFailed(_) | FactEvent::RunCancelled(_) => {
                has_ended = true
            }
            FactEvent::EffectStarting(starting) => {
                assert!(!stands_still, "{starting:?} while the run stands still");
                let other = in_flight.insert(recorded.scope.clone(), starting.effect.clone());
                assert_eq!(other, None, "two attempts of {} in flight", recorded.scope);
                if let Some(agent) = starting.agent {
                    if let SessionMode::Continue { id, .. } = &agent.session {
                        assert!(sessions.contains(id), "nobody ever spoke of the session {id}");
                    }
                    // An agent that cannot go on begins this one.
                    sessions.insert(agent.session.chosen().to_owned());
                }
            }
            FactEvent::AgentSaid(said) => {
                assert_eq!(in_flight.get(&recorded.scope), Some(&said.effect), "it is not at work");
                let known = heard.entry((recorded.scope.clone(), said.attempt)).or_default();
                assert!(said.spool_end > *known, "{said:?} is said again");
                *known = said.spool_end;
                if let Said::SessionStarted { id, .. } = said.what {
                    sessions.insert(id);
                }
            }
            FactEvent::StepContinues(continues) => {
                assert!(!in_flight.contains_key(&recorded.scope), "{continues:?} while it is at work");
            }
            FactEvent::EffectFinished(_) | FactEvent::EffectLost(_) => {
                assert!(in_flight.remove(&recorded.scope).is_some(), "{} had not begun", recorded.scope);
            }
            _ => {}
        }
    }
    assert_eq!(said, settled, "every input has one verdict");
    assert!(in_flight.is_empty());
    assert_attempts_are_dense(bench);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_run_is_lawful_and_can_be_brought_to_an_end(
        (entries, finally) in plan(),
        actions in prop::collection::vec(action(), 0..60),
    ) {
        let (text, ids) = spell(&entries, &finally);
        let mut bench = Bench::asked_with(&text, "{\"x\":\"a\"}");
        for action in &actions {
            act(&mut bench, &ids, action);
        }
        bring_to_an_end(&mut bench);
        assert_lawful(&bench);
        // What was cancelled is tried again where it was, and what is tried again from a step ends too.
        bench.say(say::again());
        let_succeed(&mut bench);
        assert_lawful(&bench);
        bench.say(say::again_from(&ids[0]));
        let_succeed(&mut bench);
        assert_lawful(&bench);
    }
}
