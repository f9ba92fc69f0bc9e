//! Looking.

use backstay_agent::Presets;

use super::findings::{Finding, Health, Part, Report};
use super::report::lines;
use super::{checkout, store};
use crate::args::JsonFlag;
use crate::configuration::TrustedConfiguration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::found::{BOUND, Finder, FoundAgent, Login, Program, log_in};
use crate::notify::missing_notify;
use crate::output::{self, Document};
use crate::programs::{ProgramPlace, ProgramSearch};

/// Programs beside agents, how it stands without them, and what for they are.
const PROGRAMS: [(&str, Health, &str); 3] = [
    ("bash", Health::Bad, "steps with `run` need it"),
    ("git", Health::Look, "`diff`, `restore` and worktrees need it"),
    ("awk", Health::Absent, "only `demo` and the example's analysts use it"),
];

/// Says whether everything that runs need is there. Fails if something stands in the way.
pub(crate) async fn doctor(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    let report = look(context).await?;
    if args.json {
        output::json(&Document::new(&report))?;
    } else {
        for line in lines(&report, context.columns()) {
            output::line(&line.render(context.style, context.room()))?;
        }
    }
    Ok(if report.bad() > 0 { Exit::Failed } else { Exit::Completed })
}

async fn look(context: &Context) -> Result<Report, CliError> {
    let finder = Finder::new(context, BOUND);
    // Agents are asked for their versions: only those that are the user's own, or allowed. What is wrong with the
    // configuration is told; agents are looked for as they come with this program then.
    let read = context.configuration_here();
    let trusted = read.as_ref().ok().map(|configuration| configuration.trusted_part());
    let (configuration, trusted) = match (read, trusted) {
        (Ok(configuration), Some(Ok(trusted))) => (Ok(configuration), Some(trusted)),
        (Err(error), _) | (_, Some(Err(error))) => (Err(error), None),
        (Ok(configuration), None) => (Ok(configuration), None),
    };
    let built_in = Presets::built_in()?;
    let presets = trusted.as_ref().map_or(&built_in, TrustedConfiguration::presets);
    let names = PROGRAMS.map(|(name, ..)| name);
    let (agents, programs, checkout, store) = tokio::join!(
        finder.agents(presets),
        finder.programs(&names),
        checkout::findings(context),
        store::findings(context, &configuration)
    );
    let (agents, programs) = (agents?, programs?);
    let mut findings: Vec<Finding> = agents.iter().map(agent).collect();
    if agents.iter().all(|agent| agent.program == Program::Missing) {
        let found = "no agent CLI was found: only steps with `run` and `command` work here";
        findings.push(Finding::new(Part::Agents, "any", Health::Look, found));
    }
    findings.extend(
        PROGRAMS
            .iter()
            .zip(programs)
            .map(|((name, missing, why), found)| program(name, *missing, why, found)),
    );
    findings.extend(trusted.as_ref().and_then(|trusted| notify(context, trusted)));
    findings.extend(checkout?);
    findings.extend(store?);
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        program: std::env::current_exe().map_err(CliError::Program)?.display().to_string(),
        agents,
        findings,
    })
}

/// Whether the program that tells a person what a run needs is there.
fn notify(context: &Context, trusted: &TrustedConfiguration) -> Option<Finding> {
    let program = trusted.notify()?.first()?;
    let finding = |health, found| Finding::new(Part::Programs, "[notify]", health, found);
    Some(match ProgramSearch::new(&context.env, &context.cwd).place(program) {
        ProgramPlace::Missing => finding(Health::Look, missing_notify(program))
            .with_next("install it, or change `command` under `[notify]` in the configuration"),
        ProgramPlace::Found(path) | ProgramPlace::OfRepository(path) => {
            finding(Health::Good, path.into_string())
        }
    })
}

pub(super) fn agent(agent: &FoundAgent) -> Finding {
    let finding = |health, found: String| Finding::new(Part::Agents, &agent.name, health, found);
    let version = match &agent.program {
        Program::Missing => return finding(Health::Absent, "not found".to_owned()),
        Program::Troubled { why } => return finding(Health::Look, why.clone()),
        Program::Found { version } => version.clone().unwrap_or_else(|| "found".to_owned()),
    };
    match &agent.login {
        Some(Login::Found { by }) => finding(Health::Good, format!("{version} · login found ({by})")),
        Some(Login::Missing { by }) => finding(Health::Look, format!("{version} · not logged in ({by})"))
            .with_next(log_in(&agent.name).unwrap_or("log in with its CLI")),
        Some(Login::Unknown { why }) => finding(Health::Good, format!("{version} · login unknown ({why})")),
        None => finding(Health::Good, version),
    }
}

pub(super) fn program(name: &str, missing: Health, why: &str, found: Program) -> Finding {
    match found {
        Program::Found { version } => {
            Finding::new(Part::Programs, name, Health::Good, version.unwrap_or_else(|| "found".to_owned()))
        }
        Program::Missing => Finding::new(Part::Programs, name, missing, format!("not found; {why}")),
        Program::Troubled { why } => Finding::new(Part::Programs, name, Health::Look, why),
    }
}
