//! Simple commands: assignments and arguments.

use super::parser::Parser;
use super::syntax::{Argument, AssignedValue, Assignment, CommandKind, Element, Redirect, name_length};
use super::words::Close;

/// Commands whose arguments may be assignments with arrays.
pub(super) const DECLARATIONS: &[&str] = &["declare", "typeset", "local", "export", "readonly"];

impl Parser<'_> {
    pub(super) fn simple(&mut self, redirects: &mut Vec<Redirect>) -> CommandKind {
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
                        let name = name.literal_text();
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
    pub(super) fn assignment(&mut self) -> Option<Assignment> {
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

    pub(super) fn elements(&mut self) -> Vec<Element> {
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
    pub(super) fn is_assigned_at_subscript(&mut self, from: usize) -> bool {
        let Some(end) = self.closing(from, ']') else { return false };
        let after = crate::text::part(self.text, end + 1..self.limit);
        after.starts_with('=') || after.starts_with("+=")
    }
}
