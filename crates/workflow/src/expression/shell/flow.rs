//! Finds the variables of a script that may hold the value of a `${{ }}`, directly or through other variables.
//!
//! It ignores order, conditions and scopes: a variable that may hold a value at one place counts as holding it everywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::mentions::{Mentions, anything};
use super::programs::{Role, is_special, treatment};
use super::reading::{Program, ValueKind};
use super::simple::DECLARATIONS;
use super::syntax::{
    Argument, AssignedValue, Assignment, Command, CommandKind, List, Operation, Parameter, Part, Redirect,
    Word, is_name, name_length,
};

/// Stands for the arguments of the script, of functions and of nested shells.
pub(super) const ARGUMENTS: &str = "@";
/// Stands for all descriptors that `exec` opened.
const DESCRIPTORS: &str = "<descriptors>";
/// Stands for every value of the script.
pub(super) const VALUES: &str = "<values>";
/// Stands for an unknown variable.
const ANY: &str = "<any>";
/// The largest number of texts that are kept for one variable.
const CONSTANTS_MAX: usize = 32;
/// Commands that print all variables.
pub(super) const LISTERS: &[&str] =
    &["env", "printenv", "set", "declare", "typeset", "export", "local", "readonly", "compgen"];

/// Whether the variable stands for a `${{ }}`.
pub(super) fn is_script_variable(name: &str) -> bool {
    name.strip_prefix("BACKSTAY_V").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The variables of a script.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The variables that may hold a value.
    pub(super) tainted: BTreeSet<String>,
    /// The variables whose assignments are arithmetic.
    pub(super) integers: BTreeSet<String>,
    /// The variables that refer to another variable.
    pub(super) references: BTreeSet<String>,
    /// The arrays.
    pub(super) arrays: BTreeSet<String>,
    /// The variables that are unset, or declared without `-A`, at some place.
    pub(super) rebound: BTreeSet<String>,
    /// The assigned texts of each variable, split into words.
    pub(super) constants: BTreeMap<String, Vec<Vec<String>>>,
    functions: BTreeSet<String>,
    pub(super) has_values: bool,
}

impl Flow {
    /// Whether `declare -A name` holds wherever the name is used.
    pub(super) fn stays_associative(&self, name: &str) -> bool {
        !self.rebound.contains(name) && !self.rebound.contains(ANY)
    }

    pub(super) fn is_tainted(&self, name: &str) -> bool {
        self.tainted.contains(normalized(name)) || (self.has_values && is_script_variable(name))
    }
}

/// Returns the name under which a parameter is kept.
pub(super) fn normalized(name: &str) -> &str {
    let is_argument = name == "*" || (name != "0" && name.starts_with(|c: char| c.is_ascii_digit()));
    if is_argument { ARGUMENTS } else { name }
}

/// The names in `text`.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|name| is_name(name))
}

pub(super) struct FlowReader<'a> {
    pub(super) kinds: &'a [ValueKind],
    pub(super) documents: &'a [Word],
    fed_functions: &'a BTreeSet<String>,
    flow: Flow,
    edges: Vec<(String, Mentions)>,
}

impl<'a> FlowReader<'a> {
    pub(super) fn new(
        kinds: &'a [ValueKind],
        environment: &[String],
        fed_functions: &'a BTreeSet<String>,
    ) -> FlowReader<'a> {
        let has_values = kinds.contains(&ValueKind::Text);
        let flow = Flow { has_values, ..Flow::default() };
        let mut reader = FlowReader { kinds, documents: &[], fed_functions, flow, edges: Vec::new() };
        for name in environment {
            reader.edge(name, &Mentions { has_value: true, names: BTreeSet::new() });
            reader.flow.has_values = true;
        }
        let has_value = reader.flow.has_values;
        reader.edge(VALUES, &Mentions { has_value, names: BTreeSet::new() });
        reader.edge("_", &Mentions { has_value, names: BTreeSet::new() });
        reader
    }

    /// Reads the functions of a program. Call it before [`FlowReader::program`].
    pub(super) fn functions(&mut self, list: &List) {
        for command in list.pipelines.iter().flat_map(|pipeline| &pipeline.commands) {
            match &command.kind {
                CommandKind::Function { name, body } => {
                    self.flow.functions.insert(name.clone());
                    if let CommandKind::Group(lists) = &body.kind {
                        lists.iter().for_each(|list| self.functions(list));
                    }
                }
                CommandKind::Group(lists) | CommandKind::Case { lists, .. } => {
                    lists.iter().for_each(|list| self.functions(list));
                }
                CommandKind::For { body, .. } | CommandKind::Arithmetic { body, .. } => self.functions(body),
                CommandKind::Simple { .. } | CommandKind::Condition(_) => {}
            }
        }
    }

    pub(super) fn program(&mut self, program: &'a Program) {
        self.documents = &program.documents;
        let input = if program.is_fed { anything() } else { Mentions::default() };
        self.list(&program.list, &input);
    }

    /// Follows all assignments and returns the result.
    pub(super) fn finish(mut self) -> Flow {
        let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut reached: Vec<&str> = Vec::new();
        for (target, mentions) in &self.edges {
            for name in &mentions.names {
                targets.entry(name).or_default().push(target);
                if self.flow.has_values && is_script_variable(name) {
                    reached.push(target);
                }
            }
            if mentions.has_value {
                reached.push(target);
            }
        }
        let mut tainted = BTreeSet::new();
        while let Some(name) = reached.pop() {
            if tainted.insert(name.to_owned()) {
                reached.extend(targets.get(name).into_iter().flatten());
            }
        }
        self.flow.tainted = tainted;
        self.flow
    }

    fn edge(&mut self, target: &str, mentions: &Mentions) {
        if mentions.has_value || !mentions.names.is_empty() {
            self.edges.push((target.to_owned(), mentions.clone()));
        }
    }

    fn list(&mut self, list: &List, input: &Mentions) {
        for pipeline in &list.pipelines {
            let mut input = input.clone();
            for command in &pipeline.commands {
                self.command(command, &input);
                let mut output = Mentions::default();
                self.mentioned_by_command(command, &mut output);
                input.add(&output);
            }
        }
    }

    fn command(&mut self, command: &Command, input: &Mentions) {
        let mut input = input.clone();
        for redirect in &command.redirects {
            let word = match redirect {
                Redirect::HereDocument(number) => self.documents.get(*number),
                Redirect::HereString(word) | Redirect::Duplicate(word) => Some(word),
                Redirect::Input(word)
                    if word.parts.iter().any(|part| matches!(part, Part::Substitution(_))) =>
                {
                    Some(word)
                }
                Redirect::Input(_) | Redirect::Output(_) => None,
            };
            if let Some(word) = word {
                input.add(&self.mentioned(word));
            }
            if let Redirect::HereString(word)
            | Redirect::Input(word)
            | Redirect::Output(word)
            | Redirect::Duplicate(word) = redirect
            {
                self.word(word, &input);
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, arguments } => self.simple(assignments, arguments, &input),
            CommandKind::Group(lists) => lists.iter().for_each(|list| self.list(list, &input)),
            CommandKind::For { variable, words, body } => {
                for word in words {
                    self.word(word, &input);
                    let mentions = self.mentioned(word);
                    self.edge(variable, &mentions);
                }
                self.edge("REPLY", &input);
                self.list(body, &input);
            }
            CommandKind::Arithmetic { expression, body } => {
                self.word(expression, &input);
                self.list(body, &input);
            }
            CommandKind::Case { word, patterns, lists } => {
                patterns.iter().chain([word]).for_each(|word| self.word(word, &input));
                lists.iter().for_each(|list| self.list(list, &input));
            }
            CommandKind::Condition(words) => {
                for word in words {
                    self.word(word, &input);
                    let mentions = self.mentioned(word);
                    self.edge("BASH_REMATCH", &mentions);
                }
            }
            CommandKind::Function { name, body } => {
                let mut output = Mentions::default();
                self.mentioned_by_command(body, &mut output);
                output.names.remove(name);
                self.edge(name, &output);
                let is_fed = self.fed_functions.contains(name);
                self.command(body, &if is_fed { anything() } else { Mentions::default() });
            }
        }
    }

    fn simple(&mut self, assignments: &[Assignment], arguments: &[Argument], input: &Mentions) {
        for assignment in assignments {
            self.assignment(assignment, input);
        }
        let words: Vec<Word> = arguments.iter().map(as_word).collect();
        let Some(name) = words.first() else { return };
        let name = name.literal_text();
        let mut given = Mentions::default();
        for (argument, word) in arguments.iter().zip(&words).skip(1) {
            match argument {
                Argument::Assignment(assignment) => self.assignment(assignment, input),
                Argument::Word(word) => self.word(word, input),
            }
            given.add(&self.mentioned(word));
        }
        if let Some(Argument::Word(word)) = arguments.first() {
            self.word(word, input);
        }
        let treatment = treatment(&words);
        if name == "set"
            || name == "source"
            || name == "."
            || self.flow.functions.contains(&name)
            || self.flow.constants.contains_key(&name)
            || treatment.hazards.iter().any(|hazard| hazard.role == Role::Script)
        {
            self.edge(ARGUMENTS, &given);
        }
        match name.as_str() {
            "cd" | "pushd" => ["PWD", "OLDPWD", "DIRSTACK"].iter().for_each(|name| self.edge(name, &given)),
            "exec" => self.edge(DESCRIPTORS, input),
            "unset" => {
                let names = words.iter().skip(1).map(|word| word.literal().unwrap_or_else(|| ANY.to_owned()));
                self.flow.rebound.extend(names);
            }
            "alias" => words.iter().skip(1).for_each(|word| self.constant_of(word)),
            _ if DECLARATIONS.contains(&name.as_str()) => self.declaration(arguments),
            _ => {}
        }
        if matches!(name.as_str(), "read" | "mapfile" | "readarray" | "getopts" | "printf") {
            self.stored(&name, &words, input, given);
        } else if treatment.hazards.iter().any(|hazard| hazard.role == Role::VariableName) {
            // `command read x` and the like.
            let mut known = input.clone();
            known.add(&given);
            self.stored("read", &words, &known, Mentions::default());
        }
    }

    /// Reads the variables that a builtin assigns.
    fn stored(&mut self, name: &str, words: &[Word], input: &Mentions, given: Mentions) {
        let mut known = given;
        match name {
            "printf" => {}
            "getopts" => {
                known.names.insert(ARGUMENTS.to_owned());
                self.edge("OPTARG", &known);
            }
            _ => {
                known.add(input);
                known.names.insert(DESCRIPTORS.to_owned());
                self.edge("REPLY", &known);
                self.edge("MAPFILE", &known);
            }
        }
        for word in words.iter().skip(1) {
            let text = word.literal_prefix();
            let text = text.strip_prefix("-v").or_else(|| text.strip_prefix("-a")).unwrap_or(&text);
            let length = name_length(text);
            if length > 0 && (length == text.len() || text[length..].starts_with('[')) {
                self.edge(&text[..length], &known);
            }
        }
    }

    fn declaration(&mut self, arguments: &[Argument]) {
        let mut letters = String::new();
        for argument in arguments.iter().skip(1) {
            let (name, value) = match argument {
                Argument::Assignment(assignment) => (assignment.name.clone(), None),
                Argument::Word(word) => {
                    let text = word.literal_prefix();
                    if text.starts_with('-') {
                        letters.push_str(&text);
                        continue;
                    }
                    let length = name_length(&text);
                    let after = &text[length..];
                    let value =
                        after.strip_prefix('+').unwrap_or(after).starts_with('=').then(|| word.clone());
                    (text[..length].to_owned(), value)
                }
            };
            if name.is_empty() {
                continue;
            }
            if let Some(word) = value {
                let mentions = self.mentioned(&word);
                self.edge(&name, &mentions);
                self.constant_of(&word);
            }
            if letters.contains('n')
                && let Argument::Assignment(Assignment { value: AssignedValue::Word(word), .. }) = argument
            {
                for target in self.mentioned(word).names {
                    self.edge(&target, &Mentions { has_value: false, names: BTreeSet::from([name.clone()]) });
                }
                self.flow.references.insert(name.clone());
            } else if letters.contains('n') {
                self.flow.references.insert(name.clone());
            }
            if letters.contains('i') {
                self.flow.integers.insert(name.clone());
            }
            if letters.contains(['a', 'A']) {
                self.flow.arrays.insert(name.clone());
            }
            if !letters.contains('A') {
                self.flow.rebound.insert(name);
            }
        }
    }

    fn assignment(&mut self, assignment: &Assignment, input: &Mentions) {
        if let Some(index) = &assignment.index {
            self.word(index, input);
            self.flow.arrays.insert(assignment.name.clone());
        }
        let constant = match &assignment.value {
            AssignedValue::Word(word) => {
                word.literal().map(|text| text.split_ascii_whitespace().map(ToOwned::to_owned).collect())
            }
            AssignedValue::Array(elements) => {
                self.flow.arrays.insert(assignment.name.clone());
                elements
                    .iter()
                    .for_each(|element| element.index.iter().for_each(|index| self.word(index, input)));
                Some(elements.iter().map_while(|element| element.value.literal()).collect::<Vec<_>>())
            }
        };
        if let Some(words) = constant.filter(|words| !words.is_empty()) {
            self.constant(&assignment.name, words);
        }
        for word in assignment.value.words() {
            self.word(word, input);
            let mut mentions = self.mentioned(word);
            if word.parts.iter().any(|part| matches!(part, Part::Substitution(_))) {
                mentions.add(input);
            }
            self.edge(&assignment.name, &mentions);
        }
    }

    /// `name=text` of `alias` and of quoted declarations.
    fn constant_of(&mut self, word: &Word) {
        if let Some((name, text)) = word.literal().as_deref().and_then(|text| text.split_once('=')) {
            let words: Vec<String> = text.split_ascii_whitespace().map(ToOwned::to_owned).collect();
            if is_name(name) && !words.is_empty() {
                self.constant(name, words);
            }
        }
    }

    fn constant(&mut self, name: &str, words: Vec<String>) {
        let constants = self.flow.constants.entry(name.to_owned()).or_default();
        if constants.len() < CONSTANTS_MAX && !constants.contains(&words) && is_special(&words[0]) {
            constants.push(words);
        }
    }

    /// Assignments in the expansions of a word.
    fn word(&mut self, word: &Word, input: &Mentions) {
        for part in &word.parts {
            match part {
                Part::Literal { .. } | Part::Value(_) => {}
                Part::Parameter(parameter) => self.parameter(parameter, input),
                Part::Substitution(list) => self.list(list, input),
                Part::OutputProcess(list) => {
                    self.list(list, &anything());
                }
                Part::Arithmetic(word) => self.word(word, input),
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, input: &Mentions) {
        if let Some(index) = &parameter.index {
            self.word(index, input);
        }
        match &parameter.operation {
            Operation::None | Operation::Prompt => {}
            Operation::Assign(word) => {
                self.word(word, input);
                let mentions = self.mentioned(word);
                self.edge(&parameter.name, &mentions);
            }
            Operation::Slice(word) | Operation::Word(word) => self.word(word, input),
        }
    }
}

/// An argument as one word.
pub(super) fn as_word(argument: &Argument) -> Word {
    match argument {
        Argument::Word(word) => word.clone(),
        Argument::Assignment(assignment) => {
            let mut word = Word::of_text(&format!("{}=", assignment.name), assignment.range.clone());
            let values = assignment.value.words().into_iter().flat_map(|value| value.parts.iter().cloned());
            word.parts.extend(values);
            word
        }
    }
}
