//! Sessions that go on.

use backstay_agent::Presets;
use backstay_engine::record::RunRecord;
use backstay_model::event::{Event, FactEvent, SessionMode};
use backstay_testkit::{Answer, Script};
use backstay_tests::library::events;
use backstay_tests::{World, block_on};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cli::Cli;
use crate::place::{PATIENCE, Place, TASK, agents};

/// It does a task, is killed in the middle with all that it started, and goes on in its own session.
pub(crate) fn goes_on_in_its_own_session(cli: Cli) {
    let script = |world: &World| {
        let file = world.path().join("greeting.txt");
        Script::of([
            Answer::shell("echo before-the-kill > one.txt"),
            // What was done right before a kill may not be in a session yet.
            Answer::shell("sleep 1"),
            Answer::Hang,
            Answer::write(file.as_str(), "hello\n"),
            Answer::text("The greeting is written."),
        ])
    };
    let Some(place) = Place::new(cli, script) else { return };
    place.flow(TASK);
    let run = place.start();
    place.wait_for_answers(3);
    let is_heard = |record: &RunRecord| {
        !record.steps.is_empty() && agents(record, "fix").first().is_some_and(|agent| agent.tools == 2)
    };
    let record = place.world.record_when("was told of two commands", is_heard);
    let pid = record.steps[0].attempts[0].pid.expect("it runs");
    let group = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    kill_process_group(group, Signal::KILL).expect("it runs");
    let (status, out) = run.end_within(PATIENCE);
    assert!(status.success(), "{out}");

    let record = place.world.record();
    assert_eq!(place.outputs(), r#"{"greeting":"hello","said":"The greeting is written."}"#);
    let agents = agents(&record, "fix");
    assert_eq!(agents.len(), 2, "{agents:#?}");
    assert!(agents[0].session.is_some() && agents[0].session == agents[1].session, "{agents:#?}");
    let tried = Presets::built_in()
        .expect("they are right")
        .get(cli.name())
        .and_then(|preset| preset.tried().map(str::to_owned));
    let version = agents[0].version.clone().expect("it told its version");
    assert!(version.contains(&tried.expect("it was tried")), "{version}");
    let usage = agents[1].usage.expect("who ended has told what it used");
    assert!(usage.input.is_some_and(|input| input > 0), "{usage:?}");
    assert!(
        place.asked()[3].body.contains("before-the-kill"),
        "the model is told what was done before the kill"
    );
    let wishes = block_on(async {
        let store = place.world.store().await.expect("there is a store");
        events(&store, record.run).await
    });
    let continued = wishes.iter().filter(|recorded| {
        matches!(Event::decode(recorded), Ok(Event::Fact(FactEvent::EffectStarting(starting)))
            if starting.agent.as_ref().is_some_and(|agent| matches!(agent.session, SessionMode::Continue { .. })))
    });
    assert_eq!(continued.count(), 1);
}

/// A loop keeps one session, another step goes on with it, a third with a copy: each model is told all that was said before.
pub(crate) fn keeps_takes_over_and_copies_sessions(cli: Cli) {
    let words = ["the-first-answer", "the-second-answer", "the-third-answer", "the-fourth-answer"];
    let Some(place) = Place::new(cli, |_| Script::of(words.map(Answer::text))) else { return };
    let has_copies = cli != Cli::Gemini;
    let mut steps = "  - id: again
    repeat: {until: steps.twice.exit_code == 0, max_cycles: 2, min_cycle: 0s}
    steps:
      - {id: fix, agent: real, session: keep, prompt: Do it.}
      - {id: twice, run: 'test -e twice || { touch twice; exit 1; }', accept_exit: 0-1}
  - {id: more, agent: real, session: {from: fix}, prompt: Do more.}
"
    .to_owned();
    if has_copies {
        steps +=
            "  - {id: copy, agent: real, session: {from: fix, fork: true}, prompt: Do something else.}\n";
    }
    place.flow(&steps);
    let record = place.completes();
    let asked = place.asked();
    assert_eq!(asked.len(), if has_copies { 4 } else { 3 });
    for (count, request) in asked.iter().enumerate() {
        for (number, word) in words.iter().enumerate() {
            assert_eq!(request.body.contains(word), number < count, "request {count}: {word}");
        }
    }
    let session = |id: &str| {
        let step = record.steps.iter().rev().find(|step| step.step.as_str() == id).expect("its turn came");
        step.attempts[0].agent.as_ref().and_then(|agent| agent.session.clone()).expect("it has a session")
    };
    assert_eq!(session("fix"), session("more"));
    if has_copies {
        assert_ne!(session("copy"), session("fix"));
    }
}
