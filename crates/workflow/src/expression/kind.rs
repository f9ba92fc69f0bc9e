//! Guesses the kind of an expression's value from its words.
//!
//! The guess may be wrong: the kind of each value is checked again before a script starts.

use super::ValueKind;
use super::token::{Token, TokenKind, paths, tokens};

/// Filters that return a number.
const NUMBER_FILTERS: &[&str] = &["int", "float", "length", "count", "round", "abs"];
const COMPARISONS: &[&str] = &["==", "!=", "<", ">", "<=", ">=", "in", "is", "not"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "//", "%", "**", "(", ")"];
/// Operators after which a value may have another kind.
const OTHER_OPERATORS: &[&str] =
    &["~", "+", "-", "*", "/", "//", "%", "**", "if", "else", "and", "or", "not"];

/// The kind of the value of `source`, given the kinds of the names in it.
pub(crate) fn kind_of(source: &str, kind_of_path: &dyn Fn(&[&str]) -> ValueKind) -> ValueKind {
    let words = tokens(source);
    let found = paths(&words);
    let path_kinds: Vec<ValueKind> = found
        .iter()
        .map(|path| kind_of_path(&path.names.iter().map(|(name, _)| *name).collect::<Vec<_>>()))
        .collect();
    if let [path] = found.as_slice()
        && path.words == (0..words.len())
    {
        return path_kinds[0];
    }
    let outer = outer_words(&words);
    let is_other = |word: &&Token<'_>| OTHER_OPERATORS.contains(&word.text);
    if let Some(pipe) = outer.iter().rposition(|word| word.text == "|") {
        let after = &outer[pipe + 1..];
        let is_number = after.first().is_some_and(|word| NUMBER_FILTERS.contains(&word.text));
        let is_whole = after.iter().skip(1).all(|word| matches!(word.text, "(" | ")"));
        if is_number && is_whole && !outer.iter().any(is_other) {
            return ValueKind::Number;
        }
    }
    let in_path = |at: usize| found.iter().any(|path| path.words.contains(&at));
    let is_arithmetic = words
        .iter()
        .enumerate()
        .all(|(at, word)| word.kind == TokenKind::Number || ARITHMETIC.contains(&word.text) || in_path(at));
    if is_arithmetic && !words.is_empty() && path_kinds.iter().all(|kind| *kind == ValueKind::Number) {
        return ValueKind::Number;
    }
    let compares = outer.iter().any(|word| COMPARISONS.contains(&word.text));
    let mixes = outer.iter().any(|word| matches!(word.text, "if" | "else" | "and" | "or" | "~" | "|"));
    if compares && !mixes { ValueKind::Boolean } else { ValueKind::Text }
}

/// The words that stand in no brackets, brackets included.
fn outer_words<'a, 't>(words: &'t [Token<'a>]) -> Vec<&'t Token<'a>> {
    let mut depth = 0_u32;
    let mut outer = Vec::new();
    for word in words {
        if matches!(word.text, ")" | "]" | "}") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            outer.push(word);
        }
        if matches!(word.text, "(" | "[" | "{") {
            depth += 1;
        }
    }
    outer
}
