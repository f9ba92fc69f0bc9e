//! What a run costs beyond its processes: `cargo bench -p backstay-tests` after `cargo build --release -p backstay-cli`.
//!
//! * A run of three steps of `true`, from start to exit, on a warm store, against three bare `true` under the same
//!   shell: medians of interleaved rounds.
//! * A run that waits for a long step: CPU time over a while, and resident memory, of the owner.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backstay_tests::World;

/// Rounds whose medians are printed.
const ROUNDS: usize = 31;
/// How long the waiting run is looked at.
const WAITING: Duration = Duration::from_secs(20);
/// CPU ticks a second in `/proc/PID/stat` (USER_HZ, fixed on Linux).
const TICKS_A_SECOND: f64 = 100.0;

const THREE: &str = "backstay: 1\nname: three\nsteps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n  - {id: c, run: 'true'}\n";
const LONG: &str = "backstay: 1\nname: long\nsteps:\n  - {id: a, run: 'echo up > up; sleep 600'}\n";

fn main() {
    three_steps();
    waiting();
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn timed(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn three_steps() {
    let world = World::new();
    world.write("flow.yaml", THREE);
    let run = || {
        let output = world.run(&["run", "flow.yaml"]);
        assert!(output.status.success(), "{output:?}");
    };
    let bare = || {
        for _ in 0..3 {
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", "true"]).stdin(Stdio::null());
            assert!(command.status().expect("bash starts").success());
        }
    };
    run(); // The store is warm from here on.
    let (mut runs, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        runs.push(timed(run));
        bares.push(timed(bare));
    }
    let (run, bare) = (median(runs), median(bares));
    println!(
        "three steps of true   run {run:6.1} ms   bare processes {bare:6.1} ms   beyond them {:6.1} ms (goal 60)",
        run - bare
    );
}

fn waiting() {
    let world = World::new();
    let up = world.gate("up");
    world.write("flow.yaml", LONG);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(up.wait(), "up\n");
    let before = cpu_seconds(run.pid());
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    assert!(never.recv_timeout(WAITING).is_err());
    let share = (cpu_seconds(run.pid()) - before) / WAITING.as_secs_f64() * 100.0;
    let resident = resident_mib(run.pid());
    println!("a run that waits      {share:.2} % of a core (goal 1)   {resident:.1} MiB resident (goal 40)");
    let output = world.run(&["cancel", "@last"]);
    assert!(output.status.success(), "{output:?}");
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the owner is there");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc(5): user and system time; the first two are before the parenthesis.
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the owner is there");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("0");
    line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).next().unwrap_or(0.0) / 1024.0
}
