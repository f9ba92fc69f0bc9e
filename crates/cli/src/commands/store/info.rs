//! `backstay store info`.

use backstay_runtime::maintenance::{self, StoreRoom};

use super::size::size;
use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, counted, table};

/// Says what the store is and what takes its room.
pub(crate) async fn info(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    let folder = super::folder(context)?;
    let source = context.read_source(&folder).await?;
    let room = super::blocking(move || maintenance::info(&source)).await??;
    if args.json {
        output::json(&Document::new(&room))?;
        return Ok(Exit::Completed);
    }
    let mut lines = facts(context, &room);
    let cells: Vec<Vec<(Paint, String)>> = room
        .runs
        .iter()
        .map(|run| {
            vec![
                (Paint::Bold, run.run.to_string()),
                (Paint::Plain, size(run.total_bytes())),
                (Paint::Dim, format!("{} in {}", size(run.event_bytes), counted(run.events, "event"))),
                (Paint::Dim, size(run.blob_bytes)),
                (Paint::Dim, size(run.attempt_bytes)),
            ]
        })
        .collect();
    if !cells.is_empty() {
        lines.push(Line::default());
        lines.extend(table(&["run", "takes", "log", "blobs", "attempts"], &cells));
    }
    for line in lines {
        output::line(&line.render(context.style, context.room()))?;
    }
    Ok(Exit::Completed)
}

fn facts(context: &Context, room: &StoreRoom) -> Vec<Line> {
    let log = &room.log;
    let owners: Vec<String> = log
        .owners
        .iter()
        .map(|owner| format!("pid {} on {} ({})", owner.pid, owner.host, counted(owner.topics, "run")))
        .collect();
    let pids: Vec<String> = log.open_in.iter().map(ToString::to_string).collect();
    let or_nobody =
        |names: Vec<String>| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let facts = [
        ("store", room.path.clone()),
        (
            "log",
            format!("{}, format {}, made {}", log.log, log.format, context.times().minute(log.created_at)),
        ),
        ("database", format!("{}, of which {} are free", size(log.database_bytes), size(log.free_bytes))),
        ("write-ahead", format!("{} (made in advance)", size(log.wal_bytes))),
        ("events", format!("{} in {}", size(log.event_bytes), counted(log.events, "event"))),
        ("blobs", format!("{} in {}", size(room.blob_bytes), counted(room.blobs, "blob"))),
        ("attempts", size(room.attempt_bytes)),
        ("owners", or_nobody(owners)),
        ("open in", or_nobody(pids)),
    ];
    facts
        .into_iter()
        .map(|(name, value)| Line::of(Paint::Dim, format!("{name:<12}")).with(Paint::Plain, value))
        .collect()
}
