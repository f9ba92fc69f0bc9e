//! What all parts of the check share: the source, the diagnostics so far, mappings with known keys.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backstay_model::StepId;

use backstay_model::Code;

use super::keys::Keys;
use super::names::Uses;
use super::workflow::{PresetTraits, ReadingFault};
use super::workspace::Workspace;
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, Lines, Repair, Severity, Withheld, listed, nearest};
use crate::plan::{AgentSpec, InputType};
use crate::yaml::{Edit, Entry, Intent, Kind, Node, Style};

/// Something to say, before it has a file and a line.
pub(super) struct Report {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) note: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) repair: Proposal,
}

/// What `check --fix` may do, before it is judged.
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

    /// An edit after which the scalar `node` says `text`, and nothing else is changed.
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

/// Names that are compared with misspelled ones in one check: a large file may have a mistake in each step, and a proposal for
/// the first of them is enough.
const COMPARED_NAMES_MAX: usize = 50_000;

/// The state of one check.
pub(super) struct Reader<'a> {
    /// The text that is read.
    pub(super) source: &'a str,
    /// Where its lines begin.
    pub(super) lines: Lines,
    /// How the file is named.
    pub(super) file: &'a str,
    /// What was said so far.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where the diagnostics of tags stand.
    pub(super) tags: BTreeSet<usize>,
    /// The words behind `*`, which may be aliases; filled when the first anchor is looked at.
    pub(super) behind_stars: OnceCell<BTreeSet<&'a str>>,
    /// How many groups are around the step at hand.
    pub(super) groups_around: usize,
    /// How many names were compared with misspelled ones.
    pub(super) compared: Cell<usize>,
    /// The presets that were given at the start in the place of other presets, by the names that they take.
    pub(super) strangers: BTreeMap<String, String>,
    /// Edits that are to be judged, each with the index of its diagnostic.
    pub(super) edits: Vec<(usize, Edit)>,
    /// Further places of an unknown key, by the index of the diagnostic that tells the first.
    pub(super) repeated: BTreeMap<usize, Vec<Range<usize>>>,
    /// The unknown keys that were told, by what they are keys of, with the index of their diagnostic.
    pub(super) told_keys: BTreeMap<(&'static str, String), usize>,
    /// The declared inputs; `None` where the type could not be read.
    pub(super) inputs: BTreeMap<String, Option<InputType>>,
    /// The agents that steps may name; false for one whose definition is wrong.
    pub(super) agents: BTreeMap<String, bool>,
    /// Where the id of each step stands.
    pub(super) ids: BTreeMap<String, Range<usize>>,
    /// The steps with `repeat`, also those where it is wrong.
    pub(super) loops: BTreeSet<StepId>,
    /// The steps that say where they, and what is in them, work.
    pub(super) workspaces: BTreeMap<StepId, Workspace>,
    /// Variables of the environment that hold a text from a `${{ }}`, at each level around the step at hand.
    pub(super) text_variables: Vec<Vec<String>>,
    /// Every expression, for the check of names at the end.
    pub(super) uses: Vec<Uses>,
    /// The presets that there are.
    pub(super) presets: &'a BTreeMap<String, PresetTraits>,
    /// The agents of the plan: those of the file, those given at the start, and the presets that steps name.
    pub(super) specs: BTreeMap<String, AgentSpec>,
    /// Each step that works in another one's session: itself, the other, and where that stands.
    pub(super) sessions: Vec<(StepId, StepId, Range<usize>)>,
    /// Says what keeps a text from being a JSON Schema.
    pub(super) schema_fault: &'a dyn Fn(&str) -> Option<String>,
    /// Says what is wrong with what is said of the output of a command.
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
    pub(super) fn say(&mut self, report: Report) {
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

    /// The one of `known` that is nearest to `name`, if one is near and not too many names were compared before.
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
        self.say(Report::error(codes::WRONG_TYPE, &first_line(self.source, &node.range), message));
    }

    /// The entries of a mapping whose keys are free; says so if a key stands twice.
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
            let grown = rest.iter().take_while(|entry| self.is_grown(entry)).count();
            if grown > 0 {
                self.grown_keys(&rest[..grown], previous);
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
                let message = format!("`{key}` stands here a second time");
                self.say(
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
        self.say(
            Report::error(codes::ALIAS, &entry.key.range, "`<<` does not merge mappings here")
                .note("an alias stands for one whole value")
                .hint("write the keys out, or use an alias for each value:  env: *base"),
        );
    }

    /// Whether YAML made a key of what follows a comma, as of `b` in `{ask: a, b}`.
    fn is_grown(&self, entry: &Entry) -> bool {
        let after = self.source.get(entry.key.range.end..).unwrap_or_default().trim_start();
        matches!(&entry.key.kind, Kind::Scalar { style: Style::Plain, .. }) && after.starts_with([',', '}'])
    }

    fn grown_keys(&mut self, grown: &[Entry], previous: Option<&Entry>) {
        let [first, ..] = grown else { return };
        let last = grown.last().unwrap_or(first);
        let key = first.key.text().unwrap_or_default();
        let report =
            Report::error(codes::FLOW_COMMA, &first.key.range, format!("`{key}` became a key of its own"))
                .note("inside `{}` a comma ends the value before it");
        let value = previous.map(|entry| &entry.value);
        let report = match value {
            Some(value) if matches!(value.kind, Kind::Scalar { style: Style::Plain, .. }) => {
                let range = value.range.start..last.key.range.end;
                let text = self.source.get(range.clone()).unwrap_or_default();
                let quoted = crate::diagnostic::quoted(text);
                let (node, swallowed) = (value.range.clone(), grown.len());
                let intent = Intent::Value { node, text: text.to_owned(), swallowed };
                report.hint(format!("quote it:  {quoted}")).edit(range, quoted, intent)
            }
            _ => report.hint("put the text in quotes"),
        };
        self.say(report);
    }

    /// The entries of a mapping with known keys; says which keys are unknown.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, keys: &Keys) -> Fields<'n> {
        let mut entries = Vec::new();
        for (key, entry) in self.entries(node, keys.of) {
            if keys.known.contains(&key) {
                entries.push(entry);
            } else if let Some((_, instead)) = keys.later.iter().find(|(name, _)| *name == key) {
                self.say(
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

    /// Says that a key is unknown. What has one answer is told once, with all its places.
    fn unknown_key(&mut self, key: &str, entry: &Entry, keys: &Keys) {
        let told = (keys.of, key.to_owned());
        if let Some(index) = self.told_keys.get(&told) {
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
        self.told_keys.insert(told, self.diagnostics.len());
        self.say(report);
    }
}

/// The part of `range` in its first line, for a caret that is not too long.
pub(super) fn first_line(source: &str, range: &Range<usize>) -> Range<usize> {
    let text = source.get(range.clone()).unwrap_or_default();
    range.start..range.start + text.lines().next().unwrap_or_default().len()
}
