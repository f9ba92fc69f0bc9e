//! Whether a store is whole.

use backstay_exec::care::SpoolState;
use backstay_exec::{SpoolError, file_problems, spool::Stream};
use backstay_files::Dir;
use backstay_log::blobs::BlobState;
use backstay_log::maintenance::{self, CheckReport, Finding};
use backstay_log::{BlobError, BlobStore, InspectError};
use backstay_model::{RunId, Seq};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::files;
use super::inspect::{NotedAttempt, NotedSpool, RunInspector, Told};
use crate::drive::attempt_folder;
use crate::store::ReadSource;

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
    /// Other files of attempts that were looked at: exit records, what keepers are found by, orders of streams, artifacts.
    pub files: u64,
    /// What a check cannot tell, in words.
    pub not_covered: Vec<&'static str>,
}

/// What a check cannot tell.
const NOT_COVERED: [&str; 4] = [
    "what artifacts contain",
    "checkouts that are kept in git",
    "commits that a damaged log.db-wal lost before another command opened the store",
    "commits at the end of a log.db-wal that is cut off, if the registry does not know of them",
];

/// Checks the store that `source` has open for reading, while others may use it. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store, or cannot be looked at for a reason that is not damage.
pub fn check(source: &ReadSource) -> Result<StoreCheck, InspectError> {
    let (folder, database) = (source.folder(), source.database());
    // Before the events: an attempt's folder is made after its event.
    let folders = Dir::open(folder.as_std_path()).and_then(|store| files::attempts(&store));
    let mut inspector = inspector(folder);
    let log = maintenance::check(database.as_std_path(), &mut inspector)?;
    let mut found = check_beside(folder, log, &mut inspector)?;
    match folders {
        Ok(folders) => check_folders(folder, &folders, &inspector, &mut found),
        Err(error) => {
            let what = format!("the folders of attempts cannot be listed: {error}");
            found.log.findings.push(Finding::Database { what });
        }
    }
    leave_out_freed(database, &mut found)?;
    if let Some(damage) = source.damage()
        && found.log.findings.is_empty()
    {
        let what = format!("a first look at it failed, and a second one did not: {}", described(damage));
        found.log.findings.push(Finding::Database { what });
    }
    Ok(found)
}

/// Leaves out what is missing because its run was freed since it was looked at, in the store in `folder`.
pub(super) fn leave_out_freed(folder: &Utf8Path, found: &mut StoreCheck) -> Result<(), InspectError> {
    let place = |finding: &Finding| match finding {
        Finding::BlobMissing { topic, seq, .. }
        | Finding::Spool { topic, seq, .. }
        | Finding::File { topic, seq, .. } => Some((topic.clone(), *seq)),
        _ => None,
    };
    if found.log.findings.iter().all(|finding| place(finding).is_none()) {
        return Ok(());
    }
    let floors = maintenance::floors(folder.as_std_path())?;
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
) -> Result<StoreCheck, InspectError> {
    let log = maintenance::check(folder.as_std_path(), inspector)?;
    check_beside(folder, log, inspector)
}

/// Checks what lies beside the database of the store in `folder`, once that was.
pub(super) fn check_beside(
    folder: &Utf8Path,
    log: CheckReport,
    inspector: &mut RunInspector<'_>,
) -> Result<StoreCheck, InspectError> {
    let mut found = StoreCheck { log, not_covered: NOT_COVERED.to_vec(), ..StoreCheck::default() };
    found.log.findings.append(&mut inspector.findings);
    check_blobs(folder, inspector, &mut found)?;
    for noted in &inspector.spools {
        check_spool(folder, noted, &mut found);
    }
    for noted in &inspector.attempts {
        check_files(folder, noted, &mut found);
    }
    Ok(found)
}

fn check_blobs(
    folder: &Utf8Path,
    inspector: &RunInspector<'_>,
    found: &mut StoreCheck,
) -> Result<(), InspectError> {
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

/// Files beside the spools of an attempt that has ended.
fn check_files(folder: &Utf8Path, noted: &NotedAttempt, found: &mut StoreCheck) {
    let NotedAttempt { topic, seq, effect, attempt, streams, artifacts } = noted;
    let at = attempt_folder(effect, *attempt);
    let mut find = |path: String, what: String| {
        found.log.findings.push(Finding::File { topic: topic.clone(), seq: *seq, path, what });
    };
    if let Some([stdout, stderr]) = streams {
        found.files += 4;
        match file_problems(&folder.join(&at), effect, *attempt, Some([stdout, stderr])) {
            Ok(problems) => problems
                .into_iter()
                .for_each(|problem| find(at.join(problem.name).into_string(), problem.what)),
            Err(error) => find(at.into_string(), format!("it cannot be read: {error}")),
        }
    }
    for path in artifacts {
        found.files += 1;
        match folder.join(path.as_str()).symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                find(path.to_string(), "the artifact is not there".to_owned());
            }
            Err(error) => find(path.to_string(), format!("the artifact cannot be looked at: {error}")),
        }
    }
}

/// Folders of attempts that no event tells of, though the events of their run are there, or nothing of the run is. A copy may
/// have taken them while their run went on: there they are marked as lost.
fn check_folders(
    store: &Utf8Path,
    folders: &[Utf8PathBuf],
    inspector: &RunInspector<'_>,
    found: &mut StoreCheck,
) {
    for at in folders {
        let run = at.components().nth(1).and_then(|name| name.as_str().parse::<RunId>().ok());
        let Some(run) = run else { continue };
        let is_known = match inspector.runs.get(&run) {
            Some(Told::Whole) => inspector.begun.contains(at),
            Some(Told::InPart | Told::Removed) => true,
            None => false,
        };
        let is_there = store.join(at).symlink_metadata().is_ok();
        match backstay_exec::care::is_lost(&store.join(at)) {
            Ok(false) if !is_known && is_there => {
                found.log.findings.push(Finding::EventsUnknown { path: at.to_string() });
            }
            Ok(_) => {}
            Err(error) => {
                let what = format!("an attempt's folder cannot be looked at: {}", described(&error));
                found.log.findings.push(Finding::Database { what });
            }
        }
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
