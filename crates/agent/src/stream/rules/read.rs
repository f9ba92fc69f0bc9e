//! What a line says by the rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::form::{
    ErrorKind, ErrorRule, Expected, LineRules, RuleForm, Scalar, SpanWord, Sum, ToolFinished, ToolStarted,
    TurnRule, UsageRule, Verdict,
};
use super::path::{FieldPath, LineText, Scope, TextPiece};
use crate::stream::event::{AgentEvent, Part, Usage, UsageSpan};
use crate::stream::reader::{Context, Parsed};
use crate::stream::what::{command, one_line};
use crate::trouble::Reset;

/// Counts above this are none: no agent uses as many tokens, and other programs read greater numbers wrong.
const COUNT_MAX: u64 = 1 << 53;
/// Costs above this are none.
const COST_USD_MAX: f64 = 1e9;
/// Elements of one list that a rule goes through.
const EACH_MAX: usize = 10_000;
/// Characters of a number that is named in a message.
const SHOWN_CHARS_MAX: usize = 40;

/// Applies each of the rules that fit.
pub(in crate::stream) fn parse(
    line: &Value,
    rules: &LineRules,
    context: &Context,
) -> serde_json::Result<Parsed> {
    if !line.is_object() {
        return Err(serde::de::Error::custom("a line is an object"));
    }
    let mut reading = Reading { context, events: Vec::new(), wrong: BTreeSet::new() };
    let mut is_known = false;
    for rule in &rules.0 {
        let whole = Scope { line, each: None };
        let scopes: Vec<Scope<'_>> = match &rule.each {
            None => vec![whole],
            Some(list) => match list.find(whole) {
                Some(Value::Array(elements)) => {
                    let first = elements.iter().take(EACH_MAX);
                    first.map(|element| Scope { line, each: Some(element) }).collect()
                }
                Some(_) | None => Vec::new(),
            },
        };
        for scope in scopes.into_iter().filter(|scope| fits(&rule.when, *scope) == Some(true)) {
            // A rule for every line does not know what its lines are.
            is_known |= !rule.when.is_empty();
            reading.apply(rule, scope);
        }
    }
    if !is_known {
        reading.events.push(AgentEvent::Working);
    }
    Ok(Parsed::Known(reading.events))
}

/// Whether the values are as they have to be; `None` where one is not there that has to be something.
fn fits(when: &BTreeMap<FieldPath, Expected>, scope: Scope<'_>) -> Option<bool> {
    let mut fits = Some(true);
    for (path, expected) in when {
        let is_it = expected.is_met_by(path.find(scope));
        fits = match (fits, is_it) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, _) | (_, None) => None,
            (Some(true), Some(true)) => Some(true),
        };
    }
    fits
}

impl Expected {
    /// Whether `value` is as expected; `None` where there is none and one has to be there.
    fn is_met_by(&self, value: Option<&Value>) -> Option<bool> {
        match (self, value) {
            (Expected::Presence(presence), value) => Some(value.is_some() == presence.present),
            (Expected::Not(not), value) => not.not.is_met_by(value).map(|is_met| !is_met),
            (_, None) => None,
            (Expected::Start(start), Some(value)) => {
                let text = value.as_str().map(str::to_lowercase);
                Some(text.is_some_and(|text| text.starts_with(&start.starts_with.to_lowercase())))
            }
            (Expected::Is(scalar), Some(value)) => Some(scalar.is(value)),
            (Expected::OneOf(scalars), Some(value)) => Some(scalars.iter().any(|scalar| scalar.is(value))),
        }
    }
}

impl Scalar {
    fn is(&self, value: &Value) -> bool {
        match self {
            Scalar::Flag(flag) => value.as_bool() == Some(*flag),
            Scalar::Number(number) => value.as_i64() == Some(*number),
            Scalar::Text(text) => value.as_str() == Some(text),
        }
    }
}

impl Verdict {
    fn of(&self, scope: Scope<'_>) -> Option<bool> {
        match self {
            Verdict::Fixed(ok) => Some(*ok),
            Verdict::When(when) => fits(when, scope),
        }
    }
}

/// What a line said so far.
struct Reading<'c> {
    context: &'c Context,
    events: Vec<AgentEvent>,
    /// Where a wrong value was: of one line that is told once.
    wrong: BTreeSet<String>,
}

impl Reading<'_> {
    fn apply(&mut self, rule: &RuleForm, scope: Scope<'_>) {
        if rule.life == Some(true) {
            self.events.push(AgentEvent::Working);
        }
        self.session(rule, scope);
        if rule.turn_started == Some(true) {
            self.events.push(AgentEvent::TurnStarted);
        }
        let text = self.text(rule.reasoning.as_ref(), scope);
        self.events.extend(text.map(|text| AgentEvent::Reasoning { text }));
        for (path, part) in [(&rule.message, Part::Whole), (&rule.delta, Part::Piece)] {
            let text = self.text(path.as_ref(), scope);
            self.events.extend(text.map(|text| AgentEvent::Message { text, part }));
        }
        if let Some(tool) = &rule.tool_started {
            self.tool_started(tool, scope);
        }
        if let Some(tool) = &rule.tool_finished {
            self.tool_finished(tool, scope);
        }
        if let Some(path) = &rule.files {
            self.files(path, scope);
        }
        if let Some(usage) = &rule.usage {
            self.usage(usage, scope);
        }
        if let Some(error) = &rule.error {
            self.error(error, scope);
        }
        if let Some(turn) = &rule.turn_ended {
            self.turn_ended(turn, scope);
        }
    }

    fn session(&mut self, rule: &RuleForm, scope: Scope<'_>) {
        let id = self.text(rule.session.as_ref(), scope).filter(|id| !id.is_empty());
        let model = self.text(rule.model.as_ref(), scope).filter(|name| !name.is_empty());
        self.events.extend(match (id, model) {
            (Some(id), model) => Some(AgentEvent::SessionStarted { id, model }),
            (None, Some(name)) => Some(AgentEvent::Model { name }),
            (None, None) => None,
        });
    }

    fn tool_started(&mut self, tool: &ToolStarted, scope: Scope<'_>) {
        let Some(call) = self.text(Some(&tool.call), scope) else { return };
        let name = one_line(&self.filled(&tool.name, scope));
        let what = tool.what.as_ref().map_or_else(|| name.clone(), |what| self.what(what, scope));
        self.events.push(AgentEvent::ToolStarted { call, name, what });
    }

    fn tool_finished(&mut self, tool: &ToolFinished, scope: Scope<'_>) {
        let Some(call) = self.text(Some(&tool.call), scope) else { return };
        let name = tool.name.as_ref().map(|name| one_line(&self.filled(name, scope)));
        let what = tool.what.as_ref().map(|what| self.what(what, scope));
        let exit_code = self.number(tool.exit_code.as_ref(), scope, "an exit code", |value| {
            value.as_i64().and_then(|code| i32::try_from(code).ok())
        });
        let duration_ms = self.number(tool.duration_ms.as_ref(), scope, "a count of milliseconds", count);
        let told = tool.ok.as_ref().and_then(|ok| ok.of(scope));
        let ok = exit_code.map(|code| code == 0).or(told);
        self.events.push(AgentEvent::ToolFinished { call, name, what, ok, exit_code, duration_ms });
    }

    fn files(&mut self, path: &FieldPath, scope: Scope<'_>) {
        let named: Vec<&Value> = match path.find(scope) {
            None => return,
            Some(Value::Array(all)) => all.iter().collect(),
            Some(one) => vec![one],
        };
        let mut paths = Vec::with_capacity(named.len());
        for value in named {
            match value {
                Value::String(path) => paths.push(path.clone()),
                other => self.wrong(path, "the path of a file", other),
            }
        }
        // The elements of a list are of one tool.
        match self.events.last_mut() {
            Some(AgentEvent::FilesTouched { paths: before }) => before.append(&mut paths),
            _ if paths.is_empty() => {}
            _ => self.events.push(AgentEvent::FilesTouched { paths }),
        }
    }

    fn usage(&mut self, rule: &UsageRule, scope: Scope<'_>) {
        let span = match (rule.span, &rule.call) {
            (SpanWord::Call, call) => match self.text(call.as_ref(), scope) {
                Some(id) => UsageSpan::Call { id },
                None => return,
            },
            (SpanWord::Turn, _) => UsageSpan::Turn,
            (SpanWord::Process, _) => UsageSpan::Process,
            (SpanWord::Session, _) => UsageSpan::Session,
        };
        let usage = Usage {
            span,
            input: self.sum(rule.input.as_ref(), scope),
            output: self.sum(rule.output.as_ref(), scope),
            cache_read: self.sum(rule.cache_read.as_ref(), scope),
            cache_write: self.sum(rule.cache_write.as_ref(), scope),
            reasoning: self.sum(rule.reasoning.as_ref(), scope),
            cost_usd: self.number(rule.cost_usd.as_ref(), scope, "a cost in US dollars", |value| {
                value.as_f64().filter(|cost| (0.0..=COST_USD_MAX).contains(cost))
            }),
            is_partial: false,
        };
        let counts = [usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning];
        if usage.cost_usd.is_some() || counts.iter().any(Option::is_some) {
            self.events.push(AgentEvent::Usage(usage));
        }
    }

    fn sum(&mut self, sum: Option<&Sum>, scope: Scope<'_>) -> Option<u64> {
        let (first, others) = match sum? {
            Sum::One(path) => (path, [].as_slice()),
            Sum::All(paths) => paths.split_first()?,
        };
        let mut read = |path| self.number(Some(path), scope, "a count", count);
        let first = read(first);
        let others: u64 = others.iter().filter_map(read).fold(0, u64::saturating_add);
        Some(first?.saturating_add(others))
    }

    fn error(&mut self, rule: &ErrorRule, scope: Scope<'_>) {
        let Some(message) = self.text(Some(&rule.message), scope) else { return };
        let patterns = &self.context.patterns;
        let event = match rule.kind {
            None => patterns.error(&message),
            Some(ErrorKind::Limit) => {
                let said = self.text(rule.resets.as_ref(), scope);
                let reset = said.filter(|said| Reset::is_said_by(said)).map(Reset::Said);
                AgentEvent::Limit { reset: reset.or_else(|| self.context.patterns.reset(&message)), message }
            }
            Some(ErrorKind::Login) => AgentEvent::LoginNeeded { message },
            Some(ErrorKind::Refused) => AgentEvent::Refused { message },
            Some(ErrorKind::Network) => AgentEvent::NetworkTrouble { message },
        };
        self.events.push(event);
    }

    fn turn_ended(&mut self, rule: &TurnRule, scope: Scope<'_>) {
        if rule.ok.of(scope) == Some(true) {
            let answer = self.text(rule.answer.as_ref(), scope);
            self.events.push(AgentEvent::done(answer));
            return;
        }
        let failure = self.text(rule.failure.as_ref(), scope);
        let told = failure.as_ref().and_then(|failure| self.context.patterns.event(failure));
        self.events.extend(told);
        self.events.push(AgentEvent::failed(failure));
    }

    /// One line for people. Paths are shown from the folder that the agent works in.
    fn what(&mut self, text: &LineText, scope: Scope<'_>) -> String {
        let filled = self.filled(text, scope);
        match filled.strip_prefix("$ ") {
            Some(shell) => command(shell),
            None => one_line(&filled),
        }
    }

    fn filled(&mut self, text: &LineText, scope: Scope<'_>) -> String {
        let mut filled = String::new();
        for piece in &text.pieces {
            match piece {
                TextPiece::Text(text) => filled.push_str(text),
                TextPiece::Value(path) => {
                    let value = self.text(Some(path), scope).unwrap_or_default();
                    filled.push_str(self.context.folder.shown(&value));
                }
            }
        }
        filled
    }

    fn text(&mut self, path: Option<&FieldPath>, scope: Scope<'_>) -> Option<String> {
        let path = path?;
        match path.find(scope)? {
            Value::String(text) => Some(text.clone()),
            // Some number their sessions and calls.
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.wrong(path, "a text", other);
                None
            }
        }
    }

    fn number<T>(
        &mut self,
        path: Option<&FieldPath>,
        scope: Scope<'_>,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let path = path?;
        let value = path.find(scope)?;
        let number = read(value);
        if number.is_none() {
            self.wrong(path, expected, value);
        }
        number
    }

    fn wrong(&mut self, path: &FieldPath, expected: &str, found: &Value) {
        if !self.wrong.insert(path.written().to_owned()) {
            return;
        }
        let found = match found {
            Value::Null => "null".to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string().chars().take(SHOWN_CHARS_MAX).collect(),
            Value::String(_) => "a text".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        let path = path.written().to_owned();
        let message = format!(
            "the agent's lines have {found} at `{path}`, where {expected} is expected; it is left out"
        );
        self.events.push(AgentEvent::WrongValue { path, message });
    }
}

/// A count that is not negative, and not greater than counts are.
fn count(value: &Value) -> Option<u64> {
    let whole = value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
        format!("{number:.0}").parse().ok()
    });
    whole.filter(|count| *count <= COUNT_MAX)
}
