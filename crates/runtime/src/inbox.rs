//! The questions that wait for a person.

use std::collections::BTreeSet;

use backstay_engine::record::QuestionRecord;
use backstay_log::{EntryKind, IndexState};
use backstay_model::RunId;
use serde::Serialize;

use crate::error::RunError;
use crate::store::Store;

/// The state of the index row of a question that waits for an answer.
const OPEN: &str = "open";

/// A question that waits for an answer, and its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenQuestion {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The question.
    #[serde(flatten)]
    pub question: QuestionRecord,
}

impl Store {
    /// The questions of this store that wait for an answer, by time. Only the runs that ask are read.
    ///
    /// # Errors
    /// [`RunError`] if the log or such a run cannot be read.
    pub async fn inbox(&self) -> Result<Vec<OpenQuestion>, RunError> {
        let rows = self.log().entries(&EntryKind::QUESTION, Some(&IndexState::new(OPEN))).await?;
        let runs: BTreeSet<RunId> = rows.iter().filter_map(|row| row.topic.run_id()).collect();
        let mut open = Vec::new();
        for run in runs {
            // The row is a cache, and shortens what it shows: what counts is in the topic.
            open.extend(self.open_questions(run).await?);
        }
        open.sort_by(|one, other| {
            let key = |open: &OpenQuestion| (open.question.asked_at, open.question.question);
            key(one).cmp(&key(other))
        });
        Ok(open)
    }

    /// The questions of `run` that wait for an answer, by time.
    ///
    /// # Errors
    /// [`RunError`] if the run does not exist or cannot be read.
    pub async fn open_questions(&self, run: RunId) -> Result<Vec<OpenQuestion>, RunError> {
        let record = self.record(run).await?;
        let workflow = record.workflow.map_or_else(String::new, |workflow| workflow.name);
        let open = record.questions.into_iter().filter(|question| question.closed_at.is_none());
        Ok(open.map(|question| OpenQuestion { run, workflow: workflow.clone(), question }).collect())
    }
}
