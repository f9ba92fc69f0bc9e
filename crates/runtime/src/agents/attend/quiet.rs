//! Since when an agent gives no sign of life, or does not get over what is in its way.

use std::time::Duration;

use backstay_agent::Obstacle;
use backstay_exec::waited;
use backstay_model::Timestamp;
use camino::Utf8Path;
use tokio::time::Instant;

use super::{Attended, EndedFor, Heard};
use crate::agents::observe::Observer;

/// How long a process whose turn is over may stay before it is ended; its result is taken all the same.
pub(super) const OVER_GRACE: Duration = Duration::from_secs(30);
/// How long an agent may try by itself to get over what is in its way, by its kind: then its attempt is ended, so that the
/// step can wait visibly, or another agent take its place.
const LOGIN_PATIENCE: Duration = Duration::from_secs(10);
const LIMIT_PATIENCE: Duration = Duration::from_secs(120);
const NETWORK_PATIENCE: Duration = Duration::from_secs(600);

/// Since when an agent has nothing more to do, or does not get over what is in its way.
pub(super) struct Still {
    life: u64,
    offset: u64,
    obstacle: Option<Obstacle>,
    since: Instant,
    is_ended: bool,
}

impl Still {
    pub(super) fn new(at: Instant) -> Still {
        Still { life: 0, offset: 0, obstacle: None, since: at, is_ended: false }
    }

    /// Whether its process is to be ended, at `now`, which is `at` by the clock that only runs on. That is said once.
    pub(super) fn look(&mut self, observer: &Observer, now: Timestamp, at: Instant) -> Option<EndedFor> {
        let obstacle = observer.obstacle();
        // What is in its way stays the same, however often and in which words it says so.
        let is_same =
            obstacle.map(std::mem::discriminant) == self.obstacle.as_ref().map(std::mem::discriminant);
        let is_at_work =
            observer.life() != self.life || observer.is_over() && observer.offset() != self.offset;
        if is_at_work || !is_same {
            let (life, offset, obstacle) = (observer.life(), observer.offset(), obstacle.cloned());
            *self = Still { life, offset, obstacle, is_ended: self.is_ended, ..Still::new(at) };
        }
        let (patience, why) = match obstacle {
            _ if observer.is_over() => (OVER_GRACE, EndedFor::NothingToDo),
            None => return None,
            Some(Obstacle::Limit { .. }) => (LIMIT_PATIENCE, EndedFor::Obstacle),
            Some(Obstacle::Login { .. } | Obstacle::Refused { .. }) => (LOGIN_PATIENCE, EndedFor::Obstacle),
            Some(Obstacle::Network { .. }) => (NETWORK_PATIENCE, EndedFor::Obstacle),
        };
        let ends_late = observer.limit_ends(now).is_some_and(|at| at.since(now) > LIMIT_PATIENCE);
        let patience = if ends_late { patience.min(LOGIN_PATIENCE) } else { patience };
        let is_due = at.duration_since(self.since) >= patience && !self.is_ended;
        self.is_ended |= is_due;
        is_due.then_some(why)
    }
}

/// Since when an agent gives no sign of life.
pub(super) struct Idle {
    life: u64,
    since: Instant,
    is_announced: bool,
    is_over: bool,
    /// What its waits for people came to when they were looked at last.
    waited: Duration,
}

impl Idle {
    pub(super) fn new() -> Idle {
        Idle { life: 0, since: Instant::now(), is_announced: false, is_over: false, waited: Duration::ZERO }
    }

    /// Whether it asks a person, or did since it was looked at last: meanwhile its stream says nothing, and it is not silent.
    fn asks(&mut self, attempt: &Utf8Path) -> bool {
        let waited = waited(attempt);
        let more = waited.total.saturating_sub(self.waited);
        self.waited = self.waited.max(waited.total);
        let now = Instant::now();
        self.since = if waited.now { now } else { (self.since + more).min(now) };
        waited.now || more > Duration::ZERO
    }

    pub(super) fn look(&mut self, observer: &Observer, attended: &Attended) -> Option<Heard> {
        if observer.life() != self.life {
            *self = Idle { life: observer.life(), waited: self.waited, ..Idle::new() };
            return None;
        }
        let silent = self.since.elapsed();
        let timeout = attended.idle_timeout;
        let notice =
            timeout.map_or(attended.idle_notice, |timeout| attended.idle_notice.min(timeout * 4 / 5));
        if silent >= notice && self.asks(&attended.folder) {
            return None;
        }
        if timeout.is_some_and(|timeout| silent >= timeout) && !self.is_over {
            self.is_over = true;
            return Some(Heard::End(EndedFor::Silence));
        }
        if silent >= notice && !self.is_announced {
            self.is_announced = true;
            let stop_in = timeout.map(|timeout| timeout.saturating_sub(silent));
            return Some(Heard::Stalled { silent, stop_in });
        }
        None
    }
}
