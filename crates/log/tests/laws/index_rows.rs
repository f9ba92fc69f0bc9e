//! Index rows are written only when they change.

use backstay_log::{
    Authority, EntryIndex, EntryKind, IndexState, OpenOptions, SqliteLog, TopicAppend, TopicIndex, TopicKind,
};
use backstay_log::{Batch, prelude::*};
use backstay_model::{Payload, Timestamp};
use rusqlite::Connection;

use crate::support::{events, topic};

/// Counts every row of `topic` and `entry` whose index columns are written, changed or not.
const COUNTERS: &str = "CREATE TABLE counted (what TEXT NOT NULL);
    CREATE TRIGGER topic_written AFTER UPDATE OF kind, state, labels, wake_at, summary ON topic
        BEGIN INSERT INTO counted VALUES ('topic'); END;
    CREATE TRIGGER entry_made AFTER INSERT ON entry BEGIN INSERT INTO counted VALUES ('entry'); END;
    CREATE TRIGGER entry_written AFTER UPDATE ON entry BEGIN INSERT INTO counted VALUES ('entry'); END;";

#[test]
fn index_rows_are_written_only_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(folder.path(), OpenOptions::default()).unwrap();
    let database = Connection::open(folder.path().join("log.db")).unwrap();
    database.execute_batch(COUNTERS).unwrap();
    let payload = |text: &str| Payload::encode(&text).unwrap();
    let index = |state: &'static str, wake_at: Option<i64>| TopicIndex {
        kind: TopicKind::RUN,
        state: IndexState::new(state),
        labels: vec![("workflow".to_owned(), "report".to_owned())],
        wake_at: wake_at.map(Timestamp::from_micros),
        summary: payload("s"),
    };
    let entry = |state: &'static str, due_at: Option<i64>| EntryIndex {
        kind: EntryKind::QUESTION,
        id: "q".to_owned(),
        state: IndexState::new(state),
        due_at: due_at.map(Timestamp::from_micros),
        summary: payload("s"),
    };
    let steps = [
        ("first", index("running", None), entry("open", None), (1, 1)),
        ("the same", index("running", None), entry("open", None), (0, 0)),
        ("a new state", index("suspended", None), entry("closed", None), (1, 1)),
        ("a time", index("suspended", Some(7)), entry("closed", Some(7)), (1, 1)),
        ("the same time", index("suspended", Some(7)), entry("closed", Some(7)), (0, 0)),
        ("no time", index("suspended", None), entry("closed", None), (1, 1)),
    ];
    for (name, index, entry, expected) in steps {
        let append = TopicAppend {
            index: Some(index.clone()),
            entries: vec![entry],
            ..TopicAppend::new(topic("a"), Authority::Exclusive, events(&["x"]))
        };
        log.submit(Batch::of(append)).wait().unwrap();
        let count = |what: &str| -> u32 {
            let sql = "SELECT count(*) FROM counted WHERE what = ?1";
            database.query_row(sql, [what], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("topic"), count("entry")), expected, "{name}");
        database.execute("DELETE FROM counted", ()).unwrap();
        let row = backstay_log::ticket::block_on(log.topic(&topic("a"))).unwrap().unwrap();
        assert_eq!(row.index, Some(index), "{name}");
    }
}
