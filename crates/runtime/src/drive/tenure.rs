//! Becoming the owner of a run, and giving it up again.

use std::time::Duration;

use backstay_engine::effect::Desired;
use backstay_engine::record::RunStatus;
use backstay_engine::topic::TopicMachine;
use backstay_log::{ClaimError, ClaimMode, Claimed};
use backstay_model::event::OwnerReleased;
use backstay_model::{Epoch, RunId, Topic};

use super::StopSwitch;
use super::run_loop::Drive;
use crate::error::{DriveError, RunError};
use crate::host::is_gone_soon;
use crate::owner::Owner;

/// The bound on waiting for the lock of a dead owner: far longer than starting a program takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Why a drive is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveEnd {
    /// The run ended.
    Ended(RunStatus),
    /// The run stands still; nobody owns it.
    Suspended,
    /// Only a person can bring the run further; nobody owns it.
    WaitingForPerson,
    /// Every step at work asks a person, and nothing else goes on; the run was given up, as the switch wanted it. Agents go
    /// on under their keepers, and somebody has to own the run before they end.
    Asking,
    /// The stop switch was used; agents in flight go on under their keepers.
    Stopped,
}

impl Owner {
    /// Works on `run` until it ends, stands still, needs a person, or `switch` is used. Claims it first.
    ///
    /// The sinks get every event since an owner last came or went, what was said meanwhile included; where that owner
    /// died, they get again what it may not have given.
    ///
    /// # Errors
    /// [`DriveError`]; what was acknowledged is durable, agents in flight go on under their keepers, and the run can be
    /// claimed at once by anybody, unless the log takes nothing any more.
    pub async fn drive(
        &self,
        run: RunId,
        mode: ClaimMode,
        switch: &StopSwitch,
    ) -> Result<DriveEnd, DriveError> {
        let end = self.drive_run(run, mode, switch).await;
        end.map_err(|error| self.store.or_gone(Some(run), error))
    }

    async fn drive_run(
        &self,
        run: RunId,
        mode: ClaimMode,
        switch: &StopSwitch,
    ) -> Result<DriveEnd, DriveError> {
        let _pass = self.admit(run).ok_or(DriveError::DrivenHere { run })?;
        // A run that cannot be understood or worked on here is not claimed.
        let machine = self.understand(run).await?;
        self.check_host(&machine, mode)?;
        let Some(epoch) = self.become_owner(run, mode).await? else { return self.ended(run).await };
        let handover = machine.handover();
        let mut drive = Drive::new(self, run, epoch, mode, machine);
        let end = match drive.feed_sinks_between(handover, drive.machine.head()).await {
            Ok(()) => drive.until_at_rest(switch).await,
            Err(error) => Err(error),
        };
        match &end {
            Ok(DriveEnd::Stopped | DriveEnd::Asking) => drive.give_up().await,
            Ok(_) => drive.read_own_last_words().await?,
            // The run is another's.
            Err(DriveError::Fenced { .. }) => {}
            Err(error) => {
                tracing::debug!(%run, %error, "the run is given up");
                drive.give_up().await;
            }
        }
        let store = self.store.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || store.note_head()).await {
            // What the registry knows stays true.
            tracing::debug!(%error, "the thread that writes to the registry of stores died");
        }
        end
    }

    /// Gives the verdicts that what was said to `run` waits for, and gives the run up again. Claims it first. For who said
    /// something to a run whose owner died before it answered: no work is started, stopped or looked for.
    ///
    /// # Errors
    /// As [`drive`](Owner::drive).
    pub async fn settle(&self, run: RunId) -> Result<(), DriveError> {
        self.settle_run(run).await.map_err(|error| self.store.or_gone(Some(run), error))
    }

    async fn settle_run(&self, run: RunId) -> Result<(), DriveError> {
        let _pass = self.admit(run).ok_or(DriveError::DrivenHere { run })?;
        let machine = self.understand(run).await?;
        // One that has ended has no inputs without a verdict.
        let Some(epoch) = self.become_owner(run, ClaimMode::IfFree).await? else { return Ok(()) };
        let handover = machine.handover();
        let mut drive = Drive::new(self, run, epoch, ClaimMode::IfFree, machine);
        let settled = match drive.feed_sinks_between(handover, drive.machine.head()).await {
            Ok(()) => drive.settle_inputs().await,
            Err(error) => Err(error),
        };
        match settled {
            Ok(()) if drive.machine.status().is_ended() => drive.read_own_last_words().await,
            Err(error @ DriveError::Fenced { .. }) => Err(error),
            settled => {
                drive.give_up().await;
                settled
            }
        }
    }

    /// The machine of a run that is there.
    async fn understand(&self, run: RunId) -> Result<TopicMachine, DriveError> {
        if self.store.log.topic(&Topic::run(run)).await?.is_none() {
            return Err(DriveError::Run(RunError::Unknown(run)));
        }
        Ok(self.store.machine(run).await?)
    }

    /// Claims `run`; `None` if it has ended.
    async fn become_owner(&self, run: RunId, mode: ClaimMode) -> Result<Option<Epoch>, DriveError> {
        match self.claim(&Topic::run(run), mode).await {
            Ok(claimed) => Ok(Some(claimed.epoch)),
            Err(ClaimError::Owned { owner, .. }) => Err(DriveError::OwnedElsewhere { run, owner }),
            Err(ClaimError::Closed { .. }) => Ok(None),
            Err(ClaimError::Deleted { .. }) => Err(DriveError::Run(RunError::Unknown(run))),
            Err(error) => Err(DriveError::Claim(error)),
        }
    }

    async fn claim(&self, topic: &Topic, mode: ClaimMode) -> Result<Claimed, ClaimError> {
        let claim = |mode| self.store.log.claim(topic, self.guard.as_ref(), mode);
        match claim(mode).await {
            // An earlier drive of this process could not give the run up.
            Err(ClaimError::Owned { owner, .. }) if owner.identity == *self.identity() => {
                claim(ClaimMode::TakeOver).await
            }
            // Who was killed a moment ago holds its lock until the system has taken it down, and a process that it was
            // just starting holds it too, until it is the program that it is to be.
            Err(owned @ ClaimError::Owned { .. }) if self.is_held_by_the_dead(&owned).await => {
                match tokio::time::timeout(LOCK_PATIENCE, claim(ClaimMode::WaitUntilFree)).await {
                    Ok(claimed) => claimed,
                    Err(_elapsed) => Err(owned),
                }
            }
            claimed => claimed,
        }
    }

    async fn is_held_by_the_dead(&self, owned: &ClaimError) -> bool {
        match owned {
            ClaimError::Owned { owner, .. } if owner.identity.host == self.host => {
                is_gone_soon(owner.identity.pid).await
            }
            _ => false,
        }
    }

    async fn ended(&self, run: RunId) -> Result<DriveEnd, DriveError> {
        Ok(DriveEnd::Ended(self.store.machine(run).await?.status()))
    }

    /// Work in flight binds the run to its machine, unless a person says that it is gone. A machine is known by its boot
    /// while it is up, whatever it calls itself, and by its name after a reboot.
    fn check_host(&self, machine: &TopicMachine, mode: ClaimMode) -> Result<(), DriveError> {
        if mode == ClaimMode::TakeOver {
            return Ok(());
        }
        for (effect, wish) in machine.desired() {
            if let (Desired::Hold(_) | Desired::Stop(..), Some(place)) = (wish, machine.effect_host(&effect))
                && place.boot != self.boot
                && place.host != self.host
            {
                return Err(DriveError::OtherHost { run: machine.run(), host: place.host.clone() });
            }
        }
        Ok(())
    }
}

impl Drive<'_> {
    /// Lets others claim the run, since this process does not go on with it. Its index row stays as it was written last: it
    /// is due when it was due.
    async fn give_up(&mut self) {
        let given_up = match self.release_as_it_is(OwnerReleased { epoch: self.epoch }).await {
            Ok(()) => self.read_own_last_words().await,
            Err(error) => Err(error),
        };
        if let Err(error) = given_up {
            tracing::info!(run = %self.run, %error, "the run could not be given up: it is free once this process ends");
        }
    }
}
