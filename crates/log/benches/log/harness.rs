//! What the jobs share: time, samples, payloads, clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_log::prelude::*;
use backstay_log::{Authority, Batch, Durability, NewEvent, OpenOptions, SqliteLog, TopicAppend};
use backstay_model::{Kind, Payload, Scope, Topic};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Topics that appends go to in turn.
pub(crate) const TOPICS: usize = 256;
/// Bytes of a payload, quotes included.
pub(crate) const PAYLOAD_BYTES: usize = 400;

/// Topics and events of each that one batch of a filling has.
const PARTS: usize = 256;
const ROUND: usize = 2;
/// The index moves on when nothing was appended for 100 ms.
const REST: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Times of single operations, and how long all took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) times: Vec<Duration>,
    pub(crate) total: Duration,
}

impl Samples {
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.total.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The time that `share` of the operations stayed within, in µs.
    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        percentile(&mut self.times.iter().map(|time| time.as_secs_f64() * 1e6).collect::<Vec<_>>(), share)
    }
}

/// The value that `share` (0 to 1) of the values do not exceed; NaN of none.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((last as f64) * share).round() as usize]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// A store of its own, which goes with this.
pub(crate) struct Store {
    pub(crate) log: Arc<SqliteLog>,
    pub(crate) topics: Vec<Topic>,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(crate) fn new(topics: usize) -> Outcome<Store> {
        let folder = tempfile::tempdir()?;
        let log = Arc::new(SqliteLog::open(&folder.path().join("store"), OpenOptions::default())?);
        Ok(Store { log, topics: topic_names(topics)?, _folder: folder })
    }

    /// The same with `events` events in it already, and its index at rest.
    pub(crate) fn filled(topics: usize, events: usize) -> Outcome<Store> {
        let store = Store::new(topics)?;
        let payload = Payload::from_text(payload_text())?;
        for _ in 0..events / topics / ROUND {
            for names in store.topics.chunks(PARTS) {
                let append = |topic: &Topic| {
                    TopicAppend::new(topic.clone(), Authority::Exclusive, vec![event(&payload); ROUND])
                };
                let appends = names.iter().map(append).collect();
                store.log.submit(Batch { appends, key: None, durability: Durability::Buffered }).wait()?;
            }
        }
        std::thread::park_timeout(REST);
        Ok(store)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.log.folder()
    }
}

pub(crate) fn topic_names(count: usize) -> Outcome<Vec<Topic>> {
    Ok((0..count).map(|number| format!("t{number}").parse()).collect::<Result<_, _>>()?)
}

pub(crate) fn payload_text() -> String {
    format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2))
}

pub(crate) fn event(payload: &Payload) -> NewEvent {
    NewEvent { kind: Kind::new("noted"), scope: Scope::root(), payload: payload.clone(), trace: None }
}

pub(crate) fn batch(topic: &Topic, payload: &Payload, durability: Durability) -> Batch {
    let append = TopicAppend::new(topic.clone(), Authority::Exclusive, vec![event(payload)]);
    Batch { durability, ..Batch::of(append) }
}

/// One event a batch, each waited for, from this thread.
pub(crate) fn append_alone(store: &Store, durability: Durability, count: usize) -> Outcome<Samples> {
    let payload = Payload::from_text(payload_text())?;
    let mut samples = Samples::default();
    let began = now();
    for number in 0..count {
        let batch = batch(&store.topics[number % store.topics.len()], &payload, durability);
        let began = now();
        store.log.submit(batch).wait()?;
        samples.times.push(began.elapsed());
    }
    samples.total = began.elapsed();
    Ok(samples)
}

/// `writers` tasks, each with one append under way at a time.
pub(crate) fn append_crowd(
    store: &Store,
    durability: Durability,
    writers: usize,
    count: usize,
) -> Outcome<Samples> {
    let payload = Payload::from_text(payload_text())?;
    crowd(writers, count, |number| {
        let batch = batch(&store.topics[number % store.topics.len()], &payload, durability);
        let ticket = store.log.submit(batch);
        async move {
            ticket.await?;
            Ok(())
        }
    })
}

/// Runs `append` from `writers` tasks side by side until `count` were done.
pub(crate) fn crowd<F: Future<Output = Outcome<()>>>(
    writers: usize,
    count: usize,
    append: impl Fn(usize) -> F,
) -> Outcome<Samples> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let next = std::cell::Cell::new(0);
    let began = now();
    let writer = || async {
        let mut times = Vec::with_capacity(count / writers + 1);
        loop {
            let number = next.get();
            if number >= count {
                return Outcome::Ok(times);
            }
            next.set(number + 1);
            let began = now();
            append(number).await?;
            times.push(began.elapsed());
        }
    };
    let done = runtime.block_on(futures_util::future::join_all((0..writers).map(|_| writer())));
    let total = began.elapsed();
    let times = done.into_iter().collect::<Outcome<Vec<_>>>()?.concat();
    Ok(Samples { times, total })
}
