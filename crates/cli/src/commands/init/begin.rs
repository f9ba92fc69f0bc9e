//! Finding out, writing, and saying what comes next.

use std::collections::BTreeMap;

use backstay_agent::{BUILT_IN, Preset};
use backstay_files::{Dir, real_path, shell_word};
use backstay_runtime::{CheckoutState, STORE_FOLDER, preset_traits};
use backstay_workflow::PresetTraits;
use camino::Utf8PathBuf;
use serde::Serialize;

use super::detect::{TestCommand, detect};
use super::trial::{Trial, tried};
use super::workflow::{Choice, text};
use crate::args::InitArgs;
use crate::commands::workflow::WorkflowFile;
use crate::context::{Context, ignore_in_git, write_new};
use crate::error::CliError;
use crate::exit::Exit;
use crate::found::{BOUND, Finder, FoundAgent, Login, Program, log_in};
use crate::output::{self, Document};
use crate::ui::{Line, Paint};

/// Agents that take over from the first.
const FALLBACK_MAX: usize = 1;
/// The agent of the workflow where none is found.
const AGENT_DEFAULT: &str = "codex";

/// What was written, and by what.
#[derive(Debug, Serialize)]
struct Begun {
    file: Utf8PathBuf,
    agent: FoundAgent,
    fallback: Vec<String>,
    test: Option<TestCommand>,
    trial: Trial,
    store: Utf8PathBuf,
    next: Vec<String>,
    /// What there is to say where no git checkout is around the working folder.
    #[serde(skip)]
    no_checkout: Option<String>,
}

/// Writes the first workflow of a repository. Nothing is asked, and nothing is written over.
pub(crate) async fn init(context: &Context, args: InitArgs) -> Result<Exit, CliError> {
    let path = context.cwd.join(&args.file);
    if path.exists() {
        return Err(CliError::FileExists { path });
    }
    // Agents are asked for their versions: only those that are the user's own, or allowed.
    let trusted = context.configuration_here()?.trusted_part()?;
    let presets = trusted.presets();
    let finder = Finder::new(context, BOUND);
    let command =
        args.agent.as_deref().and_then(|agent| agent.strip_prefix("cmd:")).map(|text| text.trim().to_owned());
    let (agent, others) = match &command {
        Some(command) => (own_agent(command)?, Vec::new()),
        None => chosen(finder.agents(presets).await?, args.agent.as_deref())?,
    };
    let mut detected = detect(&context.cwd)?;
    if let Some(command) = args.test.clone() {
        detected.commands.insert(0, TestCommand { command, by: "--test".to_owned() });
    }
    let trial = match detected.commands.first() {
        Some(test) => tried(context, &args, test).await?,
        None => Trial::No,
    };
    let choice = Choice {
        file: args.file.to_string(),
        agent: agent.name.clone(),
        command: command.clone(),
        fallback: others.iter().map(|other| other.name.clone()).take(FALLBACK_MAX).collect(),
        keeps_session: presets.get(&agent.name).is_some_and(Preset::can_resume),
        tests: detected.commands,
    };
    let file = in_order(context, &preset_traits(presets), &args.file, text(&choice))?;
    // The file last: whatever is in the way of the rest, it is not in the way of the next try.
    let store = store(context)?;
    write_new(&path, &file.text)?;
    let begun = Begun {
        next: next(&choice),
        file: args.file,
        agent,
        fallback: choice.fallback,
        test: choice.tests.into_iter().next(),
        trial,
        store,
        no_checkout: no_checkout(context).await?,
    };
    detected.remarks.iter().for_each(|remark| output::note(remark));
    if args.json {
        output::json(&Document::new(&begun))?;
    } else {
        for line in page(&begun) {
            output::line(&line.render(context.style, context.room()))?;
        }
    }
    Ok(Exit::Completed)
}

/// What there is to say where steps work in no git checkout: the loop of the workflow lives on what an agent changes.
async fn no_checkout(context: &Context) -> Result<Option<String>, CliError> {
    let cwd = context.cwd.clone();
    let state = tokio::task::spawn_blocking(move || CheckoutState::of(&cwd)).await?;
    Ok(match state {
        CheckoutState::Outside => {
            Some("none here: there will be no `diff` and no `restore`; `git init` begins one".to_owned())
        }
        CheckoutState::Unusable(error) => Some(output::describe_any(&error)),
        CheckoutState::Usable(_) => None,
    })
}

/// The agent that is a command, named after its program.
fn own_agent(command: &str) -> Result<FoundAgent, CliError> {
    let program = command.split_whitespace().next();
    let program = program.ok_or_else(|| CliError::AgentForm { text: "cmd:".to_owned() })?;
    let file = program.trim_matches(['\'', '"']).rsplit('/').next().unwrap_or(program);
    let stem = file.split('.').next().unwrap_or(file).to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name =
        if name.is_empty() || BUILT_IN.iter().any(|(preset, _)| *preset == name) { "mine" } else { name };
    Ok(FoundAgent { name: name.to_owned(), program: Program::Found { version: None }, login: None })
}

/// The agent that does the work, the one that was named if one was, and those that could take over, the best first.
fn chosen(
    mut found: Vec<FoundAgent>,
    named: Option<&str>,
) -> Result<(FoundAgent, Vec<FoundAgent>), CliError> {
    if let Some(name) = named
        && found.iter().all(|agent| agent.name != name)
    {
        let known = found.into_iter().map(|agent| agent.name).collect();
        return Err(CliError::UnknownAgent { name: name.to_owned(), known });
    }
    // The order of the presets decides between those that stand alike.
    found.sort_by_key(|agent| (named != Some(&agent.name), agent.rank()));
    let mut agents = found.into_iter();
    let nobody = || FoundAgent { name: AGENT_DEFAULT.to_owned(), program: Program::Missing, login: None };
    let first = agents.next().unwrap_or_else(nobody);
    Ok((first, agents.filter(FoundAgent::could_work).collect()))
}

/// The workflow, checked as `check` does it.
fn in_order(
    context: &Context,
    presets: &BTreeMap<String, PresetTraits>,
    name: &camino::Utf8Path,
    text: String,
) -> Result<WorkflowFile, CliError> {
    let file = WorkflowFile::unwritten(context, name, text);
    match file.check(BTreeMap::new(), presets) {
        Ok(_) => Ok(file),
        Err(diagnostics) => {
            output::note(&file.render(&diagnostics));
            Err(file.error(&diagnostics))
        }
    }
}

/// Makes the folder of the store, so that git sees nothing of what will be in it.
fn store(context: &Context) -> Result<Utf8PathBuf, CliError> {
    let folder = context.store_folder().unwrap_or_else(|| context.cwd.join(STORE_FOLDER));
    context.refuse_foreign(&folder)?;
    let made = folder
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| Dir::make(&real_path(folder.as_std_path())?));
    made.map_err(|source| CliError::WriteFile { path: folder.clone(), source })?;
    ignore_in_git(&folder)?;
    Ok(folder)
}

/// The three commands that come next.
fn next(choice: &Choice) -> Vec<String> {
    let file = shell_word(choice.file.as_str());
    let test = if choice.tests.is_empty() { " --input test='make test'" } else { "" };
    vec![
        format!("backstay run {file} --dry-run{test}"),
        format!("backstay run {file}{test}"),
        "backstay watch".to_owned(),
    ]
}

fn page(begun: &Begun) -> Vec<Line> {
    let say = |label: &str, text: String| {
        Line::of(Paint::Plain, " ").with(Paint::Bold, format!("{label:<7}")).with(Paint::Plain, text)
    };
    let others = begun.fallback.iter().map(|name| format!(", else {name}")).collect::<String>();
    let test = match &begun.test {
        Some(TestCommand { command, by }) => format!("{command} (from {by}; {})", begun.trial.words()),
        None => "none was found: each run is told one, or write it into the file".to_owned(),
    };
    let mut lines = vec![
        say("wrote", begun.file.to_string()),
        say("agent", format!("{}{others}", agent_words(&begun.agent))),
        say("test", test),
        say(
            "store",
            match &begun.no_checkout {
                None => format!("{}, of which git sees nothing", begun.store),
                Some(_) => begun.store.to_string(),
            },
        ),
    ];
    lines.extend(begun.no_checkout.as_ref().map(|said| say("git", said.clone())));
    let meanings = ["shows what would run, and runs nothing", "runs it", "from another terminal"];
    let widest = begun.next.iter().map(String::len).max().unwrap_or(0);
    lines.extend(begun.next.iter().zip(meanings).enumerate().map(|(index, (command, meaning))| {
        say(if index == 0 { "next" } else { "" }, command.clone())
            .filled_to(8 + widest + 2)
            .with(Paint::Dim, meaning)
    }));
    lines
}

fn agent_words(agent: &FoundAgent) -> String {
    let name = &agent.name;
    match (&agent.program, &agent.login) {
        (Program::Missing, _) => {
            format!("{name}, which was not found here: install it, or name another in the file")
        }
        (Program::Troubled { why }, _) => format!("{name}, with which something is wrong: {why}"),
        (Program::Found { version }, login) => {
            let version = version.as_deref().unwrap_or("found");
            let login = match login {
                Some(Login::Found { .. }) => "logged in".to_owned(),
                Some(Login::Missing { .. }) => log_in(name)
                    .map_or("not logged in".to_owned(), |first| format!("not logged in: first `{first}`")),
                Some(Login::Unknown { .. }) | None => "login unknown".to_owned(),
            };
            format!("{name} ({version}; {login})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, program: Program, login: Option<Login>) -> FoundAgent {
        FoundAgent { name: name.to_owned(), program, login }
    }

    fn there(name: &str, login: Login) -> FoundAgent {
        agent(name, Program::Found { version: None }, Some(login))
    }

    #[test]
    fn the_agent_that_is_logged_in_works_and_one_that_could_takes_over() {
        let by = || Login::Found { by: "x".to_owned() };
        let missing = || Login::Missing { by: "x".to_owned() };
        let unknown = || Login::Unknown { why: "x".to_owned() };
        let absent = |name| agent(name, Program::Missing, None);
        let names = |found: &[FoundAgent], named: Option<&str>| {
            let (first, others) = chosen(found.to_vec(), named).unwrap();
            let others = others.into_iter().map(|other| other.name).collect::<Vec<_>>().join(" ");
            format!("{} | {others}", first.name)
        };
        let all = [
            there("codex", missing()),
            there("claude", by()),
            there("gemini", unknown()),
            absent("opencode"),
        ];
        assert_eq!(names(&all, None), "claude | gemini");
        assert_eq!(names(&all, Some("codex")), "codex | claude gemini", "who is named is taken");
        assert_eq!(names(&all, Some("opencode")), "opencode | claude gemini");
        assert_eq!(names(&[there("codex", by()), there("claude", by())], None), "codex | claude");
        assert_eq!(names(&[absent("codex"), there("claude", missing())], None), "claude | ");
        assert_eq!(names(&[absent("codex"), absent("claude")], None), "codex | ");
        let error = chosen(all.to_vec(), Some("cluade")).unwrap_err();
        assert_eq!(error.to_string(), "there is no agent `cluade`");
    }
}
