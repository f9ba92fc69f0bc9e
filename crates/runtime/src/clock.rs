//! The clocks.

use std::fmt;
use std::time::{Duration, SystemTime};

use backstay_model::Timestamp;

/// What tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn wall(&self) -> Timestamp;

    /// For how long the host has slept since it was booted; zero where the platform cannot tell.
    fn asleep(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn asleep(&self) -> Duration {
        asleep::since_boot()
    }
}

#[cfg(target_os = "linux")]
mod asleep {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// `CLOCK_BOOTTIME` goes on while the host sleeps, `CLOCK_MONOTONIC` stands still (clock_gettime(2)).
    pub(super) fn since_boot() -> Duration {
        let (with_sleep, awake) = (clock_gettime(ClockId::Boottime), clock_gettime(ClockId::Monotonic));
        let nanos =
            |time: rustix::time::Timespec| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
        Duration::from_nanos(u64::try_from(nanos(with_sleep) - nanos(awake)).unwrap_or(0))
    }
}

#[cfg(not(target_os = "linux"))]
mod asleep {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// On Darwin `CLOCK_MONOTONIC` goes on while the host sleeps; `Instant` there stands still, but has no epoch to
    /// compare with, so the sleep is not told.
    pub(super) fn since_boot() -> Duration {
        let _monotonic: rustix::time::Timespec = clock_gettime(ClockId::Monotonic);
        Duration::ZERO
    }
}
