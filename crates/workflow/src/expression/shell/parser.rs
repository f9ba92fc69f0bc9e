//! Reads a script as bash does: lists, pipelines, commands, redirects.
//!
//! Every script has a reading. Where one can not be followed to its end, or is nested too deeply, the reading says so.

use std::collections::VecDeque;
use std::ops::Range;

use super::super::interpolation::Interpolation;
use super::redirects::PendingDocument;
use super::syntax::{Command, CommandKind, List, Pipeline, Place, Word};
use super::words::Close;

/// Levels of nesting that are followed.
const DEPTH_MAX: u32 = 48;
/// Bytes after `name[` in which its `]` is looked for.
const SUBSCRIPT_MAX: usize = 500;
/// What a list of commands ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Text,
    Parenthesis,
    Backtick,
    Words(&'static [&'static str]),
    CaseItem,
}

/// Why a script can not be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obscurity {
    TooDeep,
    /// This has no end, or stands where none can.
    Unfinished(&'static str),
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) limit: usize,
    interpolations: &'a [Interpolation],
    pub(super) places: Vec<Place>,
    pub(super) pending: VecDeque<PendingDocument>,
    pub(super) documents: Vec<Word>,
    depth: u32,
    /// How many parentheses are open around this place.
    pub(super) parentheses: u32,
    pub(super) in_backticks: bool,
    pub(super) obscurity: Option<(Obscurity, Range<usize>)>,
    /// The first thing that bash knows and `sh` may not.
    pub(super) first_bashism: Option<usize>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, interpolations: &'a [Interpolation]) -> Parser<'a> {
        Parser {
            text,
            at: 0,
            limit: text.len(),
            interpolations,
            places: Vec::with_capacity(interpolations.len()),
            pending: VecDeque::new(),
            documents: Vec::new(),
            depth: 0,
            parentheses: 0,
            in_backticks: false,
            obscurity: None,
            first_bashism: None,
        }
    }

    pub(super) fn script(&mut self) -> List {
        let list = self.list(End::Text);
        self.places.resize(self.interpolations.len(), Place::Nowhere);
        list
    }

    pub(super) fn rest(&self) -> &'a str {
        crate::text::part(self.text, self.at..self.limit)
    }

    pub(super) fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip(&mut self, characters: usize) {
        self.at += self.rest().chars().take(characters).map(char::len_utf8).sum::<usize>();
    }

    /// Takes the `${{ }}` that starts here, if one does, and returns its number.
    pub(super) fn take(&mut self, place: Place) -> Option<usize> {
        while self.interpolations.get(self.places.len()).is_some_and(|next| next.outer.start < self.at) {
            self.places.push(Place::Nowhere);
        }
        let number = self.places.len();
        let next = self.interpolations.get(number).filter(|next| next.outer.start == self.at)?;
        self.places.push(place);
        self.at = next.outer.end.min(self.limit);
        Some(number)
    }

    pub(super) fn is_at_value(&self) -> bool {
        let mut later = self.interpolations.get(self.places.len()..).unwrap_or_default().iter();
        later.find(|next| next.outer.start >= self.at).is_some_and(|next| next.outer.start == self.at)
    }

    /// Goes one level down; false, and at the end, where there are too many.
    pub(super) fn enter(&mut self) -> bool {
        if self.depth == DEPTH_MAX {
            self.obscure(Obscurity::TooDeep);
            self.at = self.limit;
            return false;
        }
        self.depth += 1;
        true
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn obscure(&mut self, why: Obscurity) {
        let start = (0..=self.at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at));
        let start = start.unwrap_or(0);
        let end = start + self.text[start..].chars().next().map_or(0, char::len_utf8);
        self.obscurity.get_or_insert((why, start..end));
    }

    pub(super) fn unfinished(&mut self, what: &'static str) {
        self.obscure(Obscurity::Unfinished(what));
    }

    pub(super) fn bashism(&mut self) {
        self.first_bashism.get_or_insert(self.at);
    }

    pub(super) fn expect(&mut self, character: char, what: &'static str) {
        if self.next() == Some(character) {
            self.skip(1);
        } else {
            self.unfinished(what);
        }
    }

    pub(super) fn expect_keyword(&mut self, word: &'static str) {
        if self.keyword() == word {
            self.at += word.len();
        } else {
            self.unfinished(word);
        }
    }

    /// The word that stands here, if it may be one of the shell's own; else empty.
    pub(super) fn keyword(&self) -> &'a str {
        let rest = self.rest();
        let length =
            rest.find(|c: char| !(c.is_ascii_lowercase() || "{}![]".contains(c))).unwrap_or(rest.len());
        let ends =
            rest[length..].chars().next().is_none_or(|c| c.is_ascii_whitespace() || ";&|()<>`".contains(c));
        if ends { &rest[..length] } else { "" }
    }

    /// Spaces inside of a line.
    pub(super) fn spaces(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("\\\n") && !self.in_backticks {
                self.skip(2);
            } else if rest.starts_with([' ', '\t', '\r']) {
                self.skip(1);
            } else {
                return;
            }
        }
    }

    /// Spaces, comments and ends of lines.
    pub(super) fn blanks(&mut self) {
        loop {
            self.spaces();
            match self.next() {
                Some('\n') => {
                    self.skip(1);
                    self.document_bodies();
                }
                Some('#') => self.comment(),
                _ => return,
            }
        }
    }

    pub(super) fn comment(&mut self) {
        while let Some(character) = self.next() {
            if self.take(Place::Comment).is_some() {
                continue;
            }
            if character == '\n' || (character == '`' && self.in_backticks) {
                return;
            }
            self.skip(1);
        }
    }

    /// Commands up to `end`, which is left.
    pub(super) fn list(&mut self, end: End) -> List {
        let mut list = List::default();
        if !self.enter() {
            return list;
        }
        let mut is_conditional = false;
        loop {
            self.blanks();
            let Some(character) = self.next() else { break };
            let start = self.at;
            match character {
                ';' if end == End::CaseItem
                    && (self.rest().starts_with(";;") || self.rest().starts_with(";&")) =>
                {
                    break;
                }
                ')' if self.parentheses > 0 => break,
                '`' if self.in_backticks => break,
                ';' | '&' | '|' | ')' => {
                    if character == ')' {
                        self.unfinished("`)`");
                    }
                    self.skip(1);
                    continue;
                }
                _ => {}
            }
            let ends = match end {
                End::Words(words) => words.contains(&self.keyword()),
                End::CaseItem => self.keyword() == "esac",
                End::Text | End::Parenthesis | End::Backtick => false,
            };
            if ends {
                break;
            }
            let commands = self.pipeline();
            self.spaces();
            let rest = self.rest();
            let continues = rest.starts_with("&&") || rest.starts_with("||");
            let is_background = rest.starts_with('&') && !continues;
            list.pipelines.push(Pipeline { commands, is_unconditional: !is_conditional && !is_background });
            is_conditional = continues;
            if continues {
                self.skip(2);
            }
            if self.at == start {
                self.unfinished("a character");
                self.skip(1);
            }
        }
        self.leave();
        list
    }

    fn pipeline(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        loop {
            self.blanks();
            let rest = self.rest();
            if rest.starts_with('!') && (self.keyword() == "!" || rest.starts_with("!(")) {
                self.skip(1);
                continue;
            }
            if self.keyword() == "time" {
                self.skip(4);
                self.spaces();
                if self.rest().starts_with("-p") {
                    self.skip(2);
                }
                continue;
            }
            commands.push(self.command());
            self.spaces();
            let rest = self.rest();
            if !rest.starts_with('|') || rest.starts_with("||") {
                return commands;
            }
            self.skip(if rest.starts_with("|&") { 2 } else { 1 });
        }
    }

    pub(super) fn command(&mut self) -> Command {
        let mut redirects = Vec::new();
        let rest = self.rest();
        let kind = match self.keyword() {
            "if" => self.conditional(),
            "while" | "until" => {
                self.skip(5);
                let condition = self.list(End::Words(&["do"]));
                CommandKind::Group(vec![condition, self.do_group()])
            }
            "for" => self.for_loop(),
            "select" => {
                self.bashism();
                self.skip(3);
                self.for_loop()
            }
            "case" => self.case(),
            "{" => {
                self.skip(1);
                CommandKind::Group(vec![self.braced()])
            }
            "function" => {
                self.bashism();
                self.skip(8);
                self.spaces();
                let name = self.word().literal_text();
                self.spaces();
                if self.rest().starts_with('(') {
                    self.skip(1);
                    self.spaces();
                    self.expect(')', "`(`");
                }
                self.function(name)
            }
            "coproc" => {
                // What it prints is read through the array of this name.
                self.bashism();
                self.skip(6);
                self.coprocess()
            }
            "[[" => self.condition(),
            _ if rest.starts_with("((") && self.is_arithmetic(self.at + 2) => {
                self.bashism();
                self.skip(2);
                let expression = self.arithmetic(Close::Parentheses);
                CommandKind::Arithmetic { expression, body: List::default() }
            }
            _ if rest.starts_with('(') => {
                self.skip(1);
                CommandKind::Group(vec![self.parenthesized()])
            }
            _ => self.simple(&mut redirects),
        };
        loop {
            self.spaces();
            if !self.redirect(&mut redirects) {
                return Command { kind, redirects };
            }
        }
    }

    /// Whether what begins at `from`, behind `((`, ends with `))`.
    pub(super) fn is_arithmetic(&mut self, from: usize) -> bool {
        match self.closing(from, ')') {
            Some(end) => self.text.get(end + 1..self.limit).is_some_and(|after| after.starts_with(')')),
            None => true,
        }
    }

    /// Where the bracket that closes what begins at `from` stands: not in quotes, not in a nested pair.
    pub(super) fn closing(&mut self, from: usize, close: char) -> Option<usize> {
        let open = if close == ')' { '(' } else { '[' };
        let limit =
            if close == ']' { self.limit.min(from.saturating_add(SUBSCRIPT_MAX)) } else { self.limit };
        let values = self.interpolations.get(self.places.len()..).unwrap_or_default();
        let mut values = values.iter().skip_while(|value| value.outer.start < from).peekable();
        let (mut depth, mut at, mut quote) = (0_u32, from, None);
        let bytes = self.text.as_bytes();
        while at < limit {
            if values.peek().is_some_and(|value| value.outer.start < at) {
                values.next();
                continue;
            }
            if let Some(value) = values.next_if(|value| value.outer.start == at) {
                at = value.outer.end;
                continue;
            }
            let character = char::from(bytes[at]);
            match (quote, character) {
                (None | Some('"'), '\\') => at += 1,
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(character),
                (None, _) if character == open => depth += 1,
                (None, _) if character == close && depth == 0 => return Some(at),
                (None, _) if character == close => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        if limit < self.limit {
            self.unfinished("`[`");
        }
        None
    }
}
