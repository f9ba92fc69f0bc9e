//! What leaves the program: no secret, nothing that a terminal acts on, and no end of a run because nobody takes it.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{PATIENCE, Terminal, World, binary, git, send};
use rustix::process::Signal;

/// A value with all that encoders treat in ways of their own.
const SECRET: &str = "pa\"ss\\wo/rd-1~?";
/// Forms of it, beside other text.
const FORMS: [&str; 12] = [
    "pa\"ss\\wo/rd-1~?",
    r#"{"k":"pa\"ss\\wo/rd-1~?"}"#,
    r#"{"k":"pa\"ss\\wo\/rd-1~?"}"#,
    r#"{"k":"{\"j\":\"pa\\\"ss\\\\wo/rd-1~?\"}"}"#,
    "https://u:pa%22ss%5Cwo%2Frd-1~%3F@host/",
    "pa%22ss%5cwo%2frd-1~%3f",
    "Basic cGEic3Ncd28vcmQtMX4/Ong=",
    "Basic dXBhInNzXHdvL3JkLTF+Pzp4",
    "Basic dXNwYSJzc1x3by9yZC0xfj86eA==",
    "dXBhInNzXHdvL3JkLTF-Pzp4",
    "cGEic3Ncd28vcmQtMX4_Ong",
    "second-line-of-the-key",
];
/// What must be nowhere: parts of the forms that no other text has.
const TRACES: [&str; 7] =
    ["rd-1~", "ss%5", "ss%5c", "c3Ncd28vcmQtM", "hInNzXHdvL3Jk", "SJzc1x3by9yZC0", "line-of-the-key"];

/// Every file of the store that holds a trace of the secret; what steps wrote into `$BACKSTAY_OUTPUT` stays as it is.
fn traces(folder: &camino::Utf8Path, found: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().expect("a folder can be read") {
        let path = entry.expect("a folder can be read").into_path();
        if path.symlink_metadata().expect("it is there").is_dir() {
            traces(&path, found);
        } else if path.is_file() && path.file_name() != Some("output") {
            let text =
                String::from_utf8_lossy(&std::fs::read(&path).expect("a file can be read")).into_owned();
            found.extend(
                TRACES.iter().filter(|trace| text.contains(**trace)).map(|trace| format!("{path}: {trace}")),
            );
        }
    }
}

#[test]
fn no_form_of_a_secret_is_on_a_screen_or_in_the_store_outside_of_output_files() {
    let world = World::new();
    world.write("forms.txt", &FORMS.map(|form| format!("<{form}>\n")).concat());
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: leaks
steps:
  - id: print
    run: |
      cat forms.txt; cat forms.txt >&2
      cp forms.txt "$BACKSTAY_OUTPUT"
      touch "$BACKSTAY_ARTIFACTS/plain-$OTHER_SECRET"
  - id: question
    run: backstay ask "is $MY_TOKEN right?" --options yes,no --timeout 1s --default yes
  - {id: shown, run: 'echo "${{ steps.print.output }}"'}
"#,
    );
    let variables = [
        ("MY_TOKEN", SECRET),
        ("OTHER_SECRET", "value-of-the-other"),
        (
            "DEPLOY_KEY",
            "-----BEGIN KEY-----\nfirst-line-of-the-key\nsecond-line-of-the-key\n-----END KEY-----",
        ),
    ];
    let (status, said) = world.start_with(&["run", "flow.yaml"], &variables).end();
    assert!(status.success(), "{said}");
    let mut found = Vec::new();
    traces(&world.path().join(".backstay"), &mut found);
    assert_eq!(found, [""; 0]);
    let shown: String = [&["show"] as &[&str], &["show", "--json"], &["events"], &["logs"], &["ls"]]
        .into_iter()
        .map(|arguments| String::from_utf8_lossy(&world.run(arguments).stdout).into_owned())
        .chain([said])
        .collect();
    for trace in TRACES.iter().chain(&["value-of-the-other"]) {
        assert!(!shown.contains(trace), "{trace}: {shown}");
    }
    for kept in ["is [redacted:MY_TOKEN] right?", "plain-[redacted:OTHER_SECRET]", "[redacted:DEPLOY_KEY]"] {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
}

#[test]
fn no_secret_is_in_a_preview_or_in_why_a_command_could_not_start() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: starts\ninputs:\n  program: {}\nsteps:\n  - {id: start, command: [\"${{ inputs.program }}\", x]}\n",
    );
    let program = "program=/nowhere/value-of-my-key/bin";
    let variables = [("MY_KEY", "value-of-my-key")];
    let (status, said) = world.start_with(&["run", "flow.yaml", "--input", program], &variables).end();
    assert_eq!(status.code(), Some(1), "{said}");
    let shown = String::from_utf8_lossy(&world.run(&["show"]).stdout).into_owned();
    let events = String::from_utf8_lossy(&world.run(&["events"]).stdout).into_owned();
    let told = events.lines().filter(|line| !line.contains("run_requested")).collect::<String>();
    assert!(!format!("{said}{shown}{told}").contains("value-of-my-key"), "{said}{shown}{told}");
    assert!(told.contains("/nowhere/[redacted:MY_KEY]/bin"), "{told}");
    let run = world.record().run;
    let kept = world.read(&format!(".backstay/runs/{run}/start/1/exit.json"));
    assert!(kept.contains("/nowhere/[redacted:MY_KEY]/bin"), "{kept}");
}

/// A step that tells what its workflow gave it, and an agent that tells what its preset gave it, beside the streams that their keepers redact.
const GIVEN: &str = r#"
backstay: 1
name: given
inputs: {key: {}}
env: {RUN_TOKEN: "of-the-run-${{ inputs.key }}"}
steps:
  - id: one
    needs: []
    env: {STEP_KEY: "of-the-step-${{ inputs.key }}"}
    run: |
      echo ${{ inputs.key }} > begun; cat go
      echo "is $RUN_TOKEN and $STEP_KEY" > "$BACKSTAY_OUTPUT"
      touch "$BACKSTAY_ARTIFACTS/plain-$STEP_KEY"
  - {id: command, needs: [one], env: {STEP_KEY: "${{ inputs.key }}"}, command: [echo, "${{ inputs.key }}"]}
  - {id: agent, needs: [], agent: fake, prompt: Do it.}
"#;

#[test]
fn what_a_workflow_and_a_preset_give_is_redacted_by_who_starts_and_by_who_recovers() {
    for is_killed in [false, true] {
        let world = World::new();
        let tells = r#"echo begun > agent_begun; cat agent_go; echo "is $PRESET_TOKEN" > "$BACKSTAY_OUTPUT"; ends 10"#;
        world.fake("fake").turn(1, tells);
        let configuration = world.read("user/backstay/config.toml");
        let given = "[agents.fake]\nenv = { PRESET_TOKEN = \"of-the-preset-hunter2\" }\n";
        world.configure(&configuration.replace("[agents.fake]\n", given));
        let gates = ["begun", "agent_begun", "go", "agent_go"].map(|name| world.gate(name));
        world.write("flow.yaml", GIVEN);
        let run = world.start(&["run", "flow.yaml", "--input", "key=hunter2"]);
        assert_eq!((gates[0].wait().as_str(), gates[1].wait().as_str()), ("hunter2\n", "begun\n"));
        let are_held = |record: &RunRecord| {
            record
                .steps
                .iter()
                .filter(|step| step.attempts.iter().any(|attempt| attempt.pid.is_some()))
                .count()
                == 2
        };
        drop(world.record_when("works", are_held));
        let run = if is_killed {
            run.kill();
            world.start(&["resume", "@last"])
        } else {
            run
        };
        gates[2].open();
        gates[3].open();
        let (status, said) = run.end();
        assert!(status.success(), "{is_killed}: {said}");
        let events = String::from_utf8_lossy(&world.run(&["events", "--json"]).stdout).into_owned();
        let told: String = events.lines().filter(|line| !line.contains("run_requested")).collect();
        assert!(!told.contains("hunter2"), "{is_killed}: {told}");
        for kept in [
            "is [redacted:RUN_TOKEN] and [redacted:STEP_KEY]",
            "plain-[redacted:STEP_KEY]",
            "echo [redacted:STEP_KEY]",
            "is [redacted:PRESET_TOKEN]",
        ] {
            assert!(told.contains(kept), "{is_killed}: {kept}: {told}");
        }
    }
}

/// All kinds of sequences, and what turns text around or hides in it.
const HOSTILE: &str = "a\u{1b}]0;pwned\u{7}b\u{1b}[2J\u{1b}[31mc\u{9b}1Ad\u{1b}Pq\u{1b}\\e\u{1b}_x\u{1b}\\\u{202e}f\u{200b}g\u{85}\u{1b}ch";

fn assert_harmless(what: &str, output: &Output) {
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what} {stream}: {error}"));
        let acts =
            |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}');
        assert_eq!(text.chars().find(acts), None, "{what} {stream}: {text:?}");
        assert!(
            !text.replace("1B]0;pwned", "").replace("1b]0;pwned", "").contains("pwned"),
            "{what} {stream}: {text:?}"
        );
    }
}

#[test]
fn a_diff_acts_on_no_terminal_and_a_pipe_gets_bytes_that_git_takes() {
    let world = World::new();
    git(world.path(), &["init", "-q", "-b", "main"]);
    // What a repository says of colours is for terminals.
    git(world.path(), &["config", "color.ui", "always"]);
    world.write(".gitattributes", "odd diff\n");
    world.write("odd", "old\nend\r\n");
    world.write("words.txt", HOSTILE);
    let script = "{ cat words.txt; printf '\\n\\033[1;32m-fake\\nend\\n\\377\\200'; } > odd";
    world.write(
        "flow.yaml",
        &format!("backstay: 1\nname: odd\nsteps:\n  - id: one\n    run: |\n      {script}\n"),
    );
    assert!(world.run(&["run", "flow.yaml"]).status.success());

    let piped = world.run(&["diff"]);
    assert!(piped.status.success(), "{piped:?}");
    let after = std::fs::read(world.path().join("odd")).unwrap();
    world.write("odd", "old\nend\r\n");
    world.write("patch", "");
    std::fs::write(world.path().join("patch"), &piped.stdout).unwrap();
    git(world.path(), &["apply", "patch"]);
    assert_eq!(std::fs::read(world.path().join("odd")).unwrap(), after);

    let shown = "+abcdefg h\u{1b}[0m";
    for (pager, expected) in [
        ("cat", shown),
        ("sed 's/^/PAGED /'", "PAGED \u{1b}[32m+abcd"),
        ("no-such-pager", shown),
        ("head -n 1", "diff --git a/odd b/odd"),
    ] {
        let terminal = Terminal::start_with(&world, &["diff"], (100, 24), &[("GIT_PAGER", pager)]);
        let (status, seen) = terminal.end();
        assert!(status.success(), "{pager}: {seen:?}");
        let plain = seen.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
        assert!(seen.contains(expected) || plain.contains(expected), "{pager}: {seen:?}");
        let painted = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[32m", "\u{1b}[31m", "\u{1b}[36m", "\r\n"];
        let rest = painted.iter().fold(seen.clone(), |text, paint| text.replace(paint, ""));
        let acts = |c: char| c.is_control() || matches!(c, '\u{200b}' | '\u{202e}');
        assert!(!rest.contains(acts), "{pager}: {rest:?}");
        assert_eq!(seen.contains("end^M"), pager != "head -n 1", "{pager}: {seen:?}");
    }
    let sums = Terminal::start_with(&world, &["diff", "--stat"], (60, 24), &[("GIT_PAGER", "cat")]);
    let (status, seen) = sums.end();
    assert!(status.success() && seen.contains(" odd | "), "{seen}");
}

#[test]
fn what_others_wrote_acts_on_no_terminal() {
    let world = World::new();
    world.write("words.txt", HOSTILE);
    let bad = format!("backstay: 1\nname: x\nsteps:\n  - {{id: one, run: 'echo', prompts: '{HOSTILE}'}}\n");
    world.write("bad.yaml", &bad);
    world.write(&format!("{}.yaml", HOSTILE.replace('/', ".")), &bad);
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: hostile
steps:
  - id: one
    run: |
      : "a\e]0;pwned\ab"
      cat words.txt; printf '\033[31mred\nplain\n10 %%\r20 %%\r\033[Kdone\n'; printf '\233\235\200'
      cat words.txt > "$BACKSTAY_OUTPUT"
      touch "$BACKSTAY_ARTIFACTS/$(cat words.txt)"
      backstay ask "$(cat words.txt)" --timeout 1s --default "$(cat words.txt)"
  - {id: two, run: 'echo "${{ steps.one.output }}" >&2; exit 3'}
"#
        .replace("\\e", "\u{1b}")
        .replace("\\a", "\u{7}")
        .trim_start(),
    );
    assert_harmless("run", &world.run(&["run", "flow.yaml"]));
    let argument = HOSTILE;
    let named = format!("{}.yaml", HOSTILE.replace('/', "."));
    for arguments in [
        &["check", "bad.yaml"] as &[&str],
        &["check", "bad.yaml", "--json"],
        &["check", &named],
        &["check", argument],
        &["run", "bad.yaml"],
        &["run", "flow.yaml", "--dry-run"],
        &["run", "flow.yaml", "--dry-run", "--json"],
        &["run", "flow.yaml", "--input", argument],
        &["show"],
        &["show", "--json"],
        &["show", "--markdown"],
        &["show", argument],
        &["ls"],
        &["logs"],
        &["logs", "@last", "one"],
        &["logs", "-f"],
        &["logs", "@last", argument],
        &["events"],
        &["events", "--json"],
        &["watch", "@last"],
        &["inbox"],
        &["usage"],
        &["exec", argument, "do"],
        &["--store", argument, "ls"],
        &[argument],
        &["ls", argument],
    ] {
        let output = world.run(arguments);
        assert_harmless(&format!("{arguments:?}"), &output);
        assert_ne!(output.status.code(), Some(101), "{arguments:?}");
    }
    let logs = String::from_utf8(world.run(&["logs", "@last", "one"]).stdout).unwrap();
    assert!(logs.starts_with("abcdefg hred\nplain\ndone\n"), "{logs:?}");
    let raw = world.run(&["logs", "@last", "one", "--raw", "--stream", "stdout"]).stdout;
    assert!(raw.starts_with(HOSTILE.as_bytes()), "a pipe gets the bytes: {raw:?}");
    for arguments in [
        &["logs", "@last", "one"] as &[&str],
        &["logs", "@last", "one", "--raw"],
        &["show"],
        &["check", "bad.yaml"],
    ] {
        let (_, seen) = Terminal::start_with(&world, arguments, (100, 24), &[]).end();
        for sequence in [
            "\u{1b}]",
            "\u{1b}P",
            "\u{1b}_",
            "\u{1b}c",
            "\u{1b}[2J",
            "\u{9b}",
            "\u{202e}",
            "\u{200b}",
            "pwned",
        ] {
            assert!(!seen.contains(sequence), "{arguments:?} writes {sequence:?}: {seen:?}");
        }
        if arguments == ["logs", "@last", "one"] {
            assert!(seen.contains("red\u{1b}[0m\r\nplain\r\n"), "its colour ends with its line: {seen:?}");
        }
    }
}

/// Where output goes that nobody takes.
#[derive(Clone, Copy, Debug)]
enum Sink {
    Closed,
    Full,
    Broken,
}

fn into_sinks(world: &World, arguments: &[&str], sinks: [Option<Sink>; 2]) -> Command {
    let mut redirections = String::new();
    for (number, sink) in (1..).zip(sinks) {
        match sink {
            Some(Sink::Closed) => redirections.push_str(&format!(" {number}>&-")),
            Some(Sink::Full) => redirections.push_str(&format!(" {number}>/dev/full")),
            Some(Sink::Broken) | None => {}
        }
    }
    let command = world.command(arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\"{redirections}"), binary().as_str()]).args(arguments);
    shell.current_dir(world.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(Sink::Broken) = sinks[0] {
        shell.stdout(Stdio::piped());
    }
    if let Some(Sink::Broken) = sinks[1] {
        shell.stderr(Stdio::piped());
    }
    shell.env("BACKSTAY_LOG", "debug");
    shell
}

/// Runs it, with every pipe closed at once; gives its exit code. What does not end within [`PATIENCE`] is killed.
fn code_of(mut command: Command) -> Option<i32> {
    let mut child = command.spawn().expect("the shell starts");
    drop((child.stdout.take(), child.stderr.take()));
    let (pid, (ended, end)) = (child.id(), std::sync::mpsc::channel::<()>());
    std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            send(pid, Signal::KILL);
        }
    });
    let code = child.wait().expect("it can be waited for").code();
    drop(ended);
    code
}

const SINKS: [[Option<Sink>; 2]; 8] = [
    [Some(Sink::Closed), None],
    [None, Some(Sink::Closed)],
    [Some(Sink::Closed), Some(Sink::Closed)],
    [Some(Sink::Full), None],
    [None, Some(Sink::Full)],
    [Some(Sink::Full), Some(Sink::Full)],
    [None, Some(Sink::Broken)],
    [Some(Sink::Broken), Some(Sink::Broken)],
];

#[test]
fn a_run_goes_on_whatever_becomes_of_what_it_prints() {
    for sinks in SINKS {
        let world = World::new();
        world.write(
            "flow.yaml",
            "backstay: 1\nname: x\nsteps:\n  - {id: one, run: 'echo one; echo two >&2'}\n",
        );
        let code = code_of(into_sinks(&world, &["run", "flow.yaml"], sinks));
        assert!(matches!(code, Some(0 | 1)), "{sinks:?}: {code:?}");
        assert_eq!(world.record().status, RunStatus::Completed, "{sinks:?}");
    }
}

#[test]
fn what_shows_a_run_ends_in_order_whatever_becomes_of_what_it_prints() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: x\nsteps:\n  - {id: one, run: 'seq 3000'}\n");
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    for arguments in [
        &["watch", "@last"] as &[&str],
        &["logs", "-f"],
        &["show"],
        &["ls"],
        &["events", "-f"],
        &["--help"],
        &["nosuch"],
    ] {
        for sinks in SINKS {
            let code = code_of(into_sinks(&world, arguments, sinks));
            assert!(code.is_some_and(|code| code < 100), "{arguments:?} {sinks:?}: {code:?}");
        }
    }
}

const GATED: &str = r#"
backstay: 1
name: gated
steps:
  - id: one
    run: |
      echo begun > begun
      cat go > /dev/null
      printf '\033[31mlast %0200d\n' 7
"#;

#[test]
fn any_size_also_one_that_changes_ends_nothing() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start_with(&world, &["run", "flow.yaml"], (1, 1), &[]);
    assert_eq!(begun.wait(), "begun\n");
    let mut watchers: Vec<Terminal> =
        [&["watch", "@last"] as &[&str], &["logs", "-f"], &["events", "-f"], &["watch"]]
            .map(|arguments| Terminal::start_with(&world, arguments, (1, 1), &[]))
            .into();
    for watcher in [0, 3] {
        watchers[watcher].wait_for("\u{1b}[?25l");
    }
    for (columns, rows) in [(1, 1), (200, 1), (1, 60), (2, 2), (7, 3), (40, 5), (3, 40), (500, 200), (1, 1)] {
        for terminal in watchers.iter_mut().chain([&mut run]) {
            terminal.resize(columns, rows);
        }
        // The log on the whole screen, the help, the answer, and back.
        for keys in [&b"l"[..], b"\x1b", b"?", b"?", b"d", b"\x1b"] {
            watchers[0].press(keys);
            run.press(keys);
        }
    }
    run.resize(80, 24);
    go.open();
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    for watcher in watchers {
        let (status, seen) = watcher.end();
        assert_eq!(status.code(), Some(0), "{seen}");
    }
    assert_eq!(world.record().status, RunStatus::Completed);
}

#[test]
fn a_run_goes_on_whose_terminal_is_gone() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let controller =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let device = OpenOptions::new().read(true).write(true).open(name).unwrap();
    // Not its controlling terminal, so that no signal tells it.
    let mut command = world.command(&["run", "flow.yaml"]);
    command.env("TERM", "xterm").env("BACKSTAY_LOG", "debug");
    let copy = || device.try_clone().unwrap();
    let mut child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    drop((command, device));
    assert_eq!(begun.wait(), "begun\n");
    drop(controller);
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 1 | 75)), "{code:?}");
}
