//! What is known about each agent CLI, and the command of one start.

mod command;
mod data;
mod load;
mod of_command;
mod reach;
mod sense;
mod template;

pub use backstay_model::event::Access;
pub use command::{
    Command, CommandError, CommandLine, Request, SchemaFile, ScreenCommand, ScreenRequest, SessionUse, Stdin,
    command_line,
};
pub use data::{DeliveryVia, LoginCheck, Preset, SchemaForm, SessionSource};
pub use load::{AgentTables, BUILT_IN, PresetError, Presets};
pub use of_command::ReadingError;
pub use reach::{AgentSetting, Reach};
