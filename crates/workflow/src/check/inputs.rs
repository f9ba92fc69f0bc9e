//! `inputs`: their types and defaults.

use minijinja::Value;

use super::keys;
use super::reader::{Reader, Report};
use crate::codes;
use crate::plan::{InputSpec, InputType};
use crate::yaml::{Kind, Node, Plain, Style};

pub(super) const TYPES: &[(&str, InputType)] = &[
    ("string", InputType::String),
    ("number", InputType::Number),
    ("boolean", InputType::Boolean),
    ("list", InputType::List),
    ("object", InputType::Object),
    ("script", InputType::Script),
];

/// Types of other tools, each with our name for it.
const FOREIGN_TYPES: &[(&str, &str)] = &[
    ("int", "number"),
    ("integer", "number"),
    ("float", "number"),
    ("double", "number"),
    ("bool", "boolean"),
    ("str", "string"),
    ("text", "string"),
    ("choice", "string"),
    ("enum", "string"),
    ("array", "list"),
    ("map", "object"),
    ("dict", "object"),
    ("json", "object"),
];

impl Reader<'_> {
    pub(super) fn inputs(&mut self, node: &Node) -> Vec<InputSpec> {
        let mut inputs = Vec::new();
        for (name, entry) in self.entries(node, "`inputs`") {
            if !is_name(name) {
                let hint = format!("write `{}`", suggested_name(name));
                self.report(
                    Report::error(
                        codes::INVALID_ID,
                        &entry.key.range,
                        format!("`{name}` can not name an input"),
                    )
                    .hint(hint),
                );
                continue;
            }
            let input = self.input(name, &entry.value);
            self.inputs.insert(name.to_owned(), input.as_ref().map(|input| input.input_type));
            inputs.extend(input);
        }
        inputs
    }

    fn input(&mut self, name: &str, node: &Node) -> Option<InputSpec> {
        if node.plain() == Some(Plain::Nothing) {
            // `label:` alone declares a text that is required.
            let name = name.to_owned();
            return Some(InputSpec { name, input_type: InputType::String, default: None, description: None });
        }
        let fields = self.fields(node, &keys::INPUT);
        let input_type = match fields.get("type") {
            Some(node) => self.word_or_foreign(node, "`type`", TYPES, FOREIGN_TYPES)?,
            None => InputType::String,
        };
        let default = fields.get("default").and_then(|node| self.default(node, input_type));
        let description = fields
            .get("description")
            .and_then(|node| self.text(node, "`description`"))
            .map(ToOwned::to_owned);
        if let Some(required) = fields.get("required") {
            match required.plain() {
                Some(Plain::Boolean(true)) if fields.get("default").is_some() => self.report(
                    Report::error(
                        codes::CONFLICTING_KEYS,
                        &required.range,
                        "a required input has no default",
                    )
                    .hint("remove one of the two"),
                ),
                Some(Plain::Boolean(false)) if fields.get("default").is_none() => self.report(
                    Report::error(
                        codes::CONFLICTING_KEYS,
                        &required.range,
                        "an input that is not required needs a default",
                    )
                    .hint("add `default:`"),
                ),
                Some(Plain::Boolean(_)) => {}
                _ => self.wrong_type(required, "`required`", "a boolean"),
            }
        }
        Some(InputSpec { name: name.to_owned(), input_type, default, description })
    }

    fn default(&mut self, node: &Node, input_type: InputType) -> Option<Value> {
        match (input_type, node.plain()) {
            (InputType::String | InputType::Script, _) => {
                if self.doubtful_boolean(node, "this default") {
                    return None;
                }
                if node.text() == Some("") && node.plain() == Some(Plain::Text) {
                    return Some(Value::from(""));
                }
                self.text(node, "this default").map(Value::from)
            }
            (InputType::Number, Some(Plain::Integer(number))) => Some(Value::from(number)),
            (InputType::Number, Some(Plain::Float(number))) => Some(Value::from(number)),
            (InputType::Boolean, Some(Plain::Boolean(flag))) => Some(Value::from(flag)),
            (InputType::List, None) if matches!(node.kind, Kind::List(_)) => self.value(node),
            (InputType::Object, None) if matches!(node.kind, Kind::Map(_)) => self.value(node),
            (InputType::Boolean, _) => {
                self.boolean_default(node);
                None
            }
            _ => {
                let wanted = TYPES.iter().find(|(_, each)| *each == input_type).map_or("", |(word, _)| word);
                self.wrong_type(node, "the default of this input", &format!("a {wanted}"));
                None
            }
        }
    }

    fn boolean_default(&mut self, node: &Node) {
        let Kind::Scalar { text, style: Style::Plain, .. } = &node.kind else {
            return self.wrong_type(node, "the default of this input", "a boolean");
        };
        let meant = match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => "true",
            "no" | "off" | "n" => "false",
            _ => return self.wrong_type(node, "the default of this input", "a boolean"),
        };
        self.report(
            Report::error(codes::WRONG_TYPE, &node.range, format!("`{text}` is a text, not a boolean"))
                .hint(format!("write `{meant}`"))
                .fix(node, node.range.clone(), meant, meant),
        );
    }

    /// Any value, as an expression sees it.
    fn value(&mut self, node: &Node) -> Option<Value> {
        match &node.kind {
            Kind::Scalar { text, .. } => Some(match node.plain() {
                Some(Plain::Nothing) => Value::from(()),
                Some(Plain::Boolean(flag)) => Value::from(flag),
                Some(Plain::Integer(number)) => Value::from(number),
                Some(Plain::Float(number)) => Value::from(number),
                Some(Plain::Text) | None => Value::from(text.as_str()),
            }),
            Kind::List(items) => {
                let items: Option<Vec<Value>> = items.iter().map(|item| self.value(item)).collect();
                items.map(Value::from)
            }
            Kind::Map(_) => {
                let entries = self.entries(node, "this value");
                let pairs: Option<Vec<(&str, Value)>> = entries
                    .into_iter()
                    .map(|(key, entry)| self.value(&entry.value).map(|value| (key, value)))
                    .collect();
                pairs.map(Value::from_pairs)
            }
        }
    }
}

/// Whether `text` can be a name in an expression.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text like `text` that can be a name in an expression.
pub(super) fn suggested_name(text: &str) -> String {
    let mut name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    while name.starts_with(|c: char| c.is_ascii_digit() || c == '_') {
        name.remove(0);
    }
    if name.is_empty() { "step".to_owned() } else { name }
}
