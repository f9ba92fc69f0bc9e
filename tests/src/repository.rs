//! Git for tests: nothing of the machine's configuration, and nothing above the folder, is known to it.

use std::process::{Command, Output};

use camino::Utf8Path;

/// What keeps git, and all that calls it, to `folder`: its own home, no configuration, no repository above it.
pub fn isolate(command: &mut Command, folder: &Utf8Path) {
    let above = folder.parent().unwrap_or(folder);
    command
        .env("HOME", folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", above);
    for name in ["XDG_CONFIG_HOME", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PAGER", "PAGER"] {
        command.env_remove(name);
    }
}

/// Git in `folder`, with a name for commits.
#[must_use]
pub fn git_command(folder: &Utf8Path) -> Command {
    let mut command = Command::new("git");
    isolate(&mut command, folder);
    command.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@t"]);
    command
}

/// Runs git in `folder`, which has to succeed, and gives what it printed without the last line break.
pub fn git(folder: &Utf8Path, words: &[&str]) -> String {
    let output: Output = git_command(folder).args(words).output().expect("git starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
