//! The library in a process of its own: inputs under load, sinks, the owner that keeps.

use std::collections::BTreeMap;
use std::sync::mpsc;

use backstay_engine::record::RunStatus;
use backstay_exec::{Keepers, socket_folder};
use backstay_log::{Authority, Batch, ClaimMode, Direction, NewEvent, Part, TopicFilter};
use backstay_model::event::{Actor, Event, Reopened, ResumeRequested, Settled};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Recorded, RunId, Scope, Seq, Topic};
use backstay_runtime::{DriveEnd, Owner, OwnerSettings, RunRequest, Sink, StopSwitch, Store};
use backstay_tests::{World, binary, block_on};
use backstay_workflow::{CheckInput, check};

/// Inputs that are said while eight steps run.
const INPUTS: u64 = 2_000;

fn actor() -> Actor {
    Actor { name: "tester".to_owned(), via: "library".to_owned() }
}

async fn open(world: &World) -> Store {
    Store::open(&world.path().join(".backstay"), true).await.expect("the store opens")
}

async fn request(store: &Store, world: &World, text: &str) -> RunId {
    let read_file = |name: &str| std::fs::read_to_string(name);
    let input = CheckInput { path: "flow.yaml", text, read_file: &read_file, agents: BTreeMap::new() };
    let plan = check(&input).expect("the file is right").plan;
    let inputs = plan.bind_inputs(&BTreeMap::new()).expect("nothing is required").to_json().expect("JSON");
    let folder = world.path().to_owned();
    let request = RunRequest {
        plan,
        source: text.to_owned(),
        file: "flow.yaml".to_owned(),
        cwd: folder.clone(),
        folder,
        inputs,
        by: actor(),
    };
    store.request(request).await.expect("the request is durable")
}

async fn owner(store: &Store) -> Owner {
    let keepers = Keepers::new(binary(), vec!["keeper".to_owned()], socket_folder(None));
    let env = std::env::vars().collect();
    Owner::register(store, OwnerSettings { keepers, env }).await.expect("this process may own runs")
}

async fn events(store: &Store, run: RunId) -> Vec<Recorded> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let after = events.last().map_or(Seq(0), |last| last.seq);
        let page = store.log().read(&Topic::run(run), after, Direction::Forward, PAGE_EVENTS_MAX).await;
        let page = page.expect("the topic can be read");
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

#[test]
fn l20_inputs_never_refuse_the_owner_and_each_has_one_verdict() {
    let world = World::new();
    let steps =
        (1..=8).map(|n| format!("  - {{id: s{n}, needs: [], run: \"echo up > up{n}; cat go{n}\"}}\n"));
    let flow = format!("backstay: 1\nname: load\nsteps:\n{}", steps.collect::<String>());
    let up: Vec<_> = (1..=8).map(|n| world.gate(&format!("up{n}"))).collect();
    let go: Vec<_> = (1..=8).map(|n| world.gate(&format!("go{n}"))).collect();
    block_on(async {
        let store = open(&world).await;
        let run = request(&store, &world, &flow).await;
        let owner = owner(&store).await;
        let switch = StopSwitch::default();
        let said = async {
            tokio::task::spawn_blocking(move || up.iter().for_each(|gate| assert_eq!(gate.wait(), "up\n")))
                .await
                .unwrap();
            let input = Event::from(ResumeRequested { by: actor() });
            let payload = input.encode().expect("events have a JSON form");
            let input = NewEvent { kind: input.kind(), scope: Scope::Run, payload, trace: None };
            let mut said = Vec::new();
            for _ in 0..INPUTS {
                let part = Part::new(Topic::run(run), Authority::Anybody, vec![input.clone()]);
                said.push(store.log().submit(Batch::of(part)).await.expect("it is taken").parts[0].first);
            }
            tokio::task::spawn_blocking(move || go.iter().for_each(backstay_tests::Gate::open))
                .await
                .unwrap();
            said
        };
        let (end, said) = tokio::join!(owner.drive(run, ClaimMode::Fair, &switch), said);
        assert_eq!(end.expect("the owner was never refused"), DriveEnd::Ended(RunStatus::Completed));
        let mut verdicts: BTreeMap<Seq, usize> = BTreeMap::new();
        for recorded in events(&store, run).await {
            if let Event::Settled(Settled { input, .. }) = Event::decode(&recorded).expect("a known event") {
                *verdicts.entry(input).or_default() += 1;
            }
        }
        assert_eq!(verdicts.len() as u64, INPUTS + 1, "the request and every input");
        assert!(said.iter().all(|input| verdicts.get(input) == Some(&1)), "one verdict each");
    });
}

/// Passes on what it gets.
struct Telling(mpsc::Sender<Seq>);

impl Sink for Telling {
    fn take(&mut self, recorded: &Recorded) {
        self.0.send(recorded.seq).expect("the test listens");
    }
}

/// A sink that fails with the first event.
struct Failing;

impl Sink for Failing {
    fn take(&mut self, recorded: &Recorded) {
        panic!("a sink may do what it likes with event {}", recorded.seq);
    }
}

#[test]
fn s18_sinks_get_every_event_in_order_and_a_failing_one_disturbs_nobody() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let run =
            request(&store, &world, "backstay: 1\nname: told\nsteps:\n  - {id: one, run: echo one}\n").await;
        let mut owner = owner(&store).await;
        let (told, heard) = mpsc::channel();
        owner.add_sink(Failing).expect("a thread");
        owner.add_sink(Telling(told)).expect("a thread");
        let end = owner.drive(run, ClaimMode::Fair, &StopSwitch::default()).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        drop(owner);
        let all: Vec<Seq> = events(&store, run).await.iter().map(|recorded| recorded.seq).collect();
        let heard: Vec<Seq> = heard.into_iter().collect();
        assert_eq!(heard, all);
    });
}

#[test]
fn an_owner_that_keeps_works_on_all_that_is_due_and_leaves() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let mut runs = Vec::new();
        for n in 0..3 {
            let flow = format!("backstay: 1\nname: kept\nsteps:\n  - {{id: one, run: \"echo {n}\"}}\n");
            runs.push(request(&store, &world, &flow).await);
        }
        let owner = owner(&store).await;
        owner.keep(&StopSwitch::default()).await.expect("the runs can be listed");
        for run in runs {
            assert_eq!(store.view(run).await.expect("it can be read").record.status, RunStatus::Completed);
        }
    });
}

#[test]
fn index_rows_say_what_the_fold_says_at_every_rest() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let flow = "backstay: 1\nname: rows\nsteps:\n  - {id: one, run: echo one}\n  - {id: two, run: test -e mended}\n";
        let run = request(&store, &world, flow).await;
        let agree = async |what: &str| {
            let machine = store.machine(run).await.expect("it can be folded");
            let rows = store.runs(TopicFilter::default()).await.expect("the runs can be listed");
            assert_eq!(rows[0].summary, machine.summary(), "{what}");
        };
        let owner = owner(&store).await;
        let switch = StopSwitch::default();
        let end = owner.drive(run, ClaimMode::Fair, &switch).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Failed));
        agree("failed").await;
        world.write("mended", "");
        let again = Event::from(Reopened { by: actor(), from: None, skip: None });
        store.say(run, again).await.expect("a failed run can be tried again");
        let end = owner.drive(run, ClaimMode::Fair, &switch).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        agree("completed").await;
        assert_eq!(
            store.runs(TopicFilter::default()).await.expect("the runs can be listed")[0].summary.steps_done,
            2
        );
    });
}
