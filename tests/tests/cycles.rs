//! Cycles of a loop, addressed one by one: `code~2`.

use std::process::Output;

use backstay_tests::{World, git};

const FLOW: &str = r#"
backstay: 1
name: rounds
steps:
  - id: rounds
    repeat: {until: steps.test.exit_code == 0, max_cycles: 3, min_cycle: 0s}
    steps:
      - {id: code, run: "printf 'line %s' $BACKSTAY_CYCLE; echo $BACKSTAY_CYCLE > made"}
      - {id: test, run: "grep -q 3 made", accept_exit: 0-1}
  - {id: twice, run: "echo tried; test -e tried || { touch tried; exit 1; }", retry: {max: 1, errors: [exit], backoff: 1ms}}
"#;

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ran() -> World {
    let world = World::new();
    git(world.path(), &["init", "-q", "-b", "main"]);
    world.write("flow.yaml", FLOW);
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "{output:?}");
    world
}

#[test]
fn a_cycle_is_shown_restored_and_read_by_its_address_and_marked_in_logs() {
    let world = ran();
    let second = printed(&world.run(&["diff", "@last", "code~2"]));
    assert!(second.contains("-1\n+2\n"), "{second}");
    let first = printed(&world.run(&["diff", "@last", "rounds~1"]));
    assert!(
        first.contains("+1\n") && !first.contains("+2"),
        "a cycle of a loop is all that is in it: {first}"
    );
    let place = world.path().join("back");
    printed(&world.run(&["restore", "--after", "code~2", "--to", place.as_str()]));
    assert_eq!(world.read("back/made"), "2\n");

    for (arguments, expected) in [
        (&["code"] as &[&str], "─ cycle 1\nline 1\n─ cycle 2\nline 2\n─ cycle 3\nline 3"),
        (&["code", "--raw"], "line 1line 2line 3"),
        (&["code~2"], "line 2"),
        (&["code", "--tail", "3"], "line 2\n─ cycle 3\nline 3"),
        (&["code", "--tail", "1", "-f"], "line 3"),
        (&["rounds~3"], "code | line 3\n"),
        (&["twice"], "tried\n─ attempt 2\ntried\n"),
        (&["twice", "--tail", "0"], ""),
    ] {
        let words = [&["logs", "@last"], arguments].concat();
        assert_eq!(printed(&world.run(&words)), expected, "{arguments:?}");
    }
    assert!(printed(&world.run(&["logs", "--tail", "2"])).ends_with("twice | ─ attempt 2\ntwice | tried\n"));
}

#[test]
fn logs_that_follow_give_all_cycles_in_order_and_whole() {
    let world = World::new();
    let flow = FLOW.replace("max_cycles: 3", "max_cycles: 12").replace("grep -q 3", "grep -q 12");
    world.write("flow.yaml", &flow);
    printed(&world.run(&["run", "flow.yaml"]));
    let cycles = |name: &str| -> Vec<String> {
        (1..=12).map(|cycle| format!("{name}─ cycle {cycle}\n{name}line {cycle}")).collect()
    };
    let one = printed(&world.run(&["logs", "@last", "code", "-f"]));
    assert_eq!(one, cycles("").join("\n"));
    let all = printed(&world.run(&["logs", "-f"]));
    let code: Vec<&str> = all.lines().filter(|line| line.starts_with("code | ")).collect();
    assert_eq!(code.join("\n"), cycles("code | ").join("\n"));
    assert_eq!(all, printed(&world.run(&["logs"])), "a run that has ended is followed as it is read");
}

/// A record of the file `times`: so many seconds after 2026-11-21T00:14:07Z, so many bytes.
fn record(second: i64, end_bytes: u64) -> Vec<u8> {
    let micros = (1_795_220_047 + second) * 1_000_000;
    [micros.to_le_bytes(), end_bytes.to_le_bytes()].concat()
}

#[test]
fn each_line_of_logs_has_the_time_of_its_first_byte_and_a_blank_where_none_is_known() {
    let world = World::new();
    let flow = FLOW.replace("printf 'line %s' $BACKSTAY_CYCLE", "printf 'a\\nbcd\\ne'");
    world.write("flow.yaml", &flow);
    printed(&world.run(&["run", "flow.yaml"]));
    let run = world.only_run().expect("there is a run");
    let times = |step: &str, records: &[Vec<u8>]| {
        let place = world.path().join(format!(".backstay/runs/{run}/{step}/times"));
        assert_ne!(std::fs::read(&place).expect("the keeper wrote it"), b"", "{step}");
        std::fs::write(place, records.concat()).expect("it can be written");
    };
    // The second byte of `bcd` came later, and the last line still later.
    times("rounds~1,code/1", &[record(0, 3), record(40, 6), record(90, 7)]);
    times("rounds~2,code/1", &[record(100, 2), record(140, 6)[..9].to_vec()]);
    // The second record takes bytes back, and the third speaks of bytes that nobody wrote.
    times("rounds~3,code/1", &[record(200, 2), record(240, 1), record(290, 1_000)]);
    std::fs::remove_file(world.path().join(format!(".backstay/runs/{run}/twice/2/times"))).unwrap();
    let logs = |arguments: &[&str]| {
        let words = [&["logs", "@last", "--timestamps"], arguments].concat();
        printed(&world.command(&words).env("TZ", "Asia/Tokyo").output().expect("the binary starts"))
    };

    let whole = logs(&["code"]);
    let (marks, lines): (Vec<&str>, Vec<&str>) = whole.lines().partition(|line| line.contains('─'));
    let said = [
        "2026-11-21 09:14:07 a",
        "2026-11-21 09:14:07 bcd",
        "2026-11-21 09:15:37 e",
        "2026-11-21 09:15:47 a",
        "                    bcd",
        "                    e",
        "2026-11-21 09:17:27 a",
        "                    bcd",
        "                    e",
    ];
    assert_eq!(lines, said);
    assert_eq!(marks.len(), 3, "{whole}");
    assert!(
        marks.iter().all(|mark| is_stamped(mark)),
        "a mark has the time at which its attempt began: {whole}"
    );
    assert_eq!(logs(&["code", "--raw"]).lines().collect::<Vec<_>>(), said, "each attempt begins a line");
    assert_eq!(logs(&["code", "--tail", "2"]).lines().collect::<Vec<_>>(), said[7..]);
    assert_eq!(logs(&["code~1", "-f"]).lines().collect::<Vec<_>>(), said[..3]);
    assert_eq!(logs(&["code~1", "--stream", "stderr"]), "");
    let rounds =
        "2026-11-21 09:14:07 code | a\n2026-11-21 09:14:07 code | bcd\n2026-11-21 09:15:37 code | e\n";
    assert_eq!(logs(&["rounds~1"]), rounds);
    let twice = logs(&["twice"]);
    let unstamped: String = twice.split_inclusive('\n').map(|line| &line[20..]).collect();
    assert_eq!(unstamped, "tried\n─ attempt 2\ntried\n");
    let stamped: Vec<bool> = twice.lines().map(is_stamped).collect();
    assert_eq!(stamped, [true, true, false], "{twice}");
}

/// Whether a line begins with a time as `2026-11-21 09:14:07`.
fn is_stamped(line: &str) -> bool {
    let shape: String = line.chars().take(20).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00 "
}

#[test]
fn an_address_of_nothing_is_refused_with_what_there_is() {
    let world = ran();
    for (arguments, expected) in [
        (&["diff", "@last", "code~4"] as &[&str], "there is no cycle `code~4` in this run"),
        (&["logs", "@last", "code~4"], "there are `code~1` to `code~3`"),
        (&["restore", "--after", "twice~1"], "`twice` is in no loop, so it has no cycles"),
        (&["logs", "@last", "code~x"], "`code~x` is no address of a step"),
        (&["retry", "@last", "--from", "code~2"], "`code~2` is one cycle, and this takes a whole step"),
        (&["skip", "@last", "code~2"], "`code~2` is one cycle, and this takes a whole step"),
    ] {
        let output = world.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
