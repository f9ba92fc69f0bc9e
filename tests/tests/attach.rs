//! `attach`: a person works in an agent's session while the run stands still, and hands it back.

use backstay_engine::record::RunStatus;
use backstay_tests::{Fake, Terminal, World};
use rustix::process::Signal;

const FLOW: &str = "backstay: 1\nname: flow\nsteps:\n  - {id: fix, agent: {use: fake, model: m1, args: [--own]}, env: {FAKE_PLACE: here}, prompt: Do it.}\n";

/// A run whose agent has said something and waits at a gate; git keeps the folder.
fn at_work<'w>(world: &'w World, fake: &Fake<'w>) -> backstay_tests::Started {
    at_work_after(world, fake, "")
}

/// The same, where the agent does `first` before it says something.
fn at_work_after<'w>(world: &'w World, fake: &Fake<'w>, first: &str) -> backstay_tests::Started {
    let git = |words: &[&str]| {
        let status = backstay_tests::git_command(world.path()).args(words).status();
        assert!(status.expect("git starts").success());
    };
    git(&["init", "-q"]);
    // The registry of stores lies in the folder of the test, and who ended writes it a moment later.
    world.write(".gitignore", "/state/\n");
    at_work_without_git(world, fake, first)
}

/// The same in a folder that is in no checkout, so no lease of one keeps anybody out.
fn at_work_without_git<'w>(world: &'w World, fake: &Fake<'w>, first: &str) -> backstay_tests::Started {
    let begun = world.gate("begun");
    fake.turn(1, &format!("{first}message 'I begin.'; echo here > {}; sleep 1000", begun.path()));
    fake.turn(2, "message 'All is green.'; ends");
    world.write("flow.yaml", FLOW);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "here\n");
    let _said = world.record_when("says its session", |record| {
        let mut agents =
            record.steps.iter().flat_map(|step| &step.attempts).filter_map(|attempt| attempt.agent.as_ref());
        agents.next_back().is_some_and(|agent| agent.session.is_some())
    });
    run
}

#[test]
fn a_person_takes_over_and_hands_back_as_one_recorded_intervention() {
    let world = World::new();
    let fake = world.fake("fake");
    let run = at_work(&world, &fake);
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("the screen of session-1");
    attach.wait_for(": --write -m m1 --own, may write, here");
    let (status, _) = run.end();
    assert_eq!(status.code(), Some(5), "who ran it sees it stand still");
    let shown = world.run(&["show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("works in the session of an agent"), "{shown:?}");
    attach.press(b"mended by hand\r");
    attach.wait_for("you worked in the session of fake for");
    attach.wait_for("1 file changed");
    let (status, _) = attach.end();
    assert!(status.success(), "{status:?}");
    assert!(world.read("notes").contains("mended by hand"));
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    let [intervention] = record.interventions.as_slice() else { panic!("{:#?}", record.interventions) };
    let done = &intervention.done;
    assert_eq!((done.session.as_str(), done.agent.as_str(), done.exit_code), ("session-1", "fake", Some(3)));
    assert!(done.before.is_some() && done.after.is_some() && done.from <= done.until);
    let calls = fake.calls();
    assert!(calls.len() == 2 && calls[1].contains("resume session-1"), "{calls:?}");
    assert!(fake.prompt(2).starts_with("You were interrupted, and a person worked in this session"));
    let shown = String::from_utf8_lossy(&world.run(&["show"]).stdout).into_owned();
    assert!(shown.contains("taken over  fix by tester"), "{shown}");
}

#[test]
fn a_take_over_that_is_killed_leaves_a_run_that_can_be_resumed() {
    let world = World::new();
    let fake = world.fake("fake");
    let run = at_work(&world, &fake);
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("the screen of session-1");
    assert_eq!(run.end().0.code(), Some(5));
    backstay_tests::send(attach.pid(), Signal::KILL);
    drop(attach);
    let record = world.record();
    assert_eq!((record.status, record.interventions.len()), (RunStatus::Suspended, 0));
    assert_eq!(record.why.as_deref(), Some("tester (command line) works in the session of an agent"));
    assert!(world.run(&["resume", "@last"]).status.success());
    assert_eq!(world.record().status, RunStatus::Completed);
}

#[test]
fn a_run_whose_owner_dies_while_it_comes_to_a_stand_is_brought_to_rest_and_taken_over() {
    let world = World::new();
    let fake = world.fake("fake");
    // It does not hear that it is to stop, so the run takes its grace to come to a stand.
    let run = at_work_after(&world, &fake, "trap '' TERM; ");
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix", "--stay"]);
    let _told = world.record_when("comes to a stand", |record| record.status == RunStatus::Suspending);
    run.kill();
    attach.wait_for("the screen of session-1");
    assert_eq!(world.record().status, RunStatus::Suspended);
    attach.press(b"mended by hand\r");
    assert!(attach.end().0.success());
}

#[test]
fn what_cannot_be_taken_over_stops_nothing() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "message 'All is green.'; ends");
    world.write("flow.yaml", &format!("{FLOW}  - {{id: test, run: 'true'}}\n"));
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let piped = world.run(&["attach", "@last", "fix"]);
    assert_eq!(piped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&piped.stderr).contains("needs a terminal"), "{piped:?}");
    let mut attach = Terminal::start(&world, &["attach", "@last", "test"]);
    attach.wait_for("no agent's session of `test` is known");
    assert_eq!(attach.end().0.code(), Some(1));
    // What has ended can be looked at, and its record stays as it is.
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("the screen of session-1");
    attach.press(b"only looking\r");
    attach.wait_for("this is not in its record");
    assert!(attach.end().0.success());
    assert_eq!(world.record().interventions, []);
}

/// Asserts that the command is refused for the screen of the process `pid`, and says how to end that.
fn assert_refused(world: &World, command: &[&str], pid: &str) {
    let output = world.run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
    assert!(said.contains("the screen of fake is open in the session session-1 of run_"), "{said}");
    assert!(said.contains(&format!("(pid {pid})")) && said.contains("--take-over` ends it"), "{said}");
    assert!(said.contains("BKS-R089"), "{said}");
}

#[test]
fn no_agent_begins_in_a_session_while_a_person_is_on_its_screen() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.on_screen("echo $$ > screen-pid; echo \"screen ready\"");
    let run = at_work_without_git(&world, &fake, "");
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("screen ready");
    assert_eq!(run.end().0.code(), Some(5));
    let pid = world.read("screen-pid");
    for command in [&["resume", "@last"][..], &["resume", "@last", "--detach"]] {
        assert_refused(&world, command, pid.trim());
    }
    let shown = String::from_utf8_lossy(&world.run(&["show"]).stdout).into_owned();
    let next: Vec<&str> = shown.lines().filter(|line| line.contains("backstay resume")).collect();
    assert!(
        matches!(next.as_slice(), [line] if line.contains(" --take-over")),
        "what is refused is not offered: {shown}"
    );
    assert!(shown.contains("ends the screen of fake"), "{shown}");
    let mut second = Terminal::start(&world, &["attach", "@last", "fix"]);
    second.wait_for("the screen of fake is open in the session session-1");
    assert_eq!(second.end().0.code(), Some(1));
    assert_eq!(fake.calls().len(), 1, "no second agent was started");
    attach.press(b"mended by hand\r");
    assert!(attach.end().0.success());
    let record = world.record();
    assert_eq!((record.status, record.interventions.len()), (RunStatus::Completed, 1));
    // A run that has ended is not begun again either while somebody looks at what its agent did.
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("screen ready");
    assert_refused(&world, &["retry", "@last", "--from", "fix"], world.read("screen-pid").trim());
    attach.press(b"only looking\r");
    assert!(attach.end().0.success());
    assert!(world.run(&["retry", "@last", "--from", "fix"]).status.success());
    assert!(world.run(&["store", "check"]).status.success());
}

#[test]
fn a_screen_that_outlives_its_killed_attach_is_ended_before_the_run_goes_on() {
    let world = World::new();
    let fake = world.fake("fake");
    // The terminal's end does not end it.
    fake.on_screen("trap '' HUP; echo $$ > screen-pid; echo \"screen ready\"; exec sleep 1000");
    let run = at_work(&world, &fake);
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("screen ready");
    assert_eq!(run.end().0.code(), Some(5));
    backstay_tests::send(attach.pid(), Signal::KILL);
    drop(attach);
    let pid = world.read("screen-pid");
    assert_refused(&world, &["resume", "@last"], pid.trim());
    assert_eq!(fake.calls().len(), 1, "no second agent was started");
    let resumed = world.run(&["resume", "@last", "--take-over"]);
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{said}");
    assert!(said.contains(&format!("ended the screen of fake (pid {})", pid.trim())), "{said}");
    // Whose parent is gone may be dead and not collected.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "it lives on: {state}");
    assert_eq!((world.record().status, fake.calls().len()), (RunStatus::Completed, 2));
}

#[test]
fn who_takes_a_run_over_from_a_living_attach_ends_its_screen_and_what_was_done_is_recorded() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.on_screen("echo \"screen ready\"");
    let run = at_work_without_git(&world, &fake, "");
    let mut attach = Terminal::start(&world, &["attach", "@last", "fix"]);
    attach.wait_for("screen ready");
    assert_eq!(run.end().0.code(), Some(5));
    let resumed = world.run(&["resume", "@last", "--take-over"]);
    assert!(resumed.status.success(), "{resumed:?}");
    let (status, seen) = attach.end();
    assert!(status.success() && seen.contains("the screen was ended to let run_"), "{status:?}: {seen}");
    let record = world.record();
    assert_eq!((record.status, record.interventions.len()), (RunStatus::Completed, 1));
    assert_eq!(fake.calls().len(), 2, "one agent went on with it");
}
