//! Idempotency keys: acknowledgements that are given again to a repeated append.

use backstay_model::{Position, Seq, Timestamp, Topic};

use super::commit::{CommitFailure, Committer};
use super::sql::{position, stored, unsigned};
use crate::contract::{Appended, AppendedTopic};
use crate::error::AppendError;

impl Committer {
    /// Returns the answer to the first append with the key; `None` if the key is new.
    pub(super) fn known(
        &mut self,
        topic: &Topic,
        key: &str,
        digest: &str,
    ) -> Result<Option<Result<Appended, AppendError>>, CommitFailure> {
        let Some(slot) = self.load(topic)? else { return Ok(None) };
        let id = self.cached(slot).id;
        let mut statement = self.connection.prepare_cached(
            "SELECT nth_topic, first, last, at, g, digest FROM key WHERE topic_id = ?1 AND key = ?2 ORDER BY nth",
        )?;
        let mut rows = statement.query((id, key))?;
        let mut appended = Appended { topics: Vec::new(), g: Position(0), repeated: true };
        while let Some(row) = rows.next()? {
            if row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)? != digest {
                return Ok(Some(Err(AppendError::KeyConflict { topic: topic.clone(), key: key.to_owned() })));
            }
            let name = row.get::<_, String>(0)?;
            appended.g = position(row, 4)?;
            appended.topics.push(AppendedTopic {
                topic: name.parse().map_err(|invalid: backstay_model::InvalidTopic| {
                    CommitFailure::Corrupt(format!("the key `{key}`: {invalid}"))
                })?,
                first: Seq(unsigned(row, 1)?),
                last: Seq(unsigned(row, 2)?),
                at: Timestamp::from_micros(row.get(3)?),
            });
        }
        Ok((!appended.topics.is_empty()).then_some(Ok(appended)))
    }

    pub(super) fn remember(
        &mut self,
        appended: &Appended,
        key: &str,
        digest: &str,
    ) -> Result<(), CommitFailure> {
        let slot = self.load_or_make(&appended.topics[0].topic)?;
        let id = self.cached(slot).id;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO key (topic_id, key, nth, nth_topic, first, last, at, g, digest) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for (index, append) in appended.topics.iter().enumerate() {
            statement.execute((
                id,
                key,
                i64::try_from(index).unwrap_or(i64::MAX),
                append.topic.as_str(),
                stored(append.first.0),
                stored(append.last.0),
                append.at.as_micros(),
                stored(appended.g.0),
                digest,
            ))?;
        }
        Ok(())
    }
}
