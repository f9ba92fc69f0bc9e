//! The syntax of a script: commands, words and expansions, without formatting.

use std::ops::Range;

/// The function that stands for what `coproc` runs, named like the array through which it is read.
pub(super) const COPROCESS: &str = "COPROC";

/// The place of one `${{ }}`, which decides the spelling of the reference to its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a command, without quotes.
    Bare,
    /// In double quotes, in a here-document whose end is not quoted, or in arithmetic.
    Quoted,
    /// In single quotes.
    SingleQuoted,
    /// In a here-document whose end is quoted.
    QuotedHereDocument,
    /// In a comment.
    Comment,
    /// After a backslash, as the name of a variable, or where the script can not be read.
    Nowhere,
}

/// Pipelines that run one after another.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) pipelines: Vec<Pipeline>,
}

/// Commands of which each reads what the one before prints.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) commands: Vec<Command>,
    /// Whether it runs always, and in the shell itself: not behind `&&` or `||`, not before `&`.
    pub(super) is_unconditional: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) kind: CommandKind,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Clone, Debug)]
pub(super) enum CommandKind {
    Simple {
        assignments: Vec<Assignment>,
        arguments: Vec<Argument>,
    },
    /// `( )`, `{ }`, `if`, `while`, `until`: lists, in the order in which they stand.
    Group(Vec<List>),
    /// `for x in …` and `select x in …`.
    For {
        variable: String,
        words: Vec<Word>,
        body: List,
    },
    /// `(( ))`, and `for (( ))` with its body.
    Arithmetic {
        expression: Word,
        body: List,
    },
    Case {
        word: Word,
        patterns: Vec<Word>,
        lists: Vec<List>,
    },
    /// `[[ ]]`: its words and operators.
    Condition(Vec<Word>),
    Function {
        name: String,
        body: Box<Command>,
    },
}

/// A word of a simple command.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Word(Word),
    /// `name=…` behind `declare` and its kin.
    Assignment(Assignment),
}

#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// The index in `name[…]=`.
    pub(super) index: Option<Word>,
    pub(super) value: AssignedValue,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum AssignedValue {
    Word(Word),
    Array(Vec<Element>),
}

/// `value` or `[index]=value` in the parentheses of an array.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) index: Option<Word>,
    pub(super) value: Word,
}

#[derive(Clone, Debug)]
pub(super) enum Redirect {
    /// `<<END`: the number of its body among the documents.
    HereDocument(usize),
    /// `<<<`.
    HereString(Word),
    /// `<`.
    Input(Word),
    /// `>`, `>>`, `&>` and the like.
    Output(Word),
    /// `>&` and `<&`: bash expands the word twice.
    Duplicate(Word),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal {
        text: String,
        quoted: bool,
    },
    /// The `${{ }}` with this number.
    Value(usize),
    Parameter(Box<Parameter>),
    /// `$( )`, backticks, `<( )`.
    Substitution(List),
    /// `>( )`.
    OutputProcess(List),
    /// `$(( ))` and `$[ ]`.
    Arithmetic(Word),
}

/// `$x` or `${x…}`.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// Empty if it is none that can be read.
    pub(super) name: String,
    pub(super) quoted: bool,
    pub(super) prefix: Prefix,
    pub(super) index: Option<Word>,
    pub(super) operation: Operation,
}

/// The operator before the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    None,
    /// `${#x}`.
    Length,
    /// `${!x}`.
    Indirect,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    None,
    /// `${x:=word}`.
    Assign(Word),
    /// `${x:offset:length}`.
    Slice(Word),
    /// `${x@P}`.
    Prompt,
    /// Any other with a word: a default, a pattern.
    Word(Word),
}

impl Word {
    /// A word that is only text.
    pub(super) fn of_text(text: &str, range: Range<usize>) -> Word {
        Word { parts: vec![Part::Literal { text: text.to_owned(), quoted: true }], range }
    }

    /// Its text, if nothing in it is expanded.
    pub(super) fn literal(&self) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal { text: more, .. } => text.push_str(more),
                _ => return None,
            }
        }
        Some(text)
    }

    /// Its text as [`Word::literal`]; empty if something in it is expanded.
    pub(super) fn literal_text(&self) -> String {
        self.literal().unwrap_or_default()
    }

    /// The text before the first part that is expanded.
    pub(super) fn literal_prefix(&self) -> String {
        let literals = self.parts.iter().map_while(|part| match part {
            Part::Literal { text, .. } => Some(text.as_str()),
            _ => None,
        });
        literals.collect()
    }

    /// Whether it is this text, without quotes.
    pub(super) fn is_unquoted(&self, wanted: &str) -> bool {
        matches!(self.parts.as_slice(), [Part::Literal { text, quoted: false }] if text == wanted)
    }

    /// The rest of it after `bytes` of its literal beginning.
    pub(super) fn after(&self, bytes: usize) -> Word {
        let mut left = bytes;
        let mut parts = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal { text, .. } if left >= text.len() => left -= text.len(),
                Part::Literal { text, quoted } if left > 0 => {
                    let text = crate::text::part(text, left..).to_owned();
                    parts.push(Part::Literal { text, quoted: *quoted });
                    left = 0;
                }
                part => {
                    left = 0;
                    parts.push(part.clone());
                }
            }
        }
        Word { parts, range: self.range.clone() }
    }
}

impl AssignedValue {
    /// Every word in it, indices left out.
    pub(super) fn words(&self) -> Vec<&Word> {
        match self {
            AssignedValue::Word(word) => vec![word],
            AssignedValue::Array(elements) => elements.iter().map(|element| &element.value).collect(),
        }
    }
}

/// Whether `text` can name a variable.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The length of the name at the start of `text`, 0 if there is none.
pub(super) fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}
