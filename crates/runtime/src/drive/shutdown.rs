//! Stopping a drive at once.

use tokio::sync::watch;

/// Stops drives at once: nothing in flight is stopped, agents go on under their keepers, and the run is given up, so that
/// the next owner can claim it. For an orderly stand, say `SuspendRequested` to the run instead.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    used: watch::Sender<bool>,
    at_questions: bool,
}

impl Default for ShutdownHandle {
    fn default() -> ShutdownHandle {
        ShutdownHandle { used: watch::Sender::new(false), at_questions: false }
    }
}

impl ShutdownHandle {
    /// A switch whose drives also leave a run of which nothing goes on before a person answers, though the steps that ask
    /// are at work: [`DriveEnd::Asking`](super::DriveEnd::Asking).
    #[must_use]
    pub fn at_questions() -> ShutdownHandle {
        ShutdownHandle { at_questions: true, ..ShutdownHandle::default() }
    }

    pub(super) const fn leaves_questions(&self) -> bool {
        self.at_questions
    }

    /// Stops every drive that holds this switch.
    pub fn stop(&self) {
        self.used.send_replace(true);
    }

    /// Resolves once the switch was used.
    pub async fn stopped(&self) {
        let mut stopped = self.used.subscribe();
        // The sender lives in `self`, so the wait can only end by the switch.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            tracing::debug!("the stop switch is gone");
        }
    }
}
