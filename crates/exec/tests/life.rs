//! One process from start to end.

mod support;

use backstay_exec::{EndedBy, KeeperEvent, SpawnFailure, StartError, StopReason};
use backstay_model::event::OutputState;
use backstay_model::{Digest, Epoch};
use std::time::Duration;
use support::{Bench, sh};

#[test]
fn a_process_runs_and_leaves_its_record() {
    let bench = Bench::new();
    let running = bench.start(&sh("echo out; echo err >&2; exit 3")).unwrap();
    assert!(matches!(running.next(), KeeperEvent::Running { .. }));
    let record = running.end();
    assert_eq!((&record.ended_by, record.exit_code, record.signal), (&EndedBy::Exit, Some(3), None));
    assert_eq!((record.stdout.size_bytes, record.stdout.digest), (4, Digest::of(b"out\n")));
    assert_eq!((record.stderr.size_bytes, record.stderr.digest), (4, Digest::of(b"err\n")));
    assert_eq!((record.left_behind, record.survivors), (0, 0));
    assert_eq!(bench.stdout(), b"out\n");
    let names: Vec<String> = {
        let mut names: Vec<_> =
            bench.folder().read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names, ["exit.json", "keeper.json", "keeper.lock", "order", "stderr", "stdout", "times"]);
}

#[test]
fn the_environment_is_what_was_given_and_two_marks() {
    let bench = Bench::new();
    let record = bench.run("env | sort | cut -d= -f1 | tr '\\n' ' '; echo $BACKSTAY_EFFECT", |spec| {
        spec.env.insert("ONE".to_owned(), "1".to_owned());
    });
    assert_eq!(record.exit_code, Some(0));
    let text = String::from_utf8(bench.stdout()).unwrap();
    assert_eq!(
        text,
        "BACKSTAY_EFFECT BACKSTAY_KEEPER ONE PATH PWD run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main\n"
    );
}

#[test]
fn stdin_is_fed_to_its_end_however_slowly_it_is_read() {
    let bench = Bench::new();
    let text = "0123456789".repeat(100_000);
    let digest = Digest::of(text.as_bytes());
    let record = bench.run("cat", |spec| spec.stdin = Some(text));
    assert_eq!((record.stdout.size_bytes, record.stdout.digest), (1_000_000, digest));
}

#[test]
fn stdin_that_nobody_reads_holds_nobody_up() {
    let bench = Bench::new();
    let record = bench.run("exec 0<&-; echo done", |spec| spec.stdin = Some("x".repeat(1_000_000)));
    assert_eq!((record.exit_code, record.stdout.size_bytes), (Some(0), 5));
}

#[test]
fn without_text_stdin_is_empty() {
    let bench = Bench::new();
    let record = bench.run("cat; echo end", |_| {});
    assert_eq!((record.exit_code, record.stdout.size_bytes), (Some(0), 4));
}

#[test]
fn a_program_that_does_not_exist_is_said_with_where_it_was_looked_for() {
    let bench = Bench::new();
    let mut spec = sh("");
    spec.argv = vec!["no-such-agent".to_owned()];
    let failure = SpawnFailure::NotFound {
        program: "no-such-agent".to_owned(),
        searched: Some("/usr/local/bin:/usr/bin:/bin".to_owned()),
    };
    assert_eq!(failure.to_string(), "there is no program `no-such-agent` on PATH");
    match bench.start(&spec).err().unwrap() {
        StartError::Spawn { source } => assert_eq!(source, failure),
        other => panic!("{other:?}"),
    }
    match support::recover(&bench.folder(), Epoch(2)).unwrap() {
        backstay_exec::Recovered::Ended(record) => {
            assert_eq!(record.ended_by, EndedBy::SpawnFailed { failure })
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_working_folder_that_does_not_exist_is_said() {
    let bench = Bench::new();
    let mut spec = sh("true");
    spec.cwd = "/no/such/folder".into();
    match bench.start(&spec).err().unwrap() {
        StartError::Spawn { source } => {
            assert_eq!(source, SpawnFailure::CwdMissing { cwd: "/no/such/folder".into() })
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_no_program_is_said() {
    let bench = Bench::new();
    let path = bench.path("notes.txt");
    std::fs::write(&path, "hello").unwrap();
    let mut spec = sh("");
    spec.argv = vec![path.to_string()];
    match bench.start(&spec).err().unwrap() {
        StartError::Spawn { source } => {
            assert_eq!(source, SpawnFailure::PermissionDenied { path: path.clone() })
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_is_used_once() {
    let bench = Bench::new();
    bench.run("true", |_| {});
    assert!(matches!(bench.start(&sh("true")).err().unwrap(), StartError::FolderInUse { .. }));
}

#[test]
fn s10_output_without_newlines_counts_and_other_bytes_are_kept() {
    let bench = Bench::new();
    let running = bench.start(&sh("printf 'a\\377b'; exec sleep 600")).unwrap();
    let beat = running.wait(|event| match event {
        KeeperEvent::Beat(beat) if beat.stdout_bytes == 3 => Some(beat),
        _ => None,
    });
    assert_eq!((beat.stdout_delta, beat.output_state, beat.pid_alive), (3, OutputState::LowOutput, true));
    let quiet = running.wait(|event| match event {
        KeeperEvent::Beat(beat) if beat.stdout_delta == 0 => Some(beat),
        _ => None,
    });
    assert_eq!((quiet.stagnant_beats, quiet.output_state), (1, OutputState::Quiet));
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    let record = running.end();
    assert_eq!(record.ended_by, EndedBy::Stop { reason: StopReason::Cancel });
    assert_eq!((record.exit_code, record.signal), (None, Some(9)));
    assert_eq!(bench.stdout(), b"a\xffb");
    assert_eq!(backstay_exec::spool::tail(&bench.folder(), 100).unwrap().text, "a\u{fffd}b");
}

#[test]
fn s11_a_secret_split_over_two_writes_reaches_no_file() {
    let bench = Bench::new();
    let script = "printf 'one hunter'; sleep 0.05; printf '22! two '; printf hunter22! >&2; echo \"$GIVEN\"";
    let record = bench.run(script, |spec| {
        spec.env.insert("API_TOKEN".to_owned(), "hunter22!".to_owned());
        spec.env.insert("GIVEN".to_owned(), "explicit value".to_owned());
        spec.redact =
            vec![backstay_exec::Redaction { name: "GIVEN".to_owned(), value: "explicit value".to_owned() }];
    });
    assert_eq!(record.exit_code, Some(0));
    assert_eq!(String::from_utf8(bench.stdout()).unwrap(), "one [redacted:API_TOKEN] two [redacted:GIVEN]\n");
    for file in bench.folder().read_dir_utf8().unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&b"hunter22!"[..], b"explicit value"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[test]
fn s16_runaway_output_is_cut_counted_and_marked() {
    let bench = Bench::new();
    let mebibyte = 1024 * 1024_u64;
    let total = if std::env::var_os("BACKSTAY_TEST_ALL").is_some() { 1024 * mebibyte } else { 64 * mebibyte };
    let running = {
        let mut spec = sh(&format!("head -c {total} /dev/zero"));
        spec.output_limit_bytes = mebibyte;
        bench.start(&spec).unwrap()
    };
    let status = format!("/proc/{}/status", running.control.keeper_pid());
    let mut peak_kib = 0;
    let record = loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak_kib = kib.unwrap_or(0).max(peak_kib);
        }
        if let KeeperEvent::Exited(record) = running.next() {
            break *record;
        }
    };
    let marker = "\n[backstay: output cut at its limit of 1048576 bytes, what follows is only counted]\n";
    assert_eq!(record.stdout.size_bytes, mebibyte + marker.len() as u64);
    assert_eq!(record.stdout.lost_bytes, total - mebibyte);
    assert!(bench.stdout().ends_with(marker.as_bytes()));
    assert!(peak_kib < 16 * 1024, "the keeper grew to {peak_kib} KiB");
}

#[test]
fn timeout_ends_it_and_says_so() {
    let bench = Bench::new();
    let record = bench.run("echo begun; sleep 600", |spec| spec.timeout_ms = Some(200));
    assert_eq!((record.ended_by, record.signal), (EndedBy::Timeout, Some(15)));
    assert!((200..5_000).contains(&record.duration_ms), "{} ms", record.duration_ms);
}

#[test]
fn s8_a_stall_is_announced_before_it_is_ended() {
    let bench = Bench::new();
    let mut spec = sh("echo begun; exec sleep 600");
    spec.idle_timeout_ms = Some(500);
    let running = bench.start(&spec).unwrap();
    let (silent_ms, stop_in_ms) = running.wait(|event| match event {
        KeeperEvent::Stalled { silent_ms, stop_in_ms } => Some((silent_ms, stop_in_ms)),
        KeeperEvent::Exited(record) => panic!("ended before it was announced: {record:?}"),
        _ => None,
    });
    assert!(silent_ms >= 400, "{silent_ms}");
    assert_eq!(stop_in_ms, Some(500_u64.saturating_sub(silent_ms)));
    assert_eq!(running.end().ended_by, EndedBy::IdleTimeout);
}

#[test]
fn output_keeps_an_idle_timeout_away() {
    let bench = Bench::new();
    let record = bench
        .run("for i in 1 2 3 4 5 6; do printf .; sleep 0.2; done", |spec| spec.idle_timeout_ms = Some(600));
    assert_eq!((record.ended_by, record.stdout.size_bytes), (EndedBy::Exit, 6));
}
