//! From YAML to a checked plan, or to diagnostics that say where and how to mend it.

mod bind;
mod check;
pub mod codes;
mod diagnostic;
pub mod expression;
pub mod plan;
mod schema;
mod script_preview;
mod text;
mod yaml;

pub use bind::{Given, InputProblem, Inputs};
pub use check::{AgentOverride, CheckInput, Checked, PresetTraits, ReadingFault, check};
pub use diagnostic::{Diagnostic, Fix, Fixed, Repair, Severity, Withheld, apply_fixes, nearest};
pub use schema::json_schema;
pub use script_preview::first_command;
