//! `backstay ls`.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_engine::record::{LimitWait, RunStatus, RunSummary};
use backstay_log::TopicFilter;
use backstay_model::{Payload, RunId, Timestamp};
use backstay_runtime::{RunRow, Store};
use serde::Serialize;

use crate::args::LsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{
    Held, Line, Paint, Times, beginnings, clock, cut_with_mark, limit_words, one_line, retry_words, table,
    unowned_limit_words,
};

/// Ended runs that are shown unless all are asked for.
const ENDED_MAX: usize = 10;
/// Runs whose records are read for their details.
const DETAILS_MAX: usize = 50;
/// Inputs that a list names.
const INPUTS_MAX: usize = 3;
/// Columns of an input in a list, with its name.
const INPUT_COLUMNS_MAX: usize = 40;
/// How wide the screen has to be for the durations.
const TIME_COLUMNS_MIN: usize = 100;
/// On a screen with fewer columns than this only the name and the state of a run are shown.
const NARROW_COLUMNS: usize = 60;
/// The names of the columns.
const HEADER: [&str; 7] = ["run", "workflow", "state", "steps", "started", "time", "about"];

/// Lists the runs: what needs a person first, then what is under way, then what has ended.
pub(crate) async fn ls(context: &Context, args: LsArgs) -> Result<Exit, CliError> {
    if args.everywhere {
        return everywhere(context, args).await;
    }
    let store = context.store_to_read().await?;
    let mut rows = store.runs(TopicFilter::default()).await?;
    rows.sort_by_key(urgency);
    let shown = shown(&rows, args.all);
    if args.json {
        return json(shown);
    }
    if rows.is_empty() {
        output::note("no runs yet: `backstay run FILE` starts one");
        return Ok(Exit::Completed);
    }
    let details = details(&store, shown, context.now()).await;
    for line in lines(&context.times(), shown, &details, context.room()) {
        output::line(&line.render(context.style, context.room()))?;
    }
    if shown.len() < rows.len() {
        output::note(&format!(" and {} more that have ended: `backstay ls --all`", rows.len() - shown.len()));
    }
    Ok(Exit::Completed)
}

/// Lists the runs of every store that this user has worked in. A store that cannot be read is said, and the others are listed.
async fn everywhere(context: &Context, args: LsArgs) -> Result<Exit, CliError> {
    let folders = context.known_stores()?;
    let (mut exit, mut all) = (Exit::Completed, Vec::new());
    for folder in folders {
        let store = match context.opening(&folder).await {
            Ok(store) => store,
            Err(error) => {
                output::note(&format!("{folder}: {}", output::describe_any(&error)));
                exit = Exit::Failed;
                continue;
            }
        };
        let filter = TopicFilter { open_only: !args.all, ..TopicFilter::default() };
        let mut rows = store.runs(filter).await?;
        rows.sort_by_key(urgency);
        if !rows.is_empty() {
            all.push((folder, rows));
        }
    }
    // What needs a person on top.
    all.sort_by_key(|(_, rows)| rows.iter().map(urgency).min());
    if args.json {
        let stores =
            all.iter().map(|(folder, rows)| StoreRuns { store: folder.as_str(), runs: listed(rows) });
        output::json(&Document::new(Everywhere { stores: stores.collect() }))?;
        return Ok(exit);
    }
    if all.is_empty() {
        output::note(if args.all { "no runs anywhere" } else { "nothing under way anywhere" });
    }
    for (folder, rows) in &all {
        let place = folder.parent().unwrap_or(folder);
        output::line(&Line::of(Paint::Bold, place).render(context.style, context.room()))?;
        for line in lines(&context.times(), rows, &BTreeMap::new(), context.room()) {
            output::line(&line.render(context.style, context.room()))?;
        }
    }
    Ok(exit)
}

#[derive(Serialize)]
struct Everywhere<'a> {
    stores: Vec<StoreRuns<'a>>,
}

#[derive(Serialize)]
struct StoreRuns<'a> {
    store: &'a str,
    runs: Vec<Listed<'a>>,
}

/// What a list shows of a run beside its row.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    /// How long it was under way.
    pub(crate) active: Duration,
    /// Its inputs as `name=value`: the first three, each of at most 40 characters.
    pub(crate) inputs: String,
}

/// The details of the first of these runs, as their records say them. What cannot be read has none here; `show` of that run
/// says why.
async fn details(store: &Store, rows: &[RunRow], now: Timestamp) -> BTreeMap<RunId, Detail> {
    let mut details = BTreeMap::new();
    for row in rows.iter().take(DETAILS_MAX) {
        match detail(store, row.run, now).await {
            Ok(detail) => drop(details.insert(row.run, detail)),
            Err(error) => tracing::debug!(run = %row.run, %error, "the details of a run cannot be read"),
        }
    }
    details
}

async fn detail(store: &Store, run: RunId, now: Timestamp) -> Result<Detail, CliError> {
    let record = store.record(run).await?;
    let inputs = match &record.inputs {
        Some(inputs) => shown_inputs(&serde_json::from_str(&store.text(inputs).await?)?),
        None => String::new(),
    };
    Ok(Detail { active: record.duration(now), inputs })
}

fn shown_inputs(values: &BTreeMap<String, Payload>) -> String {
    let shown = |(name, value): (&String, &Payload)| {
        let text = value.decode::<String>().unwrap_or_else(|_no_text| value.as_str().to_owned());
        cut_with_mark(&format!("{name}={}", one_line(&text)), INPUT_COLUMNS_MAX)
    };
    values.iter().take(INPUTS_MAX).map(shown).collect::<Vec<_>>().join(" ")
}

/// The lines of a list; with `details` how long each run was under way, where there is room, and its inputs.
pub(crate) fn lines(
    times: &Times,
    rows: &[RunRow],
    details: &BTreeMap<RunId, Detail>,
    columns: usize,
) -> Vec<Line> {
    let ids = beginnings(&rows.iter().map(|row| row.run).collect::<Vec<_>>());
    // On a narrow screen what a run waits for needs the room.
    let shown = if columns < NARROW_COLUMNS {
        [true, true, true, false, false, false, false]
    } else {
        let has_time = columns >= TIME_COLUMNS_MIN && !details.is_empty();
        [true, true, true, true, true, has_time, true]
    };
    let cells: Vec<Vec<(Paint, String)>> = rows
        .iter()
        .zip(ids)
        .map(|(row, id)| {
            let (paint, state) = state(row, times);
            let summary = &row.summary;
            let detail = details.get(&row.run);
            let cells = [
                (Paint::Bold, id),
                // A long name must not push the rest off the screen.
                (Paint::Plain, cut_with_mark(&summary.workflow, columns / 5)),
                (paint, state),
                (Paint::Plain, format!("{}/{}", summary.steps_done, summary.steps_total)),
                (Paint::Dim, times.minute(row.run.drawn_at())),
                (Paint::Plain, detail.map_or_else(String::new, |detail| clock(detail.active))),
                (Paint::Dim, about(row, detail, times)),
            ];
            cells.into_iter().zip(shown).filter(|(_, is_shown)| *is_shown).map(|(cell, _)| cell).collect()
        })
        .collect();
    let header: Vec<&str> =
        HEADER.into_iter().zip(shown).filter(|(_, is_shown)| *is_shown).map(|(name, _)| name).collect();
    table(&header, &cells)
}

/// How much a run needs a person: 0 the most. A stable sort by it keeps the newest first among equals, as the log lists them.
pub(crate) fn urgency(row: &RunRow) -> u8 {
    match row.summary.status {
        RunStatus::Waiting => 0,
        _ if row.summary.question.is_some() => 0,
        _ if is_interrupted(row) => 1,
        RunStatus::Suspended | RunStatus::Suspending => 2,
        RunStatus::Running | RunStatus::Cancelling | RunStatus::Queued => 3,
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => 4,
    }
}

/// Whether the run goes on only if a person does something: answers, or resumes it.
pub(crate) fn needs_person(row: &RunRow) -> bool {
    urgency(row) <= 1 || row.summary.status == RunStatus::Suspended
}

fn is_interrupted(row: &RunRow) -> bool {
    row.is_without_owner() && !row.summary.status.is_ended() && row.summary.status != RunStatus::Queued
}

fn shown(rows: &[RunRow], all: bool) -> &[RunRow] {
    let open = rows.iter().filter(|row| !row.summary.status.is_ended()).count();
    if all { rows } else { &rows[..rows.len().min(open + ENDED_MAX)] }
}

/// The limit that a run waits for which nobody owns: nothing of it was cut off, but its end wakes nobody.
fn unowned_limit<'a>(row: &'a RunRow, times: &Times) -> Option<&'a LimitWait> {
    let summary = &row.summary;
    let is_parked = is_interrupted(row) && summary.why.is_none() && summary.question.is_none();
    summary.limit.as_ref().filter(|limit| is_parked && limit.until > times.now)
}

fn state(row: &RunRow, times: &Times) -> (Paint, String) {
    if unowned_limit(row, times).is_some() {
        return (Paint::Warn, "parked".to_owned());
    }
    if is_interrupted(row) {
        return (Paint::Warn, "interrupted".to_owned());
    }
    let status = row.summary.status;
    let paint = match status {
        RunStatus::Completed => Paint::Good,
        RunStatus::Failed => Paint::Bad,
        RunStatus::Running => Paint::Busy,
        RunStatus::Queued
        | RunStatus::Waiting
        | RunStatus::Suspending
        | RunStatus::Suspended
        | RunStatus::Cancelling
        | RunStatus::Cancelled => Paint::Warn,
    };
    (paint, status.to_string())
}

/// What a run does or waits for, and the inputs that tell it from others.
fn about(row: &RunRow, detail: Option<&Detail>, times: &Times) -> String {
    let inputs = detail.map_or_else(String::new, |detail| detail.inputs.clone());
    let parts = [waits_for(row, times), inputs];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn waits_for(row: &RunRow, times: &Times) -> String {
    let summary = &row.summary;
    let at = summary.at.iter().map(backstay_model::StepId::as_str).collect::<Vec<_>>().join(", ");
    if let Some(limit) = unowned_limit(row, times) {
        return unowned_limit_words(limit, times);
    }
    if let (Some(limit), None, None) = (&summary.limit, &summary.why, &summary.question) {
        return limit_words(limit, times);
    }
    if let (Some(retry), None, None) = (&summary.retry, &summary.why, &summary.question)
        && summary.at.len() == 1
        && !is_interrupted(row)
    {
        return retry_words(retry, times);
    }
    match (&summary.why, &summary.question, Held::of(row.owner.as_ref())) {
        (_, Some(_), _) => "asks: backstay inbox".to_owned(),
        (Some(why), None, _) => why.clone(),
        (None, None, Held::Nobody) if is_interrupted(row) => format!("no owner; was at {at}"),
        (None, None, Held::By { pid, .. }) => format!("{at} (pid {pid})"),
        (None, None, Held::Here | Held::Nobody) => at,
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    summary: &'a RunSummary,
    without_owner: bool,
    wake_at: Option<Timestamp>,
    head: u64,
}

fn listed(rows: &[RunRow]) -> Vec<Listed<'_>> {
    let listed = |row| {
        let RunRow { summary, wake_at, head, .. }: &RunRow = row;
        Listed { summary, without_owner: row.is_without_owner(), wake_at: *wake_at, head: head.0 }
    };
    rows.iter().map(listed).collect()
}

fn json(rows: &[RunRow]) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct List<'a> {
        runs: Vec<Listed<'a>>,
    }
    output::json(&Document::new(List { runs: listed(rows) }))?;
    Ok(Exit::Completed)
}
