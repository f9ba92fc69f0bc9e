//! Whether a store is whole.

use backstay_exec::care::SpoolState;
use backstay_exec::{SpoolError, spool::Stream};
use backstay_log::blobs::BlobState;
use backstay_log::care::{self, CheckReport, Finding};
use backstay_log::{BlobError, BlobStore, LookError};
use backstay_model::Seq;
use camino::Utf8Path;
use serde::Serialize;

use super::inspect::{NotedSpool, RunInspector};
use crate::store::real_folder;

/// What a check of a whole store looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreCheck {
    /// The log.
    #[serde(flatten)]
    pub log: CheckReport,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Those of them that a secret was taken out of.
    pub blobs_scrubbed: u64,
    /// Streams of processes that were looked at.
    pub spools: u64,
    /// Those of them that a secret was taken out of.
    pub spools_scrubbed: u64,
}

/// Checks the store in `folder` (absolute), while others may use it. Changes nothing. Blocks.
///
/// # Errors
/// [`LookError`] if it is not a store, or cannot be looked at for a reason that is not damage.
pub fn check(folder: &Utf8Path) -> Result<StoreCheck, LookError> {
    let folder = &real_folder(folder);
    let mut found = check_with(folder, &mut inspector(folder))?;
    leave_out_freed(folder, &mut found)?;
    Ok(found)
}

/// Leaves out what is missing because its run was freed since it was looked at, in the store in `folder`.
pub(super) fn leave_out_freed(folder: &Utf8Path, found: &mut StoreCheck) -> Result<(), LookError> {
    let place = |finding: &Finding| match finding {
        Finding::BlobMissing { topic, seq, .. } | Finding::Spool { topic, seq, .. } => {
            Some((topic.clone(), *seq))
        }
        _ => None,
    };
    if found.log.findings.iter().all(|finding| place(finding).is_none()) {
        return Ok(());
    }
    let floors = care::floors(folder.as_std_path())?;
    let is_freed = |(topic, seq): (String, Seq)| floors.get(&topic).is_some_and(|floor| seq <= *floor);
    found.log.findings.retain(|finding| !place(finding).is_some_and(is_freed));
    Ok(())
}

/// What folds the runs of the store in `folder`.
pub(super) fn inspector<'s>(folder: &Utf8Path) -> RunInspector<'s> {
    RunInspector::new(folder.as_str(), BlobStore::in_folder(folder.join("blobs").as_std_path()))
}

pub(super) fn check_with(
    folder: &Utf8Path,
    inspector: &mut RunInspector<'_>,
) -> Result<StoreCheck, LookError> {
    let log = care::check(folder.as_std_path(), inspector)?;
    let mut found = StoreCheck { log, ..StoreCheck::default() };
    found.log.findings.append(&mut inspector.findings);
    check_blobs(folder, inspector, &mut found)?;
    for noted in &inspector.spools {
        check_spool(folder, noted, &mut found);
    }
    Ok(found)
}

fn check_blobs(
    folder: &Utf8Path,
    inspector: &RunInspector<'_>,
    found: &mut StoreCheck,
) -> Result<(), LookError> {
    let blobs = BlobStore::in_folder(folder.join("blobs").as_std_path());
    let mut missing = inspector.named.clone();
    for (digest, _) in blobs.list()? {
        let name = inspector.named.get(&digest).map(|(topic, _)| topic.clone());
        match blobs.state(digest) {
            Ok(state) => {
                found.blobs += 1;
                found.blobs_scrubbed += u64::from(state == BlobState::Scrubbed);
            }
            // It went since it was listed; if an event names it, that is told below.
            Err(BlobError::Missing { .. }) => continue,
            Err(error) => {
                // Which blob it is, the finding says itself.
                let what = match &error {
                    BlobError::Damaged { actual, .. } => format!("its bytes have the digest {actual}"),
                    error => described(error),
                };
                found.log.findings.push(Finding::BlobDamaged { digest, topic: name, what });
            }
        }
        missing.remove(&digest);
    }
    found.log.findings.extend(missing.into_iter().map(|(digest, (topic, seq))| Finding::BlobMissing {
        digest,
        topic,
        seq,
    }));
    Ok(())
}

fn check_spool(folder: &Utf8Path, noted: &NotedSpool, found: &mut StoreCheck) {
    let NotedSpool { topic, seq, folder: attempt, stream, spool } = noted;
    found.spools += 1;
    match backstay_exec::care::spool_state(&folder.join(attempt), *stream, spool) {
        Ok(state) => found.spools_scrubbed += u64::from(state == SpoolState::Scrubbed),
        Err(error) => found.log.findings.push(Finding::Spool {
            topic: topic.clone(),
            seq: *seq,
            path: path_of(attempt, *stream),
            what: spool_problem(&error),
        }),
    }
}

fn path_of(attempt: &Utf8Path, stream: Stream) -> String {
    attempt.join(stream.file_name()).into_string()
}

fn spool_problem(error: &SpoolError) -> String {
    match error {
        SpoolError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "it is not there".to_owned()
        }
        error => described(error),
    }
}

fn described(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
