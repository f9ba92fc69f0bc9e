//! Freeing by policy.

use std::collections::BTreeSet;
use std::time::Duration;

use backstay_files::{Dir, if_there};
use backstay_log::{CollectedBlobs, Direction, TopicFilter};
use backstay_model::event::Actor;
use backstay_model::{RunId, Seq, Timestamp, Topic};
use camino::Utf8PathBuf;

use super::leavings::folder_bytes;
use super::retire::{FreeError, Freed};
use crate::client::RunRow;
use crate::error::RunError;
use crate::store::Store;

/// What is kept of runs that have ended. Runs that have not are kept in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs that ended longer ago are freed.
    pub older: Option<Duration>,
    /// While what steps left as files takes more than this many bytes, the run that ended first is freed.
    pub size_bytes: Option<u64>,
}

/// A run that was, or would be, freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredRun {
    /// Which.
    pub run: RunId,
    /// Its workflow's name.
    pub workflow: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it gave back.
    pub freed: Freed,
}

/// What a policy did, or would do.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// The runs, the one that ended first in front.
    pub runs: Vec<RetiredRun>,
    /// Runs that could not be freed whole, and why.
    pub failed: Vec<(RunId, FreeError)>,
    /// What was left of runs that were freed before and not whole.
    pub leftover: Freed,
    /// Blobs that nothing names any more.
    pub blobs: CollectedBlobs,
}

impl PruneReport {
    fn leave(&mut self, freed: Freed) {
        self.leftover.files_bytes += freed.files_bytes;
        self.leftover.trees += freed.trees;
        self.leftover.trees_left += freed.trees_left;
        self.leftover.worktrees += freed.worktrees;
        self.leftover.worktrees_left.extend(freed.worktrees_left);
        self.leftover.branches_left.extend(freed.branches_left);
        self.leftover.checkouts_gone.extend(freed.checkouts_gone);
    }
}

/// A run that may be freed.
struct Candidate {
    row: RunRow,
    ended_at: Timestamp,
}

impl Store {
    /// Frees what `retention` does not keep. With `only_look` nothing is changed.
    ///
    /// # Errors
    /// [`RunError`] if the store cannot be read. A single run that cannot be freed is in the report.
    pub async fn prune(
        &self,
        retention: Retention,
        by: &Actor,
        only_look: bool,
    ) -> Result<PruneReport, RunError> {
        let mut report = PruneReport::default();
        let now = self.clock.wall();
        let mut excess = self.excess(retention).await?;
        for candidate in self.candidates().await? {
            let is_old = retention.older.is_some_and(|older| now.since(candidate.ended_at) > older);
            if !is_old && excess == 0 {
                continue;
            }
            let (run, ended_at) = (candidate.row.run, candidate.ended_at);
            let freed =
                if only_look { self.would_free(&candidate).await } else { self.retire(run, by).await };
            match freed {
                // Somebody else was first, and left this.
                Ok(freed) if freed.events == 0 => report.leave(freed),
                Ok(freed) => {
                    excess = excess.saturating_sub(freed.files_bytes);
                    let workflow = candidate.row.summary.workflow;
                    report.runs.push(RetiredRun { run, workflow, ended_at, freed });
                }
                // It was opened again since the list was read.
                Err(FreeError::Open(_)) => {}
                Err(error) => report.failed.push((run, error)),
            }
        }
        self.sweep_folders(only_look, &mut report).await?;
        report.blobs = self.collect_blobs(only_look).await?;
        Ok(report)
    }

    /// The runs that have ended and were not freed yet, the one that ended first in front.
    async fn candidates(&self) -> Result<Vec<Candidate>, RunError> {
        let mut found = Vec::new();
        for row in self.runs(TopicFilter::default()).await? {
            if !row.summary.status.is_ended() || self.first_kept(row.run).await? > Seq(1) {
                continue;
            }
            let last = self.log.read(&Topic::run(row.run), Seq(u64::MAX), Direction::Backward, 1).await?;
            if let Some(last) = last.events.first() {
                found.push(Candidate { row, ended_at: last.at });
            }
        }
        found.sort_by_key(|candidate| candidate.ended_at);
        Ok(found)
    }

    /// The first event of the run that is not gone.
    async fn first_kept(&self, run: RunId) -> Result<Seq, RunError> {
        let page = self.log.read(&Topic::run(run), Seq(0), Direction::Forward, 0).await?;
        Ok(page.gap.map_or(Seq(1), |gap| gap.first))
    }

    async fn would_free(&self, candidate: &Candidate) -> Result<Freed, FreeError> {
        let run = candidate.row.run;
        let (leavings, cwd) = (self.leavings(run), self.record(run).await?.cwd.map(Utf8PathBuf::from));
        let freed = tokio::task::spawn_blocking(move || leavings.look(cwd.as_deref())).await??;
        Ok(Freed { events: candidate.row.head.0, ..freed })
    }

    /// By how many bytes the files of runs are more than they may be.
    async fn excess(&self, retention: Retention) -> Result<u64, RunError> {
        let Some(limit) = retention.size_bytes else { return Ok(0) };
        let runs = self.folder.join("runs");
        let taken = tokio::task::spawn_blocking(move || {
            folder_bytes(&runs).map_err(|source| RunError::Folder { path: runs, source })
        });
        Ok(taken.await??.saturating_sub(limit))
    }

    /// Removes the files of runs that are gone or freed: a crash, or a refusal of the system, left them.
    async fn sweep_folders(&self, only_look: bool, report: &mut PruneReport) -> Result<(), RunError> {
        let runs = self.folder.join("runs");
        let listed = move || -> std::io::Result<BTreeSet<RunId>> {
            let entries = if_there(Dir::open(runs.as_std_path()).and_then(|runs| runs.entries()))?;
            let names = entries.into_iter().flatten().filter_map(|entry| entry.name.into_string().ok());
            Ok(names.filter_map(|name| name.parse().ok()).collect())
        };
        let path = self.folder.join("runs");
        let folders =
            tokio::task::spawn_blocking(listed).await?.map_err(|source| RunError::Folder { path, source })?;
        for run in folders {
            if self.first_kept(run).await? == Seq(1) {
                continue;
            }
            let freed = if only_look {
                let leavings = self.leavings(run);
                tokio::task::spawn_blocking(move || leavings.look(None)).await?
            } else {
                self.free_rest(run).await
            };
            match freed {
                Ok(freed) => report.leave(freed),
                Err(error) => report.failed.push((run, error)),
            }
        }
        Ok(())
    }

    async fn free_rest(&self, run: RunId) -> Result<Freed, FreeError> {
        // Versions that noted nothing left something, too.
        match self.record(run).await {
            Ok(record) => self.note_leavings(&record).await?,
            Err(RunError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.free_leavings(run, 0).await
    }
}
