//! One to three processes do anything at random to one store, die at any moment, and come back; a simple model says what
//! each of them has to be told. What fails is made as short as it can be.

mod ask;
mod truth;

use std::path::Path;

use backstay_model::Seq;
use proptest::prelude::*;

pub(crate) use self::ask::obey;
use self::ask::{Answer, Ask, By, Then};
use self::truth::Truth;
use crate::kills::check_index;
use crate::processes::{Process, check_database};
use crate::support::all_tests;

const TOPICS: [&str; 3] = ["a", "b", "c"];
const PROCESSES_MAX: usize = 3;

/// What happens next. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks, and hears the answer.
    Ask(Wish),
    /// Somebody asks and is killed, whether or not it has begun.
    AskAndDie(Wish),
    /// The process ends in order and begins anew.
    Reopen,
    /// It is killed and begins anew.
    Kill,
}

/// What is asked for, before it is known what there is.
#[derive(Clone, Debug)]
enum Wish {
    Append { topic: usize, by: By, count: usize, synced: bool, trim: Option<usize>, then: Then },
    TrimInside { topic: usize, seq: u64 },
    Claim { topic: usize },
    Read { topic: usize, after: u64, limit: usize, back: bool },
    ReadAll,
    SaveFold { topic: usize, end: usize },
    FoldSnapshot { topic: usize },
    Topics,
}

impl Wish {
    /// A wish of which everybody can see whether it was done.
    fn seen(self) -> Wish {
        match self {
            Wish::Append { topic, by, count, synced, trim, then: _ } => {
                Wish::Append { topic, by, count: count.max(1), synced, trim, then: Then::Stays }
            }
            Wish::SaveFold { topic, .. } => Wish::Claim { topic },
            other => other,
        }
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let topic = 0..TOPICS.len();
    let by = prop_oneof![
        6 => Just(By::Own), 4 => Just(By::Owner), 4 => Just(By::Anybody), 1 => Just(By::Reopen), 2 => Just(By::Retention),
    ];
    let then = prop_oneof![9 => Just(Then::Stays), 1 => Just(Then::Released), 1 => Just(Then::Closed), 1 => Just(Then::Deleted)];
    let trim = prop_oneof![4 => Just(None), 1 => (0_usize..8).prop_map(Some)];
    let append = (topic.clone(), by, 0_usize..4, any::<bool>(), trim, then).prop_map(
        |(topic, by, count, synced, trim, then)| Wish::Append { topic, by, count, synced, trim, then },
    );
    prop_oneof![
        10 => append,
        1 => (topic.clone(), 1_u64..20).prop_map(|(topic, seq)| Wish::TrimInside { topic, seq }),
        2 => topic.clone().prop_map(|topic| Wish::Claim { topic }),
        3 => (topic.clone(), 0_u64..20, 1_usize..6, any::<bool>())
            .prop_map(|(topic, after, limit, back)| Wish::Read { topic, after, limit, back }),
        1 => Just(Wish::ReadAll),
        1 => (topic.clone(), 0_usize..8).prop_map(|(topic, end)| Wish::SaveFold { topic, end }),
        1 => topic.prop_map(|topic| Wish::FoldSnapshot { topic }),
        1 => Just(Wish::Topics),
    ]
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        24 => wish().prop_map(Step::Ask),
        2 => wish().prop_map(|wish| Step::AskAndDie(wish.seen())),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    (0..PROCESSES_MAX, step)
}

/// One of the processes, and how often it began.
struct Actor {
    number: usize,
    life: usize,
    process: Process,
}

impl Actor {
    fn start(folder: &Path, number: usize, life: usize) -> Actor {
        // So few entries may wait that moving them into the index takes several commits.
        let few = [(crate::processes::WAITING, "8")];
        let name = ask::owner_id(number, life).to_string();
        Actor { number, life, process: Process::start_with("obey", folder, &name, &few) }
    }

    fn again(self, folder: &Path) -> Actor {
        Actor::start(folder, self.number, self.life + 1)
    }

    fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        self.tell(ask);
        self.process.hear("answer").map(|line| serde_json::from_str(&line).unwrap())
    }

    fn tell(&mut self, ask: &Ask) {
        self.process.tell(&serde_json::to_string(ask).unwrap());
    }

    fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }
}

fn play(processes: usize, steps: &[(usize, Step)]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let mut truth = Truth::default();
    let mut actors: Vec<Actor> =
        (0..processes).map(|number| Actor::start(folder.path(), number, 0)).collect();
    for (index, (who, step)) in steps.iter().enumerate() {
        let who = who % processes;
        let mut actor = actors.remove(who);
        match step {
            Step::Ask(wish) => {
                let ask = truth.ask(wish, index);
                let expected = truth.answer(&ask, (who, actor.life));
                prop_assert_eq!(actor.ask(&ask), Some(expected), "step {}: {:?}", index, ask);
            }
            Step::AskAndDie(wish) => {
                let ask = truth.ask(wish, index);
                actor.tell(&ask);
                actor.kill();
                let life = actor.life;
                actor = actor.again(folder.path());
                let mut done = truth.clone();
                done.answer(&ask, (who, life));
                let found = actor.ask(&Ask::Everything);
                if found == Some(done.everything()) {
                    truth = done;
                } else {
                    prop_assert_eq!(found, Some(truth.everything()), "step {}: half of {:?}", index, ask);
                }
            }
            Step::Reopen => {
                drop(actor.process.child.stdin.take());
                prop_assert!(
                    actor.process.child.wait().unwrap().success(),
                    "step {}: the process failed",
                    index
                );
                actor = actor.again(folder.path());
            }
            Step::Kill => {
                actor.kill();
                actor = actor.again(folder.path());
            }
        }
        truth.lives.insert(who, actor.life);
        actors.insert(who, actor);
    }
    for actor in &mut actors {
        prop_assert_eq!(actor.ask(&Ask::Everything), Some(truth.everything()), "at the end");
    }
    for mut actor in actors {
        drop(actor.process.child.stdin.take());
        actor.process.child.wait().unwrap();
    }
    check_index(folder.path());
    check_database(folder.path());
    Ok(())
}

#[test]
fn l2_l5_l7_l8_anything_from_several_processes_with_kills_is_as_the_model_says() {
    let cases = if all_tests() { 200 } else { 20 };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    };
    let steps = proptest::collection::vec(step(), 1..60);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&(1..=PROCESSES_MAX, steps), |(processes, steps)| play(processes, &steps)).unwrap();
}

/// A number of a topic, for the messages of this test.
const fn seq(number: u64) -> Seq {
    Seq(number)
}
