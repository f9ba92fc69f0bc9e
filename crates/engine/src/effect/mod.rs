//! Outside work: its state, and what a state calls for.

mod desired;
mod ledger;

pub use desired::Desired;
pub use ledger::OutputRead;
pub(crate) use ledger::{EffectLedger, EffectPhase, Hold};
