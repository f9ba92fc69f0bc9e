//! A store of today's format opens as it was made, and one of another format is refused as it is.
//!
//! With `BACKSTAY_WRITE_GOLDEN=1` the golden store is made anew: after a change of the format, before the first release.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backstay_log::prelude::*;
use backstay_log::{
    AppendError, Authority, Batch, Boot, ClaimMode, Direction, EntryIndex, EntryKind, EventFilter,
    FoldSnapshot, IndexState, Log, NewEvent, OpenError, OpenOptions, SqliteLog, TopicAppend, TopicFilter,
    TopicIndex, TopicKind, TopicTransition,
};
use backstay_model::{Coded, Delivery, Kind, Payload, Seq};

use crate::kills::check_index;
use crate::packing::wait_until_packed;
use crate::support::{FixedClock, append, batch, event, events, numbers, owner, read_by, texts, topic};

const FORMAT: i64 = 1;

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/store-{FORMAT}/log.db"))
}

/// A copy of the golden store.
pub(crate) fn golden(folder: &Path) {
    std::fs::copy(golden_path(), folder.join("log.db")).unwrap();
}

fn open(folder: &Path) -> Result<SqliteLog, OpenError> {
    let clock = Arc::new(FixedClock::default());
    clock.set(1_700_000_000_000_000);
    let boot = Boot::Is("the first boot".to_owned());
    SqliteLog::open(folder, OpenOptions { boot, clock, pack_after: Duration::ZERO, ..OpenOptions::default() })
}

/// Part of an append that has an idempotency key, into two topics.
fn keyed() -> Batch {
    let b1 = NewEvent {
        scope: "loop~3/build".parse().unwrap(),
        trace: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        ..event("b1")
    };
    let mut keyed = batch("a", Authority::Exclusive, &["4"]);
    keyed.key = Some("k".to_owned());
    keyed.appends.push(TopicAppend::new(topic("b"), Authority::Exclusive, vec![b1]));
    keyed
}

fn apply_transition(log: &dyn Log, name: &str, texts: &[&str], transition: TopicTransition) {
    let append =
        TopicAppend { transition, ..TopicAppend::new(topic(name), Authority::Exclusive, events(texts)) };
    log.submit(Batch::of(append)).wait().unwrap();
}

/// Makes a store that has a row in each of its tables, but for `lost`, `pack` and `sweep`.
async fn make(folder: &Path) {
    let log = open(folder).unwrap();
    for text in ["1", "2", "3"] {
        append(&log, "a", &[text]);
    }
    log.submit(keyed()).wait().unwrap();
    let summary = |text: &str| Payload::encode(&text).unwrap();
    let guard = log.register_owner(owner('A')).await.unwrap();
    log.claim(&topic("c"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    let index = TopicIndex {
        kind: TopicKind::RUN,
        state: IndexState::new("waiting"),
        labels: vec![("workflow".to_owned(), "report".to_owned())],
        wake_at: None,
        summary: summary("s"),
    };
    let entry = EntryIndex {
        kind: EntryKind::QUESTION,
        id: "q-1".to_owned(),
        state: IndexState::new("open"),
        due_at: None,
        summary: summary("q"),
    };
    let asks = TopicAppend {
        index: Some(index),
        entries: vec![entry],
        ..TopicAppend::new(topic("c"), Authority::Input, events(&["asks"]))
    };
    log.submit(Batch::of(asks)).wait().unwrap();
    let _listener = log.follow(&topic("c"), Seq(0));
    log.submit_live(topic("c"), event("live"));
    append(&log, "e", &["1", "2"]);
    append(&log, "e", &["3"]);
    let trim = TopicAppend {
        trim: Some(Seq(2)),
        ..TopicAppend::new(topic("e"), Authority::Exclusive, events(&["4"]))
    };
    log.submit(Batch::of(trim)).wait().unwrap();
    append(&log, "gone", &["1"]);
    apply_transition(&log, "gone", &[], TopicTransition::Deleted);
    let kept = FoldSnapshot { fold: "f".to_owned(), version: 1, seq: Seq(4), state: b"four".to_vec() };
    log.save_fold(&topic("a"), kept);
    apply_transition(&log, "d", &["1", "2"], TopicTransition::Closed);
    wait_until_packed(folder);
    append(&log, "e", &["5"]);
}

async fn everything_is_there(folder: &Path) {
    for round in 0..2_u64 {
        let log = open(folder).unwrap();
        assert_eq!(texts(&read_by(&log, "a", 2).await)[..4], ["1", "2", "3", "4"], "round {round}");
        let of_b = read_by(&log, "b", 2).await;
        assert_eq!((texts(&of_b).concat(), of_b[0].scope.to_string()), ("b1".into(), "loop~3/build".into()));
        assert_eq!(of_b[0].trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let of_c = log.topic(&topic("c")).await.unwrap().unwrap();
        assert_eq!((of_c.head, of_c.index.unwrap().state), (Seq(2), IndexState::new("waiting")));
        assert_eq!(of_c.owner.unwrap().identity.owner, owner('A').owner);
        assert_eq!(
            log.entries(&EntryKind::QUESTION, Some(&IndexState::new("open"))).await.unwrap()[0].entry.id,
            "q-1"
        );
        let kind = EventFilter { kinds: vec![Kind::new("owner_changed")], ..EventFilter::default() };
        let claims = log.read_matching(&topic("c"), Seq(0), Direction::Forward, 9, &kind).await.unwrap();
        assert_eq!(numbers(&claims.events), [1]);
        let of_d = read_by(&log, "d", 9).await;
        assert_eq!(of_d.iter().map(|event| event.more).collect::<Vec<_>>(), [true, false]);
        assert_eq!(texts(&of_d), ["1", "2"], "its payloads are packed");
        assert!(log.topic(&topic("d")).await.unwrap().unwrap().closed);
        assert_eq!(texts(&read_by(&log, "e", 9).await), ["3", "4", "5"]);
        assert_eq!(log.topic(&topic("gone")).await.unwrap(), None);
        let kept = log.load_fold(&topic("a"), "f", 1).await.unwrap().unwrap();
        assert_eq!((kept.seq, kept.state), (Seq(4), b"four".to_vec()));
        assert_eq!(log.topics(TopicFilter::default()).await.unwrap().len(), 5);
        let mut subscription = log.follow(&topic("c"), Seq(2));
        assert!(matches!(subscription.next().await.unwrap(), Delivery::Live(_)));
        let again = log.submit(keyed()).wait().unwrap();
        assert_eq!((again.repeated, again.topics[0].first, again.topics[1].first), (true, Seq(4), Seq(1)));
        let other = Batch {
            appends: vec![TopicAppend::new(topic("a"), Authority::Exclusive, events(&["x"]))],
            ..keyed()
        };
        assert!(matches!(log.submit(other).wait(), Err(AppendError::KeyConflict { .. })));
        assert_eq!(append(&log, "a", &["5"]).topics[0].first, Seq(5 + round));
        drop(log);
        check_index(folder);
    }
}

#[tokio::test]
async fn a_store_that_was_made_now_and_the_golden_one_open_and_everything_is_there() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let made = folder.path().join("log.db");
    rusqlite::Connection::open(&made).unwrap().pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    if writes_golden() {
        std::fs::create_dir_all(golden_path().parent().unwrap()).unwrap();
        std::fs::copy(&made, golden_path()).unwrap();
    }
    everything_is_there(folder.path()).await;
    let folder = tempfile::tempdir().unwrap();
    golden(folder.path());
    everything_is_there(folder.path()).await;
}

#[expect(clippy::disallowed_methods, reason = "who changes the format says so by the environment")]
fn writes_golden() -> bool {
    std::env::var("BACKSTAY_WRITE_GOLDEN").is_ok_and(|value| value == "1")
}

/// By its header: the number of the application, and that of the format.
#[test]
fn a_store_of_another_format_is_refused_and_stays_as_it_is() {
    let cases = [
        (0x424b_5354, 1, "BKS-L090"),
        (0x424b_5354, 4, "BKS-L090"),
        (0x4261_636b, 0, "BKS-L090"),
        (0x4261_636b, FORMAT + 1, "BKS-L070"),
    ];
    for (application, format, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        golden(folder.path());
        let database = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
        database.pragma_update(None, "application_id", application).unwrap();
        database.pragma_update(None, "user_version", format).unwrap();
        drop(database);
        let before = std::fs::read(folder.path().join("log.db")).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert_eq!(refused.code().0, code, "{application:x} {format}: {refused:?}");
        let looked_at = backstay_log::maintenance::identify(folder.path()).unwrap_err();
        assert_eq!((looked_at.code().0, looked_at.is_finding()), (code, true), "{looked_at:?}");
        assert!(std::fs::read(folder.path().join("log.db")).unwrap() == before, "it was not touched");
    }
}
