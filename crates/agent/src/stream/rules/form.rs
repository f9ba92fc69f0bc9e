//! A rule as a configuration has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::path::{FieldPath, LineText};

/// The rules by which lines of JSON are read. Each rule that fits a line is applied to it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<RuleForm>", into = "Vec<RuleForm>")]
pub struct LineRules(pub(super) Vec<RuleForm>);

/// What the lines are like that a rule is for, and what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RuleForm {
    /// The values that a line has to have; none are for every line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) when: BTreeMap<FieldPath, Expected>,
    /// A list in the line: the rule is applied once for each element of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) each: Option<FieldPath>,
    /// Whether the line alone says that the agent is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) life: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<FieldPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<FieldPath>,
    /// A message, all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<FieldPath>,
    /// The next piece of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<FieldPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<FieldPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_started: Option<ToolStarted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_finished: Option<ToolFinished>,
    /// A file that was written, or a list of such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<FieldPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<UsageRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<ErrorRule>,
    /// Whether a turn begins with the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) turn_started: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) turn_ended: Option<TurnRule>,
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a whole number, true, false, a list of these, { present = true }, { starts_with = \"…\" }, or { not = … }"
)]
pub(super) enum Expected {
    Presence(Presence),
    Start(Start),
    Not(Not),
    OneOf(Vec<Scalar>),
    Is(Scalar),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Presence {
    pub(super) present: bool,
}

/// How a text begins, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) starts_with: String,
}

/// What a value that is there must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Not {
    pub(super) not: Box<Expected>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Flag(bool),
    Number(i64),
    Text(String),
}

/// Whether something went well: as it stands here, or by values of the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected true, false, or values of the line, such as { status = \"completed\" }"
)]
pub(super) enum Verdict {
    Fixed(bool),
    When(BTreeMap<FieldPath, Expected>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolStarted {
    pub(super) call: FieldPath,
    pub(super) name: LineText,
    /// One line for people; `$ ` before it makes it a command of a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<LineText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolFinished {
    pub(super) call: FieldPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<LineText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<LineText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ok: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<FieldPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<FieldPath>,
}

/// Tokens and cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageRule {
    pub(super) span: SpanWord,
    /// The name of the model call; of `span = "call"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<FieldPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Sum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Sum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_read: Option<Sum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_write: Option<Sum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<Sum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<FieldPath>,
}

/// A count, or several that add up: what the first does not say is unknown, of the others it is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a path to a count, or a list of such paths, which add up")]
pub(super) enum Sum {
    One(FieldPath),
    All(Vec<FieldPath>),
}

/// What a usage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SpanWord {
    Call,
    Turn,
    Process,
    Session,
}

/// Something went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorRule {
    pub(super) message: FieldPath,
    /// What it is; where this is absent the signs decide by the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ErrorKind>,
    /// When a limit ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resets: Option<FieldPath>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorKind {
    Limit,
    Login,
    Refused,
    Network,
}

/// The agent ended its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnRule {
    pub(super) ok: Verdict,
    /// The last message, of a turn that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<FieldPath>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<FieldPath>,
}

/// A rule makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RuleFault {
    #[error("it says nothing of its lines; add one of {SAYS}, or `life = false` for lines that mean nothing")]
    SaysNothing,
    #[error("it has both `message`, which is whole, and `delta`, which is a piece of one; write two rules")]
    TwoMessages,
    #[error("`usage` with `span = \"call\"` needs `call`, the path to the name of the model call")]
    NoCall,
    #[error("`usage` has `call`, which only `span = \"call\"` has")]
    CallOfOther,
    #[error(
        "`usage` tells nothing; add one of `input`, `output`, `cache_read`, `cache_write`, `reasoning`, `cost_usd`"
    )]
    EmptyUsage,
    #[error("a sum needs at least one path")]
    EmptySum,
    #[error("`error` has `resets`, which only `kind = \"limit\"` has")]
    ResetsOfOther,
}

const SAYS: &str = "`session`, `model`, `message`, `delta`, `reasoning`, `tool_started`, `tool_finished`, `files`, `usage`, `error`, `turn_started`, `turn_ended`, `life`";

/// A rule that makes no sense, with its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number} of `lines`: {fault}")]
pub(super) struct WrongRule {
    number: usize,
    fault: RuleFault,
}

impl TryFrom<Vec<RuleForm>> for LineRules {
    type Error = WrongRule;

    fn try_from(rules: Vec<RuleForm>) -> Result<LineRules, WrongRule> {
        for (index, rule) in rules.iter().enumerate() {
            rule.expect_sense().map_err(|fault| WrongRule { number: index + 1, fault })?;
        }
        Ok(LineRules(rules))
    }
}

impl From<LineRules> for Vec<RuleForm> {
    fn from(rules: LineRules) -> Vec<RuleForm> {
        rules.0
    }
}

impl LineRules {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them tells the name of the session.
    pub(crate) fn tell_session(&self) -> bool {
        self.0.iter().any(|rule| rule.session.is_some())
    }

    /// Whether one of them tells that the turn ended.
    pub(crate) fn tell_turn_end(&self) -> bool {
        self.0.iter().any(|rule| rule.turn_ended.is_some())
    }

    /// Each rule as JSON.
    pub(crate) fn written(&self) -> Vec<String> {
        self.0.iter().map(|rule| serde_json::json!(rule).to_string()).collect()
    }
}

impl RuleForm {
    fn expect_sense(&self) -> Result<(), RuleFault> {
        let nothing = RuleForm { when: self.when.clone(), each: self.each.clone(), ..RuleForm::default() };
        if *self == nothing {
            return Err(RuleFault::SaysNothing);
        }
        if self.message.is_some() && self.delta.is_some() {
            return Err(RuleFault::TwoMessages);
        }
        if let Some(usage) = &self.usage {
            usage.expect_sense()?;
        }
        match &self.error {
            Some(error) if error.resets.is_some() && error.kind != Some(ErrorKind::Limit) => {
                Err(RuleFault::ResetsOfOther)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl UsageRule {
    fn expect_sense(&self) -> Result<(), RuleFault> {
        let counts = [&self.input, &self.output, &self.cache_read, &self.cache_write, &self.reasoning];
        match (self.span, &self.call) {
            (SpanWord::Call, None) => return Err(RuleFault::NoCall),
            (SpanWord::Turn | SpanWord::Process | SpanWord::Session, Some(_)) => {
                return Err(RuleFault::CallOfOther);
            }
            (SpanWord::Call, Some(_)) | (SpanWord::Turn | SpanWord::Process | SpanWord::Session, None) => {}
        }
        if self.cost_usd.is_none() && counts.iter().all(|count| count.is_none()) {
            return Err(RuleFault::EmptyUsage);
        }
        let is_empty = |sum: &Sum| matches!(sum, Sum::All(paths) if paths.is_empty());
        match counts.into_iter().flatten().any(is_empty) {
            true => Err(RuleFault::EmptySum),
            false => Ok(()),
        }
    }
}
