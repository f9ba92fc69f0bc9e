//! Taking over a store that somebody else may have written, or a copy of one's own.
//!
//! Its events are taken as they are; what is only made of them is made anew. What was at work in it is closed as in a store
//! that is restored: nobody looks for processes that are another store's.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use backstay_files::Dir;
use backstay_log::maintenance::{self, ExclusiveStore};
use backstay_log::{OpenOptions, SqliteLog};
use backstay_model::{LogId, Position, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::check::inspector;
use super::error::AdoptError;
use super::files;
use super::inspect::Told;
use crate::registry::Standing;
use crate::store::private;

/// What is in a store that somebody wants to adopt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreContent {
    /// Its log.
    pub log: LogId,
    /// How it stands to what is known of it.
    #[serde(flatten)]
    pub standing: Standing,
    /// Its runs.
    pub runs: u64,
    /// Those of them that have not ended.
    pub open_runs: u64,
    /// Bytes of its files.
    pub size_bytes: u64,
}

/// A store that was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// Where it is.
    pub path: String,
    /// What is in it.
    #[serde(flatten)]
    pub content: StoreContent,
    /// Attempts that the events say are at work, and whose keeper does not live in it: they are lost.
    pub at_work: u64,
    /// Things in it that are damaged; `store check` names them.
    pub findings: u64,
}

/// What becomes of the id of a log that is adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogIdentity {
    /// It stays: no other folder of this user has the log.
    Kept,
    /// It becomes another one: another folder of this user has the log, and goes on with its id.
    Renewed,
}

/// Makes the store in `folder`, which stands as `standing` says, one that can be used: its database is the last thing that is
/// changed. Blocks.
///
/// # Errors
/// [`AdoptError`]; adopting it again is safe.
pub(crate) fn adopt(
    folder: &Utf8Path,
    standing: Standing,
    identity: LogIdentity,
    now: Timestamp,
) -> Result<(Adopted, Position), AdoptError> {
    let seen = private::survey(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(|source| AdoptError::Io {
        action: "change the mode of",
        path: folder.to_owned(),
        source,
    })?;
    // An older format is brought up to date by opening it.
    let options = OpenOptions { create: false, ..OpenOptions::default() };
    let old = backstay_log::LogReader::id(&SqliteLog::open(folder.as_std_path(), options)?);
    let alone = ExclusiveStore::acquire(folder.as_std_path())?;
    let mut inspector = inspector(folder).renewing(now);
    let report = maintenance::check_exclusive(&alone, &mut inspector)?;
    let at_work = close_attempts(folder, &inspector.open_attempts)?;
    let fresh = inspector.fresh.take().map(|(_, fresh)| fresh).unwrap_or_default();
    let raised = maintenance::rebuild_index(&alone, &fresh, now)?;
    let log = match identity {
        LogIdentity::Kept => old,
        LogIdentity::Renewed => maintenance::assign_new_log_id(&alone, now)?,
    };
    let adopted = Adopted {
        path: folder.to_string(),
        content: StoreContent {
            log,
            standing,
            runs: inspector.runs.values().filter(|told| **told != Told::Removed).count() as u64,
            open_runs: inspector.open_runs,
            size_bytes: seen.size_bytes,
        },
        at_work,
        findings: (report.findings.len() + inspector.findings.len()) as u64,
    };
    Ok((adopted, raised.until))
}

/// Closes every attempt that has no end, but for those whose keepers live in this very folder: they hold its locks. Says how
/// many of them are among `open`, those that the events say are at work: what has a folder without an end may have ended
/// before it began, or be of a run that was removed.
fn close_attempts(folder: &Utf8Path, open: &BTreeSet<Utf8PathBuf>) -> Result<u64, AdoptError> {
    let failed = |action, path: &Utf8Path| {
        let path = folder.join(path);
        move |source: io::Error| AdoptError::Io { action, path, source }
    };
    let store = Dir::open(folder.as_std_path()).map_err(failed("open", Utf8Path::new("")))?;
    let mut attempts = files::attempts(&store).map_err(failed("list", Utf8Path::new("runs")))?;
    attempts.extend(open.iter().cloned());
    let mut lost = 0;
    for attempt in attempts {
        if backstay_exec::care::is_held(&folder.join(&attempt)).map_err(failed("look at", &attempt))? {
            continue;
        }
        let is_closed =
            backstay_exec::care::close_copy(&store, &attempt).map_err(failed("close", &attempt))?;
        lost += u64::from(is_closed && open.contains(&attempt));
    }
    Ok(lost)
}
