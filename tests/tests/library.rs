//! The library in a process of its own: inputs under load, sinks, the owner that keeps.

use std::collections::BTreeMap;
use std::sync::mpsc;

use backstay_engine::record::{RunStatus, StepStage};
use backstay_log::{Authority, Batch, ClaimMode, NewEvent, TopicAppend, TopicFilter};
use backstay_model::event::{
    Event, FactEvent, InputEvent, Reopened, ResumeRequested, Settled, SuspendReason, SuspendRequested,
};
use backstay_model::{Delivery, Recorded, Scope, Seq, Topic};
use backstay_runtime::{DriveEnd, DriveError, RunSelection, ShutdownHandle, Sink};
use backstay_tests::library::{actor, events, open, owner, request};
use backstay_tests::{World, block_on};

/// Inputs that are said while eight steps run.
const INPUTS: u64 = 2_000;

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
        let switch = ShutdownHandle::default();
        let said = async {
            tokio::task::spawn_blocking(move || up.iter().for_each(|gate| assert_eq!(gate.wait(), "up\n")))
                .await
                .unwrap();
            let input = InputEvent::from(ResumeRequested { by: actor(), now: false });
            let payload = input.encode().expect("events have a JSON form");
            let input = NewEvent { kind: input.kind(), scope: Scope::root(), payload, trace: None };
            let mut said = Vec::new();
            for _ in 0..INPUTS {
                let part = TopicAppend::new(Topic::run(run), Authority::Input, vec![input.clone()]);
                said.push(store.log().submit(Batch::of(part)).await.expect("it is taken").topics[0].first);
            }
            tokio::task::spawn_blocking(move || go.iter().for_each(backstay_tests::Gate::open))
                .await
                .unwrap();
            said
        };
        let (end, said) = tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), said);
        assert_eq!(end.expect("the owner was never refused"), DriveEnd::Ended(RunStatus::Completed));
        let mut verdicts: BTreeMap<Seq, usize> = BTreeMap::new();
        for recorded in events(&store, run).await {
            if let Event::Fact(FactEvent::Settled(Settled { input, .. })) =
                Event::decode(&recorded).expect("a known event")
            {
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
        let end = owner.drive(run, ClaimMode::IfFree, &ShutdownHandle::default()).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        drop(owner);
        let all: Vec<Seq> = events(&store, run).await.iter().map(|recorded| recorded.seq).collect();
        let heard: Vec<Seq> = heard.into_iter().collect();
        assert_eq!(heard, all);
    });
}

/// Takes its first event only when it is let.
struct Slow {
    go: Option<mpsc::Receiver<()>>,
    told: mpsc::Sender<Seq>,
}

impl Sink for Slow {
    fn take(&mut self, recorded: &Recorded) {
        if let Some(go) = self.go.take() {
            go.recv().expect("the test lets it go");
        }
        self.told.send(recorded.seq).expect("the test listens");
    }
}

/// More than wait for a sink in memory, twice: each is settled too.
const INPUTS_BEHIND: usize = 2_500;

#[test]
fn s18_a_slow_sink_slows_nobody_and_reads_on_from_the_log() {
    let world = World::new();
    let (up, open_gate) = (world.gate("up"), world.gate("go"));
    block_on(async {
        let store = open(&world).await;
        let flow = "backstay: 1\nname: slow\nsteps:\n  - {id: one, run: \"echo up > up; cat go\"}\n";
        let run = request(&store, &world, flow).await;
        let mut owner = owner(&store).await;
        let ((go, wait), (told, heard)) = (mpsc::channel(), mpsc::channel());
        owner.add_sink(Slow { go: Some(wait), told }).expect("a thread");
        let say = async {
            tokio::task::spawn_blocking(move || assert_eq!(up.wait(), "up\n")).await.unwrap();
            let input = InputEvent::from(ResumeRequested { by: actor(), now: false });
            let payload = input.encode().expect("events have a JSON form");
            let input = NewEvent { kind: input.kind(), scope: Scope::root(), payload, trace: None };
            for _ in 0..INPUTS_BEHIND / 500 {
                let part = TopicAppend::new(Topic::run(run), Authority::Input, vec![input.clone(); 500]);
                store.log().submit(Batch::of(part)).await.expect("it is taken");
            }
            tokio::task::spawn_blocking(move || open_gate.open()).await.unwrap();
        };
        let switch = ShutdownHandle::default();
        let (end, ()) = tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), say);
        assert_eq!(end.expect("nobody waited"), DriveEnd::Ended(RunStatus::Completed));
        assert_eq!(heard.try_iter().count(), 0, "the sink has taken nothing yet");
        go.send(()).expect("the sink waits");
        drop(owner);
        // The owner's end waits for its sinks: all is here at once.
        let heard: Vec<Seq> = heard.try_iter().collect();
        let all: Vec<Seq> = events(&store, run).await.iter().map(|recorded| recorded.seq).collect();
        assert!(all.len() > 2 * INPUTS_BEHIND);
        let differs = heard.iter().zip(&all).position(|(heard, all)| heard != all);
        assert_eq!((heard.len(), differs), (all.len(), None));
    });
}

#[test]
fn s18_the_sinks_of_a_later_owner_get_what_was_said_while_nobody_owned_the_run() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let flow = "backstay: 1\nname: parked\nsteps:\n  - {id: one, run: echo one}\n";
        let run = request(&store, &world, flow).await;
        let suspend = SuspendRequested { by: actor(), reason: SuspendReason::Asked };
        store.say(run, suspend).await.expect("it holds once an owner comes");
        let switch = ShutdownHandle::default();
        let first = owner(&store).await;
        let end = first.drive(run, ClaimMode::IfFree, &switch).await.expect("it stands still");
        assert_eq!(end, DriveEnd::Suspended);
        let parked = store.machine(run).await.expect("it can be folded").head();
        store.say(run, ResumeRequested { by: actor(), now: false }).await.expect("it can be resumed");
        let mut second = owner(&store).await;
        let (told, heard) = mpsc::channel();
        second.add_sink(Telling(told)).expect("a thread");
        let end = second.drive(run, ClaimMode::IfFree, &switch).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        drop(second);
        let all = events(&store, run).await.into_iter().map(|recorded| recorded.seq);
        let later: Vec<Seq> = all.filter(|seq| *seq > parked).collect();
        assert_eq!(heard.into_iter().collect::<Vec<Seq>>(), later);
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
        let switch = ShutdownHandle::default();
        let end = owner.drive(run, ClaimMode::IfFree, &switch).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Failed));
        agree("failed").await;
        world.write("mended", "");
        let again = InputEvent::from(Reopened { by: actor(), from: None, skip: None, plan: None });
        store.say(run, again).await.expect("a failed run can be tried again");
        let end = owner.drive(run, ClaimMode::IfFree, &switch).await.expect("it ends");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        agree("completed").await;
        assert_eq!(
            store.runs(TopicFilter::default()).await.expect("the runs can be listed")[0].summary.steps_done,
            2
        );
    });
}

#[test]
fn a_drive_that_cannot_go_on_gives_its_run_up_at_once() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let run =
            request(&store, &world, "backstay: 1\nname: free\nsteps:\n  - {id: one, run: echo one}\n").await;
        world.write(".backstay/runs", "no folder");
        let switch = ShutdownHandle::default();
        let (first, second) = (owner(&store).await, owner(&store).await);
        for owner in [&first, &second] {
            let error =
                owner.drive(run, ClaimMode::IfFree, &switch).await.expect_err("nothing can be started");
            assert!(
                matches!(error, DriveError::Damaged { .. }),
                "the first owner lives and holds nothing: {error}"
            );
        }
        std::fs::remove_file(world.path().join(".backstay/runs")).expect("it is a file");
        let end = second.drive(run, ClaimMode::IfFree, &switch).await.expect("it goes on");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
    });
}

#[test]
fn one_owner_drives_a_run_once_at_a_time() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    block_on(async {
        let store = open(&world).await;
        let flow = "backstay: 1\nname: once\nsteps:\n  - {id: one, run: \"echo up > up; cat go\"}\n";
        let run = request(&store, &world, flow).await;
        let owner = owner(&store).await;
        let switch = ShutdownHandle::default();
        let second = async {
            tokio::task::spawn_blocking(move || assert_eq!(up.wait(), "up\n")).await.unwrap();
            let refused = owner.drive(run, ClaimMode::IfFree, &switch).await;
            tokio::task::spawn_blocking(move || go.open()).await.unwrap();
            refused
        };
        let (first, second) = tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), second);
        assert!(matches!(second, Err(DriveError::DrivenHere { .. })), "{second:?}");
        assert_eq!(first.expect("it ends"), DriveEnd::Ended(RunStatus::Completed));
        let machine = store.machine(run).await.expect("it can be folded");
        assert_eq!(machine.epoch().0, 1, "the second took nothing");
        // It is over, so the run could be driven again.
        let again = owner.drive(run, ClaimMode::IfFree, &switch).await;
        assert_eq!(again.expect("it has ended"), DriveEnd::Ended(RunStatus::Completed));
    });
}

#[test]
fn work_that_cannot_be_followed_ends_nothing_beside_it_and_says_why() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    let flow = r#"
backstay: 1
name: beside
steps:
  - {id: bad, needs: [], run: "echo bad >> ran"}
  - {id: good, needs: [], run: "echo up > up; cat go"}
  - {id: next, needs: [good], run: "echo next >> ran"}
"#;
    block_on(async {
        let store = open(&world).await;
        let run = request(&store, &world, flow).await;
        let folder = world.path().join(format!(".backstay/runs/{run}"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(folder.join("bad"), "no folder").expect("a file can be written");
        let owner = owner(&store).await;
        let switch = ShutdownHandle::default();
        let look = async {
            tokio::task::spawn_blocking(move || assert_eq!(up.wait(), "up\n")).await.unwrap();
            let mut after = Seq(0);
            let mut events = store.log().follow(&Topic::run(run), after);
            while !matches!(events.next().await.expect("the topic can be read"),
                Delivery::Event(event) if event.kind.as_str() == "effect_stuck")
            {
                after = events.seq();
            }
            let view = store.view(run).await.expect("the run can be read");
            let bad = view.record.steps.iter().find(|step| step.step.as_str() == "bad").expect("it is there");
            assert_eq!(bad.stage, StepStage::Stuck, "after {after}");
            assert!(
                bad.summary.as_ref().is_some_and(|why| why.contains("is a regular file, not a folder")),
                "{bad:?}"
            );
            let rows = store.runs(TopicFilter::default()).await.expect("the runs can be listed");
            assert!(rows[0].summary.why.as_ref().is_some_and(|why| why.starts_with("bad is stuck: ")));
            tokio::task::spawn_blocking(move || go.open()).await.unwrap();
        };
        let (end, ()) = tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), look);
        assert!(matches!(end, Err(DriveError::Damaged { .. })), "{end:?}");
        assert_eq!(world.read("ran"), "next\n", "what works beside it goes on to its end");
        let row = &store.runs(TopicFilter::default()).await.expect("the runs can be listed")[0];
        assert!(row.is_without_owner(), "nobody says that it works");
        std::fs::remove_file(folder.join("bad")).expect("it is a file");
        let end = owner.drive(run, ClaimMode::IfFree, &switch).await.expect("it goes on");
        assert_eq!(end, DriveEnd::Ended(RunStatus::Completed));
        assert_eq!(world.read("ran"), "next\nbad\n");
    });
}

#[test]
fn an_owner_that_keeps_gives_its_runs_up_before_it_stops() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    block_on(async {
        let store = open(&world).await;
        let flow = "backstay: 1\nname: kept\nsteps:\n  - {id: one, run: \"echo up > up; cat go\"}\n";
        let run = request(&store, &world, flow).await;
        let first = owner(&store).await;
        let switch = ShutdownHandle::default();
        let stop = async {
            tokio::task::spawn_blocking(move || assert_eq!(up.wait(), "up\n")).await.unwrap();
            switch.stop();
        };
        let (kept, ()) = tokio::join!(first.keep(RunSelection::Only(run), &switch), stop);
        kept.expect("it could look");
        // The first owner lives: only what it said gives the run to the second one.
        let row = &store.runs(TopicFilter::default()).await.expect("the runs can be listed")[0];
        assert!(row.owner.is_none() && row.wake_at.is_some(), "{row:?}");
        let second = owner(&store).await;
        let switch = ShutdownHandle::default();
        let open_gate = async { tokio::task::spawn_blocking(move || go.open()).await.unwrap() };
        let (end, ()) = tokio::join!(second.drive(run, ClaimMode::IfFree, &switch), open_gate);
        assert_eq!(end.expect("it goes on"), DriveEnd::Ended(RunStatus::Completed));
        let view = store.view(run).await.expect("the run can be read");
        assert_eq!(view.record.steps[0].attempts.len(), 1, "the agent was found again");
        drop(first);
    });
}

#[test]
fn a_living_owner_takes_the_disk_reserve_in_again_once_there_is_room() {
    let world = World::new();
    let reserve = world.path().join(".backstay/disk_reserve");
    let give_back = || std::fs::remove_file(&reserve).expect("it was there");
    block_on(async {
        let store = open(&world).await;
        let owner = owner(&store).await;
        let switch = ShutdownHandle::default();
        give_back();
        let run =
            request(&store, &world, "backstay: 1\nname: one\nsteps:\n  - {id: one, run: 'true'}\n").await;
        let end = owner.drive(run, ClaimMode::IfFree, &switch).await;
        assert_eq!(end.expect("it is driven"), DriveEnd::Ended(RunStatus::Completed));
        give_back();
        owner.keep(RunSelection::All, &switch).await.expect("there is nothing to do");
        give_back();
    });
}
