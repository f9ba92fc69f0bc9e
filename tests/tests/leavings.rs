//! What a step leaves is its own: odd, long or unreadable, the run goes on by it, and nobody is held up.

use backstay_engine::record::{RunRecord, StepRecord};
use backstay_model::event::{FailureClass, StepStatus};
use backstay_tests::World;

/// More than an output may have.
const TOO_LONG_BYTES: u32 = 17 * 1024 * 1024;

fn run(steps: &str) -> (RunRecord, Option<i32>, World) {
    let world = World::new();
    world.write("flow.yaml", &format!("backstay: 1\nname: leavings\nsteps:\n{steps}"));
    let output = world.run(&["run", "flow.yaml"]);
    (world.record(), output.status.code(), world)
}

fn step<'a>(record: &'a RunRecord, id: &str) -> &'a StepRecord {
    record.steps.iter().find(|step| step.step.as_str() == id).expect("the step is in the record")
}

fn status(record: &RunRecord, id: &str) -> Option<StepStatus> {
    match step(record, id).stage {
        backstay_engine::record::StepStage::Done { status } => Some(status),
        _ => None,
    }
}

#[test]
fn s3_an_output_that_is_too_long_for_an_event_reaches_later_steps_whole() {
    let (record, code, world) = run(r#"
  - {id: long, run: "head -c 40000 /dev/zero | tr '\\0' x; echo end >&2"}
  - {id: size, run: "printf %s ${{ steps.long.output }} | wc -c > size; printf %s ${{ steps.long.log }} | tail -c 4 > last"}
"#);
    assert_eq!(code, Some(0), "{record:#?}");
    assert_eq!(world.read("size").trim(), "40000");
    assert_eq!(world.read("last").trim(), "end");
}

#[test]
fn of_a_text_that_is_too_long_to_be_an_output_the_beginning_counts_and_a_value_is_none() {
    let (record, code, _world) = run(&format!(
        r#"
  - {{id: text, run: "head -c {TOO_LONG_BYTES} /dev/zero | tr '\\0' x"}}
  - {{id: file, run: "head -c {TOO_LONG_BYTES} /dev/zero > $BACKSTAY_OUTPUT"}}
  - {{id: value, run: "head -c {TOO_LONG_BYTES} /dev/zero | tr '\\0' 1", output: json}}
"#
    ));
    assert_eq!(code, Some(1), "{record:#?}");
    for id in ["text", "file"] {
        assert_eq!(status(&record, id), Some(StepStatus::Succeeded), "{id}");
        let summary = step(&record, id).summary.as_deref().unwrap_or_default();
        assert!(summary.contains("17825792 bytes, of which 16777216"), "{id}: {summary}");
    }
    assert_eq!(step(&record, "value").failure, Some(FailureClass::InvalidOutput));
}

#[test]
fn what_is_no_file_in_the_place_of_the_output_fails_the_step_and_holds_nobody_up() {
    let (record, code, _world) = run(r#"
  - {id: fifo, needs: [], run: "mkfifo $BACKSTAY_OUTPUT"}
  - {id: folder, needs: [], run: "mkdir $BACKSTAY_OUTPUT"}
  - {id: device, needs: [], run: "ln -s /dev/zero $BACKSTAY_OUTPUT"}
  - {id: loop, needs: [], run: "ln -s output $BACKSTAY_OUTPUT"}
  - {id: nowhere, needs: [], run: "ln -s nowhere $BACKSTAY_OUTPUT; echo said"}
  - {id: failed, needs: [], run: "mkfifo $BACKSTAY_OUTPUT; exit 4"}
"#);
    assert_eq!(code, Some(1), "{record:#?}");
    for id in ["fifo", "folder", "device", "loop", "nowhere"] {
        assert_eq!(step(&record, id).failure, Some(FailureClass::InvalidOutput), "{id}");
    }
    assert_eq!(step(&record, "failed").failure, Some(FailureClass::Exit));
}

#[test]
fn odd_artifacts_are_counted_and_the_others_are_named() {
    let (record, code, _world) = run(r#"
  - id: odd
    run: |
      cd "$BACKSTAY_ARTIFACTS"
      echo good > good.txt
      touch "$(printf 'odd\377')"
      mkfifo fifo
      ln -s / root
      mkdir -p deep/er
      echo deep > deep/er/file
"#);
    assert_eq!(code, Some(0), "{record:#?}");
    let attempt = &step(&record, "odd").attempts[0];
    let names: Vec<&str> = attempt
        .artifacts
        .iter()
        .filter_map(|path| path.as_str().split_once("/artifacts/"))
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["deep/er/file", "fifo", "good.txt", "root"]);
    assert_eq!(attempt.artifacts_omitted, 1);
}

#[test]
fn s11_a_secret_that_a_step_writes_as_its_output_does_not_reach_the_log() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: leak\nsteps:\n  - {id: one, run: 'echo \"it is $MY_TOKEN\" > $BACKSTAY_OUTPUT'}\n",
    );
    let output = world.command(&["run", "flow.yaml"]).env("MY_TOKEN", "hunter2hunter2").output();
    assert!(output.expect("the binary starts").status.success());
    let record = world.record();
    let text = format!("{:?}", step(&record, "one").output);
    assert!(text.contains("it is [redacted:MY_TOKEN]"), "{text}");
    for name in ["log.db", "log.db-wal"] {
        let bytes = std::fs::read(world.path().join(".backstay").join(name)).unwrap_or_default();
        let found = bytes.windows(14).any(|window| window == b"hunter2hunter2");
        assert!(!found, "{name}");
    }
}
