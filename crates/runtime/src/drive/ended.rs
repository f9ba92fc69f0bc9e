//! From a keeper's exit record to a report: the output, the log's tail, the artifacts.

use std::fs::{self, File};
use std::io::{self, Read};

use backstay_engine::{EndedBy, ProcessEnded};
use backstay_exec::{ExitRecord, SpoolError, spool};
use backstay_log::BlobError;
use backstay_model::Text;
use backstay_model::limits::{LOG_TAIL_BYTES, OUTPUT_BYTES_MAX};
use camino::{Utf8Path, Utf8PathBuf};

use crate::store::Store;

/// Artifacts of one attempt that events name.
const ARTIFACTS_MAX: usize = 256;

/// What an attempt left, with its texts kept as blobs where they are long.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) process: ProcessEnded,
}

/// What an attempt left cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("cannot read {path}")]
    Read { path: Utf8PathBuf, source: io::Error },
}

/// Reads what the attempt in `folder` (`relative` to the store) left.
pub(super) fn collect(
    store: &Store,
    folder: &Utf8Path,
    relative: &Utf8Path,
    record: &ExitRecord,
) -> Result<Collected, CollectError> {
    let (by, message) = ended_by(record);
    let began = by != EndedBy::SpawnFailed;
    let (output, log) = if began {
        let log = spool::tail(folder, LOG_TAIL_BYTES as u64)?;
        (Some(keep(store, &output_text(folder)?)?), Some(keep(store, &log.text)?))
    } else {
        (None, None)
    };
    let process = ProcessEnded {
        by,
        exit_code: record.exit_code,
        signal: record.signal,
        message,
        duration_ms: record.duration_ms,
        stdout: began.then(|| record.stdout.clone()),
        stderr: began.then(|| record.stderr.clone()),
        output,
        log,
        artifacts: artifacts(folder, relative)?,
        left_behind: record.left_behind,
    };
    Ok(Collected { process })
}

fn ended_by(record: &ExitRecord) -> (EndedBy, Option<String>) {
    match &record.ended_by {
        backstay_exec::EndedBy::Exit => (EndedBy::Exit, None),
        backstay_exec::EndedBy::Timeout => (EndedBy::Timeout, None),
        backstay_exec::EndedBy::IdleTimeout => (EndedBy::IdleTimeout, None),
        backstay_exec::EndedBy::Stop { .. } => (EndedBy::Stop, None),
        backstay_exec::EndedBy::SpawnFailed { failure } => (EndedBy::SpawnFailed, Some(failure.to_string())),
    }
}

/// The file named by `BACKSTAY_OUTPUT`, if the step wrote it, else its stdout.
fn output_text(folder: &Utf8Path) -> Result<String, CollectError> {
    let path = folder.join("output");
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => {
            let limit = OUTPUT_BYTES_MAX as u64;
            file.take(limit).read_to_end(&mut bytes).map_err(|source| CollectError::Read { path, source })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bytes = spool::stdout_bytes(folder, OUTPUT_BYTES_MAX as u64)?;
        }
        Err(source) => return Err(CollectError::Read { path, source }),
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How an event names `text`; a long one is kept first.
fn keep(store: &Store, text: &str) -> Result<Text, BlobError> {
    let kept = Text::of(text);
    if kept.blob().is_some() {
        store.blobs.put(text.as_bytes())?;
    }
    Ok(kept)
}

fn artifacts(folder: &Utf8Path, relative: &Utf8Path) -> Result<Vec<String>, CollectError> {
    let root = folder.join("artifacts");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(at) = waiting.pop() {
        let failed = |source| CollectError::Read { path: at.clone(), source };
        let entries = match at.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.into_path();
            // A link is an artifact itself and is not followed.
            let kind = fs::symlink_metadata(&path).map_err(failed)?;
            if kind.is_dir() {
                waiting.push(path);
            } else if let Ok(inner) = path.strip_prefix(folder) {
                found.push(relative.join(inner).into_string());
            }
        }
    }
    found.sort();
    found.truncate(ARTIFACTS_MAX);
    Ok(found)
}
