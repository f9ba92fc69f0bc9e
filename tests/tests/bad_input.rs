//! What goes wrong at the edge: each mistake has a code, a hint and an exit code, and nothing is lost.

use std::process::Output;

use backstay_tests::World;

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: echo one}\n";

/// Exit code and what was said, for a command that is used wrongly.
fn wrong(output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "a mistake says nothing on stdout: {output:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let (status, said) = wrong(output);
    assert_eq!(status, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(said.contains("BKS-"), "an error has a code: {said}");
}

#[test]
fn a_store_that_is_not_there_is_told_with_a_hint() {
    let world = World::new();
    assert_says(&world.run(&["ls"]), 2, &["= "]);
}

#[test]
fn a_run_or_step_that_is_not_there_is_told() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    assert_says(
        &world.run(&["show", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]),
        2,
        &["run_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    );
    assert_says(&world.run(&["logs", "@last", "nosuch"]), 2, &["nosuch"]);
    assert_says(&world.run(&["retry", "@last", "--from", "nosuch"]), 2, &["nosuch"]);
    for tail in [&["--tail", "-1"][..], &["--tail=-1"], &["--tail", "many"]] {
        let (status, said) = wrong(&world.run(&[&["logs"], tail].concat()));
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("a number of lines from 0 on, such as `--tail 20`"), "{said}");
    }
}

#[test]
fn a_store_that_is_no_store_or_a_newer_one_is_refused_untouched() {
    let world = World::new();
    world.write("flow.yaml", FLOW);
    std::fs::create_dir(world.path().join(".backstay")).unwrap();
    world
        .write(".backstay/log.db", "this is a diary, not a database, and it is long enough to look at twice");
    assert_says(&world.run(&["run", "flow.yaml"]), 2, &["log.db", "BKS-L071"]);
    assert!(world.read(".backstay/log.db").starts_with("this is a diary"), "what it was, it still is");
}

#[test]
fn a_file_with_mistakes_shows_all_of_them_and_starts_nothing() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: bad\nsteps:\n  - {id: fix-tests, run: x}\n  - {id: b, rum: x}\n",
    );
    let (status, said) = wrong(&world.run(&["run", "flow.yaml"]));
    assert_eq!(status, Some(2));
    assert!(said.contains("flow.yaml:4") && said.contains("flow.yaml:5"), "{said}");
    assert!(said.contains("fix_tests"), "the new spelling is the hint: {said}");
    assert!(said.contains("nothing was started"), "{said}");
    assert!(world.only_run().is_none());
    let (status, said) = wrong(&world.run(&["check", "flow.yaml"]));
    assert_eq!(status, Some(2));
    assert!(said.trim_end().ends_with("flow.yaml has 3 mistakes"), "a check has nothing to add: {said}");
}

#[test]
fn inputs_that_are_wrong_are_told_all_at_once() {
    let world = World::new();
    let inputs = "inputs:\n  label: {type: string}\n  n: {type: number, default: 1}\n";
    world.write("flow.yaml", &FLOW.replace("steps:", &format!("{inputs}steps:")));
    let (status, said) = wrong(&world.run(&["run", "flow.yaml", "--input", "n=many", "--input", "lable=x"]));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("lable") && said.contains("many"), "{said}");
    assert!(world.only_run().is_none());
}

/// What is no text is found before a run begins; what is too large for a variable is told with its name and the way out.
#[test]
fn inputs_that_no_script_could_take_are_told_with_their_name_and_a_way_out() {
    let world = World::new();
    let flow = "backstay: 1\nname: takes\ninputs:\n  label: {type: string, default: x}\n  more: {type: object, default: {}}\nsteps:\n  - {id: one, run: 'echo ${{ inputs.label }}'}\n";
    world.write("flow.yaml", flow);
    std::fs::write(world.path().join("latin"), b"caf\xe9\n").unwrap();
    std::fs::write(world.path().join("latin.yaml"), b"backstay: 1\nname: caf\xe9\n").unwrap();
    world.write("zero", "a\0b");
    world.write("inputs.json", r#"{"label": "a\u0000b", "more": {"key": ["x", "\u0000"]}}"#);
    let not_utf8 = ["BKS-C024", "latin is no text in UTF-8: byte 4 of line 1 ", "iconv"];
    let zero = ["BKS-W113", "the input `label` has a zero byte", "--input label=PATH"];
    for (arguments, words) in [
        (&["run", "flow.yaml", "--input", "label=@latin"][..], &not_utf8[..]),
        (&["run", "latin.yaml"], &["BKS-C024", "byte 10 of line 2 "]),
        (&["check", "latin.yaml"], &["BKS-C024", "byte 10 of line 2 "]),
        (&["run", "flow.yaml", "--inputs", "latin"], &not_utf8),
        (&["run", "flow.yaml", "--input", "label=@zero"], &zero),
        (&["run", "flow.yaml", "--inputs", "inputs.json"], &zero),
        (
            &["run", "flow.yaml", "--inputs", "inputs.json", "--input", "label=x"],
            &["the input `more` has a zero"],
        ),
    ] {
        assert_says(&world.run(arguments), 2, words);
    }
    let mut command = world.command(&["run", "flow.yaml", "--input", "label=-"]);
    let stdin = std::fs::File::open(world.path().join("latin")).unwrap();
    assert_says(&command.stdin(stdin).output().unwrap(), 2, &["BKS-C024", "stdin is no text", "iconv"]);
    assert!(world.only_run().is_none(), "nothing was started");

    world.write("large", &"x".repeat(200_000));
    let (status, said) = world.start(&["run", "flow.yaml", "--input", "label=@large"]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    for words in ["`inputs.label`: the value has 200000 bytes", "at most 131059", "write it into a file"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert!(!said.contains("BACKSTAY_V1"), "a name that its author never wrote: {said}");
}

#[test]
fn a_program_that_does_not_exist_fails_its_step_with_its_name() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: none\nsteps:\n  - {id: one, command: [no-such-program-here]}\n",
    );
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("there is no program `no-such-program-here` on PATH"), "{said}");
    assert!(!said.contains("/bin:"), "the whole of PATH is in nobody's way: {said}");
}

#[test]
fn a_reader_that_goes_away_does_not_make_a_failed_run_a_success() {
    let world = World::new();
    world.write("flow.yaml", "backstay: 1\nname: red\nsteps:\n  - {id: one, run: exit 3}\n");
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let mut command = world.command(&["run", "flow.yaml"]);
    let status = command.stdout(writer).stderr(std::process::Stdio::null()).status();
    assert_eq!(status.expect("the binary starts").code(), Some(1));
}
