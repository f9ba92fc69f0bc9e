//! Claims: when a topic may be claimed, and by whom.

use std::sync::Arc;
use std::time::Duration;

use backstay_model::event::ClaimReason;
use backstay_model::{Epoch, OwnerId, Topic};
use rusqlite::OptionalExtension;
use tokio::sync::oneshot;

use super::lock::LockFile;
use super::queue::{ClaimAnswer, ClaimRequest, Command};
use super::readers::ReadFailure;
use super::store::Inner;
use crate::contract::{ClaimMode, Claimed, HostId, OwnerIdentity, OwnerState, OwnerView};
use crate::error::{ClaimError, ReadError, StoreError};
use crate::ticket::block_on;

/// An owner is silent if it holds its lock and did not renew its row for this time of the claimer's own clock.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// How often a waiting claim reads the owner's row. The lock itself is waited for, and not polled.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One claim, from the first read to the answer. It runs on a thread of its own, which may wait.
pub(super) struct Claim {
    pub(super) inner: Arc<Inner>,
    pub(super) topic: Topic,
    pub(super) claimer: OwnerIdentity,
    pub(super) mode: ClaimMode,
}

/// The owner of the topic, as it was read.
#[derive(Clone, Debug)]
struct Seen {
    owner: Option<OwnerView>,
    epoch: Epoch,
    renewals: i64,
}

/// The owner that a claim waits for, and since when.
struct Watch {
    owner: OwnerId,
    lock: Option<LockFile>,
    renewals: i64,
    unchanged_since: Duration,
    began: Duration,
}

impl Claim {
    /// Claims the topic. Stops early if the caller does not wait for `reply` any more.
    pub(super) fn run(
        &self,
        reply: &oneshot::Sender<Result<Claimed, ClaimError>>,
    ) -> Result<Claimed, ClaimError> {
        let mut watch: Option<Watch> = None;
        while !reply.is_closed() {
            let seen = block_on(self.look()).map_err(as_claim_error)?;
            let Some(reason) = self.reason(&seen, &mut watch)? else {
                self.wait(watch.as_ref())?;
                continue;
            };
            let request = ClaimRequest {
                topic: self.topic.clone(),
                claimer: self.claimer.clone(),
                owner: seen.owner.map(|owner| owner.identity.owner),
                epoch: seen.epoch,
                reason,
            };
            match self.ask(request) {
                ClaimAnswer::Granted(claimed) => return Ok(*claimed),
                ClaimAnswer::Refused(error) => return Err(error),
                ClaimAnswer::Changed => {}
            }
        }
        Err(StoreError::Stopped.into())
    }

    async fn look(&self) -> Result<Seen, ReadError> {
        let (topic, locks) = (self.topic.clone(), self.inner.owners().clone());
        let read = self.inner.readers().run(move |snapshot| {
            let found = snapshot
                .connection
                .query_row(
                    "SELECT epoch, owner, ifnull(host, ''), ifnull(pid, 0), ifnull(renewals, 0), \
                     ifnull(host_id, '') FROM topic \
                     LEFT JOIN owner ON owner.id = topic.owner WHERE name = ?1",
                    [topic.as_str()],
                    |row| {
                        let epoch = Epoch(super::sql::unsigned(row, 0)?);
                        let owner: Option<String> = row.get(1)?;
                        let host_id = HostId::new(row.get(5)?);
                        Ok((epoch, owner, row.get(2)?, host_id, row.get(3)?, row.get(4)?))
                    },
                )
                .optional()?;
            let Some((epoch, owner, host, host_id, pid, renewals)) = found else {
                return Ok(Seen { owner: None, epoch: Epoch(0), renewals: 0 });
            };
            let Some(owner) = owner else { return Ok(Seen { owner: None, epoch, renewals: 0 }) };
            let owner: OwnerId = owner.parse().map_err(|invalid: backstay_model::InvalidId| {
                ReadFailure::Corrupt(format!("the owner of {topic}: {invalid}"))
            })?;
            let state = locks.state(owner)?;
            let identity = OwnerIdentity { owner, host, host_id, pid };
            Ok(Seen { owner: Some(OwnerView { identity, epoch, state }), epoch, renewals })
        });
        read.await
    }

    /// Returns why the topic may be claimed now; `None` if the claim has to wait.
    fn reason(&self, seen: &Seen, watch: &mut Option<Watch>) -> Result<Option<ClaimReason>, ClaimError> {
        let Some(owner) = &seen.owner else { return Ok(Some(ClaimReason::Unowned)) };
        match owner.state {
            OwnerState::Held => {}
            OwnerState::SessionGone => return Ok(Some(ClaimReason::SessionGone)),
            OwnerState::Dead => return Ok(Some(ClaimReason::OwnerDead)),
        }
        let owned = || ClaimError::Owned { topic: self.topic.clone(), owner: Box::new(owner.clone()) };
        match self.mode {
            ClaimMode::TakeOver => return Ok(Some(ClaimReason::TakenOver)),
            ClaimMode::IfFree => return Err(owned()),
            ClaimMode::WaitUntilFree => {}
        }
        let now = self.inner.clock().monotonic();
        let id = owner.identity.owner;
        let began = watch.as_ref().map_or(now, |watch| watch.began);
        if let Some(watch) = watch.as_mut().filter(|watch| watch.owner == id) {
            if watch.renewals != seen.renewals {
                watch.renewals = seen.renewals;
                watch.unchanged_since = now;
            }
            if now.saturating_sub(watch.unchanged_since) >= SILENT_AFTER {
                return Ok(Some(ClaimReason::OwnerSilent));
            }
        } else {
            let lock = self.inner.owners().watch(id)?;
            *watch = Some(Watch { owner: id, lock, renewals: seen.renewals, unchanged_since: now, began });
        }
        if now.saturating_sub(began) >= SILENT_AFTER { Err(owned()) } else { Ok(None) }
    }

    /// Waits until the owner's lock is free, at most for [`CHECK_INTERVAL`].
    fn wait(&self, watch: Option<&Watch>) -> Result<(), ClaimError> {
        if let Some(lock) = watch.and_then(|watch| watch.lock.as_ref())
            && lock.acquire_within(CHECK_INTERVAL)?
        {
            lock.release();
        }
        Ok(())
    }

    fn ask(&self, request: ClaimRequest) -> ClaimAnswer {
        let (reply, answer) = oneshot::channel();
        match self.inner.writer().send(Command::Claim { request, reply }) {
            Ok(()) => match block_on(answer) {
                Ok(answer) => answer,
                Err(_writer_gone) => ClaimAnswer::Refused(StoreError::Stopped.into()),
            },
            Err(error) => ClaimAnswer::Refused(error.into()),
        }
    }
}

fn as_claim_error(error: ReadError) -> ClaimError {
    match error {
        ReadError::Store(error) => error.into(),
        other => StoreError::Corrupt { location: "log.db".into(), what: other.to_string() }.into(),
    }
}
