//! Calling git.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use camino::Utf8Path;

use super::error::TreeError;

/// Variables that would let git work on something else than the folder it is called in.
const FOREIGN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
];

/// One call of git: no hooks, no prompts, no locks that it can do without, messages in English.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    words: Vec<String>,
}

impl Git {
    pub(super) fn new(folder: &Utf8Path, words: &[&str]) -> Git {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder.as_std_path());
        command.args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "commit.gpgSign=false",
            "-c",
            "core.quotePath=false",
        ]);
        command.args(words);
        FOREIGN.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs([("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")]);
        command.stdin(Stdio::null());
        Git { command, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Git {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end and gives what it printed, if it succeeded.
    pub(super) fn bytes(self) -> Result<Vec<u8>, TreeError> {
        self.feed(&[])
    }

    /// The same, without the last line break.
    pub(super) fn text(self) -> Result<String, TreeError> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The same with `input` on its stdin.
    pub(super) fn feed(mut self, input: &[u8]) -> Result<Vec<u8>, TreeError> {
        let words = self.words.join(" ");
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if !input.is_empty() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().map_err(TreeError::NoGit)?;
        let fed = match child.stdin.take() {
            // It reads all of it before it prints anything, so neither waits for the other.
            Some(mut stdin) => stdin.write_all(input),
            None => Ok(()),
        };
        let Output { status, stdout, stderr } = child.wait_with_output().map_err(TreeError::NoGit)?;
        let failed = |message: String| TreeError::Git { command: words, message };
        if !status.success() {
            let said = String::from_utf8_lossy(&stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            return Err(failed(last.map_or_else(|| status.to_string(), ToOwned::to_owned)));
        }
        fed.map_err(|error| failed(error.to_string()))?;
        Ok(stdout)
    }
}
