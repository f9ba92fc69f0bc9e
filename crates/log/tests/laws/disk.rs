//! Disks that fail, and power that goes: what was acknowledged is there, what cannot be done is said, and nothing is acknowledged
//! on a disk that has lied.
//!
//! A library before libc lets chosen calls of a child process fail, and keeps what of each file is surely on the disk.

use std::path::{Path, PathBuf};

use backstay_log::prelude::*;
use backstay_log::{Authority, SqliteLog};
use backstay_model::{Coded, Seq};

use crate::processes::{Process, everything, open};
use crate::support::{append, batch, read_by, topic};

/// Appends of a child that is expected to meet its fault: far more than it takes.
const ENOUGH: &str = "500";
/// Appends after which the write-ahead log was moved once.
const MOVED_ONCE: &str = "220";
/// Appends of a child that is killed.
const MANY: &str = "1000000";
/// Appends that a child tries after the first that was refused.
const TRIES_AFTER: usize = 3;

/// A role: appends as many flushed events of some length as its name says, one after the other, and says which were
/// acknowledged and which refused.
pub(crate) fn append_flushed(log: &SqliteLog, name: &str) {
    // Long enough that the write-ahead log is soon moved into the database.
    let filling = "x".repeat(24 * 1024);
    let mut refused = 0;
    let limit: u64 = name.parse().unwrap();
    for number in 0..limit {
        let text = format!("{number} {filling}");
        match log.submit(batch("a", Authority::Exclusive, &[&text])).wait() {
            Ok(appended) => println!("ack {} {number}", appended.topics[0].last),
            Err(error) => {
                println!("refused {}", error.code());
                refused += 1;
            }
        }
        if refused > TRIES_AFTER {
            return;
        }
    }
}

/// Where cargo puts the library for tests of this profile.
fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    let library = profile.join("libbackstay_faults.so");
    assert!(
        library.exists(),
        "{} is not built: run `cargo build -p backstay-faults` first",
        library.display()
    );
    library
}

/// A store, the faults of its disk, and what is surely on it.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("images")).unwrap();
        drop(open(&folder.path().join("store")));
        for name in ["log.db", "log.db-wal"] {
            std::fs::copy(folder.path().join("store").join(name), folder.path().join("images").join(name))
                .unwrap();
        }
        Disk { folder }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn start(&self, name: &str, plan: &str) -> Process {
        let at = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (library, under, told, images) = (library(), at("store"), at("told"), at("images"));
        let faults = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("BACKSTAY_FAULTS_UNDER", &under),
            ("BACKSTAY_FAULTS", plan),
            ("BACKSTAY_FAULTS_TOLD", &told),
            ("BACKSTAY_FAULTS_IMAGES", &images),
        ];
        Process::start_with("flushed", &self.store(), name, &faults)
    }

    /// The power goes: of each file only what was flushed is there.
    fn lose_power(&self) {
        let shared = self.store().join("log.db-shm");
        if shared.exists() {
            std::fs::remove_file(shared).unwrap();
        }
        for name in ["log.db", "log.db-wal"] {
            std::fs::copy(self.folder.path().join("images").join(name), self.store().join(name)).unwrap();
        }
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("told")).unwrap_or_default()
    }

    /// What was acknowledged is there with its number, numbers are dense, and writing goes on.
    async fn check(&self, acknowledged: &[String], what: &str) {
        let log = open(&self.store());
        let events = read_by(&log, "a", 100).await;
        for (event, number) in events.iter().zip(1..) {
            assert_eq!(event.seq, Seq(number), "{what}: numbers are dense");
        }
        for line in acknowledged {
            let (number, text) = line.split_once(' ').unwrap();
            let number: usize = number.parse().unwrap();
            let Some(event) = events.get(number - 1) else {
                panic!("{what}: {line} was acknowledged, and there are {} events", events.len());
            };
            let found: String = event.payload.decode().unwrap();
            assert!(found.starts_with(&format!("{text} ")), "{what}: {line} was acknowledged");
        }
        let next = append(&log, "a", &["next"]).topics[0].first;
        assert_eq!(next, Seq(events.len() as u64 + 1), "{what}");
        assert_eq!(log.head(&topic("a")).await.unwrap(), next);
        assert_eq!(everything(&log).await.len() as u64, next.0, "{what}");
    }
}

/// What a child said until it ended: acknowledgements and refusals, in order.
fn listen(mut process: Process) -> Vec<String> {
    let said = std::iter::from_fn(|| process.hear("")).collect::<Vec<_>>();
    process.child.wait().unwrap();
    said.into_iter().filter(|line| line.starts_with("ack ") || line.starts_with("refused ")).collect()
}

fn acknowledged(said: &[String]) -> Vec<String> {
    said.iter().filter_map(|line| line.strip_prefix("ack ").map(str::to_owned)).collect()
}

#[tokio::test]
async fn l7_what_was_acknowledged_as_flushed_survives_the_power() {
    for kill_after in [1, 2, 7, 40, 130, 300] {
        let disk = Disk::new();
        let mut process = disk.start(MANY, "");
        let mut acknowledged: Vec<String> = (0..kill_after).map(|_| process.hear("ack").unwrap()).collect();
        acknowledged.extend(process.kill("ack"));
        disk.lose_power();
        // The last line may be torn.
        acknowledged.pop();
        disk.check(&acknowledged, &format!("{kill_after} acknowledgements")).await;
    }
}

#[tokio::test]
async fn l7_a_flush_of_a_commit_that_fails_ends_writing_and_nothing_acknowledged_is_lost() {
    for nth in [1, 2, 3, 10, 60, 150] {
        let disk = Disk::new();
        // Only one flush fails: the next would succeed, and say nothing about what was lost.
        let said = listen(disk.start(ENOUGH, &format!("fdatasync:log.db-wal:{nth}:EIO")));
        assert_eq!(disk.told().lines().count(), 1, "{nth}: the fault came");
        let refused: Vec<_> = said.iter().skip_while(|line| line.starts_with("ack")).collect();
        assert_eq!(
            refused,
            vec!["refused BKS-L007"; TRIES_AFTER + 1],
            "{nth}: nothing is acknowledged after it"
        );
        disk.lose_power();
        disk.check(&acknowledged(&said), &format!("flush {nth}")).await;
    }
}

#[tokio::test]
async fn l7_a_flush_of_a_checkpoint_that_fails_ends_writing_and_nothing_acknowledged_is_lost() {
    for (file, nth) in [("log.db-wal", 1), ("log.db-wal", 2), ("store/log.db", 1)] {
        let disk = Disk::new();
        let said = listen(disk.start(ENOUGH, &format!("fsync:{file}:{nth}:EIO")));
        assert_eq!(disk.told().lines().count(), 1, "{file} {nth}: the fault came");
        let refused: Vec<_> = said.iter().skip_while(|line| line.starts_with("ack")).collect();
        assert_eq!(refused, vec!["refused BKS-L007"; TRIES_AFTER + 1], "{file} {nth}");
        assert!(said.len() > 50, "{file} {nth}: it wrote until there was something to move: {}", said.len());
        disk.lose_power();
        disk.check(&acknowledged(&said), &format!("{file} {nth}")).await;
    }
}

#[tokio::test]
async fn l17_short_writes_on_a_full_disk_are_told_and_nothing_acknowledged_is_lost() {
    for file in ["log.db-wal", "store/log.db"] {
        for nth in [1, 2, 8, 31] {
            let disk = Disk::new();
            let said = listen(disk.start(MOVED_ONCE, &format!("write:{file}:{nth}+:ENOSPC")));
            assert!(disk.told().lines().count() > 1, "{file} {nth}: the fault came");
            let refused = said.iter().filter(|line| line.starts_with("refused"));
            assert!(
                refused.clone().all(|line| line == "refused BKS-L002"),
                "{file} {nth}: {:?}",
                refused.collect::<Vec<_>>()
            );
            disk.check(&acknowledged(&said), &format!("{file}, write {nth}, as it is")).await;
            disk.lose_power();
            disk.check(&acknowledged(&said), &format!("{file}, write {nth}, without power")).await;
        }
    }
}

#[tokio::test]
async fn l7_a_write_that_fails_once_is_told_and_nothing_acknowledged_is_lost() {
    for nth in [1, 2, 3, 8, 31] {
        let disk = Disk::new();
        let mut process = disk.start(MANY, &format!("write:log.db-wal:{nth}:EIO"));
        // It goes on after the fault.
        let mut said: Vec<String> = (0..60)
            .map(|_| process.hear("").unwrap())
            .filter(|line| line.contains("ack ") || line.contains("refused "))
            .collect();
        said.extend(process.kill("ack").into_iter().map(|line| format!("ack {line}")));
        said.pop();
        assert_eq!(disk.told().lines().count(), 1, "{nth}: the fault came");
        disk.check(&acknowledged(&said), &format!("write {nth}")).await;
    }
}
