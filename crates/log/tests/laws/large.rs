//! What a large store costs: as much memory as a small one takes, and as much time.

use std::path::Path;
use std::time::{Duration, Instant};

use backstay_log::prelude::*;
use backstay_log::ticket::block_on;
use backstay_log::{Authority, Batch, Direction, Durability, NewEvent, SqliteLog, Subscription, TopicAppend};
use backstay_model::{Kind, Payload, Scope, Seq};

use crate::processes::{Process, open};
use crate::support::{all_tests, append, batch, buffered, now, skipped, topic};

const TOPICS: usize = 10_000;
const EVENTS: usize = 1_000_000;
const SUBSCRIBERS: usize = 1_000;
/// What a process may take that holds all of this.
const MEMORY_BYTES_MAX: u64 = 200 * 1024 * 1024;
/// How long opening the store may take.
const OPEN_MAX: Duration = Duration::from_millis(50);
/// How much more a single operation may cost than in a small store.
const RATIO_MAX: f64 = 1.5;
/// Operations of which the fastest counts: what the machine does beside them is not asked for.
const TRIES: usize = 400;

/// Appends `events` events of 100 bytes to `topics` topics, as many as a batch may have at once.
fn fill(log: &SqliteLog, topics: usize, events: usize) {
    let event = NewEvent {
        kind: Kind::new("noted"),
        scope: Scope::root(),
        payload: Payload::encode(&"x".repeat(98)).unwrap(),
        trace: None,
    };
    let mut tickets = std::collections::VecDeque::new();
    for number in 0..events / 500 {
        let appends = (0..500)
            .map(|index| {
                let of = topic(&format!("t{}", (number * 500 + index * 19) % topics));
                TopicAppend::new(of, Authority::Exclusive, vec![event.clone()])
            })
            .fold(Vec::<TopicAppend>::new(), |mut appends, append| {
                match appends.iter_mut().find(|known| known.topic == append.topic) {
                    Some(known) => known.events.extend(append.events),
                    None => appends.push(append),
                }
                appends
            });
        tickets.push_back(log.submit(Batch { appends, key: None, durability: Durability::Buffered }));
        if tickets.len() > 8 {
            tickets.pop_front().unwrap().wait().unwrap();
        }
    }
    tickets.into_iter().for_each(|ticket| {
        ticket.wait().unwrap();
    });
}

/// A role: fills a store while many follow it, and says how much memory that took.
pub(crate) fn fill_while_followed(log: &SqliteLog) {
    let follow = |number: usize| log.follow(&topic(&format!("t{}", number * 7 % TOPICS)), Seq(0));
    let mut followers: Vec<Subscription> = (0..SUBSCRIBERS).map(follow).collect();
    for follower in &mut followers {
        assert_eq!(block_on(follower.try_next()).unwrap(), None);
    }
    fill(log, TOPICS, EVENTS);
    let mut received = 0;
    for follower in &mut followers {
        while block_on(follower.try_next()).unwrap().is_some() {
            received += 1;
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("took {received} {}", peak_kib * 1024);
}

/// The shortest time that `work` took.
fn fastest(mut work: impl FnMut(usize)) -> Duration {
    let time = |number| {
        let began: Instant = now();
        work(number);
        began.elapsed()
    };
    (0..TRIES).map(time).min().unwrap()
}

fn costs(log: &SqliteLog, topics: usize) -> (Duration, Duration) {
    // A process works on a few topics at a time, whatever else is in the store.
    let name = |number: usize| format!("t{}", number % 10 * 997 % topics);
    let appended = fastest(|number| {
        log.submit(buffered(batch(&name(number), Authority::Exclusive, &["x"]))).wait().unwrap();
    });
    let read = fastest(|number| {
        let of = topic(&name(number));
        let head = block_on(log.head(&of)).unwrap();
        let cursor = block_on(log.cursor(&of, Seq(head.0.saturating_sub(20)))).unwrap();
        let from = block_on(log.resolve(&of, &cursor)).unwrap();
        assert_eq!(block_on(log.read(&of, from, Direction::Forward, 20)).unwrap().events.len(), 20);
    });
    (appended, read)
}

fn ratio(large: Duration, small: Duration) -> f64 {
    large.as_secs_f64() / small.as_secs_f64()
}

#[test]
fn l18_a_million_events_cost_an_append_a_read_and_an_opening_no_more_and_little_memory() {
    if !all_tests() {
        skipped("it fills a store with a million events");
        return;
    }
    let (large, small) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = Process::start("followed", large.path(), "x");
    let took = process.hear("took").unwrap();
    let (received, bytes) = took.split_once(' ').unwrap();
    assert_eq!(received, (EVENTS / TOPICS * SUBSCRIBERS).to_string(), "every event of every followed topic");
    let bytes: u64 = bytes.parse().unwrap();
    assert!(bytes < MEMORY_BYTES_MAX, "{bytes} bytes");
    assert!(process.child.wait().unwrap().success());
    check(large.path(), small.path());
}

fn check(large: &Path, small: &Path) {
    let open_time = (0..10)
        .map(|_| {
            let began = now();
            let log = open(large);
            let took = began.elapsed();
            drop(log);
            took
        })
        .min()
        .unwrap();
    assert!(open_time < OPEN_MAX, "opening took {open_time:?}");
    let log = open(small);
    fill(&log, 10, 10_000);
    drop(log);
    let (small, large) = (open(small), open(large));
    for log in [&small, &large] {
        append(log, "t0", &["so that the log is warm"]);
    }
    let (small, large) = (costs(&small, 10), costs(&large, TOPICS));
    let (append, read) = (ratio(large.0, small.0), ratio(large.1, small.1));
    println!("append {append:.2} {:?}, read {read:.2} {:?}, opening {open_time:?}", large.0, large.1);
    assert!(append <= RATIO_MAX && read <= RATIO_MAX, "append {append:.2}, read {read:.2}");
}
