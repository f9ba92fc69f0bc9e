//! A secret's value, and masking it in bytes.

use std::fmt;
use std::ops::Range;

use crate::error::ScrubError;

/// The number of forms in which a value is searched: as it is, escaped for JSON, for JSON inside JSON, and so on.
const NESTED_MAX: usize = 4;
/// A shorter value would match other texts.
const BYTES_MIN: usize = 6;
/// Replaces each byte. Lengths stay, so that offsets and sizes in the log stay true.
pub(super) const MASK: u8 = b'*';

/// A value to mask.
pub struct Secret {
    /// Longest first: a form that contains another one is found before it.
    forms: Vec<String>,
}

impl Secret {
    /// Returns a secret with this value, without the white space around it.
    ///
    /// # Errors
    /// [`ScrubError::TooShort`] under 6 bytes.
    pub fn new(value: &str) -> Result<Secret, ScrubError> {
        let value = value.trim();
        if value.len() < BYTES_MIN {
            return Err(ScrubError::TooShort { size_bytes: value.len(), least_bytes: BYTES_MIN });
        }
        let mut forms = vec![value.to_owned()];
        for _ in 0..NESTED_MAX {
            let next = forms.last().map(|form| escaped(form)).unwrap_or_default();
            if forms.last() == Some(&next) {
                break;
            }
            forms.push(next);
        }
        forms.reverse();
        Ok(Secret { forms })
    }

    /// Returns every form that is searched.
    pub(super) fn forms(&self) -> &[String] {
        &self.forms
    }

    /// Returns the bytes of the longest form. Pieces of a file have to overlap by one byte less.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.forms.iter().map(String::len).max().unwrap_or_default()
    }

    /// Returns whether it may be part of a number.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        let is_of_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        self.forms.iter().all(|form| form.bytes().all(is_of_number))
    }

    /// Masks every occurrence of the value in `bytes`, and returns their ranges.
    pub fn mask_bytes(&self, bytes: &mut [u8]) -> Vec<Range<usize>> {
        let mut positions = Vec::new();
        for form in &self.forms {
            let mut from = 0;
            while let Some(at) = find(&bytes[from..], form.as_bytes()) {
                let place = from + at..from + at + form.len();
                from = place.end;
                bytes[place.clone()].fill(MASK);
                positions.push(place);
            }
        }
        positions
    }

    /// Returns whether the value is in `bytes`.
    #[must_use]
    pub fn occurs_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| find(bytes, form.as_bytes()).is_some())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Returns the text as JSON writes it between quotes.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_blanked_and_lengths_stay() {
        let secret = Secret::new(" pass\"word\nEND \n").unwrap();
        let once = r#"{"out":"pass\"word\nEND."}"#;
        let twice = serde_json::Value::from(once).to_string();
        for text in ["x pass\"word\nEND y".to_owned(), once.to_owned(), twice] {
            let mut bytes = text.clone().into_bytes();
            assert_eq!(secret.mask_bytes(&mut bytes).len(), 1);
            let blank = String::from_utf8(bytes).unwrap();
            assert!(!blank.contains("word") && blank.contains("***"), "{blank}");
            assert!(!text.starts_with('{') || serde_json::from_str::<serde_json::Value>(&blank).is_ok());
        }
        assert!(!secret.occurs_in(b"pass word END"));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_short_value_is_refused() {
        assert!(matches!(Secret::new("  abc  "), Err(ScrubError::TooShort { size_bytes: 3, .. })));
    }

    #[test]
    fn a_value_is_found_behind_its_own_beginnings() {
        let mut bytes = b"aaaaaaab aaaaaab".to_vec();
        assert_eq!(Secret::new("aaaaaab").unwrap().mask_bytes(&mut bytes).len(), 2);
        assert_eq!(bytes, b"a******* *******");
    }
}
