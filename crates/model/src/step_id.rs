//! The id of a step.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::STEP_ID_CHARS_MAX;

/// The id of a step in a workflow: `[a-z][a-z0-9_]*`, at most 64 characters, unique in its file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

/// The text is not a step's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a step's id: [a-z][a-z0-9_]*, at most {STEP_ID_CHARS_MAX} characters")]
pub struct InvalidStepId {
    /// What was read.
    pub text: String,
}

impl StepId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepId {
    type Err = InvalidStepId;

    fn from_str(text: &str) -> Result<StepId, InvalidStepId> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if first && rest && text.len() <= STEP_ID_CHARS_MAX {
            Ok(StepId(Arc::from(text)))
        } else {
            Err(InvalidStepId { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidStepId;

    fn try_from(text: String) -> Result<StepId, InvalidStepId> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(step: StepId) -> String {
        step.0.as_ref().to_owned()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
