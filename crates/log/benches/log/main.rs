//! How fast the log is, beside plain SQLite and the disk itself. `cargo xtask bench log` runs it.
//!
//! Figures are medians of rounds in which the peers take turns; only ratios within one run mean anything. A raw probe of
//! the disk before and after says whether the machine was quiet.

mod base;
mod fanout;
mod growth;
mod harness;
mod jobs;
mod probe;
mod replay;
mod table;
mod two;

use backstay_log::Durability;
use harness::Outcome;
use jobs::{Rounds, Size};
use table::Row;

const QUICK: Size = Size {
    rounds: 3,
    alone: 1_500,
    crowd: 40_000,
    prefill: 100_000,
    replay: 200_000,
    growth: 100_000,
    spread: 1_000_000,
};
const FULL: Size = Size {
    rounds: 5,
    alone: 5_000,
    crowd: 200_000,
    prefill: 500_000,
    replay: 1_000_000,
    growth: 1_000_000,
    spread: 5_000_000,
};
/// The probes before and after may differ by this factor.
const QUIET: f64 = 1.5;
/// A flush that takes longer waits for somebody else.
const FLUSH_US_MAX: f64 = 1_000.0;

/// What is asked for.
struct Wanted {
    size: Size,
    only: Vec<String>,
    markdown: bool,
}

fn wanted(arguments: &[String]) -> Outcome<Wanted> {
    let mut wanted = Wanted { size: QUICK, only: Vec::new(), markdown: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--full" => wanted.size = FULL,
            "--markdown" => wanted.markdown = true,
            "--only" => {
                let jobs = arguments.next().ok_or("--only needs jobs, such as J1,J3")?;
                wanted.only = jobs.split(',').map(str::to_uppercase).collect();
            }
            // `cargo bench` says it to every bench.
            "--bench" => {}
            other => return Err(format!("`{other}` is not known: --full, --only J1,J3, --markdown").into()),
        }
    }
    Ok(wanted)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [two::WRITER, store, count] => return two::writer(store, count.parse()?),
        [growth::OPENER, store] => return growth::opener(store),
        _ => {}
    }
    let Wanted { size, only, markdown } = wanted(&arguments)?;
    let is_wanted = |job: &str| only.is_empty() || only.iter().any(|wanted| wanted == job);
    let mut limit = Rounds::default();
    let before = probe::probe()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |found: Vec<Row>| {
        if !markdown {
            print!("{}", table::plain(&found));
        }
        rows.extend(found);
    };
    if is_wanted("J1") {
        add(jobs::appends(Durability::Synced, size, &mut limit)?);
        add(two::processes(size)?);
    }
    if is_wanted("J2") {
        add(jobs::appends(Durability::Buffered, size, &mut limit)?);
    }
    if is_wanted("J3") {
        add(replay::replays(size)?);
    }
    if is_wanted("J4") {
        add(fanout::fan_out(size)?);
    }
    if is_wanted("J5") {
        add(growth::growth(size)?);
    }
    let after = probe::probe()?;
    let (before, after) = (before.percentile_us(0.5), after.percentile_us(0.5));
    let agree = before.max(after) <= QUIET * before.min(after);
    let verdict = match agree {
        _ if before.max(after) > FLUSH_US_MAX => "NOISY: something else keeps the machine busy",
        true => "they agree",
        false => "NOISY: these figures do not count",
    };
    if markdown {
        print!("{}", table::markdown(&rows));
        println!();
    }
    println!("probe of the disk, p50: {before:.0} µs before, {after:.0} µs after: {verdict}");
    let missed = rows.iter().filter(|row| row.is_met() == Some(false)).count();
    let kept = rows.iter().filter(|row| row.is_met() == Some(true)).count();
    println!("goals: {kept} met, {missed} missed");
    Ok(())
}
