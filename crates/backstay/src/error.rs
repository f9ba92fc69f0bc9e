//! What can go wrong.

use std::fmt;
use std::io;

use backstay_agent::PresetError;
use backstay_model::event::DecodeError;
use backstay_model::{Code, Coded, QuestionId};
use backstay_runtime::{DriveError, RunError, SayError, StoreOpenError};
use backstay_workflow::{Diagnostic, InputProblem};
use camino::Utf8PathBuf;

/// A call of the library has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(Box<StoreOpenError>),
    /// The working folder of this process cannot be told, or has a name that is not UTF-8.
    #[error("the working folder of this process cannot be used")]
    WorkingFolder(#[source] io::Error),
    /// The path of this program cannot be told, or is not UTF-8.
    #[error("the path of this program cannot be used")]
    Program(#[source] io::Error),
    /// This program cannot be its own keeper.
    #[error("`backstay::init()` was not called in this process, so it cannot start keepers")]
    NotInitialized,
    /// The presets of this version cannot be read.
    #[error(transparent)]
    Presets(Box<PresetError>),
    /// The file of a workflow cannot be read.
    #[error("cannot read {path}")]
    ReadFile {
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The workflow is not valid.
    #[error(transparent)]
    Workflow(WorkflowError),
    /// The inputs do not fit the workflow.
    #[error(transparent)]
    Inputs(InputsError),
    /// A value has no JSON form.
    #[error("a value has no JSON form")]
    Json(#[from] serde_json::Error),
    /// A run cannot be read or requested.
    #[error(transparent)]
    Run(Box<RunError>),
    /// An input cannot be appended. One that the run refuses is a verdict, and no error.
    #[error(transparent)]
    Say(Box<SayError>),
    /// A run cannot be worked on by this process.
    #[error(transparent)]
    Drive(Box<DriveError>),
    /// No open question has this id.
    #[error("no question {0} waits for an answer in this store")]
    UnknownQuestion(QuestionId),
}

impl From<StoreOpenError> for Error {
    fn from(error: StoreOpenError) -> Error {
        Error::Open(Box::new(error))
    }
}

impl From<PresetError> for Error {
    fn from(error: PresetError) -> Error {
        Error::Presets(Box::new(error))
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        Error::Run(Box::new(error))
    }
}

impl From<SayError> for Error {
    fn from(error: SayError) -> Error {
        Error::Say(Box::new(error))
    }
}

impl From<DriveError> for Error {
    fn from(error: DriveError) -> Error {
        Error::Drive(Box::new(error))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        RunError::from(error).into()
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Open(error) => error.code(),
            Error::WorkingFolder(_) => Code("BKS-B001"),
            Error::Program(_) => Code("BKS-B002"),
            Error::NotInitialized => Code("BKS-B003"),
            Error::Presets(error) => error.code(),
            Error::ReadFile { .. } => Code("BKS-B004"),
            Error::Workflow(_) => Code("BKS-B005"),
            Error::Inputs(_) => Code("BKS-B006"),
            Error::Json(_) => Code("BKS-B007"),
            Error::Run(error) => error.code(),
            Error::Say(error) => error.code(),
            Error::Drive(error) => error.code(),
            Error::UnknownQuestion(_) => Code("BKS-B008"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Open(error) => error.hint(),
            Error::NotInitialized => Some(
                "call `backstay::init()` first in `main`, or name a program that does: `.keeper_program(PATH)`"
                    .to_owned(),
            ),
            Error::Presets(error) => error.hint(),
            Error::Run(error) => error.hint(),
            Error::Say(error) => error.hint(),
            Error::Drive(error) => error.hint(),
            Error::UnknownQuestion(_) => Some("`inbox()` returns the questions that wait".to_owned()),
            Error::WorkingFolder(_)
            | Error::Program(_)
            | Error::ReadFile { .. }
            | Error::Workflow(_)
            | Error::Inputs(_)
            | Error::Json(_) => None,
        }
    }
}

/// A workflow that is not valid. Its text is what `backstay check` shows.
#[derive(Clone, Debug)]
pub struct WorkflowError {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl WorkflowError {
    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Everything that is wrong, by place.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

/// Columns of the text of diagnostics.
const COLUMNS: usize = 100;

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a valid workflow", self.file)?;
        self.diagnostics.iter().try_for_each(|found| write!(f, "\n{}", found.render(&self.text, COLUMNS)))
    }
}

impl std::error::Error for WorkflowError {}

/// Inputs that do not fit a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputsError(pub(crate) Vec<InputProblem>);

impl InputsError {
    /// Everything that is wrong with them.
    #[must_use]
    pub fn problems(&self) -> &[InputProblem] {
        &self.0
    }
}

impl fmt::Display for InputsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<String> = self.0.iter().map(InputProblem::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl std::error::Error for InputsError {}
