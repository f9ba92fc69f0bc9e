//! Freeing one run.

use std::fs;
use std::io;

use backstay_engine::record::RunRecord;
use backstay_log::{Afterwards, AppendError, Authority, Batch, Part, Precondition};
use backstay_model::event::{Actor, Event, Trimmed};
use backstay_model::{Code, Coded, Digest, RunId, Scope, Seq, Topic};
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::RunError;
use crate::request::new_event;
use crate::store::Store;
use crate::trees::{Checkout, TreeError};

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Events of the log.
    pub events: u64,
    /// What steps had left as files, in bytes.
    pub files_bytes: u64,
    /// Kept checkouts.
    pub trees: u64,
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
    /// Its kept checkouts cannot be removed. Its events and files are gone already.
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
        let mut freed = Freed::default();
        if record.trimmed_at.is_none() {
            freed.events = self.trim(&record, by).await?;
        }
        self.free_files(&record, freed).await
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
        let mut part = Part::new(Topic::run(run), Authority::Retention, Vec::new());
        part.preconditions = vec![Precondition::Exactly(record.head)];
        part.afterwards = Afterwards::Deleted;
        self.free(run, part).await?;
        let events = if record.trimmed_at.is_some() { 1 } else { record.head.0 };
        self.free_files(&record, Freed { events, ..Freed::default() }).await
    }

    /// Lets the record take the place of the events.
    async fn trim(&self, record: &RunRecord, by: &Actor) -> Result<u64, FreeError> {
        let run = record.run;
        let broken = |source| RunError::Definition { run, what: "record", source };
        let text = serde_json::to_string(record).map_err(broken)?;
        let digest = Digest::of(text.as_bytes());
        self.keep_texts(vec![text.into()]).await?;
        let trimmed = Event::from(Trimmed { record: digest, events: record.head.0, by: by.clone() });
        let mut part =
            Part::new(Topic::run(run), Authority::Retention, vec![new_event(run, Scope::Run, &trimmed)?]);
        // Whoever opened it again meanwhile was first.
        part.preconditions = vec![Precondition::Exactly(record.head)];
        part.trim = Some(record.head);
        self.free(run, part).await?;
        Ok(record.head.0)
    }

    async fn free(&self, run: RunId, part: Part) -> Result<(), FreeError> {
        match self.log.submit(Batch::of(part)).await {
            Ok(_) => Ok(()),
            Err(AppendError::NotClosed { .. } | AppendError::Conflict { .. }) => Err(FreeError::Open(run)),
            Err(error) => Err(RunError::Append(error).into()),
        }
    }

    async fn free_files(&self, record: &RunRecord, mut freed: Freed) -> Result<Freed, FreeError> {
        let folder = self.run_folder(record.run);
        let (cwd, run) = (record.cwd.clone(), record.run);
        let (bytes, trees) = tokio::task::spawn_blocking(move || {
            let bytes = remove_folder(&folder)?;
            Ok::<_, FreeError>((bytes, forget_trees(cwd.as_deref(), run)?))
        })
        .await??;
        (freed.files_bytes, freed.trees) = (bytes, trees);
        Ok(freed)
    }

    /// The folder with what the attempts of a run left.
    pub(crate) fn run_folder(&self, run: RunId) -> Utf8PathBuf {
        self.folder.join("runs").join(run.to_string())
    }

    /// The record of a run whose events are gone: its last event says where it is.
    pub(crate) async fn trimmed_record(&self, run: RunId, first: Seq) -> Result<RunRecord, RunError> {
        let before = Seq(first.0.saturating_sub(1));
        let page = self.log.read(&Topic::run(run), before, backstay_log::Direction::Forward, 1).await?;
        let event = page.events.first().ok_or(RunError::Unknown(run))?;
        let Event::Trimmed(trimmed) = Event::decode(event)? else { return Err(RunError::Trimmed(run)) };
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

/// Removes a folder with all that is in it, and says how many bytes that was.
pub(super) fn remove_folder(folder: &Utf8Path) -> Result<u64, FreeError> {
    let failed = |source| FreeError::Files { path: folder.to_owned(), source };
    let bytes = folder_bytes(folder).map_err(failed)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(bytes),
    }
}

/// What the files under a folder take, in bytes; what goes meanwhile takes nothing.
pub(super) fn folder_bytes(folder: &Utf8Path) -> io::Result<u64> {
    let mut waiting = vec![folder.to_owned()];
    let mut total = 0;
    while let Some(folder) = waiting.pop() {
        let entries = match folder.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(there) if there.is_dir() => waiting.push(entry.into_path()),
                Ok(there) => total += there.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(total)
}

/// A checkout that is gone keeps nothing any more.
fn forget_trees(cwd: Option<&str>, run: RunId) -> Result<u64, FreeError> {
    let Some(cwd) = cwd.map(Utf8Path::new).filter(|cwd| cwd.is_dir()) else { return Ok(0) };
    let forgotten = match Checkout::around(cwd)? {
        Some(checkout) => checkout.forget(run)?,
        None => 0,
    };
    Ok(forgotten as u64)
}
