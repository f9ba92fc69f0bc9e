//! Stores of every format version that was ever released open for ever.

use std::path::Path;

use backstay_log::{
    AppendError, Authority, Batch, Boot, Direction, EventFilter, Log, OpenError, OpenOptions, Part,
    SqliteLog, StoreError, TopicFilter,
};
use backstay_model::{Delivery, Kind, Seq};

use crate::kills::check_index;
use crate::support::{append, batch, event, events, numbers, owner, read_by, texts, topic};

/// A copy of the golden store of a version.
pub(crate) fn golden(version: u32, folder: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/store-{version}/log.db"));
    std::fs::copy(golden, folder.join("log.db")).unwrap();
}

fn open(folder: &Path) -> Result<SqliteLog, OpenError> {
    let boot = Boot::Is("the first boot".to_owned());
    SqliteLog::open(folder, OpenOptions { boot, ..OpenOptions::default() })
}

#[tokio::test]
async fn a_store_of_version_1_opens_and_everything_in_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    golden(1, folder.path());
    for round in 0..2 {
        let log = open(folder.path()).unwrap();
        assert_eq!(log.id().to_string(), "log_01HF7YAT00SKTARA2XGW8XFADZ");
        assert_eq!(texts(&read_by(&log, "a", 2).await)[..4], ["1", "2", "3", "4"], "round {round}");
        let of_b = read_by(&log, "b", 2).await;
        assert_eq!((texts(&of_b).concat(), of_b[0].scope.to_string()), ("b1".into(), "build@loop~3".into()));
        assert_eq!(of_b[0].trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let d = read_by(&log, "d", 9).await;
        assert_eq!(d.iter().map(|event| event.more).collect::<Vec<_>>(), [true, false]);
        assert!(log.topic(&topic("d")).await.unwrap().unwrap().closed);
        let said = log.topic(&topic("c")).await.unwrap().unwrap();
        assert_eq!((said.head, said.index.unwrap().state), (Seq(3), "waiting".to_owned()));
        assert_eq!(said.owner.unwrap().identity.owner, owner('A').owner);
        assert_eq!(log.entries("question", Some("open")).await.unwrap()[0].entry.id, "q-1");
        let cursor = "cur1~01HF7YAT00SKTARA2XGW8XFADZ~4~4~a~02113c1aff4f".parse().unwrap();
        assert_eq!(log.resolve(&topic("a"), &cursor).await.unwrap(), Seq(4));
        let kind = EventFilter { kinds: vec![Kind::new("owner_changed")], ..EventFilter::default() };
        let claims = log.read_matching(&topic("c"), Seq(0), Direction::Forward, 9, &kind).await.unwrap();
        assert_eq!(numbers(&claims.events), [1]);
        assert_eq!(log.topics(TopicFilter::default()).await.unwrap().len(), 4);
        let head = log.head(&topic("a")).await.unwrap();
        assert_eq!(append(&log, "a", &["5"]).parts[0].first, head.next());
        drop(log);
        check_index(folder.path());
    }
}

/// The golden store of version 2 is that of version 1, opened and written to by version 2.
#[tokio::test]
async fn a_store_of_version_2_opens_and_can_be_freed() {
    let folder = tempfile::tempdir().unwrap();
    golden(2, folder.path());
    let log = open(folder.path()).unwrap();
    assert_eq!(log.id().to_string(), "log_01HF7YAT00SKTARA2XGW8XFADZ");
    assert_eq!(texts(&read_by(&log, "a", 2).await), ["1", "2", "3", "4", "5"]);
    let check = EventFilter { scopes: vec!["check@loop~2".parse().unwrap()], ..EventFilter::default() };
    let found = log.read_matching(&topic("e"), Seq(0), Direction::Forward, 9, &check).await.unwrap();
    assert_eq!(numbers(&found.events), [2]);
    let trim = Part { trim: Some(Seq(3)), ..Part::new(topic("e"), Authority::Own, events(&["5"])) };
    log.submit(Batch::of(trim)).wait().unwrap();
    assert_eq!(texts(&read_by(&log, "e", 9).await), ["4", "5"]);
    drop(log);
    check_index(folder.path());
}

/// The golden store of version 3 is that of version 2 after a trim and a deletion, copied before any of the rows had gone.
#[tokio::test]
async fn a_store_of_version_3_opens_and_what_was_gone_in_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    golden(3, folder.path());
    let log = open(folder.path()).unwrap();
    assert_eq!(texts(&read_by(&log, "a", 2).await), ["1", "2", "3", "4", "5"]);
    assert_eq!(texts(&read_by(&log, "e", 9).await), ["4", "5"]);
    assert_eq!(log.topic(&topic("b")).await.unwrap(), None);
    let kept = log.kept_fold(&topic("a"), "f", 1).await.unwrap().unwrap();
    assert_eq!((kept.seq, kept.state), (Seq(5), b"five".to_vec()));
    append(&log, "b", &["anew"]);
    drop(log);
    check_index(folder.path());
    let database = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    let left: i64 = database.query_row("SELECT count(*) FROM sweep", (), |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

/// The golden store of version 4 is that of version 3 with a topic of ten events more, which has ended and is packed.
#[tokio::test]
async fn a_store_of_version_4_opens_and_what_is_packed_in_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    golden(4, folder.path());
    let packed = |database: &rusqlite::Connection| -> i64 {
        database.query_row("SELECT count(*) FROM event WHERE payload = ''", (), |row| row.get(0)).unwrap()
    };
    let database = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    assert_eq!(packed(&database), 10);
    let log = open(folder.path()).unwrap();
    assert_eq!(texts(&read_by(&log, "p", 3).await).concat(), "12345678910");
    assert_eq!(texts(&read_by(&log, "a", 2).await), ["1", "2", "3", "4", "5"]);
    append(&log, "a", &["6"]);
    drop(log);
    check_index(folder.path());
}

#[tokio::test]
async fn what_version_1_was_told_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    golden(1, folder.path());
    let log = open(folder.path()).unwrap();
    let mut again = batch("a", Authority::Own, &["4"]);
    again.key = Some("k".to_owned());
    let b1 = backstay_log::NewEvent { scope: "build@loop~3".parse().unwrap(), ..event("b1") };
    again.parts.push(Part::new(topic("b"), Authority::Own, vec![b1]));
    let answer = log.submit(again.clone()).wait().unwrap();
    assert_eq!((answer.repeated, answer.parts[0].first, answer.g.0), (true, Seq(4), 5));
    let other = Batch {
        key: Some("k".to_owned()),
        ..Batch::of(Part::new(topic("a"), Authority::Own, events(&["x"])))
    };
    assert!(matches!(log.submit(other).wait(), Err(AppendError::KeyConflict { .. })));
    let mut subscription = log.follow(&topic("c"), Seq(2));
    assert!(matches!(subscription.next().await.unwrap(), Delivery::Live(live) if live.g.0 == 10));
    assert!(matches!(subscription.next().await.unwrap(), Delivery::Event(fact) if fact.g.0 == 11));
}

#[test]
fn a_store_of_version_1_that_another_process_has_open_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    golden(1, folder.path());
    let lock = std::fs::File::create(folder.path().join("store.lock")).unwrap();
    lock.lock_shared().unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Store(StoreError::LockBusy { .. })), "{refused:?}");
    let database = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1, "it was not touched");
    lock.unlock().unwrap();
    drop(open(folder.path()).unwrap());
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_migration_that_is_cut_off_begins_again() {
    use crate::processes::Process;
    let points = ["log.migrate.before_commit", "log.migrate.after_commit"];
    for point in points.iter().flat_map(|point| [format!("{point}:1"), format!("{point}:2")]) {
        let folder = tempfile::tempdir().unwrap();
        golden(1, folder.path());
        let armed = [(backstay_log::crash::CRASH_POINT_VARIABLE, point.as_str())];
        let mut process = Process::start_with("paced", folder.path(), "x", &armed);
        assert_eq!(process.hear("ready"), None, "{point} was not reached");
        process.child.wait().unwrap();
        let log = open(folder.path()).unwrap();
        assert_eq!(texts(&read_by(&log, "a", 9).await), ["1", "2", "3", "4"], "{point}");
        drop(log);
        check_index(folder.path());
    }
}
