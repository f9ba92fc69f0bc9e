//! What a keeper costs. Prints figures; the bounds are far above them, so that only a mistake in kind fails.

mod support;

use std::time::{Duration, Instant};

use backstay_exec::{KeeperEvent, StopReason};
use backstay_model::Epoch;
use support::{Bench, sh};

const ROUNDS: usize = 30;
/// The goal is 10 ms on an idle machine; a shared one may be this slow.
const CHAIN_MAX: Duration = Duration::from_millis(500);
const KEEPER_KIB_MAX: u64 = 16 * 1024;

#[test]
#[expect(clippy::disallowed_methods, reason = "this test measures time")]
fn a_process_that_does_nothing_takes_few_milliseconds() {
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let bench = Bench::new();
            let mut spec = sh("");
            spec.argv = vec!["true".to_owned()];
            let begin = Instant::now();
            let handle = bench.keepers.start(&bench.folder(), &spec).unwrap();
            let (_, mut events) = handle.into_parts();
            let mut exited = Duration::ZERO;
            assert!(events.any(|event| {
                exited = begin.elapsed();
                matches!(event, KeeperEvent::Exited(_))
            }));
            exited
        })
        .collect();
    took.sort();
    println!(
        "start to exited: median {:?}, least {:?}, most {:?}",
        took[ROUNDS / 2],
        took[0],
        took[ROUNDS - 1]
    );
    assert!(took[ROUNDS / 2] < CHAIN_MAX);
}

#[test]
fn a_waiting_keeper_is_small_and_does_not_wake() {
    let bench = Bench::new();
    let handle = bench.keepers.start(&bench.folder(), &sh("exec sleep 600")).unwrap();
    let keeper = handle.control().keeper_pid();
    drop(handle);
    let field = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let resident_kib = field("VmRSS:");
    println!("keeper: {resident_kib} KiB resident, {} KiB anonymous", field("RssAnon:"));
    assert!(resident_kib < KEEPER_KIB_MAX);
    // Ten intervals of a beat that nobody hears.
    std::thread::park_timeout(Duration::from_millis(200));
    let before = field("voluntary_ctxt_switches:");
    std::thread::park_timeout(Duration::from_millis(1_000));
    assert_eq!(field("voluntary_ctxt_switches:"), before, "it woke though nobody is attached");
    match backstay_exec::recover(&bench.folder(), Epoch(2)).unwrap() {
        backstay_exec::Recovered::Attached(handle) => {
            handle.control().stop(Epoch(2), StopReason::Cancel, Duration::ZERO).unwrap();
            assert!(handle.into_parts().1.any(|event| matches!(event, KeeperEvent::Exited(_))));
        }
        other => panic!("{other:?}"),
    }
}
