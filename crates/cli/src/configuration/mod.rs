//! What is configured: the user's own configuration, over it that of the store, and which of both may execute something.
//!
//! [`Configuration`] is what was read. What executes programs, removes records or says what an agent may do is only in a
//! [`TrustedConfiguration`], which only the check of trust makes.

mod allowed;
mod file;
mod layers;
mod trusted;

pub(crate) use allowed::{allow, revoke};
pub(crate) use layers::{Configuration, Setting, StoreConfiguration, WhileUntrusted};
pub(crate) use trusted::TrustedConfiguration;
