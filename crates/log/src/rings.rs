//! Rings: the newest events of the topics that are followed, shared by all who follow them.
//!
//! A ring is made with a topic's first subscriber and freed with its last. It holds what this process has appended since, up
//! to a number of bytes; whoever is further behind, or misses what another process appended, reads the table. So nobody
//! holds a writer up, and nobody loses anything.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use backstay_model::{Position, Topic};
use tokio::sync::watch;

use crate::chunk::Chunk;
use crate::subscribe::SharedDelivery;

/// Bytes of payloads that one ring holds.
const RING_BYTES_MAX: usize = 8 << 20;
/// Bytes of payloads that a ring holds although all who follow the topic have them: each time it has so many more, it looks
/// who is how far.
const READ_BYTES_MAX: usize = 256 << 10;
/// Bytes of payloads that all rings of a log hold together.
const ALL_BYTES_MAX: usize = 32 << 20;

/// The rings of one log in one process.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    topics: Mutex<HashMap<Topic, Weak<Ring>>>,
    common: Arc<Common>,
}

/// What all rings share.
#[derive(Debug, Default)]
struct Common {
    /// Everything that this process appended up to here is in the rings, or was.
    until: AtomicU64,
    /// Behind this position no other process has appended anything, up to `until`.
    alone_from: AtomicU64,
    rings: AtomicUsize,
    bytes: AtomicUsize,
}

/// The newest events of one topic.
#[derive(Debug)]
pub(crate) struct Ring {
    held: Mutex<Held>,
    wake: watch::Sender<Position>,
    common: Arc<Common>,
}

#[derive(Debug, Default)]
struct Held {
    /// Everything of the topic behind this position was put into the ring.
    from: Position,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// How far each of those is who follow the topic.
    readers: Vec<Weak<AtomicU64>>,
    /// With so many bytes it looks again who is how far.
    look_at_bytes: usize,
}

/// What a ring has for somebody who has everything up to some position.
#[derive(Debug)]
pub(crate) struct Found {
    /// What comes next, about as much as was asked for.
    pub(crate) chunks: Vec<Chunk>,
    /// With these, the reader has everything up to here.
    pub(crate) until: Position,
}

impl Rings {
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Weak<Ring>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ring of `topic`, made now if nobody follows it yet.
    pub(crate) fn of(&self, topic: &Topic) -> Arc<Ring> {
        let mut topics = self.lock();
        if let Some(ring) = topics.get(topic).and_then(Weak::upgrade) {
            return ring;
        }
        if topics.len() > 2 * self.common.rings.load(Ordering::Relaxed) + 16 {
            topics.retain(|_, ring| ring.strong_count() > 0);
        }
        self.common.rings.fetch_add(1, Ordering::Relaxed);
        let from = Position(self.common.until.load(Ordering::Acquire));
        let held = Held { from, ..Held::default() };
        let wake = watch::Sender::new(Position(0));
        let ring = Arc::new(Ring { held: Mutex::new(held), wake, common: self.common.clone() });
        topics.insert(topic.clone(), Arc::downgrade(&ring));
        ring
    }

    /// Hands out what this process has committed: `items` in order of position, all behind `before`, up to `until`. To be
    /// called in the order of the commits. `foreign`: other processes have appended between the last call and `before`.
    pub(crate) fn publish(
        &self,
        items: impl Iterator<Item = SharedDelivery>,
        foreign: bool,
        before: Position,
        until: Position,
    ) {
        let topics = self.lock();
        if foreign {
            self.common.alone_from.store(before.0, Ordering::Release);
        }
        // Rings are made under the same lock, so none is missed.
        let followed = self.common.rings.load(Ordering::Relaxed) > 0;
        let mut touched: Vec<(Arc<Ring>, Position)> = Vec::new();
        let mut items = items.take(if followed { usize::MAX } else { 0 }).peekable();
        while let Some(first) = items.next() {
            // What one commit appends to a topic side by side is handed out as one.
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
            ring.tell(g);
        }
        if foreign && followed {
            // What the others appended is in no ring, and nobody else says so: this commit is the newest now.
            self.tell_all(until);
        }
    }

    /// Wakes everybody: another process has appended something up to `newest`.
    pub(crate) fn tell_all(&self, newest: Position) {
        let rings: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        rings.iter().for_each(|ring| ring.tell(newest));
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes those who follow the topic.
    pub(crate) fn wake(&self) -> watch::Receiver<Position> {
        self.wake.subscribe()
    }

    /// A place for somebody who follows the topic, to say up to which position everything was taken.
    pub(crate) fn join(&self) -> Arc<AtomicU64> {
        let place = Arc::new(AtomicU64::new(0));
        self.lock().readers.push(Arc::downgrade(&place));
        place
    }

    fn tell(&self, newest: Position) {
        self.wake.send_if_modified(|seen| {
            let newer = newest > *seen;
            *seen = newest.max(*seen);
            newer
        });
    }

    fn push(&self, chunk: Chunk) {
        let mut held = self.lock();
        let bytes = chunk.bytes();
        held.bytes += bytes;
        held.chunks.push_back(chunk);
        let mut all = self.common.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        all -= self.drop_read(&mut held);
        while held.bytes > RING_BYTES_MAX || all > ALL_BYTES_MAX {
            let Some(oldest) = held.chunks.pop_front() else { break };
            held.from = oldest.last_g();
            let freed = oldest.bytes();
            held.bytes -= freed;
            all = self.common.bytes.fetch_sub(freed, Ordering::Relaxed) - freed;
        }
    }

    /// Lets go of what everybody has. Returns how many bytes that were.
    fn drop_read(&self, held: &mut Held) -> usize {
        if held.bytes < held.look_at_bytes.max(READ_BYTES_MAX) {
            return 0;
        }
        let mut least = u64::MAX;
        held.readers.retain(|reader| {
            let place = reader.upgrade();
            least = place.as_ref().map_or(least, |place| least.min(place.load(Ordering::Acquire)));
            place.is_some()
        });
        let before = held.bytes;
        while let Some(oldest) = held.chunks.front().filter(|oldest| oldest.last_g().0 <= least) {
            (held.from, held.bytes) = (oldest.last_g(), held.bytes - oldest.bytes());
            held.chunks.pop_front();
        }
        held.look_at_bytes = held.bytes + READ_BYTES_MAX;
        self.common.bytes.fetch_sub(before - held.bytes, Ordering::Relaxed);
        before - held.bytes
    }

    /// About `limit` items behind `looked`, for somebody who has everything up to there; none if the ring does not go
    /// back that far, or another process has appended since.
    pub(crate) fn after(&self, looked: Position, limit: usize) -> Option<Found> {
        let until = Position(self.common.until.load(Ordering::Acquire));
        let held = self.lock();
        if looked < held.from {
            return None;
        }
        let first = held.chunks.partition_point(|chunk| chunk.last_g() <= looked);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut count = 0;
        for chunk in held.chunks.range(first..) {
            if count >= limit {
                break;
            }
            let chunk = chunk.behind(looked);
            count += chunk.len();
            chunks.push(chunk);
        }
        let is_cut = first + chunks.len() < held.chunks.len();
        drop(held);
        if looked.0 < self.common.alone_from.load(Ordering::Acquire) {
            return None;
        }
        let last = chunks.last().map_or(looked, Chunk::last_g);
        Some(Found { chunks, until: if is_cut { last } else { last.max(until) } })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.common.bytes.fetch_sub(held.bytes, Ordering::Relaxed);
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
        let rings = Rings::default();
        let ring = rings.of(&"a".parse().unwrap());
        let (quick, slow) = (ring.join(), ring.join());
        let held = |ring: &Ring| ring.lock().chunks.len();
        let publish = |from: u64, until: u64| {
            for g in from..=until {
                rings.publish(std::iter::once(item(g)), false, Position(g - 1), Position(g));
            }
        };
        publish(1, 2_000);
        assert_eq!(held(&ring), 2_000, "nobody has taken anything");
        quick.store(4_000, Ordering::Release);
        slow.store(1_500, Ordering::Release);
        publish(2_001, 4_000);
        assert!((2_500..3_500).contains(&held(&ring)), "{}", held(&ring));
        assert!(ring.after(Position(1_500), 10).is_some(), "the slow one finds what it has not");
        assert!(ring.after(Position(10), 10).is_none(), "who begins now reads the table");
        drop(slow);
        publish(4_001, 6_000);
        assert!(held(&ring) < 3_000, "who is gone holds nothing up: {}", held(&ring));
    }
}
