//! Snapshots of folds, so that a long topic need not be folded from its beginning.
//!
//! It is a cache: a snapshot that does not fit its topic, or is damaged, is not returned.

use backstay_model::limits::FOLD_BYTES_MAX;
use backstay_model::{Digest, Seq, Topic};
use rusqlite::OptionalExtension;

use super::commit::{CommitFailure, Committer};
use super::positions;
use super::readers;
use super::snapshot::{Snapshot, only};
use super::sql::{position, stored, unsigned};
use crate::contract::FoldSnapshot;

const KEEP: &str = "INSERT INTO snapshot (topic_id, fold, version, seq, g, digest, state) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET version = excluded.version, seq = excluded.seq, g = excluded.g, \
     digest = excluded.digest, state = excluded.state WHERE excluded.version <> version OR excluded.seq > seq";

impl Committer {
    /// Writes a snapshot, unless it ends inside a batch or is too large.
    pub(super) fn save_fold(&mut self, topic: &Topic, snapshot: &FoldSnapshot) -> Result<(), CommitFailure> {
        let Some(slot) = self.load(topic)? else { return Ok(()) };
        let cached = self.cached(slot);
        let (id, state) = (cached.id, &cached.state);
        let in_range = state.floor < snapshot.seq && snapshot.seq <= state.head;
        if !in_range || snapshot.state.len() > FOLD_BYTES_MAX {
            return Ok(());
        }
        let Some(g) = self.end_of_batch(id, snapshot.seq)? else { return Ok(()) };
        let digest = Digest::of(&snapshot.state).to_string();
        self.connection.prepare_cached(KEEP)?.execute((
            id,
            &snapshot.fold,
            snapshot.version,
            stored(snapshot.seq.0),
            stored(g.0),
            digest,
            &snapshot.state,
        ))?;
        Ok(())
    }
}

/// Returns the snapshot of this fold and version, if there is one that fits the topic.
pub(super) fn find(
    snapshot: &Snapshot<'_>,
    topic: &Topic,
    fold: &str,
    version: u32,
) -> Result<Option<FoldSnapshot>, readers::ReadFailure> {
    let found = snapshot
        .connection
        .prepare_cached(
            "SELECT seq, g, digest, snapshot.state FROM snapshot JOIN topic ON topic.id = topic_id \
             WHERE name = ?1 AND fold = ?2 AND version = ?3",
        )?
        .query_row((topic.as_str(), fold, version), |row| {
            Ok((
                Seq(unsigned(row, 0)?),
                position(row, 1)?,
                row.get::<_, String>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        })
        .optional()?;
    let Some((seq, g, digest, state)) = found else { return Ok(None) };
    let span = snapshot.span(topic, only(seq), None)?.unwrap_or_default();
    let fits = span.floor < seq
        && seq <= span.head
        && positions::position_of(snapshot.connection, &span, seq)? == Some(g)
        && Digest::of(&state).to_string() == digest;
    Ok(fits.then(|| FoldSnapshot { fold: fold.to_owned(), version, seq, state }))
}
