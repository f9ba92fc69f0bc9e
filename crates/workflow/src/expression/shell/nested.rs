//! Finds the programs inside a script, and the functions that get an input.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::flow::as_word;
use super::parser::Parser;
use super::programs::{Role, treatment};
use super::reading::Program;
use super::syntax::{COPROCESS, Command, CommandKind, List, Operation, Part, Redirect, Word};

/// The largest number of programs inside each other that are read.
const NESTING_MAX: u32 = 3;

/// The programs of shells that are texts in a program (`bash -c '…'`, `trap '…' EXIT`), and its functions that are given an input.
pub(super) fn nested_programs(program: &Program) -> (Vec<Program>, BTreeSet<String>) {
    let mut nested = Nested::default();
    nested.program(program);
    let mut fed: Vec<String> = nested.fed.into_iter().collect();
    // A coprocess reads what is written to a descriptor, which is not followed.
    let mut functions = BTreeSet::from([COPROCESS.to_owned()]);
    while let Some(name) = fed.pop() {
        let calls = nested.calls.get(&name).cloned().unwrap_or_default();
        if functions.insert(name) {
            fed.extend(calls);
        }
    }
    (nested.found, functions)
}

#[derive(Default)]
struct Nested {
    level: u32,
    found: Vec<Program>,
    /// The number of pipes and redirects of input around the current place.
    feeds: u32,
    /// Commands that have an input.
    fed: BTreeSet<String>,
    /// The function around this place.
    function: Option<String>,
    /// The commands in each function.
    calls: BTreeMap<String, BTreeSet<String>>,
}

impl Nested {
    fn program(&mut self, program: &Program) {
        if self.level < NESTING_MAX {
            self.list(&program.list, &program.documents, program.outer.as_ref());
        }
    }

    fn list(&mut self, list: &List, documents: &[Word], outer: Option<&Range<usize>>) {
        for pipeline in &list.pipelines {
            for (number, command) in pipeline.commands.iter().enumerate() {
                let reads = command.redirects.iter().any(|redirect| !matches!(redirect, Redirect::Output(_)));
                let feeds = u32::from(number > 0 || reads);
                self.feeds += feeds;
                self.command(command, documents, outer);
                self.feeds -= feeds;
            }
        }
    }

    fn called(&mut self, name: String) {
        if let Some(function) = &self.function {
            self.calls.entry(function.clone()).or_default().insert(name.clone());
        }
        if self.feeds > 0 {
            self.fed.insert(name);
        }
    }

    fn command(&mut self, command: &Command, documents: &[Word], outer: Option<&Range<usize>>) {
        let mut words: Vec<&Word> = Vec::new();
        for redirect in &command.redirects {
            match redirect {
                Redirect::HereDocument(number) => words.extend(documents.get(*number)),
                Redirect::HereString(word)
                | Redirect::Input(word)
                | Redirect::Output(word)
                | Redirect::Duplicate(word) => words.push(word),
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => {
                let own: Vec<Word> = arguments.iter().map(as_word).collect();
                for word in own.iter().take(2) {
                    self.called(word.literal_text());
                }
                let treatment = treatment(&own);
                for hazard in treatment.hazards.iter().filter(|hazard| hazard.role == Role::Script) {
                    self.text(own.get(hazard.word), outer);
                }
                if treatment.runs_input {
                    words.iter().for_each(|word| self.text(Some(word), outer));
                }
                own.iter().for_each(|word| self.word(word, documents, outer));
                let assigned = assignments.iter().flat_map(|assignment| assignment.value.words());
                assigned.for_each(|word| self.word(word, documents, outer));
            }
            CommandKind::Group(lists) => lists.iter().for_each(|list| self.list(list, documents, outer)),
            CommandKind::For { words: own, body, .. } => {
                words.extend(own);
                self.list(body, documents, outer);
            }
            CommandKind::Arithmetic { expression, body } => {
                words.push(expression);
                self.list(body, documents, outer);
            }
            CommandKind::Case { word, patterns, lists } => {
                words.extend(patterns.iter().chain([word]));
                lists.iter().for_each(|list| self.list(list, documents, outer));
            }
            CommandKind::Condition(own) => words.extend(own),
            CommandKind::Function { name, body } => {
                let outer_function = self.function.replace(name.clone());
                let feeds = std::mem::take(&mut self.feeds);
                self.command(body, documents, outer);
                (self.function, self.feeds) = (outer_function, feeds);
            }
        }
        words.into_iter().for_each(|word| self.word(word, documents, outer));
    }

    fn word(&mut self, word: &Word, documents: &[Word], outer: Option<&Range<usize>>) {
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Value(_) => {}
                Part::Substitution(list) | Part::OutputProcess(list) => self.list(list, documents, outer),
                Part::Arithmetic(word) => self.word(word, documents, outer),
                Part::Parameter(parameter) => match &parameter.operation {
                    Operation::None | Operation::Prompt => {}
                    Operation::Assign(word) | Operation::Slice(word) | Operation::Word(word) => {
                        self.word(word, documents, outer);
                    }
                },
            }
        }
    }

    /// Reads a word as a program. What is expanded in it stands there as a variable of the same name.
    fn text(&mut self, word: Option<&Word>, outer: Option<&Range<usize>>) {
        let Some(word) = word else { return };
        let mut text = String::new();
        for part in &word.parts {
            match part {
                Part::Literal { text: more, .. } => text.push_str(more),
                Part::Parameter(parameter) => text.push_str(&format!("${{{}}}", parameter.name)),
                Part::Value(_) | Part::Substitution(_) | Part::OutputProcess(_) | Part::Arithmetic(_) => {}
            }
        }
        if text.trim().is_empty() {
            return;
        }
        let mut parser = Parser::new(&text, &[]);
        let list = parser.script();
        let outer = outer.unwrap_or(&word.range).clone();
        let program =
            Program { list, documents: parser.documents, outer: Some(outer), is_fed: self.feeds > 0 };
        self.level += 1;
        self.program(&program);
        self.level -= 1;
        self.found.push(program);
    }
}
