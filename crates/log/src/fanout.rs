//! Fanout: rings hold the newest events of the topics that are followed, shared by all who follow them.
//!
//! A ring is made with a topic's first subscriber and freed with its last. It holds the events that this process has appended since,
//! up to a number of bytes. A subscriber that is further behind, or misses an event of another process, reads the table. So no
//! subscriber holds a writer up, and none loses an event.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use backstay_model::{Position, Topic};
use tokio::sync::watch;

use crate::chunk::Chunk;
use crate::limits::{RING_BYTES_MAX, RINGS_BYTES_MAX};
use crate::subscribe::SharedDelivery;

/// Each time a ring has so many more bytes of payloads, it drops the events that every subscriber has.
const READ_BYTES_MAX: usize = 256 << 10;

/// The rings of one log in one process.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    topics: Mutex<HashMap<Topic, Weak<Ring>>>,
    common: Arc<Common>,
}

/// The state that all rings share.
#[derive(Debug, Default)]
struct Common {
    /// Every event that this process appended up to this position is in a ring, or was.
    until: AtomicU64,
    /// After this position, up to `until`, no other process has appended.
    uncontested_from: AtomicU64,
    rings: AtomicUsize,
    bytes: AtomicUsize,
}

/// The newest events of one topic.
#[derive(Debug)]
pub(crate) struct Ring {
    state: Mutex<RingState>,
    wake: watch::Sender<Position>,
    common: Arc<Common>,
}

#[derive(Debug, Default)]
struct RingState {
    /// The ring got every event of the topic after this position.
    from: Position,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The position up to which each subscriber has everything.
    readers: Vec<Weak<AtomicU64>>,
    /// With so many bytes the ring asks its subscribers for their positions again.
    check_readers_at_bytes: usize,
}

/// The events of a ring after some position.
#[derive(Debug)]
pub(crate) struct RingRead {
    /// The next events, about as many as requested.
    pub(crate) chunks: Vec<Chunk>,
    /// With these, the reader has everything up to this position.
    pub(crate) until: Position,
}

impl Fanout {
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Weak<Ring>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the ring of `topic`; makes one if the topic has no subscriber yet.
    pub(crate) fn ring(&self, topic: &Topic) -> Arc<Ring> {
        let mut topics = self.lock();
        if let Some(ring) = topics.get(topic).and_then(Weak::upgrade) {
            return ring;
        }
        if topics.len() > 2 * self.common.rings.load(Ordering::Relaxed) + 16 {
            topics.retain(|_, ring| ring.strong_count() > 0);
        }
        self.common.rings.fetch_add(1, Ordering::Relaxed);
        let from = Position(self.common.until.load(Ordering::Acquire));
        let state = RingState { from, ..RingState::default() };
        let wake = watch::Sender::new(Position(0));
        let ring = Arc::new(Ring { state: Mutex::new(state), wake, common: self.common.clone() });
        topics.insert(topic.clone(), Arc::downgrade(&ring));
        ring
    }

    /// Hands out a commit of this process: `items` in order of position, after `before` and up to `until`. Calls come in the order
    /// of the commits. `foreign` says that other processes have appended between the last call and `before`.
    pub(crate) fn publish(
        &self,
        items: impl Iterator<Item = SharedDelivery>,
        foreign: bool,
        before: Position,
        until: Position,
    ) {
        let topics = self.lock();
        if foreign {
            self.common.uncontested_from.store(before.0, Ordering::Release);
        }
        // Rings are made under the same lock, so none is missed.
        let followed = self.common.rings.load(Ordering::Relaxed) > 0;
        let mut touched: Vec<(Arc<Ring>, Position)> = Vec::new();
        let mut items = items.take(if followed { usize::MAX } else { 0 }).peekable();
        while let Some(first) = items.next() {
            // Neighbouring events of one topic are handed out as one chunk.
            let ring = first.topic().and_then(|topic| topics.get(topic)).and_then(Weak::upgrade);
            let topic = first.topic().cloned();
            let mut together = vec![first];
            while let Some(item) = items.next_if(|item| item.topic() == topic.as_ref()) {
                together.push(item);
            }
            if let Some(ring) = ring {
                let chunk = Chunk::new(together);
                touched.push((Arc::clone(&ring), chunk.last_g()));
                ring.push(chunk);
            }
        }
        self.common.until.store(until.0, Ordering::Release);
        drop(topics);
        for (ring, g) in touched {
            ring.notify(g);
        }
        if foreign && followed {
            // Events of other processes are in no ring: their subscribers have to read the table.
            self.notify_all(until);
        }
    }

    /// Wakes every subscriber: another process has appended up to `newest`.
    pub(crate) fn notify_all(&self, newest: Position) {
        let rings: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        rings.iter().for_each(|ring| ring.notify(newest));
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, RingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the receiver that wakes a subscriber of the topic.
    pub(crate) fn wake(&self) -> watch::Receiver<Position> {
        self.wake.subscribe()
    }

    /// Adds a subscriber. It stores the position up to which it has everything in the returned cell.
    pub(crate) fn add_reader(&self) -> Arc<AtomicU64> {
        let progress = Arc::new(AtomicU64::new(0));
        let mut state = self.lock();
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.readers.push(Arc::downgrade(&progress));
        drop(state);
        progress
    }

    fn notify(&self, newest: Position) {
        self.wake.send_if_modified(|seen| {
            let newer = newest > *seen;
            *seen = newest.max(*seen);
            newer
        });
    }

    fn push(&self, chunk: Chunk) {
        let mut state = self.lock();
        let bytes = chunk.bytes();
        state.bytes += bytes;
        state.chunks.push_back(chunk);
        let mut all = self.common.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        all -= self.drop_consumed(&mut state);
        while state.bytes > RING_BYTES_MAX || all > RINGS_BYTES_MAX {
            let Some(oldest) = state.chunks.pop_front() else { break };
            state.from = oldest.last_g();
            let freed = oldest.bytes();
            state.bytes -= freed;
            all = self.common.bytes.fetch_sub(freed, Ordering::Relaxed) - freed;
        }
    }

    /// Drops the events that every subscriber has. Returns their bytes.
    fn drop_consumed(&self, state: &mut RingState) -> usize {
        if state.bytes < state.check_readers_at_bytes.max(READ_BYTES_MAX) {
            return 0;
        }
        let mut least = u64::MAX;
        state.readers.retain(|reader| {
            let progress = reader.upgrade();
            least = progress.as_ref().map_or(least, |progress| least.min(progress.load(Ordering::Acquire)));
            progress.is_some()
        });
        let before = state.bytes;
        while let Some(oldest) = state.chunks.front().filter(|oldest| oldest.last_g().0 <= least) {
            (state.from, state.bytes) = (oldest.last_g(), state.bytes - oldest.bytes());
            state.chunks.pop_front();
        }
        state.check_readers_at_bytes = state.bytes + READ_BYTES_MAX;
        self.common.bytes.fetch_sub(before - state.bytes, Ordering::Relaxed);
        before - state.bytes
    }

    /// Returns about `limit` items after `after` for a reader that has everything up to there; `None` if the ring does not go back that
    /// far, or another process has appended since.
    pub(crate) fn read_after(&self, after: Position, limit: usize) -> Option<RingRead> {
        let until = Position(self.common.until.load(Ordering::Acquire));
        let state = self.lock();
        if after < state.from {
            return None;
        }
        let first = state.chunks.partition_point(|chunk| chunk.last_g() <= after);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut count = 0;
        for chunk in state.chunks.range(first..) {
            if count >= limit {
                break;
            }
            let chunk = chunk.after(after);
            count += chunk.len();
            chunks.push(chunk);
        }
        let is_cut = first + chunks.len() < state.chunks.len();
        drop(state);
        if after.0 < self.common.uncontested_from.load(Ordering::Acquire) {
            return None;
        }
        let last = chunks.last().map_or(after, Chunk::last_g);
        Some(RingRead { chunks, until: if is_cut { last } else { last.max(until) } })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.common.bytes.fetch_sub(state.bytes, Ordering::Relaxed);
        self.common.rings.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::RunStarted;
    use backstay_model::{Kind, Payload, Recorded, Scope, Seq, Timestamp};

    use super::*;

    fn item(g: u64) -> SharedDelivery {
        SharedDelivery::Event(Arc::new(Recorded {
            topic: "a".parse().unwrap(),
            seq: Seq(g),
            g: Position(g),
            at: Timestamp::from_micros(0),
            kind: Kind::new("text"),
            scope: Scope::root(),
            payload: Payload::encode(&RunStarted {}).unwrap(),
            trace: None,
            more: false,
        }))
    }

    #[test]
    fn a_ring_lets_go_of_what_everybody_has_and_of_nothing_else() {
        let fanout = Fanout::default();
        let ring = fanout.ring(&"a".parse().unwrap());
        let (quick, slow) = (ring.add_reader(), ring.add_reader());
        let held = |ring: &Ring| ring.lock().chunks.len();
        let publish = |from: u64, until: u64| {
            for g in from..=until {
                fanout.publish(std::iter::once(item(g)), false, Position(g - 1), Position(g));
            }
        };
        publish(1, 2_000);
        assert_eq!(held(&ring), 2_000, "nobody has taken anything");
        quick.store(4_000, Ordering::Release);
        slow.store(1_500, Ordering::Release);
        publish(2_001, 4_000);
        assert!((2_500..3_500).contains(&held(&ring)), "{}", held(&ring));
        assert!(ring.read_after(Position(1_500), 10).is_some(), "the slow one finds what it has not");
        assert!(ring.read_after(Position(10), 10).is_none(), "who begins now reads the table");
        drop(slow);
        publish(4_001, 6_000);
        assert!(held(&ring) < 3_000, "who is gone holds nothing up: {}", held(&ring));
    }
}
