//! The keeper dies at each of its points, once; the folder is never left in doubt and nothing stays alive.
#![cfg(feature = "crash-points")]

mod support;

use backstay_exec::{KeeperEvent, Recovered, StartError, crash_point};
use backstay_model::Epoch;
use backstay_model::event::LostEvidence;
use camino::Utf8PathBuf;
use support::{Bench, is_alive, sh};

/// What is known of an agent whose keeper died at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing began.
    NotBegun,
    /// It may have begun; its tree is gone.
    Lost,
    /// How it ended.
    Record,
}

fn expected(point: &str) -> Known {
    match point {
        "keeper.after_start"
        | "keeper.after_lock"
        | "keeper.after_spec"
        | "keeper.after_reserve"
        | "keeper.after_listen"
        | "keeper.after_machinery" => Known::NotBegun,
        "keeper.after_rename" | "keeper.after_folder" | "keeper.after_exited" => Known::Record,
        _ => Known::Lost,
    }
}

#[test]
fn every_point_leaves_a_folder_that_says_what_is_known() {
    for &point in crash_point::POINTS {
        let bench = Bench::new();
        let pid_file = bench.path("pid");
        let keepers = backstay_exec::Keepers::new(
            Utf8PathBuf::from("/usr/bin/env"),
            vec![format!("{}={point}", crash_point::VARIABLE), support::keeper_program().to_string()],
            vec![bench.path("s")],
        );
        let script = format!("setsid sleep 600 >/dev/null 2>&1 & echo $! > {pid_file}; echo done");
        let known = match keepers.start(&bench.folder(), &sh(&script)) {
            Err(StartError::NotBegun) => None,
            Err(StartError::Unclear) => Some(Known::Lost),
            Err(other) => panic!("{point}: {other:?}"),
            Ok(handle) => match handle.into_parts().1.last() {
                Some(KeeperEvent::Exited(_)) => Some(Known::Record),
                Some(KeeperEvent::KeeperGone) => Some(Known::Lost),
                other => panic!("{point}: {other:?}"),
            },
        };
        let recovered = match support::recover(&bench.folder(), Epoch(2)).unwrap() {
            Recovered::Ended(record) => {
                assert_eq!((record.exit_code, record.stdout.size_bytes), (Some(0), 5), "{point}");
                Known::Record
            }
            Recovered::Lost { evidence: LostEvidence::NotBegun, ended_processes: 0 } => Known::NotBegun,
            Recovered::Lost { evidence: LostEvidence::KeeperDead, .. } => Known::Lost,
            other => panic!("{point}: {other:?}"),
        };
        assert_eq!(recovered, expected(point), "{point}");
        assert_eq!(
            known.unwrap_or(Known::NotBegun),
            recovered,
            "{point}: the starter knows what recovery finds"
        );
        if let Ok(pid) = std::fs::read_to_string(&pid_file) {
            assert!(!pid.trim().parse().is_ok_and(is_alive), "{point}: {pid} lives");
        }
    }
}
