//! Reads a script as bash does: lists, pipelines, commands, redirects.
//!
//! Every script has a reading. Where one can not be followed to its end, or is nested too deeply, the reading says so.

use std::collections::VecDeque;
use std::ops::Range;

use super::super::interpolation::Interpolation;
use super::syntax::{
    Argument, AssignedValue, Assignment, Command, CommandKind, Element, List, Pipeline, Place, Redirect,
    Word, name_length,
};
use super::words::{Close, Parts};

/// Levels of nesting that are followed.
const DEPTH_MAX: u32 = 48;
/// Bytes after `name[` in which its `]` is looked for.
const SUBSCRIPT_MAX: usize = 500;
/// Commands whose arguments may be assignments with arrays.
const DECLARATIONS: &[&str] = &["declare", "typeset", "local", "export", "readonly"];

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

struct PendingDocument {
    delimiter: String,
    is_quoted: bool,
    tabs_stripped: bool,
    number: usize,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    pub(super) at: usize,
    limit: usize,
    interpolations: &'a [Interpolation],
    pub(super) places: Vec<Place>,
    pending: VecDeque<PendingDocument>,
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
        self.text.get(self.at..self.limit).unwrap_or_default()
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

    fn expect_keyword(&mut self, word: &'static str) {
        if self.keyword() == word {
            self.at += word.len();
        } else {
            self.unfinished(word);
        }
    }

    /// The word that stands here, if it may be one of the shell's own; else empty.
    fn keyword(&self) -> &'a str {
        let rest = self.rest();
        let length =
            rest.find(|c: char| !(c.is_ascii_lowercase() || "{}![]".contains(c))).unwrap_or(rest.len());
        let ends =
            rest[length..].chars().next().is_none_or(|c| c.is_ascii_whitespace() || ";&|()<>`".contains(c));
        if ends { &rest[..length] } else { "" }
    }

    /// Spaces inside of a line.
    fn spaces(&mut self) {
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
    fn blanks(&mut self) {
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

    fn comment(&mut self) {
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

    fn command(&mut self) -> Command {
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
                let name = self.word().literal().unwrap_or_default();
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
                self.blanks();
                self.function("COPROC".to_owned())
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

    fn function(&mut self, name: String) -> CommandKind {
        self.blanks();
        if !self.enter() {
            return CommandKind::Group(Vec::new());
        }
        let body = Box::new(self.command());
        self.leave();
        CommandKind::Function { name, body }
    }

    fn conditional(&mut self) -> CommandKind {
        self.skip(2);
        let mut lists = vec![self.list(End::Words(&["then"]))];
        self.expect_keyword("then");
        loop {
            lists.push(self.list(End::Words(&["elif", "else", "fi"])));
            match self.keyword() {
                "elif" => {
                    self.skip(4);
                    lists.push(self.list(End::Words(&["then"])));
                    self.expect_keyword("then");
                }
                "else" => self.skip(4),
                _ => {
                    self.expect_keyword("fi");
                    return CommandKind::Group(lists);
                }
            }
        }
    }

    fn do_group(&mut self) -> List {
        self.expect_keyword("do");
        let body = self.list(End::Words(&["done"]));
        self.expect_keyword("done");
        body
    }

    fn braced(&mut self) -> List {
        let body = self.list(End::Words(&["}"]));
        self.expect_keyword("}");
        body
    }

    /// The body of `for`: `do … done` or `{ … }`.
    fn for_body(&mut self) -> List {
        self.blanks();
        if self.next() == Some(';') {
            self.skip(1);
            self.blanks();
        }
        if self.keyword() == "{" {
            self.skip(1);
            return self.braced();
        }
        self.do_group()
    }

    fn for_loop(&mut self) -> CommandKind {
        self.skip(3);
        self.spaces();
        if self.rest().starts_with("((") {
            self.bashism();
            self.skip(2);
            let expression = self.arithmetic(Close::Parentheses);
            return CommandKind::Arithmetic { expression, body: self.for_body() };
        }
        let variable = self.word().literal().unwrap_or_default();
        self.blanks();
        let mut words = Vec::new();
        if self.keyword() == "in" {
            self.skip(2);
            loop {
                self.spaces();
                let start = self.at;
                if self.next() == Some('#') {
                    self.comment();
                }
                words.push(self.word());
                if self.at == start {
                    words.pop();
                    break;
                }
            }
        } else {
            words.push(super::positional());
        }
        CommandKind::For { variable, words, body: self.for_body() }
    }

    fn case(&mut self) -> CommandKind {
        self.skip(4);
        self.spaces();
        let word = self.word();
        self.blanks();
        self.expect_keyword("in");
        let (mut patterns, mut lists) = (Vec::new(), Vec::new());
        loop {
            self.blanks();
            let start = self.at;
            if self.keyword() == "esac" || self.next().is_none() {
                self.expect_keyword("esac");
                return CommandKind::Case { word, patterns, lists };
            }
            if self.next() == Some('(') {
                self.skip(1);
            }
            loop {
                self.blanks();
                patterns.push(self.word());
                self.blanks();
                if self.next() != Some('|') {
                    break;
                }
                self.skip(1);
            }
            self.expect(')', "a pattern of `case`");
            lists.push(self.list(End::CaseItem));
            let ends = [";;&", ";;", ";&"].into_iter().find(|end| self.rest().starts_with(end));
            self.skip(ends.map_or(0, str::len));
            if self.at == start {
                self.unfinished("`case`");
                return CommandKind::Case { word, patterns, lists };
            }
        }
    }

    fn condition(&mut self) -> CommandKind {
        self.bashism();
        self.skip(2);
        let mut words = Vec::new();
        loop {
            self.blanks();
            let start = self.at;
            let Some(character) = self.next() else {
                self.unfinished("`[[`");
                break;
            };
            if self.keyword() == "]]" {
                self.skip(2);
                break;
            }
            let is_process = matches!(character, '<' | '>') && self.rest()[1..].starts_with('(');
            if ";&|<>()".contains(character) && !is_process {
                self.skip(1);
                let text = character.to_string();
                let parts = vec![super::syntax::Part::Literal { text, quoted: false }];
                words.push(Word { parts, range: start..self.at });
                continue;
            }
            words.push(self.word());
            if self.at == start {
                self.unfinished("`[[`");
                break;
            }
        }
        CommandKind::Condition(words)
    }

    fn simple(&mut self, redirects: &mut Vec<Redirect>) -> CommandKind {
        let (mut assignments, mut arguments): (Vec<Assignment>, Vec<Argument>) = (Vec::new(), Vec::new());
        let mut declares = false;
        loop {
            self.spaces();
            if self.redirect(redirects) {
                continue;
            }
            match self.next() {
                None | Some('\n' | ';' | '&' | '|' | ')') => break,
                Some('`') if self.in_backticks => break,
                Some('#') => {
                    self.comment();
                    break;
                }
                Some('(') => match arguments.as_slice() {
                    [Argument::Word(name)] if assignments.is_empty() => {
                        let name = name.literal().unwrap_or_default();
                        self.skip(1);
                        self.spaces();
                        self.expect(')', "`(`");
                        return self.function(name);
                    }
                    _ => {
                        self.unfinished("`(`");
                        self.skip(1);
                        break;
                    }
                },
                Some(_) => {}
            }
            if (arguments.is_empty() || declares)
                && let Some(assignment) = self.assignment()
            {
                if arguments.is_empty() {
                    assignments.push(assignment);
                } else {
                    arguments.push(Argument::Assignment(assignment));
                }
                continue;
            }
            let start = self.at;
            let word = self.word();
            if self.at == start {
                self.unfinished("a character");
                self.skip(1);
            }
            declares |= word.literal().is_some_and(|text| DECLARATIONS.contains(&text.as_str()));
            arguments.push(Argument::Word(word));
        }
        CommandKind::Simple { assignments, arguments }
    }

    /// `name=…`, `name+=…`, `name[…]=…`, if one stands here.
    fn assignment(&mut self) -> Option<Assignment> {
        let start = self.at;
        if self.is_at_value() {
            return None;
        }
        let rest = self.rest();
        let length = name_length(rest);
        let name = rest.get(..length).filter(|name| !name.is_empty())?.to_owned();
        let after = &rest[length..];
        let index = if after.starts_with('[') {
            if !self.is_assigned_at_subscript(self.at + length + 1) {
                return None;
            }
            self.at += length + 1;
            Some(self.arithmetic(Close::Bracket))
        } else if after.starts_with('=') || after.starts_with("+=") {
            self.at += length;
            None
        } else {
            return None;
        };
        self.skip(if self.rest().starts_with('+') { 2 } else { 1 });
        let value = if self.next() == Some('(') {
            self.bashism();
            self.skip(1);
            AssignedValue::Array(self.elements())
        } else {
            AssignedValue::Word(self.word())
        };
        Some(Assignment { name, index, value, range: start..self.at })
    }

    fn elements(&mut self) -> Vec<Element> {
        let mut elements = Vec::new();
        if !self.enter() {
            return elements;
        }
        loop {
            self.blanks();
            match self.next() {
                None => {
                    self.unfinished("`(`");
                    break;
                }
                Some(')') => {
                    self.skip(1);
                    break;
                }
                Some('[') if self.is_assigned_at_subscript(self.at + 1) => {
                    self.skip(1);
                    let index = Some(self.arithmetic(Close::Bracket));
                    self.skip(if self.rest().starts_with('+') { 2 } else { 1 });
                    elements.push(Element { index, value: self.word() });
                }
                Some(_) => {
                    let start = self.at;
                    elements.push(Element { index: None, value: self.word() });
                    if self.at == start {
                        self.unfinished("`(`");
                        self.skip(1);
                    }
                }
            }
        }
        self.leave();
        elements
    }

    /// Whether the subscript that begins at `from` ends with `]=` or `]+=`.
    fn is_assigned_at_subscript(&mut self, from: usize) -> bool {
        let Some(end) = self.closing(from, ']') else { return false };
        let after = self.text.get(end + 1..self.limit).unwrap_or_default();
        after.starts_with('=') || after.starts_with("+=")
    }

    /// Whether what begins at `from`, behind `((`, ends with `))`.
    pub(super) fn is_arithmetic(&mut self, from: usize) -> bool {
        match self.closing(from, ')') {
            Some(end) => self.text.get(end + 1..self.limit).is_some_and(|after| after.starts_with(')')),
            None => true,
        }
    }

    /// Where the bracket that closes what begins at `from` stands: not in quotes, not in a nested pair.
    fn closing(&mut self, from: usize, close: char) -> Option<usize> {
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

    /// Takes a redirect, if one stands here.
    fn redirect(&mut self, redirects: &mut Vec<Redirect>) -> bool {
        const OPERATORS: &[&str] = &["&>>", "&>", "<<<", "<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">"];
        let rest = self.rest();
        if self.is_at_value() {
            return false;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut lead = digits;
        if let Some(inner) = rest.strip_prefix('{') {
            let length = name_length(inner);
            if length > 0 && inner[length..].starts_with('}') {
                lead = length + 2;
            }
        }
        let after = &rest[lead..];
        let Some(operator) = OPERATORS.iter().find(|operator| after.starts_with(**operator)) else {
            return false;
        };
        if (lead > 0 && operator.starts_with('&'))
            || (lead == 0 && (after.starts_with("<(") || after.starts_with(">(")))
        {
            return false;
        }
        if operator.starts_with('&') || *operator == "<<<" || rest.starts_with('{') {
            self.bashism();
        }
        self.at += lead + operator.len();
        self.spaces();
        let redirect = match *operator {
            "<<" | "<<-" => self.document(*operator == "<<-"),
            "<<<" => Redirect::HereString(self.word()),
            "<" | "<>" => Redirect::Input(self.word()),
            "<&" | ">&" => Redirect::Duplicate(self.word()),
            _ => Redirect::Output(self.word()),
        };
        redirects.push(redirect);
        true
    }

    fn document(&mut self, tabs_stripped: bool) -> Redirect {
        let (mut delimiter, mut is_quoted, mut quote) = (String::new(), false, None);
        while let Some(character) = self.next() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => delimiter.push(character),
                (None, '\'' | '"') => {
                    is_quoted = true;
                    quote = Some(character);
                }
                (None, '\\') => is_quoted = true,
                (None, _) if character.is_ascii_whitespace() || ";&|<>()".contains(character) => break,
                (None, _) => delimiter.push(character),
            }
            self.skip(1);
        }
        if delimiter.contains(['$', '`']) {
            self.unfinished("the end of a here-document");
        }
        let number = self.documents.len();
        self.documents.push(Word::default());
        self.pending.push_back(PendingDocument { delimiter, is_quoted, tabs_stripped, number });
        Redirect::HereDocument(number)
    }

    fn document_bodies(&mut self) {
        while let Some(document) = self.pending.pop_front() {
            let body = self.document_body(&document);
            if let Some(place) = self.documents.get_mut(document.number) {
                *place = body;
            }
        }
    }

    fn document_body(&mut self, document: &PendingDocument) -> Word {
        let (body_end, end) = self.document_end(document);
        let outer = (self.limit, self.in_backticks);
        (self.limit, self.in_backticks) = (body_end, false);
        let start = self.at;
        let mut parts = Parts::default();
        while let Some(character) = self.next() {
            if !document.is_quoted {
                self.quoted_part(character, &mut parts);
            } else if self.take(Place::QuotedHereDocument).is_none() {
                self.skip(1);
            }
        }
        if document.is_quoted {
            let text = self.text.get(start..body_end).unwrap_or_default().to_owned();
            parts.0.push(super::syntax::Part::Literal { text, quoted: true });
        }
        (self.limit, self.in_backticks) = outer;
        self.at = end.max(self.at);
        Word { parts: parts.0, range: start..body_end }
    }

    /// Where the text of a here-document ends, and where the line with its end does.
    fn document_end(&self, document: &PendingDocument) -> (usize, usize) {
        let mut start = self.at;
        for line in self.rest().split_inclusive('\n') {
            let bare = line.strip_suffix('\n').unwrap_or(line);
            let bare = if document.tabs_stripped { bare.trim_start_matches('\t') } else { bare };
            if bare == document.delimiter {
                return (start, start + line.len());
            }
            start += line.len();
        }
        (self.limit, self.limit)
    }
}
