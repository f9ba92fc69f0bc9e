//! Records what the real CLIs print, for the readers' tests: `cargo xtask record-agents` runs this. `BACKSTAY_RECORD` names the CLIs.

#![expect(clippy::unwrap_used, reason = "whoever records wants to see what went wrong")]

#[path = "../real/cli.rs"]
mod cli;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../real/clis.rs"]
mod clis;
#[path = "../real/install.rs"]
mod install;
mod scenarios;
mod stable;

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use cli::Cli;
use clis::Workplace;
use serde::Serialize;

/// Beside the recordings of a CLI: what they were made of.
#[derive(Serialize)]
struct Manifest {
    version: String,
    date: String,
    /// The exit code for each recording; none where the program was killed.
    recordings: BTreeMap<&'static str, Option<i32>>,
}

#[expect(clippy::disallowed_methods, reason = "the command says by it what is recorded")]
fn main() {
    let wanted = std::env::var("BACKSTAY_RECORD").unwrap_or_default();
    for cli in [Cli::Codex, Cli::Claude, Cli::Gemini, Cli::Opencode] {
        if wanted.split(',').any(|name| name == cli.name()) {
            record(cli);
        }
    }
}

fn record(cli: Cli) {
    let Some(programs) = install::programs() else { panic!("there are no CLIs to record") };
    let version = version(&programs, cli);
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(cli.name());
    clear(&folder);
    let mut recordings = BTreeMap::new();
    for scenario in scenarios::of(cli) {
        let place = Workplace::new(cli, scenario.login).unwrap();
        for (name, run) in (scenario.play)(&place, cli) {
            println!("{} {name}", cli.name());
            let stable = |text: &str| stable::of(text, &place, &run.url, &version);
            let path = folder.join(name);
            std::fs::write(
                path.with_extension("jsonl"),
                stable(&String::from_utf8(run.stdout.clone()).unwrap()),
            )
            .unwrap();
            let stderr = stable::without_stack(&stable(&run.stderr));
            if !stderr.trim().is_empty() {
                std::fs::write(path.with_extension("stderr.txt"), stderr).unwrap();
            }
            recordings.insert(name, run.code);
        }
    }
    let manifest = Manifest { version, date: today(), recordings };
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    std::fs::write(folder.join("manifest.json"), format!("{text}\n")).unwrap();
}

/// The recordings of another version go; what was written by hand stays in its own folder.
fn clear(folder: &Utf8Path) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_file() && !path.as_str().ends_with("skipped.txt") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn version(programs: &Utf8PathBuf, cli: Cli) -> String {
    let output = Command::new(programs.join(cli.name())).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    version.unwrap_or_else(|| panic!("{} does not tell its version: {said}", cli.name())).to_owned()
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}
