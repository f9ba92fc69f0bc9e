//! Backoff: when work that fails is tried again, and when a failure is logged.

use std::time::Duration;

/// The wait after the first failure.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The state of work that may fail.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    wait: Duration,
    not_before: Duration,
    error: String,
}

impl Backoff {
    /// Notes a failure at the monotonic time `now`. Returns whether to log it: the error is a new one, or the wait is longer than before.
    pub(super) fn failed(&mut self, error: String, now: Duration) -> bool {
        let (wait, is_news) = match &self.failing {
            None => (WAIT_FIRST, true),
            Some(last) => {
                let wait = (last.wait * 2).min(WAIT_MAX);
                (wait, wait > last.wait || error != last.error)
            }
        };
        self.failing = Some(Failing { wait, not_before: now + wait, error });
        is_news
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self) {
        self.failing = None;
    }

    /// Returns how long the work must wait at `now`; `None` if it may be tried.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        let left = self.failing.as_ref()?.not_before.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_twice_as_long_each_time_up_to_a_bound_and_tells_of_each_step() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.remaining(Duration::ZERO), None);
        let mut now = Duration::from_secs(7);
        let mut told = Vec::new();
        for expected_ms in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000] {
            told.push(backoff.failed("full".to_owned(), now));
            assert_eq!(backoff.remaining(now), Some(Duration::from_millis(expected_ms)));
            now += Duration::from_millis(expected_ms);
            assert_eq!(backoff.remaining(now), None);
        }
        assert_eq!(told, [true, true, true, true, true, true, true, true, true, false, false]);
        assert!(backoff.failed("another".to_owned(), now), "another error is news");
        assert!(!backoff.failed("another".to_owned(), now));
        backoff.succeeded();
        assert_eq!(backoff.remaining(now), None);
        assert!(backoff.failed("another".to_owned(), now), "and so is the same one after a success");
        assert_eq!(backoff.remaining(now), Some(WAIT_FIRST));
    }
}
