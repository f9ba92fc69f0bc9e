//! The machines: pure functions from events and inputs to facts and wanted work.
//!
//! A [`topic::TopicMachine`] folds the events of a topic (`apply`), turns what was said and reported into facts
//! (`handle`), and says which outside work its state calls for (`desired`). [`record`] holds the folds that people
//! and programs read. There is no clock, no chance, no file and no thread in here.

pub mod effect;
pub mod record;
pub mod run;
pub mod topic;

mod answer;
mod context;
mod rejection;
mod report;

pub use answer::json_of;
pub use context::{DecisionContext, EffectHost};
pub use rejection::{Action, AnswerProblem, Malformation, Rejection};
pub use report::{AgentEnded, EndedBy, OutputProblem, ProcessEnded, Report, StopReason, Trouble, TurnEnd};
