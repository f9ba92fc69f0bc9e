//! Scripts and commands: no value in them may become code.

use super::reader::{Reader, Report, first_line};
use super::references::{Site, value_kind};
use crate::codes;
use crate::expression::{
    CODE_VARIABLES, IsError, PROGRAM_VARIABLES, Script, ScriptContext, ShellDialect, SourceError, Template,
    ValueKind, argument_errors, interpolations, kind_of,
};
use crate::plan::InputType;
use crate::yaml::{Kind, Node};

/// The shells whose scripts may have values in them.
const SHELLS: &[(&str, ShellDialect)] = &[
    ("bash", ShellDialect::Bash),
    ("sh", ShellDialect::Posix),
    ("dash", ShellDialect::Posix),
    ("zsh", ShellDialect::Other),
    ("ksh", ShellDialect::Other),
];

impl Reader<'_> {
    pub(super) fn script(
        &mut self,
        node: &Node,
        what: &str,
        site: &Site,
        shell: Option<&[String]>,
    ) -> Option<Script> {
        let text = self.text(node, what)?;
        if let Some(whole) = self.whole_input(node, text) {
            return whole;
        }
        let program = shell
            .and_then(|words| words.first())
            .map_or("bash", |word| word.rsplit('/').next().unwrap_or(word));
        let dialect = SHELLS.iter().find(|(name, _)| *name == program).map(|(_, dialect)| *dialect);
        let environment = match (dialect, interpolations(text).first()) {
            (Some(_), _) => self.text_variables.concat(),
            (None, None) => Vec::new(),
            (None, Some(found)) => {
                let range = node.locate(self.source, &found.outer);
                let message = format!("`${{{{ }}}}` can not stand in a script for `{program}`");
                self.report(
                    Report::error(codes::UNSAFE_POSITION, &range, message)
                        .hint("put the value under `env` and read the variable"),
                );
                return None;
            }
        };
        // The names are checked also where an expression may not stand.
        let inners = interpolations(text).into_iter().map(|found| found.inner).collect();
        self.note_expressions(node, site, text, inners);
        let dialect = dialect.unwrap_or_default();
        let inputs = &self.inputs;
        let kind_of = |names: &[&str]| value_kind(inputs, names);
        let context = ScriptContext { kind_of: &kind_of, environment: &environment, dialect };
        let parsed = match Script::parse_in(text, &context) {
            Ok(parsed) => parsed,
            Err(errors) => {
                for error in errors {
                    self.source_error(node, &error);
                }
                return None;
            }
        };
        for warning in &parsed.warnings {
            self.source_warning(node, warning);
        }
        Some(parsed.script)
    }

    fn source_warning(&mut self, node: &Node, warning: &SourceError) {
        let range = first_line(self.source, &node.locate(self.source, &warning.range));
        self.report(
            Report::warning(warning.code, &range, warning.message.clone()).maybe_hint(warning.hint.clone()),
        );
    }

    /// Reads `run: ${{ inputs.x }}`. `None` for any other script, `Some(None)` if `x` is not of type `script`.
    fn whole_input(&mut self, node: &Node, text: &str) -> Option<Option<Script>> {
        let trimmed = text.trim();
        let found = interpolations(trimmed);
        let [one] = found.as_slice() else { return None };
        if one.outer != (0..trimmed.len()) {
            return None;
        }
        let name = trimmed[one.inner.clone()].trim().strip_prefix("inputs.")?;
        match self.inputs.get(name)? {
            Some(InputType::Script) => Some(Some(Script::whole(name))),
            None => Some(None),
            Some(_) => {
                let range = first_line(self.source, &node.range);
                self.report(
                    Report::error(codes::SCRIPT_INPUT, &range, format!("the input `{name}` can not be code"))
                        .hint(format!("declare it:  {name}: {{type: script}}")),
                );
                Some(None)
            }
        }
    }

    /// Reports values in the arguments of a command that would be code. Each argument has its own node, or all have one.
    pub(super) fn arguments(&mut self, nodes: &[&Node], arguments: &[Template]) {
        let texts: Vec<&str> = arguments.iter().map(|argument| argument.source.as_str()).collect();
        let inputs = &self.inputs;
        let found = argument_errors(&texts, &|names| value_kind(inputs, names));
        for (number, error, is_error) in found {
            let (node, error) = match nodes {
                [node] if texts.len() != 1 => (*node, SourceError { range: 0..1, ..error }),
                nodes => match nodes.get(number) {
                    Some(node) => (*node, error),
                    None => continue,
                },
            };
            match is_error {
                IsError::Error => self.source_error(node, &error),
                IsError::Warning => self.source_warning(node, &error),
            }
        }
    }

    /// Pushes to `text_variables` the variables of `env` that hold a text from a `${{ }}`. The caller pops them.
    pub(super) fn enter_environment(&mut self, env: Option<&Node>) {
        let mut names = Vec::new();
        if let Some(Node { kind: Kind::Map(entries), .. }) = env {
            for entry in entries {
                let (Some(name), Some(text)) = (entry.key.text(), entry.value.text()) else { continue };
                if self.holds_text(text) {
                    names.push(name.to_owned());
                }
            }
        }
        self.text_variables.push(names);
    }

    /// Whether a template has a `${{ }}` that may be any text.
    fn holds_text(&self, text: &str) -> bool {
        interpolations(text).iter().any(|found| {
            let kind = kind_of(text[found.inner.clone()].trim(), &|names| value_kind(&self.inputs, names));
            kind == ValueKind::Text
        })
    }

    /// Reports a variable whose value a shell or another program would run.
    pub(super) fn code_variable(&mut self, name: &str, node: &Node, text: &str) {
        let is_code = CODE_VARIABLES.contains(&name);
        if !(is_code || PROGRAM_VARIABLES.contains(&name)) || !self.holds_text(text) {
            return;
        }
        let range = first_line(self.source, &node.range);
        if is_code {
            let message = format!("a shell runs what is in `{name}`, and this value can be any text");
            let hint = "write the text into the file, and choose among texts with `if`";
            self.report(Report::error(codes::VALUE_AS_CODE, &range, message).hint(hint));
        } else {
            let message = format!("programs run what is in `{name}`, or load code by it");
            let hint = "make sure that the value is one of a few known texts";
            self.report(Report::warning(codes::EVALUATED_AGAIN, &range, message).hint(hint));
        }
    }
}
