//! J3: one topic from its first event to its last, against a plain scan of a plain table.

use backstay_log::{Authority, Batch, Direction, Durability, Log, Part, SqliteLog, ticket::block_on};
use backstay_model::{Payload, Seq, Topic};
use rusqlite::Connection;

use crate::harness::{Outcome, Store, event, median, now, payload_text};
use crate::jobs::Size;
use crate::table::{Bound, Row};

/// Events of one batch: about what one decision of a run leads to.
const BATCH: usize = 8;

fn fill(log: &SqliteLog, topic: &Topic, count: usize) -> Outcome<()> {
    let payload = Payload::from_text(payload_text())?;
    let mut left = count;
    while left > 0 {
        let events = vec![event(&payload); left.min(BATCH)];
        left -= events.len();
        let part = Part::new(topic.clone(), Authority::Own, events);
        log.submit(Batch { durability: Durability::Buffered, ..Batch::of(part) }).wait()?;
    }
    Ok(())
}

fn replay(log: &SqliteLog, topic: &Topic) -> Outcome<f64> {
    let (mut after, mut count) = (Seq(0), 0);
    let began = now();
    loop {
        let page = block_on(log.read(topic, after, Direction::Forward, 1_000))?;
        let Some(last) = page.events.last() else { break };
        after = last.seq;
        count += page.events.len();
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

fn scan(connection: &Connection) -> Outcome<f64> {
    let began = now();
    let mut statement = connection
        .prepare_cached("SELECT g, at, kind, payload FROM event WHERE topic_id = ? ORDER BY seq")?;
    let mut rows = statement.query([0])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let read: (i64, i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        std::hint::black_box(read);
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

pub(crate) fn replays(size: Size) -> Outcome<Vec<Row>> {
    let store = Store::new(1)?;
    let topic = store.topics[0].clone();
    fill(&store.log, &topic, size.replay)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("plain.db");
    let mut plain = Connection::open(&path)?;
    plain.execute_batch(
        "CREATE TABLE event(g INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, \
         kind TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE(topic_id, seq)) STRICT",
    )?;
    let transaction = plain.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO event VALUES(?1, 0, ?1, ?1, 'noted', ?2)")?;
        for number in 1..=i64::try_from(size.replay)? {
            insert.execute((number, payload_text()))?;
        }
    }
    transaction.commit()?;
    // The index moves on when nothing was appended for 100 ms.
    std::thread::park_timeout(std::time::Duration::from_millis(400));
    let (mut ours, mut scans) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds.max(3) {
        scans.push(scan(&plain)?);
        ours.push(replay(&store.log, &topic)?);
    }
    let (ours, scans) = (median(&mut ours), median(&mut scans));
    let bytes = |path: &std::path::Path| -> Outcome<f64> {
        Ok(std::fs::metadata(path)?.len() as f64 / size.replay as f64)
    };
    let plain_bytes = bytes(&path)?;
    let database = store.path().join("log.db");
    // What is still in the write-ahead log counts too.
    let connection = Connection::open(&database)?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_row| Ok(()))?;
    let our_bytes = bytes(&database)?;
    Ok(vec![
        Row::plain_rate("J3 plain scan".to_owned(), scans).note(format!("{plain_bytes:.0} bytes an event")),
        Row::plain_rate("J3 replay".to_owned(), ours)
            .against(scans)
            .goal(Some(Bound::AtLeast(0.8)))
            .note(format!("{our_bytes:.0} bytes an event")),
        Row { ratio: Some(ours / 1e6), ..Row::ratio("J3 replay, millions a second".to_owned(), 0.0) }
            .goal(Some(Bound::AtLeast(2.0))),
    ])
}
