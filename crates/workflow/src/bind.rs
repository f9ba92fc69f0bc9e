//! Binds the given inputs of a run to the declared ones.

use std::collections::BTreeMap;

use backstay_model::{Code, Coded};
use minijinja::Value;
use minijinja::value::ValueKind;

use crate::codes;
use crate::diagnostic::{listed, nearest};
use crate::plan::{InputSpec, InputType, Plan};

/// One given value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// A text (`--input k=v`), read by the declared type.
    Text(String),
    /// JSON (`--inputs FILE.json`), which must have the declared type.
    Json(String),
}

/// The inputs of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// An object with every declared input.
    pub value: Value,
}

impl Inputs {
    /// The inputs as JSON on one line.
    ///
    /// # Errors
    /// [`serde_json::Error`] if a value has no JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.value)
    }
}

/// An error in the given inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputProblem {
    /// The workflow does not declare the input.
    #[error("the workflow has no input `{name}`")]
    Unknown {
        /// The given name.
        name: String,
        /// A declared input that is spelled alike.
        near: Option<String>,
        /// All declared inputs.
        declared: Vec<String>,
    },
    /// A required input was not given.
    #[error("the input `{name}` is required")]
    Missing {
        /// Its name.
        name: String,
        /// Its description.
        description: Option<String>,
    },
    /// A value has another type than declared.
    #[error("the input `{name}` is {wanted}, `{found}` is not")]
    WrongType {
        /// Its name.
        name: String,
        /// Its declared type, in words.
        wanted: &'static str,
        /// The given text, cut to one line.
        found: String,
    },
    /// A value has a zero byte: no variable, argument or path can hold it.
    #[error("the input `{name}` has a zero byte")]
    ZeroByte {
        /// Its name.
        name: String,
    },
}

impl Coded for InputProblem {
    fn code(&self) -> Code {
        match self {
            InputProblem::Unknown { .. } => codes::UNKNOWN_INPUT,
            InputProblem::Missing { .. } => codes::MISSING_INPUT,
            InputProblem::WrongType { .. } => codes::INPUT_TYPE,
            InputProblem::ZeroByte { .. } => codes::NUL_IN_INPUT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            InputProblem::Unknown { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            InputProblem::Unknown { declared, .. } if declared.is_empty() => {
                Some("the workflow has no inputs".to_owned())
            }
            InputProblem::Unknown { declared, .. } => {
                Some(format!("it has {}", listed(declared.iter().map(String::as_str))))
            }
            InputProblem::Missing { name, description } => {
                let description = description.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
                Some(format!("give it with `--input {name}=…`{description}"))
            }
            InputProblem::ZeroByte { name } => Some(format!(
                "keep bytes that are no text in a file, and give its path: `--input {name}=PATH`"
            )),
            InputProblem::WrongType { wanted: "a list" | "an object", .. } => {
                Some("give it as JSON".to_owned())
            }
            InputProblem::WrongType { name, wanted, .. } => Some(match *wanted {
                "a number" => format!("for example `--input {name}=3`"),
                "true or false" => format!("`--input {name}=true` or `--input {name}=false`"),
                _ => "a text in JSON has quotes".to_owned(),
            }),
        }
    }
}

impl Plan {
    /// Returns the inputs of a run: the given ones, and defaults for the others.
    ///
    /// # Errors
    /// All errors in the given inputs at once.
    pub fn bind_inputs(&self, given: &BTreeMap<String, Given>) -> Result<Inputs, Vec<InputProblem>> {
        let mut problems = Vec::new();
        let declared = || self.inputs.iter().map(|input| input.name.as_str());
        for name in given.keys().filter(|name| !declared().any(|known| known == **name)) {
            problems.push(InputProblem::Unknown {
                name: name.clone(),
                near: nearest(name, declared()).map(ToOwned::to_owned),
                declared: declared().map(ToOwned::to_owned).collect(),
            });
        }
        let mut values = Vec::with_capacity(self.inputs.len());
        for spec in &self.inputs {
            match given.get(&spec.name).map(|given| read(spec, given)) {
                Some(Ok(value)) if has_zero_byte(&value) => {
                    problems.push(InputProblem::ZeroByte { name: spec.name.clone() });
                }
                Some(Ok(value)) => values.push((spec.name.clone(), value)),
                Some(Err(problem)) => problems.push(problem),
                None => match &spec.default {
                    Some(default) => values.push((spec.name.clone(), default.clone())),
                    None => problems.push(InputProblem::Missing {
                        name: spec.name.clone(),
                        description: spec.description.clone(),
                    }),
                },
            }
        }
        if problems.is_empty() { Ok(Inputs { value: Value::from_pairs(values) }) } else { Err(problems) }
    }
}

/// Whether a text in the value has a zero byte.
fn has_zero_byte(value: &Value) -> bool {
    match value.kind() {
        ValueKind::String => value.as_str().is_some_and(|text| text.contains('\0')),
        ValueKind::Seq => value.try_iter().is_ok_and(|mut items| items.any(|item| has_zero_byte(&item))),
        ValueKind::Map => value.try_iter().is_ok_and(|mut keys| {
            keys.any(|key| has_zero_byte(&key) || value.get_item(&key).is_ok_and(|item| has_zero_byte(&item)))
        }),
        _ => false,
    }
}

fn read(spec: &InputSpec, given: &Given) -> Result<Value, InputProblem> {
    let (kind, wanted) = match spec.input_type {
        InputType::String | InputType::Script => (ValueKind::String, "a text"),
        InputType::Number => (ValueKind::Number, "a number"),
        InputType::Boolean => (ValueKind::Bool, "true or false"),
        InputType::List => (ValueKind::Seq, "a list"),
        InputType::Object => (ValueKind::Map, "an object"),
    };
    let text = match given {
        Given::Text(text) if kind == ValueKind::String => return Ok(Value::from(text.as_str())),
        Given::Text(text) | Given::Json(text) => text,
    };
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.kind() == kind => Ok(value),
        Ok(_) | Err(_) => Err(InputProblem::WrongType {
            name: spec.name.clone(),
            wanted,
            found: crate::text::line(text).chars().take(60).collect(),
        }),
    }
}
