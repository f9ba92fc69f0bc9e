//! Where things stand in the lists of a record: an event of a long loop costs no more than one of a short one.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::event::Tokens;
use backstay_model::{QuestionId, Scope, Timestamp};

use super::agent::SessionKey;
use super::parts::{QuestionRecord, StepRecord, StepStage};

/// Where things stand in the lists of a record. It follows from them, so it is no part of what two records are compared by.
#[derive(Clone, Debug, Default)]
pub struct RecordIndex {
    steps: BTreeMap<Scope, usize>,
    /// The steps that the run waits for.
    open: BTreeSet<usize>,
    questions: BTreeMap<QuestionId, usize>,
    open_questions: BTreeSet<usize>,
    /// What sessions had used, with the starts of the attempts that told it.
    sessions: BTreeMap<(SessionKey, Timestamp), Tokens>,
    /// How many entries of the lists were looked at: what folding costs.
    looked_at: u64,
}

impl PartialEq for RecordIndex {
    fn eq(&self, _: &RecordIndex) -> bool {
        true
    }
}

impl Eq for RecordIndex {}

impl RecordIndex {
    /// Makes itself anew where it does not belong to these lists: the record was read, or let go of old passes.
    pub(super) fn catch_up(&mut self, steps: &[StepRecord], questions: &[QuestionRecord]) {
        if (self.steps.len(), self.questions.len()) != (steps.len(), questions.len()) {
            self.make_anew(steps, questions);
        }
    }

    pub(super) fn make_anew(&mut self, steps: &[StepRecord], questions: &[QuestionRecord]) {
        *self = RecordIndex { looked_at: self.looked_at, ..RecordIndex::default() };
        self.look_at(steps.len() + questions.len());
        for (position, record) in steps.iter().enumerate() {
            self.add(&record.scope, position);
            self.note_stage(&record.scope, steps);
            for attempt in &record.attempts {
                let Some(agent) = &attempt.agent else { continue };
                if let (Some(session), Some(used)) = (agent.session_key(), agent.session_usage) {
                    self.add_session(session, attempt.starting_at, used);
                }
            }
        }
        for (position, question) in questions.iter().enumerate() {
            self.add_question(question.question, position);
            if question.closed_at.is_some() {
                self.close_question(position);
            }
        }
    }

    pub(super) fn position(&self, scope: &Scope) -> Option<usize> {
        self.steps.get(scope).copied()
    }

    pub(super) fn add(&mut self, scope: &Scope, position: usize) {
        self.steps.insert(scope.clone(), position);
    }

    /// Takes note of where the step in `scope` stands.
    pub(super) fn note_stage(&mut self, scope: &Scope, steps: &[StepRecord]) {
        let Some(position) = self.position(scope) else { return };
        if steps.get(position).is_some_and(is_open) {
            self.open.insert(position);
        } else {
            self.open.remove(&position);
        }
    }

    /// The steps that the run waits for.
    pub(super) fn open<'a>(&'a self, steps: &'a [StepRecord]) -> impl Iterator<Item = &'a StepRecord> {
        self.open.iter().filter_map(|position| steps.get(*position))
    }

    pub(super) fn question(&self, question: QuestionId) -> Option<usize> {
        self.questions.get(&question).copied()
    }

    pub(super) fn add_question(&mut self, question: QuestionId, position: usize) {
        self.questions.insert(question, position);
        self.open_questions.insert(position);
    }

    pub(super) fn close_question(&mut self, position: usize) {
        self.open_questions.remove(&position);
    }

    pub(super) fn open_questions<'a>(
        &'a self,
        questions: &'a [QuestionRecord],
    ) -> impl Iterator<Item = &'a QuestionRecord> {
        self.open_questions.iter().filter_map(|position| questions.get(*position))
    }

    pub(super) fn add_session(&mut self, session: SessionKey, starting_at: Timestamp, used: Tokens) {
        self.sessions.insert((session, starting_at), used);
    }

    /// What `session` had used when an attempt that began before `starting_at` told of it last.
    pub(super) fn used_before(
        &self,
        session: &SessionKey,
        starting_at: Timestamp,
    ) -> Option<(Timestamp, Tokens)> {
        let from = (session.clone(), Timestamp::from_micros(i64::MIN));
        let mut earlier = self.sessions.range(from..(session.clone(), starting_at));
        earlier.next_back().map(|((_, at), used)| (*at, *used))
    }

    /// Counts entries that were looked at.
    pub(super) fn look_at(&mut self, entries: usize) {
        self.looked_at += entries as u64;
    }

    /// How many entries of the lists were looked at so far.
    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> u64 {
        self.looked_at
    }
}

/// Whether the run waits for this. Of groups only a loop that asks what to do waits for something itself.
pub(super) const fn is_open(record: &StepRecord) -> bool {
    match record.stage {
        StepStage::Done { .. } | StepStage::Waiting => false,
        StepStage::InDoubt => true,
        _ => record.agent.is_some(),
    }
}
