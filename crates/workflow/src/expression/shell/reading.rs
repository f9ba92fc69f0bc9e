//! Reads a script, or the arguments of a command, and finds the places where values are evaluated.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::interpolation::Interpolation;
use super::findings::{EvaluationFinder, Finding};
use super::flow::{ARGUMENTS, FlowReader};
use super::nested::nested_programs;
use super::parser::{Obscurity, Parser};
use super::syntax::{
    Argument, Command, CommandKind, List, Operation, Parameter, Part, Pipeline, Place, Prefix, Word,
};

/// The kind of a value's text.
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
    /// Whether it may be any text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        *self == ValueKind::Text
    }
}

/// A script after reading.
pub(crate) struct Script {
    programs: Vec<Program>,
    /// The functions that read something of the script.
    fed_functions: BTreeSet<String>,
    /// Where each `${{ }}` stands.
    pub(crate) places: Vec<Place>,
    /// The reason why the script can not be analysed, and its place.
    pub(crate) obscurity: Option<(Obscurity, Range<usize>)>,
    /// The first place with a construct of bash that other shells may not have.
    pub(crate) first_bashism: Option<usize>,
}

/// The script itself, or a program that is a text in it.
pub(super) struct Program {
    pub(super) list: List,
    /// The bodies of here-documents.
    pub(super) documents: Vec<Word>,
    /// The place in the script, of a program in it.
    pub(super) outer: Option<Range<usize>>,
    /// Whether something of the script is its input.
    pub(super) is_fed: bool,
}

/// Reads a script with these `${{ }}` in it.
pub(crate) fn read(text: &str, interpolations: &[Interpolation]) -> Script {
    let mut parser = Parser::new(text, interpolations);
    let list = parser.script();
    let mut programs = vec![Program { list, documents: parser.documents, outer: None, is_fed: false }];
    let (nested, fed_functions) = nested_programs(&programs[0]);
    programs.extend(nested);
    let (places, obscurity) = (parser.places, parser.obscurity);
    Script { programs, fed_functions, places, obscurity, first_bashism: parser.first_bashism }
}

impl Script {
    /// Returns the places where values of these kinds, and variables of the environment that hold one, are evaluated again.
    pub(crate) fn findings(&self, kinds: &[ValueKind], environment: &[String]) -> Vec<Finding> {
        let mut reader = FlowReader::new(kinds, environment, &self.fed_functions);
        self.programs.iter().for_each(|program| reader.functions(&program.list));
        for program in &self.programs {
            reader.program(program);
        }
        let flow = reader.finish();
        let mut finder = EvaluationFinder::new(&flow, kinds, &self.fed_functions);
        self.programs.iter().for_each(|program| finder.program(program));
        finder.findings
    }
}

/// Returns the places where the arguments of one command are evaluated again. Each argument has texts and values in turn.
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
    let mut programs = vec![Program { list, documents: Vec::new(), outer: None, is_fed: false }];
    let (nested, fed_functions) = nested_programs(&programs[0]);
    programs.extend(nested);
    let script = Script { programs, fed_functions, places: Vec::new(), obscurity: None, first_bashism: None };
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
pub(super) fn positional() -> Word {
    let parameter = Parameter {
        name: ARGUMENTS.to_owned(),
        quoted: true,
        prefix: Prefix::None,
        index: None,
        operation: Operation::None,
    };
    Word { parts: vec![Part::Parameter(Box::new(parameter))], range: 0..0 }
}
