//! J5: many topics and many events: what an append and a read cost then, what opening takes, and how much memory.

use std::io::Read;
use std::process::{Command, Stdio};

use backstay_log::prelude::*;
use backstay_log::{
    Authority, Batch, Direction, Durability, OpenOptions, SqliteLog, TopicAppend, ticket::block_on,
};
use backstay_model::{Payload, Seq};

use crate::base::{Base, STRIDE};
use crate::harness::{Outcome, Samples, Store, append_alone, event, now, payload_text, topic_names};
use crate::jobs::{Rounds, Size};
use crate::table::{Bound, Row};

const TOPICS: usize = 10_000;
const COMMIT: usize = 256;
/// Topics that are followed where memory is measured.
const FOLLOWED: usize = 1_000;
const EARLY: usize = 10_000;
/// The first argument of a process that only opens.
pub(crate) const OPENER: &str = "--opener";

/// Appends `count` events, as many as a commit of this job has at once, to topics that are spread.
fn grow(store: &Store, count: usize) -> Outcome<Samples> {
    let payload = Payload::from_text(payload_text())?;
    let mut samples = Samples::default();
    let mut number = 0_usize;
    let began = now();
    while number < count {
        let topic = |offset: usize| store.topics[(number + offset).wrapping_mul(STRIDE) % TOPICS].clone();
        let appends = (0..COMMIT)
            .map(|offset| TopicAppend::new(topic(offset), Authority::Exclusive, vec![event(&payload)]))
            .collect();
        let began = now();
        store.log.submit(Batch { appends, key: None, durability: Durability::Synced }).wait()?;
        samples.times.push(began.elapsed());
        number += COMMIT;
    }
    samples.total = began.elapsed();
    Ok(samples)
}

fn last_twenty(store: &Store) -> Outcome<Samples> {
    let mut samples = Samples::default();
    for number in 0..1_000 {
        let topic = &store.topics[number * 7 % TOPICS];
        let began = now();
        let page = block_on(store.log.read(topic, Seq(u64::MAX), Direction::Backward, 20))?;
        samples.times.push(began.elapsed());
        std::hint::black_box(page);
    }
    Ok(samples)
}

/// Opens a store, follows a thousand topics, and says how long opening took (µs) and how much memory is used (KiB).
pub(crate) fn opener(path: &str) -> Outcome<()> {
    let began = now();
    let log = SqliteLog::open(std::path::Path::new(path), OpenOptions::default())?;
    let opened = began.elapsed();
    let topics = topic_names(FOLLOWED)?;
    let mut subscriptions: Vec<_> = topics.iter().map(|topic| log.follow(topic, Seq(0))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for subscription in &mut subscriptions {
        while runtime.block_on(subscription.try_next())?.is_some() {}
    }
    let mut status = String::new();
    std::fs::File::open("/proc/self/status")?.read_to_string(&mut status)?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    println!("{} {}", opened.as_micros(), resident.trim().trim_end_matches(" kB"));
    Ok(())
}

fn opened(store: &Store) -> Outcome<(f64, f64)> {
    let path = store.path().to_str().ok_or("a path without UTF-8")?;
    let output =
        Command::new(std::env::current_exe()?).args([OPENER, path]).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    let (Some(open_us), Some(kib)) = (numbers.next(), numbers.next()) else {
        return Err("the opener died".into());
    };
    Ok((open_us?, kib? / 1_024.0))
}

pub(crate) fn growth(size: Size) -> Outcome<Vec<Row>> {
    let base = Base::grouped(TOPICS, Durability::Synced, 0)?;
    let base_rate = base.append_crowd(COMMIT, size.growth)?.per_second();
    let store = Store::new(TOPICS)?;
    grow(&store, EARLY)?;
    let mut early = Rounds::default();
    early.push(append_alone(&store, Durability::Synced, 500)?);
    let left = size.growth.saturating_sub(EARLY);
    let grown = grow(&store, left)?;
    let rate = (grown.times.len() * COMMIT) as f64 / grown.total.as_secs_f64();
    let mut late = Rounds::default();
    late.push(append_alone(&store, Durability::Synced, 500)?);
    let last = last_twenty(&store)?;
    let (open_us, mib) = opened(&store)?;
    let name = |what: &str| format!("J5 {} events, {} topics: {what}", size.growth, TOPICS);
    let (p50, p99) = (last.percentile_us(0.5), last.percentile_us(0.99));
    Ok(vec![
        Row::plain_rate(name("BASE"), base_rate),
        Row::plain_rate(name("appended by 256"), rate).against(base_rate).goal(Some(Bound::AtLeast(3.0))),
        Row::rate(name("alone, at 10,000 events"), &early),
        Row::rate(name("alone, at the end"), &late),
        Row::ratio(
            name("p50 at the end by that at 10,000"),
            late.percentile_us(0.5) / early.percentile_us(0.5),
        )
        .goal(Some(Bound::AtMost(1.2))),
        Row::time(name("last 20 of a topic"), p50, p99),
        Row::ratio(name("p50 of that by 100 µs"), p50 / 100.0).goal(Some(Bound::AtMost(1.0))),
        Row::ratio(name("opening by 50 ms"), open_us / 50_000.0)
            .goal(Some(Bound::AtMost(1.0)))
            .note(format!("{:.1} ms", open_us / 1_000.0)),
        Row::ratio(name("memory by 200 MB, 1,000 followed"), mib / 200.0)
            .goal(Some(Bound::AtMost(1.0)))
            .note(format!("{mib:.0} MiB")),
    ])
}
