//! Finds the words of a command that are more than data to it: code, arithmetic, names of variables or programs.
//!
//! It knows the builtins of bash and the usual interpreters and launchers. It does not know what other programs do with
//! their arguments.

use super::interpreters::Interpreter;
use super::simple::DECLARATIONS;
use super::syntax::{Part, Word, name_length};

/// The role of a word in its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Runs it as a script of a shell.
    Script,
    /// Runs it as code of another language.
    Code,
    /// Evaluates it as arithmetic.
    Arithmetic,
    /// Takes it as the name of a variable, and evaluates an index in it.
    VariableName,
    /// Takes it as an option if it begins with `-`, and evaluates what is in it.
    Option,
    /// Opens the file of this name, or runs it as a command if it ends with `|`.
    FileOrCommand,
    /// Takes it as one word; if it is not quoted, it is several, and there are words that evaluate the next.
    Operator,
    /// Runs the program of this name.
    ProgramName,
    /// Runs the file of this name.
    ProgramFile,
}

/// The certainty of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    Certain,
    /// The command before it is not known to run what follows.
    Likely,
}

/// One word of a command that is more than data.
#[derive(Clone, Debug)]
pub(super) struct Hazard {
    /// The number of the word, 0 for the command's name.
    pub(super) word: usize,
    /// The bytes at its beginning that are not meant, such as those of an option.
    pub(super) skipped: usize,
    pub(super) role: Role,
    pub(super) certainty: Certainty,
}

/// The roles of a command's words and of its input.
#[derive(Clone, Debug, Default)]
pub(super) struct Treatment {
    pub(super) hazards: Vec<Hazard>,
    /// Whether it runs its input, or a part of it, as code.
    pub(super) runs_input: bool,
}

/// Commands that run the command behind their own options.
const LAUNCHERS: &[&str] = &[
    "builtin", "busybox", "chroot", "chrt", "command", "doas", "env", "exec", "gosu", "ionice", "jobs",
    "nice", "nohup", "runuser", "setpriv", "setsid", "stdbuf", "strace", "sudo", "taskset", "time",
    "timeout", "unshare", "xargs",
];
/// Commands whose arguments are never commands.
const INERT: &[&str] =
    &["echo", "printf", "grep", "egrep", "fgrep", "rg", "git", "cat", "ls", "test", "[", "cd"];

/// Returns the roles of the words of a command.
pub(super) fn treatment(words: &[Word]) -> Treatment {
    let mut reading = Reading {
        texts: words.iter().map(Word::literal).collect(),
        words,
        treatment: Treatment::default(),
        certainty: Certainty::Certain,
        budget: 8,
        lacks_program: false,
    };
    reading.command(0);
    let mut treatment = reading.treatment;
    treatment.hazards.sort_by_key(|hazard| hazard.certainty);
    treatment
}

pub(super) struct Reading<'a> {
    pub(super) words: &'a [Word],
    texts: Vec<Option<String>>,
    pub(super) treatment: Treatment,
    certainty: Certainty,
    /// The largest number of commands inside each other that are followed.
    budget: u32,
    /// Whether a shell has `-c` and nothing behind it.
    pub(super) lacks_program: bool,
}

impl Reading<'_> {
    pub(super) fn text(&self, word: usize) -> Option<&str> {
        self.texts.get(word).and_then(Option::as_deref)
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn add(&mut self, word: usize, role: Role) {
        self.add_after(word, 0, role);
    }

    pub(super) fn add_after(&mut self, word: usize, skipped: usize, role: Role) {
        if word < self.len() {
            self.treatment.hazards.push(Hazard { word, skipped, role, certainty: self.certainty });
        }
    }

    /// Whether the word begins with something that is expanded, so that it may be an option.
    pub(super) fn is_open(&self, word: usize) -> bool {
        let first = self.words.get(word).and_then(|word| {
            word.parts.iter().find(|part| !matches!(part, Part::Literal { text, .. } if text.is_empty()))
        });
        !matches!(first, None | Some(Part::Literal { .. }))
    }

    /// The command whose name is the word `at`.
    pub(super) fn command(&mut self, at: usize) {
        if at >= self.len() || self.budget == 0 {
            return;
        }
        self.budget -= 1;
        let Some(text) = self.text(at) else { return self.add(at, Role::ProgramName) };
        let name = text.rsplit('/').next().unwrap_or(text).to_owned();
        let first = at + 1;
        match name.as_str() {
            "eval" | "parallel" | "watch" | "hyperfine" | "bind" | "compgen" | "complete" | "fc"
            | "alias" => {
                (first..self.len()).for_each(|word| self.add(word, Role::Script));
            }
            "let" => (first..self.len()).for_each(|word| self.add(word, Role::Arithmetic)),
            "trap" => self.add(self.operands(first, "").first().copied().unwrap_or(first), Role::Script),
            "source" | "." => self.source(first),
            "unset" => self.each_operand(first, "", Role::VariableName),
            "read" => self.names(first, "pdtnNui", &["-a"]),
            "mapfile" | "readarray" => {
                self.option_value(first..self.len(), "-C", Role::Script);
                // The callback is given each line as an argument.
                self.treatment.runs_input |=
                    (first..self.len()).any(|word| self.words[word].literal_prefix().starts_with("-C"));
                self.names(first, "dnOsucC", &[]);
            }
            "getopts" => self.add(first + 1, Role::VariableName),
            "printf" => {
                let end = self.first_operand(first, "v");
                self.option_value(first..end, "-v", Role::VariableName);
                self.may_be_option(first, "v");
            }
            "wait" => {
                self.option_value(first..self.len(), "-p", Role::VariableName);
                (first..self.len())
                    .filter(|word| self.is_open(*word))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|word| self.add(word, Role::Option));
            }
            "test" | "[" => self.test(first),
            "hash" | "enable" => self.each_operand(first, "", Role::ProgramFile),
            "su" | "script" | "flock" | "nix-shell" => {
                self.option_value(first..self.len(), "-c", Role::Script);
                self.long_option_value(first, "--command", Role::Script);
                self.long_option_value(first, "--run", Role::Script);
            }
            "find" => self.find(first),
            _ if DECLARATIONS.contains(&name.as_str()) => self.each_operand(first, "", Role::VariableName),
            _ if LAUNCHERS.contains(&name.as_str()) => self.launcher(&name, first),
            _ => match Interpreter::named(&name) {
                Some(known) => self.interpreter(known, first),
                None => self.unknown(&name, first),
            },
        }
    }

    /// The words from `first` on that are neither options nor the values of the options in `with_value`.
    fn operands(&self, first: usize, with_value: &str) -> Vec<usize> {
        let (mut found, mut at, mut options) = (Vec::new(), first, true);
        while at < self.len() {
            match self.text(at) {
                Some("--") if options => options = false,
                Some(text) if options && text.len() > 1 && text.starts_with('-') => {
                    let ends_with_value = text.chars().next_back().is_some_and(|c| with_value.contains(c));
                    at += usize::from(ends_with_value && !text.starts_with("--"));
                }
                _ => found.push(at),
            }
            at += 1;
        }
        found
    }

    /// Where the first operand stands, or would.
    fn first_operand(&self, first: usize, with_value: &str) -> usize {
        self.operands(first, with_value).first().copied().unwrap_or(self.len())
    }

    pub(super) fn likely(&mut self, read: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.certainty, Certainty::Likely);
        read(self);
        self.certainty = outer;
    }

    fn each_operand(&mut self, first: usize, with_value: &str, role: Role) {
        for word in self.operands(first, with_value) {
            self.add(word, role);
        }
    }

    /// Operands and the values of `options` are names.
    fn names(&mut self, first: usize, with_value: &str, options: &[&str]) {
        let end = self.first_operand(first, with_value);
        options.iter().for_each(|option| self.option_value(first..end, option, Role::VariableName));
        self.each_operand(first, with_value, Role::VariableName);
    }

    /// The value of `option`, behind it or in the same word.
    fn option_value(&mut self, words: std::ops::Range<usize>, option: &str, role: Role) {
        let letter = option.trim_start_matches('-');
        for word in words {
            let prefix = self.words[word].literal_prefix();
            let is_cluster = prefix.starts_with('-') && !prefix.starts_with("--") && prefix.ends_with(letter);
            if self.text(word).is_some_and(|text| text == prefix) && is_cluster {
                self.add(word + 1, role);
            } else if prefix.starts_with(option) {
                self.add_after(word, option.len(), role);
            }
        }
    }

    /// The value of a long option, behind it or behind its `=`.
    fn long_option_value(&mut self, first: usize, option: &str, role: Role) {
        for word in first..self.len() {
            let prefix = self.words[word].literal_prefix();
            if self.text(word) == Some(option) {
                self.add(word + 1, role);
            } else if prefix.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')) {
                self.add_after(word, option.len() + 1, role);
            }
        }
    }

    /// The first operand may be taken as an option, if it can begin with `-` and no `--` stands before it.
    fn may_be_option(&mut self, first: usize, with_value: &str) {
        if let Some(word) = self.operands(first, with_value).first().copied()
            && self.is_open(word)
            && !(first..word).any(|before| self.text(before) == Some("--"))
        {
            self.add(word, Role::Option);
        }
    }

    fn source(&mut self, first: usize) {
        match self.text(first) {
            Some("/dev/stdin" | "/dev/fd/0") => self.treatment.runs_input = true,
            _ => self.add(first, Role::ProgramFile),
        }
    }

    fn test(&mut self, first: usize) {
        for word in first..self.len() {
            if matches!(self.text(word), Some("-v" | "-R")) {
                self.add(word + 1, Role::VariableName);
            }
            self.add(word, Role::Operator);
            // Two words of which the first is `-v` are a test of a variable.
            if self.is_open(word) && self.is_open(word + 1) {
                self.add(word + 1, Role::VariableName);
            }
        }
    }

    fn find(&mut self, first: usize) {
        for word in first..self.len() {
            self.add(word, Role::Operator);
            if matches!(self.text(word), Some("-exec" | "-execdir" | "-ok" | "-okdir")) {
                self.command(word + 1);
            }
        }
    }

    fn launcher(&mut self, name: &str, first: usize) {
        if name == "env" {
            for word in first..self.len() {
                // Other letters may stand before it: `-iS…`.
                let prefix = self.words[word].literal_prefix();
                if let Some(place) = prefix.strip_prefix('-').and_then(|letters| letters.find('S'))
                    && !prefix.starts_with("--")
                {
                    let is_alone = self.text(word).is_some_and(|text| text.len() == place + 2);
                    self.add_after(
                        word + usize::from(is_alone),
                        if is_alone { 0 } else { place + 2 },
                        Role::Code,
                    );
                }
            }
            self.long_option_value(first, "--split-string", Role::Code);
        }
        if name == "command"
            && self.text(first).is_some_and(|text| text.starts_with("-v") || text.starts_with("-V"))
        {
            return;
        }
        let before = self.treatment.runs_input;
        let mut at = first;
        while at < self.len() {
            let Some(text) = self.text(at) else {
                let prefix = self.words[at].literal_prefix();
                let sets = prefix.split_once('=').is_some_and(|(name, _)| name_length(name) == name.len());
                if sets || prefix.starts_with('-') {
                    at += 1;
                    continue;
                }
                break;
            };
            let is_setting = text.starts_with(['-', '+']) || text.contains('=');
            let is_measure = text.starts_with(|c: char| c.is_ascii_digit());
            if !is_setting && !is_measure {
                break;
            }
            at += 1;
        }
        let replaces = (first..at).any(|word| {
            self.text(word).is_some_and(|text| {
                text.starts_with("-I") || text.starts_with("-i") || text.starts_with("--replace")
            })
        });
        self.command(at);
        // An option may have taken a word for itself.
        for later in at + 1..self.len().min(at + 4) {
            if self.text(later).is_some_and(is_runner) {
                self.command(later);
            }
        }
        if name == "xargs" {
            let runs_code = self.treatment.hazards.iter().any(|hazard| hazard.role <= Role::Code);
            let runs_input = self.treatment.runs_input && !before;
            self.treatment.runs_input = before || runs_input || (replaces && runs_code) || self.lacks_program;
        }
    }

    fn unknown(&mut self, name: &str, first: usize) {
        if INERT.contains(&name) {
            return;
        }
        let runner = (first..self.len()).find(|word| {
            self.text(*word).is_some_and(|text| {
                let name = text.rsplit('/').next().unwrap_or(text);
                Interpreter::named(name).is_some_and(|known| known.is_shell)
            })
        });
        if let Some(word) = runner {
            self.likely(|reading| reading.command(word));
        }
    }
}

/// Whether a command of this name may make more than data of its words.
pub(super) fn is_special(text: &str) -> bool {
    const BUILTINS: &[&str] = &[
        "alias",
        "let",
        "trap",
        ".",
        "unset",
        "read",
        "mapfile",
        "readarray",
        "getopts",
        "printf",
        "wait",
        "test",
        "[",
        "hash",
        "enable",
        "su",
        "script",
        "flock",
        "parallel",
        "watch",
        "bind",
        "compgen",
        "complete",
        "fc",
    ];
    let name = text.rsplit('/').next().unwrap_or(text);
    is_runner(text) || BUILTINS.contains(&name) || LAUNCHERS.contains(&name) || DECLARATIONS.contains(&name)
}

/// Whether a command of this name runs some of its words.
fn is_runner(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or(text);
    matches!(name, "eval" | "source" | "find" | "xargs" | "env") || Interpreter::named(name).is_some()
}
