//! Signs of life: what heartbeats say about a step that works.

use std::time::Duration;

use backstay_exec::ProcessSpec;
use backstay_model::event::Heartbeat;
use backstay_model::{LiveEvent, Timestamp};

use super::time::duration;

/// Silence shorter than this is told as the age of the last output.
const SILENCE_MIN: Duration = Duration::from_secs(10);
/// Beats that may be missing before that is told.
const BEATS_MISSING_MAX: u32 = 5;

/// The newest heartbeat of a step, and when its output last grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// When it was said.
    at: Timestamp,
    /// When output was last seen to grow.
    grew_at: Timestamp,
    /// Whether anything was said at all.
    has_said: bool,
}

impl Beat {
    /// The beat that follows `last`.
    pub(crate) fn after(last: Option<&Beat>, live: &LiveEvent, heartbeat: &Heartbeat) -> Beat {
        let grew = heartbeat.stdout_delta + heartbeat.stderr_delta > 0;
        // Whoever looks for the first time knows how many beats were without growth, not when each was.
        let stagnant = beats(heartbeat.stagnant_beats).min(Duration::from_millis(heartbeat.elapsed_ms));
        let stagnant_us = i64::try_from(stagnant.as_micros()).unwrap_or(i64::MAX);
        let counted = Timestamp::from_micros(live.at.as_micros().saturating_sub(stagnant_us));
        let known = last.map(|last| last.grew_at).filter(|_| !grew);
        Beat {
            at: live.at,
            grew_at: known.unwrap_or(counted),
            has_said: heartbeat.stdout_bytes + heartbeat.stderr_bytes > 0,
        }
    }

    /// One that was said at `at` of a step whose output grew at `grew_at`.
    #[cfg(test)]
    pub(crate) fn seen(at: Timestamp, grew_at: Timestamp) -> Beat {
        Beat { at, grew_at, has_said: true }
    }

    /// The sign of life in a few words.
    pub(crate) fn words(&self, now: Timestamp) -> String {
        let unheard = now.since(self.at);
        if unheard > beats(BEATS_MISSING_MAX) {
            return format!("no heartbeat for {}", age(unheard));
        }
        let silent = now.since(self.grew_at);
        match self.has_said {
            true if silent < SILENCE_MIN => format!("{} ago", age(silent)),
            true => format!("silent for {}", age(silent)),
            false if silent < SILENCE_MIN => "alive".to_owned(),
            false => format!("alive, silent for {}", age(silent)),
        }
    }
}

fn beats(count: u32) -> Duration {
    Duration::from_millis(ProcessSpec::DEFAULT_BEAT_MS).saturating_mul(count)
}

/// `2 s`, `4m12s`: whole seconds.
fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::OutputState;
    use backstay_model::{Attempt, Position, RunId, Scope, Seq, Topic};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + second * 1_000_000)
    }

    fn beat(last: Option<&Beat>, second: i64, bytes: u64, delta: u64, stagnant_beats: u32) -> Beat {
        let heartbeat = Heartbeat {
            attempt: Attempt(1),
            elapsed_ms: 600_000,
            stdout_bytes: bytes,
            stderr_bytes: 0,
            stdout_delta: delta,
            stderr_delta: 0,
            stagnant_beats,
            pid: 7,
            pid_alive: true,
            cpu_ms: None,
            output_state: OutputState::Active,
        };
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let live = LiveEvent {
            topic: Topic::run(run),
            g: Position(1),
            after_seq: Seq(1),
            at: at(second),
            kind: Heartbeat::KIND,
            scope: Scope::root(),
            payload: heartbeat.encode().unwrap(),
        };
        Beat::after(last, &live, &heartbeat)
    }

    #[test]
    fn output_that_grew_has_an_age_and_then_is_silence() {
        let grew = beat(None, 0, 10, 10, 0);
        assert_eq!(grew.words(at(2)), "2 s ago");
        let still = beat(Some(&grew), 38, 10, 0, 19);
        assert_eq!(still.words(at(40)), "silent for 40 s");
        assert_eq!(beat(Some(&still), 250, 10, 0, 125).words(at(252)), "silent for 4m12s");
    }

    #[test]
    fn who_looks_late_counts_the_beats_without_growth() {
        assert_eq!(beat(None, 100, 10, 0, 15).words(at(101)), "silent for 31 s");
    }

    #[test]
    fn a_step_that_has_said_nothing_is_alive() {
        assert_eq!(beat(None, 4, 0, 0, 2).words(at(5)), "alive");
        assert_eq!(beat(None, 40, 0, 0, 20).words(at(41)), "alive, silent for 41 s");
    }

    #[test]
    fn beats_that_stop_coming_are_told_and_nothing_is_guessed() {
        assert_eq!(beat(None, 0, 10, 10, 0).words(at(11)), "no heartbeat for 11 s");
    }
}
