//! What is asked for.

use backstay_engine::record::{AttemptRecord, StepRecord};
use backstay_exec::Secrets;
use backstay_exec::spool::Stream;

use crate::address::Address;

/// What is asked for.
pub(super) struct Wanted {
    pub(super) address: Option<Address>,
    pub(super) stream: Option<Stream>,
    pub(super) is_raw: bool,
    /// A time is to stand before each line.
    pub(super) has_times: bool,
    /// Those that this process knows: what is decoded here was not looked through before.
    pub(super) secrets: Secrets,
}

impl Wanted {
    pub(super) fn has(&self, stream: Stream) -> bool {
        self.stream.is_none_or(|only| only == stream)
    }

    /// What stands above what an attempt wrote, where the step wrote more.
    pub(super) fn mark(&self, step: &StepRecord, attempt: &AttemptRecord) -> Option<String> {
        let is_one_cycle = self.address.as_ref().is_some_and(Address::is_of_cycle);
        let cycle = step.cycle().filter(|_| !is_one_cycle).map(|cycle| format!("cycle {cycle}"));
        let number = attempt.attempt.0;
        let attempt = (number > 1).then(|| format!("attempt {number}"));
        let parts: Vec<String> = cycle.into_iter().chain(attempt).collect();
        (!self.is_raw && !parts.is_empty()).then(|| parts.join(", "))
    }
}
