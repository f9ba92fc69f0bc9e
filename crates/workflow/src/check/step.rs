//! One step, and lists of steps.

use std::ops::Range;

use backstay_model::StepId;
use backstay_model::event::Access;

use super::keys;
use super::reader::{Fields, Reader, Report, first_line};
use super::references::Site;
use crate::codes;
use crate::expression::{Expression, SourceError, Template, TemplateKind, interpolations};
use crate::plan::{
    AfterCrash, ExitCodes, GROUP_DEPTH_MAX, OutputFormat, RetryClass, RetryPolicy, Step, Verb,
};
use crate::yaml::{Entry, Kind, Node, Plain};

const VERBS: &[&str] = &["run", "command", "agent", "steps"];
const LATER_VERBS: &[&str] = &["ask", "workflow"];
const AGENT_TIMEOUT_MS: u64 = 2 * 3_600_000;
pub(super) const SHELL: &[&str] = &["bash", "--noprofile", "--norc", "-eo", "pipefail"];
const OUTPUT: &[(&str, OutputFormat)] = &[("text", OutputFormat::Text), ("json", OutputFormat::Json)];
/// Backstay does not limit what a script writes, so `full` would be the same as `write`.
const ACCESS_OF_SCRIPTS: &[(&str, Access)] = &[("read", Access::Read), ("write", Access::Write)];
/// Keys that belong to one verb.
const KEYS_OF_VERBS: &[(&str, &str)] = &[
    ("shell", "run"),
    ("prompt", "agent"),
    ("prompt_file", "agent"),
    ("session", "agent"),
    ("on_limit", "agent"),
    ("max_wait", "agent"),
    ("schema", "agent"),
];

/// A step whose `needs` are not resolved yet.
pub(super) struct Draft {
    /// Its id; none if it has no valid one.
    pub(super) id: Option<StepId>,
    /// The step; none if its id or its verb is wrong.
    pub(super) step: Option<Step>,
    /// Its `needs` with their bytes; none if the file does not say them.
    pub(super) needs: Option<Vec<(StepId, Range<usize>)>>,
}

/// The default retries of an agent with a preset: its provider may be unreachable for a while.
fn network_retries() -> RetryPolicy {
    RetryPolicy {
        retries_max: 3,
        errors: vec![RetryClass::Network],
        backoff_base_ms: 10_000,
        backoff_max_ms: 120_000,
    }
}

impl Step {
    /// A step about which the file says nothing else.
    pub(super) fn bare(id: StepId, verb: Verb) -> Step {
        Step {
            id,
            verb,
            needs: Vec::new(),
            condition: None,
            env: Vec::new(),
            timeout_ms: None,
            idle_timeout_ms: None,
            output: OutputFormat::default(),
            accept_exit: ExitCodes::default(),
            after_crash: AfterCrash::Ask,
            retry: RetryPolicy::default(),
            repeat: None,
            schema: None,
            reads_only: false,
            workspace: None,
        }
    }

    /// A placeholder for a step with a wrong verb: it keeps the order of the other steps. The file has an error, so no run gets
    /// this step.
    pub(super) fn unreadable(id: StepId) -> Step {
        Step::bare(id, Verb::Group { steps: Vec::new() })
    }
}

impl Reader<'_> {
    pub(super) fn steps(&mut self, node: &Node, what: &str) -> Vec<Step> {
        let Some(items) = self.list(node, what) else { return Vec::new() };
        let drafts = items.iter().flat_map(|item| self.step(item)).collect();
        self.resolve(drafts)
    }

    /// Reads one step. The step that makes its worktree, if it has one, stands before it.
    fn step(&mut self, node: &Node) -> Vec<Draft> {
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong_type(node, "a step", "a mapping");
            return Vec::new();
        }
        let fields = self.fields(node, &keys::STEP);
        let id = self.id(node, &fields);
        let site = id.as_ref().map_or(Site::Unknown, |id| Site::Step(id.clone()));
        self.enter_environment(fields.get("env"));
        let verb = self.verb(node, &fields, &site);
        let is_agent = fields.get("agent").is_some();
        let is_group = fields.get("steps").is_some();
        if is_group {
            self.refuse_on_groups(&fields);
        }
        let needs = fields.get("needs").map(|node| self.needs(node));
        let condition = fields.get("if").and_then(|node| self.condition(node, "`if`", &site));
        let env = fields.get("env").map_or_else(Vec::new, |node| self.env(node, &site));
        let timeout = fields.get("timeout").and_then(|node| self.duration(node, "`timeout`"));
        let idle_timeout_ms =
            fields.get("idle_timeout").and_then(|node| self.duration(node, "`idle_timeout`"));
        let output =
            fields.get("output").and_then(|node| self.word(node, "`output`", OUTPUT)).unwrap_or_default();
        let accept_exit =
            fields.get("accept_exit").and_then(|node| self.exit_codes(node)).unwrap_or_default();
        let reads_only = self.reads_only(&fields, verb.as_ref());
        let default = match (is_agent || is_group, reads_only) {
            (true, _) => AfterCrash::Resume,
            (false, true) => AfterCrash::Rerun,
            (false, false) => AfterCrash::Ask,
        };
        let after_crash =
            fields.get("after_crash").and_then(|node| self.after_crash(node, &site)).unwrap_or(default);
        let schema = fields.get("schema").and_then(|node| self.schema(node, fields.entry("output")));
        let is_read = verb.as_ref().is_some_and(|verb| self.has_described_output(verb));
        let default = if is_read { network_retries() } else { RetryPolicy::default() };
        let retry = fields.get("retry").and_then(|node| self.retry(node)).unwrap_or(default);
        let repeat = self.repeat(&fields, id.as_ref(), verb.as_ref());
        if let Some(description) = fields.get("description") {
            self.text(description, "`description`");
        }
        let step = id.clone().zip(verb).map(|(id, verb)| Step {
            id,
            verb,
            needs: Vec::new(),
            condition,
            env,
            timeout_ms: timeout.or(is_agent.then_some(AGENT_TIMEOUT_MS)),
            idle_timeout_ms,
            output: if schema.is_some() { OutputFormat::Json } else { output },
            accept_exit,
            after_crash,
            retry,
            repeat,
            schema,
            reads_only,
            workspace: None,
        });
        let mut draft = Draft { id, step, needs };
        let maker = fields.entry("workspace").and_then(|entry| self.workspace_of_step(entry, &mut draft));
        self.text_variables.pop();
        maker.into_iter().chain([draft]).collect()
    }

    /// Whether `access: read` promises that the step changes nothing in its folder.
    fn reads_only(&mut self, fields: &Fields<'_>, verb: Option<&Verb>) -> bool {
        let Some(entry) = fields.entry("access") else { return false };
        match verb {
            Some(Verb::Agent { options, .. }) => options.access == Access::Read,
            Some(Verb::Run { .. } | Verb::Command { .. }) => {
                self.word(&entry.value, "`access` of a script", ACCESS_OF_SCRIPTS) == Some(Access::Read)
            }
            Some(Verb::Group { .. } | Verb::Worktree(_)) => {
                let report = Report::error(
                    codes::CONFLICTING_KEYS,
                    &entry.key.range,
                    "`access` belongs to single steps",
                );
                self.report(report.hint("write it at each step of the group"));
                false
            }
            None => false,
        }
    }

    fn refuse_on_groups(&mut self, fields: &Fields<'_>) {
        for key in ["timeout", "retry", "idle_timeout", "output", "accept_exit", "after_crash"] {
            let Some(entry) = fields.entry(key) else { continue };
            let message = format!("`{key}` on a group is not supported yet in this version");
            self.report(
                Report::error(codes::NOT_SUPPORTED, &entry.key.range, message)
                    .hint("until then: write it at each step of the group"),
            );
        }
    }

    fn id(&mut self, step: &Node, fields: &Fields<'_>) -> Option<StepId> {
        let Some(node) = fields.get("id") else {
            if has_key(step, |key| key == "name" || key == "title") {
                return None; // It is told there what names a step.
            }
            let range = first_line(self.source, &fields.range);
            self.report(
                Report::error(codes::MISSING_KEY, &range, "a step needs an `id`")
                    .hint("for example `id: build`"),
            );
            return None;
        };
        let text = self.text(node, "`id`")?;
        let Ok(id) = text.parse::<StepId>() else {
            self.report(
                Report::error(
                    codes::INVALID_ID,
                    &node.range,
                    format!("`{text}` can not be the id of a step"),
                )
                .note("letters a to z, digits and _, at most 64")
                .hint(format!("write `{}`", super::inputs::suggested_name(text))),
            );
            return None;
        };
        if let Some(first) = self.ids.get(text) {
            let line = self.lines.line(first.start);
            self.report(
                Report::error(codes::DUPLICATE_ID, &node.range, format!("another step has the id `{text}`"))
                    .hint(format!("it is in line {line}; ids are unique in the file, groups included")),
            );
            return None;
        }
        self.ids.insert(text.to_owned(), node.range.clone());
        Some(id)
    }

    fn verb(&mut self, node: &Node, fields: &Fields<'_>, site: &Site) -> Option<Verb> {
        let there: Vec<&str> = VERBS.iter().copied().filter(|verb| fields.get(verb).is_some()).collect();
        let is_reported = |key: &str| LATER_VERBS.contains(&key) || keys::FOREIGN_VERBS.contains(&key);
        match there.as_slice() {
            [] if has_key(node, is_reported) => return None,
            [] => {
                let range = fields.entry("id").map_or(&fields.range, |entry| &entry.value.range);
                let range = first_line(self.source, range);
                let report = Report::error(codes::NO_VERB, &range, "the step does nothing");
                let hint = if fields.get("prompt").is_some() || fields.get("prompt_file").is_some() {
                    "say which agent gets the prompt: `agent: …`"
                } else {
                    "give it one of `run`, `command`, `agent`, `steps`"
                };
                self.report(report.hint(hint));
                return None;
            }
            [_] => {}
            [first, second, ..] => {
                let range = fields.entry(second).map_or(0..0, |entry| entry.key.range.clone());
                self.report(
                    Report::error(
                        codes::TWO_VERBS,
                        &range,
                        format!("the step has both `{first}` and `{second}`"),
                    )
                    .hint("make two steps of it"),
                );
                return None;
            }
        }
        for (key, verb) in KEYS_OF_VERBS {
            if let Some(entry) = fields.entry(key).filter(|_| there != [*verb]) {
                let message = format!("`{key}` belongs to `{verb}`");
                self.report(
                    Report::error(codes::CONFLICTING_KEYS, &entry.key.range, message)
                        .hint(format!("remove `{key}`")),
                );
            }
        }
        if let Some(node) = fields.get("run") {
            let shell = self.shell(fields.get("shell"));
            let script = self.script(node, "`run`", site, shell.as_deref())?;
            Some(Verb::Run { script, shell: shell? })
        } else if let Some(node) = fields.get("command") {
            self.command(node, site).map(|argv| Verb::Command { argv })
        } else if let Some(node) = fields.get("agent") {
            self.agent_verb(node, fields, site)
        } else {
            fields.entry("steps").and_then(|entry| self.group(entry))
        }
    }

    fn group(&mut self, entry: &Entry) -> Option<Verb> {
        if self.groups_around == GROUP_DEPTH_MAX {
            let message = format!("a group inside {GROUP_DEPTH_MAX} others");
            self.report(
                Report::error(codes::TOO_DEEP, &entry.key.range, message)
                    .hint("put its steps into the list of the group around it"),
            );
            return None;
        }
        self.groups_around += 1;
        let steps = self.steps(&entry.value, "`steps`");
        self.groups_around -= 1;
        Some(Verb::Group { steps })
    }

    fn shell(&mut self, node: Option<&Node>) -> Option<Vec<String>> {
        let Some(node) = node else { return Some(SHELL.iter().map(|&word| word.to_owned()).collect()) };
        let words: Vec<String> = match &node.kind {
            Kind::List(items) => items
                .iter()
                .map(|item| self.text(item, "`shell`").map(ToOwned::to_owned))
                .collect::<Option<_>>()?,
            _ => self.text(node, "`shell`")?.split_whitespace().map(ToOwned::to_owned).collect(),
        };
        if words.is_empty() {
            self.report(Report::error(codes::WRONG_VALUE, &node.range, "`shell` needs a program"));
            return None;
        }
        Some(words)
    }

    pub(super) fn source_error(&mut self, node: &Node, error: &SourceError) {
        let range = first_line(self.source, &node.locate(self.source, &error.range));
        self.report(Report::error(error.code, &range, error.message.clone()).maybe_hint(error.hint.clone()));
    }

    pub(super) fn template(
        &mut self,
        node: &Node,
        text: &str,
        kind: TemplateKind,
        site: &Site,
    ) -> Option<Template> {
        match Template::parse_as(text, kind) {
            Ok(template) => {
                let inners = interpolations(text).into_iter().map(|found| found.inner).collect();
                self.note_expressions(node, site, text, inners);
                Some(template)
            }
            Err(error) => {
                self.source_error(node, &error);
                None
            }
        }
    }

    pub(super) fn condition(&mut self, node: &Node, what: &str, site: &Site) -> Option<Expression> {
        if let Some(Plain::Boolean(_)) = node.plain() {
            return Expression::parse(&node.text()?.to_lowercase()).ok();
        }
        let text = self.text(node, what)?;
        let trimmed = text.trim();
        if let [found] = interpolations(trimmed).as_slice()
            && found.outer == (0..trimmed.len())
        {
            let bare = trimmed[found.inner.clone()].trim();
            let lead = text.len() - text.trim_start().len();
            // What would be wrong without `${{ }}` too is told alone.
            if let Err(error) = Expression::parse(&trimmed[found.inner.clone()]) {
                let start = lead + found.inner.start;
                let range = start + error.range.start..start + error.range.end;
                self.source_error(node, &SourceError { range, ..error });
                return None;
            }
            let inner = lead + found.inner.start..lead + found.inner.end;
            self.note_expressions(node, site, text, vec![inner]);
            let report = Report::error(
                codes::WRAPPED_EXPRESSION,
                &first_line(self.source, &node.range),
                format!("{what} is a bare expression"),
            )
            .hint(format!("write it without `${{{{ }}}}`:  {}: {bare}", what.trim_matches('`')));
            let risky = bare.contains([':', '#', '\'', '"', '{', '[', '\\', ',']);
            let replacement = if risky { crate::diagnostic::quoted(bare) } else { bare.to_owned() };
            self.report(report.fix(node, node.range.clone(), replacement, bare));
            return None;
        }
        match Expression::parse(text) {
            Ok(expression) => {
                self.note_expressions(node, site, text, std::iter::once(0..text.len()).collect());
                Some(expression)
            }
            Err(error) => {
                self.source_error(node, &error);
                None
            }
        }
    }

    fn needs(&mut self, node: &Node) -> Vec<(StepId, Range<usize>)> {
        let items: &[Node] = match &node.kind {
            Kind::List(items) => items,
            Kind::Scalar { .. } => std::slice::from_ref(node),
            Kind::Map(_) => self.list(node, "`needs`").unwrap_or_default(),
        };
        let mut needs: Vec<(StepId, Range<usize>)> = Vec::new();
        for item in items {
            let Some(text) = self.text(item, "`needs`") else { continue };
            match text.parse::<StepId>() {
                Ok(id) => needs.push((id, item.range.clone())),
                Err(error) => self.report(
                    Report::error(codes::INVALID_ID, &item.range, error.to_string())
                        .hint(format!("write `{}`", super::inputs::suggested_name(text))),
                ),
            }
        }
        needs
    }
}

fn has_key(node: &Node, is_meant: impl Fn(&str) -> bool) -> bool {
    matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|entry| entry.key.text().is_some_and(&is_meant)))
}
