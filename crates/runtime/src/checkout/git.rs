//! Calling git: the one place where its processes are made.
//!
//! A repository is not trusted to say what runs: its configuration can name programs for many occasions (hooks, watchers,
//! pagers, editors, transports, helpers, diff drivers). Every call overrules those. Only the filters of files stay: git runs
//! them where it compares or writes files of the checkout, so no call that only asks does either.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use backstay_exec::{BoundedCommandError, run_within};
use backstay_model::{InvalidObjectId, ObjectId};
use camino::Utf8Path;
use rustix::process::Signal;

use super::error::TreeError;

/// Variables that would let git work on something else than the folder it is called in.
pub(crate) const REPOSITORY_VARIABLES: [&str; 15] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_ATTR_SOURCE",
    "GIT_INTERNAL_SUPER_PREFIX",
];

/// Variables that name programs, or change what is printed for a program that reads it.
const OTHER_VARIABLES: [&str; 6] =
    ["GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_SSH", "GIT_PROXY_COMMAND", "GIT_CONFIG", "GIT_REFLOG_ACTION"];

/// What every call says of the configuration, over whatever the repository and the user have in theirs.
const SETTINGS: [&str; 17] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=true",
    "core.sshCommand=false",
    "core.quotePath=false",
    "core.splitIndex=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "credential.helper=",
    "credential.interactive=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "safe.bareRepository=explicit",
    "maintenance.auto=false",
    "gc.auto=0",
];

/// What every call finds in its environment.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // No transport at all, whatever `protocol.*` says.
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_SSH_COMMAND", "false"),
    ("GIT_EDITOR", "false"),
    ("GIT_SEQUENCE_EDITOR", "false"),
    // Programs that ask a person would wait for one; this one answers nothing.
    ("GIT_ASKPASS", "true"),
    ("SSH_ASKPASS", "true"),
    ("GIT_MERGE_AUTOEDIT", "no"),
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
];

/// As `GIT_DIR`: in no repository, so that only the configuration of the user and the system is read.
pub(super) const OUTSIDE: &str = "/dev/null";

/// How differences are made: by git itself, from what is kept, whatever a configuration hides or names.
pub(super) const DIFF_OPTIONS: [&str; 5] =
    ["--no-ext-diff", "--no-textconv", "--submodule=short", "--ignore-submodules=none", "-O/dev/null"];

/// How long one call of git may take. Over this it hangs: on a file system, a filter, a lock of somebody else.
pub(super) const GIT_PATIENCE: Duration = Duration::from_secs(60);
/// Characters of what git says that an error has at most.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// `git` in `folder`, as every call of it is made; the settings in `more` beat those of all calls.
pub(super) fn hardened(folder: &Utf8Path, more: &[String]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder.as_std_path());
    for setting in SETTINGS.iter().copied().chain(more.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    for name in REPOSITORY_VARIABLES.iter().chain(&OTHER_VARIABLES) {
        command.env_remove(name);
    }
    command.envs(ENVIRONMENT);
    command
}

/// The pager of the user's environment and configuration. It is asked in no repository: what one says of it is not heard.
pub(super) fn users_pager(folder: &Utf8Path, patience: Duration) -> Result<String, TreeError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder.as_std_path()).args(["var", "GIT_PAGER"]);
    for name in REPOSITORY_VARIABLES.iter().chain(&OTHER_VARIABLES) {
        command.env_remove(name);
    }
    command.env("GIT_DIR", OUTSIDE).env("LC_ALL", "C");
    Git { command, words: vec!["var".to_owned(), "GIT_PAGER".to_owned()], patience }.text()
}

/// One call of git whose output is read: no pager, no terminal, English messages.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    words: Vec<String>,
    patience: Duration,
}

impl Git {
    /// `git WORDS` in `folder`, which is killed if it takes longer than `patience`.
    pub(super) fn new(folder: &Utf8Path, patience: Duration, words: &[&str]) -> Git {
        Git::with_settings(folder, patience, &[], words)
    }

    /// The same with settings that beat those of all calls.
    pub(super) fn with_settings(
        folder: &Utf8Path,
        patience: Duration,
        settings: &[String],
        words: &[&str],
    ) -> Git {
        let mut command = hardened(folder, settings);
        command.arg("--no-pager").args(words);
        Git { patience, command, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Git {
        self.command.env(name, value);
        self
    }

    /// More words, which may be no text.
    pub(super) fn arguments<'a>(mut self, words: impl Iterator<Item = &'a OsStr>) -> Git {
        self.command.args(words);
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
        let command = self.command_words();
        let output = self.output(input)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(refused(command, &output))
    }

    /// Runs it to its end, with `input` on its stdin, however it ends.
    pub(super) fn output(self, input: Vec<u8>) -> Result<Output, TreeError> {
        let command = self.command_words();
        run_within(self.command, input, self.patience).map_err(|error| match error {
            BoundedCommandError::Start(source) => TreeError::NoGit(source),
            BoundedCommandError::TimedOut { bound } => {
                TreeError::Hanging { command, seconds: bound.as_secs() }
            }
            BoundedCommandError::Read(source) => TreeError::Git { command, message: source.to_string() },
        })
    }

    /// What was asked of it, for people.
    pub(super) fn command_words(&self) -> String {
        self.words
            .iter()
            .take_while(|word| !word.contains(['\n', '\0']))
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// What git said when it refused `command`.
pub(super) fn refused(command: String, output: &Output) -> TreeError {
    if let Some(kind) = refused_room(&String::from_utf8_lossy(&output.stderr), output.status) {
        return TreeError::NoRoom { command, source: kind.into() };
    }
    let message = message(&output.stderr).unwrap_or_else(|| output.status.to_string());
    TreeError::Git { command, message }
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

/// All that git says, its lines joined and without what a terminal would act on; none if that is nothing.
pub(super) fn message(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let mut message = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // A heading and what it announces are one sentence.
        let between = if message.is_empty() || message.ends_with([':', ',']) { "" } else { ";" };
        let space = if message.is_empty() { "" } else { " " };
        message.push_str(between);
        message.push_str(space);
        message.extend(line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    }
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(at);
        message.push('…');
    }
    (!message.is_empty()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_of_git_are_told_without_what_a_terminal_would_act_on() {
        let said = b"fatal: detected dubious ownership in repository at '/x'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory /x\n";
        assert_eq!(
            message(said).unwrap(),
            "fatal: detected dubious ownership in repository at '/x'; To add an exception for this directory, call: git config --global --add safe.directory /x"
        );
        assert_eq!(message(b"error: \x1b[2Jodd\xff\n").unwrap(), "error: \u{fffd}[2Jodd\u{fffd}");
        assert_eq!(message(b"\n \n"), None);
        assert_eq!(message("x".repeat(3_000).as_bytes()).unwrap().chars().count(), 2_001);
    }
}
