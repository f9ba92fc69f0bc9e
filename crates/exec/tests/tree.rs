//! The whole tree ends: background children, double forks, sessions of their own, deaf processes.

mod support;

use std::time::Duration;

use backstay_exec::{EndedBy, StopReason};
use backstay_model::Epoch;
use support::{Bench, is_alive, pid_in, sh};

const WITHOUT_GRACE: Duration = Duration::ZERO;

#[test]
fn s9_a_background_child_that_keeps_the_pipe_holds_nobody_up() {
    let bench = Bench::new();
    let record = bench.run("(sleep 45 &); echo done", |spec| spec.timeout_ms = Some(10_000));
    assert_eq!((&record.ended_by, record.exit_code), (&EndedBy::Exit, Some(0)));
    assert_eq!((record.left_behind, record.survivors), (1, 0));
    assert!(record.duration_ms < 1_000, "{} ms", record.duration_ms);
    assert_eq!(bench.stdout(), b"done\n");
}

#[test]
fn s9_a_child_without_the_pipe_is_left_and_ended_too() {
    let bench = Bench::new();
    let pid_file = bench.path("pid");
    let script = format!("sleep 600 >/dev/null 2>&1 </dev/null & echo $! > {pid_file}");
    let record = bench.run(&script, |_| {});
    assert_eq!((record.ended_by, record.left_behind), (EndedBy::Exit, 1));
    assert!(!is_alive(pid_in(&pid_file)));
}

#[test]
fn s9_what_a_child_says_right_after_the_end_is_kept() {
    let bench = Bench::new();
    let record = bench.run("(sleep 0.1; echo late) & echo early", |_| {});
    assert_eq!((record.exit_code, record.left_behind), (Some(0), 0));
    assert_eq!(bench.stdout(), b"early\nlate\n");
}

#[test]
fn s8_a_stop_ends_group_session_and_double_fork() {
    let bench = Bench::new();
    let files: Vec<_> = ["main", "child", "session", "double"].iter().map(|name| bench.path(name)).collect();
    let script = format!(
        "sleep 600 & echo $! > {child}
         setsid sh -c 'echo $$ > {session}; exec sleep 600' &
         (setsid sh -c '(sh -c \"echo \\$\\$ > {double}; exec sleep 600\" &) &' &)
         echo $$ > {main}
         wait",
        main = files[0],
        child = files[1],
        session = files[2],
        double = files[3]
    );
    let running = bench.start(&sh(&script)).unwrap();
    let pids: Vec<u32> = files.iter().map(|file| pid_in(file)).collect();
    assert!(pids.iter().all(|&pid| is_alive(pid)));
    running.control.stop(Epoch(1), StopReason::Suspend, Duration::from_secs(5)).unwrap();
    let record = running.end();
    assert_eq!(record.ended_by, EndedBy::Stop { reason: StopReason::Suspend });
    assert_eq!((record.signal, record.left_behind, record.survivors), (Some(15), 0, 0));
    for pid in pids {
        assert!(!is_alive(pid), "{pid} lives");
    }
}

#[test]
fn s8_timeout_and_stall_end_the_whole_tree() {
    for (timeout_ms, idle_timeout_ms, ended_by) in
        [(Some(400), None, EndedBy::Timeout), (None, Some(400), EndedBy::IdleTimeout)]
    {
        let bench = Bench::new();
        let pid_file = bench.path("pid");
        let script = format!("setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' & wait");
        let record = bench.run(&script, |spec| {
            spec.timeout_ms = timeout_ms;
            spec.idle_timeout_ms = idle_timeout_ms;
        });
        assert_eq!(record.ended_by, ended_by);
        assert!(!is_alive(pid_in(&pid_file)));
    }
}

#[test]
fn s8_who_ignores_term_is_killed_after_the_grace() {
    let bench = Bench::new();
    let pid_file = bench.path("pid");
    let script = format!(
        "trap '' TERM; sh -c 'echo $$ > {pid_file}; while :; do sleep 1; done' & while :; do sleep 1; done"
    );
    let running = bench.start(&sh(&script)).unwrap();
    let child = pid_in(&pid_file);
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::from_millis(300)).unwrap();
    let record = running.end();
    assert_eq!((record.signal, record.survivors), (Some(9), 0));
    assert!(!is_alive(child) && !is_alive(running.control.pid()));
}

#[test]
fn s8_who_forks_while_being_killed_does_not_get_away() {
    let bench = Bench::new();
    let ready = bench.path("ready");
    let script =
        format!("trap '' TERM; f() {{ sleep 600 & sleep 0.01; f & wait; }}; f & echo $$ > {ready}; wait");
    let running = bench.start(&sh(&script)).unwrap();
    pid_in(&ready);
    running.control.stop(Epoch(1), StopReason::Cancel, WITHOUT_GRACE).unwrap();
    let record = running.end();
    assert_eq!((record.signal, record.survivors), (Some(9), 0));
    let keeper = format!("BACKSTAY_KEEPER={}", mark_of(&bench));
    for process in std::fs::read_dir("/proc").unwrap() {
        let environ = std::fs::read(process.unwrap().path().join("environ")).unwrap_or(Vec::new());
        assert!(!environ.windows(keeper.len()).any(|window| window == keeper.as_bytes()));
    }
}

#[test]
fn s8_a_stopped_process_ends_as_well() {
    let bench = Bench::new();
    let pid_file = bench.path("pid");
    let running = bench.start(&sh(&format!("echo $$ > {pid_file}; kill -STOP $$; echo on"))).unwrap();
    pid_in(&pid_file);
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::from_secs(30)).unwrap();
    assert_eq!(running.end().signal, Some(15));
}

#[test]
fn a_second_stop_can_only_shorten_the_grace() {
    let bench = Bench::new();
    let ready = bench.path("ready");
    let running =
        bench.start(&sh(&format!("trap '' TERM; echo $$ > {ready}; while :; do sleep 1; done"))).unwrap();
    pid_in(&ready);
    running.control.stop(Epoch(1), StopReason::Suspend, Duration::from_secs(600)).unwrap();
    running.control.stop(Epoch(1), StopReason::Cancel, WITHOUT_GRACE).unwrap();
    let record = running.end();
    assert_eq!((record.ended_by, record.signal), (EndedBy::Stop { reason: StopReason::Suspend }, Some(9)));
}

#[test]
fn times_that_no_clock_can_tell_end_nobody() {
    let bench = Bench::new();
    let ready = bench.path("ready");
    let mut spec = sh(&format!("trap '' TERM; echo $$ > {ready}; while :; do sleep 1; done"));
    (spec.timeout_ms, spec.idle_timeout_ms) = (Some(u64::MAX), Some(u64::MAX));
    (spec.grace_ms, spec.idle_notice_ms, spec.beat_ms) = (u64::MAX, Some(u64::MAX), u64::MAX);
    let running = bench.start(&spec).unwrap();
    pid_in(&ready);
    running.control.stop(Epoch(1), StopReason::Suspend, Duration::MAX).unwrap();
    running.control.stop(Epoch(1), StopReason::Suspend, WITHOUT_GRACE).unwrap();
    assert_eq!(running.end().signal, Some(9));
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn mark_of(bench: &Bench) -> String {
    let text = std::fs::read_to_string(bench.folder().join("keeper.json")).unwrap();
    text.split("\"mark\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}
