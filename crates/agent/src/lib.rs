//! Agent CLIs as data: how each is started and resumed, and what its event stream says.
//!
//! A [`Preset`] is what is known about one CLI, from a versioned file that a user's configuration can change field by
//! field; [`command_line`] makes the command of one start from it. A [`Reader`] turns the bytes that the agent writes into
//! [`AgentEvent`]s, each with the place in the spool behind it, so that reading can go on there after any crash.
//! [`Progress`] folds them into what people want to see. No process is started here and no clock is read.

// What is printed is for the command to say: a macro that prints panics where nobody takes it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod preset;
mod progress;
mod stream;
mod trouble;

pub use preset::{
    Access, AgentSetting, AgentTables, BUILT_IN, Command, CommandError, CommandLine, DeliveryVia, LoginCheck,
    Preset, PresetError, Presets, Reach, ReadingError, Request, SchemaFile, SchemaForm, ScreenCommand,
    ScreenRequest, SessionSource, SessionUse, Stdin, command_line,
};
pub use progress::{Obstacle, Progress, Tally};
pub use stream::{
    AgentEvent, Counts, LINE_BYTES_MAX, LineRules, Observed, Part, Reader, StreamFormat, Usage, UsageSpan,
    WHAT_CHARS_MAX, one_line,
};
pub use trouble::{Pattern, Patterns, Reset, Symptom};
