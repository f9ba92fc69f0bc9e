//! The values and variables that words and commands of a script may contain.

use std::collections::BTreeSet;

use super::flow::{FlowReader, LISTERS, VALUES, as_word, names_in, normalized};
use super::reading::ValueKind;
use super::sources::prints_number;
use super::syntax::{Command, CommandKind, List, Operation, Part, Prefix, Redirect, Word};

/// The values and variables that a text may contain.
#[derive(Clone, Debug, Default)]
pub(super) struct Mentions {
    pub(super) has_value: bool,
    pub(super) names: BTreeSet<String>,
}

/// A text that may contain every value of the script.
pub(super) fn anything() -> Mentions {
    Mentions { has_value: false, names: BTreeSet::from([VALUES.to_owned()]) }
}

impl Mentions {
    pub(super) fn add(&mut self, other: &Mentions) {
        self.has_value |= other.has_value;
        self.names.extend(other.names.iter().cloned());
    }
}

impl FlowReader<'_> {
    pub(super) fn mentioned(&self, word: &Word) -> Mentions {
        let mut mentions = Mentions::default();
        self.mentioned_by_word(word, &mut mentions);
        mentions
    }

    fn mentioned_by_word(&self, word: &Word, mentions: &mut Mentions) {
        for part in &word.parts {
            match part {
                Part::Literal { text, .. } => mentions.names.extend(names_in(text).map(ToOwned::to_owned)),
                Part::Value(number) => {
                    mentions.has_value |= self.kinds.get(*number).is_none_or(|kind| *kind == ValueKind::Text);
                }
                Part::Parameter(parameter) => {
                    if parameter.prefix != Prefix::Length {
                        mentions.names.insert(normalized(&parameter.name).to_owned());
                    }
                    if parameter.prefix == Prefix::Indirect {
                        mentions.names.insert(VALUES.to_owned());
                    }
                    if let Operation::Assign(word) | Operation::Word(word) = &parameter.operation {
                        self.mentioned_by_word(word, mentions);
                    }
                }
                Part::Substitution(list) | Part::OutputProcess(list) => {
                    if !prints_number(list) {
                        self.mentioned_by_list(list, mentions);
                    }
                }
                Part::Arithmetic(_) => {}
            }
        }
    }

    fn mentioned_by_list(&self, list: &List, mentions: &mut Mentions) {
        for command in list.pipelines.iter().flat_map(|pipeline| &pipeline.commands) {
            self.mentioned_by_command(command, mentions);
        }
    }

    pub(super) fn mentioned_by_command(&self, command: &Command, mentions: &mut Mentions) {
        for redirect in &command.redirects {
            match redirect {
                Redirect::HereDocument(number) => {
                    self.documents
                        .get(*number)
                        .into_iter()
                        .for_each(|word| self.mentioned_by_word(word, mentions));
                }
                Redirect::HereString(word) | Redirect::Input(word) | Redirect::Duplicate(word) => {
                    self.mentioned_by_word(word, mentions);
                }
                Redirect::Output(_) => {}
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => {
                for word in assignments.iter().flat_map(|assignment| assignment.value.words()) {
                    self.mentioned_by_word(word, mentions);
                }
                let words: Vec<Word> = arguments.iter().map(as_word).collect();
                words.iter().for_each(|word| self.mentioned_by_word(word, mentions));
                if words.first().and_then(Word::literal).is_some_and(|name| LISTERS.contains(&name.as_str()))
                {
                    mentions.names.insert(VALUES.to_owned());
                }
            }
            CommandKind::Group(lists) => lists.iter().for_each(|list| self.mentioned_by_list(list, mentions)),
            CommandKind::For { words, body, .. } => {
                words.iter().for_each(|word| self.mentioned_by_word(word, mentions));
                self.mentioned_by_list(body, mentions);
            }
            CommandKind::Arithmetic { body, .. } => self.mentioned_by_list(body, mentions),
            CommandKind::Case { lists, .. } => {
                lists.iter().for_each(|list| self.mentioned_by_list(list, mentions))
            }
            CommandKind::Condition(_) => {}
            CommandKind::Function { body, .. } => self.mentioned_by_command(body, mentions),
        }
    }
}
