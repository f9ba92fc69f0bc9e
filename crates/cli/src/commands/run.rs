//! `backstay run`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use backstay_model::{Coded as _, Payload, RunId};
use backstay_runtime::{CheckoutState, RunRequest};
use backstay_workflow::plan::{AgentKind, AgentOptions, AgentSpec, Plan, Step, Verb, Worktree};
use backstay_workflow::{AgentOverride, Checked, Given, first_command};
use camino::Utf8PathBuf;
use serde::Serialize;

use super::workflow::WorkflowFile;
use crate::args::RunArgs;
use crate::configuration::Configuration;
use crate::context::{Context, read_text, text_of, write_new};
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground::{self, Look};
use crate::output::{self, Document};
use crate::ui::{Paint, counted, table};

/// Checks the file, asks for a run and works on it.
pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Exit, CliError> {
    let file = WorkflowFile::read(context, &args.file)?;
    let given = given(context, args.inputs.as_ref(), &args.input)?;
    let wish = RunWish { dry_run: args.dry_run, detach: args.detach, json: args.json, save: None };
    start(context, file, args.agent, given, wish).await
}

/// What becomes of a workflow that is in order.
#[derive(Clone, Debug)]
pub(crate) struct RunWish {
    /// It is shown and not run.
    pub(crate) dry_run: bool,
    /// It goes on in the background.
    pub(crate) detach: bool,
    /// What is printed is JSON.
    pub(crate) json: bool,
    /// The new file that the workflow is written to, once nothing else is in the way.
    pub(crate) save: Option<Utf8PathBuf>,
}

/// Checks a workflow that was read, asks for a run and works on it.
pub(crate) async fn start(
    context: &Context,
    file: WorkflowFile,
    agents: Vec<String>,
    given: BTreeMap<String, Given>,
    wish: RunWish,
) -> Result<Exit, CliError> {
    let configuration = context.configuration_here()?;
    let plan = checked_plan(&file, &agents, &configuration)?;
    let inputs = plan.bind_inputs(&given).map_err(CliError::Inputs)?;
    if wish.dry_run {
        save(&wish, &file.text)?;
        return dry_run(context, &plan, wish.json);
    }
    let trusted = configuration.trusted()?;
    let store = context.store_or_new().await?;
    say_checkout_fault(context).await?;
    save(&wish, &file.text)?;
    let request = RunRequest {
        inputs: inputs.to_json()?,
        agents,
        plan,
        presets: trusted.presets().clone(),
        file: file.name,
        folder: file.folder,
        source: file.text,
        cwd: context.cwd.clone(),
        within: context.holder(),
        by: context.actor(),
    };
    let run = match store.request(request).await {
        Ok(run) => run,
        Err(error) => {
            unsave(&wish);
            return Err(error.into());
        }
    };
    if wish.detach {
        if context.env.contains_key(crate::foreground::EFFECT) {
            output::note("this is a step of another run: whatever it leaves in the background ends with it");
        }
        crate::detach::go_on(context, &store, run)?;
        return detached(run, wish.json);
    }
    let look = if wish.json { Look::Json } else { Look::Page };
    foreground::work_or_watch(context, &store, run, look).await
}

/// Says that what steps change is not kept, where the working folder is in something of git that is no checkout.
async fn say_checkout_fault(context: &Context) -> Result<(), CliError> {
    let cwd = context.cwd.clone();
    let state = tokio::task::spawn_blocking(move || CheckoutState::of(&cwd)).await?;
    if let CheckoutState::Unusable(error) = state {
        let hint = error.hint().map_or_else(String::new, |hint| format!("\n  = {hint}"));
        output::note(&format!(
            "warning {} {}\n  so what steps change is not kept: there will be no `diff` and no `restore`{hint}",
            error.code(),
            output::describe_any(&error)
        ));
    }
    Ok(())
}

/// The plan of `file` with these agents (`NAME=OTHER`) in place of its own; what there is to say about it is said.
pub(super) fn checked_plan(
    file: &WorkflowFile,
    said: &[String],
    configuration: &Configuration,
) -> Result<Plan, CliError> {
    let checked = checked(file, said, configuration)?;
    are_named(agents(said)?.keys(), &checked.agents)?;
    note_warnings(file, &checked);
    Ok(checked.plan)
}

/// The same for agents that were said of an earlier plan, with those of them that this one names.
pub(super) fn checked_plan_with_kept(
    file: &WorkflowFile,
    said: &[String],
    configuration: &Configuration,
) -> Result<(Plan, Vec<String>), CliError> {
    let with_all = checked(file, said, configuration)?;
    let named = &with_all.agents;
    let is_named = |text: &&String| text.split_once('=').is_some_and(|(name, _)| named.contains(name.trim()));
    let kept: Vec<String> = said.iter().filter(is_named).cloned().collect();
    let checked = if kept.len() == said.len() { with_all } else { checked(file, &kept, configuration)? };
    note_warnings(file, &checked);
    Ok((checked.plan, kept))
}

fn checked(file: &WorkflowFile, said: &[String], configuration: &Configuration) -> Result<Checked, CliError> {
    file.check(agents(said)?, &configuration.traits()?).map_err(|diagnostics| {
        output::note(&file.render(&diagnostics));
        file.error(&diagnostics)
    })
}

fn note_warnings(file: &WorkflowFile, checked: &Checked) {
    if !checked.warnings.is_empty() {
        output::note(&file.render(&checked.warnings));
    }
}

/// Writes the workflow to the file that was wished for, which must not be there.
fn save(wish: &RunWish, text: &str) -> Result<(), CliError> {
    wish.save.as_ref().map_or(Ok(()), |path| write_new(path, text))
}

/// Takes the file away that [`save`] made for a run that was not asked for, so that it is in nobody's way.
fn unsave(wish: &RunWish) {
    if let Some(path) = &wish.save
        && let Err(error) = std::fs::remove_file(path)
    {
        output::note(&format!("{path} stays: {error}"));
    }
}

/// Says which run goes on in the background.
pub(crate) fn detached(run: RunId, json: bool) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Detached {
        run: RunId,
    }
    if json {
        output::json(&Document::new(Detached { run }))?;
    } else {
        output::line(&run.to_string())?;
        output::note(&format!("it goes on in the background; `backstay watch {run}` shows it"));
    }
    Ok(Exit::Completed)
}

/// `--agent NAME=OTHER` and `--agent NAME='cmd: …'`.
pub(super) fn agents(said: &[String]) -> Result<BTreeMap<String, AgentOverride>, CliError> {
    let read = |text: &String| {
        let wrong = || CliError::AgentForm { text: text.clone() };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (name.trim(), value.trim());
        let agent = match value.strip_prefix("cmd:") {
            Some(command) => AgentOverride::Command(command.trim().to_owned()),
            None => AgentOverride::Agent(value.to_owned()),
        };
        if name.is_empty() || value.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), agent)) }
    };
    said.iter().map(read).collect()
}

/// An agent that no step names changes nothing: a slip of the pen, most likely.
fn are_named<'a>(
    mut said: impl Iterator<Item = &'a String>,
    named: &BTreeSet<String>,
) -> Result<(), CliError> {
    match said.find(|name| !named.contains(*name)) {
        Some(name) => {
            Err(CliError::UnusedAgent { name: name.clone(), known: named.iter().cloned().collect() })
        }
        None => Ok(()),
    }
}

/// `--inputs FILE.json`, and over it `--input NAME=VALUE`.
pub(super) fn given(
    context: &Context,
    inputs: Option<&Utf8PathBuf>,
    input: &[String],
) -> Result<BTreeMap<String, Given>, CliError> {
    let mut given = BTreeMap::new();
    if let Some(path) = inputs {
        let text = read_text(&context.cwd.join(path))?;
        let values: BTreeMap<String, Payload> = serde_json::from_str(&text)
            .map_err(|source| CliError::InputsFile { path: path.clone(), source })?;
        given.extend(values.into_iter().map(|(name, value)| (name, Given::Json(value.as_str().to_owned()))));
    }
    for text in input {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| CliError::InputForm { text: text.clone() })?;
        let value = match value.strip_prefix('@') {
            Some(path) => read_text(&context.cwd.join(path))?,
            None if value == "-" => read_stdin()?,
            None => value.to_owned(),
        };
        given.insert(name.to_owned(), Given::Text(value));
    }
    Ok(given)
}

pub(super) fn read_stdin() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    read.map_err(|source| CliError::ReadFile { path: "stdin".into(), source })?;
    text_of("stdin".into(), bytes)
}

/// Shows what would run.
fn dry_run(context: &Context, plan: &Plan, json: bool) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Planned<'a> {
        plan: &'a Plan,
    }
    if json {
        output::json(&Document::new(Planned { plan }))?;
        return Ok(Exit::Completed);
    }
    output::line(&format!(
        " {}: {}, nothing is run\n",
        plan.name,
        counted(plan.walk().count() as u64, "step")
    ))?;
    let mut rows = Vec::new();
    for step in &plan.steps {
        plan_rows(plan, step, 0, "", &mut rows);
    }
    for step in &plan.finally {
        plan_rows(plan, step, 0, "finally ", &mut rows);
    }
    for line in table(&["step", "after", "by", "runs"], &rows) {
        output::line(&line.render(context.style, context.room()))?;
    }
    Ok(Exit::Completed)
}

fn plan_rows(plan: &Plan, step: &Step, depth: usize, mark: &str, rows: &mut Vec<Vec<(Paint, String)>>) {
    let needs = step.needs.iter().map(backstay_model::StepId::as_str).collect::<Vec<_>>().join(", ");
    let (by, runs) = match &step.verb {
        Verb::Run { script, .. } => ("shell".to_owned(), script_preview(&script_text(script))),
        Verb::Command { argv } => ("command".to_owned(), words(argv)),
        Verb::Agent { agent, prompt, options } => {
            let does = plan.agents.get(agent).map_or_else(String::new, |spec| does(spec, options));
            (format!("agent {agent}"), format!("{does} < {}", prompt_preview(&prompt.source)))
        }
        Verb::Worktree(worktree) => ("git".to_owned(), makes(worktree)),
        Verb::Group { .. } => ("group".to_owned(), String::new()),
    };
    let condition = step.condition.as_ref().map_or_else(String::new, |_| "if … ".to_owned());
    rows.push(vec![
        (Paint::Bold, format!("{}{}", "  ".repeat(depth), step.id)),
        (Paint::Dim, if needs.is_empty() { format!("{mark}-") } else { format!("{mark}{needs}") }),
        (Paint::Plain, by),
        (Paint::Plain, format!("{condition}{runs}")),
    ]);
    for child in step.children() {
        plan_rows(plan, child, depth + 1, mark, rows);
    }
}

/// The first command of a script, and how many lines are not shown; `--json` and the file have the whole.
fn script_preview(script: &str) -> String {
    match script.trim().lines().count() {
        0 | 1 => script.trim().to_owned(),
        lines => format!("{} (+{})", first_command(script), counted(lines as u64 - 1, "line")),
    }
}

/// The first line of a prompt in quotes, and how many lines are not shown.
fn prompt_preview(prompt: &str) -> String {
    let mut lines = prompt.trim().lines();
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => format!("{first:?}"),
        more => format!("{first:?} (+{})", counted(more as u64, "line")),
    }
}

/// A script as it reads, with names in place of values.
fn script_text(script: &backstay_workflow::expression::Script) -> String {
    let text =
        script.whole.as_ref().map_or_else(|| script.text.clone(), |name| format!("${{{{ inputs.{name} }}}}"));
    script.variables.iter().fold(text, |text, variable| {
        text.replace(
            &format!("${{{}}}", variable.name),
            &format!("${{{{ {} }}}}", variable.expression.source),
        )
    })
}

/// What is made for steps to work in.
fn makes(worktree: &Worktree) -> String {
    let part =
        |word: &str, text: Option<&str>| text.map_or_else(String::new, |text| format!(" {word} {text}"));
    let source =
        |text: &Option<backstay_workflow::expression::Template>| text.as_ref().map(|t| t.source.clone());
    let branch = part("on", Some(source(&worktree.branch).as_deref().unwrap_or("a branch of its own")));
    let from = part("from", source(&worktree.from).as_deref());
    let setup = part(", then", worktree.setup.as_ref().map(script_text).as_deref());
    format!("a worktree{branch}{from}{setup}")
}

/// What does an agent's work: its command, or its preset with what it may do.
fn does(spec: &AgentSpec, options: &AgentOptions) -> String {
    match &spec.kind {
        AgentKind::Command { command, .. } => words(command),
        AgentKind::Preset { preset, model, args, .. } => {
            let model = options.model.as_ref().or(model.as_ref());
            let model = model.map_or_else(String::new, |model| format!(" {}", model.source));
            let args: Vec<_> = args.iter().chain(&options.args).cloned().collect();
            let args = if args.is_empty() { String::new() } else { format!(" {}", words(&args)) };
            format!("{preset} ({}){model}{args}", options.access.name())
        }
    }
}

fn words(argv: &[backstay_workflow::expression::Template]) -> String {
    argv.iter().map(|word| word.source.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_another_one_or_a_command() {
        let said = ["a=claude".to_owned(), "b=cmd: codex exec -".to_owned()];
        let expected = BTreeMap::from([
            ("a".to_owned(), AgentOverride::Agent("claude".to_owned())),
            ("b".to_owned(), AgentOverride::Command("codex exec -".to_owned())),
        ]);
        assert_eq!(agents(&said).unwrap(), expected);
        for wrong in ["a", "=x", "a="] {
            assert!(agents(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
