//! Calling git.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use backstay_exec::{HelperError, run_within};
use backstay_model::{InvalidObjectId, ObjectId};
use camino::Utf8Path;
use rustix::process::Signal;

use super::error::TreeError;

/// Variables that would let git work on something else than the folder it is called in.
pub(crate) const REPOSITORY_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
];

/// How long one call of git may take. Over this it hangs: on a file system, a filter, a lock of somebody else.
pub(super) const GIT_PATIENCE: Duration = Duration::from_secs(60);

/// One call of git: no hooks, no watchers, no prompts, no fetching, no locks that it can do without, messages in English.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    words: Vec<String>,
    patience: Duration,
}

impl Git {
    /// `git WORDS` in `folder`, which is killed if it takes longer than `patience`.
    pub(super) fn new(folder: &Utf8Path, patience: Duration, words: &[&str]) -> Git {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder.as_std_path());
        command.args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "commit.gpgSign=false",
            "-c",
            "credential.interactive=false",
            "-c",
            "core.quotePath=false",
        ]);
        command.args(words);
        REPOSITORY_VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs([
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            // Programs that ask a person would wait for one; this one answers nothing.
            ("GIT_ASKPASS", "true"),
            ("SSH_ASKPASS", "true"),
            ("LC_ALL", "C"),
        ]);
        Git { patience, command, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Git {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end and gives what it printed, if it succeeded.
    pub(super) fn bytes(self) -> Result<Vec<u8>, TreeError> {
        self.feed(Vec::new())
    }

    /// The same, without the last line break.
    pub(super) fn text(self) -> Result<String, TreeError> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The object that it names.
    pub(super) fn object(self) -> Result<ObjectId, TreeError> {
        let command = self.words.join(" ");
        let said = self.text()?;
        said.parse().map_err(|odd: InvalidObjectId| TreeError::Git { command, message: odd.to_string() })
    }

    /// The same with `input` on its stdin.
    pub(super) fn feed(self, input: Vec<u8>) -> Result<Vec<u8>, TreeError> {
        let command = self.words.join(" ");
        let Output { status, stdout, stderr } =
            run_within(self.command, input, self.patience).map_err(|error| match error {
                HelperError::Start(source) => TreeError::NoGit(source),
                HelperError::TimedOut { bound } => {
                    TreeError::Hanging { command: command.clone(), seconds: bound.as_secs() }
                }
                HelperError::Read(source) => {
                    TreeError::Git { command: command.clone(), message: source.to_string() }
                }
            })?;
        if status.success() {
            return Ok(stdout);
        }
        let said = String::from_utf8_lossy(&stderr);
        if let Some(kind) = refused_room(&said, status) {
            return Err(TreeError::NoRoom { command, source: kind.into() });
        }
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        Err(TreeError::Git { command, message: last.map_or_else(|| status.to_string(), ToOwned::to_owned) })
    }
}

/// What git met, if it is that there is no room: it says so in the system's words, or was ended by the signal for it.
fn refused_room(said: &str, status: ExitStatus) -> Option<ErrorKind> {
    let says = |words| said.contains(words);
    if says("No space left on device") || says("Out of diskspace") {
        Some(ErrorKind::StorageFull)
    } else if says("Disk quota exceeded") {
        Some(ErrorKind::QuotaExceeded)
    } else if says("File too large") || status.signal() == Some(Signal::XFSZ.as_raw()) {
        Some(ErrorKind::FileTooLarge)
    } else {
        None
    }
}
