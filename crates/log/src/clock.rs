//! The clocks of a store.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backstay_model::{LogId, Timestamp};

use crate::error::{OpenError, StoreError};

/// The two clocks that a store needs. Tests use fixed ones.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock, for the times of events.
    fn now(&self) -> Timestamp;

    /// A clock that never goes back, for watching an owner. Its zero has no meaning.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the default clock of a store is an edge")]
    fn default() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the default clock of a store is an edge")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Timestamp::from_micros(micros)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Draws the id of a new log.
pub(crate) fn draw_log_id(at: Timestamp) -> Result<LogId, OpenError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|source| StoreError::Io {
        action: "draw an id from",
        location: "the system's random numbers".into(),
        source: source.into(),
    })?;
    Ok(LogId::new(at, u128::from_ne_bytes(bytes)))
}
