//! The store in memory: for tests, dry runs and embedders without a file.

mod guard;
mod log;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_model::event::{ClaimReason, FactEvent, OwnerChanged};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{
    Digest, Epoch, Gap, LiveEvent, LogId, OwnerId, Position, Recorded, Scope, Seq, Timestamp, Topic,
};
use guard::Proof;
use tokio::sync::watch;

use crate::admission::{Standing, TopicState, body_digest, check_batch, check_event};
use crate::blobs::BlobStore;
use crate::clock::{Clock, SystemClock};
use crate::contract::{
    Appended, AppendedTopic, Authority, Batch, ClaimMode, Claimed, Direction, EntryIndex, EntryKind,
    FoldSnapshot, LogFuture, NewEvent, OwnerIdentity, OwnerState, OwnerView, Page, TopicAppend, TopicFilter,
    TopicIndex, TopicRow, TopicTransition,
};
use crate::cursor::{Cursor, CursorError};
use crate::error::{AppendError, ClaimError, OpenError, ReadError, StoreError};
use crate::subscribe::{LivePage, Source};

/// A log in memory. Its clones are handles on the same log.
///
/// All owners live in one process, so an owner that holds its proof is never silent: `WaitUntilFree` fails at once. Positions and
/// epochs have gaps, as those of a database's sequences have: who computes with them is found out here.
#[derive(Clone, Debug)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: LogId,
    created_at: Timestamp,
    clock: Arc<dyn Clock>,
    blobs: BlobStore,
    state: Mutex<State>,
    newest: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct State {
    g: Position,
    /// The readable horizon, where it lags behind `g`.
    lagging: Option<Position>,
    topics: HashMap<Topic, MemoryTopic>,
    by_position: BTreeMap<Position, (Topic, Seq)>,
    keys: HashMap<(Topic, String), (Digest, Appended)>,
    entries: BTreeMap<(EntryKind, String, Topic), EntryIndex>,
    owners: HashMap<OwnerId, MemoryOwner>,
}

#[derive(Debug)]
struct MemoryOwner {
    identity: OwnerIdentity,
    proof: Arc<Proof>,
    registered_at: Timestamp,
}

#[derive(Debug, Default)]
struct MemoryTopic {
    state: TopicState,
    events: Vec<Recorded>,
    live: BTreeMap<Position, LiveEvent>,
    index: Option<TopicIndex>,
    wake_at: Option<Timestamp>,
    /// Snapshots of folds, by name.
    folds: HashMap<String, FoldSnapshot>,
    /// The number of topics that were made before it.
    nth: usize,
}

impl MemoryLog {
    /// Returns an empty log with the clocks of this machine.
    ///
    /// # Errors
    /// [`OpenError`] if the system gives no random bytes for its id.
    pub fn new() -> Result<MemoryLog, OpenError> {
        MemoryLog::with_clock(Arc::new(SystemClock::default()))
    }

    /// Returns an empty log with `clock`.
    ///
    /// # Errors
    /// [`OpenError`] if the system gives no random bytes for its id.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Result<MemoryLog, OpenError> {
        let created_at = clock.now();
        let id = crate::clock::draw_log_id(created_at)?;
        let state = Mutex::new(State::default());
        let newest = watch::Sender::new(Position(0));
        Ok(MemoryLog(Arc::new(Shared {
            id,
            created_at,
            clock,
            blobs: BlobStore::in_memory(),
            state,
            newest,
        })))
    }

    /// The same with a readable horizon that lags: it moves only when somebody reads by position or waits for it, after the
    /// answer. For tests of those who read by position.
    ///
    /// # Errors
    /// [`OpenError`] if the system gives no random bytes for its id.
    pub fn with_lagging_horizon(clock: Arc<dyn Clock>) -> Result<MemoryLog, OpenError> {
        let log = MemoryLog::with_clock(clock)?;
        log.0.lock().lagging = Some(Position(0));
        Ok(log)
    }

    /// Ends the session of `owner`, as a database ends that of a client that it cannot reach: its guard is lost from now on,
    /// and its topics can be claimed. For tests of owners.
    pub fn end_session(&self, owner: OwnerId) {
        if let Some(MemoryOwner { proof, .. }) = self.0.lock().owners.get(&owner) {
            proof.end_session();
        }
    }

    /// Returns the blobs of this log.
    #[must_use]
    pub fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }
}

/// The greatest distance of two neighbouring positions.
const POSITION_STEP_MAX: u64 = 1 << 20;
/// The greatest distance of two neighbouring epochs.
const EPOCH_STEP_MAX: u64 = 3;

/// Returns a step from 1 to `max`, always the same for one `number`, and without a visible pattern.
fn step(number: u64, max: u64) -> u64 {
    1 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % max
}

fn next_position(g: Position) -> Position {
    Position(g.0 + step(g.0, POSITION_STEP_MAX))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock panics halfway, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, batch: &Batch) -> Result<Appended, AppendError> {
        check_batch(batch)?;
        let mut state = self.lock();
        let key = batch.key.as_ref().map(|key| (batch.appends[0].topic.clone(), key.clone()));
        if let Some((known, appended)) = key.as_ref().and_then(|key| state.keys.get(key)) {
            return if *known == body_digest(batch) {
                Ok(Appended { repeated: true, ..appended.clone() })
            } else {
                let (topic, key) = key.unwrap_or_else(|| (batch.appends[0].topic.clone(), String::new()));
                Err(AppendError::KeyConflict { topic, key })
            };
        }
        for append in &batch.appends {
            state.topic(&append.topic).admit(append)?;
            if let Some(topic) = state.topics.get(&append.topic) {
                topic.refuse_trim(append)?;
            }
        }
        let now = self.clock.now();
        let topics = batch.appends.iter().map(|append| state.write(append, now)).collect();
        let appended = Appended { topics, g: state.g, repeated: false };
        if let Some(key) = key {
            state.keys.insert(key, (body_digest(batch), appended.clone()));
        }
        self.newest.send_replace(state.g);
        Ok(appended)
    }

    fn submit_live(&self, topic: &Topic, event: NewEvent) {
        if let Err(refused) = check_event(&event) {
            tracing::debug!(%topic, %refused, "a live event was dropped");
            return;
        }
        let mut state = self.lock();
        let g = next_position(state.g);
        let now = self.clock.now();
        let Some(found) = state.topics.get_mut(topic) else {
            tracing::debug!(%topic, "a live event of an unknown topic was dropped");
            return;
        };
        let NewEvent { kind, scope, payload, trace: _ } = event;
        let (after_seq, at) = (found.state.head, found.state.time(now));
        found.live.insert(g, LiveEvent { topic: topic.clone(), g, after_seq, at, kind, scope, payload });
        state.g = g;
        self.newest.send_replace(g);
    }

    fn claim(&self, topic: &Topic, identity: &OwnerIdentity, mode: ClaimMode) -> Result<Claimed, ClaimError> {
        let mut state = self.lock();
        let proof = state.owners.get(&identity.owner).map(|owner| owner.proof.state());
        if proof != Some(OwnerState::Held) {
            return Err(ClaimError::NotRegistered(identity.owner));
        }
        let found = state.topic(topic);
        match found.standing {
            Standing::Open => {}
            Standing::Closed => return Err(ClaimError::Closed { topic: topic.clone() }),
            Standing::Deleted => return Err(ClaimError::Deleted { topic: topic.clone() }),
        }
        let owner = state.owner_view(&found);
        let reason = match (owner, mode) {
            (None, _) => ClaimReason::Unowned,
            (Some(OwnerView { state: OwnerState::Dead, .. }), _) => ClaimReason::OwnerDead,
            (Some(OwnerView { state: OwnerState::SessionGone, .. }), _) => ClaimReason::SessionGone,
            (Some(_), ClaimMode::TakeOver) => ClaimReason::TakenOver,
            (Some(owner), ClaimMode::IfFree | ClaimMode::WaitUntilFree) => {
                return Err(ClaimError::Owned { topic: topic.clone(), owner: Box::new(owner) });
            }
        };
        let live = state.topics.get(topic).into_iter().flat_map(|topic| topic.live.values());
        let registered_at = found.owner.and_then(|owner| state.owners.get(&owner)).map(|it| it.registered_at);
        let last_sign = live.map(|live| live.at).max().max(registered_at);
        let event = OwnerChanged {
            owner: identity.owner,
            epoch: Epoch(found.epoch.0 + step(found.epoch.0, EPOCH_STEP_MAX)),
            host: identity.host.clone(),
            pid: identity.pid,
            reason,
            previous: found.owner,
            last_sign: found.owner.and(last_sign),
        };
        let changed = FactEvent::from(event.clone());
        let payload = changed.encode().map_err(|invalid| StoreError::Corrupt {
            location: "memory".into(),
            what: invalid.to_string(),
        })?;
        let new = NewEvent { kind: changed.kind(), scope: Scope::root(), payload, trace: None };
        let append = TopicAppend::new(topic.clone(), Authority::Exclusive, vec![new]);
        let appended = state.write(&append, self.clock.now());
        if let Some(topic) = state.topics.get_mut(topic) {
            topic.state.epoch = event.epoch;
            topic.state.owner = Some(event.owner);
        }
        self.newest.send_replace(state.g);
        Ok(Claimed { epoch: event.epoch, head: appended.last, reason, event })
    }

    fn resolve(&self, cursor: &Cursor) -> Result<Seq, ReadError> {
        cursor.check(self.id, cursor.topic())?;
        let head = self.lock().topic(cursor.topic()).head;
        if cursor.seq() > head {
            let topic = cursor.topic().clone();
            return Err(CursorError::Ahead { topic, seq: cursor.seq(), head }.into());
        }
        Ok(cursor.seq())
    }

    fn page(&self, topic: &Topic, at: Seq, direction: Direction, limit: usize) -> Page {
        let state = self.lock();
        state.topics.get(topic).map_or_else(
            || Page { events: Vec::new(), head: Seq(0), gap: None },
            |topic| topic.page(at, direction, limit),
        )
    }

    fn topics(&self, filter: &TopicFilter) -> Vec<TopicRow> {
        let state = self.lock();
        let mut found: Vec<_> = state.topics.iter().filter(|(_, topic)| topic.matches(filter)).collect();
        found.sort_by_key(|(_, topic)| std::cmp::Reverse(topic.nth));
        let limit = filter.limit.unwrap_or(usize::MAX);
        found.into_iter().take(limit).map(|(name, topic)| state.row(name, topic)).collect()
    }
}

impl State {
    /// The readable horizon. Where it lags it moves now, for the next who asks.
    fn horizon(&mut self) -> Position {
        let newest = self.g;
        self.lagging.as_mut().map_or(newest, |horizon| std::mem::replace(horizon, newest))
    }

    fn topic(&self, topic: &Topic) -> TopicState {
        self.topics.get(topic).map(|topic| topic.state.clone()).unwrap_or_default()
    }

    fn owner_view(&self, topic: &TopicState) -> Option<OwnerView> {
        let MemoryOwner { identity, proof, .. } = self.owners.get(&topic.owner?)?;
        Some(OwnerView { identity: identity.clone(), epoch: topic.epoch, state: proof.state() })
    }

    fn row(&self, name: &Topic, topic: &MemoryTopic) -> TopicRow {
        let index = topic.index.clone().map(|index| TopicIndex { wake_at: topic.wake_at, ..index });
        TopicRow {
            topic: name.clone(),
            index,
            head: topic.state.head,
            closed: topic.state.is_closed(),
            owner: self.owner_view(&topic.state),
        }
    }

    fn write(&mut self, append: &TopicAppend, now: Timestamp) -> AppendedTopic {
        let mut g = self.g;
        let nth = self.topics.len();
        let new = || MemoryTopic { nth, ..MemoryTopic::default() };
        let topic = self.topics.entry(append.topic.clone()).or_insert_with(new);
        let at = topic.state.time(now);
        let (before, floor) = (topic.state.head, topic.state.floor);
        let last = append.events.len();
        for (index, event) in append.events.iter().enumerate() {
            g = next_position(g);
            let seq = topic.state.number(append.authority, at);
            let NewEvent { kind, scope, payload, trace } = event.clone();
            let more = index + 1 < last;
            topic.events.push(Recorded {
                topic: append.topic.clone(),
                seq,
                g,
                at,
                kind,
                scope,
                payload,
                trace,
                more,
            });
            self.by_position.insert(g, (append.topic.clone(), seq));
        }
        topic.state.apply_transition(append);
        topic.live.retain(|_, live| !append.live_done.contains(&live.scope));
        if let Some(index) = &append.index {
            topic.wake_at = index.wake_at;
            topic.index = Some(index.clone());
        }
        if crate::admission::is_input(append.authority) {
            topic.wake_at = Some(now);
        }
        let last = topic.state.head;
        for gone in topic.free(floor) {
            self.by_position.remove(&gone.g);
        }
        if matches!(append.transition, TopicTransition::Deleted) {
            topic.forget();
            self.entries.retain(|(.., of), _| *of != append.topic);
        }
        for entry in &append.entries {
            let id = (entry.kind.clone(), entry.id.clone(), append.topic.clone());
            self.entries.insert(id, entry.clone());
        }
        self.g = g;
        let first = if append.events.is_empty() { last } else { before.next() };
        AppendedTopic { topic: append.topic.clone(), first, last, at }
    }
}

impl MemoryTopic {
    fn matches(&self, filter: &TopicFilter) -> bool {
        let kind = self.index.as_ref().map(|index| &index.kind);
        self.exists()
            && filter.kind.as_ref().is_none_or(|wanted| kind == Some(wanted))
            && !(filter.open_only && self.state.is_closed())
            && filter.due_by.is_none_or(|due| self.wake_at.is_some_and(|wake| wake <= due))
    }

    /// Returns whether lists show it. A deleted topic keeps only its numbers until it gets an append.
    fn exists(&self) -> bool {
        self.state.floor == Seq(0) || self.index.is_some() || !self.events.is_empty()
    }

    /// Refuses a trim that would split a batch.
    fn refuse_trim(&self, append: &TopicAppend) -> Result<(), AppendError> {
        let Some(seq) = append.trim.filter(|until| *until > self.state.floor) else { return Ok(()) };
        let ends = self.events.get(self.index_after(seq) - 1).is_some_and(|event| !event.more);
        let (topic, head) = (append.topic.clone(), self.state.head);
        if ends { Ok(()) } else { Err(AppendError::NotABatchEnd { topic, seq, head }) }
    }

    /// Removes the trimmed events; `floor` is the floor before the append.
    fn free(&mut self, floor: Seq) -> Vec<Recorded> {
        let count = usize::try_from(self.state.floor.0 - floor.0).unwrap_or(usize::MAX);
        self.folds.retain(|_, kept| kept.seq > self.state.floor);
        self.events.drain(..count.min(self.events.len())).collect()
    }

    fn forget(&mut self) {
        self.live.clear();
        self.folds.clear();
        (self.index, self.wake_at) = (None, None);
    }

    /// Returns the index of the first event after `seq`: numbers are dense from the floor on.
    fn index_after(&self, seq: Seq) -> usize {
        let kept = seq.0.saturating_sub(self.state.floor.0);
        usize::try_from(kept).unwrap_or(usize::MAX).min(self.events.len())
    }

    fn gap(&self, at: Seq, direction: Direction) -> Option<Gap> {
        let TopicState { floor, head, .. } = self.state;
        (direction == Direction::Forward && at < floor).then_some(Gap {
            requested: at,
            first: floor.next(),
            head,
        })
    }

    fn page(&self, at: Seq, direction: Direction, limit: usize) -> Page {
        let limit = limit.min(PAGE_EVENTS_MAX);
        let events = match direction {
            Direction::Forward => whole_batches(&self.events, self.index_after(at), limit),
            Direction::Backward => {
                let end = self.index_after(Seq(at.0.saturating_sub(1)));
                self.events[end.saturating_sub(limit)..end].iter().rev().cloned().collect()
            }
        };
        Page { events, head: self.state.head, gap: self.gap(at, direction) }
    }
}

/// Returns up to `limit` events from `start`, cut back to the end of a batch, or the first batch if it alone is longer.
fn whole_batches(events: &[Recorded], start: usize, limit: usize) -> Vec<Recorded> {
    if limit == 0 {
        return Vec::new();
    }
    let full = start.saturating_add(limit).min(events.len());
    let cut = events[start..full].iter().rposition(|event| !event.more).map(|last| start + last + 1);
    let end = cut.unwrap_or_else(|| {
        events[full..].iter().position(|event| !event.more).map_or(events.len(), |last| full + last + 1)
    });
    events[start..end].to_vec()
}

impl Source for Shared {
    fn resolve(&self, cursor: &Cursor) -> LogFuture<'static, Result<Seq, ReadError>> {
        let resolved = Shared::resolve(self, cursor);
        Box::pin(std::future::ready(resolved))
    }

    fn page(
        &self,
        topic: &Topic,
        seq: Seq,
        g: Position,
        limit: usize,
    ) -> LogFuture<'static, Result<LivePage, ReadError>> {
        let state = self.lock();
        let newest = state.g;
        let found = state.topics.get(topic).map_or_else(
            || LivePage {
                page: Page { events: Vec::new(), head: Seq(0), gap: None },
                live: Vec::new(),
                newest,
            },
            |topic| {
                let live = topic.live.range((Bound::Excluded(g), Bound::Unbounded)).map(|(_, live)| live);
                let live = live.filter(|live| live.after_seq >= seq).take(limit).cloned().collect();
                LivePage { page: topic.page(seq, Direction::Forward, limit), live, newest }
            },
        );
        Box::pin(std::future::ready(Ok(found)))
    }
}
