//! Index rows.

use backstay_log::{
    AppendError, Authority, Batch, ClaimError, ClaimMode, EntryIndex, EntryKind, IndexState, TopicAppend,
    TopicFilter, TopicIndex, TopicKind, TopicTransition,
};
use backstay_model::{Payload, Timestamp};

use crate::support::{Fixture, batch, events, owner, topic};

pub(crate) fn row(kind: &'static str, state: &'static str, wake_at: Option<i64>) -> TopicIndex {
    TopicIndex {
        kind: TopicKind::new(kind),
        state: IndexState::new(state),
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
    let epoch = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap().epoch;
    let mut end = batch("a", Authority::Owner(owner('A').owner, epoch), &["end"]);
    end.appends[0].transition = TopicTransition::Closed;
    log.submit(end).wait().unwrap();
    let late = log.submit(batch("a", Authority::Input, &["late"])).wait();
    assert!(matches!(late, Err(AppendError::Closed { .. })), "{late:?}");
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::TakeOver).await;
    assert!(matches!(claimed, Err(ClaimError::Closed { .. })), "{claimed:?}");
    log.submit(batch("a", Authority::Reopen, &["again"])).wait().unwrap();
    let again = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert!(again.epoch > epoch);
}

pub(crate) async fn rows_are_found_by_kind_state_and_time(store: Fixture) {
    let log = store.log.as_ref();
    for (name, kind, wake_at) in [("a", "run", Some(10)), ("b", "run", Some(30)), ("c", "session", None)] {
        let mut made = batch(name, Authority::Exclusive, &["x"]);
        made.appends[0].index = Some(row(kind, "open", wake_at));
        made.appends[0].entries = vec![EntryIndex {
            kind: EntryKind::QUESTION,
            id: format!("q-{name}"),
            state: IndexState::new(if name == "a" { "answered" } else { "open" }),
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
    let run = || Some(TopicKind::RUN);
    for (filter, expected) in [
        (TopicFilter::default(), vec!["c", "b", "a"]),
        (TopicFilter { kind: run(), ..TopicFilter::default() }, vec!["b", "a"]),
        (TopicFilter { open_only: true, kind: run(), ..TopicFilter::default() }, vec!["a"]),
        (TopicFilter { due_by: Some(Timestamp::from_micros(10)), ..TopicFilter::default() }, vec!["a"]),
        (TopicFilter { limit: Some(1), ..TopicFilter::default() }, vec!["c"]),
    ] {
        let found = log.topics(filter.clone()).await.unwrap();
        let names: Vec<_> = found.iter().map(|row| row.topic.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
    }
    let open = log.entries(&EntryKind::QUESTION, Some(&IndexState::new("open"))).await.unwrap();
    assert_eq!(open.iter().map(|row| row.entry.id.as_str()).collect::<Vec<_>>(), ["q-b", "q-c"]);
    assert_eq!(log.entries(&EntryKind::QUESTION, None).await.unwrap().len(), 3);
}
