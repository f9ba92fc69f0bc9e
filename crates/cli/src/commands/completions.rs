//! `backstay completions`.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints the completions for a shell.
pub(crate) fn completions(args: CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "backstay", &mut script);
    output::put_bytes(&script)?;
    Ok(Exit::Completed)
}
