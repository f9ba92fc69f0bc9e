//! Tables.

use backstay_engine::record::{StepRecord, StepStage};
use backstay_model::event::{FailureClass, StepStatus};
use backstay_workflow::plan::{Step, Verb};

use super::line::{Line, cut_with_mark, width};
use super::page::Page;
use super::time::{Times, clock, duration};
use super::{Paint, one_line};

/// Columns of the step's id at most.
const STEP_COLUMNS_MAX: usize = 24;
/// Columns of the state at most.
const STATE_COLUMNS: usize = 14;
/// Columns of the duration.
const TIME_COLUMNS: usize = 7;
/// Columns of what does it at most.
const AGENT_COLUMNS_MAX: usize = 14;

struct Row {
    paint: Paint,
    mark: &'static str,
    step: String,
    state: String,
    time: String,
    agent: String,
    /// What it said last, or what it is at.
    said: String,
    /// How lively it is, its tries, and the like.
    beside: String,
}

/// The steps of a run: where each stands, for how long, what does it, and the last sign of life.
///
/// The last words of a step are cut to `columns`, so that what stands behind them is seen.
pub(crate) fn step_table(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let mut rows = Vec::new();
    for step in page.plan.steps.iter().chain(&page.plan.finally) {
        add_rows(page, times, step, 0, &mut rows);
    }
    let widest = |text: fn(&Row) -> &str, least: usize, most: usize| {
        rows.iter().map(|row| width(text(row))).max().unwrap_or(0).clamp(least, most)
    };
    let step_columns = widest(|row| &row.step, 4, STEP_COLUMNS_MAX);
    let agent_columns = widest(|row| &row.agent, 4, AGENT_COLUMNS_MAX);
    let at = |column: usize| 3 + step_columns + 2 + column;
    let header = Line::of(Paint::Dim, "   step")
        .filled_to(at(0))
        .with(Paint::Dim, "state")
        .filled_to(at(STATE_COLUMNS + TIME_COLUMNS - 4))
        .with(Paint::Dim, "time  by")
        .filled_to(at(STATE_COLUMNS + TIME_COLUMNS + 2 + agent_columns + 2))
        .with(Paint::Dim, "sign of life");
    let sign_columns = columns.saturating_sub(at(STATE_COLUMNS + TIME_COLUMNS + 2 + agent_columns + 2));
    let mut lines = vec![header];
    lines.extend(rows.iter().map(|row| {
        Line::of(Paint::Plain, " ")
            .with(row.paint, row.mark)
            .with(Paint::Plain, " ")
            .with(Paint::Plain, cut_with_mark(&row.step, step_columns))
            .filled_to(at(0))
            .with(row.paint, cut_with_mark(&row.state, STATE_COLUMNS))
            .filled_to(at(STATE_COLUMNS + TIME_COLUMNS).saturating_sub(width(&row.time)))
            .with(Paint::Plain, &row.time)
            .filled_to(at(STATE_COLUMNS + TIME_COLUMNS + 2))
            .with(Paint::Dim, cut_with_mark(&row.agent, agent_columns))
            .filled_to(at(STATE_COLUMNS + TIME_COLUMNS + 2 + agent_columns + 2))
            .with(Paint::Plain, cut_with_mark(&row.said, sign_columns.saturating_sub(width(&row.beside))))
            .with(Paint::Dim, &row.beside)
    }));
    lines
}

fn add_rows(page: &Page<'_>, times: &Times, step: &Step, depth: usize, rows: &mut Vec<Row>) {
    let record = page.record.step(&step.id);
    let (paint, mark, state) = match record {
        Some(record) if page.is_still(record) => (Paint::Warn, "◌", "stands still".to_owned()),
        Some(record) => stage(record, step, times),
        None if page.record.status.is_ended() => (Paint::Dim, "─", "not reached".to_owned()),
        None => (Paint::Dim, "○", "waits".to_owned()),
    };
    let (said, beside) = sign(page, step, record, times);
    rows.push(Row {
        paint,
        mark,
        step: format!("{}{}", "  ".repeat(depth), step.id),
        state,
        time: record
            .filter(|record| record.skipped.is_none())
            .map_or_else(String::new, |record| clock(record.duration(times.now))),
        agent: doer(step),
        said,
        beside,
    });
    for child in step.children() {
        add_rows(page, times, child, depth + 1, rows);
    }
}

fn stage(record: &StepRecord, step: &Step, times: &Times) -> (Paint, &'static str, String) {
    match record.stage {
        StepStage::Started if matches!(step.verb, Verb::Group { .. }) => {
            (Paint::Busy, "▾", "under way".to_owned())
        }
        StepStage::Waiting => (Paint::Warn, "◌", "waits".to_owned()),
        StepStage::Started => (Paint::Busy, "◌", "between tries".to_owned()),
        StepStage::Working => match record.stalled_at {
            Some(at) => (Paint::Warn, "◍", format!("silent {}", duration(times.now.since(at)))),
            None => (Paint::Busy, "●", "working".to_owned()),
        },
        StepStage::Backoff { due_at } => (Paint::Warn, "↻", format!("again {}", times.second(due_at))),
        StepStage::InDoubt => (Paint::Warn, "?", "in doubt".to_owned()),
        StepStage::Done { status: StepStatus::Succeeded } => (Paint::Good, "✓", "done".to_owned()),
        StepStage::Done { status: StepStatus::Skipped } => (Paint::Dim, "─", "skipped".to_owned()),
        StepStage::Done { status: StepStatus::Cancelled } => (Paint::Warn, "✗", "cancelled".to_owned()),
        StepStage::Done { status: StepStatus::Failed } => {
            (Paint::Bad, "✗", failed(record.exit_code, record.failure))
        }
    }
}

fn failed(exit_code: Option<i32>, failure: Option<FailureClass>) -> String {
    match (failure, exit_code) {
        (Some(FailureClass::Exit) | None, Some(code)) => format!("exit {code}"),
        (Some(FailureClass::Exit) | None, None) => "failed".to_owned(),
        (Some(FailureClass::Timeout), _) => "timeout".to_owned(),
        (Some(FailureClass::Stall), _) => "stalled".to_owned(),
        (Some(FailureClass::Crash), _) => "lost".to_owned(),
        (Some(FailureClass::InvalidOutput), _) => "bad output".to_owned(),
        (Some(FailureClass::RateLimit), _) => "rate limit".to_owned(),
        (Some(FailureClass::Network), _) => "network".to_owned(),
        (Some(FailureClass::Spawn), _) => "not started".to_owned(),
        (Some(FailureClass::Expression), _) => "expression".to_owned(),
    }
}

/// What does a step, in a word.
pub(crate) fn doer(step: &Step) -> String {
    match &step.verb {
        Verb::Run { shell, .. } => {
            let program = shell.first().map_or("bash", String::as_str);
            program.rsplit('/').next().unwrap_or(program).to_owned()
        }
        Verb::Command { .. } => "command".to_owned(),
        Verb::Agent { agent, .. } => agent.clone(),
        Verb::Group { .. } => String::new(),
    }
}

fn sign(page: &Page<'_>, step: &Step, record: Option<&StepRecord>, times: &Times) -> (String, String) {
    let Some(record) = record else {
        let open = |id: &&backstay_model::StepId| {
            let stage = page.record.step(id).map(|needed| needed.stage);
            !matches!(stage, Some(StepStage::Done { .. }))
        };
        let needs: Vec<&str> = step.needs.iter().filter(open).map(backstay_model::StepId::as_str).collect();
        let is_told = !needs.is_empty() && !page.record.status.is_ended();
        let said = if is_told { format!("after {}", needs.join(", ")) } else { String::new() };
        return (said, String::new());
    };
    let tries = record.attempts.iter().filter(|attempt| !attempt.probe).count();
    let seen = page.signs.get(&step.id);
    let is_working = record.stage == StepStage::Working;
    let said = match seen.and_then(|sign| sign.said.as_deref()) {
        Some(said) if is_working => one_line(said),
        _ => record.summary.as_deref().filter(|_| !is_working).map(one_line).unwrap_or_default(),
    };
    let mut beside = Vec::new();
    let starting_at = record.attempts.last().map(|attempt| attempt.starting_at);
    match (seen.and_then(|sign| sign.beat), starting_at.filter(|_| is_working && said.is_empty())) {
        (Some(beat), _) if is_working => beside.push(beat.words(times.now)),
        (_, Some(at)) => beside.push(format!("since {}", times.second(at))),
        (_, None) => {}
    }
    if tries > 1 {
        beside.push(format!("{tries} tries"));
    }
    let found: u32 = record.attempts.iter().map(|attempt| attempt.reattached).sum();
    if found > 0 {
        beside.push(format!("found again {found}×"));
    }
    let mut beside = beside.join(" · ");
    if !said.is_empty() && !beside.is_empty() {
        beside.insert_str(0, " · ");
    }
    (said, beside)
}

/// A table with a header, each column as wide as its widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<(Paint, String)>]) -> Vec<Line> {
    let columns: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| width(text));
            cells.chain([width(header[column])]).max().unwrap_or(0)
        })
        .collect();
    let lay = |cells: &mut dyn Iterator<Item = (Paint, &str)>| {
        let (mut line, mut at) = (Line::of(Paint::Plain, " "), 1);
        for ((paint, text), column) in cells.zip(&columns) {
            line = line.filled_to(at).with(paint, text);
            at += column + 2;
        }
        line
    };
    let mut lines = vec![lay(&mut header.iter().map(|text| (Paint::Dim, *text)))];
    lines.extend(rows.iter().map(|row| lay(&mut row.iter().map(|(paint, text)| (*paint, text.as_str())))));
    lines
}
