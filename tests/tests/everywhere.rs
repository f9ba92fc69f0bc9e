//! The runs of all stores of a user.

use backstay_tests::World;

fn told(world: &World, folder: &str, arguments: &[&str]) -> String {
    let output =
        world.command(arguments).current_dir(world.path().join(folder)).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn ls_everywhere_shows_what_needs_a_person_first() {
    let world = World::new();
    for folder in ["quiet", "asking"] {
        std::fs::create_dir(world.path().join(folder)).expect("a folder can be made");
    }
    world.write("quiet/flow.yaml", "backstay: 1\nname: quiet\nsteps:\n  - {id: a, run: 'true'}\n");
    world.write(
        "asking/flow.yaml",
        "backstay: 1\nname: asking\nsteps:\n  - {id: a, run: 'backstay ask Go? --options yes,no'}\n",
    );
    told(&world, "quiet", &["run", "flow.yaml"]);
    told(&world, "asking", &["run", "flow.yaml", "--detach"]);
    let all = ["ls", "--everywhere", "--all"];
    // Whoever works in the background asks in its own time; the bound is that of the runner.
    while !told(&world, "quiet", &all).contains("asks: backstay inbox") {
        std::thread::yield_now();
    }
    let listed = told(&world, "quiet", &all);
    let at = |text: &str| listed.find(text).unwrap_or_else(|| panic!("{text} is not in: {listed}"));
    assert!(at("/asking\n") < at("/quiet\n"), "{listed}");
    let open = told(&world, "quiet", &["ls", "--everywhere"]);
    assert!(open.contains("/asking\n") && !open.contains("/quiet\n"), "{open}");
    told(&world, "asking", &["answer", "@last", "yes"]);
    told(&world, "asking", &["wait", "@last"]);
    assert_eq!(told(&world, "asking", &["ls", "--everywhere"]), "");
    let json = told(&world, ".", &["ls", "--everywhere", "--all", "--json"]);
    assert_eq!(json.matches("\"store\"").count(), 2, "{json}");
}
