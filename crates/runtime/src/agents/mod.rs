//! Agents that are known by presets: how they are started, and what their streams say while they work.
//!
//! The engine decides what an agent is to do and in which session; here the preset makes a command of it
//! (`start`), its output is read as it comes (`observe`, `attend`), and what it said becomes reports.

mod attend;
mod observe;
mod pin;
mod prompt;
mod redact;
mod shape;
mod spoken;
mod start;
mod version;

pub(crate) use attend::{AttendError, Attendant, Attended, Finding, Heard, Taken};
pub(crate) use observe::Answer;
pub(crate) use pin::{Pinned, pin};
pub use pin::{changed_presets, preset_traits, reading_fault};
pub(crate) use prompt::prompt_text;
pub(crate) use shape::Shape;
pub use shape::schema_fault;
pub use spoken::Spoken;
pub use start::StrangePreset;
pub(crate) use start::{AgentCase, CaseError, CommandFault, command};
pub(crate) use version::Versions;
