//! What an event is about: the run, or a step in it, with the item and cycle it stands in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::STEP_ID_CHARS_MAX;
use crate::{RunId, Topic};

/// The id of a step in a workflow: `[a-z][a-z0-9_]*`, at most 64 characters, unique in its file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

/// The text is not a step's id, a scope or an effect's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidScope {
    /// What was read.
    pub text: String,
    /// What it should have been.
    pub wanted: &'static str,
}

impl StepId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepId {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<StepId, InvalidScope> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if first && rest && text.len() <= STEP_ID_CHARS_MAX {
            Ok(StepId(Arc::from(text)))
        } else {
            Err(InvalidScope {
                text: text.to_owned(),
                wanted: "a step's id: [a-z][a-z0-9_]*, at most 64 characters",
            })
        }
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<StepId, InvalidScope> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(step: StepId) -> String {
        step.0.as_ref().to_owned()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One enclosing repetition of a step: an item of a fan-out or a pass of a loop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    /// The element `key` of the fan-out `step`.
    Item {
        /// The step with `for_each`.
        step: StepId,
        /// The element's key, as free text.
        key: String,
    },
    /// The pass `cycle` (from 1) of the loop `step`.
    Cycle {
        /// The step with `repeat`.
        step: StepId,
        /// Which pass.
        cycle: u32,
    },
}

impl Frame {
    /// The step that repeats.
    #[must_use]
    pub fn step(&self) -> &StepId {
        match self {
            Frame::Item { step, .. } | Frame::Cycle { step, .. } => step,
        }
    }
}

/// What an event is about. Stored text: empty for the run, `STEP` or `STEP@FRAME,FRAME…` for a step,
/// outermost frame first, with `loop~3` for a cycle and `fan=key` for an item (its key spelled as a topic component).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// The run as a whole.
    #[default]
    Run,
    /// One step.
    Step {
        /// Which step.
        step: StepId,
        /// The repetitions it stands in, outermost first.
        frames: Vec<Frame>,
    },
}

impl Scope {
    /// The scope of a step outside of every repetition.
    #[must_use]
    pub fn step(step: StepId) -> Scope {
        Scope::Step { step, frames: Vec::new() }
    }

    /// The step, if the scope is one's.
    #[must_use]
    pub fn step_id(&self) -> Option<&StepId> {
        match self {
            Scope::Run => None,
            Scope::Step { step, .. } => Some(step),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Item { step, key } => write!(f, "{step}={}", Topic::component(key)),
            Frame::Cycle { step, cycle } => write!(f, "{step}~{cycle}"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope::Step { step, frames } = self else { return Ok(()) };
        write!(f, "{step}")?;
        for (index, frame) in frames.iter().enumerate() {
            write!(f, "{}{frame}", if index == 0 { '@' } else { ',' })?;
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Scope, InvalidScope> {
        if text.is_empty() {
            return Ok(Scope::Run);
        }
        let (step, frames) = text.split_once('@').unwrap_or((text, ""));
        let frames =
            frames.split(',').filter(|frame| !frame.is_empty()).map(parse_frame).collect::<Result<_, _>>()?;
        Ok(Scope::Step { step: step.parse()?, frames })
    }
}

fn parse_frame(text: &str) -> Result<Frame, InvalidScope> {
    let invalid = || InvalidScope { text: text.to_owned(), wanted: "a frame: STEP=KEY or STEP~CYCLE" };
    if let Some((step, key)) = text.split_once('=') {
        return Ok(Frame::Item { step: step.parse()?, key: parse_component(key).ok_or_else(invalid)? });
    }
    let (step, cycle) = text.split_once('~').ok_or_else(invalid)?;
    match cycle.parse() {
        Ok(cycle) => Ok(Frame::Cycle { step: step.parse()?, cycle }),
        Err(_not_a_number) => Err(invalid()),
    }
}

/// The inverse of [`Topic::component`].
fn parse_component(spelled: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(spelled.len());
    let mut rest = spelled.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Scope, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

/// Which piece of outside work of a scope an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectCall {
    /// The step's own work.
    Main,
    /// The command of `after_crash: {probe: …}`: had the step's work happened?
    Probe,
}

impl EffectCall {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EffectCall::Main => "main",
            EffectCall::Probe => "probe",
        }
    }
}

/// One piece of outside work, the same over all its repetitions. It is also the idempotency key that the outside is
/// given (`BACKSTAY_EFFECT`). Stored text: `RUN:SCOPE:CALL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EffectId {
    /// Whose work it is.
    pub run: RunId,
    /// What it is work on.
    pub scope: Scope,
    /// Which of the scope's pieces of work it is.
    pub call: EffectCall,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.scope, self.call.as_str())
    }
}

impl FromStr for EffectId {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<EffectId, InvalidScope> {
        let invalid = || InvalidScope { text: text.to_owned(), wanted: "an effect's id: RUN:SCOPE:CALL" };
        let mut parts = text.splitn(3, ':');
        let (Some(run), Some(scope), Some(call)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let call = match call {
            "main" => EffectCall::Main,
            "probe" => EffectCall::Probe,
            _ => return Err(invalid()),
        };
        let Ok(run) = run.parse() else { return Err(invalid()) };
        Ok(EffectId { run, scope: scope.parse()?, call })
    }
}

impl TryFrom<String> for EffectId {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<EffectId, InvalidScope> {
        text.parse()
    }
}

impl From<EffectId> for String {
    fn from(effect: EffectId) -> String {
        effect.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stored_forms_of_scopes_are_frozen() {
        let step = |id: &str| id.parse::<StepId>().unwrap();
        let nested = Scope::Step {
            step: step("code"),
            frames: vec![
                Frame::Item { step: step("issue"), key: "Bug 412".to_owned() },
                Frame::Cycle { step: step("green"), cycle: 3 },
            ],
        };
        for (scope, stored) in [
            (Scope::Run, ""),
            (Scope::step(step("code")), "code"),
            (nested, "code@issue=_42ug_20412,green~3"),
        ] {
            assert_eq!(scope.to_string(), stored);
            assert_eq!(stored.parse::<Scope>(), Ok(scope));
        }
    }

    #[test]
    fn stored_forms_of_effects_are_frozen() {
        let text = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code@green~3:main";
        let effect: EffectId = text.parse().unwrap();
        assert_eq!(effect.call, EffectCall::Main);
        assert_eq!(effect.to_string(), text);
    }

    #[test]
    fn what_is_not_a_scope_is_refused() {
        for text in ["Code", "code@", "code@x", "code@x~y", "1a", "code@issue=_4"] {
            let parsed = text.parse::<Scope>();
            assert!(parsed.is_err() || text == "code@", "{text} gave {parsed:?}");
        }
    }

    proptest! {
        #[test]
        fn every_scope_survives_its_text(key in ".{0,20}", cycle in 1_u32..1_000, step in "[a-z][a-z0-9_]{0,9}") {
            let step: StepId = step.parse().unwrap();
            let scope = Scope::Step {
                step: step.clone(),
                frames: vec![Frame::Item { step: step.clone(), key }, Frame::Cycle { step, cycle }],
            };
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
        }
    }
}
