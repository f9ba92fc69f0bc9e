//! Packed payloads: nobody sees a difference, and damage is told.

use std::path::Path;
use std::time::Duration;

use backstay_log::maintenance::{self, Finding, Inspect, InspectedTopic};
use backstay_log::prelude::*;
use backstay_log::{
    Authority, Batch, Direction, EventFilter, Log, OpenOptions, ReadError, SqliteLog, TopicAppend,
    TopicTransition,
};
use backstay_model::{Position, Recorded, Seq};
use rusqlite::Connection;

use crate::kills::check_index;
use crate::processes::check_database;
use crate::support::{append, batch, event, events, now, numbers, read_by, texts, topic};

/// How long what is to be packed may take: packing takes milliseconds, and a machine under load some seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> SqliteLog {
    SqliteLog::open(folder, OpenOptions { pack_after: Duration::ZERO, ..OpenOptions::default() }).unwrap()
}

fn apply_transition(log: &dyn Log, name: &str, transition: TopicTransition) {
    let append =
        TopicAppend { transition, ..TopicAppend::new(topic(name), Authority::Exclusive, Vec::new()) };
    log.submit(Batch::of(append)).wait().unwrap();
}

fn reopen(log: &dyn Log, name: &str) {
    log.submit(batch(name, Authority::Reopen, &["again"])).wait().unwrap();
}

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("log.db")).unwrap()
}

fn count(database: &Connection, what: &str) -> i64 {
    database.query_row(&format!("SELECT count(*) FROM {what}"), (), |row| row.get(0)).unwrap()
}

/// Waits until nothing is to be packed any more.
pub(crate) fn wait_until_packed(folder: &Path) {
    let (database, began) = (database(folder), now());
    while count(&database, "pack") > 0 {
        assert!(began.elapsed() < TIMEOUT, "nobody packs");
        std::thread::yield_now();
    }
}

/// A topic of 600 events that has ended, between events of others, and all events as they were.
async fn packed(folder: &Path) -> (SqliteLog, Vec<Recorded>) {
    let log = open(folder);
    for round in 0..200 {
        let text = format!("{round} of a topic that says much the same again and again");
        append(&log, "a", &[&text, "ä", ""]);
        append(&log, "b", &["other"]);
    }
    let before = read_by(&log, "a", 100).await;
    apply_transition(&log, "a", TopicTransition::Closed);
    wait_until_packed(folder);
    (log, before)
}

#[derive(Default)]
struct Nobody(u64);

impl Inspect for Nobody {
    fn event(&mut self, _recorded: &Recorded) {
        self.0 += 1;
    }

    fn topic_end(&mut self, _topic: &InspectedTopic) {}
}

#[tokio::test]
async fn nobody_sees_that_payloads_were_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, before) = packed(folder.path()).await;
    let database = database(folder.path());
    assert_eq!((before.len(), count(&database, "packed")), (600, 3));
    assert_eq!(count(&database, "event WHERE payload = ''"), 600);
    for limit in [1, 7, 256, 1_000] {
        assert!(read_by(&log, "a", limit).await == before, "by {limit}");
    }
    let last = log.read(&topic("a"), Seq(u64::MAX), Direction::Backward, 300).await.unwrap();
    assert!(last.events.iter().eq(before.iter().rev().take(300)));
    let noted = EventFilter { kinds: vec![before[0].kind.clone()], ..EventFilter::default() };
    let found = log.read_matching(&topic("a"), Seq(590), Direction::Forward, 20, &noted).await.unwrap();
    assert_eq!(found.events, before[590..]);
    let all = log.read_all(Position(0), 1_000).await.unwrap();
    assert!(all.iter().filter(|event| event.topic == topic("a")).eq(&before));
    let mut subscription = log.follow(&topic("a"), Seq(0));
    for event in &before {
        let Some(backstay_model::Delivery::Event(delivered)) = subscription.try_next().await.unwrap() else {
            panic!("{} is missing", event.seq);
        };
        assert_eq!(delivered, *event);
    }
    drop(log);
    check_index(folder.path());
    check_database(folder.path());
    let mut nobody = Nobody::default();
    assert_eq!(maintenance::check(folder.path(), &mut nobody).unwrap().findings, []);
    assert_eq!(nobody.0, 800);
}

#[tokio::test]
async fn what_is_packed_goes_on_and_goes_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (log, before) = packed(folder.path()).await;
    reopen(&log, "a");
    append(&log, "a", &["601", "602", "603", "604", "605", "606", "607", "608", "609"]);
    apply_transition(&log, "a", TopicTransition::Closed);
    wait_until_packed(folder.path());
    let database = database(folder.path());
    assert_eq!(count(&database, "packed"), 4);
    let all = read_by(&log, "a", 100).await;
    assert!(all[..600] == before);
    assert_eq!(texts(&all[600..]).concat(), "again601602603604605606607608609");
    reopen(&log, "a");
    let trim = TopicAppend {
        trim: Some(Seq(300)),
        ..TopicAppend::new(topic("a"), Authority::Exclusive, events(&["last"]))
    };
    log.submit(Batch::of(trim)).wait().unwrap();
    assert_eq!(numbers(&read_by(&log, "a", 100).await), (301..=612).collect::<Vec<_>>());
    drop(log);
    assert_eq!(count(&database, "packed"), 3, "a block goes with the last of its events");
    let log = open(folder.path());
    apply_transition(&log, "a", TopicTransition::Deleted);
    drop(log);
    assert_eq!((count(&database, "packed"), count(&database, "event")), (0, 200));
    check_index(folder.path());
}

/// Changes a byte of the block of the events 257 to 512.
fn damage_second_block(database: &Connection) {
    let damage = "UPDATE packed SET data = CAST(substr(data, 1, length(data) - 9) || x'00' || substr(data, length(data) - 7) AS BLOB) WHERE first = 257";
    assert_eq!(database.execute(damage, ()).unwrap(), 1);
}

#[tokio::test]
async fn a_block_that_is_damaged_is_told_by_the_number_of_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let (log, before) = packed(folder.path()).await;
    let database = database(folder.path());
    damage_second_block(&database);
    let page = log.read(&topic("a"), Seq(0), Direction::Forward, 1_000).await.unwrap();
    assert!(page.events == before[..255], "what can be read is read, up to the end of a batch");
    let error = log.read(&topic("a"), Seq(256), Direction::Forward, 9).await.unwrap_err();
    assert!(matches!(&error, ReadError::Damaged(damaged) if damaged.seq == Seq(257)), "{error:?}");
    let behind = log.read(&topic("a"), Seq(512), Direction::Forward, 9).await.unwrap();
    assert!(behind.events == before[512..519]);
    database.execute("DELETE FROM packed WHERE first = 513", ()).unwrap();
    drop(log);
    let report = maintenance::check(folder.path(), &mut Nobody::default()).unwrap();
    let damaged: Vec<u64> = report
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::EventDamaged { topic, seq, what } if topic == "a" && what.contains("block") => seq.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(damaged, (257..=600).collect::<Vec<_>>());
}

#[test]
fn what_is_young_open_or_short_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for name in ["open", "again"] {
        for _ in 0..20 {
            append(&log, name, &["x"]);
        }
    }
    append(&log, "short", &["1", "2", "3", "4", "5", "6", "7"]);
    apply_transition(&log, "again", TopicTransition::Closed);
    reopen(&log, "again");
    apply_transition(&log, "short", TopicTransition::Closed);
    wait_until_packed(folder.path());
    drop(log);
    let database = database(folder.path());
    let young = SqliteLog::open(folder.path(), OpenOptions::default()).unwrap();
    apply_transition(&young, "again", TopicTransition::Closed);
    drop(young);
    // Who ends leaves what is old to who stays, and what is young to later.
    assert_eq!(count(&database, "pack"), 1);
    let short: i64 = database
        .query_row(
            "SELECT count(*) FROM event JOIN topic ON topic.id = topic_id WHERE name IN ('open', 'short') AND payload = ''",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(short, 0);
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn whoever_dies_while_it_packs_leaves_all_or_nothing() {
    use crate::processes::Process;
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(folder.path(), OpenOptions::default()).unwrap();
    for _ in 0..300 {
        append(&log, "old", &["much the same"]);
    }
    let before = read_by(&log, "old", 100).await;
    apply_transition(&log, "old", TopicTransition::Closed);
    drop(log);
    let database = database(folder.path());
    for (nth, blocks) in [(1, 0), (2, 1)] {
        let point = format!("log.pack.before_commit:{nth}");
        let armed = [(backstay_log::crash::CRASH_POINT_VARIABLE, point.as_str())];
        let mut process = Process::start_with("paced", folder.path(), "x", &armed);
        process.tell("1");
        // Its input stays open, so that it has time for what nobody waits for.
        assert_eq!(process.hear("more"), None);
        process.child.wait().unwrap();
        assert_eq!(count(&database, "packed"), blocks, "{point}");
        let log = SqliteLog::open(folder.path(), OpenOptions::default()).unwrap();
        assert!(read_by(&log, "old", 100).await == before, "{point}");
    }
    check_index(folder.path());
}

#[test]
fn a_batch_beside_packing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for round in 0..40 {
        let name = format!("t{round}");
        log.submit(Batch::of(TopicAppend::new(topic(&name), Authority::Exclusive, vec![event("x"); 64])))
            .wait()
            .unwrap();
        apply_transition(&log, &name, TopicTransition::Closed);
        log.submit(batch("busy", Authority::Exclusive, &["1"])).wait().unwrap();
    }
    wait_until_packed(folder.path());
    assert_eq!(count(&database(folder.path()), "packed"), 40);
}

#[tokio::test]
async fn a_secret_is_taken_out_of_what_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for name in ["a", "b"] {
        for round in 0..300 {
            let text = if (name, round) == ("a", 270) { "the key is 4711-hidden" } else { "nothing" };
            append(&log, name, &[text]);
        }
        apply_transition(&log, name, TopicTransition::Closed);
    }
    wait_until_packed(folder.path());
    drop(log);
    let secret = maintenance::Secret::new("4711-hidden").unwrap();
    let alone = maintenance::ExclusiveStore::acquire(folder.path()).unwrap();
    let scrubbed = maintenance::scrub_database(&alone, &secret, &mut |_| Ok(())).unwrap();
    drop(alone);
    assert_eq!(scrubbed.events, 1);
    let database = database(folder.path());
    assert_eq!((count(&database, "packed"), count(&database, "pack")), (3, 1), "one block is put back");
    for file in ["log.db", "log.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        assert!(!secret.occurs_in(&bytes), "{file}");
    }
    let log = open(folder.path());
    append(&log, "c", &["x"]);
    wait_until_packed(folder.path());
    assert_eq!(count(&database, "packed"), 4, "and packed again");
    let texts = texts(&read_by(&log, "a", 100).await);
    assert!(texts[270].starts_with("the key is") && !texts[270].contains("4711"), "{}", texts[270]);
    assert_eq!(texts.iter().filter(|text| *text == "nothing").count(), 299);
    drop(log);
    assert_eq!(maintenance::check(folder.path(), &mut Nobody::default()).unwrap().findings, []);
}

/// Three topics of 30 events each that have ended, the one after the other, and are not packed yet.
fn ended(folder: &Path) {
    let log = SqliteLog::open(folder, OpenOptions::default()).unwrap();
    for name in ["a", "b", "c"] {
        let appends = TopicAppend::new(topic(name), Authority::Exclusive, vec![event("much the same"); 30]);
        log.submit(Batch::of(appends)).wait().unwrap();
        apply_transition(&log, name, TopicTransition::Closed);
    }
}

/// Packs whatever can be.
fn pack_all(folder: &Path) {
    let log = open(folder);
    append(&log, "other", &["x"]);
    wait_until_packed(folder);
}

/// First and last event of each block, by topic.
fn blocks(database: &Connection) -> Vec<(String, i64, i64)> {
    let sql = "SELECT name, first, last FROM packed JOIN topic ON topic.id = topic_id ORDER BY name, first";
    let mut statement = database.prepare(sql).unwrap();
    let found = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_nothing_else_from_being_packed() {
    let folder = tempfile::tempdir().unwrap();
    ended(folder.path());
    let database = database(folder.path());
    let damage = |what: &str, name: &str, seqs: &str| {
        let whose = "topic_id = (SELECT id FROM topic WHERE name = ?1)";
        let sql = format!("UPDATE event SET {what} = CAST(x'22ff22' AS TEXT) WHERE {whose} AND seq {seqs}");
        database.execute(&sql, [name]).unwrap()
    };
    assert_eq!(damage("payload", "a", "= 10") + damage("kind", "a", "= 14"), 2);
    assert_eq!(damage("payload", "b", "% 4 = 1"), 8);
    pack_all(folder.path());
    let of = |name: &str, first, last| (name.to_owned(), first, last);
    assert_eq!(blocks(&database), [of("a", 1, 9), of("a", 15, 30), of("c", 1, 30)]);
    let log = open(folder.path());
    let page = log.read(&topic("a"), Seq(14), Direction::Forward, 30).await.unwrap();
    assert_eq!(texts(&page.events), ["much the same"; 16]);
    let error = log.read(&topic("a"), Seq(9), Direction::Forward, 30).await.unwrap_err();
    assert!(matches!(&error, ReadError::Damaged(damaged) if damaged.seq == Seq(10)), "{error:?}");
}

#[test]
fn a_page_that_cannot_be_read_keeps_nothing_else_from_being_packed() {
    let folder = tempfile::tempdir().unwrap();
    ended(folder.path());
    let connection = database(folder.path());
    let long = format!("UPDATE event SET payload = '\"{}\"' WHERE g = 12", "z".repeat(20_000));
    assert_eq!(connection.execute(&long, ()).unwrap(), 1);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_row| Ok(())).unwrap();
    drop(connection);
    let path = folder.path().join("log.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let overflow = bytes.chunks_mut(4_096).find(|page| page[4..].iter().all(|byte| *byte == b'z')).unwrap();
    // Where the rest of the payload is: nowhere.
    overflow[..4].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    std::fs::write(&path, bytes).unwrap();
    pack_all(folder.path());
    let of = |name: &str, last| (name.to_owned(), 1, last);
    assert_eq!(blocks(&database(folder.path())), [of("b", 30), of("c", 30)]);
}

#[tokio::test]
async fn a_block_before_others_that_was_put_back_is_packed_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for round in 0..600 {
        append(&log, "a", &[if round == 7 { "the key is 4711-hidden" } else { "nothing" }]);
    }
    apply_transition(&log, "a", TopicTransition::Closed);
    wait_until_packed(folder.path());
    drop(log);
    let database = database(folder.path());
    let of_a = |first, last| ("a".to_owned(), first, last);
    let whole = [of_a(1, 256), of_a(257, 512), of_a(513, 600)];
    assert_eq!(blocks(&database), whole);
    let alone = maintenance::ExclusiveStore::acquire(folder.path()).unwrap();
    let secret = maintenance::Secret::new("4711-hidden").unwrap();
    assert_eq!(maintenance::scrub_database(&alone, &secret, &mut |_| Ok(())).unwrap().events, 1);
    drop(alone);
    assert_eq!(blocks(&database), whole[1..]);
    pack_all(folder.path());
    assert_eq!(blocks(&database), whole);
    let log = open(folder.path());
    let read = texts(&read_by(&log, "a", 100).await);
    assert!(read.len() == 600 && !read[7].contains("4711") && read[8] == "nothing");
}

#[tokio::test]
async fn a_secret_is_taken_out_of_what_is_beside_a_damaged_block() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for name in ["a", "b"] {
        for round in 0..300 {
            append(&log, name, &[if round == 7 { "the key is 4711-hidden" } else { "nothing" }, "x"]);
        }
    }
    apply_transition(&log, "a", TopicTransition::Closed);
    wait_until_packed(folder.path());
    drop(log);
    let connection = database(folder.path());
    damage_second_block(&connection);
    let before = blocks(&connection);
    let alone = maintenance::ExclusiveStore::acquire(folder.path()).unwrap();
    let secret = maintenance::Secret::new("4711-hidden").unwrap();
    let scrubbed = maintenance::scrub_database(&alone, &secret, &mut |_| Ok(())).unwrap();
    drop(alone);
    assert_eq!(scrubbed.events, 2);
    let damaged: Vec<String> = scrubbed.damaged.iter().map(ToString::to_string).collect();
    assert_eq!(damaged, ["the events 257 to 512 of a, whose block is damaged"]);
    assert_eq!(blocks(&connection), before[1..], "it is left as it is");
    let log = open(folder.path());
    for name in ["a", "b"] {
        let page = log.read(&topic(name), Seq(0), Direction::Forward, 20).await.unwrap();
        assert!(!texts(&page.events)[14].contains("4711"), "{name}");
    }
}
