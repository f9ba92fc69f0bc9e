//! `backstay store check`.

use backstay_log::maintenance::Finding;
use backstay_model::{RunId, Topic};
use backstay_runtime::care::{self, StoreCheck};

use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::counted;

/// Findings that are shown as text; JSON has all.
const SHOWN_MAX: usize = 200;

/// What can be done about a store that is not whole.
const WAY_ON: &str =
    "next  backstay store restore BACKUP --replace  makes it from a backup, and keeps this one beside it";

/// Says whether the store is whole, and what is not.
pub(crate) async fn check(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    let folder = super::folder(context)?;
    let source = context.read_source(&folder).await?;
    let found = super::blocking(move || care::check(&source)).await??;
    let exit = if found.log.findings.is_empty() { Exit::Completed } else { Exit::Failed };
    if args.json {
        output::json(&Document::new(&found))?;
        return Ok(exit);
    }
    for line in lines(&found) {
        output::line(&line)?;
    }
    if exit != Exit::Completed {
        output::note(WAY_ON);
    }
    Ok(exit)
}

/// What was found, for people.
pub(super) fn lines(found: &StoreCheck) -> Vec<String> {
    let findings = &found.log.findings;
    let mut lines: Vec<String> = findings.iter().take(SHOWN_MAX).map(describe).collect();
    if findings.len() > SHOWN_MAX {
        lines.push(format!("and {} more: `--json` has all", findings.len() - SHOWN_MAX));
    }
    let scrubbed = match found.blobs_scrubbed + found.spools_scrubbed {
        0 => String::new(),
        _ => format!(
            ", of which {} and {} were scrubbed",
            counted(found.blobs_scrubbed, "blob"),
            counted(found.spools_scrubbed, "stream")
        ),
    };
    let verdict = match findings.len() {
        0 => "whole".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        count => format!("{count} things are wrong"),
    };
    lines.push(format!(
        "{verdict}: {} in {}, {}, {} and {} were looked at{scrubbed}",
        counted(found.log.events, "event"),
        counted(found.log.topics, "topic"),
        counted(found.blobs, "blob"),
        counted(found.spools, "stream"),
        counted(found.files, "other file")
    ));
    lines.push(format!("not looked at: {}", found.not_covered.join("; ")));
    lines
}

/// A run by its id, any other topic by its name.
fn name(topic: &str) -> String {
    let run: Option<RunId> = topic.parse::<Topic>().ok().and_then(|topic| topic.run_id());
    run.map_or_else(|| topic.to_owned(), |run| run.to_string())
}

fn describe(finding: &Finding) -> String {
    match finding {
        Finding::Database { what } => format!("database: {what}"),
        Finding::EventsLost { topic, from, to } if from == to => {
            format!("{}: event {from} is lost", name(topic))
        }
        Finding::EventsLost { topic, from, to } => format!("{}: events {from} to {to} are lost", name(topic)),
        Finding::EventDamaged { topic, seq, what } => {
            format!("{}: event {seq} is damaged: {what}", name(topic))
        }
        Finding::Index { topic, seq, what } => format!("{}: index of event {seq}: {what}", name(topic)),
        Finding::Row { topic, what } => format!("{}: {what}", name(topic)),
        Finding::BlobMissing { digest, topic, seq } => {
            format!("{}: the blob {digest}, named by event {seq}, is lost", name(topic))
        }
        Finding::BlobDamaged { digest, topic, what } => {
            let whose = topic.as_deref().map_or_else(|| "no run".to_owned(), name);
            format!("{whose}: the blob {} is damaged: {what}", digest.short())
        }
        Finding::EventsUnknown { path } => {
            format!("{path}: an attempt began there, and no event tells of it: events are lost")
        }
        Finding::Spool { topic, seq, path, what } | Finding::File { topic, seq, path, what } => {
            format!("{}: {path}, told of by event {seq}: {what}", name(topic))
        }
    }
}
