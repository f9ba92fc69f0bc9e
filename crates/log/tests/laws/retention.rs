//! The laws of freeing: what is gone is gone for everybody at once, and nothing else changes.

use std::path::Path;

use backstay_log::prelude::*;
use backstay_log::{
    AppendError, Authority, Batch, ClaimError, ClaimMode, CursorError, Direction, EntryIndex, EntryKind,
    EventFilter, FoldSnapshot, IndexState, InvalidBatch, Log, OpenOptions, OwnerGuard, ReadError, SqliteLog,
    TopicAppend, TopicFilter, TopicIndex, TopicKind, TopicTransition,
};
use backstay_model::{Delivery, Gap, Payload, Position, Seq};
use rusqlite::Connection;

use crate::kills::check_index;
use crate::processes::{check_database, open};
use crate::support::{
    Fixture, append, batch, event, events, numbers, owner, read_all_until, read_by, texts, topic,
};

/// Runs every law of this file against the store that `$fixture` makes.
macro_rules! retention_laws {
    ($fixture:path) => {
        retention_laws!($fixture;
            l2_numbers_go_on_after_trimming_everything_and_after_deleting,
            l13_a_cursor_before_the_first_kept_event_gives_a_gap,
            l21_a_trim_stands_at_the_end_of_a_batch,
            what_is_gone_is_in_no_read,
            who_may_free_what,
            a_deleted_topic_is_in_no_list_and_who_had_it_is_fenced,
            a_deleted_topic_takes_nothing_until_its_only_user_begins_it_anew,
            a_kept_fold_fits_or_is_not_there,
        );
    };
    ($fixture:path; $($law:ident,)*) => {
        $(#[tokio::test]
        async fn $law() {
            crate::retention::$law($fixture()).await;
        })*
    };
}

/// Frees the events of a topic of the only user up to `seq`.
fn trim(log: &dyn Log, name: &str, seq: u64) -> Result<(), AppendError> {
    let one = TopicAppend {
        trim: Some(Seq(seq)),
        ..TopicAppend::new(topic(name), Authority::Exclusive, Vec::new())
    };
    log.submit(Batch::of(one)).wait().map(|_| ())
}

fn delete(log: &dyn Log, name: &str, authority: Authority) -> Result<(), AppendError> {
    let one = TopicAppend {
        transition: TopicTransition::Deleted,
        ..TopicAppend::new(topic(name), authority, Vec::new())
    };
    log.submit(Batch::of(one)).wait().map(|_| ())
}

fn close(log: &dyn Log, name: &str) {
    let one = TopicAppend {
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic(name), Authority::Exclusive, Vec::new())
    };
    log.submit(Batch::of(one)).wait().unwrap();
}

pub(crate) async fn l2_numbers_go_on_after_trimming_everything_and_after_deleting(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1", "2", "3"]);
    let g = append(log, "b", &["1"]).g;
    trim(log, "a", 3).unwrap();
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(3));
    assert_eq!(append(log, "a", &["4"]).topics[0].first, Seq(4));
    close(log, "a");
    delete(log, "a", Authority::Retention).unwrap();
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(4));
    assert_eq!(append(log, "a", &["5", "6"]).topics[0].first, Seq(5));
    delete(log, "b", Authority::Exclusive).unwrap();
    let again = append(log, "b", &["2"]);
    assert_eq!(again.topics[0].first, Seq(2));
    assert!(again.g > g, "positions go on too");
    assert_eq!(texts(&read_by(log, "a", 1).await), ["5", "6"]);
}

pub(crate) async fn l13_a_cursor_before_the_first_kept_event_gives_a_gap(store: Fixture) {
    let log = store.log.as_ref();
    for text in ["1", "2", "3", "4", "5"] {
        append(log, "a", &[text]);
    }
    let (second, third) =
        (log.cursor(&topic("a"), Seq(2)).await.unwrap(), log.cursor(&topic("a"), Seq(3)).await.unwrap());
    trim(log, "a", 3).unwrap();
    let gap = |requested| Gap { requested: Seq(requested), first: Seq(4), head: Seq(5) };
    let mut early = log.subscribe(&topic("a"), &second).unwrap();
    assert_eq!(early.next().await.unwrap(), Delivery::Gap(gap(2)));
    assert!(matches!(early.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(4)));
    let mut at_the_floor = log.subscribe(&topic("a"), &third).unwrap();
    assert!(matches!(at_the_floor.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(4)));
    assert_eq!(log.read(&topic("a"), Seq(0), Direction::Forward, 9).await.unwrap().gap, Some(gap(0)));
    trim(log, "a", 5).unwrap();
    let mut at_the_tail = log.follow(&topic("a"), Seq(5));
    assert_eq!(at_the_tail.try_next().await.unwrap(), None);
    let mut behind = log.follow(&topic("a"), Seq(1));
    assert_eq!(
        behind.next().await.unwrap(),
        Delivery::Gap(Gap { requested: Seq(1), first: Seq(6), head: Seq(5) })
    );
    append(log, "a", &["6"]);
    for subscription in [&mut at_the_tail, &mut behind] {
        assert!(matches!(subscription.next().await.unwrap(), Delivery::Event(event) if event.seq == Seq(6)));
    }
    let ahead = log.cursor(&topic("a"), Seq(9)).await.unwrap_err();
    assert!(matches!(ahead, ReadError::Cursor(CursorError::Ahead { head: Seq(6), .. })), "{ahead:?}");
}

pub(crate) async fn l21_a_trim_stands_at_the_end_of_a_batch(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1", "2"]);
    append(log, "a", &["3", "4", "5"]);
    for (inside, head) in [(1, 5), (3, 5), (4, 5), (6, 5)] {
        let refused = trim(log, "a", inside).unwrap_err();
        assert!(
            matches!(refused, AppendError::NotABatchEnd { seq, head: at, .. } if seq.0 == inside && at.0 == head),
            "{refused:?}"
        );
    }
    trim(log, "a", 2).unwrap();
    // What is gone already can be freed again, and nothing comes back.
    trim(log, "a", 1).unwrap();
    trim(log, "a", 2).unwrap();
    assert_eq!(numbers(&read_by(log, "a", 1).await), [3, 4, 5]);
    // With its own events: the last of the batch before them is an end too.
    let one = TopicAppend {
        trim: Some(Seq(5)),
        ..TopicAppend::new(topic("a"), Authority::Exclusive, events(&["6", "7"]))
    };
    log.submit(Batch::of(one)).wait().unwrap();
    assert_eq!(texts(&read_by(log, "a", 9).await), ["6", "7"]);
}

pub(crate) async fn what_is_gone_is_in_no_read(store: Fixture) {
    let log = store.log.as_ref();
    let mut newest = Position(0);
    for number in 1..=6 {
        append(log, "a", &[&format!("a{number}")]);
        newest = append(log, "b", &[&format!("b{number}")]).g;
    }
    trim(log, "a", 4).unwrap();
    let back = log.read(&topic("a"), Seq(u64::MAX), Direction::Backward, 9).await.unwrap();
    assert_eq!((texts(&back.events), back.head), (vec!["a6".into(), "a5".into()], Seq(6)));
    assert!(log.read(&topic("a"), Seq(5), Direction::Backward, 9).await.unwrap().events.is_empty());
    assert!(log.read(&topic("a"), Seq(2), Direction::Backward, 9).await.unwrap().events.is_empty());
    let noted = EventFilter { kinds: vec![event("x").kind], ..EventFilter::default() };
    for (direction, expected) in [(Direction::Forward, [5, 6]), (Direction::Backward, [6, 5])] {
        let at = if direction == Direction::Forward { Seq(0) } else { Seq(u64::MAX) };
        let page = log.read_matching(&topic("a"), at, direction, 9, &noted).await.unwrap();
        assert_eq!(numbers(&page.events), expected);
    }
    let all = read_all_until(log, newest).await;
    assert_eq!(texts(&all), ["b1", "b2", "b3", "b4", "a5", "b5", "a6", "b6"]);
    assert_eq!(texts(&read_by(log, "b", 2).await), ["b1", "b2", "b3", "b4", "b5", "b6"]);
}

pub(crate) async fn who_may_free_what(store: Fixture) {
    let log = store.log.as_ref();
    append(log, "a", &["1"]);
    let guard = log.register_owner(owner('A')).await.unwrap();
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert!(matches!(trim(log, "a", 1), Err(AppendError::Owned { .. })));
    for authority in [Authority::Input, Authority::Reopen] {
        let one =
            TopicAppend { trim: Some(Seq(1)), ..TopicAppend::new(topic("a"), authority, events(&["x"])) };
        let refused = log.submit(Batch::of(one)).wait().unwrap_err();
        assert!(matches!(refused, AppendError::Invalid(InvalidBatch::NotToFree(_))), "{refused:?}");
    }
    let retire = |authority| {
        let one = TopicAppend {
            trim: Some(Seq(1)),
            ..TopicAppend::new(topic("a"), authority, events(&["kept as"]))
        };
        log.submit(Batch::of(one)).wait()
    };
    assert!(matches!(retire(Authority::Retention), Err(AppendError::NotClosed { .. })), "it has not ended");
    assert!(matches!(delete(log, "a", Authority::Retention), Err(AppendError::NotClosed { .. })));
    let mine = Authority::Owner(owner('A').owner, claimed.epoch);
    let refused = delete(log, "a", mine).unwrap_err();
    assert!(matches!(refused, AppendError::Invalid(InvalidBatch::NotToFree(_))), "{refused:?}");
    retire(mine).unwrap();
    assert_eq!(numbers(&read_by(log, "a", 9).await), [2, 3]);
    let end = TopicAppend {
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic("a"), mine, events(&["end"]))
    };
    log.submit(Batch::of(end)).wait().unwrap();
    let one = TopicAppend {
        trim: Some(Seq(4)),
        ..TopicAppend::new(topic("a"), Authority::Retention, events(&["kept as"]))
    };
    log.submit(Batch::of(one)).wait().unwrap();
    assert_eq!(texts(&read_by(log, "a", 9).await), ["kept as"]);
    assert!(matches!(
        log.submit(batch("a", Authority::Input, &["x"])).wait(),
        Err(AppendError::Closed { .. })
    ));
}

pub(crate) async fn a_deleted_topic_is_in_no_list_and_who_had_it_is_fenced(store: Fixture) {
    let log = store.log.as_ref();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    let mine = Authority::Owner(owner('A').owner, claimed.epoch);
    let summary = Payload::encode(&"s").unwrap();
    let state = || IndexState::new("open");
    let one = TopicAppend {
        index: Some(TopicIndex {
            kind: TopicKind::RUN,
            state: state(),
            labels: Vec::new(),
            wake_at: None,
            summary: summary.clone(),
        }),
        entries: vec![EntryIndex {
            kind: EntryKind::QUESTION,
            id: "q".into(),
            state: state(),
            due_at: None,
            summary,
        }],
        transition: TopicTransition::Closed,
        ..TopicAppend::new(topic("a"), mine, events(&["end"]))
    };
    let keyed = Batch { key: Some("k".to_owned()), ..Batch::of(one) };
    let first = log.submit(keyed.clone()).wait().unwrap();
    append(log, "b", &["1"]);
    delete(log, "a", Authority::Retention).unwrap();
    let listed = log.topics(TopicFilter { limit: Some(1), ..TopicFilter::default() }).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.topic.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(log.topics(TopicFilter::default()).await.unwrap().len(), 1);
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert!(log.entries(&EntryKind::QUESTION, None).await.unwrap().is_empty());
    assert_eq!(log.submit(keyed).wait().unwrap().topics, first.topics, "its keys stay taken");
    let late = log.submit(Batch::of(TopicAppend::new(topic("a"), mine, events(&["late"])))).wait();
    assert!(
        matches!(&late, Err(AppendError::Fenced { current, owner: None, .. }) if *current == claimed.epoch),
        "{late:?}"
    );
    append(log, "a", &["anew"]);
    let again = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert!(again.epoch > claimed.epoch);
    assert_eq!(again.head, Seq(4));
    assert_eq!(log.topic(&topic("a")).await.unwrap().unwrap().head, Seq(4));
    assert_eq!(log.topics(TopicFilter::default()).await.unwrap().len(), 2);
}

/// Whatever comes late finds the topic deleted, and changes nothing.
async fn takes_nothing(log: &dyn Log, guard: &dyn OwnerGuard) {
    for authority in [Authority::Input, Authority::Reopen, Authority::Retention] {
        let late = log.submit(batch("a", authority, &["late"])).wait();
        assert!(matches!(late, Err(AppendError::Deleted { .. })), "{authority:?}: {late:?}");
    }
    let twice = delete(log, "a", Authority::Retention);
    assert!(matches!(twice, Err(AppendError::Deleted { .. })), "{twice:?}");
    for mode in [ClaimMode::IfFree, ClaimMode::TakeOver] {
        let late = log.claim(&topic("a"), guard, mode).await;
        assert!(matches!(late, Err(ClaimError::Deleted { .. })), "{late:?}");
    }
    let other = TopicAppend::new(topic("other"), Authority::Exclusive, events(&["with it"]));
    let mut both = batch("a", Authority::Input, &["late"]);
    both.appends.push(other);
    assert!(matches!(log.submit(both).wait(), Err(AppendError::Deleted { .. })));
    assert_eq!(log.head(&topic("other")).await.unwrap(), Seq(0), "a batch is taken whole or not at all");
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert!(log.topics(TopicFilter::default()).await.unwrap().is_empty());
}

pub(crate) async fn a_deleted_topic_takes_nothing_until_its_only_user_begins_it_anew(store: Fixture) {
    let log = store.log.as_ref();
    let guard = log.register_owner(owner('A')).await.unwrap();
    append(log, "a", &["1", "2"]);
    close(log, "a");
    delete(log, "a", Authority::Retention).unwrap();
    takes_nothing(log, guard.as_ref()).await;
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(2));
    // Of the only user's own topic too; and what says nothing begins nothing.
    append(log, "a", &["3"]);
    for _ in 0..2 {
        delete(log, "a", Authority::Exclusive).unwrap();
        takes_nothing(log, guard.as_ref()).await;
    }
    trim(log, "a", 3).unwrap();
    takes_nothing(log, guard.as_ref()).await;
    append(log, "a", &["anew"]);
    assert_eq!(log.submit(batch("a", Authority::Input, &["in time"])).wait().unwrap().topics[0].last, Seq(5));
    assert_eq!(texts(&read_by(log, "a", 9).await), ["anew", "in time"]);
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert_eq!(claimed.head, Seq(6));
    // What was never there is not deleted.
    delete(log, "b", Authority::Exclusive).unwrap();
    assert!(log.submit(batch("b", Authority::Input, &["first"])).wait().is_ok());
}

#[tokio::test]
async fn a_deleted_topic_is_deleted_for_every_process_and_after_every_open() {
    let folder = tempfile::tempdir().unwrap();
    let (log, other) = (open(folder.path()), open(folder.path()));
    let guard = other.register_owner(owner('B')).await.unwrap();
    append(&log, "a", &["1"]);
    // Both know it.
    append(&other, "a", &["2"]);
    close(&log, "a");
    delete(&log, "a", Authority::Retention).unwrap();
    takes_nothing(&other, guard.as_ref()).await;
    drop(log);
    let log = open(folder.path());
    let own = log.register_owner(owner('A')).await.unwrap();
    takes_nothing(&log, own.as_ref()).await;
    append(&log, "a", &["3"]);
    let input = other.submit(batch("a", Authority::Input, &["4"])).wait().unwrap();
    assert_eq!(input.topics[0].last, Seq(4), "it was begun anew for every process");
    assert!(other.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.is_ok());
}

pub(crate) async fn a_kept_fold_fits_or_is_not_there(store: Fixture) {
    let log = store.log.as_ref();
    let kept = |seq, state: &str| FoldSnapshot {
        fold: "record".to_owned(),
        version: 2,
        seq: Seq(seq),
        state: state.as_bytes().to_vec(),
    };
    let found = async |version| log.load_fold(&topic("a"), "record", version).await.unwrap();
    log.save_fold(&topic("a"), kept(1, "of nothing"));
    append(log, "a", &["1"]);
    append(log, "a", &["2", "3"]);
    for too_far in [kept(2, "inside a batch"), kept(4, "of what is not there")] {
        log.save_fold(&topic("a"), too_far);
    }
    append(log, "b", &["so that all before it is done"]);
    assert_eq!(found(2).await, None);
    log.save_fold(&topic("a"), kept(3, "of three"));
    log.save_fold(&topic("a"), kept(1, "of one, too late"));
    append(log, "b", &["so that all before it is done"]);
    assert_eq!(found(2).await, Some(kept(3, "of three")));
    assert_eq!(found(1).await, None, "of another version");
    assert_eq!(log.load_fold(&topic("a"), "other", 2).await.unwrap(), None);
    append(log, "a", &["4"]);
    assert_eq!(found(2).await, Some(kept(3, "of three")));
    trim(log, "a", 1).unwrap();
    assert_eq!(found(2).await, Some(kept(3, "of three")), "all that follows it is there");
    trim(log, "a", 4).unwrap();
    assert_eq!(found(2).await, None, "what follows it is gone");
    log.save_fold(&topic("b"), kept(2, "of b"));
    delete(log, "b", Authority::Exclusive).unwrap();
    append(log, "b", &["anew"]);
    assert_eq!(log.load_fold(&topic("b"), "record", 2).await.unwrap(), None);
}

fn count(folder: &Path, sql: &str) -> i64 {
    let database = Connection::open(folder.join("log.db")).unwrap();
    database.query_row(sql, (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_is_gone_goes_from_the_tables_also_after_its_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for _ in 0..15 {
        for name in ["t0", "t1"] {
            append(&log, name, &vec!["x"; 100]);
        }
    }
    // A second process, as far as the store can tell, that keeps the first from having chores done in its place.
    let other = open(folder.path());
    trim(&log, "t0", 1_500).unwrap();
    trim(&log, "t1", 700).unwrap();
    assert_eq!(numbers(&read_by(&other, "t1", 1_000).await), (701..=1_500).collect::<Vec<_>>());
    drop(log);
    assert_eq!(append(&other, "t0", &["next"]).topics[0].first, Seq(1_501));
    drop(other);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM event"), 801);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM sweep"), 0);
    check_index(folder.path());
    check_database(folder.path());
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn an_abort_while_rows_go_leaves_the_rest_to_the_next() {
    use crate::processes::Process;
    for hit in ["1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let armed = format!("log.sweep.before_commit:{hit}");
        let more = [(backstay_log::crash::CRASH_POINT_VARIABLE, armed.as_str())];
        let mut process = Process::start_with("trim", folder.path(), "x", &more);
        assert_eq!(process.hear("swept"), None, "{armed} was not reached");
        process.child.wait().unwrap();
        let log = open(folder.path());
        assert_eq!(texts(&read_by(&log, "t", 1_000).await), ["kept as"], "{armed}");
        assert_eq!(append(&log, "other", &["so that there are chores"]).topics[0].first, Seq(1));
        drop(log);
        assert_eq!(count(folder.path(), "SELECT count(*) FROM event"), 2, "{armed}");
        check_index(folder.path());
    }
}

/// A role: ends a long topic and frees it.
pub(crate) fn end_and_trim(log: &SqliteLog) {
    for _ in 0..4 {
        append(log, "t", &vec!["x"; 700]);
    }
    close(log, "t");
    let one = TopicAppend {
        trim: Some(Seq(2_800)),
        ..TopicAppend::new(topic("t"), Authority::Retention, events(&["kept as"]))
    };
    log.submit(Batch::of(one)).wait().unwrap();
}

#[tokio::test]
async fn a_damaged_kept_fold_is_not_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, "a", &["1"]);
    drop(log);
    let log = SqliteLog::open(folder.path(), OpenOptions::default()).unwrap();
    let kept = FoldSnapshot { fold: "f".into(), version: 1, seq: Seq(1), state: b"right".to_vec() };
    log.save_fold(&topic("a"), kept.clone());
    append(&log, "b", &["so that it is done"]);
    assert_eq!(log.load_fold(&topic("a"), "f", 1).await.unwrap(), Some(kept));
    Connection::open(folder.path().join("log.db"))
        .unwrap()
        .execute("UPDATE snapshot SET state = x'77726f6e67'", ())
        .unwrap();
    assert_eq!(log.load_fold(&topic("a"), "f", 1).await.unwrap(), None);
}

/// Notes when a warning is given whose text has `mark`.
struct Warnings {
    mark: &'static str,
    heard: std::sync::mpsc::Sender<std::time::Instant>,
}

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, _field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{value:?} "));
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        if text.0.contains(self.mark) {
            // Nobody listens any more once the test is over.
            self.heard.send(crate::support::now()).ok();
        }
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}
    fn enter(&self, _span: &tracing::span::Id) {}
    fn exit(&self, _span: &tracing::span::Id) {}
}

/// Far above what three tries take.
const WARNINGS_MAX: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test]
async fn rows_that_cannot_go_are_tried_again_later_and_later_and_appends_go_on() {
    let (heard, warnings) = std::sync::mpsc::channel();
    let mark = "rows of this test stay";
    tracing::subscriber::set_global_default(Warnings { mark, heard }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, "a", &["1", "2"]);
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    let stuck =
        format!("CREATE TRIGGER stuck BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, '{mark}'); END");
    database.execute_batch(&stuck).unwrap();
    let begun = crate::support::now();
    trim(&log, "a", 2).unwrap();
    let told = [(); 3].map(|()| (warnings.recv_timeout(WARNINGS_MAX).unwrap() - begun).as_millis());
    // Not before 200 ms, then 400 ms. Both counted from what came before the first try, so that no warning can be too late.
    assert!(told[1] >= 200 && told[2] >= 600, "{told:?} ms");
    assert_eq!(append(&log, "a", &["3"]).topics[0].first, Seq(3));
    assert_eq!(texts(&read_by(&log, "a", 9).await), ["3"]);
    database.execute_batch("DROP TRIGGER stuck").unwrap();
    drop(log);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM event"), 1);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM sweep"), 0);
    check_index(folder.path());
}
