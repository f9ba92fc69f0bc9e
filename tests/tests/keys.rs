//! The keys of `watch` and `run` in front of a real terminal: each says what its command says.

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{Gate, Terminal, World, send};
use rustix::process::Signal;

const GATED: &str = r#"
backstay: 1
name: gated
steps:
  - id: one
    run: |
      printf 'plain \033[31mred\033[0m \033]0;title\007and \033[2Jdone\n'
      echo begun > begun
      cat go > /dev/null
  - {id: two, run: "echo last"}
"#;
const ASKING: &str = r#"
backstay: 1
name: asking
steps:
  - {id: which, run: "backstay ask 'Which branch?' --options main,next --default main --timeout 1h"}
  - {id: name, run: "backstay ask 'What is it called?'"}
"#;

/// A run that waits at a gate, and a watch of it whose keys work.
fn watched(world: &World) -> (backstay_tests::Started, Gate, Terminal) {
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let mut watch = Terminal::start(world, &["watch", "@last"]);
    watch.wait_for_screen("[s] suspend");
    (run, go, watch)
}

fn outputs(world: &World, record: &RunRecord) -> Vec<String> {
    let outputs = record.steps.iter().map(|step| step.output.clone().expect("it has an output"));
    outputs
        .map(|output| {
            backstay_tests::block_on(async {
                let store = world.store().await.expect("there is a store");
                store.text(&output).await.expect("it can be read").to_string()
            })
        })
        .collect()
}

#[test]
fn a_question_is_answered_in_the_view_by_number_and_by_text() {
    let world = World::new();
    world.write("flow.yaml", ASKING);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    run.wait_for_screen("[a] answer");
    run.press(b"a");
    run.wait_until("the default is marked", |screen| screen.contains("› 1  main  the default"));
    run.press(b"2");
    run.wait_until("the second is marked", |screen| screen.contains("› 2  next"));
    run.press(b"\r");
    run.wait_for_screen("What is it called?");
    run.press(b"a");
    run.wait_for_screen("> ▏");
    run.press("grünq\x7f\r".as_bytes());
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    let record = world.record();
    assert_eq!(outputs(&world, &record), ["\"next\"", "\"grün\""]);
    for question in &record.questions {
        let (_, by) = question.answer.as_ref().expect("it was answered");
        assert_eq!((by.name.as_str(), by.via.as_str()), ("tester", "command line"));
    }
}

#[test]
fn a_log_is_read_over_the_whole_screen_and_acts_on_nothing() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"\r");
    watch.wait_for_screen("one · log");
    watch.wait_until("the log", |screen| screen.contains("plain red and done"));
    watch.press(b"\x1b");
    watch.wait_until("the table again", |screen| screen.contains("[s] suspend") && !screen.contains("· log"));
    assert!(!watch.seen().contains("title") && !watch.seen().contains('\u{7}'), "{:?}", watch.seen());
    watch.press(b"\r");
    watch.wait_for_screen("one · log");
    send(watch.pid(), Signal::TERM);
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(143), "{seen}");
    go.open();
    assert!(run.end().0.success());
}

#[test]
fn a_log_stands_still_at_ctrl_z_and_the_shell_has_its_screen() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"\r");
    watch.wait_for_screen("one · log");
    watch.press(b"\x1a");
    watch.wait_until("the shell's screen", |screen| !screen.contains("one · log"));
    watch.wait_until_stopped();
    send(watch.pid(), Signal::CONT);
    watch.wait_for_screen("one · log");
    watch.press(b"qq");
    assert_eq!(watch.end().0.code(), Some(0));
    go.open();
    assert!(run.end().0.success());
}

#[test]
fn a_watched_run_is_suspended_resumed_and_cancelled_by_keys() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"s");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(5), "{said}");
    watch.wait_for_screen("[r] resume");
    watch.press(b"r");
    let record = world.record_when("goes on", |record| record.status == RunStatus::Running);
    assert!(record.owner.is_some());
    watch.wait_for_screen("[x] cancel");
    watch.press(b"x");
    watch.wait_for_screen("yes, cancel the run");
    watch.press(b"\x1b");
    watch.wait_for_screen("[s] suspend");
    assert_eq!(world.record().status, RunStatus::Running, "one key cancels nothing");
    watch.press(b"xx");
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(4), "{seen}");
    assert_eq!(world.record().status, RunStatus::Cancelled);
    drop(go);
}

#[test]
fn the_view_fits_whatever_size_the_terminal_gets() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    for (columns, rows) in [(60, 10), (30, 8), (140, 40), (100, 24)] {
        watch.resize(columns, rows);
        watch.wait_until("the view in its new size", |screen| {
            let lines: Vec<&str> = screen.trim_end().lines().collect();
            lines.len() < usize::from(rows)
                && lines.last().is_some_and(|line| line.contains("[?] help"))
                && screen.matches("[?] help").count() == 1
        });
    }
    watch.press(b"q");
    assert_eq!(watch.end().0.code(), Some(0));
    go.open();
    assert!(run.end().0.success());
}

#[test]
fn a_run_that_only_waits_for_an_answer_stays_and_goes_on_with_it() {
    let world = World::new();
    // The loop is used up at once, and asks.
    world.write(
        "flow.yaml",
        "backstay: 1\nname: asks\nsteps:\n  - id: green\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 1, on_exhausted: ask}\n    steps:\n      - {id: test, run: 'exit 1', accept_exit: 0-1}\n  - {id: last, run: 'echo last'}\n",
    );
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    run.wait_for_screen("[a] answer");
    let record = world.record_when("rests", |record| record.status == RunStatus::Waiting);
    assert_eq!(record.questions.len(), 1);
    run.press(b"a");
    run.wait_until("the whole question", |screen| {
        screen.contains("green asks") && screen.contains("[esc] not now")
    });
    let choice =
        run.screen().lines().position(|line| line.contains("  accept ")).expect("it can be accepted");
    let first = run
        .screen()
        .lines()
        .position(|line| line.trim_start().starts_with("1  "))
        .expect("the first is there");
    run.press(format!("{}\r", choice - first + 1).as_bytes());
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    assert_eq!(record.interruptions, [], "nobody was gone, it only waited");
}

/// How often the terminal was rung.
fn rings(seen: &str) -> usize {
    seen.matches('\u{7}').count()
}

#[test]
fn the_terminal_rings_once_for_a_question_and_once_for_the_end_unless_it_shall_not() {
    for (flags, configuration, expected) in
        [(&[][..], "", 2), (&["--no-bell"][..], "", 0), (&[][..], "[notify]\nbell = false\n", 0)]
    {
        let world = World::new();
        let (begun, go) = (world.gate("begun"), world.gate("go"));
        world.write(
            "flow.yaml",
            "backstay: 1\nname: rings\nsteps:\n  - id: one\n    run: |\n      echo > begun\n      cat go > /dev/null\n      backstay ask 'Go on?' --options yes,no\n",
        );
        let run = world.start(&["run", "flow.yaml"]);
        assert_eq!(begun.wait(), "\n");
        world.write(".backstay/config.toml", configuration);
        let mut watch = Terminal::start(&world, &[&["watch", "@last"][..], flags].concat());
        watch.wait_for_screen("[s] suspend");
        go.open();
        watch.wait_for_screen("[a] answer");
        watch.press(b"a1\r");
        let (status, seen) = watch.end();
        assert_eq!(status.code(), Some(0), "{seen}");
        assert_eq!(rings(&seen), expected, "{flags:?} {configuration}: {seen:?}");
        drop(run);
    }
}

#[test]
fn a_terminal_that_takes_nothing_holds_no_run_up() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: still\nsteps:\n  - id: one\n    run: |\n      echo > begun\n      cat go > /dev/null\n  - {id: two, run: 'echo last'}\n",
    );
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "\n");
    run.wait_for_screen("[s] suspend");
    // Ctrl-S: from here on whoever writes to the terminal waits.
    run.press(b"\x13");
    // Each of these keys is a reason to draw at once.
    run.press(&[b'?'; 40]);
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
    run.press(b"\x11");
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(0), "{seen}");
}

/// How many instances of inotify a process holds.
#[cfg(target_os = "linux")]
fn inotify_instances(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the descriptors can be listed");
    // One that was closed meanwhile leads nowhere.
    let leads = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    leads.filter(|target| target.to_string_lossy().contains("inotify")).count()
}

#[test]
fn watch_everywhere_shows_what_needs_a_person_first_and_opens_each_run() {
    let world = World::new();
    for (folder, script) in
        [("quiet", "echo > ../begun; cat ../go > /dev/null"), ("asking", "backstay ask 'Go on?'")]
    {
        std::fs::create_dir(world.path().join(folder)).expect("a folder can be made");
        let flow = format!("backstay: 1\nname: {folder}\nsteps:\n  - {{id: one, run: \"{script}\"}}\n");
        world.write(&format!("{folder}/flow.yaml"), &flow);
    }
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    for folder in ["quiet", "asking"] {
        let mut command = world.command(&["run", "flow.yaml", "--detach"]);
        let output = command.current_dir(world.path().join(folder)).output().expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(begun.wait(), "\n");
    let mut watch = Terminal::start(&world, &["watch", "--everywhere"]);
    watch.wait_until("the whole list", |screen| {
        screen.contains("1 needs you") && screen.contains("[q] leave")
    });
    let screen = watch.screen();
    let at = |text: &str| screen.find(text).unwrap_or_else(|| panic!("{text} is not in:\n{screen}"));
    assert!(at("/asking\n") < at("/quiet\n"), "{screen}");
    assert!(screen.contains("Go on?") && screen.contains("2 runs under way in 2 stores"), "{screen}");
    #[cfg(target_os = "linux")]
    assert_eq!(inotify_instances(watch.pid()), 1, "a user has few of them, whatever the number of stores");
    watch.press(b"a");
    watch.wait_for_screen("one asks");
    watch.press(b"yes\r");
    watch.wait_until("the list again, without what has ended", |screen| {
        screen.contains("1 run under way in 1 store") && screen.contains("nothing needs you")
    });
    for back in [b"\x1b", b"q"] {
        watch.press(b"\r");
        watch.wait_for_screen("[esc] back");
        watch.wait_for_screen("sign of life");
        watch.press(back);
        watch.wait_for_screen("[enter] open it");
    }
    watch.press(b"?");
    watch.wait_until("the keys", |screen| screen.contains("─ keys ─") && screen.contains("[any key] back"));
    watch.press(b"q");
    watch.wait_for_screen("[?] help");
    watch.press(b"s");
    // One that stands still goes on only if somebody says so.
    watch.wait_until("a run that needs somebody", |screen| {
        screen.contains("suspended") && screen.contains("1 needs you")
    });
    watch.press(b"\r");
    watch.wait_for_screen("[r] resume");
    watch.press(b"r");
    assert_eq!(begun.wait(), "\n");
    watch.wait_for_screen("[s] suspend");
    watch.press(b"\x1b");
    watch.wait_for_screen("nothing needs you");
    go.open();
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("no run is under way any more"), "{seen}");
}

#[test]
fn what_an_agent_says_and_does_stands_below_the_table_and_in_its_log() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let fake = world.fake("fake");
    fake.turn(
        1,
        "message 'The clock is wrong.'; tool t1 'cargo test'; echo begun > begun; cat go > /dev/null; \
         message 'Now it is right.'; ends",
    );
    world.write("flow.yaml", "backstay: 1\nname: flow\nsteps:\n  - {id: fix, agent: fake, prompt: Do it.}\n");
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let mut watch = Terminal::start(&world, &["watch", "@last"]);
    watch.wait_for_screen("   The clock is wrong.\n   $ cargo test");
    watch.press(b"\r");
    watch.wait_for_screen("fix · log");
    watch.wait_for_screen("   The clock is wrong.\n   $ cargo test");
    assert!(!watch.screen().contains("item.completed"), "what is for programs is not shown");
    go.open();
    assert!(run.end().0.success());
    // The end of a run takes no text from under the eyes of who reads it.
    watch.wait_for_screen("the run is completed");
    watch.wait_for_screen("   Now it is right.");
    watch.press(b"\x1b");
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("COMPLETED"), "{seen}");
}

/// A step at work that changes files in its folder, and what the screen shows of it; `head` is the beginning of the flow.
fn sees_what_a_step_at_work_has_changed(head: &str) {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t"];
        let mut command = backstay_tests::git_command(world.path());
        let status = command.args(identity).args(words).status();
        assert!(status.is_ok_and(|status| status.success()), "git {words:?}");
    };
    world.write("kept.txt", "old\n");
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "kept.txt"]);
    git(&["commit", "-q", "-m", "first"]);
    let work =
        format!("echo new > kept.txt; echo more > added.txt; echo > {}; cat {}", begun.path(), go.path());
    world.write(
        "flow.yaml",
        &format!("backstay: 1\nname: flow\n{head}steps:\n  - {{id: fix, run: '{work} > /dev/null'}}\n"),
    );
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "\n");
    let mut watch = Terminal::start(&world, &["watch", "@last"]);
    watch.wait_for_screen("[d] diff");
    watch.press(b"d");
    watch.wait_until("the whole diff", |screen| {
        screen.contains("· diff, up to now") && screen.contains("[esc] back")
    });
    let screen = watch.screen();
    for line in ["   -old\n", "   +new\n", "   +++ b/added.txt\n"] {
        assert!(screen.contains(line), "{line} is not in:\n{screen}");
    }
    watch.press(b"qq");
    assert_eq!(watch.end().0.code(), Some(0));
    go.open();
    assert!(run.end().0.success());
    let worktrees = format!("{}.worktrees", world.path());
    if !head.is_empty() {
        std::fs::remove_dir_all(worktrees).expect("it was made");
    }
}

#[test]
fn what_a_step_at_work_has_changed_is_seen_while_it_works() {
    sees_what_a_step_at_work_has_changed("");
}

#[test]
fn what_a_step_at_work_in_a_worktree_has_changed_is_that_of_the_worktree() {
    sees_what_a_step_at_work_has_changed("workspace: worktree\n");
}

#[test]
fn who_reads_a_log_of_a_run_in_front_of_them_reads_it_to_the_end() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for_screen("[enter] log");
    run.press(b"\r");
    run.wait_for_screen("one · log");
    go.open();
    run.wait_for_screen("the run is completed");
    run.press(b"q");
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("COMPLETED"), "{seen}");
}
