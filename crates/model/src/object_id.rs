//! Ids of git's objects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits of an id by SHA-1 and by SHA-256.
const DIGITS: [usize; 2] = [40, 64];

/// The whole id of an object of git: 40 or 64 lower-case hexadecimal digits. It is never an option or an expression of git.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(String);

/// The text is not an id of git.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an object id of git, which has 40 or 64 hexadecimal digits")]
pub struct InvalidObjectId(pub String);

impl ObjectId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidObjectId;

    fn try_from(text: String) -> Result<ObjectId, InvalidObjectId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if DIGITS.contains(&text.len()) && text.bytes().all(is_digit) {
            Ok(ObjectId(text))
        } else {
            Err(InvalidObjectId(text))
        }
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<ObjectId, InvalidObjectId> {
        text.to_owned().try_into()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_is_nothing_but_digits() {
        for text in ["4b825dc642cb6eb9a060e54bf8d69288fbee4904", &"0a".repeat(32)] {
            assert_eq!(text.parse::<ObjectId>().unwrap().as_str(), text);
        }
        for text in ["", "HEAD", "--output=/tmp/x", "4b825dc", &"A".repeat(40), &"-".repeat(40)] {
            assert!(text.parse::<ObjectId>().is_err(), "{text}");
            assert!(serde_json::from_value::<ObjectId>(text.into()).is_err(), "{text}");
        }
    }
}
