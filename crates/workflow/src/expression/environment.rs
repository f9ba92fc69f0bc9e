//! The one configuration of the template engine.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::filters;

/// Instructions that one evaluation may take.
const FUEL: u64 = 1_000_000;

/// The message of the engine's error for a printed `none`; it identifies that error.
pub(super) const NOTHING_TO_PRINT: &str = "`none` can not be printed";

/// The environment in which expressions and templates are read and evaluated.
pub(super) fn environment<'source>() -> Result<Environment<'source>, Error> {
    /// A constant: to make it takes longer than to read an expression, and a copy shares its filters.
    static ENVIRONMENT: LazyLock<Result<Environment<'static>, Error>> = LazyLock::new(new_environment);
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment.clone()),
        Err(error) => Err(Error::new(error.kind(), error.to_string())),
    }
}

fn new_environment<'source>() -> Result<Environment<'source>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .variable_delimiters("${{", "}}")
            .block_delimiters("${%", "%}")
            // There are no comments: `${#name}` is a shell's.
            .comment_delimiters("\u{1}{#", "#}\u{1}")
            .keep_trailing_newline(true)
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_name| minijinja::AutoEscape::None);
    environment.set_formatter(print);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment.remove_global("debug");
    for name in ["safe", "escape", "e", "pprint"] {
        environment.remove_filter(name);
    }
    filters::add(&mut environment);
    Ok(environment)
}

/// Whether there is a filter of this name.
pub(crate) fn is_filter(name: &str) -> bool {
    // If the engine itself can not be set up, every expression reports that.
    environment().is_ok_and(|environment| {
        let applied = environment.empty_state().apply_filter(name, &[Value::UNDEFINED]);
        !matches!(applied, Err(error) if error.kind() == ErrorKind::UnknownFilter)
    })
}

fn print(output: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = spell(value)?;
    output.write_str(&text).map_err(|error| {
        Error::new(ErrorKind::WriteFailure, "the text can not be written").with_source(error)
    })
}

/// Prints a value: a text as it is, everything else as JSON.
pub(super) fn spell(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "a value that is not defined can not be printed"));
    }
    if value.is_none() {
        return Err(Error::new(ErrorKind::InvalidOperation, NOTHING_TO_PRINT));
    }
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => filters::json(value),
    }
}
