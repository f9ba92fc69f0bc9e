//! Both stores give the same answers.

use backstay_log::{Authority, Batch, Precondition, TopicTransition};
use backstay_model::Seq;
use proptest::prelude::*;

use crate::support::{Fixture, batch, buffered};

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
                // Positions are each store's own.
                format!("{:?}", answer.map(|appended| (appended.topics, appended.repeated)))
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
