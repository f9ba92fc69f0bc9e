//! The plan of a checked workflow file, with every name resolved and every duration a number.
//!
//! A plan is data. The store keeps it as a blob of JSON, and the first event of a run names its digest: a run keeps its plan when
//! the file changes.

mod agent;
mod failure;
mod step;
mod workflow;

pub use agent::{AgentKind, AgentOptions, AgentSpec, OnLimit, SessionRule, Via, command_preset};
pub use failure::{AfterCrash, ExitCodes, RetryClass, RetryPolicy};
pub use step::{OnExhausted, OutputFormat, Repeat, Step, Verb, Worktree};
pub use workflow::{
    Budget, EnvSpec, GROUP_DEPTH_MAX, InputSpec, InputType, OnExceeded, OutputSpec, PLAN_VERSION, Plan,
};
