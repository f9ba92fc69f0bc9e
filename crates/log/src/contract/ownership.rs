//! What an owner needs: a proof that it lives, and claims.

use std::fmt;

use backstay_model::event::{ClaimReason, OwnerChanged};
use backstay_model::{Epoch, OwnerId, Seq, Topic};
use serde::{Deserialize, Serialize};

use super::LogFuture;
use crate::error::{ClaimError, OpenError};

/// The stable id of a machine. Two machines have two; a machine keeps its own when its host name changes. It proves nothing by
/// itself: copies of a machine image may share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(String);

impl HostId {
    /// Returns the id with this text.
    #[must_use]
    pub const fn new(text: String) -> HostId {
        HostId(text)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process that may own topics, as the other processes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerIdentity {
    /// Its id, drawn by the process.
    pub owner: OwnerId,
    /// The name of its machine, for messages.
    pub host: String,
    /// The id of its machine.
    pub host_id: HostId,
    /// Its process id there.
    pub pid: u32,
}

/// The proof that this process may own topics. Dropping it gives the proof up.
pub trait OwnerGuard: Send + Sync + fmt::Debug {
    /// Returns the identity that it proves.
    fn identity(&self) -> &OwnerIdentity;

    /// Returns whether the proof was lost, so that others can claim the owner's topics: its session ended, or its lock is not in
    /// place any more. A lost guard stays lost. From then on the owner MUST NOT start work outside of the log; what it
    /// appends is refused as soon as somebody else has claimed the topic.
    ///
    /// It is asked before each start, so it takes no longer than a system call.
    fn is_lost(&self) -> bool;
}

/// What is known of the process that owns a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It holds its proof.
    Held,
    /// Its session with the store has ended. The process may still run, and knows by its guard that it may start nothing.
    SessionGone,
    /// It is proved dead.
    Dead,
}

/// A topic's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerView {
    /// The owner.
    pub identity: OwnerIdentity,
    /// The epoch of its claim.
    pub epoch: Epoch,
    /// Its state, seen from this process.
    pub state: OwnerState,
}

impl OwnerView {
    /// Returns whether the owner holds its proof. If it does not, its topic can be claimed at once.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.state, OwnerState::Held)
    }
}

/// How far a claim goes where the topic has an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimMode {
    /// Claims the topic if it has no owner, or one that does not hold its proof. Otherwise it fails at once.
    IfFree,
    /// The same, but where the owner holds its proof the claim waits up to 30 s of this process's own monotonic clock. An owner
    /// that did not renew its row in that time is silent, and its topic is claimed.
    WaitUntilFree,
    /// Claims the topic whatever its owner does: a person requested it.
    TakeOver,
}

/// A granted claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The new epoch, greater than every earlier one of the topic.
    pub epoch: Epoch,
    /// The head after the claim's own event (`owner_changed`).
    pub head: Seq,
    /// Why the claim was granted.
    pub reason: ClaimReason,
    /// The event that was appended.
    pub event: OwnerChanged,
}

/// Owning topics.
pub trait LogOwnership: Send + Sync {
    /// Makes this process an owner. It stays one until the guard is dropped or lost.
    fn register_owner(
        &self,
        identity: OwnerIdentity,
    ) -> LogFuture<'_, Result<Box<dyn OwnerGuard>, OpenError>>;

    /// Claims `topic` for the owner of `guard` by appending `owner_changed` with a new epoch. An epoch is greater than the one
    /// before by one or more. From the claim on, the store MUST refuse facts of every earlier epoch.
    ///
    /// A claim by a guard that was lost is refused with [`ClaimError::NotRegistered`].
    ///
    /// The reason tells what the claim found: `unowned`, `owner_dead` ([`OwnerState::Dead`]), `session_gone`
    /// ([`OwnerState::SessionGone`]), `owner_silent`, or `taken_over`. A store MUST NOT grant `session_gone` before the guard of
    /// that session says that it is lost.
    fn claim<'a>(
        &'a self,
        topic: &Topic,
        guard: &'a dyn OwnerGuard,
        mode: ClaimMode,
    ) -> LogFuture<'a, Result<Claimed, ClaimError>>;
}
