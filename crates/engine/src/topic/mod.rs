//! The machine of one topic.
//!
//! * [`TopicMachine::apply`] folds one event: the only way state changes.
//! * [`TopicMachine::handle`] turns one input (the inbox, a report, a tick) into all its consequences, for one append.
//! * [`TopicMachine::desired`] says which outside work the state calls for.
//!
//! It owns what every topic has (inbox, ownership, effects, questions, usage, the lease of the checkout) and the machine
//! of its root. Each part keeps its state to itself.

mod checkout;
mod inbox;
mod machine;
mod ownership;
mod pass;
mod questions;
mod usage;

pub(crate) use inbox::ReceivedInput;
pub use machine::TopicMachine;
pub(crate) use pass::DecisionPass;
pub use pass::{Emitted, Input, Outcome};
