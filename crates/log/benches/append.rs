//! How fast the SQLite store appends and reads, for watching it over time. Figures are only comparable within one run.
//!
//! `cargo bench -p backstay-log`

use std::time::{Duration, Instant};

use backstay_log::{
    Authority, Batch, Direction, Durability, Log, NewEvent, OpenOptions, Part, SqliteLog, ticket::block_on,
};
use backstay_model::{Kind, Payload, Scope, Seq, Topic};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    let began = now();
    let log = SqliteLog::open(&store, OpenOptions::default())?;
    println!("open, new          {:>10.2?}", began.elapsed());
    drop(log);
    let began = now();
    let log = SqliteLog::open(&store, OpenOptions::default())?;
    println!("open, there        {:>10.2?}", began.elapsed());
    for (durability, count) in [(Durability::Synced, 2_000), (Durability::Buffered, 10_000)] {
        alone(&log, durability, count)?;
        crowded(&log, durability, 100_000)?;
    }
    replay(&log)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn batch(topic: &Topic, durability: Durability) -> Outcome<Batch> {
    let payload = Payload::encode(&"x".repeat(398))?;
    let event = NewEvent { kind: Kind::new("noted"), scope: Scope::Run, payload, trace: None };
    let part = Part::new(topic.clone(), Authority::Own, vec![event]);
    Ok(Batch { durability, ..Batch::of(part) })
}

/// One writer that waits for each append.
fn alone(log: &SqliteLog, durability: Durability, count: usize) -> Outcome<()> {
    let topic: Topic = "alone".parse()?;
    let batch = batch(&topic, durability)?;
    let mut waits = Vec::with_capacity(count);
    for _ in 0..count {
        let began = now();
        log.submit(batch.clone()).wait()?;
        waits.push(began.elapsed());
    }
    waits.sort();
    let total: Duration = waits.iter().sum();
    let rate = count as f64 / total.as_secs_f64();
    println!(
        "{durability:?}, 1 writer    {rate:>10.0} /s   p50 {:.0?}  p99 {:.0?}",
        waits[count / 2],
        waits[count * 99 / 100]
    );
    Ok(())
}

/// As many as 256 appends under way, to 256 topics.
fn crowded(log: &SqliteLog, durability: Durability, count: usize) -> Outcome<()> {
    let topics = (0..256).map(|number| format!("t{number}").parse()).collect::<Result<Vec<Topic>, _>>()?;
    let mut waiting = std::collections::VecDeque::new();
    let began = now();
    for number in 0..count {
        waiting.push_back(log.submit(batch(&topics[number % 256], durability)?));
        if waiting.len() == 256
            && let Some(ticket) = waiting.pop_front()
        {
            ticket.wait()?;
        }
    }
    for ticket in waiting {
        ticket.wait()?;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("{durability:?}, 256 waiting {rate:>10.0} /s");
    Ok(())
}

/// Reads one topic from its start.
fn replay(log: &SqliteLog) -> Outcome<()> {
    let topic: Topic = "alone".parse()?;
    let (mut after, mut count) = (Seq(0), 0);
    let began = now();
    loop {
        let page = block_on(log.read(&topic, after, Direction::Forward, 1_000))?;
        let Some(last) = page.events.last() else { break };
        after = last.seq;
        count += page.events.len();
    }
    println!("replay             {:>10.0} /s", count as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
