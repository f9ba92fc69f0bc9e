//! Where in a shell script each `${{ }}` stands: whether quotes are needed, do no good, or make it a text for good.
//!
//! This is no shell parser. It follows quotes, expansions, here-documents and comments, which is what decides how a
//! reference to a variable has to be spelled so that its value stays one text.

use std::collections::VecDeque;

use super::interpolation::Interpolation;

/// Where one `${{ }}` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a command, without quotes.
    Bare,
    /// In double quotes or in a here-document whose end is not quoted.
    Quoted,
    /// In arithmetic, or an index: the shell evaluates what it finds there.
    Arithmetic,
    /// In single quotes.
    SingleQuoted,
    /// In a here-document whose end is quoted.
    QuotedHereDocument,
    /// In a comment.
    Comment,
    /// After a backslash, or as the name of a variable.
    Nowhere,
}

/// What is known of one `${{ }}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it stands.
    pub(super) place: Place,
    /// The command that evaluates its arguments as code, if it stands among those.
    pub(super) evaluated_by: Option<Evaluator>,
}

/// A command that runs its arguments or its input as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evaluator {
    /// `eval`, `let`, `trap` and the like.
    Builtin,
    /// An interpreter with `-c`, or one that reads the here-document.
    Interpreter,
    /// The value itself is the name of the command.
    CommandName,
}

/// Where each of `interpolations` stands in `text`.
pub(super) fn places(text: &str, interpolations: &[Interpolation]) -> Vec<Found> {
    let mut scanner = Scanner {
        text,
        at: 0,
        limit: text.len(),
        interpolations,
        found: Vec::with_capacity(interpolations.len()),
        here_documents: VecDeque::new(),
        evaluator: None,
    };
    while scanner.at < scanner.limit {
        scanner.commands(End::Nothing);
    }
    scanner.found.resize(interpolations.len(), Found { place: Place::Nowhere, evaluated_by: None });
    scanner.found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Nothing,
    Parenthesis,
    Backtick,
}

struct HereDocument {
    delimiter: String,
    quoted: bool,
    tabs_stripped: bool,
    evaluator: Option<Evaluator>,
}

/// The words of the command at hand.
#[derive(Default)]
struct Command {
    words: Vec<String>,
    word: String,
    in_word: bool,
    case_depth: u32,
}

impl Command {
    fn push(&mut self, character: char) {
        self.word.push(character);
        self.in_word = true;
    }

    fn end_word(&mut self) {
        if !self.in_word {
            return;
        }
        self.in_word = false;
        let word = std::mem::take(&mut self.word);
        if self.words.is_empty() {
            match word.as_str() {
                "case" => self.case_depth += 1,
                "esac" => self.case_depth = self.case_depth.saturating_sub(1),
                "then" | "do" | "else" | "elif" | "if" | "while" | "until" | "!" | "{" | "time" | "exec"
                | "command" | "builtin" | "env" | "sudo" | "nohup" => return,
                _ if is_assignment(&word) => return,
                _ => {}
            }
        }
        self.words.push(word);
    }

    fn end_command(&mut self) {
        self.end_word();
        self.words.clear();
    }

    fn program(&self) -> Option<&str> {
        self.words.first().map(|word| word.rsplit('/').next().unwrap_or(word))
    }

    /// Whether a value at this point would be evaluated again.
    fn evaluator(&self) -> Option<Evaluator> {
        let Some(program) = self.program() else {
            return (!is_assignment(&self.word) && self.word.is_empty()).then_some(Evaluator::CommandName);
        };
        let option = |letter: char| {
            self.words.iter().skip(1).any(|word| {
                word.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter))
            })
        };
        match program {
            "eval" | "let" | "trap" | "ssh" => Some(Evaluator::Builtin),
            "declare" | "typeset" | "local" | "readonly" | "export" | "unset" | "read"
                if self.word.is_empty() =>
            {
                Some(Evaluator::Builtin)
            }
            "printf" | "test" | "[" | "[[" if self.words.last().is_some_and(|word| word == "-v") => {
                Some(Evaluator::Builtin)
            }
            _ if is_interpreter(program) && (option('c') || option('e')) => Some(Evaluator::Interpreter),
            "xargs" | "find" | "timeout" | "nice" | "parallel"
                if option('c') && self.words.iter().any(|word| is_interpreter(word)) =>
            {
                Some(Evaluator::Interpreter)
            }
            _ => None,
        }
    }
}

fn is_interpreter(program: &str) -> bool {
    const NAMES: &[&str] = &[
        "sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "perl", "ruby", "node", "ssh",
        "psql",
    ];
    NAMES.contains(&program)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split(['=', '[', '+']).next().unwrap_or_default();
    word.contains('=') && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    limit: usize,
    interpolations: &'a [Interpolation],
    found: Vec<Found>,
    here_documents: VecDeque<HereDocument>,
    evaluator: Option<Evaluator>,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..self.limit).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, characters: usize) {
        self.at += self.rest().chars().take(characters).map(char::len_utf8).sum::<usize>();
    }

    /// Takes the `${{ }}` that starts here, if one does.
    fn take(&mut self, place: Place) -> bool {
        match self.interpolations.get(self.found.len()) {
            Some(next) if next.outer.start == self.at => {
                self.found.push(Found { place, evaluated_by: self.evaluator });
                self.at = next.outer.end;
                true
            }
            _ => false,
        }
    }

    fn is_at_interpolation(&self) -> bool {
        self.interpolations.get(self.found.len()).is_some_and(|next| next.outer.start == self.at)
    }

    fn escape(&mut self) {
        self.skip(1);
        if !self.take(Place::Nowhere) {
            self.skip(1);
        }
    }

    /// Commands up to `end`, which is taken too.
    fn commands(&mut self, end: End) {
        let outer = self.evaluator;
        let mut command = Command::default();
        while let Some(character) = self.next() {
            self.evaluator = command.evaluator();
            if self.is_at_interpolation() {
                self.bare(&mut command);
                continue;
            }
            match character {
                '\\' => {
                    self.escape();
                    command.in_word = true;
                }
                '\'' | '"' | '$' | '`' if !(character == '`' && end == End::Backtick) => {
                    self.part_of_word(character, &mut command);
                }
                '`' => {
                    self.skip(1);
                    break;
                }
                '#' if !command.in_word => self.comment(),
                '<' if self.rest().starts_with("<<") => self.redirection(&mut command),
                '(' if self.rest().starts_with("((") && command.words.is_empty() && !command.in_word => {
                    self.skip(2);
                    self.arithmetic(')');
                }
                '(' => {
                    self.skip(1);
                    let array = command.in_word && command.word.ends_with('=');
                    self.commands_or_array(array);
                    command.in_word = command.in_word || array;
                }
                ')' => {
                    self.skip(1);
                    command.end_word();
                    if end == End::Parenthesis && command.case_depth == 0 {
                        break;
                    }
                    command.end_command();
                }
                '\n' => {
                    self.skip(1);
                    command.end_command();
                    self.here_document_bodies();
                }
                ';' | '&' | '|' => {
                    self.skip(1);
                    command.end_command();
                }
                _ if character.is_whitespace() => {
                    self.skip(1);
                    command.end_word();
                }
                _ => {
                    self.skip(1);
                    command.push(character);
                }
            }
        }
        self.evaluator = outer;
    }

    /// The elements of an array are words, not commands; for quotes both are alike.
    fn commands_or_array(&mut self, array: bool) {
        if !array {
            return self.commands(End::Parenthesis);
        }
        let outer = self.evaluator.take();
        while let Some(character) = self.next() {
            if self.take(Place::Bare) {
                continue;
            }
            match character {
                ')' => {
                    self.skip(1);
                    break;
                }
                '\\' => self.escape(),
                '#' if self.text[..self.at].ends_with(char::is_whitespace) => self.comment(),
                '\'' | '"' | '$' | '`' => self.part_of_word(character, &mut Command::default()),
                '[' if self.text[..self.at].ends_with([' ', '\n', '(']) => {
                    self.skip(1);
                    self.arithmetic(']');
                }
                _ => self.skip(1),
            }
        }
        self.evaluator = outer;
    }

    fn bare(&mut self, command: &mut Command) {
        let place = if self.is_index(command) || is_compared_as_number(command, self.after_interpolation()) {
            Place::Arithmetic
        } else {
            Place::Bare
        };
        self.take(place);
        command.push('\u{fffc}');
    }

    fn after_interpolation(&self) -> &str {
        let end = self.interpolations.get(self.found.len()).map_or(self.limit, |next| next.outer.end);
        self.text.get(end..self.limit).unwrap_or_default()
    }

    /// Whether the word is `name[…` and goes on as `…]=`.
    fn is_index(&self, command: &Command) -> bool {
        let Some((name, index)) = command.word.split_once('[') else { return false };
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let after = self.after_interpolation();
        let assigned = after
            .find(']')
            .is_some_and(|at| after[at + 1..].starts_with('=') || after[at + 1..].starts_with("+="));
        named && !index.contains(']') && assigned
    }

    fn part_of_word(&mut self, character: char, command: &mut Command) {
        let start = self.at;
        match character {
            '\'' => {
                self.skip(1);
                self.single_quotes(false);
            }
            '"' => {
                self.skip(1);
                self.double_quotes();
            }
            '`' => {
                self.skip(1);
                self.commands(End::Backtick);
            }
            _ => self.dollar(false),
        }
        command.in_word = true;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        command.word.push_str(raw.trim_matches(['"', '\'']));
    }

    fn single_quotes(&mut self, escapes: bool) {
        while let Some(character) = self.next() {
            if self.take(Place::SingleQuoted) {
                continue;
            }
            self.skip(1);
            match character {
                '\'' => return,
                '\\' if escapes => self.skip(1),
                _ => {}
            }
        }
    }

    fn double_quotes(&mut self) {
        while let Some(character) = self.next() {
            if self.take(Place::Quoted) {
                continue;
            }
            match character {
                '"' => {
                    self.skip(1);
                    return;
                }
                '\\' => self.escape(),
                '$' => self.dollar(true),
                '`' => {
                    self.skip(1);
                    self.commands(End::Backtick);
                }
                _ => self.skip(1),
            }
        }
    }

    fn dollar(&mut self, quoted: bool) {
        let rest = self.rest();
        if rest.starts_with("$((") && is_arithmetic(&rest[3..]) {
            self.skip(3);
            self.arithmetic(')');
        } else if rest.starts_with("$(") {
            self.skip(2);
            self.commands(End::Parenthesis);
        } else if rest.starts_with("${") {
            self.skip(2);
            self.parameter(quoted);
        } else if rest.starts_with("$[") {
            self.skip(2);
            self.arithmetic(']');
        } else if !quoted && rest.starts_with("$'") {
            self.skip(2);
            self.single_quotes(true);
        } else if !quoted && rest.starts_with("$\"") {
            self.skip(2);
            self.double_quotes();
        } else {
            self.skip(1);
        }
    }

    /// Arithmetic up to `))` or to `]`.
    fn arithmetic(&mut self, close: char) {
        let mut depth = 0_u32;
        while let Some(character) = self.next() {
            if self.take(Place::Arithmetic) {
                continue;
            }
            match character {
                '\\' => self.escape(),
                '$' => self.dollar(true),
                '`' => {
                    self.skip(1);
                    self.commands(End::Backtick);
                }
                '(' | '[' => {
                    self.skip(1);
                    depth += 1;
                }
                ')' | ']' if depth == 0 && character == close => {
                    self.skip(if close == ')' && self.rest().starts_with("))") { 2 } else { 1 });
                    return;
                }
                ')' | ']' => {
                    self.skip(1);
                    depth = depth.saturating_sub(1);
                }
                _ => self.skip(1),
            }
        }
    }

    /// What stands in `${…}`, which is taken up to its end.
    fn parameter(&mut self, quoted: bool) {
        while matches!(self.next(), Some('#' | '!')) {
            self.skip(1);
        }
        if self.take(Place::Nowhere) {
            // The name of a variable can not be a value.
        }
        while self.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.skip(1);
        }
        if self.next() == Some('[') {
            self.skip(1);
            self.arithmetic(']');
        }
        let operator = self.rest();
        let is_slice = operator.starts_with(':') && !operator[1..].starts_with(['-', '=', '+', '?']);
        let place = match (is_slice, quoted) {
            (true, _) => Place::Arithmetic,
            (false, true) => Place::Quoted,
            (false, false) => Place::Bare,
        };
        while let Some(character) = self.next() {
            if self.take(place) {
                continue;
            }
            match character {
                '}' => {
                    self.skip(1);
                    return;
                }
                '\\' => self.escape(),
                '\'' if !quoted => {
                    self.skip(1);
                    self.single_quotes(false);
                }
                '"' => {
                    self.skip(1);
                    self.double_quotes();
                }
                '$' => self.dollar(quoted),
                '`' => {
                    self.skip(1);
                    self.commands(End::Backtick);
                }
                _ => self.skip(1),
            }
        }
    }

    fn comment(&mut self) {
        while let Some(character) = self.next() {
            if self.take(Place::Comment) {
                continue;
            }
            if character == '\n' {
                return;
            }
            self.skip(1);
        }
    }

    /// `<<`: the start of a here-document, or `<<<`.
    fn redirection(&mut self, command: &mut Command) {
        if self.rest().starts_with("<<<") {
            self.skip(3);
            return;
        }
        command.end_word();
        self.skip(2);
        let tabs_stripped = self.next() == Some('-');
        if tabs_stripped {
            self.skip(1);
        }
        while matches!(self.next(), Some(' ' | '\t')) {
            self.skip(1);
        }
        let mut delimiter = String::new();
        let mut quoted = false;
        let mut quote = None;
        while let Some(character) = self.next() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => delimiter.push(character),
                (None, '\'' | '"') => {
                    quoted = true;
                    quote = Some(character);
                }
                (None, '\\') => quoted = true,
                (None, _) if character.is_whitespace() || ";&|<>()".contains(character) => break,
                (None, _) => delimiter.push(character),
            }
            self.skip(1);
        }
        let interpreted = command.program().is_some_and(is_interpreter);
        let evaluator = interpreted.then_some(Evaluator::Interpreter);
        self.here_documents.push_back(HereDocument { delimiter, quoted, tabs_stripped, evaluator });
    }

    fn here_document_bodies(&mut self) {
        while let Some(document) = self.here_documents.pop_front() {
            self.here_document_body(&document);
        }
    }

    fn here_document_body(&mut self, document: &HereDocument) {
        let (body_end, end) = self.here_document_end(document);
        let outer = (self.limit, self.evaluator);
        self.limit = body_end;
        self.evaluator = document.evaluator;
        while let Some(character) = self.next() {
            if document.quoted {
                if !self.take(Place::QuotedHereDocument) {
                    self.skip(1);
                }
                continue;
            }
            if self.take(Place::Quoted) {
                continue;
            }
            match character {
                '\\' => self.escape(),
                '$' => self.dollar(true),
                '`' => {
                    self.skip(1);
                    self.commands(End::Backtick);
                }
                _ => self.skip(1),
            }
        }
        (self.limit, self.evaluator) = outer;
        self.at = end.max(self.at);
    }

    /// Where the text of a here-document ends, and where the line with its end does.
    fn here_document_end(&self, document: &HereDocument) -> (usize, usize) {
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

/// Whether `$((` begins arithmetic: its last two parentheses stand together.
fn is_arithmetic(rest: &str) -> bool {
    let mut depth = 0_u32;
    for (index, character) in rest.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth == 0 => return rest[index + 1..].starts_with(')'),
            ')' => depth -= 1,
            _ => {}
        }
    }
    true
}

/// Whether a word stands on one side of `-eq` and the like inside `[[ ]]`, where both sides are arithmetic.
fn is_compared_as_number(command: &Command, after: &str) -> bool {
    let is_operator = |word: &str| matches!(word, "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge");
    let before = command.word.is_empty() && command.words.last().is_some_and(|word| is_operator(word));
    let next = after.starts_with(' ') && after.split_whitespace().next().is_some_and(is_operator);
    command.words.iter().any(|word| word == "[[") && (before || next)
}
