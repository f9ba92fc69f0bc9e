//! What surrounds the binary: time zones, clocks, signals and limits that it inherits, and what the agents get of them.

#![cfg(target_os = "linux")]

use std::fs;

use backstay_engine::record::RunRecord;
use backstay_runtime::{Clock, SystemClock};
use backstay_tests::folder::said;
use backstay_tests::{World, faults};

/// A flow of one step that succeeds.
const FLOW: &str = "backstay: 1\nname: small\nsteps: [{id: one, run: 'true'}]\n";
/// A day, for a clock that is set back.
const DAY_BACK_S: &str = "-86400";

#[test]
fn a_time_zone_is_known_by_its_name_where_the_system_has_no_zones() {
    let world = World::new();
    fs::create_dir(world.path().join("zoneinfo")).unwrap();
    // An hour from now, as it is told in Tokyo, nine hours ahead.
    world
        .fake("fake")
        .turn(1, "fails \"usage limit, try again in $(date -u -d '+10 hours' '+%-I:%M %p') (Asia/Tokyo)\"");
    world.write("flow.yaml", "backstay: 1\nsteps: [{id: fix, agent: fake, prompt: x}]\n");
    let mut run = world.command(&["run", "flow.yaml", "--detach"]);
    run.env("TZDIR", world.path().join("zoneinfo")).env("TZ", "UTC");
    assert!(run.status().unwrap().success());
    let is_parked = |record: &RunRecord| record.steps.iter().any(|step| step.limit.is_some());
    let record = world.record_when("waits for the limit", is_parked);
    let limit = record.steps.iter().find_map(|step| step.limit.clone()).unwrap();
    let wait = limit.until.since(SystemClock.wall());
    assert!((55 * 60..=65 * 60).contains(&wait.as_secs()), "an hour is left: {wait:?}, {limit:?}");
    let asked_at = |zone: &str| {
        let mut ls = world.command(&["ls"]);
        ls.env("TZDIR", world.path().join("zoneinfo")).env("TZ", zone);
        let output = ls.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = said(&output);
        let (at, _) = text.match_indices(':').next().expect("a time of the day");
        let minute = |text: &str| -> Option<u32> {
            let (hour, minute) = text.split_once(':')?;
            Some(hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?)
        };
        minute(&text[at - 2..at + 3]).expect("a time of the day")
    };
    let ahead = (asked_at("Asia/Tokyo") + 24 * 60 - asked_at("UTC")) % (24 * 60);
    assert_eq!(ahead, 9 * 60, "Tokyo is nine hours ahead");
    assert!(world.run(&["cancel", "@last"]).status.success());
}

#[test]
fn the_last_run_is_the_newest_after_the_clock_went_back() {
    let world = World::new();
    world.write("first.yaml", &FLOW.replace("small", "first"));
    world.write("second.yaml", &FLOW.replace("small", "second"));
    assert!(world.run(&["run", "first.yaml"]).status.success());
    let mut second = world.command(&["run", "second.yaml"]);
    second.env("LD_PRELOAD", faults()).env("BACKSTAY_FAULTS_CLOCK_S", DAY_BACK_S);
    assert!(second.status().unwrap().success());
    let shown = said(&world.run(&["show", "@last", "--json"]));
    assert!(shown.contains("\"second\"") && !shown.contains("\"first\""), "{shown}");
    let listed = said(&world.run(&["ls"]));
    let place = |name: &str| listed.find(name).unwrap_or_else(|| panic!("{name}: {listed}"));
    assert!(place("second") < place("first"), "the newest is first: {listed}");
}
