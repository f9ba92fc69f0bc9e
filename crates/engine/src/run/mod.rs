//! The machine of one run.
//!
//! * [`RunMachine::apply`] folds one event: the only way state changes.
//! * [`RunMachine::handle`] turns one input (the inbox, a report, a tick) into all its consequences, for one append.
//! * [`RunMachine::desired`] says which outside work the state calls for.

mod advance;
mod agent_work;
mod agents;
mod apply;
mod asks;
mod availability;
mod budget;
mod definition;
mod desired;
mod handover;
mod judge;
mod loops;
mod place;
mod redefine;
mod reports;
mod settle;
mod state;
mod summary;
mod turn;
mod values;
mod work;

#[cfg(test)]
mod tests;

pub use agent_work::AgentWork;
pub use agents::SaidUntil;
pub use definition::{Definition, DefinitionError};
pub use desired::Desired;
pub use redefine::{ForeignPlan, RetryOutlook};
pub use state::{Phase, RunEnd, RunMachine};
pub use turn::{Emitted, Input, Outcome};
pub use work::Work;
