//! What a run waits for, in words.

use backstay_model::event::{Actor, CheckoutBusy, SuspendReason};
use backstay_model::{Scope, StepId};

/// Why a run stands still, for people.
#[must_use]
pub fn why_suspended(by: &Actor, reason: &SuspendReason) -> String {
    match reason {
        SuspendReason::DiskFull => "the disk was full".to_owned(),
        SuspendReason::TakenOver => format!("{by} works in the session of an agent"),
        SuspendReason::OutputLost { scope, lost_bytes } => {
            let step = step_name(scope);
            format!(
                "`{step}` has no output: {lost_bytes} bytes of it could not be kept, no room was left; \
                 to do it again cancel the run, then `backstay retry --from {step}`"
            )
        }
        SuspendReason::NoProgress { scope, cycles } => {
            let step = step_name(scope);
            format!("loop `{step}`: {cycles} cycles without a change: the same tree and the same outputs")
        }
        SuspendReason::Asked | SuspendReason::Shutdown => format!("by {by}"),
    }
}

/// What a run waits for whose checkout another one works in, for people.
#[must_use]
pub fn busy_words(busy: &CheckoutBusy) -> String {
    match (&busy.held_by, busy.pid) {
        (Some(run), Some(pid)) => format!("waits for {run} (pid {pid}), which works in {}", busy.root),
        (Some(run), None) => format!("waits for {run}, which works in {}", busy.root),
        (None, Some(pid)) => format!("waits for process {pid}, which works in {}", busy.root),
        (None, None) => format!("waits for another process that works in {}", busy.root),
    }
}

fn step_name(scope: &Scope) -> &str {
    scope.step_id().map_or("", StepId::as_str)
}
