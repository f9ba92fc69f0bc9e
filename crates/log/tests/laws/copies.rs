//! The laws of a copy that is only read.

use backstay_log::prelude::*;
use backstay_log::{
    AppendError, Authority, ClaimError, ClaimMode, FoldSnapshot, Location, OpenError, OpenOptions, SqliteLog,
    StoreError,
};
use backstay_model::Seq;

use crate::processes::open;
use crate::support::{append, batch, event, owner, read_by, texts, topic};

#[tokio::test]
async fn a_copy_takes_nothing_believes_no_fold_and_knows_who_owns_in_its_original() {
    let folder = tempfile::tempdir().unwrap();
    let [store, copied] = ["store", "copied"].map(|name| folder.path().join(name));
    let log = open(&store);
    let guard = log.register_owner(owner('A')).await.unwrap();
    let epoch = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap().epoch;
    log.submit(batch("a", Authority::Owner(owner('A').owner, epoch), &["1"])).wait().unwrap();
    let kept = FoldSnapshot { fold: "f".into(), version: 1, seq: Seq(2), state: b"kept".to_vec() };
    log.save_fold(&topic("a"), kept.clone());
    append(&log, "b", &["so that it is done"]);
    assert_eq!(log.load_fold(&topic("a"), "f", 1).await.unwrap(), Some(kept.clone()));

    std::fs::create_dir(&copied).unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(store.join(name), copied.join(name)).unwrap();
    }
    let copy_of = Some(store.clone());
    let options = OpenOptions { create: false, copy_of, ..OpenOptions::default() };
    let copy = SqliteLog::open(&copied, options).unwrap();
    let before = read_by(&copy, "a", 9).await;
    assert_eq!(before, read_by(&log, "a", 9).await);
    let seen = copy.topic(&topic("a")).await.unwrap().unwrap().owner.unwrap();
    assert!(seen.is_held(), "its lock is held in the original's folder: {seen:?}");
    assert_eq!(copy.load_fold(&topic("a"), "f", 1).await.unwrap(), None);

    let appended = copy.submit(batch("b", Authority::Exclusive, &["2"])).wait();
    assert!(
        matches!(&appended, Err(AppendError::Store(StoreError::ReadOnly { location, .. })) if *location == Location::from(&store))
    );
    let registered = copy.register_owner(owner('B')).await;
    assert!(matches!(registered.map(drop), Err(OpenError::Store(StoreError::ReadOnly { .. }))));
    let claimed = copy.claim(&topic("b"), guard.as_ref(), ClaimMode::TakeOver).await;
    assert!(matches!(claimed, Err(ClaimError::Store(StoreError::ReadOnly { .. }))));
    copy.submit_live(topic("a"), event("live"));
    assert_eq!(texts(&read_by(&copy, "b", 9).await), ["so that it is done"]);
    assert_eq!(read_by(&copy, "a", 9).await, before);
    assert_eq!(
        std::fs::read_dir(store.join("owners")).unwrap().count(),
        1,
        "nothing is made in the original"
    );
}
