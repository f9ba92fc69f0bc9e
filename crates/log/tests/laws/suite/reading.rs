//! Reading by number.

use backstay_log::{Authority, Batch, Direction, EventFilter, NewEvent, TopicAppend, TopicTransition};
use backstay_model::{Kind, Recorded, Scope, Seq};
use futures_util::FutureExt;

use crate::support::{Fixture, append, batch, event, events, numbers, read_all_until, read_by, topic};

pub(crate) async fn l2_numbers_are_dense_from_one_and_go_on(store: Fixture) {
    let log = store.log.as_ref();
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(0));
    for expected in [(1, 2), (3, 3), (4, 6)] {
        let texts: Vec<_> = (expected.0..=expected.1).map(|_| "x").collect();
        let appended = append(log, "a", &texts);
        assert_eq!((appended.topics[0].first.0, appended.topics[0].last.0), expected);
    }
    assert_eq!(append(log, "b", &["x"]).topics[0].first, Seq(1));
    let append = TopicAppend {
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic("a"), Authority::Exclusive, events(&["end"]))
    };
    log.submit(Batch::of(append)).wait().unwrap();
    let reopened = log.submit(batch("a", Authority::Reopen, &["again"])).wait().unwrap();
    assert_eq!(reopened.topics[0].first, Seq(8));
    assert_eq!(numbers(&read_by(log, "a", 100).await), (1..=8).collect::<Vec<_>>());
}

pub(crate) async fn l3_any_page_size_gives_the_same_sequence(store: Fixture) {
    let log = store.log.as_ref();
    for size in [1, 3, 1, 7, 2, 1] {
        append(log, "a", &vec!["x"; size]);
    }
    let whole = read_by(log, "a", 1_000).await;
    assert_eq!(numbers(&whole), (1..=15).collect::<Vec<_>>());
    for limit in 1..=16 {
        assert_eq!(read_by(log, "a", limit).await, whole, "pages of {limit}");
    }
    let page = log.read(&topic("a"), Seq(4), Direction::Forward, 1).await.unwrap();
    assert_eq!((page.events[0].seq, page.head), (Seq(5), Seq(15)));
    let all = read_all_until(log, whole.last().unwrap().g).await;
    assert_eq!(all, whole);
}

pub(crate) async fn l3_a_filter_takes_kinds_and_scopes(store: Fixture) {
    let log = store.log.as_ref();
    let scope = |step: &str| -> Scope { step.parse().unwrap() };
    for number in 0..30_u64 {
        let kind = Kind::new(if number % 3 == 0 { "started" } else { "finished" });
        let scope = if number % 2 == 0 { Scope::root() } else { scope("loop~3/build") };
        let made = NewEvent { kind, scope, ..event(&number.to_string()) };
        for name in ["a", "b"] {
            log.submit(Batch::of(TopicAppend::new(topic(name), Authority::Exclusive, vec![made.clone()])))
                .wait()
                .unwrap();
        }
    }
    let kinds = |names: &[&'static str]| names.iter().map(|name| Kind::new(name)).collect::<Vec<_>>();
    let started = EventFilter { kinds: kinds(&["started"]), scopes: vec![] };
    let of_build = EventFilter { kinds: vec![], scopes: vec![scope("loop~3/build")] };
    let both = EventFilter { kinds: kinds(&["started", "unknown"]), scopes: vec![scope("loop~3/build")] };
    let none = EventFilter { kinds: kinds(&["unknown"]), scopes: vec![] };
    let whole = read_by(log, "a", 100).await;
    for (filter, count) in [(started, 10), (of_build, 15), (both, 5), (none, 0), (EventFilter::default(), 30)]
    {
        let taken: Vec<_> = whole.iter().filter(|event| filter.matches(&event.kind, &event.scope)).collect();
        assert_eq!(taken.len(), count, "{filter:?}");
        for limit in [1, 4, 100] {
            let mut found = Vec::new();
            loop {
                let at = found.last().map_or(Seq(0), |last: &Recorded| last.seq);
                let read = log.read_matching(&topic("a"), at, Direction::Forward, limit, &filter);
                let page = read.await.unwrap();
                assert_eq!(page.head, Seq(30));
                if page.events.is_empty() {
                    break;
                }
                found.extend(page.events);
            }
            assert!(found.iter().eq(taken.iter().copied()), "{filter:?} by {limit}");
        }
        let last =
            log.read_matching(&topic("a"), Seq(u64::MAX), Direction::Backward, 3, &filter).await.unwrap();
        assert!(last.events.iter().eq(taken.iter().rev().take(3).copied()), "{filter:?} backwards");
    }
}

pub(crate) async fn l4_what_is_not_there_is_empty_and_backwards_is_forwards_reversed(store: Fixture) {
    let log = store.log.as_ref();
    let empty = log.read(&topic("nowhere"), Seq(0), Direction::Forward, 10).await.unwrap();
    assert_eq!((empty.events.len(), empty.head, empty.gap), (0, Seq(0), None));
    append(log, "a", &["1", "2", "3", "4", "5"]);
    for (at, limit, expected) in
        [(u64::MAX, 2, vec![5, 4]), (5, 3, vec![4, 3, 2]), (3, 9, vec![2, 1]), (1, 9, vec![])]
    {
        let page = log.read(&topic("a"), Seq(at), Direction::Backward, limit).await.unwrap();
        assert_eq!(numbers(&page.events), expected, "before {at}");
    }
    let behind = log.read(&topic("a"), Seq(u64::MAX), Direction::Forward, 9).await.unwrap();
    assert_eq!((behind.events.len(), behind.head), (0, Seq(5)));
}

pub(crate) async fn l21_no_page_ends_inside_a_batch(store: Fixture) {
    let log = store.log.as_ref();
    let sizes = [1, 4, 2, 1, 6, 3];
    let mut ends = Vec::new();
    for size in sizes {
        ends.push(append(log, "a", &vec!["x"; size]).topics[0].last.0);
    }
    let whole = read_by(log, "a", 1_000).await;
    let told: Vec<_> = whole.iter().filter(|event| !event.more).map(|event| event.seq.0).collect();
    assert_eq!(told, ends);
    for limit in 1..=18 {
        let mut after = Seq(0);
        while after < Seq(17) {
            let page = log.read(&topic("a"), after, Direction::Forward, limit).await.unwrap();
            after = page.events.last().unwrap().seq;
            assert!(ends.contains(&after.0), "a page of {limit} ends at {after}");
            assert!(page.events.len() <= limit.max(6), "a page of {limit} has {}", page.events.len());
        }
    }
}

pub(crate) async fn reads_that_nobody_waits_for_hold_no_other_up(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1"]);
    for _ in 0..10 {
        let all: Vec<_> =
            (0..100).map(|_| log.read(&topic("a"), Seq(0), Direction::Forward, 10).now_or_never()).collect();
        drop(all);
        assert_eq!(numbers(&read_by(log, "a", 10).await), [1]);
    }
}
