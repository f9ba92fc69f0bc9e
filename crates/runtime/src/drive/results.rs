//! From a keeper's exit record to a report: the output, the log's tail, the artifacts.
//!
//! What the step left is the step's: if it is odd, damaged or too long, the report says so and the run goes on by it. Only
//! what lies with this machine (no room, no memory, no descriptors) keeps the report from being made.

use std::fs::File;
use std::io::{self, Read};

use backstay_agent::LINE_BYTES_MAX;
use backstay_engine::{EndedBy, OutputProblem, ProcessEnded, json_of};
use backstay_exec::{ExitRecord, Secrets, SpoolError, StopReason, spool};
use backstay_files::{Dir, Refused, if_there};
use backstay_log::BlobError;
use backstay_model::Text;
use backstay_model::event::Spool;
use backstay_model::limits::{LOG_TAIL_BYTES, OUTPUT_BYTES_MAX};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::io::Errno;

use super::artifacts::{Artifacts, find_artifacts};
use crate::agents::{Answer, Finding, Shape};
use crate::store::Store;

/// What this machine cannot do for now; another try may succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("cannot read {path}")]
    Read { path: Utf8PathBuf, source: io::Error },
}

/// The text of an output, and why it is not all.
#[derive(Debug)]
struct Output {
    text: Option<String>,
    problem: Option<OutputProblem>,
}

/// Reads what the attempt in `folder` (`relative` to the store) left; long texts are kept as blobs. What an agent said is in
/// `finding`: its stdout is no text for people.
pub(super) fn collect(
    store: &Store,
    folder: &Utf8Path,
    relative: &Utf8Path,
    record: &ExitRecord,
    secrets: &Secrets,
    finding: Option<&Finding>,
    schema: Option<&str>,
) -> Result<ProcessEnded, CollectError> {
    let (by, message) = ended_by(record);
    let began = by != EndedBy::SpawnFailed;
    let answer = finding.and_then(|finding| finding.answer.as_ref());
    let is_agent = finding.is_some();
    let (output, log) = if began {
        (read_output(folder, &record.stdout, secrets, answer)?, log_tail(folder)?)
    } else {
        (Output { text: None, problem: None }, None)
    };
    let shape_problem = schema
        .zip(output.text.as_deref())
        .and_then(|(schema, text)| shape_problem(schema, json_of(text, is_agent)));
    let Artifacts { paths, left_out } = find_artifacts(folder, relative);
    Ok(ProcessEnded {
        by,
        exit_code: record.exit_code,
        signal: record.signal,
        message,
        duration_ms: record.duration_ms,
        stdout: began.then(|| record.stdout.clone()),
        stderr: began.then(|| record.stderr.clone()),
        output: output.text.map(|text| keep(store, &text)).transpose()?,
        output_problem: output.problem,
        shape_problem,
        log: log.map(|text| keep(store, &text)).transpose()?,
        artifacts: paths,
        artifacts_omitted: left_out,
        after: None,
        folder: None,
        left_behind: record.left_behind,
        agent: None,
    })
}

/// What of `json` is not as `schema` says. What is no JSON is told elsewhere.
fn shape_problem(schema: &str, json: &str) -> Option<String> {
    match Shape::of(schema) {
        Ok(shape) => shape.problems(json).ok().flatten(),
        // It was a schema when the workflow was checked.
        Err(error) => Some(error.to_string()),
    }
}

/// An agent that an owner ended by itself is judged by the reason for that, whoever owns the run now: one that was silent ran
/// into its budget; of the others tells what they said.
fn ended_by(record: &ExitRecord) -> (EndedBy, Option<String>) {
    match &record.ended_by {
        backstay_exec::EndedBy::Exit => (EndedBy::Exit, None),
        backstay_exec::EndedBy::Timeout => (EndedBy::Timeout, None),
        backstay_exec::EndedBy::IdleTimeout => (EndedBy::IdleTimeout, None),
        backstay_exec::EndedBy::Stop { reason } => match reason {
            StopReason::Cancel | StopReason::Suspend => (EndedBy::Stop, None),
            StopReason::Silent => (EndedBy::IdleTimeout, None),
            StopReason::Over | StopReason::Obstacle => (EndedBy::Exit, None),
        },
        backstay_exec::EndedBy::Signalled { signal } => {
            (EndedBy::Signalled, Some(format!("its keeper was told to end (signal {signal})")))
        }
        backstay_exec::EndedBy::SpawnFailed { failure } => (EndedBy::SpawnFailed, Some(failure.to_string())),
    }
}

/// The file named by `BACKSTAY_OUTPUT`, if the step left something there, else what an agent answered, else its stdout.
fn read_output(
    folder: &Utf8Path,
    stdout: &Spool,
    secrets: &Secrets,
    answer: Option<&Answer>,
) -> Result<Output, CollectError> {
    let path = folder.join("output");
    let opened = Dir::open(folder.as_std_path()).and_then(|folder| if_there(folder.open_file("output")));
    match opened {
        Ok(Some(file)) => match read_beginning(&file) {
            // What the step wrote into the file did not pass its keeper, which redacts the streams.
            Ok(output) => Ok(Output { text: output.text.map(|text| secrets.redacted(&text)), ..output }),
            Err(source) => unreadable(path, source),
        },
        Ok(None) => match answer {
            Some(Answer::Text(answer)) => Ok(Output { text: Some(answer.clone()), problem: None }),
            Some(Answer::Unread) => {
                let message =
                    format!("the agent's last line is longer than {LINE_BYTES_MAX} bytes and was not read");
                Ok(Output { text: None, problem: Some(OutputProblem::Unreadable { message }) })
            }
            None => stdout_text(folder, stdout),
        },
        // What a link leads to may be anything, also what the step may not read.
        Err(error) if matches!(Refused::of(&error), Some(Refused::Link { .. } | Refused::Kind { .. })) => {
            Ok(Output { text: None, problem: Some(OutputProblem::NotAFile) })
        }
        Err(error) => unreadable(path, error),
    }
}

fn read_beginning(file: &File) -> io::Result<Output> {
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(beginning(bytes, file.metadata()?.len()))
}

/// The text of `bytes`, the beginning of what had `size_bytes`.
fn beginning(bytes: Vec<u8>, size_bytes: u64) -> Output {
    let kept_bytes = bytes.len() as u64;
    Output {
        text: Some(String::from_utf8_lossy(&bytes).into_owned()),
        problem: (kept_bytes < size_bytes).then_some(OutputProblem::Cut { size_bytes, kept_bytes }),
    }
}

fn stdout_text(folder: &Utf8Path, spool: &Spool) -> Result<Output, CollectError> {
    match spool::stdout_beginning(folder, OUTPUT_BYTES_MAX as u64) {
        // What is missing may be anywhere in it.
        Ok(read) if spool.lost_bytes > 0 && read.size_bytes < OUTPUT_BYTES_MAX as u64 => {
            let problem = OutputProblem::Lost { lost_bytes: spool.lost_bytes };
            Ok(Output { text: None, problem: Some(problem) })
        }
        Ok(read) => Ok(beginning(read.bytes, read.size_bytes + spool.lost_bytes)),
        Err(SpoolError::Io { path, source }) => unreadable(path, source),
        Err(error) => {
            Ok(Output { text: None, problem: Some(OutputProblem::Unreadable { message: error.to_string() }) })
        }
    }
}

/// The last of both streams; none if it is not there any more or not what was written.
fn log_tail(folder: &Utf8Path) -> Result<Option<String>, CollectError> {
    match spool::tail(folder, LOG_TAIL_BYTES as u64) {
        Ok(tail) => Ok(Some(tail.text)),
        Err(SpoolError::Io { path, source }) if is_of_this_machine(&source) => {
            Err(CollectError::Read { path, source })
        }
        Err(error) => {
            tracing::warn!(%folder, %error, "the log of an attempt cannot be read");
            Ok(None)
        }
    }
}

fn unreadable(path: Utf8PathBuf, source: io::Error) -> Result<Output, CollectError> {
    if is_of_this_machine(&source) {
        return Err(CollectError::Read { path, source });
    }
    let message = format!("{path}: {source}");
    Ok(Output { text: None, problem: Some(OutputProblem::Unreadable { message }) })
}

/// Whether the reason lies with this machine and may pass, not with what the step left.
fn is_of_this_machine(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO | Errno::STALE)
    )
}

/// How an event names `text`; a long one is kept first.
fn keep(store: &Store, text: &str) -> Result<Text, BlobError> {
    let kept = Text::of(text);
    if kept.blob().is_some() {
        store.blobs.put(text.as_bytes())?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use backstay_model::Digest;

    use super::*;

    fn read(stdout: &[u8], lost_bytes: u64) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        std::fs::write(path.join("stdout"), stdout).unwrap();
        let spool = Spool { size_bytes: stdout.len() as u64, digest: Digest::of(stdout), lost_bytes };
        read_output(&path, &spool, &Secrets::of(&[]), None).unwrap()
    }

    #[test]
    fn l17_an_output_of_which_a_part_was_lost_is_none() {
        let whole = read(b"all of it", 0);
        assert_eq!((whole.text.as_deref(), whole.problem), (Some("all of it"), None));
        let torn = read(b"the beg the end", 5);
        assert_eq!(torn.text, None, "what is missing may be in its middle");
        assert_eq!(torn.problem, Some(OutputProblem::Lost { lost_bytes: 5 }));
    }

    #[test]
    fn an_agent_that_its_owner_ended_is_judged_by_the_reason_that_its_keeper_kept() {
        let nothing = || Spool { size_bytes: 0, digest: Digest::of(b""), lost_bytes: 0 };
        let record = |reason| ExitRecord {
            version: backstay_exec::EXIT_RECORD_VERSION,
            effect: "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap(),
            attempt: backstay_model::Attempt(1),
            ended_by: backstay_exec::EndedBy::Stop { reason },
            exit_code: None,
            signal: Some(9),
            duration_ms: 0,
            stdout: nothing(),
            stderr: nothing(),
            left_behind: 0,
            survivors: 0,
        };
        for (reason, expected) in [
            (StopReason::Cancel, EndedBy::Stop),
            (StopReason::Suspend, EndedBy::Stop),
            (StopReason::Silent, EndedBy::IdleTimeout),
            (StopReason::Over, EndedBy::Exit),
            (StopReason::Obstacle, EndedBy::Exit),
        ] {
            assert_eq!(ended_by(&record(reason)), (expected, None), "{reason:?}");
        }
    }
}
