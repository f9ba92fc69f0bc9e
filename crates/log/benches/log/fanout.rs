//! J4: one writer, many who follow: against tokio's `broadcast` of shared events, and from acknowledgement to receipt.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstay_log::prelude::*;
use backstay_log::{Authority, Batch, Durability, SharedDelivery, Ticket, TopicAppend};
use backstay_model::{Payload, Seq};
use tokio::sync::broadcast;

use crate::harness::{Outcome, Samples, Store, batch, event, median, now, payload_text};
use crate::jobs::Size;
use crate::table::{Bound, Row};

/// Events of one batch.
const BATCH: usize = 64;
/// Batches that the writer hands in before it waits for the first of them. The sender of a `broadcast` waits for nothing;
/// one that waits for each batch would be what is measured.
const IN_FLIGHT: usize = 4;
/// Events a second, for how long, to how many, where the way of one event is timed.
const PACE: Duration = Duration::from_millis(2);
const PACED: usize = 1_000;
const PACED_TO: usize = 100;

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Deliveries a second, of `events` events to `subscribers` each.
fn ours(events: usize, subscribers: usize) -> Outcome<f64> {
    let store = Store::new(1)?;
    let topic = store.topics[0].clone();
    let payload = Payload::from_text(payload_text())?;
    let log = Arc::clone(&store.log);
    let runtime = runtime()?;
    let follow = || {
        // Those of `broadcast` are live from the start too.
        let mut subscription = log.follow(&topic, Seq(0));
        if runtime.block_on(subscription.try_next())?.is_some() {
            return Err("there is history already".into());
        }
        Ok(async move {
            let mut expected = 1;
            while expected <= events as u64 {
                for delivery in subscription.next_chunk().await?.iter() {
                    if let SharedDelivery::Event(event) = delivery {
                        assert_eq!(event.seq, Seq(expected), "every event once and in order");
                        expected += 1;
                    }
                }
            }
            Outcome::Ok(())
        })
    };
    let followers = (0..subscribers).map(|_| follow()).collect::<Outcome<Vec<_>>>()?;
    let began = now();
    let writer = std::thread::spawn({
        let (log, topic) = (Arc::clone(&store.log), topic.clone());
        move || -> Outcome<()> {
            let mut in_flight = VecDeque::with_capacity(IN_FLIGHT);
            for _ in 0..events / BATCH {
                if in_flight.len() == IN_FLIGHT
                    && let Some(oldest) = in_flight.pop_front()
                {
                    Ticket::wait(oldest)?;
                }
                let append =
                    TopicAppend::new(topic.clone(), Authority::Exclusive, vec![event(&payload); BATCH]);
                in_flight
                    .push_back(log.submit(Batch { durability: Durability::Buffered, ..Batch::of(append) }));
            }
            in_flight.into_iter().try_for_each(|ticket| ticket.wait().map(|_| ()))?;
            Ok(())
        }
    });
    let ended = runtime.block_on(futures_util::future::join_all(followers));
    let took = began.elapsed();
    writer.join().map_err(|_panic| "the writer died")??;
    ended.into_iter().collect::<Outcome<Vec<()>>>()?;
    Ok((events * subscribers) as f64 / took.as_secs_f64())
}

fn peer(events: usize, subscribers: usize) -> Outcome<f64> {
    let (say, _) = broadcast::channel::<Arc<String>>(events.next_power_of_two());
    let runtime = runtime()?;
    let follow = || {
        let mut hear = say.subscribe();
        async move {
            for _ in 0..events {
                std::hint::black_box(hear.recv().await?);
            }
            Outcome::Ok(())
        }
    };
    let followers: Vec<_> = (0..subscribers).map(|_| follow()).collect();
    let began = now();
    let writer = std::thread::spawn({
        let say = say.clone();
        move || -> Outcome<()> {
            for _ in 0..events {
                say.send(Arc::new(payload_text()))?;
            }
            Ok(())
        }
    });
    let ended = runtime.block_on(futures_util::future::join_all(followers));
    let took = began.elapsed();
    writer.join().map_err(|_panic| "the writer died")??;
    ended.into_iter().collect::<Outcome<Vec<()>>>()?;
    Ok((events * subscribers) as f64 / took.as_secs_f64())
}

/// From the acknowledgement of a durable append to its receipt; receipt before it counts as none.
fn ways() -> Outcome<Samples> {
    let store = Store::new(1)?;
    let topic = store.topics[0].clone();
    let payload = Payload::from_text(payload_text())?;
    let acknowledged: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; PACED + 1]));
    let log = Arc::clone(&store.log);
    let runtime = runtime()?;
    let follow = || {
        let mut subscription = log.follow(&topic, Seq(0));
        async move {
            let mut received = Vec::with_capacity(PACED);
            while received.len() < PACED {
                if let SharedDelivery::Event(_) = subscription.next_shared().await? {
                    received.push(now());
                }
            }
            Outcome::Ok(received)
        }
    };
    let followers: Vec<_> = (0..PACED_TO).map(|_| follow()).collect();
    let writer = std::thread::spawn({
        let (log, acknowledged) = (Arc::clone(&store.log), Arc::clone(&acknowledged));
        move || -> Outcome<()> {
            let began = now();
            for number in 0..PACED {
                let due = began + PACE * u32::try_from(number)?;
                std::thread::park_timeout(due.saturating_duration_since(now()));
                log.submit(batch(&topic, &payload, Durability::Synced)).wait()?;
                let mut known = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                known[number] = Some(now());
            }
            Ok(())
        }
    });
    let received = runtime.block_on(futures_util::future::join_all(followers));
    writer.join().map_err(|_panic| "the writer died")??;
    let acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    let mut samples = Samples::default();
    for received in received.into_iter().collect::<Outcome<Vec<_>>>()? {
        let way = |(received, acknowledged): (&Instant, &Option<Instant>)| {
            acknowledged.map(|acknowledged| received.saturating_duration_since(acknowledged))
        };
        samples.times.extend(received.iter().zip(acknowledged.iter()).filter_map(way));
    }
    Ok(samples)
}

pub(crate) fn fan_out(size: Size) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for subscribers in [100, 1_000] {
        let events = (size.spread / subscribers / BATCH).max(1) * BATCH;
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            them.push(peer(events, subscribers)?);
            us.push(ours(events, subscribers)?);
        }
        let (us, them) = (median(&mut us), median(&mut them));
        rows.push(Row::plain_rate(format!("J4 broadcast to {subscribers}"), them));
        rows.push(
            Row::plain_rate(format!("J4 followed by {subscribers}"), us)
                .against(them)
                .goal(Some(Bound::AtLeast(1.5))),
        );
    }
    let ways = ways()?;
    let (p50, p99) = (ways.percentile_us(0.5), ways.percentile_us(0.99));
    rows.push(Row::time(format!("J4 from acknowledgement to receipt, {PACED_TO} × 500/s"), p50, p99));
    rows.push(Row::ratio("J4 p99 of that, by 250 µs".to_owned(), p99 / 250.0).goal(Some(Bound::AtMost(1.0))));
    Ok(rows)
}
