//! Kills at any moment: nothing that was acknowledged is lost, numbers are dense, the index says what the events say.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_log::prelude::*;
use backstay_log::ticket::block_on;
use backstay_log::{
    Authority, Batch, Direction, Durability, EventFilter, NewEvent, OpenOptions, SqliteLog, Ticket,
    TopicAppend,
};
use backstay_model::{Kind, Recorded, Seq};
use rusqlite::Connection;

use crate::processes::{Process, WAITING, check_database, everything, open};
use crate::support::{all_tests, append, event, events, read_by, texts, topic};

/// Topics that the writers share.
const TOPICS: u64 = 12;
/// Few enough that most commits carry a piece of the index.
const FEW_WAITING: &str = "48";

/// A sequence of numbers that looks like chance and is the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A role: appends one to three events to one or two topics, flushed or not, several under way, and says each number that
/// was acknowledged.
pub(crate) fn append_mixed(log: &SqliteLog, name: &str) {
    let mut chance = Chance(name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte)));
    let mut waiting: VecDeque<(String, Ticket)> = VecDeque::new();
    for number in 0_u64.. {
        let text = format!("{name}.{number}");
        let first = chance.below(TOPICS);
        let mut topics = vec![first];
        if chance.below(3) == 0 {
            topics.push((first + 1) % TOPICS);
        }
        let count = 1 + usize::try_from(chance.below(3)).unwrap();
        let appends = topics
            .iter()
            .map(|of| {
                TopicAppend::new(
                    topic(&format!("t{of}")),
                    Authority::Exclusive,
                    events(&vec![text.as_str(); count]),
                )
            })
            .collect();
        let durability = if chance.below(2) == 0 { Durability::Synced } else { Durability::Buffered };
        let ticket = log.submit(Batch { appends, key: None, durability });
        waiting.push_back((text, ticket));
        let under_way = chance.below(4);
        while waiting.len() as u64 > under_way {
            let (text, ticket) = waiting.pop_front().unwrap();
            for append in ticket.wait().unwrap().topics {
                for seq in append.first.0..=append.last.0 {
                    println!("ack {} {seq} {text}", append.topic);
                }
            }
        }
    }
}

/// Every event is in the index once and as it is, and nothing else. The store must be closed.
pub(crate) fn check_index(folder: &Path) {
    let database = Connection::open(folder.join("log.db")).unwrap();
    let count = |sql: &str| database.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    let agree = "SELECT count(*) FROM event JOIN topic_event i ON i.topic_id = event.topic_id AND i.seq = event.seq \
         AND i.g = event.g JOIN name k ON k.id = i.kind AND k.text = event.kind \
         JOIN name s ON s.id = i.scope AND s.text = event.scope";
    let events = count("SELECT count(*) FROM event");
    assert_eq!(count(agree), events, "every event is in the index as it is");
    assert_eq!(count("SELECT count(*) FROM topic_event"), events, "nothing else is in the index");
    assert!(
        count("SELECT count(*) FROM event, meta WHERE g > flushed") < 1_000,
        "an orderly end leaves little to rebuild"
    );
    let sparse = "SELECT count(*) FROM (SELECT 1 FROM event JOIN topic ON topic.id = topic_id \
         GROUP BY topic_id HAVING max(seq) != count(*) + floor)";
    assert_eq!(count(sparse), 0, "numbers are dense");
}

/// What was acknowledged is there, and the rest is in order, also while nothing of it was moved into the index.
async fn check(folder: &Path, acknowledged: &[String]) {
    let log = open(folder);
    let all = everything(&log).await;
    let mut there: HashMap<(String, u64), &Recorded> = HashMap::new();
    let mut heads: HashMap<String, u64> = HashMap::new();
    for event in &all {
        let head = heads.entry(event.topic.to_string()).or_default();
        *head += 1;
        assert_eq!(event.seq, Seq(*head), "{} is dense", event.topic);
        there.insert((event.topic.to_string(), event.seq.0), event);
    }
    for line in acknowledged {
        let fields: Vec<_> = line.split(' ').collect();
        // The last line of a killed process may be torn.
        let [of, number, text] = fields[..] else { continue };
        let Some(event) = number.parse().ok().and_then(|number| there.get(&(of.to_owned(), number))) else {
            panic!("{line} was acknowledged and is not there");
        };
        let found: String = event.payload.decode().unwrap();
        assert!(found.starts_with(text), "{line} was acknowledged, {found} is there");
    }
    for (of, head) in &heads {
        assert_eq!(log.head(&topic(of)).await.unwrap(), Seq(*head), "the head of {of}");
        let page = log.read(&topic(of), Seq(u64::MAX), Direction::Backward, 20).await.unwrap();
        let last = all.iter().rev().filter(|event| event.topic.as_str() == of).take(20);
        assert!(page.events.iter().eq(last), "the last events of {of}");
    }
    drop(log);
    check_index(folder);
}

/// Lets `count` processes write, kills one after the other after so many acknowledgements as `chance` says.
fn round(folder: &Path, count: usize, number: u64, chance: &mut Chance) -> Vec<String> {
    let few = [(WAITING, FEW_WAITING)];
    let start = |index| Process::start_with("mixed", folder, &format!("r{number}p{index}"), &few);
    let mut processes: Vec<_> = (0..count).map(start).collect();
    let mut heard = Vec::new();
    for process in &mut processes {
        for _ in 0..=chance.below(60) {
            heard.push(process.hear("ack").unwrap());
        }
    }
    for process in processes {
        heard.extend(process.kill("ack"));
    }
    heard
}

#[tokio::test]
async fn l7_l19_kills_of_one_two_and_four_writers_lose_nothing_acknowledged() {
    let kills = if all_tests() { 500 } else { 21 };
    let mut chance = Chance(20_240_607);
    let mut killed = 0;
    let mut number = 0;
    while killed < kills {
        let folder = tempfile::tempdir().unwrap();
        let mut heard = Vec::new();
        // Some rounds on one store, so that what one round left behind is what the next begins with.
        for count in [1, 2, 4] {
            heard.extend(round(folder.path(), count, number, &mut chance));
            number += 1;
            killed += count;
            check(folder.path(), &heard).await;
        }
        check_database(folder.path());
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn l7_an_abort_at_any_point_of_a_flush_a_commit_or_a_recovery_loses_nothing_acknowledged() {
    let points = [
        "log.append.before",
        "log.append.before_commit",
        "log.append.after_commit",
        "log.flush.before_commit",
        "log.flush.after_commit",
        "log.flush.before_sync",
        "log.flush.after_sync",
        "log.pending_index.scan",
    ];
    for point in points {
        let folder = tempfile::tempdir().unwrap();
        let mut heard = Vec::new();
        for hit in [1, 2, 9, 40] {
            // A recovery reads what the one before left in no index; there has to be something.
            heard.extend(round(folder.path(), 1, hit, &mut Chance(hit)));
            let armed = format!("{point}:{hit}");
            let more = [(WAITING, FEW_WAITING), (backstay_log::crash::CRASH_POINT_VARIABLE, armed.as_str())];
            let hit = if point == "log.pending_index.scan" && hit > 1 { continue } else { hit };
            let mut process = Process::start_with("mixed", folder.path(), &format!("crash{hit}"), &more);
            while let Some(line) = process.hear("ack") {
                heard.push(line);
            }
            assert!(!process.child.wait().unwrap().success(), "{point}:{hit} was not reached");
            check(folder.path(), &heard).await;
        }
        check_database(folder.path());
    }
}

#[tokio::test]
async fn a_process_that_never_writes_sees_what_waits_in_the_memory_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let writing = open(folder.path());
    let reading = open(folder.path());
    for number in 1..=300_u64 {
        append(&writing, &format!("t{}", number % 3), &[&number.to_string()]);
        let of = topic(&format!("t{}", number % 3));
        let page = reading.read(&of, Seq(u64::MAX), Direction::Backward, 1).await.unwrap();
        assert_eq!(texts(&page.events), [number.to_string()]);
        assert_eq!(reading.topic(&of).await.unwrap().unwrap().head, page.head);
    }
    drop(writing);
    assert_eq!(append(&reading, "t0", &["next"]).topics[0].first, Seq(101));
    drop(reading);
    check_index(folder.path());
}

#[tokio::test]
async fn l19_a_number_that_two_events_have_is_told_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, "a", &["1", "2"]);
    drop(log);
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    database
        .execute_batch(
            "INSERT INTO event SELECT g + 100, topic_id, seq, at, flags, last_input, last_fact, kind, scope, trace, payload \
             FROM event WHERE seq = 2",
        )
        .unwrap();
    drop(database);
    let log = open(folder.path());
    let read = log.read(&topic("a"), Seq(0), Direction::Forward, 9).await;
    assert!(format!("{read:?}").contains("Corrupt"), "{read:?}");
}

/// Filters and pages give the same whether events are in the index, in memory, or in both halves.
#[tokio::test]
async fn l3_what_waits_and_what_is_in_the_index_reads_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { index_waiting_max: 512, ..OpenOptions::default() };
    let log = SqliteLog::open(folder.path(), options).unwrap();
    let mut halves = 0;
    for number in 1..=400_u64 {
        let of = format!("t{}", number % 3);
        let made =
            NewEvent { kind: Kind::new(["x", "y"][number as usize % 2]), ..event(&number.to_string()) };
        let batch = Batch::of(TopicAppend::new(topic(&of), Authority::Exclusive, vec![made; 3]));
        let head =
            log.submit(Batch { durability: Durability::Buffered, ..batch }).wait().unwrap().topics[0].last;
        if number % 7 != 0 {
            continue;
        }
        let whole = read_by(&log, &of, 1_000).await;
        assert_eq!(whole.len() as u64, head.0);
        let first = log.read(&topic(&of), Seq(0), Direction::Forward, 50).await.unwrap().events;
        assert_eq!(first, whole[..first.len()]);
        let back = log.read(&topic(&of), Seq(u64::MAX), Direction::Backward, 1_000).await.unwrap();
        assert!(back.events.iter().rev().eq(&whole));
        let filter = EventFilter { kinds: vec![Kind::new("x")], ..EventFilter::default() };
        let taken = log.read_matching(&topic(&of), Seq(3), Direction::Forward, 1_000, &filter).await.unwrap();
        let expected = whole.iter().filter(|event| event.seq > Seq(3) && event.kind == Kind::new("x"));
        assert!(taken.events.iter().eq(expected), "{of} at {number}");
        let database = Connection::open(folder.path().join("log.db")).unwrap();
        let count = |sql| database.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
        let indexed = count("SELECT count(*) FROM topic_event");
        halves += u64::from(indexed > 0 && indexed < count("SELECT count(*) FROM event"));
    }
    assert!(halves > 10, "only {halves} reads had both halves");
}

/// Pieces of the index move all the time while others read: each read is whole, and sees what was acknowledged before it.
#[test]
fn l3_a_read_while_the_index_moves_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { index_waiting_max: 64, ..OpenOptions::default() };
    let log = SqliteLog::open(folder.path(), options).unwrap();
    let other = open(folder.path());
    let acknowledged: Arc<[AtomicU64; 5]> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [log.clone(), log.clone(), other]
        .into_iter()
        .map(|log| {
            let (acknowledged, done) = (acknowledged.clone(), done.clone());
            std::thread::spawn(move || {
                let mut reads = 0_usize;
                while !done.load(Ordering::SeqCst) {
                    let of = reads % 5;
                    let known = acknowledged[of].load(Ordering::SeqCst);
                    let name = topic(&format!("t{of}"));
                    let after = Seq(known.saturating_sub(30));
                    let page = block_on(log.read(&name, after, Direction::Forward, 500)).unwrap();
                    assert!(page.head.0 >= known, "{} after {known} was acknowledged", page.head);
                    let numbers = page.events.iter().map(|event| event.seq.0);
                    assert!(numbers.eq(after.0 + 1..=page.head.0), "{:?}", page.events);
                    let back = block_on(log.read(&name, Seq(u64::MAX), Direction::Backward, 20)).unwrap();
                    let numbers = back.events.iter().rev().map(|event| event.seq.0);
                    assert!(
                        numbers.eq(back.head.0.saturating_sub(20) + 1..=back.head.0),
                        "{:?}",
                        back.events
                    );
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for number in 0..4_000_usize {
        let of = number * 3 % 5;
        let append = TopicAppend::new(
            topic(&format!("t{of}")),
            Authority::Exclusive,
            events(&["x"; 3][..1 + number % 3]),
        );
        let last =
            log.submit(Batch { durability: Durability::Buffered, ..Batch::of(append) }).wait().unwrap();
        acknowledged[of].store(last.topics[0].last.0, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > 100, "a reader got to read while the writer wrote");
    }
    drop(log);
    check_index(folder.path());
}
