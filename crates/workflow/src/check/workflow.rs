//! The whole file: its own keys, and the order in which all parts are checked.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::keys;
use super::order::Order;
use super::reader::{Fields, Reader, Report, first_line};
use super::references::Site;
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, Lines, Repair, Severity};
use crate::expression::TemplateKind;
use backstay_model::event::Access;

use crate::plan::{OutputSpec, PLAN_VERSION, Plan, Via};
use crate::yaml::{Edit, Intent, Kind, Node, Plain, recover, verify};

/// The replacement of an agent by `--agent NAME=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentOverride {
    /// Another agent of the file, or a preset.
    Agent(String),
    /// A command, split like a shell would; the prompt comes on its stdin.
    Command(String),
}

/// The abilities of a preset, as far as the check needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresetTraits {
    /// The access modes that it has.
    pub access: BTreeSet<Access>,
    /// The ways in which it takes its prompt.
    pub vias: BTreeSet<Via>,
    /// Whether it takes a model.
    pub takes_model: bool,
    /// Whether it takes further arguments.
    pub takes_args: bool,
    /// Whether it can resume a session.
    pub can_resume: bool,
    /// Whether it can resume a copy of a session.
    pub can_fork: bool,
    /// The sign before a path in a prompt by which its program adds the content of that file; none where it adds none.
    pub file_prefix: Option<String>,
}

/// The error of a description of a command's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingFault {
    /// The byte of the JSON text behind the wrong part; none where all of it is wrong.
    pub at: Option<usize>,
    /// The error, in one line.
    pub message: String,
    /// The way to correct it.
    pub hint: Option<String>,
}

/// A workflow file and the surroundings of its check.
pub struct CheckInput<'a> {
    /// The path of the file in diagnostics. Its stem is the workflow's name where the file has no `name`.
    pub path: &'a str,
    /// The text of the file.
    pub text: &'a str,
    /// Reads a file that the workflow names, by its path relative to the workflow's file.
    pub read_file: &'a dyn Fn(&str) -> Result<String, std::io::Error>,
    /// Returns the error of a text that is not a JSON Schema.
    pub schema_fault: &'a dyn Fn(&str) -> Option<String>,
    /// Returns the error of a description of a command's output, which is one line of JSON.
    pub reading_fault: &'a dyn Fn(&str) -> Option<ReadingFault>,
    /// The replacements of `--agent`, by the name of the replaced agent.
    pub agents: BTreeMap<String, AgentOverride>,
    /// The known presets, by name.
    pub presets: BTreeMap<String, PresetTraits>,
}

/// A workflow that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The plan of the file.
    pub plan: Plan,
    /// The agents that steps name in the file. In the plan the names are those of their replacements.
    pub agents: BTreeSet<String>,
    /// The warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Checks a workflow file.
///
/// # Errors
/// Every diagnostic, warnings included, in the order of the file, if at least one is an error.
pub fn check(input: &CheckInput<'_>) -> Result<Checked, Vec<Diagnostic>> {
    let recovered = recover(input.text);
    let mut reader = Reader {
        source: &recovered.text,
        file: input.path,
        diagnostics: Vec::new(),
        inputs: BTreeMap::new(),
        agents: BTreeMap::new(),
        ids: BTreeMap::new(),
        loops: BTreeSet::new(),
        workspaces: BTreeMap::new(),
        text_variables: Vec::new(),
        expressions: Vec::new(),
        presets: &input.presets,
        specs: BTreeMap::new(),
        sessions: Vec::new(),
        replaced_presets: BTreeMap::new(),
        lines: Lines::new(&recovered.text),
        tags: BTreeSet::new(),
        behind_stars: OnceCell::new(),
        groups_around: 0,
        compared: Cell::new(0),
        edits: Vec::new(),
        repeated: BTreeMap::new(),
        reported_keys: BTreeMap::new(),
        schema_fault: input.schema_fault,
        reading_fault: input.reading_fault,
        read_file: input.read_file,
    };
    let plan = recovered.tree.as_ref().map(|tree| {
        let plan = reader.workflow(tree, input);
        reader.verify_edits(tree);
        plan
    });
    let mut diagnostics = reader.diagnostics;
    let original = |range: &Range<usize>| recovered.original(input.text, range);
    let lines_of_file = Lines::new(input.text);
    for (index, places) in &reader.repeated {
        let lines = places.iter().map(|range| lines_of_file.line(original(range).start));
        diagnostics[*index].note = Some(also_in(lines));
    }
    for diagnostic in &mut diagnostics {
        diagnostic.range = original(&diagnostic.range);
        if let Repair::Edit(fix) = &mut diagnostic.repair {
            *fix = Fix { range: original(&fix.range), replacement: std::mem::take(&mut fix.replacement) };
        }
    }
    diagnostics.extend(recovered.traps.iter().map(|trap| Diagnostic {
        severity: Severity::Error,
        code: trap.code,
        message: trap.message.clone(),
        file: input.path.to_owned(),
        line: 0,
        column: 0,
        range: trap.range.clone(),
        note: trap.note.clone(),
        hint: trap.hint.clone(),
        repair: trap.repair.clone(),
    }));
    diagnostics.sort_by_key(|diagnostic| (diagnostic.range.start, diagnostic.code));
    set_lines_and_columns(&mut diagnostics, input.text, &lines_of_file);
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    match plan {
        Some(mut plan) if !failed => {
            let agents = plan.named_agents().map(ToOwned::to_owned).collect();
            plan.replace_agents(&input.agents);
            Ok(Checked { plan, agents, warnings: diagnostics })
        }
        _ => Err(diagnostics),
    }
}

impl Reader<'_> {
    /// Decides which edits `check --fix` makes: those that change only the value that they are for.
    fn verify_edits(&mut self, tree: &Node) {
        let (indices, edits): (Vec<usize>, Vec<Edit>) = std::mem::take(&mut self.edits).into_iter().unzip();
        let verdicts = verify(self.source, tree, &edits);
        for ((index, edit), verdict) in indices.into_iter().zip(edits).zip(verdicts) {
            self.diagnostics[index].repair = match verdict {
                Ok(()) => Repair::Edit(edit.fix),
                Err(why) => Repair::Withheld(why),
            };
        }
    }

    fn workflow(&mut self, tree: &Node, input: &CheckInput<'_>) -> Plan {
        if !matches!(tree.kind, Kind::Map(_)) {
            self.report(
                Report::error(
                    codes::NOT_A_WORKFLOW,
                    &first_line(self.source, &tree.range),
                    "the file is not a workflow",
                )
                .hint("a workflow begins with `backstay: 1` and has `steps`"),
            );
        }
        let empty = Node { kind: Kind::Map(Vec::new()), range: tree.range.clone(), tag: None };
        let is_workflow = matches!(tree.kind, Kind::Map(_));
        let fields = self.fields(if is_workflow { tree } else { &empty }, &keys::WORKFLOW);
        let start = first_line(self.source, &tree.range);
        if is_workflow {
            self.check_version(tree, &fields, &start);
        }
        let name = fields.get("name").and_then(|node| self.text(node, "`name`")).map(ToOwned::to_owned);
        if let Some(node) = fields.get("description") {
            self.text(node, "`description`");
        }
        let inputs = fields.get("inputs").map_or_else(Vec::new, |node| self.inputs(node));
        self.agents(fields.get("agents"), &input.agents);
        let env = fields.get("env").map_or_else(Vec::new, |node| self.env(node, &Site::Start));
        self.enter_environment(fields.get("env"));
        let mut steps = fields.get("steps").map_or_else(Vec::new, |node| self.steps(node, "`steps`"));
        match fields.get("steps") {
            None if is_workflow => {
                self.report(Report::error(codes::MISSING_KEY, &start, "a workflow needs `steps`"));
            }
            Some(node) if matches!(&node.kind, Kind::List(items) if items.is_empty()) => {
                let report = Report::error(codes::MISSING_KEY, &node.range, "`steps` is empty");
                self.report(report.hint("a workflow needs a step, such as `- {id: build, run: make}`"));
            }
            _ => {}
        }
        let mut finally = fields.get("finally").map_or_else(Vec::new, |node| self.steps(node, "`finally`"));
        self.workspaces(fields.entry("workspace"), &mut steps, &mut finally);
        let outputs = fields.get("outputs").map_or_else(Vec::new, |node| self.outputs(node));
        let budget = fields.get("budget").and_then(|node| self.budget(node));
        let loops = std::mem::take(&mut self.loops);
        let order = Order::new(&steps, &finally, &loops);
        self.check_session_sources(&order);
        self.check_references(&order);
        let plan = Plan {
            v: PLAN_VERSION,
            name: name.unwrap_or_else(|| stem(input.path)),
            inputs,
            agents: std::mem::take(&mut self.specs),
            env,
            steps,
            finally,
            outputs,
            budget,
        };
        let count = plan.walk().count();
        if count > backstay_model::limits::STEPS_MAX {
            let message = format!(
                "the workflow has {count} steps, and at most {} are allowed",
                backstay_model::limits::STEPS_MAX
            );
            self.report(
                Report::error(codes::TOO_MANY_STEPS, &start, message)
                    .hint("put a part of them into a workflow of its own"),
            );
        }
        self.check_tags(tree);
        plan
    }

    /// Checks `backstay: 1`, with which a file says that it is a workflow.
    fn check_version(&mut self, tree: &Node, fields: &Fields<'_>, start: &Range<usize>) {
        let is_block = !self.source[tree.range.clone()].starts_with('{');
        let line = self.source[..tree.range.start].rfind('\n').map_or(0, |at| at + 1);
        let (first, separator) = match is_block {
            true => (tree.range.start, format!("\n{}", &self.source[line..tree.range.start])),
            false => (tree.range.start + 1, ", ".to_owned()),
        };
        match fields.get("backstay") {
            None => self.report(
                Report::error(codes::NOT_A_WORKFLOW, start, "the file does not say that it is a workflow")
                    .hint("begin it with `backstay: 1`")
                    .edit(
                        first..first,
                        format!("backstay: 1{separator}"),
                        Intent::FirstEntry { key: "backstay", value: "1" },
                    ),
            ),
            Some(node) if node.plain() != Some(Plain::Integer(1)) => self.report(
                Report::error(codes::NOT_A_WORKFLOW, &node.range, "this version reads `backstay: 1`").hint(
                    match node.text() {
                        Some("1") => "write the number without quotes:  backstay: 1",
                        _ => "write `backstay: 1`, or use a newer version",
                    },
                ),
            ),
            Some(_) => {}
        }
    }

    /// Reports every tag that has no report yet: YAML reads it, and no tag has a meaning in a workflow.
    fn check_tags(&mut self, node: &Node) {
        if let Some(tag) = &node.tag {
            let first = node.range.start.saturating_sub(tag.len() + 2);
            if self.tags.range(first..=node.range.end).next().is_none() {
                let message = format!("the tag `{tag}` means nothing here");
                let range = first_line(self.source, &node.range);
                self.report(Report::error(codes::TAG, &range, message).hint("remove it, or quote the text"));
            }
        }
        match &node.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter().for_each(|item| self.check_tags(item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                self.check_tags(&entry.key);
                self.check_tags(&entry.value);
            }),
        }
    }

    fn outputs(&mut self, node: &Node) -> Vec<OutputSpec> {
        let mut outputs = Vec::new();
        for (name, entry) in self.entries(node, "`outputs`") {
            let Some(text) = self.text(&entry.value, "an output") else { continue };
            let value = self.template(&entry.value, text, TemplateKind::Text, &Site::End);
            outputs.extend(value.map(|value| OutputSpec { name: name.to_owned(), value }));
        }
        outputs
    }
}

/// Sets the line and the column of each diagnostic; they are in the order of the file.
fn set_lines_and_columns(diagnostics: &mut [Diagnostic], text: &str, lines: &Lines) {
    // Of many diagnostics in one long line each counts on from the one before.
    let (mut counted, mut column) = (0, 0);
    for diagnostic in diagnostics {
        let at = text.floor_char_boundary(diagnostic.range.start);
        let start = lines.start(at);
        if start > counted {
            (counted, column) = (start, 0);
        }
        column += text[counted..at].chars().count();
        counted = at;
        (diagnostic.line, diagnostic.column) = (lines.line(at), column + 1);
    }
}

/// `also in lines 3, 7`.
fn also_in(lines: impl Iterator<Item = usize>) -> String {
    let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!("also in {word} {}", lines.join(", "))
}

fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or(file).to_owned()
}
