//! From a file to a plan, or to the diagnostics of everything that is wrong with it.

mod agent_overrides;
mod agent_step;
mod agents;
mod failure_rules;
mod inputs;
pub(crate) mod keys;
mod needs;
mod order;
mod reader;
mod reading;
mod references;
mod repeat;
mod scalars;
mod script;
mod step;
mod workflow;
mod workspace;

pub use workflow::{AgentOverride, CheckInput, Checked, PresetTraits, ReadingFault, check};
