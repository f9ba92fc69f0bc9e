//! A command of the user's hears what a run needs.

use backstay_tests::{Terminal, World};

#[test]
fn a_command_is_told_that_a_run_asks_and_how_it_ends() {
    let world = World::new();
    world.configure(
        "[notify]\ncommand = [\"sh\", \"-c\", \"echo $BACKSTAY_NEWS: $BACKSTAY_MESSAGE >> news\"]\n",
    );
    world.write(
        "flow.yaml",
        "backstay: 1\nname: ask\nsteps:\n  - {id: a, run: 'test $(backstay ask Go? --options yes,no --timeout 1h) = yes'}\n",
    );
    let run = world.start(&["run", "flow.yaml"]);
    let record = world.record_when("asks", |record| !record.questions.is_empty());
    let answered = world.run(&["answer", &record.questions[0].question.to_string(), "no"]);
    assert!(answered.status.success(), "{answered:?}");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1), "{said}");
    // Whoever owns a run waits for its sinks before it ends.
    let news = world.read("news");
    assert!(news.starts_with("asks: Go?\nfailed: ") && news.lines().count() == 2, "{news}");
}

#[test]
fn a_command_that_hangs_at_the_end_is_told_by_its_name_and_left() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let hangs = format!("echo > {}; cat {}", begun.path(), go.path());
    world.configure(&format!("[notify]\ncommand = [\"sh\", \"-c\", \"{hangs}\"]\n"));
    world.write("flow.yaml", "backstay: 1\nname: quick\nsteps:\n  - {id: a, run: 'true'}\n");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "\n");
    // It waits as long as an owner waits for who hears of its events.
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("`[notify]` takes too long") && !said.contains("sink"), "{said}");
    go.open();
}

#[test]
fn a_command_that_fails_holds_no_run_up() {
    let world = World::new();
    world.configure("[notify]\ncommand = [\"/nowhere/at/all\"]\n");
    world.write("flow.yaml", "backstay: 1\nname: quick\nsteps:\n  - {id: a, run: 'true'}\n");
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("[notify]"), "{output:?}");
}

#[test]
fn a_program_that_is_missing_is_said_in_the_view_and_by_doctor() {
    let world = World::new();
    world.configure("[notify]\ncommand = [\"no-such-notifier\", \"Backstay\"]\n");
    let missing = "there is no program `no-such-notifier`: nobody is told what runs need";
    let doctor = world.run(&["doctor", "--json"]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains(missing), "{said}");
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: quick\nsteps:\n  - {id: a, run: 'echo > begun; cat go > /dev/null'}\n",
    );
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "\n");
    run.wait_until("says that the program is missing, beside the run", |screen| {
        let screen = screen.replace('\n', "");
        screen.contains("no-such-notifier") && screen.contains("[s] suspend")
    });
    go.open();
    run.wait_for_screen("COMPLETED");
}

#[test]
fn a_mistake_in_the_configuration_is_told_before_anything_begins() {
    let world = World::new();
    std::fs::create_dir(world.path().join(".backstay")).expect("a folder can be made");
    world.write(".backstay/config.toml", "[notfy]\ncommand = [\"true\"]\n");
    world.write("flow.yaml", "backstay: 1\nname: quick\nsteps:\n  - {id: a, run: 'true'}\n");
    for command in [&["run", "flow.yaml"][..], &["run", "--dry-run", "flow.yaml"], &["check", "flow.yaml"]] {
        let output = world.run(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("config.toml:1: a configuration has no table `[notfy]`"), "{said}");
        assert!(said.contains("did you mean `notify`?"), "{said}");
    }
    assert_eq!(world.only_run(), None);
}
