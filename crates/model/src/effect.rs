//! The ids of outside work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InvalidScope, RunId, Scope, SessionId, Topic};

/// What a topic is of: the run or the session that everything in it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// A run, with the child runs, workers and sessions in it.
    Run(RunId),
    /// A session that was opened on its own.
    Session(SessionId),
}

impl Root {
    /// The run, if it is one.
    #[must_use]
    pub const fn run_id(&self) -> Option<RunId> {
        match self {
            Root::Run(run) => Some(*run),
            Root::Session(_) => None,
        }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Root::Run(run) => Topic::run(*run),
            Root::Session(session) => Topic::session(*session),
        }
    }
}

impl From<RunId> for Root {
    fn from(run: RunId) -> Root {
        Root::Run(run)
    }
}

impl From<SessionId> for Root {
    fn from(session: SessionId) -> Root {
        Root::Session(session)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Root::Run(run) => write!(f, "{run}"),
            Root::Session(session) => write!(f, "{session}"),
        }
    }
}

/// Which piece of outside work of a scope an effect is. The numbers count from 1 and come from the fold of the topic, so
/// that a repetition has the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectCall {
    /// The step's own work.
    Main,
    /// The command of `after_crash: {probe: …}`: had the step's work happened?
    Probe,
    /// A model call of a turn.
    Model(u32),
    /// A tool call of a turn.
    Tool {
        /// The model call whose reply asks for it.
        model: u32,
        /// Which one of that reply.
        call: u32,
    },
    /// A summary of a session's transcript.
    Recap(u32),
}

impl fmt::Display for EffectCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EffectCall::Main => f.write_str("main"),
            EffectCall::Probe => f.write_str("probe"),
            EffectCall::Model(model) => write!(f, "model-{model}"),
            EffectCall::Tool { model, call } => write!(f, "tool-{model}-{call}"),
            EffectCall::Recap(recap) => write!(f, "recap-{recap}"),
        }
    }
}

/// One piece of outside work, the same over all its attempts. It is also the idempotency key that the outside is given
/// (`BACKSTAY_EFFECT`). Stored text: `ROOT:SCOPE:CALL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EffectId {
    /// Whose work it is.
    pub root: Root,
    /// What it is work on.
    pub scope: Scope,
    /// Which of the scope's pieces of work it is.
    pub call: EffectCall,
}

/// The text is not an effect's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an effect's id: {problem}")]
pub struct InvalidEffectId {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub problem: EffectIdProblem,
}

/// Why a text is not an effect's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectIdProblem {
    /// It has not three parts.
    #[error("it has the form ROOT:SCOPE:CALL")]
    Form,
    /// Its first part is neither a run nor a session.
    #[error("it does not begin with a run or a session")]
    Root,
    /// Its second part is no scope.
    #[error("{0}")]
    Scope(InvalidScope),
    /// Its third part is no call.
    #[error("it does not end with main, probe, model-N, tool-N-N or recap-N")]
    Call,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.root, self.scope, self.call)
    }
}

impl FromStr for EffectId {
    type Err = InvalidEffectId;

    fn from_str(text: &str) -> Result<EffectId, InvalidEffectId> {
        let invalid = |problem| InvalidEffectId { text: text.to_owned(), problem };
        let mut parts = text.splitn(3, ':');
        let (Some(root), Some(scope), Some(call)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid(EffectIdProblem::Form));
        };
        let root = parse_root(root).ok_or_else(|| invalid(EffectIdProblem::Root))?;
        let scope = scope.parse().map_err(|error| invalid(EffectIdProblem::Scope(error)))?;
        let found = parse_call(call).filter(|found| found.to_string() == call);
        let call = found.ok_or_else(|| invalid(EffectIdProblem::Call))?;
        Ok(EffectId { root, scope, call })
    }
}

fn parse_root(text: &str) -> Option<Root> {
    let run = text.parse().ok().map(Root::Run);
    run.or_else(|| text.parse().ok().map(Root::Session))
}

fn parse_call(text: &str) -> Option<EffectCall> {
    let number = |text: &str| text.parse().ok().filter(|number: &u32| *number > 0);
    let mut parts = text.split('-');
    let call = match (parts.next()?, parts.next(), parts.next()) {
        ("main", None, None) => EffectCall::Main,
        ("probe", None, None) => EffectCall::Probe,
        ("model", Some(model), None) => EffectCall::Model(number(model)?),
        ("tool", Some(model), Some(call)) => EffectCall::Tool { model: number(model)?, call: number(call)? },
        ("recap", Some(recap), None) => EffectCall::Recap(number(recap)?),
        _ => return None,
    };
    parts.next().is_none().then_some(call)
}

impl TryFrom<String> for EffectId {
    type Error = InvalidEffectId;

    fn try_from(text: String) -> Result<EffectId, InvalidEffectId> {
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

    #[test]
    fn stored_forms_of_effects_are_frozen() {
        for (text, call) in [
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:green~3/code:main", EffectCall::Main),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:probe", EffectCall::Probe),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:green~3/code#4:model-2", EffectCall::Model(2)),
            ("ses_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:#4:tool-2-1", EffectCall::Tool { model: 2, call: 1 }),
            ("ses_01JDX7Q2ZK8VQ5T3W9M4N6P7R8::recap-1", EffectCall::Recap(1)),
        ] {
            let effect: EffectId = text.parse().unwrap();
            assert_eq!(effect.call, call);
            assert_eq!(effect.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_effects_id_is_refused() {
        for (text, problem) in [
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8", EffectIdProblem::Form),
            ("own_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main", EffectIdProblem::Root),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:other", EffectIdProblem::Call),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main-1", EffectIdProblem::Call),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:model-02", EffectIdProblem::Call),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:model-0", EffectIdProblem::Call),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:tool-1-1-1", EffectIdProblem::Call),
        ] {
            assert_eq!(text.parse::<EffectId>().unwrap_err().problem, problem, "{text}");
        }
        let error = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:Code:main".parse::<EffectId>().unwrap_err();
        assert!(matches!(error.problem, EffectIdProblem::Scope(_)), "{error}");
    }
}
