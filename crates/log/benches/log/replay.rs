//! J3: one topic from its first event to its last, against a plain scan of a plain table.

use std::time::Duration;

use backstay_log::prelude::*;
use backstay_log::{
    Authority, Batch, Direction, Durability, OpenOptions, SqliteLog, TopicAppend, TopicTransition,
    ticket::block_on,
};
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
        let append = TopicAppend::new(topic.clone(), Authority::Exclusive, events);
        log.submit(Batch { durability: Durability::Buffered, ..Batch::of(append) }).wait()?;
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
    let (packed, append) = packed(size)?;
    Ok(vec![
        Row::plain_rate("J3 plain scan".to_owned(), scans).note(format!("{plain_bytes:.0} bytes an event")),
        Row::plain_rate("J3 replay".to_owned(), ours)
            .against(scans)
            .goal(Some(Bound::AtLeast(0.8)))
            .note(format!("{our_bytes:.0} bytes an event")),
        Row { ratio: Some(ours / 1e6), ..Row::ratio("J3 replay, millions a second".to_owned(), 0.0) }
            .goal(Some(Bound::AtLeast(2.0))),
        Row::plain_rate("J3 replay of packed events".to_owned(), packed).against(scans),
        Row::ratio("J3 bytes of packed events by those of the same before".to_owned(), append)
            .note("aim: at most 0.3".to_owned()),
    ])
}

/// A payload like those of an agent's run: the same form, other numbers and words.
fn spoken(number: u64) -> Outcome<Payload> {
    const WORDS: [&str; 16] = [
        "assertion",
        "compares",
        "expired",
        "token",
        "wall",
        "clock",
        "against",
        "session",
        "reads",
        "writes",
        "branch",
        "failing",
        "module",
        "returns",
        "header",
        "retry",
    ];
    // xorshift64*, from the number: each has other words.
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < 240 {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        let word = WORDS[usize::try_from(dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 60)?];
        text.push_str(word);
        text.push(' ');
    }
    let said = format!(
        r#"{{"v":1,"effect":"run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:fix@green~{}:main","attempt":{},"spool_end":{},"what":{{"message":{{"line":"{text}"}}}}}}"#,
        number / 200,
        number / 50 % 4 + 1,
        number * 713,
    );
    Ok(Payload::from_text(said)?)
}

/// Events a second of a topic that was packed, and which part of the bytes it takes that it took before.
fn packed(size: Size) -> Outcome<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    let topic: Topic = "run.packed".parse()?;
    let count = u64::try_from(size.replay / 5)?;
    let log = SqliteLog::open(&store, OpenOptions::default())?;
    for first in (0..count).step_by(BATCH) {
        let events = (first..count.min(first + BATCH as u64))
            .map(|number| spoken(number).map(|payload| event(&payload)))
            .collect::<Outcome<_>>()?;
        let append = TopicAppend::new(topic.clone(), Authority::Exclusive, events);
        log.submit(Batch { durability: Durability::Buffered, ..Batch::of(append) }).wait()?;
    }
    let end = TopicAppend {
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic.clone(), Authority::Exclusive, Vec::new())
    };
    log.submit(Batch::of(end)).wait()?;
    drop(log);
    let connection = Connection::open(store.join("log.db"))?;
    let used = || -> Outcome<i64> {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        Ok(pages - free)
    };
    let before = used()?;
    let log = SqliteLog::open(&store, OpenOptions { pack_after: Duration::ZERO, ..OpenOptions::default() })?;
    // Whoever writes looks at what is to be packed.
    log.submit(Batch::of(TopicAppend::new("other".parse()?, Authority::Exclusive, vec![event(&spoken(0)?)])))
        .wait()?;
    while connection.query_row("SELECT EXISTS (SELECT 1 FROM pack)", [], |row| row.get::<_, bool>(0))? {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let append = used()? as f64 / before as f64;
    let mut rates = (0..size.rounds.max(3)).map(|_| replay(&log, &topic)).collect::<Outcome<Vec<_>>>()?;
    Ok((median(&mut rates), append))
}
