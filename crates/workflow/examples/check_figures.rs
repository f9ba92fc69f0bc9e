//! What a check of a large workflow takes: `cargo run --release -p backstay-workflow --example check_figures`.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use backstay_model::limits::STEPS_MAX;
use backstay_workflow::{CheckInput, check};

/// Rounds of each size; the one in the middle is printed.
const ROUNDS: usize = 11;

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn main() -> io::Result<()> {
    for steps in [100, 1_000, STEPS_MAX] {
        let list: String = (0..steps).map(|n| format!("  - {{id: s{n}, run: make}}\n")).collect();
        let text = format!("backstay: 1\nname: large\nsteps:\n{list}");
        let mut rounds: Vec<Duration> = Vec::new();
        let mut plan_bytes = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let checked = check(&CheckInput {
                path: "large.yaml",
                text: &text,
                read_file: &|_| Err(io::ErrorKind::NotFound.into()),
                schema_fault: &|_| None,
                reading_fault: &|_| None,
                agents: BTreeMap::new(),
                presets: BTreeMap::new(),
            });
            rounds.push(start.elapsed());
            let checked = checked.map_err(|mistakes| io::Error::other(format!("{mistakes:?}")))?;
            plan_bytes = serde_json::to_string(&checked.plan)?.len();
        }
        rounds.sort();
        println!("{steps} steps: {} µs, {plan_bytes} bytes of plan", rounds[ROUNDS / 2].as_micros());
    }
    Ok(())
}
