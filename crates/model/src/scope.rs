//! What an event is about: a path from the topic's root to a step, a worker, a session or a turn.
//!
//! ```text
//! scope     = "" | component *( "/" component )
//! component = STEP [ "=" KEY ] [ "~" CYCLE ] [ "#" TURN ]        a step, one item of it, one cycle of it
//!           | "@" ID [ "." START ] [ "#" TURN ]                  a worker's start, a session, a child run
//!           | "#" TURN                                           a turn of the session that is the root
//! ```
//!
//! A path names the repetitions that something stands in, outermost first, and the thing itself: `green~3/code#4` is the
//! fourth turn of the step `code` in the third cycle of the loop `green`. Groups that do not repeat are not in it: a
//! step's id is unique in its file. Each path has one text and each text one path, so texts can be compared, and what
//! belongs to a path begins with its text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::SCOPE_FRAMES_MAX;
use crate::{RunId, SessionId, StepId, Topic, WorkerId};

/// One part of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    /// A step of the workflow.
    Step(StepId),
    /// One element of the fan-out before it, by its key: free text.
    Item(String),
    /// One pass of the loop before it, from 1.
    Cycle(u32),
    /// One start of a worker, from 1: what a restarted worker does is other work.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// Which start.
        start: u32,
    },
    /// A session.
    Session(SessionId),
    /// One turn of the session before it, from 1.
    Turn(u32),
    /// A child run in the topic of its root.
    Run(RunId),
}

/// What an event is about. The empty path is the topic's root: its run or its session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Arc<[Frame]>);

/// The text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a scope: {problem}")]
pub struct InvalidScope {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub problem: ScopeProblem,
}

/// Why a path cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeProblem {
    /// A part of it is none of the forms of a frame.
    #[error("`{part}` is not a step, an item, a cycle, a turn or an id")]
    Frame {
        /// That part.
        part: String,
    },
    /// A frame stands where it cannot.
    #[error("`{frame}` cannot follow what is before it")]
    Order {
        /// That frame.
        frame: String,
    },
    /// It is spelled in a second way.
    #[error("it is spelled `{spelling}`")]
    Spelling {
        /// The one text of that path.
        spelling: String,
    },
    /// It is too deep.
    #[error("it has more than {SCOPE_FRAMES_MAX} frames")]
    Depth,
}

impl Frame {
    /// Whether it can stand behind `before`; none is the root.
    fn may_follow(&self, before: Option<&Frame>) -> bool {
        match (self, before) {
            (Frame::Step(_) | Frame::Worker { .. } | Frame::Session(_) | Frame::Run(_), _) => true,
            (Frame::Item(_), before) => matches!(before, Some(Frame::Step(_))),
            (Frame::Cycle(_), before) => matches!(before, Some(Frame::Step(_) | Frame::Item(_))),
            (Frame::Turn(_), before) => !matches!(before, Some(Frame::Turn(_))),
        }
    }

    /// Whether a `/` stands before it.
    fn begins_component(&self) -> bool {
        match self {
            Frame::Step(_) | Frame::Worker { .. } | Frame::Session(_) | Frame::Run(_) => true,
            Frame::Item(_) | Frame::Cycle(_) | Frame::Turn(_) => false,
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Step(step) => write!(f, "{step}"),
            Frame::Item(key) => write!(f, "={}", Topic::component(key)),
            Frame::Cycle(cycle) => write!(f, "~{cycle}"),
            Frame::Worker { worker, start } => write!(f, "@{worker}.{start}"),
            Frame::Session(session) => write!(f, "@{session}"),
            Frame::Turn(turn) => write!(f, "#{turn}"),
            Frame::Run(run) => write!(f, "@{run}"),
        }
    }
}

impl Scope {
    /// The root of the topic.
    #[must_use]
    pub fn root() -> Scope {
        Scope(Arc::from([]))
    }

    /// The scope of a step outside of every repetition.
    #[must_use]
    pub fn step(step: StepId) -> Scope {
        Scope(Arc::from([Frame::Step(step)]))
    }

    /// The path of these frames.
    ///
    /// # Errors
    /// [`ScopeProblem`] if a frame stands where it cannot, or there are too many.
    pub fn from_frames(frames: Vec<Frame>) -> Result<Scope, ScopeProblem> {
        if frames.len() > SCOPE_FRAMES_MAX {
            return Err(ScopeProblem::Depth);
        }
        for (index, frame) in frames.iter().enumerate() {
            if !frame.may_follow(index.checked_sub(1).map(|before| &frames[before])) {
                return Err(ScopeProblem::Order { frame: frame.to_string() });
            }
        }
        Ok(Scope(Arc::from(frames)))
    }

    /// The frames, outermost first.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.0
    }

    /// Whether it is the topic's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The innermost step that it is, or stands in.
    #[must_use]
    pub fn step_id(&self) -> Option<&StepId> {
        self.repeated().last().map(|(step, _)| step)
    }

    /// Its steps, outermost first, each with the items and cycles of it that this is in.
    pub fn repeated(&self) -> impl Iterator<Item = (&StepId, &[Frame])> {
        self.0.iter().enumerate().filter_map(|(index, frame)| {
            let Frame::Step(step) = frame else { return None };
            let behind = &self.0[index + 1..];
            let repeats = |frame: &Frame| matches!(frame, Frame::Item(_) | Frame::Cycle(_));
            let end = behind.iter().position(|frame| !repeats(frame)).unwrap_or(behind.len());
            Some((step, &behind[..end]))
        })
    }

    /// The loops that it stands in and the cycle of each, outermost first.
    pub fn cycles(&self) -> impl Iterator<Item = (&StepId, u32)> {
        self.repeated().flat_map(|(step, frames)| {
            frames.iter().filter_map(move |frame| match frame {
                Frame::Cycle(cycle) => Some((step, *cycle)),
                _ => None,
            })
        })
    }

    /// Whether this is `outer`, or stands in it.
    #[must_use]
    pub fn is_in(&self, outer: &Scope) -> bool {
        self.0.starts_with(&outer.0)
    }
}

impl Default for Scope {
    fn default() -> Scope {
        Scope::root()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in self.0.iter().enumerate() {
            if index > 0 && frame.begins_component() {
                f.write_str("/")?;
            }
            write!(f, "{frame}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Scope, InvalidScope> {
        let invalid = |problem| InvalidScope { text: text.to_owned(), problem };
        let mut frames = Vec::new();
        for component in text.split('/').filter(|_| !text.is_empty()) {
            let mut rest = component;
            while !rest.is_empty() {
                let ends_at = rest[1..].find(['=', '~', '#', '@']).map_or(rest.len(), |found| found + 1);
                let (part, behind) = rest.split_at(ends_at);
                let frame = parse_frame(part);
                frames.push(frame.ok_or_else(|| invalid(ScopeProblem::Frame { part: part.to_owned() }))?);
                rest = behind;
            }
        }
        let scope = Scope::from_frames(frames).map_err(invalid)?;
        let spelling = scope.to_string();
        if spelling == text { Ok(scope) } else { Err(invalid(ScopeProblem::Spelling { spelling })) }
    }
}

fn parse_frame(text: &str) -> Option<Frame> {
    let number = |text: &str| text.parse().ok().filter(|number: &u32| *number > 0);
    match text.split_at_checked(1)? {
        ("=", key) => parse_component(key).map(Frame::Item),
        ("~", cycle) => number(cycle).map(Frame::Cycle),
        ("#", turn) => number(turn).map(Frame::Turn),
        ("@", id) => {
            if let Some((worker, start)) = id.split_once('.') {
                return Some(Frame::Worker { worker: worker.parse().ok()?, start: number(start)? });
            }
            let session = || id.parse().ok().map(Frame::Session);
            session().or_else(|| id.parse().ok().map(Frame::Run))
        }
        _ => text.parse().ok().map(Frame::Step),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn stored_forms_of_scopes_are_frozen() {
        let step = |id: &str| Frame::Step(id.parse().unwrap());
        let worker: WorkerId = "wrk_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let session: SessionId = "ses_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        for (frames, stored) in [
            (vec![], ""),
            (vec![step("code")], "code"),
            (vec![step("green"), Frame::Cycle(3), step("code")], "green~3/code"),
            (
                vec![
                    step("issue"),
                    Frame::Item("Bug 412".to_owned()),
                    step("green"),
                    Frame::Cycle(3),
                    step("code"),
                ],
                "issue=_42ug_20412/green~3/code",
            ),
            (vec![step("issue"), Frame::Item(String::new()), Frame::Cycle(1)], "issue=~1"),
            (vec![step("code"), Frame::Turn(4)], "code#4"),
            (vec![Frame::Turn(4)], "#4"),
            (
                vec![Frame::Worker { worker, start: 2 }, step("code")],
                "@wrk_01JDX7Q2ZK8VQ5T3W9M4N6P7R8.2/code",
            ),
            (vec![Frame::Session(session), Frame::Turn(1)], "@ses_01JDX7Q2ZK8VQ5T3W9M4N6P7R8#1"),
            (vec![step("call"), Frame::Run(run), step("code")], "call/@run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8/code"),
        ] {
            let scope = Scope::from_frames(frames).unwrap();
            assert_eq!(scope.to_string(), stored);
            assert_eq!(stored.parse::<Scope>(), Ok(scope));
        }
    }

    #[test]
    fn what_is_not_a_scope_is_refused() {
        for (text, problem) in [
            ("Code", "`Code` is not a step, an item, a cycle, a turn or an id"),
            ("code~", "`~` is not a step, an item, a cycle, a turn or an id"),
            ("code~0", "`~0` is not a step, an item, a cycle, a turn or an id"),
            ("code@x", "`@x` is not a step, an item, a cycle, a turn or an id"),
            ("code=_4", "`=_4` is not a step, an item, a cycle, a turn or an id"),
            ("@wrk_01JDX7Q2ZK8VQ5T3W9M4N6P7R8", "is not a step, an item, a cycle, a turn or an id"),
            ("~3", "`~3` cannot follow what is before it"),
            ("#1#2", "`#2` cannot follow what is before it"),
            ("code#1=a", "`=a` cannot follow what is before it"),
            ("code~1=a", "`=a` cannot follow what is before it"),
            ("code~03", "it is spelled `code~3`"),
            ("code~+3", "it is spelled `code~3`"),
            ("code=_61", "it is spelled `code=a`"),
            ("code/", "it is spelled `code`"),
            ("/code", "it is spelled `code`"),
            ("a//b", "it is spelled `a/b`"),
            ("code/~3", "it is spelled `code~3`"),
            ("code@run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8", "it is spelled `code/@run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8`"),
        ] {
            let error = text.parse::<Scope>().expect_err(text).to_string();
            assert!(error.ends_with(problem), "{text}: {error}");
        }
        let deep = vec!["a"; SCOPE_FRAMES_MAX + 1].join("/");
        assert_eq!(deep.parse::<Scope>().unwrap_err().problem, ScopeProblem::Depth);
    }

    #[test]
    fn a_scope_names_its_step_its_loops_and_what_it_is_in() {
        let inner = scope("issue=a/green~3/fix~2/code#4");
        assert_eq!(inner.step_id().map(StepId::as_str), Some("code"));
        let cycles: Vec<(&str, u32)> = inner.cycles().map(|(step, cycle)| (step.as_str(), cycle)).collect();
        assert_eq!(cycles, [("green", 3), ("fix", 2)]);
        for (outer, is_in) in [
            ("", true),
            ("issue=a", true),
            ("issue=a/green~3", true),
            ("issue=a/green~2", false),
            ("code", false),
        ] {
            assert_eq!(inner.is_in(&scope(outer)), is_in, "{outer}");
        }
        assert_eq!(Scope::root().step_id(), None);
    }

    proptest! {
        #[test]
        fn every_path_survives_its_text(key in ".{0,20}", cycle in 1_u32.., step in "[a-z][a-z0-9_]{0,9}", turn in 1_u32..) {
            let step = Frame::Step(step.parse().unwrap());
            let frames = vec![step.clone(), Frame::Item(key), Frame::Cycle(cycle), step, Frame::Turn(turn)];
            let scope = Scope::from_frames(frames).unwrap();
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
        }

        #[test]
        fn no_path_has_two_texts(text in "[ab_=~#@/.+0-3]{0,12}") {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
