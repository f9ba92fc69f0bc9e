//! Giving an answer: which question, which option, or what text.

use backstay_engine::record::QuestionRecord;
use backstay_model::QuestionId;
use backstay_model::event::{Answer, QuestionOption};

use super::prompt_lines;
use crate::ui::nexts::asked_words;
use crate::ui::time::Times;
use crate::ui::typed::Key;
use crate::ui::{Line, Paint, cut_with_mark, rule, width};

/// Characters of a text that can be typed.
const TEXT_CHARS_MAX: usize = 4_000;

/// Where a person is in giving an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnswerPad {
    /// Among several questions.
    Questions {
        /// The one that is marked.
        marked: usize,
    },
    /// Among the options of a question.
    Options {
        question: QuestionId,
        /// The one that is marked: without one no answer is given.
        marked: Option<usize>,
        /// The beginning of an option's name.
        typed: String,
    },
    /// At a text.
    Text { question: QuestionId, text: String },
}

/// What came of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The answer.
    Answer(QuestionId, Answer),
    /// None is given for now.
    Nothing,
    /// It is not decided yet.
    On(AnswerPad),
}

impl AnswerPad {
    /// The beginning of an answer to the only one of `open`, or to one of them.
    pub(super) fn of(open: &[&QuestionRecord]) -> AnswerPad {
        match open {
            [only] => AnswerPad::to(only),
            [..] => AnswerPad::Questions { marked: 0 },
        }
    }

    /// The default is marked; without one nothing is, so that no answer is given by chance.
    fn to(question: &QuestionRecord) -> AnswerPad {
        let default = question.default.as_ref();
        if question.options.is_empty() {
            return AnswerPad::Text {
                question: question.question,
                text: default.cloned().unwrap_or_default(),
            };
        }
        let is_default = |name: &str| default.is_some_and(|default| default == name);
        let marked = question.options.iter().position(|option| is_default(&option.name));
        AnswerPad::Options { question: question.question, marked, typed: String::new() }
    }

    /// What `key` leads to. A question that was closed meanwhile takes no answer.
    pub(super) fn press(self, key: Key, open: &[&QuestionRecord]) -> Chosen {
        let find = |id: QuestionId| open.iter().find(|question| question.question == id);
        match self {
            AnswerPad::Questions { marked } => match (pick(key, marked, open.len()), key) {
                (_, Key::Escape) => Chosen::Nothing,
                (Some(marked), Key::Enter | Key::Text(_)) if is_decided(key) => match open.get(marked) {
                    Some(question) => Chosen::On(AnswerPad::to(question)),
                    None => Chosen::Nothing,
                },
                (marked_now, _) => Chosen::On(AnswerPad::Questions { marked: marked_now.unwrap_or(marked) }),
            },
            AnswerPad::Options { question, marked, typed } => {
                let Some(asked) = find(question) else { return Chosen::Nothing };
                let chosen = marked.and_then(|marked| asked.options.get(marked));
                match (key, chosen) {
                    (Key::Escape, _) => Chosen::Nothing,
                    (Key::Enter, Some(option)) => answer(question, &option.name),
                    (key, _) => {
                        let (marked, typed) = mark(key, marked, typed, &asked.options);
                        Chosen::On(AnswerPad::Options { question, marked, typed })
                    }
                }
            }
            AnswerPad::Text { question, mut text } => {
                match key {
                    Key::Escape => return Chosen::Nothing,
                    Key::Enter if find(question).is_none() => return Chosen::Nothing,
                    Key::Enter if !text.trim().is_empty() => return answer(question, text.trim()),
                    Key::Text(typed) if text.chars().count() < TEXT_CHARS_MAX => text.push(typed),
                    Key::Backspace => drop(text.pop()),
                    Key::Clear => text.clear(),
                    _ => {}
                }
                Chosen::On(AnswerPad::Text { question, text })
            }
        }
    }

    /// The keys that work.
    pub(super) fn keys(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            AnswerPad::Questions { .. } => vec![("↑↓ 1-9", "choose"), ("enter", "this one"), ("esc", "back")],
            AnswerPad::Options { marked: None, .. } => vec![("↑↓ 1-9 a-z", "choose"), ("esc", "not now")],
            AnswerPad::Options { .. } => {
                vec![("↑↓ 1-9 a-z", "choose"), ("enter", "answer"), ("esc", "not now")]
            }
            AnswerPad::Text { .. } => vec![("enter", "answer"), ("Ctrl-U", "clear"), ("esc", "not now")],
        }
    }

    /// The pane.
    pub(super) fn lines(&self, open: &[&QuestionRecord], times: &Times, columns: usize) -> Vec<Line> {
        let find = |id: &QuestionId| open.iter().find(|question| question.question == *id);
        match self {
            AnswerPad::Questions { marked } => {
                let mut lines = vec![rule("which question?", "", columns)];
                lines.extend(open.iter().enumerate().map(|(index, question)| {
                    choice(index, Some(*marked), question.step.as_str(), &question.prompt)
                }));
                lines
            }
            AnswerPad::Options { question, marked, typed } => {
                let Some(asked) = find(question) else { return vec![gone(columns)] };
                let mut lines = question_lines(asked, times, columns);
                let names = asked.options.iter().map(|option| width(&option.name)).max().unwrap_or(0);
                lines.extend(asked.options.iter().enumerate().map(|(index, option)| {
                    let name = format!("{:<names$}", option.name);
                    let is_default = asked.default.as_ref() == Some(&option.name);
                    let meaning = match (option.meaning.is_empty(), is_default) {
                        (_, false) => option.meaning.clone(),
                        (true, true) => "the default".to_owned(),
                        (false, true) => format!("{} (the default)", option.meaning),
                    };
                    choice(index, *marked, &name, &meaning)
                }));
                if !typed.is_empty() {
                    let no_one = if marked.is_none() { "  several options begin so, or none" } else { "" };
                    lines.push(
                        Line::of(Paint::Bold, "   > ")
                            .with(Paint::Plain, typed)
                            .with(Paint::Busy, "▏")
                            .with(Paint::Dim, no_one),
                    );
                }
                lines
            }
            AnswerPad::Text { question, text } => {
                let Some(asked) = find(question) else { return vec![gone(columns)] };
                let mut lines = question_lines(asked, times, columns);
                // The end of a long text is where it is written.
                let room = columns.saturating_sub(8);
                let hidden = width(text).saturating_sub(room);
                let shown: String = text.chars().skip(hidden).collect();
                lines.push(
                    Line::of(Paint::Bold, "   > ")
                        .with(Paint::Plain, if hidden > 0 { "…" } else { "" })
                        .with(Paint::Plain, shown)
                        .with(Paint::Busy, "▏"),
                );
                lines
            }
        }
    }
}

/// Whether a key that marks a question also chooses it: to open a question can be taken back.
const fn is_decided(key: Key) -> bool {
    matches!(key, Key::Enter | Key::Text('1'..='9'))
}

/// The place among `count` that `key` marks.
fn pick(key: Key, marked: usize, count: usize) -> Option<usize> {
    match key {
        Key::Up | Key::Text('k') => Some(marked.saturating_sub(1)),
        Key::Down | Key::Text('j') => Some((marked + 1).min(count.saturating_sub(1))),
        Key::Enter => Some(marked),
        Key::Text(typed) => {
            let number = typed.to_digit(10).and_then(|digit| usize::try_from(digit).ok())?;
            number.checked_sub(1).filter(|index| *index < count)
        }
        _ => None,
    }
}

/// The option that is marked after `key`, and what was typed of its name.
fn mark(
    key: Key,
    marked: Option<usize>,
    mut typed: String,
    options: &[QuestionOption],
) -> (Option<usize>, String) {
    let last = options.len().saturating_sub(1);
    match key {
        Key::Up => return (Some(marked.map_or(last, |marked| marked.saturating_sub(1))), String::new()),
        Key::Down => return (Some(marked.map_or(0, |marked| (marked + 1).min(last))), String::new()),
        Key::Text('1'..='9') if typed.is_empty() => {
            return (pick(key, 0, options.len()).or(marked), typed);
        }
        Key::Text(letter) if typed.chars().count() < TEXT_CHARS_MAX => typed.push(letter),
        Key::Backspace => drop(typed.pop()),
        Key::Clear => typed.clear(),
        _ => return (marked, typed),
    }
    let wanted = typed.trim().to_lowercase();
    let begins = |option: &&QuestionOption| option.name.to_lowercase().starts_with(&wanted);
    let is_whole = |option: &QuestionOption| option.name.to_lowercase() == wanted;
    let only = (options.iter().filter(begins).count() == 1).then(|| options.iter().position(|o| begins(&o)));
    (options.iter().position(is_whole).or_else(|| only.flatten()), typed)
}

fn answer(question: QuestionId, choice: &str) -> Chosen {
    Chosen::Answer(question, Answer { choice: choice.to_owned(), value: None })
}

fn question_lines(question: &QuestionRecord, times: &Times, columns: usize) -> Vec<Line> {
    let mut lines = vec![rule(&format!("{} asks", question.step), &asked_words(question, times), columns)];
    lines.extend(prompt_lines(&question.prompt, columns));
    lines
}

fn gone(columns: usize) -> Line {
    Line::of(Paint::Dim, cut_with_mark("   this question was answered meanwhile", columns))
}

fn choice(index: usize, marked: Option<usize>, name: &str, meaning: &str) -> Line {
    let is_marked = Some(index) == marked;
    Line::of(Paint::Bold, if is_marked { " › " } else { "   " })
        .with(Paint::Bold, format!("{}", index + 1))
        .with(Paint::Plain, "  ")
        .with(if is_marked { Paint::Bold } else { Paint::Plain }, name)
        .with(Paint::Plain, "  ")
        .with(Paint::Dim, meaning)
}
