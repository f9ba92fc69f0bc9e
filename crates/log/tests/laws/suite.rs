//! The laws that every store keeps.

use std::sync::Arc;
use std::time::Duration;

use backstay_log::{
    AppendError, Authority, Batch, ClaimError, ClaimMode, Cursor, CursorError, Direction, EntryIndex,
    EventFilter, Log, Measure, NewEvent, Precondition, ReadError, TopicAppend, TopicFilter, TopicIndex,
    TopicTransition,
};
use backstay_model::event::{ClaimReason, Event};
use backstay_model::{Delivery, Epoch, Kind, Payload, Position, Recorded, Scope, Seq, Timestamp};
use proptest::prelude::*;

use crate::support::{
    Fixture, all_tests, append, batch, buffered, event, events, numbers, owner, read_by, texts, topic,
};

/// Runs every law of this file against the store that `$fixture` makes.
macro_rules! laws {
    ($fixture:path) => {
        laws!($fixture;
            l2_numbers_are_dense_from_one_and_go_on,
            l3_any_page_size_gives_the_same_sequence,
            l3_a_filter_takes_kinds_and_scopes,
            l4_what_is_not_there_is_empty_and_backwards_is_forwards_reversed,
            l5_a_batch_is_there_whole_or_not_at_all,
            l6_a_stale_writer_is_refused_with_the_actual_head,
            l6_an_old_epoch_is_refused_also_when_the_numbers_fit,
            l8_the_same_key_gives_the_first_numbers,
            l8_the_key_is_looked_up_before_everything_else,
            l9_a_subscriber_gets_every_event_once_while_sixteen_write,
            l10_a_slow_subscriber_gets_all_of_it,
            l12_a_cursor_of_elsewhere_or_ahead_is_its_own_error,
            l12_a_cursor_leads_back_to_where_it_was_taken,
            l14_live_events_never_change_a_number,
            l14_a_live_event_comes_between_the_events_it_was_said_between,
            l14_positions_of_dropped_live_events_are_not_drawn_again,
            l14_what_was_said_before_the_cursor_is_not_said_again,
            l15_a_claim_takes_what_is_free_and_fences_who_had_it,
            l20_what_was_said_stops_a_park,
            l20_a_thousand_inputs_refuse_no_owner,
            l20_an_inbox_has_an_end,
            l21_no_page_ends_inside_a_batch,
            inputs_wake_and_an_ended_topic_takes_none,
            rows_are_found_by_kind_state_and_time,
            times_never_go_back,
            limits_are_typed_errors,
        );
    };
    ($fixture:path; $($law:ident,)*) => {
        $(#[tokio::test]
        async fn $law() {
            crate::suite::$law($fixture()).await;
        })*
    };
}

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
    let all = log.read_all(Position(0), 1_000).await.unwrap();
    assert_eq!(all, whole);
}

pub(crate) async fn l3_a_filter_takes_kinds_and_scopes(store: Fixture) {
    let log = store.log.as_ref();
    let scope = |step: &str| -> Scope { step.parse().unwrap() };
    for number in 0..30_u64 {
        let kind = Kind::new(if number % 3 == 0 { "started" } else { "finished" });
        let scope = if number % 2 == 0 { Scope::Run } else { scope("build@loop~3") };
        let made = NewEvent { kind, scope, ..event(&number.to_string()) };
        for name in ["a", "b"] {
            log.submit(Batch::of(TopicAppend::new(topic(name), Authority::Exclusive, vec![made.clone()])))
                .wait()
                .unwrap();
        }
    }
    let kinds = |names: &[&'static str]| names.iter().map(|name| Kind::new(name)).collect::<Vec<_>>();
    let started = EventFilter { kinds: kinds(&["started"]), scopes: vec![] };
    let of_build = EventFilter { kinds: vec![], scopes: vec![scope("build@loop~3")] };
    let both = EventFilter { kinds: kinds(&["started", "unknown"]), scopes: vec![scope("build@loop~3")] };
    let none = EventFilter { kinds: kinds(&["unknown"]), scopes: vec![] };
    let whole = read_by(log, "a", 100).await;
    for (filter, count) in [(started, 10), (of_build, 15), (both, 5), (none, 0), (EventFilter::default(), 30)]
    {
        let taken: Vec<_> = whole.iter().filter(|event| filter.takes(&event.kind, &event.scope)).collect();
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

pub(crate) async fn l5_a_batch_is_there_whole_or_not_at_all(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "b", &["x"]);
    let stale = TopicAppend {
        preconditions: vec![Precondition::Exactly(Seq(0))],
        ..TopicAppend::new(topic("b"), Authority::Exclusive, events(&["late"]))
    };
    let appends = vec![TopicAppend::new(topic("a"), Authority::Exclusive, events(&["1", "2"])), stale];
    let refused = log.submit(Batch { appends, ..batch("a", Authority::Exclusive, &[]) }).wait();
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(0));
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert_eq!(log.head(&topic("b")).await.unwrap(), Seq(1));
    let appends = vec![
        TopicAppend::new(topic("a"), Authority::Exclusive, events(&["1", "2"])),
        TopicAppend::new(topic("b"), Authority::Exclusive, events(&["3"])),
    ];
    let appended = log.submit(Batch { appends, ..batch("a", Authority::Exclusive, &[]) }).wait().unwrap();
    let numbered: Vec<_> = appended.topics.iter().map(|append| (append.first.0, append.last.0)).collect();
    assert_eq!(numbered, [(1, 2), (2, 2)]);
    assert_eq!(texts(&log.read_all(Position(0), 9).await.unwrap()), ["x", "1", "2", "3"]);
}

pub(crate) async fn l6_a_stale_writer_is_refused_with_the_actual_head(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1", "2"]);
    let at = |seq| {
        let append = TopicAppend::new(topic("a"), Authority::Exclusive, events(&["x"]));
        Batch::of(TopicAppend { preconditions: vec![Precondition::Exactly(Seq(seq))], ..append })
    };
    let refused = log.submit(at(1)).wait();
    let (expected, actual) = (Seq(1), Seq(2));
    assert!(
        matches!(&refused, Err(AppendError::Conflict { expected: e, actual: a, .. }) if (*e, *a) == (expected, actual)),
        "{refused:?}"
    );
    assert_eq!(log.submit(at(2)).wait().unwrap().topics[0].first, Seq(3));
}

pub(crate) async fn l6_an_old_epoch_is_refused_also_when_the_numbers_fit(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.register_owner(owner('A')).await.unwrap();
    let second = log.register_owner(owner('B')).await.unwrap();
    let old = log.claim(&topic("a"), first.as_ref(), ClaimMode::Fair, false).await.unwrap();
    assert_eq!((old.epoch, old.head, old.reason), (Epoch(1), Seq(1), ClaimReason::Unowned));
    let new = log.claim(&topic("a"), second.as_ref(), ClaimMode::TakeOver, false).await.unwrap();
    assert_eq!((new.epoch, new.head, new.reason), (Epoch(2), Seq(2), ClaimReason::TakenOver));
    assert_eq!(new.event.previous, Some(owner('A').owner));
    let late = TopicAppend {
        preconditions: vec![Precondition::Exactly(Seq(2))],
        ..TopicAppend::new(topic("a"), Authority::Owner(owner('A').owner, Epoch(1)), events(&["late"]))
    };
    let refused = log.submit(Batch::of(late)).wait();
    assert!(
        matches!(&refused, Err(AppendError::Fenced { current: Epoch(2), owner: Some(now), .. }) if *now == owner('B').owner),
        "{refused:?}"
    );
    log.submit(batch("a", Authority::Owner(owner('B').owner, Epoch(2)), &["mine"])).wait().unwrap();
    let embedder = log.submit(batch("a", Authority::Exclusive, &["x"])).wait();
    assert!(matches!(embedder, Err(AppendError::Owned { current: Epoch(2), .. })), "{embedder:?}");
    let claim = read_by(log, "a", 10).await.swap_remove(1);
    assert_eq!(Event::decode(&claim).unwrap(), Event::OwnerChanged(new.event));
}

fn keyed(name: &str, key: &str, texts: &[&str]) -> Batch {
    Batch { key: Some(key.to_owned()), ..batch(name, Authority::Exclusive, texts) }
}

pub(crate) async fn l8_the_same_key_gives_the_first_numbers(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.submit(keyed("a", "k", &["1", "2"])).wait().unwrap();
    append(log, "a", &["between"]);
    let again = log.submit(keyed("a", "k", &["1", "2"])).wait().unwrap();
    assert_eq!((again.topics, again.g, again.repeated), (first.topics, first.g, true));
    let other = log.submit(keyed("a", "k", &["1", "3"])).wait();
    assert!(matches!(&other, Err(AppendError::KeyConflict { key, .. }) if key == "k"), "{other:?}");
    assert!(!log.submit(keyed("b", "k", &["1", "2"])).wait().unwrap().repeated);
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(3));
}

pub(crate) async fn l8_the_key_is_looked_up_before_everything_else(store: Fixture) {
    let log = store.log.as_ref();
    let mut last = keyed("a", "end", &["end"]);
    last.appends[0].preconditions = vec![Precondition::Exactly(Seq(0))];
    last.appends[0].transition = TopicTransition::Closed;
    log.submit(last.clone()).wait().unwrap();
    let again = log.submit(last).wait().unwrap();
    assert!(again.repeated);
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(1));
}

/// Appends `each` events by each of sixteen writers to the topic `a`, and gives their threads.
fn sixteen_writers(log: &Arc<dyn Log>, each: usize) -> Vec<std::thread::JoinHandle<()>> {
    (0..16)
        .map(|writer| {
            let log = log.clone();
            std::thread::spawn(move || {
                let mut tickets = std::collections::VecDeque::new();
                for number in 0..each {
                    let text = format!("{writer}.{number}");
                    tickets.push_back(log.submit(buffered(batch("a", Authority::Exclusive, &[&text]))));
                    if tickets.len() > 32 {
                        tickets.pop_front().unwrap().wait().unwrap();
                    }
                }
                tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
            })
        })
        .collect()
}

pub(crate) async fn l9_a_subscriber_gets_every_event_once_while_sixteen_write(store: Fixture) {
    let each = if all_tests() { 10_000 } else { 1_500 };
    let writers = sixteen_writers(&store.log, each);
    let mut subscription = store.log.follow(&topic("a"), Seq(0));
    let mut next_of = [0_usize; 16];
    for expected in 1..=(16 * each) as u64 {
        let Delivery::Event(event) = subscription.next().await.unwrap() else { panic!("not an event") };
        assert_eq!(event.seq, Seq(expected));
        let text: String = event.payload.decode().unwrap();
        let (writer, number) = text.split_once('.').unwrap();
        let writer: usize = writer.parse().unwrap();
        assert_eq!(number.parse(), Ok(next_of[writer]), "events of writer {writer}");
        next_of[writer] += 1;
    }
    assert_eq!(subscription.try_next().await.unwrap(), None);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

pub(crate) async fn l10_a_slow_subscriber_gets_all_of_it(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["0"]);
    let mut subscription = log.follow(&topic("a"), Seq(0));
    assert!(matches!(subscription.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(1)));
    for number in 1..=2_000 {
        // Nobody reads meanwhile; each of these would wait for ever if a subscriber could hold a writer up.
        log.submit(buffered(batch("a", Authority::Exclusive, &[&number.to_string()]))).await.unwrap();
    }
    for number in 1..=2_000_u64 {
        let Delivery::Event(event) = subscription.next().await.unwrap() else { panic!("not an event") };
        assert_eq!((event.seq.0, event.payload.as_str()), (number + 1, format!("\"{number}\"").as_str()));
    }
    assert_eq!(subscription.try_next().await.unwrap(), None);
}

pub(crate) async fn l12_a_cursor_of_elsewhere_or_ahead_is_its_own_error(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1", "2"]);
    append(log, "b", &["1"]);
    let other = Fixture::memory();
    append(other.log.as_ref(), "a", &["1"]);
    let elsewhere = other.log.cursor(&topic("a"), Seq(1)).await.unwrap();
    let of_b = log.cursor(&topic("b"), Seq(1)).await.unwrap();
    for (cursor, wanted) in [(&elsewhere, "WrongLog"), (&of_b, "WrongTopic")] {
        let read = log.resolve(&topic("a"), cursor).await.unwrap_err();
        let subscribed = log.subscribe(&topic("a"), cursor).unwrap_err();
        for error in [read, subscribed] {
            assert!(format!("{error:?}").contains(wanted), "{error:?} is not {wanted}");
        }
    }
    assert!(matches!("cur1~garbage".parse::<Cursor>(), Err(CursorError::Malformed { .. })));
    let ahead = log.cursor(&topic("a"), Seq(3)).await;
    assert!(
        matches!(&ahead, Err(ReadError::Cursor(CursorError::Ahead { seq: Seq(3), head: Seq(2), .. }))),
        "{ahead:?}"
    );
}

pub(crate) async fn l12_a_cursor_leads_back_to_where_it_was_taken(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1", "2", "3"]);
    let mut subscription = log.follow(&topic("a"), Seq(0));
    subscription.next().await.unwrap();
    let text = subscription.cursor().unwrap().to_string();
    let cursor: Cursor = text.parse().unwrap();
    assert_eq!(cursor, log.cursor(&topic("a"), Seq(1)).await.unwrap());
    assert_eq!(log.resolve(&topic("a"), &cursor).await.unwrap(), Seq(1));
    let mut again = log.subscribe(&topic("a"), &cursor).unwrap();
    assert!(matches!(again.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(2)));
}

pub(crate) async fn l14_live_events_never_change_a_number(store: Fixture) {
    let log = store.log.as_ref();
    log.submit_live(topic("a"), event("to nobody"));
    append(log, "a", &["1"]);
    log.submit_live(topic("a"), event("half"));
    let mut whole = batch("a", Authority::Exclusive, &["whole"]);
    whole.appends[0].live_done = vec![Scope::Run];
    assert_eq!(log.submit(whole).wait().unwrap().topics[0].first, Seq(2));
    assert_eq!(texts(&read_by(log, "a", 10).await), ["1", "whole"]);
    let mut subscription = log.follow(&topic("a"), Seq(0));
    for expected in ["1", "whole"] {
        let delivery = subscription.next().await.unwrap();
        assert!(
            matches!(&delivery, Delivery::Event(event) if event.payload.decode::<String>().unwrap() == expected),
            "{delivery:?}"
        );
    }
    assert_eq!(subscription.try_next().await.unwrap(), None);
}

pub(crate) async fn l14_a_live_event_comes_between_the_events_it_was_said_between(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1"]);
    let mut subscription = log.follow(&topic("a"), Seq(0));
    log.submit_live(topic("a"), event("live 1"));
    append(log, "a", &["2"]);
    log.submit_live(topic("a"), event("live 2"));
    log.submit_live(topic("b"), event("of another topic"));
    let mut seen = Vec::new();
    let mut last = Position(0);
    while seen.len() < 4 {
        let (text, g) = match subscription.next().await.unwrap() {
            Delivery::Event(event) => (event.payload, event.g),
            Delivery::Live(live) => (live.payload, live.g),
            Delivery::Gap(gap) => panic!("a gap: {gap:?}"),
        };
        assert!(g > last, "{g} comes after {last}");
        last = g;
        seen.push(text.decode::<String>().unwrap());
    }
    assert_eq!(seen, ["1", "live 1", "2", "live 2"]);
    append(log, "a", &["3"]);
    assert!(matches!(subscription.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(3)));
}

pub(crate) async fn l14_positions_of_dropped_live_events_are_not_drawn_again(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1"]);
    let mut subscription = log.follow(&topic("a"), Seq(1));
    for text in ["live 1", "live 2"] {
        log.submit_live(topic("a"), event(text));
        let delivery = tokio::time::timeout(TIMEOUT, subscription.next()).await.unwrap().unwrap();
        assert!(
            matches!(&delivery, Delivery::Live(live) if live.payload.decode::<String>().unwrap() == text),
            "{delivery:?}"
        );
        let mut done = batch("a", Authority::Exclusive, &[]);
        done.appends[0].live_done = vec![Scope::Run];
        log.submit(done).wait().unwrap();
    }
}

pub(crate) async fn l14_what_was_said_before_the_cursor_is_not_said_again(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1"]);
    log.submit_live(topic("a"), event("early"));
    append(log, "a", &["2"]);
    let mut subscription = log.follow(&topic("a"), Seq(2));
    assert_eq!(subscription.try_next().await.unwrap(), None);
    log.submit_live(topic("a"), event("late"));
    let delivery = tokio::time::timeout(TIMEOUT, subscription.next()).await.unwrap().unwrap();
    assert!(matches!(&delivery, Delivery::Live(live) if live.payload.as_str() == "\"late\""), "{delivery:?}");
}

pub(crate) async fn l15_a_claim_takes_what_is_free_and_fences_who_had_it(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.register_owner(owner('A')).await.unwrap();
    let second = log.register_owner(owner('B')).await.unwrap();
    let claimed = log.claim(&topic("a"), first.as_ref(), ClaimMode::Fair, false).await.unwrap();
    let refused = log.claim(&topic("a"), second.as_ref(), ClaimMode::Fair, false).await;
    assert!(
        matches!(&refused, Err(ClaimError::Owned { owner: who, .. }) if who.identity == owner('A') && who.alive),
        "{refused:?}"
    );
    assert_eq!(claimed.event.last_sign, None, "it had no owner before");
    log.submit_live(topic("a"), event("a sign of life"));
    let mut live = log.follow(&topic("a"), claimed.head);
    let sign = loop {
        if let Delivery::Live(live) = live.next().await.unwrap() {
            break live;
        }
    };
    drop(first);
    let row = log.topic(&topic("a")).await.unwrap().unwrap();
    assert!(!row.owner.unwrap().alive);
    let taken = log.claim(&topic("a"), second.as_ref(), ClaimMode::Fair, false).await.unwrap();
    assert_eq!((taken.epoch, taken.reason), (claimed.epoch.next(), ClaimReason::OwnerDead));
    assert_eq!(taken.event.last_sign, Some(sign.at), "its owner lived until then");
    let late = log.submit(batch("a", Authority::Owner(owner('A').owner, claimed.epoch), &["late"])).wait();
    assert!(matches!(late, Err(AppendError::Fenced { .. })), "{late:?}");
    let mut release = batch("a", Authority::Owner(owner('B').owner, taken.epoch), &["bye"]);
    release.appends[0].transition = TopicTransition::Released;
    log.submit(release).wait().unwrap();
    assert_eq!(log.topic(&topic("a")).await.unwrap().unwrap().owner, None);
    let again = log.claim(&topic("a"), second.as_ref(), ClaimMode::Fair, false).await.unwrap();
    assert_eq!((again.epoch, again.reason, again.event.previous), (Epoch(3), ClaimReason::Unowned, None));
}

pub(crate) async fn l20_what_was_said_stops_a_park(store: Fixture) {
    let log = store.log.as_ref();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let me = owner('A').owner;
    // Every interleaving of one park with two inputs: the owner has seen `seen` of them when it parks.
    for (name, before, seen, after) in
        [("a", 0, 0, 2), ("b", 1, 0, 1), ("c", 1, 1, 1), ("d", 2, 0, 0), ("e", 2, 1, 0), ("f", 2, 2, 0)]
    {
        let epoch = log.claim(&topic(name), guard.as_ref(), ClaimMode::Fair, false).await.unwrap().epoch;
        let say = || log.submit(batch(name, Authority::Input, &["said"])).wait().unwrap();
        (0..before).for_each(|_| drop(say()));
        let park = |seen: u64| {
            let append = TopicAppend::new(topic(name), Authority::Owner(me, epoch), events(&["parked"]));
            Batch::of(TopicAppend {
                preconditions: vec![Precondition::NoInputAfter(Seq(1 + seen))],
                transition: TopicTransition::Released,
                index: Some(row("run", "waiting", None)),
                ..append
            })
        };
        let parked = log.submit(park(seen)).wait();
        if before == seen {
            parked.unwrap();
        } else {
            assert!(
                matches!(parked, Err(AppendError::NewerInput { input, .. }) if input == Seq(1 + before)),
                "{name}: {parked:?}"
            );
            log.submit(park(before)).wait().unwrap();
        }
        (0..after).for_each(|_| drop(say()));
        let woken = log.topic(&topic(name)).await.unwrap().unwrap().index.unwrap().wake_at.is_some();
        assert_eq!(woken, after > 0, "{name}: what was said after the park wakes");
    }
}

pub(crate) async fn l20_a_thousand_inputs_refuse_no_owner(store: Fixture) {
    let log = store.log.clone();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let epoch = log.claim(&topic("a"), guard.as_ref(), ClaimMode::Fair, false).await.unwrap().epoch;
    let said = {
        let log = log.clone();
        std::thread::spawn(move || {
            let tickets: Vec<_> =
                (0..1_000).map(|_| log.submit(batch("a", Authority::Input, &["said"]))).collect();
            tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
        })
    };
    let mut subscription = log.follow(&topic("a"), Seq(1));
    let mut settled = 0;
    while settled < 1_000 {
        let Delivery::Event(event) = subscription.next().await.unwrap() else { panic!("not an event") };
        if event.payload.as_str() == "\"said\"" {
            let verdict = batch("a", Authority::Owner(owner('A').owner, epoch), &["settled"]);
            log.submit(buffered(verdict)).await.unwrap();
            settled += 1;
        }
    }
    said.join().unwrap();
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(2_001));
}

pub(crate) async fn l20_an_inbox_has_an_end(store: Fixture) {
    let log = store.log.as_ref();
    let said: Vec<_> = std::iter::repeat_n("x", 1_000).collect();
    for _ in 0..10 {
        log.submit(buffered(batch("a", Authority::Input, &said))).wait().unwrap();
    }
    let refused = log.submit(batch("a", Authority::Input, &["one more"])).wait();
    assert!(matches!(refused, Err(AppendError::InboxFull { .. })), "{refused:?}");
    append(log, "a", &["a fact"]);
    log.submit(batch("a", Authority::Input, &["one more"])).wait().unwrap();
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

fn row(kind: &str, state: &str, wake_at: Option<i64>) -> TopicIndex {
    TopicIndex {
        kind: kind.to_owned(),
        state: state.to_owned(),
        labels: vec![("workflow".to_owned(), "report".to_owned())],
        wake_at: wake_at.map(Timestamp::from_micros),
        summary: Payload::encode(&"s").unwrap(),
    }
}

pub(crate) async fn inputs_wake_and_an_ended_topic_takes_none(store: Fixture) {
    let log = store.log.as_ref();
    store.clock.set(7);
    let mut requested = batch("a", Authority::Input, &["requested"]);
    requested.appends[0].index = Some(row("run", "queued", None));
    log.submit(requested).wait().unwrap();
    let found = log.topic(&topic("a")).await.unwrap().unwrap();
    assert_eq!(found.index, Some(row("run", "queued", Some(7))));
    let early = log.submit(batch("a", Authority::Reopen, &["again"])).wait();
    assert!(matches!(early, Err(AppendError::NotClosed { .. })), "{early:?}");
    let guard = log.register_owner(owner('A')).await.unwrap();
    let epoch = log.claim(&topic("a"), guard.as_ref(), ClaimMode::Fair, false).await.unwrap().epoch;
    let mut end = batch("a", Authority::Owner(owner('A').owner, epoch), &["end"]);
    end.appends[0].transition = TopicTransition::Closed;
    log.submit(end).wait().unwrap();
    let late = log.submit(batch("a", Authority::Input, &["late"])).wait();
    assert!(matches!(late, Err(AppendError::Closed { .. })), "{late:?}");
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::TakeOver, false).await;
    assert!(matches!(claimed, Err(ClaimError::Closed { .. })), "{claimed:?}");
    log.submit(batch("a", Authority::Reopen, &["again"])).wait().unwrap();
    let again = log.claim(&topic("a"), guard.as_ref(), ClaimMode::Fair, false).await.unwrap();
    assert_eq!(again.epoch, epoch.next());
}

pub(crate) async fn rows_are_found_by_kind_state_and_time(store: Fixture) {
    let log = store.log.as_ref();
    for (name, kind, wake_at) in [("a", "run", Some(10)), ("b", "run", Some(30)), ("c", "session", None)] {
        let mut made = batch(name, Authority::Exclusive, &["x"]);
        made.appends[0].index = Some(row(kind, "open", wake_at));
        made.appends[0].entries = vec![EntryIndex {
            kind: "question".to_owned(),
            id: format!("q-{name}"),
            state: if name == "a" { "answered" } else { "open" }.to_owned(),
            due_at: None,
            summary: Payload::encode(&"s").unwrap(),
        }];
        log.submit(made).wait().unwrap();
    }
    let append = TopicAppend {
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic("b"), Authority::Exclusive, events(&["end"]))
    };
    log.submit(Batch::of(append)).wait().unwrap();
    let run = || Some("run".to_owned());
    for (filter, expected) in [
        (TopicFilter::default(), vec!["c", "b", "a"]),
        (TopicFilter { kind: run(), ..TopicFilter::default() }, vec!["b", "a"]),
        (TopicFilter { open_only: true, kind: run(), ..TopicFilter::default() }, vec!["a"]),
        (TopicFilter { due_by: Some(Timestamp::from_micros(10)), ..TopicFilter::default() }, vec!["a"]),
        (TopicFilter { limit: 1, ..TopicFilter::default() }, vec!["c"]),
    ] {
        let found = log.topics(filter.clone()).await.unwrap();
        let names: Vec<_> = found.iter().map(|row| row.topic.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
    }
    let open = log.entries("question", Some("open")).await.unwrap();
    assert_eq!(open.iter().map(|row| row.entry.id.as_str()).collect::<Vec<_>>(), ["q-b", "q-c"]);
    assert_eq!(log.entries("question", None).await.unwrap().len(), 3);
}

pub(crate) async fn times_never_go_back(store: Fixture) {
    let log = store.log.as_ref();
    for (now, expected) in [(100, 100), (40, 100), (101, 101)] {
        store.clock.set(now);
        assert_eq!(append(log, "a", &["x"]).topics[0].at, Timestamp::from_micros(expected), "at {now}");
    }
    let times: Vec<_> = read_by(log, "a", 10).await.iter().map(|event| event.at.as_micros()).collect();
    assert_eq!(times, [100, 100, 101]);
}

pub(crate) async fn limits_are_typed_errors(store: Fixture) {
    let log = store.log.as_ref();
    let large = "x".repeat(64 * 1024);
    let many = vec!["x"; 1_001];
    let heavy_text = "x".repeat(60 * 1024);
    let heavy = vec![heavy_text.as_str(); 18];
    for (texts, measure) in [
        (&[large.as_str()][..], Measure::PayloadBytes),
        (&many[..], Measure::BatchEvents),
        (&heavy[..], Measure::BatchBytes),
    ] {
        let refused = log.submit(batch("a", Authority::Exclusive, texts)).wait();
        assert!(
            matches!(&refused, Err(AppendError::TooLarge { measure: what, .. }) if *what == measure),
            "{refused:?} is not {measure:?}"
        );
    }
    let long_key = log.submit(keyed("a", &"k".repeat(201), &["x"])).wait();
    assert!(
        matches!(long_key, Err(AppendError::TooLarge { measure: Measure::KeyChars, .. })),
        "{long_key:?}"
    );
    let twice = Batch {
        appends: vec![
            TopicAppend::new(topic("a"), Authority::Exclusive, events(&["1"])),
            TopicAppend::new(topic("a"), Authority::Exclusive, events(&["2"])),
        ],
        ..batch("a", Authority::Exclusive, &[])
    };
    assert!(matches!(log.submit(twice).wait(), Err(AppendError::Invalid(_))));
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(0));
}

/// How long a property may take in all: each case makes its own store.
const MODEL_CASES: u32 = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: MODEL_CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// Both stores answer any sequence of appends alike.
    #[test]
    fn the_stores_answer_alike(steps in proptest::collection::vec((0_u8..6, 0_usize..3, 0_u64..6, 0_usize..4), 1..40)) {
        let stores = [Fixture::memory(), Fixture::sqlite()];
        for (number, (what, of, seq, size)) in steps.into_iter().enumerate() {
            stores.iter().for_each(|store| store.clock.set(number as i64));
            let name = ["a", "b", "c"][of];
            let told = stores.each_ref().map(|store| {
                let answer = store.log.submit(any_batch(name, what, seq, size)).wait();
                format!("{answer:?}")
            });
            prop_assert_eq!(&told[0], &told[1]);
        }
    }
}

fn any_batch(name: &str, what: u8, seq: u64, size: usize) -> Batch {
    let texts = vec!["x"; size];
    let mut made = batch(name, Authority::Exclusive, &texts);
    match what {
        0 => {}
        1 => made.appends[0].authority = Authority::Input,
        2 => made.appends[0].preconditions = vec![Precondition::Exactly(Seq(seq))],
        3 => made.appends[0].preconditions = vec![Precondition::NoInputAfter(Seq(seq))],
        4 => made.key = Some(format!("k{seq}")),
        _ if seq == 0 => made.appends[0].transition = TopicTransition::Closed,
        _ => made.appends[0].authority = Authority::Reopen,
    }
    buffered(made)
}

/// A bound for what must not hang; it is never waited for when all is well.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
