//! Reading expressions and templates, with the steps that they name.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use backstay_model::StepId;
use minijinja::Error;

use super::environment::environment;
use super::token::{Token, TokenKind, tokens};
use super::{Expression, SourceError, Template, foreign_name_hint, interpolations};
use crate::codes;

/// Names that are operators.
const OPERATOR_WORDS: &[&str] = &["and", "or", "not", "in", "is", "if", "else"];

/// The constructs that a template may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// Values and blocks (`${% if … %}`): prompts.
    Prompt,
    /// Values only.
    Text,
}

impl Expression {
    /// Reads a bare expression.
    ///
    /// # Errors
    /// [`SourceError`] if it is none, or names `steps` in a way that does not say which.
    pub fn parse(source: &str) -> Result<Expression, SourceError> {
        let lead = source.len() - source.trim_start().len();
        Expression::parse_trimmed(source.trim())
            .map_err(|error| SourceError { range: lead + error.range.start..lead + error.range.end, ..error })
    }

    fn parse_trimmed(source: &str) -> Result<Expression, SourceError> {
        if source.is_empty() {
            return Err(SourceError {
                code: codes::EXPRESSION,
                message: "the expression is empty".to_owned(),
                range: 0..0,
                hint: None,
            });
        }
        foreign_operator(source)?;
        let environment = environment().map_err(|error| unreadable(source, &error))?;
        let compiled = environment.compile_expression(source).map_err(|error| unreadable(source, &error))?;
        let names = compiled.undeclared_variables(true);
        let (steps, previous) =
            (named_steps(source, "steps", &names)?, named_steps(source, "previous", &names)?);
        Ok(Expression { source: source.to_owned(), steps, previous })
    }
}

impl Template {
    /// Reads a template that may have blocks.
    ///
    /// # Errors
    /// [`SourceError`] if it can not be read.
    pub fn parse(source: &str) -> Result<Template, SourceError> {
        Template::parse_as(source, TemplateKind::Prompt)
    }

    /// Reads a template of the given kind.
    ///
    /// # Errors
    /// [`SourceError`] if it can not be read, or has blocks and may not.
    pub fn parse_as(source: &str, kind: TemplateKind) -> Result<Template, SourceError> {
        if let (TemplateKind::Text, Some(at)) = (kind, source.find("${%")) {
            return Err(SourceError {
                code: codes::BLOCK_NOT_ALLOWED,
                message: "`${% %}` may stand only in prompts".to_owned(),
                range: at..at + 3,
                hint: Some("use an expression: `${{ a if condition else b }}`".to_owned()),
            });
        }
        for interpolation in interpolations(source) {
            let inner = &source[interpolation.inner.clone()];
            if let Err(error) = foreign_operator(inner) {
                let start = interpolation.inner.start;
                return Err(SourceError {
                    range: start + error.range.start..start + error.range.end,
                    ..error
                });
            }
        }
        let environment = environment().map_err(|error| unreadable(source, &error))?;
        let compiled = environment.template_from_str(source).map_err(|error| unreadable(source, &error))?;
        let names = compiled.undeclared_variables(true);
        let (steps, previous) =
            (named_steps(source, "steps", &names)?, named_steps(source, "previous", &names)?);
        Ok(Template { source: source.to_owned(), steps, previous })
    }
}

fn unreadable(source: &str, error: &Error) -> SourceError {
    let range = error.range().filter(|range| source.get(range.clone()).is_some()).unwrap_or(0..source.len());
    let message = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    SourceError { code: codes::EXPRESSION, message, range, hint: None }
}

/// The steps among `names`, which are of the form `steps.list.output` or, with the root `previous`, `previous.list.output`.
fn named_steps(source: &str, root: &str, names: &HashSet<String>) -> Result<Vec<StepId>, SourceError> {
    let mut steps = BTreeSet::new();
    for name in names {
        let mut parts = name.split('.');
        if parts.next() != Some(root) {
            continue;
        }
        let Some(step) = parts.next() else {
            // `previous` alone asks whether there was a cycle before.
            if root == "previous" {
                continue;
            }
            return Err(SourceError {
                code: codes::UNKNOWN_NAME,
                message: "`steps` needs the id of a step".to_owned(),
                range: first_place(source, "steps"),
                hint: Some("say which step: `steps.build.ok`".to_owned()),
            });
        };
        let id = step.parse::<StepId>().map_err(|error| SourceError {
            code: codes::INVALID_ID,
            message: error.to_string(),
            range: first_place(source, step),
            hint: None,
        })?;
        steps.insert(id);
    }
    Ok(steps.into_iter().collect())
}

fn first_place(source: &str, word: &str) -> Range<usize> {
    let start = source.find(word).unwrap_or(0);
    start..(start + word.len()).min(source.len())
}

/// Refuses the call of a function of another tool. Behind `|` and `is` the name is that of a filter or a test.
fn foreign_call(words: &[Token<'_>]) -> Result<(), SourceError> {
    for (index, token) in words.iter().enumerate() {
        let is_call = words.get(index + 1).is_some_and(|next| next.text == "(");
        let is_root =
            index.checked_sub(1).is_none_or(|before| !matches!(words[before].text, "." | "|" | "is"));
        if token.kind == TokenKind::Name
            && is_call
            && is_root
            && let Some(answer) = foreign_name_hint(token.text)
        {
            return Err(SourceError {
                code: codes::UNKNOWN_NAME,
                message: format!("there is no function `{}`", token.text),
                range: token.range.clone(),
                hint: Some(answer.to_owned()),
            });
        }
    }
    Ok(())
}

/// Whether the `=` at `index` stands behind the name of an argument, as in `tail(lines=1)`.
fn names_argument(words: &[Token<'_>], index: usize) -> bool {
    let mut depth = 0_u32;
    for (at, token) in words[..index].iter().enumerate().rev() {
        match token.text {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth > 0 => depth -= 1,
            "(" => {
                // A bracket behind a name is a call's, unless the name is an operator.
                let called = at.checked_sub(1).map(|before| &words[before]);
                let is_call = called.is_some_and(|called| {
                    called.kind == TokenKind::Name && !OPERATOR_WORDS.contains(&called.text)
                });
                return is_call && words[index - 1].kind == TokenKind::Name;
            }
            "[" | "{" => return false,
            _ => {}
        }
    }
    false
}

/// Refuses operators of other languages, each with its counterpart here.
fn foreign_operator(source: &str) -> Result<(), SourceError> {
    let words = tokens(source);
    // A call first: its answer changes more of the expression than that of an operator beside it.
    foreign_call(&words)?;
    for (index, token) in words.iter().enumerate() {
        let member = index > 0 && words[index - 1].text == ".";
        let keyword = words.get(index + 1).is_some_and(|next| next.text == "=");
        let hint = match (token.kind, token.text) {
            (TokenKind::Symbol, "&&") => "write `and`",
            (TokenKind::Symbol, "||") => "write `or`",
            (TokenKind::Symbol, "!") => "write `not …`",
            (TokenKind::Symbol, "===") => "write `==`",
            (TokenKind::Symbol, "!==") => "write `!=`",
            (TokenKind::Symbol, "=") if !names_argument(&words, index) => "`==` compares",
            (TokenKind::Symbol, "??") => "write `… | default(…)`",
            (TokenKind::Symbol, "?") => "write `a if condition else b`",
            (TokenKind::Name, "null" | "nil") if !member && !keyword => "write `none`",
            _ => continue,
        };
        return Err(SourceError {
            code: codes::FOREIGN_OPERATOR,
            message: format!("`{}` is not part of the expression language", token.text),
            range: token.range.clone(),
            hint: Some(hint.to_owned()),
        });
    }
    Ok(())
}
