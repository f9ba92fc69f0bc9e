//! Since when an agent gives no sign of life, or does not get over what is in its way.

use std::time::Duration;

use backstay_agent::Obstacle;
use backstay_exec::waited;
use backstay_model::Timestamp;
use backstay_model::event::SaidOn;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::time::Instant;

use super::{Attended, EndedFor, Heard, LOOK, Taken};
use crate::agents::translate::Observer;

/// How long a process whose turn is over may stay before it is ended; its result is taken all the same.
pub(super) const OVER_GRACE: Duration = Duration::from_secs(30);
/// How long an agent may try by itself to get over what is in its way, by its kind: then its attempt is ended, so that the
/// step can wait visibly, or another agent take its place.
const LOGIN_PATIENCE: Duration = Duration::from_secs(10);
/// The same where only a line of stderr says so: that may be about something else, and the agent goes on.
const STDERR_PATIENCE: Duration = Duration::from_secs(120);
const LIMIT_PATIENCE: Duration = Duration::from_secs(120);
const NETWORK_PATIENCE: Duration = Duration::from_secs(600);

/// Looks at an agent that says nothing: whether that is to be told, and whether its process is to be ended.
pub(super) struct Watches {
    obstacle: ObstacleWatch,
    silence: SilenceWatch,
    end: End,
}

/// Whether the keeper was told to end the process.
enum End {
    NotTold,
    /// It could not be told; that may pass.
    Failed {
        at: Instant,
    },
    Told,
}

impl Watches {
    pub(super) fn of(attended: &Attended, at: Instant) -> Watches {
        let silence = SilenceWatch::new(attended.idle_timeout, attended.idle_notice, &attended.folder, at);
        Watches { obstacle: ObstacleWatch::new(&attended.folder, at), silence, end: End::NotTold }
    }

    /// Looks at `now`, which is `at` by the clock that only runs on. That the process is to be ended is said until it is
    /// taken; then there is nothing more to say.
    pub(super) fn look(
        &mut self,
        observer: &Observer,
        now: Timestamp,
        at: Instant,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) {
        match self.end {
            End::Told => return,
            End::Failed { at: failed_at } if at.duration_since(failed_at) < LOOK => return,
            End::NotTold | End::Failed { .. } => {}
        }
        let end = self.obstacle.look(observer, now, at).map(Heard::End);
        let Some(heard) = end.or_else(|| self.silence.look(observer, at)) else { return };
        let is_end = matches!(heard, Heard::End(_));
        let taken = hear(heard);
        if is_end {
            self.end = match taken {
                Taken::Yes => End::Told,
                Taken::NotNow => End::Failed { at },
            };
        }
    }
}

/// The waits for people of one attempt, as they were when they were looked at last.
struct Waits {
    attempt: Utf8PathBuf,
    total: Duration,
}

impl Waits {
    fn of(attempt: &Utf8Path) -> Waits {
        Waits { attempt: attempt.to_owned(), total: Duration::ZERO }
    }

    /// Whether the agent asks a person, or did since it was looked at last: meanwhile it neither is silent nor stands before
    /// an obstacle. Gives back to `since` what that took.
    fn give_back(&mut self, since: &mut Instant, at: Instant) -> bool {
        let waited = waited(&self.attempt);
        let more = waited.total.saturating_sub(self.total);
        self.total = self.total.max(waited.total);
        *since = if waited.now { at } else { (*since + more).min(at) };
        waited.now || more > Duration::ZERO
    }
}

/// Since when an agent has nothing more to do, or does not get over what is in its way.
pub(super) struct ObstacleWatch {
    life: u64,
    offset: u64,
    obstacle: Option<Obstacle>,
    since: Instant,
    waits: Waits,
}

impl ObstacleWatch {
    pub(super) fn new(attempt: &Utf8Path, at: Instant) -> ObstacleWatch {
        ObstacleWatch { life: 0, offset: 0, obstacle: None, since: at, waits: Waits::of(attempt) }
    }

    /// Whether its process is to be ended, at `now`, which is `at` by the clock that only runs on.
    pub(super) fn look(&mut self, observer: &Observer, now: Timestamp, at: Instant) -> Option<EndedFor> {
        let obstacle = observer.obstacle();
        // What is in its way stays the same, however often and in which words it says so.
        let is_same =
            obstacle.map(std::mem::discriminant) == self.obstacle.as_ref().map(std::mem::discriminant);
        let is_at_work =
            observer.life() != self.life || observer.is_over() && observer.offset() != self.offset;
        // While a tool runs the agent waits for that, whatever it said before.
        let waits_for_tool = observer.runs_tools() && !observer.is_over();
        if is_at_work || !is_same || waits_for_tool {
            (self.life, self.offset, self.obstacle) = (observer.life(), observer.offset(), obstacle.cloned());
            self.since = at;
        }
        let (patience, why) = match obstacle {
            _ if observer.is_over() => (OVER_GRACE, EndedFor::NothingToDo),
            None => return None,
            Some(Obstacle::Limit { .. }) => (LIMIT_PATIENCE, EndedFor::Obstacle),
            Some(Obstacle::Login { .. } | Obstacle::Refused { .. }) => match observer.obstacle_is_on() {
                SaidOn::Stdout => (LOGIN_PATIENCE, EndedFor::Obstacle),
                SaidOn::Stderr => (STDERR_PATIENCE, EndedFor::Obstacle),
            },
            Some(Obstacle::Network { .. }) => (NETWORK_PATIENCE, EndedFor::Obstacle),
        };
        let ends_late = observer.limit_ends(now).is_some_and(|at| at.since(now) > LIMIT_PATIENCE);
        let patience = if ends_late { patience.min(LOGIN_PATIENCE) } else { patience };
        let is_due = at.duration_since(self.since) >= patience;
        (is_due && !self.waits.give_back(&mut self.since, at)).then_some(why)
    }
}

/// Since when an agent gives no sign of life.
pub(super) struct SilenceWatch {
    timeout: Option<Duration>,
    notice: Duration,
    life: u64,
    since: Instant,
    is_announced: bool,
    waits: Waits,
}

impl SilenceWatch {
    fn new(timeout: Option<Duration>, notice: Duration, attempt: &Utf8Path, at: Instant) -> SilenceWatch {
        let notice = timeout.map_or(notice, |timeout| notice.min(timeout * 4 / 5));
        SilenceWatch { timeout, notice, life: 0, since: at, is_announced: false, waits: Waits::of(attempt) }
    }

    fn look(&mut self, observer: &Observer, at: Instant) -> Option<Heard> {
        if observer.life() != self.life {
            (self.life, self.since, self.is_announced) = (observer.life(), at, false);
            return None;
        }
        let silent = at.duration_since(self.since);
        if silent < self.notice || self.waits.give_back(&mut self.since, at) {
            return None;
        }
        if self.timeout.is_some_and(|timeout| silent >= timeout) {
            return Some(Heard::End(EndedFor::Silence));
        }
        let is_news = !std::mem::replace(&mut self.is_announced, true);
        let stop_in = self.timeout.map(|timeout| timeout.saturating_sub(silent));
        is_news.then_some(Heard::Stalled { silent, stop_in })
    }
}
