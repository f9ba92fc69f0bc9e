//! The evaluations of an assignment: of an index, of a number, of a variable that a shell runs.

use std::ops::Range;

use super::findings::{CODE_VARIABLES, EvaluationFinder, INTEGER_VARIABLES, PROGRAM_VARIABLES, Source};
use super::programs::{Certainty, Role};
use super::syntax::{Argument, AssignedValue, Assignment, Word, name_length};

impl EvaluationFinder<'_> {
    /// `declare`, `local`, `export` and the like.
    pub(super) fn declaration(&mut self, arguments: &[Argument], is_always_run: bool) {
        let mut letters = String::new();
        for argument in arguments.iter().skip(1) {
            let (name, value) = match argument {
                Argument::Assignment(assignment) => {
                    // An index is evaluated here even if the array has texts as indices.
                    if let Some(index) = &assignment.index {
                        self.arithmetic(index);
                        self.word(index);
                    }
                    assignment.value.words().into_iter().for_each(|word| self.word(word));
                    self.elements(assignment, letters.contains('A'));
                    match &assignment.value {
                        AssignedValue::Word(word) => (assignment.name.clone(), Some(word.clone())),
                        AssignedValue::Array(elements) => {
                            if letters.contains('i') {
                                elements.iter().for_each(|element| self.arithmetic(&element.value));
                            }
                            (assignment.name.clone(), None)
                        }
                    }
                }
                Argument::Word(word) => {
                    let prefix = word.literal_prefix();
                    if prefix.starts_with(['-', '+']) {
                        letters.push_str(&prefix);
                        continue;
                    }
                    match prefix.split_once('=') {
                        Some((name, _)) => {
                            if let Some((_, index)) = name.split_once('[') {
                                let sources = self.tainted_names(index);
                                self.find(sources, Role::VariableName, Certainty::Certain, &word.range);
                            }
                            let bare = &name[..name_length(name)];
                            (bare.to_owned(), Some(word.after(name.len() + 1)))
                        }
                        None => (prefix, None),
                    }
                }
            };
            let stays = !letters.contains('+') && self.flow.stays_associative(&name);
            if letters.contains('A') && is_always_run && stays {
                self.associative.insert(name.clone());
            }
            let Some(value) = value else { continue };
            self.code_variable(&name, &value);
            let sources = self.sources(&value);
            if letters.contains('n') || self.flow.references.contains(&name) {
                self.find(sources, Role::VariableName, Certainty::Certain, &value.range);
            } else if letters.contains(['a', 'A']) || self.flow.arrays.contains(&name) {
                // The value of an array is read again as a list of elements.
                self.find(sources, Role::Script, Certainty::Certain, &value.range);
            } else if letters.contains('i') || self.stores_evaluated(&name) {
                self.arithmetic(&value);
            }
        }
    }

    pub(super) fn code_variable(&mut self, name: &str, value: &Word) {
        let name = name.trim_end_matches('+');
        let (role, certainty) = if CODE_VARIABLES.contains(&name) {
            (Role::Script, Certainty::Certain)
        } else if PROGRAM_VARIABLES.contains(&name) {
            (Role::Script, Certainty::Likely)
        } else {
            return;
        };
        self.find(self.sources(value), role, certainty, &value.range);
    }

    pub(super) fn assignment(&mut self, assignment: &Assignment) {
        let name = &assignment.name;
        if let Some(index) = &assignment.index {
            self.index(name, index);
        }
        let is_associative = self.associative.contains(name);
        self.elements(assignment, is_associative);
        for word in assignment.value.words() {
            self.word(word);
            self.code_variable(name, word);
            if self.stores_evaluated(name) {
                self.stored(name, self.sources(word), &word.range);
                self.arithmetic_unless_reference(name, word);
            }
        }
    }

    pub(super) fn arithmetic_unless_reference(&mut self, name: &str, word: &Word) {
        if !self.flow.references.contains(name) && !CODE_VARIABLES.contains(&name) {
            self.arithmetic(word);
        }
    }

    pub(super) fn elements(&mut self, assignment: &Assignment, is_associative: bool) {
        if let AssignedValue::Array(elements) = &assignment.value {
            for element in elements {
                if let Some(index) = &element.index {
                    self.word(index);
                    if !is_associative {
                        self.arithmetic(index);
                    }
                }
            }
        }
    }

    pub(super) fn index(&mut self, name: &str, index: &Word) {
        self.word(index);
        if !self.associative.contains(name) {
            self.arithmetic(index);
        }
    }

    pub(super) fn stores_evaluated(&self, name: &str) -> bool {
        INTEGER_VARIABLES.contains(&name)
            || CODE_VARIABLES.contains(&name)
            || self.flow.integers.contains(name)
            || self.flow.references.contains(name)
    }

    /// Reports a value that its assignment evaluates.
    pub(super) fn stored(&mut self, name: &str, sources: Vec<Source>, range: &Range<usize>) {
        if self.flow.references.contains(name) {
            self.find(sources, Role::VariableName, Certainty::Certain, range);
        } else if CODE_VARIABLES.contains(&name) {
            self.find(sources, Role::Script, Certainty::Certain, range);
        } else if self.stores_evaluated(name) {
            self.find(sources, Role::Arithmetic, Certainty::Certain, range);
        }
    }
}
