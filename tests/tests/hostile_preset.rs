//! A store of somebody else that was adopted: the presets that its runs pin name programs, and none of these is executed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use backstay_tests::folder::{copy_folder, said};
use backstay_tests::{Started, World};

const FLOW: &str = "backstay: 1\nname: agents\nsteps:\n  - {id: first, after_crash: rerun, run: 'echo began > up; cat gate'}\n  - {id: ask, needs: first, agent: helper, prompt: x}\n";

/// A world whose user has the agent `helper`: a program that says so in the file `executed`, of the world or of `victim`.
fn world_with_agent(executed: &str) -> World {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    let program = world.path().join("helper");
    fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >> {executed}\n")).expect("a file can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    world.configure(&format!(
        "[agents.helper]\nprogram = \"{program}\"\nversion = [\"its-version\"]\nstart = [\"work\", \"{{session}}\", \"{{access}}\", \"{{prompt}}\"]\nscreen = [\"screen\", \"{{session}}\"]\nsession = \"chosen\"\nprompt = {{ stdin = [] }}\naccess.write = {{ args = [\"--write\"] }}\n"
    ));
    world
}

/// Runs the workflow until its first step waits, and suspends it there.
fn suspended(world: &World) {
    let (up, _gate) = (world.gate("up"), world.gate("gate"));
    let owner: Started = world.start(&["run", "flow.yaml"]);
    assert_eq!(up.wait(), "began\n");
    let output = world.run(&["suspend"]);
    assert!(output.status.success(), "{}", said(&output));
    drop(owner.end());
    for name in ["up", "gate"] {
        fs::remove_file(world.path().join(name)).expect("a FIFO can go");
        world.write(name, "open\n");
    }
}

#[test]
fn the_program_of_a_pinned_preset_is_executed_only_if_this_user_had_or_has_it() {
    let victim = World::new();
    let executed = victim.path().join("executed");
    let attacker = world_with_agent(executed.as_str());
    suspended(&attacker);
    copy_folder(&attacker.path().join(".backstay"), &victim.path().join(".backstay"));
    for name in ["up", "gate"] {
        victim.write(name, "open\n");
    }
    // The run works where its request says.
    let adopted = victim.run(&["store", "adopt"]);
    assert!(adopted.status.success(), "{}", said(&adopted));
    for arguments in [&["resume", "@last"][..], &["resume", "@last"]] {
        let output = victim.run(arguments);
        let text = said(&output);
        assert!(!output.status.success(), "{arguments:?}: {text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("BKS-R013") && words.contains("`helper`"), "{arguments:?}: {text}");
        assert!(words.contains(attacker.path().join("helper").as_str()), "it names the program: {text}");
        assert!(words.contains("[agents.helper]"), "it names a cure: {text}");
        assert!(!executed.exists(), "{arguments:?}: {}", victim.read("executed"));
    }
    // The cure: this user has the same agent.
    victim.configure(&attacker.read("user/backstay/config.toml"));
    let output = victim.run(&["resume", "@last"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(victim.read("executed").contains("helper work"), "{}", victim.read("executed"));
}

#[test]
fn a_run_goes_on_by_the_preset_that_its_user_pinned_whatever_the_configuration_says_now() {
    let world = World::new();
    let executed = world.path().join("executed");
    let own = world_with_agent(executed.as_str());
    suspended(&own);
    own.configure("");
    let output = own.run(&["resume", "@last"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(world.read("executed").contains("helper work"), "{}", world.read("executed"));
}
