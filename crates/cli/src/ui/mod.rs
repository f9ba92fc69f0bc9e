//! How results look.

mod frame;
mod line;
mod live;
mod page;
mod rows;
mod story;
mod style;
mod time;

pub(crate) use frame::Frame;
pub(crate) use line::{Line, one_line};
pub(crate) use live::{LiveRun, Moment, last_words};
pub(crate) use page::{Held, Page, ending, head, holder, next_lines};
pub(crate) use rows::{step_table, table};
pub(crate) use story::story;
pub(crate) use style::{Paint, Style};
pub(crate) use time::{Times, parse_duration};
