//! Subscriptions: history first, then live; every event once and in order.

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

/// What a subscriber is given at once: a page, and the live events that belong between its events.
#[derive(Debug)]
pub(crate) struct LivePage {
    /// The events.
    pub(crate) page: Page,
    /// Live events after the subscriber's position, at most a page of them.
    pub(crate) live: Vec<LiveEvent>,
    /// The newest position of the log when both were read.
    pub(crate) newest: Position,
}

/// Where a subscription pulls from. A wake-up only says that there is more; the source says what.
pub(crate) trait Source: Send + Sync + fmt::Debug {
    /// Checks a cursor against the store and gives the number it stands behind.
    fn resolve(&self, cursor: &Cursor) -> LogFuture<'static, Result<Seq, ReadError>>;

    /// Events after `seq` and live events after `g`.
    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> LogFuture<'static, Result<LivePage, ReadError>>;
}

/// Follows one topic. It never ends by itself and never loses an event; a slow reader just reads on from the store.
///
/// It holds at most one page in memory; what is newest it shares with the others who follow the topic.
#[derive(Debug)]
pub struct Subscription {
    source: Arc<dyn Source>,
    ring: Option<Arc<Ring>>,
    /// Where the ring sees what was taken.
    progress: Option<Arc<AtomicU64>>,
    log: LogId,
    topic: Topic,
    start: Option<Cursor>,
    queued: VecDeque<Chunk>,
    pulled: (Seq, Position),
    delivered: (Seq, Position),
    /// Everything of the topic up to here was pulled; none before the first look.
    complete_until: Option<Position>,
    wake: watch::Receiver<Position>,
}

/// What a subscriber gets, shared with the others who get it. As [`Delivery`], without a copy for each.
#[derive(Clone, Debug, PartialEq)]
pub enum SharedDelivery {
    /// A durable event, once and in order.
    Event(Arc<Recorded>),
    /// A live event, at most once.
    Live(Arc<LiveEvent>),
    /// Some events are gone; reading goes on at `first`.
    Gap(Gap),
}

impl SharedDelivery {
    /// Its position; a gap has none.
    pub(crate) fn g(&self) -> Position {
        match self {
            SharedDelivery::Event(event) => event.g,
            SharedDelivery::Live(live) => live.g,
            SharedDelivery::Gap(_) => Position(0),
        }
    }

    /// Its topic; a gap does not say.
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

/// How hard to look for something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PullScope {
    /// As far as somebody said that there is something.
    Announced,
    /// In the store too.
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

    /// The subscription, with a ring to take what is newest from.
    pub(crate) fn with_ring(self, ring: Arc<Ring>) -> Subscription {
        let wake = ring.wake();
        let progress = Some(ring.add_reader());
        Subscription { ring: Some(ring), progress, wake, ..self }
    }

    /// The topic it follows.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The cursor behind the last event that was handed out, if it is known: `None` before the first event of a
    /// subscription that began at a number.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let (seq, g) = self.delivered;
        let known = g > Position(0) || seq == Seq(0);
        known.then(|| Cursor::new(self.log, self.topic.clone(), seq, g))
    }

    /// The number of the last event that was handed out, or the one it began behind.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.delivered.0
    }

    /// The next delivery, waiting for it if need be. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ReadError`] if the cursor it began with does not fit, the store cannot be read, or an event is damaged; after a
    /// damaged event the next call goes on behind it.
    pub async fn next(&mut self) -> Result<Delivery, ReadError> {
        self.next_shared().await.map(Delivery::from)
    }

    /// As [`next`](Subscription::next), sharing what is delivered with the others who follow the topic.
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

    /// As [`next_shared`](Subscription::next_shared), with all that came together: never empty, and the fastest way to follow.
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

    /// The next delivery if there is one now.
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

    /// Takes what the ring has. False if the store has to be looked at.
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

    /// Lets the ring go of what was taken.
    fn report_progress(&self) {
        if let (Some(progress), Some(complete_until)) = (&self.progress, self.complete_until) {
            progress.store(complete_until.0, Ordering::Release);
        }
    }

    /// Merges a page and its live events by position. Where either was cut, nothing behind the cut is taken yet.
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
