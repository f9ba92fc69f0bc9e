//! The shape that a step's output is to have: a JSON Schema.

use jsonschema::Validator;
use serde_json::Value;

/// Problems of one output that are told.
const PROBLEMS_MAX: usize = 3;
/// Characters of one problem that are told.
const PROBLEM_CHARS_MAX: usize = 300;

/// A JSON Schema. It stands for itself: what it refers to is in it.
#[derive(Debug)]
pub(crate) struct Shape(Validator);

/// A text is no JSON Schema.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShapeError {
    /// It is no JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON and no schema.
    #[error("{0}")]
    Schema(String),
}

impl Shape {
    /// The schema that `text` is.
    ///
    /// # Errors
    /// [`ShapeError`] if it is none, or refers to something outside of itself.
    pub(crate) fn of(text: &str) -> Result<Shape, ShapeError> {
        let schema: Value = serde_json::from_str(text)?;
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| ShapeError::Schema(cut(&error.to_string())))?;
        Ok(Shape(validator))
    }

    /// Says what of `json`, the text of one JSON value, does not have the shape; nothing if all has.
    ///
    /// # Errors
    /// `json` is no JSON.
    pub(crate) fn problems(&self, json: &str) -> Result<Option<String>, serde_json::Error> {
        let value: Value = serde_json::from_str(json)?;
        let told: Vec<String> = self
            .0
            .iter_errors(&value)
            .take(PROBLEMS_MAX)
            .map(|error| match error.instance_path().as_str() {
                "" => cut(&error.to_string()),
                path => format!("{path}: {}", cut(&error.to_string())),
            })
            .collect();
        Ok((!told.is_empty()).then(|| told.join("; ")))
    }
}

/// What keeps `text` from being a JSON Schema that stands for itself; nothing if it is one.
#[must_use]
pub fn schema_fault(text: &str) -> Option<String> {
    Shape::of(text).err().map(|error| error.to_string())
}

fn cut(text: &str) -> String {
    text.chars().take(PROBLEM_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r##"{"type": "object", "properties": {"blocking": {"type": "integer"},
        "who": {"$ref": "#/$defs/name"}}, "required": ["blocking"], "$defs": {"name": {"type": "string"}}}"##;

    #[test]
    fn what_has_not_the_shape_is_told_by_its_place() {
        let shape = Shape::of(SCHEMA).unwrap();
        let told = |json: &str| shape.problems(json).unwrap();
        assert_eq!(told(r#"{"blocking": 1, "who": "ada"}"#), None);
        assert_eq!(told("{}").as_deref(), Some("\"blocking\" is a required property"));
        assert_eq!(
            told(r#"{"blocking": "1", "who": 2}"#).as_deref(),
            Some("/blocking: \"1\" is not of type \"integer\"; /who: 2 is not of type \"string\"")
        );
        assert!(shape.problems("{").is_err());
    }

    #[test]
    fn what_is_no_schema_is_refused_and_nothing_outside_is_read() {
        for text in [
            "{",
            r#"{"type": "thing"}"#,
            r#"{"$ref": "file:///etc/hosts"}"#,
            r#"{"$ref": "https://example.org/s"}"#,
        ] {
            assert!(Shape::of(text).is_err(), "{text}");
        }
    }
}
