//! Signs of life.

use std::time::{Duration, Instant};

use backstay_model::Attempt;
use backstay_model::event::{Heartbeat, OutputState};

use super::supervise::millis;
use crate::clock::after;
use crate::spec::ProcessSpec;

/// Growth of both streams between two beats, in bytes, below which an agent says little.
const LOW_OUTPUT_BYTES: u64 = 64;

/// Makes one beat after another.
pub(super) struct Heartbeats {
    attempt: Attempt,
    pid: u32,
    started: Instant,
    interval: Duration,
    due: Instant,
    last_bytes: [u64; 2],
    stagnant_beats: u32,
}

impl Heartbeats {
    pub(super) fn new(spec: &ProcessSpec, pid: u32, started: Instant) -> Heartbeats {
        let interval = Duration::from_millis(spec.beat_ms.max(1));
        Heartbeats {
            attempt: spec.attempt,
            pid,
            started,
            interval,
            due: after(started, interval),
            last_bytes: [0, 0],
            stagnant_beats: 0,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// The beat of `now`.
    pub(super) fn beat(
        &mut self,
        now: Instant,
        raw_bytes: [u64; 2],
        pid_alive: bool,
        stalled: bool,
        cpu_ms: Option<u64>,
    ) -> Heartbeat {
        let [stdout_delta, stderr_delta] =
            [raw_bytes[0] - self.last_bytes[0], raw_bytes[1] - self.last_bytes[1]];
        let delta = stdout_delta + stderr_delta;
        self.last_bytes = raw_bytes;
        self.due = after(now, self.interval);
        self.stagnant_beats = if delta == 0 { self.stagnant_beats.saturating_add(1) } else { 0 };
        let output_state = match delta {
            _ if !pid_alive => OutputState::Dead,
            0 if stalled => OutputState::Stalled,
            0 => OutputState::Quiet,
            1..LOW_OUTPUT_BYTES => OutputState::LowOutput,
            _ => OutputState::Active,
        };
        Heartbeat {
            attempt: self.attempt,
            elapsed_ms: millis(now.saturating_duration_since(self.started)),
            stdout_bytes: raw_bytes[0],
            stderr_bytes: raw_bytes[1],
            stdout_delta,
            stderr_delta,
            stagnant_beats: self.stagnant_beats,
            pid: self.pid,
            pid_alive,
            cpu_ms,
            output_state,
        }
    }
}
