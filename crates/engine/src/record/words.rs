//! What a run waits for, in words.

use backstay_model::event::{Actor, CheckoutBusy, SuspendReason};

/// Why a run stands still, for people.
#[must_use]
pub fn why_suspended(by: &Actor, reason: &SuspendReason) -> String {
    match reason {
        SuspendReason::DiskFull => "the disk was full".to_owned(),
        SuspendReason::TakenOver => format!("{by} works in the session of an agent"),
        SuspendReason::NoProgress { step, cycles } => {
            format!("loop `{step}`: {cycles} cycles without a change: the same tree and the same outputs")
        }
        SuspendReason::Asked | SuspendReason::Shutdown => format!("by {by}"),
    }
}

/// What a run waits for whose checkout another one works in, for people.
#[must_use]
pub fn busy_words(busy: &CheckoutBusy) -> String {
    let pid = busy.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    match &busy.held_by {
        Some(run) => format!("waits for {run}{pid}, which works in {}", busy.root),
        None => format!("waits for another process that works in {}", busy.root),
    }
}
