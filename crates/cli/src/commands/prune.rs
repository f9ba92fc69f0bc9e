//! `backstay prune` and `backstay rm`.

use backstay_files::shell_word;
use backstay_log::{BlobTotals, CollectedBlobs};
use backstay_model::{RunId, Timestamp};
use backstay_runtime::care::{self, Compaction};
use backstay_runtime::{FreeError, Freed, PruneReport, Retention, RetiredRun, Unmerged};
use camino::Utf8PathBuf;
use serde::Serialize;

use crate::args::{PruneArgs, RmArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, beginnings, bytes, counted, parse_bytes, parse_duration, table};

/// Frees what runs that ended long ago take, and keeps their records.
pub(crate) async fn prune(context: &Context, args: PruneArgs) -> Result<Exit, CliError> {
    let retention = Retention {
        older: args.older.as_deref().map(parse_duration).transpose()?,
        size_bytes: args.max_size.as_deref().map(parse_bytes).transpose()?,
    };
    let store = context.store().await?;
    let folder = store.folder().to_owned();
    let report = store.prune(retention, &context.actor(), args.dry_run).await?;
    drop(store);
    if !args.dry_run {
        compact(folder).await?;
    }
    if args.json {
        output::json(&Document::new(Pruned::of(&report, args.dry_run)))?;
    } else {
        print(context, &report, args.dry_run)?;
    }
    for (run, error) in &report.failed {
        output::note(&format!("{run} is not freed whole: {}", output::describe_any(error)));
    }
    Ok(if report.failed.is_empty() { Exit::Completed } else { Exit::Failed })
}

/// Makes the files of the store smaller by what is gone. That they stay as large as they are harms nothing else.
async fn compact(folder: Utf8PathBuf) -> Result<(), CliError> {
    match tokio::task::spawn_blocking(move || care::compact(&folder)).await? {
        Ok(Compaction::Done(_)) => {}
        Ok(Compaction::InUse) => output::note(
            "other processes have the store open: what is free in log.db is used again, and a `backstay prune` without them gives it back",
        ),
        Err(error) => {
            output::note(&format!("log.db stays as large as it is: {}", output::describe_any(&error)));
        }
    }
    Ok(())
}

/// Removes runs that have ended, with their records.
pub(crate) async fn rm(context: &Context, args: RmArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let mut runs = Vec::with_capacity(args.runs.len());
    for text in &args.runs {
        runs.push(context.run(&store, text.as_str()).await?);
    }
    runs.sort();
    runs.dedup();
    let (mut removed, mut failed) = (Vec::with_capacity(runs.len()), Vec::new());
    let mut named = BlobTotals::default();
    for run in runs {
        let blobs = store.blobs_of(run).await?;
        named.blobs += blobs.blobs;
        named.size_bytes += blobs.size_bytes;
        // One that stays does not keep the others.
        let freed = match store.remove(run).await {
            Ok(freed) => freed,
            Err(error) if args.runs.len() > 1 => {
                output::note(&format!("{run} is not removed whole: {}", output::describe_any(&error)));
                failed.push(NotFreed { run, error: output::describe_any(&error) });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !args.json {
            output::line(&format!("{run} removed: {}", what(&freed)))?;
        }
        say_left([&freed]);
        removed.push((run, freed));
    }
    let has_failed = !failed.is_empty();
    if args.json {
        let removed =
            removed.into_iter().map(|(run, freed)| Gone { run, freed: Given::of(&freed) }).collect();
        output::json(&Document::new(Removed { removed, failed }))?;
    } else if named.blobs > 0 {
        output::note(&format!(
            "{} that it named stay where others name them; what nothing names goes with `backstay prune`, an hour after its last use",
            blobs_of(named)
        ));
    }
    Ok(if has_failed { Exit::Failed } else { Exit::Completed })
}

/// Such as `3 blobs of 4.1 MB`.
fn blobs_of(sum: BlobTotals) -> String {
    format!("{} of {}", counted(sum.blobs, "blob"), bytes(sum.size_bytes))
}

fn print(context: &Context, report: &PruneReport, only_look: bool) -> Result<(), CliError> {
    let times = context.times();
    let ids = beginnings(&report.runs.iter().map(|run| run.run).collect::<Vec<_>>());
    let cells: Vec<Vec<(Paint, String)>> = report
        .runs
        .iter()
        .zip(ids)
        .map(|(run, id): (&RetiredRun, String)| {
            vec![
                (Paint::Bold, id),
                (Paint::Plain, run.workflow.clone()),
                (Paint::Dim, times.minute(run.ended_at)),
                (Paint::Plain, run.freed.events.to_string()),
                (Paint::Plain, bytes(run.freed.files_bytes)),
            ]
        })
        .collect();
    if !cells.is_empty() {
        for line in table(&["run", "workflow", "ended", "events", "files"], &cells) {
            output::line(&line.render(context.style, context.room()))?;
        }
    }
    let files: u64 = report.runs.iter().map(|run| run.freed.files_bytes).sum();
    let CollectedBlobs { gone, young } = report.blobs;
    let trees: u64 = report.runs.iter().map(|run| run.freed.trees).sum();
    let worktrees: u64 = report.runs.iter().map(|run| run.freed.worktrees).sum();
    let sum = format!(
        "{} {}: {} of files, {}, {}{}{}",
        if only_look { "would free" } else { "freed" },
        counted(report.runs.len() as u64, "run"),
        bytes(files + report.leftover.files_bytes),
        counted(trees + report.leftover.trees, "kept tree"),
        match worktrees + report.leftover.worktrees {
            0 => String::new(),
            count => format!("{}, ", counted(count, "worktree")),
        },
        blobs_of(gone),
        if only_look { "; nothing was changed" } else { "" },
    );
    output::line(&Line::of(Paint::Plain, " ").with(Paint::Plain, sum).render(context.style, context.room()))?;
    say_left(report.runs.iter().map(|run| &run.freed).chain([&report.leftover]));
    if young.blobs > 0 {
        output::note(&format!("{} that nothing names go an hour after their last use", blobs_of(young)));
    }
    if !report.runs.is_empty() && !only_look {
        output::note("their records stay: `backstay show RUN`; `backstay rm RUN` removes those too");
    }
    Ok(())
}

fn what(freed: &Freed) -> String {
    let worktrees = match freed.worktrees {
        0 => String::new(),
        count => format!(", {}", counted(count, "worktree")),
    };
    format!(
        "{}, {} of files, {}{worktrees}",
        counted(freed.events, "event"),
        bytes(freed.files_bytes),
        counted(freed.trees, "kept tree")
    )
}

/// Names what stays.
fn say_left<'a>(freed: impl IntoIterator<Item = &'a Freed>) {
    let (mut foreign_worktrees, mut foreign_trees) = (Vec::new(), 0);
    for freed in freed {
        foreign_trees += freed.trees_left;
        for (path, why) in &freed.worktrees_left {
            if *why == Unmerged::Foreign {
                foreign_worktrees.push(path.as_str());
                continue;
            }
            let force = format!("git worktree remove --force {}", shell_word(path.as_str()));
            output::note(&format!("{path} stays: it {}; `{force}` removes it all the same", why.text()));
        }
        for fault in &freed.checkouts_gone {
            output::note(&format!("what was kept of a checkout went with its repository: {fault}"));
        }
        for branch in &freed.branches_left {
            let branch = branch.trim_start_matches("refs/heads/");
            output::note(&format!("branch {branch} stays: it got a commit while its worktree was removed"));
        }
    }
    if let Some(text) = foreign(&foreign_worktrees, foreign_trees) {
        output::note(&text);
    }
}

/// Says what was left since other stores made it; none if there is nothing.
fn foreign(worktrees: &[&str], trees: u64) -> Option<String> {
    let count = worktrees.len() as u64;
    let parts = [(count, "worktree"), (trees, "kept tree")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(count, noun)).collect();
    let (belong, were, them) = match count + trees {
        0 => return None,
        1 => ("belongs", "was", "it"),
        _ => ("belong", "were", "them"),
    };
    let places = if worktrees.is_empty() { String::new() } else { format!(": {}", worktrees.join(", ")) };
    Some(format!(
        "{} {belong} to another store and {were} left; `backstay rm RUN` there removes {them}{places}",
        parts.join(" and ")
    ))
}

#[derive(Serialize)]
struct Given {
    events: u64,
    files_bytes: u64,
    trees: u64,
    trees_left: u64,
    worktrees: u64,
    worktrees_left: Vec<Left>,
    branches_left: Vec<String>,
}

#[derive(Serialize)]
struct Left {
    path: String,
    why: String,
}

impl Given {
    fn of(freed: &Freed) -> Given {
        let left =
            |(path, why): &(camino::Utf8PathBuf, Unmerged)| Left { path: path.to_string(), why: why.text() };
        Given {
            events: freed.events,
            files_bytes: freed.files_bytes,
            trees: freed.trees,
            trees_left: freed.trees_left,
            worktrees: freed.worktrees,
            worktrees_left: freed.worktrees_left.iter().map(left).collect(),
            branches_left: freed.branches_left.clone(),
        }
    }
}

#[derive(Serialize)]
struct Gone {
    run: RunId,
    #[serde(flatten)]
    freed: Given,
}

#[derive(Serialize)]
struct Removed {
    removed: Vec<Gone>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<NotFreed>,
}

#[derive(Serialize)]
struct PrunedRun {
    workflow: String,
    ended_at: Timestamp,
    #[serde(flatten)]
    gone: Gone,
}

#[derive(Serialize)]
struct NotFreed {
    run: RunId,
    error: String,
}

#[derive(Serialize)]
struct Pruned {
    dry_run: bool,
    runs: Vec<PrunedRun>,
    failed: Vec<NotFreed>,
    leftover_bytes: u64,
    leftover_trees: u64,
    blobs: u64,
    blobs_bytes: u64,
    young_blobs: u64,
    young_blobs_bytes: u64,
}

impl Pruned {
    fn of(report: &PruneReport, dry_run: bool) -> Pruned {
        let run = |run: &RetiredRun| PrunedRun {
            workflow: run.workflow.clone(),
            ended_at: run.ended_at,
            gone: Gone { run: run.run, freed: Given::of(&run.freed) },
        };
        let failed =
            |(run, error): &(RunId, FreeError)| NotFreed { run: *run, error: output::describe_any(error) };
        Pruned {
            dry_run,
            runs: report.runs.iter().map(run).collect(),
            failed: report.failed.iter().map(failed).collect(),
            leftover_bytes: report.leftover.files_bytes,
            leftover_trees: report.leftover.trees,
            blobs: report.blobs.gone.blobs,
            blobs_bytes: report.blobs.gone.size_bytes,
            young_blobs: report.blobs.young.blobs,
            young_blobs_bytes: report.blobs.young.size_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_stores_made_is_said_in_one_line() {
        assert_eq!(foreign(&[], 0), None);
        assert_eq!(
            foreign(&[], 1).unwrap(),
            "1 kept tree belongs to another store and was left; `backstay rm RUN` there removes it"
        );
        assert_eq!(
            foreign(&["/a.worktrees/x", "/a.worktrees/y"], 1).unwrap(),
            "2 worktrees and 1 kept tree belong to another store and were left; `backstay rm RUN` there removes them: /a.worktrees/x, /a.worktrees/y"
        );
    }
}
