//! Where a value stands in a line, and texts with such values in them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The first part of a path that begins at an element of the list that a rule goes through.
const EACH: &str = "each";

/// Where a value stands in a line: names of fields and numbers of elements from 0, with points between them, or a JSON
/// Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct FieldPath {
    parts: Vec<String>,
    written: String,
}

/// A text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no path to a value; write the names of fields with points between them, such as `item.text` or `choices.0.text`"
)]
pub(crate) struct NoPath(String);

/// A line, and the element at hand of the list in it that a rule goes through.
#[derive(Clone, Copy)]
pub(super) struct Scope<'v> {
    pub(super) line: &'v Value,
    pub(super) each: Option<&'v Value>,
}

impl TryFrom<String> for FieldPath {
    type Error = NoPath;

    fn try_from(written: String) -> Result<FieldPath, NoPath> {
        let parts: Vec<String> = match written.strip_prefix('/') {
            Some(pointer) => {
                pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
            }
            None => {
                let is_name = |part: &str| !part.is_empty() && !part.contains(['{', '}', '*', '[', ']', '$']);
                if !written.split('.').all(is_name) {
                    return Err(NoPath(written));
                }
                written.split('.').map(str::to_owned).collect()
            }
        };
        Ok(FieldPath { parts, written })
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> String {
        path.written
    }
}

impl FieldPath {
    /// As the configuration has it.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The value; none if there is none, or `null`.
    pub(super) fn find<'v>(&self, scope: Scope<'v>) -> Option<&'v Value> {
        let (from, parts) = match (scope.each, self.parts.split_first()) {
            (Some(element), Some((first, rest))) if first == EACH => (element, rest),
            _ => (scope.line, self.parts.as_slice()),
        };
        let found = parts.iter().try_fold(from, |value, part| match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(elements) => elements.get(part.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        found.filter(|value| !value.is_null())
    }
}

/// A text in which `{path}` stands for a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LineText {
    pub(super) pieces: Vec<TextPiece>,
    written: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextPiece {
    Text(String),
    Value(FieldPath),
}

/// A text with places for values cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoLineText {
    #[error("`{0}` has a `{{` without its `}}`; `{{item.command}}` stands for a value of the line")]
    Open(String),
    #[error(transparent)]
    Path(#[from] NoPath),
}

impl TryFrom<String> for LineText {
    type Error = NoLineText;

    fn try_from(written: String) -> Result<LineText, NoLineText> {
        let mut pieces = Vec::new();
        let mut rest = written.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((path, behind)) = behind.split_once('}') else {
                return Err(NoLineText::Open(written));
            };
            pieces.push(TextPiece::Text(before.to_owned()));
            pieces.push(TextPiece::Value(FieldPath::try_from(path.to_owned())?));
            rest = behind;
        }
        pieces.push(TextPiece::Text(rest.to_owned()));
        Ok(LineText { pieces, written })
    }
}

impl From<LineText> for String {
    fn from(text: LineText) -> String {
        text.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_fields_elements_and_names_with_points_in_them() {
        let line = serde_json::json!({"a": {"b": [1, {"c.d": "x", "e/f~": 2}], "n": null}, "each": 3});
        let element = serde_json::json!({"t": "y"});
        let find = |path: &str, each: Option<&Value>| {
            let path = FieldPath::try_from(path.to_owned()).unwrap();
            path.find(Scope { line: &line, each }).map(ToString::to_string)
        };
        for (path, expected) in [
            ("a.b.0", Some("1")),
            ("/a/b/1/c.d", Some("\"x\"")),
            ("/a/b/1/e~1f~0", Some("2")),
            ("a.b.2", None),
            ("a.b.-1", None),
            ("a.b.c", None),
            ("a.n", None),
            ("a.b.0.c", None),
            ("each", Some("3")),
            ("/", None),
        ] {
            assert_eq!(find(path, None).as_deref(), expected, "{path}");
        }
        assert_eq!(find("each.t", Some(&element)).as_deref(), Some("\"y\""));
        assert_eq!(find("a.b.0", Some(&element)).as_deref(), Some("1"), "the line is there too");
    }
}
