//! `backstay diff` and `backstay restore`: what steps did to the checkout, and the way back.

use std::collections::BTreeMap;

use backstay_engine::record::{AttemptRecord, RunRecord, StepRecord};
use backstay_model::event::{KeptTree, OmittedFile, OmittedFiles, TreeOutcome, TreeProblem};
use backstay_model::{ObjectId, RunId, StepId};
use backstay_runtime::{Checkout, RunError, RunView};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::address::Address;
use crate::args::{DiffArgs, RestoreArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{counted, shell_word, short};

/// Shows what a run, or one step of it, changed in its checkout.
pub(crate) async fn diff(context: &Context, args: DiffArgs) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Changed {
        change: char,
        path: String,
    }
    #[derive(Serialize)]
    struct Difference {
        run: RunId,
        before: ObjectId,
        after: ObjectId,
        files: Vec<Changed>,
        /// What is there and was not looked at.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        omitted: Vec<OmittedFile>,
        #[serde(skip_serializing_if = "is_zero")]
        omitted_more: u32,
        /// Why of some of the work no tree is kept.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        unkept: Vec<TreeProblem>,
    }
    let store = context.store_to_read().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = not_freed(store.view(run).await?)?;
    let (checkout, kept) = kept(&view, args.step.as_deref())?;
    let before = kept.tree(kept.before.as_ref())?;
    let after = kept.tree(kept.after.as_ref())?;
    let omitted = before.omitted.clone().union(&after.omitted);
    if args.json {
        let changed = checkout.changed(&before.commit, &after.commit)?;
        let files =
            changed.into_iter().map(|file| Changed { change: file.change, path: file.path }).collect();
        let (before, after) = (before.commit.clone(), after.commit.clone());
        let OmittedFiles { named: omitted, more: omitted_more } = omitted;
        let unkept = kept.problems;
        output::json(&Document::new(Difference {
            run,
            before,
            after,
            files,
            omitted,
            omitted_more,
            unkept,
        }))?;
        return Ok(Exit::Completed);
    }
    if before.tree == after.tree {
        output::note(&match omitted.is_empty() && kept.problems.is_empty() {
            true => format!("{} changed nothing that git does not ignore", kept.what),
            false => format!("{} changed nothing in what was looked at", kept.what),
        });
        say_omitted(&omitted, &kept.problems);
        return Ok(Exit::Completed);
    }
    let options: Vec<String> = args.stat.then(|| "--stat".to_owned()).into_iter().collect();
    let shown = checkout.show_diff(&before.commit, &after.commit, &options)?;
    say_omitted(&omitted, &kept.problems);
    Ok(if shown { Exit::Completed } else { Exit::Failed })
}

/// Says what a difference tells nothing about.
fn say_omitted(omitted: &OmittedFiles, problems: &[TreeProblem]) {
    for line in omitted_lines(omitted) {
        output::note(&line);
    }
    for problem in problems {
        output::note(&format!(
            "not looked at: some of its work, of which no tree is kept: {}",
            problem.message
        ));
    }
}

/// What a tree omits, a line for each.
pub(crate) fn omitted_lines(omitted: &OmittedFiles) -> Vec<String> {
    let line = |file: &OmittedFile| format!("not looked at: {}: {}", file.path, file.reason.text());
    let mut lines: Vec<String> = omitted.named.iter().map(line).collect();
    if omitted.more > 0 {
        lines.push(format!("not looked at: {}", counted(u64::from(omitted.more), "more file")));
    }
    lines
}

/// Puts the checkout as it was into a new worktree or branch; what is there now is not touched.
pub(crate) async fn restore(context: &Context, args: RestoreArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = not_freed(store.view(run).await?)?;
    let step = args.after.as_deref().or(args.before.as_deref());
    let (checkout, kept) = kept(&view, step)?;
    let found = if args.after.is_some() { &kept.after } else { &kept.before };
    let tree = kept.tree(found.as_ref())?;
    if let Some(branch) = args.branch {
        checkout.restore_as_branch(&tree.commit, &branch)?;
        output::line(&format!("branch {branch} is at {}", tree.commit))?;
        output::note(&format!("next  git switch {}", shell_word(&branch)));
        return Ok(Exit::Completed);
    }
    let place = args.to.map_or_else(|| beside(checkout.root(), run), |to| context.cwd.join(to));
    checkout.restore_to(&tree.commit, &place)?;
    // It is there now, so what leads to it by detours has a short name.
    let place = place.canonicalize_utf8().unwrap_or(place);
    output::line(place.as_str())?;
    let word = shell_word(place.as_str());
    output::note(&format!("next  git worktree remove {word}  when it is not needed any more"));
    Ok(Exit::Completed)
}

/// What was kept of the checkout went with the rest of a run that was freed.
fn not_freed(view: RunView) -> Result<RunView, RunError> {
    match view.record.trimmed_at {
        None => Ok(view),
        Some(at) => Err(RunError::Trimmed { run: view.record.run, at }),
    }
}

/// The trees around some attempts, and a name for what these are of.
struct Kept {
    what: String,
    before: Option<KeptTree>,
    after: Option<KeptTree>,
    /// Why of some of these attempts no tree is kept.
    problems: Vec<TreeProblem>,
}

impl Kept {
    /// One of its trees, which has to be there.
    fn tree<'a>(&self, tree: Option<&'a KeptTree>) -> Result<&'a KeptTree, CliError> {
        tree.ok_or_else(|| self.no_tree(None))
    }

    fn no_tree(&self, why: Option<String>) -> CliError {
        let why = self.problems.first().map(|problem| problem.message.clone()).or(why);
        CliError::NoTree { what: self.what.clone(), why }
    }
}

/// The first tree before and the last one after a step or the whole run: of a group all that is in it, of a step in a loop
/// its last pass, since between two passes others worked.
fn kept(view: &RunView, step: Option<&str>) -> Result<(Checkout, Kept), CliError> {
    let address = step.map(|text| Address::of_run(view, text)).transpose()?;
    if let Some(address) = &address {
        address.expect_in(&view.record)?;
    }
    let kept = trees_of(view, address.as_ref())?;
    let folder = view.record.cwd.as_deref().map(Utf8Path::new).unwrap_or(Utf8Path::new("/"));
    match Checkout::around(folder) {
        Ok(Some(checkout)) => Ok((checkout, kept)),
        Ok(None) => Err(kept.no_tree(Some(format!("{folder} is in no git checkout")))),
        Err(error) if kept.before.is_none() => Err(kept.no_tree(Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

fn trees_of(view: &RunView, address: Option<&Address>) -> Result<Kept, CliError> {
    let what = address.map_or_else(|| view.record.run.to_string(), |address| format!("`{address}`"));
    // The last pass of a loop may have needed the step no more.
    let has_trees = |record: &&StepRecord| record.attempts.iter().any(|attempt| attempt.before.is_some());
    let leaf = address.filter(|address| address.is_leaf());
    let last = leaf
        .and_then(|leaf| view.record.steps.iter().rev().filter(|record| leaf.has(record)).find(has_trees));
    let mut places = match last {
        Some(last) => vec![Around::of(&last.attempts.iter().collect::<Vec<_>>())],
        None => by_workspace(view, address),
    };
    let problems =
        places.iter().flat_map(|place| place.problems.clone()).fold(Vec::new(), |mut all, problem| {
            if !all.contains(&problem) {
                all.push(problem);
            }
            all
        });
    // What was worked in and not changed is of no interest beside what was.
    if places.iter().any(Around::is_changed) {
        places.retain(Around::is_changed);
    }
    if places.len() > 1 && places.iter().any(Around::is_changed) {
        return Err(CliError::SeveralPlaces { what });
    }
    let place = places.into_iter().next().unwrap_or_default();
    Ok(Kept { what, before: place.before, after: place.after, problems })
}

/// The first tree before and the last one after attempts that worked in one place, and why others are not there.
#[derive(Default)]
struct Around {
    before: Option<KeptTree>,
    after: Option<KeptTree>,
    problems: Vec<TreeProblem>,
}

impl Around {
    fn of(attempts: &[&AttemptRecord]) -> Around {
        let tree = |outcome: &Option<TreeOutcome>| outcome.as_ref().and_then(TreeOutcome::kept).cloned();
        let outcomes = attempts.iter().flat_map(|attempt| [&attempt.before, &attempt.after]);
        Around {
            before: attempts.iter().find_map(|attempt| tree(&attempt.before)),
            after: attempts.iter().rev().find_map(|attempt| tree(&attempt.after)),
            problems: outcomes.flatten().filter_map(TreeOutcome::problem).cloned().collect(),
        }
    }

    fn is_changed(&self) -> bool {
        matches!((&self.before, &self.after), (Some(before), Some(after)) if before.tree != after.tree)
    }
}

/// The trees around what is meant, for each folder that some of it worked in.
fn by_workspace(view: &RunView, address: Option<&Address>) -> Vec<Around> {
    let workspaces: BTreeMap<&StepId, Option<&StepId>> =
        view.plan.walk().map(|step| (&step.id, step.workspace.as_ref())).collect();
    let mut places: BTreeMap<Option<&StepId>, Vec<&AttemptRecord>> = BTreeMap::new();
    for (step, attempt) in attempts(&view.record, address) {
        places.entry(workspaces.get(step).copied().flatten()).or_default().push(attempt);
    }
    places.values().map(|attempts| Around::of(attempts)).collect()
}

/// The attempts of what is meant, in the order in which they began.
fn attempts<'a>(record: &'a RunRecord, address: Option<&Address>) -> Vec<(&'a StepId, &'a AttemptRecord)> {
    let wanted = record.steps.iter().filter(|step| address.is_none_or(|address| address.has(step)));
    let of = |step: &'a StepRecord| step.attempts.iter().map(move |attempt| (&step.step, attempt));
    let mut attempts: Vec<_> = wanted.flat_map(of).collect();
    attempts.sort_by_key(|(_, attempt)| attempt.starting_at);
    attempts
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A folder beside the checkout that is named after it and the run.
fn beside(root: &Utf8Path, run: RunId) -> Utf8PathBuf {
    let name = root.file_name().unwrap_or("checkout");
    root.with_file_name(format!("{name}-{}", short(run)))
}
