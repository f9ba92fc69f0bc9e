//! What can be wrong with an expression: in its text, and with the values it meets.

use std::ops::Range;

use backstay_model::{Code, Coded};

use crate::codes;

/// The text of an expression, template or script can not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The stable code.
    pub code: Code,
    /// What is wrong, in a few words.
    pub message: String,
    /// The bytes of the text that it is about.
    pub range: Range<usize>,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Coded for SourceError {
    fn code(&self) -> Code {
        self.code
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalErrorKind {
    /// A condition gave something else than true or false.
    NotBoolean {
        /// What it gave.
        found: String,
    },
    /// It needs a value that is not defined.
    Undefined,
    /// `none` was to be printed.
    NothingPrinted,
    /// It took too many steps.
    OutOfFuel,
    /// The value has a zero byte and was to go into a variable.
    NulInVariable,
    /// The value was to go into a variable, and no variable can be so large.
    TooLarge,
    /// A script needs a number, or true or false, and it is something else.
    WrongKind,
    /// What an agent is to be told is empty.
    EmptyPrompt,
    /// Anything else: a filter refuses its argument, an operator does not fit.
    Failed,
}

/// An expression could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct EvalError {
    /// Why.
    pub kind: EvalErrorKind,
    /// The text of the expression, or of the template around it.
    pub expression: String,
    /// What is wrong, in a few words.
    pub message: String,
}

impl Coded for EvalError {
    fn code(&self) -> Code {
        match self.kind {
            EvalErrorKind::NotBoolean { .. } => codes::NOT_BOOLEAN,
            EvalErrorKind::Undefined => codes::UNDEFINED,
            EvalErrorKind::NothingPrinted => codes::NOTHING_PRINTED,
            EvalErrorKind::OutOfFuel => codes::OUT_OF_FUEL,
            EvalErrorKind::NulInVariable => codes::NUL_IN_VARIABLE,
            EvalErrorKind::TooLarge => codes::LARGE_VALUE,
            EvalErrorKind::WrongKind => codes::WRONG_KIND,
            EvalErrorKind::EmptyPrompt => codes::EMPTY_PROMPT,
            EvalErrorKind::Failed => codes::EVALUATION,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.kind {
            EvalErrorKind::NotBoolean { .. } => {
                "compare it with something, such as `… == 0` or `… is not none`"
            }
            EvalErrorKind::Undefined => {
                "test it with `is defined`, or give it a value with the filter `default(…)`"
            }
            EvalErrorKind::NothingPrinted => "say what to print instead: `… if … is not none else ''`",
            EvalErrorKind::OutOfFuel => "move the work into a step",
            EvalErrorKind::WrongKind => "turn a text into a whole number with the filter `int`",
            // The message has the way out: a run that fails shows nothing else.
            EvalErrorKind::NulInVariable
            | EvalErrorKind::TooLarge
            | EvalErrorKind::EmptyPrompt
            | EvalErrorKind::Failed => return None,
        };
        Some(hint.to_owned())
    }
}
