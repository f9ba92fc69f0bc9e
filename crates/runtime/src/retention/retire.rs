//! Freeing one run.

use std::io;

use backstay_engine::record::RunRecord;
use backstay_log::crash::crash_point;
use backstay_log::{AppendError, Authority, Batch, Precondition, TopicAppend, TopicTransition};
use backstay_model::event::{Actor, Event, FactEvent, Trimmed};
use backstay_model::{Code, Coded, Digest, Recorded, RunId, Scope, Seq, Topic};
use camino::Utf8PathBuf;

use super::leavings::Leavings;
use crate::error::RunError;
use crate::request::new_event;
use crate::store::Store;
use crate::trees::{CheckoutFault, RunRefs, TreeError, Unmerged};

/// What was given back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Events of the log.
    pub events: u64,
    /// What steps had left as files, in bytes.
    pub files_bytes: u64,
    /// Kept checkouts.
    pub trees: u64,
    /// Kept checkouts that stay: other stores keep them, of a run of the same id.
    pub trees_left: u64,
    /// Worktrees that steps worked in.
    pub worktrees: u64,
    /// Worktrees that stay, and why.
    pub worktrees_left: Vec<(Utf8PathBuf, Unmerged)>,
    /// Branches of worktrees that are gone, which got a commit meanwhile: the whole names of the references.
    pub branches_left: Vec<String>,
    /// Checkouts that are gone, and what was kept in them with them.
    pub checkouts_gone: Vec<CheckoutFault>,
}

/// A run cannot be freed.
#[derive(Debug, thiserror::Error)]
pub enum FreeError {
    /// It has not ended, or was opened again meanwhile.
    #[error("{0} has not ended")]
    Open(RunId),
    /// It cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its files cannot be removed. Its events are gone already.
    #[error("cannot remove {path}")]
    Files {
        /// The folder.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its kept checkouts cannot be removed. Its events and files are gone already; the next time goes on here.
    #[error(transparent)]
    Trees(#[from] TreeError),
    /// A worker thread died.
    #[error("a thread that removes files died")]
    Thread(#[from] tokio::task::JoinError),
}

impl Coded for FreeError {
    fn code(&self) -> Code {
        match self {
            FreeError::Open(_) => Code("BKS-R040"),
            FreeError::Run(error) => error.code(),
            FreeError::Files { .. } => Code("BKS-R041"),
            FreeError::Trees(error) => error.code(),
            FreeError::Thread(_) => Code("BKS-R001"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FreeError::Open(run) => Some(format!("`backstay cancel {run}` ends it")),
            FreeError::Run(error) => error.hint(),
            FreeError::Trees(error) => error.hint(),
            FreeError::Files { .. } | FreeError::Thread(_) => None,
        }
    }
}

impl Store {
    /// Frees a run that has ended, and keeps its record. Of one that was freed before, what is left of its files goes.
    ///
    /// # Errors
    /// [`FreeError`]; what was done before stays done, and the next time goes on with the rest.
    pub async fn retire(&self, run: RunId, by: &Actor) -> Result<Freed, FreeError> {
        let record = self.record(run).await?;
        if !record.status.is_ended() {
            return Err(FreeError::Open(run));
        }
        self.note_leavings(&record).await?;
        crash_point("retention.noted");
        let events = if record.trimmed_at.is_none() { self.trim(&record, by).await? } else { 0 };
        crash_point("retention.freed");
        self.free_leavings(run, events).await
    }

    /// Removes a run that has ended, with its record.
    ///
    /// # Errors
    /// As [`retire`](Store::retire).
    pub async fn remove(&self, run: RunId) -> Result<Freed, FreeError> {
        let record = self.record(run).await?;
        if !record.status.is_ended() {
            return Err(FreeError::Open(run));
        }
        self.note_leavings(&record).await?;
        crash_point("retention.noted");
        let mut part = TopicAppend::new(Topic::run(run), Authority::Retention, Vec::new());
        part.preconditions = vec![Precondition::Exactly(record.head)];
        part.transition = TopicTransition::Deleted;
        self.free(run, part).await?;
        crash_point("retention.freed");
        let events = if record.trimmed_at.is_some() { 1 } else { record.head.0 };
        self.free_leavings(run, events).await
    }

    /// Lets the record take the place of the events.
    async fn trim(&self, record: &RunRecord, by: &Actor) -> Result<u64, FreeError> {
        let run = record.run;
        let broken = |source| RunError::Definition { run, what: "record", source };
        let text = serde_json::to_string(record).map_err(broken)?;
        let digest = Digest::of(text.as_bytes());
        self.keep_texts(vec![text.into()]).await?;
        let trimmed = Event::from(Trimmed { record: digest, events: record.head.0, by: by.clone() });
        let mut part = TopicAppend::new(
            Topic::run(run),
            Authority::Retention,
            vec![new_event(run, Scope::root(), &trimmed)?],
        );
        // Whoever opened it again meanwhile was first.
        part.preconditions = vec![Precondition::Exactly(record.head)];
        part.trim = Some(record.head);
        self.free(run, part).await?;
        Ok(record.head.0)
    }

    async fn free(&self, run: RunId, part: TopicAppend) -> Result<(), FreeError> {
        match self.log.submit(Batch::of(part)).await {
            Ok(_) => Ok(()),
            Err(AppendError::NotClosed { .. } | AppendError::Conflict { .. }) => Err(FreeError::Open(run)),
            Err(AppendError::Deleted { .. }) => Err(RunError::Unknown(run).into()),
            Err(error) => Err(RunError::Append(error).into()),
        }
    }

    /// Frees what it left beside the log.
    pub(super) async fn free_leavings(&self, run: RunId, events: u64) -> Result<Freed, FreeError> {
        let leavings = self.leavings(run);
        let freed = tokio::task::spawn_blocking(move || leavings.free()).await??;
        Ok(Freed { events, ..freed })
    }

    /// Notes what has to be known to free that, also once the record is gone.
    pub(super) async fn note_leavings(&self, record: &RunRecord) -> Result<(), FreeError> {
        let (leavings, cwd) = (self.leavings(record.run), record.cwd.clone());
        tokio::task::spawn_blocking(move || leavings.note(cwd.as_deref())).await?
    }

    pub(super) fn leavings(&self, run: RunId) -> Leavings {
        Leavings { refs: RunRefs::new(self.log.id(), run), folder: self.run_folder(run) }
    }

    /// The folder with what the attempts of a run left.
    pub(crate) fn run_folder(&self, run: RunId) -> Utf8PathBuf {
        self.folder.join("runs").join(run.to_string())
    }

    /// The first event that a run still has; its number is `first`.
    async fn first_left(&self, run: RunId, first: Seq) -> Result<Recorded, RunError> {
        let before = Seq(first.0.saturating_sub(1));
        let page = self.log.read(&Topic::run(run), before, backstay_log::Direction::Forward, 1).await?;
        page.events.into_iter().next().ok_or(RunError::Unknown(run))
    }

    /// Why a run whose first event is `first` cannot be folded.
    pub(crate) async fn trimmed(&self, run: RunId, first: Seq) -> RunError {
        match self.first_left(run, first).await {
            Ok(event) => RunError::Trimmed { run, at: event.at },
            Err(error) => error,
        }
    }

    /// The record of a run whose events are gone: its last event says where it is.
    pub(crate) async fn trimmed_record(&self, run: RunId, first: Seq) -> Result<RunRecord, RunError> {
        let event = &self.first_left(run, first).await?;
        let Event::Fact(FactEvent::Trimmed(trimmed)) = Event::decode(event)? else {
            return Err(RunError::Trimmed { run, at: event.at });
        };
        let text = self.text_of(trimmed.record).await?;
        let mut record: RunRecord = serde_json::from_str(&text).map_err(|source| RunError::Definition {
            run,
            what: "record",
            source,
        })?;
        record.apply(event)?;
        Ok(record)
    }
}
