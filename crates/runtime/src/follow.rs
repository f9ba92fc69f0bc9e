//! Following a run: what is there, then what comes.

use backstay_engine::record::StepEventRow;
use backstay_log::{Cursor, Subscription};
use backstay_model::event::{Event, FactEvent, InputEvent};
use backstay_model::{Delivery, Recorded, RunId, Seq, Topic};

use crate::error::RunError;
use crate::store::Store;

/// Where following begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FollowFrom {
    /// With the first event.
    #[default]
    Start,
    /// After the event with this number.
    After(Seq),
    /// Where an earlier follower was.
    Cursor(Cursor),
}

/// Follows one run: every event once and in order, and between them the live events, such as heartbeats.
#[derive(Debug)]
pub struct RunFollower {
    events: Subscription,
    has_ended: bool,
}

impl Store {
    /// Follows `run`.
    ///
    /// # Errors
    /// [`RunError`] if the run does not exist, or the cursor is of another topic or log.
    pub async fn follow(&self, run: RunId, from: FollowFrom) -> Result<RunFollower, RunError> {
        let topic = Topic::run(run);
        // An unknown run is an error, not an empty topic.
        self.log().topic(&topic).await?.ok_or(RunError::Unknown(run))?;
        let events = match from {
            FollowFrom::Start => self.log().follow(&topic, Seq(0)),
            FollowFrom::After(seq) => self.log().follow(&topic, seq),
            FollowFrom::Cursor(cursor) => self.log().subscribe(&topic, &cursor)?,
        };
        Ok(RunFollower { events, has_ended: false })
    }

    /// The step events of `run` so far, a row for each.
    ///
    /// # Errors
    /// [`RunError`] if the run does not exist or cannot be read.
    pub async fn step_events(&self, run: RunId) -> Result<Vec<StepEventRow>, RunError> {
        let topic = Topic::run(run);
        self.log().topic(&topic).await?.ok_or(RunError::Unknown(run))?;
        let mut rows = Vec::new();
        let gap = self.each_event(&topic, Seq(0), |recorded| {
            rows.extend(StepEventRow::of(recorded)?);
            Ok(())
        });
        match gap.await? {
            Some(gap) => Err(self.trimmed(run, gap.first).await),
            None => Ok(rows),
        }
    }
}

impl RunFollower {
    /// What comes next; none once the run has ended and everything was given. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`RunError`] if the log cannot be read.
    pub async fn next(&mut self) -> Result<Option<Delivery>, RunError> {
        let delivery = match self.next_now().await? {
            Some(delivery) => delivery,
            None if self.has_ended => return Ok(None),
            None => {
                let delivery = self.events.next().await?;
                self.note(&delivery);
                delivery
            }
        };
        Ok(Some(delivery))
    }

    /// What is there already and was not given yet.
    ///
    /// # Errors
    /// [`RunError`] if the log cannot be read.
    pub async fn next_now(&mut self) -> Result<Option<Delivery>, RunError> {
        let delivery = self.events.try_next().await?;
        if let Some(delivery) = &delivery {
            self.note(delivery);
        }
        Ok(delivery)
    }

    /// The next step event, heartbeats included; none once the run has ended. What else comes is passed by.
    ///
    /// # Errors
    /// [`RunError`] if the log cannot be read, or an event is damaged or from a newer version.
    pub async fn next_step_event(&mut self) -> Result<Option<StepEventRow>, RunError> {
        while let Some(delivery) = self.next().await? {
            let row = match &delivery {
                Delivery::Event(recorded) => StepEventRow::of(recorded)?,
                Delivery::Live(live) => StepEventRow::of_live(live)?,
                Delivery::Gap(_) => None,
            };
            if row.is_some() {
                return Ok(row);
            }
        }
        Ok(None)
    }

    /// Where this follower is, for another one to go on from; none before the first event.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.events.cursor()
    }

    fn note(&mut self, delivery: &Delivery) {
        if let Delivery::Event(recorded) = delivery {
            self.has_ended = has_ended_after(self.has_ended, recorded);
        }
    }
}

/// Whether the run has ended after `recorded`. What cannot be decoded here ends nothing.
fn has_ended_after(has_ended: bool, recorded: &Recorded) -> bool {
    match Event::decode(recorded) {
        Ok(
            Event::Fact(FactEvent::RunCompleted(_))
            | Event::Fact(FactEvent::RunFailed(_))
            | Event::Fact(FactEvent::RunCancelled(_))
            | Event::Fact(FactEvent::Trimmed(_)),
        ) => true,
        Ok(Event::Input(InputEvent::Reopened(_)) | Event::Fact(FactEvent::RunResumed(_))) => false,
        Ok(_) | Err(_) => has_ended,
    }
}
