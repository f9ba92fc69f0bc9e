//! Whether the files that a keeper left beside its spools are of the attempt in whose folder they are, and whole.

use std::io;

use backstay_files::{Dir, if_there};
use backstay_model::event::Spool;
use backstay_model::{Attempt, EffectId};
use camino::Utf8Path;
use serde::de::DeserializeOwned;

use crate::files;
use crate::record::{ExitRecord, KeeperFile};
use crate::spool::{Stream, order_sums, times_problem};

/// What is told of streams beside them (their order, their times) has fewer bytes than this: most of it is told coarsely.
const SIDE_FILE_BYTES_MAX: u64 = 1 << 30;

/// A file of an attempt's folder that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// Its name in the folder.
    pub name: &'static str,
    /// What is wrong with it, for people.
    pub what: String,
}

/// Compares the exit record, the keeper's file, and the order and the times of the streams in `folder` with what the log says: that they are
/// of `attempt` of `effect`, and, where it has ended, how long its streams are.
///
/// # Errors
/// What the system says, if a file that is there cannot be read.
pub fn file_problems(
    folder: &Utf8Path,
    effect: &EffectId,
    attempt: Attempt,
    streams: Option<[&Spool; 2]>,
) -> io::Result<Vec<FileProblem>> {
    let mut problems = Vec::new();
    let other = |of: &EffectId, number: Attempt| {
        (of != effect || number != attempt).then(|| format!("it is of {of}, attempt {number}"))
    };
    let Some(folder) = &if_there(files::open(folder))? else {
        let missing = |name| FileProblem { name, what: "it is not there".to_owned() };
        return Ok(if streams.is_some() {
            [files::EXIT, files::ORDER].map(missing).into()
        } else {
            problems
        });
    };
    let mut find = |name: &'static str, what: String| problems.push(FileProblem { name, what });
    match read::<KeeperFile>(folder, files::KEEPER)? {
        // A copy has none.
        None => {}
        Some(Err(what)) => find(files::KEEPER, what),
        Some(Ok(keeper)) => {
            if let Some(what) = other(&keeper.effect, keeper.attempt) {
                find(files::KEEPER, what);
            }
        }
    }
    match (read::<ExitRecord>(folder, files::EXIT)?, streams) {
        (None, None) => {}
        (None, Some(_)) => find(files::EXIT, "it is not there".to_owned()),
        (Some(Err(what)), _) => find(files::EXIT, what),
        (Some(Ok(record)), streams) => {
            if let Some(what) = other(&record.effect, record.attempt) {
                find(files::EXIT, what);
            } else if streams.is_some_and(|streams| streams != [&record.stdout, &record.stderr]) {
                find(files::EXIT, "it says something else of the streams than the log".to_owned());
            }
        }
    }
    if let Some(streams) = streams {
        for what in order_problems(folder, streams)? {
            find(files::ORDER, what);
        }
        // There were none before, and a loss of power may take them.
        let times = if_there(folder.read(files::TIMES, SIDE_FILE_BYTES_MAX))?;
        let total_bytes = streams.iter().map(|spool| spool.size_bytes).sum();
        if let Some(what) = times.and_then(|bytes| times_problem(&bytes, total_bytes)) {
            find(files::TIMES, what);
        }
    }
    Ok(problems)
}

fn order_problems(folder: &Dir, streams: [&Spool; 2]) -> io::Result<Vec<String>> {
    let Some(bytes) = if_there(folder.read(files::ORDER, SIDE_FILE_BYTES_MAX))? else {
        return Ok(vec!["it is not there".to_owned()]);
    };
    let sums = match order_sums(&bytes) {
        Ok(sums) => sums,
        Err(record) => return Ok(vec![format!("its record {record} counts no bytes")]),
    };
    // Fewer are possible: there may have been no room for a record.
    let too_many = |stream: &Stream| sums[stream.index()] > streams[stream.index()].size_bytes;
    let odd = Stream::BOTH.into_iter().filter(too_many);
    Ok(odd.map(|stream| format!("it counts more bytes of {stream} than were written")).collect())
}

/// A JSON file of ours; why it cannot be understood, if it is there.
fn read<T: DeserializeOwned>(folder: &Dir, name: &'static str) -> io::Result<Option<Result<T, String>>> {
    let bytes = files::read_if_there(folder, name)?;
    Ok(bytes.map(|bytes| {
        serde_json::from_slice(&bytes).map_err(|error| format!("it cannot be understood: {error}"))
    }))
}
