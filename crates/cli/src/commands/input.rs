//! Saying something to a run, and hearing what came of it.

use std::pin::pin;
use std::time::Duration;

use backstay_log::ClaimMode;
use backstay_model::event::{Event, Verdict};
use backstay_model::{RunId, Seq};
use backstay_runtime::{DriveEnd, DriveError, StopSwitch, Store};
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_drive};
use crate::foreground;
use crate::output::{self, Document};

/// How long an owner is waited for in silence. One that lives answers within a second.
const SILENCE: Duration = Duration::from_secs(5);

/// What came of something that was said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// The owner took it.
    Accepted,
    /// Nobody owned the run: this process brought it to rest.
    Rested(DriveEnd),
}

/// Says `event` and waits for the verdict; where nobody owns the run, this process settles it and brings it to rest. What
/// ends work or lets it stand still is settled whatever the store's configuration says.
pub(crate) async fn say_and_settle(
    context: &Context,
    store: &Store,
    run: RunId,
    event: Event,
) -> Result<Heard, CliError> {
    let configuration = context.configuration(store.folder())?;
    let ends_work = matches!(event, Event::CancelRequested(_) | Event::SuspendRequested(_));
    let trusted = || if ends_work { configuration.trusted_part() } else { configuration.trusted() };
    if !is_owned(store, run).await? {
        // Before it is said: nobody could settle it.
        trusted()?;
    }
    let input = store.say(run, event).await?;
    if is_owned(store, run).await? {
        return accepted(store, run, input).await;
    }
    let owner = foreground::owner(context, store, &trusted()?).await?;
    match owner.drive(run, ClaimMode::Fair, &StopSwitch::default()).await {
        Ok(end) => {
            accepted(store, run, input).await?;
            Ok(Heard::Rested(end))
        }
        // Somebody else was first.
        Err(DriveError::OwnedElsewhere { .. }) => accepted(store, run, input).await,
        Err(error) => Err(error.into()),
    }
}

/// Whether a living process owns the run.
pub(crate) async fn is_owned(store: &Store, run: RunId) -> Result<bool, CliError> {
    let view = store.view(run).await?;
    Ok(view.owner.is_some_and(|owner| owner.alive))
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

async fn accepted(store: &Store, run: RunId, input: Seq) -> Result<Heard, CliError> {
    let mut verdict = pin!(store.verdict(run, input));
    let heard = match tokio::time::timeout(SILENCE, &mut verdict).await {
        Ok(heard) => heard,
        Err(_elapsed) => {
            tell_silence(store, run).await?;
            verdict.await
        }
    };
    match heard? {
        Verdict::Accepted => Ok(Heard::Accepted),
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
        output::line(&format!("{done}; {run} is {status}"))?;
    }
    Ok(match heard {
        // What was asked for has happened.
        Heard::Accepted | Heard::Rested(DriveEnd::Suspended | DriveEnd::Stopped) => Exit::Completed,
        Heard::Rested(DriveEnd::Ended(_)) => Exit::Completed,
        Heard::Rested(end @ (DriveEnd::WaitingForPerson | DriveEnd::Asking)) => of_drive(end),
    })
}
