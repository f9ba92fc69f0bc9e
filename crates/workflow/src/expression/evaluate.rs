//! Evaluation: pure, bounded, strict.

use backstay_model::limits::ARGUMENT_BYTES_MAX;
use minijinja::value::Serde;
use minijinja::{Error, ErrorKind, Value};

use super::environment::{NOTHING_TO_PRINT, environment, spell};
use super::interpolation::{Interpolation, interpolations};
use super::{EvalError, EvalErrorKind, Expression, Script, ScriptVariable, Template, ValueKind, Values};

/// A script that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedScript {
    /// The text that the shell reads.
    pub text: String,
    /// The variables that it refers to, by name.
    pub env: Vec<(String, String)>,
}

impl Expression {
    /// The value as a condition.
    ///
    /// # Errors
    /// [`EvalError`] if it is neither true nor false, is not defined, or can not be evaluated.
    pub fn condition(&self, values: &Values) -> Result<bool, EvalError> {
        let value = self.value(values)?;
        bool::try_from(value.clone())
            .ok()
            .filter(|_| value.kind() == minijinja::value::ValueKind::Bool)
            .ok_or_else(|| EvalError {
                kind: EvalErrorKind::NotBoolean { found: value.kind().to_string() },
                expression: self.source.clone(),
                message: format!("a condition is true or false, this is a {}", value.kind()),
            })
    }

    /// The value.
    ///
    /// # Errors
    /// [`EvalError`] if it is not defined or can not be evaluated.
    pub fn value(&self, values: &Values) -> Result<Value, EvalError> {
        value_of(&self.source, values).map_err(|error| failed(&self.source, &error))
    }

    /// The value as it is printed: a text as it is, everything else as JSON.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Expression::value`], and if the value is `none`.
    pub fn text(&self, values: &Values) -> Result<String, EvalError> {
        value_of(&self.source, values)
            .and_then(|value| spell(&value))
            .map_err(|error| failed(&self.source, &error))
    }
}

impl Template {
    /// The text with every `${{ }}` replaced.
    ///
    /// # Errors
    /// [`EvalError`] if something in it is not defined, is `none`, or can not be evaluated.
    pub fn render(&self, values: &Values) -> Result<String, EvalError> {
        let rendered = environment()
            .and_then(|environment| environment.render_str(&self.source, Value::from(Serde(values))));
        rendered.map_err(|error| failed(&self.source, &error))
    }

    /// The value: one whole `${{ }}` keeps its type, everything else is a text.
    ///
    /// # Errors
    /// [`EvalError`] as for [`Template::render`]; a whole `${{ }}` may be `none`.
    pub fn value(&self, values: &Values) -> Result<Value, EvalError> {
        match self.whole() {
            Some(source) => value_of(source, values).map_err(|error| failed(source, &error)),
            None => self.render(values).map(Value::from),
        }
    }

    /// The expression, if the template is one `${{ }}` and nothing else.
    #[must_use]
    pub fn whole(&self) -> Option<&str> {
        let text = self.source.trim();
        match interpolations(text).as_slice() {
            [Interpolation { outer, inner }] if *outer == (0..text.len()) => Some(text[inner.clone()].trim()),
            _ => None,
        }
    }
}

impl Script {
    /// The script and its variables.
    ///
    /// # Errors
    /// [`EvalError`] if a variable has no text.
    pub fn render(&self, values: &Values) -> Result<RenderedScript, EvalError> {
        if let Some(input) = &self.whole {
            let text = value_of(&format!("inputs.{input}"), values)
                .and_then(|value| spell(&value))
                .map_err(|error| failed(input, &error))?;
            return Ok(RenderedScript { text, env: Vec::new() });
        }
        let mut env = Vec::with_capacity(self.variables.len());
        for variable in &self.variables {
            let text = variable.text(values)?;
            if text.contains('\0') {
                return Err(EvalError {
                    kind: EvalErrorKind::NulInVariable,
                    expression: variable.expression.source.clone(),
                    message: "the value has a zero byte: pass it in a file".to_owned(),
                });
            }
            // The name, `=` and the value are one argument to the system.
            let room_bytes = ARGUMENT_BYTES_MAX - variable.name.len() - 1;
            if text.len() > room_bytes {
                let size_bytes = text.len();
                return Err(EvalError {
                    kind: EvalErrorKind::TooLarge,
                    expression: variable.expression.source.clone(),
                    message: format!(
                        "the value has {size_bytes} bytes, and one value in a script at most {room_bytes}: write it \
                         into a file, and let the script read the file"
                    ),
                });
            }
            env.push((variable.name.clone(), text));
        }
        Ok(RenderedScript { text: self.text.clone(), env })
    }
}

impl ScriptVariable {
    /// The text of the variable, which is of its kind.
    fn text(&self, values: &Values) -> Result<String, EvalError> {
        let source = &self.expression.source;
        let value = self.expression.value(values)?;
        let text = spell(&value).map_err(|error| failed(source, &error))?;
        let (is_of_kind, wanted) = match self.kind {
            ValueKind::Text => (true, "a text"),
            ValueKind::Number => {
                let is_number = value.kind() == minijinja::value::ValueKind::Number;
                // What is no number at all, such as the result of 0.0 / 0.0, is spelled as a name.
                let is_spelled = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
                (is_number && is_spelled, "a number")
            }
            ValueKind::Boolean => (value.kind() == minijinja::value::ValueKind::Bool, "true or false"),
        };
        if is_of_kind {
            return Ok(text);
        }
        Err(EvalError {
            kind: EvalErrorKind::WrongKind,
            expression: source.clone(),
            message: format!("the script needs {wanted} here, this is a {}", value.kind()),
        })
    }
}

fn value_of(source: &str, values: &Values) -> Result<Value, Error> {
    let environment = environment()?;
    let value = environment.compile_expression(source)?.eval(Value::from(Serde(values)))?;
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "it is not defined"));
    }
    Ok(value)
}

fn failed(source: &str, error: &Error) -> EvalError {
    // An error inside a loop or a block comes with the cause below it.
    let mut cause: &Error = error;
    let mut below = std::error::Error::source(error);
    while let Some(next) = below {
        match next.downcast_ref::<Error>() {
            Some(inner) => cause = inner,
            None => break,
        }
        below = next.source();
    }
    let detail = cause.detail().unwrap_or("");
    let kind = match cause.kind() {
        ErrorKind::UndefinedError => EvalErrorKind::Undefined,
        ErrorKind::OutOfFuel => EvalErrorKind::OutOfFuel,
        ErrorKind::InvalidOperation if detail == NOTHING_TO_PRINT => EvalErrorKind::NothingPrinted,
        _ => EvalErrorKind::Failed,
    };
    let message = match (&kind, detail) {
        (EvalErrorKind::OutOfFuel, _) => "the evaluation takes too many steps".to_owned(),
        (_, "") => cause.kind().to_string(),
        (_, detail) => detail.to_owned(),
    };
    EvalError { kind, expression: source.to_owned(), message }
}
