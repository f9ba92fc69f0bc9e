//! `agents` and `env`.

use std::collections::BTreeMap;

use super::keys;
use super::names::Site;
use super::reader::{Fields, Reader, Report};
use super::workflow::AgentOverride;
use crate::codes;
use crate::expression::{Template, TemplateKind};
use crate::plan::{AgentKind, AgentSpec, EnvSpec, Via};
use crate::yaml::{Kind, Node};

const VIA: &[(&str, Via)] =
    &[("stdin", Via::Stdin), ("arg", Via::Arg), ("file", Via::File), ("env", Via::Env)];

impl Reader<'_> {
    /// Reads the agents of the file, and puts those given at the start in their place.
    pub(super) fn agents(&mut self, node: Option<&Node>, overrides: &BTreeMap<String, AgentOverride>) {
        for (name, entry) in node.map(|node| self.entries(node, "`agents`")).unwrap_or_default() {
            let agent = self.agent(&entry.value);
            self.agents.insert(name.to_owned(), agent.is_some());
            self.specs.extend(agent.map(|agent| (name.to_owned(), agent)));
        }
        let defined = self.specs.clone();
        for (name, given) in overrides {
            let start = node.map_or(0..0, |node| node.range.start..node.range.start);
            let agent = match given {
                AgentOverride::Command(command) => match split_words(command) {
                    Some(words) if !words.is_empty() => Some(AgentSpec {
                        kind: AgentKind::Command {
                            command: words.into_iter().map(plain_template).collect(),
                            via: Via::Stdin,
                            reading: None,
                        },
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
                    let agent = defined.get(other).cloned().or_else(|| self.preset(other));
                    if agent.is_none() {
                        self.unknown_agent(other, &start, &format!("in place of `{name}`"));
                    }
                    agent
                }
            };
            let meant = defined.get(name).cloned().or_else(|| self.preset(name));
            if let (Some(meant), Some(new)) = (&meant, &agent)
                && let (Some(meant), Some(new)) = (meant.preset(), new.preset())
                && meant != new
            {
                self.strangers.insert(name.clone(), new.to_owned());
            }
            self.agents.insert(name.clone(), agent.is_some());
            self.specs.extend(agent.map(|agent| (name.clone(), agent)));
        }
    }

    /// The agent that a preset is without a definition, if there is one of this name.
    pub(super) fn preset(&self, name: &str) -> Option<AgentSpec> {
        self.presets.contains_key(name).then(|| AgentSpec {
            kind: AgentKind::Preset { preset: name.to_owned(), model: None, args: Vec::new(), via: None },
            env: Vec::new(),
        })
    }

    fn agent(&mut self, node: &Node) -> Option<AgentSpec> {
        let fields = self.fields(node, &keys::AGENT);
        let via = fields.get("via").and_then(|node| self.word(node, "`via`", VIA));
        let env = fields.get("env").map(|node| self.env(node, &Site::Start)).unwrap_or_default();
        let kind = match (fields.entry("command"), fields.entry("use")) {
            (Some(_), Some(used)) => {
                self.say(
                    Report::error(
                        codes::CONFLICTING_KEYS,
                        &used.key.range,
                        "the agent has both `command` and `use`",
                    )
                    .hint("remove one of the two"),
                );
                return None;
            }
            (Some(command), None) => {
                self.only_of_presets(&fields, &["model", "args"], "this agent");
                let command = self.command(&command.value, &Site::Start)?;
                let reading = self.reading(&fields)?;
                if reading.is_some() {
                    self.expect_program(fields.get("command"), &command)?;
                }
                AgentKind::Command { command, via: via.unwrap_or_default(), reading }
            }
            (None, Some(used)) => {
                let name = self.text(&used.value, "`use`")?;
                if !self.presets.contains_key(name) {
                    self.unknown_preset(name, &used.value.range);
                    return None;
                }
                self.only_of_commands(&fields, name);
                self.expect_via(fields.get("via"), via, name);
                self.expect_taken(&fields, name);
                let (model, args) = self.model_and_args(&fields, &Site::Start);
                AgentKind::Preset { preset: name.to_owned(), model, args, via }
            }
            (None, None) => {
                self.without_command(node, &fields);
                return None;
            }
        };
        Some(AgentSpec { kind, env })
    }

    /// Says that the preset `name` cannot be given its prompt via `via`, which stands at `node`.
    fn expect_via(&mut self, node: Option<&Node>, via: Option<Via>, name: &str) {
        let (Some(node), Some(via), Some(traits)) = (node, via, self.presets.get(name)) else { return };
        if !traits.vias.contains(&via) {
            let has = crate::diagnostic::listed(traits.vias.iter().map(|via| via.name()));
            let message = format!("`{name}` takes no prompt via {}", via.name());
            self.say(Report::error(codes::ACCESS, &node.range, message).hint(format!("it has {has}")));
        }
    }

    /// Says that the preset `name` has no place for the model or the arguments that `fields` give it.
    pub(super) fn expect_taken(&mut self, fields: &Fields<'_>, name: &str) {
        let Some(traits) = self.presets.get(name).cloned() else { return };
        let (model, args) = ("`model = [\"--model\", \"{model}\"]`, and `{model}`", "`{args}`");
        for (key, is_taken, place) in
            [("model", traits.takes_model, model), ("args", traits.takes_args, args)]
        {
            let Some(entry) = fields.entry(key).filter(|_| !is_taken) else { continue };
            let message = format!("`{name}` has no place for `{key}`");
            let hint = format!("under `[agents.{name}]` add {place} in `start`, or remove it here");
            self.say(Report::error(codes::ACCESS, &entry.key.range, message).hint(hint));
        }
    }

    fn without_command(&mut self, node: &Node, fields: &Fields<'_>) {
        if matches!(node.kind, Kind::Map(_))
            && !self.diagnostics.iter().any(|said| node.range.contains(&said.range.start))
        {
            self.say(
                Report::error(
                    codes::MISSING_KEY,
                    &super::reader::first_line(self.source, &fields.range),
                    "an agent needs `use` or a `command`",
                )
                .hint("for example `use: codex`"),
            );
        }
    }

    /// `model` and `args`.
    pub(super) fn model_and_args(
        &mut self,
        fields: &Fields<'_>,
        site: &Site,
    ) -> (Option<Template>, Vec<Template>) {
        let model = fields.get("model").and_then(|node| {
            let text = self.text(node, "`model`")?;
            self.template(node, text, TemplateKind::Text, site)
        });
        let args = fields.get("args").and_then(|node| {
            let items = self.list(node, "`args`")?;
            let args: Vec<Option<Template>> = items.iter().map(|item| self.argument(item, site)).collect();
            args.into_iter().collect()
        });
        (model, args.unwrap_or_default())
    }

    /// Says which keys of `fields` need an agent that is known by a preset.
    pub(super) fn only_of_presets(&mut self, fields: &Fields<'_>, keys: &[&str], agent: &str) {
        for key in keys {
            let Some(entry) = fields.entry(key) else { continue };
            let message = format!("`{key}` needs a preset, and {agent} is a command");
            self.say(
                Report::error(codes::CONFLICTING_KEYS, &entry.key.range, message)
                    .hint("say `use: codex`, say, in place of its `command`, or remove it"),
            );
        }
    }

    /// A list of arguments, or a text that is split like a shell would.
    pub(super) fn command(&mut self, node: &Node, site: &Site) -> Option<Vec<Template>> {
        let command = match &node.kind {
            Kind::List(items) => {
                let arguments: Vec<Option<Template>> =
                    items.iter().map(|item| self.argument(item, site)).collect();
                let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
                self.arguments(&items.iter().collect::<Vec<_>>(), &arguments);
                arguments
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
                let words = words.iter().map(|word| Template::parse_as(word, TemplateKind::Text).ok());
                let arguments = words.collect::<Option<Vec<_>>>()?;
                self.arguments(&[node], &arguments);
                arguments
            }
        };
        if command.is_empty() {
            self.say(Report::error(codes::WRONG_VALUE, &node.range, "`command` needs a program"));
            return None;
        }
        Some(command)
    }

    pub(super) fn argument(&mut self, node: &Node, site: &Site) -> Option<Template> {
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
            if let Some(text) = text {
                self.code_variable(name, &entry.value, text);
            }
            let value = text.and_then(|text| self.template(&entry.value, text, TemplateKind::Text, site));
            env.extend(value.filter(|_| valid).map(|value| EnvSpec { name: name.to_owned(), value }));
        }
        env
    }

    fn unknown_preset(&mut self, name: &str, range: &std::ops::Range<usize>) {
        let presets: Vec<&str> = self.presets.keys().map(String::as_str).collect();
        let hint = match crate::diagnostic::nearest(name, presets.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "there are {}; `[agents.{name}]` in ~/.config/backstay/config.toml makes another",
                crate::diagnostic::listed(presets.into_iter())
            ),
        };
        self.say(
            Report::error(codes::UNKNOWN_AGENT, range, format!("there is no preset `{name}`")).hint(hint),
        );
    }

    pub(super) fn unknown_agent(&mut self, name: &str, range: &std::ops::Range<usize>, place: &str) {
        let place = if place.is_empty() { String::new() } else { format!(" {place}") };
        let known = self.agents.keys().chain(self.presets.keys()).map(String::as_str);
        let near = crate::diagnostic::nearest(name, known).map(ToOwned::to_owned);
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
