//! What a reader needs.

use std::future::Future;
use std::pin::Pin;

use backstay_model::{Gap, Kind, LogId, Position, Recorded, Scope, Seq, Topic};

use crate::cursor::Cursor;
use crate::error::ReadError;
use crate::subscribe::Subscription;

/// A future that a store returns. It is boxed so that a store can be a trait object.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One page of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events, in the requested direction. A forward page never ends inside a batch.
    pub events: Vec<Recorded>,
    /// The number of the topic's last event when the page was read.
    pub head: Seq,
    /// Set if events between the start of the page and the first remaining event were trimmed.
    pub gap: Option<Gap>,
}

/// The direction in which a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Events strictly after the number, in rising order.
    Forward,
    /// Events strictly before the number, in falling order. `Seq(u64::MAX)` means from the head.
    Backward,
}

/// Selects events of a topic. An empty list selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Selects these kinds.
    pub kinds: Vec<Kind>,
    /// Selects exactly these scopes.
    pub scopes: Vec<Scope>,
}

impl EventFilter {
    /// Returns whether the filter selects an event of this kind and scope.
    #[must_use]
    pub fn matches(&self, kind: &Kind, scope: &Scope) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(kind))
            && (self.scopes.is_empty() || self.scopes.contains(scope))
    }
}

/// Reading and following a log. Reads never wait for a writer.
pub trait LogReader: Send + Sync {
    /// Returns the log's own id, drawn when the log was made. A restored copy MAY have the same.
    fn id(&self) -> LogId;

    /// Reads up to `limit` events (at most 1,000) of `topic` after or before `at`. A forward page is cut back to the end of a
    /// batch, or extended to it where the first batch alone is longer than `limit`.
    ///
    /// A read by topic MUST show everything that was acknowledged before it began. An unknown topic is empty: head 0, no events.
    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> LogFuture<'_, Result<Page, ReadError>>;

    /// Reads up to `limit` events (at most 1,000) of `topic` after or before `at` that `filter` selects. A page MAY end inside a
    /// batch. The store reads only what the filter selects.
    fn read_matching(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
        filter: &EventFilter,
    ) -> LogFuture<'_, Result<Page, ReadError>>;

    /// Returns the number of the last event of `topic`, 0 if there never was one.
    fn head(&self, topic: &Topic) -> LogFuture<'_, Result<Seq, ReadError>>;

    /// Reads up to `limit` events of all topics after the position `after`, in order of position. The last batch of the answer is
    /// complete in its topic.
    ///
    /// It MUST NOT return an event above the readable horizon, so it MAY lag behind an acknowledgement. What it returned once
    /// for a range of positions, it returns again, but for trimmed events.
    fn read_all(&self, after: Position, limit: usize) -> LogFuture<'_, Result<Vec<Recorded>, ReadError>>;

    /// Resolves once the readable horizon is above `after`, whichever process appended; returns the horizon. Every event at or
    /// below it is readable, and no event is added at or below it later.
    ///
    /// A wake-up MAY come late, but by no more than a second, and several MAY become one.
    fn changed(&self, after: Position) -> LogFuture<'_, Position>;

    /// Returns the cursor right behind `seq` of `topic`.
    fn cursor(&self, topic: &Topic, seq: Seq) -> LogFuture<'_, Result<Cursor, ReadError>>;

    /// Checks a cursor and returns the number that it stands behind, for reading on from it.
    ///
    /// Resolves to [`ReadError::Cursor`] if the cursor is of another log or topic (without touching the store), is ahead of
    /// the head, or stands behind an event that an earlier incarnation lost.
    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> LogFuture<'_, Result<Seq, ReadError>>;

    /// Follows `topic` from `after`: history first, then new events. A cursor that is ahead of the head or lost is reported by
    /// the first `next`.
    ///
    /// # Errors
    /// [`ReadError::Cursor`] if the cursor is of another log or topic.
    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError>;

    /// Follows `topic` from behind `seq`.
    fn follow(&self, topic: &Topic, after: Seq) -> Subscription;
}
