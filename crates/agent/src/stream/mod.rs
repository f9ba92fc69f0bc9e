//! Event streams of agent CLIs: bytes in, typed events out.

mod claude;
mod codex;
mod event;
mod gemini;
mod lines;
mod opencode;
mod reader;
mod rules;
mod what;

pub use event::{AgentEvent, Observed, Part, Usage, UsageSpan};
pub use lines::LINE_BYTES_MAX;
pub use reader::{Counts, Reader, StreamFormat};
pub use rules::LineRules;
pub use what::{WHAT_CHARS_MAX, one_line};
