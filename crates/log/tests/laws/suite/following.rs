//! Following a topic: subscriptions, cursors, live events.

use std::sync::Arc;

use backstay_log::{Authority, Cursor, CursorError, Log, ReadError};
use backstay_model::{Delivery, Position, Scope, Seq};

use super::TIMEOUT;
use crate::support::{Fixture, all_tests, append, batch, buffered, event, read_by, texts, topic};

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
    whole.appends[0].live_done = vec![Scope::root()];
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
        done.appends[0].live_done = vec![Scope::root()];
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
