//! What a person in front of a run sees below its page, and what keys do.

mod answer;
mod keys;
mod layout;

use backstay_engine::record::{QuestionRecord, RunStatus, StepRecord, StepStage};
use backstay_model::event::Answer;
use backstay_model::{QuestionId, Scope};

use self::answer::{AnswerPad, Chosen};
pub(crate) use self::layout::{Parts, laid_out};
use super::entries::Entries;
use super::frame::Size;
use super::line::{cut_with_mark, wrapped};
use super::nexts::{asked_words, next_lines, next_lines_beside_questions};
use super::page::{Page, head_lines};
use super::rows::{StepRow, step_rows};
use super::time::Times;
use super::typed::Key;
use super::{Line, Paint, key_line, rule};

/// What the view is to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It looks on.
    Watches,
    /// It looks on for a while: whoever leaves it goes back to a list of runs.
    Visits,
    /// The run is worked on in this process.
    Works,
    /// It is, and comes to a stand or an end.
    Stops,
}

/// What a person wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// To leave the view.
    Leave,
    /// To let the run come to a stand.
    Suspend,
    /// To let it go on.
    Resume,
    /// To stop it for good.
    Cancel,
    /// To answer a question.
    Answer(QuestionId, Answer),
    /// To read what a step says.
    Log(Scope),
    /// To see what a step changed.
    Diff(Scope),
}

/// What stands below the table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pane {
    /// What the chosen step says.
    Step,
    /// What the keys do.
    Help,
    /// Whether the run is to be cancelled.
    Cancel,
    /// An answer that is being given.
    Answer(AnswerPad),
}

/// Where a person is in a view.
#[derive(Debug)]
pub(crate) struct Console {
    /// What the view is to the run.
    pub(crate) role: Role,
    has_keys: bool,
    /// The step that was chosen; without one the view follows what is at work.
    chosen: Option<Scope>,
    pane: Pane,
    /// What came of the last deed.
    notice: Option<(Paint, String)>,
}

impl Console {
    /// A view in which nothing was pressed yet.
    pub(crate) const fn new(role: Role, has_keys: bool) -> Console {
        Console { role, has_keys, chosen: None, pane: Pane::Step, notice: None }
    }

    /// Begins to answer, if something is asked.
    pub(crate) fn begin_answer(&mut self, page: &Page<'_>) {
        if self.can(page).answer && self.has_keys {
            self.pane = Pane::Answer(AnswerPad::of(&open_questions(page)));
        }
    }

    /// Says what came of something until the next key.
    pub(crate) fn tell(&mut self, paint: Paint, text: String) {
        self.notice = Some((paint, text));
    }

    /// Takes a key; gives what is to be done, if it is more than to show something else.
    pub(crate) fn press(&mut self, key: Key, page: &Page<'_>) -> Option<Deed> {
        self.notice = None;
        match std::mem::replace(&mut self.pane, Pane::Step) {
            Pane::Step => self.press_at_table(key, page),
            Pane::Help => None,
            Pane::Cancel => matches!(key, Key::Text('x' | 'y')).then_some(Deed::Cancel),
            Pane::Answer(pad) => match pad.press(key, &open_questions(page)) {
                Chosen::Answer(question, answer) => Some(Deed::Answer(question, answer)),
                Chosen::Nothing => None,
                Chosen::On(pad) => {
                    self.pane = Pane::Answer(pad);
                    None
                }
            },
        }
    }

    fn press_at_table(&mut self, key: Key, page: &Page<'_>) -> Option<Deed> {
        let can = self.can(page);
        match key {
            Key::Text('q' | 'Q') => return Some(Deed::Leave),
            Key::Escape if self.role == Role::Visits => return Some(Deed::Leave),
            Key::Text('?') => self.pane = Pane::Help,
            Key::Up | Key::Text('k') => self.choose(page, Choice::Before),
            Key::Down | Key::Text('j') => self.choose(page, Choice::Behind),
            Key::Escape => self.chosen = None,
            Key::Enter if can.log => return self.chosen_scope(page).map(Deed::Log),
            Key::Text('d') if can.diff => return self.chosen_scope(page).map(Deed::Diff),
            Key::Text('a') if can.answer => self.pane = Pane::Answer(AnswerPad::of(&open_questions(page))),
            Key::Text('s') if can.suspend => return Some(Deed::Suspend),
            Key::Text('r') if can.resume => return Some(Deed::Resume),
            Key::Text('x') if can.cancel => self.pane = Pane::Cancel,
            _ => {}
        }
        None
    }

    fn choose(&mut self, page: &Page<'_>, choice: Choice) {
        let rows = scopes(page);
        let Some(now) = self.chosen_scope(page).and_then(|scope| rows.iter().position(|row| *row == scope))
        else {
            return;
        };
        let then = match choice {
            Choice::Before => now.saturating_sub(1),
            Choice::Behind => (now + 1).min(rows.len().saturating_sub(1)),
        };
        self.chosen = rows.get(then).cloned();
    }

    /// The step that is chosen, or else the one that matters most now.
    pub(crate) fn chosen_scope(&self, page: &Page<'_>) -> Option<Scope> {
        let rows = scopes(page);
        self.chosen.clone().filter(|chosen| rows.contains(chosen)).or_else(|| most_telling(page, &rows))
    }

    /// The record of the step that is chosen, once its turn came.
    pub(crate) fn chosen_record<'a>(&self, page: &Page<'a>) -> Option<&'a StepRecord> {
        page.record.instance(&self.chosen_scope(page)?)
    }

    /// The lines of the view. `said` is what the chosen step said last.
    pub(crate) fn lines(&self, page: &Page<'_>, said: &Entries, times: &Times, size: Size) -> Vec<Line> {
        let columns = size.columns;
        let chosen = self.chosen_scope(page).filter(|_| self.has_keys);
        let (header, rows) = step_rows(page, times, columns);
        let marked = rows.iter().position(|row| Some(&row.scope) == chosen.as_ref());
        let mark = |(index, row): (usize, StepRow)| {
            if Some(index) == marked { row.line.marked() } else { row.line }
        };
        let (pane, is_whole) = self.pane_lines(page, said, times, size);
        laid_out(
            Parts {
                head: head_lines(page, times, columns),
                header,
                rows: rows.into_iter().enumerate().map(mark).collect(),
                chosen: marked,
                below: self.below(page, times, columns),
                pane,
                is_pane_whole: is_whole,
                notice: self.notice.as_ref().map(|(paint, text)| Line::of(*paint, format!(" {text}"))),
                foot: key_line(&self.keys(page), columns),
            },
            size.rows,
        )
    }

    fn below(&self, page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
        if !self.has_keys {
            return next_lines(page, times, columns).into_iter().map(Line::bounded).collect();
        }
        let mut lines = Vec::new();
        if !matches!(self.pane, Pane::Answer(_)) {
            for question in open_questions(page) {
                let asked = format!("{} ({})", question.prompt, asked_words(question, times));
                lines.extend(super::nexts::say_all("asks", &asked, columns));
            }
        }
        lines.extend(next_lines_beside_questions(page, times, columns).into_iter().map(Line::bounded));
        lines
    }

    /// The pane, and whether all of it has to be seen.
    fn pane_lines(&self, page: &Page<'_>, said: &Entries, times: &Times, size: Size) -> (Vec<Line>, bool) {
        let columns = size.columns;
        match &self.pane {
            Pane::Step if !self.has_keys => (Vec::new(), false),
            Pane::Step => (self.said_lines(page, said, size), false),
            Pane::Help => (keys::help(self.role, columns), true),
            Pane::Cancel => (cancel_lines(page, columns), true),
            Pane::Answer(pad) => (pad.lines(&open_questions(page), times, columns), true),
        }
    }

    fn said_lines(&self, page: &Page<'_>, said: &Entries, size: Size) -> Vec<Line> {
        let columns = size.columns;
        let Some(record) = self.chosen_record(page) else { return Vec::new() };
        let last = said.unfinished();
        let entries = said.iter().chain(&last).rev();
        let mut lines: Vec<Line> =
            entries.flat_map(|entry| entry.lines(columns).into_iter().rev()).take(size.rows).collect();
        lines.reverse();
        if lines.is_empty() {
            return lines;
        }
        let tries = record.attempts.iter().filter(|attempt| !attempt.probe).count();
        let right = if tries > 1 { format!("try {tries}") } else { String::new() };
        lines.insert(0, rule(record.step.as_str(), &right, columns));
        lines
    }
}

/// Which way a choice goes.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Before,
    Behind,
}

fn scopes(page: &Page<'_>) -> Vec<Scope> {
    super::rows::scopes(page)
}

/// The newest step at work, else the one that is asked about, else the first that failed, else the last that ended. Of
/// groups there is nothing to read.
fn most_telling(page: &Page<'_>, rows: &[Scope]) -> Option<Scope> {
    let records =
        || rows.iter().filter_map(|row| page.record.instance(row)).filter(|record| record.agent.is_some());
    let asked: Vec<_> = open_questions(page).iter().map(|question| &question.step).collect();
    let working = records().filter(|record| record.stage == StepStage::Working);
    working
        .max_by_key(|record| record.started_at)
        .or_else(|| records().find(|record| asked.contains(&&record.step)))
        .or_else(|| {
            records().find(|record| {
                matches!(record.stage, StepStage::Done { status: backstay_model::event::StepStatus::Failed })
            })
        })
        .or_else(|| records().max_by_key(|record| record.ended_at))
        .map(|record| record.scope.clone())
        .or_else(|| rows.first().cloned())
}

/// The questions that wait for an answer, the oldest first.
fn open_questions<'a>(page: &Page<'a>) -> Vec<&'a QuestionRecord> {
    page.record.questions.iter().filter(|question| question.closed_at.is_none()).collect()
}

fn cancel_lines(page: &Page<'_>, columns: usize) -> Vec<Line> {
    let working = page.record.steps.iter().filter(|step| step.stage == StepStage::Working);
    let names: Vec<&str> = working.map(|step| step.step.as_str()).collect();
    let at_work = if names.is_empty() { String::new() } else { format!(" At work: {}.", names.join(", ")) };
    let text =
        format!("What is at work is stopped, then `finally` runs.{at_work} Press x once more to cancel it.");
    let mut lines = vec![rule("cancel this run?", "", columns)];
    lines.extend(
        wrapped(&text, columns.saturating_sub(6))
            .iter()
            .map(|part| Line::of(Paint::Plain, format!("   {part}"))),
    );
    lines
}

/// The text of a prompt in front of an answer: all of it, in lines.
fn prompt_lines(text: &str, columns: usize) -> Vec<Line> {
    wrapped(text, columns.saturating_sub(6))
        .iter()
        .map(|part| Line::of(Paint::Plain, format!("   {}", cut_with_mark(part, columns.saturating_sub(3)))))
        .collect()
}

/// Whether a run in this state can still be told to stand still.
pub(crate) const fn can_suspend(status: RunStatus) -> bool {
    matches!(status, RunStatus::Queued | RunStatus::Running | RunStatus::Waiting)
}

#[cfg(test)]
mod tests;
