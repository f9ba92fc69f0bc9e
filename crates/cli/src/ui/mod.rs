//! How results look.

mod agents;
mod beats;
mod console;
mod difference;
mod entries;
mod failure;
mod frame;
mod ids;
mod keys;
mod line;
mod live;
mod nexts;
mod outlet;
mod pace;
mod page;
#[cfg(test)]
mod pages;
mod person;
mod question_teller;
mod reader;
mod rows;
mod sanitize;
mod size;
mod state;
mod story;
mod style;
mod time;
mod typed;
mod words;

pub(crate) use agents::{amount, dollars, limit_words, unowned_limit_words};
pub(crate) use console::{Console, Deed, Parts, Role, can_suspend, laid_out};
pub(crate) use difference::DiffPaint;
pub(crate) use entries::{Entries, Entry};
pub(crate) use failure::failure_lines;
pub(crate) use frame::{Frame, Size};
pub(crate) use ids::beginnings;
pub(crate) use line::{Line, cut_in_the_middle, cut_with_mark, rule, width, wrapped};
pub(crate) use live::{LiveRun, Moment, last_words};
pub(crate) use nexts::{answers, asked_words, next_lines, nexts};
pub(crate) use outlet::Offered;
pub(crate) use pace::Pace;
pub(crate) use page::{Held, Page, ending, short, show_page};
#[cfg(test)]
pub(crate) use pages::screens;
pub(crate) use person::{Listen, Person, Wish, key_line};
pub(crate) use question_teller::QuestionTeller;
pub(crate) use reader::{Reader, Reads};
pub(crate) use rows::{step_table, table};
pub(crate) use sanitize::{Colours, Moves, Sanitizer, as_shown, json, one_line, words};
pub(crate) use size::{bytes, parse_bytes};
pub(crate) use story::story;
pub(crate) use style::{Paint, Style};
pub(crate) use time::{Times, clock, duration, parse_duration};
pub(crate) use typed::Key;
pub(crate) use words::{counted, shell_word};
