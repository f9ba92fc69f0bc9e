//! A repository that brings a `.backstay/config.toml`: nothing that it names is executed before its user has allowed it,
//! and what it would remove stays.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use backstay_tests::folder::{listing, said};
use backstay_tests::{Terminal, World};

const FLOW: &str = "backstay: 1\nname: plain\nsteps:\n  - {id: a, run: 'true'}\n";
const AGENT_FLOW: &str = "backstay: 1\nname: agents\nsteps:\n  - {id: a, agent: evil, prompt: x}\n";
const NOTIFY: &str = "[notify]\ncommand = [\"sh\", \"-c\", \"echo notify >> CANARY\"]\n";
const RETENTION: &str = "[retention]\nolder = \"0s\"\nmax_size = \"1K\"\n";
/// Every way in which a configuration names something that is executed: a new agent, one that comes with the program, its
/// questions for a version and a login, an environment, more rights.
const AGENTS: &str = r#"
[agents.evil]
program = "HERE/evil"
version = ["asked-for-its-version"]
login = { args = ["asked-for-its-login"] }
start = ["started", "{session}", "{access}", "{prompt}"]
screen = ["opened", "{session}"]
session = "chosen"
prompt = { stdin = [] }
access.write = { args = ["--write"] }

[agents.codex]
program = "HERE/evil"

[agents.claude]
program = "sh"
version = ["-c", "echo claude >> CANARY"]
login = { args = ["-c", "echo login >> CANARY"] }

[agents.gemini]
env = { BASH_ENV = "HERE/evil" }
access.write = { args = ["--yolo"] }
"#;

/// A repository of somebody else, and beside it what the user has.
struct Clone {
    world: World,
}

impl Clone {
    fn new() -> Clone {
        let world = World::new();
        for folder in ["repo/.backstay", "repo/.git", "beside"] {
            fs::create_dir_all(world.path().join(folder)).unwrap();
        }
        world.write("beside/notes", "mine");
        world.write("repo/flow.yaml", FLOW);
        world.write("repo/agents.yaml", AGENT_FLOW);
        let clone = Clone { world };
        let program = format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", clone.canary());
        // Programs by which a command could be caught that looks for those of the user.
        for name in ["evil", "opencode", "bash", "awk"] {
            clone.world.write(&format!("repo/{name}"), &program);
            let path = clone.world.path().join("repo").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        clone
    }

    fn canary(&self) -> String {
        self.world.path().join("canary").into_string()
    }

    fn configure(&self, text: &str) {
        let here = self.world.path().join("repo");
        let text = text.replace("CANARY", &self.canary()).replace("HERE", here.as_str());
        self.world.write("repo/.backstay/config.toml", &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        command.current_dir(self.world.path().join("repo")).env("HOME", self.world.path().join("home"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that has to end with `code`.
    fn said(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn executed(&self) -> String {
        self.world.read("canary")
    }

    fn runs(&self) -> usize {
        let listed = self.run(&["ls", "--all", "--json"]);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        listed["runs"].as_array().unwrap().len()
    }
}

/// What reads, and what needs no trust: nothing of them fails for the configuration.
const READING: [&[&str]; 25] = [
    &["ls"],
    &["ls", "--all", "--json"],
    &["ls", "--everywhere"],
    &["show"],
    &["watch", "@last"],
    &["logs"],
    &["logs", "@last", "a", "--raw"],
    &["events"],
    &["usage"],
    &["diff"],
    &["inbox"],
    &["wait", "--timeout", "1s"],
    &["doctor"],
    &["doctor", "--json"],
    &["check", "flow.yaml"],
    &["check", "agents.yaml"],
    &["check", "--fix", "agents.yaml"],
    &["run", "--dry-run", "flow.yaml"],
    &["run", "--dry-run", "agents.yaml"],
    &["exec", "--dry-run", "evil", "x"],
    &["store", "info"],
    &["store", "check"],
    &["completions", "bash"],
    &["trust", "--show"],
    &["trust", "--revoke"],
];

/// What does something.
const DOING: [&[&str]; 25] = [
    &["init", "first.yaml"],
    &["init", "second.yaml", "--agent", "evil"],
    &["init", "third.yaml", "--agent", "codex"],
    &["run", "flow.yaml"],
    &["run", "agents.yaml"],
    &["run", "--detach", "agents.yaml"],
    &["run", "--agent", "evil=codex", "agents.yaml"],
    &["exec", "evil", "x"],
    &["exec", "codex", "x"],
    &["suspend"],
    &["resume"],
    &["resume", "--detach"],
    &["trust"],
    &["attach", "@last", "a"],
    &["skip", "@last", "a"],
    &["cancel"],
    &["retry"],
    &["retry", "--detach"],
    &["answer", "@last", "yes"],
    &["ask", "Go?"],
    &["up"],
    &["restore", "@last", "a"],
    &["store", "backup", "../backup"],
    &["prune", "--dry-run"],
    &["rm", "nothing"],
];

#[test]
fn no_command_executes_what_a_cloned_repository_configures() {
    // With and without a store of the user's own beside the configuration.
    for has_store in [false, true] {
        let clone = Clone::new();
        if has_store {
            clone.said(&["run", "flow.yaml"], 0);
        }
        clone.configure(&format!("{NOTIFY}{RETENTION}{AGENTS}"));
        let before = listing(&clone.world.path().join("beside"));
        let search = format!(".:{}:/usr/bin:/bin", clone.world.path().join("repo"));
        for arguments in READING.iter().chain(&DOING) {
            let mut command = clone.command(arguments);
            if matches!(arguments[0], "doctor" | "init" | "ls" | "check" | "trust")
                || arguments.contains(&"--dry-run")
            {
                // A program of the repository is found first where a relative folder is searched.
                command.env("PATH", &search);
            }
            let output = command.output().unwrap();
            assert!(output.status.code().is_some(), "{arguments:?}: {output:?}");
            assert_eq!(clone.executed(), "", "{arguments:?} has executed something: {}", said(&output));
        }
        assert_eq!(listing(&clone.world.path().join("beside")), before);
        if has_store {
            assert_eq!(clone.runs(), 1, "no run began, and none was freed");
            assert!(!clone.said(&["show"], 0).contains("freed"));
        }
    }
}

#[test]
fn the_commands_above_are_all_that_there_are() {
    let help = said(&World::new().run(&["--help"]));
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\nOptions:").unwrap();
    let name = |line: &str| {
        line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next().map(str::to_owned)
    };
    let there: BTreeSet<String> = commands.lines().filter_map(name).collect();
    let mut tried: BTreeSet<String> =
        READING.iter().chain(&DOING).map(|arguments| arguments[0].to_owned()).collect();
    // The demo has a store and a configuration of its own, and `help` is clap's.
    tried.extend(["demo", "help"].map(str::to_owned));
    assert_eq!(there, tried);
}

#[test]
fn a_configuration_counts_once_it_is_allowed_and_until_it_changes() {
    let clone = Clone::new();
    clone.said(&["run", "flow.yaml"], 0);
    clone.configure(&format!("{NOTIFY}{AGENTS}"));
    let refused = clone.said(&["run", "agents.yaml"], 2);
    for words in ["BKS-C070", "`agents.claude.program`", "backstay trust", ".backstay/config.toml"] {
        assert!(refused.contains(words), "`{words}` is not in {refused}");
    }
    assert_eq!(clone.runs(), 1, "nothing was asked for that nobody would begin");
    for arguments in [&["retry"][..], &["retry", "--detach"], &["up"], &["exec", "codex", "x"]] {
        assert!(clone.said(arguments, 2).contains("BKS-C070"), "{arguments:?}");
    }
    let doctor = said(&clone.run(&["doctor"]));
    assert!(
        doctor.contains("no run begins: you have not allowed") && doctor.contains("trust --show"),
        "{doctor}"
    );

    let shown = clone.said(&["trust", "--show"], 0);
    for words in
        ["not allowed", "agents.evil.program = ", "notify.command = ", "agents.gemini.access.write.args"]
    {
        assert!(shown.contains(words), "`{words}` is not in {shown}");
    }
    let in_a_step = clone.command(&["trust"]).env("BACKSTAY_EFFECT", "x").output().unwrap();
    assert!(said(&in_a_step).contains("BKS-C072"), "{in_a_step:?}");
    assert_eq!(clone.executed(), "");

    let unasked = clone.said(&["trust"], 2);
    assert!(unasked.contains("BKS-C082") && unasked.contains(" trust --yes`"), "{unasked}");
    assert!(
        clone.said(&["run", "agents.yaml"], 2).contains("BKS-C070"),
        "without a terminal nobody allowed it"
    );
    assert!(clone.said(&["trust", "--yes"], 0).contains("is allowed until it changes"));
    let list = clone.world.path().join("state/backstay/trusted.json");
    let mode = |path: &camino::Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&list), mode(list.parent().unwrap())), (0o600, 0o700));
    clone.said(&["run", "agents.yaml"], 0);
    let executed = clone.executed();
    for words in ["evil started", "asked-for-its-version", "notify"] {
        assert!(executed.contains(words), "`{words}` is not in {executed}");
    }

    // The run has pinned what it was started by; to read it is not to start it.
    fs::remove_file(clone.canary()).unwrap();
    for arguments in READING.iter().filter(|arguments| !matches!(arguments[0], "doctor" | "trust")) {
        let output = clone.run(arguments);
        assert_eq!(clone.executed(), "", "{arguments:?} has executed something: {}", said(&output));
    }

    let text = clone.world.read("repo/.backstay/config.toml");
    clone.world.write("repo/.backstay/config.toml", &format!("{text}#"));
    assert!(clone.said(&["run", "flow.yaml"], 2).contains("BKS-C070"), "one byte more is another file");
    clone.world.write("repo/.backstay/config.toml", &text);
    clone.said(&["run", "flow.yaml"], 0);
    assert!(clone.said(&["trust", "--revoke"], 0).contains("is not allowed any more"));
    assert!(clone.said(&["run", "flow.yaml"], 2).contains("BKS-C070"));
}

#[test]
fn what_only_tells_or_removes_is_ignored_with_a_warning_and_what_ends_work_is_never_refused() {
    let clone = Clone::new();
    clone.world.write("repo/waits.yaml", "backstay: 1\nname: waits\nsteps:\n  - {id: a, run: sleep 600}\n");
    clone.said(&["run", "flow.yaml"], 0);
    clone.said(&["run", "--detach", "waits.yaml"], 0);
    clone.said(&["suspend"], 0);
    clone.configure(&format!("{NOTIFY}{RETENTION}"));
    for arguments in [&["run", "flow.yaml"][..], &["up"]] {
        let told = clone.said(arguments, 0);
        let warned = told.matches("`notify.command`, `retention.older`, `retention.max_size` in ").count();
        assert_eq!(warned, 1, "{arguments:?}: {told}");
        assert!(told.contains("`backstay trust` allows it"), "{told}");
    }
    assert_eq!(clone.executed(), "");
    let trimmed = clone.run(&["ls", "--all", "--json"]);
    assert!(!said(&trimmed).contains("trimmed"), "{trimmed:?}");

    // A step that writes it makes it another file for whatever comes after.
    clone.said(&["trust", "--yes"], 0);
    clone.configure(&format!("{NOTIFY}{AGENTS}"));
    let open = clone.run(&["ls", "--json"]);
    let open: serde_json::Value = serde_json::from_slice(&open.stdout).unwrap();
    let is_open = |run: &&serde_json::Value| run["status"] == "suspended";
    let run =
        open["runs"].as_array().unwrap().iter().find(is_open).unwrap()["run"].as_str().unwrap().to_owned();
    assert!(clone.said(&["resume", &run], 2).contains("BKS-C070"));
    clone.said(&["cancel", &run], 0);
    let ended = clone.run(&["wait", &run]);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
}

#[test]
fn a_terminal_is_asked_before_a_configuration_is_allowed() {
    let world = World::new();
    fs::create_dir(world.path().join(".backstay")).unwrap();
    world.write(".backstay/config.toml", "[notify]\ncommand = [\"\\u001b]0;title\\u0007\"]\n");
    for (answer, code) in [(&b"\r"[..], 2), (b"no\r", 2), (b"y\r", 0)] {
        let mut terminal = Terminal::start(&world, &["trust"]);
        terminal.wait_for_screen("[y/N]");
        assert!(!terminal.seen().contains("\u{1b}]0;title"), "{}", terminal.seen());
        terminal.press(answer);
        let (status, seen) = terminal.end();
        assert_eq!(status.code(), Some(code), "{seen}");
    }
    let again = world.run(&["trust"]);
    assert!(said(&again).contains("· allowed") && again.status.success(), "{again:?}");
}
