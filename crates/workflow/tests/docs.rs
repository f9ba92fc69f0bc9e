//! The documents beside the code are what the code does.

use std::path::PathBuf;

use backstay_model::event::Access;
use backstay_workflow::plan::Via;
use backstay_workflow::{CheckInput, PresetTraits, check, json_schema};

const PRESETS: [&str; 4] = ["codex", "claude", "gemini", "opencode"];

fn able() -> PresetTraits {
    let access = [Access::Read, Access::Write, Access::Full].into();
    PresetTraits {
        access,
        vias: [Via::Stdin, Via::Arg].into(),
        takes_model: true,
        takes_args: true,
        can_resume: true,
        can_fork: true,
        file_prefix: None,
    }
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn the_committed_schema_is_current() {
    let committed = std::fs::read_to_string(docs("workflow.schema.json")).unwrap();
    assert_eq!(committed, json_schema(), "copy crates/workflow/src/schema.json to docs/workflow.schema.json");
    assert!(committed.ends_with("}\n"));
}

#[test]
fn every_example_of_the_documentation_is_a_good_workflow() {
    let text = std::fs::read_to_string(docs("workflow.md")).unwrap();
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for text in examples {
        let read_file = |path: &str| panic!("the example reads {path}");
        let presets = PRESETS.map(|name| (name.to_owned(), able())).into();
        let agents = Default::default();
        let input = CheckInput {
            path: "workflow.md",
            text,
            read_file: &read_file,
            schema_fault: &|_| None,
            reading_fault: &|_| None,
            agents,
            presets,
        };
        let checked = check(&input)
            .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(text, 92)).collect::<String>()));
        assert_eq!(checked.warnings, []);
    }
}
