//! The machines: pure functions from events and inputs to facts and wanted work.
//!
//! A [`run::RunMachine`] folds the events of a run's topic (`apply`), turns what was said and reported into facts
//! (`handle`), and says which outside work its state calls for (`desired`). [`record`] holds the folds that people
//! and programs read. There is no clock, no chance, no file and no thread in here.

pub mod record;
pub mod run;

mod answer;
mod env;
mod report;

pub use answer::json_of;
pub use env::{Env, Performer};
pub use report::{AgentEnded, EndedBy, OutputProblem, ProcessEnded, Report, StopReason, Trouble, TurnEnd};
