//! The words of an expression with their places, for diagnostics. The template engine evaluates the expression.

use std::ops::Range;

/// The kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name.
    Name,
    /// A string with its quotes.
    Text,
    /// A number.
    Number,
    /// Anything else: an operator, a bracket, a dot.
    Symbol,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its kind.
    pub(crate) kind: TokenKind,
    /// Its text.
    pub(crate) text: &'a str,
    /// Its bytes.
    pub(crate) range: Range<usize>,
}

const SYMBOLS: &[&str] = &["===", "!==", "==", "!=", "<=", ">=", "&&", "||", "//", "**", "??"];

/// The words of `source`.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = &source[at..];
        let (kind, length) = if first == '\'' || first == '"' {
            (TokenKind::Text, text_length(rest, first))
        } else if first.is_alphabetic() || first == '_' {
            (TokenKind::Name, span(rest, |c| c.is_alphanumeric() || c == '_'))
        } else if first.is_ascii_digit() {
            (TokenKind::Number, number_length(rest))
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            (TokenKind::Symbol, symbol.map_or(first.len_utf8(), |symbol| symbol.len()))
        };
        found.push(Token { kind, text: &rest[..length], range: at..at + length });
        at += length;
    }
    found
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn number_length(text: &str) -> usize {
    let whole = span(text, |c| c.is_ascii_digit());
    let fraction = text[whole..].strip_prefix('.').map_or(0, |rest| span(rest, |c| c.is_ascii_digit()));
    if fraction == 0 { whole } else { whole + 1 + fraction }
}

fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return index + 1;
        }
    }
    text.len()
}

/// A dotted name such as `steps.list.output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// Its names and their bytes.
    pub(crate) names: Vec<(&'a str, Range<usize>)>,
    /// The number of its first word and of the first word after it.
    pub(crate) words: Range<usize>,
}

/// The dotted names among `tokens`: those that look values up, not filters, tests, calls' keywords or operators.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = tokens[at].kind == TokenKind::Name && !is_not_a_value(tokens, at);
        if !starts {
            at += 1;
            continue;
        }
        let first = at;
        let mut names = vec![(tokens[at].text, tokens[at].range.clone())];
        at += 1;
        while at + 1 < tokens.len() && tokens[at].text == "." && tokens[at + 1].kind == TokenKind::Name {
            names.push((tokens[at + 1].text, tokens[at + 1].range.clone()));
            at += 2;
        }
        found.push(Path { names, words: first..at });
    }
    found
}

fn is_not_a_value(tokens: &[Token<'_>], at: usize) -> bool {
    const WORDS: &[&str] = &[
        "and", "or", "not", "in", "is", "if", "else", "elif", "endif", "for", "endfor", "set", "true",
        "false", "none", "True", "False", "None",
    ];
    let before = at.checked_sub(1).map(|index| tokens[index].text);
    let after = tokens.get(at + 1).map(|token| token.text);
    let tested = before == Some("is") || (before == Some("not") && at >= 2 && tokens[at - 2].text == "is");
    WORDS.contains(&tokens[at].text) || tested || matches!(before, Some("|" | ".")) || after == Some("=")
}
