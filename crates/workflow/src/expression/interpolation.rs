//! Finds each `${{ }}` in a text.

use std::ops::Range;

/// One `${{ }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpolation {
    /// The bytes from `$` to the last brace.
    pub(crate) outer: Range<usize>,
    /// The bytes between the braces.
    pub(crate) inner: Range<usize>,
}

/// Every `${{ }}` of `text`, in order. One without an end is left out.
pub(crate) fn interpolations(text: &str) -> Vec<Interpolation> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("${{").map(|offset| at + offset) {
        match end(text, start + 3) {
            Some(end) => {
                found.push(Interpolation { outer: start..end + 2, inner: start + 3..end });
                at = end + 2;
            }
            None => break,
        }
    }
    found
}

/// Returns the first byte of the `}}` that ends the expression at `at`: not in a string, not inside other braces.
fn end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_u32;
    let mut quote = None;
    let mut index = at;
    while index < bytes.len() {
        let byte = bytes[index];
        match (quote, byte) {
            (Some(_), b'\\') => index += 1,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{' | b'[' | b'(') => depth += 1,
            (None, b'}') if depth == 0 && bytes.get(index + 1) == Some(&b'}') => return Some(index),
            (None, b'}' | b']' | b')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        index += 1;
    }
    None
}
