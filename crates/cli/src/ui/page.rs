//! A run on a page: where it stands, why, and what next.

use std::collections::BTreeMap;

use backstay_engine::record::{
    AttemptRecord, InterventionRecord, LimitWait, QuestionRecord, RunRecord, RunStatus, StepRecord,
    StepStage, busy_words,
};
use backstay_log::OwnerView;
use backstay_model::event::{QuestionKind, QuestionOption, StepStatus};
use backstay_model::{QuestionId, RunId, StepId, Timestamp};
use backstay_runtime::RunView;
use backstay_workflow::plan::{Plan, Verb};
use camino::Utf8Path;

use super::agents::{limit_words, unowned_limit_words, usage_words};
use super::beats::Beat;
use super::line::{width, wrapped};
use super::rows::step_table;
use super::time::{Times, duration};
use super::{Line, Paint};

/// Characters of an id that are shown; with the 48 bits of its time they are unique but for the same millisecond.
const SHORT_ID_CHARS: usize = 10;

/// Columns of the word in front of a line.
const LABEL_COLUMNS: usize = 7;

/// Who works on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// This very process.
    Here,
    /// Another process, which lives.
    By {
        /// Its id.
        pid: u32,
        /// Its machine.
        host: String,
    },
    /// Nobody, or a process that is dead.
    Nobody,
}

impl Held {
    /// Reads what the store knows of the owner.
    pub(crate) fn of(owner: Option<&OwnerView>) -> Held {
        match owner {
            Some(owner) if owner.alive && owner.identity.pid == std::process::id() => Held::Here,
            Some(owner) if owner.alive => {
                Held::By { pid: owner.identity.pid, host: owner.identity.host.clone() }
            }
            Some(_) | None => Held::Nobody,
        }
    }
}

/// What a step that works or has failed lets be seen of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sign {
    /// The last line that it said.
    pub(crate) said: Option<String>,
    /// Its newest heartbeat; known only to who follows the run.
    pub(crate) beat: Option<Beat>,
}

/// Everything that is shown of a run.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    /// The folder of its store.
    pub(crate) store: &'a Utf8Path,
    /// The fold of its topic.
    pub(crate) record: &'a RunRecord,
    /// Its plan.
    pub(crate) plan: &'a Plan,
    /// Who works on it.
    pub(crate) held: Held,
    /// When an owner should look at it.
    pub(crate) wake_at: Option<Timestamp>,
    /// The signs of life of its steps.
    pub(crate) signs: &'a BTreeMap<StepId, Sign>,
}

impl<'a> Page<'a> {
    /// The page of a run as it was read.
    pub(crate) fn of(view: &'a RunView, signs: &'a BTreeMap<StepId, Sign>) -> Page<'a> {
        Page {
            store: &view.store,
            record: &view.record,
            plan: &view.plan,
            held: Held::of(view.owner.as_ref()),
            wake_at: view.wake_at,
            signs,
        }
    }

    /// Whether it should be worked on and nobody does.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.held == Held::Nobody
            && self.wake_at.is_some()
            && !self.record.status.is_ended()
            && self.record.started_at.is_some()
    }

    /// Whether a step waits for nothing but its run to go on.
    pub(crate) fn is_still(&self, step: &StepRecord) -> bool {
        self.record.status == RunStatus::Suspended && step.stage == StepStage::Started
    }

    /// Whether the work of `step` is in flight and waits for an answer.
    pub(crate) fn is_asking(&self, step: &StepRecord) -> bool {
        let is_its =
            |question: &&QuestionRecord| question.step == step.step && question.kind == QuestionKind::Asked;
        self.record.questions.iter().filter(is_its).any(|question| question.closed_at.is_none())
    }

    /// Whether the work of `step` goes on although nobody owns the run.
    pub(crate) fn works_on_its_own(&self, step: &StepRecord) -> bool {
        step.attempts.iter().any(|attempt| self.is_kept(attempt))
    }

    /// Whether the keeper of an attempt lives. What cannot be looked at is not said to work.
    fn is_kept(&self, attempt: &AttemptRecord) -> bool {
        let is_open = attempt.ended_at.is_none() && attempt.lost.is_none();
        let folder = attempt.folder.as_ref().filter(|_| is_open);
        folder.is_some_and(|folder| backstay_exec::is_kept(&self.store.join(folder)).unwrap_or(false))
    }

    /// Agents that are still at work although nobody owns the run, as far as can be told from here.
    fn agents_alive(&self) -> usize {
        let attempts = self.record.steps.iter().flat_map(|step| &step.attempts);
        attempts.filter(|attempt| self.is_kept(attempt)).count()
    }

    /// Whether something was at work when the owner was gone.
    fn has_work_in_the_dark(&self) -> bool {
        self.record.steps.iter().any(|step| step.stage == StepStage::Working)
    }

    /// The limit that the run waits for, if it is at nothing else: the first that ends.
    fn limit(&self) -> Option<&LimitWait> {
        let steps = &self.record.steps;
        let is_at_work = steps.iter().any(|step| step.stage == StepStage::Working);
        let limits = steps.iter().filter_map(|step| step.limit.as_ref());
        limits.min_by_key(|limit| limit.until).filter(|_| !is_at_work)
    }

    /// Whether nothing is at work because another run works in the checkout.
    fn waits_for_checkout(&self) -> bool {
        let is_at_work = self.record.steps.iter().any(|step| step.stage == StepStage::Working);
        self.record.checkout_busy.is_some() && !is_at_work
    }

    /// The limit that a run waits for which nobody owns. Nothing of it was cut off; but its end wakes nobody.
    fn unowned_limit(&self, times: &Times) -> Option<&LimitWait> {
        let is_parked = self.is_interrupted() && self.record.status == RunStatus::Running;
        self.limit().filter(|limit| is_parked && limit.until > times.now)
    }

    /// Steps (groups not counted) that have their result, and all of them.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let leaves = || self.plan.walk().filter(|step| !matches!(step.verb, Verb::Group { .. }));
        let is_done = |id: &StepId| {
            self.record.step(id).is_some_and(|record| matches!(record.stage, StepStage::Done { .. }))
        };
        (leaves().filter(|step| is_done(&step.id)).count(), leaves().count())
    }

    /// Where the run stands, in a few words.
    pub(crate) fn state(&self, times: &Times) -> (Paint, String) {
        let record = self.record;
        let begun = record.started_at.or(record.requested_at).unwrap_or(times.now);
        let took = duration(record.ended_at.unwrap_or(times.now).since(begun));
        let since = record.updated_at.map_or_else(String::new, |at| format!(" since {}", times.minute(at)));
        if let Some(limit) = self.unowned_limit(times) {
            return (Paint::Warn, unowned_limit_words(&limit.agent, limit.until, times));
        }
        if self.is_interrupted() {
            let agents = match self.agents_alive() {
                0 => String::new(),
                1 => ", 1 agent still working".to_owned(),
                many => format!(", {many} agents still working"),
            };
            return (Paint::Warn, format!("interrupted: no owner{since}{agents}"));
        }
        match record.status {
            RunStatus::Queued => (Paint::Warn, format!("queued{since}")),
            RunStatus::Running => match self.limit() {
                None if self.waits_for_checkout() => (Paint::Warn, format!("waits for the checkout{since}")),
                Some(limit) => (Paint::Warn, limit_words(&limit.agent, limit.until, times)),
                None => (Paint::Busy, format!("running {took}")),
            },
            RunStatus::Waiting => (Paint::Warn, format!("waits for a person{since}")),
            RunStatus::Suspending => (Paint::Warn, "suspending: what is at work is being stopped".to_owned()),
            RunStatus::Suspended => (Paint::Warn, format!("suspended{since}")),
            RunStatus::Cancelling => (Paint::Warn, "cancelling: what is at work is being stopped".to_owned()),
            RunStatus::Completed => (Paint::Good, format!("COMPLETED in {took}")),
            RunStatus::Failed => (Paint::Bad, format!("FAILED after {took}")),
            RunStatus::Cancelled => (Paint::Warn, format!("CANCELLED after {took}")),
        }
    }
}

/// The beginning of a run's id that stands for it.
pub(crate) fn short(run: RunId) -> String {
    format!("{}{}", RunId::PREFIX, run.ulid().chars().take(SHORT_ID_CHARS).collect::<String>())
}

/// The page of `watch`: a run as it goes on.
#[cfg(test)]
pub(crate) fn watch_page(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let mut lines = head_lines(page, times, columns);
    lines.push(Line::default());
    lines.extend(step_table(page, times, columns));
    let next = next_lines(page, times, columns);
    if !next.is_empty() {
        lines.push(Line::default());
        lines.extend(next);
    }
    lines
}

/// What run, where it stands, who works on it, what it used.
pub(crate) fn head_lines(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let mut lines = vec![head(page, times, columns), holder(page)];
    lines.extend(used(page));
    lines
}

/// The page of `show`: where a run stands, why, what next, and what it left (`left`), then its steps.
pub(crate) fn show_page(page: &Page<'_>, left: Vec<Line>, times: &Times, columns: usize) -> Vec<Line> {
    let mut lines = vec![head(page, times, columns)];
    if page.held != Held::Nobody && !page.record.status.is_ended() {
        lines.push(holder(page));
    }
    lines.extend(used(page));
    lines.extend(next_lines(page, times, columns));
    lines.extend(left);
    lines.push(Line::default());
    lines.extend(step_table(page, times, columns));
    lines
}

/// The first line: what run, where it stands, when.
fn head(page: &Page<'_>, times: &Times, columns: usize) -> Line {
    let record = page.record;
    let (paint, state) = page.state(times);
    let line = Line::of(Paint::Plain, " ")
        .with(Paint::Bold, &page.plan.name)
        .with(Paint::Plain, "  ")
        .with(Paint::Dim, short(record.run))
        .with(Paint::Plain, "  ")
        .with(paint, state);
    let (done, total) = page.progress();
    match (record.requested_at, record.ended_at) {
        (Some(from), Some(until)) => {
            let span = format!("{} to {}", times.minute(from), times.minute(until));
            line.with_right(columns, Paint::Dim, &span)
        }
        _ => line.with(Paint::Plain, format!(" · {done} of {total} steps")),
    }
}

/// The second line of a run under way: where it works, and who owns it.
fn holder(page: &Page<'_>) -> Line {
    let owner = match &page.held {
        Held::Here => format!("owner: this process, pid {}", std::process::id()),
        Held::By { pid, host } => match &page.record.host {
            Some(here) if here == host => format!("owner: pid {pid}"),
            _ => format!("owner: pid {pid} on {host}"),
        },
        Held::Nobody => "no owner".to_owned(),
    };
    let folder = page.record.cwd.as_deref().unwrap_or("?");
    Line::of(Paint::Plain, " ").with(Paint::Dim, format!("{owner} · in {folder}"))
}

/// What its agents used, where some can tell.
fn used(page: &Page<'_>) -> Option<Line> {
    let usage = page.record.usage()?;
    Some(Line::of(Paint::Plain, " ").with(Paint::Dim, usage_words(&usage)))
}

/// Why the run ended or stands still, and what can be done next.
pub(crate) fn next_lines(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let asked = asks(page, times, columns).into_iter().flat_map(|(_, lines)| lines).collect();
    next_lines_with(page, asked, times, columns)
}

/// The same without the questions.
pub(crate) fn next_lines_beside_questions(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    next_lines_with(page, Vec::new(), times, columns)
}

fn next_lines_with(page: &Page<'_>, asked: Vec<Line>, times: &Times, columns: usize) -> Vec<Line> {
    let record = page.record;
    let mut lines = Vec::new();
    if let Some(why) = why(page) {
        lines.extend(say_all("why", &why, columns));
    }
    if let Some(step) = failed(page).filter(|_| record.status == RunStatus::Failed)
        && let Some(said) = page.signs.get(&step.step).and_then(|sign| sign.said.as_ref())
    {
        lines.push(say("said", said.clone()));
    }
    lines.extend(asked);
    if let Some(at) = record.trimmed_at {
        lines.push(say(
            "freed",
            format!("its events and files, {}; this record is what is left", times.minute(at)),
        ));
    }
    lines.extend(nexts(page));
    lines.extend(worktrees(page));
    for InterventionRecord { done, .. } in &record.interventions {
        let (from, until) = (times.minute(done.from), times.minute(done.until));
        let text =
            format!("{} by {} in the session of {}, {from} to {until}", done.step, done.by, done.agent);
        lines.push(Line::of(Paint::Plain, " ").with(Paint::Warn, "taken over  ").with(Paint::Plain, text));
    }
    for interruption in &record.interruptions {
        let names = |steps: &[StepId]| steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "for {} from {} (pid {} was gone)",
            duration(interruption.until.since(interruption.from)),
            times.second(interruption.from),
            interruption.pid,
        );
        if !interruption.reattached.is_empty() {
            text.push_str(&format!("; found again: {}", names(&interruption.reattached)));
        }
        if !interruption.lost.is_empty() {
            text.push_str(&format!("; lost: {}", names(&interruption.lost)));
        }
        lines.extend(interrupted_lines(&text, columns));
    }
    lines
}

/// A line about an interruption, with what does not fit below it.
fn interrupted_lines(text: &str, columns: usize) -> impl Iterator<Item = Line> {
    let label = "interrupted ";
    let parts = wrapped(text, columns.saturating_sub(1 + width(label)));
    parts.into_iter().enumerate().map(move |(index, part)| {
        let line = Line::of(Paint::Plain, " ");
        let line = if index == 0 { line.with(Paint::Warn, label) } else { line.filled_to(1 + width(label)) };
        line.with(Paint::Plain, part)
    })
}

fn say(label: &str, text: String) -> Line {
    Line::of(Paint::Plain, " ").with(Paint::Bold, format!("{label:<5} ")).with(Paint::Plain, text)
}

/// Text of which nothing may be cut off, over as many lines as it takes.
pub(crate) fn say_all(label: &str, text: &str, columns: usize) -> Vec<Line> {
    let parts = wrapped(text, columns.saturating_sub(LABEL_COLUMNS));
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| say(if index == 0 { label } else { "" }, part))
        .collect()
}

/// The open questions of the run, each with the commands that answer it.
pub(crate) fn asks(page: &Page<'_>, times: &Times, columns: usize) -> Vec<(QuestionId, Vec<Line>)> {
    let open: Vec<_> = page.record.questions.iter().filter(|question| question.closed_at.is_none()).collect();
    let lines = |question: &QuestionRecord| {
        // A run with several questions is no name for one of them.
        let name = if open.len() == 1 { short(page.record.run) } else { question.question.to_string() };
        let prompt = format!("{} ({})", question.prompt, asked_words(question, times));
        let answers = answers(&name, question);
        let answers = answers.iter().map(|(command, meaning)| (command.clone(), meaning.as_str()));
        let mut lines = say_all("asks", &prompt, columns);
        lines.extend(commands("", &answers.collect::<Vec<_>>()));
        lines
    };
    open.iter().map(|question| (question.question, lines(question))).collect()
}

/// When a question was asked, and what becomes of it if nobody answers.
pub(crate) fn asked_words(question: &QuestionRecord, times: &Times) -> String {
    let asked = format!("asked {}", times.minute(question.asked_at));
    match (question.due_at, &question.default) {
        (Some(due_at), Some(default)) => format!("{asked}; `{default}` at {}", times.minute(due_at)),
        (Some(due_at), None) => format!("{asked}; no answer counts after {}", times.minute(due_at)),
        (None, _) => asked,
    }
}

/// The commands that answer a question, with what each leads to.
pub(crate) fn answers(name: &str, question: &QuestionRecord) -> Vec<(String, String)> {
    if question.options.is_empty() {
        return vec![(format!("backstay answer {name} TEXT"), "any text".to_owned())];
    }
    let command = |option: &QuestionOption| {
        let choice = if option.name.contains(|c: char| !(c.is_alphanumeric() || "._-".contains(c))) {
            format!("'{}'", option.name.replace('\'', "'\\''"))
        } else {
            option.name.clone()
        };
        (format!("backstay answer {name} {choice}"), option.meaning.clone())
    };
    question.options.iter().map(command).collect()
}

/// The commands that make sense now.
pub(crate) fn nexts(page: &Page<'_>) -> Vec<Line> {
    commands("next", &steps_from_here(page, &short(page.record.run)))
}

/// Where the work is of a run that has ended and worked beside the checkout.
fn worktrees(page: &Page<'_>) -> Vec<Line> {
    let record = page.record;
    let made = page.plan.walk().filter(|step| matches!(step.verb, Verb::Worktree(_)));
    let made = made
        .filter_map(|step| record.step(&step.id))
        .filter(|record| matches!(record.stage, StepStage::Done { status: StepStatus::Succeeded }));
    let paths = made.filter_map(|record| record.summary.as_deref());
    let is_over = record.status.is_ended() && record.trimmed_at.is_none();
    let text = |path: &str| format!("its work in {path}: commit there what is to stay, and merge its branch");
    paths.filter(|_| is_over).map(|path| say("left", text(path))).collect()
}

/// Commands below each other, with what they do behind them.
fn commands(label: &str, commands: &[(String, &str)]) -> Vec<Line> {
    let widest = commands.iter().map(|(command, _)| width(command)).max().unwrap_or(0);
    let line = |(index, (command, meaning)): (usize, &(String, &str))| {
        say(if index == 0 { label } else { "" }, command.clone())
            .filled_to(LABEL_COLUMNS + widest + 2)
            .with(Paint::Dim, meaning)
    };
    commands.iter().enumerate().map(line).collect()
}

fn why(page: &Page<'_>) -> Option<String> {
    let record = page.record;
    if record.status == RunStatus::Completed {
        return None;
    }
    if let Some(busy) = record.checkout_busy.as_ref().filter(|_| !page.is_interrupted()) {
        return Some(busy_words(busy));
    }
    let reason = record.why.clone()?;
    let step = record.failed_step.as_ref().and_then(|step| record.step(step));
    Some(match step.and_then(|step| step.summary.clone().map(|summary| (step, summary))) {
        Some((step, summary)) if !reason.contains(&summary) => format!("{reason} ({}: {summary})", step.step),
        _ => reason,
    })
}

/// The first step that failed, groups not counted.
fn failed<'a>(page: &Page<'a>) -> Option<&'a StepRecord> {
    let is_failed = |step: &&StepRecord| {
        matches!(step.stage, StepStage::Done { status: StepStatus::Failed }) && step.agent.is_some()
    };
    let named = page.record.failed_step.as_ref().and_then(|step| page.record.step(step));
    named.filter(is_failed).or_else(|| page.record.steps.iter().find(is_failed))
}

/// Commands that make sense now, with what they do.
fn steps_from_here(page: &Page<'_>, id: &str) -> Vec<(String, &'static str)> {
    let record = page.record;
    if record.trimmed_at.is_some() {
        return Vec::new();
    }
    if page.is_interrupted() {
        let does = match page.limit() {
            Some(_) => "waits for the limit here, and goes on",
            None if page.agents_alive() == 0 && page.has_work_in_the_dark() => {
                "finds out what became of the work"
            }
            None => "finds the agents again and goes on",
        };
        return vec![(format!("backstay resume {id}"), does)];
    }
    match record.status {
        RunStatus::Queued if page.held == Held::Nobody => {
            vec![(format!("backstay resume {id}"), "works on it here")]
        }
        RunStatus::Suspended | RunStatus::Suspending => {
            vec![(format!("backstay resume {id}"), "goes on where it stands")]
        }
        RunStatus::Failed => {
            let mut commands = vec![(format!("backstay retry {id}"), "tries what did not succeed again")];
            if let Some(step) = failed(page) {
                commands.push((format!("backstay skip {id} {}", step.step), "goes on without it"));
                commands.push((format!("backstay logs {id} {}", step.step), "what it said"));
            }
            commands
        }
        RunStatus::Cancelled => vec![(format!("backstay retry {id}"), "takes it up again")],
        RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Cancelling
        | RunStatus::Completed => Vec::new(),
    }
}

/// What a run left: its outputs and artifacts.
pub(crate) fn ending(page: &Page<'_>, outputs: &[(String, String)], store: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = outputs
        .iter()
        .map(|(name, value)| {
            Line::of(Paint::Plain, " ")
                .with(Paint::Bold, "out   ")
                .with(Paint::Plain, format!("{name} = {value}"))
                .whole()
        })
        .collect();
    if page.record.trimmed_at.is_some() {
        return lines;
    }
    let attempts = page.record.steps.iter().flat_map(|step| &step.attempts);
    let paths = attempts.flat_map(|attempt| &attempt.artifacts).map(|path| format!("{store}/{path}"));
    // An output that names the file says it already.
    let is_told = |path: &String| outputs.iter().any(|(_, value)| value.ends_with(path.as_str()));
    lines.extend(paths.filter(|path| !is_told(path)).map(|path| {
        Line::of(Paint::Plain, " ").with(Paint::Bold, "file  ").with(Paint::Plain, path).whole()
    }));
    for attempt in page.record.steps.iter().flat_map(|step| &step.attempts) {
        if let (count @ 1.., Some(folder)) = (attempt.artifacts_left_out, &attempt.folder) {
            let text = format!("and {count} more in {store}/{folder}/artifacts");
            lines
                .push(Line::of(Paint::Plain, " ").with(Paint::Bold, "file  ").with(Paint::Dim, text).whole());
        }
    }
    lines
}
