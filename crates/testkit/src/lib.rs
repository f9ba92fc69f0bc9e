//! What the tests of several crates share. Never published.
//!
//! [`Endpoint`] is a model provider on a local port that plays a [`Script`]: it speaks the dialects of the agent CLIs, so
//! that the real programs can be driven without a network, an account or a cost. [`mutate`] tries random inputs from
//! a seed, [`run_within`] runs what may never end.

mod bounded;
mod dialect;
mod endpoint;
mod random;
mod reply;
mod script;

pub use bounded::run_within;
pub use dialect::Dialect;
pub use endpoint::{Counted, Endpoint, Received};
pub use random::{Random, mutate};
pub use script::{Answer, Refusal, Script, ToolCall, Turns};
