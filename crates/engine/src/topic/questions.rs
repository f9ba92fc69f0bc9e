//! The questions of a topic.

use std::collections::BTreeMap;

use backstay_model::event::{QuestionAsked, QuestionClosed, QuestionKind};
use backstay_model::{QuestionId, Scope, Seq, Timestamp};

/// A question that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenQuestion {
    /// What waits for the answer.
    pub(crate) scope: Scope,
    pub(crate) asked: QuestionAsked,
}

/// The questions of a topic, and what became of those that are closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    open: BTreeMap<QuestionId, OpenQuestion>,
    /// With the input that answered each, if one did.
    closed: BTreeMap<QuestionId, Option<Seq>>,
}

impl Questions {
    pub(crate) fn get(&self, question: QuestionId) -> Option<&OpenQuestion> {
        self.open.get(&question)
    }

    /// The input that answered a closed question; none of the inner one if it was closed without an answer.
    pub(crate) fn closed_by(&self, question: QuestionId) -> Option<Option<Seq>> {
        self.closed.get(&question).copied()
    }

    /// Whether it is open, or has its answer: whoever asks the same again hears the same.
    pub(crate) fn is_known(&self, question: QuestionId) -> bool {
        self.open.contains_key(&question) || matches!(self.closed.get(&question), Some(Some(_)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &OpenQuestion> {
        self.open.values()
    }

    pub(crate) fn of_kind(&self, kind: QuestionKind) -> impl Iterator<Item = &OpenQuestion> {
        self.open().filter(move |open| open.asked.kind == kind)
    }

    /// When the first question is closed, with its default or without an answer.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.open().filter_map(|open| open.asked.due_at).min()
    }

    pub(crate) fn fold_asked(&mut self, scope: &Scope, asked: &QuestionAsked) {
        let open = OpenQuestion { scope: scope.clone(), asked: asked.clone() };
        self.open.insert(asked.question, open);
    }

    /// Returns the question that was open.
    pub(crate) fn fold_closed(&mut self, closed: &QuestionClosed) -> Option<OpenQuestion> {
        self.closed.insert(closed.question, closed.answered_by);
        self.open.remove(&closed.question)
    }
}
