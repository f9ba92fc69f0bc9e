//! A question to the person in front of the terminal.

use std::io::{BufRead, IsTerminal};

use crate::error::CliError;
use crate::output;

/// Asks `question`, to which yes or no is the answer. Without a terminal, and without a clear yes, it is no.
pub(crate) fn confirm(question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() || !output::stderr().is_terminal() {
        return Ok(false);
    }
    output::note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(CliError::Input)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
