//! From numbers to positions, and checking cursors.

use backstay_model::{LogId, Position, Seq, Topic};
use rusqlite::{Connection, OptionalExtension};

use super::incarnation;
use super::readers::ReadFailure;
use super::snapshot::{HEAD, Snapshot, Span, only, waiting_at};
use super::sql::{stored, unsigned};
use crate::cursor::{Cursor, CursorError};

/// Returns the head of `topic`.
pub(super) fn head(snapshot: &Snapshot<'_>, topic: &Topic) -> Result<Seq, ReadFailure> {
    Ok(snapshot.span(topic, HEAD, None)?.unwrap_or_default().head)
}

/// Returns the cursor behind `seq`.
pub(super) fn cursor(
    snapshot: &Snapshot<'_>,
    log: LogId,
    topic: &Topic,
    seq: Seq,
) -> Result<Cursor, ReadFailure> {
    let found = snapshot.span(topic, only(seq), None)?.unwrap_or_default();
    if seq > found.head {
        return Err(CursorError::Ahead { topic: topic.clone(), seq, head: found.head }.into());
    }
    let g = position_of(snapshot.connection, &found, seq)?.unwrap_or(Position(0));
    Ok(Cursor::new(log, topic.clone(), seq, g))
}

pub(super) fn position_of(
    connection: &Connection,
    span: &Span,
    seq: Seq,
) -> Result<Option<Position>, ReadFailure> {
    if let Some(waiting) = waiting_at(span, seq) {
        return Ok(Some(waiting));
    }
    let found = connection
        .prepare_cached("SELECT g FROM topic_event WHERE topic_id = ?1 AND seq = ?2")?
        .query_row((span.id, stored(seq.0)), |row| unsigned(row, 0))
        .optional()?;
    Ok(found.map(Position))
}

/// Checks a cursor of this log, and returns the number that it stands behind.
pub(super) fn resolve(snapshot: &Snapshot<'_>, cursor: &Cursor) -> Result<Seq, ReadFailure> {
    let topic = cursor.topic().clone();
    let (seq, g) = (cursor.seq(), cursor.position());
    let found = snapshot.span(&topic, only(seq), None)?.unwrap_or_default();
    if seq == Seq(0) || seq <= found.floor {
        return Ok(seq);
    }
    if seq > found.head {
        return Err(if incarnation::is_lost(snapshot.connection, g)? {
            CursorError::Lost { topic, seq, head: found.head }.into()
        } else {
            CursorError::Ahead { topic, seq, head: found.head }.into()
        });
    }
    match position_of(snapshot.connection, &found, seq)? {
        // The event of the cursor was lost, and its number was drawn again.
        Some(now) if now != g => Err(CursorError::Lost { topic, seq, head: found.head }.into()),
        Some(_) | None => Ok(seq),
    }
}
