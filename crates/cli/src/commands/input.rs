//! Saying something to a run, and hearing what came of it.

use std::pin::pin;
use std::time::Duration;

use backstay_log::ClaimMode;
use backstay_model::event::Verdict;
use backstay_model::{RunId, Seq};
use backstay_runtime::{DriveEnd, DriveError, Owner, RunInput, ShutdownHandle, Store};
use serde::Serialize;

use crate::configuration::TrustedConfiguration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_drive};
use crate::foreground;
use crate::output::{self, Document, describe_any};

/// How long an owner is waited for in silence. One that lives answers within a second.
const SILENCE: Duration = Duration::from_secs(5);
/// Time between two looks at who owns the run: an owner's death is no event.
const LOOK: Duration = Duration::from_secs(1);
/// How long a process in the background may take to own a run: far longer than starting one takes.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(15);

/// What came of something that was said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// The owner took it.
    Accepted,
    /// Nobody owned the run: this process brought it to rest.
    Rested(DriveEnd),
    /// The owner died before it answered: this process settled what was said, and nobody works on the run now.
    Settled,
}

/// What is done with a run whose owner died before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// It is brought to rest: what was said stops it.
    BringToRest,
    /// What was said is settled, and the run given up again: it would go on with it.
    Settle,
}

/// Says `input` and waits for the verdict. Where nobody owns the run, or its owner dies before it answers, this process
/// settles it; `orphan` says what else it does with the run. It begins no work of an agent, so the store's configuration
/// cannot refuse it.
pub(crate) async fn say_and_settle(
    context: &Context,
    store: &Store,
    run: RunId,
    input: impl Into<RunInput>,
    orphan: Orphan,
) -> Result<Heard, CliError> {
    let input = store.say(run, input).await?;
    loop {
        if store.is_owned(run).await? {
            match owners_verdict(store, run, input).await? {
                Some(verdict) => return accepted(verdict).map(|()| Heard::Accepted),
                None => continue,
            }
        }
        let heard = match orphan {
            Orphan::BringToRest => bring_to_rest(context, store, run).await?.map(Heard::Rested),
            Orphan::Settle => settle(context, store, run).await?,
        };
        if let Some(heard) = heard {
            accepted(store.verdict(run, input).await?)?;
            return Ok(heard);
        }
    }
}

/// Brings a run that nobody owns to rest. None if somebody else was first.
pub(crate) async fn bring_to_rest(
    context: &Context,
    store: &Store,
    run: RunId,
) -> Result<Option<DriveEnd>, CliError> {
    let owner = owner(context, store).await?;
    unless_owned(owner.drive(run, ClaimMode::IfFree, &ShutdownHandle::default()).await)
}

/// Settles what was said to a run that nobody owns, and gives it up again. None if somebody else was first.
async fn settle(context: &Context, store: &Store, run: RunId) -> Result<Option<Heard>, CliError> {
    let settled = owner(context, store).await?.settle(run).await;
    unless_owned(settled.map(|()| Heard::Settled))
}

fn unless_owned<T>(done: Result<T, DriveError>) -> Result<Option<T>, CliError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(DriveError::OwnedElsewhere { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// This process as an owner that stops a run or settles what was said to it. A configuration that cannot be read is no reason
/// to let a run go on that somebody wants stopped.
async fn owner(context: &Context, store: &Store) -> Result<Owner, CliError> {
    let read = context.configuration(store.folder()).and_then(|configuration| configuration.trusted_part());
    let trusted = match read {
        Ok(trusted) => trusted,
        Err(error) => {
            output::note(&format!(
                "warning: this goes on without the configuration: {}",
                describe_any(&error)
            ));
            TrustedConfiguration::built_in()?
        }
    };
    foreground::owner(context, store, &trusted).await
}

/// Who takes up a run that nobody owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// A process in the background that was started for it just now.
    Started,
    /// Nobody yet.
    Nobody,
}

/// Waits for the verdict on `input`. If nobody owns the run, and `successor` does not come, this process settles it and gives
/// the run up again: then it says so, and nobody works on the run.
pub(crate) async fn verdict(
    context: &Context,
    store: &Store,
    run: RunId,
    input: Seq,
    successor: Successor,
) -> Result<(Verdict, Heard), CliError> {
    let mut verdict = pin!(store.verdict(run, input));
    let mut patience = match successor {
        Successor::Started => BACKGROUND_PATIENCE,
        Successor::Nobody => LOOK,
    };
    let mut silence = Silence::default();
    loop {
        match tokio::time::timeout(LOOK, &mut verdict).await {
            Ok(verdict) => return Ok((verdict?, Heard::Accepted)),
            Err(_elapsed) => patience = patience.saturating_sub(LOOK),
        }
        if store.is_owned(run).await? {
            // Should this one die too, nobody else is on the way.
            patience = LOOK;
            silence.lasts(store, run).await?;
        } else if patience.is_zero()
            && let Some(heard) = settle(context, store, run).await?
        {
            return Ok((verdict.await?, heard));
        }
    }
}

/// How long a living owner has not answered.
#[derive(Debug, Default)]
struct Silence(Duration);

impl Silence {
    /// It has not answered for one more look. Once that is too long, this says so.
    async fn lasts(&mut self, store: &Store, run: RunId) -> Result<(), CliError> {
        self.0 += LOOK;
        if self.0 == SILENCE { tell_silence(store, run).await } else { Ok(()) }
    }
}

/// Says who does not answer. What was said stays said.
async fn tell_silence(store: &Store, run: RunId) -> Result<(), CliError> {
    let view = store.view(run).await?;
    let owner = view.owner.map_or_else(
        || "the owner".to_owned(),
        |owner| format!("process {} on {}", owner.identity.pid, owner.identity.host),
    );
    output::note(&format!(
        "{owner} has not taken it for {} s; if it hangs, `backstay resume {run} --take-over` takes the run from it",
        SILENCE.as_secs()
    ));
    Ok(())
}

/// The verdict of the owner; none if it dies before.
async fn owners_verdict(store: &Store, run: RunId, input: Seq) -> Result<Option<Verdict>, CliError> {
    let mut verdict = pin!(store.verdict(run, input));
    let mut silence = Silence::default();
    loop {
        if let Ok(verdict) = tokio::time::timeout(LOOK, &mut verdict).await {
            return Ok(Some(verdict?));
        }
        if !store.is_owned(run).await? {
            return Ok(None);
        }
        silence.lasts(store, run).await?;
    }
}

fn accepted(verdict: Verdict) -> Result<(), CliError> {
    match verdict {
        Verdict::Accepted => Ok(()),
        verdict => Err(CliError::Refused(verdict)),
    }
}

/// Says what came of it.
pub(crate) async fn tell(
    store: &Store,
    run: RunId,
    heard: Heard,
    done: &str,
    json: bool,
) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Told {
        run: RunId,
        status: backstay_engine::record::RunStatus,
    }
    let status = store.view(run).await?.record.status;
    if json {
        output::json(&Document::new(Told { run, status }))?;
    } else {
        output::line(&format!("{done}; {run} {}", status.predicate()))?;
    }
    if matches!(heard, Heard::Settled) && !status.is_ended() {
        output::note("its owner died, and nobody works on it now");
        output::note(&format!("next  backstay resume {run}"));
    }
    Ok(match heard {
        // What was asked for has happened.
        Heard::Accepted | Heard::Settled | Heard::Rested(DriveEnd::Suspended | DriveEnd::Stopped) => {
            Exit::Completed
        }
        Heard::Rested(DriveEnd::Ended(_)) => Exit::Completed,
        Heard::Rested(end @ (DriveEnd::WaitingForPerson | DriveEnd::Asking)) => of_drive(end),
    })
}
