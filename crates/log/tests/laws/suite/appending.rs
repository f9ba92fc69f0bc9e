//! Appending: all or nothing, preconditions, keys, limits.

use backstay_log::{AppendError, Authority, Batch, Measure, Precondition, TopicAppend, TopicTransition};
use backstay_model::{Seq, Timestamp};

use crate::support::{Fixture, append, batch, events, read_all_until, read_by, texts, topic};

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
    assert_eq!(texts(&read_all_until(log, appended.g).await), ["x", "1", "2", "3"]);
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
