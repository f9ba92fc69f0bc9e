//! What a keeper leaves when it is done.

use backstay_model::event::{LostEvidence, Spool};
use backstay_model::{Attempt, EffectId};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::redact::Secrets;

/// The version of [`ExitRecord`]'s JSON form.
pub const EXIT_RECORD_VERSION: u32 = 1;
/// The version of `keeper.json`.
pub(crate) const KEEPER_FILE_VERSION: u32 = 1;

/// Bytes of an exit record without its effect's id, at most: the room that is kept for it from the start.
pub(crate) const EXIT_RECORD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one text of a [`SpawnFailure`] in a record. Each may become six times as long in JSON.
const FAILURE_TEXT_BYTES_MAX: usize = 512;

/// Why an owner stops a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The work is not wanted any more.
    Cancel,
    /// The work is to stand still and to be done again later.
    Suspend,
    /// The work gave no sign of life for longer than it may.
    Silent,
    /// The work is done, and its process stays.
    Over,
    /// The work waits inside for what is in its way.
    Obstacle,
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum SpawnFailure {
    /// There is no such program.
    #[error("there is no program `{program}`{}", if searched.is_some() { " on PATH" } else { "" })]
    NotFound {
        /// As it was given.
        program: String,
        /// The `PATH` that was searched; absent if the program was given with a path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        searched: Option<String>,
    },
    /// The file is there, but may not be executed.
    #[error("`{path}` may not be executed")]
    PermissionDenied {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The folder to work in is not there, or is not a folder.
    #[error("the working folder {cwd} does not exist or is not a folder")]
    CwdMissing {
        /// The folder.
        cwd: Utf8PathBuf,
    },
    /// The system takes fewer bytes of arguments and environment than were given.
    #[error("arguments and environment together are too large for this system")]
    TooLarge,
    /// The file is no program that this system can execute.
    #[error("`{path}` is not a program for this system; a script needs a first line such as #!/bin/sh")]
    NotAProgram {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The system refused for another reason.
    #[error("the system refused to start it: {message} (error {errno})")]
    Refused {
        /// The number of the error, 0 if it has none.
        errno: i32,
        /// The system's words.
        message: String,
    },
}

impl SpawnFailure {
    /// The same for a record: without secrets, and with texts that fit its room, as a `PATH` may have 128 KiB.
    pub(crate) fn for_record(self, secrets: &Secrets) -> SpawnFailure {
        let kept = |text: String| shortened(secrets.redacted(&text));
        let kept_path = |path: Utf8PathBuf| Utf8PathBuf::from(kept(path.into_string()));
        match self {
            SpawnFailure::NotFound { program, searched } => {
                SpawnFailure::NotFound { program: kept(program), searched: searched.map(kept) }
            }
            SpawnFailure::PermissionDenied { path } => {
                SpawnFailure::PermissionDenied { path: kept_path(path) }
            }
            SpawnFailure::CwdMissing { cwd } => SpawnFailure::CwdMissing { cwd: kept_path(cwd) },
            SpawnFailure::TooLarge => SpawnFailure::TooLarge,
            SpawnFailure::NotAProgram { path } => SpawnFailure::NotAProgram { path: kept_path(path) },
            SpawnFailure::Refused { errno, message } => {
                SpawnFailure::Refused { errno, message: kept(message) }
            }
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FAILURE_TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// What ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum EndedBy {
    /// The main process ended by itself.
    Exit,
    /// `timeout_ms` was used up.
    Timeout,
    /// `idle_timeout_ms` was used up.
    IdleTimeout,
    /// An owner stopped it.
    Stop {
        /// Why.
        reason: StopReason,
    },
    /// A signal asked its keeper to end, as a machine does that shuts down.
    Signalled {
        /// The number of the signal.
        signal: i32,
    },
    /// It never began.
    SpawnFailed {
        /// Why.
        #[serde(flatten)]
        failure: SpawnFailure,
    },
}

/// How an attempt ended: the file `exit.json`, written once, durable before anybody hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The version of this form.
    pub version: u32,
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// What ended it.
    pub ended_by: EndedBy,
    /// The exit code of the main process, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the main process, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Awake time from the start to the end of the main process, in milliseconds.
    pub duration_ms: u64,
    /// What came on stdout.
    pub stdout: Spool,
    /// What came on stderr.
    pub stderr: Spool,
    /// Processes that outlived the main one and were ended.
    #[serde(default)]
    pub left_behind: u32,
    /// Processes that could not be ended: another user's, or stuck in the kernel.
    #[serde(default)]
    pub survivors: u32,
}

/// How to find a keeper: the file `keeper.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeeperFile {
    /// The version of this form.
    pub(crate) version: u32,
    /// Which work.
    pub(crate) effect: EffectId,
    /// Which try.
    pub(crate) attempt: Attempt,
    /// The keeper; also the session of everything that did not leave it.
    pub(crate) keeper_pid: u32,
    /// When the keeper started, in the platform's own unit, to tell it from a later process of the same number.
    pub(crate) keeper_started: u64,
    /// The main process; absent until it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// The value of `BACKSTAY_KEEPER` in its processes.
    pub(crate) mark: String,
    /// Where the keeper listens.
    pub(crate) socket: Utf8PathBuf,
    /// The boot that all this belongs to.
    pub(crate) boot: String,
    /// The namespace that the numbers of processes belong to, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid_namespace: Option<u64>,
}

/// The verdict of a recovery that found nothing to attach to: the file `lost.json`. It closes the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostFile {
    /// The version of this form.
    pub(crate) version: u32,
    /// Why nobody can say how it ended.
    pub(crate) evidence: LostEvidence,
    /// Processes that were still there and were ended.
    pub(crate) ended_processes: u32,
}

#[cfg(test)]
mod tests {
    use backstay_model::Digest;

    use super::*;

    #[test]
    fn l17_no_record_outgrows_the_room_that_is_kept_for_it() {
        let spool = || Spool { size_bytes: u64::MAX, digest: Digest::of(b""), lost_bytes: u64::MAX };
        // A control character takes six bytes in JSON.
        let worst = || "\u{1}".repeat(131_071);
        let failures = [
            SpawnFailure::NotFound { program: worst(), searched: Some(worst()) },
            SpawnFailure::PermissionDenied { path: worst().into() },
            SpawnFailure::CwdMissing { cwd: worst().into() },
            SpawnFailure::NotAProgram { path: worst().into() },
            SpawnFailure::Refused { errno: i32::MIN, message: worst() },
        ];
        for failure in failures {
            let record = ExitRecord {
                version: u32::MAX,
                effect: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap(),
                attempt: Attempt(u32::MAX),
                ended_by: EndedBy::SpawnFailed { failure: failure.for_record(&Secrets::of(&[])) },
                exit_code: Some(i32::MIN),
                signal: Some(i32::MIN),
                duration_ms: u64::MAX,
                stdout: spool(),
                stderr: spool(),
                left_behind: u32::MAX,
                survivors: u32::MAX,
            };
            let size_bytes = serde_json::to_vec(&record).unwrap().len() + 1;
            let room_bytes = EXIT_RECORD_BYTES_MAX + serde_json::to_vec(&record.effect).unwrap().len();
            assert!(size_bytes <= room_bytes, "{size_bytes} bytes: {record:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = shortened("ä".repeat(400));
        assert!(text.len() <= FAILURE_TEXT_BYTES_MAX && text.ends_with("ä…"), "{text}");
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
