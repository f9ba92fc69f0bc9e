//! Trimming and deleting: at once for readers, and step by step in the tables.
//!
//! A trim raises the topic's floor in its own commit; readers see nothing at or below it. An idle process removes the rows later, some
//! at a time. The table `sweep` has the topics whose rows are left.

use backstay_model::{Position, Seq};
use rusqlite::{Connection, OptionalExtension};

use super::commit::{BackgroundTask, CommitFailure, Committer};
use super::schema::FLAG_MORE;
use super::sql::{position, stored, unsigned};
use crate::admission::trimmed;
use crate::contract::{TopicAppend, TopicTransition};
use crate::crash::crash_point;

/// Rows that one commit removes.
const PIECE: usize = 512;

const MARK: &str = "INSERT INTO sweep (topic_id, until_seq) VALUES (?1, ?2) \
     ON CONFLICT DO UPDATE SET until_seq = max(until_seq, excluded.until_seq)";
const POSITIONS: &str =
    "SELECT seq, g FROM topic_event WHERE topic_id = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";

impl Committer {
    /// Returns the position of the committed event `seq` of a topic, if it ends a batch.
    pub(super) fn end_of_batch(&self, id: i64, seq: Seq) -> Result<Option<Position>, CommitFailure> {
        let waiting =
            self.pending_index.lock().of(id).iter().find(|entry| entry.seq == seq).map(|entry| entry.g);
        let g = match waiting {
            Some(g) => Some(g),
            None => self
                .connection
                .prepare_cached("SELECT g FROM topic_event WHERE topic_id = ?1 AND seq = ?2")?
                .query_row((id, stored(seq.0)), |row| position(row, 0))
                .optional()?,
        };
        let Some(g) = g else { return Ok(None) };
        let flags: i64 = self
            .connection
            .prepare_cached("SELECT flags FROM event WHERE g = ?1")?
            .query_row([stored(g.0)], |row| row.get(0))?;
        Ok((flags & FLAG_MORE == 0).then_some(g))
    }

    /// Writes the trim or deletion of `append`. `head` is the topic's head after the append, `floor` its floor before.
    pub(super) fn trim(
        &mut self,
        id: i64,
        append: &TopicAppend,
        head: Seq,
        floor: Seq,
    ) -> Result<(), CommitFailure> {
        if matches!(append.transition, TopicTransition::Deleted) {
            self.forget_topic(id)?;
            // A removed live event may have had the newest position.
            self.connection
                .prepare_cached("UPDATE meta SET g_floor = max(g_floor, ?1)")?
                .execute([stored(self.seen.0)])?;
        }
        let Some(until) = trimmed(append, head, floor) else { return Ok(()) };
        self.connection
            .prepare_cached("UPDATE topic SET floor = ?2 WHERE id = ?1")?
            .execute((id, stored(until.0)))?;
        self.connection.prepare_cached(MARK)?.execute((id, stored(until.0)))?;
        // A snapshot of a fold that stands at a trimmed event would not fit any more.
        self.connection
            .prepare_cached("DELETE FROM snapshot WHERE topic_id = ?1 AND seq <= ?2")?
            .execute((id, stored(until.0)))?;
        self.generation += 1;
        self.connection
            .prepare_cached("UPDATE meta SET generation = ?1, g_floor = max(g_floor, ?2)")?
            .execute((self.generation, stored(self.seen.0)))?;
        self.sweeps = true;
        Ok(())
    }

    fn forget_topic(&self, id: i64) -> rusqlite::Result<()> {
        for sql in [
            "UPDATE topic SET kind = NULL, state = NULL, labels = NULL, wake_at = NULL, summary = NULL WHERE id = ?1",
            "DELETE FROM entry WHERE topic_id = ?1",
            "DELETE FROM live WHERE topic_id = ?1",
            "DELETE FROM snapshot WHERE topic_id = ?1",
            "DELETE FROM pack WHERE topic_id = ?1",
        ] {
            self.connection.execute(sql, [id])?;
        }
        Ok(())
    }

    /// Removes the next trimmed rows. No index entry may be pending in this transaction: so an event that is not in the index does not
    /// exist.
    pub(super) fn sweep(&mut self) -> Result<(), CommitFailure> {
        self.task = BackgroundTask::Sweep;
        let next = self
            .connection
            .prepare_cached("SELECT topic_id, until_seq FROM sweep ORDER BY topic_id LIMIT 1")?
            .query_row((), |row| Ok((row.get(0)?, Seq(unsigned(row, 1)?))))
            .optional()?;
        let Some((id, until)) = next else {
            self.sweeps = false;
            return Ok(());
        };
        if free_piece(&self.connection, id, until)? < PIECE {
            self.connection.prepare_cached("DELETE FROM sweep WHERE topic_id = ?1")?.execute([id])?;
        }
        crash_point("log.sweep.before_commit");
        Ok(())
    }
}

fn free_piece(connection: &Connection, id: i64, until: Seq) -> rusqlite::Result<usize> {
    let mut positions: Vec<(i64, Position)> = Vec::with_capacity(PIECE);
    let mut statement = connection.prepare_cached(POSITIONS)?;
    let mut rows = statement.query((id, stored(until.0), stored(PIECE as u64)))?;
    while let Some(row) = rows.next()? {
        positions.push((row.get(0)?, position(row, 1)?));
    }
    let Some((last, _)) = positions.last() else { return Ok(0) };
    let mut delete = connection.prepare_cached("DELETE FROM event WHERE g = ?1")?;
    for (_, g) in &positions {
        delete.execute([stored(g.0)])?;
    }
    let mut forget =
        connection.prepare_cached("DELETE FROM topic_event WHERE topic_id = ?1 AND seq <= ?2")?;
    forget.execute((id, last))?;
    super::packed::free(connection, id, *last)?;
    Ok(positions.len())
}

/// Returns whether trimmed rows are left.
pub(super) fn is_due(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM sweep)")?.query_row((), |row| row.get(0))
}
