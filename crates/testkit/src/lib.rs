//! What the tests of several crates share. Never published.
//!
//! [`Endpoint`] is a model provider on a local port that plays a [`Script`]: it speaks the dialects of the agent CLIs, so
//! that the real programs can be driven without a network, an account or a cost.

mod dialect;
mod endpoint;
mod reply;
mod script;

pub use dialect::Dialect;
pub use endpoint::{Endpoint, Received};
pub use script::{Answer, Refusal, Script, ToolCall};
