//! Words: quotes, expansions, arithmetic.

use super::parser::{End, Parser};
use super::syntax::{List, Operation, Parameter, Part, Place, Prefix, Word, name_length};

/// The parts of a word while it is read.
#[derive(Default)]
pub(super) struct Parts(pub(super) Vec<Part>);

impl Parts {
    fn push(&mut self, character: char, is_quoted: bool) {
        if let Some(Part::Literal { text, quoted }) = self.0.last_mut()
            && *quoted == is_quoted
        {
            text.push(character);
        } else {
            self.0.push(Part::Literal { text: character.to_string(), quoted: is_quoted });
        }
    }

    /// The last character, if it stands there as it is.
    fn last_unquoted(&self) -> Option<char> {
        match self.0.last() {
            Some(Part::Literal { text, quoted: false }) => text.chars().next_back(),
            _ => None,
        }
    }
}

impl Parser<'_> {
    /// One word of a command; empty where none stands.
    pub(super) fn word(&mut self) -> Word {
        let start = self.at;
        let mut parts = Parts::default();
        // Inside `@( )` and its kin the characters that end a word are a part of it.
        let mut pattern_depth = 0_u32;
        while let Some(character) = self.next() {
            if let Some(value) = self.take(Place::Bare) {
                parts.0.push(Part::Value(value));
                continue;
            }
            match character {
                '`' if self.in_backticks => break,
                '<' | '>' if self.rest()[1..].starts_with('(') => self.process(character, &mut parts),
                '(' if pattern_depth > 0 || parts.last_unquoted().is_some_and(|c| "?*+@!".contains(c)) => {
                    pattern_depth += 1;
                    self.skip(1);
                    parts.push('(', false);
                }
                ')' if pattern_depth > 0 => {
                    pattern_depth -= 1;
                    self.skip(1);
                    parts.push(')', false);
                }
                _ if pattern_depth == 0
                    && (character.is_ascii_whitespace() || ";&|<>()".contains(character)) =>
                {
                    break;
                }
                _ => self.part(character, &mut parts),
            }
        }
        if pattern_depth > 0 {
            self.unfinished("`(`");
        }
        Word { parts: parts.0, range: start..self.at }
    }

    /// What stands at `character`, outside of quotes.
    pub(super) fn part(&mut self, character: char, parts: &mut Parts) {
        match character {
            '\\' => self.escape(parts),
            '\'' => {
                self.skip(1);
                self.single_quotes(false, parts);
            }
            '"' => {
                self.skip(1);
                self.double_quotes(parts);
            }
            '$' => self.dollar(false, parts),
            '`' => self.backticks(parts),
            _ => {
                self.skip(1);
                parts.push(character, false);
            }
        }
    }

    fn process(&mut self, character: char, parts: &mut Parts) {
        self.bashism();
        self.skip(2);
        let list = self.parenthesized();
        parts.0.push(if character == '<' { Part::Substitution(list) } else { Part::OutputProcess(list) });
    }

    /// What follows an opening parenthesis, up to the closing one, which is taken.
    pub(super) fn parenthesized(&mut self) -> List {
        let outer = (self.parentheses, self.in_backticks);
        (self.parentheses, self.in_backticks) = (outer.0 + 1, false);
        let list = self.list(End::Parenthesis);
        (self.parentheses, self.in_backticks) = outer;
        self.expect(')', "`(`");
        list
    }

    fn backticks(&mut self, parts: &mut Parts) {
        self.skip(1);
        let outer = (self.parentheses, self.in_backticks);
        (self.parentheses, self.in_backticks) = (0, true);
        let list = self.list(End::Backtick);
        (self.parentheses, self.in_backticks) = outer;
        self.expect('`', "a backtick");
        parts.0.push(Part::Substitution(list));
    }

    fn escape(&mut self, parts: &mut Parts) {
        self.skip(1);
        if self.in_backticks {
            // The shell takes one backslash away before it reads what stands between backticks.
            match self.next() {
                Some('$') if !self.is_at_value() => return,
                Some('`' | '"' | '\\') => self.unfinished("a backslash between backticks"),
                _ => {}
            }
        }
        if self.take(Place::Nowhere).is_some() {
            return;
        }
        match self.next() {
            Some('\n') => self.skip(1),
            Some(character) => {
                self.skip(1);
                parts.push(character, true);
            }
            None => {}
        }
    }

    fn single_quotes(&mut self, has_escapes: bool, parts: &mut Parts) {
        parts.0.push(Part::Literal { text: String::new(), quoted: true });
        while let Some(character) = self.next() {
            if self.take(Place::SingleQuoted).is_some() {
                continue;
            }
            self.skip(1);
            match character {
                '\'' => return,
                '\\' if has_escapes => {
                    if let Some(escaped) = self.next().filter(|_| !self.is_at_value()) {
                        self.skip(1);
                        parts.push(escaped, true);
                    }
                }
                _ => parts.push(character, true),
            }
        }
        self.unfinished("a quote");
    }

    fn double_quotes(&mut self, parts: &mut Parts) {
        parts.0.push(Part::Literal { text: String::new(), quoted: true });
        while let Some(character) = self.next() {
            if character == '"' && !self.is_at_value() {
                self.skip(1);
                return;
            }
            self.quoted_part(character, parts);
        }
        self.unfinished("a quote");
    }

    /// What stands at `character`, in double quotes or in a here-document.
    pub(super) fn quoted_part(&mut self, character: char, parts: &mut Parts) {
        if let Some(value) = self.take(Place::Quoted) {
            parts.0.push(Part::Value(value));
            return;
        }
        match character {
            '\\' => self.escape(parts),
            '$' => self.dollar(true, parts),
            '`' => self.backticks(parts),
            _ => {
                self.skip(1);
                parts.push(character, true);
            }
        }
    }

    fn dollar(&mut self, quoted: bool, parts: &mut Parts) {
        let rest = self.rest();
        if rest.starts_with("$((") && self.is_arithmetic(self.at + 3) {
            self.skip(3);
            parts.0.push(Part::Arithmetic(self.arithmetic(Close::Parentheses)));
        } else if rest.starts_with("$(") {
            self.skip(2);
            parts.0.push(Part::Substitution(self.parenthesized()));
        } else if rest.starts_with("${") {
            self.skip(2);
            let parameter = self.braces(quoted);
            parts.0.push(Part::Parameter(Box::new(parameter)));
        } else if rest.starts_with("$[") {
            self.bashism();
            self.skip(2);
            parts.0.push(Part::Arithmetic(self.arithmetic(Close::Bracket)));
        } else if !quoted && rest.starts_with("$'") {
            self.bashism();
            self.skip(2);
            self.single_quotes(true, parts);
        } else if !quoted && rest.starts_with("$\"") {
            self.bashism();
            self.skip(2);
            self.double_quotes(parts);
        } else {
            self.skip(1);
            self.plain_parameter(quoted, parts);
        }
    }

    fn plain_parameter(&mut self, quoted: bool, parts: &mut Parts) {
        if self.is_at_value() {
            return parts.push('$', quoted);
        }
        let length = match (name_length(self.rest()), self.next()) {
            (0, Some(c)) if c.is_ascii_digit() || "@*#?$!-".contains(c) => 1,
            (0, _) => return parts.push('$', quoted),
            (length, _) => length,
        };
        let name = self.rest()[..length].to_owned();
        self.at += length;
        let (prefix, index, operation) = (Prefix::None, None, Operation::None);
        parts.0.push(Part::Parameter(Box::new(Parameter { name, quoted, prefix, index, operation })));
    }

    /// What stands in `${…}`, with its end.
    fn braces(&mut self, quoted: bool) -> Parameter {
        let mut parameter = Parameter {
            name: String::new(),
            quoted,
            prefix: Prefix::None,
            index: None,
            operation: Operation::None,
        };
        if !self.enter() {
            return parameter;
        }
        if self.take(Place::Nowhere).is_none() {
            self.braces_name(&mut parameter);
        }
        parameter.operation = self.operation(quoted);
        self.leave();
        parameter
    }

    fn braces_name(&mut self, parameter: &mut Parameter) {
        let after = self.rest().chars().nth(1);
        let is_prefix = after.is_some_and(|c| c.is_ascii_alphanumeric() || "_@*?$!-#".contains(c));
        match self.next() {
            Some('#') if is_prefix => parameter.prefix = Prefix::Length,
            Some('!') if is_prefix => parameter.prefix = Prefix::Indirect,
            _ => {}
        }
        if parameter.prefix != Prefix::None {
            self.skip(1);
        }
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let length = match rest.chars().next() {
            Some(c) if "@*#?$!-".contains(c) => 1,
            _ => name_length(rest).max(digits),
        };
        parameter.name = rest[..length].to_owned();
        self.at += length;
        if self.next() == Some('[') && !self.is_at_value() {
            self.skip(1);
            parameter.index = Some(self.arithmetic(Close::Bracket));
        }
    }

    /// What follows the name, up to the closing brace.
    fn operation(&mut self, quoted: bool) -> Operation {
        let rest = self.rest();
        let is_default = rest.starts_with(":-") || rest.starts_with(":+") || rest.starts_with(":?");
        let is_assigned = rest.starts_with(":=") || rest.starts_with('=');
        let is_slice = rest.starts_with(':') && !is_default && !is_assigned;
        let is_prompt = rest.starts_with("@P");
        if rest.starts_with('}') {
            self.skip(1);
            return Operation::None;
        }
        self.skip(if is_default || rest.starts_with(":=") { 2 } else { usize::from(!self.is_at_value()) });
        let word = self.braces_word(quoted || is_slice);
        if is_assigned {
            Operation::Assign(word)
        } else if is_slice {
            Operation::Slice(word)
        } else if is_prompt {
            Operation::Prompt
        } else {
            Operation::Word(word)
        }
    }

    fn braces_word(&mut self, quoted: bool) -> Word {
        let start = self.at;
        let mut parts = Parts::default();
        while let Some(character) = self.next() {
            if character == '}' && !self.is_at_value() {
                let word = Word { parts: parts.0, range: start..self.at };
                self.skip(1);
                return word;
            }
            let place = if quoted { Place::Quoted } else { Place::Bare };
            if let Some(value) = self.take(place) {
                parts.0.push(Part::Value(value));
                continue;
            }
            match character {
                '"' => self.part(character, &mut parts),
                _ if quoted => self.quoted_part(character, &mut parts),
                _ => self.part(character, &mut parts),
            }
        }
        self.unfinished("`${`");
        Word { parts: parts.0, range: start..self.at }
    }

    /// Arithmetic up to its end, which is taken.
    pub(super) fn arithmetic(&mut self, close: Close) -> Word {
        let start = self.at;
        let mut parts = Parts::default();
        if !self.enter() {
            return Word::default();
        }
        let mut depth = 0_u32;
        while let Some(character) = self.next() {
            if let Some(value) = self.take(Place::Quoted) {
                parts.0.push(Part::Value(value));
                continue;
            }
            let closes = depth == 0
                && match close {
                    Close::Parentheses => self.rest().starts_with("))"),
                    Close::Bracket => character == ']',
                };
            if closes {
                let word = Word { parts: parts.0, range: start..self.at };
                self.skip(if close == Close::Parentheses { 2 } else { 1 });
                self.leave();
                return word;
            }
            match (close, character) {
                (Close::Parentheses, '(') | (Close::Bracket, '[') => depth += 1,
                (Close::Parentheses, ')') | (Close::Bracket, ']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            match character {
                '$' => self.dollar(true, &mut parts),
                _ => self.part(character, &mut parts),
            }
        }
        self.unfinished(if close == Close::Parentheses { "`((`" } else { "`[`" });
        self.leave();
        Word { parts: parts.0, range: start..self.at }
    }
}

/// What ends arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    Parentheses,
    Bracket,
}
