//! The keys that work now.

use backstay_engine::record::RunStatus;

use super::{Console, Pane, Role, can_suspend, open_questions, scopes};
use crate::ui::page::Page;
use crate::ui::{Line, Paint, rule};

/// What can be done now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Can {
    pub(super) log: bool,
    pub(super) diff: bool,
    pub(super) answer: bool,
    pub(super) suspend: bool,
    pub(super) resume: bool,
    pub(super) cancel: bool,
}

/// Every key and what it does, for a person who asks.
const HELP: [(&str, &str); 9] = [
    ("↑↓ j k", "choose a step; esc follows what is at work again"),
    ("enter", "all that the step said; scrolls back, follows at the end"),
    ("d", "what the step changed in the git checkout"),
    ("a", "answer the question that is open"),
    ("s", "suspend: what is at work is stopped, and the run can be resumed"),
    ("r", "resume a run that stands still or has no owner, in the background"),
    ("x", "cancel: stop for good; asks once more"),
    ("Ctrl-Z", "back to the shell for a while; fg comes back"),
    ("q", "leave this view"),
];

impl Console {
    pub(super) fn can(&self, page: &Page<'_>) -> Can {
        let status = page.record.status;
        let attempts = self.chosen_record(page).map_or(&[][..], |record| &record.attempts);
        let is_asked = !open_questions(page).is_empty();
        let is_still = status == RunStatus::Suspended || page.is_interrupted();
        Can {
            log: attempts.iter().any(|attempt| attempt.folder.is_some()),
            diff: attempts.iter().any(|attempt| attempt.before.is_some()),
            answer: is_asked && status != RunStatus::Cancelling,
            suspend: can_suspend(status) && self.role != Role::Stops && !page.is_interrupted(),
            resume: is_still && matches!(self.role, Role::Watches | Role::Visits),
            cancel: !status.is_ended() && status != RunStatus::Cancelling,
        }
    }

    /// The keys that work now, those that are missed least in front.
    pub(super) fn keys(&self, page: &Page<'_>) -> Vec<(&'static str, &'static str)> {
        if !self.has_keys {
            return match self.role {
                Role::Watches | Role::Visits => vec![("Ctrl-C", "leave this view")],
                Role::Works => vec![("Ctrl-C", "suspend, twice: leave at once")],
                Role::Stops => vec![("Ctrl-C", "leave at once")],
            };
        }
        match &self.pane {
            Pane::Step => self.table_keys(page),
            Pane::Help => vec![("any key", "back")],
            Pane::Cancel => vec![("x", "yes, cancel the run"), ("esc", "no, back")],
            Pane::Answer(pad) => pad.keys(),
        }
    }

    fn table_keys(&self, page: &Page<'_>) -> Vec<(&'static str, &'static str)> {
        let can = self.can(page);
        let leave = match self.role {
            Role::Watches => ("q", "leave"),
            Role::Visits => ("esc", "back"),
            Role::Works | Role::Stops => ("q", "leave it"),
        };
        let stop = ("Ctrl-C", "leave at once");
        [
            (scopes(page).len() > 1, ("↑↓", "step")),
            (can.log, ("enter", "log")),
            (can.diff, ("d", "diff")),
            (can.answer, ("a", "answer")),
            (can.suspend, ("s", "suspend")),
            (can.resume, ("r", "resume")),
            (can.cancel, ("x", "cancel")),
            (self.role == Role::Stops, stop),
            (true, leave),
            (true, ("?", "help")),
        ]
        .into_iter()
        .filter_map(|(works, key)| works.then_some(key))
        .collect()
    }
}

/// What the keys do.
pub(super) fn help(role: Role, columns: usize) -> Vec<Line> {
    let mut lines = vec![rule("keys", "", columns)];
    let leave = match role {
        Role::Watches => "leave this view; the run goes on",
        Role::Visits => "back to the list; the run goes on",
        Role::Works | Role::Stops => "leave the run to a process in the background",
    };
    lines.extend(HELP.iter().map(|(key, meaning)| {
        let (key, meaning) = match (*key, role) {
            ("q", Role::Visits) => ("esc q", leave),
            ("q", _) => ("q", leave),
            ("↑↓ j k", Role::Visits) => ("↑↓ j k", "choose a step"),
            (key, _) => (key, *meaning),
        };
        Line::of(Paint::Bold, format!("   {key}")).filled_to(12).with(Paint::Plain, meaning)
    }));
    let ctrl_c = match role {
        Role::Watches | Role::Visits => "leave this view",
        Role::Works => "suspend; twice: leave at once, agents go on by themselves",
        Role::Stops => "leave at once, agents go on by themselves",
    };
    lines.push(Line::of(Paint::Bold, "   Ctrl-C").filled_to(12).with(Paint::Plain, ctrl_c));
    lines
}
