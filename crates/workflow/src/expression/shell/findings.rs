//! Finds the places where a script evaluates a value, or a variable that may hold one.

use std::collections::BTreeSet;
use std::ops::Range;

use super::flow::{Flow, as_word, names_in};
use super::programs::{Certainty, Hazard, Role, Treatment, treatment};
use super::reading::{Program, ValueKind};
use super::simple::DECLARATIONS;
use super::syntax::{
    Argument, Command, CommandKind, List, Operation, Parameter, Part, Prefix, Redirect, Word, name_length,
};

/// The largest number of values that are kept as the input of a command.
const SOURCES_MAX: usize = 16;
/// Variables of bash that it evaluates when they are assigned.
pub(super) const INTEGER_VARIABLES: &[&str] =
    &["RANDOM", "SRANDOM", "OPTIND", "HISTCMD", "SECONDS", "LINENO"];
/// Variables that a shell runs as code, or expands and then runs.
pub(crate) const CODE_VARIABLES: &[&str] =
    &["BASH_ENV", "ENV", "PS4", "PROMPT_COMMAND", "BASH_ALIASES", "SHELLOPTS", "BASHOPTS"];
/// Variables that other programs run as code, or that decide which code they load.
pub(crate) const PROGRAM_VARIABLES: &[&str] = &[
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_PAGER",
    "GIT_EXTERNAL_DIFF",
    "GIT_ASKPASS",
    "GIT_PROXY_COMMAND",
    "SSH_ASKPASS",
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "NODE_OPTIONS",
    "PERL5OPT",
    "PERL5DB",
    "RUBYOPT",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "JAVA_TOOL_OPTIONS",
    "MAKEFLAGS",
];

/// The way of a value to the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The `${{ }}` with this number stands there.
    Value(usize),
    /// The script's variable may hold one.
    Variable(String),
    /// A command that was given one prints it, or something of it.
    Output,
}

/// A place where a value may be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) source: Source,
    pub(crate) role: Role,
    /// Whether the command is known to evaluate it.
    pub(crate) is_certain: bool,
    /// The bytes of the word or command in the script; those of the `${{ }}` are known by its number.
    pub(crate) range: Range<usize>,
}

pub(super) struct EvaluationFinder<'a> {
    pub(super) flow: &'a Flow,
    pub(super) kinds: &'a [ValueKind],
    pub(super) documents: &'a [Word],
    fed_functions: &'a BTreeSet<String>,
    /// The values in the input of the current command.
    pub(super) input: Vec<Source>,
    /// The place of a program that is a text in the script.
    outer: Option<Range<usize>>,
    /// Arrays that are known to have texts as indices.
    pub(super) associative: BTreeSet<String>,
    seen: BTreeSet<(Source, Role, usize)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> EvaluationFinder<'a> {
    pub(super) fn new(
        flow: &'a Flow,
        kinds: &'a [ValueKind],
        fed_functions: &'a BTreeSet<String>,
    ) -> EvaluationFinder<'a> {
        EvaluationFinder {
            flow,
            kinds,
            documents: &[],
            fed_functions,
            input: Vec::new(),
            outer: None,
            associative: BTreeSet::new(),
            seen: BTreeSet::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn program(&mut self, program: &'a Program) {
        self.documents = &program.documents;
        self.outer.clone_from(&program.outer);
        self.associative.clear();
        let input = if program.is_fed { self.anything() } else { Vec::new() };
        self.list(&program.list, &input, true);
    }

    pub(super) fn find(
        &mut self,
        sources: Vec<Source>,
        role: Role,
        certainty: Certainty,
        range: &Range<usize>,
    ) {
        let range = self.outer.clone().unwrap_or_else(|| range.clone());
        let is_certain = certainty == Certainty::Certain;
        for source in sources {
            // `true` and `false` can be no code; in arithmetic they would be names of variables.
            let is_boolean = matches!(source, Source::Value(number) if self.kinds.get(number) == Some(&ValueKind::Boolean));
            if is_boolean && role != Role::Arithmetic {
                continue;
            }
            let finding = Finding { source, role, is_certain, range: range.clone() };
            let key = (finding.source.clone(), role, finding.range.start);
            if self.seen.insert(key) {
                self.findings.push(finding);
            }
        }
    }

    fn list(&mut self, list: &List, input: &[Source], is_top: bool) {
        for pipeline in &list.pipelines {
            let mut input = input.to_vec();
            let is_always_run = is_top && pipeline.is_unconditional && pipeline.commands.len() == 1;
            for command in &pipeline.commands {
                self.command(command, &input, is_always_run);
                self.output_of_command(command, &mut input);
                input.sort();
                input.dedup();
                // Further values would be found at the same place.
                input.truncate(SOURCES_MAX);
            }
        }
    }

    fn command(&mut self, command: &Command, input: &[Source], is_always_run: bool) {
        let mut own = None;
        for redirect in &command.redirects {
            match redirect {
                Redirect::HereDocument(number) => {
                    if let Some(word) = self.documents.get(*number) {
                        own = Some(self.sources(word));
                        self.word(word);
                    }
                }
                Redirect::HereString(word) => {
                    own = Some(self.sources(word));
                    self.word(word);
                }
                Redirect::Input(word) => {
                    let is_printed = word.parts.iter().any(|part| matches!(part, Part::Substitution(_)));
                    own = Some(if is_printed { self.sources(word) } else { Vec::new() });
                    self.word(word);
                }
                Redirect::Output(word) => self.word(word),
                Redirect::Duplicate(word) => {
                    self.find(self.sources(word), Role::Script, Certainty::Certain, &word.range);
                    self.word(word);
                }
            }
        }
        let input = own.as_deref().unwrap_or(input);
        let outer = std::mem::replace(&mut self.input, input.to_vec());
        self.kind(command, input, is_always_run);
        self.input = outer;
    }

    /// Returns all values of the script.
    fn anything(&self) -> Vec<Source> {
        if self.flow.has_values { vec![Source::Output] } else { Vec::new() }
    }

    fn kind(&mut self, command: &Command, input: &[Source], is_always_run: bool) {
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => {
                assignments.iter().for_each(|assignment| self.assignment(assignment));
                self.simple(arguments, input, is_always_run);
            }
            CommandKind::Group(lists) => lists.iter().for_each(|list| self.list(list, input, false)),
            CommandKind::For { variable, words, body } => {
                for word in words {
                    self.word(word);
                    self.stored(variable, self.sources(word), &word.range);
                }
                self.list(body, input, false);
            }
            CommandKind::Arithmetic { expression, body } => {
                self.arithmetic(expression);
                self.word(expression);
                self.list(body, input, false);
            }
            CommandKind::Case { word, patterns, lists } => {
                patterns.iter().chain([word]).for_each(|word| self.word(word));
                lists.iter().for_each(|list| self.list(list, input, false));
            }
            CommandKind::Condition(words) => self.condition(words),
            CommandKind::Function { name, body } => {
                let is_fed = self.fed_functions.contains(name);
                let input = if is_fed { self.anything() } else { Vec::new() };
                self.command(body, &input, false);
            }
        }
    }

    fn condition(&mut self, words: &[Word]) {
        const OPERATORS: &[&str] = &["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];
        for (index, word) in words.iter().enumerate() {
            let is_operator = |at: Option<usize>, known: &[&str]| {
                at.and_then(|at| words.get(at))
                    .is_some_and(|word| known.iter().any(|text| word.is_unquoted(text)))
            };
            let before = index.checked_sub(1);
            if is_operator(before, OPERATORS) || is_operator(Some(index + 1), OPERATORS) {
                self.arithmetic(word);
            } else if is_operator(before, &["-v", "-R"]) {
                self.variable_name(word, 0, Certainty::Certain);
            }
            self.word(word);
        }
    }

    fn simple(&mut self, arguments: &[Argument], input: &[Source], is_always_run: bool) {
        for argument in arguments {
            if let Argument::Word(word) = argument {
                self.word(word);
            }
        }
        let words: Vec<Word> = arguments.iter().map(as_word).collect();
        let Some(first) = words.first() else { return };
        let name = first.literal_text();
        let is_declaration = DECLARATIONS.contains(&name.as_str());
        if is_declaration {
            self.declaration(arguments, is_always_run);
        } else {
            for word in words.iter().skip(1) {
                let prefix = word.literal_prefix();
                if let Some((name, _)) = prefix.split_once('=')
                    && name_length(name) == name.len()
                {
                    self.code_variable(name, &word.after(name.len() + 1));
                }
            }
        }
        self.treat(&words, &treatment(&words), is_declaration, input);
        for place in 0..words.len().min(3) {
            for constant in self.constants(&words[place]) {
                let mut words = words.clone();
                let range = words[place].range.clone();
                let texts = constant.iter().map(|text| Word::of_text(text, range.clone()));
                words.splice(place..=place, texts);
                self.treat(&words, &treatment(&words), false, input);
            }
        }
        let is_reader = words.iter().take(3).any(|word| {
            word.literal()
                .is_some_and(|name| matches!(name.as_str(), "read" | "mapfile" | "readarray" | "printf"))
        });
        if is_reader {
            for word in words.iter().skip(1) {
                let text = word.literal_prefix();
                let length = name_length(&text);
                if length == text.len() && self.stores_evaluated(&text) {
                    let mut sources = input.to_vec();
                    words.iter().for_each(|word| sources.extend(self.sources(word)));
                    self.stored(&text, sources, &word.range);
                }
            }
        }
    }

    /// Returns the texts of a word: those of a variable in it, or of an alias.
    fn constants(&self, word: &Word) -> Vec<Vec<String>> {
        let mut parts =
            word.parts.iter().filter(|part| !matches!(part, Part::Literal { text, .. } if text.is_empty()));
        let name = match (parts.next(), parts.next()) {
            (Some(Part::Parameter(parameter)), None) => parameter.name.clone(),
            (Some(Part::Literal { text, .. }), None) => text.clone(),
            _ => return Vec::new(),
        };
        self.flow.constants.get(&name).cloned().unwrap_or_default()
    }

    fn treat(&mut self, words: &[Word], treatment: &Treatment, is_declaration: bool, input: &[Source]) {
        for Hazard { word: number, skipped, role, certainty } in &treatment.hazards {
            let Some(word) = words.get(*number) else { continue };
            match role {
                Role::VariableName => {
                    let is_assigned = word.literal_prefix().contains('=');
                    if !(is_declaration && is_assigned) {
                        self.variable_name(word, *skipped, *certainty);
                    }
                }
                Role::Operator => {
                    let sources = self.unquoted(word);
                    self.find(sources, Role::Operator, *certainty, &word.range);
                }
                Role::Arithmetic => self.arithmetic(word),
                Role::ProgramFile => {
                    let mut sources = self.sources(word);
                    let is_printed = word.parts.iter().any(|part| matches!(part, Part::Substitution(_)));
                    if is_printed {
                        self.find(sources, Role::Script, *certainty, &word.range);
                    } else {
                        sources.retain(|source| matches!(source, Source::Value(_)));
                        self.find(sources, Role::ProgramFile, *certainty, &word.range);
                    }
                }
                Role::Script | Role::Code | Role::Option | Role::FileOrCommand | Role::ProgramName => {
                    let sources = self.sources(&word.after(*skipped));
                    self.find(sources, *role, *certainty, &word.range);
                }
            }
        }
        if treatment.runs_input {
            let range = words.first().map_or(0..0, |word| word.range.clone());
            self.find(input.to_vec(), Role::Script, Certainty::Certain, &range);
        }
    }

    fn variable_name(&mut self, word: &Word, skipped: usize, certainty: Certainty) {
        let word = word.after(skipped);
        let mut sources = self.sources(&word);
        if let Some((_, index)) = word.literal_prefix().split_once('[') {
            sources.extend(self.tainted_names(index));
        }
        self.find(sources, Role::VariableName, certainty, &word.range);
    }

    /// Reports values in an arithmetic word. [`EvaluationFinder::word`] checks the expansions in it.
    pub(super) fn arithmetic(&mut self, word: &Word) {
        let mut sources = self.sources(word);
        for part in &word.parts {
            if let Part::Literal { text, .. } = part {
                sources.extend(self.tainted_names(text));
            }
        }
        self.find(sources, Role::Arithmetic, Certainty::Certain, &word.range);
    }

    pub(super) fn tainted_names(&self, text: &str) -> Vec<Source> {
        let tainted = names_in(text).filter(|name| self.flow.is_tainted(name));
        tainted.map(|name| Source::Variable(name.to_owned())).collect()
    }

    /// Reports values that the expansions in a word evaluate.
    pub(super) fn word(&mut self, word: &Word) {
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Value(_) => {}
                Part::Parameter(parameter) => self.parameter(parameter, &word.range),
                Part::Substitution(list) => {
                    let input = self.input.clone();
                    self.list(list, &input, false);
                }
                Part::OutputProcess(list) => {
                    // Its input is not followed: it may hold every value.
                    let any = self.anything();
                    self.list(list, &any, false);
                }
                Part::Arithmetic(expression) => {
                    self.arithmetic(expression);
                    self.word(expression);
                }
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, range: &Range<usize>) {
        let name = &parameter.name;
        if let Some(index) = &parameter.index {
            self.index(name, index);
        }
        let holder = |finder: &Self| {
            let is_tainted = finder.flow.is_tainted(name);
            if is_tainted { vec![Source::Variable(name.clone())] } else { Vec::new() }
        };
        if parameter.prefix == Prefix::Indirect
            && !matches!(parameter.operation, Operation::Word(_) if name.is_empty())
        {
            let lists_keys = parameter
                .index
                .as_ref()
                .is_some_and(|index| index.literal().is_some_and(|text| text == "@" || text == "*"));
            if !lists_keys {
                self.find(holder(self), Role::VariableName, Certainty::Certain, range);
            }
        }
        match &parameter.operation {
            Operation::None => {}
            Operation::Prompt => self.find(holder(self), Role::Script, Certainty::Certain, range),
            Operation::Assign(word) => {
                self.word(word);
                self.code_variable(name, word);
                self.stored(name, self.sources(word), range);
            }
            Operation::Slice(word) => {
                self.arithmetic(word);
                self.word(word);
            }
            Operation::Word(word) => self.word(word),
        }
    }
}
