//! Finds the values that a word may hold, and the values that a command may print.

use super::findings::{EvaluationFinder, Source};
use super::flow::as_word;
use super::reading::ValueKind;
use super::syntax::{Command, CommandKind, List, Operation, Part, Prefix, Redirect, Word};

impl EvaluationFinder<'_> {
    /// Unquoted expansions in a word that may hold a value.
    pub(super) fn unquoted(&self, word: &Word) -> Vec<Source> {
        // Double quotes leave a quoted text, though it may be empty.
        let has_quotes = word.parts.iter().any(|part| matches!(part, Part::Literal { quoted: true, .. }));
        let parts = word.parts.iter().filter(|part| match part {
            Part::Parameter(parameter) => !parameter.quoted,
            Part::Substitution(_) => !has_quotes,
            _ => false,
        });
        let parts: Vec<Part> = parts.cloned().collect();
        self.sources(&Word { parts, range: word.range.clone() })
    }

    /// The values that a word may hold.
    pub(super) fn sources(&self, word: &Word) -> Vec<Source> {
        let mut sources = Vec::new();
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Arithmetic(_) => {}
                Part::Value(number) => {
                    if self.kinds.get(*number).is_none_or(|kind| *kind != ValueKind::Number) {
                        sources.push(Source::Value(*number));
                    }
                }
                Part::Parameter(parameter) => {
                    if parameter.prefix != Prefix::Length && self.flow.is_tainted(&parameter.name) {
                        sources.push(Source::Variable(parameter.name.clone()));
                    }
                    if let Operation::Assign(word) | Operation::Word(word) = &parameter.operation {
                        sources.extend(self.sources(word));
                    }
                }
                Part::Substitution(list) | Part::OutputProcess(list) => {
                    if !prints_number(list) {
                        self.output_of_list(list, &mut sources);
                        sources.extend(indirect(self.input.clone()));
                    }
                }
            }
        }
        sources
    }

    pub(super) fn output_of_list(&self, list: &List, sources: &mut Vec<Source>) {
        for command in list.pipelines.iter().flat_map(|pipeline| &pipeline.commands) {
            self.output_of_command(command, sources);
        }
    }

    /// The values that a command may print.
    pub(super) fn output_of_command(&self, command: &Command, sources: &mut Vec<Source>) {
        for redirect in &command.redirects {
            match redirect {
                Redirect::HereDocument(number) => {
                    sources
                        .extend(self.documents.get(*number).into_iter().flat_map(|word| self.sources(word)));
                }
                Redirect::HereString(word) => sources.extend(self.sources(word)),
                Redirect::Input(word) | Redirect::Duplicate(word) => {
                    sources.extend(indirect(self.sources(word)))
                }
                Redirect::Output(_) => {}
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => {
                let words: Vec<Word> = arguments.iter().map(as_word).collect();
                let name = words.first().map_or_else(String::new, Word::literal_text);
                if self.flow.is_tainted(&name) {
                    sources.push(Source::Output);
                }
                let assigned = assignments.iter().flat_map(|assignment| assignment.value.words());
                for word in words.iter().chain(assigned) {
                    let held = self.sources(word);
                    let is_printed = matches!(name.as_str(), "echo" | "printf");
                    sources.extend(if is_printed { held } else { indirect(held) });
                }
                if matches!(
                    name.as_str(),
                    "env" | "printenv" | "set" | "declare" | "typeset" | "export" | "compgen"
                ) && self.flow.has_values
                {
                    sources.push(Source::Output);
                }
            }
            CommandKind::Group(lists) | CommandKind::Case { lists, .. } => {
                lists.iter().for_each(|list| self.output_of_list(list, sources));
            }
            CommandKind::For { words, body, .. } => {
                words.iter().for_each(|word| sources.extend(indirect(self.sources(word))));
                self.output_of_list(body, sources);
            }
            CommandKind::Arithmetic { body, .. } => self.output_of_list(body, sources),
            CommandKind::Condition(_) | CommandKind::Function { .. } => {}
        }
    }
}

/// A command that changes its input does not print the values themselves.
fn indirect(sources: Vec<Source>) -> Vec<Source> {
    let indirect = sources.into_iter().map(|source| match source {
        Source::Value(_) | Source::Output => Source::Output,
        Source::Variable(name) => Source::Variable(name),
    });
    indirect.collect()
}

/// Whether commands print nothing but a number: `… | wc -l`, `… | grep -c x`, `… | jq length`.
pub(super) fn prints_number(list: &List) -> bool {
    let [pipeline] = list.pipelines.as_slice() else { return false };
    let Some(Command { kind: CommandKind::Simple { arguments, .. }, .. }) = pipeline.commands.last() else {
        return false;
    };
    let words: Vec<Option<String>> = arguments.iter().map(|argument| as_word(argument).literal()).collect();
    let Some(words) = words.into_iter().collect::<Option<Vec<String>>>() else { return false };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["wc", options @ ..] => {
            options.iter().all(|word| word.starts_with('-') && !word.starts_with("--files"))
        }
        ["grep", "-c", pattern] => !pattern.starts_with('-') && pipeline.commands.len() > 1,
        ["jq", "length"] => true,
        _ => false,
    }
}
