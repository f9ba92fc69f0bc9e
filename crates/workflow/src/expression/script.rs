//! Scripts: each `${{ }}` becomes a reference to a variable, spelled for the place where it stands.

use std::ops::Range;

use super::shell::{Evaluator, Found, Place, places};
use super::{Expression, Script, ScriptVariable, SourceError, interpolations};
use crate::codes;

/// A script and what may go wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedScript {
    /// The script.
    pub script: Script,
    /// Places that should be looked at.
    pub warnings: Vec<SourceError>,
}

impl Script {
    /// Reads a script of a POSIX shell or of bash.
    ///
    /// # Errors
    /// Every place where an expression can not be read, or where no reference can stand.
    pub fn parse(source: &str) -> Result<Script, Vec<SourceError>> {
        Script::parse_with_warnings(source).map(|parsed| parsed.script)
    }

    /// Reads a script, and says where a value might be taken as code in spite of everything.
    ///
    /// # Errors
    /// As for [`Script::parse`].
    pub fn parse_with_warnings(source: &str) -> Result<ParsedScript, Vec<SourceError>> {
        let found = interpolations(source);
        let mut reading = Reading::default();
        let mut copied = 0;
        for (interpolation, place) in found.iter().zip(places(source, &found)) {
            reading.text.push_str(&source[copied..interpolation.outer.start]);
            copied = interpolation.outer.end;
            reading.one(source, &interpolation.outer, &interpolation.inner, place);
        }
        reading.text.push_str(&source[copied..]);
        if let Some(at) = source[copied..].find("${{") {
            let start = copied + at;
            reading.errors.push(SourceError {
                code: codes::EXPRESSION,
                message: "`${{` without its `}}`".to_owned(),
                range: start..start + 3,
                hint: None,
            });
        }
        if reading.errors.is_empty() {
            let script = Script { text: reading.text, variables: reading.variables, whole: None };
            Ok(ParsedScript { script, warnings: reading.warnings })
        } else {
            Err(reading.errors)
        }
    }

    /// The script that is the input `name` of type `script`.
    #[must_use]
    pub fn whole(name: &str) -> Script {
        Script { text: String::new(), variables: Vec::new(), whole: Some(name.to_owned()) }
    }
}

#[derive(Default)]
struct Reading {
    text: String,
    variables: Vec<ScriptVariable>,
    warnings: Vec<SourceError>,
    errors: Vec<SourceError>,
}

impl Reading {
    fn one(&mut self, source: &str, outer: &Range<usize>, inner: &Range<usize>, found: Found) {
        if found.place == Place::Comment {
            self.text.push_str(&source[outer.clone()].replace('\n', " "));
            return;
        }
        if let Some(error) = refused(found.place, outer) {
            self.errors.push(error);
            return;
        }
        self.warnings.extend(warning(found, outer));
        let mut expression = match Expression::parse(&source[inner.clone()]) {
            Ok(expression) => expression,
            Err(error) => {
                let range = inner.start + error.range.start..inner.start + error.range.end;
                self.errors.push(SourceError { range, ..error });
                return;
            }
        };
        if found.place == Place::Arithmetic {
            // The shell would evaluate any other text, even run `$( )` inside of an index.
            expression.source = format!("({}) | int", expression.source);
        }
        let name = self.variable(expression);
        match found.place {
            Place::Bare => self.text.push_str(&format!("\"${{{name}}}\"")),
            _ => self.text.push_str(&format!("${{{name}}}")),
        }
    }

    fn variable(&mut self, expression: Expression) -> String {
        if let Some(known) = self.variables.iter().find(|known| known.expression == expression) {
            return known.name.clone();
        }
        let name = format!("BACKSTAY_V{}", self.variables.len() + 1);
        self.variables.push(ScriptVariable { name: name.clone(), expression });
        name
    }
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
            "nothing is replaced in a here-document whose end is quoted",
            "write the end without quotes: `<<EOF`",
        ),
        Place::Nowhere => (
            codes::UNSAFE_POSITION,
            "no value can stand here",
            "remove the backslash before it, or put the value into a variable under `env`",
        ),
        Place::Bare | Place::Quoted | Place::Arithmetic | Place::Comment => return None,
    };
    Some(SourceError { code, message: message.to_owned(), range: outer.clone(), hint: Some(hint.to_owned()) })
}

fn warning(found: Found, outer: &Range<usize>) -> Option<SourceError> {
    let (message, hint) = match (found.evaluated_by, found.place) {
        (Some(Evaluator::Builtin), _) => (
            "the command before it evaluates the value as code",
            "leave the command out, or check the value first",
        ),
        (Some(Evaluator::Interpreter), _) => (
            "the interpreter runs the value as a part of its program",
            "pass it as an argument after the program, or read it from a variable under `env`",
        ),
        (Some(Evaluator::CommandName), Place::Bare) => (
            "the value is the name of the command that runs",
            "declare the input with `type: script` and make it the whole `run`, or name the command",
        ),
        (_, Place::Arithmetic) => (
            "the shell evaluates arithmetic: the value has to be a whole number",
            "the step fails before it starts if it is none",
        ),
        _ => return None,
    };
    Some(SourceError {
        code: codes::EVALUATED_AGAIN,
        message: message.to_owned(),
        range: outer.clone(),
        hint: Some(hint.to_owned()),
    })
}
