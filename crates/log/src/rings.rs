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

use crate::subscribe::SharedDelivery;

/// Bytes of payloads that one ring holds.
const RING_BYTES_MAX: usize = 8 << 20;
/// Bytes of payloads that all rings of a log hold together.
const ALL_BYTES_MAX: usize = 32 << 20;
/// What an event costs beside its payload, about.
const EVENT_BYTES: usize = 256;

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

fn cost(item: &SharedDelivery) -> usize {
    EVENT_BYTES
        + match item {
            SharedDelivery::Event(event) => event.payload.as_str().len(),
            SharedDelivery::Live(live) => live.payload.as_str().len(),
            SharedDelivery::Gap(_) => 0,
        }
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
    items: VecDeque<SharedDelivery>,
    bytes: usize,
}

/// What a ring has for somebody who has everything up to some position.
#[derive(Debug)]
pub(crate) struct Found {
    /// What comes next, at most as much as was asked for.
    pub(crate) items: Vec<SharedDelivery>,
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
        for item in items.take(if followed { usize::MAX } else { 0 }) {
            let g = item.g();
            match touched.last_mut() {
                Some((ring, last)) if ring.holds(&item) => {
                    ring.push(item);
                    *last = g;
                }
                _ => {
                    let ring = item.topic().and_then(|topic| topics.get(topic)).and_then(Weak::upgrade);
                    let Some(ring) = ring else { continue };
                    ring.push(item);
                    touched.push((ring, g));
                }
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

    fn tell(&self, newest: Position) {
        self.wake.send_if_modified(|seen| {
            let newer = newest > *seen;
            *seen = newest.max(*seen);
            newer
        });
    }

    /// Whether `item` is of the topic that the ring's last item is of.
    fn holds(&self, item: &SharedDelivery) -> bool {
        self.lock().items.back().is_some_and(|last| last.topic() == item.topic())
    }

    fn push(&self, item: SharedDelivery) {
        let mut held = self.lock();
        let bytes = cost(&item);
        held.bytes += bytes;
        held.items.push_back(item);
        let mut all = self.common.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while held.bytes > RING_BYTES_MAX || all > ALL_BYTES_MAX {
            let Some(oldest) = held.items.pop_front() else { break };
            held.from = oldest.g();
            let freed = cost(&oldest);
            held.bytes -= freed;
            all = self.common.bytes.fetch_sub(freed, Ordering::Relaxed) - freed;
        }
    }

    /// At most `limit` items behind `looked`, for somebody who has everything up to there; none if the ring does not go
    /// back that far, or another process has appended since.
    pub(crate) fn after(&self, looked: Position, limit: usize) -> Option<Found> {
        let until = Position(self.common.until.load(Ordering::Acquire));
        let held = self.lock();
        if looked < held.from {
            return None;
        }
        let first = held.items.partition_point(|item| item.g() <= looked);
        let items: Vec<_> = held.items.range(first..).take(limit).cloned().collect();
        let cut = first + items.len() < held.items.len();
        drop(held);
        if looked.0 < self.common.alone_from.load(Ordering::Acquire) {
            return None;
        }
        let last = items.last().map_or(looked, SharedDelivery::g);
        Some(Found { items, until: if cut { last } else { last.max(until) } })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.common.bytes.fetch_sub(held.bytes, Ordering::Relaxed);
        self.common.rings.fetch_sub(1, Ordering::Relaxed);
    }
}
