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
