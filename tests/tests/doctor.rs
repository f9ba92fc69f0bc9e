//! `doctor`, with the real binary.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use backstay_tests::World;
use serde_json::Value;

/// Puts a program into the folder `bin` of the world.
fn program(world: &World, name: &str, script: &str) {
    let folder = world.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs `doctor` with no programs but those of the folder `bin` and of the system.
fn doctor(world: &World, arguments: &[&str]) -> Output {
    let mut command = world.command(&[&["doctor"], arguments].concat());
    command.env("PATH", format!("{}:/usr/bin:/bin", world.path().join("bin"))).env("HOME", world.path());
    for variable in ["CODEX_API_KEY", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "GEMINI_API_KEY"] {
        command.env_remove(variable);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn finding<'v>(told: &'v Value, what: &str) -> &'v Value {
    let findings = told["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}: {told}"))
}

#[test]
fn doctor_tells_of_agents_logins_owners_and_runs_that_stand_still() {
    let world = World::new();
    program(&world, "codex", "case $1 in login) echo sk-secret; exit 0;; esac; echo codex-cli 0.169.0");
    program(&world, "claude", "case $1 in auth) echo sk-secret; exit 1;; esac; echo '2.1.329 (Claude Code)'");
    let before = doctor(&world, &["--json"]);
    assert!(before.status.success(), "{before:?}");
    assert!(finding(&json(&before), "folder")["found"].as_str().unwrap().contains("none here yet"));

    let gate = world.gate("gate");
    world.write(
        "flow.yaml",
        &format!("backstay: 1\nname: waits\nsteps:\n  - {{id: a, run: 'cat {}'}}\n", gate.path()),
    );
    assert!(world.run(&["run", "--detach", "flow.yaml"]).status.success());
    drop(world.record_when("works", |record| record.steps.iter().any(|step| !step.attempts.is_empty())));
    let output = doctor(&world, &["--json"]);
    let told = json(&output);
    assert!(output.status.success(), "{told}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("secret"), "{told}");
    assert_eq!((&told["agents"][0]["name"], &told["agents"][0]["login"]), (&"codex".into(), &"found".into()));
    assert_eq!(
        (&told["agents"][1]["name"], &told["agents"][1]["login"]),
        (&"claude".into(), &"missing".into())
    );
    assert_eq!(finding(&told, "codex")["health"], "good");
    let owner = finding(&told, "owner")["found"].as_str().unwrap().to_owned();
    assert!(owner.starts_with("pid ") && owner.contains(": run_"), "{owner}");
    assert!(
        finding(&told, "log")["found"].as_str().unwrap().ends_with(": 1 run, 1 of them not ended"),
        "{told}"
    );

    assert!(world.run(&["suspend"]).status.success());
    assert_eq!(world.run(&["wait"]).status.code(), Some(5));
    let page = String::from_utf8(doctor(&world, &[]).stdout).unwrap();
    assert!(
        page.contains("waits: suspended, by tester") && page.contains("→ backstay resume run_"),
        "{page}"
    );
    assert!(page.contains("2.1.329 (Claude Code) · not logged in (`claude auth status`)"), "{page}");
}

#[test]
fn doctor_fails_where_something_stands_in_the_way() {
    let world = World::new();
    fs::create_dir(world.path().join(".backstay")).unwrap();
    world.write(".backstay/config.toml", "[retention]\nolder = \"soon\"\n");
    let output = doctor(&world, &["--json"]);
    let told = json(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let configuration = finding(&told, "config.toml");
    let found = configuration["found"].as_str().unwrap();
    assert!(
        configuration["health"] == "bad" && found.contains("config.toml:2: `older` of `[retention]`"),
        "{found}"
    );

    let world = World::new();
    fs::create_dir(world.path().join(".backstay")).unwrap();
    world.write(".backstay/log.db", "this is no database, and long enough to be looked at as one");
    let output = doctor(&world, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("✗ log") && page.contains("1 thing stands in the way"), "{page}");
}

#[test]
fn a_database_that_opens_and_is_damaged_is_not_called_good() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: quick\nsteps:\n  - {id: a, run: 'seq 1 100'}\n");
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let file = world.path().join(".backstay/log.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let root = |name: &str| -> u32 {
        let query = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
        database.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    // One that is needed to read events, and one that is not.
    let pages = [root("sqlite_autoindex_topic_1"), root("key")];
    drop(database);
    let whole = fs::read(&file).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    for page in pages {
        let mut bytes = whole.clone();
        let begin = (usize::try_from(page).unwrap() - 1) * page_bytes;
        bytes[begin..begin + page_bytes].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&file, &bytes).unwrap();
        assert!(world.run(&["ls"]).status.success(), "page {page}: it opens");
        let output = doctor(&world, &["--json"]);
        let told = json(&output);
        assert_eq!(output.status.code(), Some(1), "page {page}: {told}");
        let log = finding(&told, "log");
        assert!(log["health"] == "bad" && log["next"] == "backstay store check", "page {page}: {told}");
    }
    fs::write(&file, &whole).unwrap();
    let output = doctor(&world, &["--json"]);
    assert_eq!(finding(&json(&output), "log")["health"], "good", "{output:?}");
}
