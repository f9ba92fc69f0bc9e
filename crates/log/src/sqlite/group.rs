//! One commit for many commands: batches are admitted and numbered one after the other, and their rows are written together.

use std::borrow::Cow;
use std::sync::Arc;

use backstay_model::event::{FactEvent, OwnerChanged};
use backstay_model::{LiveEvent, OwnerId, Position, Scope, Seq, Timestamp, Topic};
use rusqlite::OptionalExtension;

use super::commit::{Cached, CommitFailure, Committer, Slot};
use super::flush_index;
use super::packing::due_before;
use super::pending_index::{Entry, Marks};
use super::queue::{ClaimAnswer, ClaimRequest};
use super::rows::{self, EventRow};
use super::schema::{FLAG_CONTROL, FLAG_MORE, FLAG_PLAIN};
use super::sql::{standing_number, stored};
use crate::admission::{Standing, TopicState, body_digest, is_input};
use crate::clock::Clock;
use crate::contract::{
    Appended, AppendedTopic, Authority, Batch, Claimed, EntryIndex, NewEvent, OwnerIdentity, TopicAppend,
    TopicIndex,
};
use crate::crash::crash_point;
use crate::error::{AppendError, ClaimError};
use crate::fanout::Fanout;
use crate::subscribe::SharedDelivery;

/// An open transaction.
pub(super) struct Group<'c, 'g> {
    pub(super) committer: &'c mut Committer,
    rows: Vec<EventRow<'g>>,
    live: Vec<LiveRow<'g>>,
    before: Position,
}

/// A live event with its position.
struct LiveRow<'g> {
    topic: &'g Topic,
    event: &'g NewEvent,
    g: Position,
    after_seq: Seq,
    at: Timestamp,
}

impl<'c, 'g> Group<'c, 'g> {
    /// Begins a transaction. The caller holds the writer lock.
    pub(super) fn begin(committer: &'c mut Committer) -> Result<Group<'c, 'g>, CommitFailure> {
        committer.begin()?;
        let before = committer.seen;
        Ok(Group { committer, rows: Vec::new(), live: Vec::new(), before })
    }

    /// Admits a batch and numbers its events, or refuses it.
    pub(super) fn append(
        &mut self,
        batch: &'g Batch,
        now: Timestamp,
    ) -> Result<Result<Appended, AppendError>, CommitFailure> {
        let digest = batch.key.as_ref().map(|key| (key, body_digest(batch).to_string()));
        if let Some((key, digest)) = &digest
            && let Some(known) = self.committer.known(&batch.appends[0].topic, key, digest)?
        {
            return Ok(known);
        }
        let mut slots = Vec::with_capacity(batch.appends.len());
        for append in &batch.appends {
            let slot = self.committer.load(&append.topic)?;
            let admitted = match slot {
                Some(slot) => self.committer.cached(slot).state.admit(append),
                None => TopicState::default().admit(append),
            };
            if let Err(refused) = admitted {
                return Ok(Err(refused));
            }
            if let Some(slot) = slot
                && let Some(refused) = self.refuse_trim(slot, append)?
            {
                return Ok(Err(refused));
            }
            slots.push(slot);
        }
        let mut topics = Vec::with_capacity(batch.appends.len());
        for (append, slot) in batch.appends.iter().zip(slots) {
            let slot = slot.map_or_else(|| self.committer.load_or_make(&append.topic), Ok)?;
            topics.push(self.write(slot, append, append.events.iter().map(Cow::Borrowed), false, now)?);
        }
        let appended = Appended { topics, g: self.committer.seen, repeated: false };
        if let Some((key, digest)) = &digest {
            self.committer.remember(&appended, key, digest)?;
        }
        Ok(Ok(appended))
    }

    /// Refuses a trim that would split a batch.
    fn refuse_trim(
        &mut self,
        slot: Slot,
        append: &TopicAppend,
    ) -> Result<Option<AppendError>, CommitFailure> {
        let Cached { id, state } = self.committer.cached(slot);
        let (id, head, floor) = (*id, state.head, state.floor);
        let Some(seq) = append.trim.filter(|until| *until > floor && *until < head) else { return Ok(None) };
        let of_this_group = self.rows.iter().find(|row| row.id == id && row.seq == seq);
        let ends = match of_this_group {
            Some(row) => row.flags & FLAG_MORE == 0,
            None => self.committer.end_of_batch(id, seq)?.is_some(),
        };
        Ok((!ends).then(|| AppendError::NotABatchEnd { topic: append.topic.clone(), seq, head }))
    }

    /// Numbers an append that was admitted, and writes its changes of other rows.
    fn write(
        &mut self,
        slot: Slot,
        append: &TopicAppend,
        events: impl ExactSizeIterator<Item = Cow<'g, NewEvent>>,
        claims: bool,
        now: Timestamp,
    ) -> Result<AppendedTopic, CommitFailure> {
        let mut g = self.committer.seen;
        let count = events.len();
        let cached = self.committer.cached(slot);
        let changes = cached.state.changes_ownership(append);
        let id = cached.id;
        let at = cached.state.time(now);
        let before = cached.state.head;
        for (index, event) in events.enumerate() {
            let seq = cached.state.number(append.authority, at);
            g = g.next();
            let last = index + 1 == count;
            let flags = if !last {
                FLAG_MORE
            } else if changes || claims {
                FLAG_CONTROL
            } else {
                0
            };
            let (last_input, last_fact) = (cached.state.last_input, cached.state.last_fact);
            let scope = rows::scope_text(event.as_ref());
            let flags = flags | if scope.is_empty() && event.trace.is_none() { FLAG_PLAIN } else { 0 };
            let topic = append.topic.clone();
            self.rows.push(EventRow { g, id, topic, seq, at, flags, last_input, last_fact, scope, event });
        }
        let floor = cached.state.floor;
        cached.state.apply_transition(append);
        let last = cached.state.head;
        let standing = standing_number(cached.state.standing);
        let owner = cached.state.owner;
        self.committer.seen = g;
        if changes {
            let owner = owner.map(|owner| owner.to_string());
            self.committer
                .connection
                .prepare_cached("UPDATE topic SET closed = ?2, owner = ?3 WHERE id = ?1")?
                .execute((id, standing, owner))?;
            if standing == standing_number(Standing::Closed) {
                self.committer.pack_later(id, now)?;
            }
        }
        self.committer.write_beside(id, append, now)?;
        if changes && count == 0 {
            self.committer.outdate_caches()?;
        }
        self.committer.trim(id, append, last, floor)?;
        let first = if count == 0 { last } else { before.next() };
        Ok(AppendedTopic { topic: append.topic.clone(), first, last, at })
    }

    /// Makes the claimer the topic's owner, if the topic's owner and epoch are still those that the claimer read.
    pub(super) fn claim(
        &mut self,
        request: &ClaimRequest,
        clock: &dyn Clock,
    ) -> Result<ClaimAnswer, CommitFailure> {
        let ClaimRequest { topic, claimer, owner, epoch, reason } = request;
        if !self.committer.is_registered(claimer.owner)? {
            return Ok(ClaimAnswer::Refused(ClaimError::NotRegistered(claimer.owner)));
        }
        let state = self.committer.state(topic)?;
        match state.standing {
            Standing::Open => {}
            Standing::Closed => {
                return Ok(ClaimAnswer::Refused(ClaimError::Closed { topic: topic.clone() }));
            }
            Standing::Deleted => {
                return Ok(ClaimAnswer::Refused(ClaimError::Deleted { topic: topic.clone() }));
            }
        }
        if state.owner != *owner || state.epoch != *epoch {
            return Ok(ClaimAnswer::Changed);
        }
        let last_sign = match owner {
            Some(owner) => self.committer.last_live(topic)?.max(self.committer.last_renewal(*owner)?),
            None => None,
        };
        let changed = OwnerChanged {
            owner: claimer.owner,
            epoch: epoch.next(),
            host: claimer.host.clone(),
            pid: claimer.pid,
            reason: *reason,
            previous: *owner,
            last_sign,
        };
        let event = FactEvent::from(changed.clone());
        let payload = event.encode().map_err(|invalid| CommitFailure::Corrupt(invalid.to_string()))?;
        let new = NewEvent { kind: event.kind(), scope: Scope::root(), payload, trace: None };
        let append = TopicAppend::new(topic.clone(), Authority::Exclusive, Vec::new());
        let slot = self.committer.load_or_make(topic)?;
        let appended = self.write(slot, &append, std::iter::once(Cow::Owned(new)), true, clock.now())?;
        let cached = self.committer.cached(slot);
        cached.state.owner = Some(changed.owner);
        cached.state.epoch = changed.epoch;
        let id = cached.id;
        self.committer.connection.execute(
            "UPDATE topic SET owner = ?2, epoch = ?3 WHERE id = ?1",
            (id, changed.owner.to_string(), stored(changed.epoch.0)),
        )?;
        let claimed = Claimed { epoch: changed.epoch, head: appended.last, reason: *reason, event: changed };
        Ok(ClaimAnswer::Granted(Box::new(claimed)))
    }

    /// Writes a live event. A live event of an unknown topic is dropped.
    pub(super) fn live(
        &mut self,
        topic: &'g Topic,
        event: &'g NewEvent,
        now: Timestamp,
    ) -> Result<(), CommitFailure> {
        let Some(slot) = self.committer.load(topic)? else {
            tracing::debug!(%topic, "a live event of an unknown topic was dropped");
            return Ok(());
        };
        let cached = self.committer.cached(slot);
        let (id, after_seq, at) = (cached.id, cached.state.head, cached.state.time(now));
        let g = self.committer.seen.next();
        self.committer.seen = g;
        rows::insert_live(&self.committer.connection, g, id, after_seq, at, event)?;
        self.live.push(LiveRow { topic, event, g, after_seq, at });
        Ok(())
    }

    /// Writes an owner's row, or renews it.
    pub(super) fn renew(&mut self, identity: &OwnerIdentity, now: Timestamp) -> Result<(), CommitFailure> {
        self.committer.renew(identity, now)
    }

    /// Writes the rows and some waiting index entries, and commits. With `idle` (the current time) no command waits, so the
    /// commit does the next background task: all index entries first, then trimmed rows, then packing.
    pub(super) fn commit(self, idle: Option<Timestamp>) -> Result<Written<'g>, CommitFailure> {
        let Group { committer, rows, live, before } = self;
        rows::insert(&committer.connection, &rows)?;
        let marks = flush_index::step(committer, rows.len(), idle.is_some())?;
        match idle {
            Some(_) if marks.is_some() => {}
            Some(_) if committer.sweeps => committer.sweep()?,
            Some(now) if committer.packs => committer.pack(due_before(now, committer.pack_after))?,
            _ => {}
        }
        if !rows.is_empty() {
            crash_point("log.append.before_commit");
        }
        if marks.is_some() {
            crash_point("log.flush.before_commit");
        }
        committer.commit()?;
        if marks.is_some() {
            crash_point("log.flush.after_commit");
        }
        committer.publish(&rows, marks);
        Ok(Written { rows, live, before, until: committer.seen, foreign: committer.foreign })
    }
}

/// The events of a commit.
pub(super) struct Written<'g> {
    rows: Vec<EventRow<'g>>,
    live: Vec<LiveRow<'g>>,
    before: Position,
    until: Position,
    foreign: bool,
}

impl Written<'_> {
    /// Hands them to the subscribers of their topics.
    pub(super) fn publish(&self, fanout: &Fanout) {
        let mut live = self.live.iter().peekable();
        let mut events = self.rows.iter().peekable();
        let items = std::iter::from_fn(|| {
            let next_event = events.peek().map_or(Position(u64::MAX), |row| row.g);
            match live.next_if(|said| said.g < next_event) {
                Some(said) => Some(SharedDelivery::Live(Arc::new(said.delivered()))),
                None => events.next().map(|row| SharedDelivery::Event(Arc::new(row.recorded()))),
            }
        });
        fanout.publish(items, self.foreign, self.before, self.until);
    }
}

impl LiveRow<'_> {
    fn delivered(&self) -> LiveEvent {
        let NewEvent { kind, scope, payload, trace: _ } = self.event;
        LiveEvent {
            topic: self.topic.clone(),
            g: self.g,
            after_seq: self.after_seq,
            at: self.at,
            kind: kind.clone(),
            scope: scope.clone(),
            payload: payload.clone(),
        }
    }
}

impl Committer {
    /// Adds the committed events to the pending index.
    fn publish(&mut self, rows: &[EventRow<'_>], marks: Option<Marks>) {
        let mut pending_index = self.pending_index.lock();
        for row in rows {
            let kind = pending_index.names.number(row.event.kind.as_str());
            let scope = pending_index.names.number(&row.scope);
            pending_index.push(row.id, Entry { g: row.g, seq: row.seq, kind, scope });
        }
        if let Some(marks) = marks {
            pending_index.advance(marks);
        }
    }

    /// Writes index rows and removes live events.
    fn write_beside(&mut self, id: i64, append: &TopicAppend, now: Timestamp) -> Result<(), CommitFailure> {
        if let Some(index) = &append.index {
            self.write_index(id, index)?;
        }
        for entry in &append.entries {
            self.write_entry(id, entry)?;
        }
        if is_input(append.authority) {
            self.connection
                .prepare_cached("UPDATE topic SET wake_at = ?2 WHERE id = ?1")?
                .execute((id, now.as_micros()))?;
        }
        for scope in &append.live_done {
            self.connection
                .prepare_cached("DELETE FROM live WHERE topic_id = ?1 AND scope = ?2")?
                .execute((id, scope.to_string()))?;
        }
        if !append.live_done.is_empty() && append.events.is_empty() {
            // The newest row may have been a removed live event; its position must not be drawn again.
            self.connection.execute("UPDATE meta SET g_floor = max(g_floor, ?1)", [stored(self.seen.0)])?;
        }
        Ok(())
    }

    /// Makes the other processes drop their caches: no new row tells them of the change.
    fn outdate_caches(&mut self) -> Result<(), CommitFailure> {
        self.generation += 1;
        self.connection.execute("UPDATE meta SET generation = ?1", [self.generation])?;
        Ok(())
    }

    /// Writes a topic's index row if it changes.
    fn write_index(&mut self, id: i64, index: &TopicIndex) -> Result<(), CommitFailure> {
        let labels = serde_json::to_string(&index.labels)
            .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))?;
        self.connection
            .prepare_cached(
                "UPDATE topic SET kind = ?2, state = ?3, labels = ?4, wake_at = ?5, summary = ?6 WHERE id = ?1 \
                 AND (kind, state, labels, wake_at, summary) IS NOT (?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                id,
                index.kind.as_str(),
                index.state.as_str(),
                labels,
                index.wake_at.map(Timestamp::as_micros),
                index.summary.as_str(),
            ))?;
        Ok(())
    }

    /// Writes an entry's index row if it changes.
    fn write_entry(&mut self, id: i64, entry: &EntryIndex) -> Result<(), CommitFailure> {
        self.connection
            .prepare_cached(
                "INSERT INTO entry (kind, id, topic_id, state, due_at, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT DO UPDATE SET state = excluded.state, due_at = excluded.due_at, summary = excluded.summary \
                 WHERE (state, due_at, summary) IS NOT (excluded.state, excluded.due_at, excluded.summary)",
            )?
            .execute((
                entry.kind.as_str(),
                &entry.id,
                id,
                entry.state.as_str(),
                entry.due_at.map(Timestamp::as_micros),
                entry.summary.as_str(),
            ))?;
        Ok(())
    }

    /// Returns the time of the topic's newest live event.
    fn last_live(&self, topic: &Topic) -> Result<Option<Timestamp>, CommitFailure> {
        let newest = self.connection.query_row(
            "SELECT max(live.at) FROM live JOIN topic ON topic.id = live.topic_id WHERE topic.name = ?1",
            [topic.as_str()],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        Ok(newest.map(Timestamp::from_micros))
    }

    /// When `owner` last said that it lives.
    fn last_renewal(&self, owner: OwnerId) -> Result<Option<Timestamp>, CommitFailure> {
        let renewed_at = self
            .connection
            .query_row("SELECT renewed_at FROM owner WHERE id = ?1", [owner.to_string()], |row| {
                row.get::<_, i64>(0)
            })
            .optional()?;
        Ok(renewed_at.map(Timestamp::from_micros))
    }

    /// Returns whether `owner` is registered.
    fn is_registered(&self, owner: OwnerId) -> Result<bool, CommitFailure> {
        let found = self.connection.query_row(
            "SELECT count(*) FROM owner WHERE id = ?1",
            [owner.to_string()],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(found > 0)
    }

    fn renew(&mut self, identity: &OwnerIdentity, now: Timestamp) -> Result<(), CommitFailure> {
        self.connection
            .prepare_cached(
                "INSERT INTO owner (id, host, host_id, pid, renewed_at, renewals) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
                 ON CONFLICT DO UPDATE SET renewed_at = excluded.renewed_at, renewals = renewals + 1",
            )?
            .execute((
                identity.owner.to_string(),
                &identity.host,
                identity.host_id.as_str(),
                identity.pid,
                now.as_micros(),
            ))?;
        Ok(())
    }
}
