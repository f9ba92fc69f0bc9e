//! How results look.

mod beats;
mod frame;
mod keys;
mod line;
mod live;
mod pace;
mod page;
mod person;
mod rows;
mod story;
mod style;
mod time;

pub(crate) use frame::Frame;
pub(crate) use line::{Line, one_line, width};
pub(crate) use live::{LiveRun, Moment, last_words};
pub(crate) use pace::Pace;
pub(crate) use page::{Held, Page, asks, ending, head, holder, next_lines, nexts, short};
pub(crate) use person::{Listen, Person, Wish, key_line};
pub(crate) use rows::{step_table, table};
pub(crate) use story::story;
pub(crate) use style::{Paint, Style};
pub(crate) use time::{Times, parse_duration};
