//! A keeper that is told to end by a signal takes its agent with it and says so.

mod support;

use std::time::Duration;

use backstay_exec::{EndedBy, Recovered, StopReason};
use backstay_model::Epoch;
use rustix::process::Signal;
use support::{Bench, is_alive, pid_in, send, sh};

#[test]
fn s8_a_keeper_that_is_told_to_end_ends_its_whole_tree_and_leaves_a_record() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let bench = Bench::new();
        let pid_file = bench.path("pid");
        let script = format!("echo begun; setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' & wait");
        let running = bench.start(&sh(&script)).unwrap();
        let child = pid_in(&pid_file);
        send(running.control.keeper_pid(), signal);
        let record = running.end();
        assert_eq!(record.ended_by, EndedBy::Signalled { signal: signal.as_raw() });
        assert_eq!((record.signal, record.survivors), (Some(15), 0));
        assert_eq!(bench.stdout(), b"begun\n");
        assert!(!is_alive(child) && !is_alive(running.control.pid()), "{signal:?}");
        assert!(matches!(support::recover(&bench.folder(), Epoch(2)).unwrap(), Recovered::Ended(_)));
    }
}

#[test]
fn s8_who_ignores_term_is_killed_after_the_grace_of_the_spec() {
    let bench = Bench::new();
    let ready = bench.path("ready");
    let script = format!("trap '' TERM; echo $$ > {ready}; while :; do sleep 1; done");
    let running = bench.start(&sh(&script)).unwrap();
    pid_in(&ready);
    send(running.control.keeper_pid(), Signal::TERM);
    assert_eq!(running.end().signal, Some(9));
}

#[test]
fn what_is_told_during_a_stop_shortens_its_grace_and_changes_nothing_else() {
    let bench = Bench::new();
    let ready = bench.path("ready");
    let stopping = bench.path("stopping");
    let script =
        format!("trap 'echo 1 > {stopping}' TERM; echo $$ > {ready}; while :; do sleep 600 & wait; done");
    let running = bench.start(&sh(&script)).unwrap();
    pid_in(&ready);
    running.control.stop(Epoch(1), StopReason::Suspend, Duration::from_secs(600)).unwrap();
    pid_in(&stopping);
    send(running.control.keeper_pid(), Signal::TERM);
    let record = running.end();
    assert_eq!((record.ended_by, record.signal), (EndedBy::Stop { reason: StopReason::Suspend }, Some(9)));
}

#[test]
fn s8_where_the_agent_is_told_first_the_record_says_the_same() {
    for script in ["exec sleep 600", "sleep 600; exit $?"] {
        let bench = Bench::new();
        let ready = bench.path("ready");
        let running = bench.start(&sh(&format!("echo $$ > {ready}; {script}"))).unwrap();
        pid_in(&ready);
        // As a machine that shuts down tells everybody, the keeper last.
        rustix::process::kill_process_group(support::pid(running.control.pid()), Signal::TERM).unwrap();
        send(running.control.keeper_pid(), Signal::TERM);
        assert_eq!(running.end().ended_by, EndedBy::Signalled { signal: 15 }, "{script}");
    }
}

#[test]
fn an_agent_that_alone_is_told_has_ended_by_itself() {
    let bench = Bench::new();
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    send(running.control.pid(), Signal::TERM);
    let record = running.end();
    assert_eq!((record.ended_by, record.signal), (EndedBy::Exit, Some(15)));
    assert!(record.duration_ms < 400, "the wait for a word is none of its time: {} ms", record.duration_ms);
}
