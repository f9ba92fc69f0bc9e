//! How often a view is drawn.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time from one drawing to the next: no eye needs more, and a busy run has thousands of events.
const SHORTEST: Duration = Duration::from_millis(250);

/// When a view is drawn next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    is_stale: bool,
    drawn_at: Option<Instant>,
}

impl Pace {
    /// A view that has not been drawn yet.
    pub(crate) const fn undrawn() -> Pace {
        Pace { is_stale: true, drawn_at: None }
    }

    /// There is something new to see.
    pub(crate) const fn note(&mut self) {
        self.is_stale = true;
    }

    /// A person waits to see something new: it is drawn at once.
    pub(crate) const fn hurry(&mut self) {
        *self = Pace::undrawn();
    }

    /// It was drawn.
    pub(crate) fn drawn(&mut self) {
        *self = Pace { is_stale: false, drawn_at: Some(Instant::now()) };
    }

    /// Resolves when it should be drawn; never while there is nothing new.
    pub(crate) async fn due(&self) {
        if !self.is_stale {
            return std::future::pending().await;
        }
        if let Some(drawn_at) = self.drawn_at {
            tokio::time::sleep_until(drawn_at + SHORTEST).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_view_is_drawn_at_once_and_then_at_most_four_times_a_second() {
        let mut pace = Pace::undrawn();
        let begun = Instant::now();
        for _ in 0..5 {
            pace.note();
            pace.due().await;
            pace.drawn();
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_without_news_is_not_drawn() {
        let mut pace = Pace::undrawn();
        pace.drawn();
        let waited = tokio::time::timeout(Duration::from_secs(3_600), pace.due()).await;
        assert!(waited.is_err());
    }
}
