//! The state that all parts of the check share: the source, the diagnostics so far, mappings with known keys.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backstay_model::StepId;

use backstay_model::Code;

use super::keys::Keys;
use super::references::ExpressionText;
use super::workflow::{PresetTraits, ReadingFault};
use super::workspace::Workspace;
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, Lines, Repair, Severity, Withheld, listed, nearest};
use crate::plan::{AgentSpec, InputType};
use crate::yaml::{Edit, Entry, Intent, Kind, Node, Style};

/// A diagnostic without its file and line.
pub(super) struct Report {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) note: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) repair: Proposal,
}

/// A repair that `check --fix` may make, before it is verified.
pub(super) enum Proposal {
    Nothing,
    Withheld(Withheld),
    Edit(Edit),
}

impl Report {
    pub(super) fn error(code: Code, range: &Range<usize>, message: impl Into<String>) -> Report {
        let message = message.into();
        let range = range.clone();
        Report {
            severity: Severity::Error,
            code,
            range,
            message,
            note: None,
            hint: None,
            repair: Proposal::Nothing,
        }
    }

    pub(super) fn warning(code: Code, range: &Range<usize>, message: impl Into<String>) -> Report {
        Report { severity: Severity::Warning, ..Report::error(code, range, message) }
    }

    pub(super) fn note(self, note: impl Into<String>) -> Report {
        Report { note: Some(note.into()), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Report {
        Report { hint: Some(hint.into()), ..self }
    }

    pub(super) fn maybe_hint(self, hint: Option<String>) -> Report {
        Report { hint, ..self }
    }

    /// Adds an edit that changes the value of the scalar `node` to `text` and nothing else.
    pub(super) fn fix(
        self,
        node: &Node,
        range: Range<usize>,
        replacement: impl Into<String>,
        text: impl Into<String>,
    ) -> Report {
        let intent = Intent::Value { node: node.range.clone(), text: text.into(), swallowed: 0 };
        self.edit(range, replacement, intent)
    }

    pub(super) fn edit(self, range: Range<usize>, replacement: impl Into<String>, intent: Intent) -> Report {
        let fix = Fix { range, replacement: replacement.into() };
        Report { repair: Proposal::Edit(Edit { fix, intent }), ..self }
    }

    pub(super) fn withheld(self, why: Withheld) -> Report {
        Report { repair: Proposal::Withheld(why), ..self }
    }
}

/// Names that one check compares with misspelled names. A large file may have a misspelled name in each step: the first of
/// them get a proposal, the others none.
const COMPARED_NAMES_MAX: usize = 50_000;

/// The state of one check.
pub(super) struct Reader<'a> {
    /// The text that is read.
    pub(super) source: &'a str,
    /// The first byte of each of its lines.
    pub(super) lines: Lines,
    /// The path of the file, as the user gave it.
    pub(super) file: &'a str,
    /// The diagnostics so far.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The first byte of each reported tag.
    pub(super) tags: BTreeSet<usize>,
    /// The words behind `*`, which may be aliases; filled when the first anchor is looked at.
    pub(super) behind_stars: OnceCell<BTreeSet<&'a str>>,
    /// The number of groups around the current step.
    pub(super) groups_around: usize,
    /// The number of names that were compared with misspelled names.
    pub(super) compared: Cell<usize>,
    /// Presets that `--agent` puts in the place of other presets, by the names of the replaced agents.
    pub(super) replaced_presets: BTreeMap<String, String>,
    /// Edits that are not verified yet, each with the index of its diagnostic.
    pub(super) edits: Vec<(usize, Edit)>,
    /// Further places of an unknown key, by the index of the diagnostic of its first place.
    pub(super) repeated: BTreeMap<usize, Vec<Range<usize>>>,
    /// The reported unknown keys, each with the kind of its mapping and the index of its diagnostic.
    pub(super) reported_keys: BTreeMap<(&'static str, String), usize>,
    /// The declared inputs; `None` where the type could not be read.
    pub(super) inputs: BTreeMap<String, Option<InputType>>,
    /// The agents that steps may name; false for an agent with a wrong definition.
    pub(super) agents: BTreeMap<String, bool>,
    /// The bytes of each step's id.
    pub(super) ids: BTreeMap<String, Range<usize>>,
    /// The steps with `repeat`, correct or not.
    pub(super) loops: BTreeSet<StepId>,
    /// The steps with `workspace`.
    pub(super) workspaces: BTreeMap<StepId, Workspace>,
    /// The variables that hold a text from a `${{ }}`, for the workflow and each step around the current position.
    pub(super) text_variables: Vec<Vec<String>>,
    /// Every expression; their names are checked when all steps are known.
    pub(super) expressions: Vec<ExpressionText>,
    /// The known presets.
    pub(super) presets: &'a BTreeMap<String, PresetTraits>,
    /// The agents of the plan: those of the file, those given at the start, and the presets that steps name.
    pub(super) specs: BTreeMap<String, AgentSpec>,
    /// For each `session: {from: …}`: the step, the step that it names, and the bytes of that name.
    pub(super) sessions: Vec<(StepId, StepId, Range<usize>)>,
    /// Returns the error of a text that is not a JSON Schema.
    pub(super) schema_fault: &'a dyn Fn(&str) -> Option<String>,
    /// Returns the error of a description of a command's output.
    pub(super) reading_fault: &'a dyn Fn(&str) -> Option<ReadingFault>,
    /// Reads a prompt file.
    pub(super) read_file: &'a dyn Fn(&str) -> Result<String, std::io::Error>,
}

/// A mapping with known keys.
pub(super) struct Fields<'n> {
    entries: Vec<&'n Entry>,
    /// The bytes of the mapping.
    pub(super) range: Range<usize>,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key.text() == Some(key)).copied()
    }
}

impl Reader<'_> {
    pub(super) fn report(&mut self, report: Report) {
        if report.code == codes::TAG {
            self.tags.insert(report.range.start);
        }
        let repair = match report.repair {
            Proposal::Nothing => Repair::Unknown,
            Proposal::Withheld(why) => Repair::Withheld(why),
            Proposal::Edit(edit) => {
                self.edits.push((self.diagnostics.len(), edit));
                Repair::Unknown
            }
        };
        self.diagnostics.push(Diagnostic {
            severity: report.severity,
            code: report.code,
            message: report.message,
            file: self.file.to_owned(),
            // Set when all are known, in the text as it is in the file.
            line: 0,
            column: 0,
            range: report.range,
            note: report.note,
            hint: report.hint,
            repair,
        });
    }

    /// Returns the name of `known` that is most like `name`, if one is alike. Returns none after [`COMPARED_NAMES_MAX`]
    /// comparisons.
    pub(super) fn nearest<'k>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<&'k str> {
        let count = |_: &&str| self.compared.set(self.compared.get() + 1);
        let is_affordable = self.compared.get() < COMPARED_NAMES_MAX;
        is_affordable.then(|| nearest(name, known.into_iter().inspect(count))).flatten()
    }

    pub(super) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} is {wanted}, this is {}", node.describe());
        self.report(Report::error(codes::WRONG_TYPE, &first_line(self.source, &node.range), message));
    }

    /// Reads the entries of a mapping with free keys. Reports a key that stands twice.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, &'n Entry)> {
        let Kind::Map(entries) = &node.kind else {
            if !(node.text() == Some("") && node.plain().is_some()) {
                self.wrong_type(node, what, "a mapping");
            }
            return Vec::new();
        };
        let mut known: Vec<(&str, &Entry)> = Vec::new();
        let mut first_of: BTreeMap<&str, &Entry> = BTreeMap::new();
        let mut rest = entries.as_slice();
        let mut previous: Option<&Entry> = None;
        while let Some((entry, others)) = rest.split_first() {
            let grown = rest.iter().take_while(|entry| self.is_split_off(entry)).count();
            if grown > 0 {
                self.split_off_keys(&rest[..grown], previous);
                rest = &rest[grown..];
                continue;
            }
            rest = others;
            previous = Some(entry);
            let Some(key) = entry.key.text() else {
                self.wrong_type(&entry.key, "a key", "a text");
                continue;
            };
            if key == "<<" {
                self.merge_key(entry);
                continue;
            }
            if let Some(first) = first_of.get(key) {
                let line = self.lines.line(first.key.range.start);
                let message = format!("the key `{key}` is here a second time");
                self.report(
                    Report::error(codes::DUPLICATE_KEY, &entry.key.range, message)
                        .hint(format!("the first is in line {line}; remove one of them")),
                );
                continue;
            }
            first_of.insert(key, entry);
            known.push((key, entry));
        }
        known
    }

    /// `<<: *base`: not in YAML since version 1.2.
    fn merge_key(&mut self, entry: &Entry) {
        self.report(
            Report::error(codes::ALIAS, &entry.key.range, "`<<` does not merge mappings here")
                .note("an alias stands for one whole value")
                .hint("write the keys out, or use an alias for each value:  env: *base"),
        );
    }

    /// Whether YAML made a key of what follows a comma, as of `b` in `{ask: a, b}`.
    fn is_split_off(&self, entry: &Entry) -> bool {
        let after = crate::text::part(self.source, entry.key.range.end..).trim_start();
        matches!(&entry.key.kind, Kind::Scalar { style: Style::Plain, .. }) && after.starts_with([',', '}'])
    }

    fn split_off_keys(&mut self, grown: &[Entry], previous: Option<&Entry>) {
        let [first, ..] = grown else { return };
        let last = grown.last().unwrap_or(first);
        let key = first.key.text().unwrap_or("");
        let report =
            Report::error(codes::FLOW_COMMA, &first.key.range, format!("`{key}` became a key of its own"))
                .note("inside `{}` a comma ends the value before it");
        let value = previous.map(|entry| &entry.value);
        let report = match value {
            Some(value) if matches!(value.kind, Kind::Scalar { style: Style::Plain, .. }) => {
                let range = value.range.start..last.key.range.end;
                let text = crate::text::part(self.source, range.clone());
                let quoted = crate::diagnostic::quoted(text);
                let (node, swallowed) = (value.range.clone(), grown.len());
                let intent = Intent::Value { node, text: text.to_owned(), swallowed };
                report.hint(format!("quote it:  {quoted}")).edit(range, quoted, intent)
            }
            _ => report.hint("put the text in quotes"),
        };
        self.report(report);
    }

    /// Reads the entries of a mapping with known keys. Reports unknown keys.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, keys: &Keys) -> Fields<'n> {
        let mut entries = Vec::new();
        for (key, entry) in self.entries(node, keys.of) {
            if keys.known.contains(&key) {
                entries.push(entry);
            } else if let Some((_, instead)) = keys.later.iter().find(|(name, _)| *name == key) {
                self.report(
                    Report::error(
                        codes::NOT_SUPPORTED,
                        &entry.key.range,
                        format!("`{key}` of {} is not supported yet in this version", keys.of),
                    )
                    .hint(format!("until then: {instead}")),
                );
            } else {
                self.unknown_key(key, entry, keys);
            }
        }
        Fields { entries, range: node.range.clone() }
    }

    /// Reports an unknown key: once for each kind of mapping, with all its places.
    fn unknown_key(&mut self, key: &str, entry: &Entry, keys: &Keys) {
        let told = (keys.of, key.to_owned());
        if let Some(index) = self.reported_keys.get(&told) {
            self.repeated.entry(*index).or_default().push(entry.key.range.clone());
            return;
        }
        let report =
            Report::error(codes::UNKNOWN_KEY, &entry.key.range, format!("{} has no key `{key}`", keys.of));
        let all = keys.known.iter().copied().chain(keys.later.iter().map(|(name, _)| *name));
        let report = match (keys.answer(key), nearest(key, all)) {
            (Some(answer), _) => report.hint(answer),
            (None, Some(near)) => report.hint(format!("did you mean `{near}`?")),
            (None, None) => report.hint(format!("its keys are {}", listed(keys.known.iter().copied()))),
        };
        self.reported_keys.insert(told, self.diagnostics.len());
        self.report(report);
    }
}

/// The part of `range` in its first line, so that the carets below it stay in one line.
pub(super) fn first_line(source: &str, range: &Range<usize>) -> Range<usize> {
    let line = crate::text::line(crate::text::part(source, range.clone()));
    range.start..range.start + line.len()
}
