//! Owning whatever is due: what `backstay up` does.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_log::{ClaimMode, TopicFilter};
use backstay_model::{Position, RunId};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::ballast;
use crate::client::RunRow;
use crate::drive::{DriveEnd, StopSwitch};
use crate::error::{DriveError, RunError};
use crate::owner::Owner;

/// The longest wait without a look at what is due.
const LOOK_BACKSTOP: Duration = Duration::from_secs(30);
/// The shortest time from one look to the next: runs at work change the log all the time.
const LOOK_PACE: Duration = Duration::from_millis(200);
/// How long an owner with nothing to do stays, so that a run asked for right then finds it.
const LINGER: Duration = Duration::from_secs(2);
/// Until a run that could not be worked on is tried again; doubled with each time, up to the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LONGEST: Duration = Duration::from_secs(300);
/// How long a run that was just asked for is left to whoever asked: that process is about to take it itself.
const YOUNG: Duration = Duration::from_secs(5);
/// How often ended runs are freed by the retention policy.
const FREE_EVERY: Duration = Duration::from_secs(3_600);
/// Looks that fail in a row before the owner gives up.
const FAILED_LOOKS_MAX: u32 = 6;

/// One run being worked on, and what became of it.
type Driven<'a> = Pin<Box<dyn Future<Output = (RunId, Result<DriveEnd, DriveError>)> + 'a>>;

/// A run that could not be worked on.
#[derive(Debug)]
struct Refused {
    until: Instant,
    pause: Duration,
    /// Whether this owner stays for it: the reason may pass.
    is_waited_for: bool,
}

/// What one look at the store showed.
struct Looked {
    seen: Position,
    rows: Result<Vec<RunRow>, RunError>,
}

/// When to look again.
struct Appointment {
    seen: Position,
    earliest: Instant,
    latest: Instant,
}

/// Which runs an owner keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of the store that are due.
    All,
    /// One, until it rests.
    Only(RunId),
}

/// The work of an owner that keeps.
struct Keeping<'a> {
    owner: &'a Owner,
    kept: Kept,
    switch: &'a StopSwitch,
    driven: FuturesUnordered<Driven<'a>>,
    at_work: BTreeSet<RunId>,
    refused: BTreeMap<RunId, Refused>,
    /// Why nothing more is tried for some of them, unless there is other work meanwhile.
    left: BTreeMap<RunId, DriveError>,
    /// Since when there is nothing to do.
    idle_since: Option<Instant>,
    failed_looks: u32,
}

impl Owner {
    /// Works on every run of `kept` that is due, side by side, until none is open or `switch` is used. A run that cannot be
    /// worked on is logged and tried again later. One that another process has to work on, or that is damaged, is not
    /// waited for: gives those that are left, and why.
    ///
    /// # Errors
    /// [`DriveError`] if the store is gone, or the list of runs can still not be read after several tries.
    pub async fn keep(
        &self,
        kept: Kept,
        switch: &StopSwitch,
    ) -> Result<BTreeMap<RunId, DriveError>, DriveError> {
        let now = Instant::now();
        let first = Appointment { seen: Position(0), earliest: now, latest: now };
        let mut keeping = Keeping {
            owner: self,
            kept,
            switch,
            driven: FuturesUnordered::new(),
            at_work: BTreeSet::new(),
            refused: BTreeMap::new(),
            left: BTreeMap::new(),
            idle_since: None,
            failed_looks: 0,
        };
        let mut seen = first.seen;
        let mut looking = pin!(self.look(first));
        let mut freeing = pin!(self.free_for_ever());
        loop {
            let next = tokio::select! {
                () = switch.stopped() => {
                    // Each drive sees the switch too, and gives its run up.
                    return keeping.finish(None).await;
                }
                Some((run, end)) = keeping.driven.next() => {
                    if let Err(gone) = keeping.take_end(run, end) {
                        return keeping.finish(Some(gone)).await;
                    }
                    let now = Instant::now();
                    Some(Appointment { seen, earliest: now, latest: now + LOOK_PACE })
                }
                // It has no end of its own.
                () = &mut freeing => return keeping.finish(None).await,
                looked = &mut looking => {
                    seen = looked.seen;
                    match keeping.take_look(looked) {
                        Ok(next) => next,
                        Err(gone @ DriveError::StoreGone(_)) => return keeping.finish(Some(gone)).await,
                        Err(error) => return Err(error),
                    }
                }
            };
            match next {
                Some(appointment) => looking.set(self.look(appointment)),
                None => return keeping.finish(None).await,
            }
        }
    }

    /// Frees by the retention policy, if there is one: now, and every hour.
    async fn free_for_ever(&self) {
        let Some((retention, by)) = &self.retention else { return std::future::pending().await };
        loop {
            match self.store.prune(*retention, by, false).await {
                Ok(report) if report.runs.is_empty() && report.failed.is_empty() => {}
                Ok(report) => {
                    let (freed, failed) = (report.runs.len(), report.failed.len());
                    tracing::info!(freed, failed, "ended runs gave back what they took");
                }
                Err(error) => tracing::warn!(%error, "ended runs cannot be freed"),
            }
            tokio::time::sleep(FREE_EVERY).await;
        }
    }

    async fn look(&self, appointment: Appointment) -> Looked {
        let Appointment { seen, earliest, latest } = appointment;
        tokio::time::sleep_until(earliest).await;
        tokio::select! {
            _newest = self.store.log.changed(seen) => {}
            () = tokio::time::sleep_until(latest) => {}
        }
        // What comes after this is a reason for the next look, also if this one shows it already.
        let seen = self.store.log.changed(seen).now_or_never().unwrap_or(seen);
        ballast::take_in(&self.store.folder);
        let filter = TopicFilter { open_only: true, ..TopicFilter::default() };
        Looked { seen, rows: self.store.runs(filter).await }
    }
}

impl Keeping<'_> {
    /// Begins what is due. Says when to look again; never if there is nothing to wait for.
    fn take_look(&mut self, looked: Looked) -> Result<Option<Appointment>, DriveError> {
        let (now, wall) = (Instant::now(), self.owner.store.clock.wall());
        let Looked { seen, rows } = looked;
        let appointment = |earliest: Instant, latest: Instant| Some(Appointment { seen, earliest, latest });
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                let error = self.owner.store.or_gone(None, DriveError::Run(error));
                self.failed_looks += 1;
                if matches!(error, DriveError::StoreGone(_)) || self.failed_looks >= FAILED_LOOKS_MAX {
                    return Err(error);
                }
                tracing::warn!(%error, "the runs cannot be listed");
                let again = now + AGAIN_FIRST * 2_u32.pow(self.failed_looks);
                return Ok(appointment(again, again));
            }
        };
        self.failed_looks = 0;
        let mut next: Option<Duration> = None;
        for row in &rows {
            let Some(wake_at) = row.wake_at else { continue };
            if !self.is_wanted(row) || !self.is_free(row) || self.at_work.contains(&row.run) {
                continue;
            }
            let is_young = self.kept == Kept::All && row.summary.status == RunStatus::Queued;
            let wake_at = if is_young { wake_at.plus(YOUNG) } else { wake_at };
            let wait = match self.refused.get(&row.run) {
                Some(refused) if !refused.is_waited_for && now < refused.until => continue,
                Some(refused) => wake_at.since(wall).max(refused.until.duration_since(now)),
                None => wake_at.since(wall),
            };
            if wait.is_zero() {
                self.begin(row.run);
            } else {
                next = Some(next.map_or(wait, |next| next.min(wait)));
            }
        }
        if !self.at_work.is_empty() || next.is_some() {
            self.idle_since = None;
            return Ok(appointment(now + LOOK_PACE, now + next.unwrap_or(LOOK_BACKSTOP).min(LOOK_BACKSTOP)));
        }
        if self.kept != Kept::All {
            return Ok(None);
        }
        let until = *self.idle_since.get_or_insert(now) + LINGER;
        Ok(if until <= now { None } else { appointment((now + LOOK_PACE).min(until), until) })
    }

    fn begin(&mut self, run: RunId) {
        let (owner, switch) = (self.owner, self.switch);
        self.at_work.insert(run);
        self.driven.push(Box::pin(async move { (run, owner.drive(run, ClaimMode::IfFree, switch).await) }));
    }

    /// Waits for every drive to end. Gives `error`, or what one of them says of a store that is gone: it knows more.
    /// Else gives what is left.
    async fn finish(
        &mut self,
        mut error: Option<DriveError>,
    ) -> Result<BTreeMap<RunId, DriveError>, DriveError> {
        while let Some((run, end)) = self.driven.next().await {
            let Err(gone) = self.take_end(run, end) else { continue };
            if matches!(error, Some(DriveError::StoreGone(_))) {
                tracing::warn!(%run, error = %gone, "a run cannot be worked on any more");
            } else {
                error = Some(gone);
            }
        }
        match error {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.left)),
        }
    }

    /// Takes note of how a drive ended. An error if the store is gone or the proof of this owner is lost: it can
    /// work on no run again.
    fn take_end(&mut self, run: RunId, end: Result<DriveEnd, DriveError>) -> Result<(), DriveError> {
        self.at_work.remove(&run);
        let error = match end {
            Ok(_) => {
                self.refused.remove(&run);
                self.left.remove(&run);
                return Ok(());
            }
            Err(ends_all @ (DriveError::StoreGone(_) | DriveError::OwnerLost { .. })) => {
                return Err(ends_all);
            }
            Err(error) => error,
        };
        let is_waited_for = match &error {
            // Somebody else is at it, or has to be.
            DriveError::OwnedElsewhere { .. }
            | DriveError::Fenced { .. }
            | DriveError::OtherHost { .. }
            | DriveError::DrivenHere { .. } => {
                tracing::info!(%run, %error, "a run is left to its owner");
                false
            }
            damage if damage.is_damage() => {
                tracing::warn!(%run, %error, "a run cannot be worked on until it is mended");
                false
            }
            _ => {
                tracing::warn!(%run, %error, "a run cannot be worked on for now");
                true
            }
        };
        if is_waited_for {
            self.left.remove(&run);
        } else {
            self.left.insert(run, error);
        }
        let pause = match self.refused.get(&run) {
            // It shows the same the next time.
            _ if self.left.get(&run).is_some_and(DriveError::is_damage) => AGAIN_LONGEST,
            Some(last) => (last.pause * 2).min(AGAIN_LONGEST),
            None => AGAIN_FIRST,
        };
        self.refused.insert(run, Refused { until: Instant::now() + pause, pause, is_waited_for });
        Ok(())
    }

    fn is_wanted(&self, row: &RunRow) -> bool {
        match self.kept {
            Kept::All => true,
            Kept::Only(run) => row.run == run,
        }
    }

    /// Whether nobody works on the run; one that this process failed to give up is its own to try again.
    fn is_free(&self, row: &RunRow) -> bool {
        let is_own = row.owner.as_ref().is_some_and(|owner| owner.identity == *self.owner.identity());
        row.is_without_owner() || is_own
    }
}
