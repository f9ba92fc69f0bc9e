//! Runs in the background: in whose environment they go on, and what those who wait for them see.

use backstay_tests::World;

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn each_run_has_the_environment_of_whoever_asked_for_it() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write(
        "long.yaml",
        "backstay: 1\nname: long\nsteps:\n  - {id: a, run: 'echo begun > begun; cat go'}\n",
    );
    world.write("env.yaml", "backstay: 1\nname: env\nsteps:\n  - {id: a, run: 'echo key $MY_KIND'}\n");
    let asked = |words: &[&str], kind: &str| {
        let output = world.command(words).env("MY_KIND", kind).output().expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
        said(&output)
    };
    let long = asked(&["run", "--detach", "long.yaml"], "first");
    assert_eq!(begun.wait(), "begun\n");
    for kind in ["second", "third", "fourth"] {
        let run = asked(&["run", "--detach", "env.yaml"], kind);
        assert_eq!(said(&world.run(&["wait", &run])), "completed");
        assert_eq!(said(&world.run(&["logs", &run, "a"])), format!("key {kind}"));
        asked(&["run", "env.yaml"], "here");
        assert_eq!(said(&world.run(&["logs", "@last", "a"])), "key here");
    }
    go.open();
    assert_eq!(said(&world.run(&["wait", &long])), "completed");
}

#[test]
fn whoever_waits_for_what_was_just_taken_up_again_does_not_see_its_old_end() {
    let world = World::new();
    world.write("red.yaml", "backstay: 1\nname: red\nsteps:\n  - {id: a, run: test -e mended}\n");
    assert_eq!(world.run(&["run", "red.yaml"]).status.code(), Some(1));
    world.write("mended", "");
    assert!(world.run(&["retry", "@last", "--detach"]).status.success());
    let waited = world.run(&["wait", "@last"]);
    assert_eq!((said(&waited).as_str(), waited.status.code()), ("completed", Some(0)));
}

#[test]
fn a_run_whose_owner_is_dead_is_not_waited_for_in_vain() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write(
        "flow.yaml",
        "backstay: 1\nname: f\nsteps:\n  - {id: a, run: 'echo begun > begun; sleep 600'}\n",
    );
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.kill();
    let waited = world.run(&["wait", "@last"]);
    assert_eq!(waited.status.code(), Some(3), "{waited:?}");
    assert!(String::from_utf8_lossy(&waited.stderr).contains("backstay resume"), "{waited:?}");
    assert!(world.run(&["cancel", "@last"]).status.success());
}

#[test]
fn an_agent_that_no_step_names_is_a_mistake() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: f\nagents: {editor: {command: cat}}\nsteps:\n  - {id: a, agent: editor, prompt: hi}\n",
    );
    let output = world.run(&["run", "flow.yaml", "--agent", "editr=cmd: cat"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("its steps have editor"), "{output:?}");
    assert!(world.run(&["run", "flow.yaml", "--agent", "editor=cmd: cat"]).status.success());
}

#[test]
fn who_resumes_while_the_owner_still_stops_what_is_at_work_sees_it_go_on_there() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    // It does not hear that it is to stop, and is killed when its grace is over.
    world.write(
        "flow.yaml",
        "backstay: 1\nname: slow\nsteps:\n  - id: a\n    after_crash: rerun\n    run: \"trap '' TERM; echo $BACKSTAY_ATTEMPT > begun; cat go\"\n",
    );
    assert!(world.run(&["run", "--detach", "flow.yaml"]).status.success());
    assert_eq!(begun.wait(), "1\n");
    assert!(world.run(&["suspend"]).status.success());
    let resume = world.start(&["resume"]);
    assert_eq!(begun.wait(), "2\n");
    go.open();
    let (status, said) = resume.end();
    assert!(status.success(), "{said}");
}
