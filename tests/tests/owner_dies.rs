//! Something is said to a run, and its owner dies before it answers: who said it settles it.

use backstay_engine::record::{RunRecord, RunStatus, StepStage};
use backstay_log::TopicFilter;
use backstay_model::event::StepStatus;
use backstay_model::{Delivery, Seq, Topic};
use backstay_tests::{PATIENCE, Started, World, block_on};
use rustix::process::Signal;

/// A step at work, one that asks, and one that would come later.
const FLOW: &str = r#"
backstay: 1
name: orphan
steps:
  - {id: work, needs: [], run: "echo work >> starts; echo begun > begun; cat go"}
  - {id: sure, needs: [], run: "backstay ask Sure? --options yes,no"}
  - {id: later, needs: [work], run: "echo later >> starts"}
"#;

/// Waits until an event of `kind` is in the log of the only run.
fn wait_for_input(world: &World, kind: &str) {
    block_on(async {
        let store = world.store().await.expect("there is a store");
        let run = store.runs(TopicFilter::default()).await.expect("it can be read")[0].run;
        let mut events = store.log().follow(&Topic::run(run), Seq(0));
        let found = async {
            loop {
                if let Delivery::Event(event) = events.next().await.expect("it can be read")
                    && event.kind.as_str() == kind
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {kind} came"));
    });
}

/// Stops the owner, lets `arguments` be said, and kills the owner before it can answer.
fn say_and_kill(world: &World, arguments: &[&str], kind: &str) -> (RunRecord, String) {
    world.write("flow.yaml", FLOW);
    let begun = world.gate("begun");
    let owner: Started = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let asks = |record: &RunRecord| record.questions.len() == 1 && record.steps.len() >= 2;
    assert_eq!(world.record_when("asks", asks).status, RunStatus::Running);
    owner.signal(Signal::STOP);
    let saying = world.start(arguments);
    wait_for_input(world, kind);
    owner.kill();
    let (status, said) = saying.end();
    assert!(status.success(), "{arguments:?}: {status:?}: {said}");
    (world.record(), said)
}

#[test]
fn a_run_is_cancelled_by_who_says_so_when_its_owner_dies_before_it_answers() {
    let world = World::new();
    let _go = world.gate("go");
    let (record, said) = say_and_kill(&world, &["cancel", "@last"], "cancel_requested");
    assert_eq!(record.status, RunStatus::Cancelled, "{said}");
    assert_eq!(world.read("starts"), "work\n");
}

#[test]
fn a_run_is_suspended_by_who_says_so_when_its_owner_dies_before_it_answers() {
    let world = World::new();
    let _go = world.gate("go");
    let (record, said) = say_and_kill(&world, &["suspend", "@last"], "suspend_requested");
    assert_eq!(record.status, RunStatus::Suspended, "{said}");
    assert_eq!(world.read("starts"), "work\n");
}

#[test]
fn a_run_without_an_owner_is_suspended_and_cancelled_though_the_configuration_is_broken() {
    let world = World::new();
    let _go = world.gate("go");
    world.write("flow.yaml", FLOW);
    let begun = world.gate("begun");
    let owner = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    owner.kill();
    world.configure("[agents.mine\n");
    for (command, status) in [("suspend", RunStatus::Suspended), ("cancel", RunStatus::Cancelled)] {
        let output = world.run(&[command, "@last"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{command}: {said}");
        assert!(
            said.contains("goes on without the configuration") && said.contains("config.toml:1"),
            "{said}"
        );
        assert_eq!(world.record().status, status, "{said}");
    }
    // What begins work is refused before it says anything to the run.
    assert_eq!(world.run(&["retry", "@last"]).status.code(), Some(2));
    assert_eq!(world.record().status, RunStatus::Cancelled);
}

#[test]
fn a_skip_is_settled_and_the_run_given_up_when_its_owner_dies_before_it_answers() {
    let world = World::new();
    let go = world.gate("go");
    let (record, said) = say_and_kill(&world, &["skip", "@last", "later"], "skip_requested");
    assert!(!record.status.is_ended(), "{said}");
    assert!(said.contains("nobody works on it now") && said.contains("next  backstay resume run_"), "{said}");
    let listed = world.run(&["ls", "--json"]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(!listed.contains("\"alive\": true"), "nobody owns it: {listed}");
    let resumed = world.start(&["resume", "@last"]);
    go.open();
    let status_of = |record: &RunRecord, step: &str| {
        let found = record.steps.iter().find(|found| found.step.as_str() == step)?;
        match found.stage {
            StepStage::Done { status } => Some(status),
            _ => None,
        }
    };
    let record = world.record_when("is done with the work", |record| {
        status_of(record, "work") == Some(StepStatus::Succeeded)
    });
    assert_eq!(status_of(&record, "later"), Some(StepStatus::Skipped));
    assert!(world.run(&["answer", "@last", "yes"]).status.success());
    let (status, said) = resumed.end();
    assert!(matches!(status.code(), Some(0 | 3)), "{said}");
    assert_eq!(world.read("starts"), "work\n", "the work was found again, and the other left out");
}

#[test]
fn an_answer_is_settled_and_the_run_goes_on_when_its_owner_dies_before_it_answers() {
    let world = World::new();
    let go = world.gate("go");
    let (record, said) = say_and_kill(&world, &["answer", "@last", "yes"], "question_answered");
    assert!(record.questions.iter().all(|question| question.answer.is_some()), "{said}");
    go.open();
    let record = world.record_when("is completed", |record| record.status == RunStatus::Completed);
    assert_eq!(record.steps.len(), 3);
    assert_eq!(world.read("starts"), "work\nlater\n", "the work was found again");
}
