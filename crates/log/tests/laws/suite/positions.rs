//! Positions: opaque, with gaps; the readable horizon; incarnations.

use std::sync::Arc;
use std::thread::JoinHandle;

use backstay_log::{Authority, Log};
use backstay_model::{Position, Recorded, Seq};

use super::TIMEOUT;
use crate::support::{Fixture, append, batch, buffered, numbers, read_all_until, read_by, texts, topic};

pub(crate) async fn l13_positions_rise_and_every_one_can_be_read_on_from(store: Fixture) {
    let log = store.log.as_ref();
    let mut newest = Position(0);
    for round in 0..20 {
        newest = newest.max(append(log, "a", &["1", "2"]).g);
        if round % 3 == 0 {
            newest = append(log, "b", &["3"]).g;
        }
    }
    let all = read_all_until(log, newest).await;
    assert_eq!(all.len(), 47);
    assert!(all.is_sorted_by_key(|event| event.g) && all.windows(2).all(|two| two[0].g != two[1].g));
    for name in ["a", "b"] {
        let of_topic: Vec<Recorded> =
            all.iter().filter(|event| event.topic == topic(name)).cloned().collect();
        assert_eq!(of_topic, read_by(log, name, 7).await);
    }
    for at in (0..all.len()).filter(|at| !all[*at].more) {
        assert_eq!(log.read_all(all[at].g, 1_000).await.unwrap(), all[at + 1..], "behind {}", all[at].g);
        let cursor = log.cursor(&all[at].topic, all[at].seq).await.unwrap();
        assert_eq!(log.resolve(&all[at].topic, &cursor).await.unwrap(), all[at].seq);
    }
}

fn writers(log: &Arc<dyn Log>) -> Vec<JoinHandle<Position>> {
    ["a", "b", "c", "d"]
        .map(|name| {
            let log = log.clone();
            std::thread::spawn(move || {
                let mut last = Position(0);
                for number in 0..200 {
                    let texts = vec!["x"; 1 + number % 3];
                    let appended = log.submit(buffered(batch(name, Authority::Exclusive, &texts))).wait();
                    last = appended.unwrap().g;
                }
                last
            })
        })
        .into()
}

pub(crate) async fn l13_nothing_is_added_at_or_below_the_readable_horizon(store: Fixture) {
    let log = store.log.as_ref();
    let writers = writers(&store.log);
    let (mut seen, mut horizon) = (Vec::<Recorded>::new(), Position(0));
    while !writers.iter().all(JoinHandle::is_finished) {
        // Whoever reads up to each horizon as it is told, and never looks back, misses nothing.
        let Ok(next) = tokio::time::timeout(TIMEOUT, log.changed(horizon)).await else { break };
        assert!(next > horizon, "{next} after {horizon}");
        horizon = next;
        loop {
            let after = seen.last().map_or(Position(0), |last| last.g);
            let page = log.read_all(after, 100).await.unwrap();
            let more = page.last().is_some_and(|last| last.g < horizon);
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert!(seen.last().is_some_and(|last| last.g >= horizon), "all up to the horizon can be read");
    }
    let newest = writers.into_iter().map(|writer| writer.join().unwrap()).max().unwrap();
    while horizon < newest {
        horizon = tokio::time::timeout(TIMEOUT, log.changed(horizon)).await.unwrap();
    }
    let mut all: Vec<Recorded> = Vec::new();
    while let Some(after) = Some(all.last().map_or(Position(0), |last| last.g)).filter(|at| *at < newest) {
        all.extend(log.read_all(after, 1_000).await.unwrap());
    }
    let missed = seen.last().map_or(Position(0), |last| last.g);
    seen.extend(all.iter().filter(|event| event.g > missed).cloned());
    assert!(seen == all, "{} events were seen, there are {}", seen.len(), all.len());
}

pub(crate) async fn l13_what_was_acknowledged_is_readable_by_topic_at_once_and_in_all_at_its_horizon(
    store: Fixture,
) {
    let log = store.log.as_ref();
    let mut horizon = Position(0);
    for number in 1..=20 {
        let appended = append(log, "a", &["x"]);
        assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(number));
        // Whether the horizon lags is the store's affair; waiting for it is enough.
        while horizon < appended.g {
            horizon = tokio::time::timeout(TIMEOUT, log.changed(horizon)).await.unwrap();
        }
        let all = log.read_all(Position(0), 1_000).await.unwrap();
        assert_eq!(numbers(&all), (1..=number).collect::<Vec<_>>());
        assert_eq!(all.last().unwrap().g, appended.g);
    }
}

pub(crate) async fn what_one_hands_over_keeps_its_order_in_each_topic(store: Fixture) {
    let log = store.log.as_ref();
    let handed: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let tickets: Vec<_> = handed
        .iter()
        .enumerate()
        .map(|(number, text)| {
            log.submit(buffered(batch(["a", "b", "c"][number % 3], Authority::Exclusive, &[text])))
        })
        .collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    for (first, name) in ["a", "b", "c"].into_iter().enumerate() {
        let expected: Vec<_> = handed.iter().skip(first).step_by(3).cloned().collect();
        assert_eq!(texts(&read_by(log, name, 1_000).await), expected, "{name}");
    }
}

pub(crate) async fn an_incarnation_draws_positions_above_its_floor(store: Fixture) {
    let log = store.log.as_ref();
    let incarnation = log.incarnation().await.unwrap();
    assert!(incarnation.number >= 1 && incarnation.lost_after <= incarnation.floor, "{incarnation:?}");
    let appended = append(log, "a", &["1"]);
    assert!(appended.g > incarnation.floor);
    assert_eq!(log.incarnation().await.unwrap(), incarnation, "an append begins none");
    assert!(log.durable_position().await.unwrap() >= appended.g);
}
