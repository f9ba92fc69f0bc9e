//! `cargo xtask record-agents`: what the real agent CLIs print, recorded anew.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace;

const CLIS: [&str; 4] = ["codex", "claude", "gemini", "opencode"];
const RECORDINGS: &str = "crates/agent/tests/golden";

/// The CLIs that `words` name; all of them where none is named.
///
/// # Errors
/// A word that names none.
pub(crate) fn clis(words: &[&str]) -> Result<Vec<&'static str>> {
    let one = |word: &&str| {
        let cli = CLIS.into_iter().find(|cli| cli == word);
        cli.with_context(|| format!("`{word}` is no agent that is recorded; there are {}", CLIS.join(", ")))
    };
    if words.is_empty() { Ok(CLIS.to_vec()) } else { words.iter().map(one).collect() }
}

/// Plays the scenarios to `clis`, writes what they print, what the readers make of it and what they skip, and shows what of
/// that is new.
///
/// # Errors
/// Cargo or git cannot be started, or a scenario cannot be played.
pub(crate) fn record(clis: &[&str]) -> Result<ExitCode> {
    let mut record = workspace::cargo();
    record.args(["test", "--quiet", "-p", "backstay-agent", "--test", "record"]);
    record.env("BACKSTAY_TEST_ALL", "1").env("BACKSTAY_RECORD", clis.join(","));
    if !record.status().context("cannot start cargo")?.success() {
        bail!("not all was recorded; `git restore {RECORDINGS}` takes back what was");
    }
    let mut read = workspace::cargo();
    read.args([
        "test",
        "--quiet",
        "--no-fail-fast",
        "-p",
        "backstay-agent",
        "--test",
        "skipped",
        "--test",
        "golden",
    ]);
    read.args(["--", "--nocapture"]).env("BACKSTAY_RECORD", clis.join(","));
    let is_read = read.status().context("cannot start cargo")?.success();
    let mut difference = std::process::Command::new("git");
    difference.args(["status", "--short", "--", RECORDINGS]).current_dir(workspace::root());
    if !difference.status().context("cannot start git")?.success() {
        bail!("git cannot tell what is new in {RECORDINGS}");
    }
    println!(
        "read `git diff {RECORDINGS}` before it is committed; crates/agent/tests/golden/README.md says what is what"
    );
    Ok(if is_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::clis;

    #[test]
    fn agents_are_named_or_all() {
        assert_eq!(clis(&[]).unwrap(), ["codex", "claude", "gemini", "opencode"]);
        assert_eq!(clis(&["gemini"]).unwrap(), ["gemini"]);
        assert!(clis(&["--all"]).unwrap_err().to_string().contains("there are codex, claude"));
    }
}
