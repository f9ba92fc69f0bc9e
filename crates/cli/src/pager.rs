//! The program that shows long texts to the user.

use std::io::{ErrorKind, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// What a shell acts on; a command without any of it is started without one.
const SHELL_CHARACTERS: &str = "|&;<>()$`\\\"' \t\n*?[#~=%";
/// What pagers are told by git as well: to leave a text that fits on the screen, and to show colours.
const VARIABLES: [(&str, &str); 2] = [("LESS", "FRX"), ("LV", "-c")];

/// Where a long text for a person goes.
#[derive(Debug)]
pub(crate) enum Pager {
    /// Straight to stdout.
    None,
    /// To a program, which shows it.
    Program { command: String, child: Child, stdin: ChildStdin },
}

impl Pager {
    /// Starts `command`, as a shell reads it. None, `cat` and a program that is not there show nothing in pages.
    pub(crate) fn start(context: &Context, command: &str) -> Result<Pager, CliError> {
        if command.is_empty() || command == "cat" {
            return Ok(Pager::None);
        }
        let mut pager = if command.contains(|c| SHELL_CHARACTERS.contains(c)) {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            shell
        } else {
            Command::new(command)
        };
        let unset = VARIABLES.into_iter().filter(|(name, _)| !context.env.contains_key(*name));
        let mut child = match pager.envs(unset).stdin(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Pager::None),
            Err(source) => return Err(CliError::Pager { command: command.to_owned(), source }),
        };
        match child.stdin.take() {
            Some(stdin) => Ok(Pager::Program { command: command.to_owned(), child, stdin }),
            None => Ok(Pager::None),
        }
    }

    /// Shows more. False once nobody wants any more.
    pub(crate) fn put(&mut self, sanitized: &str) -> Result<bool, CliError> {
        match self {
            Pager::None => output::put_sanitized(sanitized).map(|()| true),
            Pager::Program { stdin, .. } => match stdin.write_all(sanitized.as_bytes()) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
                Err(error) => Err(output::written(error)),
            },
        }
    }

    /// Waits until the user has read it.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        let Pager::Program { command, mut child, stdin } = self else { return Ok(()) };
        drop(stdin);
        child.wait().map(drop).map_err(|source| CliError::Pager { command, source })
    }
}
