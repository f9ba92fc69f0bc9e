//! What a long loop takes while it goes on, and what a store takes once its runs are freed, with the real binary.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs;
use std::time::{Duration, Instant};

use backstay_engine::record::RunStatus;
use backstay_tests::{PATIENCE, World, all};
use camino::Utf8Path;

/// Cycles after which an owner has all that it needs.
const SETTLED: u32 = 100;
/// Between two looks at its memory. Nothing is waited for so: a look more or less changes nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What it may grow by afterwards.
const GROWTH_BYTES_MAX: u64 = 5 << 20;
/// What an owner may grow by whatever it does. From cycle 100 on, 100 cycles were measured to take 0.40 to 0.56 MiB, and 900 of
/// them 2.4 MiB. With the share of the bound this allows 0.86 MiB for 100; a leak of 9 KB a cycle adds 0.6 MiB at least.
const SLACK_BYTES: u64 = 300 << 10;
/// What a store may take beside the record of its only run.
const BESIDE_RECORD_BYTES_MAX: u64 = 1 << 20;

fn flow(cycles: u32) -> String {
    format!(
        "backstay: 1\nname: spin\nsteps:\n  - id: spin\n    repeat: {{until: steps.b.exit_code == 9, max_cycles: {cycles}, min_cycle: 0s, on_exhausted: continue}}\n    steps:\n      - {{id: a, run: 'true'}}\n      - {{id: b, run: 'head -c 9000 /dev/zero | tr \"\\\\0\" x; echo ${{{{ run.id }}}}', accept_exit: 0-9}}\n  - {{id: after, run: 'test -n \"${{{{ steps.b.output }}}}\"'}}\n"
    )
}

/// The memory of a process that is its own, in bytes: what of it is files is the system's.
fn own_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn folder_bytes(folder: &Utf8Path) -> u64 {
    folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap()).fold(0, |sum, entry| {
        let found = fs::symlink_metadata(entry.path()).unwrap();
        sum + if found.is_dir() { folder_bytes(entry.path()) } else { found.len() }
    })
}

/// Runs a loop of so many cycles; its owner's memory is looked at with each cycle. Then all of it is freed.
#[expect(clippy::disallowed_methods, reason = "the memory of another process is sampled while it works")]
fn a_loop_of(cycles: u32) {
    let world = World::new();
    world.write("flow.yaml", &flow(cycles));
    let owner = world.start(&["run", "flow.yaml"]);
    let begun = Instant::now();
    let (mut samples, mut cycle) = (Vec::new(), 0);
    while cycle < cycles {
        assert!(begun.elapsed() < PATIENCE * 10, "cycle {cycle} of {cycles}");
        cycle = owner.said().lines().filter(|line| line.contains("spin: cycle ")).count() as u32;
        let Some(bytes) = own_bytes(owner.pid()) else { break };
        samples.push((cycle, bytes));
        std::thread::sleep(LOOK_EVERY);
    }
    let (status, out) = owner.end();
    assert!(status.success(), "{out}");
    // What it has all the time: what it needs for a moment says nothing.
    let quarter = (cycles - SETTLED) / 4;
    let least = |from: u32| {
        let during = samples.iter().filter(|(cycle, _)| (from..from + quarter).contains(cycle));
        during.map(|(_, bytes)| *bytes).min().expect("the loop was looked at")
    };
    let (settled, last) = (least(SETTLED), least(cycles - quarter));
    // 900 cycles may grow by the whole, fewer by their share and what an allocator keeps.
    let most_growth = GROWTH_BYTES_MAX * u64::from(cycles - SETTLED) / 900 + SLACK_BYTES;
    assert!(
        last <= settled + most_growth.min(GROWTH_BYTES_MAX),
        "an owner grew from {settled} to {last} bytes in {} cycles",
        cycles - SETTLED
    );

    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    let pruned = world.run(&["prune", "--older", "0s"]);
    assert!(pruned.status.success(), "{pruned:?}");
    let shown = world.run(&["show", "--json"]);
    assert!(shown.status.success(), "{shown:?}");
    let record_bytes = serde_json::to_vec(&world.record()).unwrap().len() as u64;
    let store = world.path().join(".backstay");
    let taken = folder_bytes(&store);
    assert!(
        taken <= record_bytes + BESIDE_RECORD_BYTES_MAX,
        "the store takes {taken} bytes, its record {record_bytes}: {:?}",
        files(&store)
    );
    let checked = world.run(&["store", "check"]);
    assert!(checked.status.success(), "{checked:?}");
}

fn files(folder: &Utf8Path) -> Vec<(String, u64)> {
    folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap()).fold(Vec::new(), |mut found, entry| {
        let size = fs::symlink_metadata(entry.path()).unwrap();
        let bytes = if size.is_dir() { folder_bytes(entry.path()) } else { size.len() };
        found.push((entry.file_name().to_owned(), bytes));
        found
    })
}

#[test]
fn an_owner_of_a_long_loop_stays_as_large_as_it_is_and_a_freed_run_leaves_its_record() {
    a_loop_of(200);
}

#[test]
fn an_owner_of_a_thousand_cycles_stays_as_large_as_it_is() {
    if all() {
        a_loop_of(1_000);
    }
}
