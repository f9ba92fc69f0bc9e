//! `backstay exec`: a workflow without a file, with the real binary.

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_model::Text;
use backstay_tests::World;

/// A cycle of the agent: it meets the test, notes what it did, and says so.
const CYCLE: &str = "echo begun > begun; cat go > /dev/null; echo x >> done; message ok; ends 100";

/// The loop needs four cycles; its owner is killed five times, twice in the first.
#[test]
fn four_cycles_and_an_owner_killed_five_times() {
    let world = World::new();
    let fake = world.fake("fake");
    (1..=4).for_each(|turn| {
        fake.turn(turn, CYCLE);
    });
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let until = "echo checked >> checks; test $(cat done 2> /dev/null | wc -l) -ge 4";
    let mut owner = world.start(&[
        "exec",
        "fake",
        "Make it ${{ green }}.",
        "--until",
        until,
        "--max-cycles",
        "6",
        "--min-cycle",
        "1ms",
    ]);
    let found_again = |record: &RunRecord| {
        record.steps.iter().flat_map(|step| &step.attempts).map(|attempt| attempt.reattached).sum::<u32>()
    };
    let mut kills = 0;
    for cycle in 1..=4 {
        assert_eq!(begun.wait(), "begun\n");
        for _ in 0..if cycle == 1 { 2 } else { 1 } {
            owner.kill();
            kills += 1;
            owner = world.start(&["resume", "@last"]);
            drop(world.record_when("is attached again", |record| found_again(record) == kills));
        }
        go.open();
    }
    let (status, out) = owner.end();
    assert!(status.success(), "{out}");
    assert_eq!(kills, 5);
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    let calls = fake.calls();
    assert_eq!(calls[0], "exec --write -");
    assert_eq!(calls[1..], ["exec --write resume session-1 -"; 3], "one session, and each cycle began once");
    assert_eq!(world.read("checks").lines().count(), 5, "the check ran before each cycle and after the last");
    assert!(fake.prompt(4).starts_with("Make it ${{ green }}."), "{}", fake.prompt(4));
    assert!(fake.prompt(4).contains("It ended with exit code 1 and said at its end:"), "{}", fake.prompt(4));
    assert!(record.steps.iter().all(|step| step.attempts.len() <= 1), "nothing ran twice");
    assert_eq!(record.interruptions.len(), 5);
    assert_eq!(record.usage().unwrap().input.known, 100, "the session says what it used in all");
}

#[test]
fn what_exec_saves_is_the_workflow_that_it_runs() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "message 'It is done.'; ends");
    let output = world.run(&["exec", "fake", "Do it.", "--access", "read", "--save", "it.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((fake.calls(), fake.prompt(1)), (vec!["exec --read -".to_owned()], "Do it.".to_owned()));
    assert_eq!(world.record().outputs, Some(Text::of(r#"{"answer":"It is done."}"#)));
    let checked = world.run(&["check", "it.yaml"]);
    assert!(checked.status.success(), "{checked:?}");
    let again = world.run(&["run", "it.yaml", "--input", "prompt=Do it again."]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(fake.prompt(2), "Do it again.");
    let twice = world.run(&["exec", "fake", "Do it.", "--save", "it.yaml"]);
    assert_eq!(twice.status.code(), Some(2), "no file is written over");
    assert_eq!(fake.calls().len(), 2, "and nothing is started");
}

#[test]
fn what_is_done_already_needs_no_agent_and_what_cannot_be_run_is_told() {
    let world = World::new();
    let fake = world.fake("fake");
    let output = world.run(&["exec", "fake", "Make it green.", "--until", "true"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fake.calls(), [""; 0]);
    let output = world.run(&["exec", "fakee", "Do it."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `fake`?"), "{output:?}");
    for (arguments, words) in [
        (&["fake", ""][..], "the prompt for `fake` is empty"),
        (&["fake", " \n"], "the prompt for `fake` is empty"),
        (&["fake", "Do it.", "--via", "arg"], "`fake` takes no prompt via arg"),
    ] {
        let output = world.run(&[&["exec"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{arguments:?}: {output:?}");
    }
    assert_eq!(fake.calls(), [""; 0]);
    let output = world.run(&["exec", "cmd: cat", "Say it."]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn over_its_tokens_it_works_on_only_if_a_person_says_so() {
    let world = World::new();
    let fake = world.fake("fake");
    (1..=3).for_each(|turn| {
        fake.turn(turn, &format!("echo x >> done; message ok; ends {turn}000"));
    });
    let until = "test $(cat done 2> /dev/null | wc -l) -ge 3";
    let over =
        world.run(&["exec", "fake", "Do it.", "--until", until, "--min-cycle", "1ms", "--tokens", "2k"]);
    assert_eq!(over.status.code(), Some(3), "{over:?}");
    assert_eq!(fake.calls().len(), 2, "1,010 tokens, then 2,010 in the same session");
    let asked = String::from_utf8(world.run(&["inbox"]).stdout).expect("UTF-8");
    assert!(asked.contains("2010 of 2000 tokens are used"), "{asked}");
    let shown = String::from_utf8(world.run(&["show"]).stdout).expect("UTF-8");
    assert!(shown.contains("work   asks"), "{shown}");
    assert!(world.run(&["answer", "@last", "more"]).status.success());
    let (status, out) = world.start(&["resume", "@last"]).end();
    assert!(status.success(), "{out}");
    assert_eq!(fake.calls().len(), 3);
}

#[test]
fn exec_saves_what_is_in_order_and_writes_over_nothing() {
    let world = World::new();
    drop(world.fake("fake"));
    for wrong in [
        &["exec", "fake", "Do it.", "--save", "it.yaml", "--tokens", "many"][..],
        &["exec", "nobody", "Do it.", "--save", "it.yaml"],
        &["exec", "fake", "Do it.", "--save", "it.yaml", "--store", "fake"],
    ] {
        let output = world.run(wrong);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(world.read("it.yaml"), "", "{wrong:?}");
    }
    let right = world.run(&["exec", "fake", "Do it.", "--save", "it.yaml"]);
    assert!(right.status.success(), "{right:?}");
    let saved = world.read("it.yaml");
    let again = world.run(&["exec", "fake", "Do another.", "--save", "it.yaml"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(2) && said.contains("is there already"), "{said}");
    assert_eq!((world.read("it.yaml"), world.only_run().is_some()), (saved, true));
}

/// The last pass finds that all is well, and needs the agent no more: what it did before is still shown, and undone.
#[test]
fn what_the_agent_of_a_loop_did_is_seen_after_the_loop_ended() {
    let world = World::new();
    let git = |words: &[&str]| {
        let status = backstay_tests::git_command(world.path()).args(words).status();
        assert!(status.expect("git starts").success());
    };
    git(&["init", "-q"]);
    let agent = "cmd: sh -c 'cat >/dev/null; echo line >> made'";
    let until = "test -e made && test $(wc -l < made) = 2";
    let output =
        world.run(&["exec", agent, "Go on.", "--until", until, "--max-cycles", "4", "--min-cycle", "0s"]);
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8_lossy(&world.run(&["show"]).stdout).into_owned();
    let work = shown.lines().find(|line| line.contains(" work ")).unwrap_or_default();
    assert!(work.contains("done") && !shown.contains("needed it no more"), "{shown}");
    let diff = world.run(&["diff", "@last", "work"]);
    assert!(diff.status.success(), "{diff:?}");
    assert!(String::from_utf8_lossy(&diff.stdout).contains("+line"), "{diff:?}");
}

#[test]
fn a_loop_without_progress_says_so_and_one_that_gets_on_is_let_be_however_fast() {
    let world = World::new();
    let output = world.run(&["exec", "cmd: true", "Go on.", "--until", "false"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let shown = String::from_utf8_lossy(&world.run(&["show"]).stdout).into_owned();
    let why = "loop `loop`: 3 cycles without a change: the same tree and the same outputs";
    assert!(shown.contains(why), "{shown}");
    let until = "test $(cat done 2> /dev/null | wc -l) -ge 5";
    let quick = world.run(&["exec", "cmd: sh -c 'echo x >> done'", "Go on.", "--until", until]);
    assert!(quick.status.success(), "it says the same each time, and changes a file: {quick:?}");
    let polls = world.run(&[
        "exec",
        "cmd: true",
        "Wait.",
        "--until",
        "false",
        "--min-cycle",
        "1ms",
        "--max-cycles",
        "5",
    ]);
    assert_eq!(polls.status.code(), Some(1), "where cycles are spaced out nothing has to change: {polls:?}");
}
