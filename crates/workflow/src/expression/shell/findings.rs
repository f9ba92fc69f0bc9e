//! Where a script evaluates what a value, or a variable that may hold one, says.

use std::collections::BTreeSet;
use std::ops::Range;

use super::flow::{DECLARATIONS, Flow, as_word, names_in, prints_number};
use super::programs::{Certainty, Hazard, Role, Treatment, treatment};
use super::syntax::{
    Argument, AssignedValue, Assignment, Command, CommandKind, List, Operation, Parameter, Part, Prefix,
    Redirect, Word, name_length,
};
use super::{Program, ValueKind};

/// Values that a command is said to read.
const SOURCES_MAX: usize = 16;
/// Variables of bash that it evaluates when they are assigned.
const INTEGER_VARIABLES: &[&str] = &["RANDOM", "SRANDOM", "OPTIND", "HISTCMD", "SECONDS", "LINENO"];
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

/// How a value comes to the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The `${{ }}` with this number stands there.
    Value(usize),
    /// The script's variable may hold one.
    Variable(String),
    /// A command that was given one prints it, or something of it.
    Output,
}

/// A place where what a value says may be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) source: Source,
    pub(crate) role: Role,
    /// Whether it is known that the command does so.
    pub(crate) is_certain: bool,
    /// The bytes of the word or command in the script; those of the `${{ }}` are known by its number.
    pub(crate) range: Range<usize>,
}

pub(super) struct Judge<'a> {
    pub(super) flow: &'a Flow,
    pub(super) kinds: &'a [ValueKind],
    documents: &'a [Word],
    /// The place of a program that is a text in the script.
    outer: Option<Range<usize>>,
    /// Arrays that are known to have texts as indices.
    associative: BTreeSet<String>,
    seen: BTreeSet<(Source, Role, usize)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(flow: &'a Flow, kinds: &'a [ValueKind]) -> Judge<'a> {
        Judge {
            flow,
            kinds,
            documents: &[],
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
        self.list(&program.list, &[], true);
    }

    fn find(&mut self, sources: Vec<Source>, role: Role, certainty: Certainty, range: &Range<usize>) {
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
                // What more there is would be found at the same place.
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
            CommandKind::Function { body, .. } => self.command(body, input, false),
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
        let name = first.literal().unwrap_or_default();
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

    /// The texts that stand for a word: those of a variable in it, or of an alias.
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
                Role::Script | Role::Code | Role::Option | Role::ProgramName => {
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

    /// `declare`, `local`, `export` and the like.
    fn declaration(&mut self, arguments: &[Argument], is_always_run: bool) {
        let mut letters = String::new();
        for argument in arguments.iter().skip(1) {
            let (name, value) = match argument {
                Argument::Assignment(assignment) => {
                    // An index is evaluated here even if the array has texts as indices.
                    if let Some(index) = &assignment.index {
                        self.arithmetic(index);
                        self.word(index);
                    }
                    assignment.value.words().into_iter().for_each(|word| self.word(word));
                    self.elements(assignment, letters.contains('A'));
                    match &assignment.value {
                        AssignedValue::Word(word) => (assignment.name.clone(), Some(word.clone())),
                        AssignedValue::Array(elements) => {
                            if letters.contains('i') {
                                elements.iter().for_each(|element| self.arithmetic(&element.value));
                            }
                            (assignment.name.clone(), None)
                        }
                    }
                }
                Argument::Word(word) => {
                    let prefix = word.literal_prefix();
                    if prefix.starts_with(['-', '+']) {
                        letters.push_str(&prefix);
                        continue;
                    }
                    match prefix.split_once('=') {
                        Some((name, _)) => {
                            if let Some((_, index)) = name.split_once('[') {
                                let sources = self.tainted_names(index);
                                self.find(sources, Role::VariableName, Certainty::Certain, &word.range);
                            }
                            let bare = &name[..name_length(name)];
                            (bare.to_owned(), Some(word.after(name.len() + 1)))
                        }
                        None => (prefix, None),
                    }
                }
            };
            let stays = !letters.contains('+') && self.flow.stays_associative(&name);
            if letters.contains('A') && is_always_run && stays {
                self.associative.insert(name.clone());
            }
            let Some(value) = value else { continue };
            self.code_variable(&name, &value);
            let sources = self.sources(&value);
            if letters.contains('n') || self.flow.references.contains(&name) {
                self.find(sources, Role::VariableName, Certainty::Certain, &value.range);
            } else if letters.contains(['a', 'A']) || self.flow.arrays.contains(&name) {
                // The value of an array is read again as a list of elements.
                self.find(sources, Role::Script, Certainty::Certain, &value.range);
            } else if letters.contains('i') || self.stores_evaluated(&name) {
                self.arithmetic(&value);
            }
        }
    }

    fn code_variable(&mut self, name: &str, value: &Word) {
        let name = name.trim_end_matches('+');
        let (role, certainty) = if CODE_VARIABLES.contains(&name) {
            (Role::Script, Certainty::Certain)
        } else if PROGRAM_VARIABLES.contains(&name) {
            (Role::Script, Certainty::Likely)
        } else {
            return;
        };
        self.find(self.sources(value), role, certainty, &value.range);
    }

    fn assignment(&mut self, assignment: &Assignment) {
        let name = &assignment.name;
        if let Some(index) = &assignment.index {
            self.index(name, index);
        }
        let is_associative = self.associative.contains(name);
        self.elements(assignment, is_associative);
        for word in assignment.value.words() {
            self.word(word);
            self.code_variable(name, word);
            if self.stores_evaluated(name) {
                self.stored(name, self.sources(word), &word.range);
                self.arithmetic_unless_reference(name, word);
            }
        }
    }

    fn arithmetic_unless_reference(&mut self, name: &str, word: &Word) {
        if !self.flow.references.contains(name) {
            self.arithmetic(word);
        }
    }

    fn elements(&mut self, assignment: &Assignment, is_associative: bool) {
        if let AssignedValue::Array(elements) = &assignment.value {
            for element in elements {
                if let Some(index) = &element.index {
                    self.word(index);
                    if !is_associative {
                        self.arithmetic(index);
                    }
                }
            }
        }
    }

    fn index(&mut self, name: &str, index: &Word) {
        self.word(index);
        if !self.associative.contains(name) {
            self.arithmetic(index);
        }
    }

    fn stores_evaluated(&self, name: &str) -> bool {
        INTEGER_VARIABLES.contains(&name)
            || self.flow.integers.contains(name)
            || self.flow.references.contains(name)
    }

    /// What is stored in a variable, if that evaluates it.
    fn stored(&mut self, name: &str, sources: Vec<Source>, range: &Range<usize>) {
        if self.flow.references.contains(name) {
            self.find(sources, Role::VariableName, Certainty::Certain, range);
        } else if self.stores_evaluated(name) {
            self.find(sources, Role::Arithmetic, Certainty::Certain, range);
        }
    }

    /// Looks at what stands in a word that is arithmetic; the expansions in it are left to [`Judge::word`].
    fn arithmetic(&mut self, word: &Word) {
        let mut sources = self.sources(word);
        for part in &word.parts {
            if let Part::Literal { text, .. } = part {
                sources.extend(self.tainted_names(text));
            }
        }
        self.find(sources, Role::Arithmetic, Certainty::Certain, &word.range);
    }

    fn tainted_names(&self, text: &str) -> Vec<Source> {
        let tainted = names_in(text).filter(|name| self.flow.is_tainted(name));
        tainted.map(|name| Source::Variable(name.to_owned())).collect()
    }

    /// What the expansions in a word evaluate.
    fn word(&mut self, word: &Word) {
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Value(_) => {}
                Part::Parameter(parameter) => self.parameter(parameter, &word.range),
                Part::Substitution(list) => self.list(list, &[], false),
                Part::OutputProcess(list) => {
                    // What it reads is not followed: anything may come.
                    let any: Vec<Source> =
                        if self.kinds.contains(&ValueKind::Text) { vec![Source::Output] } else { Vec::new() };
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
        let holder = |judge: &Self| {
            let is_tainted = judge.flow.is_tainted(name);
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

    /// Unquoted expansions in a word that may hold a value.
    fn unquoted(&self, word: &Word) -> Vec<Source> {
        let parts = word.parts.iter().filter(|part| match part {
            Part::Parameter(parameter) => !parameter.quoted,
            Part::Substitution(_) => true,
            _ => false,
        });
        let parts: Vec<Part> = parts.cloned().collect();
        if parts.is_empty()
            || word.parts.iter().any(|part| matches!(part, Part::Literal { quoted: true, .. }))
        {
            return Vec::new();
        }
        self.sources(&Word { parts, range: word.range.clone() })
    }

    /// The values that a word may hold.
    fn sources(&self, word: &Word) -> Vec<Source> {
        let mut sources = Vec::new();
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Arithmetic(_) => {}
                Part::Value(number) => {
                    if self.kinds.get(*number).is_none_or(|kind| *kind != ValueKind::Number) {
                        sources.push(Source::Value(*number));
                    }
                }
                Part::Parameter(parameter) => {
                    if parameter.prefix != Prefix::Length && self.flow.is_tainted(&parameter.name) {
                        sources.push(Source::Variable(parameter.name.clone()));
                    }
                    if let Operation::Assign(word) | Operation::Word(word) = &parameter.operation {
                        sources.extend(self.sources(word));
                    }
                }
                Part::Substitution(list) | Part::OutputProcess(list) => {
                    if !prints_number(list) {
                        self.output_of_list(list, &mut sources);
                    }
                }
            }
        }
        sources
    }

    fn output_of_list(&self, list: &List, sources: &mut Vec<Source>) {
        for command in list.pipelines.iter().flat_map(|pipeline| &pipeline.commands) {
            self.output_of_command(command, sources);
        }
    }

    /// The values that a command may print.
    fn output_of_command(&self, command: &Command, sources: &mut Vec<Source>) {
        for redirect in &command.redirects {
            match redirect {
                Redirect::HereDocument(number) => {
                    sources
                        .extend(self.documents.get(*number).into_iter().flat_map(|word| self.sources(word)));
                }
                Redirect::HereString(word) => sources.extend(self.sources(word)),
                Redirect::Input(word) | Redirect::Duplicate(word) => {
                    sources.extend(indirect(self.sources(word)))
                }
                Redirect::Output(_) => {}
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => {
                let words: Vec<Word> = arguments.iter().map(as_word).collect();
                let name = words.first().and_then(Word::literal).unwrap_or_default();
                if self.flow.is_tainted(&name) {
                    sources.push(Source::Output);
                }
                let assigned = assignments.iter().flat_map(|assignment| assignment.value.words());
                for word in words.iter().chain(assigned) {
                    let held = self.sources(word);
                    let is_printed = matches!(name.as_str(), "echo" | "printf");
                    sources.extend(if is_printed { held } else { indirect(held) });
                }
                if matches!(
                    name.as_str(),
                    "env" | "printenv" | "set" | "declare" | "typeset" | "export" | "compgen"
                ) && self.kinds.contains(&ValueKind::Text)
                {
                    sources.push(Source::Output);
                }
            }
            CommandKind::Group(lists) | CommandKind::Case { lists, .. } => {
                lists.iter().for_each(|list| self.output_of_list(list, sources));
            }
            CommandKind::For { words, body, .. } => {
                words.iter().for_each(|word| sources.extend(indirect(self.sources(word))));
                self.output_of_list(body, sources);
            }
            CommandKind::Arithmetic { body, .. } => self.output_of_list(body, sources),
            CommandKind::Condition(_) | CommandKind::Function { .. } => {}
        }
    }
}

/// What another command makes of values is not the values themselves.
fn indirect(sources: Vec<Source>) -> Vec<Source> {
    let indirect = sources.into_iter().map(|source| match source {
        Source::Value(_) | Source::Output => Source::Output,
        Source::Variable(name) => Source::Variable(name),
    });
    indirect.collect()
}
