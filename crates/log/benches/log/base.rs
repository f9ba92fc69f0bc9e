//! BASE: plain SQLite group commit, as people write it. One writing thread, one transaction for each batch of what waits,
//! WAL, the position as rowid, `UNIQUE(topic_id, seq)`, a cached INSERT.

use std::path::Path;
use std::sync::mpsc;

use backstay_log::Durability;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::harness::{Outcome, Samples, crowd, now, payload_text};

/// Prime to every number of topics here.
pub(crate) const STRIDE: usize = 7_919;
/// Appends that one transaction takes at most.
const GROUP_MAX: usize = 1_024;

struct Append {
    topic: i64,
    payload: String,
    done: oneshot::Sender<i64>,
}

pub(crate) struct Base {
    queue: Option<mpsc::Sender<Append>>,
    writer: Option<std::thread::JoinHandle<rusqlite::Result<u64>>>,
    topics: usize,
    _folder: tempfile::TempDir,
}

fn open(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = if durability == Durability::Synced { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS event(g INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, seq INTEGER NOT NULL, \
         at INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE(topic_id, seq)) STRICT",
    )?;
    Ok(connection)
}

impl Base {
    /// `group_max` 1 makes one transaction for each event. `prefill` events are there before.
    pub(crate) fn new(
        topics: usize,
        durability: Durability,
        group_max: usize,
        prefill: usize,
    ) -> Outcome<Base> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("base.db");
        let mut connection = open(&path, durability)?;
        let rows = prefill / topics;
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare("INSERT INTO event VALUES(?1, ?2, ?3, ?1, 'noted', ?4)")?;
            for number in 0..rows * topics {
                let g = i64::try_from(number + 1)?;
                let (topic, seq) = (i64::try_from(number % topics)?, i64::try_from(number / topics + 1)?);
                insert.execute((g, topic, seq, payload_text()))?;
            }
        }
        transaction.commit()?;
        let (queue, waiting) = mpsc::channel();
        let heads = vec![i64::try_from(rows)?; topics];
        let first = i64::try_from(rows * topics)?;
        let writer = std::thread::spawn(move || write(connection, &waiting, heads, first, group_max));
        Ok(Base { queue: Some(queue), writer: Some(writer), topics, _folder: folder })
    }

    pub(crate) fn grouped(topics: usize, durability: Durability, prefill: usize) -> Outcome<Base> {
        Base::new(topics, durability, GROUP_MAX, prefill)
    }

    fn submit(&self, number: usize) -> Outcome<oneshot::Receiver<i64>> {
        let (done, end) = oneshot::channel();
        // Topics that follow each other in time do not stand beside each other in the index.
        let topic = i64::try_from(number.wrapping_mul(STRIDE) % self.topics)?;
        let queue = self.queue.as_ref().ok_or("the writer is gone")?;
        queue.send(Append { topic, payload: payload_text(), done })?;
        Ok(end)
    }

    pub(crate) fn append_alone(&self, count: usize) -> Outcome<Samples> {
        let mut samples = Samples::default();
        let began = now();
        for number in 0..count {
            let began = now();
            self.submit(number)?.blocking_recv()?;
            samples.times.push(began.elapsed());
        }
        samples.total = began.elapsed();
        Ok(samples)
    }

    pub(crate) fn append_crowd(&self, writers: usize, count: usize) -> Outcome<Samples> {
        crowd(writers, count, |number| {
            let end = self.submit(number);
            async move {
                end?.await?;
                Ok(())
            }
        })
    }

    /// Ends the writer; gives the number of its transactions.
    pub(crate) fn transactions(mut self) -> Outcome<u64> {
        self.queue = None;
        let writer = self.writer.take().ok_or("the writer is gone")?;
        Ok(writer.join().map_err(|_panic| "the writer died")??)
    }
}

fn write(
    mut connection: Connection,
    waiting: &mpsc::Receiver<Append>,
    mut heads: Vec<i64>,
    mut g: i64,
    group_max: usize,
) -> rusqlite::Result<u64> {
    let mut transactions = 0;
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        while group.len() < group_max
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let transaction = connection.transaction()?;
        let mut acknowledged = Vec::with_capacity(group.len());
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO event(g, topic_id, seq, at, kind, payload) VALUES(?, ?, ?, ?, ?, ?)",
            )?;
            for Append { topic, payload, done } in group {
                g += 1;
                let head = &mut heads[usize::try_from(topic).unwrap_or(0)];
                *head += 1;
                insert.execute((g, topic, *head, 1_790_000_000_000_000_i64 + g, "noted", payload))?;
                acknowledged.push((done, *head));
            }
        }
        transaction.commit()?;
        transactions += 1;
        for (done, seq) in acknowledged {
            if done.send(seq).is_err() {
                // Nobody waits for it any more.
            }
        }
    }
    Ok(transactions)
}
