//! What only a store in a folder can do wrong.

use std::sync::Arc;
use std::time::Duration;

use backstay_log::prelude::*;
use backstay_log::{
    AppendError, Batch, Boot, ClaimError, ClaimMode, CursorError, Direction, IncarnationCause, OpenOptions,
    OwnerIdentity, ReadError, SqliteLog, StoreError, TopicTransition,
};
use backstay_model::event::ClaimReason;
use backstay_model::{Coded, Delivery, Scope, Seq};
use rusqlite::Connection;

use crate::support::{
    FixedClock, Mount, append, batch, buffered, event, now, numbers, open, owner, read_by, texts, topic,
};
use backstay_log::Authority;
use backstay_log::ticket::block_on;

#[tokio::test]
async fn l7_what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let id = log.id();
    append(&log, "a", &["1"]);
    log.submit(buffered(batch("a", Authority::Exclusive, &["2"]))).wait().unwrap();
    let keyed = Batch { key: Some("k".to_owned()), ..batch("a", Authority::Exclusive, &["3"]) };
    let first = log.submit(keyed.clone()).wait().unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.id(), id);
    assert_eq!(texts(&read_by(&log, "a", 10).await), ["1", "2", "3"]);
    let again = log.submit(keyed).wait().unwrap();
    assert_eq!((again.repeated, again.topics), (true, first.topics), "l8: keys survive reopening");
    assert_eq!(append(&log, "a", &["4"]).topics[0].first, Seq(4));
}

#[tokio::test]
async fn l17_a_full_disk_is_an_error_and_going_on_works_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::tmpfs(folder.path(), "size=4m") else { return };
    let ballast = mount.0.join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let log = open(&mount.0.join("store"));
    let text = "x".repeat(32 * 1024);
    let mut acknowledged = 0;
    let error = loop {
        match log.submit(batch("a", Authority::Exclusive, &[&text])).wait() {
            Ok(appended) => acknowledged = appended.topics[0].last.0,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "the disk does not fill");
    };
    assert!(matches!(error, AppendError::Store(StoreError::OutOfSpace { .. })), "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(numbers(&read_by(&log, "a", 7).await), (1..=acknowledged).collect::<Vec<_>>());
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(append(&log, "a", &["room"]).topics[0].first.0, acknowledged + 1);
    drop(log);
    let log = open(&mount.0.join("store"));
    assert_eq!(log.head(&topic("a")).await.unwrap().0, acknowledged + 1);
    drop(log);
}

#[tokio::test]
async fn l4_a_damaged_event_is_named_and_reading_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for text in ["1", "2", "3", "4"] {
        append(&log, "a", &[text]);
    }
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    database.execute("UPDATE event SET payload = '{\"torn' WHERE seq = 3", ()).unwrap();
    let before = log.read(&topic("a"), Seq(0), Direction::Forward, 10).await.unwrap();
    assert_eq!(numbers(&before.events), [1, 2]);
    let error = log.read(&topic("a"), Seq(2), Direction::Forward, 10).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Damaged(event) if event.seq == Seq(3) && event.topic == topic("a")),
        "{error:?}"
    );
    let behind = log.read(&topic("a"), Seq(3), Direction::Forward, 10).await.unwrap();
    assert_eq!(numbers(&behind.events), [4]);
    let mut subscription = log.follow(&topic("a"), Seq(0));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(match subscription.next().await {
            Ok(Delivery::Event(event)) => event.seq.to_string(),
            Err(ReadError::Damaged(event)) => format!("damaged {}", event.seq),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["1", "2", "damaged 3", "4"]);
}

#[tokio::test]
async fn l4_a_hole_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, "a", &["1", "2", "3"]);
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    database.execute("DELETE FROM event WHERE seq = 2", ()).unwrap();
    let error = log.read(&topic("a"), Seq(1), Direction::Forward, 10).await.unwrap_err();
    assert!(matches!(error, ReadError::Hole { expected: Seq(2), found: Seq(3), .. }), "{error:?}");
}

#[tokio::test]
async fn l12_a_cursor_into_what_the_power_took_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let boot = |name: &str| OpenOptions { boot: Boot::Is(name.to_owned()), ..OpenOptions::default() };
    let log = SqliteLog::open(folder.path(), boot("first")).unwrap();
    append(&log, "a", &["1"]);
    append(&log, "a", &["2"]);
    append(&log, "a", &["3"]);
    let [two, three] = [2, 3].map(Seq);
    let cursors =
        [log.cursor(&topic("a"), two).await.unwrap(), log.cursor(&topic("a"), three).await.unwrap()];
    drop(log);
    // The power went before the last two commits reached the disk.
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    database
        .execute_batch(
            "DELETE FROM event WHERE seq > 1; DELETE FROM topic_event WHERE seq > 1; UPDATE meta SET flushed = 1",
        )
        .unwrap();
    drop(database);
    let log = SqliteLog::open(folder.path(), boot("second")).unwrap();
    let again = append(&log, "a", &["another 2"]);
    let incarnation = log.incarnation().await.unwrap();
    assert_eq!((incarnation.number, incarnation.cause), (2, IncarnationCause::Boot));
    assert!(incarnation.floor.0 > 1 << 24 && again.g > incarnation.floor, "{} in {incarnation:?}", again.g);
    for (cursor, seq) in cursors.iter().zip([two, three]) {
        let error = log.resolve(&topic("a"), cursor).await.unwrap_err();
        assert!(
            matches!(&error, ReadError::Cursor(CursorError::Lost { seq: at, .. }) if *at == seq),
            "{seq}: {error:?}"
        );
        let mut subscription = log.subscribe(&topic("a"), cursor).unwrap();
        assert!(matches!(subscription.next().await, Err(ReadError::Cursor(CursorError::Lost { .. }))));
    }
    assert_eq!(numbers(&read_by(&log, "a", 10).await), [1, 2]);
}

#[tokio::test]
async fn a_lock_that_is_not_free_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, "a", &["1"]);
    let lock = std::fs::File::options().write(true).open(folder.path().join("writer.lock")).unwrap();
    lock.lock().unwrap();
    std::fs::write(folder.path().join("writer.lock"), "4242\n").unwrap();
    let busy = log.submit(batch("a", Authority::Exclusive, &["2"])).await.unwrap_err();
    assert!(matches!(&busy, AppendError::Store(StoreError::Busy { holder_pid: Some(4242), .. })), "{busy:?}");
    assert!(busy.hint().unwrap().contains("4242"));
    lock.unlock().unwrap();
    assert_eq!(append(&log, "a", &["2"]).topics[0].first, Seq(2));
}

#[tokio::test]
async fn l6_a_release_without_an_event_reaches_the_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [open(folder.path()), open(folder.path())];
    let guard = first.register_owner(owner('A')).await.unwrap();
    let epoch = first.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap().epoch;
    let fact = |texts: &[&str]| batch("a", Authority::Owner(owner('A').owner, epoch), texts);
    first.submit(fact(&["1"])).wait().unwrap();
    let mut release = fact(&[]);
    release.appends[0].transition = TopicTransition::Released;
    second.submit(release).wait().unwrap();
    let late = first.submit(fact(&["2"])).wait();
    assert!(matches!(late, Err(AppendError::Fenced { owner: None, .. })), "{late:?}");
}

#[tokio::test]
async fn l14_another_process_does_not_draw_the_position_of_a_dropped_live_event() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    append(&first, "a", &["1"]);
    let mut subscription = first.follow(&topic("a"), Seq(1));
    first.submit_live(topic("a"), event("live 1"));
    let Delivery::Live(dropped) = subscription.next().await.unwrap() else { panic!("not live") };
    let mut done = batch("a", Authority::Exclusive, &[]);
    done.appends[0].live_done = vec![Scope::root()];
    first.submit(done).wait().unwrap();
    let second = open(folder.path());
    second.submit_live(topic("a"), event("live 2"));
    let delivery = tokio::time::timeout(crate::suite::TIMEOUT, subscription.next()).await.unwrap();
    assert!(matches!(delivery.unwrap(), Delivery::Live(live) if live.g > dropped.g));
}

#[tokio::test]
async fn l8_a_key_is_known_to_the_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [open(folder.path()), open(folder.path())];
    let keyed = |text: &str| Batch { key: Some("k".to_owned()), ..batch("a", Authority::Exclusive, &[text]) };
    let answer = first.submit(keyed("1")).wait().unwrap();
    let again = second.submit(keyed("1")).wait().unwrap();
    assert_eq!((again.repeated, again.topics, again.g), (true, answer.topics, answer.g));
    assert!(matches!(second.submit(keyed("2")).wait(), Err(AppendError::KeyConflict { .. })));
    assert_eq!(append(&second, "a", &["2"]).topics[0].first, Seq(2));
    assert_eq!(append(&first, "a", &["3"]).topics[0].first, Seq(3));
}

#[tokio::test]
async fn l15_an_owner_that_is_not_renewed_is_claimed_after_thirty_seconds_of_the_claimers_clock() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::default());
    let options = || OpenOptions { clock: clock.clone(), ..OpenOptions::default() };
    let [first, second] = [options(), options()].map(|o| SqliteLog::open(folder.path(), o).unwrap());
    let old = first.register_owner(owner('A')).await.unwrap();
    let new = second.register_owner(owner('B')).await.unwrap();
    first.claim(&topic("a"), old.as_ref(), ClaimMode::IfFree).await.unwrap();
    let claim = second.claim(&topic("a"), new.as_ref(), ClaimMode::WaitUntilFree);
    clock.advance(Duration::from_secs(29));
    let mut claim = std::pin::pin!(claim);
    // Two looks of the claimer: 29 s are not enough, however often it looks.
    let early = tokio::time::timeout(Duration::from_millis(2_200), claim.as_mut()).await;
    if let Ok(claimed) = early {
        panic!("robbed after 29 s: {claimed:?}");
    }
    clock.advance(Duration::from_secs(31));
    let claimed = claim.await.unwrap();
    assert_eq!(claimed.reason, ClaimReason::OwnerSilent);
}

#[tokio::test]
async fn l15_a_patient_claimer_gets_a_dead_owners_topic_at_once_and_a_living_ones_not() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::default());
    let options = OpenOptions { clock: clock.clone(), ..OpenOptions::default() };
    let log = SqliteLog::open(folder.path(), options).unwrap();
    let old = log.register_owner(owner('A')).await.unwrap();
    let new = log.register_owner(owner('B')).await.unwrap();
    log.claim(&topic("a"), old.as_ref(), ClaimMode::IfFree).await.unwrap();
    let waiting = log.claim(&topic("a"), new.as_ref(), ClaimMode::WaitUntilFree);
    drop(old);
    assert_eq!(waiting.await.unwrap().reason, ClaimReason::OwnerDead);
    let unknown = OwnerIdentity { ..owner('C') };
    let stranger = backstay_log::MemoryLog::new().unwrap().register_owner(unknown).await.unwrap();
    let refused = log.claim(&topic("b"), stranger.as_ref(), ClaimMode::IfFree).await;
    assert!(matches!(refused, Err(ClaimError::NotRegistered(_))), "{refused:?}");
}

/// Whoever follows a topic has its newest events from memory, and those of the other process from the table.
#[tokio::test]
async fn l9_l11_a_subscriber_gets_what_two_processes_append_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [open(folder.path()), open(folder.path())];
    let mut eager = first.follow(&topic("a"), Seq(0));
    let mut lazy = second.follow(&topic("a"), Seq(0));
    let mut expected = Vec::new();
    for number in 0..400_usize {
        let log = if number * 7 % 5 < 3 { &first } else { &second };
        let name = if number % 4 == 3 { "b" } else { "a" };
        let text = number.to_string();
        let said = vec![text.as_str(); 1 + number % 3];
        let appended = log.submit(buffered(batch(name, Authority::Exclusive, &said))).await.unwrap();
        if name == "a" {
            expected.extend(said.iter().map(|said| (*said).to_owned()));
        }
        if name == "a" && number % 6 == 0 {
            while eager.seq() < appended.topics[0].last {
                let delivery = tokio::time::timeout(crate::suite::TIMEOUT, eager.next()).await.unwrap();
                let Delivery::Event(event) = delivery.unwrap() else { panic!("not an event") };
                assert_eq!(event.payload.decode::<String>().unwrap(), expected[event.seq.0 as usize - 1]);
            }
        }
    }
    for subscription in [&mut eager, &mut lazy] {
        while subscription.seq().0 < expected.len() as u64 {
            let before = subscription.seq();
            let delivery = tokio::time::timeout(crate::suite::TIMEOUT, subscription.next()).await.unwrap();
            let Delivery::Event(event) = delivery.unwrap() else { panic!("not an event") };
            assert_eq!(event.seq, before.next());
            assert_eq!(event.payload.decode::<String>().unwrap(), expected[event.seq.0 as usize - 1]);
        }
        assert_eq!(subscription.try_next().await.unwrap(), None);
    }
}

/// More than a ring holds goes by while nobody reads.
#[tokio::test]
async fn l10_what_a_ring_no_longer_holds_is_read_from_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut subscription = log.follow(&topic("a"), Seq(0));
    assert_eq!(subscription.try_next().await.unwrap(), None);
    let text = "x".repeat(20_000);
    let said = vec![text.as_str(); 40];
    for _ in 0..5 {
        log.submit(buffered(batch("a", Authority::Exclusive, &said))).await.unwrap();
    }
    for expected in 1..=200 {
        let Delivery::Event(event) = subscription.next().await.unwrap() else { panic!("not an event") };
        assert_eq!((event.seq, event.more), (Seq(expected), expected % 40 != 0));
    }
    assert_eq!(subscription.try_next().await.unwrap(), None);
}

#[test]
fn l3_an_append_that_nobody_waits_for_is_written_when_its_ticket_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let changed = log.changed(backstay_model::Position(0));
    drop(log.submit(batch("a", Authority::Exclusive, &["1"])));
    assert_eq!(backstay_log::ticket::block_on(changed).0, 1);
}

/// Both kinds at once from threads and from tasks: everything is acknowledged, in the order of each writer.
#[tokio::test]
async fn l7_flushed_and_unflushed_appends_share_one_queue() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let threads: Vec<_> = (0..4_u64)
        .map(|writer| {
            let log = log.clone();
            std::thread::spawn(move || {
                for number in 0..200_u64 {
                    let said = batch(&format!("t{writer}"), Authority::Exclusive, &[&number.to_string()]);
                    let said = if (writer + number).is_multiple_of(2) { said } else { buffered(said) };
                    assert_eq!(log.submit(said).wait().unwrap().topics[0].first, Seq(number + 1));
                }
            })
        })
        .collect();
    for number in 0..200_u64 {
        let said = |writer: u64| {
            let said = batch(&format!("k{writer}"), Authority::Exclusive, &[&number.to_string()]);
            if (writer + number).is_multiple_of(2) { said } else { buffered(said) }
        };
        let tickets = [0, 1, 2, 3].map(|writer| log.submit(said(writer)));
        for ticket in tickets {
            let appended = tokio::time::timeout(crate::suite::TIMEOUT, ticket).await.unwrap();
            assert_eq!(appended.unwrap().topics[0].first, Seq(number + 1));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(log);
    crate::kills::check_index(folder.path());
}

/// The ring of a topic says nothing of what another process appended before the newest commit of this one.
#[tokio::test]
async fn l11_what_another_process_appended_is_not_hidden_by_an_own_commit() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [open(folder.path()), open(folder.path())];
    append(&first, "a", &["1"]);
    let mut subscription = first.follow(&topic("a"), Seq(0));
    for number in 2..40_u64 {
        let delivery = tokio::time::timeout(crate::suite::TIMEOUT, subscription.next()).await.unwrap();
        assert!(matches!(delivery.unwrap(), Delivery::Event(event) if event.seq == Seq(number - 1)));
        assert_eq!(subscription.try_next().await.unwrap(), None);
        append(&second, "a", &["theirs"]);
        append(&first, "b", &["ours, of another topic"]);
    }
}

/// A page at the beginning of a topic may cost this many times one of a topic with a twentieth of the events; where
/// reading went on to the end, it cost twenty times as much.
const PAGE_RATIO_MAX: u32 = 6;

#[test]
fn l18_what_a_page_costs_does_not_depend_on_what_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let hundred: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
    for (name, batches) in [("short", 20), ("long", 400)] {
        for _ in 0..batches {
            log.submit(buffered(batch(name, Authority::Exclusive, &hundred))).wait().unwrap();
        }
    }
    let median = |name: &str| {
        let name = topic(name);
        let mut times: Vec<Duration> = (0..15)
            .map(|_| {
                let began = now();
                // In the middle of a batch: the page goes to its end.
                let page = block_on(log.read(&name, Seq(50), Direction::Forward, 10)).unwrap();
                assert_eq!(page.events.len(), 50);
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let (short, long) = (median("short"), median("long"));
    assert!(long < short * PAGE_RATIO_MAX, "{short:?} of a short topic, {long:?} of a long one");
}

/// A runtime makes futures pause that have run for long; who waits on its worker would wait for ever.
#[tokio::test]
async fn many_waits_on_an_async_worker_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for _ in 0..300 {
        append(&log, "a", &["x"]);
    }
}
