//! A question to the person in front of the terminal.

use std::io::{BufRead, IsTerminal};

use crate::error::CliError;
use crate::output;

/// What is only done when a person agreed to it: in the terminal, or beforehand by `--yes`.
#[derive(Debug)]
pub(crate) struct Consent {
    /// The question in the terminal.
    pub(crate) question: String,
    /// What the command would do, for the error.
    pub(crate) consequence: String,
    /// What does it without a question, in words.
    pub(crate) command: String,
}

impl Consent {
    /// Returns once a person agreed.
    ///
    /// # Errors
    /// [`CliError::NotAgreed`] if the answer is not a clear yes, or nobody can be asked.
    pub(crate) fn obtain(self, yes: bool) -> Result<(), CliError> {
        let Consent { question, consequence, command } = self;
        if yes || confirm(&question)? { Ok(()) } else { Err(CliError::NotAgreed { consequence, command }) }
    }
}

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
