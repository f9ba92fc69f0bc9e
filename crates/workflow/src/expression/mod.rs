//! Expressions, templates and scripts: one language, strict about undefined names, with a fuel limit.

mod environment;
mod error;
mod evaluate;
mod filters;
mod foreign;
mod interpolation;
mod kind;
mod parse;
mod script;
mod shell;
mod token;

use std::collections::BTreeMap;

use backstay_model::StepId;
use backstay_model::event::StepStatus;
use minijinja::Value;
use serde::{Deserialize, Serialize};

pub(crate) use environment::is_filter;
pub use error::{EvalError, EvalErrorKind, SourceError};
pub use evaluate::RenderedScript;
pub(crate) use foreign::{foreign_field_hint, foreign_name_hint};
pub(crate) use interpolation::interpolations;
pub(crate) use kind::kind_of;
pub use parse::TemplateKind;
pub(crate) use script::{IsError, argument_errors};
pub use script::{ParsedScript, ScriptContext, ShellDialect};
pub use shell::ValueKind;
pub(crate) use shell::{CODE_VARIABLES, PROGRAM_VARIABLES};
pub(crate) use token::{Path, Token, TokenKind, paths, tokens};

/// A bare expression, such as the value of `if`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// Its text.
    pub source: String,
    /// The steps that it names.
    pub steps: Vec<StepId>,
    /// The steps that it names as `previous`: their results in the loop's previous cycle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<StepId>,
}

/// A text with `${{ }}` in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its text.
    pub source: String,
    /// The steps that it names.
    pub steps: Vec<StepId>,
    /// The steps that it names as `previous`: their results in the loop's previous cycle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<StepId>,
}

/// A script in which each `${{ }}` became a reference to a variable: text never goes into a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The text that the shell reads, unless `whole` is set.
    pub text: String,
    /// The variables and what they hold.
    pub variables: Vec<ScriptVariable>,
    /// The name of the input of type `script` that is the whole script, if it is one.
    pub whole: Option<String>,
}

/// A variable that stands for one `${{ }}` of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptVariable {
    /// Its name, `BACKSTAY_V1` and so on.
    pub name: String,
    /// The expression whose value it holds.
    pub expression: Expression,
    /// The required kind of its value.
    #[serde(default, skip_serializing_if = "ValueKind::is_text")]
    pub kind: ValueKind,
}

/// The values that an expression can use.
#[derive(Clone, Debug, Serialize)]
pub struct Values {
    /// `inputs`: an object.
    pub inputs: Value,
    /// `steps`: the results of those steps that the expression names.
    pub steps: BTreeMap<StepId, StepValues>,
    /// `previous`: the results of the loop's previous cycle, of those steps that the expression names; none in its first.
    pub previous: Option<BTreeMap<StepId, StepValues>>,
    /// `run`.
    pub run: RunValues,
}

/// `run`: the properties of the run that an expression can use.
#[derive(Clone, Debug, Serialize)]
pub struct RunValues {
    /// Its id.
    pub id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The folder that steps work in.
    pub cwd: String,
    /// In `finally`: whether nothing failed so far.
    pub ok: bool,
}

/// `steps.x`: a step's result, defined whether the step ran or not.
#[derive(Clone, Debug, Serialize)]
pub struct StepValues {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its status.
    pub status: StepStatus,
    /// The exit code of its main process.
    pub exit_code: Option<i32>,
    /// Its output; for a group, an object of its steps' outputs.
    pub output: Value,
    /// One line about how it ended.
    pub summary: String,
    /// Both streams in order, the last 256 KiB.
    pub log: String,
    /// The path of the file with its whole stdout.
    pub output_path: Option<String>,
    /// The paths of its artifacts.
    pub artifacts: Vec<String>,
    /// The number of its attempts.
    pub attempts: u32,
    /// The number of its cycles, if it is a loop; else 0.
    pub cycles: u32,
}
