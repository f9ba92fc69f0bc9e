//! Masking a value in JSON, which stays JSON of the same length.

use std::ops::Range;

use super::mask::{MASK, Secret};

/// The greatest depth of JSON inside JSON.
const DEPTH_MAX: usize = 6;
/// Hexadecimal texts of at least this length are ids.
const ID_CHARACTERS_MIN: usize = 32;
/// Replaces each digit of a number.
const MASK_DIGIT: u8 = b'1';

/// Where a JSON text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonText {
    /// Written by Backstay: names of fields, ids and numbers must stay.
    Internal,
    /// Written by others: every part of it may be the secret.
    External,
}

/// The value is at a place that must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Structural {
    /// In the name of a field.
    #[error("it is a part of the name of a field")]
    Name,
    /// In several fields and the text between them.
    #[error("it goes beyond the text of a field")]
    Across,
    /// In an id.
    #[error("it is a part of an id")]
    Id,
}

/// A range of bytes and its replacement.
#[derive(Clone, Debug)]
struct Edit {
    place: Range<usize>,
    fill: Fill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Stars,
    Digits,
}

impl Edit {
    fn apply(&self, bytes: &mut [u8]) {
        for byte in &mut bytes[self.place.clone()] {
            match self.fill {
                Fill::Stars => *byte = MASK,
                Fill::Digits if byte.is_ascii_digit() => *byte = MASK_DIGIT,
                Fill::Digits => {}
            }
        }
    }
}

impl Secret {
    /// Masks the value in a whole text, and returns how often it was there. JSON stays JSON of the same length: in strings its bytes become
    /// `*`, in numbers its digits become `1`. In an internal text numbers are not masked.
    ///
    /// # Errors
    /// [`Structural`] if the text is internal and has the value outside of its strings. Nothing was changed then.
    pub fn mask_json(&self, bytes: &mut [u8], names: JsonText) -> Result<u64, Structural> {
        let edits = match std::str::from_utf8(bytes) {
            Ok(text) => self.edits(text, names, 0)?,
            Err(_no_text) => self.byte_edits(bytes),
        };
        edits.iter().for_each(|edit| edit.apply(bytes));
        Ok(edits.len() as u64)
    }

    /// The same for a copy of a text.
    ///
    /// # Errors
    /// As [`mask_json`](Secret::mask_json).
    pub fn mask_json_text(&self, text: &str, names: JsonText) -> Result<(String, u64), Structural> {
        let mut bytes = text.as_bytes().to_vec();
        let count = self.mask_json(&mut bytes, names)?;
        // Whole characters are replaced by whole characters.
        Ok((String::from_utf8_lossy(&bytes).into_owned(), count))
    }

    fn edits(&self, text: &str, names: JsonText, depth: usize) -> Result<Vec<Edit>, Structural> {
        if depth > DEPTH_MAX || !is_json(text) {
            return Ok(self.byte_edits(text.as_bytes()));
        }
        let tokens = tokens(text.as_bytes());
        let mut edits = self.token_edits(text.as_bytes(), &tokens, names, depth)?;
        // The value may be JSON itself, and then goes over several tokens. What is found within one is none.
        let mut rest = text.as_bytes().to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut rest));
        let mut across = self.byte_edits(&rest);
        across.retain(|edit| {
            let is_within = |token: &Range<usize>| {
                let quote = usize::from(text.as_bytes()[token.start] == b'"');
                token.start + quote <= edit.place.start && edit.place.end <= token.end - quote
            };
            !tokens.iter().any(is_within)
        });
        if names == JsonText::Internal && !across.is_empty() {
            return Err(Structural::Across);
        }
        edits.append(&mut across);
        Ok(edits)
    }

    fn byte_edits(&self, bytes: &[u8]) -> Vec<Edit> {
        let positions = self.mask_bytes(&mut bytes.to_vec());
        positions.into_iter().map(|place| Edit { place, fill: Fill::Stars }).collect()
    }

    fn token_edits(
        &self,
        json: &[u8],
        tokens: &[Range<usize>],
        names: JsonText,
        depth: usize,
    ) -> Result<Vec<Edit>, Structural> {
        let mut edits = Vec::new();
        for token in tokens {
            if json[token.start] == b'"' {
                let string = Decoded::of(json, token.start + 1..token.end - 1);
                edits.extend(self.string_edits(&string, is_name(json, token.end), names, depth)?);
            } else if names == JsonText::External {
                let found = self.byte_edits(&json[token.clone()]).into_iter();
                edits.extend(found.map(|edit| Edit {
                    place: token.start + edit.place.start..token.start + edit.place.end,
                    fill: Fill::Digits,
                }));
            }
        }
        Ok(edits)
    }

    fn string_edits(
        &self,
        string: &Decoded,
        is_name: bool,
        names: JsonText,
        depth: usize,
    ) -> Result<Vec<Edit>, Structural> {
        let inner = self.edits(&string.text, JsonText::External, depth + 1)?;
        if names == JsonText::Internal && !inner.is_empty() {
            let is_all = inner.first().is_some_and(|edit| edit.place == (0..string.text.len()));
            if is_name {
                return Err(Structural::Name);
            }
            if is_id(&string.text) && !is_all {
                return Err(Structural::Id);
            }
        }
        Ok(inner
            .into_iter()
            .map(|edit| Edit {
                place: string.at[edit.place.start]..string.at[edit.place.end],
                fill: edit.fill,
            })
            .collect())
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"'])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Digests, the names of git's objects, and what is made of them. A value that is all of one may be a secret.
fn is_id(text: &str) -> bool {
    text.len() >= ID_CHARACTERS_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The strings and numbers of a valid JSON text, in order.
fn tokens(json: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < json.len() {
        let token = match json[at] {
            b'"' => string_at(json, at),
            b'-' | b'0'..=b'9' => number_at(json, at),
            _ => {
                at += 1;
                continue;
            }
        };
        at = token.end;
        found.push(token);
    }
    found
}

/// The string that begins at `start`, with its quotes.
fn string_at(json: &[u8], start: usize) -> Range<usize> {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    start..(at + 1).min(json.len())
}

fn number_at(json: &[u8], start: usize) -> Range<usize> {
    let length = json[start..]
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .count();
    start..start + length
}

/// Whether the string that ends before `end` is the name of a field.
fn is_name(json: &[u8], end: usize) -> bool {
    json[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// What a string of JSON says, and where each byte of it stands.
struct Decoded {
    text: String,
    /// For each byte of the text where what says it begins; at the end, where the string ends.
    at: Vec<usize>,
}

impl Decoded {
    /// Of the string between the quotes, which is of a valid JSON text.
    fn of(json: &[u8], between: Range<usize>) -> Decoded {
        let mut decoded = Decoded { text: String::new(), at: Vec::new() };
        let mut at = between.start;
        while at < between.end {
            let (said, length) = match json[at] {
                b'\\' => escaped(&json[at..between.end]),
                _ => plain(&json[at..between.end]),
            };
            for byte in 0..said.len() {
                // Within a character that is not escaped, each byte stands for itself.
                decoded.at.push(if json[at] == b'\\' { at } else { at + byte });
            }
            decoded.text.push_str(&said);
            at += length;
        }
        decoded.at.push(between.end);
        decoded
    }
}

/// The run of characters that stand for themselves.
fn plain(rest: &[u8]) -> (String, usize) {
    let length = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
    (String::from_utf8_lossy(&rest[..length]).into_owned(), length)
}

/// What an escape says, and its length.
fn escaped(rest: &[u8]) -> (String, usize) {
    let short = |said: char| (said.to_string(), 2);
    match rest.get(1) {
        Some(b'b') => short('\u{8}'),
        Some(b'f') => short('\u{c}'),
        Some(b'n') => short('\n'),
        Some(b'r') => short('\r'),
        Some(b't') => short('\t'),
        Some(b'u') => match (unit(rest, 2), unit(rest, 8).filter(|_| rest.get(6..8) == Some(br"\u"))) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                let number = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER).to_string(), 12)
            }
            (number, _) => {
                let said = number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                (said.to_string(), 6.min(rest.len()))
            }
        },
        Some(byte) => short(char::from(*byte)),
        None => (String::new(), 1),
    }
}

fn unit(rest: &[u8], at: usize) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(rest.get(at..at + 4)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(secret: &str, text: &str, names: JsonText) -> Result<String, Structural> {
        let mut bytes = text.as_bytes().to_vec();
        Secret::new(secret).unwrap().mask_json(&mut bytes, names)?;
        assert_eq!(bytes.len(), text.len(), "lengths stay");
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn in_a_text_of_ours_only_strings_are_blanked() {
        let text = r#"{"at": 1234567, "said":"is 1234567 and \u0031234567"}"#;
        assert_eq!(
            blanked("1234567", text, JsonText::Internal).unwrap(),
            r#"{"at": 1234567, "said":"is ******* and ************"}"#
        );
        assert_eq!(blanked("status", r#"{"status" :"x"}"#, JsonText::Internal), Err(Structural::Name));
        let id = r#"["0123456789abcdef0123456789abcdef"]"#;
        assert_eq!(blanked("456789", id, JsonText::Internal), Err(Structural::Id));
        let all = "0123456789abcdef0123456789abcdef";
        assert_eq!(blanked(all, id, JsonText::Internal).unwrap(), format!("[\"{}\"]", "*".repeat(32)));
    }

    #[test]
    fn somebodys_json_stays_json_wherever_the_value_stands() {
        let text =
            r#"{"secret-1":[12345678.5,"a\\nsecret-1"],"in":"{\"pin\":345678,\"x\":\"\\nsecret-1\"}"}"#;
        let after = blanked("345678", text, JsonText::External).unwrap();
        let after = blanked("secret-1", &after, JsonText::External).unwrap();
        assert_eq!(
            after,
            r#"{"********":[12111111.5,"a\\n********"],"in":"{\"pin\":111111,\"x\":\"\\n********\"}"}"#
        );
        assert!(serde_json::from_str::<serde_json::Value>(&after).is_ok());
    }

    #[test]
    fn a_value_that_begins_like_an_escape_does_not_tear_one_apart() {
        for text in [r#"{"said":"\nhunter2"}"#, r#"{"said":"{\"a\":\"\\nhunter2\"}"}"#] {
            assert_eq!(
                blanked("nhunter2", text, JsonText::Internal).unwrap(),
                text,
                "the value is not there"
            );
        }
        assert_eq!(
            blanked("nhunter2", r#"{"said":"\nnhunter2"}"#, JsonText::Internal).unwrap(),
            r#"{"said":"\n********"}"#
        );
    }

    #[test]
    fn a_value_that_is_json_itself_goes() {
        let secret = r#"{"key":"abc"}"#;
        assert_eq!(
            blanked(secret, &format!(" {secret} "), JsonText::External).unwrap(),
            format!(" {} ", "*".repeat(13))
        );
        let ours = serde_json::json!({ "inline": format!("x{secret}") }).to_string();
        assert_eq!(blanked(r#"line":"x"#, &ours, JsonText::Internal), Err(Structural::Across));
        assert_eq!(blanked(secret, &ours, JsonText::Internal).unwrap(), r#"{"inline":"x*****************"}"#);
    }
}
