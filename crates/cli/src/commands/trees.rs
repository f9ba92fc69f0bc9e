//! `backstay diff` and `backstay restore`: what steps did to the checkout, and the way back.

use std::collections::{BTreeMap, BTreeSet};

use backstay_engine::record::{AttemptRecord, RunRecord, StepRecord};
use backstay_model::event::KeptTree;
use backstay_model::{ObjectId, RunId, StepId};
use backstay_runtime::{Checkout, RunError, RunView};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::args::{DiffArgs, RestoreArgs};
use crate::context::{Context, find_step};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{shell_word, short};

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
    }
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = not_freed(store.view(run).await?)?;
    let (checkout, kept) = kept(&view, args.step.as_deref())?;
    let (Some(before), Some(after)) = (kept.before, kept.after) else {
        return Err(CliError::NoTree { what: kept.what });
    };
    if args.json {
        let changed = checkout.changed(&before.commit, &after.commit)?;
        let files = changed.into_iter().map(|(change, path)| Changed { change, path }).collect();
        output::json(&Document::new(Difference { run, before: before.commit, after: after.commit, files }))?;
        return Ok(Exit::Completed);
    }
    if before.tree == after.tree {
        output::note(&format!("{} changed nothing", kept.what));
        return Ok(Exit::Completed);
    }
    let options: Vec<String> = args.stat.then(|| "--stat".to_owned()).into_iter().collect();
    let shown = checkout.show_diff(&before.commit, &after.commit, &options)?;
    Ok(if shown { Exit::Completed } else { Exit::Failed })
}

/// Puts the checkout as it was into a new worktree or branch; what is there now is not touched.
pub(crate) async fn restore(context: &Context, args: RestoreArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = not_freed(store.view(run).await?)?;
    let step = args.after.as_deref().or(args.before.as_deref());
    let (checkout, kept) = kept(&view, step)?;
    let found = if args.after.is_some() { kept.after } else { kept.before };
    let Some(tree) = found else { return Err(CliError::NoTree { what: kept.what }) };
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
}

/// The first tree before and the last one after a step or the whole run: of a group all that is in it, of a step in a loop
/// its last pass, since between two passes others worked.
fn kept(view: &RunView, step: Option<&str>) -> Result<(Checkout, Kept), CliError> {
    let (what, steps) = match step {
        Some(text) => {
            let id = find_step(&view.plan, text)?;
            (format!("`{id}`"), Some(with_inner(view, &id)))
        }
        None => (view.record.run.to_string(), None),
    };
    let folder = view.record.cwd.as_deref().map(Utf8Path::new).unwrap_or(Utf8Path::new("/"));
    let Some(checkout) = Checkout::around(folder)? else { return Err(CliError::NoTree { what }) };
    let is_leaf = |steps: &&BTreeSet<StepId>| steps.len() == 1;
    // The last pass of a loop may have needed the step no more.
    let has_trees = |record: &&StepRecord| record.attempts.iter().any(|attempt| attempt.before.is_some());
    let of = |id: &StepId| view.record.steps.iter().rev().filter(|record| record.step == *id).find(has_trees);
    let last = steps.as_ref().filter(is_leaf).and_then(|steps| of(steps.first()?));
    let mut places = match last {
        Some(last) => vec![around(&last.attempts.iter().collect::<Vec<_>>())],
        None => by_workspace(view, steps.as_ref()),
    };
    // What was worked in and not changed is of no interest beside what was.
    if places.iter().any(is_changed) {
        places.retain(is_changed);
    }
    if places.len() > 1 && places.iter().any(is_changed) {
        return Err(CliError::SeveralPlaces { what });
    }
    let (before, after) = places.into_iter().next().unwrap_or_default();
    Ok((checkout, Kept { what, before, after }))
}

type Around = (Option<KeptTree>, Option<KeptTree>);

/// The first tree before and the last one after these attempts, which worked in one place.
fn around(attempts: &[&AttemptRecord]) -> Around {
    let before = attempts.iter().find_map(|attempt| attempt.before.clone());
    (before, attempts.iter().rev().find_map(|attempt| attempt.after.clone()))
}

fn is_changed((before, after): &Around) -> bool {
    matches!((before, after), (Some(before), Some(after)) if before.tree != after.tree)
}

/// The trees around these steps, for each folder that some of them worked in.
fn by_workspace(view: &RunView, steps: Option<&BTreeSet<StepId>>) -> Vec<Around> {
    let workspaces: BTreeMap<&StepId, Option<&StepId>> =
        view.plan.walk().map(|step| (&step.id, step.workspace.as_ref())).collect();
    let mut places: BTreeMap<Option<&StepId>, Vec<&AttemptRecord>> = BTreeMap::new();
    for (step, attempt) in attempts(&view.record, steps) {
        places.entry(workspaces.get(step).copied().flatten()).or_default().push(attempt);
    }
    places.values().map(|attempts| around(attempts)).collect()
}

fn with_inner(view: &RunView, id: &StepId) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<_> = view.plan.walk().filter(|step| step.id == *id).collect();
    while let Some(step) = waiting.pop() {
        found.insert(step.id.clone());
        waiting.extend(step.children());
    }
    found
}

/// The attempts of these steps, in the order in which they began.
fn attempts<'a>(
    record: &'a RunRecord,
    steps: Option<&BTreeSet<StepId>>,
) -> Vec<(&'a StepId, &'a AttemptRecord)> {
    let wanted = record.steps.iter().filter(|step| steps.is_none_or(|steps| steps.contains(&step.step)));
    let of = |step: &'a StepRecord| step.attempts.iter().map(move |attempt| (&step.step, attempt));
    let mut attempts: Vec<_> = wanted.flat_map(of).collect();
    attempts.sort_by_key(|(_, attempt)| attempt.starting_at);
    attempts
}

/// A folder beside the checkout that is named after it and the run.
fn beside(root: &Utf8Path, run: RunId) -> Utf8PathBuf {
    let name = root.file_name().unwrap_or("checkout");
    root.with_file_name(format!("{name}-{}", short(run)))
}
