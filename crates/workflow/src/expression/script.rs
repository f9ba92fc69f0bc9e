//! Scripts: each `${{ }}` becomes a reference to a variable, spelled for the place where it stands.

use std::collections::BTreeSet;
use std::ops::Range;

use super::interpolation::{Interpolation, interpolations};
use super::kind::kind_of;
use super::shell::{self, ArgumentPart, Finding, Obscurity, Place, Role, Source};
use super::{Expression, Script, ScriptVariable, SourceError, ValueKind};
use crate::codes;

/// A script and its warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedScript {
    /// The script.
    pub script: Script,
    /// The warnings, in the order of the script.
    pub warnings: Vec<SourceError>,
}

/// The shell that reads a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShellDialect {
    /// Bash.
    #[default]
    Bash,
    /// `sh` and `dash`, which may not know what bash adds to POSIX.
    Posix,
    /// `zsh` and `ksh`, which evaluate more than bash does.
    Other,
}

/// The surroundings of a script.
pub struct ScriptContext<'a> {
    /// The kind of the value that a dotted name stands for.
    pub kind_of: &'a dyn Fn(&[&str]) -> ValueKind,
    /// Variables of its environment that hold a text from a `${{ }}`.
    pub environment: &'a [String],
    /// The shell.
    pub dialect: ShellDialect,
}

impl Script {
    /// Reads a script of a POSIX shell or of bash.
    ///
    /// # Errors
    /// Every place where an expression can not be read, where no reference can stand, or where its value would be code.
    pub fn parse(source: &str) -> Result<Script, Vec<SourceError>> {
        Script::parse_with_warnings(source).map(|parsed| parsed.script)
    }

    /// Reads a script and warns of places where a value may still become code.
    ///
    /// # Errors
    /// As for [`Script::parse`].
    pub fn parse_with_warnings(source: &str) -> Result<ParsedScript, Vec<SourceError>> {
        let dialect = ShellDialect::Bash;
        Script::parse_in(source, &ScriptContext { kind_of: &|_| ValueKind::Text, environment: &[], dialect })
    }

    /// Reads a script in its surroundings.
    ///
    /// # Errors
    /// As for [`Script::parse`].
    pub fn parse_in(source: &str, context: &ScriptContext<'_>) -> Result<ParsedScript, Vec<SourceError>> {
        let found = interpolations(source);
        let read = shell::read(source, &found);
        let kinds: Vec<ValueKind> =
            found.iter().map(|each| kind_of(source[each.inner.clone()].trim(), context.kind_of)).collect();
        let mut builder = ScriptBuilder::default();
        let mut copied = 0;
        for ((interpolation, place), kind) in found.iter().zip(&read.places).zip(&kinds) {
            builder.text.push_str(&source[copied..interpolation.outer.start]);
            copied = interpolation.outer.end;
            builder.interpolation(source, interpolation, *place, *kind);
        }
        builder.text.push_str(&source[copied..]);
        if let Some(at) = source[copied..].find("${{") {
            let start = copied + at;
            builder.errors.push(SourceError {
                code: codes::EXPRESSION,
                message: "`${{` without its `}}`".to_owned(),
                range: start..start + 3,
                hint: None,
            });
        }
        builder.obscurity(&read, &found, context);
        for finding in read.findings(&kinds, context.environment) {
            builder.finding(source, &found, &finding);
        }
        if builder.errors.is_empty() {
            let script = Script { text: builder.text, variables: builder.variables, whole: None };
            Ok(ParsedScript { script, warnings: builder.warnings })
        } else {
            Err(builder.errors)
        }
    }

    /// The script that is the input `name` of type `script`.
    #[must_use]
    pub fn whole(name: &str) -> Script {
        Script { text: String::new(), variables: Vec::new(), whole: Some(name.to_owned()) }
    }
}

/// Returns the errors of a command's arguments that would be code, each with the number of its argument.
pub(crate) fn argument_errors(
    arguments: &[&str],
    kind_of_path: &dyn Fn(&[&str]) -> ValueKind,
) -> Vec<(usize, SourceError, IsError)> {
    let found: Vec<Vec<Interpolation>> = arguments.iter().map(|text| interpolations(text)).collect();
    let (mut kinds, mut owners) = (Vec::new(), Vec::new());
    let mut words = Vec::with_capacity(arguments.len());
    for (number, (text, found)) in arguments.iter().zip(&found).enumerate() {
        let (mut parts, mut copied) = (Vec::new(), 0);
        for each in found {
            parts.push(ArgumentPart::Text(&text[copied..each.outer.start]));
            parts.push(ArgumentPart::Value(kinds.len()));
            kinds.push(kind_of(text[each.inner.clone()].trim(), kind_of_path));
            owners.push((number, each));
            copied = each.outer.end;
        }
        parts.push(ArgumentPart::Text(&text[copied..]));
        words.push(parts);
    }
    let findings = shell::findings_of_command(&words, &kinds);
    let said = findings.iter().filter_map(|finding| {
        let Source::Value(value) = finding.source else { return None };
        let (number, each) = owners.get(value)?;
        let source = arguments[*number][each.inner.clone()].trim();
        let (error, is_error) = message_of(finding, source, each.outer.clone());
        Some((*number, error, is_error))
    });
    said.collect()
}

/// Whether a finding refuses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsError {
    Error,
    Warning,
}

#[derive(Default)]
struct ScriptBuilder {
    text: String,
    variables: Vec<ScriptVariable>,
    warnings: Vec<SourceError>,
    errors: Vec<SourceError>,
    /// The places and codes of the findings so far.
    reported: BTreeSet<(usize, backstay_model::Code)>,
}

impl ScriptBuilder {
    fn interpolation(&mut self, source: &str, found: &Interpolation, place: Place, kind: ValueKind) {
        let (outer, inner) = (&found.outer, &found.inner);
        if place == Place::Comment {
            self.text.push_str(&source[outer.clone()].replace('\n', " "));
            return;
        }
        if let Some(error) = refused(place, outer) {
            self.errors.push(error);
            return;
        }
        let expression = match Expression::parse(&source[inner.clone()]) {
            Ok(expression) => expression,
            Err(error) => {
                let range = inner.start + error.range.start..inner.start + error.range.end;
                self.errors.push(SourceError { range, ..error });
                return;
            }
        };
        let name = self.variable(expression, kind);
        match place {
            Place::Bare => self.text.push_str(&format!("\"${{{name}}}\"")),
            _ => self.text.push_str(&format!("${{{name}}}")),
        }
    }

    fn variable(&mut self, expression: Expression, kind: ValueKind) -> String {
        if let Some(known) = self.variables.iter().find(|known| known.expression == expression) {
            return known.name.clone();
        }
        let name = format!("BACKSTAY_V{}", self.variables.len() + 1);
        self.variables.push(ScriptVariable { name: name.clone(), expression, kind });
        name
    }

    /// Reports the reasons why the script can not be analysed.
    fn obscurity(&mut self, read: &shell::Script, found: &[Interpolation], context: &ScriptContext<'_>) {
        let Some(first) = found.first() else { return };
        if let Some((why, range)) = &read.obscurity {
            let message = match why {
                Obscurity::TooDeep => "the script is nested too deeply to check its values".to_owned(),
                Obscurity::Unfinished(what) => {
                    format!("the values behind {what} can not be checked")
                }
            };
            let hint = "close it, or write it in another way, such as `$( )` in place of backticks";
            self.errors.push(source_error(codes::UNSAFE_POSITION, message, range, hint));
        }
        if context.dialect == ShellDialect::Posix
            && let Some(at) = read.first_bashism
        {
            let message = "`sh` may read this in another way than bash, and its values with it".to_owned();
            let hint = "leave `shell` out: the default is bash";
            self.warnings.push(source_error(codes::EVALUATED_AGAIN, message, &(at..at + 1), hint));
        }
        if context.dialect == ShellDialect::Other {
            let message =
                "`zsh` and `ksh` may evaluate values at places that this check does not know".to_owned();
            let hint =
                "leave `shell` out: the default is bash; or read the values from variables under `env`";
            self.warnings.push(source_error(codes::EVALUATED_AGAIN, message, &first.outer, hint));
        }
    }

    fn finding(&mut self, source: &str, found: &[Interpolation], finding: &Finding) {
        let (text, range) = match finding.source {
            Source::Value(number) => {
                let Some(each) = found.get(number) else { return };
                (source[each.inner.clone()].trim(), each.outer.clone())
            }
            Source::Variable(_) | Source::Output => ("", finding.range.clone()),
        };
        let (said, is_error) = message_of(finding, text, range);
        if self.reported.insert((said.range.start, said.code)) {
            let known = if is_error == IsError::Error { &mut self.errors } else { &mut self.warnings };
            known.push(said);
        }
    }
}

fn source_error(
    code: backstay_model::Code,
    message: String,
    range: &Range<usize>,
    hint: &str,
) -> SourceError {
    SourceError { code, message, range: range.clone(), hint: Some(hint.to_owned()) }
}

fn refused(place: Place, outer: &Range<usize>) -> Option<SourceError> {
    let (code, message, hint) = match place {
        Place::SingleQuoted => (
            codes::SINGLE_QUOTED,
            "nothing is replaced inside single quotes",
            "use double quotes, or end the single quotes before it: `'…'${{ … }}'…'`",
        ),
        Place::QuotedHereDocument => (
            codes::SINGLE_QUOTED,
            "the shell replaces nothing in a here-document whose end is quoted",
            "write the end without quotes: `<<EOF`",
        ),
        Place::Nowhere => (
            codes::UNSAFE_POSITION,
            "a value is not possible here",
            "remove the backslash before it, or put the value into a variable under `env`",
        ),
        Place::Bare | Place::Quoted | Place::Comment => return None,
    };
    Some(source_error(code, message.to_owned(), outer, hint))
}

/// Returns the diagnostic of a finding. `source` is its expression if the `${{ }}` itself stands there.
fn message_of(finding: &Finding, source: &str, range: Range<usize>) -> (SourceError, IsError) {
    let holder = match &finding.source {
        Source::Value(_) => "this value".to_owned(),
        Source::Variable(name) if name == "@" => "an argument that may come from a `${{ }}`".to_owned(),
        Source::Variable(name) => format!("`{name}`, which may hold a value of a `${{{{ }}}}`,"),
        Source::Output => "the output of a command that was given a value".to_owned(),
    };
    let is_direct = matches!(finding.source, Source::Value(_));
    let message = match finding.role {
        Role::Script | Role::Code if finding.is_certain => format!("{holder} would run as code here"),
        Role::Script | Role::Code => format!("{holder} may run as code here"),
        Role::Arithmetic => format!("the shell evaluates {holder} as arithmetic, which can run commands"),
        Role::VariableName => {
            format!("the shell takes {holder} as the name of a variable, and evaluates an index in it")
        }
        Role::Option => format!("{holder} can be an option here, and an option can run commands"),
        Role::FileOrCommand => {
            format!("`perl -n` and `perl -p` run {holder} as a command here if it ends with `|`")
        }
        Role::Operator => {
            format!(
                "the shell splits {holder} into words here, and a word such as `-v` or `-c` evaluates the next"
            )
        }
        Role::ProgramName => format!("{holder} is the name of the command that runs"),
        Role::ProgramFile => format!("{holder} is the name of the file that runs"),
    };
    let hint = hint_of(finding.role, is_direct, source);
    let only_chooses = matches!(finding.role, Role::ProgramName | Role::ProgramFile);
    if is_direct && finding.is_certain && !only_chooses {
        (source_error(codes::VALUE_AS_CODE, message, &range, &hint), IsError::Error)
    } else {
        (source_error(codes::EVALUATED_AGAIN, message, &range, &hint), IsError::Warning)
    }
}

fn hint_of(role: Role, is_direct: bool, source: &str) -> String {
    match role {
        Role::Arithmetic if is_direct => {
            let is_plain = source.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c));
            let cast = if is_plain { format!("{source} | int") } else { format!("({source}) | int") };
            match source.strip_prefix("inputs.").filter(|_| is_plain) {
                Some(name) => {
                    format!("declare it with `{name}: {{type: number}}`, or write `${{{{ {cast} }}}}`")
                }
                None => {
                    format!("write `${{{{ {cast} }}}}`: the step fails before it starts if it is no number")
                }
            }
        }
        Role::Arithmetic => {
            "compare with `[ … -gt … ]`, which evaluates nothing, or make the value a number with \
                             `type: number` or `| int`"
                .to_owned()
        }
        Role::Script => "pass it as an argument behind the program: `bash -c '… \"$1\"' _ \"…\"`".to_owned(),
        Role::Code => {
            "put it under `env` and let the program read the variable, or pass it as an argument".to_owned()
        }
        Role::VariableName => "name the variable in the script, or choose among names with `case`".to_owned(),
        Role::Option => "put `--` before it; for `printf` a format: `printf '%s' …`".to_owned(),
        Role::FileOrCommand => "let the shell open the file: `perl -n … < \"…\"`".to_owned(),
        Role::Operator => "put it in double quotes".to_owned(),
        Role::ProgramName => {
            "declare the input with `type: script` and make it the whole `run`, or name the command"
                .to_owned()
        }
        Role::ProgramFile => "name the file in the script, or choose among files with `case`".to_owned(),
    }
}
