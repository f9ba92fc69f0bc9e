//! The keeper's clocks: one that stands still while the host sleeps, for budgets, and the wall clock, for what people read.

use std::time::{Duration, Instant, SystemTime};

use backstay_model::Timestamp;

/// What is further away than this never comes: a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The awake time now. On Linux this is `CLOCK_MONOTONIC`, on macOS `CLOCK_UPTIME_RAW`: neither counts a suspended host.
#[expect(clippy::disallowed_methods, reason = "the keeper is a process of its own: this is its clock")]
pub(crate) fn awake() -> Instant {
    Instant::now()
}

/// The time of day now. It may go back.
#[expect(clippy::disallowed_methods, reason = "the keeper is a process of its own: this is its clock")]
pub(crate) fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// The moment `duration` after `from`. A duration that somebody gives may be longer than any clock can tell.
pub(crate) fn after(from: Instant, duration: Duration) -> Instant {
    from + duration.min(FAR)
}
