//! Subscriptions: history first, then new events; every event once and in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Delivery, Gap, LiveEvent, LogId, Position, Recorded, Seq, Topic};
use tokio::sync::watch;

use crate::chunk::Chunk;
use crate::contract::{LogFuture, Page};
use crate::cursor::Cursor;
use crate::error::{ReadError, StoreError};
use crate::fanout::Ring;

/// A page, and the live events that belong between its events.
#[derive(Debug)]
pub(crate) struct LivePage {
    /// The events.
    pub(crate) page: Page,
    /// Live events after the subscriber's position, at most a page of them.
    pub(crate) live: Vec<LiveEvent>,
    /// The newest position of the log when both were read.
    pub(crate) newest: Position,
}

/// The source of a subscription's pages. A wakeup says only that there is more.
pub(crate) trait Source: Send + Sync + fmt::Debug {
    /// Checks a cursor and returns the number that it stands behind.
    fn resolve(&self, cursor: &Cursor) -> LogFuture<'static, Result<Seq, ReadError>>;

    /// Reads events after `seq` and live events after `g`.
    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> LogFuture<'static, Result<LivePage, ReadError>>;
}

/// Follows one topic. It never ends by itself and loses no event; a slow reader reads on from the store.
///
/// It holds at most one page in memory, and shares the newest events with the other subscribers of the topic.
#[derive(Debug)]
pub struct Subscription {
    source: Arc<dyn Source>,
    ring: Option<Arc<Ring>>,
    /// The position up to which this subscription has everything, for the ring.
    progress: Option<Arc<AtomicU64>>,
    log: LogId,
    topic: Topic,
    start: Option<Cursor>,
    queued: VecDeque<Chunk>,
    pulled: (Seq, Position),
    delivered: (Seq, Position),
    /// Every event up to this position was pulled; `None` before the first pull.
    complete_until: Option<Position>,
    wake: watch::Receiver<Position>,
}

/// A [`Delivery`] that all subscribers share, without a copy for each.
#[derive(Clone, Debug, PartialEq)]
pub enum SharedDelivery {
    /// A durable event, once and in order.
    Event(Arc<Recorded>),
    /// A live event, at most once.
    Live(Arc<LiveEvent>),
    /// Some events were trimmed; reading goes on at `first`.
    Gap(Gap),
}

impl SharedDelivery {
    /// Returns its position; a gap has none.
    pub(crate) fn g(&self) -> Position {
        match self {
            SharedDelivery::Event(event) => event.g,
            SharedDelivery::Live(live) => live.g,
            SharedDelivery::Gap(_) => Position(0),
        }
    }

    /// Returns its topic; a gap has none.
    pub(crate) fn topic(&self) -> Option<&Topic> {
        match self {
            SharedDelivery::Event(event) => Some(&event.topic),
            SharedDelivery::Live(live) => Some(&live.topic),
            SharedDelivery::Gap(_) => None,
        }
    }
}

impl From<SharedDelivery> for Delivery {
    fn from(shared: SharedDelivery) -> Delivery {
        match shared {
            SharedDelivery::Event(event) => Delivery::Event(Arc::unwrap_or_clone(event)),
            SharedDelivery::Live(live) => Delivery::Live(Arc::unwrap_or_clone(live)),
            SharedDelivery::Gap(gap) => Delivery::Gap(gap),
        }
    }
}

/// How far a pull reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PullScope {
    /// The ring, and the store only if a wakeup announced more.
    Announced,
    /// The ring and the store.
    Store,
}

impl Subscription {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        log: LogId,
        topic: Topic,
        after: Result<Cursor, Seq>,
        wake: watch::Receiver<Position>,
    ) -> Subscription {
        let (seq, g, start) = match after {
            Ok(cursor) => (cursor.seq(), cursor.position(), Some(cursor)),
            Err(seq) => (seq, Position(0), None),
        };
        Subscription {
            source,
            ring: None,
            progress: None,
            log,
            topic,
            start,
            queued: VecDeque::new(),
            pulled: (seq, g),
            delivered: (seq, g),
            complete_until: None,
            wake,
        }
    }

    /// Returns the subscription with a ring for the newest events.
    pub(crate) fn with_ring(self, ring: Arc<Ring>) -> Subscription {
        let wake = ring.wake();
        let progress = Some(ring.add_reader());
        Subscription { ring: Some(ring), progress, wake, ..self }
    }

    /// Returns the topic that it follows.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Returns the cursor behind the last delivered event. `None` before the first event of a subscription that began at a number.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let (seq, g) = self.delivered;
        let known = g > Position(0) || seq == Seq(0);
        known.then(|| Cursor::new(self.log, self.topic.clone(), seq, g))
    }

    /// Returns the number of the last delivered event, or the number that the subscription began behind.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.delivered.0
    }

    /// Returns the next delivery and waits for it if there is none yet. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ReadError`] if the cursor it began with does not fit, the store cannot be read, or an event is damaged; after a
    /// damaged event the next call goes on behind it.
    pub async fn next(&mut self) -> Result<Delivery, ReadError> {
        self.next_shared().await.map(Delivery::from)
    }

    /// As [`next`](Subscription::next), without a copy for this subscriber.
    ///
    /// # Errors
    /// As [`next`](Subscription::next).
    pub async fn next_shared(&mut self) -> Result<SharedDelivery, ReadError> {
        loop {
            if self.queued.is_empty() {
                self.pull(PullScope::Announced).await?;
            }
            if let Some(delivery) = self.take_next() {
                return Ok(delivery);
            }
            let complete_until = self.complete_until.unwrap_or(Position(0));
            if self.wake.wait_for(|newest| *newest > complete_until).await.is_err() {
                return Err(StoreError::Stopped.into());
            }
        }
    }

    /// As [`next_shared`](Subscription::next_shared), for all deliveries that came together. It is never empty, and the fastest way to
    /// follow a topic.
    ///
    /// # Errors
    /// As [`next`](Subscription::next).
    pub async fn next_chunk(&mut self) -> Result<Chunk, ReadError> {
        loop {
            if self.queued.is_empty() {
                self.pull(PullScope::Announced).await?;
            }
            if let Some(chunk) = self.queued.pop_front() {
                if let Some(last) = chunk.iter().rev().find(|item| !matches!(item, SharedDelivery::Live(_))) {
                    self.note_delivered(last);
                }
                return Ok(chunk);
            }
            let complete_until = self.complete_until.unwrap_or(Position(0));
            if self.wake.wait_for(|newest| *newest > complete_until).await.is_err() {
                return Err(StoreError::Stopped.into());
            }
        }
    }

    /// Returns the next delivery, if there is one now.
    ///
    /// # Errors
    /// As [`next`](Subscription::next).
    pub async fn try_next(&mut self) -> Result<Option<Delivery>, ReadError> {
        if self.queued.is_empty() {
            self.pull(PullScope::Store).await?;
        }
        Ok(self.take_next().map(Delivery::from))
    }

    fn take_next(&mut self) -> Option<SharedDelivery> {
        let chunk = self.queued.front_mut()?;
        let delivery = chunk.take_first();
        if chunk.is_empty() {
            self.queued.pop_front();
        }
        if let Some(delivery) = &delivery {
            self.note_delivered(delivery);
        }
        delivery
    }

    fn note_delivered(&mut self, delivery: &SharedDelivery) {
        match delivery {
            SharedDelivery::Event(event) => self.delivered = (event.seq, event.g),
            SharedDelivery::Gap(gap) => self.delivered = (Seq(gap.first.0 - 1), Position(0)),
            SharedDelivery::Live(_) => {}
        }
    }

    async fn pull(&mut self, scope: PullScope) -> Result<(), ReadError> {
        if let Some(cursor) = &self.start {
            let seq = self.source.resolve(cursor).await?;
            self.pulled.0 = seq;
            self.start = None;
        }
        if self.pull_from_ring(scope) {
            return Ok(());
        }
        let (seq, g) = self.pulled;
        let found = match self.source.page(&self.topic, seq, g, PAGE_EVENTS_MAX).await {
            Err(ReadError::Damaged(damaged)) => {
                self.pulled.0 = damaged.seq;
                self.delivered = (damaged.seq, Position(0));
                return Err(ReadError::Damaged(damaged));
            }
            found => found?,
        };
        self.queue(found);
        Ok(())
    }

    /// Takes the events of the ring. Returns false if the store has to be read.
    fn pull_from_ring(&mut self, scope: PullScope) -> bool {
        // Before its first look it does not know what it has.
        let (Some(ring), Some(complete_until)) = (self.ring.as_ref(), self.complete_until) else {
            return false;
        };
        let Some(found) = ring.read_after(complete_until, PAGE_EVENTS_MAX) else { return false };
        if found.chunks.is_empty() && (scope == PullScope::Store || *self.wake.borrow() > found.until) {
            return false;
        }
        for chunk in found.chunks {
            // A chunk is of one commit, so its numbers follow each other.
            if let Some((first, last)) = chunk.numbers() {
                if first != self.pulled.0.next() {
                    // What is in between is not here; the store says what became of it.
                    return !self.queued.is_empty();
                }
                self.pulled.0 = last;
            }
            self.pulled.1 = chunk.last_g();
            self.complete_until = Some(chunk.last_g());
            self.queued.push_back(chunk);
        }
        self.complete_until = Some(found.until);
        self.report_progress();
        true
    }

    /// Tells the ring which events it may drop.
    fn report_progress(&self) {
        if let (Some(progress), Some(complete_until)) = (&self.progress, self.complete_until) {
            progress.store(complete_until.0, Ordering::Release);
        }
    }

    /// Merges a page and its live events by position. If one of them was cut, nothing after the cut is taken yet.
    fn queue(&mut self, found: LivePage) {
        let LivePage { mut page, mut live, newest } = found;
        let mut whole = true;
        if page.events.last().is_some_and(|last| last.seq < page.head) {
            let end = page.events.last().map_or(Position(0), |last| last.g);
            live.retain(|event| event.g < end);
            whole = false;
        } else if live.len() >= PAGE_EVENTS_MAX {
            let end = live.last().map_or(Position(0), |last| last.g);
            page.events.retain(|event| event.g < end);
            whole = false;
        }
        let mut items = Vec::with_capacity(page.events.len() + live.len() + 1);
        if let Some(gap) = page.gap {
            self.pulled.0 = Seq(gap.first.0 - 1);
            items.push(SharedDelivery::Gap(gap));
        }
        if let Some(last) = page.events.last() {
            self.pulled.0 = last.seq;
        }
        let mut live = live.into_iter().peekable();
        for event in page.events {
            while let Some(said) = live.next_if(|said| said.g < event.g) {
                items.push(SharedDelivery::Live(Arc::new(said)));
            }
            items.push(SharedDelivery::Event(Arc::new(event)));
        }
        items.extend(live.map(|said| SharedDelivery::Live(Arc::new(said))));
        let newest_taken = items.iter().map(SharedDelivery::g).max().unwrap_or(Position(0));
        self.pulled.1 = self.pulled.1.max(newest_taken);
        if !items.is_empty() {
            self.queued.push_back(Chunk::new(items));
        }
        self.complete_until = self.complete_until.max(Some(if whole { newest } else { self.pulled.1 }));
        self.report_progress();
    }
}
