//! `backstay diff` and `backstay restore`: what steps did to the checkout, and the way back.

use backstay_files::shell_word;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use backstay_engine::record::{AttemptRecord, PlanRecord, RunRecord, StepRecord};
use backstay_model::event::{
    Event, InputEvent, OmittedFile, OmittedFiles, TreeOutcome, TreeProblem, TreeSnapshot,
};
use backstay_model::{Delivery, Digest, ObjectId, RunId, Seq, StepId, Topic};
use backstay_runtime::{ChangedFile, Checkout, DiffForm, RunError, RunView, Store};
use backstay_workflow::plan::Plan;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::difference;
use crate::address::Address;
use crate::args::{DiffArgs, RestoreArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{counted, short};

/// Shows what a run, or one step of it, changed in its checkout.
pub(crate) async fn diff(context: &Context, args: DiffArgs) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Changed {
        change: char,
        path: String,
        /// The bytes of a path that is not UTF-8: in `path` they are not told apart.
        #[serde(skip_serializing_if = "Option::is_none")]
        path_hex: Option<String>,
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
    let (checkout, kept) = kept(&store, &view, args.step.as_deref()).await?;
    let before = kept.tree(kept.before.as_ref())?;
    let after = kept.tree(kept.after.as_ref())?;
    let omitted = before.omitted.clone().union(&after.omitted);
    if args.json {
        let changed = checkout.changed(&before.commit, &after.commit)?;
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let of = |file: ChangedFile| Changed {
            change: file.change,
            path: file.path,
            path_hex: file.path_bytes.map(hex),
        };
        let files = changed.into_iter().map(of).collect();
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
    let form = if args.stat { DiffForm::Sums } else { DiffForm::Lines };
    let shown = if output::stdout().is_terminal() {
        difference::show(context, &checkout, &before.commit, &after.commit, form)?
    } else {
        checkout.print_diff(&before.commit, &after.commit, form)?
    };
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
    let (checkout, kept) = kept(&store, &view, step).await?;
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
    before: Option<TreeSnapshot>,
    after: Option<TreeSnapshot>,
    /// Why of some of these attempts no tree is kept.
    problems: Vec<TreeProblem>,
}

impl Kept {
    /// One of its trees, which has to be there.
    fn tree<'a>(&self, tree: Option<&'a TreeSnapshot>) -> Result<&'a TreeSnapshot, CliError> {
        tree.ok_or_else(|| self.no_tree(None))
    }

    fn no_tree(&self, why: Option<String>) -> CliError {
        let why = self.problems.first().map(|problem| problem.message.clone()).or(why);
        CliError::NoTree { what: self.what.clone(), why }
    }
}

/// The first tree before and the last one after a step or the whole run: of a group all that is in it, of a step in a loop
/// its last pass, since between two passes others worked.
async fn kept(store: &Store, view: &RunView, step: Option<&str>) -> Result<(Checkout, Kept), CliError> {
    let address = step.map(|text| Address::of_run(view, text)).transpose()?;
    if let Some(address) = &address {
        address.expect_in(&view.record)?;
    }
    let places = Places::of(store, view).await?;
    let kept = trees_of(view, &places, address.as_ref())?;
    let folder = view.record.cwd.as_deref().map(Utf8Path::new).unwrap_or(Utf8Path::new("/"));
    match Checkout::around(folder) {
        Ok(Some(checkout)) => Ok((checkout, kept)),
        Ok(None) => Err(kept.no_tree(Some(format!("{folder} is in no git checkout")))),
        Err(error) if kept.before.is_none() => Err(kept.no_tree(Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

fn trees_of(view: &RunView, by: &Places, address: Option<&Address>) -> Result<Kept, CliError> {
    let what = address.map_or_else(|| view.record.run.to_string(), |address| format!("`{address}`"));
    // The last pass of a loop may have needed the step no more.
    let has_trees = |record: &&StepRecord| record.attempts.iter().any(|attempt| attempt.before.is_some());
    let leaf = address.filter(|address| address.is_leaf());
    let last = leaf
        .and_then(|leaf| view.record.steps.iter().rev().filter(|record| leaf.has(record)).find(has_trees));
    let mut places = match last {
        Some(last) => vec![in_last_place(&view.record, by, last)],
        None => by_place(&view.record, by, address),
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
    before: Option<TreeSnapshot>,
    after: Option<TreeSnapshot>,
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

/// A folder that steps worked in: the run's own, or the worktree that a step made by the plan of this number.
type Place<'a> = Option<(&'a StepId, usize)>;

/// Which step makes the worktree that a step works in, by each plan that the run had: a step that is in none, or in
/// another one, by the newest plan may have worked elsewhere before.
struct Places(Vec<BTreeMap<StepId, StepId>>);

impl Places {
    async fn of(store: &Store, view: &RunView) -> Result<Places, CliError> {
        let makers = |plan: &Plan| -> BTreeMap<StepId, StepId> {
            plan.walk().filter_map(|step| Some((step.id.clone(), step.workspace.clone()?))).collect()
        };
        let run = view.record.run;
        let mut all = Vec::new();
        if let Some((_newest, replaced)) = view.record.plans.split_last() {
            all.push(makers(&store.plan(run, first_plan(store, run).await?).await?));
            for plan in replaced {
                all.push(makers(&store.plan(run, plan.workflow.plan).await?));
            }
        }
        all.push(makers(&view.plan));
        Ok(Places(all))
    }

    /// Where an attempt of `step` worked.
    fn place(&self, record: &RunRecord, step: &StepId, attempt: &AttemptRecord) -> Place<'_> {
        let before: Vec<_> = record.plans.iter().take_while(|plan| plan.at <= attempt.starting_at).collect();
        let maker = self.0.get(before.len())?.get(step)?;
        // A worktree that is made in another way is another one.
        let is_redefined = |plan: &&PlanRecord| plan.steps.iter().any(|step| step.step == *maker);
        Some((maker, before.iter().rposition(is_redefined).map_or(0, |at| at + 1)))
    }
}

/// The plan that the run was asked for with.
async fn first_plan(store: &Store, run: RunId) -> Result<Digest, CliError> {
    let mut events = store.log().follow(&Topic::run(run), Seq(0));
    while let Some(delivery) = events.try_next().await? {
        if let Delivery::Event(recorded) = delivery
            && let Event::Input(InputEvent::RunRequested(request)) =
                Event::decode(&recorded).map_err(RunError::from)?
        {
            return Ok(request.plan);
        }
    }
    Err(RunError::Unknown(run).into())
}

/// The trees around what is meant, for each folder that some of it worked in.
fn by_place(record: &RunRecord, by: &Places, address: Option<&Address>) -> Vec<Around> {
    let mut places: BTreeMap<Place<'_>, Vec<&AttemptRecord>> = BTreeMap::new();
    for (step, attempt) in attempts(record, address) {
        places.entry(by.place(record, step, attempt)).or_default().push(attempt);
    }
    places.values().map(|attempts| Around::of(attempts)).collect()
}

/// The trees around a step's attempts, of those by an earlier plan only where they worked in the same folder.
fn in_last_place(record: &RunRecord, by: &Places, step: &StepRecord) -> Around {
    let place = |attempt: &AttemptRecord| by.place(record, &step.step, attempt);
    let last = step.attempts.iter().rev().find(|attempt| attempt.before.is_some()).map(place);
    let is_there = |attempt: &&AttemptRecord| last.is_none_or(|last| place(attempt) == last);
    Around::of(&step.attempts.iter().filter(is_there).collect::<Vec<_>>())
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
