//! The whole file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::keys;
use super::names::Site;
use super::order::ended_before;
use super::reader::{Reader, Report, first_line};
use super::repeat::inside_loops;
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, Repair, Severity, line_and_column};
use crate::expression::TemplateKind;
use backstay_model::event::Access;

use crate::plan::{OutputSpec, PLAN_VERSION, Plan, Via};
use crate::yaml::{Edit, Intent, Kind, Node, Plain, judge, mend};

/// What `--agent NAME=…` puts in an agent's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentOverride {
    /// Another agent of the file, or a preset.
    Agent(String),
    /// A command, split like a shell would; the prompt comes on its stdin.
    Command(String),
}

/// What the check has to know of a preset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresetTraits {
    /// What it can be allowed.
    pub access: BTreeSet<Access>,
    /// How it can be given its prompt.
    pub vias: BTreeSet<Via>,
    /// Whether a model can be chosen.
    pub takes_model: bool,
    /// Whether it can be given further arguments.
    pub takes_args: bool,
    /// Whether it can go on with a session.
    pub can_resume: bool,
    /// Whether it can go on with a copy of one.
    pub can_fork: bool,
    /// What stands before the path of a file whose content its program adds to a prompt, where it does that.
    pub file_prefix: Option<String>,
}

/// What is wrong with what is said of the output of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingFault {
    /// Behind what in the JSON text: an offset in bytes; none where it is about all of it.
    pub at: Option<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

/// What is checked.
pub struct CheckInput<'a> {
    /// How the file is named in diagnostics; its stem is the workflow's name where the file has none.
    pub path: &'a str,
    /// The text of the file.
    pub text: &'a str,
    /// Reads a file that the workflow names, by its path relative to the workflow's file.
    pub read_file: &'a dyn Fn(&str) -> Result<String, std::io::Error>,
    /// Says what keeps a text from being a JSON Schema; nothing if it is one.
    pub schema_fault: &'a dyn Fn(&str) -> Option<String>,
    /// Says what is wrong with what an agent says of the output of its command, which is one line of JSON; nothing if all
    /// is well.
    pub reading_fault: &'a dyn Fn(&str) -> Option<ReadingFault>,
    /// Agents given at the start, by name.
    pub agents: BTreeMap<String, AgentOverride>,
    /// The presets that there are, by name.
    pub presets: BTreeMap<String, PresetTraits>,
}

/// A workflow that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What it means.
    pub plan: Plan,
    /// The agents that steps name in the file. Where `--agent` put another one in the place of one, the plan names that one.
    pub agents: BTreeSet<String>,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
}

/// Checks a workflow file.
///
/// # Errors
/// Every diagnostic, warnings included, in the order of the file, if at least one is an error.
pub fn check(input: &CheckInput<'_>) -> Result<Checked, Vec<Diagnostic>> {
    let mended = mend(input.text);
    let mut reader = Reader {
        source: &mended.text,
        file: input.path,
        diagnostics: Vec::new(),
        inputs: BTreeMap::new(),
        agents: BTreeMap::new(),
        ids: BTreeMap::new(),
        loops: BTreeSet::new(),
        workspaces: BTreeMap::new(),
        text_variables: Vec::new(),
        uses: Vec::new(),
        presets: &input.presets,
        specs: BTreeMap::new(),
        sessions: Vec::new(),
        strangers: BTreeMap::new(),
        edits: Vec::new(),
        repeated: BTreeMap::new(),
        told_keys: BTreeMap::new(),
        schema_fault: input.schema_fault,
        reading_fault: input.reading_fault,
        read_file: input.read_file,
    };
    let plan = mended.tree.as_ref().map(|tree| {
        let plan = reader.workflow(tree, input);
        reader.judge_edits(tree);
        plan
    });
    let mut diagnostics = reader.diagnostics;
    let original = |range: &Range<usize>| mended.original(input.text, range);
    for (index, places) in &reader.repeated {
        let lines = places.iter().map(|range| line_and_column(input.text, original(range).start).0);
        diagnostics[*index].note = Some(also_in(lines));
    }
    for diagnostic in &mut diagnostics {
        diagnostic.range = original(&diagnostic.range);
        if let Repair::Edit(fix) = &mut diagnostic.repair {
            *fix = Fix { range: original(&fix.range), replacement: std::mem::take(&mut fix.replacement) };
        }
    }
    diagnostics.extend(mended.traps.iter().map(|trap| Diagnostic {
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
    for diagnostic in &mut diagnostics {
        (diagnostic.line, diagnostic.column) = line_and_column(input.text, diagnostic.range.start);
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.range.start, diagnostic.code));
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
    /// Decides which edits `check --fix` makes.
    fn judge_edits(&mut self, tree: &Node) {
        let (indices, edits): (Vec<usize>, Vec<Edit>) = std::mem::take(&mut self.edits).into_iter().unzip();
        let verdicts = judge(self.source, tree, &edits);
        for ((index, edit), verdict) in indices.into_iter().zip(edits).zip(verdicts) {
            self.diagnostics[index].repair = match verdict {
                Ok(()) => Repair::Edit(edit.fix),
                Err(why) => Repair::Withheld(why),
            };
        }
    }

    fn workflow(&mut self, tree: &Node, input: &CheckInput<'_>) -> Plan {
        if !matches!(tree.kind, Kind::Map(_)) {
            self.say(
                Report::error(
                    codes::NOT_A_WORKFLOW,
                    &first_line(self.source, &tree.range),
                    "this is no workflow",
                )
                .hint("a workflow begins with `backstay: 1` and has `steps`"),
            );
        }
        let empty = Node { kind: Kind::Map(Vec::new()), range: tree.range.clone(), tag: None };
        let is_workflow = matches!(tree.kind, Kind::Map(_));
        let fields = self.fields(if is_workflow { tree } else { &empty }, &keys::WORKFLOW);
        let start = first_line(self.source, &tree.range);
        let is_block = !self.source[tree.range.clone()].starts_with('{');
        let line = self.source[..tree.range.start].rfind('\n').map_or(0, |at| at + 1);
        let (first, separator) = match is_block {
            true => (tree.range.start, format!("\n{}", &self.source[line..tree.range.start])),
            false => (tree.range.start + 1, ", ".to_owned()),
        };
        match fields.get("backstay") {
            _ if !is_workflow => {}
            None => self.say(
                Report::error(codes::NOT_A_WORKFLOW, &start, "the file does not say that it is a workflow")
                    .hint("begin it with `backstay: 1`")
                    .edit(
                        first..first,
                        format!("backstay: 1{separator}"),
                        Intent::FirstEntry { key: "backstay", value: "1" },
                    ),
            ),
            Some(node) if node.plain() != Some(Plain::Integer(1)) => self.say(
                Report::error(codes::NOT_A_WORKFLOW, &node.range, "this version reads `backstay: 1`").hint(
                    match node.text() {
                        Some("1") => "write the number without quotes:  backstay: 1",
                        _ => "write `backstay: 1`, or use a newer version",
                    },
                ),
            ),
            Some(_) => {}
        }
        let name = fields.get("name").and_then(|node| self.text(node, "`name`")).map(ToOwned::to_owned);
        if let Some(node) = fields.get("description") {
            self.text(node, "`description`");
        }
        let inputs = fields.get("inputs").map(|node| self.inputs(node)).unwrap_or_default();
        self.agents(fields.get("agents"), &input.agents);
        let env = fields.get("env").map(|node| self.env(node, &Site::Start)).unwrap_or_default();
        self.enter_environment(fields.get("env"));
        let mut steps = fields.get("steps").map(|node| self.steps(node, "`steps`")).unwrap_or_default();
        match fields.get("steps") {
            None if is_workflow => {
                self.say(Report::error(codes::MISSING_KEY, &start, "a workflow needs `steps`"));
            }
            Some(node) if matches!(&node.kind, Kind::List(items) if items.is_empty()) => {
                let report = Report::error(codes::MISSING_KEY, &node.range, "`steps` is empty");
                self.say(report.hint("a workflow needs a step, such as `- {id: build, run: make}`"));
            }
            _ => {}
        }
        let mut finally = fields.get("finally").map(|node| self.steps(node, "`finally`")).unwrap_or_default();
        self.workspaces(fields.entry("workspace"), &mut steps, &mut finally);
        let outputs = fields.get("outputs").map(|node| self.outputs(node)).unwrap_or_default();
        let budget = fields.get("budget").and_then(|node| self.budget(node));
        let loops = inside_loops(&self.loops, [steps.as_slice(), &finally]);
        let ended = ended_before(&steps, &finally);
        self.session_sources(&ended);
        self.names(&ended, &loops);
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
            let message = format!("{count} steps are more than {}", backstay_model::limits::STEPS_MAX);
            self.say(
                Report::error(codes::TOO_MANY_STEPS, &start, message)
                    .hint("put a part of them into a workflow of its own"),
            );
        }
        self.tags(tree);
        plan
    }

    /// Says every tag that nothing else has told of: YAML reads it, and it would mean nothing.
    fn tags(&mut self, node: &Node) {
        if let Some(tag) = &node.tag {
            let first = node.range.start.saturating_sub(tag.len() + 2);
            let is_told = self
                .diagnostics
                .iter()
                .any(|said| said.code == codes::TAG && (first..=node.range.end).contains(&said.range.start));
            if !is_told {
                let message = format!("the tag `{tag}` means nothing here");
                let range = first_line(self.source, &node.range);
                self.say(Report::error(codes::TAG, &range, message).hint("remove it, or quote the text"));
            }
        }
        match &node.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter().for_each(|item| self.tags(item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                self.tags(&entry.key);
                self.tags(&entry.value);
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
