//! Events that the log writes itself when a topic's owner changes.

use serde::{Deserialize, Serialize};

use crate::{Epoch, OwnerId, Timestamp};

/// Why a claim was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimReason {
    /// Nobody owned the topic.
    Unowned,
    /// The owner is proved dead: its lock is free.
    OwnerDead,
    /// The owner's session with the store has ended; its process may still run.
    SessionGone,
    /// The owner was not heard of for the time that the claimer watched.
    OwnerSilent,
    /// A person said so.
    TakenOver,
}

/// A process became the topic's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerChanged {
    /// The new owner.
    pub owner: OwnerId,
    /// Its epoch: facts of lower ones are refused from now on.
    pub epoch: Epoch,
    /// The name of its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Why it was granted.
    pub reason: ClaimReason,
    /// The owner before, if it had not given the topic up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<OwnerId>,
    /// When the owner before was last known to live: the time of the newest live event of the topic that is still there, or of
    /// the last time that this owner said so, whichever is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign: Option<Timestamp>,
}

/// The owner gave the topic up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerReleased {
    /// The epoch that ends.
    pub epoch: Epoch,
}
