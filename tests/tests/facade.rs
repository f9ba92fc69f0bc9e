//! The facade in a process of its own, beside the real binary.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};

use backstay::{
    Backstay, Coded, Delivery, Error, Event, FactEvent, FollowFrom, OpenQuestion, Opening, Recorded,
    RefusalCode, RunRest, Seq, Severity, Sink, SinkHeartbeat, Step, StepEventKind, Verdict, Workflow,
};
use backstay_tests::{Gate, World, binary, block_on};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

fn opening(world: &World) -> Opening {
    let mut environment: BTreeMap<String, String> = std::env::vars().collect();
    let programs = binary().parent().expect("it is in a folder").to_string();
    environment.entry("PATH".to_owned()).or_default().insert_str(0, &format!("{programs}:"));
    for (name, value) in
        [("HOME", world.path().to_string()), ("XDG_STATE_HOME", world.path().join("state").to_string())]
    {
        environment.insert(name.to_owned(), value);
    }
    environment.insert("USER".to_owned(), "tester".to_owned());
    backstay::open(world.path().join(".backstay")).environment(environment)
}

async fn open(world: &World) -> Backstay {
    opening(world).keeper_program(binary()).await.expect("the store opens")
}

fn built(world: &World, script: &str) -> Workflow {
    Workflow::new("built").step(Step::run("one", script)).cwd(world.path())
}

async fn wait_for(gate: Gate) {
    let waited = tokio::task::spawn_blocking(move || gate.wait()).await;
    assert_eq!(waited.expect("the gate opens"), "up\n");
}

async fn let_go(gate: Gate) {
    tokio::task::spawn_blocking(move || gate.open()).await.expect("the gate opens");
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn b1_every_future_of_a_run_can_go_to_another_thread() {
    let world = World::new();
    block_on(async {
        let backstay = open(&world).await;
        let run = is_send(backstay.start(built(&world, "echo one"))).await.expect("it starts");
        assert_eq!(is_send(run.drive()).await.expect("it is worked on"), RunRest::Completed);
        assert_eq!(is_send(run.wait()).await.expect("it can be read"), RunRest::Completed);
        assert!(is_send(run.usage()).await.expect("it can be read").is_none());
        assert!(is_send(backstay.inbox()).await.expect("it can be read").is_empty());
    });
}

#[test]
fn an_input_said_again_under_its_key_is_appended_once_and_has_its_first_verdict() {
    let world = World::new();
    block_on(async {
        let backstay = open(&world).await;
        let run = backstay.start(built(&world, "echo one")).await.expect("it starts");
        let first = run.suspend().key("pause").append().await.expect("it is durable");
        let head = run.record().await.expect("it can be read").head;
        assert_eq!(run.suspend().key("pause").append().await.expect("it is known"), first);
        assert_eq!(run.record().await.expect("it can be read").head, head, "nothing was appended");
        let other = run.cancel().key("pause").append().await.expect_err("another input has the key");
        assert_eq!(other.code().0, "BKS-L026", "{other}");

        assert_eq!(run.drive().await.expect("it is worked on"), RunRest::Suspended);
        assert_eq!(run.wait().await.expect("it can be read"), RunRest::Suspended);
        assert_eq!(run.resume().await.expect("a verdict"), Verdict::Accepted);
        assert_eq!(run.drive().await.expect("it is worked on"), RunRest::Completed);

        let late = run.suspend().await.expect("a verdict");
        assert!(matches!(late, Verdict::Refused { code: RefusalCode::NotNow, .. }), "{late:?}");
        let head = run.record().await.expect("it can be read").head;
        // Said for the first time the run would refuse it; it is known, and was accepted.
        assert_eq!(run.suspend().key("pause").await.expect("a verdict"), Verdict::Accepted);
        let unknown = run.suspend().key("another").await.expect("a verdict");
        assert!(matches!(unknown, Verdict::Refused { code: RefusalCode::NotNow, .. }), "{unknown:?}");
        assert_eq!(run.record().await.expect("it can be read").head, head, "nothing was appended");
    });
}

#[test]
fn a_run_that_another_process_works_on_is_waited_for_and_followed() {
    let world = World::new();
    let (up, go) = (world.gate("up"), world.gate("go"));
    block_on(async {
        let backstay = open(&world).await;
        let run = backstay.start(built(&world, "echo up > up; cat go")).await.expect("it starts");
        let owner = world.start(&["resume", &run.id().to_string()]);
        wait_for(up).await;
        let mut events = run.follow(FollowFrom::Start).await.expect("it can be followed");
        let (rest, ()) = tokio::join!(run.wait(), let_go(go));
        assert_eq!(rest.expect("it can be read"), RunRest::Completed);
        let mut followed = Vec::new();
        while let Some(delivery) = events.next().await.expect("it can be followed") {
            if let Delivery::Event(recorded) = delivery {
                followed.push(recorded);
            }
        }
        let numbers: Vec<u64> = followed.iter().map(|recorded| recorded.seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "every event once, in order");
        let completed = followed.iter().map(|recorded| Event::decode(recorded).expect("a known event"));
        assert_eq!(
            completed.filter(|event| matches!(event, Event::Fact(FactEvent::RunCompleted(_)))).count(),
            1
        );
        let cursor = events.cursor().expect("it was somewhere");
        let mut rest = run.follow(FollowFrom::Cursor(cursor)).await.expect("the cursor is of this run");
        assert!(rest.next_now().await.expect("it can be followed").is_none());
        let rows = run.step_events().await.expect("they can be read");
        assert_eq!(rows.iter().filter(|row| row.kind == StepEventKind::Spawned).count(), 1);
        drop(owner);
    });
}

/// Passes on what it is given.
struct Telling {
    events: Sender<Seq>,
    heartbeats: UnboundedSender<SinkHeartbeat>,
}

impl Sink for Telling {
    fn take(&mut self, recorded: &Recorded) {
        self.events.send(recorded.seq).expect("the test listens");
    }

    fn take_heartbeat(&mut self, heartbeat: &SinkHeartbeat) {
        self.heartbeats.send(heartbeat.clone()).expect("the test listens");
    }
}

#[test]
fn s2_a_sink_is_given_every_fact_and_heartbeats_as_live_events() {
    let world = World::new();
    let go = world.gate("go");
    block_on(async {
        let ((events, heard), (heartbeats, mut beats)) = (mpsc::channel(), unbounded_channel());
        let sink = Telling { events, heartbeats };
        let backstay = opening(&world).keeper_program(binary()).sink(sink).await.expect("the store opens");
        let run = backstay.start(built(&world, "echo up; cat go")).await.expect("it starts");
        let until_beat = async {
            let beat = beats.recv().await.expect("the step is at work for as long as it takes");
            let_go(go).await;
            beat
        };
        let (rest, beat) = tokio::join!(run.drive(), until_beat);
        assert_eq!(rest.expect("it is worked on"), RunRest::Completed);
        assert_eq!((beat.scope.to_string().as_str(), beat.heartbeat.stdout_bytes), ("one", 3));
        let head = run.record().await.expect("it can be read").head;
        drop((run, backstay));
        let heard: Vec<u64> = heard.into_iter().map(|seq| seq.0).collect();
        assert_eq!(heard, (1..=head.0).collect::<Vec<_>>(), "every event once, in order");
    });
}

/// The questions that wait, by the folds of all runs.
async fn folded(backstay: &Backstay) -> Vec<OpenQuestion> {
    let mut open = Vec::new();
    for row in backstay.runs().await.expect("they can be listed") {
        let run = backstay.run(row.run).await.expect("it is there");
        let record = run.record().await.expect("it can be read");
        let waiting = record.questions.into_iter().filter(|question| question.closed_at.is_none());
        let workflow = row.summary.workflow;
        open.extend(waiting.map(|question| OpenQuestion {
            run: row.run,
            workflow: workflow.clone(),
            question,
        }));
    }
    open.sort_by_key(|open| open.question.asked_at);
    open
}

#[test]
fn the_inbox_by_its_rows_is_what_the_folds_of_all_runs_say() {
    let world = World::new();
    block_on(async {
        let backstay = open(&world).await;
        let asks = r#"backstay ask "Which colour?" --options red,blue"#;
        let (answered, cancelled) = (built(&world, asks), built(&world, asks));
        let answered = backstay.start(answered).await.expect("it starts");
        // The working folder is a checkout of nobody, so both can be at work.
        let cancelled = backstay.start(cancelled).await.expect("it starts");
        let agree = async |expected: usize, moment: &str| {
            let inbox = backstay.inbox().await.expect("it can be read");
            assert_eq!(inbox, folded(&backstay).await, "{moment}");
            assert_eq!(inbox.len(), expected, "{moment}");
            inbox
        };
        agree(0, "before").await;
        let say = async {
            for run in [&answered, &cancelled] {
                let mut events = run.follow(FollowFrom::Start).await?;
                while let Some(delivery) = events.next().await? {
                    let Delivery::Event(recorded) = delivery else { continue };
                    if matches!(Event::decode(&recorded)?, Event::Fact(FactEvent::QuestionAsked(_))) {
                        break;
                    }
                }
            }
            let asked = agree(2, "both ask").await;
            let asked = asked.iter().find(|asked| asked.run == answered.id()).expect("it asks");
            let question = asked.question.question;
            let wrong = backstay.answer(question, "green").await?;
            assert!(matches!(wrong, Verdict::Refused { code: RefusalCode::InvalidAnswer, .. }), "{wrong:?}");
            agree(2, "a wrong answer closes nothing").await;
            assert_eq!(backstay.answer(question, "blue").await?, Verdict::Accepted);
            agree(1, "one is answered").await;
            assert!(matches!(backstay.answer(question, "red").await, Err(Error::UnknownQuestion(_))));
            assert_eq!(cancelled.cancel().await?, Verdict::Accepted);
            Ok::<(), Error>(())
        };
        let (first, second, ()) =
            tokio::try_join!(answered.drive(), cancelled.drive(), say).expect("both are worked on");
        assert_eq!((first, second), (RunRest::Completed, RunRest::Cancelled));
        agree(0, "after").await;
    });
}

#[test]
fn a_program_that_is_no_keeper_starts_nothing() {
    let world = World::new();
    block_on(async {
        // This test program did not call `init`: each keeper would be all tests once more.
        let backstay = opening(&world).await.expect("the store opens");
        let run = backstay.start(built(&world, "echo one")).await.expect("it starts");
        let error = run.drive().await.expect_err("nothing can be started");
        assert!(matches!(error, Error::NotInitialized), "{error}");
        let rows = run.step_events().await.expect("they can be read");
        assert!(rows.is_empty(), "{rows:?}");
    });
}

#[test]
fn what_is_wrong_with_a_workflow_or_its_inputs_is_data() {
    let world = World::new();
    block_on(async {
        let backstay = open(&world).await;
        let error = backstay.start(Workflow::text("wrong", "backstay: 1\nsteps: [{id: a, rum: x}]")).await;
        let Err(Error::Workflow(error)) = error else { panic!("{error:?}") };
        assert_eq!(error.file(), "wrong.yaml");
        assert!(error.diagnostics().iter().any(|found| found.severity == Severity::Error));
        assert!(error.to_string().contains("wrong.yaml:2:"), "{error}");
        let inputs = Workflow::text("needs", "backstay: 1\ninputs: {to: {}}\nsteps: [{id: a, run: echo}]");
        let error = backstay.start(inputs.clone()).await.expect_err("an input is missing");
        assert_eq!(error.to_string(), "the input `to` is required");
        assert!(backstay.check(&inputs.input("to", "x")).expect("it is valid").is_empty());
        assert!(backstay.runs().await.expect("they can be listed").is_empty(), "nothing was started");
    });
}

#[test]
fn a_copy_of_a_store_is_only_read_until_it_is_adopted() {
    let (world, other) = (World::new(), World::new());
    block_on(async {
        let backstay = open(&world).await;
        let run = backstay.start(built(&world, "echo one")).await.expect("it starts");
        assert_eq!(run.drive().await.expect("it is worked on"), RunRest::Completed);
        let id = run.id();
        drop((run, backstay));
        let mut copy = std::process::Command::new("cp");
        copy.args(["-r", ".backstay"]).arg(other.path()).current_dir(world.path());
        let copied = copy.status().expect("cp is there");
        assert!(copied.success());
        let refused = opening(&other).existing().await.expect_err("it came from elsewhere");
        assert!(matches!(refused, Error::Open(_)), "{refused}");
        let read = opening(&other).existing().or_read_only().await.expect("it can be read");
        assert!(read.is_read_only());
        let run = read.run(id).await.expect("it is in the copy");
        assert_eq!(run.wait().await.expect("it can be read"), RunRest::Completed);
        drop((run, read));
        let adopted = opening(&other).existing().adopt().await.expect("it is adopted");
        assert!(!adopted.is_read_only());
    });
}
