//! One run, as an embedder sees it.

use std::pin::Pin;
use std::sync::Arc;

use backstay_engine::record::{RunRecord, StepEventRow, Usage};
use backstay_log::ClaimMode;
use backstay_model::event::{
    Answer, CancelRequested, QuestionAnswered, Reopened, ResumeRequested, SkipRequested, StepSkip,
    SuspendReason, SuspendRequested, Verdict,
};
use backstay_model::{QuestionId, RunId, Scope, Seq, StepId, Text};
use backstay_runtime::{FollowFrom, OpenQuestion, RunFollower, RunInput, RunRest, SayError, ShutdownHandle};

use crate::error::Error;
use crate::handle::Backstay;

/// A run of an open store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Run {
    backstay: Backstay,
    id: RunId,
}

impl Run {
    pub(crate) fn new(backstay: Backstay, id: RunId) -> Run {
        Run { backstay, id }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Works on the run in this process until it ends, is suspended or needs a person. What is done is durable: after a crash
    /// of this process another one, or a later one, goes on where it was.
    ///
    /// # Errors
    /// [`Error::Drive`] if another process works on it, or it cannot be worked on; [`Error::NotInitialized`].
    pub async fn drive(&self) -> Result<RunRest, Error> {
        self.drive_until(&ShutdownHandle::default()).await
    }

    /// The same until `switch` is used: then the run is given up, and agents in flight go on under their keepers.
    ///
    /// # Errors
    /// As [`drive`](Run::drive).
    pub async fn drive_until(&self, switch: &ShutdownHandle) -> Result<RunRest, Error> {
        Ok(self.backstay.owner().await?.drive(self.id, ClaimMode::IfFree, switch).await?.into())
    }

    /// The same, and takes the run from a process that hangs, or from a machine that is gone.
    ///
    /// # Errors
    /// As [`drive`](Run::drive).
    pub async fn take_over(&self, switch: &ShutdownHandle) -> Result<RunRest, Error> {
        Ok(self.backstay.owner().await?.drive(self.id, ClaimMode::TakeOver, switch).await?.into())
    }

    /// Waits until the run ends, is suspended or needs a person, whoever works on it.
    ///
    /// # Errors
    /// [`Error::Run`] if it cannot be read.
    pub async fn wait(&self) -> Result<RunRest, Error> {
        Ok(self.backstay.store().wait(self.id).await?)
    }

    /// Suspends the run: what is at work is stopped, and begun again once it is resumed.
    pub fn suspend(&self) -> Message {
        let by = self.backstay.settings().actor.clone();
        self.message(SuspendRequested { by, reason: SuspendReason::Asked })
    }

    /// Lets a suspended run go on. Somebody has to work on it then.
    pub fn resume(&self) -> Message {
        let by = self.backstay.settings().actor.clone();
        self.message(ResumeRequested { by, now: false })
    }

    /// Cancels the run.
    pub fn cancel(&self) -> Message {
        let by = self.backstay.settings().actor.clone();
        self.message(CancelRequested { by, reason: None })
    }

    /// Lets a run that has ended go on with what has not succeeded. Somebody has to work on it then.
    pub fn retry(&self) -> Message {
        self.reopen(None, None)
    }

    /// The same from `step` on: it, and what needs it, is done again.
    pub fn retry_from(&self, step: StepId) -> Message {
        self.reopen(Some(Scope::step(step)), None)
    }

    /// The same without `step`.
    pub fn retry_without(&self, step: StepId) -> Message {
        self.reopen(None, Some(StepSkip { scope: Scope::step(step), output: None }))
    }

    fn reopen(&self, from: Option<Scope>, skip: Option<StepSkip>) -> Message {
        let by = self.backstay.settings().actor.clone();
        self.message(Reopened { by, from, skip, plan: None })
    }

    /// Leaves a step of a run out that has not ended.
    pub fn skip(&self, step: StepId) -> Message {
        let by = self.backstay.settings().actor.clone();
        let input = RunInput::from(SkipRequested { by, output: None });
        self.message(input.about(step))
    }

    /// Answers a question of the run, with one of its options, or with any text where it has none.
    pub fn answer(&self, question: QuestionId, choice: impl Into<String>) -> Message {
        let by = self.backstay.settings().actor.clone();
        let answer = Answer { choice: choice.into(), value: None };
        self.message(QuestionAnswered { by, question, answer })
    }

    fn message(&self, input: impl Into<RunInput>) -> Message {
        Message { run: self.clone(), input: input.into() }
    }

    /// The record of the run: its steps with their attempts, questions, interruptions, times.
    ///
    /// # Errors
    /// [`Error::Run`] if it cannot be read.
    pub async fn record(&self) -> Result<RunRecord, Error> {
        Ok(self.backstay.store().record(self.id).await?)
    }

    /// What its agents used; none if none that could tell was at work.
    ///
    /// # Errors
    /// As [`record`](Run::record).
    pub async fn usage(&self) -> Result<Option<Usage>, Error> {
        Ok(self.record().await?.usage())
    }

    /// Its questions that wait for an answer, by time.
    ///
    /// # Errors
    /// As [`record`](Run::record).
    pub async fn inbox(&self) -> Result<Vec<OpenQuestion>, Error> {
        Ok(self.backstay.store().open_questions(self.id).await?)
    }

    /// Its step events so far, a decoded row for each.
    ///
    /// # Errors
    /// [`Error::Run`] if they cannot be read, or were freed.
    pub async fn step_events(&self) -> Result<Vec<StepEventRow>, Error> {
        Ok(self.backstay.store().step_events(self.id).await?)
    }

    /// Follows the run: what is there after `from`, then what comes, with heartbeats as live events, to its end.
    ///
    /// # Errors
    /// [`Error::Run`] if the run cannot be read, or a cursor is of another run or store.
    pub async fn follow(&self, from: FollowFrom) -> Result<RunFollower, Error> {
        Ok(self.backstay.store().follow(self.id, from).await?)
    }

    /// The text that a record speaks of, such as a step's output.
    ///
    /// # Errors
    /// [`Error::Run`] if it is missing or damaged.
    pub async fn text(&self, text: &Text) -> Result<Arc<str>, Error> {
        Ok(self.backstay.store().text(text).await?)
    }
}

/// Something to be said to a run. Awaiting it appends it, durably, and waits for the verdict of whoever works on the run; where
/// no living process does, this one gives the verdict and begins no work.
#[derive(Clone, Debug)]
#[must_use = "nothing is said until this is awaited"]
pub struct Message {
    run: Run,
    input: RunInput,
}

impl Message {
    /// The same under an idempotency key: said again under it, nothing is appended, and the first verdict is returned.
    pub fn key(self, key: impl Into<String>) -> Message {
        Message { input: self.input.with_key(key.into()), ..self }
    }

    /// Appends it, durably, and returns its number without waiting for the verdict.
    ///
    /// # Errors
    /// [`Error::Say`] if it cannot be appended, or the run would refuse it now.
    pub async fn append(self) -> Result<Seq, Error> {
        Ok(self.run.backstay.store().say(self.run.id, self.input).await?)
    }

    async fn settled(self) -> Result<Verdict, Error> {
        let Message { run, input } = self;
        let input = match run.backstay.store().say(run.id, input).await {
            Ok(input) => input,
            // What would be refused is not appended; the answer is the same.
            Err(SayError::Refused { rejection, .. }) => return Ok(rejection.verdict()),
            Err(error) => return Err(error.into()),
        };
        Ok(run.backstay.owner().await?.verdict(run.id, input).await?)
    }
}

impl IntoFuture for Message {
    type Output = Result<Verdict, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.settled())
    }
}
