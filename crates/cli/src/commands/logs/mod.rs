//! `backstay logs`.

mod command;
mod follow;
mod last_lines;
mod lines;
mod printer;
mod source;
mod speech;
mod voice;
mod wanted;

pub(crate) use command::logs;
