//! The contract over the log in memory: every future is ready at once.

use std::ops::Bound;
use std::sync::Arc;

use backstay_model::limits::{FOLD_BYTES_MAX, PAGE_EVENTS_MAX};
use backstay_model::{LogId, Position, Recorded, Seq, Topic};

use super::guard::{MemoryGuard, Proof};
use super::{MemoryLog, MemoryOwner, MemoryTopic};
use crate::contract::{
    Batch, ClaimMode, Claimed, Direction, EntryKind, EntryRow, EventFilter, FoldCache, FoldSnapshot,
    Incarnation, IncarnationCause, IndexState, LogFuture, LogIndex, LogMaintenance, LogOwnership, LogReader,
    LogWriter, NewEvent, OwnerGuard, OwnerIdentity, Page, TopicFilter, TopicRow,
};
use crate::cursor::{Cursor, CursorError};
use crate::error::{ClaimError, OpenError, ReadError, StoreError};
use crate::subscribe::Subscription;
use crate::ticket::Ticket;

fn ready<'a, T: Send + 'a>(value: T) -> LogFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl LogWriter for MemoryLog {
    fn submit(&self, batch: Batch) -> Ticket {
        Ticket::ready(self.0.submit(&batch))
    }

    fn submit_live(&self, topic: Topic, event: NewEvent) {
        self.0.submit_live(&topic, event);
    }
}

impl FoldCache for MemoryLog {
    fn save_fold(&self, topic: &Topic, snapshot: FoldSnapshot) {
        let mut state = self.0.lock();
        let Some(found) = state.topics.get_mut(topic) else { return };
        let known = found.folds.get(&snapshot.fold).filter(|known| known.version == snapshot.version);
        let is_end = |event: &Recorded| event.seq == snapshot.seq && !event.more;
        if snapshot.state.len() <= FOLD_BYTES_MAX
            && snapshot.seq > known.map_or(found.state.floor, |known| known.seq)
            && found.events.get(found.index_after(snapshot.seq) - 1).is_some_and(is_end)
        {
            found.folds.insert(snapshot.fold.clone(), snapshot);
        }
    }

    fn load_fold(
        &self,
        topic: &Topic,
        fold: &str,
        version: u32,
    ) -> LogFuture<'_, Result<Option<FoldSnapshot>, ReadError>> {
        let state = self.0.lock();
        let snapshot = state.topics.get(topic).and_then(|found| found.folds.get(fold));
        ready(Ok(snapshot.filter(|snapshot| snapshot.version == version).cloned()))
    }
}

impl LogReader for MemoryLog {
    fn id(&self) -> LogId {
        self.0.id
    }

    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> LogFuture<'_, Result<Page, ReadError>> {
        ready(Ok(self.0.page(topic, at, direction, limit)))
    }

    fn read_matching(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
        filter: &EventFilter,
    ) -> LogFuture<'_, Result<Page, ReadError>> {
        let state = self.0.lock();
        let Some(topic) = state.topics.get(topic) else {
            return ready(Ok(Page { events: Vec::new(), head: Seq(0), gap: None }));
        };
        let (found, head) = (&topic.events, topic.state.head);
        let matches = |event: &&Recorded| filter.matches(&event.kind, &event.scope);
        let limit = limit.min(PAGE_EVENTS_MAX);
        let events = match direction {
            Direction::Forward => {
                found.iter().filter(|event| event.seq > at).filter(matches).take(limit).cloned().collect()
            }
            Direction::Backward => found
                .iter()
                .rev()
                .filter(|event| event.seq < at)
                .filter(matches)
                .take(limit)
                .cloned()
                .collect(),
        };
        ready(Ok(Page { events, head, gap: topic.gap(at, direction) }))
    }

    fn head(&self, topic: &Topic) -> LogFuture<'_, Result<Seq, ReadError>> {
        ready(Ok(self.0.lock().topic(topic).head))
    }

    fn read_all(&self, after: Position, limit: usize) -> LogFuture<'_, Result<Vec<Recorded>, ReadError>> {
        let mut state = self.0.lock();
        let horizon = state.horizon();
        let mut found = Vec::new();
        let readable = after < horizon;
        let range = (Bound::Excluded(after), Bound::Included(horizon));
        for (topic, seq) in
            readable.then(|| state.by_position.range(range)).into_iter().flatten().map(|(_, event)| event)
        {
            let event = |topic: &MemoryTopic| topic.events.get(topic.index_after(*seq) - 1).cloned();
            found.extend(state.topics.get(topic).and_then(event));
            let whole = found.last().is_some_and(|last| !last.more);
            if found.len() >= limit.min(PAGE_EVENTS_MAX) && whole {
                break;
            }
        }
        ready(Ok(found))
    }

    fn changed(&self, after: Position) -> LogFuture<'_, Position> {
        let (shared, mut newest) = (self.0.clone(), self.0.newest.subscribe());
        Box::pin(async move {
            // The sender lives in this log, which the caller holds.
            while newest.wait_for(|newest| *newest > after).await.is_ok() {
                let horizon = shared.lock().horizon();
                if horizon > after {
                    return horizon;
                }
            }
            after
        })
    }

    fn cursor(&self, topic: &Topic, seq: Seq) -> LogFuture<'_, Result<Cursor, ReadError>> {
        let page = self.0.page(topic, Seq(seq.0.saturating_add(1)), Direction::Backward, 1);
        let g = page.events.first().map_or(Position(0), |event| event.g);
        ready(if seq > page.head {
            Err(CursorError::Ahead { topic: topic.clone(), seq, head: page.head }.into())
        } else {
            Ok(Cursor::new(self.0.id, topic.clone(), seq, g))
        })
    }

    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> LogFuture<'_, Result<Seq, ReadError>> {
        let checked = cursor.check(self.0.id, topic);
        ready(checked.map_err(ReadError::from).and_then(|()| self.0.resolve(cursor)))
    }

    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError> {
        after.check(self.0.id, topic)?;
        let wake = self.0.newest.subscribe();
        Ok(Subscription::new(self.0.clone(), self.0.id, topic.clone(), Ok(after.clone()), wake))
    }

    fn follow(&self, topic: &Topic, after: Seq) -> Subscription {
        let wake = self.0.newest.subscribe();
        Subscription::new(self.0.clone(), self.0.id, topic.clone(), Err(after), wake)
    }
}

impl LogOwnership for MemoryLog {
    fn register_owner(
        &self,
        identity: OwnerIdentity,
    ) -> LogFuture<'_, Result<Box<dyn OwnerGuard>, OpenError>> {
        let proof = Arc::new(Proof::default());
        let registered_at = self.0.clock.now();
        let owner = MemoryOwner { identity: identity.clone(), proof: proof.clone(), registered_at };
        self.0.lock().owners.insert(identity.owner, owner);
        let guard: Box<dyn OwnerGuard> = Box::new(MemoryGuard { identity, proof });
        ready(Ok(guard))
    }

    fn claim<'a>(
        &'a self,
        topic: &Topic,
        guard: &'a dyn OwnerGuard,
        mode: ClaimMode,
    ) -> LogFuture<'a, Result<Claimed, ClaimError>> {
        ready(self.0.claim(topic, guard.identity(), mode))
    }
}

impl LogIndex for MemoryLog {
    fn topics(&self, filter: TopicFilter) -> LogFuture<'_, Result<Vec<TopicRow>, ReadError>> {
        ready(Ok(self.0.topics(&filter)))
    }

    fn topic(&self, topic: &Topic) -> LogFuture<'_, Result<Option<TopicRow>, ReadError>> {
        let state = self.0.lock();
        let found = state.topics.get(topic).filter(|found| found.exists());
        ready(Ok(found.map(|found| state.row(topic, found))))
    }

    fn entries(
        &self,
        kind: &EntryKind,
        wanted: Option<&IndexState>,
    ) -> LogFuture<'_, Result<Vec<EntryRow>, ReadError>> {
        let state = self.0.lock();
        let found = state
            .entries
            .iter()
            .filter(|((of, ..), entry)| of == kind && wanted.is_none_or(|wanted| entry.state == *wanted))
            .map(|((.., topic), entry)| EntryRow { topic: topic.clone(), entry: entry.clone() })
            .collect();
        ready(Ok(found))
    }
}

impl LogMaintenance for MemoryLog {
    fn incarnation(&self) -> LogFuture<'_, Result<Incarnation, ReadError>> {
        ready(Ok(Incarnation {
            number: 1,
            cause: IncarnationCause::Created,
            at: self.0.created_at,
            lost_after: Position(0),
            floor: Position(0),
        }))
    }

    /// Nothing here is more durable than the process.
    fn durable_position(&self) -> LogFuture<'_, Result<Position, StoreError>> {
        ready(Ok(*self.0.newest.borrow()))
    }
}
