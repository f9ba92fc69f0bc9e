//! What takes the room of a store, by run.

use std::collections::BTreeMap;
use std::io;

use backstay_files::Dir;
use backstay_log::maintenance::{self, Inspect, InspectedTopic, StoreInfo};
use backstay_log::{BlobStore, InspectError, StoreError};
use backstay_model::{Digest, Recorded, RunId};
use camino::Utf8Path;
use serde::Serialize;

use crate::store::ReadSource;

use super::files;
use super::inspect::blobs_named;

/// A store and what takes its room. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct StoreRoom {
    /// The log and its database.
    #[serde(flatten)]
    pub log: StoreInfo,
    /// Where it is.
    pub path: String,
    /// All blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Everything in attempts' folders.
    pub attempt_bytes: u64,
    /// By run, the largest first.
    pub runs: Vec<RunRoom>,
}

/// What one run takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunRoom {
    /// The run.
    pub run: RunId,
    /// Its events.
    pub events: u64,
    /// Their payloads, in bytes.
    pub event_bytes: u64,
    /// The blobs that it names, in bytes; those that others name too are counted with each.
    pub blob_bytes: u64,
    /// Its attempts' folders, in bytes.
    pub attempt_bytes: u64,
}

impl RunRoom {
    /// All of it, in bytes.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.event_bytes + self.blob_bytes + self.attempt_bytes
    }
}

/// Which blobs each run names.
#[derive(Debug, Default)]
struct Named(BTreeMap<RunId, std::collections::BTreeSet<Digest>>);

impl Inspect for Named {
    fn event(&mut self, recorded: &Recorded) {
        if let Some(run) = recorded.topic.run_id() {
            self.0.entry(run).or_default().extend(blobs_named(recorded));
        }
    }

    fn topic_end(&mut self, _topic: &InspectedTopic) {}
}

/// Measures the store that `source` has open for reading, while others may use it. Changes nothing. Blocks.
///
/// # Errors
/// [`InspectError`] if it is not a store or cannot be read.
pub fn info(source: &ReadSource) -> Result<StoreRoom, InspectError> {
    let (folder, database) = (source.folder(), source.database().as_std_path());
    let mut log = maintenance::info(folder.as_std_path(), database)?;
    let mut named = Named::default();
    maintenance::scan(database, &mut named)?;
    let blobs: BTreeMap<Digest, u64> =
        BlobStore::in_folder(folder.join("blobs").as_std_path()).list()?.into_iter().collect();
    let mut attempts = attempt_bytes(folder).map_err(|source| StoreError::Io {
        action: "measure",
        location: folder.join("runs").into(),
        source: source.into(),
    })?;
    let mut runs = Vec::new();
    for topic in std::mem::take(&mut log.topics) {
        let run = topic.topic.parse::<backstay_model::Topic>().ok().and_then(|topic| topic.run_id());
        let Some(run) = run else {
            log.topics.push(topic);
            continue;
        };
        let digests = named.0.remove(&run).unwrap_or_default();
        runs.push(RunRoom {
            run,
            events: topic.events,
            event_bytes: topic.event_bytes,
            blob_bytes: digests.iter().filter_map(|digest| blobs.get(digest)).sum(),
            attempt_bytes: attempts.by_run.remove(&run.to_string()).unwrap_or_default(),
        });
    }
    runs.sort_by_key(|room| (std::cmp::Reverse(room.total_bytes()), room.run));
    Ok(StoreRoom {
        log,
        path: folder.to_string(),
        blobs: blobs.len() as u64,
        blob_bytes: blobs.values().sum(),
        attempt_bytes: attempts.total_bytes,
        runs,
    })
}

struct Attempts {
    total_bytes: u64,
    by_run: BTreeMap<String, u64>,
}

fn attempt_bytes(folder: &Utf8Path) -> io::Result<Attempts> {
    let mut attempts = Attempts { total_bytes: 0, by_run: BTreeMap::new() };
    let store = Dir::open(folder.as_std_path())?;
    let (found, _nameless) = files::walk(&store, "runs")?;
    for file in found {
        let Some(there) = store.status(&file.path)? else { continue };
        let size_bytes = there.size_bytes;
        attempts.total_bytes += size_bytes;
        if let Some(run) = file.path.components().nth(1) {
            *attempts.by_run.entry(run.as_str().to_owned()).or_default() += size_bytes;
        }
    }
    Ok(attempts)
}
