//! The pieces of a text that may be a time.

/// A piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Number(Number<'a>),
    /// Letters; the name of a zone is one word: `america/new_york`.
    Word(&'a str),
    /// Any other character that is no blank.
    Sign(char),
}

/// Digits, and those behind a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number<'a> {
    pub(super) digits: &'a str,
    pub(super) fraction: Option<&'a str>,
}

impl Number<'_> {
    pub(super) fn value(self) -> Option<f64> {
        format!("{}.{}", self.digits, self.fraction.unwrap_or("0")).parse().ok()
    }

    /// The number, where nothing stands behind a point.
    pub(super) fn whole<T: std::str::FromStr>(self) -> Option<T> {
        self.digits.parse().ok().filter(|_| self.fraction.is_none())
    }
}

/// The pieces of `text`, which is in lower case.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = if first.is_ascii_digit() {
            let (digits, behind) = run(rest, |character| character.is_ascii_digit());
            let fraction = behind.strip_prefix('.').map(|behind| run(behind, |each| each.is_ascii_digit()));
            match fraction {
                Some((fraction, behind)) if !fraction.is_empty() => {
                    rest = behind;
                    Token::Number(Number { digits, fraction: Some(fraction) })
                }
                _ => {
                    rest = behind;
                    Token::Number(Number { digits, fraction: None })
                }
            }
        } else if first.is_alphabetic() {
            let (word, behind) = run(rest, |each| each.is_alphabetic() || matches!(each, '_' | '/'));
            rest = behind;
            Token::Word(word)
        } else {
            rest = &rest[first.len_utf8()..];
            if first.is_whitespace() {
                continue;
            }
            Token::Sign(first)
        };
        tokens.push(token);
    }
    tokens
}

fn run(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !is_part(character)).unwrap_or(text.len()))
}
