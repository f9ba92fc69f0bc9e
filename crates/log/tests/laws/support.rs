//! What the laws share: a store to try, and short ways to say things.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backstay_log::{
    Appended, Authority, Batch, Clock, Direction, Durability, HostId, Log, MemoryLog, NewEvent, OpenOptions,
    OwnerIdentity, SqliteLog, TopicAppend,
};
use backstay_model::{Kind, OwnerId, Payload, Position, Recorded, Scope, Seq, Timestamp, Topic};
use tempfile::TempDir;

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub(crate) struct FixedClock {
    micros: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl FixedClock {
    pub(crate) fn set(&self, micros: i64) {
        self.micros.store(micros, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.monotonic_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

/// A store that is gone after the test.
pub(crate) struct Fixture {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<FixedClock>,
    lose: Box<dyn Fn(OwnerId)>,
    _folder: Option<TempDir>,
}

impl Fixture {
    pub(crate) fn memory() -> Fixture {
        let clock = Arc::new(FixedClock::default());
        let log = Arc::new(MemoryLog::with_clock(clock.clone()).unwrap());
        let of_log = MemoryLog::clone(&log);
        Fixture { log, clock, lose: Box::new(move |owner| of_log.end_session(owner)), _folder: None }
    }

    /// A store whose readable horizon lags behind every acknowledgement.
    pub(crate) fn lagging() -> Fixture {
        let clock = Arc::new(FixedClock::default());
        let log = Arc::new(MemoryLog::with_lagging_horizon(clock.clone()).unwrap());
        let of_log = MemoryLog::clone(&log);
        Fixture { log, clock, lose: Box::new(move |owner| of_log.end_session(owner)), _folder: None }
    }

    pub(crate) fn sqlite() -> Fixture {
        Fixture::sqlite_with(OpenOptions::default())
    }

    /// Whatever ends is packed at once.
    pub(crate) fn packing() -> Fixture {
        Fixture::sqlite_with(OpenOptions { pack_after: Duration::ZERO, ..OpenOptions::default() })
    }

    /// Takes the proof of an owner of this process away.
    pub(crate) fn lose(&self, owner: OwnerId) {
        (self.lose)(owner);
    }

    fn sqlite_with(options: OpenOptions) -> Fixture {
        let clock = Arc::new(FixedClock::default());
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions { clock: clock.clone(), ..options };
        let log = Arc::new(SqliteLog::open(&folder.path().join(".backstay"), options).unwrap());
        let owners = folder.path().join(".backstay/owners");
        let lose = move |owner: OwnerId| std::fs::remove_file(owners.join(format!("{owner}.lock"))).unwrap();
        Fixture { log, clock, lose: Box::new(lose), _folder: Some(folder) }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)
    }
}

pub(crate) fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

pub(crate) fn owner(ulid_end: char) -> OwnerIdentity {
    let owner: OwnerId = format!("own_01JDX7Q2ZK8VQ5T3W9M4N6P7R{ulid_end}").parse().unwrap();
    OwnerIdentity {
        owner,
        host: "here".to_owned(),
        host_id: HostId::new("h1".to_owned()),
        pid: std::process::id(),
    }
}

pub(crate) fn event(text: &str) -> NewEvent {
    NewEvent {
        kind: Kind::new("noted"),
        scope: Scope::root(),
        payload: Payload::encode(&text).unwrap(),
        trace: None,
    }
}

pub(crate) fn events(texts: &[&str]) -> Vec<NewEvent> {
    texts.iter().map(|text| event(text)).collect()
}

pub(crate) fn batch(name: &str, authority: Authority, texts: &[&str]) -> Batch {
    Batch::of(TopicAppend::new(topic(name), authority, events(texts)))
}

pub(crate) fn buffered(batch: Batch) -> Batch {
    Batch { durability: Durability::Buffered, ..batch }
}

/// Every event of the log, once the horizon has reached `until`.
pub(crate) async fn read_all_until(log: &dyn Log, until: Position) -> Vec<Recorded> {
    let mut horizon = Position(0);
    while horizon < until {
        horizon = log.changed(horizon).await;
    }
    log.read_all(Position(0), 1_000).await.unwrap()
}

/// Appends as the topic's only user.
pub(crate) fn append(log: &dyn Log, name: &str, texts: &[&str]) -> Appended {
    log.submit(batch(name, Authority::Exclusive, texts)).wait().unwrap()
}

/// Every event of the topic, by pages of `limit`.
pub(crate) async fn read_by(log: &dyn Log, name: &str, limit: usize) -> Vec<Recorded> {
    let mut found: Vec<Recorded> = Vec::new();
    loop {
        let after = found.last().map_or(Seq(0), |last| last.seq);
        let page = log.read(&topic(name), after, Direction::Forward, limit).await.unwrap();
        if page.events.is_empty() {
            return found;
        }
        found.extend(page.events);
    }
}

pub(crate) fn texts(events: &[Recorded]) -> Vec<String> {
    events.iter().map(|event| event.payload.decode().unwrap()).collect()
}

pub(crate) fn numbers(events: &[Recorded]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

/// Says that a test was skipped; where everything has to run, that is a failure.
#[expect(clippy::disallowed_methods, reason = "the runner of all tests says so by the environment")]
pub(crate) fn skipped(reason: &str) {
    assert!(std::env::var("BACKSTAY_TEST_ALL").is_err(), "cannot be skipped here: {reason}");
    println!("skipped: {reason}");
}

#[expect(clippy::disallowed_methods, reason = "the runner of all tests says so by the environment")]
pub(crate) fn all_tests() -> bool {
    std::env::var("BACKSTAY_TEST_ALL").is_ok()
}

/// Measures real time, where a law speaks of it.
#[expect(clippy::disallowed_methods, reason = "laws about real time need it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A file system of its own, taken away with the test.
pub(crate) struct Mount(pub(crate) std::path::PathBuf);

impl Mount {
    pub(crate) fn tmpfs(at: &Path, options: &str) -> Option<Mount> {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Mount(at.to_owned()));
        }
        skipped("a file system cannot be mounted by this user");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Opens the store in `folder`, or makes it.
pub(crate) fn open(folder: &Path) -> SqliteLog {
    SqliteLog::open(folder, OpenOptions::default()).unwrap()
}
