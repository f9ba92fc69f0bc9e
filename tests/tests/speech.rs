//! `logs` of agents that write for programs, as a person reads them.

use std::io::Read;
use std::process::{Output, Stdio};

use backstay_tests::World;

const FLOW: &str = "backstay: 1\nname: talk\nsteps:\n  - {id: talk, agent: fake, prompt: Go.}\n";

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines, without the time that tools took.
fn lines(said: &str) -> Vec<&str> {
    said.lines().map(|line| line.split_once(" after ").map_or(line, |(end, _time)| end)).collect()
}

#[test]
fn logs_of_an_agent_are_its_words_and_its_tools_and_raw_gives_the_bytes() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "message 'I look.'; tool 1 'cargo test'; echo plain >&2; message done; ends");
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let read = said(&world.run(&["logs", "@last", "talk"]));
    let expected = [
        "─ fake-cli 1.2.3, attempt 1",
        "─ session session-1",
        "I look.",
        "● $ cargo test",
        "  exit 0",
        "plain",
        "done",
        "─ done",
    ];
    let mut told = lines(&read);
    // The two streams meet in the keeper: which came first, nobody knows.
    let plain = told.iter().position(|line| *line == "plain").map(|index| told.remove(index));
    assert_eq!(plain, Some("plain"), "{read}");
    assert_eq!(told, expected.iter().filter(|line| **line != "plain").copied().collect::<Vec<_>>());
    let timed = said(&world.run(&["logs", "@last", "talk", "--timestamps"]));
    let untimed: String = timed.split_inclusive('\n').map(|line| &line[20..]).collect();
    assert_eq!(untimed, read, "{timed}");
    assert!(!timed.contains("\n "), "the time of each message is known: {timed}");
    let prefixed = said(&world.run(&["logs"]));
    assert!(prefixed.lines().all(|line| line.starts_with("talk | ")), "{prefixed}");
    let raw = said(&world.run(&["logs", "@last", "talk", "--raw", "--stream", "stdout"]));
    assert!(raw.lines().count() == 7 && raw.lines().all(|line| line.starts_with('{')), "{raw}");
    assert_eq!(
        said(&world.run(&["logs", "@last", "talk", "--stream", "stderr"])).lines().last(),
        Some("plain")
    );
    assert_eq!(said(&world.run(&["logs", "@last", "talk", "-f"])).matches("I look.").count(), 1);
}

#[test]
fn s6_words_of_an_agent_are_followed_over_its_attempts_and_over_the_death_of_its_owner() {
    let world = World::new();
    let fake = world.fake("fake");
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    fake.turn(1, "message first; tool 1 ls; echo begun > begun; cat go; message 'still here'; kill -9 $$");
    fake.turn(2, "message second; ends");
    world.write("flow.yaml", FLOW);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let logs = world.start(&["logs", "@last", "talk", "-f"]);
    run.kill();
    let resume = world.start(&["resume", "@last"]);
    drop(world.record_when("has its new owner", |record| record.interruptions.len() == 1));
    go.open();
    let (status, out) = resume.end();
    assert!(status.success(), "{out}");
    let (status, followed) = logs.end();
    assert!(status.success(), "{followed}");
    let told = lines(&followed);
    let at = |line: &str| {
        told.iter().position(|told| *told == line).unwrap_or_else(|| panic!("{line}: {followed}"))
    };
    let order = [
        at("first"),
        at("● $ ls"),
        at("still here"),
        at("─ cut short"),
        at("─ fake-cli 1.2.3, attempt 2"),
        at("second"),
    ];
    assert!(order.is_sorted(), "{followed}");
    let read = said(&world.run(&["logs", "@last", "talk"]));
    assert_eq!(lines(&read), told, "who follows reads what is read afterwards");
}

#[test]
fn an_agent_that_said_more_than_fits_into_memory_is_read_in_pieces() {
    let world = World::new();
    let fake = world.fake("fake");
    // 23 MiB of messages.
    fake.turn(
        1,
        "m=$(head -c 8000 /dev/zero | tr '\\0' x); for n in $(seq 3000); do message \"$n $m\"; done; ends",
    );
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "--detach", "flow.yaml"]).status.success());
    assert!(world.run(&["wait"]).status.success());
    let mut logs =
        world.command(&["logs", "@last", "talk"]).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let highest = |pid: u32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let pid = logs.id();
    let mut out = logs.stdout.take().expect("it is a pipe");
    let mut page = vec![0; 2 << 20];
    out.read_exact(&mut page).expect("there is more");
    let early = highest(pid);
    // Almost all: who has written its last may be gone, and tells nothing any more.
    for _ in 0..10 {
        out.read_exact(&mut page).expect("there is more");
    }
    let late = highest(pid);
    assert!(late < early + 8_192, "it grew from {early} to {late} KiB");
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("it can be read");
    assert!(logs.wait().expect("it ends").success());
    let rest = String::from_utf8_lossy(&rest);
    let mut last = rest.lines().rev();
    assert_eq!(last.next(), Some("─ done"));
    assert!(last.next().is_some_and(|line| line.starts_with("3000 x")));
}
