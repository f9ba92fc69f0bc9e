//! Tables.

use backstay_engine::record::{RetryWait, StepRecord, StepStage};
use backstay_model::{Frame, Scope, StepId};
use backstay_workflow::plan::{Step, Verb};

use super::agents::{agent_sign, limit_words};
use super::line::{Line, cut_in_the_middle, cut_with_mark, width};
use super::page::Page;
use super::state::State;
use super::time::{Times, clock};
use super::words::failure_words;
use super::{Paint, one_line};

/// On a screen with fewer columns than this, what does a step gives way to its name.
const NARROW_COLUMNS: usize = 60;
/// Columns of the state at most.
const STATE_COLUMNS_MAX: usize = 14;
/// Columns of the last words below which something beside them gives way.
const SAID_COLUMNS: usize = 16;
/// With less room than this the last words are left out.
const SIGN_COLUMNS_MIN: usize = 8;
/// Between words and what stands beside them.
const SEPARATOR: &str = " · ";
/// Columns of the duration.
const TIME_COLUMNS: usize = 7;
/// Columns of what does it at most.
const AGENT_COLUMNS_MAX: usize = 14;

struct Row {
    scope: Scope,
    state: State,
    step: String,
    time: String,
    agent: String,
    /// What it said last, or what it is at.
    said: String,
    /// How lively it is, its tries, and the like; the most telling first.
    beside: Vec<String>,
}

/// A row of the table of steps.
#[derive(Debug)]
pub(crate) struct StepRow {
    /// Which step, in which pass of the loops around it.
    pub(crate) scope: Scope,
    /// How it is drawn.
    pub(crate) line: Line,
}

/// The steps of a run: where each stands, for how long, what does it, and the last sign of life.
///
/// The last words of a step are cut to `columns`, so that what stands behind them is seen; without an edge, which is
/// [`usize::MAX`], nothing is cut.
pub(crate) fn step_table(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let (header, rows) = step_rows(page, times, columns);
    std::iter::once(header).chain(rows.into_iter().map(|row| row.line)).collect()
}

/// Which steps the table shows, in its order.
pub(crate) fn scopes(page: &Page<'_>) -> Vec<Scope> {
    fn add(page: &Page<'_>, step: &Step, frames: &[Frame], scopes: &mut Vec<Scope>) {
        let scope = scope_in(frames, step);
        let inner = inner_frames(step, frames, page.record.instance(&scope));
        scopes.push(scope);
        step.children().iter().for_each(|child| add(page, child, &inner, scopes));
    }
    let mut scopes = Vec::new();
    page.plan.steps.iter().chain(&page.plan.finally).for_each(|step| add(page, step, &[], &mut scopes));
    scopes
}

/// The header of the table and its rows.
pub(crate) fn step_rows(page: &Page<'_>, times: &Times, columns: usize) -> (Line, Vec<StepRow>) {
    let mut rows = Vec::new();
    for step in page.plan.steps.iter().chain(&page.plan.finally) {
        add_rows(page, times, step, &[], 0, &mut rows);
    }
    let states: Vec<String> = rows.iter().map(|row| row.state.words(times)).collect();
    let layout = Layout::of(&rows, &states, columns);
    let draw = |(row, state): (Row, &String)| {
        let line = layout.draw(&row, state);
        StepRow { scope: row.scope, line }
    };
    (layout.header(), rows.into_iter().zip(&states).map(draw).collect())
}

/// The columns of the table.
struct Layout {
    step: usize,
    state: usize,
    /// What does it, unless the screen is narrow.
    agent: Option<usize>,
    sign: usize,
}

impl Layout {
    fn of(rows: &[Row], states: &[String], columns: usize) -> Layout {
        let bounded = |most: usize| if columns == usize::MAX { usize::MAX } else { most };
        let widest = |texts: &mut dyn Iterator<Item = &str>, least: usize, most: usize| {
            texts.map(width).max().unwrap_or(0).clamp(least, bounded(most).max(least))
        };
        let is_narrow = columns < NARROW_COLUMNS;
        let step_max = if is_narrow { columns * 2 / 5 } else { columns / 4 };
        let mut layout = Layout {
            step: widest(&mut rows.iter().map(|row| row.step.as_str()), 4, step_max),
            state: widest(&mut states.iter().map(String::as_str), 5, STATE_COLUMNS_MAX),
            agent: (!is_narrow)
                .then(|| widest(&mut rows.iter().map(|row| row.agent.as_str()), 4, AGENT_COLUMNS_MAX)),
            sign: 0,
        };
        layout.sign = columns.saturating_sub(layout.sign_at());
        layout
    }

    fn state_at(&self) -> usize {
        3 + self.step + 2
    }

    fn time_end(&self) -> usize {
        self.state_at() + self.state + TIME_COLUMNS
    }

    fn sign_at(&self) -> usize {
        self.time_end() + 2 + self.agent.map_or(0, |agent| agent + 2)
    }

    /// Whether enough of the last words would be seen.
    fn has_sign(&self) -> bool {
        self.sign >= SIGN_COLUMNS_MIN
    }

    fn header(&self) -> Line {
        let line = Line::of(Paint::Dim, "   step")
            .filled_to(self.state_at())
            .with(Paint::Dim, "state")
            .filled_to(self.time_end() - 4)
            .with(Paint::Dim, if self.agent.is_some() { "time  by" } else { "time" });
        if self.has_sign() { line.filled_to(self.sign_at()).with(Paint::Dim, "sign of life") } else { line }
    }

    fn draw(&self, row: &Row, state: &str) -> Line {
        let mut line = Line::of(Paint::Plain, " ")
            .with(row.state.paint(), row.state.mark())
            .with(Paint::Plain, " ")
            .with(Paint::Plain, cut_in_the_middle(&row.step, self.step))
            .filled_to(self.state_at())
            .with(row.state.paint(), cut_with_mark(state, self.state))
            .filled_to(self.time_end().saturating_sub(width(&row.time)))
            .with(Paint::Plain, &row.time);
        if let Some(agent) = self.agent {
            line = line.filled_to(self.time_end() + 2).with(Paint::Dim, cut_with_mark(&row.agent, agent));
        }
        if !self.has_sign() {
            return line;
        }
        let (said, beside) = fit(&row.said, &row.beside, self.sign);
        line.filled_to(self.sign_at()).with(Paint::Plain, said).with(Paint::Dim, beside)
    }
}

/// The scope of `step` in these repetitions.
fn scope_in(frames: &[Frame], step: &Step) -> Scope {
    let mut frames = frames.to_vec();
    frames.push(Frame::Step(step.id.clone()));
    Scope::from_frames(frames).unwrap_or_default()
}

/// The repetitions that what is in `step` stands in now.
fn inner_frames(step: &Step, frames: &[Frame], record: Option<&StepRecord>) -> Vec<Frame> {
    let mut inner = frames.to_vec();
    if let (Some(_), Some(passes)) = (&step.repeat, record.and_then(|record| record.passes.as_ref())) {
        inner.extend([Frame::Step(step.id.clone()), Frame::Cycle(passes.cycle)]);
    }
    inner
}

/// Of a step in a loop the row shows the current pass, or the last one.
fn add_rows(
    page: &Page<'_>,
    times: &Times,
    step: &Step,
    frames: &[Frame],
    depth: usize,
    rows: &mut Vec<Row>,
) {
    let scope = scope_in(frames, step);
    let record = page.record.worked(&scope);
    let (mut said, beside) = sign(page, step, record, times);
    let inner = inner_frames(step, frames, record);
    if let Some(repeat) = step.repeat.as_ref().filter(|_| inner.len() > frames.len() && said.is_empty()) {
        said = trail(page, step, frames, &repeat.until.steps);
    }
    rows.push(Row {
        scope: scope.clone(),
        state: State::of(page, step, record),
        step: format!("{}{}", "  ".repeat(depth), step.id),
        time: record
            .filter(|record| record.skipped.is_none())
            .map_or_else(String::new, |record| clock(page.record.duration_of(record, times.now))),
        agent: record.and_then(by).unwrap_or_else(|| doer(step)),
        said,
        beside,
    });
    for child in step.children() {
        add_rows(page, times, child, &inner, depth + 1, rows);
    }
}

/// How the step that a loop's condition names ended, pass by pass: `test: 101, 101`.
fn trail(page: &Page<'_>, step: &Step, frames: &[Frame], named: &[StepId]) -> String {
    let is_in_loop = |record: &&StepRecord| {
        // The frames around, the loop and its cycle, and the step itself.
        match record.scope.frames().strip_prefix(frames) {
            Some([Frame::Step(around), Frame::Cycle(_), Frame::Step(_)]) => *around == step.id,
            _ => false,
        }
    };
    let ended = |record: &StepRecord| match (record.stage, record.exit_code) {
        (StepStage::Done { .. }, Some(code)) => Some(code.to_string()),
        (StepStage::Done { status }, None) => Some(format!("{status:?}").to_lowercase()),
        _ => None,
    };
    for name in named {
        let passes = page.record.steps.iter().filter(|record| record.step == *name).filter(is_in_loop);
        let ends: Vec<String> = passes.filter_map(ended).collect();
        if !ends.is_empty() {
            return format!("{name}: {}", ends.join(", "));
        }
    }
    String::new()
}

/// What does the last attempt of a step, with its version, where an agent said which.
fn by(record: &StepRecord) -> Option<String> {
    let agent = record.attempts.last()?.agent.as_ref()?;
    let name = record.agent.as_deref().unwrap_or(&agent.preset);
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let version = agent.version.as_deref().and_then(|version| version.split_whitespace().find(is_number));
    Some(version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
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
        Verb::Worktree(_) => "git".to_owned(),
        Verb::Group { .. } => String::new(),
    }
}

fn sign(page: &Page<'_>, step: &Step, record: Option<&StepRecord>, times: &Times) -> (String, Vec<String>) {
    let Some(record) = record else {
        let open = |id: &&backstay_model::StepId| {
            let stage = page.record.step(id).map(|needed| needed.stage);
            !matches!(stage, Some(StepStage::Done { .. }))
        };
        let needs: Vec<&str> = step.needs.iter().filter(open).map(backstay_model::StepId::as_str).collect();
        let is_told = !needs.is_empty() && !page.record.status.is_ended();
        let said = if is_told { format!("after {}", needs.join(", ")) } else { String::new() };
        return (said, Vec::new());
    };
    let tries = record.attempts.iter().filter(|attempt| !attempt.probe).count();
    let seen = page.signs.get(&step.id);
    let is_working = record.stage == StepStage::Working;
    let agent = record.attempts.last().and_then(|attempt| attempt.agent.as_ref());
    if let Some(agent) = agent.filter(|agent| is_working && agent.spool_end > 0) {
        let (said, mut beside) = agent_sign(agent, times);
        beside.extend(tries_and_finds(record, tries));
        return (said, beside);
    }
    if let Some(limit) = &record.limit {
        return (limit_words(limit, times), Vec::new());
    }
    if let Some(retry) = record.retry() {
        // The state tells when.
        return (retry_sign(record, &retry), tries_and_finds(record, 0));
    }
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
    beside.extend(tries_and_finds(record, tries));
    (said, beside)
}

/// Which try comes next, and what went wrong with the last one.
fn retry_sign(record: &StepRecord, retry: &RetryWait) -> String {
    let last = record.attempts.iter().rfind(|attempt| !attempt.probe);
    let message = last.and_then(|attempt| attempt.message.as_deref()).map(one_line);
    let why = message.unwrap_or_else(|| failure_words(retry.failure).to_owned());
    format!("try {} next: {why}", retry.attempt)
}

fn tries_and_finds(record: &StepRecord, tries: usize) -> Vec<String> {
    let mut told = Vec::new();
    if tries > 1 {
        told.push(format!("{tries} tries"));
    }
    let found: u32 = record.attempts.iter().map(|attempt| attempt.reattached).sum();
    if found > 0 {
        told.push(format!("found again {found}×"));
    }
    told
}

/// The last words of a step and what stands beside them, in `columns`: what is beside gives way from its end, and the
/// words are cut; words of which nothing would be left are left out.
fn fit(said: &str, beside: &[String], columns: usize) -> (String, String) {
    let mut shown = beside;
    let least = width(said).min(SAID_COLUMNS);
    let separator = |shown: &[String]| if said.is_empty() || shown.is_empty() { 0 } else { width(SEPARATOR) };
    while let [rest @ .., _last] = shown
        && !rest.is_empty()
        && least + separator(shown) + width(&shown.join(SEPARATOR)) > columns
    {
        shown = rest;
    }
    let beside = shown.join(SEPARATOR);
    let room = columns.saturating_sub(separator(shown) + width(&beside));
    if said.is_empty() || beside.is_empty() {
        return (cut_with_mark(said, columns), beside);
    }
    if room < least / 2 {
        return (String::new(), beside);
    }
    (cut_with_mark(said, room), format!("{SEPARATOR}{beside}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_gives_way_from_its_end_and_then_the_words_do() {
        let beside = ["silent for 40 s".to_owned(), "2 tries".to_owned()];
        let fitted = |columns| {
            let (said, beside) = fit("edit src/auth/token.rs", &beside, columns);
            format!("{said}{beside}")
        };
        assert_eq!(fitted(60), "edit src/auth/token.rs · silent for 40 s · 2 tries");
        assert_eq!(fitted(44), "edit src/auth/t… · silent for 40 s · 2 tries");
        assert_eq!(fitted(40), "edit src/auth/token.rs · silent for 40 s");
        assert_eq!(fitted(30), "edit src/au… · silent for 40 s");
        assert_eq!(fitted(20), "silent for 40 s");
    }
}
