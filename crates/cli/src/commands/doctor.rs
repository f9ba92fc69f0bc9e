//! `backstay doctor`.

use std::process::{Command, Stdio};

use backstay_log::TopicFilter;
use serde::Serialize;

use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Paint, table};

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    Absent,
    Look,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    health: Health,
    found: String,
}

/// Programs, whether runs need them, and what for.
const PROGRAMS: [(&str, Health, &str); 6] = [
    ("bash", Health::Bad, "`run` steps use it"),
    ("git", Health::Look, "many workflows use it"),
    ("awk", Health::Look, "the example's analysts use it"),
    ("codex", Health::Absent, "an agent"),
    ("claude", Health::Absent, "an agent"),
    ("gemini", Health::Absent, "an agent"),
];

/// Says whether everything that runs need is there.
pub(crate) async fn doctor(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Report {
        findings: Vec<Finding>,
    }
    let mut findings = vec![Finding {
        what: "backstay".to_owned(),
        health: Health::Good,
        found: format!(
            "{} at {}",
            env!("CARGO_PKG_VERSION"),
            std::env::current_exe().map_err(CliError::Program)?.display()
        ),
    }];
    findings.extend(PROGRAMS.iter().map(|(name, missing, use_)| program(name, *missing, use_)));
    findings.extend(store(context).await);
    let worst_is_bad = findings.iter().any(|finding| finding.health == Health::Bad);
    if args.json {
        output::json(&Document::new(Report { findings }))?;
    } else {
        let rows: Vec<Vec<(Paint, String)>> = findings.iter().map(row).collect();
        for line in table(&["", "what", "found"], &rows) {
            output::line(&line.render(context.style, context.room()))?;
        }
    }
    Ok(if worst_is_bad { Exit::Failed } else { Exit::Completed })
}

fn row(finding: &Finding) -> Vec<(Paint, String)> {
    let (paint, mark) = match finding.health {
        Health::Good => (Paint::Good, "✓"),
        Health::Absent => (Paint::Dim, "─"),
        Health::Look => (Paint::Warn, "!"),
        Health::Bad => (Paint::Bad, "✗"),
    };
    vec![(paint, mark.to_owned()), (Paint::Bold, finding.what.clone()), (Paint::Plain, finding.found.clone())]
}

/// Looks for a program by asking for its version; one that knows no such option is there all the same.
fn program(name: &str, missing: Health, use_: &str) -> Finding {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let (health, found) = match asked {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let version = said.lines().next().map(str::trim).filter(|line| !line.is_empty());
            (Health::Good, version.unwrap_or("found").to_owned())
        }
        Err(_not_there) => (missing, format!("not found: {use_}")),
    };
    Finding { what: name.to_owned(), health, found }
}

async fn store(context: &Context) -> Vec<Finding> {
    let finding = |health, found| Finding { what: "store".to_owned(), health, found };
    let Some(folder) = context.store_folder() else {
        let found = "none yet: `backstay run FILE` makes one in the working folder".to_owned();
        return vec![finding(Health::Good, found)];
    };
    let store = match backstay_runtime::Store::open(&folder, false).await {
        Ok(store) => store,
        Err(error) => return vec![finding(Health::Bad, format!("{folder}: {error}"))],
    };
    let rows = match store.runs(TopicFilter::default()).await {
        Ok(rows) => rows,
        Err(error) => return vec![finding(Health::Bad, format!("{folder}: {error}"))],
    };
    let open: Vec<_> = rows.iter().filter(|row| !row.summary.status.is_ended()).collect();
    let mut findings = vec![finding(
        Health::Good,
        format!("{folder}: {} runs, {} of them have not ended", rows.len(), open.len()),
    )];
    for row in open {
        let (health, found) = match &row.owner {
            Some(owner) if owner.alive => {
                (Health::Good, format!("owned by pid {} on {}", owner.identity.pid, owner.identity.host))
            }
            Some(_) | None if row.is_without_owner() => {
                (Health::Look, format!("nobody works on it: `backstay resume {}`", row.run))
            }
            Some(_) | None => (Health::Good, row.summary.status.to_string()),
        };
        findings.push(Finding { what: row.run.to_string(), health, found });
    }
    findings
}
