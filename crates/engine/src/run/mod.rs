//! The machine of one run: what its steps, loops and agents come to.

mod agenda;
mod agent_attempts;
mod agent_spec;
mod apply;
mod attempt_outcome;
mod availability;
mod budget;
mod effect_spec;
mod handover;
mod inputs;
mod instance;
mod loops;
mod plan_index;
mod redefine;
mod reports;
mod schedule;
mod state;
mod step_questions;
mod summary;
mod task;
mod values;

#[cfg(test)]
mod tests;

pub use effect_spec::EffectSpec;
pub use plan_index::{PlanIndex, PlanIndexError};
pub use redefine::{ForeignPlan, RetryOutlook};
pub use state::{Phase, RunEnd, RunMachine};
pub use task::{AgentTask, Opening, Predecessor, Prompt, Task, WorktreeTask};
