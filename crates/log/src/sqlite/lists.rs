//! Lists: topics and entries by their index rows.

use backstay_model::{Epoch, OwnerId, Payload, Seq, Timestamp, Topic};
use rusqlite::Row;

use super::owners::OwnerLocks;
use super::positions;
use super::readers::ReadFailure;
use super::snapshot::Snapshot;
use super::sql::unsigned;
use crate::contract::{
    EntryIndex, EntryKind, EntryRow, HostId, IndexState, OwnerIdentity, OwnerView, TopicFilter, TopicIndex,
    TopicKind, TopicRow,
};

const TOPIC: &str = "SELECT topic.name, topic.floor, closed, epoch, owner, kind, state, labels, wake_at, summary, \
     (SELECT ifnull(max(seq), 0) FROM topic_event WHERE topic_id = topic.id), ifnull(host, ''), ifnull(pid, 0), topic.id, ifnull(host_id, '') \
     FROM topic LEFT JOIN owner ON owner.id = topic.owner";

/// One topic; none if nothing was appended to it, or it was deleted.
pub(super) fn topic(
    snapshot: &Snapshot<'_>,
    owners: &OwnerLocks,
    topic: &Topic,
) -> Result<Option<TopicRow>, ReadFailure> {
    let mut statement = snapshot.connection.prepare_cached(&format!("{TOPIC} WHERE topic.name = ?1"))?;
    let mut rows = statement.query([topic.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let found = TopicRow { head: positions::head(snapshot, topic)?, ..topic_row(row, owners)? };
    Ok((!is_deleted(&found, row)?).then_some(found))
}

/// The topics that `filter` selects, the newest first.
pub(super) fn topics(
    snapshot: &Snapshot<'_>,
    owners: &OwnerLocks,
    filter: &TopicFilter,
) -> Result<Vec<TopicRow>, ReadFailure> {
    let sql = format!(
        "{TOPIC} WHERE (?1 IS NULL OR kind = ?1) AND (NOT ?2 OR NOT closed) AND (?3 IS NULL OR wake_at <= ?3) \
         ORDER BY topic.id DESC"
    );
    let limit = filter.limit.unwrap_or(usize::MAX);
    let heads = snapshot.heads()?;
    let mut statement = snapshot.connection.prepare_cached(&sql)?;
    let due_by = filter.due_by.map(Timestamp::as_micros);
    let mut rows =
        statement.query((filter.kind.as_ref().map(TopicKind::as_str), filter.open_only, due_by))?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let indexed = topic_row(row, owners)?;
        let head = heads.get(&row.get(13)?).copied().unwrap_or_default().max(indexed.head);
        let topic = TopicRow { head, ..indexed };
        if !is_deleted(&topic, row)? {
            found.push(topic);
        }
    }
    Ok(found)
}

/// A topic that was deleted leaves its name and its numbers, until something is said to it again.
fn is_deleted(topic: &TopicRow, row: &Row<'_>) -> Result<bool, ReadFailure> {
    let floor = Seq(unsigned(row, 1)?);
    Ok(topic.index.is_none() && floor > Seq(0) && topic.head == floor)
}

fn corrupt(what: impl std::fmt::Display) -> ReadFailure {
    ReadFailure::Corrupt(format!("a topic's row: {what}"))
}

fn topic_row(row: &Row<'_>, owners: &OwnerLocks) -> Result<TopicRow, ReadFailure> {
    let owner = match row.get::<_, Option<String>>(4)? {
        None => None,
        Some(id) => {
            let id: OwnerId = id.parse().map_err(|e: backstay_model::InvalidId| corrupt(e))?;
            let state = owners.state(id)?;
            let host_id = HostId::new(row.get(14)?);
            let identity = OwnerIdentity { owner: id, host: row.get(11)?, host_id, pid: row.get(12)? };
            Some(OwnerView { identity, epoch: Epoch(unsigned(row, 3)?), state })
        }
    };
    Ok(TopicRow {
        topic: row.get::<_, String>(0)?.parse().map_err(|e: backstay_model::InvalidTopic| corrupt(e))?,
        index: index_row(row)?,
        head: Seq(unsigned(row, 10)?.max(unsigned(row, 1)?)),
        closed: row.get(2)?,
        owner,
    })
}

fn index_row(row: &Row<'_>) -> Result<Option<TopicIndex>, ReadFailure> {
    let Some(kind) = row.get::<_, Option<String>>(5)? else { return Ok(None) };
    let labels: String = row.get(7)?;
    Ok(Some(TopicIndex {
        kind: TopicKind::from_name(kind),
        state: IndexState::from_name(row.get(6)?),
        labels: serde_json::from_str(&labels).map_err(corrupt)?,
        wake_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        summary: Payload::from_text(row.get(9)?).map_err(corrupt)?,
    }))
}

/// The entries of a kind, those in a state if one is given, in order of id.
pub(super) fn entries(
    snapshot: &Snapshot<'_>,
    kind: &EntryKind,
    state: Option<&IndexState>,
) -> Result<Vec<EntryRow>, ReadFailure> {
    let mut statement = snapshot.connection.prepare_cached(
        "SELECT topic.name, entry.kind, entry.id, entry.state, due_at, entry.summary FROM entry \
         JOIN topic ON topic.id = entry.topic_id WHERE entry.kind = ?1 AND (?2 IS NULL OR entry.state = ?2) \
         ORDER BY entry.id, topic.name",
    )?;
    let mut rows = statement.query((kind.as_str(), state.map(IndexState::as_str)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = EntryIndex {
            kind: EntryKind::from_name(row.get(1)?),
            id: row.get(2)?,
            state: IndexState::from_name(row.get(3)?),
            due_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
            summary: Payload::from_text(row.get(5)?).map_err(corrupt)?,
        };
        let topic = row.get::<_, String>(0)?.parse().map_err(|e: backstay_model::InvalidTopic| corrupt(e))?;
        found.push(EntryRow { topic, entry });
    }
    Ok(found)
}
