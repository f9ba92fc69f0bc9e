//! Steps that are done by agents.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;
use backstay_model::event::Access;

use super::keys;
use super::names::Site;
use super::reader::{Fields, Reader, Report, first_line};
use crate::codes;
use crate::expression::{Template, TemplateKind, interpolations};
use crate::plan::{AgentOptions, AgentSpec, Budget, OnExceeded, OnLimit, SessionRule, Verb};
use crate::yaml::{Entry, Kind, Node};

const ACCESS: &[(&str, Access)] = &[("read", Access::Read), ("write", Access::Write), ("full", Access::Full)];
const ON_LIMIT: &[(&str, OnLimit)] =
    &[("wait", OnLimit::Wait), ("fallback", OnLimit::Fallback), ("fail", OnLimit::Fail)];
/// Keys that mean nothing to an agent that is a command.
const PRESET_KEYS: &[&str] = &["access", "session", "on_limit", "max_wait"];

/// Those that mean something where the command's output tells of limits.
const LIMIT_KEYS: &[&str] = &["on_limit", "max_wait"];

#[derive(Clone, Copy)]
enum SessionWord {
    Fresh,
    Keep,
}

impl Reader<'_> {
    pub(super) fn agent_verb(&mut self, node: &Node, fields: &Fields<'_>, site: &Site) -> Option<Verb> {
        let prompt = self.prompt(node, fields, site);
        let used = matches!(node.kind, Kind::Map(_)).then(|| self.fields(node, &keys::AGENT_USE));
        let name_node = used.as_ref().map_or(Some(node), |used| used.get("use"));
        if name_node.is_none() {
            let range = first_line(self.source, &node.range);
            self.say(Report::error(codes::MISSING_KEY, &range, "`agent` needs `use`"));
        }
        let agent = name_node.and_then(|name| self.agent_name(name, "`agent`"));
        let mut options = AgentOptions::default();
        if let Some(used) = &used {
            (options.model, options.args) = self.model_and_args(used, site);
            if let Some(fallback) = used.get("fallback") {
                let items = self.list(fallback, "`fallback`").unwrap_or_default();
                options.fallback =
                    items.iter().filter_map(|item| self.agent_name(item, "`fallback`")).collect();
            }
        }
        // What else is wrong with the step is said too, whoever does it.
        self.read_options(agent.as_deref(), used.as_ref(), fields, site, &mut options);
        if let (Some(agent), Some(used)) = (&agent, &used)
            && let Some(stranger) = self.strangers.get(agent).cloned()
        {
            self.ignored_by_stranger(used, agent, &stranger);
            (options.model, options.args) = (None, Vec::new());
        }
        if let (Some(agent), Some(prompt)) = (&agent, &prompt) {
            self.files_in_prompt(std::iter::once(agent).chain(&options.fallback), prompt, fields);
        }
        Some(Verb::Agent { agent: agent?, prompt: prompt?, options: Box::new(options) })
    }

    fn agent_name(&mut self, node: &Node, what: &str) -> Option<String> {
        let name = self.text(node, what)?;
        if !interpolations(name).is_empty() {
            self.say(
                Report::error(
                    codes::NOT_SUPPORTED,
                    &node.range,
                    "an agent named by a value is not supported yet in this version",
                )
                .hint("until then: name the agent, and choose it with `--agent NAME=…` at the start"),
            );
            return None;
        }
        if !self.agents.contains_key(name) {
            let Some(preset) = self.preset(name) else {
                self.unknown_agent(name, &node.range, "");
                return None;
            };
            self.agents.insert(name.to_owned(), true);
            self.specs.insert(name.to_owned(), preset);
        }
        Some(name.to_owned())
    }

    /// What the step says beside its agent and prompt.
    fn read_options(
        &mut self,
        agent: Option<&str>,
        used: Option<&Fields<'_>>,
        fields: &Fields<'_>,
        site: &Site,
        options: &mut AgentOptions,
    ) {
        let access = fields.get("access").and_then(|node| self.word(node, "`access`", ACCESS));
        options.access = access.unwrap_or_default();
        if let Some(node) = fields.get("session") {
            options.session = self.session(node, site).unwrap_or_default();
        }
        let default = if options.fallback.is_empty() { OnLimit::Wait } else { OnLimit::Fallback };
        let on_limit = fields.get("on_limit").and_then(|node| self.word(node, "`on_limit`", ON_LIMIT));
        options.on_limit = on_limit.unwrap_or(default);
        options.max_wait_ms = fields.get("max_wait").and_then(|node| self.duration(node, "`max_wait`"));
        if options.on_limit == OnLimit::Fallback
            && options.fallback.is_empty()
            && let Some(entry) = fields.entry("on_limit")
        {
            let name = agent.unwrap_or("codex");
            self.say(
                Report::error(codes::MISSING_KEY, &entry.value.range, "no agent is there to fall back to")
                    .hint(format!("name one:  agent: {{use: {name}, fallback: [claude]}}")),
            );
        }
        let Some((agent, spec)) = agent.and_then(|agent| Some((agent, self.specs.get(agent)?))) else {
            return;
        };
        // The step says what it wants; who does it may be named here or at the start, and the same holds for both.
        let preset = spec.preset().map(str::to_owned);
        if preset.is_none() {
            // That it changes nothing is a promise that any program can make.
            let is_promise = options.access == Access::Read;
            let limits = if spec.is_read() { LIMIT_KEYS } else { &[] };
            let counts = |key: &str| limits.contains(&key) || is_promise && key == "access";
            let keys = PRESET_KEYS.iter().copied().filter(|key| !counts(key));
            self.ignored_by_commands(fields, &keys.collect::<Vec<_>>(), agent);
            if let Some(used) = used {
                self.ignored_by_commands(used, &["model", "args"], agent);
            }
        }
        // What is said of a stranger is said elsewhere: it is not given them.
        if let (Some(used), Some(preset)) = (used, preset)
            && !self.strangers.contains_key(agent)
        {
            self.expect_taken(used, &preset);
        }
        let agents: Vec<String> = std::iter::once(agent.to_owned()).chain(options.fallback.clone()).collect();
        for agent in agents {
            self.can_do(&agent, fields, options);
        }
    }

    /// Says that the model and the arguments of a step are not handed to `stranger`, which does the work of `agent`: they are words
    /// of one program.
    fn ignored_by_stranger(&mut self, used: &Fields<'_>, agent: &str, stranger: &str) {
        for key in ["model", "args"] {
            let Some(entry) = used.entry(key) else { continue };
            let message = format!(
                "`{key}` is ignored: it is meant for `{agent}`, and `{stranger}` does the step in its place"
            );
            let report = Report::warning(codes::CONFLICTING_KEYS, &entry.key.range, message);
            self.say(report.hint(format!(
                "define an agent with the {key} of `{stranger}` under `agents`, and put that in its place"
            )));
        }
    }

    /// Says which keys of a step change nothing while `agent` does it, which is a command.
    fn ignored_by_commands(&mut self, fields: &Fields<'_>, keys: &[&str], agent: &str) {
        for key in keys {
            let Some(entry) = fields.entry(key) else { continue };
            let message = format!("`{key}` is ignored: it needs a preset, and `{agent}` is a command");
            let report = Report::warning(codes::CONFLICTING_KEYS, &entry.key.range, message);
            self.say(report.hint(format!("let a preset do it (`--agent {agent}=codex`, say), or remove it")));
        }
    }

    /// Says what the agent's preset has no way to do.
    fn can_do(&mut self, agent: &str, fields: &Fields<'_>, options: &AgentOptions) {
        let traits = self.specs.get(agent).and_then(|spec| self.presets.get(spec.preset()?));
        let Some(traits) = traits.cloned() else { return };
        let named = fields.get("access");
        if let Some(node) = named.or_else(|| fields.get("agent"))
            && !traits.access.contains(&options.access)
        {
            let range = first_line(self.source, &node.range);
            let has = crate::diagnostic::listed(traits.access.iter().map(|access| access.name()));
            let default = if named.is_none() { ", which a step has without `access`" } else { "" };
            let message = format!("`{agent}` has no access mode `{}`{default}", options.access.name());
            self.say(Report::error(codes::ACCESS, &range, message).hint(format!("it has {has}")));
        }
        let lacks = match &options.session {
            SessionRule::From { fork: true, .. } if !traits.can_fork => "a copy of a session",
            SessionRule::Keep | SessionRule::From { .. } if !traits.can_resume => "a session",
            _ => return,
        };
        if let Some(entry) = fields.entry("session") {
            let message = format!("`{agent}` cannot go on with {lacks}");
            self.say(
                Report::error(codes::ACCESS, &entry.value.range, message).hint("write `session: fresh`"),
            );
        }
    }

    /// Says which files a prompt names in such a way that the program of one of `agents` adds their content.
    fn files_in_prompt<'a>(
        &mut self,
        agents: impl Iterator<Item = &'a String>,
        prompt: &Template,
        fields: &Fields<'_>,
    ) {
        let Some(entry) = fields.entry("prompt").or_else(|| fields.entry("prompt_file")) else { return };
        for agent in agents {
            let traits = self.specs.get(agent).and_then(|spec| self.presets.get(spec.preset()?));
            let prefix = traits.and_then(|traits| traits.file_prefix.as_deref());
            let named = prefix.and_then(|prefix| named_file(&prompt.source, prefix));
            if let Some(named) = named {
                let message =
                    format!("`{agent}` adds the content of `{named}` to the prompt where that is a file");
                let report = Report::warning(codes::PROMPT_NAMES_FILE, &entry.key.range, message);
                self.say(report.hint("name the file without that sign to let the agent read it itself"));
            }
        }
    }

    fn session(&mut self, node: &Node, site: &Site) -> Option<SessionRule> {
        if !matches!(node.kind, Kind::Map(_)) {
            let words = [("fresh", SessionWord::Fresh), ("keep", SessionWord::Keep)];
            return Some(match self.word(node, "`session`", &words)? {
                SessionWord::Fresh => SessionRule::Fresh,
                SessionWord::Keep => SessionRule::Keep,
            });
        }
        let fields = self.fields(node, &keys::SESSION);
        let fork = match fields.get("fork") {
            None => false,
            Some(node) => self.word(node, "`fork`", &[("true", true), ("false", false)])?,
        };
        let Some(from) = fields.get("from") else {
            let range = first_line(self.source, &node.range);
            self.say(
                Report::error(codes::MISSING_KEY, &range, "`session` needs `from`")
                    .hint("name the step whose session it is: `session: {from: plan}`"),
            );
            return None;
        };
        let text = self.text(from, "`from`")?;
        let Ok(step) = text.parse::<StepId>() else {
            let message = format!("`{text}` can not be the id of a step");
            self.say(Report::error(codes::INVALID_ID, &from.range, message));
            return None;
        };
        if let Site::Step(id) = site {
            self.sessions.push((id.clone(), step.clone(), from.range.clone()));
        }
        Some(SessionRule::From { step, fork })
    }

    /// Checks that each step whose session another one goes on with has ended by then.
    pub(super) fn session_sources(&mut self, ended: &BTreeMap<StepId, BTreeSet<StepId>>) {
        for (step, from, range) in std::mem::take(&mut self.sessions) {
            let report = if !self.ids.contains_key(from.as_str()) {
                let near = crate::diagnostic::nearest(from.as_str(), self.ids.keys().map(String::as_str));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                Report::error(codes::UNKNOWN_NAME, &range, format!("there is no step `{from}`"))
                    .maybe_hint(hint)
            } else if ended.get(&step).is_some_and(|ended| ended.contains(&from)) {
                continue;
            } else {
                let message = format!("`{from}` may not have ended when `{step}` starts");
                Report::error(codes::ORDER, &range, message)
                    .hint(format!("put `{step}` after it, or add it to `needs`"))
            };
            self.say(report);
        }
    }

    /// What the agents of the run may use.
    pub(super) fn budget(&mut self, node: &Node) -> Option<Budget> {
        let fields = self.fields(node, &keys::BUDGET);
        let words = [("ask", OnExceeded::Ask), ("stop", OnExceeded::Stop)];
        let on_exceeded = fields.get("on_exceeded").and_then(|node| self.word(node, "`on_exceeded`", &words));
        let Some(tokens) = fields.get("tokens") else {
            if matches!(node.kind, Kind::Map(_)) {
                let range = first_line(self.source, &node.range);
                let report = Report::error(codes::MISSING_KEY, &range, "`budget` needs `tokens`");
                self.say(report.hint("for example `tokens: 4M`"));
            }
            return None;
        };
        match tokens.text().and_then(amount) {
            Some(tokens) => Some(Budget { tokens, on_exceeded: on_exceeded.unwrap_or_default() }),
            None => {
                let range = first_line(self.source, &tokens.range);
                let report = Report::error(codes::WRONG_VALUE, &range, "`tokens` is no amount of tokens");
                self.say(report.hint("write `800k`, `4M` or a whole number"));
                None
            }
        }
    }

    /// Whether an agent does it of which it is known how it says what went wrong.
    pub(super) fn is_by_read_agent(&self, verb: &Verb) -> bool {
        match verb {
            Verb::Agent { agent, .. } => self.specs.get(agent).is_some_and(AgentSpec::is_read),
            Verb::Run { .. } | Verb::Command { .. } | Verb::Worktree(_) | Verb::Group { .. } => false,
        }
    }

    /// The schema in the file that `node` names.
    pub(super) fn schema(&mut self, node: &Node, output: Option<&Entry>) -> Option<String> {
        let path = self.text(node, "`schema`")?;
        if let Some(output) = output.filter(|output| output.value.text() == Some("text")) {
            self.say(
                Report::error(
                    codes::CONFLICTING_KEYS,
                    &output.key.range,
                    "the output of a step with a `schema` is JSON",
                )
                .hint("remove `output`"),
            );
        }
        let said = match (self.read_file)(path) {
            Ok(text) => match (self.schema_fault)(&text) {
                None => return Some(text.trim().to_owned()),
                Some(fault) => format!("`{path}` is no JSON Schema: {fault}"),
            },
            Err(error) => format!("the schema `{path}` can not be read: {error}"),
        };
        self.say(Report::error(codes::SCHEMA, &node.range, said).hint("its path is relative to this file"));
        None
    }

    /// Says that the prompt `text`, which `node` says, gives the agent no task.
    fn expect_task(&mut self, node: &Node, text: &str) {
        if text.trim().is_empty() {
            let report = Report::error(codes::WRONG_VALUE, &node.range, "the prompt is empty");
            self.say(report.hint("say what the agent is to do"));
        }
    }

    fn prompt(&mut self, agent: &Node, fields: &Fields<'_>, site: &Site) -> Option<Template> {
        match (fields.entry("prompt"), fields.entry("prompt_file")) {
            (Some(_), Some(file)) => {
                self.say(
                    Report::error(
                        codes::CONFLICTING_KEYS,
                        &file.key.range,
                        "the step has both `prompt` and `prompt_file`",
                    )
                    .hint("remove one of the two"),
                );
                None
            }
            (None, None) => {
                self.say(
                    Report::error(
                        codes::MISSING_KEY,
                        &first_line(self.source, &agent.range),
                        "an agent needs a `prompt`",
                    )
                    .hint("add `prompt: …` or `prompt_file: …`"),
                );
                None
            }
            (Some(prompt), None) => {
                let text = self.text(&prompt.value, "`prompt`")?;
                self.expect_task(&prompt.value, text);
                self.template(&prompt.value, text, TemplateKind::Prompt, site)
            }
            (None, Some(file)) => {
                let path = self.text(&file.value, "`prompt_file`")?;
                match (self.read_file)(path) {
                    Ok(text) => {
                        self.expect_task(&file.value, &text);
                        self.template(&file.value, &text, TemplateKind::Prompt, site)
                    }
                    Err(error) => {
                        let message = format!("the prompt file `{path}` can not be read: {error}");
                        self.say(
                            Report::error(codes::PROMPT_FILE, &file.value.range, message)
                                .hint("its path is relative to this file"),
                        );
                        None
                    }
                }
            }
        }
    }
}

/// The first word of `text` that is `prefix` and a path: something with a `/`, or with a `.` inside.
fn named_file<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let is_of_path = |c: char| c.is_alphanumeric() || "._-~/".contains(c);
    text.match_indices(prefix).find_map(|(at, _)| {
        let is_in_word = text[..at].chars().next_back().is_some_and(is_of_path);
        let path = &text[at + prefix.len()..];
        let path = path[..path.find(|c| !is_of_path(c)).unwrap_or(path.len())].trim_end_matches('.');
        let is_path = path.contains('/') || path.contains('.');
        (is_path && !is_in_word).then(|| &text[at..at + prefix.len() + path.len()])
    })
}

/// A whole number above zero, in ones, thousands (`k`) or millions (`M`).
fn amount(text: &str) -> Option<u64> {
    let (digits, times) = match (text.strip_suffix('k'), text.strip_suffix('M')) {
        (Some(digits), _) => (digits, 1_000),
        (None, Some(digits)) => (digits, 1_000_000),
        (None, None) => (text, 1),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(times).filter(|tokens| *tokens > 0)
}
