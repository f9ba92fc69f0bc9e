//! Stopping a drive at once.

use tokio::sync::watch;

/// Stops drives at once: nothing in flight is stopped, agents go on under their keepers, and the run is given up, so that
/// the next owner can claim it. For an orderly stand, say `SuspendRequested` to the run instead.
#[derive(Clone, Debug)]
pub struct StopSwitch(watch::Sender<bool>);

impl Default for StopSwitch {
    fn default() -> StopSwitch {
        StopSwitch(watch::Sender::new(false))
    }
}

impl StopSwitch {
    /// Stops every drive that holds this switch.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Resolves once the switch was used.
    pub async fn stopped(&self) {
        let mut stopped = self.0.subscribe();
        // The sender lives in `self`, so the wait can only end by the switch.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            tracing::debug!("the stop switch is gone");
        }
    }
}
