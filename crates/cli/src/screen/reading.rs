//! A long text on the screen, and where more of it comes from.

use std::time::Duration;

use backstay_engine::record::{AttemptRecord, RunRecord, StepRecord};
use backstay_exec::SpoolError;
use backstay_exec::spool::{self, Follow, Follower};
use backstay_model::event::{OmittedFiles, TreeOutcome, TreeSnapshot};
use backstay_model::{EffectCall, EffectId, Scope};
use backstay_runtime::{Checkout, Store};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use super::talk::{Talk, is_agents};
use crate::commands::omitted_lines;
use crate::error::CliError;
use crate::ui::{DiffPaint, Entry, Paint, Reader};

/// Bytes before the end of a spool at which reading begins.
const FIRST_BYTES: u64 = 1 << 20;
/// How long one wait for a spool may be.
const SPOOL_PATIENCE: Duration = Duration::from_secs(5);
/// Pieces that may wait to be shown.
const WAITING_MAX: usize = 16;

/// A text that is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) reader: Reader,
    source: Source,
}

/// Where more comes from.
#[derive(Debug)]
enum Source {
    /// Nowhere.
    Still,
    /// A spool, and whatever spool the step's next attempt has.
    Spool { scope: Scope, folder: Utf8PathBuf, incoming: mpsc::Receiver<Read> },
    /// The log.
    Talk(Talk),
}

/// What was read of a spool.
#[derive(Debug)]
enum Read {
    Bytes(Vec<u8>),
    Failed(String),
}

/// Opens what a step said.
pub(super) async fn log(store: Store, record: RunRecord, scope: Scope) -> Result<Reading, CliError> {
    let step = instance(&record, &scope)?;
    let title = format!("{} · log", step.step);
    let mut reader = Reader::at_end(title, "it has said nothing yet");
    let last = last_attempt(step);
    if last.is_some_and(is_agents) {
        let mut talk = Talk::from_start(scope);
        talk.catch_up(&store, &record, reader.entries()).await?;
        return Ok(Reading { reader, source: Source::Talk(talk) });
    }
    let folder =
        last.and_then(|attempt| attempt.folder.as_ref()).map(|folder| store.folder().join(folder.as_str()));
    let source = match folder {
        Some(folder) => Source::Spool { scope, incoming: follow(folder.clone()), folder },
        None => Source::Still,
    };
    Ok(Reading { reader, source })
}

/// Opens what a step changed: up to now, where it is still at work.
pub(super) async fn diff(store: Store, record: RunRecord, scope: Scope) -> Result<Reading, CliError> {
    let step = instance(&record, &scope)?;
    let what = format!("`{}`", step.step);
    let attempts = || step.attempts.iter();
    let kept = |outcome: &Option<TreeOutcome>| outcome.as_ref().and_then(TreeOutcome::kept).cloned();
    let Some(before) = attempts().find_map(|attempt| kept(&attempt.before)) else {
        let problem = attempts().find_map(|attempt| attempt.before.as_ref()?.problem());
        return Err(CliError::NoTree { what, why: problem.map(|problem| problem.message.clone()) });
    };
    let is_over = attempts().next_back().is_some_and(|attempt| attempt.ended_at.is_some());
    let after = attempts().rev().find_map(|attempt| kept(&attempt.after)).filter(|_| is_over);
    let own = match &after {
        // Both trees are in the repository, whichever folder of it is asked.
        Some(_) => None,
        None => {
            let effect = EffectId { root: record.run.into(), scope: scope.clone(), call: EffectCall::Main };
            store.machine(record.run).await?.folder_of(&effect)
        }
    };
    let folder = Utf8PathBuf::from(own.as_deref().or(record.cwd.as_deref()).unwrap_or("/"));
    let until = if after.is_some() { "" } else { ", up to now" };
    let mut reader = Reader::at_start(format!("{} · diff{until}", step.step), "it changed nothing");
    let (text, omitted) =
        tokio::task::spawn_blocking(move || diff_text(&folder, &before, after.as_ref(), what)).await??;
    let mut paint = DiffPaint::default();
    for line in String::from_utf8_lossy(&text).lines() {
        reader.entries().push(Entry::plain(paint.of(line), line));
    }
    for line in omitted_lines(&omitted) {
        reader.entries().push(Entry::plain(Paint::Warn, line));
    }
    Ok(Reading { reader, source: Source::Still })
}

fn diff_text(
    folder: &Utf8Path,
    before: &TreeSnapshot,
    after: Option<&TreeSnapshot>,
    what: String,
) -> Result<(Vec<u8>, OmittedFiles), CliError> {
    let Some(checkout) = Checkout::around(folder)? else {
        return Err(CliError::NoTree { what, why: Some(format!("{folder} is in no git checkout")) });
    };
    let (after, omitted) = match after {
        Some(after) => (after.tree.clone(), after.omitted.clone()),
        None => {
            let scratch = tempfile::tempdir().map_err(CliError::Folder)?;
            let scratch = scratch.path().canonicalize().map_err(CliError::Folder)?;
            let scratch = crate::context::utf8(scratch)?;
            checkout.tree_now(&scratch)?
        }
    };
    Ok((checkout.diff(&before.tree, &after)?, before.omitted.clone().union(&omitted)))
}

fn instance<'a>(record: &'a RunRecord, scope: &Scope) -> Result<&'a StepRecord, CliError> {
    let what = || scope.step_id().map_or_else(String::new, |step| format!("`{step}`"));
    record.instance(scope).ok_or_else(|| CliError::NoTree { what: what(), why: None })
}

fn last_attempt(step: &StepRecord) -> Option<&AttemptRecord> {
    step.attempts.iter().rev().find(|attempt| !attempt.probe)
}

impl Reading {
    /// Looks whether more came that nobody brings.
    pub(super) async fn look(&mut self, store: &Store, record: &RunRecord) -> Result<(), CliError> {
        match &mut self.source {
            Source::Still => {}
            Source::Talk(talk) => talk.catch_up(store, record, self.reader.entries()).await?,
            Source::Spool { scope, folder, incoming } => {
                let last = record.instance(scope).and_then(last_attempt);
                let now = last.and_then(|attempt| {
                    Some((attempt, store.folder().join(attempt.folder.as_ref()?.as_str())))
                });
                if let Some((attempt, now)) = now.filter(|(_, now)| now != folder) {
                    let mark = format!("── try {}", attempt.attempt);
                    self.reader.entries().push(Entry::plain(Paint::Dim, mark));
                    (*incoming, *folder) = (follow(now.clone()), now);
                }
            }
        }
        Ok(())
    }
}

/// Resolves when more of the text is there. Dropping the future loses nothing.
pub(super) async fn more(reading: &mut Option<Reading>) {
    let Some(Reading { reader, source: Source::Spool { incoming, .. } }) = reading else {
        return std::future::pending().await;
    };
    match incoming.recv().await {
        Some(Read::Bytes(bytes)) => reader.entries().wrote(&bytes),
        Some(Read::Failed(message)) => reader.entries().push(Entry::plain(Paint::Bad, message)),
        None => std::future::pending().await,
    }
}

/// Follows a spool in a thread; it ends with the attempt, or when nobody reads any more.
fn follow(folder: Utf8PathBuf) -> mpsc::Receiver<Read> {
    let (send, incoming) = mpsc::channel(WAITING_MAX);
    drop(tokio::task::spawn_blocking(move || pump(&folder, &send)));
    incoming
}

fn pump(folder: &Utf8Path, send: &mpsc::Sender<Read>) {
    // Of an attempt that has only begun there may be no spool yet: all of it is read.
    let from_bytes = spool::tail(folder, FIRST_BYTES).map_or(0, |tail| tail.skipped_bytes);
    let skipped = (from_bytes > 0).then(|| format!("… {from_bytes} earlier bytes: backstay logs\n"));
    if skipped.is_some_and(|skipped| send.blocking_send(Read::Bytes(skipped.into_bytes())).is_err()) {
        return;
    }
    let failed = |error: &SpoolError| Read::Failed(crate::output::describe_any(error));
    let mut follower = match Follower::open(folder, from_bytes) {
        Ok(follower) => follower,
        Err(error) => return tell(send, failed(&error)),
    };
    while !send.is_closed() {
        match follower.next(SPOOL_PATIENCE) {
            Ok(Follow::Output(chunks)) => {
                chunks.into_iter().for_each(|chunk| tell(send, Read::Bytes(chunk.bytes)));
            }
            Ok(Follow::Nothing) => {}
            Ok(Follow::Ended) => return,
            Err(error) => return tell(send, failed(&error)),
        }
    }
}

fn tell(send: &mpsc::Sender<Read>, read: Read) {
    if send.blocking_send(read).is_err() {
        tracing::debug!("nobody reads this log any more");
    }
}
