//! S12 through the binary: a value that bash would evaluate is refused, and a number is let through only if it is one.

use backstay_tests::World;
use backstay_tests::folder::said;

const PAYLOAD: &str = "a[$(touch CANARY)]";

fn flow(kind: &str, script: &str) -> String {
    format!(
        "backstay: 1\nname: count\ninputs:\n  n: {{type: {kind}}}\nsteps:\n  - id: one\n    run: |\n      {script}\n"
    )
}

#[test]
fn a_text_in_arithmetic_is_refused_with_its_cure_and_nothing_starts() {
    let world = World::new();
    for script in
        ["(( ${{ inputs.n }} > 3 ))", "[[ \"${{ inputs.n }}\" -gt 3 ]]", "bash -c \"${{ inputs.n }}\""]
    {
        world.write("flow.yaml", &flow("string", script));
        let input = format!("n={PAYLOAD}");
        for command in [&["check", "flow.yaml"][..], &["run", "flow.yaml", "--input", &input]] {
            let output = world.run(command);
            assert_eq!(output.status.code(), Some(2), "{script}: {}", said(&output));
            assert!(said(&output).contains("BKS-W064"), "{script}: {}", said(&output));
        }
    }
    world.write("flow.yaml", &flow("string", "(( ${{ inputs.n }} > 3 ))"));
    assert!(said(&world.run(&["check", "flow.yaml"])).contains("n: {type: number}"), "the cure is named");
    assert!(world.only_run().is_none());
    assert!(!world.path().join("CANARY").exists());
}

#[test]
fn a_number_may_stand_in_arithmetic_and_only_a_number_is_one() {
    let world = World::new();
    world.write(
        "flow.yaml",
        &flow("number", "n=${{ inputs.n }}; echo \"it is $(( n + ${{ inputs.n }} ))\" > sum"),
    );
    world.write("text.json", &format!("{{\"n\": \"{PAYLOAD}\"}}"));
    let input = format!("n={PAYLOAD}");
    for wrong in [["--input", &input], ["--inputs", "text.json"]] {
        let output = world.run(&["run", "flow.yaml", wrong[0], wrong[1]]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("BKS-W112"), "{}", said(&output));
    }
    assert!(world.only_run().is_none());
    let output = world.run(&["run", "flow.yaml", "--input", "n=7"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(world.read("sum"), "it is 14\n");
    assert!(!world.path().join("CANARY").exists());
}

#[test]
fn an_output_that_is_no_number_stops_the_step_before_its_script_begins() {
    let world = World::new();
    world.write("answer.json", &format!("{{\"n\": \"{PAYLOAD}\"}}"));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: count\nsteps:\n  - {id: one, run: cat answer.json, output: json}\n  \
         - {id: two, run: 'touch began; echo $(( ${{ steps.one.output.n | int }} ))'}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(!world.path().join("CANARY").exists() && !world.path().join("began").exists());
}
