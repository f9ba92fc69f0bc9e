//! A run on a page: where it stands, why, and what next.

use std::collections::BTreeMap;

use backstay_engine::record::{
    AttemptRecord, LimitWait, QuestionRecord, RetryWait, RunRecord, RunStatus, StepProgress, StepRecord,
    StepStage,
};
use backstay_exec::ScreenState;
use backstay_log::OwnerView;
use backstay_model::event::QuestionKind;
use backstay_model::{RunId, StepId, Timestamp};
use backstay_runtime::RunView;
use backstay_workflow::plan::Plan;
use camino::Utf8Path;

use super::agents::{limit_words, retry_words, unowned_limit_words, usage_words};
use super::beats::Beat;
use super::nexts::next_lines;
use super::rows::step_table;
use super::time::{Times, duration};
use super::{Line, Paint};

/// Characters of an id that are shown; with the 48 bits of its time they are unique but for the same millisecond.
const SHORT_ID_CHARS: usize = 10;

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
            Some(owner) if owner.is_held() && owner.identity.pid == std::process::id() => Held::Here,
            Some(owner) if owner.is_held() => {
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
        folder.is_some_and(|folder| {
            backstay_exec::maintenance::is_keeper_alive(&self.store.join(folder.as_str())).unwrap_or(false)
        })
    }

    /// The screen of an agent that somebody has open in a session of the run. What cannot be looked at is not said to be open.
    pub(super) fn open_screen(&self) -> Option<ScreenState> {
        let folder = self.store.join("runs").join(self.record.run.to_string());
        backstay_exec::screen_state(&folder).ok().filter(|state| matches!(state, ScreenState::Open(_)))
    }

    /// Agents that are still at work although nobody owns the run, as far as can be told from here.
    pub(super) fn agents_alive(&self) -> usize {
        let attempts = self.record.steps.iter().flat_map(|step| &step.attempts);
        attempts.filter(|attempt| self.is_kept(attempt)).count()
    }

    /// Whether something was at work when the owner was gone.
    pub(super) fn has_work_in_the_dark(&self) -> bool {
        self.record.steps.iter().any(|step| step.stage == StepStage::Working)
    }

    /// The limit that the run waits for, if it is at nothing else: the first that ends.
    pub(super) fn limit(&self) -> Option<&LimitWait> {
        let steps = &self.record.steps;
        let is_at_work = steps.iter().any(|step| step.stage == StepStage::Working);
        let limits = steps.iter().filter_map(|step| step.limit.as_ref());
        limits.min_by_key(|limit| limit.until).filter(|_| !is_at_work)
    }

    /// The next try that the run waits for, if it is at nothing else: the first that is due.
    fn retry(&self) -> Option<RetryWait> {
        let steps = &self.record.steps;
        let is_at_work = steps.iter().any(|step| step.stage == StepStage::Working);
        let retries = steps.iter().filter_map(StepRecord::retry);
        retries.min_by_key(|retry| retry.until).filter(|_| !is_at_work)
    }

    /// The moment that the run waits for, and why, if it is at nothing else.
    pub(crate) fn waits(&self, times: &Times) -> Option<String> {
        let limit = self.limit().map(|limit| limit_words(limit, times));
        limit.or_else(|| self.retry().map(|retry| retry_words(&retry, times)))
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

    /// Where the run stands, in a few words.
    pub(crate) fn state(&self, times: &Times) -> (Paint, String) {
        let record = self.record;
        let took = duration(record.duration(times.now));
        let since = record.updated_at.map_or_else(String::new, |at| format!(" since {}", times.minute(at)));
        if let Some(limit) = self.unowned_limit(times) {
            return (Paint::Warn, unowned_limit_words(limit, times));
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
            RunStatus::Running => match self.waits(times) {
                None if self.waits_for_checkout() => (Paint::Warn, format!("waits for the checkout{since}")),
                Some(waits) => (Paint::Warn, waits),
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
    let StepProgress { done, total } = page.record.progress(page.plan);
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
    // What a step left before it was reset belongs to another end.
    let attempts = || page.record.steps.iter().flat_map(|step| step.current_attempts());
    let paths = attempts().flat_map(|attempt| &attempt.artifacts).map(|path| format!("{store}/{path}"));
    // An output that names the file says it already.
    let is_told = |path: &String| outputs.iter().any(|(_, value)| value.ends_with(path.as_str()));
    lines.extend(paths.filter(|path| !is_told(path)).map(|path| {
        Line::of(Paint::Plain, " ").with(Paint::Bold, "file  ").with(Paint::Plain, path).whole()
    }));
    for attempt in attempts() {
        if let (count @ 1.., Some(folder)) = (attempt.artifacts_omitted, &attempt.folder) {
            let text = format!("and {count} more in {store}/{folder}/artifacts");
            lines
                .push(Line::of(Paint::Plain, " ").with(Paint::Bold, "file  ").with(Paint::Dim, text).whole());
        }
    }
    lines
}
