//! `init`: the first workflow of a repository, with the real binary.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs;
use std::process::Output;

use backstay_engine::record::RunStatus;
use backstay_tests::World;

/// The binary with no programs but those of the system, so that no agent of the machine is found.
fn alone(world: &World, arguments: &[&str]) -> Output {
    let mut command = world.command(arguments);
    command.env("PATH", "/usr/bin:/bin").env("HOME", world.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn git(world: &World, arguments: &[&str]) -> String {
    let output = backstay_tests::git_command(world.path()).args(arguments).output().unwrap();
    said(&output)
}

#[test]
fn what_init_writes_is_in_order_in_every_kind_of_repository() {
    for (file, text, command) in [
        ("Cargo.toml", "[package]\nname = \"x\"\n", "cargo test"),
        ("package.json", r#"{"scripts": {"test": "node --test"}}"#, "npm test"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", "python3 -m pytest"),
        ("go.mod", "module x\n", "go test ./..."),
        ("Makefile", "test:\n\t./check\n", "make test"),
    ] {
        let world = World::new();
        world.write(file, text);
        let told = said(&alone(&world, &["init"]));
        assert!(told.contains(&format!("test   {command} (from {file}; not tried)")), "{told}");
        assert!(told.contains("codex, which was not found here"), "{told}");
        assert!(told.contains("\n git    ") && !told.contains("of which git sees nothing"), "{told}");
        let written = world.read("fix.yaml");
        assert!(written.contains(&format!("{{type: script, default: \"{command}\"}}")), "{written}");
        said(&alone(&world, &["check", "fix.yaml"]));
        // The first of the commands that it names.
        let next = told.lines().find(|line| line.contains("--dry-run")).unwrap();
        let next = next.split("backstay ").nth(1).unwrap().split("  ").next().unwrap();
        let shown = said(&alone(&world, &next.split(' ').collect::<Vec<_>>()));
        assert!(shown.contains("green") && shown.contains("agent codex"), "{shown}");
    }
}

#[test]
fn git_sees_nothing_of_the_store_and_nothing_is_written_over() {
    let world = World::new();
    git(&world, &["init", "--quiet"]);
    let written = alone(&world, &["init", "--json", "--no-try", "--test", "./check"]);
    let told: serde_json::Value = serde_json::from_str(&said(&written)).unwrap();
    assert_eq!((&told["test"]["command"], &told["agent"]["program"]), (&"./check".into(), &"missing".into()));
    assert_eq!(told["next"].as_array().unwrap().len(), 3);
    assert_eq!(git(&world, &["status", "--porcelain"]), "?? fix.yaml\n");
    world.write("fix.yaml", "mine\n");
    let again = alone(&world, &["init"]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
    assert_eq!(world.read("fix.yaml"), "mine\n");
    said(&alone(&world, &["init", "other.yaml"]));
    let foreign = alone(&world, &["init", "third.yaml", "--store", "/etc"]);
    assert!(foreign.status.code() == Some(2) && world.read("third.yaml").is_empty(), "{foreign:?}");
    let empty = World::new();
    let unknown = alone(&empty, &["init", "--agent", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "a mistake leaves nothing behind");
}

#[test]
fn without_a_test_command_a_run_is_told_one() {
    let world = World::new();
    drop(world.fake("fake"));
    let told = said(&alone(&world, &["init"]));
    assert!(
        told.contains("none was found") && told.contains("run fix.yaml --input test='make test'"),
        "{told}"
    );
    let without = alone(&world, &["run", "fix.yaml"]);
    assert_eq!(without.status.code(), Some(2), "{without:?}");
    assert!(alone(&world, &["run", "fix.yaml", "--input", "test=true"]).status.success());
}

#[test]
fn what_init_writes_lets_the_agent_that_it_found_work_until_the_tests_pass() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "message 'I try.'; ends").turn(2, "touch fixed; message 'Now it is.'; ends");
    let told = said(&alone(&world, &["init", "--test", "test -f fixed"]));
    assert!(told.contains("agent  fake (fake-cli 1.2.3; login unknown)"), "{told}");
    // Two cycles of the fake take no time, which is what a loop that does nothing looks like.
    let written = world.read("fix.yaml").replace("max_cycles: 6", "max_cycles: 6, min_cycle: 1ms");
    world.write("fix.yaml", &written);
    let ran = alone(&world, &["run", "fix.yaml"]);
    assert!(ran.status.success(), "{ran:?}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    assert_eq!(fake.calls(), ["exec --write -", "exec --write resume session-1 -"], "one session");
    let first = fake.prompt(1);
    assert!(
        first.contains("Make the tests of this repository pass.") && first.contains("exit code 1"),
        "{first}"
    );
}
