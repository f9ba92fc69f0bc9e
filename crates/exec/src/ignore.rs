//! Errors after which going on is safe.

use std::fmt::Debug;

/// Goes on after a failure; `reason` says why that is safe. A keeper has nobody to tell, so the log of its process has it.
pub(crate) fn ignore_error<T, E: Debug>(outcome: Result<T, E>, reason: &'static str) {
    if let Err(error) = outcome {
        tracing::debug!(?error, "{reason}");
    }
}
