//! Scripts of bash and of POSIX shells: where each `${{ }}` stands, and what the shell would evaluate again.
//!
//! `parser`, `compound`, `simple`, `redirects` and `words` read a script into the types of `syntax`. `flow` says which variables
//! may hold a value, `sources` which words do, `programs` what commands do with their words, `interpreters` how programs are
//! given code. `findings` and `assignments` put these together.

mod assignments;
mod compound;
mod findings;
mod flow;
mod interpreters;
mod parser;
mod programs;
mod redirects;
mod simple;
mod sources;
mod syntax;
mod words;

use std::ops::Range;

use super::interpolation::Interpolation;
pub(crate) use findings::{CODE_VARIABLES, Finding, PROGRAM_VARIABLES, Source};
use flow::{ARGUMENTS, FlowReader, as_word};
pub(crate) use parser::Obscurity;
use parser::Parser;
pub(crate) use programs::Role;
use programs::treatment;
use serde::{Deserialize, Serialize};
pub(crate) use syntax::Place;
use syntax::{
    Argument, Command, CommandKind, List, Operation, Parameter, Part, Pipeline, Prefix, Redirect, Word,
};

/// Programs in programs that are read.
const NESTING_MAX: u32 = 3;

/// What is known of the text of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Any text.
    #[default]
    Text,
    /// A number, whole or not.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl ValueKind {
    /// Whether nothing is known of it.
    #[must_use]
    pub fn is_text(&self) -> bool {
        *self == ValueKind::Text
    }
}

/// A script as it was read.
pub(crate) struct Script {
    programs: Vec<Program>,
    /// Where each `${{ }}` stands.
    pub(crate) places: Vec<Place>,
    /// Why it can not be followed, and where.
    pub(crate) obscurity: Option<(Obscurity, Range<usize>)>,
    /// The first place of what bash knows and other shells may not.
    pub(crate) first_bashism: Option<usize>,
}

/// The script itself, or a program that is a text in it.
struct Program {
    list: List,
    /// The bodies of here-documents.
    documents: Vec<Word>,
    /// The place in the script, of a program in it.
    outer: Option<Range<usize>>,
}

/// Reads a script with these `${{ }}` in it.
pub(crate) fn read(text: &str, interpolations: &[Interpolation]) -> Script {
    let mut parser = Parser::new(text, interpolations);
    let list = parser.script();
    let mut programs = vec![Program { list, documents: parser.documents, outer: None }];
    let mut nested = Nested { level: 0, found: Vec::new() };
    nested.program(&programs[0]);
    programs.append(&mut nested.found);
    let (places, obscurity) = (parser.places, parser.obscurity);
    Script { programs, places, obscurity, first_bashism: parser.first_bashism }
}

impl Script {
    /// Where values of these kinds, and variables of the environment that hold one, are evaluated again.
    pub(crate) fn findings(&self, kinds: &[ValueKind], environment: &[String]) -> Vec<Finding> {
        let mut reader = FlowReader::new(kinds, environment);
        self.programs.iter().for_each(|program| reader.functions(&program.list));
        for program in &self.programs {
            reader.program(&program.list, &program.documents);
        }
        let flow = reader.finish();
        let mut judge = findings::Judge::new(&flow, kinds);
        self.programs.iter().for_each(|program| judge.program(program));
        judge.findings
    }
}

/// Where the arguments of one command, of which each has texts and values in turn, are evaluated again.
pub(crate) fn findings_of_command(words: &[Vec<ArgumentPart<'_>>], kinds: &[ValueKind]) -> Vec<Finding> {
    let word = |parts: &Vec<ArgumentPart<'_>>| {
        let parts = parts.iter().map(|part| match part {
            ArgumentPart::Text(text) => Part::Literal { text: (*text).to_owned(), quoted: true },
            ArgumentPart::Value(number) => Part::Value(*number),
        });
        Argument::Word(Word { parts: parts.collect(), range: 0..0 })
    };
    let arguments = words.iter().map(word).collect();
    let kind = CommandKind::Simple { assignments: Vec::new(), arguments };
    let commands = vec![Command { kind, redirects: Vec::new() }];
    let list = List { pipelines: vec![Pipeline { commands, is_unconditional: true }] };
    let mut programs = vec![Program { list, documents: Vec::new(), outer: None }];
    let mut nested = Nested { level: 0, found: Vec::new() };
    nested.program(&programs[0]);
    programs.append(&mut nested.found);
    let script = Script { programs, places: Vec::new(), obscurity: None, first_bashism: None };
    script.findings(kinds, &[])
}

/// A part of an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ArgumentPart<'a> {
    Text(&'a str),
    /// The value with this number.
    Value(usize),
}

/// The arguments of a script or function, as a word.
fn positional() -> Word {
    let parameter = Parameter {
        name: ARGUMENTS.to_owned(),
        quoted: true,
        prefix: Prefix::None,
        index: None,
        operation: Operation::None,
    };
    Word { parts: vec![Part::Parameter(Box::new(parameter))], range: 0..0 }
}

/// Finds the programs of shells that are texts in a program: `bash -c '…'`, `trap '…' EXIT`.
struct Nested {
    level: u32,
    found: Vec<Program>,
}

impl Nested {
    fn program(&mut self, program: &Program) {
        if self.level < NESTING_MAX {
            self.list(&program.list, &program.documents, program.outer.as_ref());
        }
    }

    fn list(&mut self, list: &List, documents: &[Word], outer: Option<&Range<usize>>) {
        for command in list.pipelines.iter().flat_map(|pipeline| &pipeline.commands) {
            self.command(command, documents, outer);
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
            CommandKind::Function { body, .. } => self.command(body, documents, outer),
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
        let program = Program { list, documents: parser.documents, outer: Some(outer) };
        self.level += 1;
        self.program(&program);
        self.level -= 1;
        self.found.push(program);
    }
}
