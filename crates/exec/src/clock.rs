//! The keeper's one clock: it stands still while the host sleeps.

use std::time::Instant;

/// The awake time now. On Linux this is `CLOCK_MONOTONIC`, on macOS `CLOCK_UPTIME_RAW`: neither counts a suspended host.
#[expect(clippy::disallowed_methods, reason = "the keeper is a process of its own: this is its one clock")]
pub(crate) fn awake() -> Instant {
    Instant::now()
}
