//! Stored folds: a cache that saves reading a long topic from its beginning.

use backstay_model::{Seq, Topic};

use super::LogFuture;
use crate::error::ReadError;

/// The state that a fold has made of a topic's events up to a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldSnapshot {
    /// The fold's name.
    pub fold: String,
    /// The version of the fold and of the stored form of its state. A snapshot of another version is not returned.
    pub version: u32,
    /// The last event in it, which ends a batch.
    pub seq: Seq,
    /// The state as the fold stores it: at most 4 MiB.
    pub state: Vec<u8>,
}

/// Keeping snapshots of folds. It is a cache: a store MAY drop a snapshot at any time.
pub trait FoldCache: Send + Sync {
    /// Keeps a snapshot of a fold of `topic`.
    fn save_fold(&self, topic: &Topic, snapshot: FoldSnapshot);

    /// Returns the snapshot of the fold of this name, if there is one of this version that fits the topic: folding the events
    /// after its number gives what folding all of them gives.
    fn load_fold(
        &self,
        topic: &Topic,
        fold: &str,
        version: u32,
    ) -> LogFuture<'_, Result<Option<FoldSnapshot>, ReadError>>;
}
