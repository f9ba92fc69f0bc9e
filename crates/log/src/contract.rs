//! What every store promises, in words and types. The laws are tests: `tests/laws` runs one suite against each store.
//!
//! * A topic is a sequence of events, numbered densely from 1. A number is never reused.
//! * An append is atomic over all its topics: everything in it is there, or nothing.
//! * Facts need the topic's current epoch; inputs need nothing but an open topic.
//! * What was acknowledged is durable as it was asked for: `Synced` survives power loss, `Buffered` survives `kill -9`.
//! * A subscriber gets every event once and in order, whoever appended it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use backstay_model::event::{ClaimReason, OwnerChanged};
use backstay_model::{
    Epoch, Gap, Kind, LogId, OwnerId, Payload, Position, Recorded, Scope, Seq, Timestamp, Topic,
};
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::error::{AppendError, ClaimError, OpenError, ReadError};
use crate::subscribe::Subscription;
use crate::ticket::Ticket;

/// A future that a store hands out; boxed so that a store can be a trait object.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long an acknowledged append lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It survives `kill -9` of every process, but a power loss may take it.
    Buffered,
    /// It is on the disk.
    Synced,
}

/// One event to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub scope: Scope,
    /// What it says.
    pub payload: Payload,
    /// The trace it belongs to: 32 lower-case hexadecimal digits.
    pub trace: Option<String>,
}

/// By which right events are appended to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// As the topic's owner. Refused with `Fenced` unless this is the current owner and epoch.
    Owner(OwnerId, Epoch),
    /// As anybody: inputs. Raises `wake_at` of the topic to now. Refused with `Closed` after the end.
    Input,
    /// As anybody, of a topic that has ended: opens it again. Refused with `NotClosed` otherwise.
    Reopen,
    /// As the only user of a topic that has no owner and no inputs (an embedder's own).
    Exclusive,
    /// As whoever frees what a topic that has ended takes. Refused with `NotClosed` otherwise.
    Retention,
}

/// What must hold for an append to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The head is exactly this number.
    Exactly(Seq),
    /// No input is newer than this number.
    NoInputAfter(Seq),
}

/// What becomes of the topic with the append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicTransition {
    /// It stays as it is.
    #[default]
    Unchanged,
    /// Its owner gives it up; it can be claimed at once.
    Released,
    /// It ends: the log refuses inputs from now on, and its owner gives it up.
    Closed,
    /// It is gone: its events, its rows, what was said of it. Whatever comes later is refused with `Deleted`, until its only user
    /// (`Own`) begins it anew: then its numbers and epochs go on. Its idempotency keys stay taken. For `Own` and `Retention`,
    /// without events.
    Deleted,
}

/// The row by which a topic is found without reading it. A cache of a fold: never the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicIndex {
    /// What the topic is about, such as `run`.
    pub kind: String,
    /// Its state, as lists show it.
    pub state: String,
    /// Names and values to filter by.
    pub labels: Vec<(String, String)>,
    /// When an owner should look at it, if ever.
    pub wake_at: Option<Timestamp>,
    /// What lists show: JSON of at most 1 KiB.
    pub summary: Payload,
}

/// The row by which something with an id of its own is found, such as a question. A cache of a fold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryIndex {
    /// What it is, such as `question`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// When something falls due, if ever.
    pub due_at: Option<Timestamp>,
    /// What lists show: JSON of at most 1 KiB.
    pub summary: Payload,
}

/// One topic's share of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicAppend {
    /// Whose.
    pub topic: Topic,
    /// By which right.
    pub authority: Authority,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What is appended, in order.
    pub events: Vec<NewEvent>,
    /// What becomes of the topic.
    pub transition: TopicTransition,
    /// The topic's row, if it changes.
    pub index: Option<TopicIndex>,
    /// Rows of things in it, where they change.
    pub entries: Vec<EntryIndex>,
    /// Live events of these scopes are dropped: a fact in this append carries the whole.
    pub live_done: Vec<Scope>,
    /// The topic's events up to this number are gone from now on; it is the last of a batch. Nobody but the topic's owner,
    /// its only user, or `Retention` may say so. What they take is freed by and by.
    pub trim: Option<Seq>,
}

impl TopicAppend {
    /// A share with `events` and nothing else.
    #[must_use]
    pub fn new(topic: Topic, authority: Authority, events: Vec<NewEvent>) -> TopicAppend {
        TopicAppend {
            topic,
            authority,
            preconditions: Vec::new(),
            events,
            transition: TopicTransition::Unchanged,
            index: None,
            entries: Vec::new(),
            live_done: Vec::new(),
            trim: None,
        }
    }
}

/// What is appended together or not at all: at most 1,000 events and 1 MiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The shares, each of another topic.
    pub appends: Vec<TopicAppend>,
    /// Makes repeating harmless: the same key (of the first topic) and body give the first numbers, another body is a
    /// conflict. Looked up before epoch, preconditions and `Closed`.
    pub key: Option<String>,
    /// How durable it has to be before it is acknowledged.
    pub durability: Durability,
}

impl Batch {
    /// A synced batch of one topic.
    #[must_use]
    pub fn of(append: TopicAppend) -> Batch {
        Batch { appends: vec![append], key: None, durability: Durability::Synced }
    }
}

/// What was acknowledged for one topic of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedTopic {
    /// Whose.
    pub topic: Topic,
    /// The number of its first event; the rest follow without a hole. The head, if there was none.
    pub first: Seq,
    /// The number of its last event.
    pub last: Seq,
    /// When they were appended.
    pub at: Timestamp,
}

/// The acknowledgement of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One for each append, in order.
    pub topics: Vec<AppendedTopic>,
    /// The position of the last event.
    pub g: Position,
    /// True if the key was known and nothing was appended now.
    pub repeated: bool,
}

/// One page of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events, in the order that was asked for. A forward page never ends inside a batch.
    pub events: Vec<Recorded>,
    /// The topic's head when the page was read.
    pub head: Seq,
    /// Set if events between the cursor and the first kept one were trimmed.
    pub gap: Option<Gap>,
}

/// What a fold has made of a topic's events up to a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldSnapshot {
    /// The fold's name.
    pub fold: String,
    /// The version of its stored form and of what it means; another one is not given back.
    pub version: u32,
    /// The last event in it, the last of a batch.
    pub seq: Seq,
    /// What it made, as it stores it: at most 4 MiB.
    pub state: Vec<u8>,
}

/// Which way a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Events strictly after the number, in rising order.
    Forward,
    /// Events strictly before the number, in falling order. `Seq(u64::MAX)` means from the head.
    Backward,
}

/// Who a process is, towards the others on the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerIdentity {
    /// Its id, drawn by the runtime.
    pub owner: OwnerId,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// Proof that this process may own topics; dropping it gives the proof up (its lock is freed).
pub trait OwnerGuard: Send + Sync + fmt::Debug {
    /// Whose proof it is.
    fn identity(&self) -> &OwnerIdentity;
}

/// What is known of a topic's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerView {
    /// Who owns it.
    pub identity: OwnerIdentity,
    /// Since which epoch.
    pub epoch: Epoch,
    /// Whether its lock is held, seen from here. `false` is proof of death; it can be claimed at once.
    pub alive: bool,
}

/// How much force a claim may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimMode {
    /// Only what nobody owns, or whose owner is dead, or was silent for 30 s of this process's own clock.
    Fair,
    /// Whatever it is: a person said so.
    TakeOver,
}

/// A granted claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The new epoch.
    pub epoch: Epoch,
    /// The head after the claim's own event (`owner_changed`).
    pub head: Seq,
    /// Why it was granted.
    pub reason: ClaimReason,
    /// The event that was appended.
    pub event: OwnerChanged,
}

/// A topic as lists see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicRow {
    /// Its name.
    pub topic: Topic,
    /// Its row, once somebody wrote one.
    pub index: Option<TopicIndex>,
    /// Its head.
    pub head: Seq,
    /// Whether it has ended.
    pub closed: bool,
    /// Who owns it.
    pub owner: Option<OwnerView>,
}

/// A thing in a topic, as lists see it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    /// Whose.
    pub topic: Topic,
    /// The row.
    pub entry: EntryIndex,
}

/// Which topics a list shall show. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those that have not ended.
    pub open_only: bool,
    /// Only those whose `wake_at` is at or before this.
    pub due_by: Option<Timestamp>,
    /// At most this many, the newest first; 0 means all.
    pub limit: usize,
}

/// Which events of a topic are wanted. An empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of these kinds.
    pub kinds: Vec<Kind>,
    /// Only of exactly these scopes.
    pub scopes: Vec<Scope>,
}

impl EventFilter {
    /// Whether an event of this kind and scope is wanted.
    #[must_use]
    pub fn takes(&self, kind: &Kind, scope: &Scope) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(kind))
            && (self.scopes.is_empty() || self.scopes.contains(scope))
    }
}

/// The event log. Cheap to share as `Arc<dyn Log>`.
///
/// Reads never wait for a writer. Everything that returns a [`Pending`] may be awaited on any thread; nothing blocks
/// the caller's thread.
pub trait Log: Send + Sync + fmt::Debug + 'static {
    /// The log's own id, drawn when it was made.
    fn id(&self) -> LogId;

    /// Hands a batch over. The ticket resolves once the batch is durable as asked, or refused. Batches that wait together
    /// share a commit, in the order they were handed over.
    ///
    /// On an async worker's thread the batch is under way at once. On any other thread it is under way when its ticket is
    /// waited for, polled or dropped, or when others wait behind it, whichever comes first; `wait` may then write it on the
    /// caller's thread. What is committed can be seen by readers; a `Synced` one, a moment before it is acknowledged.
    fn submit(&self, batch: Batch) -> Ticket;

    /// Says something in passing: it gets a position, no number, and is buffered. Not acknowledged: what cannot be
    /// written is dropped.
    fn submit_live(&self, topic: Topic, event: NewEvent);

    /// Keeps what a fold has made of `topic` up to a batch's end, for [`load_fold`](Log::load_fold). It is a cache: it may be
    /// dropped now or at any time.
    fn save_fold(&self, topic: &Topic, kept: FoldSnapshot);

    /// What was kept of the fold of this name, if it is of this version and still fits the topic. Folding the events after
    /// its number gives what folding all of them gives.
    fn load_fold(
        &self,
        topic: &Topic,
        fold: &str,
        version: u32,
    ) -> LogFuture<'_, Result<Option<FoldSnapshot>, ReadError>>;

    /// Reads up to `limit` events (at most 1,000) of `topic` after or before `at`. A forward page is cut back to a
    /// batch's end, or extended to it where the first batch alone is longer than `limit`.
    ///
    /// An unknown topic is an empty one: head 0, no events.
    fn read(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
    ) -> LogFuture<'_, Result<Page, ReadError>>;

    /// Reads up to `limit` events (at most 1,000) of `topic` after or before `at` that `filter` takes. Those of one batch may
    /// be on two pages. Only what is taken is read.
    fn read_matching(
        &self,
        topic: &Topic,
        at: Seq,
        direction: Direction,
        limit: usize,
        filter: &EventFilter,
    ) -> LogFuture<'_, Result<Page, ReadError>>;

    /// Reads up to `limit` events of all topics after the position `after`, in order of position.
    fn read_all(&self, after: Position, limit: usize) -> LogFuture<'_, Result<Vec<Recorded>, ReadError>>;

    /// The last number of `topic`, 0 if nothing was ever appended.
    fn head(&self, topic: &Topic) -> LogFuture<'_, Result<Seq, ReadError>>;

    /// The cursor that stands right behind `seq` of `topic`, for handing out.
    fn cursor(&self, topic: &Topic, seq: Seq) -> LogFuture<'_, Result<Cursor, ReadError>>;

    /// Checks a cursor in full and gives the number it stands behind, for reading on from it.
    ///
    /// Resolves to a [`ReadError::Cursor`] if it is of another log or topic (told before the store is touched), ahead of
    /// the head, or behind an event that was lost.
    fn resolve(&self, topic: &Topic, cursor: &Cursor) -> LogFuture<'_, Result<Seq, ReadError>>;

    /// Follows `topic` from `after`: history first, then live. The cursor is checked before the store is touched.
    ///
    /// # Errors
    /// [`ReadError`] with a `CursorError` if the cursor is of another log or topic; one that is ahead of the head is told by
    /// the first `next`.
    fn subscribe(&self, topic: &Topic, after: &Cursor) -> Result<Subscription, ReadError>;

    /// Follows `topic` from behind `seq`.
    fn follow(&self, topic: &Topic, after: Seq) -> Subscription;

    /// Makes this process an owner: takes its lock, writes its row, renews it every 10 s until the guard is dropped.
    fn register_owner(
        &self,
        identity: OwnerIdentity,
    ) -> LogFuture<'_, Result<Box<dyn OwnerGuard>, OpenError>>;

    /// Claims `topic` for the owner of `guard` by appending `owner_changed` with the next epoch. In `Fair` mode a claim of
    /// a topic whose owner holds its lock waits up to 30 s of this process's own monotonic clock only if `patient`; else
    /// it fails at once with the owner's identity.
    fn claim<'a>(
        &'a self,
        topic: &Topic,
        guard: &'a dyn OwnerGuard,
        mode: ClaimMode,
        patient: bool,
    ) -> LogFuture<'a, Result<Claimed, ClaimError>>;

    /// The topics that match, the newest first.
    fn topics(&self, filter: TopicFilter) -> LogFuture<'_, Result<Vec<TopicRow>, ReadError>>;

    /// One topic's row; none if nothing was ever appended.
    fn topic(&self, topic: &Topic) -> LogFuture<'_, Result<Option<TopicRow>, ReadError>>;

    /// The entries of `kind`, those in `state` if given, in order of id.
    fn entries(&self, kind: &str, state: Option<&str>) -> LogFuture<'_, Result<Vec<EntryRow>, ReadError>>;

    /// Resolves when something was appended anywhere after `after`, by any process; gives the newest position seen.
    fn changed(&self, after: Position) -> LogFuture<'_, Position>;
}

/// The error of an append, for code that only submits.
pub type SubmitResult = Result<Appended, AppendError>;
