//! `agents` and `env`.

use std::collections::BTreeMap;

use super::keys;
use super::names::Site;
use super::reader::{Reader, Report};
use super::workflow::AgentOverride;
use crate::codes;
use crate::expression::{Template, TemplateKind};
use crate::plan::{AgentSpec, EnvSpec, Via};
use crate::yaml::{Kind, Node};

const VIA: &[(&str, Via)] =
    &[("stdin", Via::Stdin), ("arg", Via::Arg), ("file", Via::File), ("env", Via::Env)];

impl Reader<'_> {
    pub(super) fn agents(
        &mut self,
        node: Option<&Node>,
        overrides: &BTreeMap<String, AgentOverride>,
    ) -> BTreeMap<String, AgentSpec> {
        let mut agents = BTreeMap::new();
        for (name, entry) in node.map(|node| self.entries(node, "`agents`")).unwrap_or_default() {
            let agent = self.agent(&entry.value);
            self.agents.insert(name.to_owned(), agent.is_some());
            agents.extend(agent.map(|agent| (name.to_owned(), agent)));
        }
        let defined = agents.clone();
        for (name, given) in overrides {
            let start = node.map_or(0..0, |node| node.range.start..node.range.start);
            let agent = match given {
                AgentOverride::Command(command) => match split_words(command) {
                    Some(words) if !words.is_empty() => Some(AgentSpec {
                        command: words.into_iter().map(plain_template).collect(),
                        via: Via::Stdin,
                        env: Vec::new(),
                    }),
                    _ => {
                        let message =
                            format!("the command given for the agent `{name}` has an open quote or is empty");
                        self.say(Report::error(codes::WRONG_VALUE, &start, message));
                        None
                    }
                },
                AgentOverride::Agent(other) => {
                    if !defined.contains_key(other) {
                        self.unknown_agent(other, &start, &format!("in place of `{name}`"));
                    }
                    defined.get(other).cloned()
                }
            };
            self.agents.insert(name.clone(), agent.is_some());
            agents.extend(agent.map(|agent| (name.clone(), agent)));
        }
        agents
    }

    fn agent(&mut self, node: &Node) -> Option<AgentSpec> {
        let fields = self.fields(node, &keys::AGENT);
        let via = fields.get("via").and_then(|node| self.word(node, "`via`", VIA)).unwrap_or_default();
        let env = fields.get("env").map(|node| self.env(node, &Site::Start)).unwrap_or_default();
        let Some(command) = fields.get("command") else {
            if matches!(node.kind, Kind::Map(_))
                && !self.diagnostics.iter().any(|said| node.range.contains(&said.range.start))
            {
                self.say(
                    Report::error(
                        codes::MISSING_KEY,
                        &super::reader::first_line(self.source, &fields.range),
                        "an agent needs a `command`",
                    )
                    .hint("for example `command: codex exec --json`"),
                );
            }
            return None;
        };
        let command = self.command(command, &Site::Start)?;
        Some(AgentSpec { command, via, env })
    }

    /// A list of arguments, or a text that is split like a shell would.
    pub(super) fn command(&mut self, node: &Node, site: &Site) -> Option<Vec<Template>> {
        let command = match &node.kind {
            Kind::List(items) => {
                let arguments: Vec<Option<Template>> =
                    items.iter().map(|item| self.argument(item, site)).collect();
                arguments.into_iter().collect::<Option<Vec<_>>>()?
            }
            _ => {
                let text = self.text(node, "`command`")?;
                self.template(node, text, TemplateKind::Text, site)?;
                let Some(words) = split_words(text) else {
                    self.say(
                        Report::error(
                            codes::WRONG_VALUE,
                            &node.range,
                            "`command` has a quote without its end",
                        )
                        .hint("write it as a list: `command: [program, argument]`"),
                    );
                    return None;
                };
                words
                    .iter()
                    .map(|word| Template::parse_as(word, TemplateKind::Text).ok())
                    .collect::<Option<_>>()?
            }
        };
        if command.is_empty() {
            self.say(Report::error(codes::WRONG_VALUE, &node.range, "`command` needs a program"));
            return None;
        }
        Some(command)
    }

    fn argument(&mut self, node: &Node, site: &Site) -> Option<Template> {
        // `[sleep, 5]` means what it says: arguments are texts anyway.
        let text = match (&node.kind, node.plain()) {
            (Kind::Scalar { text, .. }, Some(crate::yaml::Plain::Integer(_))) => text,
            _ if node.text() == Some("") => "",
            _ => self.text(node, "an argument")?,
        };
        self.template(node, text, TemplateKind::Text, site)
    }

    pub(super) fn env(&mut self, node: &Node, site: &Site) -> Vec<EnvSpec> {
        let mut env = Vec::new();
        for (name, entry) in self.entries(node, "`env`") {
            let valid = super::inputs::is_name(name);
            if !valid {
                self.say(Report::error(
                    codes::INVALID_ID,
                    &entry.key.range,
                    format!("`{name}` can not name a variable"),
                ));
            }
            let text = match &entry.value.kind {
                Kind::Scalar { text, .. } if text.is_empty() => Some(""),
                _ => self.text(&entry.value, "a variable"),
            };
            let value = text.and_then(|text| self.template(&entry.value, text, TemplateKind::Text, site));
            env.extend(value.filter(|_| valid).map(|value| EnvSpec { name: name.to_owned(), value }));
        }
        env
    }

    pub(super) fn unknown_agent(&mut self, name: &str, range: &std::ops::Range<usize>, place: &str) {
        let place = if place.is_empty() { String::new() } else { format!(" {place}") };
        if let Some((_, command)) = keys::PRESETS.iter().find(|(preset, _)| *preset == name) {
            self.say(
                Report::error(
                    codes::NOT_SUPPORTED,
                    range,
                    format!("the agent `{name}`{place} is not built in yet in this version"),
                )
                .hint(format!(
                    "define it:  agents: {{{name}: {{command: \"{command}\"}}}}  or say  --agent {name}='cmd: {command}'"
                )),
            );
            return;
        }
        let near =
            crate::diagnostic::nearest(name, self.agents.keys().map(String::as_str)).map(ToOwned::to_owned);
        let hint = near.map_or_else(
            || format!("define it:  agents: {{{name}: {{command: [program, argument]}}}}"),
            |near| format!("did you mean `{near}`?"),
        );
        self.say(
            Report::error(codes::UNKNOWN_AGENT, range, format!("there is no agent `{name}`{place}"))
                .hint(hint),
        );
    }
}

fn plain_template(text: String) -> Template {
    Template { source: text, steps: Vec::new(), previous: Vec::new() }
}

/// The words of `text` as a shell sees them, without expansion; `${{ }}` is kept whole. `None` for an open quote.
fn split_words(text: &str) -> Option<Vec<String>> {
    let whole = crate::expression::interpolations(text);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        if let Some(found) = whole.iter().find(|found| found.outer.start == at) {
            word.get_or_insert_default().push_str(&text[found.outer.clone()]);
            at = found.outer.end;
            continue;
        }
        at += character.len_utf8();
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = text[at..].chars().next()?;
                at += next.len_utf8();
                word.get_or_insert_default().push(next);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word.take());
    quote.is_none().then_some(words)
}
