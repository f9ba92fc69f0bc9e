//! Inputs: what anybody may say to a run, and the verdict of its owner.

use std::time::Duration;

use backstay_log::{AppendError, Authority, Batch, Precondition, TopicAppend};
use backstay_model::event::{Event, FactEvent, InputEvent, PlanRef, Reopened, Verdict};
use backstay_model::{Delivery, RunId, Scope, Seq, StepId, Topic};

use crate::error::{DriveError, RunError, SayError};
use crate::owner::Owner;
use crate::request::new_event;
use crate::store::Store;

/// Time between two looks at who owns a run: an owner's death is no event.
const OWNER_LOOK: Duration = Duration::from_secs(1);

/// An input for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunInput {
    event: InputEvent,
    step: Option<StepId>,
    key: Option<String>,
}

impl<E: Into<InputEvent>> From<E> for RunInput {
    fn from(event: E) -> RunInput {
        RunInput { event: event.into(), step: None, key: None }
    }
}

impl RunInput {
    /// The same about a step: about its current cycle, where it is in a loop. Without one it is about the run as a whole.
    #[must_use]
    pub fn about(self, step: impl Into<Option<StepId>>) -> RunInput {
        RunInput { step: step.into(), ..self }
    }

    /// The same under an idempotency key: saying it again to the same run under the same key appends nothing and gives the
    /// number of the first one.
    #[must_use]
    pub fn with_key(self, key: String) -> RunInput {
        RunInput { key: Some(key), ..self }
    }
}

impl Store {
    /// Says `input` to `run` and returns its number. Once this returns it is durable; its verdict follows from an owner.
    ///
    /// # Errors
    /// [`SayError::Refused`] if the run would refuse it now, [`SayError::ScreenIsOpen`] if it would go on while a person is on
    /// an agent's screen; nothing was appended then.
    pub async fn say(&self, run: RunId, input: impl Into<RunInput>) -> Result<Seq, SayError> {
        let RunInput { event: input, step, key } = input.into();
        let goes_on = matches!(input, InputEvent::ResumeRequested(_) | InputEvent::Reopened(_));
        let _screens_closed = if goes_on { Some(self.keep_screens_closed(run).await?) } else { None };
        loop {
            let mut machine = self.machine(run).await?;
            if let InputEvent::Reopened(Reopened { plan: Some(plan), .. }) = &input {
                self.give_plan(&mut machine, PlanRef::clone(plan)).await?;
            }
            let of_step = |step| machine.scope_of(step).unwrap_or_else(|| Scope::step(StepId::clone(step)));
            let scope = step.as_ref().map_or_else(Scope::root, of_step);
            let accepted = machine.would_accept(&scope, &input);
            let event = new_event(run, scope, &input.clone().into())?;
            let mut part = TopicAppend::new(Topic::run(run), Authority::Input, vec![event]);
            if input.reopens() {
                part.authority = Authority::Reopen;
                // Its events may be freed at any moment: it is opened as it was read, or not.
                part.preconditions = vec![Precondition::Exactly(machine.head())];
            }
            if let Err(rejection) = accepted {
                // It may have been said already, and be the reason why it is refused now.
                let Some(key) = &key else { return Err(SayError::refused(run, rejection)) };
                return match self.said_before(part, key).await? {
                    Some(said) => Ok(said),
                    None => Err(SayError::refused(run, rejection)),
                };
            }
            match self.log.submit(Batch { key: key.clone(), ..Batch::of(part) }).await {
                Ok(appended) => return Ok(appended.topics.first().map_or(Seq(0), |part| part.last)),
                // Somebody was first, with whatever it was.
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Deleted { .. }) => return Err(RunError::Unknown(run).into()),
                Err(error) => return Err(RunError::Append(error).into()),
            }
        }
    }

    /// The number under which `part` was appended with `key`, if it was. Nothing is appended.
    async fn said_before(&self, mut part: TopicAppend, key: &str) -> Result<Option<Seq>, RunError> {
        // A key is looked up before the preconditions, and no topic has this head.
        part.preconditions = vec![Precondition::Exactly(Seq(u64::MAX))];
        match self.log.submit(Batch { key: Some(key.to_owned()), ..Batch::of(part) }).await {
            Ok(appended) => Ok(appended.topics.first().map(|part| part.last)),
            Err(AppendError::KeyConflict { topic, key }) => {
                Err(AppendError::KeyConflict { topic, key }.into())
            }
            Err(
                AppendError::Conflict { .. } | AppendError::Closed { .. } | AppendError::NotClosed { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the verdict on the input with this number.
    ///
    /// # Errors
    /// [`RunError`] if the topic cannot be read.
    pub async fn verdict(&self, run: RunId, input: Seq) -> Result<Verdict, RunError> {
        let mut events = self.log.follow(&Topic::run(run), input);
        loop {
            if let Some(verdict) = verdict_in(&events.next().await?, input)? {
                return Ok(verdict);
            }
        }
    }

    /// The verdict on the input with this number, if it was given already.
    async fn verdict_so_far(&self, run: RunId, input: Seq) -> Result<Option<Verdict>, RunError> {
        let mut events = self.log.follow(&Topic::run(run), input);
        while let Some(delivery) = events.try_next().await? {
            if let Some(verdict) = verdict_in(&delivery, input)? {
                return Ok(Some(verdict));
            }
        }
        Ok(None)
    }

    /// Whether a living process owns `run`.
    ///
    /// # Errors
    /// [`RunError`] if the log cannot be read.
    pub async fn is_owned(&self, run: RunId) -> Result<bool, RunError> {
        let row = self.log.topic(&Topic::run(run)).await?;
        Ok(row.and_then(|row| row.owner).is_some_and(|owner| owner.is_held()))
    }

    /// Resolves once no living process owns `run`.
    async fn unowned(&self, run: RunId) -> Result<(), RunError> {
        while self.is_owned(run).await? {
            tokio::time::sleep(OWNER_LOOK).await;
        }
        Ok(())
    }
}

impl Owner {
    /// Waits for the verdict on the input with this number. Where no living process owns the run, this owner gives the verdict
    /// and gives the run up again: no work is started, stopped or looked for.
    ///
    /// # Errors
    /// [`DriveError`] if the run cannot be read, or not be settled.
    pub async fn verdict(&self, run: RunId, input: Seq) -> Result<Verdict, DriveError> {
        if let Some(verdict) = self.store.verdict_so_far(run, input).await? {
            return Ok(verdict);
        }
        loop {
            tokio::select! {
                biased;
                verdict = self.store.verdict(run, input) => return Ok(verdict?),
                unowned = self.store.unowned(run) => unowned?,
            }
            match self.settle(run).await {
                Ok(()) => return Ok(self.store.verdict(run, input).await?),
                // Somebody else was first, and gives the verdict.
                Err(
                    DriveError::OwnedElsewhere { .. }
                    | DriveError::DrivenHere { .. }
                    | DriveError::Fenced { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The verdict on the input with this number, if `delivery` has it.
fn verdict_in(delivery: &Delivery, input: Seq) -> Result<Option<Verdict>, RunError> {
    let Delivery::Event(recorded) = delivery else { return Ok(None) };
    Ok(match Event::decode(recorded)? {
        Event::Fact(FactEvent::Settled(settled)) if settled.input == input => Some(settled.verdict),
        _ => None,
    })
}
