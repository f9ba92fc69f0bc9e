//! `backstay retry`.

use backstay_files::shell_word;
use std::collections::BTreeMap;

use backstay_engine::run::{ForeignPlan, RetryOutlook};
use backstay_model::event::{Event, PlanRef, Redefinition, Reopened, StepRedefined};
use backstay_model::{Digest, Payload, RunId, StepId};
use backstay_runtime::{RunError, RunRequest, RunView, Store, changed_presets};
use backstay_workflow::Given;
use backstay_workflow::plan::{InputSpec, Plan};
use camino::{Utf8Path, Utf8PathBuf};

use super::input::{self, Successor};
use super::run::{agents, checked_plan, checked_plan_with_kept, given};
use super::workflow::WorkflowFile;
use crate::address::Address;
use crate::args::RetryArgs;
use crate::confirm::Consent;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground::{self, Look};
use crate::output;

/// Takes an ended run up again.
pub(crate) async fn retry(context: &Context, args: RetryArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    context.trusted(&store)?;
    let view = store.view(run).await?;
    let reopened = match &args.workflow {
        Some(file) => by_file(context, &store, &view, file, &args).await?,
        None => {
            let from = args.from.as_deref().map(|text| Address::whole_step(&view.plan, text)).transpose()?;
            Reopened { by: context.actor(), from, skip: None, plan: None }
        }
    };
    if args.workflow.is_none() {
        note_if_changed(context, &store, run, "retry").await;
    }
    let said = store.say(run, Event::from(reopened)).await?;
    if args.detach {
        crate::detach::go_on(context, &store, run)?;
        // Whoever waits for the run next shall not see how it had ended before.
        input::verdict(context, &store, run, said, Successor::Started).await?;
        return super::run::detached(run, args.json);
    }
    let look = if args.json { Look::Json } else { Look::Page };
    foreground::work_or_watch(context, &store, run, look).await
}

/// The wish to go on by another file, once it is checked; what comes of it is said.
async fn by_file(
    context: &Context,
    store: &Store,
    view: &RunView,
    file: &Utf8Path,
    args: &RetryArgs,
) -> Result<Reopened, CliError> {
    let run = view.record.run;
    let file = WorkflowFile::read(context, file)?;
    let own = plan_of(store, run).await?;
    let configuration = context.configuration(store.folder())?;
    let presets = configuration.trusted()?.presets().clone();
    // Those of the run stay where nobody says otherwise: without them another agent would do the work.
    let (plan, agents) = if args.agent.is_empty() {
        checked_plan_with_kept(&file, &own.agents, &configuration)?
    } else {
        (checked_plan(&file, &args.agent, &configuration)?, args.agent.clone())
    };
    let mut values = kept_inputs(store, &own, &view.plan, &plan).await?;
    values.extend(given(context, None, &args.input)?);
    let inputs = plan.bind_inputs(&values).map_err(CliError::Inputs)?;
    let from = args.from.as_deref().map(|text| Address::whole_step(&plan, text)).transpose()?;
    let (name, cwd) = (file.name.clone(), view.record.cwd.clone());
    let request = RunRequest {
        inputs: inputs.to_json()?,
        agents,
        plan,
        presets,
        file: file.name,
        folder: file.folder,
        source: file.text,
        cwd: cwd.map_or_else(|| context.cwd.clone(), Utf8PathBuf::from),
        within: None,
        by: context.actor(),
    };
    let plan = Some(Box::new(store.keep_plan(run, request).await?));
    let reopened = Reopened { by: context.actor(), from, skip: None, plan };
    let outlook = store.retry_outlook(run, &reopened).await?;
    lines(&name, &outlook).iter().for_each(|line| output::note(line));
    if let Some(foreign) = &outlook.foreign {
        let why = foreign_words(run, &name, foreign);
        Consent {
            question: format!("{why}. Drop what the run has done, and start it again by this file?"),
            consequence: format!("{why}: what the run has done would be dropped"),
            command: "the same command with `--yes`".to_owned(),
        }
        .obtain(args.yes)?;
    }
    Ok(reopened)
}

fn foreign_words(run: RunId, file: &str, foreign: &ForeignPlan) -> String {
    match foreign {
        ForeignPlan::OtherWorkflow { own, other } => {
            format!("{file} is the workflow `{other}`, and {run} is of `{own}`")
        }
        ForeignPlan::NoStepInCommon => format!("{file} has none of the steps of {run}"),
    }
}

async fn plan_of(store: &Store, run: RunId) -> Result<PlanRef, CliError> {
    Ok(store.machine(run).await?.plan_ref().ok_or(RunError::Unknown(run))?)
}

/// The values of the run's inputs that the new plan has too. What was never given is the new default.
async fn kept_inputs(
    store: &Store,
    own: &PlanRef,
    old: &Plan,
    new: &Plan,
) -> Result<BTreeMap<String, Given>, CliError> {
    let text = store.text(&own.inputs).await?;
    let values: BTreeMap<String, Payload> = serde_json::from_str(&text)?;
    let find = |plan: &Plan, name: &str| -> Option<InputSpec> {
        plan.inputs.iter().find(|input| input.name == name).cloned()
    };
    let mut kept = BTreeMap::new();
    for (name, value) in values {
        let default = find(old, &name).and_then(|input| input.default);
        let default = default.map(|default| serde_json::to_string(&default)).transpose()?;
        if find(new, &name).is_some() && default.as_deref() != Some(value.as_str()) {
            kept.insert(name, Given::Json(value.as_str().to_owned()));
        }
    }
    Ok(kept)
}

/// What a new plan makes of the steps, in lines.
fn lines(file: &str, outlook: &RetryOutlook) -> Vec<String> {
    let how = |step: &StepId| {
        let redefined = outlook.redefined.iter().find(|redefined| redefined.step == *step);
        redefined.map_or_else(|| step.to_string(), words)
    };
    let listed = |steps: &[StepId], how: &dyn Fn(&StepId) -> String| {
        steps.iter().map(how).collect::<Vec<_>>().join(", ")
    };
    let removed: Vec<StepId> = outlook
        .redefined
        .iter()
        .filter(|step| step.redefinition == Redefinition::Removed)
        .map(|step| step.step.clone())
        .collect();
    let plain = |step: &StepId| step.to_string();
    let rows = [
        ("kept", listed(&outlook.kept, &plain)),
        ("re-running", listed(&outlook.anew, &how)),
        ("removed", listed(&removed, &plain)),
    ];
    let rows = rows.into_iter().filter(|(_, steps)| !steps.is_empty());
    std::iter::once(format!("by {file}"))
        .chain(rows.map(|(word, steps)| format!("  {word:<10}  {steps}")))
        .collect()
}

fn words(step: &StepRedefined) -> String {
    format!("{} ({})", step.step, step.redefinition.as_str())
}

/// Says so if the file that the run's plan is of, a file that it names, or an agent of it is not what it was.
///
/// The run goes on by its plan: that this cannot be told now stops nothing, and is said too.
pub(super) async fn note_if_changed(context: &Context, store: &Store, run: RunId, command: &str) {
    match changes(context, store, run, command).await {
        Ok(changes) => changes.iter().for_each(|change| output::note(change)),
        Err(error) => output::note(&format!(
            "whether its workflow file or its agents have changed cannot be told: {}; the run goes on by the plan that it has",
            output::describe_any(&error)
        )),
    }
}

async fn changes(
    context: &Context,
    store: &Store,
    run: RunId,
    command: &str,
) -> Result<Vec<String>, CliError> {
    let own = plan_of(store, run).await?;
    let file = Utf8Path::new(&own.file).file_name().map(|name| Utf8Path::new(&own.folder).join(name));
    // What is gone, or was never in a file, cannot be taken in its place.
    let file = file.filter(|path| path.is_file());
    let cure = file.as_ref().map(|path| {
        let word = shell_word(path.strip_prefix(&context.cwd).unwrap_or(path).as_str());
        let retry = format!("`backstay retry {run} --workflow {word}`");
        if command == "retry" { retry } else { format!("`backstay cancel {run}`, then {retry},") }
    });
    let of_file = match (&file, &cure) {
        (Some(path), Some(cure)) => change_of_file(context, &own, run, path, cure)?,
        _ => None,
    };
    Ok(of_file.into_iter().chain(change_of_agents(context, store, &own, cure.as_deref())?).collect())
}

/// What there is to say of agents that are set otherwise now.
fn change_of_agents(
    context: &Context,
    store: &Store,
    own: &PlanRef,
    cure: Option<&str>,
) -> Result<Option<String>, CliError> {
    let configuration = context.configuration(store.folder())?;
    let changed = changed_presets(own, configuration.trusted()?.presets())?;
    if changed.is_empty() {
        return Ok(None);
    }
    let (agents, settings) = match changed.as_slice() {
        [agent] => (format!("the agent {agent} is"), "it has"),
        agents => (format!("the agents {} are", agents.join(", ")), "they have"),
    };
    Ok(Some(format!(
        "{agents} configured otherwise now: the run keeps the settings that it began with; {} takes those that {settings} today",
        cure.unwrap_or("a new run")
    )))
}

/// What there is to say of a file that is not what it was.
fn change_of_file(
    context: &Context,
    own: &PlanRef,
    run: RunId,
    path: &Utf8Path,
    cure: &str,
) -> Result<Option<String>, CliError> {
    let file = WorkflowFile::read(context, path)?;
    if Digest::of(file.text.as_bytes()) == own.source && !names_changed_file(context, &file, own, run)? {
        return Ok(None);
    }
    let shown = path.strip_prefix(&context.cwd).unwrap_or(path);
    Ok(Some(format!(
        "{shown} has changed since: the run goes on by the plan that it has; {cure} takes it as it is now"
    )))
}

/// Whether the same text comes to another plan, because a prompt's or a schema's file is another one.
fn names_changed_file(
    context: &Context,
    file: &WorkflowFile,
    own: &PlanRef,
    run: RunId,
) -> Result<bool, CliError> {
    let traits = context.configuration_here()?.traits()?;
    // What cannot be checked now may be for reasons of its own; `retry --workflow` says them.
    let Ok(checked) = file.check(agents(&own.agents)?, &traits) else { return Ok(false) };
    Ok(Store::plan_digest(run, &checked.plan)? != own.plan)
}
