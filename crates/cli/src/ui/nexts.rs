//! Why a run ended or stands still, what it asks, and what can be done next.

use std::borrow::Cow;

use backstay_engine::record::{
    InterventionRecord, PlanRecord, QuestionRecord, RunRecord, RunStatus, StepRecord, StepStage, busy_words,
};
use backstay_exec::ScreenState;
use backstay_files::shell_word;
use backstay_model::event::{FailureClass, QuestionOption, StepStatus};
use backstay_model::{QuestionId, StepId};
use backstay_workflow::plan::{Step, Verb};

use crate::found::log_in;

use super::line::{width, wrapped};
use super::page::{Held, Page, short};
use super::time::Times;
use super::tries::{failed_tries, interruptions};
use super::{Line, Paint};

/// The name of a workflow that `exec` made of its arguments, and what stands for its file.
pub(crate) const EXEC_NAME: &str = "exec";
/// Columns of the word in front of a line.
const LABEL_COLUMNS: usize = 7;

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
    lines.extend(asked);
    if let Some(at) = record.trimmed_at {
        let text = format!("its events and files, {}; this record is what is left", times.minute(at));
        lines.extend(say_all("freed", &text, columns));
    }
    lines.extend(nexts(page, times, columns));
    lines.extend(worktrees(page, columns));
    for plan in &record.plans {
        lines.extend(say_all("plan", &plan_words(plan, times), columns));
    }
    for InterventionRecord { step, done, .. } in &record.interventions {
        let (from, until) = (times.minute(done.from), times.minute(done.until));
        let text = format!("{step} by {} in the session of {}, {from} to {until}", done.by, done.agent);
        lines.push(Line::of(Paint::Plain, " ").with(Paint::Warn, "taken over  ").with(Paint::Plain, text));
    }
    if let Some(tries) = failed_tries(record) {
        lines.extend(warning_lines("failed tries ", &tries, columns));
    }
    for text in interruptions(record, times) {
        lines.extend(warning_lines("interrupted ", &text, columns));
    }
    lines
}

/// What a plan that took the place of the one before changed.
fn plan_words(plan: &PlanRecord, times: &Times) -> String {
    let redefined: Vec<String> =
        plan.steps.iter().map(|step| format!("{} {}", step.step, step.redefinition.as_str())).collect();
    let redefined = if redefined.is_empty() { "no step changed".to_owned() } else { redefined.join(", ") };
    let anew: Vec<&str> = plan.anew.iter().map(StepId::as_str).collect();
    let anew = if anew.is_empty() { String::new() } else { format!("; re-run: {}", anew.join(", ")) };
    format!("{} as of {}: {redefined}{anew}", plan.workflow.file, times.minute(plan.at))
}

/// A line with a label, and what does not fit below it.
fn warning_lines(label: &'static str, text: &str, columns: usize) -> impl Iterator<Item = Line> {
    let parts = wrapped(text, columns.saturating_sub(1 + width(label)));
    parts.into_iter().enumerate().map(move |(index, part)| {
        let line = Line::of(Paint::Plain, " ");
        let line = if index == 0 { line.with(Paint::Warn, label) } else { line.filled_to(1 + width(label)) };
        line.with(Paint::Plain, part)
    })
}

pub(super) fn say(label: &str, text: String) -> Line {
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
        let name = if open.len() == 1 { short(page.record.run) } else { question.question.to_string() } + " ";
        let prompt = format!("{} ({})", question.prompt, asked_words(question, times));
        let answers = answers(&name, question);
        let answers = answers.iter().map(|(command, meaning)| (command.clone(), meaning.as_str()));
        let mut lines = say_all("asks", &prompt, columns);
        lines.extend(commands("", &answers.collect::<Vec<_>>(), columns));
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

/// The commands that answer a question, with what each leads to. `name` is the question's with a blank, or empty.
pub(crate) fn answers(name: &str, question: &QuestionRecord) -> Vec<(String, String)> {
    if question.options.is_empty() {
        return vec![(format!("backstay answer {name}TEXT"), "any text".to_owned())];
    }
    let command = |option: &QuestionOption| {
        let choice = if option.name.contains(|c: char| !(c.is_alphanumeric() || "._-".contains(c))) {
            format!("'{}'", option.name.replace('\'', "'\\''"))
        } else {
            option.name.clone()
        };
        (format!("backstay answer {name}{choice}"), option.meaning.clone())
    };
    question.options.iter().map(command).collect()
}

/// The commands that make sense now.
pub(crate) fn nexts(page: &Page<'_>, times: &Times, columns: usize) -> Vec<Line> {
    let steps = steps_from_here(page, &short(page.record.run), times);
    let steps: Vec<_> = steps.iter().map(|(command, does)| (command.clone(), does.as_ref())).collect();
    commands("next", &steps, columns)
}

/// Where the work is of a run that has ended and worked beside the checkout.
fn worktrees(page: &Page<'_>, columns: usize) -> Vec<Line> {
    let record = page.record;
    let made = page.plan.walk().filter(|step| matches!(step.verb, Verb::Worktree(_)));
    let made = made
        .filter_map(|step| record.step(&step.id))
        .filter(|record| matches!(record.stage, StepStage::Done { status: StepStatus::Succeeded }));
    let paths = made.filter_map(|record| record.summary.as_deref());
    let is_over = record.status.is_ended() && record.trimmed_at.is_none();
    let text = |path: &str| format!("its work in {path}: commit there what is to stay, and merge its branch");
    paths.filter(|_| is_over).flat_map(|path| say_all("left", &text(path), columns)).collect()
}

/// Commands below each other, with what they do behind them, or below where there is no room. A command is never cut.
pub(super) fn commands(label: &str, commands: &[(String, &str)], columns: usize) -> Vec<Line> {
    let widest = commands.iter().map(|(command, _)| width(command)).max().unwrap_or(0);
    let meaning_at = LABEL_COLUMNS + widest + 2;
    let fits = |(_, meaning): &(String, &str)| meaning_at + width(meaning) <= columns;
    let are_beside = commands.iter().all(fits);
    let lines = |(index, (command, meaning)): (usize, &(String, &str))| {
        let line = say(if index == 0 { label } else { "" }, command.clone());
        if are_beside {
            return vec![line.filled_to(meaning_at).with(Paint::Dim, meaning)];
        }
        let below = wrapped(meaning, columns.saturating_sub(LABEL_COLUMNS + 2));
        let below =
            below.iter().map(|part| Line::default().filled_to(LABEL_COLUMNS + 2).with(Paint::Dim, part));
        std::iter::once(line.whole()).chain(below).collect()
    };
    commands.iter().enumerate().flat_map(lines).collect()
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

/// The step by which a failed run failed, groups not counted: of a group or loop the first in it that failed in its last pass.
pub(super) fn failed<'a>(page: &Page<'a>) -> Option<&'a StepRecord> {
    if page.record.status != RunStatus::Failed {
        return None;
    }
    // What an earlier plan had is not of this one.
    let named = page.record.failed_step.as_ref()?;
    let planned = page.plan.walk().find(|planned| planned.id == *named)?;
    first_failed_in(planned, page.record)
}

fn first_failed_in<'a>(planned: &Step, record: &'a RunRecord) -> Option<&'a StepRecord> {
    if planned.children().is_empty() {
        let is_failed =
            |step: &&StepRecord| matches!(step.stage, StepStage::Done { status: StepStatus::Failed });
        return record.step(&planned.id).filter(is_failed);
    }
    planned.children().iter().find_map(|inner| first_failed_in(inner, record))
}

/// What ends the wait for a limit, whose end may have been told wrong, or lifted.
fn ask_at_once(id: &str) -> Next {
    (format!("backstay resume {id} --now"), Cow::Borrowed("asks the agent again at once"))
}

/// A command, and what it does.
type Next = (String, Cow<'static, str>);

/// Commands that make sense now.
fn steps_from_here(page: &Page<'_>, id: &str, times: &Times) -> Vec<Next> {
    let record = page.record;
    if record.trimmed_at.is_some() {
        return Vec::new();
    }
    let is_at_rest = page.is_interrupted() || record.status == RunStatus::Suspended;
    if let Some(ScreenState::Open(screen)) = is_at_rest.then(|| page.open_screen()).flatten() {
        let of = screen.map_or_else(|| "an agent".to_owned(), |screen| screen.on.agent);
        let does = format!("goes on, and first ends the screen of {of} that is open in its session");
        return vec![(format!("backstay resume {id} --take-over"), Cow::Owned(does))];
    }
    let resume = |does| vec![(format!("backstay resume {id}"), Cow::Borrowed(does))];
    if page.is_interrupted() {
        let mut commands = resume(match page.limit() {
            Some(_) => "waits for the limit here, and goes on",
            None if page.agents_alive() == 0 && page.has_work_in_the_dark() => {
                "finds out what became of the work"
            }
            None => "finds the agents again and goes on",
        });
        commands.extend(page.limit().map(|_| ask_at_once(id)));
        return commands;
    }
    match record.status {
        RunStatus::Queued if page.held == Held::Nobody => resume("works on it here"),
        RunStatus::Suspended | RunStatus::Suspending => match page.limit() {
            Some(_) => {
                let mut commands = resume("goes on where it stands, and waits for the limit");
                commands.push(ask_at_once(id));
                commands
            }
            None => resume("goes on where it stands"),
        },
        RunStatus::Failed => after_failure(page, id, times),
        RunStatus::Cancelled => {
            vec![(format!("backstay retry {id}"), Cow::Borrowed("takes it up again"))]
        }
        RunStatus::Running => page.limit().map(|_| ask_at_once(id)).into_iter().collect(),
        RunStatus::Queued | RunStatus::Waiting | RunStatus::Cancelling | RunStatus::Completed => Vec::new(),
    }
}

/// What can be done with a run that failed: first what another try needs to end otherwise.
fn after_failure(page: &Page<'_>, id: &str, times: &Times) -> Vec<Next> {
    let again = |does: Cow<'static, str>| (format!("backstay retry {id}"), does);
    let Some(step) = failed(page) else {
        return vec![again("tries what did not succeed again".into())];
    };
    let mut commands = Vec::new();
    let agent = step.attempts.last().and_then(|attempt| attempt.agent.as_ref());
    let name = step.agent.as_deref().unwrap_or("the agent");
    let does = match step.failure {
        Some(FailureClass::Login) => match agent.and_then(|agent| log_in(&agent.preset)) {
            Some(log_in) => {
                commands.push((log_in.to_owned(), "logs in, before it is tried again".into()));
                "tries what did not succeed again".into()
            }
            None => format!("tries again, once you are logged in with {name}").into(),
        },
        Some(FailureClass::Refused) => {
            format!("tries again, once the provider of {name} no longer refuses it").into()
        }
        Some(FailureClass::RateLimit) => {
            match agent.and_then(|agent| agent.limit_ends_at).filter(|end| *end > times.now) {
                Some(end) => {
                    format!("tries again, after {}, when {name}'s limit ends", times.minute(end)).into()
                }
                None => "tries what did not succeed again".into(),
            }
        }
        _ => "tries what did not succeed again".into(),
    };
    commands.push(again(does));
    commands.extend(with_another_agent(page, step, id));
    commands.push((format!("backstay skip {id} {}", step.step), "goes on without it".into()));
    if step.failure != Some(FailureClass::Spawn) {
        commands.push((format!("backstay logs {id} {}", step.step), "what it said".into()));
    }
    commands
}

/// The command by which another agent does the step, where its own cannot work.
fn with_another_agent(page: &Page<'_>, step: &StepRecord, id: &str) -> Option<Next> {
    let is_unfit = matches!(
        step.failure,
        Some(FailureClass::Login | FailureClass::Refused | FailureClass::RateLimit | FailureClass::Spawn)
    );
    let planned = page.plan.walk().find(|planned| planned.id == step.step).filter(|_| is_unfit)?;
    let Verb::Agent { agent, .. } = &planned.verb else { return None };
    let file = page.record.workflow.as_ref().map(|workflow| workflow.file.as_str())?;
    if file == EXEC_NAME {
        let does = format!("begins anew, with another agent than {agent}");
        return Some(("backstay exec OTHER PROMPT".to_owned(), does.into()));
    }
    let command = format!("backstay retry {id} --workflow {} --agent {agent}=OTHER", shell_word(file));
    Some((command, format!("has another agent do what {agent} does").into()))
}
