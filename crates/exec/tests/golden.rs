//! Stored forms are frozen: each version's files are read for good, and written the same.

use backstay_exec::{EndedBy, ExitRecord, SpawnFailure, StopReason};
use backstay_model::event::Spool;
use backstay_model::{Attempt, Digest};

fn record(attempt: Attempt, ended_by: EndedBy) -> ExitRecord {
    let nothing = || Spool { size_bytes: 0, digest: Digest::of(b""), lost_bytes: 0 };
    ExitRecord {
        version: 1,
        effect: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().expect("an effect"),
        attempt,
        ended_by,
        exit_code: None,
        signal: None,
        duration_ms: 0,
        stdout: nothing(),
        stderr: nothing(),
        left_behind: 0,
        survivors: 0,
    }
}

#[test]
fn exit_record_version_1_is_frozen() {
    let stopped = ExitRecord {
        exit_code: Some(0),
        duration_ms: 1234,
        stdout: Spool { size_bytes: 4, digest: Digest::of(b""), lost_bytes: 7 },
        left_behind: 1,
        ..record(Attempt(2), EndedBy::Stop { reason: StopReason::Suspend })
    };
    let failure = SpawnFailure::NotFound { program: "codex".to_owned(), searched: Some("/bin".to_owned()) };
    let failed = record(Attempt(1), EndedBy::SpawnFailed { failure });
    let silent =
        ExitRecord { signal: Some(9), ..record(Attempt(4), EndedBy::Stop { reason: StopReason::Silent }) };
    let told = ExitRecord { signal: Some(15), ..record(Attempt(3), EndedBy::Signalled { signal: 15 }) };
    for (record, golden) in [
        (stopped, include_str!("golden/exit_v1.json")),
        (silent, include_str!("golden/exit_v1_silent.json")),
        (told, include_str!("golden/exit_v1_signalled.json")),
        (failed, include_str!("golden/exit_v1_spawn_failed.json")),
    ] {
        assert_eq!(serde_json::from_str::<ExitRecord>(golden).unwrap(), record);
        assert_eq!(serde_json::to_string(&record).unwrap(), golden.trim_end());
    }
}
