//! The first pages are true: their examples are good workflows, what they point to is there.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::path::{Path, PathBuf};

use backstay_model::event::Access;
use backstay_workflow::plan::Via;
use backstay_workflow::{CheckInput, PresetTraits, check};

const PRESETS: [&str; 4] = ["codex", "claude", "gemini", "opencode"];

/// A preset that can be allowed anything; that each can is what its own tests say.
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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn every_workflow_in_the_readme_is_a_good_one() {
    let readme = page("README.md");
    let examples: Vec<&str> =
        readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for text in examples {
        let read_file = |path: &str| panic!("the example reads {path}");
        let presets = PRESETS.map(|name| (name.to_owned(), able())).into();
        let (agents, schema_fault) = (Default::default(), |_: &str| None);
        let input = CheckInput {
            path: "README.md",
            text,
            read_file: &read_file,
            schema_fault: &schema_fault,
            reading_fault: &|_| None,
            agents,
            presets,
        };
        let checked = check(&input).unwrap_or_else(|all| {
            panic!("{}", all.iter().map(|found| found.render(text, 92)).collect::<String>())
        });
        assert_eq!(checked.warnings, []);
    }
}

#[test]
fn every_link_of_the_first_pages_leads_somewhere() {
    for name in ["README.md", "ARCHITECTURE.md", "docs/performance.md"] {
        let text = page(name);
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            let folder = root().join(name).parent().unwrap().to_owned();
            assert!(folder.join(target).exists(), "{name} points to {target}");
        }
    }
}

#[test]
fn every_file_and_folder_that_the_architecture_names_is_there() {
    let text = page("ARCHITECTURE.md");
    let mut crate_folder = String::new();
    let mut looked_at = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("**`") {
            crate_folder = rest.split('`').next().unwrap().to_owned();
            assert!(root().join(&crate_folder).exists(), "{crate_folder}");
        }
        for word in
            line.split('`').skip(1).step_by(2).filter(|word| word.ends_with('/') && !word.starts_with('.'))
        {
            looked_at += 1;
            let inside = root().join(&crate_folder).join("src").join(word);
            assert!(inside.is_dir() || root().join(word).is_dir(), "{word} of {crate_folder}");
        }
    }
    assert!(looked_at > 5, "the page has another shape: {looked_at}");
}
