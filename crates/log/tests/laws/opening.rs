//! Opening a store: what is refused, and what is made.

use std::path::Path;
use std::time::Duration;

use backstay_log::prelude::*;
use backstay_log::{AppendError, Authority, OpenError, OpenOptions, SqliteLog, StoreError};
use backstay_model::{Coded, Seq};
use rusqlite::Connection;

use crate::support::{Mount, append, batch, open, read_by, texts};

fn open_error(folder: &Path, options: OpenOptions) -> OpenError {
    SqliteLog::open(folder, options).unwrap_err()
}

#[test]
fn l7_who_waits_for_a_store_that_is_replaced_gets_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let [store, aside, new] = ["store", "aside", "new"].map(|name| folder.path().join(name));
    let old_id = open(&store).id();
    let new_id = open(&new).id();
    let alone = backstay_log::maintenance::ExclusiveStore::acquire(&store).unwrap();
    let opening = std::thread::spawn({
        let store = store.clone();
        move || open(&store).id()
    });
    // The other one is to have opened the database and to wait for the lock. If this is too short, the test proves less.
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    assert!(never.recv_timeout(Duration::from_millis(300)).is_err());
    std::fs::rename(&store, &aside).unwrap();
    std::fs::rename(&new, &store).unwrap();
    drop(alone);
    let opened = opening.join().unwrap();
    assert_ne!(opened, old_id, "what it appended would be acknowledged in a store that was put aside");
    assert_eq!(opened, new_id);
}

#[test]
fn a_store_that_many_make_at_once_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join(".backstay");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || open(&store))
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(opened.iter().all(|log| log.id() == opened[0].id()));
    for (number, log) in opened.iter().enumerate() {
        assert_eq!(append(log, "a", &["x"]).topics[0].first, Seq(number as u64 + 1));
    }
}

#[test]
fn the_store_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("deep").join(".backstay");
    let _log = open(&store);
    for made in [store.clone(), store.join("owners")] {
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700, "{made:?}");
    }
}

#[test]
fn what_is_not_a_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "x").unwrap();
    std::fs::create_dir(at("garbage")).unwrap();
    std::fs::write(at("garbage").join("log.db"), "no database, but long enough to be one. ".repeat(99))
        .unwrap();
    std::fs::create_dir(at("foreign")).unwrap();
    let foreign = Connection::open(at("foreign").join("log.db")).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    for name in ["file", "garbage", "foreign"] {
        let error = open_error(&at(name), OpenOptions::default());
        assert!(matches!(error, OpenError::NotAStore { .. }), "{name}: {error:?}");
        assert_eq!(error.code().0, "BKS-L071");
        assert!(error.hint().is_some());
    }
    let kept: String = foreign.query_row("SELECT name FROM sqlite_schema", (), |row| row.get(0)).unwrap();
    assert_eq!(kept, "theirs");
    for name in ["nowhere", ""] {
        let error = open_error(&at(name), OpenOptions { create: false, ..OpenOptions::default() });
        assert!(matches!(error, OpenError::Missing { .. }), "{name}: {error:?}");
    }
}

#[test]
fn a_read_only_folder_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(store.join("probe"), "x").is_ok() {
        // Permissions do not bind this user; a mount that is read-only binds everybody.
        let Some(_mount) = Mount::tmpfs(&store, "size=1m,ro") else { return };
        expect_read_only(&store);
    } else {
        expect_read_only(&store);
    }
}

fn expect_read_only(store: &Path) {
    let error = open_error(store, OpenOptions::default());
    assert!(matches!(error, OpenError::Store(StoreError::ReadOnly { .. })), "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_database_that_is_not_at_its_path_any_more_takes_no_event_and_none_is_made_in_its_place() {
    use std::fs;
    type Change = fn(&Path, &Path);
    let cases: [(&str, Change); 5] = [
        ("the folder is deleted", |store, _| fs::remove_dir_all(store).unwrap()),
        ("the folder is moved", |store, aside| fs::rename(store, aside).unwrap()),
        ("the database is unlinked", |store, _| fs::remove_file(store.join("log.db")).unwrap()),
        ("the database is replaced", |store, _| {
            fs::remove_file(store.join("log.db")).unwrap();
            fs::write(store.join("log.db"), "").unwrap();
        }),
        ("the folder is replaced", |store, aside| {
            fs::rename(store, aside).unwrap();
            drop(open(store));
        }),
    ];
    for (case, change) in cases {
        let folder = tempfile::tempdir().unwrap();
        let [store, aside] = ["store", "aside"].map(|name| folder.path().join(name));
        let log = open(&store);
        append(&log, "a", &["1"]);
        change(&store, &aside);
        let was_there = store.join("log.db").exists();
        let refused = log.submit(batch("a", Authority::Exclusive, &["2"])).wait();
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Gone { .. }))), "{case}: {refused:?}");
        assert_eq!(StoreError::Gone { location: (&store).into() }.code().0, "BKS-L011");
        drop(log);
        assert_eq!(store.join("log.db").exists(), was_there, "{case}: none is made anew");
        if case == "the folder is moved" {
            assert_eq!(
                texts(&read_by(&open(&aside), "a", 10).await),
                ["1"],
                "what was acknowledged is there"
            );
        }
    }
}

#[test]
fn what_a_store_is_made_of_is_this_users_alone_also_in_a_folder_made_by_hand() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    let by_hand = folder.path().join("by hand");
    fs::create_dir(&by_hand).unwrap();
    fs::set_permissions(&by_hand, Permissions::from_mode(0o755)).unwrap();
    for store in [by_hand, folder.path().join("made")] {
        let log = open(&store);
        append(&log, "a", &["1"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&store), 0o700);
        for name in ["log.db", "log.db-wal", "log.db-shm"] {
            assert_eq!(mode(&store.join(name)), 0o600, "{name}");
        }
    }
}
