//! `stream`, `lines` and `signs` of an agent: they describe the output of its command, as a preset does.

use std::ops::Range;

use super::keys::READING_KEYS;
use super::reader::{Fields, Reader, Report, first_line};
use crate::codes;
use crate::expression::{Template, interpolations};
use crate::yaml::{Kind, Node, Plain};

/// Nodes as one line of JSON, with the place in the file of each part of it.
#[derive(Default)]
struct AsJson {
    text: String,
    /// For each part of `text`: the offset of its end, and its bytes in the file. In the order of the offsets.
    places: Vec<(usize, Range<usize>)>,
}

impl AsJson {
    fn scalar(&mut self, node: &Node, json: &str) {
        self.text.push_str(json);
        self.places.push((self.text.len(), node.range.clone()));
    }

    /// The bytes in the file of the part before the offset `at`.
    fn place(&self, at: usize) -> Option<Range<usize>> {
        let before = self.places.partition_point(|(end, _)| *end <= at);
        self.places.get(before.saturating_sub(1)).map(|(_, range)| range.clone())
    }
}

impl Reader<'_> {
    /// The description of the output in `fields` as one line of JSON; `Some(None)` without a description, `None` after an error.
    pub(super) fn reading(&mut self, fields: &Fields<'_>) -> Option<Option<String>> {
        let told: Vec<_> = READING_KEYS.iter().filter_map(|key| fields.entry(key)).collect();
        let Some(first) = told.first() else { return Some(None) };
        let mut json = AsJson::default();
        json.text.push('{');
        for (index, entry) in told.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            json.text.push_str(separator);
            json.scalar(&entry.key, &quoted(entry.key.text()?));
            json.text.push(':');
            self.as_json(&entry.value, &mut json)?;
        }
        json.text.push('}');
        let Some(fault) = (self.reading_fault)(&json.text) else { return Some(Some(json.text)) };
        let range = fault.at.and_then(|at| json.place(at)).unwrap_or_else(|| first.key.range.clone());
        let range = first_line(self.source, &range);
        self.report(Report::error(codes::READING, &range, fault.message).maybe_hint(fault.hint));
        None
    }

    fn as_json(&mut self, node: &Node, json: &mut AsJson) -> Option<()> {
        match &node.kind {
            Kind::Scalar { text, .. } => {
                if !interpolations(text).is_empty() {
                    let message = "`${{ }}` has no value where the output of a command is described";
                    let report = Report::error(codes::READING, &node.range, message);
                    self.report(report.hint("write the text itself"));
                    return None;
                }
                let written = match node.plain() {
                    Some(Plain::Nothing) => "null".to_owned(),
                    Some(Plain::Boolean(flag)) => flag.to_string(),
                    Some(Plain::Integer(number)) => number.to_string(),
                    Some(Plain::Float(number)) => number.to_string(),
                    Some(Plain::Text) | None => quoted(text),
                };
                json.scalar(node, &written);
            }
            Kind::List(items) => {
                json.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    json.text.push_str(if index == 0 { "" } else { "," });
                    self.as_json(item, json)?;
                }
                json.scalar(node, "]");
            }
            Kind::Map(_) => {
                json.text.push('{');
                for (index, (key, entry)) in self.entries(node, "this").into_iter().enumerate() {
                    json.text.push_str(if index == 0 { "" } else { "," });
                    json.scalar(&entry.key, &quoted(key));
                    json.text.push(':');
                    self.as_json(&entry.value, json)?;
                }
                json.scalar(node, "}");
            }
        }
        Some(())
    }

    /// Reports a program of `command` that an expression names: the record of the run names the program.
    pub(super) fn expect_program(&mut self, node: Option<&Node>, command: &[Template]) -> Option<()> {
        let program = command.first()?;
        if interpolations(&program.source).is_empty() {
            return Some(());
        }
        let range = node.map_or(0..0, |node| first_line(self.source, &node.range));
        let message = "the program of a command whose output is described is named by a value";
        let report = Report::error(codes::READING, &range, message);
        self.report(report.hint(
            "name it here, and give the value as an argument:  command: [./start, \"${{ inputs.tool }}\"]",
        ));
        None
    }

    /// Reports keys of `fields` that describe the output of a preset: the preset already does.
    pub(super) fn refuse_with_preset(&mut self, fields: &Fields<'_>, preset: &str) {
        for key in READING_KEYS {
            let Some(entry) = fields.entry(key) else { continue };
            let message =
                format!("`{key}` belongs to a `command`; the preset `{preset}` knows its own output");
            let hint = format!(
                "change it under `[agents.{preset}]` in ~/.config/backstay/config.toml, or remove it"
            );
            self.report(Report::error(codes::CONFLICTING_KEYS, &entry.key.range, message).hint(hint));
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
