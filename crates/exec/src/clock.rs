//! The keeper's one clock: it stands still while the host sleeps.

use std::time::{Duration, Instant};

/// What is further away than this never comes: a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The awake time now. On Linux this is `CLOCK_MONOTONIC`, on macOS `CLOCK_UPTIME_RAW`: neither counts a suspended host.
#[expect(clippy::disallowed_methods, reason = "the keeper is a process of its own: this is its one clock")]
pub(crate) fn awake() -> Instant {
    Instant::now()
}

/// The moment `duration` after `from`. A duration that somebody gives may be longer than any clock can tell.
pub(crate) fn after(from: Instant, duration: Duration) -> Instant {
    from + duration.min(FAR)
}
