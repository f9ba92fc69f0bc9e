//! Owning whatever is due: what `backstay up` does.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_log::{ClaimMode, TopicFilter};
use backstay_model::{Position, RunId, Timestamp};

use crate::client::RunRow;
use crate::drive::{DriveEnd, StopSwitch};
use crate::error::{DriveError, RunError};
use crate::owner::Owner;

/// The longest wait without a look at what is due.
const LOOK_BACKSTOP: Duration = Duration::from_secs(30);
/// How long an owner with nothing to do stays, so that a run asked for right then finds it.
const LINGER: Duration = Duration::from_secs(2);

/// One run being worked on, and what became of it.
type Driven<'a> = std::pin::Pin<Box<dyn Future<Output = (RunId, Result<DriveEnd, DriveError>)> + 'a>>;

impl Owner {
    /// Works on every run of the store that is due, side by side, until none is open or `switch` is used. A run that
    /// cannot be worked on is logged and tried again after half a minute.
    ///
    /// # Errors
    /// [`DriveError`] if the list of runs cannot be read.
    pub async fn keep(&self, switch: &StopSwitch) -> Result<(), DriveError> {
        let mut driven: Vec<Driven<'_>> = Vec::new();
        let mut at_work: Vec<RunId> = Vec::new();
        let mut refused: BTreeMap<RunId, Timestamp> = BTreeMap::new();
        let mut seen = Position(0);
        let mut idle = false;
        loop {
            let rows = self.open_runs().await?;
            let now = self.store.clock.wall();
            for row in &rows {
                let is_refused = refused.get(&row.run).is_some_and(|until| now < *until);
                if self.is_due(row, now) && !at_work.contains(&row.run) && !is_refused {
                    at_work.push(row.run);
                    let run = row.run;
                    driven
                        .push(Box::pin(async move { (run, self.drive(run, ClaimMode::Fair, switch).await) }));
                }
            }
            let next = rows.iter().filter_map(|row| row.wake_at).filter(|wake_at| *wake_at > now).min();
            if driven.is_empty() && next.is_none() {
                if idle {
                    return Ok(());
                }
                idle = true;
            } else {
                idle = false;
            }
            let patience = match (idle, next) {
                (true, _) => LINGER,
                (false, next) => next.map_or(LOOK_BACKSTOP, |due_at| due_at.since(now)).min(LOOK_BACKSTOP),
            };
            tokio::select! {
                () = switch.stopped() => return Ok(()),
                (run, end) = first_of(&mut driven) => {
                    at_work.retain(|working| *working != run);
                    if let Err(error) = end {
                        tracing::warn!(%run, %error, "a run cannot be worked on");
                        refused.insert(run, self.store.clock.wall().plus(LOOK_BACKSTOP));
                    }
                }
                position = self.store.log.changed(seen) => seen = position,
                () = tokio::time::sleep(patience) => {}
            }
        }
    }

    /// Whether nobody works on the run though it is time; one that this process failed to give up is its own to retry.
    fn is_due(&self, row: &RunRow, now: Timestamp) -> bool {
        let is_own = row.owner.as_ref().is_some_and(|owner| owner.identity == *self.identity());
        (row.is_without_owner() || is_own) && row.wake_at.is_some_and(|wake_at| wake_at <= now)
    }

    async fn open_runs(&self) -> Result<Vec<RunRow>, RunError> {
        self.store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await
    }
}

/// Resolves with the first of `driven` that ends, and takes it out; never if there is none.
async fn first_of<T>(driven: &mut Vec<std::pin::Pin<Box<dyn Future<Output = T> + '_>>>) -> T {
    std::future::poll_fn(|context| {
        for index in 0..driven.len() {
            if let std::task::Poll::Ready(output) = driven[index].as_mut().poll(context) {
                drop(driven.swap_remove(index));
                return std::task::Poll::Ready(output);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
