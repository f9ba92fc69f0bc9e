//! J1 and J2: appends, durable and buffered, by one, sixteen and 256 writers, and by two processes.

use backstay_log::Durability;

use crate::base::Base;
use crate::harness::{Outcome, Samples, Store, TOPICS, append_alone, append_crowd};
use crate::table::{Bound, Row};

/// How often each measurement is made, and how much each does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) rounds: usize,
    pub(crate) alone: usize,
    pub(crate) crowd: usize,
    pub(crate) prefill: usize,
    pub(crate) replay: usize,
    pub(crate) growth: usize,
    pub(crate) spread: usize,
}

/// The rounds of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<Samples>);

impl Rounds {
    pub(crate) fn push(&mut self, samples: Samples) {
        self.0.push(samples);
    }

    fn median(&self, of: impl Fn(&Samples) -> f64) -> f64 {
        crate::harness::median(&mut self.0.iter().map(of).collect::<Vec<_>>())
    }

    pub(crate) fn rate(&self) -> f64 {
        self.median(Samples::per_second)
    }

    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        self.median(|samples| samples.percentile_us(share))
    }
}

/// Appends with `durability`; the peers take turns, so that what else the machine does meets them alike.
pub(crate) fn appends(durability: Durability, size: Size, limit: &mut Rounds) -> Outcome<Vec<Row>> {
    let job = if durability == Durability::Synced { "J1" } else { "J2" };
    let mut rows = Vec::new();
    for writers in [1, 16, 256] {
        let count = if writers == 1 { size.alone } else { size.crowd };
        let (mut base, mut tasks, mut waits, mut single) =
            (Rounds::default(), Rounds::default(), Rounds::default(), Rounds::default());
        let (mut transactions, mut events) = (0, 0);
        for _ in 0..size.rounds {
            limit.push(crate::probe::probe()?);
            let peer = Base::grouped(TOPICS, durability, size.prefill)?;
            base.push(if writers == 1 {
                peer.append_alone(count)?
            } else {
                peer.append_crowd(writers, count)?
            });
            transactions += peer.transactions()?;
            events += count;
            let store = Store::filled(TOPICS, size.prefill)?;
            tasks.push(append_crowd(&store, durability, writers, count)?);
            if writers == 1 {
                waits.push(append_alone(&Store::filled(TOPICS, size.prefill)?, durability, count)?);
            }
            if writers == 16 {
                let peer = Base::new(TOPICS, durability, 1, size.prefill)?;
                single.push(peer.append_crowd(writers, count / 8)?);
            }
        }
        let name = |what: &str| format!("{job} N={writers} {what}");
        let base_note = format!("{:.3} transactions an event", transactions as f64 / events as f64);
        rows.push(Row::rate(name("BASE"), &base).note(base_note));
        if writers == 16 {
            rows.push(Row::rate(name("one transaction an event"), &single).against(base.rate()));
        }
        let (goal_rate, goal_p99) = match (durability, writers) {
            (Durability::Synced, 256) => (Some(3.0), Some(0.5)),
            (Durability::Synced, 16) => (Some(1.5), None),
            (Durability::Buffered, 256) => (Some(3.0), None),
            _ => (None, None),
        };
        rows.push(
            Row::rate(name("awaited"), &tasks).against(base.rate()).goal(goal_rate.map(Bound::AtLeast)),
        );
        if let Some(goal) = goal_p99 {
            let ratio = tasks.percentile_us(0.99) / base.percentile_us(0.99);
            rows.push(
                Row::ratio(name("awaited, p99 by that of BASE"), ratio).goal(Some(Bound::AtMost(goal))),
            );
        }
        if writers == 1 {
            let goal = (durability == Durability::Buffered).then_some(Bound::AtLeast(2.0));
            rows.push(Row::rate(name(".wait()"), &waits).against(base.rate()).goal(goal));
            if durability == Durability::Synced {
                let ratio = waits.percentile_us(0.5) / limit.percentile_us(0.5);
                rows.push(
                    Row::ratio(name(".wait(), p50 by that of the limit"), ratio)
                        .goal(Some(Bound::AtMost(1.5))),
                );
            }
        }
    }
    Ok(rows)
}
