//! From a file to a plan, or to everything that is wrong with it.

mod agent_step;
mod agents;
mod ends;
mod inputs;
pub(crate) mod keys;
mod names;
mod needs;
mod order;
mod reader;
mod reading;
mod repeat;
mod replaced;
mod scalars;
mod script;
mod step;
mod workflow;
mod workspace;

pub use workflow::{AgentOverride, CheckInput, Checked, PresetTraits, ReadingFault, check};
