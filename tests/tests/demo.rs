//! The demo in repositories of three kinds: it proves what it says, and leaves its two reports and nothing else.

#![expect(clippy::disallowed_methods, reason = "the length of the demo is real time")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use backstay_tests::{Terminal, World, send};
use rustix::process::Signal;

/// What the demo promises of its length, in seconds.
const LENGTH_S_MAX: u64 = 60;

fn git(world: &World, arguments: &[&str]) -> String {
    let output = backstay_tests::git_command(world.path()).args(arguments).output().expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn history(world: &World, commits: u32) {
    git(world, &["init", "-q", "-b", "main"]);
    let mut import = backstay_tests::git_command(world.path())
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is there");
    let mut stdin = import.stdin.take().expect("a pipe");
    for round in 0..commits {
        let at = 1_600_000_000 + round * 60;
        write!(stdin, "commit refs/heads/main\ncommitter T <t@example.org> {at} +0000\ndata 2\nc\n")
            .expect("written");
        for path in [format!("src/f{}.rs", round % 50), "docs/a.md".to_owned()] {
            let text = format!("// {round}\n");
            write!(stdin, "M 100644 inline {path}\ndata {}\n{text}\n", text.len()).expect("written");
        }
    }
    drop(stdin);
    assert!(import.wait().expect("it ends").success());
    git(world, &["reset", "-q", "--hard"]);
}

/// Runs it with a folder for temporary files of its own, so that what it leaves there is seen.
fn demo(world: &World, out: &World) -> Output {
    let temporary = out.path().join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let began = Instant::now();
    let output = world
        .command(&["demo", "--out", out.path().as_str()])
        .env("TMPDIR", &temporary)
        .output()
        .expect("the binary starts");
    assert!(began.elapsed().as_secs() < LENGTH_S_MAX, "{:?}", began.elapsed());
    assert_nothing_left(out);
    output
}

fn assert_nothing_left(out: &World) {
    let temporary = out.path().join("tmp");
    let left: Vec<_> = temporary.read_dir_utf8().expect("it can be read").collect();
    assert!(left.is_empty(), "{left:?}");
    let processes = Command::new("ps").args(["-eo", "args"]).output().expect("ps is there");
    let all = String::from_utf8_lossy(&processes.stdout).into_owned();
    let ours: Vec<&str> = all.lines().filter(|line| line.contains(temporary.as_str())).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

fn assert_proved(output: &Output, out: &World) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("nothing was lost, and nothing ran twice"), "{said}");
    assert_eq!(said.matches("started 1×, found again 1×").count(), 3, "{said}");
    assert!(said.contains("no model is called") && !said.contains('\u{1b}'), "{said}");
    let page = out.read("report.html");
    assert!(
        page.contains("no word of an owner</text>") && !page.contains("<script") && !page.contains("http"),
        "{page}"
    );
    assert!(out.read("report.md").starts_with("<!-- made by backstay demo -->"));
}

#[test]
fn without_a_repository_one_is_made_and_in_each_of_its_lists_something_is_found() {
    let (world, out) = (World::new(), World::new());
    for _ in 0..2 {
        assert_proved(&demo(&world, &out), &out);
        let report = out.read("report.md");
        for found in ["src/parse.rs:1", "docs/plan.md + src/plan.rs", "30 of 40 changes came without a test"]
        {
            assert!(report.contains(found), "{found}: {report}");
        }
    }
    assert_eq!(world.path().read_dir_utf8().expect("it can be read").count(), 0);
}

#[test]
fn in_a_repository_of_ten_thousand_commits_nothing_is_left_behind() {
    let (world, out) = (World::new(), World::new());
    history(&world, 10_000);
    for _ in 0..2 {
        assert_proved(&demo(&world, &out), &out);
    }
    assert_eq!(git(&world, &["status", "--porcelain", "--ignored"]), "");
    let refs: BTreeSet<String> =
        git(&world, &["for-each-ref", "--format=%(refname)"]).lines().map(str::to_owned).collect();
    assert_eq!(refs, BTreeSet::from(["refs/heads/main".to_owned()]));
}

#[test]
fn a_report_that_is_not_its_own_is_not_written_over() {
    let (world, out) = (World::new(), World::new());
    out.write("report.md", "mine\n");
    let output = demo(&world, &out);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!((out.read("report.md").as_str(), out.read("report.html").as_str()), ("mine\n", ""));
}

/// Interrupts the demo once `moment` was said.
fn interrupt_at(moment: &str) {
    let (world, out) = (World::new(), World::new());
    let temporary = out.path().join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let started =
        world.start_with(&["demo", "--out", out.path().as_str()], &[("TMPDIR", temporary.as_str())]);
    let began = Instant::now();
    while !started.said().contains(moment) {
        assert!(began.elapsed().as_secs() < LENGTH_S_MAX, "{}", started.said());
        std::thread::yield_now();
    }
    send(started.pid(), Signal::INT);
    let (status, said) = started.end();
    assert_eq!(status.code(), Some(130), "{moment}: {said}");
    assert!(said.contains("nothing was left behind"), "{moment}: {said}");
    assert_nothing_left(&out);
    assert_eq!(out.read("report.md"), "", "{moment}");
}

#[test]
fn an_interrupt_before_the_run_began_leaves_nothing() {
    interrupt_at("backstay demo");
}

#[test]
fn an_interrupt_while_the_analysts_work_leaves_nothing() {
    interrupt_at("   1 s");
}

#[test]
fn an_interrupt_after_the_kill_leaves_nothing() {
    interrupt_at("kill -9");
}

#[test]
fn an_interrupt_while_nobody_owns_the_run_leaves_nothing() {
    interrupt_at("no owner");
}

#[test]
fn an_interrupt_while_another_owner_comes_leaves_nothing() {
    interrupt_at("another owner");
}

#[test]
fn an_interrupt_at_the_question_leaves_nothing() {
    interrupt_at("Which list");
}

/// The demo on a terminal of this width: what it wrote there, and the screen at the end.
fn on_terminal(columns: u16, variables: &[(&str, &str)]) -> (String, String) {
    let (world, out) = (World::new(), World::new());
    let temporary = out.path().join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let variables = [variables, &[("TMPDIR", temporary.as_str())]].concat();
    let arguments = ["demo", "--out", out.path().as_str()];
    let mut terminal = Terminal::start_with(&world, &arguments, (columns, 60), &variables);
    // The echo of what is typed before the question is whole would stand in its middle.
    terminal.wait_for("by itself");
    terminal.press(b"couples\n");
    terminal.wait_for_screen("backstay exec");
    let screen = terminal.screen();
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert_nothing_left(&out);
    assert!(out.read("report.md").contains("\n\n## Files that change together"), "couples stand first");
    (seen, screen)
}

#[test]
fn on_a_narrow_and_on_a_wide_terminal_every_word_is_whole() {
    for columns in [80, 140] {
        let (seen, screen) = on_terminal(columns, &[("NO_COLOR", "1")]);
        assert!(!seen.contains('\u{1b}'), "{seen:?}");
        assert!(!screen.contains('…'), "nothing is cut: {screen}");
        let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        for whole in [
            "it is in the log, survives kill -9, and takes `changes` by itself",
            "log = spool:",
            "each analyst lives under a keeper of its own",
            "nothing was lost, and nothing ran twice",
        ] {
            assert!(words.contains(whole), "`{whole}` at {columns} columns: {screen}");
        }
        let widest = screen.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= usize::from(columns), "{widest} columns: {screen}");
    }
}

#[test]
fn where_colours_are_wanted_there_are_some() {
    let (seen, _) = on_terminal(100, &[]);
    assert!(seen.contains("\u{1b}[32m ✓ nothing was lost"), "{seen:?}");
}
