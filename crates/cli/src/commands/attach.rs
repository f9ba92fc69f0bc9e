//! `backstay attach`: a person works in an agent's session, on the agent's own screen, while the run stands still.

use std::io::IsTerminal as _;
use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_exec::ScreenHold;
use backstay_model::event::{
    InputEvent, ManualIntervention, ResumeRequested, SuspendReason, SuspendRequested, TreeOutcome,
};
use backstay_model::{Position, RunId, StepId};
use backstay_runtime::{AttachError, Checkout, RunInput, Store, Takeover};
use camino::Utf8PathBuf;
use tokio::signal::unix::{SignalKind, signal};

use super::input::{self, Orphan, Successor};
use crate::address::Address;
use crate::args::{AttachArgs, ResumeArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::ui::duration;

/// Between two looks at a run that comes to a stand, without news: an owner's death is no event.
const LOOK: Duration = Duration::from_secs(2);

/// Lets the run stand still, opens the screen of the step's agent, and hands the session back.
pub(crate) async fn attach(context: &Context, args: AttachArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_str()).await?;
    let view = store.view(run).await?;
    let step = Address::whole_step(&view.plan, &args.step)?;
    if !std::io::stdin().is_terminal() || !output::stdout().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    // Whatever keeps the screen from being opened is told before anything is stopped.
    context.trusted(&store)?;
    let takeover = store.takeover(&view.record, &step).await?;
    let status = view.record.status;
    let goes_on = !status.is_ended() && status != RunStatus::Suspended;
    if goes_on {
        let event =
            InputEvent::from(SuspendRequested { by: context.actor(), reason: SuspendReason::TakenOver });
        input::say_and_settle(context, &store, run, event, Orphan::BringToRest).await?;
        if stand_still(context, &store, run).await?.is_ended() {
            output::note(&format!("{run} ended meanwhile"));
        }
    }
    let recorded = match open(context, run, takeover).await {
        Ok((done, screen)) => {
            let recorded = hand_back(context, &store, (run, &step), &done).await;
            // Whoever waits for the screen to be left finds what was done on it.
            if is_taken_over(run, &screen) {
                return recorded.map(|_| Exit::Completed);
            }
            recorded
        }
        Err(error) => Err(error),
    };
    // Whatever went wrong, what was only held up goes on.
    if goes_on && !args.stay {
        let resumed = go_on(context, &store, run, &args).await;
        recorded?;
        return resumed;
    }
    if recorded? {
        output::note(&format!("next  backstay resume {run}"));
    }
    Ok(Exit::Completed)
}

/// Waits until nothing of the run is at work. If its owner dies before that, this process brings it to rest.
async fn stand_still(context: &Context, store: &Store, run: RunId) -> Result<RunStatus, CliError> {
    let mut seen = Position(0);
    loop {
        let status = store.view(run).await?.record.status;
        if status == RunStatus::Suspended || status.is_ended() {
            return Ok(status);
        }
        if !store.is_owned(run).await? {
            input::bring_to_rest(context, store, run).await?;
        }
        tokio::select! {
            position = store.log().changed(seen) => seen = position,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Opens the screen. Signals of the keyboard are for whoever is on it.
async fn open(
    context: &Context,
    run: RunId,
    takeover: Takeover,
) -> Result<(ManualIntervention, ScreenHold), CliError> {
    let mut screen = takeover.take_screen().await?;
    output::note(&format!(
        "{run} stands still; the session {} of {} is yours until you leave its screen",
        takeover.session(),
        takeover.agent()
    ));
    let ignored = |kind| signal(kind).map_err(CliError::Signals);
    let _held = (ignored(SignalKind::interrupt())?, ignored(SignalKind::quit())?);
    let by = context.actor();
    let worked = tokio::task::spawn_blocking(move || {
        let done = takeover.open(by, &mut screen)?;
        Ok::<_, AttachError>((done, screen))
    });
    Ok(worked.await??)
}

/// Whether somebody ended the screen to let the run go on. Says so.
fn is_taken_over(run: RunId, screen: &ScreenHold) -> bool {
    let is_taken = screen.is_taken_over().unwrap_or_else(|error| {
        tracing::warn!(%run, %error, "whether the screen was ended for the run to go on cannot be read");
        false
    });
    if is_taken {
        output::note(&format!(
            "the screen was ended to let {run} go on; `backstay watch {run}` shows it at work"
        ));
    }
    is_taken
}

/// Writes down what was done, if the run still takes it, and says it.
async fn hand_back(
    context: &Context,
    store: &Store,
    (run, step): (RunId, &StepId),
    done: &ManualIntervention,
) -> Result<bool, CliError> {
    let is_over = store.view(run).await?.record.status.is_ended();
    if !is_over {
        let input = RunInput::from(done.clone()).about(step.clone());
        input::say_and_settle(context, store, run, input, Orphan::BringToRest).await?;
    }
    // Recorded is recorded, also where git cannot tell what changed.
    let changed = changed_files(store, run, done).await.unwrap_or_else(|error| {
        tracing::warn!(error = output::describe_any(&error), "what was changed cannot be told");
        None
    });
    let took = duration(done.until.since(done.from));
    let files = match changed {
        Some(0) => ", no file changed".to_owned(),
        Some(1) => ", 1 file changed".to_owned(),
        Some(count) => format!(", {count} files changed"),
        None => String::new(),
    };
    output::line(&format!("you worked in the session of {} for {took}{files}", done.agent))?;
    if is_over {
        output::note("the run has ended, so this is not in its record");
    }
    Ok(!is_over)
}

async fn changed_files(
    store: &Store,
    run: RunId,
    done: &ManualIntervention,
) -> Result<Option<usize>, CliError> {
    let kept = |outcome: &Option<TreeOutcome>| outcome.as_ref().and_then(TreeOutcome::kept).cloned();
    let (Some(before), Some(after)) = (kept(&done.before), kept(&done.after)) else { return Ok(None) };
    let cwd = store.view(run).await?.record.cwd.map(Utf8PathBuf::from).unwrap_or_default();
    let (before, after) = (before.commit.clone(), after.commit.clone());
    let counted = tokio::task::spawn_blocking(move || -> Result<Option<usize>, CliError> {
        let Some(checkout) = Checkout::around(&cwd)? else { return Ok(None) };
        Ok(Some(checkout.changed(&before, &after)?.len()))
    });
    counted.await?
}

async fn go_on(context: &Context, store: &Store, run: RunId, args: &AttachArgs) -> Result<Exit, CliError> {
    if store.view(run).await?.record.status != RunStatus::Suspended {
        output::note(&format!("{run} goes on: somebody resumed it; `backstay watch {run}` shows it at work"));
        return Ok(Exit::Completed);
    }
    if args.detach {
        let said =
            store.say(run, InputEvent::from(ResumeRequested { by: context.actor(), now: false })).await?;
        crate::detach::go_on(context, store, run)?;
        input::verdict(context, store, run, said, Successor::Started).await?;
        return super::run::detached(run, false);
    }
    let bell = args.bell;
    let resume = ResumeArgs {
        run: Some(run.to_string()),
        now: false,
        take_over: false,
        detach: false,
        json: false,
        bell,
    };
    super::resume::resume(context, resume).await
}
