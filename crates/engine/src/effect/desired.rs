//! What the runtime has to bring about.

use backstay_model::Attempt;

use crate::StopReason;

/// What the runtime has to bring about for one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It is to begin: the machine decides with a host at hand.
    Start(Attempt),
    /// It is in flight and shall be. Where it is not, it has to be recovered.
    Hold(Attempt),
    /// It is in flight and shall not be. Stays until its end is folded.
    Stop(Attempt, StopReason),
}
