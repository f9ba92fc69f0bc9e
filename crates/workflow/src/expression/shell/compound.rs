//! Compound commands: conditions, loops, `case`, functions.

use super::parser::{End, Parser};
use super::syntax::{COPROCESS, Command, CommandKind, List, Part, Word, name_length};
use super::words::Close;

impl Parser<'_> {
    pub(super) fn function(&mut self, name: String) -> CommandKind {
        self.blanks();
        if !self.enter() {
            return CommandKind::Group(Vec::new());
        }
        let body = Box::new(self.command());
        self.leave();
        CommandKind::Function { name, body }
    }

    /// What follows `coproc`: a command, or a name and a compound command.
    pub(super) fn coprocess(&mut self) -> CommandKind {
        self.blanks();
        let length = name_length(self.rest());
        let after = self.rest()[length..].trim_start_matches([' ', '\t']);
        let is_named = length > 0 && !self.is_at_value() && after.starts_with(['{', '(']);
        if !is_named {
            return self.function(COPROCESS.to_owned());
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        let kind = self.function(COPROCESS.to_owned());
        CommandKind::Function { name, body: Box::new(Command { kind, redirects: Vec::new() }) }
    }

    pub(super) fn conditional(&mut self) -> CommandKind {
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

    pub(super) fn do_group(&mut self) -> List {
        self.expect_keyword("do");
        let body = self.list(End::Words(&["done"]));
        self.expect_keyword("done");
        body
    }

    pub(super) fn braced(&mut self) -> List {
        let body = self.list(End::Words(&["}"]));
        self.expect_keyword("}");
        body
    }

    /// The body of `for`: `do … done` or `{ … }`.
    pub(super) fn for_body(&mut self) -> List {
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

    pub(super) fn for_loop(&mut self) -> CommandKind {
        self.skip(3);
        self.spaces();
        if self.rest().starts_with("((") {
            self.bashism();
            self.skip(2);
            let expression = self.arithmetic(Close::Parentheses);
            return CommandKind::Arithmetic { expression, body: self.for_body() };
        }
        let variable = self.word().literal_text();
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
            words.push(super::reading::positional());
        }
        CommandKind::For { variable, words, body: self.for_body() }
    }

    pub(super) fn case(&mut self) -> CommandKind {
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

    pub(super) fn condition(&mut self) -> CommandKind {
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
                let parts = vec![Part::Literal { text, quoted: false }];
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
}
