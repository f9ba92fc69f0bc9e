//! Agents that are known by presets: how they are started, and what their streams say while they work.
//!
//! The engine decides what an agent is to do and in which session; here the preset makes a command of it
//! (`start`), its output is read as it comes (`observe`, `attend`), and what it said becomes reports.

mod agent_text;
mod follow;
mod json_schema;
mod pin;
mod prompt;
mod redact;
mod start;
mod translate;
mod version;

pub use agent_text::AgentText;
pub(crate) use follow::{AttendError, Attendant, Attended, Finding, Heard, Taken};
pub(crate) use json_schema::Shape;
pub use json_schema::schema_fault;
pub(crate) use pin::{Pinned, pin};
pub use pin::{changed_presets, preset_traits, reading_fault};
pub(crate) use prompt::prompt_text;
pub use start::StrangePreset;
pub(crate) use start::{AgentCase, CaseError, CommandFault, command};
pub(crate) use translate::Answer;
pub(crate) use version::Versions;
