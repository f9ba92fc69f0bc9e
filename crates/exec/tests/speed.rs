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
    match support::recover(&bench.folder(), Epoch(2)).unwrap() {
        backstay_exec::Recovered::Attached(handle) => {
            handle.control().stop(Epoch(2), StopReason::Cancel, Duration::ZERO).unwrap();
            assert!(handle.into_parts().1.any(|event| matches!(event, KeeperEvent::Exited(_))));
        }
        other => panic!("{other:?}"),
    }
}

/// Processes that have nothing to do with the agent, and beats over which the cost is taken.
const STRANGERS: usize = 200;
const BEATS: u64 = 10;
/// Reads that one beat may take for a tree of three processes: far fewer than there are processes.
const READS_MAX: u64 = 40;

#[cfg(target_os = "linux")]
#[test]
fn a_beat_tells_the_work_of_the_tree_and_looks_at_nobody_else() {
    let strangers: Vec<std::process::Child> =
        (0..STRANGERS).map(|_| std::process::Command::new("sleep").arg("600").spawn().unwrap()).collect();
    let bench = Bench::new();
    let work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 600";
    let mut spec = sh(&format!("setsid sh -c '{work}' & wait"));
    spec.beat_ms = 20;
    let running = bench.start(&spec).unwrap();
    // The time is a grandchild's in a session of its own.
    let beat = |event| match event {
        KeeperEvent::Beat(beat) => Some(beat),
        _ => None,
    };
    while running.wait(beat).cpu_ms.unwrap() < 50 {}
    let reads = || -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/io", running.control.keeper_pid())).unwrap();
        text.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    };
    let before = reads();
    for _ in 0..BEATS {
        running.wait(beat);
    }
    // Heartbeats that came before the first count may have waited to be heard.
    let each = (reads() - before) / BEATS;
    println!("{each} reads for each beat");
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    running.end();
    for mut stranger in strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    assert!(each <= READS_MAX, "{each} reads for each beat");
}
