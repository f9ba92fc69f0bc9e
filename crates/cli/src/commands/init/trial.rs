//! The test command is tried once before it is written: one that cannot be run is told now, and not in a run.

use std::process::Command;
use std::time::Duration;

use backstay_exec::{BoundedCommandError, run_within};
use backstay_model::Timestamp;
use serde::Serialize;

use super::detect::TestCommand;
use crate::args::InitArgs;
use crate::confirm::confirm;
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::ui::duration;

/// How long the command may take: longer than most tests, and short enough to wait for.
const BOUND: Duration = Duration::from_secs(600);
/// What a shell exits with where a program cannot be executed, or is not there (POSIX, XCU 2.8.2).
const NOT_RUN: [i32; 2] = [126, 127];

/// What came of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "tried", rename_all = "snake_case")]
pub(super) enum Trial {
    /// It was not run.
    No,
    /// It ended.
    Ended {
        /// With this exit code; 128 and the number of a signal that ended it.
        exit_code: i32,
        /// After so long.
        duration_ms: u64,
    },
    /// It did not end in time, and was killed.
    TooLong,
}

impl Trial {
    /// It in a few words.
    pub(super) fn words(self) -> String {
        match self {
            Trial::No => "not tried".to_owned(),
            Trial::Ended { exit_code: 0, duration_ms } => {
                format!("passes now, after {}", duration(Duration::from_millis(duration_ms)))
            }
            Trial::Ended { exit_code, duration_ms } => {
                format!("exits with {exit_code} now, after {}", duration(Duration::from_millis(duration_ms)))
            }
            Trial::TooLong => format!("still running after {}", duration(BOUND)),
        }
    }
}

/// Runs the command as a step would, if the person wants it: their own command, `--try`, or a yes. What was found in the
/// repository's files is not executed unasked.
///
/// # Errors
/// [`CliError::TestNotRun`] if the command cannot be run here.
pub(super) async fn tried(context: &Context, args: &InitArgs, test: &TestCommand) -> Result<Trial, CliError> {
    let TestCommand { command, by } = test;
    let is_wanted = !args.no_try
        && (args.try_test
            || args.test.is_some()
            || confirm(&format!("Run `{command}` (from {by}) once, to see whether it can be run here?"))?);
    if !is_wanted {
        return Ok(Trial::No);
    }
    output::note(&format!("running `{command}` …"));
    let mut shell = Command::new("bash");
    shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", command]).current_dir(&context.cwd);
    let began: Timestamp = context.now();
    let ended = tokio::task::spawn_blocking(move || run_within(shell, Vec::new(), BOUND)).await?;
    let output = match ended {
        Ok(output) => output,
        Err(BoundedCommandError::TimedOut { .. }) => return Ok(Trial::TooLong),
        Err(error) => return Err(CliError::TestNotRun { command: command.clone(), why: error.to_string() }),
    };
    let exit_code = output.status.code().unwrap_or(128);
    if NOT_RUN.contains(&exit_code) {
        let text = String::from_utf8_lossy(&output.stderr);
        let said = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it wrote nothing");
        let why = format!("exit {exit_code}: {}", said.trim());
        return Err(CliError::TestNotRun { command: command.clone(), why });
    }
    let duration_ms = u64::try_from(context.now().since(began).as_millis()).unwrap_or(u64::MAX);
    Ok(Trial::Ended { exit_code, duration_ms })
}
