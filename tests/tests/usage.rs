//! What agents used, over all runs of a store.

use backstay_tests::World;

fn told(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cells of the line that begins with `name`.
fn line(table: &str, name: &str) -> Vec<String> {
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    table
        .lines()
        .map(cells)
        .find(|cells: &Vec<String>| cells.first().is_some_and(|first| first == name))
        .unwrap_or_default()
}

#[test]
fn c3_usage_is_told_by_agent_and_step_and_unknown_is_not_zero() {
    let world = World::new();
    let (one, two) = (world.fake("one"), world.fake("two"));
    one.turn(1, "ends 2000").turn(2, "ends 500");
    two.turn(1, "message 'no figures'; say '{\"type\":\"turn.completed\"}'; exit 0");
    world.write(
        "flow.yaml",
        "backstay: 1\nname: flow\nsteps:\n  - {id: a, agent: one, prompt: x}\n  - {id: b, agent: one, prompt: x}\n  - {id: c, agent: two, prompt: x}\n",
    );
    assert_eq!(world.run(&["usage"]).status.code(), Some(2), "there is no store yet");
    told(&world, &["run", "flow.yaml"]);
    let by_agent = told(&world, &["usage"]);
    assert_eq!(line(&by_agent, "one"), ["one", "1", "2", "2.5 k", "80", "20", "unknown"], "{by_agent}");
    assert_eq!(
        line(&by_agent, "two"),
        ["two", "1", "1", "unknown", "unknown", "unknown", "unknown"],
        "{by_agent}"
    );
    assert_eq!(
        line(&by_agent, "all"),
        ["all", "1", "3", "2.5 k + ?", "80 + ?", "20 + ?", "unknown"],
        "{by_agent}"
    );
    let by_step = told(&world, &["usage", "--by", "step"]);
    assert_eq!(line(&by_step, "flow/b")[..4], ["flow/b", "1", "1", "500"], "{by_step}");
    let json = told(&world, &["usage", "--by", "workflow", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["groups"][0]["input"], serde_json::json!({"known": 2500, "untold": 1}), "{json}");
    // What a freed run used is still known.
    told(&world, &["prune", "--older", "0s"]);
    assert_eq!(told(&world, &["usage"]), by_agent);
}
